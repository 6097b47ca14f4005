"""The trainers' own packages: in a folder of their own, on our interpreter, so that none is installed beside ours."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

#: What `pip install --no-deps --target` filled, unless MMPIPE_TRAINERS names another folder. Without their
#: dependencies, of which ours has those that their readers and converters use.
TRAINERS = Path(os.environ.get("MMPIPE_TRAINERS", Path(__file__).resolve().parents[1] / ".venv-bench" / "trainers"))

#: What fills it.
PACKAGES = "trl==1.16.0 llamafactory==0.9.5 axolotl==0.19.0 megatron-core==0.16.1 addict colorama peft==0.21.2"


def find_trainers(module: str) -> tuple[Path, str]:
    """Return (interpreter, PYTHONPATH) for a trainer's module; skip the test, with what to run, where it is absent."""
    parts = module.split(".")
    is_there = (TRAINERS / parts[0]).is_dir()
    if not is_there or importlib.util.find_spec("transformers") is None:
        pytest.skip(
            f"no {parts[0]} in {TRAINERS}: run `pip install --no-deps --target .venv-bench/trainers {PACKAGES}`, "
            f"or set MMPIPE_TRAINERS"
        )
    return Path(sys.executable), str(TRAINERS)
