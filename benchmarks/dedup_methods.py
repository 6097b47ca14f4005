"""URLs, SimHash and repeated lines per CPU second, by mmpipe and by what peers run for them: same input, one core.

    python benchmarks/dedup_methods.py [--quick] [--texts FILE.jsonl.gz:FIELD]

URLs: normalised and hashed, against w3lib's canonicalize_url (scrapy's) and ada's WHATWG parser alone. SimHash: from
text to 64 bits, against the `simhash` package driven as ROOTS did (lower case, punctuation out by `regex`, windows of
six words, MD5); pairs within 4 bits of a set of signatures, against its find_all. Lines: normalised and hashed, against
the same operations as CCNet's (two regular expressions and SHA-1 for each line), written here since cc_net is no
package; `find` goes on to the spans to cut. Compilation comes before. The last line's ratio is of SimHash signatures.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

from side_by_side import find_peer_python, pin_cores, print_result, print_table, run_side

MARKS = re.compile("[，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►\x00-\x1f\x7f-\x9f]")
DIGIT = re.compile(r"\d")


def write_input(texts: list[str], urls: int, signatures: int) -> dict[str, list[str]]:
    """Return texts, URLs and signatures (as text), a tenth of the last with a near one."""
    chooser = random.Random(1)
    numbers = [chooser.getrandbits(64) for _ in range(signatures)]
    for place in range(0, signatures, 10):
        numbers[place] = numbers[place - 1] ^ (1 << chooser.randrange(64)) ^ (1 << chooser.randrange(64))
    return {
        "texts": texts,
        "urls": [
            f"https://www.Example{chooser.randrange(5000)}.org/a/{chooser.randrange(10**6)}/page-{number}.html"
            + chooser.choice(["", "?id=7", "?utm_source=news&id=%7e9", "#top"])
            for number in range(urls)
        ],
        "signatures": [str(number) for number in numbers],
    }


def measure(work: Callable[[], object], count: int) -> float:
    begin = time.process_time()
    work()
    return count / (time.process_time() - begin)


def measure_peers(given: dict[str, list[str]]) -> dict[str, float]:
    """Return what the peers do per CPU second; runs in their environment."""
    import can_ada
    import regex
    import simhash
    from w3lib.url import canonicalize_url

    punctuation = regex.compile(r"\p{P}")

    def sign(text: str) -> int:
        words = punctuation.sub("", text.lower()).split(" ")
        windows = (" ".join(words[first : first + 6]).encode() for first in range(len(words) - 6))
        return int(simhash.compute(map(simhash.unsigned_hash, windows)))

    def hash_lines(text: str) -> list[bytes]:
        lines = (MARKS.sub("", DIGIT.sub("0", line.strip().lower())) for line in text.split("\n"))
        return [sha1(line.encode(), usedforsecurity=False).digest()[:8] for line in lines]

    texts, urls = given["texts"], given["urls"]
    numbers = [int(number) for number in given["signatures"]]
    return {
        "URLs, w3lib": measure(lambda: [canonicalize_url(url) for url in urls], len(urls)),
        "URLs, ada": measure(lambda: [can_ada.parse(url).href for url in urls], len(urls)),
        "SimHash of texts, simhash": measure(lambda: [sign(text) for text in texts], len(texts)),
        "pairs of signatures, simhash": measure(lambda: simhash.find_all(numbers, 6, 4), len(numbers)),
        "lines of texts, as CCNet": measure(lambda: [hash_lines(text) for text in texts], len(texts)),
    }


def measure_ours(given: dict[str, list[str]], folder: Path) -> dict[str, float]:
    """Return what we do per CPU second."""
    import polars as pl

    from mmpipe.deduplication.line_spans import LineSettings, cut_into_spans
    from mmpipe.deduplication.repeated_lines import find_repeated_lines
    from mmpipe.deduplication.simhash import SimHashSettings, find_simhash_pairs, sign_texts
    from mmpipe.deduplication.urls import hash_urls, normalize_urls

    texts, urls = given["texts"], pl.Series(given["urls"])
    frame = pl.DataFrame({"rank": range(len(texts)), "text": texts}).with_columns(doc_id=pl.col("rank").cast(pl.String))
    signed = pl.DataFrame({"simhash": [int(number) for number in given["signatures"]]}, schema={"simhash": pl.UInt64})
    signed = signed.with_row_index("rank")
    every, lines = SimHashSettings(most_characters=None), LineSettings(dialect="ccnet_code")
    modes: dict[str, tuple[Callable[[int], object], int]] = {
        "URLs, mmpipe": (lambda count: hash_urls(normalize_urls(urls[:count])), len(urls)),
        "SimHash of texts, mmpipe": (lambda count: sign_texts(texts[:count], every), len(texts)),
        "pairs of signatures, mmpipe": (lambda count: find_simhash_pairs(signed[:count], scratch=folder), len(signed)),
        "lines of texts, mmpipe": (lambda count: cut_into_spans(texts[:count], lines), len(texts)),
        "lines of texts, mmpipe, find": (
            lambda count: find_repeated_lines(frame[:count], lines, scratch=folder),
            len(texts),
        ),
    }
    rates = {}
    for name, (work, count) in modes.items():
        work(20)
        rates[name] = measure(lambda chosen=work, most=count: chosen(most), count)  # type: ignore[misc]
    return rates


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="less of everything")
    arguments.add_argument("--texts", help="real texts instead of generated ones: FILE.jsonl.gz:FIELD")
    arguments.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.peer:
        print(json.dumps(measure_peers(json.loads(options.peer.read_text()))))
        return
    from minhash_signatures import read_texts, write_texts

    cores = pin_cores(1)
    scale = 1 if options.quick else 5
    texts = read_texts(options.texts) if options.texts else write_texts(200 * scale)
    # a line for every dozen words or so: generated texts have none
    texts = [text if "\n" in text else re.sub(r"((?:\S+ ){12})", r"\1\n", text) for text in texts]
    given = write_input(texts, 40_000 * scale, 60_000 * scale)
    with tempfile.TemporaryDirectory(prefix="mmpipe-bench-") as folder:
        shared = Path(folder) / "input.json"
        shared.write_text(json.dumps(given))
        peers = run_side(find_peer_python(), Path(__file__), "--peer", str(shared))
        rates = measure_ours(given, Path(folder) / "scratch") | peers
    print_table(["what, by whom", "per CPU second"], [[name, f"{rates[name]:.0f}"] for name in sorted(rates)])
    print_result(
        "dedup_methods",
        rates["SimHash of texts, mmpipe"],
        rates["SimHash of texts, simhash"],
        "documents per CPU second, text to SimHash",
        f"{len(texts)} {'real' if options.texts else 'generated'} texts of {sum(map(len, texts)) // len(texts)} "
        "characters on average",
        cores,
        rates={name: round(rate, 1) for name, rate in rates.items()},
    )


if __name__ == "__main__":
    main()
