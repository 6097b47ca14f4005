"""The peers' side of query_balancing.py, in their own environment: substring tests and two Aho–Corasick libraries.

    python benchmarks/query_balancing_peer.py SIDE ENTRIES_AND_CAPTIONS.json

SIDE is `naive` (a plain substring test of every entry, on the first captions), `pyahocorasick` or `ahocorasick_rs`
(what their matches cost from prepared texts, each entry once a text: no preparation, no counts, no draws).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

PUNCTUATION = re.compile("([,.;:?!`])")
NAIVE_CAPTIONS = 100


def prepare(text: str) -> str:
    return " ".join(PUNCTUATION.sub(r" \1 ", text).split())


def read_private_mebibytes() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def open_naive(entries: list[str]) -> Callable[[str], set[int]]:
    return lambda text: {number for number, entry in enumerate(entries) if entry in text}


def open_pyahocorasick(entries: list[str]) -> Callable[[str], set[int]]:
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for number, entry in enumerate(entries):
        automaton.add_word(entry, number)
    automaton.make_automaton()
    return lambda text: {number for _, number in automaton.iter(text)}


def open_ahocorasick_rs(entries: list[str]) -> Callable[[str], set[int]]:
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick(entries)
    return lambda text: {number for number, _, _ in automaton.find_matches_as_indexes(text, overlapping=True)}


SIDES = {"naive": open_naive, "pyahocorasick": open_pyahocorasick, "ahocorasick_rs": open_ahocorasick_rs}


def main() -> None:
    side, file = sys.argv[1], Path(sys.argv[2])
    entries, captions = json.loads(file.read_text(encoding="utf-8"))
    entries = list(dict.fromkeys(f" {prepare(entry)} " for entry in entries))
    texts = [f" {prepare(caption)} " for caption in captions[: NAIVE_CAPTIONS if side == "naive" else None]]
    before, begin = read_private_mebibytes(), time.process_time()
    find = SIDES[side](entries)
    opened, memory = time.process_time() - begin, read_private_mebibytes() - before
    begin = time.process_time()
    found = [find(text) for text in texts]
    seconds = time.process_time() - begin
    named = [sorted(entries[number] for number in numbers) for numbers in found[:NAIVE_CAPTIONS]]
    file.with_name(f"{side}.json").write_text(json.dumps(named), encoding="utf-8")
    matches = sum(map(len, found))
    print(json.dumps({"rate": len(texts) / seconds, "open": opened, "memory": memory, "matches": matches / len(texts)}))


if __name__ == "__main__":
    main()
