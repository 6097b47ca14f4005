"""Pairs that are not released, through the lane: each has a row that says why, and the release has all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmpipe.commands.explain import explain
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.tables.instructions import PREFERENCE_DATASET
from mmpipe.tables.removals import PREFERENCE_REMOVALS
from mmpipe_tests.lanes.preference_house import DUMP, House, answer, ask_of, mark

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest

METHODS = "[comparisons, best_of_n, pairwise_judge]"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def judge(request: ChatRequest) -> str:
    """Mark higher numbers higher; asked about two of the first question, prefer the lower one."""
    if request.schema is not None:
        return mark(request)
    first, second = (int(part[0]) for part in ask_of(request).split("Answer ")[1:3])
    if "What is 0 + 1" in ask_of(request):
        first, second = second, first
    return f"{first + 1} {second + 1}\nSo it is."


def test_each_pair_is_released_or_has_a_row_with_its_reason(house: House) -> None:
    house.make(METHODS, answer, judge)
    manifest, released = house.release(METHODS)
    removals = house.read(PREFERENCE_REMOVALS)

    pairs = house.pairs
    assert {*released["id"], *removals["pair_id"]} == set(pairs["pair_id"])
    assert not set(released["id"]) & set(removals["pair_id"])
    # best-of-n repeats one of the comparisons of each prompt, and so does the judge but for the first, which it denies
    assert manifest.removed_by_rule == {"contradicted_pair": 3, "repeated_pair": 10}
    assert manifest.rows_in == pairs.height == manifest.rows_out + manifest.rows_removed
    counted = house.lake.dataset(PREFERENCE_REMOVALS, DUMP).require_manifest()
    assert counted.removed_by_rule == manifest.removed_by_rule
    assert (counted.rows_in, counted.rows_removed) == (pairs.height, 13)
    # a repeated pair names the one that stays, and that says the same
    by_id = {row["pair_id"]: row for row in pairs.iter_rows(named=True)}
    for row in removals.iter_rows(named=True):
        pair, other = by_id[row["pair_id"]], by_id[row["value_text"]]
        assert pair["group_id"] == other["group_id"]
        if row["rule"] == "repeated_pair":
            assert other["pair_id"] in released["id"].to_list()
            assert (pair["chosen"], pair["rejected"]) == (other["chosen"], other["rejected"])
        else:
            assert (pair["chosen"], pair["rejected"]) == (other["rejected"], other["chosen"])
            assert pair["group_id"] == "q0"


def test_what_one_method_repeats_or_denies_of_itself_has_its_row_too(house: House) -> None:
    # of the first question two answers have equal words and scores; of the second, equal words and scores apart
    said = {"What is 0 + 1": ["Same.", "Same.", "Best."], "What is 1 + 1": ["Twice.", "Twice.", "Between."]}
    marks = {"What is 0 + 1": [2, 2, 9], "What is 1 + 1": [1, 9, 5]}
    counted: dict[str, int] = {}

    def speak(request: ChatRequest) -> str:
        asked = next((name for name in said if name in ask_of(request)), "")
        return said[asked][request.sample_index] if asked else answer(request)

    def score(request: ChatRequest) -> str:
        asked = next((name for name in marks if name in ask_of(request)), "")
        if not asked:
            return mark(request)
        place = counted[asked] = counted.get(asked, -1) + 1
        return json.dumps({"rationale": "So it is.", "score": marks[asked][place]})

    manifest = house.make("[comparisons]", speak, score)
    assert manifest.removed_by_rule == {"identical_answers": 2}
    gone = house.read(PREFERENCE_REMOVALS).join(house.pairs, on="pair_id")
    assert gone.group_by("group_id", "rule").len().sort("group_id").rows() == [
        ("q0", "repeated_pair", 1),
        ("q1", "contradicted_pair", 2),
    ]
    _, released = house.release("[comparisons]")
    assert {*released["id"], *gone["pair_id"]} == set(house.pairs["pair_id"])
    assert released.height == house.pairs.height - 3


def test_a_pair_that_falls_is_told_the_one_that_stays(house: House) -> None:
    house.make(METHODS, answer, judge)
    house.release(METHODS)
    house.lake.dataset(PREFERENCE_DATASET).record_verdict([])
    record_dump(house.lake, Dump(DUMP, str(house.folder), ()))
    gone = house.read(PREFERENCE_REMOVALS).filter(rule="repeated_pair").row(0, named=True)

    (fate,) = explain(house.lake, gone["pair_id"])
    assert fate.verdict == "preference_removals: removed by repeated_pair"
    (step,) = (step for step in fate.steps if step.asset == "preference_removals")
    assert step.rows == (
        {"rule": "repeated_pair", "measured": gone["value_text"], "limit": "no pair of equal answers before it"},
    )
    (kept,) = explain(house.lake, gone["value_text"])
    assert kept.verdict == "kept, up to preference_dataset"


def test_another_order_of_methods_takes_the_same_pairs(house: House) -> None:
    house.make(METHODS, answer, judge)
    first = house.read(PREFERENCE_REMOVALS)
    house.make("[pairwise_judge, best_of_n, comparisons]", answer, judge)
    assert house.read(PREFERENCE_REMOVALS).sort("pair_id").equals(first.sort("pair_id"))
