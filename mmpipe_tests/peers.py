"""The peers' interpreters: where the oracles' own packages stand, so that none of them is installed beside ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]

#: The environment that `make bench-setup` fills, unless MMPIPE_PEER_PYTHON names another interpreter.
PEER_PYTHON = Path(os.environ.get("MMPIPE_PEER_PYTHON", _ROOT / ".venv-bench" / "bin" / "python"))

#: The one of the image lane's peers, Data-Juicer among them; the same variable names another.
IMAGE_PEER_PYTHON = Path(os.environ.get("MMPIPE_PEER_PYTHON", _ROOT / ".venv-bench-images" / "bin" / "python"))

#: The one of teachers, review tools and CodeBLEU, whose needs contradict the others'; the same variable names another.
SYNTHESIS_PEER_PYTHON = Path(os.environ.get("MMPIPE_PEER_PYTHON", _ROOT / ".venv-bench-synthesis" / "bin" / "python"))


def find_peer(*modules: str, python: Path = PEER_PYTHON) -> Path:
    """Return the peers' interpreter; skip the test, saying what to run, where it or one of the modules is absent."""
    how = "run `make bench-setup`, or set MMPIPE_PEER_PYTHON"
    if not python.is_file():
        pytest.skip(f"no peer at {python}: {how}")
    asked = [str(python), "-c", f"import {', '.join(modules)}"]
    if modules and subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip(f"{python} cannot import {', '.join(modules)}: {how}")
    return python
