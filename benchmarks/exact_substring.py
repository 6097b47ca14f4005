"""Exact substrings against a suffix array of the same bytes: spans, CPU seconds and peak memory.

    python benchmarks/exact_substring.py [--megabytes 50] [--length 100]

Both sides search the same documents on one core: real texts (`web/gold.jsonl.gz`), written again and again with words
exchanged, so that repeats of every length stand beside text that stands once, until there is enough. The peer is a
suffix array and its longest common prefixes (pydivsufsort), the method of Lee et al.; each side runs in a process of
its own that measures its CPU seconds and `ru_maxrss`. Ours writes the spans; the peer marks the units that a repeat
covers, the least that any use of it needs. Which bytes repeats cover is compared byte by byte (`keep: none`).
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
from pathlib import Path
from typing import Any

from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

TEXTS = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web" / "gold.jsonl.gz"
#: Of a copy, the words that are exchanged: from few, so that most of it repeats, to so many that nothing does.
SHARES = (0.002, 0.01, 0.03, 0.08, 0.15, 0.3, 0.3, 0.3, 0.3, 0.3)


def write_corpus(folder: Path, size: int) -> None:
    """Write `bytes` (documents, each behind a byte that no text has) and `starts` of a corpus of `size` bytes."""
    import numpy as np

    with gzip.open(TEXTS, "rt", encoding="utf-8") as file:
        texts = [
            words for words in ((json.loads(line)["gold_text"] or "").split(" ") for line in file) if len(words) > 1
        ]
    chance = random.Random(0)
    vocabulary = sorted({word for words in texts for word in words if word.isalpha()})
    starts, at = [], 0
    with (folder / "bytes").open("wb") as out:
        copy = 0
        while at < size:
            for number, words in enumerate(texts):
                if at >= size:
                    break
                share = SHARES[(number + copy) % len(SHARES)] if copy else 0.0
                changed = list(words)
                for _ in range(int(share * len(words)) + (chance.random() < share * len(words) % 1)):
                    changed[chance.randrange(len(words))] = f"{chance.choice(vocabulary)}{chance.randrange(100)}"
                encoded = " ".join(changed).encode()
                starts.append(at + 1)
                at += out.write(b"\xff" + encoded)
            copy += 1
    np.save(folder / "starts.npy", np.array([*starts, at + 1], dtype=np.int64))


def measure(begin: float) -> dict[str, Any]:
    """Return what this process used; `begin` is its process time before the search."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.process_time() - begin, "mebibytes": peak}


