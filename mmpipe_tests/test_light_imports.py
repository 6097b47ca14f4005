"""Tests of light imports: a part left out is not loaded, and can be loaded afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("start", "absent"),
    [
        ("from mmpipe.light_imports import start_numba; start_numba(); ", "scipy.linalg"),
        ("from mmpipe.filtering.chunks import load_spacy; load_spacy(); ", "spacy.cli"),
    ],
)
def test_a_part_that_is_not_needed_is_not_loaded_but_can_be(start: str, absent: str) -> None:
    code = (
        f"import sys; {start} assert '{absent}' not in sys.modules; import {absent}; assert {absent}.__file__; "
        "import numba, numpy; assert numba.njit(lambda x: x.sum())(numpy.ones(3)) == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", ["explain", "trace", "judge", "lists", "printing", "report"])
def test_commands_that_only_read_start_without_dagster(module: str) -> None:
    code = f"import sys, mmpipe.cli, mmpipe.commands.{module}; assert not {{'dagster', 'duckdb'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
