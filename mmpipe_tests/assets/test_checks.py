from __future__ import annotations

import warnings
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mmpipe.assets.checks import build_contract_checks
from mmpipe.assets.column_metadata import describe_columns, describe_lineage
from mmpipe.assets.contracts import find_contract_folder, load_contracts
from mmpipe.assets.resources import LakeResource
from mmpipe.errors import DatasetNotReady
from mmpipe.storage.commits import FAILED, PASSED
from mmpipe.storage.lake import Lake
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text_signals import TEXT_SIGNALS
from mmpipe_tests.assets.published import publish

CONTRACTS = load_contracts(find_contract_folder())
DUMPS = dg.DynamicPartitionsDefinition(name="dump")
ID = "0123456789abcdef" * 2


def make_signals(status: str) -> pl.DataFrame:
    row: dict[str, Any] = {column.name: None for column in TEXT_SIGNALS.columns}
    return pl.DataFrame(
        [row | {"doc_id": ID, "extraction_status": status, "word_count": 5.0}], schema=TEXT_SIGNALS.schema
    )


def build_assets(statuses: dict[str, str], partitions_def: dg.PartitionsDefinition | None) -> list[dg.AssetsDefinition]:
    """Two assets after one another: the first publishes what `statuses` says for the dump, the second no row."""

    @dg.asset(name="text_signals", partitions_def=partitions_def, required_resource_keys={"lake"})
    def text_signals(context) -> None:
        dump = context.partition_key if partitions_def else None
        publish(context.resources.lake.root, TEXT_SIGNALS, make_signals(statuses[dump or ""]), dump=dump)

    @dg.asset(
        name="text_removals", deps=["text_signals"], partitions_def=partitions_def, required_resource_keys={"lake"}
    )
    def text_removals(context) -> None:
        dump = context.partition_key if partitions_def else None
        publish(context.resources.lake.root, TEXT_REMOVALS, TEXT_REMOVALS.make_empty(), dump=dump)

    return [text_signals, text_removals]


def run(
    tmp_path, statuses: dict[str, str], instance, partition: str | None, **options: Any
) -> dg.ExecuteInProcessResult:
    partitions_def = DUMPS if partition else None
    checks = build_contract_checks(
        CONTRACTS, {"text_signals": partitions_def, "text_removals": partitions_def}, scratch=tmp_path / "scratch"
    )
    return dg.materialize(
        [*build_assets(statuses, partitions_def), *checks],
        partition_key=partition,
        instance=instance,
        resources={"lake": LakeResource(root=str(tmp_path / "lake"))},
        raise_on_error=False,
        **options,
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions("dump", ["A", "B"])
        yield ephemeral


def test_a_failed_error_stops_its_own_dump_and_a_warning_none(tmp_path, instance):
    lake = Lake(str(tmp_path / "lake"))
    statuses = {"A": "nonsense", "B": "ok"}
    first, second = run(tmp_path, statuses, instance, "A"), run(tmp_path, statuses, instance, "B")

    assert not first.success
    assert second.success
    assert lake.list_dumps(TEXT_REMOVALS) == ["B"]

    failed = {one.check_name: one for one in first.get_asset_check_evaluations() if not one.passed}
    assert set(failed) == {"extraction_status__known", "no_values_without_text"}
    known = failed["extraction_status__known"]
    assert (known.severity, known.partition) == (dg.AssetCheckSeverity.ERROR, "A")
    rule = next(rule for rule in CONTRACTS["text_signals"].rules if rule.id == "extraction_status__known")
    told = {name: value.value for name, value in known.metadata.items()}
    assert told["contract"] == f"data_contracts/text_signals.odcs.yaml:{rule.line}"
    assert told["unexpected_count"] == 1
    assert told["limit"] == rule.limit
    assert told["sample"] == f"| doc_id |\n|---|\n| {ID} |"
    assert told["seconds"] >= 0

    # the empty removals of B warn, and do not stop the run
    warned = [one for one in second.get_asset_check_evaluations() if not one.passed]
    assert [(one.check_name, one.severity) for one in warned] == [("has_rows", dg.AssetCheckSeverity.WARN)]

    # readers of later runs refuse what failed, and only that
    bad, good = lake.dataset(TEXT_SIGNALS, "A"), lake.dataset(TEXT_SIGNALS, "B")
    assert (bad.find_manifest().checks, good.find_manifest().checks) == (FAILED, PASSED)
    assert lake.dataset(TEXT_REMOVALS, "B").find_manifest().checks == PASSED
    with pytest.raises(DatasetNotReady, match="extraction_status__known"):
        bad.scan()
    assert good.scan().collect().height == 1


def test_mended_data_is_judged_anew(tmp_path, instance):
    assert not run(tmp_path, {"A": "nonsense"}, instance, "A").success
    assert run(tmp_path, {"A": "ok"}, instance, "A").success
    assert Lake(str(tmp_path / "lake")).dataset(TEXT_SIGNALS, "A").find_manifest().checks == PASSED


def test_assets_without_partitions_are_checked_too(tmp_path, instance):
    assert run(tmp_path, {"": "ok"}, instance, None).success
    assert not run(tmp_path, {"": "nonsense"}, instance, None).success
    assert Lake(str(tmp_path / "lake")).dataset(TEXT_SIGNALS).find_manifest().checks == FAILED


def test_one_check_can_be_run_alone_and_the_verdict_is_whole(tmp_path, instance):
    run(tmp_path, {"": "nonsense"}, instance, None)
    one = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("text_signals"), "has_rows"))
    result = run(tmp_path, {"": "nonsense"}, instance, None, selection=one)
    assert result.success
    assert [told.check_name for told in result.get_asset_check_evaluations()] == ["has_rows"]
    assert Lake(str(tmp_path / "lake")).dataset(TEXT_SIGNALS).find_manifest().checks == FAILED