def run_ours(folder: Path, length: int, memory: int) -> dict[str, Any]:
    """Search for repeats, and lay what they cover beside the peer's."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import polars as pl

    from mmpipe.deduplication.substring import find_repeats
    from mmpipe.deduplication.substring_settings import SubstringSettings

    starts = np.load(folder / "starts.npy")

    def read_batches(most: int) -> Any:
        with (folder / "bytes").open("rb") as file:
            for begin in range(0, most, 1000):
                edges = starts[begin : min(begin + 1000, most) + 1]
                stored = file.read(int(edges[-1] - edges[0]))
                pieces = [
                    stored[one - edges[0] + 1 : other - edges[0]].decode()
                    for one, other in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
                ]
                numbers = range(begin, begin + len(pieces))
                yield pl.DataFrame({"doc_id": [f"{n:09d}" for n in numbers], "rank": list(numbers), "text": pieces})

    def search(most: int, keep: Any) -> Any:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            settings = SubstringSettings(least_length=length, keep=keep)
            return find_repeats(read_batches(most), settings, scratch=Path(scratch), memory_bytes=memory)

    search(20, "first")  # loads the compiled loops
    begin = time.process_time()
    spans = search(len(starts) - 1, "first")
    used = measure(begin)
    np.save(folder / "cut.npy", np.array([spans.height, spans["length"].sum()]))
    spans = search(len(starts) - 1, "none")
    spans.select("doc_id", "start", "end").write_parquet(folder / "spans.parquet")
    return used | {"spans": spans.height}


def run_peer(folder: Path, length: int) -> dict[str, Any]:
    """Mark the bytes that a window covers which stands twice: by suffix array and longest common prefixes."""
    import numba
    import numpy as np
    from pydivsufsort import divsufsort, kasai

    @numba.njit
    def mark(suffixes: Any, shared: Any, is_inside: Any, length: int) -> Any:
        is_repeat = np.zeros(len(suffixes), dtype=np.bool_)
        for index in range(len(suffixes) - 1):
            if shared[index] >= length:
                one, other = suffixes[index], suffixes[index + 1]
                if is_inside[one]:  # then so is the other, whose units are the same
                    is_repeat[one] = True
                    is_repeat[other] = True
        covered = np.zeros(len(suffixes), dtype=np.bool_)
        reach = 0
        for place in range(len(suffixes)):
            if is_repeat[place]:
                reach = place + length
            covered[place] = place < reach
        return covered

    units = np.fromfile(folder / "bytes", dtype=np.uint8)
    starts = np.load(folder / "starts.npy")
    small = units[:1000].copy()
    mark(divsufsort(small), kasai(small, divsufsort(small)), np.ones(1000, dtype=np.bool_), length)
    begin = time.process_time()
    suffixes = divsufsort(units)
    shared = kasai(units, suffixes)
    # every document is behind a byte of its own kind, so that a window holds none where it ends before the next
    is_inside = np.ones(len(units), dtype=np.bool_)
    for edge in np.concatenate([starts - 1, [len(units)]]).tolist():
        is_inside[max(0, edge - length + 1) : edge + 1] = False
    covered = mark(suffixes, shared, is_inside, length)
    used = measure(begin)
    np.save(folder / "covered.npy", covered)
    return used | {"covered": int(covered.sum())}


def compare(folder: Path) -> tuple[int, int]:
    """Return how many bytes the peer's repeats cover, and how many characters' bytes differ from our spans."""
    import numpy as np
    import polars as pl

    units = np.fromfile(folder / "bytes", dtype=np.uint8)
    starts = np.load(folder / "starts.npy")
    covered = np.load(folder / "covered.npy")
    ours = np.zeros(len(units), dtype=np.bool_)
    spans = pl.read_parquet(folder / "spans.parquet").with_columns(pl.col("doc_id").cast(pl.Int64))
    # characters to bytes, over the whole corpus at once: the document's separator counts as a character
    leads = np.flatnonzero((units & 0xC0) != 0x80)
    first_character = np.searchsorted(leads, starts)
    owners = spans["doc_id"].to_numpy()
    begins = leads[first_character[owners] + spans["start"].to_numpy()]
    ends = np.append(leads, len(units))[first_character[owners] + spans["end"].to_numpy()]
    steps = np.zeros(len(units) + 1, dtype=np.int8)
    np.add.at(steps, begins, 1)
    np.add.at(steps, ends, -1)
    ours = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
    # what a repeat covers of a character, but not the whole of it, is not cut
    characters = np.cumsum((units & 0xC0) != 0x80) - 1
    whole = np.bincount(characters, weights=covered) == np.bincount(characters)
    return int(covered.sum()), int((ours != whole[characters]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 MB")
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--memory-megabytes", type=int, default=256, help="the knob of ours")
    parser.add_argument("--side", choices=["ours", "peer"])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.side == "ours":
        print(json.dumps(run_ours(asked.folder, asked.length, asked.memory_megabytes << 20)))
        return
    if asked.side == "peer":
        print(json.dumps(run_peer(asked.folder, asked.length)))
        return
    cores = pin_cores(1)
    with tempfile.TemporaryDirectory(prefix="exact-substring-") as made:
        folder = Path(made)
        write_corpus(folder, 5_000_000 if asked.quick else asked.megabytes * 1_000_000)
        arguments = ("--length", str(asked.length), "--folder", made)
        memory = ("--memory-megabytes", str(asked.memory_megabytes))
        ours = run_side(sys.executable, Path(__file__), "--side", "ours", *arguments, *memory)
        peer = run_side(find_peer_python(), Path(__file__), "--side", "peer", *arguments)
        covered, differing = compare(folder)
        size = (folder / "bytes").stat().st_size
    rows = [
        ["ours", ours["seconds"], ours["mebibytes"], f"{ours['spans']} spans"],
        ["pydivsufsort", peer["seconds"], peer["mebibytes"], f"{covered / size:.1%} covered"],
    ]
    print_table(["side", "CPU s", "peak MiB", "found"], rows)
    print(f"bytes of characters that differ: {differing}")
    print_result(
        "exact_substring", ours["seconds"], peer["seconds"], "CPU seconds",
        f"{size / 1e6:.0f} MB of real texts with words exchanged, {asked.length} bytes", cores,
        memory_ratio=round(ours["mebibytes"] / peer["mebibytes"], 4), differing_bytes=differing,
        covered_share=round(covered / size, 4),
    )  # fmt: skip
    if differing:
        sys.exit("The spans differ from the suffix array's.")


if __name__ == "__main__":
    main()
