import io
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from mmpipe.commands.backfill import Plan, run_here
from mmpipe.commands.server_lines import BackfillTeller
from mmpipe.commands.step_lines import StepTeller, describe_finding, describe_rows, hear_steps
from mmpipe.errors import MmpipeError

DUMPS = dg.DynamicPartitionsDefinition(name="told")
FIGURES = {
    "rows_in": 1200, "rows_out": 1200, "rows_removed": 0, "rows_accepted": 380, "rows_refused": 820, "shards_made": 2,
    "shards_resumed": 0, "funnel": dg.MetadataValue.md("a table"), "cost": 0.25,
}  # fmt: skip


@dg.asset(partitions_def=DUMPS)
def candidates() -> dg.MaterializeResult[None]:
    log = logging.getLogger("mmpipe.lanes.of_a_test")
    log.info("a line per shard")
    for _ in range(3):
        log.warning("line 3 of seeds.jsonl is no JSON")
    log.error("Traceback\n  much\nValueError: at its end")
    return dg.MaterializeResult(metadata=FIGURES)


@dg.asset(partitions_def=DUMPS, deps=[candidates])
def captions() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows_in": 5, "rows_out": 0, "rows_removed": 5, "off": "how to switch it on"})


@dg.asset(partitions_def=DUMPS, deps=[candidates])
def broken() -> None:
    try:
        raise MmpipeError("the key is refused.\nName another.")
    except MmpipeError as error:
        raise ValueError("a shard") from error


@dg.multi_asset_check(
    name="candidates_contract",
    specs=[dg.AssetCheckSpec("few", asset=candidates), dg.AssetCheckSpec("has_rows", asset=candidates)],
)
def contract(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    context.log.warning("candidates: not so: Rows are few.")
    yield dg.AssetCheckResult(
        check_name="few", asset_key="candidates", passed=False, severity=dg.AssetCheckSeverity.WARN,
        description="Rows are few.", metadata={"observed": 1200},
    )  # fmt: skip
    yield dg.AssetCheckResult(check_name="has_rows", asset_key="candidates", passed=False)


WITHOUT_TIME = [
    "d1: warning: line 3 of seeds.jsonl is no JSON",
    "d1: warning: Traceback … ValueError: at its end",
    "d1: candidates made in SECONDS: 1,200 rows in, 1,200 out; 380 accepted, 820 refused",
    "d1: candidates: warning, nothing stops: check few is not met: Rows are few. Observed 1200.",
    "d1: candidates: check has_rows failed",
    "d1: captions made in SECONDS: empty, the recipe does not ask for it",
]


def strip(lines: list[str]) -> list[str]:
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines)
    return [re.sub(r"made in \d+\.\d s", "made in SECONDS", line[10:]) for line in lines]


@pytest.fixture
def told(tiny, instance: dg.DagsterInstance) -> tuple[str, list[str]]:
    """Return a run, and what was told of it as it went."""
    instance.add_dynamic_partitions("told", ["d1"])
    lines: list[str] = []
    runs: list[str] = []

    def begin(dump: str | None, run_id: str) -> None:
        runs.append(run_id)
        hear_steps(instance, run_id, StepTeller(str(dump), lines.append))

    keys = tuple(dg.AssetKey(name) for name in ("candidates", "captions", "broken"))
    defs = dg.Definitions([candidates, captions, broken], asset_checks=[contract])
    run_here(defs, instance, Plan(keys, (), ("d1",)), on_start=begin, log_level="CRITICAL")
    return runs[0], lines


def test_a_run_in_this_process_is_told_with_rows_warnings_and_what_stops(told: tuple[str, list[str]]) -> None:
    lines = strip(told[1])
    assert "d1: broken failed" in lines
    assert sorted(line for line in lines if "broken" not in line) == sorted(WITHOUT_TIME)