def test_every_rule_is_a_check_and_only_errors_block():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the preview warning of partitioned checks, and any other
        checks = build_contract_checks(CONTRACTS, dict.fromkeys(CONTRACTS, DUMPS))
    assert len(checks) == len(CONTRACTS)
    specs = {spec.key: spec for check in checks for spec in check.check_specs}
    for name, contract in CONTRACTS.items():
        for rule in contract.rules:
            spec = specs.pop(dg.AssetCheckKey(dg.AssetKey(name), rule.id))
            assert spec.blocking == (rule.severity == "error")
            assert spec.partitions_def == DUMPS
    assert not specs


def test_the_filtered_warning_is_the_preview_warning_of_this_release():
    with pytest.warns(dg.PreviewWarning, match="partitions_def on an AssetCheckSpec"):
        dg.AssetCheckSpec(name="c", asset="a", partitions_def=DUMPS)


def test_columns_carry_types_and_constraints():
    schema = describe_columns(TEXT_SIGNALS, CONTRACTS["text_signals"])
    columns = {column.name: column for column in schema.columns}
    assert list(columns) == TEXT_SIGNALS.column_names
    assert (columns["doc_id"].type, columns["doc_id"].constraints.unique) == ("VARCHAR", True)
    assert columns["doc_id"].constraints.nullable is False
    assert columns["language_score"].constraints.nullable is True
    assert columns["language_score"].constraints.other == ["language_score is >= 0 and <= 1."]
    assert "Every share lies between 0 and 1." in schema.constraints.other
    warned = describe_columns(TEXT_REMOVALS, CONTRACTS["text_removals"]).constraints.other
    assert "The table is not empty. (warning)" in warned


def test_lineage_names_the_parents_in_other_assets():
    lineage = describe_lineage(TEXT_SIGNALS).deps_by_column
    assert lineage["doc_id"] == [dg.TableColumnDep(asset_key=dg.AssetKey("extracted_text"), column_name="doc_id")]
    assert all(dep.asset_key != dg.AssetKey("text_signals") for deps in lineage.values() for dep in deps)
