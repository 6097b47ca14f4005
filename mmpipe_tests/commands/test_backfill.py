from __future__ import annotations

import os
import signal
import socket
import time

import dagster as dg
import pytest

from mmpipe.assets.project import find_project
from mmpipe.commands.backfill import Plan, Which, plan_backfill, run_here
from mmpipe.commands.loading import load_definitions, select_assets
from mmpipe.commands.processes import PROCESS_TAG
from mmpipe.errors import ConfigurationError
from mmpipe_tests.commands.conftest import TinyProject


@pytest.fixture
def defs(tiny: TinyProject) -> dg.Definitions:
    return load_definitions(find_project())


def names(keys) -> list[str]:
    return [key.to_user_string() for key in keys]


@pytest.mark.parametrize(
    ("wanted", "selected"),
    [
        (["*"], ["raw_crawl", "text_signals", "sft_dataset"]),
        (["all"], ["raw_crawl", "text_signals", "sft_dataset"]),
        (["group:text"], ["raw_crawl", "text_signals"]),
        (["text_signals+"], ["text_signals", "sft_dataset"]),
        (["+text_signals"], ["raw_crawl", "text_signals"]),
        (["sft_dataset", "raw_crawl"], ["raw_crawl", "sft_dataset"]),
    ],
)
def test_selections_come_parents_first(defs: dg.Definitions, wanted: list[str], selected: list[str]) -> None:
    assert names(select_assets(defs, wanted)) == selected


@pytest.mark.parametrize(
    ("wanted", "message"), [("text_signal", "'text_signals'"), ("group:txt", "'text'"), ("+raw_craw", "'raw_crawl'")]
)
def test_unknown_names_get_the_nearest(defs: dg.Definitions, wanted: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        select_assets(defs, [wanted])


def test_ranges_follow_names_not_the_order_of_adding(defs, tiny, instance) -> None:
    tiny.add(instance, "d04", "d06", "d10", "d05")
    plan = plan_backfill(defs, instance, tiny.lake, ["raw_crawl"], first="d04", last="d05")
    assert plan.dumps == ("d04", "d05")
    assert plan_backfill(defs, instance, tiny.lake, ["raw_crawl"], last="d06").dumps == ("d04", "d05", "d06")


def test_per_dump_assets_need_a_word_about_dumps(defs, tiny, instance) -> None:
    tiny.add(instance, "d1")
    with pytest.raises(ConfigurationError, match="say which"):
        plan_backfill(defs, instance, tiny.lake, ["raw_crawl"])
    with pytest.raises(ConfigurationError, match="Known names: d1"):
        plan_backfill(defs, instance, tiny.lake, ["raw_crawl"], partitions=["d2"])
    with pytest.raises(ConfigurationError, match="one way"):
        plan_backfill(defs, instance, tiny.lake, ["raw_crawl"], partitions=["d1"], which=Which.ALL)
    assert names(plan_backfill(defs, instance, tiny.lake, ["sft_dataset"]).over_all) == ["sft_dataset"]


def test_a_dump_that_fails_does_not_stop_the_next_but_what_is_over_all(defs, tiny, instance) -> None:
    tiny.add(instance, "d1", "d2", "d3")
    broken = tiny.folder / "var" / "lake" / "break-d2"
    broken.touch()
    plan = plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.ALL)
    outcomes = run_here(defs, instance, plan, log_level="CRITICAL")
    assert [(outcome.dump, outcome.status) for outcome in outcomes] == [
        ("d1", "success"), ("d2", "failed"), ("d3", "success"), (None, "skipped"),
    ]  # fmt: skip
    assert outcomes[1].failures == (("text_signals", "ValueError: a cause of its own"),)
    assert plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.FAILED).dumps == ("d2",)
    assert plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.MISSING).dumps == ("d2",)

    broken.unlink()
    again = run_here(defs, instance, plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.FAILED))
    assert [outcome.status for outcome in again] == ["success", "success"]
    assert tiny.count_runs("text_signals-d1") == 1
    nothing = plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.MISSING)
    assert nothing.is_empty


