"""Answers that call an API are paired by Gorilla's evaluation: responses to API rows, and problems of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmpipe.errors import ConfigurationError, RecipeError, ShardError
from mmpipe.lanes.preference_methods import check_preferences
from mmpipe.synthesis.api_rows import render_answer
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.preference_house import DUMP, House

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest

CALLS = {
    name: f"torch.hub.load(repo_or_dir='pytorch/vision', model='{name}')" for name in ("resnet50", "vgg16", "alexnet")
}
SAID = (
    f"```python\nimport torch\nmodel = {CALLS['resnet50']}\n```",
    f"```python\nmodel = {CALLS['vgg16']}\n```",
    "I would look at the picture.",
)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def say(request: ChatRequest) -> str:
    return SAID[request.sample_index]


def write_cards(house: House) -> str:
    return house.write("cards.jsonl", [{"api_id": name, "api_call": call} for name, call in CALLS.items()])


def publish_api_rows(house: House) -> None:
    """Put one row of `api_rows`, and one of another method, in place of the house's questions."""
    card = {"functionality": "Classifies", "description": "pictures.", "api_call": CALLS["resnet50"],
            "environment_requirements": ["torch"]}  # fmt: skip
    plain = {"dump": DUMP, "images": [], "parents": [], "evidence": ""}
    rows = [
        {**plain, "instruction_id": "wish", "instruction": "What is in my photo?", "response": render_answer(card)},
        {**plain, "instruction_id": "fact", "instruction": "When was it built?", "response": "It was built in 1877."},
    ]
    publish(house.lake, SYNTHESIZED_INSTRUCTIONS, DUMP, fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    publish(house.lake, INSTRUCTION_REMOVALS, DUMP, INSTRUCTION_REMOVALS.make_empty())


def test_responses_to_api_rows_are_paired_by_the_api_they_call(house: House) -> None:
    publish_api_rows(house)
    cards = write_cards(house)
    manifest = house.make(f"[{{method: verified_pairs, check: {{kind: api_call}}, cards: {cards}}}]", say)

    assert house.pairs.select("group_id", "chosen", "rejected").rows() == [("wish", SAID[0], SAID[1])]
    counted = {name: count for name, count in manifest.counts.items() if name.startswith(("calls_", "answers_"))}
    assert counted == {
        "answers_right": 1, "answers_wrong": 1, "answers_unverified": 4,
        # of the other row no call is wanted
        "calls_right": 1, "calls_wrong": 1, "calls_no_call": 1, "calls_no_reference": 3,
    }  # fmt: skip
    assert not house.judge.asked


def test_without_cards_another_api_is_none(house: House) -> None:
    publish_api_rows(house)
    manifest = house.make("[{method: verified_pairs, check: {kind: api_call}}]", say)
    assert house.pairs.height == 1
    assert (manifest.counts["calls_hallucination"], "calls_wrong" in manifest.counts) == (1, False)


def test_answers_of_other_problems_are_other_apis(house: House) -> None:
    rows = [{"id": name, "question": f"Load {name}.", "answer": call} for name, call in CALLS.items()]
    file = house.write("problems.jsonl", rows)
    options = f"problems: {file}, dump: {DUMP}, check: {{kind: api_call}}, sampling: {{samples: 3}}"
    manifest = house.make(f"[{{method: verified_pairs, {options}}}]", say)

    assert set(house.pairs.select("group_id", "chosen", "rejected").rows()) == {
        ("resnet50", SAID[0], SAID[1]), ("vgg16", SAID[1], SAID[0]),
    }  # fmt: skip
    assert (manifest.counts["calls_wrong"], manifest.counts["prompts_all_wrong"]) == (4, 1)


def test_cards_are_for_calls_alone(house: House) -> None:
    cards = write_cards(house)
    for check in ("", "check: {kind: number}, "):
        with pytest.raises(
            RecipeError, match=r"mine\.yaml:4: verified_pairs: .* write `check: \{kind: api_call\}` too"
        ):
            check_preferences(house.recipe(f"[{{method: verified_pairs, {check}cards: {cards}}}]"))


def test_cards_that_cannot_be_read_stop_before_anybody_is_asked(house: House) -> None:
    wrong = house.write("wrong.jsonl", [{"api_id": "a", "call": "load()"}])
    file = house.write("problems.jsonl", [{"id": "a", "question": "Load it.", "answer": "load()"}])
    options = f"problems: {file}, dump: {DUMP}, check: {{kind: api_call}}, cards: {wrong}"
    with pytest.raises((ConfigurationError, ShardError), match=r"wrong\.jsonl: no column 'api_call'"):
        house.make(f"[{{method: verified_pairs, {options}}}]", say)
    assert not house.teacher.asked
