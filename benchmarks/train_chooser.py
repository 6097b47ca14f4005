"""Trains the block model of the extractor `chooser` from pages with gold text, and reports it on pages never seen.

Run with the peers' interpreter: .venv-bench/bin/python benchmarks/train_chooser.py [--folds FOLDER] [--ship].
It reads the shared data folder (MMPIPE_SHARED_DATA, or ../shared/data beside the clone).

1. A page's blocks are read as the product reads them. A block's label is the share of its words that an alignment with
   the gold text hits (longest common subsequence with a bonus for runs), or that stand in a word 4-gram of it. Pages
   without gold are labelled by trafilatura's text and weigh a fifth.
2. Gradient boosted trees (LightGBM, cross-entropy on the shares) learn the labels; a block weighs as much as its words
   matter to the page's F1.
3. Five folds by registered domain: each fold's pages are scored by a model that saw no page of their domains. --folds
   keeps these five models and the list of which page is in which fold, for benchmarks/extraction.py.
4. --ship trains on all pages and writes mmpipe/extraction/chooser.npz.

The limits of the choice (0.6, 0.9), the trees and their leaves are round numbers, set after a few looks at such folds:
expect the held-out figures to be a little too good.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numba
import numpy as np
from extraction import read_real_pages, score, split_words
from numpy.typing import NDArray
from train_folds import FOLDS, find_fold

from mmpipe.extraction.block_features import FEATURES, measure_blocks
from mmpipe.extraction.block_text import write_blocks
from mmpipe.extraction.chooser import MODEL_FILE, arrange_trees, choose_page_blocks, load_model
from mmpipe.extraction.html_blocks import read_blocks
from mmpipe.extraction.html_runs import END, START
from mmpipe.extraction.html_vocabulary import load_vocabulary

TREES, LEAVES, RATE = 300, 24, 0.03
CAUTIOUS_LIMIT, LEAST_SHARE = 0.6, 0.9
#: How far a gold text can be trusted: written by people or a site's own parser, or the output of another extractor.
TRUST = defaultdict(lambda: 1.0, {"scrapinghub-aeb": 1.5, "fundus": 1.5, "newspaper-tests": 0.3})
TRUST_IN_TRAFILATURA = 0.2


@dataclass
class Page:
    row: dict[str, Any]
    html: str
    fold: int
    trust: float
    measures: NDArray[np.float32]
    labels: NDArray[np.float64]
    words: NDArray[np.float64]
    gold_words: int


@numba.njit(cache=False)
def align(page: NDArray[np.int32], gold: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which words of the page the best alignment with the gold words hits; a run's first word counts a tenth."""
    n, m = page.size, gold.size
    best = np.zeros(m + 1, np.float32)
    run = np.full(m + 1, -1e9, np.float32)
    steps = np.zeros((n + 1, m + 1), np.uint8)
    for i in range(1, n + 1):
        best_here = np.zeros(m + 1, np.float32)
        run_here = np.full(m + 1, -1e9, np.float32)
        for j in range(1, m + 1):
            step = 1
            goes_on = 0
            if page[i - 1] == gold[j - 1]:
                run_here[j] = max(best[j - 1] + 0.1, run[j - 1] + 1)
                goes_on = 4 * (run[j - 1] + 1 >= best[j - 1] + 0.1)
            value = best[j]
            if best_here[j - 1] > value:
                value = best_here[j - 1]
                step = 2
            if run_here[j] > value:
                value = run_here[j]
                step = 3
            best_here[j] = value
            steps[i, j] = step | goes_on
        best, run = best_here, run_here
    hits = np.zeros(n, np.bool_)
    i, j = n, m
    while i > 0 and j > 0:
        step = steps[i, j] & 3
        if step == 1:
            i -= 1
        elif step == 2:
            j -= 1
        else:
            goes_on = True
            while goes_on:
                goes_on = (steps[i, j] & 4) > 0
                hits[i - 1] = True
                i -= 1
                j -= 1
    return hits


