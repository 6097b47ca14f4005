"""Judges how many rows each rule takes: a broken crawl or a broken rule shows in its share before anyone reads rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from mmpipe.assets.file_checks import RuleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mmpipe.assets.contract_rules import ContractRule
    from mmpipe.storage.commits import Manifest
    from mmpipe.storage.lake import Dataset

#: Removals to the section of the recipe that holds their rules.
_SECTIONS = {"text_removals": "text", "image_removals": "images", "instruction_removals": "instructions"}

#: Troubles named in one observation.
_NAMED = 12


def judge_gate(rule: ContractRule, dataset: Dataset, manifest: Manifest) -> RuleResult:
    """Judge a retention gate: shares by rule, rules that never fired, or shares that moved since the dump before.

    Below `least_rows` rows a share says nothing, and the gate passes.

    Args:
        rule: one whose expectation is in `GATES`.
        dataset: the removals.
        manifest: their ledger.
    """
    least = rule.kwargs.get("least_rows", 0)
    if manifest.rows_in < max(least, 1):
        return RuleResult(rule.id, rule.severity, True, f"not judged below {least:,} rows; {manifest.rows_in:,} rows")
    troubles = GATES[rule.expectation](rule.kwargs, dataset, manifest)
    told = "; ".join(troubles[:_NAMED]) + (f"; and {len(troubles) - _NAMED} more" if len(troubles) > _NAMED else "")
    return RuleResult(rule.id, rule.severity, not troubles, told or f"{len(manifest.removed_by_rule)} rules in bounds")


def _check_bounds(kwargs: Mapping[str, Any], dataset: Dataset, manifest: Manifest) -> list[str]:
    shares = _read_shares(dataset, manifest)
    troubles = []
    for name, share in shares.items():
        low, high = kwargs["bounds"].get(name, (0.0, kwargs["maximum"]))
        if not low <= share <= high:
            troubles.append(f"{name} took {share:.2%}, not {low:.2%} to {high:.2%}")
    return troubles


def _check_idle(_: Mapping[str, Any], dataset: Dataset, manifest: Manifest) -> list[str]:
    return [f"{name} took no row" for name, share in _read_shares(dataset, manifest).items() if not share]


def _check_shift(kwargs: Mapping[str, Any], dataset: Dataset, manifest: Manifest) -> list[str]:
    before = _find_dump_before(dataset)
    ledger = before.find_manifest() if before is not None else None
    if before is None or ledger is None or ledger.rows_in < max(kwargs.get("least_rows", 0), 1):
        return []
    old, new = _read_shares(before, ledger), _read_shares(dataset, manifest)
    troubles = []
    for name in sorted(old.keys() & new.keys()):
        small, large = sorted((old[name], new[name]))
        if large >= kwargs["least_share"] and large > small * kwargs["most_factor"]:
            troubles.append(f"{name} took {old[name]:.2%} of {before.dump} and {new[name]:.2%} here")
    return troubles


#: Gate to what lists its troubles; the names are those of a contract's `measure`.
GATES: dict[str, Callable[[Mapping[str, Any], Dataset, Manifest], list[str]]] = {
    "removed_share_by_rule": _check_bounds,
    "idle_rules": _check_idle,
    "removed_share_shift": _check_shift,
}


def _read_shares(dataset: Dataset, manifest: Manifest) -> dict[str, float]:
    """Return the share of rows that each rule of the recipe took, and each status; 0 for a rule that took none."""
    recipe = yaml.safe_load(dataset.folder.join("recipe.yaml").read_text())
    rules = [rule["rule"] for rule in recipe[_SECTIONS[dataset.table.name]]["rules"]]
    return dict.fromkeys(rules, 0.0) | {
        name: rows / manifest.rows_in for name, rows in manifest.removed_by_rule.items()
    }


def _find_dump_before(dataset: Dataset) -> Dataset | None:
    """Return the removals of the dump whose name comes before this one's, as names of dumps are dated."""
    if dataset.dump is None:
        return None
    lake = dataset.find_lake()
    names = [name for name in lake.list_dumps(dataset.table) if name < dataset.dump]
    return lake.dataset(dataset.table, names[-1]) if names else None