def test_failed_blocking_checks_stop_what_follows_in_the_run(defs, tiny, instance) -> None:
    tiny.add(instance, "d1")
    (tiny.folder / "var" / "lake" / "verdict.json").write_text("false")
    outcomes = run_here(defs, instance, plan_backfill(defs, instance, tiny.lake, ["*"], which=Which.ALL))
    assert [outcome.status for outcome in outcomes] == ["failed", "skipped"]
    assert tiny.count_runs("text_signals-d1") == 0
    ran = tiny.run("backfill", "raw_crawl", "--all")
    assert "  d1: raw_crawl: check has_files failed\n" in ran.stdout


def test_the_command_prints_a_summary_and_exits_by_it(tiny, instance) -> None:
    tiny.add(instance, "d1", "d2")
    ran = tiny.run("backfill", "all", "--all")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "over all dumps" in ran.stdout
    told = [line.split("  ", 1)[1] for line in ran.stdout.splitlines() if " made in " in line]
    assert [line.split(" made in ")[0] for line in told] == [
        "d1: raw_crawl", "d1: text_signals", "d2: raw_crawl", "d2: text_signals", "over all dumps: sft_dataset",
    ]  # fmt: skip
    (tiny.folder / "var" / "lake" / "break-d1").touch()
    ran = tiny.run("backfill", "text_signals", "--partitions", "d1")
    assert ran.returncode == 1
    assert "a cause of its own" in ran.stdout
    assert "  d1: text_signals failed\n" in ran.stdout
    ran = tiny.run("backfill", "text_signal", "--all")
    assert ran.returncode == 1
    assert ran.stderr.strip() == "error: Unknown asset 'text_signal'. Did you mean 'text_signals'?"
    ran = tiny.run("backfill", "all", "--all", "--dry-run", "--server", "http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "does not answer" in ran.stderr


def test_models_trained_from_the_users_own_sets_are_made_only_when_named() -> None:
    from mmpipe.commands.loading import select_assets
    from mmpipe.definitions import build_definitions

    definitions = build_definitions({"MMPIPE_RECIPE": "dclm"})
    key = dg.AssetKey("quality_classifier")
    assert key not in select_assets(definitions, ["*"])
    assert key not in select_assets(definitions, ["+deduped_corpus"])
    assert select_assets(definitions, ["quality_classifier"]) == [key]
    assert select_assets(definitions, ["group:models"]) == [key]


def test_a_backfill_of_a_trained_model_says_how_it_is_trained() -> None:
    from mmpipe.definitions import build_definitions
    from mmpipe.errors import ConfigurationError
    from mmpipe.storage.lake import Lake

    with pytest.raises(ConfigurationError, match="mmpipe quality train"), dg.DagsterInstance.ephemeral() as instance:
        plan_backfill(build_definitions({}), instance, Lake("lake"), ["quality_classifier"])


def test_ctrl_c_ends_the_backfill_and_not_one_dump_of_it(instance: dg.DagsterInstance) -> None:
    dumps = dg.DynamicPartitionsDefinition(name="interrupted")

    @dg.asset(partitions_def=dumps)
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    instance.add_dynamic_partitions("interrupted", ["d1", "d2"])
    begun: list[str | None] = []
    plan = Plan(per_dump=(dg.AssetKey("interrupted"),), over_all=(), dumps=("d1", "d2"))
    with pytest.raises(KeyboardInterrupt):
        run_here(
            dg.Definitions([interrupted]), instance, plan,
            on_start=lambda dump, _: begun.append(dump), log_level="CRITICAL",
        )  # fmt: skip
    assert begun == ["d1"]


def test_a_run_ends_killed_ones_and_frees_their_slots(tiny: TinyProject, instance: dg.DagsterInstance, defs) -> None:
    @dg.job
    def killed() -> None: ...

    tiny.add(instance, "d1")
    tags = {PROCESS_TAG: f"{socket.gethostname()}:{2**22 + 1}:1.00"}
    gone = instance.create_run_for_job(killed, status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    instance.event_log_storage.claim_concurrency_slot("gpu", gone.run_id, "step")

    outcomes = run_here(defs, instance, plan_backfill(defs, instance, tiny.lake, ["raw_crawl"], which=Which.ALL))

    assert [outcome.status for outcome in outcomes] == ["success"]
    assert instance.get_run_by_id(gone.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0
