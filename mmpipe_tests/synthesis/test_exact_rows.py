"""Exactly N accepted rows under a budget of candidates, whatever the waves and the order of arrival."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.drafts import BEYOND_WANTED, Draft, Planned, Synthesis, synthesize_exactly
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatReply, ChatRequest, Sampling
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}


def plan(number: int | str) -> Planned:
    return Planned(
        instruction_id=f"c{number}",
        dump="x",
        method="test",
        stage="instruction_tuning",
        mode="general_distillation.from_seeds",
        prompt_version="test/plain@0",
        messages=(ChatMessage("user", f"{number}"),),
        schema=SCHEMA,
        sampling=Sampling(),
        retry_temperature=0.7,
        evidence="evidence",
    )


def plan_forever() -> Iterator[Planned]:
    return (plan(number) for number in count())


def teach(pattern: list[bool]) -> ScriptedTeacher:
    """Return a teacher whose nth candidate is good where the pattern says so, and bad beyond its end."""

    def reply(request: ChatRequest) -> ChatReply:
        number = int(request.messages[-1].content)
        is_good = number < len(pattern) and pattern[number]
        return ChatReply(json.dumps({"q": "good" if is_good else "bad"}), "stop", 3, 2, attempts=2, cost=0.5)

    return ScriptedTeacher(reply)


def accept(planned: Planned, reply: Mapping[str, Any]) -> Draft | str:
    return Draft(f"{planned.instruction_id}?", "yes") if reply["q"] == "good" else "not_good"


def list_ids(made: Synthesis) -> list[str]:
    return list(made.frame.get_column("instruction_id"))


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 20), st.integers(0, 40))
def test_the_first_accepted_candidates_are_the_rows(pattern: list[bool], wanted: int, more: int) -> None:
    budget = wanted + more
    teacher = teach(pattern)
    made = synthesize_exactly(plan_forever(), teacher, accept, wanted=wanted, budget=budget)

    good = [f"c{number}" for number, is_good in enumerate(pattern[:budget]) if is_good]
    assert list_ids(made) == good[:wanted]
    assert made.missing == wanted - len(good[:wanted])
    assert made.planned == made.frame.height + sum(made.rejected.values()) <= budget
    assert made.planned == made.spent.requests == len(teacher.asked)
    assert made.candidates is not None
    named = [*list_ids(made), *made.candidates.get_column("id")]
    assert sorted(named) == sorted(f"c{number}" for number in range(made.planned))
    if made.missing:
        assert made.planned == budget
    assert made.spent.cost == made.planned * 0.5
    if made.frame.height:
        assert made.cost_per_row == made.planned * 0.5 / made.frame.height
        assert made.tokens_per_row == made.planned * 5 / made.frame.height


def test_waves_follow_the_share_that_is_accepted() -> None:
    teacher = teach([number % 4 == 0 for number in range(1000)])
    made = synthesize_exactly(plan_forever(), teacher, accept, wanted=50, budget=1000)

    assert made.frame.height == 50
    # the 50th good one is number 196; a wave that knows the share goes little beyond
    assert 197 <= made.planned <= 240
    assert made.rejected["not_good"] + made.rejected.get(BEYOND_WANTED, 0) == made.planned - 50
    assert BEYOND_WANTED not in made.rejected_replies
    assert made.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert made.frame.row(0, named=True)["attempts"] == 2


def test_the_end_of_the_budget_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = synthesize_exactly(plan_forever(), teach([True, False, True]), accept, wanted=3, budget=30)
        few = synthesize_exactly(iter([plan(0)]), teach([True]), accept, wanted=3, budget=30)
    assert (made.frame.height, made.missing, made.planned) == (2, 1, 30)
    assert (few.frame.height, few.missing, few.planned) == (1, 2, 1)
    assert "2 of 3 wanted rows were accepted, then the budget of 30 candidates ended" in caplog.text
    assert "1 of 3 wanted rows were accepted, then the 1 candidates there were ended" in caplog.text


def test_a_repeated_candidate_is_no_second_row() -> None:
    made = synthesize_exactly(iter([plan(0), plan(0), plan(1)]), teach([True, True]), accept, wanted=2, budget=3)
    assert list_ids(made) == ["c0", "c1"]
    assert made.rejected == {"repeated_candidate": 1}


def test_failures_are_named_with_what_was_said() -> None:
    def reply(request: ChatRequest) -> ChatReply | ChatFailure | str:
        return {
            "0": ChatFailure("truncated", "cut at max_tokens = 9"),
            "1": '{"q": "bad"}',
            "2": "no JSON",
        }.get(request.messages[-1].content, '{"q": "good"}')

    made = synthesize_exactly(plan_forever(), ScriptedTeacher(reply), accept, wanted=1, budget=9)
    assert made.candidates is not None
    assert list_ids(made) == ["c3"] if made.planned == 4 else made.frame.height == 1
    rows = {row["id"]: (row["text"], row["reason"]) for row in made.candidates.rows(named=True)}
    assert rows["c0"] == ("cut at max_tokens = 9", "teacher_truncated")
    assert rows["c1"] == ('{"q": "bad"}', "not_good")
    assert rows["c2"][1] == "teacher_schema"


def test_a_pool_sees_candidates_in_order_and_none_beyond() -> None:
    pool: list[str] = []

    def accept_far(planned: Planned, reply: Mapping[str, Any]) -> Draft | str:
        if len(pool) % 2:  # every second comparison fails: depends on all before
            pool.append("-")
            return "too_near"
        pool.append(planned.instruction_id)
        return Draft("q", "a")

    made = synthesize_exactly(plan_forever(), teach([True] * 99), accept_far, wanted=10, budget=99)
    assert list_ids(made) == [f"c{number}" for number in range(0, 20, 2)]
    assert len(pool) == 19


def test_a_budget_below_what_is_wanted_stops() -> None:
    with pytest.raises(ConfigurationError, match="raise the budget"):
        synthesize_exactly(plan_forever(), teach([]), accept, wanted=3, budget=2)
