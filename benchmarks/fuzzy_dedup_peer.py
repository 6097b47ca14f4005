"""datatrove's side of fuzzy_dedup.py; runs in the peers' environment: four MinHash stages, JSON lines to JSON lines."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import struct
import sys
import time
from collections import defaultdict
from pathlib import Path


def main() -> None:
    folder, tasks = Path(sys.argv[1]), int(sys.argv[2])
    # before datatrove: its loggers write to standard output otherwise
    from loguru import logger

    logger.remove()
    import xxhash
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    # xxhash 4 takes no strings any more, which datatrove 0.10.1 gives it
    digest = xxhash.xxh64_intdigest
    xxhash.xxh64_intdigest = lambda text: digest(text.encode())
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    out = folder / f"datatrove-{tasks}"

    def read() -> JsonlReader:
        return JsonlReader(str(folder / "input"), id_key="doc_id", doc_progress=False, file_progress=False)

    stages = [
        ([read(), MinhashDedupSignature(str(out / "signatures"), config)], tasks),
        ([MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)], config.num_buckets),
        ([MinhashDedupCluster(str(out / "buckets"), str(out / "clusters"), config=config, save_cluster_id=True)], 1),
        (
            [
                read(),
                MinhashDedupFilter(str(out / "clusters")),
                JsonlWriter(str(out / "kept"), compression=None),
            ],
            tasks,
        ),
    ]
    seconds = []
    begin = time.perf_counter()
    for number, (pipeline, stage_tasks) in enumerate(stages):
        start = use_cpu()
        LocalPipelineExecutor(
            pipeline,
            tasks=stage_tasks,
            workers=tasks,
            logging_dir=str(out / f"logs-{number}"),
            start_method="fork",
        ).run()
        seconds.append(use_cpu() - start)
    wall = time.perf_counter() - begin
    kept = [json.loads(line)["id"] for file in sorted((out / "kept").glob("*.jsonl")) for line in file.open()]
    print(
        json.dumps(
            {
                "version": importlib.metadata.version("datatrove"),
                "stage_s": seconds,
                "cpu_s": sum(seconds),
                "wall_s": wall,
                "kept": kept,
                "clusters": list_clusters(folder / "input", out / "clusters", tasks),
            }
        )
    )


def use_cpu() -> float:
    """Return the CPU seconds of this process and of those that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def list_clusters(documents: Path, clusters: Path, tasks: int) -> list[list[str]]:
    """Return the ids of each cluster."""
    files = sorted(documents.glob("*.jsonl"))
    members = defaultdict(list)
    for task in range(tasks):
        # datatrove deals files to tasks in turn
        ids = [json.loads(line)["doc_id"] for file in files[task::tasks] for line in file.open()]
        file = clusters / f"{task:06d}.clusters"
        for place, cluster in struct.iter_unpack("<2I", file.read_bytes() if file.is_file() else b""):
            members[cluster].append(ids[place])
    return sorted(sorted(ids) for ids in members.values())


if __name__ == "__main__":
    main()
