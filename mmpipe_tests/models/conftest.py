"""Shared by the tests of models: the demo's tiny CLIP, trained once per session by the published recipe."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the checkpoint that `mmpipe demo` trains; about half a minute of one core."""
    from rich.console import Console

    from mmpipe.commands.demo import prepare_clip

    folder = tmp_path_factory.mktemp("demo") / "clip"
    prepare_clip(Console(quiet=True), folder)
    return folder
