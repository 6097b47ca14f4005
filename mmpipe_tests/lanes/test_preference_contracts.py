"""What the preference half of the lane publishes keeps the contracts it is blocked by; rows that lie do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.assets.contracts import find_contract_folder, load_contracts
from mmpipe.assets.validation import validate_dataset
from mmpipe.tables.chat import ChatReply
from mmpipe.tables.instructions import JUDGEMENTS, PREFERENCE_DATASET, RESPONSES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe_tests.lanes.pair_lake import publish
from mmpipe_tests.lanes.preference_house import DUMP, House, answer, ask_of, mark

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest
    from mmpipe.tables.columns import Table

METHODS = "[best_worst, comparisons, best_of_n, pairwise_judge, {method: self_refinement, rounds: 2}]"
CONTRACTS = load_contracts(find_contract_folder())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path, monkeypatch)
    house.instructions = "criterion: helpfulness, samples_per_prompt: 3, principles: {honesty: 1, helpfulness: 1}"
    # of three answers one is cut; of the revisions of one question too
    house.make(METHODS, say, compare)
    house.release(METHODS)
    return house


def say(request: ChatRequest) -> str | ChatReply:
    if request.schema is not None:
        return json.dumps({"critique": "Say more.", "is_done": "What is 3" in ask_of(request)})
    if "Critique:" in ask_of(request):
        return ChatReply("Answer 7, but", "length", 9, 9) if "What is 4" in ask_of(request) else "Answer 7."
    return ChatReply(answer(request), "length" if request.sample_index == 1 else "stop", 5, 5)


def compare(request: ChatRequest) -> str:
    if request.schema is not None:
        return mark(request)
    first, second = (int(part[0]) for part in ask_of(request).split("Answer ")[1:3])
    return f"{min(first + 1, 10)} {min(second + 1, 10)}\nSo it is."


def check(house: House, table: Table, scratch: Path) -> dict[str, bool]:
    dataset = house.lake.dataset(table, None if table is PREFERENCE_DATASET else DUMP)
    results = validate_dataset(dataset, CONTRACTS[table.name], memory_limit="256MB", threads=1, scratch=scratch)
    return {result.id: result.passed for result in results}


def test_what_is_published_keeps_its_contracts(house: House, tmp_path: Path) -> None:
    for table in (RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS, PREFERENCE_PAIRS, PREFERENCE_REMOVALS, PREFERENCE_DATASET):
        results = check(house, table, tmp_path / table.name)
        assert {name for name, passed in results.items() if not passed} == set(), table.name
    # rows of each kind stood before the rules
    assert set(house.read(RESPONSE_REVISIONS)["revision_status"]) == {"ok", "done", "cut_revision", "unchanged"}
    assert "cut_answer" in house.read(JUDGEMENTS)["judgement_status"].to_list()
    assert house.read(PREFERENCE_REMOVALS).height


@pytest.mark.parametrize(
    ("table", "change", "broken"),
    [
        (RESPONSE_REVISIONS, {"round": pl.lit(1, pl.Int64)}, {"one_try_per_round"}),
        (RESPONSE_REVISIONS, {"critique": pl.lit(" ")}, {"revisions_say_something"}),
        (RESPONSE_REVISIONS, {"revision_status": pl.lit("unchanged")}, {"rounds_go_on_from_a_revision"}),
        (PREFERENCE_REMOVALS, {"value_text": pl.col("pair_id")}, {"names_another_pair"}),
        (JUDGEMENTS, {"attempts": pl.lit(0, pl.Int64)}, {"unasked_are_own_family_or_cut"}),
    ],
)
def test_rows_that_lie_are_found(
    house: House, tmp_path: Path, table: Table, change: dict[str, Any], broken: set[str]
) -> None:
    publish(house.lake, table, DUMP, house.read(table).with_columns(**change))
    results = check(house, table, tmp_path / "scratch")
    assert broken <= {name for name, passed in results.items() if not passed}
