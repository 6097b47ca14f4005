"""TRL's side of packing.py, on our interpreter with the trainers' folder on the path.

    PYTHONPATH=.venv-bench/trainers python benchmarks/packing_peer.py DOCUMENTS.npz LENGTH

Prints sequences, tokens and CPU seconds of each strategy, the best of three runs, without datasets' cache.
"""

from __future__ import annotations

import json
import sys
import time

import datasets
import numpy as np
import pyarrow as pa
from trl import pack_dataset

TIMES = 3


def main() -> None:
    file = np.load(sys.argv[1])
    length = int(sys.argv[2])
    offsets = np.concatenate([[0], np.cumsum(file["lengths"])])
    rows = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(file["ids"]))
    datasets.disable_caching()
    datasets.disable_progress_bars()
    dataset = datasets.Dataset(pa.table({"input_ids": rows}))
    found = {}
    for name, strategy, batch in (
        ("trl bfd (its default), batches of 1,000", "bfd", 1000),
        ("trl bfd_split, batches of 1,000", "bfd_split", 1000),
        ("trl bfd_split, all rows at once", "bfd_split", len(dataset)),
        ("trl wrapped, all rows at once", "wrapped", len(dataset)),
    ):
        seconds = []
        for _ in range(TIMES):
            begin = time.process_time()
            packed = pack_dataset(dataset, length, strategy, map_kwargs={"batch_size": batch, "keep_in_memory": True})
            seconds.append(time.process_time() - begin)
        sizes = pa.compute.list_value_length(packed.data.column("input_ids"))
        found[name] = {
            "sequences": len(packed),
            "tokens": int(pa.compute.sum(sizes).as_py()),
            "seconds": min(seconds),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
