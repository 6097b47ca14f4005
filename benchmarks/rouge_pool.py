"""Keeps 20,000 instructions apart by ROUGE-L: ours beside rouge_score in a process pool, as Self-Instruct runs it.

    python benchmarks/rouge_pool.py [--quick] [--instructions N]

Ours decides all of them, in one thread. The peer would take hours: it scores a sample of new instructions against a
pool, with one process per core, and its time per pair is multiplied by the pairs that the published loop compares (each
new instruction with all that stay before it). Its time is the CPU seconds of its workers divided by their number: what
the pool would take at best, alone on the machine. It runs in two ways: `scorer.score` on texts, as Self-Instruct does,
and `_score_lcs` on tokens made once, as Alpaca does; the ratio is to the faster. Every score of the sample must be ours
to the last bit, and a greedy run of the peer over the first instructions must decide as ours.

The instructions are drawn word by word from a fixed seed: each word follows one that it followed in the 427 written by
people for Self-Instruct where the shared data is there, else in a few of our own; one in four is an earlier one with a
word replaced, inserted or left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

from mmpipe.deduplication.rouge_pool import RougePool

LISTS = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "lists"
OWN = (
    "Write a short story about a child who finds a key in the garden.",
    "Explain in three sentences how a sailing boat can move against the wind.",
    "Give me a list of five questions that a teacher could ask about the given poem.",
    "Sort the following words by the number of letters and explain the order.",
    "Find a title for the given article that tells what it is about in five words.",
    "Suggest a way to save water in a large house with a garden and a pool.",
)


def read_examples() -> list[str]:
    texts = list(OWN)
    for name in ("self-instruct-seed_tasks.jsonl", "self-instruct-user_oriented_instructions.jsonl"):
        if (LISTS / name).is_file():
            texts += [json.loads(line)["instruction"] for line in (LISTS / name).read_text("utf-8").splitlines()]
    return texts


def write_instructions(count: int) -> list[str]:
    draw = random.Random(20_000)
    followers: dict[str, list[str]] = {}
    for text in read_examples():
        words = ["", *text.split(), ""]
        for one, other in pairwise(words):
            followers.setdefault(one, []).append(other)
    known = sorted(followers)
    texts: list[str] = []
    while len(texts) < count:
        if texts and draw.random() < 0.25:
            words = draw.choice(texts).split()
            place, change = draw.randrange(len(words)), draw.randrange(3)
            words[place : place + (change != 1)] = [draw.choice(known)] if change != 2 else []
        else:
            words, word = [], draw.choice(followers[""])
            while word and len(words) < 60:
                words.append(word)
                word = draw.choice(followers[word])
        if len(words) > 3:
            texts.append(" ".join(words))
    return texts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="4,000 instructions and a small sample")
    options.add_argument("--instructions", type=int, default=20_000)
    given = options.parse_args()
    count, sampled, pool_size, greedy = given.instructions, 32, 3000, 500
    if given.quick:
        count, sampled, pool_size, greedy = min(count, 4000), 8, 800, 200
    cores = pin_cores(4)
    texts = write_instructions(count)
    names = [str(place) for place in range(count)]
    RougePool().add_all(texts[:50], names[:50])  # compiled or loaded
    pool = RougePool()
    wall, cpu = time.perf_counter(), time.process_time()
    decisions = pool.add_all(texts, names)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kept = [place for place, decision in enumerate(decisions) if decision is None]
    pairs, stays = 0, 0
    for decision in decisions:
        pairs += stays
        stays += decision is None

    held = RougePool(most_similar=pool_size)
    for place in kept[:pool_size]:
        held.add(texts[place], str(place))
    asked = texts[-sampled:]
    scores = []
    for text in asked:
        found = {similar.name: similar.score for similar in held.measure(text).most_similar}
        scores.append([found[name] for name in held.names])
    begin = time.process_time()
    for text in asked:
        pool.measure(text)
    measured = (time.process_time() - begin) / (len(asked) * len(pool))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input.json"
        pool_texts = [texts[place] for place in kept[:pool_size]]
        file.write_text(
            json.dumps({"pool": pool_texts, "asked": asked, "greedy": texts[:greedy], "processes": len(cores)})
        )
        peer = run_side(find_peer_python(), Path(__file__).parent / "rouge_pool_peer.py", str(file))
    is_exact = peer["scores"] == scores and peer["stays"] == [decision is None for decision in decisions[:greedy]]
    slowest, fastest = peer["texts_seconds"], peer["tokens_seconds"]
    print_table(
        ["", "ns per pair", f"seconds for {pairs:,} pairs", "measured on"],
        [
            ["mmpipe add_all, 1 thread (CPU)", 1e9 * cpu / pairs, cpu, "all"],
            ["mmpipe measure: every score, 10 best, mean", 1e9 * measured, measured * pairs, f"{sampled} texts"],
            [
                "rouge_score texts, 4 processes",
                1e9 * slowest,
                slowest * pairs,
                f"{peer['pairs']:,} pairs, extrapolated",
            ],
            [
                "rouge_score tokens, 4 processes",
                1e9 * fastest,
                fastest * pairs,
                f"{peer['pairs']:,} pairs, extrapolated",
            ],
        ],
    )
    print(f"kept {len(kept):,} of {count:,}; {pool.compared:,} pairs compared in full; same scores: {is_exact}")
    if not is_exact:
        raise SystemExit("The scores or the decisions differ from rouge_score's.")
    print_result(
        "rouge_pool",
        1 / cpu,
        1 / (fastest * pairs),
        "passes per second",
        f"{count} instructions, {len(kept)} stay, {pairs} pairs; peer extrapolated from {peer['pairs']} pairs",
        cores,
        seconds=round(cpu, 3),
        wall_seconds=round(wall, 3),
        peer_seconds=round(fastest * pairs, 1),
        ratio_to_self_instruct=round(slowest * pairs / cpu, 1),
        exact=is_exact,
    )


if __name__ == "__main__":
    main()
