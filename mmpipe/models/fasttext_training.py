"""Trains fastText classifiers in a child process with zeroed memory, so that equal input gives equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TRAIN = """
import json, sys
import fasttext
source, made, settings = json.loads(sys.argv[1])
fasttext.train_supervised(source, verbose=0, **settings).save_model(made)
"""
#: glibc fills new memory with the complement of this byte: zeros. On one thread fastText draws first vectors for a
#: tenth of its input matrix only; 0.9.2 began the rest with zeros, 0.9.3 with what memory holds, which is NaN or chance
#: in a process that has run for a while.
_ZEROED_MEMORY = {"MALLOC_PERTURB_": "255"}


def train_fasttext(source: Path, made: Path, settings: Mapping[str, int | float | str]) -> None:
    """Train a fastText classifier on one thread, always to the same bytes.

    Args:
        source: UTF-8 text, one line per example: `__label__{name} {words}`.
        made: the model's file.
        settings: what `fasttext.train_supervised` takes, by its names.

    Raises:
        ConfigurationError: fastText refuses the settings or diverges; the message holds what it said.
    """
    child = subprocess.run(
        [sys.executable, "-c", _TRAIN, json.dumps([str(source), str(made), {"seed": 0, **settings, "thread": 1}])],
        env={**os.environ, **_ZEROED_MEMORY},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if child.returncode:
        said = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise ConfigurationError(
            f"fastText could not train with {dict(settings)}: {said[0]} If it met NaN, lower the learning rate; if it "
            f"was killed, lower dimensions or buckets (their product takes 4 bytes each)."
        )
