"""Pairs of 64-bit hashes within a radius: all of a million hashes, beside a BK-tree asked for a sample of them.

A BK-tree (pybktree; imagededup searches by one too) is built of the same hashes, and asked for some of them; what a
join would take it is what a query takes, times the hashes. Ours joins them all. Both answers for the sample are held to
brute force. CPU seconds of one core, so that other work on the machine counts little.

    python benchmarks/radius_join.py [--quick] [--count N] [--radii 4 8 10 12]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import ROOT, pin_cores, print_result, print_table, run_side

IMAGE_PEERS = ROOT / ".venv-bench-images" / "bin" / "python"
_PEER = Path(__file__).with_name("radius_join_peer.py")


def make_hashes(count: int) -> np.ndarray:
    """Return distinct hashes: most at random, a tenth of them one to ten bits from another."""
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    near = rng.permutation(count)[: count // 10]
    for _ in range(10):
        flips = np.uint64(1) << rng.integers(0, 64, len(near)).astype(np.uint64)
        hashes[near] = hashes[(near + 1) % count] ^ flips if _ == 0 else hashes[near] ^ np.where(
            rng.random(len(near)) < 0.5, flips, np.uint64(0)
        )  # fmt: skip
    return rng.permutation(np.unique(hashes))


def join(folder: Path, radius: int) -> dict[str, Any]:
    """Join all hashes and return the pairs of the sampled ones."""
    from mmpipe.deduplication.hamming_join import find_near_pairs, plan_bands

    hashes, sample = np.load(folder / "hashes.npy"), np.load(folder / "sample.npy")
    list(find_near_pairs(hashes[:5000], radius))  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    parts = [np.stack([part.left, part.right]) for part in find_near_pairs(hashes, radius)]
    seconds = time.process_time() - started
    pairs = np.concatenate(parts, axis=1) if parts else np.empty((2, 0), dtype=np.int64)
    near = np.concatenate([pairs, pairs[::-1]], axis=1)
    found = {int(row): sorted(near[1][near[0] == row].tolist()) for row in sample}
    return {
        "seconds": seconds,
        "pairs": pairs.shape[1],
        "bands": str(plan_bands(len(hashes), len(hashes), radius, is_bulk=True)),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "found": found,
    }


def main() -> None:
    """Run both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the hashes and few queries")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--radii", type=int, nargs="+", default=[4, 8, 10, 12])
    parser.add_argument("--queries", type=int, default=20, help="asked of the BK-tree, for each radius")
    parser.add_argument("--side", nargs=2, metavar=("FOLDER", "RADIUS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(join(Path(arguments.side[0]), int(arguments.side[1]))))
        return
    if not IMAGE_PEERS.is_file():
        sys.exit("The image lane's peers are not installed: see the Makefile.")
    if arguments.quick:
        arguments.count, arguments.queries, arguments.radii = 100_000, 10, [10]
    cores = pin_cores(1)
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hashes = make_hashes(arguments.count)
        sample = np.arange(0, len(hashes), max(1, len(hashes) // arguments.queries))[: arguments.queries]
        np.save(folder / "hashes.npy", hashes)
        np.save(folder / "sample.npy", sample)
        peer = run_side(str(IMAGE_PEERS), _PEER, str(folder), *map(str, arguments.radii))
        for radius in arguments.radii:
            ours = run_side(sys.executable, Path(__file__), "--side", str(folder), str(radius))
            theirs = peer["radii"][str(radius)]
            for row in sample.tolist():
                brute = np.flatnonzero(np.bitwise_count(hashes ^ hashes[row]) <= radius)
                expected = sorted(set(brute.tolist()) - {row})
                if ours["found"][str(row)] != expected or theirs["found"][str(row)] != expected:
                    sys.exit(f"radius {radius}: the pairs of row {row} are not those of brute force")
            whole = peer["build_seconds"] + theirs["seconds"] / len(sample) * len(hashes)
            ratios[radius] = (ours["seconds"], whole)
            rows.append(
                [radius, ours["pairs"], ours["seconds"], int(ours["megabytes"]), theirs["seconds"] / len(sample), whole,
                 f"{whole / ours['seconds']:,.0f}", ours["bands"]]
            )  # fmt: skip
    print_table(["bits", "pairs", "ours s", "ours MB", "BK-tree s/query", "BK-tree s for all", "times", "bands"], rows)
    print(
        f"BK-tree: built in {peer['build_seconds']:.1f} s, {peer['megabytes']:.0f} MB; {len(sample)} queries a radius"
    )
    shown = 10 if 10 in ratios else arguments.radii[0]
    ours_rate, peers_rate = (len(hashes) / seconds for seconds in ratios[shown])
    data = f"{len(hashes)} hashes at {shown} bits"
    print_result("radius_join", ours_rate, peers_rate, "hashes joined per CPU s", data, cores)


if __name__ == "__main__":
    main()
