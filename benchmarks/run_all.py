"""Runs every benchmark, one after the other, and writes docs/benchmarks.md from their last lines."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "benchmarks.md"
#: What is no benchmark of its own, beside the peers' halves (`*_peer.py`).
PARTS = {"run_all.py", "side_by_side.py", "fixed_latency_server.py", "train_chooser.py", "train_folds.py"}
SHOWN = ("name", "unit", "ours", "peer", "ratio", "cores", "input")

HEAD = """# Benchmarks

Us and a peer in one process tree, on the same input, pinned to the same cores; the ratio is ours to the peer's, in the
unit named (above 1: ours does more per second). `make bench-setup` installs the peers in `.venv-bench`; `make bench`
runs every script of `benchmarks/` and writes this page. Machines differ and are shared: trust ratios, not seconds.

"""


def main() -> None:
    """Run them all; a benchmark that fails is said to have failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small inputs: every script within 50 seconds")
    quick = ["--quick"] if options.parse_args().quick else []
    rows, failed = [], []
    for script in list_scripts():
        print(f"── {script.name} {' '.join(quick)}", flush=True)
        ran = subprocess.run([sys.executable, str(script), *quick], stdout=subprocess.PIPE, text=True, check=False)
        print(ran.stdout, flush=True)
        if ran.returncode:
            failed.append(script.name)
            continue
        rows.append(json.loads(ran.stdout.strip().splitlines()[-1]))
    PAGE.write_text(HEAD + render(rows, failed, quick))
    print(f"written: {PAGE}")
    sys.exit(1 if failed else 0)


def list_scripts() -> list[Path]:
    """Return every benchmark, sorted."""
    return sorted(path for path in FOLDER.glob("*.py") if path.name not in PARTS and not path.stem.endswith("_peer"))


def render(rows: list[dict[str, object]], failed: list[str], quick: list[str]) -> str:
    """Return the page below its head."""
    command = ".venv/bin/python benchmarks/run_all.py --quick" if quick else "make bench"
    lines = [
        f"Command: `{command}`. Python {platform.python_version()}.",
        "",
    ]
    lines += [f"| {' | '.join(SHOWN)} |", f"|{'---|' * len(SHOWN)}"]
    lines += [f"| {' | '.join(write(row.get(name)) for name in SHOWN)} |" for row in rows]
    for row in rows:
        extra = {name: value for name, value in row.items() if name not in SHOWN}
        if extra:
            lines += ["", f"**{row['name']}**: " + ", ".join(f"{name} {write(value)}" for name, value in extra.items())]
    lines += ["", *(f"Failed: {name}" for name in failed)]
    return "\n".join(lines).rstrip() + "\n"


def write(value: object) -> str:
    """Return a figure as people read it."""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