def label_blocks(texts: list[str], gold: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each block's share of words that stand in the gold text, and its words."""
    numbers: dict[str, int] = {}
    wanted = np.array([numbers.setdefault(word, len(numbers)) for word in gold[:40_000]], np.int32)
    owners = []
    found = []
    for position, text in enumerate(texts):
        words = split_words(text)
        found += [numbers.get(word, -1) for word in words]
        owners += [position] * len(words)
    owner, page = np.array(owners[:60_000], int), np.array(found[:60_000], np.int32)
    aligned = align(page, wanted)
    grams = {tuple(wanted[at : at + 4]) for at in range(len(wanted) - 3)}
    repeated = aligned.copy()
    for at in range(len(page) - 3):
        if page[at] >= 0 and owner[at] == owner[at + 3] and tuple(page[at : at + 4]) in grams:
            repeated[at : at + 4] = True
    count = np.bincount(owner, minlength=len(texts)).astype(float)
    hits = np.bincount(owner, weights=aligned, minlength=len(texts))
    most = np.maximum(hits, np.bincount(owner, weights=repeated, minlength=len(texts)))
    return np.where(count >= 8, most, hits) / np.maximum(count, 1), count


def read_pages() -> list[Page]:
    import trafilatura

    pages = []
    for row, html in read_real_pages():
        gold = row["gold_text"] or trafilatura.extract(html, include_comments=False) or ""
        page = np.frombuffer(html.encode("utf-8", "replace"), np.uint8)
        text, blocks, marks, elements, _ = read_blocks(page, load_vocabulary())
        if (len(gold) < 300 and not row["gold_text"]) or not len(blocks):
            continue
        pieces = [text[start:end].tobytes().decode("utf-8", "replace") for start, end in blocks[:, [START, END]]]
        words = split_words(gold)
        labels, counts = label_blocks(pieces, words)
        trust = TRUST[row["source"]] if row["gold_text"] else TRUST_IN_TRAFILATURA
        measures = measure_blocks(blocks, marks, elements, page.size)
        pages.append(Page(row, html, find_fold(row["domain"]), trust, measures, labels, counts, max(len(words), 50)))
    return pages


def train(pages: list[Page]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a model."""
    import lightgbm

    settings = {
        "objective": "cross_entropy", "learning_rate": RATE, "num_leaves": LEAVES, "min_data_in_leaf": 30,
        "feature_fraction": 0.3, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63,
        "min_sum_hessian_in_leaf": 0.1, "force_col_wise": True, "deterministic": True, "seed": 1, "verbose": -1,
        "num_threads": 1,
    }  # fmt: skip
    measures = np.concatenate([page.measures for page in pages])
    weights = np.concatenate(
        [np.minimum(page.words / page.gold_words, 2) ** 0.8 * page.trust + 0.002 for page in pages]
    )
    labels = np.concatenate([page.labels for page in pages])
    data = lightgbm.Dataset(measures, labels, weight=weights / weights.mean())
    booster = lightgbm.train(settings, data, TREES)
    arrays = flatten(booster.dump_model()["tree_info"])
    check_same(booster, arrays, measures[:2000])
    return arrays


def flatten(trees: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Write trees as arrays; a limit rounded down to a float32 changes no comparison with a float32."""
    features: list[int] = []
    limits: list[float] = []
    children: list[int] = []
    values: list[float] = []
    roots = []

    def reserve() -> int:
        features.append(-1)
        limits.append(0.0)
        children.append(0)
        values.append(0.0)
        return len(features) - 1

    def write(at: int, node: dict[str, Any]) -> None:
        if "leaf_value" in node:
            values[at] = node["leaf_value"]
            return
        limit = np.float32(node["threshold"])
        if float(limit) > node["threshold"]:
            limit = np.nextafter(limit, np.float32(-np.inf))
        left, right = reserve(), reserve()
        features[at], limits[at], children[at] = node["split_feature"], float(limit), left
        write(left, node["left_child"])
        write(right, node["right_child"])

    for tree in trees:
        roots.append(reserve())
        write(roots[-1], tree["tree_structure"])
    return {
        "names": np.array(FEATURES), "roots": np.array(roots, np.int32), "features": np.array(features, np.int16),
        "limits": np.array(limits, np.float32), "children": np.array(children, np.int32),
        "values": np.array(values, np.float32), "choice": np.array([CAUTIOUS_LIMIT, LEAST_SHARE]),
    }  # fmt: skip


def check_same(booster: Any, arrays: dict[str, NDArray[Any]], measures: NDArray[np.float32]) -> None:
    from mmpipe.extraction.block_trees import score_blocks

    ours = score_blocks(
        measures, *arrange_trees(*(arrays[name] for name in ("roots", "features", "limits", "children", "values")))
    )
    assert np.allclose(ours, booster.predict(measures), atol=1e-5)


def save(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=Path, help="folder for the models of the five folds")
    parser.add_argument("--ship", action="store_true", help="train on all pages and write the packaged model")
    options = parser.parse_args()
    pages = read_pages()
    if options.folds:
        options.folds.mkdir(parents=True, exist_ok=True)
        scores: dict[str, list[float]] = defaultdict(list)
        for fold in range(FOLDS):
            path = options.folds / f"fold{fold}.npz"
            save(train([page for page in pages if page.fold != fold]), path)
            model = load_model(path)
            for page in pages:
                if page.fold == fold and page.row["gold_text"]:
                    choice = choose_page_blocks(page.html, model)
                    f1 = score(
                        write_blocks(choice.text, choice.blocks, choice.chosen, False, True), page.row["gold_text"]
                    )
                    scores[page.row["source"]].append(f1)
                    if page.row.get("page_type"):
                        scores[f"  {page.row['page_type']}"].append(f1)
        for name, values in sorted(scores.items()):
            print(f"{name:24} {len(values):4} pages, held out: word F1 {np.mean(values):.4f}")
    if options.ship:
        save(train(pages), MODEL_FILE)
        print(f"{MODEL_FILE.name}: {MODEL_FILE.stat().st_size:,} bytes, {len(pages)} pages")


if __name__ == "__main__":
    main()
