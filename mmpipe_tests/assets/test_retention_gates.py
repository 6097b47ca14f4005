from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmpipe.assets.contract_rules import WARNING, ContractRule
from mmpipe.assets.contracts import find_contract_folder, load_contracts
from mmpipe.assets.retention_gates import judge_gate
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import EXTRACTION_STATUSES

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.storage.lake import Dataset

RULES = ("gopher_word_count", "refinedweb_language")


def publish(root: Path, dump: str, rows_in: int, removed: dict[str, int]) -> Dataset:
    dataset = Lake(str(root / "lake")).dataset(TEXT_REMOVALS, dump)
    listed = ", ".join(f"{{rule: {name}}}" for name in RULES)
    yaml = f"text: {{rules: [{listed}]}}"

    def make() -> ShardResult:
        return ShardResult(TEXT_REMOVALS.make_empty(), rows_in, removed_by_rule=removed, accounts_for_rows=False)

    produce(dataset, [ShardWork("0", dump, ())], make, code_version="1", recipe_yaml=yaml, inputs={}, engine=Engine())
    return dataset


def judge(dataset: Dataset, measure: str, **kwargs):
    return judge_gate(ContractRule("gate", "", WARNING, measure, kwargs), dataset, dataset.require_manifest())


def test_a_share_outside_its_bounds_is_named(tmp_path):
    dataset = publish(tmp_path, "a", 1000, {"gopher_word_count": 400, "corrupt_record": 30})
    bounds = {"gopher_word_count": (0.0, 0.3), "refinedweb_language": (0.1, 0.9), "corrupt_record": (0.0, 0.02)}
    result = judge(dataset, "removed_share_by_rule", bounds=bounds, maximum=0.5)
    assert not result.passed
    assert result.observed == (
        "gopher_word_count took 40.00%, not 0.00% to 30.00%; refinedweb_language took 0.00%, not 10.00% to 90.00%; "
        "corrupt_record took 3.00%, not 0.00% to 2.00%"
    )


def test_rules_without_bounds_of_their_own_keep_to_the_maximum(tmp_path):
    dataset = publish(tmp_path, "a", 100, {"gopher_word_count": 51})
    assert judge(dataset, "removed_share_by_rule", bounds={}, maximum=0.51).passed
    assert not judge(dataset, "removed_share_by_rule", bounds={}, maximum=0.5).passed


def test_bounds_of_rules_that_the_recipe_lacks_say_nothing(tmp_path):
    dataset = publish(tmp_path, "a", 100, {"gopher_word_count": 1, "refinedweb_language": 1})
    assert judge(dataset, "removed_share_by_rule", bounds={"c4_sentence_count": (0.1, 0.2)}, maximum=1.0).passed


def test_a_rule_that_never_fires_is_named(tmp_path):
    dataset = publish(tmp_path, "a", 1000, {"gopher_word_count": 1})
    result = judge(dataset, "idle_rules")
    assert (result.passed, result.observed) == (False, "refinedweb_language took no row")


def test_small_dumps_are_not_judged(tmp_path):
    dataset = publish(tmp_path, "a", 999, {})
    result = judge(dataset, "idle_rules", least_rows=1000)
    assert (result.passed, result.observed) == (True, "not judged below 1,000 rows; 999 rows")


def test_a_share_that_moved_since_the_dump_before_is_named(tmp_path):
    publish(tmp_path, "2024-10", 1000, {"gopher_word_count": 900, "refinedweb_language": 300})
    publish(tmp_path, "2024-18", 1000, {"gopher_word_count": 100, "refinedweb_language": 300})
    later = publish(tmp_path, "2024-22", 1000, {"gopher_word_count": 400, "refinedweb_language": 100})
    result = judge(later, "removed_share_shift", most_factor=3, least_share=0.02)
    assert (result.passed, result.observed) == (False, "gopher_word_count took 10.00% of 2024-18 and 40.00% here")
    assert judge(later, "removed_share_shift", most_factor=4, least_share=0.02).passed


def test_a_share_that_fell_to_nothing_has_moved(tmp_path):
    publish(tmp_path, "a", 1000, {"gopher_word_count": 100})
    assert not judge(publish(tmp_path, "b", 1000, {}), "removed_share_shift", most_factor=3, least_share=0.02).passed


def test_the_first_dump_has_nothing_to_compare_with(tmp_path):
    assert judge(publish(tmp_path, "a", 1000, {}), "removed_share_shift", most_factor=3, least_share=0.02).passed


@pytest.mark.parametrize("measure", ["removed_share_by_rule", "idle_rules", "removed_share_shift"])
def test_the_contract_gates_every_rule_as_a_warning(measure):
    rules = load_contracts(find_contract_folder(), PUBLISHED_TABLES)["text_removals"].rules
    rule = next(rule for rule in rules if rule.expectation == measure)
    assert rule.severity == WARNING


def test_bounds_name_rules_and_statuses_that_exist():
    rules = load_contracts(find_contract_folder(), PUBLISHED_TABLES)["text_removals"].rules
    bounds = next(rule for rule in rules if rule.id == "share_by_rule").kwargs["bounds"]
    assert set(bounds) <= {*TEXT_RULES, *EXTRACTION_STATUSES}
