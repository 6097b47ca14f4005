"""What finding duplicates costs as documents grow in number: bytes of index, CPU seconds, peak memory; one dump more.

    python benchmarks/dedup_growth.py [--quick] [--sizes 10000 100000 1000000] [--memory-mib 512]

Documents are generated as they are read: about 60 words of a Zipf-like vocabulary, of which 30 % repeat an earlier
document with one word changed and 5 % as it is. Each size runs in a process of its own, in four steps: sign
(FineWeb's 14 x 8 band keys, in shards of 10,000 documents), build the index, search it, and then compare a second dump
of a tenth the size with the stored index. Seconds are CPU seconds of the process without writing the documents; memory
is the most that was resident (`ru_maxrss`), libraries and mapped files included, and beside it what the libraries hold
before the first document. The last lines scale the largest size to one dump of Common Crawl, step by step.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import pin_cores, print_result, print_table, run_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

SHARD_DOCUMENTS = 10_000
# one dump of Common Crawl has about 2.6 billion pages (CC-MAIN-2024-10: 3.16; CC-MAIN-2023-50: 3.35; CC-MAIN-2021-49:
# 2.5); RefinedWeb kept about a fifth before it looked for near-duplicates (arXiv 2306.01116, figure 2)
CRAWL_PAGES = 2_600_000_000
KEPT_SHARE = 0.2
REAL_WORDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 and 20,000 documents")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--memory-mib", type=int, default=512, help="the knob memory_bytes")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.memory_mib << 20)))
        return
    cores = pin_cores(1)
    sizes = [2_000, 20_000] if options.quick else options.sizes
    results = []
    for size in sizes:
        arguments = ("--side", str(size), "--memory-mib", str(options.memory_mib))
        results.append(run_side(sys.executable, Path(__file__), *arguments) | {"documents": size})
        print(f"{size} documents: {results[-1]}", file=sys.stderr)
    names = ["sign_s", "index_s", "search_s", "next_dump_s", "index_bytes", "peak_mib", "libraries_mib"]
    rows = [[result["documents"], *(result[name] for name in names), result["removed"]] for result in results]
    print_table(["documents", *names, "removed"], rows)
    per_million = [
        [result["documents"], *(result[name] * 1e6 / result["documents"] for name in names[:5])] for result in results
    ]
    print("\nper million documents")
    print_table(["documents", *names[:5]], per_million)
    extrapolate(results[-1], options.memory_mib)
    first, last = results[0], results[-1]
    print_result(
        "dedup_growth",
        last["peak_mib"],
        first["peak_mib"],
        f"MiB at the peak with {last['documents']} documents; peer: with {first['documents']}",
        f"{sizes} generated documents of 60 words, memory_bytes {options.memory_mib} MiB",
        cores,
        **{f"{name}_{result['documents']}": round(result[name], 2) for result in results for name in names},
    )


def extrapolate(result: dict[str, Any], memory_mib: int) -> None:
    """Print what one dump of Common Crawl would cost, with every factor."""
    pages = CRAWL_PAGES * KEPT_SHARE
    million = result["documents"] / 1e6
    fixed = result["index_s"] + result["search_s"]
    index = result["index_bytes"] / result["documents"]
    print(
        f"\nOne dump: {CRAWL_PAGES:,} pages x {KEPT_SHARE} kept = {pages / 1e6:,.0f} million documents\n"
        f"  index: {index:.0f} bytes each x {pages / 1e6:,.0f} million = {index * pages / 1e9:,.0f} GB\n"
        f"  signing: {result['sign_s'] / million:.1f} s per million x {REAL_WORDS} / 60 words x {pages / 1e6:,.0f} = "
        f"{result['sign_s'] / million * REAL_WORDS / 60 * pages / 1e6 / 3600:,.1f} core hours\n"
        f"  index and search: {fixed / million:.1f} s per million x {pages / 1e6:,.0f} = "
        f"{fixed / million * pages / 1e6 / 3600:,.1f} core hours (the texts compared are {REAL_WORDS} words there, "
        f"{result['verify_share']:.0%} of the search here)\n"
        f"  memory: {memory_mib} MiB as asked + libraries {result['libraries_mib']:.0f} MiB, and memory-mapped files "
        f"of 100 bytes per document and 68 per pair, {pages * 100 / 1e9 + pages * 0.5 * 68 / 1e9:,.0f} GB, which the "
        f"system may write out"
    )


def measure(size: int, memory_bytes: int) -> dict[str, Any]:
    """Return what one size cost."""
    import polars as pl

    from mmpipe.deduplication import near_duplicates
    from mmpipe.deduplication.duplicate_index import build_index
    from mmpipe.deduplication.duplicates import search_duplicates
    from mmpipe.deduplication.minhash import MinHashSettings, sign_documents

    settings = MinHashSettings(bands=14, rows=8, verify_jaccard=0.8)
    verified = 0.0
    measure_similarities = near_duplicates.measure_similarities

    def measure_timed(*arguments: Any) -> Any:
        nonlocal verified
        begin = time.process_time()
        similarities = measure_similarities(*arguments)
        verified += time.process_time() - begin
        return similarities

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # once on a few documents, so that everything is compiled and loaded
        few = make_frame("warm", 0, 200)
        index = build_index(folder / "warm", sign_documents(few, settings).lazy(), settings)
        search_duplicates(index, [index], few, settings, folder / "warm-found")
        libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        near_duplicates.measure_similarities = measure_timed  # type: ignore[assignment]

        def sign(dump: str, documents: int) -> float:
            seconds = 0.0
            (folder / dump).mkdir()
            for begin in range(0, documents, SHARD_DOCUMENTS):
                frame = make_frame(dump, begin, min(SHARD_DOCUMENTS, documents - begin))
                start = time.process_time()
                signed = sign_documents(frame, settings)
                seconds += time.process_time() - start
                signed.write_parquet(folder / dump / f"{begin:09d}.parquet")
            return seconds

        def index_dump(dump: str) -> Any:
            return build_index(
                folder / f"{dump}-index",
                pl.scan_parquet(folder / dump / "*.parquet"),
                settings,
                memory_bytes=memory_bytes,
            )

        sign_seconds = sign("first", size)
        start = time.process_time()
        first = index_dump("first")
        index_seconds = time.process_time() - start
        start = time.process_time()
        found = search_duplicates(first, [], read_texts, settings, folder / "found", memory_bytes=memory_bytes)
        search_seconds = time.process_time() - start
        removed = found.duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id")).select("doc_id")
        verify_share = verified / search_seconds
        sign("second", size // 10)
        start = time.process_time()
        second = index_dump("second")
        again = search_duplicates(
            second, [first], read_texts, settings, folder / "again", removed=removed, memory_bytes=memory_bytes
        )
        next_seconds = time.process_time() - start
        assert again.duplicates.select(pl.len()).collect().item() > size // 100
        return {
            "sign_s": sign_seconds,
            "index_s": index_seconds,
            "search_s": search_seconds,
            "next_dump_s": next_seconds,
            "index_bytes": first.nbytes,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "libraries_mib": libraries,
            "removed": removed.select(pl.len()).collect().item(),
            "verify_share": verify_share,
            "load": os.getloadavg()[0],
        }


def read_texts(ids: list[str]) -> dict[str, str]:
    """Return the texts of documents, made again from their ids."""
    return {doc_id: write_text(*doc_id.split("-")) for doc_id in ids}


def make_frame(dump: str, begin: int, count: int) -> pl.DataFrame:
    import polars as pl

    ids = [f"{dump}-{number}" for number in range(begin, begin + count)]
    return pl.DataFrame({"doc_id": ids, "text": list(read_texts(ids).values())}).with_columns(
        dump=pl.lit(dump), date=pl.lit(None, dtype=pl.String)
    )


def write_text(dump: str, number: str) -> str:
    """Return the text of a document, which may repeat one before it (of the second dump, one of the first)."""
    chain = list(follow(dump, int(number)))
    words = draw_words(*chain[-1])
    for of_dump, document in reversed(chain[:-1]):
        dice = random.Random(f"{of_dump}{document}edit")
        if dice.random() < 6 / 7:
            words[dice.randrange(len(words))] = f"n{dice.getrandbits(40):x}"
    return " ".join(words)


def follow(dump: str, number: int) -> Iterator[tuple[str, int]]:
    """Yield a document and the one that it repeats, if it does; originals are repeated, not repetitions."""
    yield dump, number
    dice = random.Random(f"{dump}{number}repeat")
    if number and dice.random() < 0.35:
        yield ("first" if dump == "second" else dump), dice.randrange(number)


def draw_words(dump: str, number: int) -> list[str]:
    dice = random.Random(f"{dump}{number}")
    return [f"w{int(30_000 ** dice.random()):x}" for _ in range(dice.randrange(45, 75))]


if __name__ == "__main__":
    main()
