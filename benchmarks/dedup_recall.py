"""Recall of each preset on planted near-duplicates against its curve, and precision after verification.

    python benchmarks/dedup_recall.py [--quick] [--pairs 10000]

The two texts of a pair begin alike and end differently, and no other shingle is repeated, so that the Jaccard of their
shingles is exactly 0.50, 0.55, ... 0.95; it is measured again here. Recall is the share of pairs that share a band
key; theory is 1 - (1 - s^rows)^bands. Precision is the share of compared pairs of all texts, of one pair or not, whose
Jaccard is at least 0.8: without verification and with it. `recall 0.99 at 0.8` is a budget of 9,000 permutations
spent by `choose_bands`. The peer is datatrove's own signature step on the pairs of Jaccard 0.8.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from side_by_side import find_peer_python, pin_cores, print_result, print_table, run_side

from mmpipe.deduplication.minhash import MinHashSettings, compute_band_keys
from mmpipe.deduplication.minhash_parameters import choose_bands, compute_recall
from mmpipe.deduplication.minhash_presets import PRESETS
from mmpipe.deduplication.verification import measure_similarities

PEER_SIDE = Path(__file__).with_name("minhash_peer.py")
LEVELS = range(10, 20)  # twentieths: Jaccard 0.50 to 0.95
LIMIT = 0.8
MOST_DEVIATION = 0.02
WORD_LETTERS = 7  # random words of so many letters are no contractions, which spaCy would cut
SHOWN = ("refinedweb", "fineweb", "datatrove", "nemo", "dclm", "redpajama2_0.7", "redpajama2_0.8", "redpajama2_0.9")


def write_words(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return (words, 8): the letters of each number in base 26, and a space."""
    spelled = np.full((len(numbers), WORD_LETTERS + 1), ord(" "), dtype=np.uint8)
    for place in range(WORD_LETTERS):
        spelled[:, place] = ord("a") + (numbers // 26**place) % 26
    return spelled


def write_pairs(settings: MinHashSettings, twentieths: int, pairs: int, seed: int) -> list[str]:
    """Return the texts of pairs of Jaccard twentieths / 20, one beside the other."""
    shared, ends = 20 * twentieths, 10 * (20 - twentieths)  # J = shared / (shared + 2 * ends)
    size = settings.shingling.size
    units = shared + size - 1 + 2 * ends
    chooser = np.random.default_rng([seed, twentieths])
    if settings.shingling.unit == "characters":
        letters = chooser.integers(ord("a"), ord("z") + 1, (pairs, units), dtype=np.uint8)
        # ends must differ from their first letter on, or the beginnings would be longer than planned
        first_end = letters[:, shared + size - 1]
        letters[:, shared + size - 1 + ends] = ord("a") + (first_end - ord("a") + 1) % 26
        rows, width = letters, 1
    else:
        # a step that shares no factor with the number of words visits each once: none is repeated
        first = int(chooser.integers(26**WORD_LETTERS))
        numbers = (first + 1_000_003 * np.arange(pairs * units, dtype=np.int64)) % 26**WORD_LETTERS
        rows, width = write_words(numbers).reshape(pairs, -1), WORD_LETTERS + 1
    common = (shared + size - 1) * width
    end = ends * width
    texts = []
    for row in rows:
        beginning = row[:common].tobytes()
        texts += [(beginning + row[common + at : common + at + end].tobytes()).decode() for at in (0, end)]
    return texts


def list_candidates(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct pairs of texts that share a band key, all of them: the simplest search there is."""
    codes = [np.empty(0, dtype=np.int64)]
    for band in keys.T:
        order = np.argsort(band, kind="stable")
        sorted_keys = band[order]
        for distance in range(1, len(order)):
            same = np.flatnonzero(sorted_keys[distance:] == sorted_keys[:-distance])
            if not len(same):
                break
            one, other = order[same], order[same + distance]
            codes.append(np.minimum(one, other) * len(keys) + np.maximum(one, other))
    found = np.unique(np.concatenate(codes))
    return found // len(keys), found % len(keys)


def measure(name: str, settings: MinHashSettings, pairs: int) -> tuple[list[list[object]], list[object], float]:
    """Return a row of recall per Jaccard, a row of precision, and the recall at the limit."""
    rows: list[list[object]] = []
    texts: list[str] = []
    keys = []
    evens = np.arange(0, 2 * pairs, 2)
    at_limit = math.nan
    for twentieths in LEVELS:
        planted = write_pairs(settings, twentieths, pairs, seed=len(rows))
        ids = pl.Series([str(number) for number in range(len(planted))])
        frame = pl.DataFrame({"doc_id": ids, "text": planted})
        checked = evens[:200]
        exact = measure_similarities(ids, checked, checked + 1, frame, settings.shingling)
        assert np.allclose(exact, twentieths / 20, atol=0.001), (name, twentieths, exact.min(), exact.max())
        signed, _ = compute_band_keys(planted, settings)
        recall = float((signed[evens] == signed[evens + 1]).any(axis=1).mean())
        theory = compute_recall(twentieths / 20, settings.bands, settings.rows)
        at_limit = recall if twentieths / 20 == LIMIT else at_limit
        rows.append([name, twentieths / 20, theory, recall, recall - theory])
        few = 2 * min(pairs, 2000)
        texts += planted[:few]
        keys.append(signed[:few])
    left, right = list_candidates(np.concatenate(keys))
    ids = pl.Series([str(number) for number in range(len(texts))])
    frame = pl.DataFrame({"doc_id": ids, "text": texts})
    similarities = measure_similarities(ids, left, right, lambda wanted: read(frame, wanted), settings.shingling)
    per_level = len(texts) // len(LEVELS)
    # what is planted alike: the two texts of a pair, at a level from the limit on
    is_true = (left // 2 == right // 2) & (np.array(LEVELS)[left // per_level] / 20 >= LIMIT)
    kept = similarities >= LIMIT
    return (
        rows,
        [name, len(left), float(is_true.mean()), int(kept.sum()), float(is_true[kept].mean()) if kept.any() else 1.0],
        at_limit,
    )


def read(frame: pl.DataFrame, wanted: list[str]) -> dict[str, str]:
    texts = frame.get_column("text")
    return {doc_id: texts[int(doc_id)] for doc_id in wanted}


def measure_datatrove(pairs: int) -> float:
    """Return the recall of datatrove's own signatures at the limit."""
    with tempfile.TemporaryDirectory(prefix="mmpipe-bench-") as folder:
        shared = Path(folder) / "texts.json"
        shared.write_text(json.dumps(write_pairs(PRESETS["datatrove"], round(20 * LIMIT), pairs, seed=6)))
        matched = run_side(find_peer_python(), PEER_SIDE, "recall", str(shared), folder)["is_matched"]
    return sum(matched) / len(matched)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="2,000 pairs of each Jaccard")
    arguments.add_argument("--pairs", type=int, default=10_000, help="pairs of each Jaccard")
    options = arguments.parse_args()
    cores = pin_cores(1)
    pairs = 2_000 if options.quick else options.pairs
    chosen = choose_bands(0.99, LIMIT, 9_000)
    presets = {name: PRESETS[name] for name in SHOWN}
    presets["recall 0.99 at 0.8"] = replace(PRESETS["refinedweb"], bands=chosen.bands, rows=chosen.rows)
    recalls, precisions, at_limit = [], [], 0.0
    for name, settings in presets.items():
        rows, precision, at_limit = measure(f"{name} {settings.bands}x{settings.rows}", settings, pairs)
        recalls += rows
        precisions.append(precision)
    print_table(["preset", "jaccard", "theory", "recall", "difference"], recalls)
    print()
    print_table(["preset", "compared", "precision unverified", "verified", "precision verified"], precisions)
    deviation = max(abs(float(str(row[4]))) for row in recalls)
    precision = min(float(str(row[4])) for row in precisions)
    peer_pairs = 500 if options.quick else 2_000
    print_result(
        "dedup_recall",
        at_limit,
        measure_datatrove(peer_pairs),
        f"recall at Jaccard {LIMIT} (ours: {chosen.bands}x{chosen.rows}, chosen for 0.99; peer: datatrove, 14x8)",
        f"{pairs} planted pairs at each of {len(LEVELS)} similarities and {len(presets)} settings; peer: {peer_pairs}",
        cores,
        largest_deviation_from_theory=round(deviation, 4),
        is_within_two_points=deviation <= MOST_DEVIATION,
        verified_precision=precision,
    )


if __name__ == "__main__":
    main()
