"""Runs every contract as Dagster asset checks: errors stop what follows in the run, the verdict stops readers later."""

# no `from __future__ import annotations`: Dagster reads the context's annotation as it stands
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mmpipe.assets.contract_rules import ERROR, ContractRule
from mmpipe.assets.contracts import Contract
from mmpipe.assets.file_checks import RuleResult
from mmpipe.assets.validation import validate_dataset

#: Behind a table's name, the name of the step that checks its contract.
CHECK_SUFFIX = "_contract"


def build_contract_checks(
    contracts: Mapping[str, Contract],
    partitions: Mapping[str, dg.PartitionsDefinition[Any] | None],
    *,
    memory_limit: str = "1GB",
    threads: int = 2,
    scratch: Path | None = None,
) -> list[dg.AssetChecksDefinition]:
    """Return one step of checks per asset: a check for every rule of its contract.

    A failed rule of severity `error` fails the step, so that nothing downstream runs in the same run, and goes into
    the dataset's manifest, so that readers of later runs refuse the dataset. A warning does neither.

    Args:
        contracts: by asset.
        partitions: the partitions of each asset that has checks, None where it has none.
        memory_limit: limit of DuckDB's memory in one step, such as `1GB`.
        threads: DuckDB's threads in one step.
        scratch: folder that DuckDB spills to; the system's temporary folder if None.
    """
    folder = scratch or Path(tempfile.gettempdir())
    return [
        _build_checks(contracts[name], definition, memory_limit, threads, folder)
        for name, definition in partitions.items()
    ]


def _build_checks(
    contract: Contract,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    memory_limit: str,
    threads: int,
    scratch: Path,
) -> dg.AssetChecksDefinition:
    rules = {rule.id: rule for rule in contract.rules}

    @dg.multi_asset_check(
        name=f"{contract.table_name}{CHECK_SUFFIX}",
        specs=_list_specs(contract, partitions_def),
        description=f"Validates {contract.table_name} against data_contracts/{contract.path.name}.",
        required_resource_keys={"lake"},
        compute_kind="greatexpectations",
        can_subset=True,
    )
    def check_contract(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        dump = context.partition_key if partitions_def is not None else None
        dataset = context.resources.lake.open().dataset(contract.table, dump)
        judged = dataset.find_manifest()
        results = validate_dataset(dataset, contract, memory_limit=memory_limit, threads=threads, scratch=scratch)
        failed = [result.id for result in results if not result.passed and result.severity == ERROR]
        dataset.record_verdict(failed, judged.fingerprint if judged is not None else None)
        for result in results:
            if not result.passed:
                rule = rules[result.id]
                context.log.warning(
                    "%s: not so: %s Observed %s; see %s.",
                    dataset.label, rule.description, result.observed, contract.locate(rule),
                )  # fmt: skip
        selected = {key.name for key in context.selected_asset_check_keys}
        for result in results:
            if result.id in selected:
                yield _report(contract, rules[result.id], result)

    return check_contract


def _list_specs(contract: Contract, partitions_def: dg.PartitionsDefinition[Any] | None) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # partitioned checks are a preview in Dagster 1.13: the version is pinned, and our tests cover what we use
        warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec", category=dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=rule.id,
                asset=dg.AssetKey(contract.table_name),
                description=rule.description,
                blocking=rule.severity == ERROR,
                metadata={"contract": contract.locate(rule), "limit": rule.limit, "expectation": rule.expectation},
                partitions_def=partitions_def,
            )
            for rule in contract.rules
        ]


def _report(contract: Contract, rule: ContractRule, result: RuleResult) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"contract": contract.locate(rule), "seconds": round(result.seconds, 3)}
    if result.observed is not None:
        metadata["observed"] = result.observed
    if rule.limit:
        metadata["limit"] = rule.limit
    if result.unexpected_count is not None:
        metadata["unexpected_count"] = result.unexpected_count
    if result.sample:
        key = " / ".join(contract.table.key)
        metadata["sample"] = dg.MetadataValue.md(
            "\n".join([f"| {key} |", "|---|", *(f"| {_cut(row)} |" for row in result.sample)])
        )
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(contract.table_name),
        check_name=rule.id,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if result.severity == ERROR else dg.AssetCheckSeverity.WARN,
        description=rule.description,
        metadata=metadata,
    )


def _cut(text: str) -> str:
    """Return a text that fits a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")[:120]
