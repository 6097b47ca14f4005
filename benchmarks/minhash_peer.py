"""The peers' side of minhash_signatures.py and dedup_recall.py, in their own environment.

    python benchmarks/minhash_peer.py speed TEXTS.json DOCUMENTS FOLDER
    python benchmarks/minhash_peer.py recall TEXTS.json FOLDER

`speed` prints documents per CPU second from text to signature for the FineWeb shape (112 hashes of word 5-grams). Each
peer runs at the fastest it has: datatrove's own step (xxh64, its default); datasketch's bulk call with one prototype
and xxh32 instead of SHA-1; rensa's matrix of digests from lists of shingles, with one thread. datasketch and rensa are
handed lower-cased words. `recall` prints which pairs of neighbouring texts share a bucket of datatrove's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"

import datasketch
import datatrove.pipeline.dedup.minhash as datatrove_minhash
import rensa
import xxhash

HASHES = 112


def list_shingles(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[first : first + 5]) for first in range(max(1, len(words) - 4))]


def sign_with_datatrove(texts: list[str], step: datatrove_minhash.MinhashDedupSignature) -> None:
    for text in texts:
        step.get_signature(step.get_shingles(text))


def sign_with_datasketch(texts: list[str]) -> None:
    def shingles() -> Iterator[list[bytes]]:
        for text in texts:
            yield [shingle.encode() for shingle in list_shingles(text)]

    for _ in datasketch.MinHash.generator(shingles(), num_perm=HASHES, hashfunc=xxhash.xxh32_intdigest):
        pass


def sign_with_rensa(texts: list[str]) -> None:
    rensa.RMinHash.digest_matrix_from_token_sets([list_shingles(text) for text in texts], HASHES, 1)


def measure(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def open_step(folder: str) -> datatrove_minhash.MinhashDedupSignature:
    step = datatrove_minhash.MinhashDedupSignature(folder)
    # xxhash 4 takes bytes alone, which datatrove 0.10.1 does not give it
    step._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())  # noqa: SLF001
    return step


def measure_speed(texts: list[str], documents: int, folder: str) -> dict[str, float]:
    slow = texts[:documents]
    step = open_step(folder)
    sign_with_datatrove(texts[:2], step)
    return {
        "datatrove": len(slow) / measure(lambda: sign_with_datatrove(slow, step)),
        "datasketch": len(slow) / measure(lambda: sign_with_datasketch(slow)),
        "rensa": len(texts) / measure(lambda: sign_with_rensa(texts)),
    }


def list_matches(texts: list[str], folder: str) -> list[bool]:
    step = open_step(folder)
    signatures = [step.get_signature(step.get_shingles(text)) for text in texts]
    pairs = zip(signatures[::2], signatures[1::2], strict=True)
    return [any(one == other for one, other in zip(*pair, strict=True)) for pair in pairs]


def main() -> None:
    texts = json.loads(Path(sys.argv[2]).read_text())
    if sys.argv[1] == "speed":
        print(json.dumps(measure_speed(texts, int(sys.argv[3]), sys.argv[4])))
    else:
        print(json.dumps({"is_matched": list_matches(texts, sys.argv[3])}))


if __name__ == "__main__":
    main()
