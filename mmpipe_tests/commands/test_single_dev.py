from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mmpipe.commands.run_lines import RunTeller
from mmpipe.commands.single_dev import hold_state
from mmpipe.errors import ConfigurationError
from mmpipe_tests.commands.conftest import TinyProject, write_project

HOLD = """
import sys, time
from pathlib import Path
from mmpipe.commands.single_dev import hold_state
with hold_state(Path(sys.argv[1]), "http://127.0.0.1:3999"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_state_folder_is_held_by_one_process_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        told = rf"runs already.*http://127\.0\.0\.1:3999 \(process {first.pid}\).*kill {first.pid}`"
        with pytest.raises(ConfigurationError, match=told), hold_state(tmp_path, "http://127.0.0.1:4000"):
            pass
        first.kill()
    with hold_state(tmp_path, "http://127.0.0.1:4000"):
        assert json.loads((tmp_path / "dev.lock").read_text()) == {"url": "http://127.0.0.1:4000", "pid": os.getpid()}


def test_dev_stops_with_one_line_where_another_one_runs(tiny: TinyProject) -> None:
    state = tiny.folder / "var/state"
    state.mkdir()
    with hold_state(state, "http://127.0.0.1:3999"):
        ran = tiny.run("dev", "--port", "0")
    assert ran.returncode == 1
    assert f"http://127.0.0.1:3999 (process {os.getpid()})" in ran.stderr
    assert len((ran.stdout + ran.stderr).splitlines()) == 1


def test_dev_stops_with_one_line_where_the_recipe_is_wrong(tmp_path: Path) -> None:
    project = write_project(tmp_path, "mmpipe.definitions")
    recipe = tmp_path / "own.yaml"
    recipe.write_text("name: own\nextends: refinedweb\ninstructions: {methodz: []}\n")
    ran = project.run("dev", "--port", "0", MMPIPE_RECIPE=str(recipe))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: {recipe}")
    assert "'methods'" in ran.stderr
    assert len((ran.stdout + ran.stderr).splitlines()) == 1


@dg.asset
def fine() -> None: ...


@dg.asset
def failing() -> None:
    raise ValueError("a cause of its own")


def run(asset: dg.AssetsDefinition, instance: dg.DagsterInstance) -> None:
    job = dg.Definitions(assets=[asset]).resolve_implicit_job_def_def_for_assets([asset.key])
    assert job is not None
    job.execute_in_process(instance=instance, asset_selection=[asset.key], raise_on_error=False)


def test_a_run_is_told_when_it_begins_and_when_it_ends_and_once(instance: dg.DagsterInstance) -> None:
    lines: list[str] = []
    run(fine, instance)  # before it looked
    runs = RunTeller(instance, lines.append)

    @dg.asset
    def looking() -> None:
        runs.look()
        runs.look()

    run(looking, instance)
    run(failing, instance)
    runs.look()
    runs.look()
    told = [line.split("  ", 1)[1] for line in lines]
    ids = [past.run_id[:8] for past in instance.get_runs(ascending=True)]
    assert told[0] == f"over all dumps: run {ids[1]} began (looking)"
    assert told[1].startswith(f"over all dumps: run {ids[1]} ended, success after ")
    assert told[2].startswith(f"over all dumps: run {ids[2]} ended, failure after ")
    assert told[2].endswith("(failing)")
    assert len(told) == 3


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ({"dagster/partition": "d1"}, "d1"),
        ({"dagster/asset_partition_range_start": "d1", "dagster/asset_partition_range_end": "d1"}, "d1"),
        ({"dagster/asset_partition_range_start": "d1", "dagster/asset_partition_range_end": "d3"}, "d1 to d3"),
    ],
)
def test_a_run_of_one_dump_or_of_a_range_is_told_by_its_dumps(
    instance: dg.DagsterInstance, tags: dict[str, str], place: str
) -> None:
    lines: list[str] = []
    runs = RunTeller(instance, lines.append)
    job = dg.Definitions(assets=[fine]).resolve_implicit_job_def_def_for_assets([fine.key])
    assert job is not None
    job.execute_in_process(instance=instance, asset_selection=[fine.key], tags=tags)
    runs.look()
    (told,) = lines
    assert told.split("  ", 1)[1].startswith(f"{place}: run ")


SPEAK = """
import logging, dagster as dg

@dg.asset
def speaking(context):
    logging.basicConfig(level=logging.INFO)  # as libraries do
    logging.getLogger("mmpipe.room").info("done a shard")
    logging.getLogger("mmpipe.room").warning("mind this")

with dg.DagsterInstance.get() as instance:
    run = dg.materialize([speaking], instance=instance)
    print([entry.user_message for entry in instance.all_logs(run.run_id)])
"""


@pytest.mark.parametrize("level", [None, "WARNING"])
def test_what_runs_say_is_recorded_whole_and_printed_from_a_level_on(tiny: TinyProject, level: str | None) -> None:
    environ = tiny.environ | ({"MMPIPE_TERMINAL_LEVEL": level} if level else {})
    ran = subprocess.run([sys.executable, "-c", SPEAK], env=environ, text=True, capture_output=True, check=True)
    assert "done a shard" in ran.stdout
    assert "mind this" in ran.stdout
    assert "mind this" in ran.stderr
    assert level is None or ran.stderr.count("mind this") == 1
    assert ("done a shard" in ran.stderr) is (level is None)
