"""The whole fuzzy step, text in to text out, beside datatrove's four MinHash stages, on the same documents and cores.

    python benchmarks/fuzzy_dedup.py [--quick] [--documents 10000]

Documents are the gold texts of the shared data folder (MMPIPE_SHARED_DATA; generated articles where it is absent),
tiled: each tile has a word in eight replaced by an invented one, so that tiles of one text are no duplicates. Then
15 % are near-duplicates of another document (one word in a hundred changed) and 5 % are copies. Both sides read JSON
lines and write those of the documents kept, with FineWeb's 14 bands of 8 hashes of word 5-grams (our preset `fineweb`).

Ours: signatures, index, candidates, exact Jaccard of at least 0.8, clusters, survivors, removal. datatrove 0.10.1:
signatures, buckets, clusters, filter; it verifies nothing. On one core, and with four workers on four. Seconds are CPU
seconds of all processes, after a start on 50 documents (datatrove loads its tokenizer within its time; it is under a
second). Then ours without verification is compared with datatrove's clusters.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

PEER = Path(__file__).with_name("fuzzy_dedup_peer.py")
FILES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 documents")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--side", nargs=3, metavar=("FOLDER", "WORKERS", "LIMIT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        folder, workers, limit = options.side
        print(json.dumps(dedupe(Path(folder), int(workers), float(limit) or None)))
        return
    python = find_peer_python()
    documents = 1_000 if options.quick else options.documents
    rows: list[list[Any]] = []
    extra: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        characters = write_documents(folder / "input", documents)
        write_documents(folder / "start" / "input", 50)
        every = sorted(os.sched_getaffinity(0))
        for workers in options.workers:
            os.sched_setaffinity(0, every)
            pin_cores(workers)
            ours = run_side(sys.executable, Path(__file__), "--side", place, str(workers), "0.8")
            peer = run_side(python, PEER, place, str(workers))
            for name, side in (("mmpipe", ours), (f"datatrove {peer['version']}", peer)):
                stages = " ".join(f"{seconds:.2f}" for seconds in side["stage_s"])
                rows.append([name, workers, side["cpu_s"], side["wall_s"], len(side["kept"]), stages])
            ratio = peer["cpu_s"] / ours["cpu_s"]
            extra |= {f"ratio_{workers}": round(ratio, 1), f"ours_{workers}": round(ours["cpu_s"], 2)}
            extra |= {f"peer_{workers}": round(peer["cpu_s"], 1)}
            extra |= {f"wall_ratio_{workers}": round(peer["wall_s"] / ours["wall_s"], 1)}
        unverified = run_side(sys.executable, Path(__file__), "--side", place, "1", "0")
    print_table(["side", "workers", "CPU s", "wall s", "kept", "CPU s by stage"], rows)
    shared = compare(unverified["clusters"], peer["clusters"])
    print(f"without verification: {shared}")
    first = options.workers[0]
    print_result(
        "fuzzy_dedup",
        documents / extra[f"ours_{first}"],
        documents / extra[f"peer_{first}"],
        "documents per CPU second",
        f"{documents} documents of {characters // documents} characters",
        every[:first],
        **extra,
        unverified=shared,
    )


def compare(ours: list[list[str]], peer: list[list[str]]) -> dict[str, Any]:
    """Return how many clusters are the same, and how many pairs of documents both sides put together."""
    same = {tuple(cluster) for cluster in ours} & {tuple(cluster) for cluster in peer}
    pairs = [
        {(one, other) for cluster in side for place, one in enumerate(cluster) for other in cluster[place + 1 :]}
        for side in (ours, peer)
    ]
    both = len(pairs[0] & pairs[1])
    return {
        "clusters_ours": len(ours),
        "clusters_peer": len(peer),
        "clusters_same": len(same),
        "pairs_ours": len(pairs[0]),
        "pairs_peer": len(pairs[1]),
        "pairs_shared": both,
    }


def dedupe(folder: Path, workers: int, limit: float | None) -> dict[str, Any]:
    """Run our side, once on a few documents to start and once on all."""
    remove(folder / "start", 1, limit)
    return remove(folder, workers, limit)


def remove(folder: Path, workers: int, limit: float | None) -> dict[str, Any]:
    """Write the documents that stay; return seconds by step, who stays and the clusters."""
    import polars as pl

    from mmpipe.deduplication.duplicate_index import build_index
    from mmpipe.deduplication.duplicates import search_duplicates
    from mmpipe.deduplication.minhash import sign_documents
    from mmpipe.deduplication.minhash_presets import PRESETS

    settings = replace(PRESETS["fineweb"] if limit else PRESETS["datatrove"], verify_jaccard=limit)
    out = Path(tempfile.mkdtemp(dir=folder))
    marks = [(use_cpu(), time.perf_counter())]
    files = sorted((folder / "input").glob("*.jsonl"))

    def sign(file: Path) -> pl.DataFrame:
        frame = pl.read_ndjson(file, schema={"doc_id": pl.String, "text": pl.String})
        frame = frame.with_columns(dump=pl.lit("bench"), date=pl.lit(None, dtype=pl.String))
        sign_documents(frame, settings).write_parquet(out / f"{file.stem}.parquet")
        return frame.select("doc_id", "text")

    with ThreadPoolExecutor(workers) as pool:
        frames = list(pool.map(sign, files))
    marks.append((use_cpu(), time.perf_counter()))
    index = build_index(out / "index", pl.scan_parquet(out / "*.parquet"), settings, workers=workers)
    marks.append((use_cpu(), time.perf_counter()))
    texts = pl.concat(frames).rechunk()
    places = dict(zip(texts.get_column("doc_id").to_list(), range(texts.height), strict=True))
    column = texts.get_column("text")

    def read(ids: list[str]) -> dict[str, str]:
        return dict(zip(ids, column.gather([places[doc_id] for doc_id in ids]).to_list(), strict=True))

    duplicates = search_duplicates(index, [], read, settings, out / "found", workers=workers).duplicates.collect()
    marks.append((use_cpu(), time.perf_counter()))
    gone = duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id")).select("doc_id")
    kept = texts.join(gone, on="doc_id", how="anti", maintain_order="left")
    kept.write_ndjson(out / "kept.jsonl")
    marks.append((use_cpu(), time.perf_counter()))
    clusters = duplicates.group_by("cluster_id").agg(pl.col("doc_id").sort()).get_column("doc_id").to_list()
    seconds = [later[0] - earlier[0] for earlier, later in pairwise(marks)]
    return {
        "stage_s": seconds,
        "cpu_s": sum(seconds),
        "wall_s": marks[-1][1] - marks[0][1],
        "kept": kept.get_column("doc_id").to_list(),
        "clusters": sorted(clusters),
    }


def use_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def write_documents(folder: Path, count: int) -> int:
    """Write the documents as JSON lines in FILES files; return their characters."""
    folder.mkdir(parents=True)
    dice = random.Random(4)
    gold = read_gold()
    texts: list[str] = []
    for number in range(count):
        chance = dice.random()
        if number and chance < 0.2:
            text = texts[dice.randrange(number)]
            texts.append(text if chance < 0.05 else change_words(text, 100, dice))
        else:
            texts.append(change_words(gold[number % len(gold)], 8, dice))
    for file in range(FILES):
        with (folder / f"{file:05d}.jsonl").open("w", encoding="utf-8") as out:
            for number in range(file, count, FILES):
                out.write(json.dumps({"doc_id": f"{number:07d}", "text": texts[number]}) + "\n")
    return sum(map(len, texts))


def change_words(text: str, every: int, dice: random.Random) -> str:
    words = text.split(" ")
    for place in range(dice.randrange(min(every, len(words))), len(words), every):
        words[place] = "".join(dice.choices("abcdefghiklmnoprstuvwy", k=dice.randrange(4, 12)))
    return " ".join(words)


def read_gold() -> list[str]:
    shared = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web" / "gold.jsonl.gz"
    if not shared.is_file():
        from mmpipe.demo.topics import write_english_article

        return [write_english_article("fuzzy", number).text for number in range(1_000)]
    with gzip.open(shared, "rt", encoding="utf-8") as lines:
        return [row["gold_text"] for row in map(json.loads, lines) if row["gold_text"]]


if __name__ == "__main__":
    main()
