"""Validates one table against its contract: ours out of core on DuckDB, the peer with the whole frame in pandas.

Run: python benchmarks/contract_validation.py [--quick]. Each side runs in its own process under the same cores; peak
memory is that process's own. `filtered_text` rows are generated: 1 M for both sides, and 20 M for ours alone, under a
DuckDB limit of 1 GB. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORES = 2
SHARD_ROWS = 1_000_000


def write_rows(root: Path, rows: int) -> None:
    """Publish generated documents: unique ids, distinct short texts, a language and its score."""
    import numpy as np
    import polars as pl

    from mmpipe.storage.commits import Commit, Manifest
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.identity import make_doc_id
    from mmpipe.tables.text import FILTERED_TEXT

    dataset = Lake(str(root)).dataset(FILTERED_TEXT, "bench")
    Path(dataset.folder.url).mkdir(parents=True, exist_ok=True)
    commits = []
    for number, start in enumerate(range(0, rows, SHARD_ROWS)):
        height = min(SHARD_ROWS, rows - start)
        scores = np.random.default_rng(number).uniform(0.65, 1.0, height)
        ids = [make_doc_id("bench", "part", row) for row in range(start, start + height)]
        frame = pl.DataFrame({"doc_id": ids, "language_score": scores}).with_columns(
            pl.lit("bench").alias("dump"),
            pl.format("https://example.org/{}", "doc_id").alias("url"),
            pl.lit(None, pl.String).alias("title"),
            pl.lit(None, pl.String).alias("date"),
            pl.lit("en").alias("language"),
            pl.format("A document about number {}.\n\nIt has two paragraphs.", "doc_id").alias("text"),
        )
        name = f"part-{number:05d}.parquet"
        path = Path(dataset.folder.url) / name
        frame.select(FILTERED_TEXT.column_names).write_parquet(path, compression="zstd", row_group_size=16_384)
        size = path.stat().st_size
        commits.append(Commit(f"{number:05d}", name, name, name, 2 * height, height, height, {}, {}, size, 0.0, 0.0))
    manifest = Manifest("filtered_text", "bench", "1", "", {}, tuple(commits))
    dataset.publish(manifest, "")


def validate_ours(root: Path) -> dict[str, float]:
    """Validate with the product, on the committed files."""
    from mmpipe.assets.contracts import find_contract_folder, load_contracts
    from mmpipe.assets.validation import validate_dataset
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.text import FILTERED_TEXT

    import_engine()
    contract = load_contracts(find_contract_folder())["filtered_text"]
    dataset = Lake(str(root)).dataset(FILTERED_TEXT, "bench")
    started = time.perf_counter()
    results = validate_dataset(dataset, contract, memory_limit="1GB", threads=CORES, scratch=root / "scratch")
    seconds = time.perf_counter() - started
    failed = [result.id for result in results if not result.passed]
    if failed:
        raise SystemExit(f"the generated rows break {failed}")
    slowest = sorted(results, key=lambda result: -result.seconds)[:3]
    print("slowest:", [(result.id, result.seconds) for result in slowest], file=sys.stderr)
    return {"seconds": seconds, "peak_mb": measure_peak_mb(), "rules": len(results)}


def validate_peer(root: Path) -> dict[str, float]:
    """Validate the same rules with Great Expectations as it comes: the whole table as a pandas frame."""
    import great_expectations as gx
    import pandas as pd

    files = sorted(root.glob("filtered_text/dump=bench/*.parquet"))
    started = time.perf_counter()
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    expect = gx.expectations
    required = ["doc_id", "dump", "language", "language_score", "text"]
    suite = gx.ExpectationSuite(name="filtered_text")
    for expectation in (
        expect.ExpectTableRowCountToBeBetween(min_value=1),
        expect.ExpectColumnUniqueValueCountToBeBetween(column="dump", max_value=1),
        expect.ExpectColumnValuesToNotMatchRegex(column="text", regex="\n\n\n"),
        expect.ExpectColumnValuesToNotMatchRegex(column="text", regex=r"(?i)https?://"),
        expect.ExpectColumnValuesToBeUnique(column="doc_id"),
        expect.ExpectColumnValuesToMatchRegex(column="doc_id", regex="^[0-9a-f]{32}$"),
        expect.ExpectColumnValueLengthsToBeBetween(column="language", min_value=1),
        expect.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1),
        expect.ExpectColumnValuesToBeBetween(column="language_score", min_value=0, max_value=1),
        *(expect.ExpectColumnValuesToNotBeNull(column=name) for name in required),
    ):
        suite.add_expectation(expectation)
    told = batch.validate(suite)
    seconds = time.perf_counter() - started
    if not told.success:
        raise SystemExit("the generated rows break the peer's rules")
    return {"seconds": seconds, "peak_mb": measure_peak_mb(), "rules": len(told.results)}


def import_engine() -> None:
    """Import what both sides import, so that neither pays for it in the timed part."""
    import duckdb_engine  # noqa: F401
    import great_expectations  # noqa: F401


def measure_peak_mb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_side(side: str, root: Path) -> dict[str, float]:
    """Run one side in a process of its own, on the same cores."""
    command = [sys.executable, __file__, "--side", side, "--root", str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print("".join(line for line in done.stderr.splitlines(keepends=True) if line.startswith("slowest")), end="")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}: {told['rules']} rules, {told['seconds']:.1f} s, peak {told['peak_mb']:.0f} MB")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 rows instead of 1 M and 20 M")
    parser.add_argument("--side", choices=["ours", "peer"])
    parser.add_argument("--root", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        told = {"ours": validate_ours, "peer": validate_peer}[arguments.side](arguments.root)
        print(json.dumps(told))
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rows = 200_000 if arguments.quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), rows)
        ours, peer = run_side("ours", Path(folder)), run_side("peer", Path(folder))
    report = {
        "name": "contract_validation",
        "ours": round(rows / ours["seconds"]),
        "peer": round(rows / peer["seconds"]),
        "unit": "rows/s",
        "ratio": round(peer["seconds"] / ours["seconds"], 2),
        "input": f"{rows} generated rows of filtered_text",
        "cores": CORES,
        "ours_peak_mb": round(ours["peak_mb"]),
        "peer_peak_mb": round(peer["peak_mb"]),
    }
    if not arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder), 20_000_000)
            large = run_side("ours", Path(folder))
        report |= {"ours_20m_seconds": round(large["seconds"], 1), "ours_20m_peak_mb": round(large["peak_mb"])}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
