"""Best-fit packing by mmpipe and by TRL: how full sequences of 2,048 tokens are, tokens lost, tokens per CPU second.

    python benchmarks/packing.py [--quick] [--texts FILE.jsonl.gz:FIELD | --project FOLDER]

Both pack the same tokenized documents on one core: generated ones with a web corpus's lengths (log-normal, median 400
tokens), or real texts under the embedded tokenizer. `--project` takes the kept documents of a project (after `make
demo`, its own folder), as `pretraining_dataset` does, whose published sequences stand beside. TRL runs its three
strategies as it ships them, batch by batch of 1,000 rows, and `bfd_split` over all rows at once, which is what ours
does; `bfd` is its default. TRL gets the end-of-text as each row's last token, as ours lays it. Ours ends with a table,
TRL with a dataset in memory. `first fit` is the plain loop over all open sequences, in numpy.

TRL stands in a folder of its own: pip install --no-deps --target .venv-bench/trainers trl==1.16.0
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from side_by_side import ROOT, pin_cores, print_result, print_table

from mmpipe.release.packing import measure_efficiency, pack_best_fit, pack_documents_best_fit
from mmpipe.release.pretraining import TokenizedDocument, pack_documents

PEER_SIDE = Path(__file__).with_name("packing_peer.py")
TRAINERS = Path(os.environ.get("MMPIPE_TRAINERS", ROOT / ".venv-bench" / "trainers"))
LENGTH = 2048
END = 0
TIMES = 3


def make_documents(count: int) -> list[NDArray[np.int32]]:
    chooser = np.random.default_rng(1)
    lengths = np.clip(chooser.lognormal(6.0, 1.2, count), 1, 50_000).astype(int)
    return [chooser.integers(1, 49_000, length, dtype=np.int32) for length in lengths]


def read_documents(source: str) -> list[NDArray[np.int32]]:
    """Return the texts of a field of a gzipped file of JSON lines, tokenized."""
    from mmpipe.models.tokenizer import load_tokenizer

    path, _, field = source.rpartition(":")
    with gzip.open(path, "rt") as lines:
        texts = [text for line in lines if (text := json.loads(line)[field])]
    return [np.array(ids, dtype=np.int32) for ids in load_tokenizer().encode_batch(texts)]


def read_project(folder: str) -> tuple[list[NDArray[np.int32]], dict[str, float]]:
    """Return the kept documents of a project's lake, tokenized, and what its published sequences hold.

    They hold every document once, as the recipes that are shipped have it.
    """
    from mmpipe.models.tokenizer import load_tokenizer
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.instructions import PRETRAINING_DATASET
    from mmpipe.tables.text import DEDUPED_CORPUS

    place = Path(folder)
    lake = Lake(str(place / "var" / "lake" if (place / "var" / "lake").is_dir() else place))
    dumps = lake.list_dumps(DEDUPED_CORPUS)
    texts = [text for dump in dumps for text in lake.dataset(DEDUPED_CORPUS, dump).scan().collect()["text"]]
    rows = lake.dataset(PRETRAINING_DATASET).scan().collect()
    longest = int(str(rows["input_ids"].list.len().max()))
    if longest > LENGTH or rows["epoch"].n_unique() != 1:
        sys.exit(f"The sequences of {lake.root} are not of {LENGTH} tokens, or read documents more than once.")
    cut = rows.explode("doc_ids").height - rows["doc_ids"].explode().n_unique()
    found = {"sequences": rows.height, "tokens": int(rows["input_ids"].list.len().sum()), "cuts": cut}
    return [np.array(ids, dtype=np.int32) for ids in load_tokenizer().encode_batch(texts)], found


def pack_first_fit(lengths: NDArray[np.int64]) -> int:
    """Return how many sequences first fit of falling lengths needs."""
    rooms = np.empty(len(lengths), dtype=np.int64)
    count = 0
    for length in -np.sort(-lengths):
        fitting = rooms[:count] >= length
        place = int(fitting.argmax()) if count else 0
        if not (count and fitting[place]):
            place = count
            rooms[place] = LENGTH
            count += 1
        rooms[place] -= length
    return count


def measure(work: Any) -> tuple[float, Any]:
    seconds, found = [], None
    for _ in range(TIMES):
        begin = time.process_time()
        found = work()
        seconds.append(time.process_time() - begin)
    return min(seconds), found


def run_trl(documents: list[NDArray[np.int32]]) -> dict[str, Any]:
    """Run the peer's side on our interpreter, with its folder on the path."""
    if not (TRAINERS / "trl").is_dir():
        sys.exit(f"TRL is not in {TRAINERS}: pip install --no-deps --target .venv-bench/trainers trl==1.16.0")
    with tempfile.TemporaryDirectory(prefix="mmpipe-bench-") as folder:
        file = Path(folder) / "documents.npz"
        ended = [np.append(ids, np.int32(END)) for ids in documents]
        np.savez(file, ids=np.concatenate(ended), lengths=np.array([len(ids) for ids in ended]))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(PEER_SIDE), str(file), str(LENGTH)],
            env=os.environ | {"PYTHONPATH": str(TRAINERS), "HF_DATASETS_CACHE": folder},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer documents")
    given = arguments.add_mutually_exclusive_group()
    given.add_argument("--texts", help="real texts instead of generated ones: FILE.jsonl.gz:FIELD")
    given.add_argument("--project", help="kept documents of a project instead: its folder, or its lake's")
    options = arguments.parse_args()
    cores = pin_cores(1)
    published: dict[str, float] = {}
    if options.project:
        ids, published = read_project(options.project)
    else:
        ids = read_documents(options.texts) if options.texts else make_documents(2_000 if options.quick else 20_000)
    tokens = sum(len(each) + 1 for each in ids)
    documents = [TokenizedDocument(f"{number:08}", "web", 0, each) for number, each in enumerate(ids)]
    lengths = np.array([len(each) + 1 for each in ids])
    pieces = np.concatenate([np.full(lengths.sum() and int((lengths // LENGTH).sum()), LENGTH), lengths % LENGTH])
    pieces = -np.sort(-pieces[pieces > 0])
    pack_best_fit(pieces, LENGTH)  # compile
    pack_documents_best_fit(documents[:10], LENGTH, end_of_text=END, tokenizer="t@0")

    rows: dict[str, dict[str, float]] = {}
    if published:
        # nobody measured how long the run took to pack alone
        rows["mmpipe, as published"] = published | {"seconds": float("nan")}
    for name, pack in (("mmpipe, best fit", pack_documents_best_fit), ("mmpipe, end to end", pack_documents)):
        seconds, frame = measure(lambda chosen=pack: chosen(documents, LENGTH, end_of_text=END, tokenizer="t@0"))
        packed = int(frame["input_ids"].list.len().sum())
        cut = int(frame.select("doc_ids").explode("doc_ids").height) - len(documents)
        rows[name] = {"sequences": frame.height, "tokens": packed, "seconds": seconds, "cuts": cut}
    seconds, bins = measure(lambda: pack_best_fit(pieces, LENGTH))
    rows["mmpipe, placing alone"] = {"sequences": int(bins.max()) + 1, "tokens": tokens, "seconds": seconds}
    seconds, count = measure(lambda: pack_first_fit(pieces)) if len(pieces) < 50_000 else (float("nan"), 0)
    rows["first fit, placing alone"] = {"sequences": count, "tokens": tokens, "seconds": seconds}
    rows |= run_trl(ids)
    table = [
        [
            name,
            int(row["sequences"]),
            f"{100 * measure_efficiency(int(row['tokens']), int(row['sequences']), LENGTH):.2f} %",
            int(tokens - row["tokens"]),
            int(row.get("cuts", -(-lengths // LENGTH).sum() * 0 + (-(-lengths // LENGTH) - 1).sum())),
            f"{row['tokens'] / row['seconds'] / 1e6:.1f}",
        ]
        for name, row in rows.items()
    ]
    print_table(["side", "sequences", "full", "tokens lost", "cuts", "million tokens per CPU second"], table)
    kind = "real" if options.texts else "kept" if options.project else "generated"
    ours, peer = rows["mmpipe, best fit"], rows["trl bfd_split, all rows at once"]
    print_result(
        "packing",
        ours["tokens"] / ours["seconds"],
        peer["tokens"] / peer["seconds"],
        "tokens per CPU second, tokenized documents to packed rows, none lost",
        f"{len(ids)} {kind} documents, {tokens} tokens, sequences of {LENGTH}",
        cores,
        efficiency={
            name: round(measure_efficiency(int(row["tokens"]), int(row["sequences"]), LENGTH), 5)
            for name, row in rows.items()
        },
        tokens_lost={name: int(tokens - row["tokens"]) for name, row in rows.items()},
    )


if __name__ == "__main__":
    main()
