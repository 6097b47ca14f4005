from __future__ import annotations

from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mmpipe.filtering.instruction_rules import INSTRUCTION_RULES
from mmpipe.filtering.instruction_signals import SIGNALS, measure_instructions
from mmpipe.filtering.judge import judge
from mmpipe.tables.instructions import MESSAGE

COLUMNS = ("instruction", "response", "evidence", "context", "images")


def make(*rows: tuple[str, str, str, str | None, list[str]]) -> pl.DataFrame:
    schema = {
        "instruction": pl.String,
        "response": pl.String,
        "evidence": pl.String,
        "context": pl.String,
        "images": pl.List(pl.String),
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(
        instruction_id=pl.Series([f"i{place}" for place in range(len(rows))], dtype=pl.String),
        turns=pl.lit(None, dtype=pl.List(MESSAGE)),
    )


GOOD = ("Who designed the stone bridge?", "Clara Benn designed the bridge.", "Clara Benn designed it in 1877.", "c", [])


def test_signals_are_what_they_say() -> None:
    row = measure_instructions(
        make(("Is it red?", "Yes, 12 red boats, 12 red boats.", "12 boats in red", None, []))
    ).row(0, named=True)
    assert row["instruction_words"] == 3.0
    assert row["response_words"] == 7.0
    assert row["response_grounding"] == 1.0  # 12 and boats; "yes" and "red" are too short to tell
    assert row["response_instruction_similarity"] == 1 / 6
    assert row["response_repetition"] == 1 - 4 / 5


def test_equal_instructions_count_those_drawn_before_them() -> None:
    other_passage, other_image = (*GOOD[:3], "d", []), (*GOOD[:4], ["p"])
    shouted = (GOOD[0].upper(), *GOOD[1:])
    signals = measure_instructions(make(GOOD, other_passage, shouted, other_image, GOOD))
    counted = signals["earlier_equal_instructions"].to_list()
    assert (counted[1], counted[3]) == (0, 0)
    assert sorted(counted[::2]) == [0, 1, 2]


_ROW = st.sampled_from([GOOD, (GOOD[0].upper(), *GOOD[1:]), (*GOOD[:3], "d", []), ("Is it red?", *GOOD[1:])])


@given(st.lists(_ROW, max_size=8), st.randoms(use_true_random=False))
def test_no_signal_depends_on_the_order_of_rows(rows: list[tuple[str, str, str, str, list[str]]], draw: Random) -> None:
    frame = make(*rows).with_columns(method=pl.Series(["rest", "flan"] * 4, dtype=pl.String).head(len(rows)))
    order = draw.sample(range(frame.height), frame.height)
    shuffled = measure_instructions(frame[order])
    assert_frame_equal(shuffled, measure_instructions(frame)[order])


def test_several_answers_of_a_method_that_keeps_several_are_no_repeats() -> None:
    other = (GOOD[0], "It was Clara Benn.", *GOOD[2:])
    rows = make(GOOD, other, GOOD)
    counted = [
        measure_instructions(rows.with_columns(method=pl.lit(method)))["earlier_equal_instructions"].to_list()
        for method in ("rest", "self_instruct")
    ]
    assert (sorted([counted[0][0], counted[0][2]]), counted[0][1]) == ([0, 1], 0)
    assert sorted(counted[1]) == [0, 1, 2]


def test_all_turns_of_a_talk_are_measured() -> None:
    first, last = ("Is it red?", "Yes."), ("Is it a boat?", "Two boats.")
    turns = [{"role": role, "content": text} for pair in (first, last) for role, text in
             zip(("user", "assistant"), pair, strict=True)]  # fmt: skip
    one, other = make(*[(first[0], last[1], "red boats", None, [])] * 2).rows(named=True)
    frame = pl.DataFrame([one | {"turns": turns}, other], schema_overrides={"turns": pl.List(MESSAGE)})
    talk, single = measure_instructions(frame).rows(named=True)
    assert (talk["instruction_words"], talk["response_words"]) == (7, 3)
    assert (single["instruction_words"], single["response_words"]) == (3, 2)
    # the same beginning makes no equal talk
    assert single["earlier_equal_instructions"] == 0


def test_each_rule_takes_what_it_names() -> None:
    bad = {
        "self_instruct_instruction_words": ("Who built it?", *GOOD[1:]),
        "self_instruct_response_words": (GOOD[0], "...", *GOOD[2:]),
        "self_instruct_response_instruction_similarity": (GOOD[0], GOOD[0], *GOOD[2:]),
        "self_instruct_earlier_equal_instructions": GOOD,
        "mmpipe_response_grounding": (GOOD[0], "Ada Byron painted several wooden tunnels.", *GOOD[2:]),
        "mmpipe_response_repetition": (GOOD[0], "Clara Benn did, Clara Benn did, Clara Benn did.", *GOOD[2:]),
    }
    assert set(bad) == set(INSTRUCTION_RULES)
    for rule, row in bad.items():
        first = (*GOOD[:3], "c" if rule.endswith("equal_instructions") else "other", [])
        signals = measure_instructions(make(first, row))
        removals = judge(signals, list(INSTRUCTION_RULES.values()), key="instruction_id", status=None)
        # of two equal rows either may stay
        taken = {"i0", "i1"} if rule.endswith("equal_instructions") else {"i1"}
        ((row_id, name),) = removals.select("instruction_id", "rule").rows()
        assert row_id in taken
        assert name == rule


_TEXT = st.lists(st.sampled_from(["red", "bridge", "1877", "Who", "?", "他"]), max_size=8).map(" ".join)


@given(st.lists(st.tuples(_TEXT, _TEXT, _TEXT, st.none() | _TEXT, st.just([])), max_size=6))
def test_every_row_is_measured_and_shares_stay_shares(rows: list[tuple[str, str, str, str | None, list[str]]]) -> None:
    signals = measure_instructions(make(*rows))
    assert signals.height == len(rows)
    assert signals.columns == ["instruction_id", *SIGNALS]
    for name in ("response_grounding", "response_instruction_similarity", "response_repetition"):
        assert signals.filter(~pl.col(name).is_between(0, 1)).is_empty()
    assert sum(count for count in signals.null_count().row(0)) == 0
