"""Fixtures of the command line: a project of its own in a temporary folder, with tiny definitions."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from mmpipe.assets.project import Project
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class TinyProject:
    """A project in a temporary folder; `run` calls the command line in it."""

    folder: Path

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "var" / "lake"))

    @property
    def environ(self) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MMPIPE_", "DAGSTER_"))}
        Project(self.folder).set_environment(environ)
        return environ

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mmpipe.cli", *arguments]

    def run(self, *arguments: str, seconds: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environ | {"COLUMNS": "200"} | environ, text=True,
            capture_output=True, timeout=seconds, check=False,
        )  # fmt: skip

    def add(self, instance: dg.DagsterInstance, *names: str) -> None:
        for name in names:
            record_dump(self.lake, Dump(name, str(self.folder), ("a.warc.gz",)))
        instance.add_dynamic_partitions("dump", list(names))

    def count_runs(self, name: str) -> int:
        place = self.folder / "var" / "lake" / "ran" / name
        return len(place.read_text()) if place.exists() else 0


def write_project(folder: Path, module: str) -> TinyProject:
    """Make a folder a project whose definitions are those of a module."""
    (folder / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    (folder / "workspace.yaml").write_text(
        "load_from:\n- python_module: "
        f"{{module_name: {module}, location_name: mmpipe, working_directory: {REPOSITORY}}}\n"
    )
    (folder / "var" / "lake").mkdir(parents=True)
    return TinyProject(folder)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyProject:
    """Return an empty project with tiny definitions, its environment set in this process too."""
    project = write_project(tmp_path, "mmpipe_tests.commands.tiny_definitions")
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return project


@pytest.fixture
def instance(tiny: TinyProject) -> dg.DagsterInstance:
    """Return Dagster's records of the project, on disk."""
    with dg.DagsterInstance.get() as opened:
        yield opened
