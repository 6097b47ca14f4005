"""ReST and ReST-EM over stored samples: thresholds as views, the cap, equal solutions, a policy of known success."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.answer_checks import VERSION
from mmpipe.synthesis.problems import Problem
from mmpipe.synthesis.rest import (
    SAMPLES_SCHEMA,
    RestSettings,
    RestStep,
    grow,
    improve,
    run_rest,
    view_above,
)
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

PROBLEMS = pl.DataFrame(
    [
        {"problem_id": f"p{number}", "dump": "x", "question": f"{number} + 1?", "answer": str(number + 1)}
        for number in range(3)
    ]
    + [{"problem_id": "broken", "dump": "x", "question": "?", "answer": "none"}]
)


def say(request: ChatRequest) -> str | ChatFailure:
    """Of 32 samples: 20 right in 14 wordings for p0, 4 right for p1, none for p2; one of p1 fails."""
    number, sample = int(request.messages[-1].content.split()[1]), request.sample_index
    if number == 1 and sample == 31:
        return ChatFailure("timeout", "late")
    right = sample < {0: 20, 1: 4, 2: 0}[number]
    # samples 14 to 19 say again what 0 to 5 said, with other white space and case
    way = f"way  {sample - 14} Of" if sample >= 14 and right else f"Way {sample} of"
    return f"{way} counting. The answer is {number + 1 if right else -(number + 1)}."


def sample(settings: RestSettings | None = None) -> pl.DataFrame:
    return grow(PROBLEMS, ScriptedTeacher(say), settings or RestSettings()).frame


def test_every_sample_is_stored_once_with_its_reward() -> None:
    grown = grow(PROBLEMS, ScriptedTeacher(say), RestSettings())
    assert grown.frame.schema == SAMPLES_SCHEMA
    assert (grown.planned, grown.frame.height) == (4 * 32, 3 * 32 - 1)
    assert grown.rejected == {"right_answer_unreadable": 32, "teacher_timeout": 1}
    assert grown.frame["sample_id"].n_unique() == 95
    assert grown.frame.group_by("problem_id").agg(pl.col("reward").sum()).sort("problem_id").rows() == [
        ("p0", 20.0), ("p1", 4.0), ("p2", 0.0)]  # fmt: skip
    assert grown.frame["reward_name"].unique().to_list() == [VERSION]
    assert grown.frame["seed"].n_unique() == 95


def test_em_keeps_ten_of_a_problem_and_no_solution_twice() -> None:
    made = improve(sample(), RestSettings(), 0.0)
    assert made.synthesis.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    kept = made.details.group_by("problem_id").len().sort("problem_id").rows()
    assert kept == [("p0", 10), ("p1", 4)]
    # the best ten come first, so which of the rest are called duplicates depends on the draw, their sum does not
    assert made.synthesis.rejected["duplicate_solution"] + made.synthesis.rejected["over_cap"] == 20 - 10
    assert made.synthesis.rejected["reward_too_low"] == 95 - 24
    assert made.synthesis.planned == made.synthesis.frame.height + made.candidates.height == 95
    texts = [" ".join(text.casefold().split()) for text in made.synthesis.frame["response"]]
    assert len(set(texts)) == len(texts) == 14


def test_without_a_cap_only_duplicates_go() -> None:
    made = improve(sample(), RestSettings(solutions_per_problem=None), 0.0)
    assert made.synthesis.rejected == {"reward_too_low": 71, "duplicate_solution": 6}
    assert made.synthesis.frame.height == 18


def test_order_of_the_samples_changes_nothing() -> None:
    one, other = improve(sample(), RestSettings(), 0.0), improve(sample().reverse(), RestSettings(), 0.0)
    assert set(one.synthesis.frame["instruction_id"]) == set(other.synthesis.frame["instruction_id"])
    seeded = improve(sample(), RestSettings(seed=1), 0.0)
    assert set(seeded.details["problem_id"]) == {"p0", "p1"}


REWARDS = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), min_size=1, max_size=40)


@given(REWARDS, st.sampled_from([None, 1, 3]), st.data())
def test_sets_are_nested_as_the_threshold_rises(
    rewards: list[float | None], cap: int | None, data: st.DataObject
) -> None:
    stored = pl.DataFrame(
        [
            dict.fromkeys(SAMPLES_SCHEMA, None)
            | {"sample_id": f"s{place}", "problem_id": f"p{place % 3}", "dump": "x", "table": "t", "question": "?"}
            | {"solution": f"way {data.draw(st.integers(0, 5))}", "reward": reward, "teacher": "t", "seed": 0}
            | {"prompt_version": "p", "sampling": "{}", "attempts": 1, "prompt_tokens": 1, "completion_tokens": 1}
            for place, reward in enumerate(rewards)
        ],
        schema=SAMPLES_SCHEMA,
    )
    thresholds = (-1.0, 0.0, 0.25, 0.6)
    views = [set(view_above(stored, threshold)["sample_id"]) for threshold in thresholds]
    made = [improve(stored, RestSettings(solutions_per_problem=cap), threshold) for threshold in thresholds]
    sets = [set(one.synthesis.frame["instruction_id"]) for one in made]
    for low, high in zip([*views, *sets], [*views[1:], set(), *sets[1:]], strict=False):
        assert high <= low
    # a threshold is to be exceeded, not reached
    assert 0.25 not in view_above(stored, 0.25)["reward"]
    for one, view in zip(made, views, strict=True):
        assert set(one.synthesis.frame["instruction_id"]) <= view
        assert one.synthesis.frame.height + sum(one.synthesis.rejected.values()) == stored.height
        assert one.synthesis.rejected.get("reward_unmeasured", 0) == rewards.count(None)


def test_growing_once_improving_often() -> None:
    asked: list[int] = []

    def reward(problem: Problem, solution: str) -> float | None:
        return None if solution.startswith("way") else len(solution) / 100

    def train(number: int, before: tuple[RestStep, ...]) -> ScriptedTeacher:
        asked.append(len(before))
        return ScriptedTeacher(say)

    settings = RestSettings(samples=16, thresholds=(0.1, 0.355, 0.9), solutions_per_problem=None)
    steps = run_rest(PROBLEMS, train, settings, reward, grow_steps=2, reward_name="length@1")
    assert asked == [0, 1]
    sizes = [made.synthesis.frame.height for made in steps[0].improved]
    assert sizes[0] > sizes[1] > sizes[2] == 0
    assert steps[0].improved[0].synthesis.rejected["reward_unmeasured"] == 2
    assert steps[0].improved[0].details["reward_name"].unique().to_list() == ["length@1"]
    assert not set(steps[0].grown.frame["sample_id"]) & set(steps[1].grown.frame["sample_id"])


@pytest.mark.parametrize(
    "wrong", [{"thresholds": (0.5, 0.5)}, {"thresholds": ()}, {"samples": 0}, {"solutions_per_problem": 0}]
)
def test_settings_that_cannot_work_stop(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="ReST"):
        RestSettings(**wrong)  # type: ignore[arg-type]
