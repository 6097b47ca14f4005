"""Preference forms: ranked lists to pairs, pairs to labels, whole texts and back; what teaches nothing is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.preference_forms import (
    RankedAnswers,
    drop_repeated,
    list_pairs,
    order_answers,
    read_transcripts,
    require_both_labels,
    split_shared_prompt,
    unpair,
    write_transcripts,
)
from mmpipe.release.records import LabelledAnswer, Preference, Turn, find_preference_fault
from mmpipe_tests.release.record_strategies import WORDS, preferences

ASKED = (Turn("user", "q"),)
PAIR = Preference("p", ASKED, (Turn("assistant", "good"),), (Turn("assistant", "bad"),))


def rank(answers: str, scores: list[float]) -> RankedAnswers:
    return RankedAnswers("set1", ASKED, tuple(answers), tuple(scores))


def test_k_answers_make_every_pair_that_a_score_tells_apart() -> None:
    pairs = list_pairs(rank("abcd", [1.0, 4.0, 2.5, 4.0]))
    assert [(pair.chosen[0].content, pair.rejected[0].content, pair.margin) for pair in pairs] == [
        ("b", "c", 1.5),
        ("b", "a", 3.0),
        ("d", "c", 1.5),
        ("d", "a", 3.0),
        ("c", "a", 1.5),
    ]
    assert {pair.group_id for pair in pairs} == {"set1"}
    assert len({pair.id for pair in pairs}) == 5
    assert [pair.margin for pair in list_pairs(rank("abcd", [1.0, 4.0, 2.5, 4.0]), least_margin=1.5)] == [3.0, 3.0]


@given(st.lists(st.tuples(WORDS, st.integers(0, 3)), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_pairs_are_sound_and_do_not_depend_on_order(answers: list[tuple[str, int]], shuffler: object) -> None:
    ranked = RankedAnswers("s", ASKED, tuple(a for a, _ in answers), tuple(float(b) for _, b in answers))
    pairs = list_pairs(ranked)
    assert len(pairs) <= len(answers) * (len(answers) - 1) // 2
    assert all(find_preference_fault(pair) is None for pair in pairs)
    shuffled = list(answers)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    again = list_pairs(
        replace(ranked, answers=tuple(a for a, _ in shuffled), scores=tuple(float(b) for _, b in shuffled))
    )
    assert [pair.id for pair in again] == [pair.id for pair in pairs]


def test_ties_and_equal_texts_make_no_pair() -> None:
    assert list_pairs(rank("ab", [1.0, 1.0])) == []
    assert list_pairs(RankedAnswers("s", ASKED, ("a b", " a  b"), (1.0, 2.0))) == []
    assert order_answers(rank("ba", [1.0, 1.0])).answers == ("a", "b")


@pytest.mark.parametrize(
    ("ranked", "said"),
    [
        (rank("ab", [1.0]), "set1 has 2 answers and 1 scores"),
        (rank("ab", [1.0, float("nan")]), "set1 has the score nan"),
        (RankedAnswers("set1", ASKED, ("a", " "), (1.0, 2.0)), "set1 has an empty turn"),
    ],
)
def test_rankings_that_are_none_are_named(ranked: RankedAnswers, said: str) -> None:
    with pytest.raises(InvariantBroken, match=said):
        list_pairs(ranked)


def test_a_pair_makes_one_answer_of_each_label() -> None:
    good, bad = unpair(PAIR)
    assert (good.id, good.completion, good.label) == ("p-chosen", PAIR.chosen, True)
    assert (bad.id, bad.completion, bad.label) == ("p-rejected", PAIR.rejected, False)
    assert require_both_labels([good, bad, bad]) == (1, 2)
    for one, missing in (([good], "undesirable"), ([bad, bad], "is desirable"), ([], "desirable")):
        with pytest.raises(InvariantBroken, match=missing):
            require_both_labels(one)


def test_repeats_and_contradictions_are_counted() -> None:
    def make(row: str, answer: str, *, label: bool) -> LabelledAnswer:
        return LabelledAnswer(row, ASKED, (Turn("assistant", answer),), label)

    rows = [
        make("3", "x", label=True),
        make("1", "x", label=True),
        make("2", "y", label=True),
        make("4", "y", label=False),
        make("5", "z", label=False),
    ]
    kept, left_out = drop_repeated(rows)
    assert [row.id for row in kept] == ["1", "5"]
    assert left_out == [
        ("2", "contradicted_label", "4"),
        ("3", "repeated_answer", "1"),
        ("4", "contradicted_label", "2"),
    ]
    assert len(kept) + len(left_out) == len(rows)


@given(
    preferences(has_system=False, has_tools=False, most_images=0, has_margin=False, has_group=False),
    st.sampled_from(["", "<|eoc|>"]),
)
@settings(max_examples=80)
def test_transcripts_come_back(preference: Preference, marker: str) -> None:
    row = write_transcripts(preference, end_of_context=marker)
    assert row["chosen"].endswith(marker)
    assert row["chosen"].startswith("\n\nHuman: ")
    assert read_transcripts(row, end_of_context=marker) == preference


def test_a_transcript_reads_as_published_ones_do() -> None:
    longer = replace(PAIR, prompt=(*ASKED, Turn("assistant", "a"), Turn("user", "r")))
    assert write_transcripts(longer, end_of_context="<|end|>") == {
        "id": "p",
        "chosen": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: good<|end|>",
        "rejected": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: bad<|end|>",
    }


def test_transcripts_that_could_not_be_read_back_are_refused() -> None:
    for prompt, said in (
        ((Turn("system", "s"), *ASKED), "turn of the system"),
        ((Turn("user", "x\n\nHuman: y"),), "holds the mark"),
    ):
        with pytest.raises(InvariantBroken, match=f"row p .*{said}"):
            write_transcripts(replace(PAIR, prompt=prompt))
    pictured = replace(PAIR, prompt=(Turn("user", "<image>q"),), images=("a.png",))
    with pytest.raises(InvariantBroken, match=r"row p has pictures"):
        write_transcripts(pictured)
    with pytest.raises(InvariantBroken, match="holds the mark 'good'"):
        write_transcripts(PAIR, end_of_context="good")
    for marker in (" ", "Human"):
        with pytest.raises(ConfigurationError, match="cannot mark"):
            write_transcripts(PAIR, end_of_context=marker)
    with pytest.raises(InvariantBroken, match="no marker at its end"):
        read_transcripts(write_transcripts(PAIR), end_of_context="<|end|>")


def test_the_prompt_is_what_both_begin_with() -> None:
    assert split_shared_prompt((*ASKED, *PAIR.chosen), (*ASKED, *PAIR.rejected)) == (ASKED, PAIR.chosen, PAIR.rejected)
    same = (*ASKED, *PAIR.chosen)
    assert split_shared_prompt(same, same) == (same, (), ())
