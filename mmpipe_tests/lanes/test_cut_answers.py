"""Answers that the limit of tokens cut: in no pair of any method, asked about by no judge, counted by that reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.commands.explain import explain
from mmpipe.filtering.preference_sections import READING_RESPONSES
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.synthesis.best_of_n import BestOfNSettings, pick_best
from mmpipe.synthesis.comparisons import ComparisonSettings, compare_ranked
from mmpipe.tables.chat import ChatReply, ChatRequest
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES
from mmpipe_tests.lanes.preference_house import DUMP, House, answer, ask_of, mark

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def cut(*samples: int) -> Callable[[ChatRequest], ChatReply]:
    """Say three different things, of which those of these samples are cut."""
    return lambda request: ChatReply(answer(request), "length" if request.sample_index in samples else "stop", 1, 1)


def judge(request: ChatRequest) -> str:
    """Prefer the higher number, however it is asked about."""
    if request.schema is None:
        first, second = (int(part[0]) for part in ask_of(request).split("Answer ")[1:3])
        return f"{first + 1} {second + 1}\nSo it is."
    return mark(request)


def list_paired(house: House) -> set[str]:
    return {*house.pairs["chosen"], *house.pairs["rejected"]}


@pytest.mark.parametrize(
    ("method", "count", "left_out", "counts"),
    [
        ("best_worst", 6, {}, {}),
        ("comparisons", 6, {"cut_answer": 12}, {}),
        ("best_of_n", 6, {}, {}),
        ("pairwise_judge", 6, {}, {"answers_cut_answer": 6}),
        ("{method: verified_pairs, check: {kind: number}}", 1, {}, {"answers_cut_answer": 6}),
        ("{method: online_preferences, round: 0}", 6, {"cut_answer": 12}, {}),
    ],
)
def test_a_cut_answer_is_in_no_pair(
    house: House, method: str, count: int, left_out: dict[str, int], counts: dict[str, int]
) -> None:
    # the best by every judge, and by itself what decides a pair
    manifest = house.make(f"[{method}]", cut(2), judge)

    assert house.read(RESPONSES).filter(finish_reason="length").height == 6
    # of the six questions 1 answers the first and 2, which is cut, the second
    assert (house.pairs.height, list_paired(house)) == (count, {"Answer 0.", "Answer 1."})
    assert {name: given for name, given in manifest.removed_by_rule.items() if "cut" in name} == left_out
    assert {name: manifest.counts.get(name) for name in counts} == counts


@pytest.mark.parametrize("method", ["best_worst", "best_of_n", "{method: ultrafeedback, criticises: false}"])
def test_a_prompt_that_cuts_leave_with_one_answer_is_counted_by_that_reason(house: House, method: str) -> None:
    manifest = house.make(f"[{method}]", cut(1, 2), judge_alone)
    assert house.pairs.is_empty()
    assert manifest.removed_by_rule == {"cut_answer": 6}
    assert manifest.rows_in == 6


def judge_alone(request: ChatRequest) -> str:
    assert request.schema is not None
    if "ratings" not in request.schema["properties"]:
        return mark(request)
    assert "Answer 2:" not in ask_of(request)
    return json.dumps({"ratings": [{"answer": 1, "rationale": "So.", "rating": "3"}]})


@pytest.mark.parametrize(
    ("method", "criterion"),
    [("best_worst", "helpfulness"), ("best_worst", "answer_f1"), ("ultrafeedback", "helpfulness")],
)
def test_no_judge_is_asked_about_a_cut_answer_and_its_row_says_why(house: House, method: str, criterion: str) -> None:
    house.instructions = f"criterion: {criterion}, samples_per_prompt: 3"
    house.make(f"[{method}]", cut(0, 1, 2), judge)

    assert not house.judge.asked
    judgements = house.read(JUDGEMENTS)
    assert set(judgements["judgement_status"]) == {"cut_answer"}
    assert judgements["score"].null_count() == judgements.height
    assert set(judgements["attempts"]) == {0}
    record_dump(house.lake, Dump(DUMP, str(house.folder), ()))
    (fate,) = explain(house.lake, "q0")
    told = {step.asset: step for step in fate.steps}["judgements"]
    assert {row["judgement_status"] for row in told.rows} == {"cut_answer"}


def test_the_first_whole_answer_is_refined(house: House) -> None:
    def author(request: ChatRequest) -> str | ChatReply:
        if request.schema is not None:
            return json.dumps({"critique": "Say more.", "is_done": "Answer 7" in ask_of(request)})
        return "Answer 7." if "Critique" in ask_of(request) else cut(0)(request)

    manifest = house.make("[{method: self_refinement, rounds: 2}]", author, judge)
    assert set(house.pairs["rejected"]) == {"Answer 1."}
    assert manifest.counts["answers_cut_answer"] == 6


def test_every_method_that_reads_responses_is_held_to_it() -> None:
    tested = {"best_worst", "comparisons", "best_of_n", "pairwise_judge", "verified_pairs", "ultrafeedback",
              "self_refinement"}  # fmt: skip
    assert set(READING_RESPONSES) == tested


_ANSWERS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(1, 4)), st.sampled_from(["stop", "length", None])), max_size=6
)


@given(_ANSWERS)
def test_cut_answers_change_nothing_but_the_account(answers: list[tuple[int | None, str | None]]) -> None:
    names = ("prompt_id", "prompt", "answer_id", "answer", "score", "finish_reason")
    rows = [("p", "P?", f"a{n}", f"text {n}", score, ended) for n, (score, ended) in enumerate(answers)]
    schema = dict.fromkeys(names, pl.String) | {"score": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    whole = frame.filter(pl.col("finish_reason").ne_missing("length"))

    made = compare_ranked(frame, ComparisonSettings())
    assert made.frame.equals(compare_ranked(whole, ComparisonSettings()).frame)
    assert made.planned == made.frame.height + sum(made.left_out.values())
    picked, alone = pick_best(frame, BestOfNSettings()), pick_best(whole, BestOfNSettings())
    assert picked.best.equals(alone.best)
    assert picked.comparisons.frame.equals(alone.comparisons.frame)
    assert picked.comparisons.planned == (1 if answers else 0)