@contextmanager
def serve(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield the address of Dagster's own web server."""
    with WorkspaceProcessContext(instance, workspace_load_target=EmptyWorkspaceTarget(), version="") as context:
        web = uvicorn.Server(uvicorn.Config(create_app_from_workspace_process_context(context), port=0, log_level=40))
        thread = threading.Thread(target=web.run)
        thread.start()
        while not web.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
        web.should_exit = True
        thread.join()


def test_a_run_on_a_server_is_told_alike_and_once(told: tuple[str, list[str]], instance: dg.DagsterInstance) -> None:
    instance.add_run_tags(told[0], {"dagster/backfill": "b1"})
    lines: list[str] = []
    here = strip(told[1])
    why = "d1: broken failed"
    with serve(instance) as url:
        teller = BackfillTeller(url, "b1", lines.append)
        teller.look()
        assert [line.replace(f"{why}: the key is refused. Name another.", why) for line in strip(lines)] == here
        assert [line[:8] for line in lines] == [line[:8] for line in told[1]]
        teller.look()
        assert len(lines) == len(here)
        BackfillTeller(url, "another", lines.append).look()
        assert len(lines) == len(here)


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ({}, "over all dumps"),
        ({"dagster/partition": "d1"}, "d1"),
        ({"dagster/asset_partition_range_start": "d1", "dagster/asset_partition_range_end": "d1"}, "d1"),
        ({"dagster/asset_partition_range_start": "d1", "dagster/asset_partition_range_end": "d3"}, "d1 to d3"),
    ],
)
def test_a_run_on_a_server_is_named_by_its_dumps(
    instance: dg.DagsterInstance, tags: dict[str, str], place: str
) -> None:
    @dg.op
    def fails() -> None:
        raise ValueError

    @dg.job
    def of_a_backfill() -> None:
        fails()

    of_a_backfill.execute_in_process(
        instance=instance, tags={"dagster/backfill": "b2"} | tags, raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )  # fmt: skip
    lines: list[str] = []
    with serve(instance) as url:
        BackfillTeller(url, "b2", lines.append).look()
    assert strip(lines) == [f"{place}: fails failed: ValueError"]


def test_a_root_handler_of_a_library_hears_nothing_of_a_run(tiny, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("told", ["d1"])
    heard = io.StringIO()
    root, ours = logging.getLogger(), logging.getLogger("mmpipe")
    handler = logging.StreamHandler(heard)
    root.addHandler(handler)
    try:
        plan = Plan((dg.AssetKey("candidates"),), (), ("d1",))
        run_here(dg.Definitions([candidates]), instance, plan, log_level="CRITICAL")
    finally:
        root.removeHandler(handler)
    assert heard.getvalue() == ""
    assert ours.propagate


@pytest.mark.parametrize(
    ("figures", "is_off", "said"),
    [
        ({}, False, ""),
        ({"rows_in": 5, "rows_out": 5}, False, ": 5 rows in, 5 out"),
        ({"rows_in": 5, "rows_out": 2, "rows_removed": 3, "shards_made": 1, "shards_resumed": 1}, False,
         ": 5 rows in, 2 out, 3 removed"),
        ({"rows_in": 5, "rows_out": 5, "shards_made": 0, "shards_resumed": 2}, False,
         ": 5 rows in, 5 out; all of it was there"),
        ({"rows_in": 0, "rows_out": 0}, True, ": empty, the recipe does not ask for it"),
        ({"rows_in": 5, "rows_out": 5}, True, ": 5 rows in, 5 out"),
    ],
)  # fmt: skip
def test_rows_are_told_behind_the_time(figures: dict[str, float], is_off: bool, said: str) -> None:
    assert describe_rows(figures, is_off=is_off) == said


def test_with_verbose_the_runs_print_their_own_warnings() -> None:
    lines: list[str] = []
    teller = StepTeller("d1", lines.append, tells_warnings=False)
    teller.hear_warning("bad", 0.0)
    assert lines == []
    teller.hear_failure("step", 0.0)
    assert len(lines) == 1


def test_the_metadata_that_lines_are_written_from_is_what_stages_write() -> None:
    from mmpipe.assets import metadata
    from mmpipe.commands.step_lines import OFF, TOLD_METADATA

    source = Path(metadata.__file__).read_text()
    assert all(f'"{name}"' in source for name in (*TOLD_METADATA, OFF))


@pytest.mark.parametrize(
    ("observed", "told"),
    [
        ("44.74683544303797", "44.75"),
        ("0.0004321987", "0.0004322"),
        ("12", "12"),
        ("0.5", "0.5"),
        ("a 1.2345 b", "a 1.2345 b"),
    ],
)
def test_what_a_check_saw_has_no_long_fraction(observed: str, told: str) -> None:
    assert describe_finding("It holds.", observed) == f"It holds. Observed {told}."
