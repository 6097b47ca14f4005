"""What benchmarks share: both sides in one process tree on the same cores, a table, one JSON object at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
IMAGE_BENCH_PYTHON = ROOT / ".venv-bench-images" / "bin" / "python"


def pin_cores(count: int) -> list[int]:
    """Keep this process and its children on `count` of the cores it may use; return them."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return cores


def find_peer_python(python: Path = BENCH_PYTHON) -> str:
    """Return the interpreter that has the peers; the image lane's are `IMAGE_BENCH_PYTHON`."""
    if not python.is_file():
        sys.exit("The peers are not installed: run `make bench-setup`.")
    return str(python)


def run_side(python: str, script: Path, *arguments: str) -> dict[str, Any]:
    """Run one side in a process of its own; the last line it prints is its result as JSON."""
    done = subprocess.run([python, str(script), *arguments], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def print_table(header: list[str], rows: list[list[Any]]) -> None:
    """Print rows under a header, in columns."""
    cells = [header, *([f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_result(name: str, ours: float, peer: float, unit: str, data: str, cores: list[int], **extra: Any) -> None:
    """Print the last line of a benchmark. `ratio` is ours divided by the peer's, whatever the unit."""
    figures = {"name": name, "ours": round(ours, 4), "peer": round(peer, 4), "unit": unit}
    print(json.dumps(figures | {"ratio": round(ours / peer, 4), "input": data, "cores": len(cores), **extra}))
