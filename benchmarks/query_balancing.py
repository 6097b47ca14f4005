"""Captions per second per core through query balancing over 500,000 entries, against substring tests and libraries.

    python benchmarks/query_balancing.py [--quick]

Entries are the words and most frequent pairs of words of real web texts, so that captions (sentences of the same texts)
hold many: a harder case than MetaCLIP's, whose texts hold 3.5 on average. Ours prepares, matches, keeps and counts
(first pass), and reads the matches and draws (second pass); the peers are given prepared texts and only match. Every
side runs in a process of its own on the same core; seconds are CPU seconds, memory is what a process has for itself.
All sides' matches are compared on the first captions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from query_balancing_peer import NAIVE_CAPTIONS, prepare, read_private_mebibytes
from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

TEXTS = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web" / "gold.jsonl.gz"
ENTRIES = 500_000
#: Captions of a shard.
BATCH = 10_000


def make_input(captions: int) -> tuple[list[str], list[str]]:
    """Return entries and captions from real texts; a caption is a sentence or line of 15 to 250 characters."""
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["gold_text"] or "" for line in lines]
    words: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    sentences = []
    for text in texts:
        found = re.findall(r"\w[\w'-]*", text)
        words.update(found)
        pairs.update(f"{one} {other}" for one, other in pairwise(found))
        sentences += [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if 15 <= len(part.strip()) <= 250]
    entries = [*words, *(pair for pair, _ in pairs.most_common(ENTRIES))][:ENTRIES]
    chooser = random.Random(1)
    return entries, [chooser.choice(sentences) for _ in range(captions)]


def build_ours(file: Path) -> dict[str, Any]:
    """Build the matcher and save it, as the first process on a machine does."""
    sys.path.insert(0, str(ROOT))
    from mmpipe.sampling.entry_matching import build_matcher

    entries, _ = json.loads(file.read_text(encoding="utf-8"))
    build_matcher(["a"])
    begin = time.process_time()
    matcher = build_matcher(entries)
    built = time.process_time() - begin
    folder = file.parent / "matcher"
    matcher.save(folder)
    return {"build": built, "disk": sum(path.stat().st_size for path in folder.iterdir()) / 2**20}


def run_ours(file: Path) -> dict[str, Any]:
    """Map the saved matcher, count and draw."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import polars as pl

    from mmpipe.sampling.entry_matching import EntryDialect, Matches, build_matcher, open_matcher
    from mmpipe.sampling.query_balancing import count_entries, count_matches, draw_by_entries

    _, captions = json.loads(file.read_text(encoding="utf-8"))
    count_entries(pl.Series(["a"]), build_matcher(["a"]))
    before, begin = read_private_mebibytes(), time.process_time()
    matcher = open_matcher(file.parent / "matcher", EntryDialect())
    opened, memory = time.process_time() - begin, read_private_mebibytes() - before
    names = matcher.names
    ids = [f"{number:032x}" for number in range(len(captions))]
    pairs = pl.DataFrame({"pair_id": ids, "caption": captions})
    shards = [pairs[start : start + BATCH] for start in range(0, len(captions), BATCH)]
    begin = time.process_time()
    counts = np.zeros(len(names), dtype=np.int64)
    for number, shard in enumerate(shards):
        matches = matcher.match(shard["caption"])
        np.savez(file.with_name(f"{number}.npz"), rows=matches.rows, entries=matches.entries)
        counts += count_matches(matches, matcher)
    counted = time.process_time() - begin
    begin = time.process_time()
    drawn = []
    for number, shard in enumerate(shards):
        with np.load(file.with_name(f"{number}.npz")) as kept:
            matches = Matches(kept["rows"], kept["entries"])
        drawn.append(draw_by_entries(shard, matcher, counts, limit=20, seed=1, found=matches))
    seconds = time.process_time() - begin
    found = matcher.match(pl.Series(captions[:NAIVE_CAPTIONS]))
    named: list[list[str]] = [[] for _ in range(NAIVE_CAPTIONS)]
    for row, entry in zip(found.rows, found.entries, strict=True):
        named[row].append(f" {prepare(names[int(entry)])} ")
    file.with_name("ours.json").write_text(json.dumps([sorted(set(one)) for one in named]), encoding="utf-8")
    return {
        "count_rate": len(captions) / counted,
        "draw_rate": len(captions) / seconds,
        "both_rate": len(captions) / (counted + seconds),
        "open": opened,
        "memory": memory,
        "matches": float(counts.sum()) / len(captions),
        "kept": sum(int(shard["is_kept"].sum()) for shard in drawn) / len(captions),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer captions")
    arguments.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.side:
        side, file = options.side[0], Path(options.side[1])
        print(json.dumps(build_ours(file) if side == "build" else run_ours(file)))
        return
    if not TEXTS.is_file():
        sys.exit(f"skipped: no texts at {TEXTS}; set MMPIPE_SHARED_DATA")
    os.environ["POLARS_MAX_THREADS"] = "1"
    cores = pin_cores(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input.json"
        file.write_text(json.dumps(make_input(20_000 if options.quick else 100_000)), encoding="utf-8")
        built = run_side(sys.executable, Path(__file__), "--side", "build", str(file))
        ours = built | run_side(sys.executable, Path(__file__), "--side", "run", str(file))
        script = Path(__file__).with_name("query_balancing_peer.py")
        peers = {
            side: run_side(find_peer_python(), script, side, str(file))
            for side in ("naive", "pyahocorasick", "ahocorasick_rs")
        }
        said = {side: json.loads(file.with_name(f"{side}.json").read_text()) for side in ("ours", *peers)}
    different = sum(len({json.dumps(of_side[row]) for of_side in said.values()}) > 1 for row in range(NAIVE_CAPTIONS))
    libraries = [peers["pyahocorasick"], peers["ahocorasick_rs"]]
    print_table(
        ["", "mmpipe", "naive", "pyahocorasick", "ahocorasick_rs"],
        [
            ["captions/s, prepare + match + keep + count", round(ours["count_rate"]), "-", "-", "-"],
            ["captions/s, read matches + draw", round(ours["draw_rate"]), "-", "-", "-"],
            ["captions/s, both passes", round(ours["both_rate"]), "-", "-", "-"],
            ["captions/s, match alone", "-", peers["naive"]["rate"], *(round(peer["rate"]) for peer in libraries)],
            ["CPU seconds to build", ours["build"], "-", *(peer["open"] for peer in libraries)],
            ["CPU seconds to open, per further process", ours["open"], "-", *(peer["open"] for peer in libraries)],
            ["private MiB per process", ours["memory"], "-", *(peer["memory"] for peer in libraries)],
            ["shared MiB on disk", ours["disk"], "-", "-", "-"],
            ["entries per caption", ours["matches"], *(peer["matches"] for peer in peers.values())],
        ],
    )
    print(f"captions whose entries differ between any two sides, of {NAIVE_CAPTIONS}: {different}")
    extra = {key: round(value, 4) for key, value in ours.items() if key != "count_rate"}
    extra |= {f"{name}_{key}": round(value, 3) for name, peer in peers.items() for key, value in peer.items()}
    data = f"{ENTRIES} words and bigrams of real texts, sentences of the same; peer: substring test of every entry"
    print_result(
        "query_balancing", ours["count_rate"], peers["naive"]["rate"], "captions/s", data, cores,
        mismatches=different, **extra,
    )  # fmt: skip


if __name__ == "__main__":
    main()
