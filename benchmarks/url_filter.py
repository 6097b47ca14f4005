"""Memory, opening time and speed of the URL filter against datatrove's own, and their decisions URL by URL.

    python benchmarks/url_filter.py [--quick] [--list ut1-domains-2024-12.txt.xz]

Each side runs in a process of its own on the same core, holds the same 4.6 million domains, the same URLs and words
(datatrove's own lists, read from its package), and judges the same URLs. Seconds are CPU seconds; memory is what the
process has for itself and wrote (`Private_Dirty` of smaps_rollup) above what it had before: pages of a mapped file are
one copy per machine. Ours is hashed once per machine; that time is shown too. datatrove stops at the first reason, ours
measures all six signals. A second pass of ours, as datatrove counts (`as_written`), is compared decision by decision.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

LISTS = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "lists"
#: Our settings to the files of datatrove's package.
WORDS = {
    "hard_words": "banned_words.txt",
    "soft_words": "soft_banned_words.txt",
    "strict_subwords": "banned_subwords.txt",
}
REASONS = {
    "url_blocked_domain": ("domain", 0),
    "url_blocked_host": ("subdomain", 0),
    "url_blocked_url": ("url", 0),
    "url_hard_words": ("hard_blacklisted", 0),
    "url_soft_words": ("soft_blacklisted", 1),
    "url_strict_subwords": ("blacklisted_subword", 0),
}
#: URLs judged at a time, as in a shard.
BATCH = 10_000


def read_private_mebibytes() -> float:
    """Return the memory that this process wrote and shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def run_peer(urls_file: Path) -> dict[str, Any]:
    """Open and ask datatrove's URLFilter with its integrated lists."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from datatrove.utils._import_utils import ASSETS_PATH
    from tldextract import TLDExtract

    urls = json.loads(urls_file.read_text(encoding="utf-8"))
    URLFilter().download_data()  # unpacks its lists
    made = URLFilter()
    made.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    made.tldextractor("http://a.example.co.uk")
    before, begin = read_private_mebibytes(), time.process_time()
    made.download_data()
    opened = time.process_time() - begin
    memory = read_private_mebibytes() - before
    documents = [Document(text="", id="", metadata={"url": url}) for url in urls]
    begin = time.process_time()
    said = [made.filter(document) for document in documents]
    seconds = time.process_time() - begin
    reasons = [one[1] if isinstance(one, tuple) else None for one in said]
    urls_file.with_name("reasons.json").write_text(json.dumps(reasons), encoding="utf-8")
    found = sum(reason is not None for reason in reasons)
    return {"open": opened, "memory": memory, "rate": len(urls) / seconds, "removed": found, "assets": str(ASSETS_PATH)}


def run_ours(path: Path, urls_file: Path) -> dict[str, Any]:
    """Open the same lists and measure the same URLs."""
    sys.path.insert(0, str(ROOT))
    import polars as pl

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.recipe_sections import UrlSettings
    from mmpipe.filtering.url_signals import find_registered_domain, measure_urls, open_url_lists

    def refer(file: Path) -> tuple[ListReference, ...]:
        with file.open("rb") as stored:
            sha256 = hashlib.file_digest(stored, "sha256").hexdigest()
        return (ListReference(list=file.name, path=str(file), sha256=sha256),)

    urls = pl.Series(json.loads(urls_file.read_text(encoding="utf-8")))
    assets = Path(json.loads(urls_file.with_name("assets.json").read_text(encoding="utf-8")))
    settings = UrlSettings(
        domains=refer(path),
        urls=refer(path.with_name(path.name.replace("domains", "urls"))),
        **{name: refer(assets / file) for name, file in WORDS.items()},
    )
    cache = str(urls_file.parent)
    begin = time.process_time()
    open_url_lists(settings, cache)
    hashed = time.process_time() - begin
    open_url_lists.cache_clear()
    find_registered_domain("a.example.co.uk")
    measure_urls(urls[:BATCH], UrlSettings())
    before, begin = read_private_mebibytes(), time.process_time()
    open_url_lists(settings, cache)
    opened = time.process_time() - begin
    memory = read_private_mebibytes() - before
    begin = time.process_time()
    frames = [measure_urls(urls[start : start + BATCH], settings, cache) for start in range(0, len(urls), BATCH)]
    seconds = time.process_time() - begin
    memory_after = read_private_mebibytes() - before - sum(frame.estimated_size() for frame in frames) / 2**20
    removed = (
        pl.concat(frames).filter(pl.any_horizontal(pl.col(name) > high for name, (_, high) in REASONS.items())).height
    )
    theirs = json.loads(urls_file.with_name("reasons.json").read_text(encoding="utf-8"))
    exact = measure_urls(urls, replace(settings, as_written=True, case_sensitive_words=True), cache)
    ours = [
        next((reason for name, (reason, high) in REASONS.items() if row[name] > high), None)
        for row in exact.iter_rows(named=True)
    ]
    different = [(url, *pair) for url, *pair in zip(urls, ours, theirs, strict=True) if pair[0] != pair[1]]
    for url, mine, other in different[:5]:
        print(f"{url}: {mine}, datatrove says {other}")
    return {
        "open": opened,
        "memory": memory,
        "memory_after": memory_after,
        "rate": len(urls) / seconds,
        "removed": removed,
        "hashed": hashed,
        "mismatches": len(different),
    }


def make_urls(domains: list[str], count: int) -> list[str]:
    """Return URLs of which one in ten is listed and some hold listed words; a host has a few pages, as in a crawl."""
    chooser = random.Random(1)
    ends = ["com", "co.uk", "de", "com.br", "net", "org", "jp", "co.jp"]
    words = ["page", "news", "Article", "free", "adult", "Casino", "casino", "sex", "Porn", "porn", "blog", "dating"]
    hosts = [
        chooser.choice(domains) if chooser.random() < 0.1 else f"host{chooser.randrange(10**7)}.{chooser.choice(ends)}"
        for _ in range(count // 2)
    ]
    hosts = [host for host in hosts if host]
    weights = [40, 40, 40, 10, 1, 1, 1, 1, 1, 1, 20, 2]
    urls = []
    for _ in range(count):
        host = chooser.choice(("", "", "www.", "a.b.")) + chooser.choice(hosts)
        host = host.upper() if chooser.random() < 0.01 else host
        path = "-".join(chooser.choices(words, weights, k=3))
        urls.append(f"http://{host}/{path}/{chooser.randrange(1000)}.html")
    return urls


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer URLs")
    arguments.add_argument("--list", type=Path, default=LISTS / "ut1-domains-2024-12.txt.xz")
    arguments.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.side:
        side, urls_file = options.side[0], Path(options.side[1])
        print(json.dumps(run_peer(urls_file) if side == "peer" else run_ours(options.list, urls_file)))
        return
    if not options.list.is_file():
        sys.exit(f"skipped: no list at {options.list}; give --list a file of domains, one per line")
    cores = pin_cores(1)
    with tempfile.TemporaryDirectory() as folder:
        with lzma.open(options.list, "rt", encoding="utf-8") as lines:
            domains = lines.read().splitlines()
        urls_file = Path(folder) / "urls.json"
        urls_file.write_text(json.dumps(make_urls(domains, 20_000 if options.quick else 200_000)), encoding="utf-8")
        given = ("--list", str(options.list), "--side")
        peer = run_side(find_peer_python(), Path(__file__), *given, "peer", str(urls_file))
        urls_file.with_name("assets.json").write_text(json.dumps(peer.pop("assets")), encoding="utf-8")
        ours = run_side(sys.executable, Path(__file__), *given, "ours", str(urls_file))
    print_table(
        ["", "mmpipe", "datatrove"],
        [
            ["CPU seconds to open, per process", f"{ours['open']:.5f}", peer["open"]],
            ["private MiB, opened", ours["memory"], peer["memory"]],
            ["private MiB, after all look-ups", ours["memory_after"], peer["memory"]],
            ["URLs per second", round(ours["rate"]), round(peer["rate"])],
            ["URLs removed, each in its own way", ours["removed"], peer["removed"]],
            ["other decisions or reasons, as_written", ours["mismatches"], "-"],
            ["CPU seconds to hash, once per machine", ours["hashed"], "-"],
        ],
    )
    extra = {key: round(value, 5) for key, value in ours.items() if key != "rate"}
    extra |= {f"peer_{key}": round(value, 5) for key, value in peer.items() if key != "rate"}
    data = f"{options.list.name}, generated URLs per second of CPU; peer: URLFilter of datatrove 0.10.1, its own lists"
    print_result("url_filter", ours["rate"], peer["rate"], "URLs/s", data, cores, **extra)


if __name__ == "__main__":
    main()
