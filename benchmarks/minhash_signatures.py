"""Documents signed per CPU second, from text, by mmpipe and by datatrove, datasketch and rensa: same texts, one core.

    python benchmarks/minhash_signatures.py [--quick] [--texts FILE.jsonl.gz:FIELD]

The shape is FineWeb's: 112 hashes of word 5-grams in 14 bands of 8. Ours goes from Python strings to band keys: in
FineWeb's own preset (datatrove's normalization), in the mode that gives datatrove's signatures bit for bit, with the
plain words that datasketch and rensa are given, with our own normalization, with RefinedWeb's 9,000 hashes, and with
NeMo's 24-character shingles; `sign_documents` adds the exact hash and the table. How the peers run is said in
minhash_peer.py. Seconds are CPU seconds; compilation, spaCy's start and permutation tables come before.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from side_by_side import find_peer_python, pin_cores, print_result, print_table, run_side

from mmpipe.deduplication.minhash import MinHashSettings, compute_band_keys, sign_documents
from mmpipe.deduplication.minhash_presets import PRESETS

PEER_SIDE = Path(__file__).with_name("minhash_peer.py")
LEAST_WORDS = 20  # datatrove's signature step cannot take a text without a shingle
BATCH_TEXTS = 200  # about a million characters, as sign_documents cuts them
TIMES = 3  # the best of so many runs of ours, each a fraction of a second


def write_texts(count: int) -> list[str]:
    """Return texts of about 750 words (4.6 thousand characters, the mean of real article bodies), Zipf-like words."""
    chooser = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(chooser.choices(letters, range(26, 0, -1), k=chooser.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    return [" ".join(chooser.choices(vocabulary, weights, k=chooser.randint(300, 1200))) for _ in range(count)]


def read_texts(source: str) -> list[str]:
    """Return the texts of a field of a gzipped file of JSON lines."""
    path, _, field = source.rpartition(":")
    with gzip.open(path, "rt") as lines:
        texts = [json.loads(line)[field] or "" for line in lines]
    return [text for text in texts if len(text.split()) >= LEAST_WORDS]


def count_per_second(work: Callable[[], object], documents: int) -> float:
    begin = time.process_time()
    work()
    return documents / (time.process_time() - begin)


def sign_in_batches(texts: list[str], settings: MinHashSettings) -> None:
    for first in range(0, len(texts), BATCH_TEXTS):
        compute_band_keys(texts[first : first + BATCH_TEXTS], settings)


def measure_ours(texts: list[str]) -> dict[str, float]:
    """Return documents per CPU second of each mode of ours."""
    modes: dict[str, MinHashSettings] = {
        "mmpipe, fineweb": PRESETS["fineweb"],
        "mmpipe, datatrove bit for bit": PRESETS["datatrove"],
        # what datasketch and rensa are given: lower-cased words between white space
        "mmpipe, plain words 14x8": replace(PRESETS["fineweb"], normalization="nemo", short_texts="whole"),
        "mmpipe, own normalization 14x8": replace(PRESETS["refinedweb"], bands=14, rows=8),
        "mmpipe, refinedweb 450x20": PRESETS["refinedweb"],
        "mmpipe, nemo 20x13": PRESETS["nemo"],
    }
    found = {}
    for name, settings in modes.items():
        compute_band_keys(texts[:50], settings)
        found[name] = max(
            count_per_second(lambda chosen=settings: sign_in_batches(texts, chosen), len(texts))  # type: ignore[misc]
            for _ in range(TIMES)
        )
    frame = pl.DataFrame({"doc_id": [str(number) for number in range(len(texts))], "text": texts}).with_columns(
        pl.lit("bench").alias("dump"), pl.lit(None, dtype=pl.String).alias("date")
    )
    found["mmpipe, fineweb, sign_documents"] = max(
        count_per_second(lambda: sign_documents(frame, PRESETS["fineweb"]), len(texts)) for _ in range(TIMES)
    )
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer documents")
    arguments.add_argument("--texts", help="real texts instead of generated ones: FILE.jsonl.gz:FIELD")
    options = arguments.parse_args()
    cores = pin_cores(1)
    texts = read_texts(options.texts) if options.texts else write_texts(500 if options.quick else 3000)
    slow = 60 if options.quick else min(300, len(texts))
    with tempfile.TemporaryDirectory(prefix="mmpipe-bench-") as folder:
        shared = Path(folder) / "texts.json"
        shared.write_text(json.dumps(texts))
        peers: dict[str, Any] = run_side(find_peer_python(), PEER_SIDE, "speed", str(shared), str(slow), folder)
    rates = measure_ours(texts) | peers
    ours = rates["mmpipe, fineweb"]
    print_table(
        ["side", "documents per CPU second", "times datatrove", "times datasketch", "times rensa"],
        [[name, f"{rate:.0f}", *(f"{rate / peers[peer]:.1f}" for peer in peers)] for name, rate in rates.items()],
    )
    print_result(
        "minhash_signatures",
        ours,
        peers["datatrove"],
        "documents per CPU second, fineweb preset, text to band keys",
        f"{len(texts)} {'real' if options.texts else 'generated'} texts of {sum(map(len, texts)) // len(texts)} "
        f"characters on average; datatrove and datasketch on {slow} of them",
        cores,
        rates={name: round(rate, 1) for name, rate in rates.items()},
    )


if __name__ == "__main__":
    main()
