"""The peer's side of rouge_pool.py, in its own environment: rouge_score in a process pool.

    python benchmarks/rouge_pool_peer.py INPUT.json

The pool of processes is made once and work is handed out in chunks, which the published loops do not: they make a pool
for every new instruction. Seconds per pair are the workers' CPU seconds divided by their number.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from rouge_score import rouge_scorer

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def score_texts(new: str, other: str) -> float:
    return float(SCORER.score(new, other)["rougeL"].fmeasure)


def score_tokens(new: list[str], other: list[str]) -> float:
    return float(rouge_scorer._score_lcs(new, other).fmeasure)  # noqa: SLF001 - as Alpaca does


def score_pool(score: Any, asked: list[Any], pool: list[Any], processes: int) -> tuple[Any, float]:
    """Return all scores and seconds per pair."""
    begin = os.times()
    with Pool(processes) as workers:
        chunk = max(1, len(pool) // (4 * processes))
        scores = [workers.map(partial(score, new), pool, chunk) for new in asked]
        workers.close()
        workers.join()
    end = os.times()
    spent = end.children_user + end.children_system - begin.children_user - begin.children_system
    return scores, spent / processes / (len(asked) * len(pool))


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    pool, asked, processes = given["pool"], given["asked"], given["processes"]
    tokenize = SCORER._tokenizer.tokenize  # noqa: SLF001 - as Alpaca does
    scores, texts_seconds = score_pool(score_texts, asked, pool, processes)
    tokens = [tokenize(text) for text in pool]
    again, tokens_seconds = score_pool(score_tokens, [tokenize(text) for text in asked], tokens, processes)
    assert again == scores
    kept: list[list[str]] = []
    stays = []
    for text in given["greedy"]:
        new = tokenize(text)
        stays.append(max((score_tokens(new, other) for other in kept), default=0.0) <= 0.7)
        if stays[-1]:
            kept.append(new)
    figures = {"texts_seconds": texts_seconds, "tokens_seconds": tokens_seconds, "pairs": len(asked) * len(pool)}
    print(json.dumps({"scores": scores, "stays": stays, **figures}))


if __name__ == "__main__":
    main()
