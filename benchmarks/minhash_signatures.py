"""Documents signed per second by mmpipe and by datasketch, same texts, same permutations, same cores.

    python benchmarks/minhash_signatures.py [--quick] [--cores 0]

Both sides go from text to a MinHash signature of word 5-grams. datasketch is given the fastest settings it has for
this: batched updates, one prototype copied per document, and xxh32 instead of its default SHA-1. Ours also computes
the exact hash and the band keys. Seconds are CPU seconds; compilation and permutation tables are made beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable

import datasketch
import polars as pl
import xxhash

from mmpipe.deduplication.minhash import MinHashSettings, sign_documents

SHAPES = ((14, 8), (450, 20))  # FineWeb's; RefinedWeb's, which is the one reported


def write_texts(count: int) -> list[str]:
    """Return texts of about 750 words (4.6 thousand characters, the mean of real article bodies), Zipf-like words."""
    chooser = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(chooser.choices(letters, range(26, 0, -1), k=chooser.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    return [" ".join(chooser.choices(vocabulary, weights, k=chooser.randint(300, 1200))) for _ in range(count)]


def sign_with_datasketch(texts: list[str], bands: int, rows: int) -> None:
    def list_shingles(text: str) -> list[bytes]:
        words = text.lower().split()
        return [" ".join(words[first : first + 5]).encode() for first in range(max(1, len(words) - 4))]

    shingled = (list_shingles(text) for text in texts)
    for _ in datasketch.MinHash.generator(shingled, num_perm=bands * rows, hashfunc=xxhash.xxh32_intdigest):
        pass


def count_per_second(work: Callable[[], object], documents: int) -> float:
    begin = time.process_time()
    work()
    return documents / (time.process_time() - begin)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer documents; ends within 50 seconds")
    arguments.add_argument("--cores", type=int, nargs="+", help="cores to pin both sides to (default: the last one)")
    options = arguments.parse_args()
    cores = options.cores or [max(os.sched_getaffinity(0))]
    os.sched_setaffinity(0, cores)

    texts = write_texts(400 if options.quick else 3000)
    frame = pl.DataFrame({"doc_id": [str(i) for i in range(len(texts))], "text": texts}).with_columns(
        pl.lit("bench").alias("dump"), pl.lit(None, dtype=pl.String).alias("date")
    )
    for bands, rows in SHAPES:
        settings = MinHashSettings(bands=bands, rows=rows)
        sign_documents(frame.head(2), settings)
        peer_texts = texts if bands * rows < 1000 else texts[: len(texts) // 4]  # its seconds grow with the hashes
        sign_with_datasketch(texts[:2], bands, rows)
        ours = count_per_second(lambda settings=settings: sign_documents(frame, settings), len(texts))
        peer = count_per_second(
            lambda taken=peer_texts, shape=(bands, rows): sign_with_datasketch(taken, *shape), len(peer_texts)
        )
        characters = sum(map(len, texts)) // len(texts)
        print(
            json.dumps(
                {
                    "name": f"minhash_signatures_{bands}x{rows}",
                    "ours": round(ours, 1),
                    "peer": round(peer, 1),
                    "unit": "documents per CPU second",
                    "ratio": round(ours / peer, 2),
                    "input": f"{len(texts)} generated texts, {characters} characters on average; peer: datasketch "
                    f"{datasketch.__version__} on {len(peer_texts)} of them",
                    "cores": cores,
                }
            )
        )


if __name__ == "__main__":
    main()
