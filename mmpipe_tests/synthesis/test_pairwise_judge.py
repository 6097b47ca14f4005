"""Two answers judged in both orders: what agrees is a pair, what the place decides is a tie and counted as bias."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.pairwise_judge import PairwiseSettings, judge_pairs, parse_two_scores
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest


def make_pairs(pairs: list[tuple[str, str]], **columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt_id": [f"p{place}" for place in range(len(pairs))],
            "prompt": ["What is on the sofa?"] * len(pairs),
            "evidence": ["A dog on a sofa. dog: [0.1, 0.2, 0.5, 0.9]"] * len(pairs),
            "first_id": [f"f{place}" for place in range(len(pairs))],
            "first": [first for first, _ in pairs],
            "second_id": [f"s{place}" for place in range(len(pairs))],
            "second": [second for _, second in pairs],
            **columns,
        }
    )


def read_shown(request: ChatRequest) -> tuple[str, str]:
    found = re.search(r"First answer:\n(.*)\n\nSecond answer:\n(.*)", request.messages[-1].content)
    assert found
    return found[1], found[2]


def mark(request: ChatRequest) -> str | ChatReply | ChatFailure:
    """Mark an answer by its number, with what its word does to the judge."""
    first, second = read_shown(request)
    words = {first.split()[0], second.split()[0]}
    if "down" in words:
        return ChatFailure("timeout", "slow")
    if "prose" in words:
        return "Both answers are good."
    if "eleven" in words:
        return "11 9\nThe first is brilliant."
    marks = [float(answer.split()[1]) for answer in (first, second)]
    if "front" in words:
        marks = [9, 4]
    if "back" in words:
        marks = [4, 9]
    if "half" in words:
        marks = [8, 8] if first.startswith("half") else [4, 7]
    return f"{marks[0]:g} {marks[1]:g}\nBecause."


def test_every_way_a_comparison_can_end() -> None:
    pairs = [
        ("good 9", "bad 3"), ("bad 2", "good 8"), ("same 5", "equal 5"), ("front 1", "x 2"), ("back 1", "x 2"),
        ("half 1", "x 2"), ("prose 1", "x 2"), ("eleven 1", "x 2"), ("down 1", "x 2"), ("twin 1", " twin  1 "),
    ]  # fmt: skip
    judge = ScriptedTeacher(mark)
    made = judge_pairs(make_pairs(pairs), judge, PairwiseSettings())
    assert made.frame["verdict"].to_list() == [
        "agreed", "agreed", "tied_scores", "position_disagreement", "position_disagreement", "position_disagreement",
        "unreadable_scores", "score_out_of_range", "teacher_timeout", "identical_answers",
    ]  # fmt: skip
    assert made.comparisons.frame.select("chosen", "rejected", "margin").rows() == [
        ("good 9", "bad 3", 6.0),
        ("good 8", "bad 2", 6.0),
    ]
    assert made.comparisons.planned == 10
    assert made.comparisons.left_out == {
        "position_disagreement": 3, "identical_answers": 1, "score_out_of_range": 1, "teacher_timeout": 1,
        "tied_scores": 1, "unreadable_scores": 1,
    }  # fmt: skip
    # of 6 read both times, the place decided one for the first and one for the second; the half-tie is neither
    assert (made.bias.compared, made.bias.first_place, made.bias.second_place) == (6, 1, 1)
    assert made.bias.rate == pytest.approx(2 / 6)
    # nine asked twice, three of these unreadable and asked twice again
    assert made.spent.requests == 2 * 9 + 2 * 3
    assert made.rejected_replies == {"score_out_of_range": 4, "teacher_timeout": 4, "unreadable_scores": 4}


def test_each_mark_stays_with_its_answer_when_swapped() -> None:
    judge = ScriptedTeacher(lambda request: "8 3" if read_shown(request)[0] == "x" else "4 7")
    row = judge_pairs(make_pairs([("x", "y")]), judge, PairwiseSettings()).frame.row(0, named=True)
    assert [read_shown(request) for request in judge.asked] == [("x", "y"), ("y", "x")]
    assert (row["first_shown_first"], row["second_shown_second"]) == (8, 3)
    assert (row["second_shown_first"], row["first_shown_second"]) == (4, 7)
    assert (row["score_first"], row["score_second"]) == (7.5, 3.5)


def test_a_judge_that_only_sees_the_place_makes_no_pair() -> None:
    judge = ScriptedTeacher(lambda request: "9 2")
    made = judge_pairs(make_pairs([(f"a{n}", f"b{n}") for n in range(7)]), judge, PairwiseSettings())
    assert made.comparisons.frame.height == 0
    assert made.comparisons.left_out == {"position_disagreement": 7}
    assert made.bias.rate == 1.0
    assert judge_pairs(make_pairs([]).cast(pl.String), judge, PairwiseSettings()).bias.rate is None


def test_margin_and_own_family() -> None:
    pairs = make_pairs([("good 9", "bad 8.5"), ("good 9", "bad 3")])
    made = judge_pairs(pairs, ScriptedTeacher(mark), PairwiseSettings(least_margin=1))
    assert made.comparisons.left_out == {"small_margin": 1}
    authors = {"first_model": ["gpt-4", "llama"], "second_model": ["llama", "llama"]}
    named = pairs.with_columns(pl.Series(name, values) for name, values in authors.items())
    judge = ScriptedTeacher(mark, "endpoint:gpt-4o@1")
    settings = PairwiseSettings(families={"gpt": "openai"})
    assert judge_pairs(named, judge, settings).comparisons.left_out == {"own_family": 1}
    assert len(judge.asked) == 2
    told = PairwiseSettings(families={"gpt": "openai"}, judges_own_family=True)
    assert judge_pairs(named, judge, told).comparisons.frame.height == 2


def test_a_later_attempt_may_be_read() -> None:
    judge = ScriptedTeacher(lambda request: mark(request) if request.sample_index else "Let me think.")
    made = judge_pairs(make_pairs([("good 9", "bad 3")]), judge, PairwiseSettings())
    assert made.comparisons.frame.height == 1
    assert made.rejected_replies == {"unreadable_scores": 2}


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        ("8 7\nThe first …", (8, 7)),
        ("\n\n 8.5 9 \nBoth", (8.5, 9)),
        ("8, 7", (8, 7)),
        ("8/10 7/10", (8, 7)),
        ("8/10, 7/10.", (8, 7)),
        ("10 10", (10, 10)),
        ("**9** **7**", (9, 7)),
        ("Assistant 1: 8, Assistant 2: 7", (8, 7)),
        ("Assistant 1: 8\nAssistant 2: 7\n\nThe …", (8, 7)),
        ("Answer A: 8/10\nAnswer B: 7/10", (8, 7)),
        ("Scores: 8 and 7", (8, 7)),
        ("8 | 7", (8, 7)),
        ("8 out of 10, 7 out of 10", (8, 7)),
        ("8-7", (8, 7)),
        ("1 2", (1, 2)),
        ("11 9", "score_out_of_range"),
        ("0 9", "score_out_of_range"),
        ("8", "unreadable_scores"),
        ("8/10", "unreadable_scores"),
        ("12", "unreadable_scores"),
        ("8 7 6", "unreadable_scores"),
        ("", "unreadable_scores"),
        ("   \n\n", "unreadable_scores"),
        ("Assistant 1 gave 3 reasons and 2 examples.\n8 7", "unreadable_scores"),
        ("In 2019 it had 2 dogs", "unreadable_scores"),
        ("Assistant 1: 8\nThat is all", "unreadable_scores"),
        ("<html>502</html>", "unreadable_scores"),
        ("the " * 5000 + "8 7", "unreadable_scores"),
    ],
)
def test_first_lines(reply: str, marks: tuple[float, float] | str) -> None:
    assert parse_two_scores(reply) == marks


@given(st.integers(1, 10), st.integers(1, 10), st.sampled_from([" ", ", ", " / ", " and ", "\t", "; "]))
def test_any_two_marks_are_read(first: int, second: int, between: str) -> None:
    # "8 / 10" is one mark of ten, and that is all it can be
    wanted = "unreadable_scores" if between == " / " and second == 10 else (first, second)
    assert parse_two_scores(f"{first}{between}{second}\nwords 3 4") == wanted


@given(st.text(max_size=300))
def test_any_reply_is_marks_or_a_reason(text: str) -> None:
    read = parse_two_scores(text)
    assert read in ("unreadable_scores", "score_out_of_range") or all(1 <= mark <= 10 for mark in read)
