"""The peers' interpreter: where the oracles' own packages stand, so that none of them is installed beside ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

#: The environment that `make bench-setup` fills, unless MMPIPE_PEER_PYTHON names another interpreter.
PEER_PYTHON = Path(
    os.environ.get("MMPIPE_PEER_PYTHON", Path(__file__).resolve().parents[1] / ".venv-bench" / "bin" / "python")
)


def find_peer(*modules: str) -> Path:
    """Return the peers' interpreter; skip the test, saying what to run, where it or one of the modules is absent."""
    how = "run `make bench-setup`, or set MMPIPE_PEER_PYTHON"
    if not PEER_PYTHON.is_file():
        pytest.skip(f"no peer at {PEER_PYTHON}: {how}")
    asked = [str(PEER_PYTHON), "-c", f"import {', '.join(modules)}"]
    if modules and subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip(f"{PEER_PYTHON} cannot import {', '.join(modules)}: {how}")
    return PEER_PYTHON
