"""Toolformer's filter with a language model trained in the test: bigrams, and a memory of what stands before."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.call_losses import (
    Losses,
    begins_word,
    choose_places,
    make_weights,
    measure_losses,
    render_call,
)
from mmpipe.synthesis.text_tools import (
    TextTool,
    calculate,
    make_calculator,
    make_calendar,
    make_question_answering,
    make_search,
)
from mmpipe.synthesis.toolformer import (
    CALCULATOR_SETTINGS,
    REASONS,
    ToolformerSettings,
    make_toolformer_rows,
    read_call,
)
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest


class CacheBigrams:
    """A trained model: a bigram counted on texts, mixed with how often a token stood before (Kuhn and De Mori 1990)."""

    def __init__(self, texts: Sequence[str], memory: float = 0.5) -> None:
        split = [self.split(text) for text in texts]
        words = sorted({piece for pieces in split for piece in pieces} | {"["})
        self.ids = {word: number for number, word in enumerate(words)}
        self.counts = np.full((len(words) + 1, len(words) + 1), 0.01)
        self.memory = memory
        for pieces in split:
            for one, other in pairwise(pieces):
                self.counts[self._id(one), self._id(other)] += 1

    most_tokens = 1000

    def split(self, text: str) -> list[str]:
        return re.findall(r"\s*\d[\d.]*\d|\s*\w+|\s*[^\w\s]|\s+$", text)

    def _id(self, piece: str) -> int:
        return self.ids.get(piece, len(self.ids))

    def _log(self, before: list[str], piece: str) -> float:
        last = self._id(before[-1]) if before else len(self.ids)
        row = self.counts[last]
        bigram = row[self._id(piece)] / row.sum()
        share = [other.strip() for other in before].count(piece.strip()) / max(len(before), 1)
        return math.log((1 - self.memory) * bigram + self.memory * share)

    def score_before_each(self, prompt: str, pieces: Sequence[str], token: str) -> list[float]:
        start = self.split(prompt)
        return [self._log([*start, *pieces[:place]], token) for place in range(len(pieces))]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        scored = []
        for prefix, text in pairs:
            before, logs = self.split(prefix), []
            for piece in self.split(text):
                logs.append(self._log(before, piece))
                before = [*before, piece]
            scored.append(logs)
        return scored


HALL = "The hall has 12 rows of 30 seats , that is 360 in all ."
TRAINING = [
    "The room has 5 rows of 7 chairs , that is [ Calculator 35 in all .",
    "The bus has 4 rows of 4 seats , that is [ Calculator 16 in all .",
    "A field is wide . It is green in all weathers .",
]


@pytest.fixture(scope="module")
def model() -> CacheBigrams:
    return CacheBigrams(TRAINING)


def make_documents(*texts: str) -> pl.DataFrame:
    return pl.DataFrame({"doc_id": [f"d{n}" for n in range(len(texts))], "dump": ["x"] * len(texts), "text": texts})


def test_weights_fall_by_a_fifth_and_add_to_one() -> None:
    assert make_weights(0.2) == pytest.approx([1 / 3, 0.8 / 3, 0.6 / 3, 0.4 / 3, 0.2 / 3], abs=1e-12)
    assert make_weights(1.0) == [1.0]
    for step in (0.1, 0.3, 0.07):
        assert math.fsum(make_weights(step)) == pytest.approx(1.0)
        assert all(one > other for one, other in pairwise(make_weights(step)))
    with pytest.raises(ConfigurationError, match="weight_step"):
        ToolformerSettings(weight_step=0)


def test_the_gain_is_against_the_better_of_two() -> None:
    assert Losses(1.0, 3.0, 2.5).gain == 1.5
    assert Losses(1.0, 2.0, 2.5).gain == 1.0
    assert ToolformerSettings() == ToolformerSettings(
        places=5, call_probability=0.05, calls_per_place=5, loss_gain=1.0, rows_per_tool=25_000
    )
    paper = (20, 0.0, 10, 0.5)
    mine = CALCULATOR_SETTINGS
    assert (mine.places, mine.call_probability, mine.calls_per_place, mine.loss_gain) == paper


def test_losses_are_those_computed_by_hand(model: CacheBigrams) -> None:
    pieces = model.split(HALL)
    place = pieces.index(" 360")
    losses = measure_losses(pieces, [(place, "12 * 30", "360")], "Calculator", model)[0]
    before, after = "".join(pieces[:place]), "".join(pieces[place : place + 5])
    for loss, call in (
        (losses.with_result, "[Calculator(12 * 30) → 360] "),
        (losses.without_result, "[Calculator(12 * 30)] "),
        (losses.without_call, ""),
    ):
        logs = model.score([(call + before, after)])[0]
        assert loss == pytest.approx(-sum(n * log for n, log in zip((5, 4, 3, 2, 1), logs, strict=False)) / 15)


def test_a_result_that_is_told_helps_and_another_does_not(model: CacheBigrams) -> None:
    pieces = model.split(HALL)
    place = pieces.index(" 360")
    right, wrong, late = measure_losses(
        pieces, [(place, "12 * 30", "360"), (place, "12 * 3", "36"), (place + 1, "12 * 30", "360")], "Calculator", model
    )
    assert right.gain > 0.5
    assert wrong.gain < 0.1
    assert late.gain < 0.1


def test_places_are_the_most_likely_ones(model: CacheBigrams) -> None:
    pieces = model.split(HALL)
    logs = model.score_before_each("", pieces, " [")
    by_hand = [place for place, log in enumerate(logs) if place and math.exp(log) > 0.05]
    assert by_hand == [pieces.index(" 360")]

    assert choose_places(pieces, model, most=5, call_probability=0.05) == by_hand
    assert len(choose_places(pieces, model, most=4, call_probability=0.0)) == 4
    assert choose_places(pieces, model, most=0, call_probability=0.0) == []
    assert 0 not in choose_places(pieces, model, most=99, call_probability=0.0)


SETTINGS = ToolformerSettings(places=2, call_probability=0.0, calls_per_place=2, loss_gain=0.5)


def test_rows_hold_the_text_with_the_calls_that_help(model: CacheBigrams) -> None:
    def script(request: ChatRequest) -> str:
        before = str(request.messages[-1].content).split("Text: ")[1].split(" <call>")[0]
        return "Calculator(12 * 30)" if before.endswith("that is") else "[Calculator(1 + 1)]"

    settings = ToolformerSettings(places=20, call_probability=0.0, calls_per_place=2, loss_gain=0.5)
    made = make_toolformer_rows(make_documents(HALL), make_calculator(), ScriptedTeacher(script), model, settings)
    row = made.synthesis.frame.row(0, named=True)
    assert row["response"] == HALL.replace("is 360", "is [Calculator(12 * 30) → 360] 360")
    assert re.sub(r"\[[^]]*\] ", "", row["response"]) == HALL
    call = made.details["calls"][0][0]
    assert (call["argument"], call["result"]) == ("12 * 30", "360")
    gain = min(call["loss_without_call"], call["loss_without_result"]) - call["loss_with_result"]
    assert gain >= 0.5
    strict = ToolformerSettings(places=20, call_probability=0.0, calls_per_place=2, loss_gain=gain + 0.01)
    refused = make_toolformer_rows(make_documents(HALL), make_calculator(), ScriptedTeacher(script), model, strict)
    assert refused.synthesis.rejected == {"no_help": 1}


def test_every_document_without_a_call_says_why(model: CacheBigrams) -> None:
    texts = [HALL, f"{HALL} words", f"{HALL} zero", f"{HALL} late", f"{HALL} idle", "", f"{HALL} again"]

    def script(request: ChatRequest) -> str | ChatFailure | ChatReply:
        said = str(request.messages[-1].content)
        if "words" in said:
            return "I would not call anything here."
        if "zero" in said:
            return "Calculator(1 / 0)"
        if "late" in said:
            return ChatFailure("timeout", "slow")
        return "Calculator(2 + 2)" if "idle" in said else "Calculator(12 * 30)"

    settings = ToolformerSettings(
        places=20, call_probability=0.0, calls_per_place=1, loss_gain=0.5, rows_per_tool=1, shown_after=500
    )
    made = make_toolformer_rows(make_documents(*texts), make_calculator(), ScriptedTeacher(script), model, settings)
    assert made.synthesis.rejected == dict.fromkeys(sorted([*REASONS, "teacher_timeout"]), 1)
    assert made.synthesis.frame.height == 1
    assert made.synthesis.planned == len(texts)
    assert set(made.candidates["reason"]) == {*REASONS, "teacher_timeout"}
    turned = make_toolformer_rows(
        make_documents(*texts).reverse(), make_calculator(), ScriptedTeacher(script), model, settings
    )
    assert turned.synthesis.frame.equals(made.synthesis.frame)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("400 / 1400", "0.29"),
        ("(2 + 3) * -4", "-20"),
        ("1,400 + 1", "1401"),
        ("6 ÷ 3 − 1", "1"),
        ("0.1 + 0.2", "0.30"),
        ("1 / 3 * 3", "1"),
        ("1 / 0", None),
        ("2 ** 9 ** 9", None),
        ("__import__('os')", None),
        ("7 // 2", None),
        ("1 2", None),
        ("1, 2", None),
        ("", None),
        ("(" * 150, None),
        ("9" * 150 + "*" + "9" * 40, str(int(float("9" * 150) * float("9" * 40)))),
        ("1e400", None),
    ],
)
def test_the_calculator_knows_four_operations(text: str, result: str | None) -> None:
    assert calculate(text) == result


@given(st.integers(-999, 999), st.integers(-999, 999), st.sampled_from("+-*"))
def test_the_calculator_agrees_with_python(one: int, other: int, sign: str) -> None:
    assert calculate(f"({one}) {sign} ({other})") == str(eval(f"({one}) {sign} ({other})"))


def test_the_calendar_says_the_documents_day() -> None:
    run = make_calendar().run
    assert run("", {"date": dt.date(2019, 11, 22)}) == "Today is Friday, November 22, 2019."
    assert run(" ", {"date": "2024-02-29T10:00"}) == "Today is Thursday, February 29, 2024."
    assert run("tomorrow", {"date": dt.date(2019, 11, 22)}) is None
    assert run("", {"date": "soon"}) is None
    assert run("", {}) is None


def test_search_finds_the_passage_that_fits_but_not_the_document_itself() -> None:
    passages = ["Whales sing in the sea.", "The sea is salt. Sea water is heavy.", "Trains run on rails."]
    tool = make_search(passages)
    assert tool.run("sea salt", {}) == passages[1]
    assert tool.run("sea salt", {"text": f"Before. {passages[1]} After."}) == passages[0]
    assert tool.run("aeroplanes", {}) is None
    answers = make_question_answering(passages)
    assert answers.run("Which water is heavy?", {}) == "Sea water is heavy."
    assert make_search([]).run("sea", {}) is None


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("Calculator(1 + 1)", "1 + 1"),
        (" [Calculator(1 + 1)] ", "1 + 1"),
        ("`Calculator()`", ""),
        ("Search(x)", None),
        ("Calculator(1", None),
        ("Calculator(1)\nCalculator(2)", None),
        ("Calculator(1 → 2)", None),
        ("Calculator([1])", None),
    ],
)
def test_only_a_call_alone_is_a_call(text: str, argument: str | None) -> None:
    assert read_call(text, "Calculator") == argument


def test_a_result_with_marks_of_its_own_is_none(model: CacheBigrams) -> None:
    tool = TextTool("Echo", "says it", "Echo(x)", lambda text, _: f"[{text}]")
    made = make_toolformer_rows(make_documents(HALL), tool, ScriptedTeacher(lambda _: "Echo(hi)"), model, SETTINGS)
    assert made.synthesis.rejected == {"no_result": 1}
    assert render_call("Echo", "hi") == "[Echo(hi)]"


@pytest.mark.parametrize(
    ("pieces", "wanted"),
    [
        (["The", " hall", " has", " ", "3", "6", "0", "."], [1, 2, 3, 4, 7]),
        (["rec", "ords", " of", " 1", ",", "400", "."], [2, 3, 6]),
        (["3", ".", " Then"], [1, 2]),
        # no spaces between words: every token may begin one
        (["桥", "在", "河", "上"], [1, 2, 3]),
    ],
)
def test_a_call_stands_before_words_and_numbers_and_never_inside(pieces: list[str], wanted: list[int]) -> None:
    assert [place for place in range(len(pieces)) if begins_word(pieces, place)] == wanted


def test_one_call_that_helps_at_places_near_each_other_stands_once() -> None:
    text = "So it is that 360 seats are in all of it and much later again that 360 seats are in all."

    class Told:
        """Finds every token a little less surprising behind a call with its result, the nearer to 360 the less."""

        most_tokens = 1000

        def split(self, text: str) -> list[str]:
            return re.findall(r"\s*\S+", text)

        def score_before_each(self, prompt: str, pieces: Sequence[str], token: str) -> list[float]:
            return [-0.1] * len(pieces)

        def score(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
            has = ["360]" in prefix for prefix, _ in pairs]
            return [
                [-0.5 if told and piece.strip() == "360" else -9.0 for piece in self.split(text)]
                for told, (_, text) in zip(has, pairs, strict=True)
            ]

    made = make_toolformer_rows(
        pl.DataFrame({"doc_id": ["a"], "dump": ["d"], "text": [text]}),
        make_calculator(),
        ScriptedTeacher(lambda _: "Calculator(12 * 30)"),
        Told(),
        ToolformerSettings(places=40, calls_per_place=1, loss_gain=0.5),
    )
    (row,) = made.synthesis.frame.rows(named=True)
    # the places before each 360 weigh the same tokens; the two sentences do not
    assert row["response"].count("[Calculator(12 * 30) → 360] 360") == 2
    assert row["response"].count("[") == 2
