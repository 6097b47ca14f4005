"""The peer's side of `radius_join.py`: pybktree built of the hashes and asked for a sample of them."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pybktree


def main() -> None:
    """Print seconds, memory and the rows found, as JSON."""
    folder, radii = Path(sys.argv[1]), [int(value) for value in sys.argv[2:]]
    values, sample = np.load(folder / "hashes.npy").tolist(), np.load(folder / "sample.npy").tolist()
    row_of = {value: row for row, value in enumerate(values)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    tree = pybktree.BKTree(pybktree.hamming_distance, values)
    built = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = {}
    for radius in radii:
        started = time.process_time()
        answers = [tree.find(values[row], radius) for row in sample]
        seconds = time.process_time() - started
        found[radius] = {
            "seconds": seconds,
            "found": {
                row: sorted(row_of[value] for _, value in answer if value != values[row])
                for row, answer in zip(sample, answers, strict=True)
            },
        }
    print(json.dumps({"build_seconds": built, "megabytes": grown, "radii": found}))


if __name__ == "__main__":
    main()
