"""Decontamination: exact spans, verified words, shards and order that change nothing, and a slow reference."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication import contamination_index
from mmpipe.deduplication.contamination import find_contamination, removals_of_contamination
from mmpipe.deduplication.contamination_index import ContaminationIndex, build_index, digest_sets, open_index
from mmpipe.errors import ConfigurationError
from mmpipe.tables.removals import describe_removals
from mmpipe.tables.text import TEXT_CONTAMINATION

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
SHORT = "Which river flows through the city of Ljubljana today?"


def _frame(*texts: str | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"doc_id": [f"d{number}" for number in range(len(texts))], "dump": "dump", "text": list(texts)},
        schema_overrides={"text": pl.String},
    )


def _find(texts: list[str | None], items: dict[str, tuple[str, ...]], n: int = 13) -> list[tuple]:
    found = find_contamination(_frame(*texts), build_index([("set", items.items())], ngram_words=n))
    assert found.schema == TEXT_CONTAMINATION.schema
    return found.select("doc_id", "item", "matched_text", "item_ratio").rows()


def test_a_span_is_maximal_and_counts_characters_of_the_document() -> None:
    text = "Intro: «NATALIA sold clips — to 48 of her friends in April, and then she sold half» she said 😀."
    index = build_index([("gsm8k", [("7", (QUESTION,))])], ngram_words=13)
    row = find_contamination(_frame("nothing of the kind", text), index).row(0, named=True)
    matched = "NATALIA sold clips — to 48 of her friends in April, and then she sold half"
    assert row["matched_text"] == matched == text[row["start"] : row["end"]]
    assert (row["doc_id"], row["evaluation_set"], row["item"], row["start"]) == ("d1", "gsm8k", "7", 8)
    assert row["item_ratio"] == 3 / 8  # 15 words of 20: 3 of 8 n-grams


def test_twelve_words_are_not_thirteen() -> None:
    words = QUESTION.split()
    assert _find([" ".join(words[:12]) + " x " + " ".join(words[8:])], {"0": (QUESTION,)}) == []


def test_case_punctuation_and_accents_do_not_count_but_numbers_do() -> None:
    items = {"0": ("Don't PANIC, said Zoë: the café opens at 08.30 on weekdays and closes late",)}
    assert len(_find(["dont panic said zoe the cafe opens at 08 30 on weekdays AND closes late"], items)) == 1
    assert _find(["dont panic said zoe the cafe opens at 09 30 on weekdays AND closes late"], items) == []


def test_characters_of_scripts_without_spaces_are_words() -> None:
    items = {"0": ("下列关于光合作用的说法正确的是哪一项",)}
    rows = _find(["前言。下列关于光合作用的说法,正确的是哪一项?结束"], items)
    assert rows == [("d0", "0", "下列关于光合作用的说法,正确的是哪一项", 1.0)]


def test_a_short_item_is_found_as_a_whole_and_a_shorter_one_is_listed_as_skipped() -> None:
    items = {"whole": (SHORT,), "tiny": ("Who wrote Hamlet?",)}
    index = build_index([("quiz", items.items())], ngram_words=13)
    assert index.list_skipped().rows() == [("quiz", "tiny", 3)]
    assert index.count_items().rows() == [("quiz", 2, 1, 0, 1)]
    found = find_contamination(_frame(f"Quiz: {SHORT} Who wrote Hamlet?", SHORT[:-7]), index)
    assert found.select("doc_id", "item", "matched_text", "item_ratio").rows() == [("d0", "whole", SHORT[:-1], 1.0)]


def test_no_ngram_runs_from_one_text_of_an_item_into_the_next() -> None:
    first, second = " ".join(QUESTION.split()[:10]), " ".join(QUESTION.split()[10:])
    assert _find([QUESTION], {"0": (first, second)}) == [("d0", "0", QUESTION[:-1], 1.0)]  # two short texts, one span
    assert _find([QUESTION.replace("and then", "and, later, then")], {"0": (QUESTION,)}) == []


def test_two_spans_of_one_item_are_two_rows() -> None:
    text = f"{QUESTION} And so on. {QUESTION}"
    rows = _find([text], {"0": (QUESTION,)})
    assert [row[2] for row in rows] == [QUESTION[:-1]] * 2
    assert {row[3] for row in rows} == {1.0}


def test_items_that_share_a_passage_are_all_named() -> None:
    items = {str(number): (QUESTION, f"Question number {number} about it") for number in range(30)}
    assert sorted(int(row[1]) for row in _find([QUESTION], items)) == list(range(30))


def test_boilerplate_of_many_texts_is_ignored_and_counted() -> None:
    prompt = "Answer the following multiple choice question by giving only the letter of the right option please"
    items = {str(number): (f"{prompt} topic{number}",) for number in range(11)}
    index = build_index([("bbh", items.items())], ngram_words=13)
    assert index.ignored_ngrams == 4
    assert find_contamination(_frame(prompt), index).is_empty()
    assert find_contamination(_frame(f"{prompt} topic3"), index).select("item", "item_ratio").rows() == [("3", 1.0)]
    fewer = build_index([("bbh", list(items.items())[:10])], ngram_words=13)
    assert find_contamination(_frame(prompt), fewer).height == 10


def test_hashes_that_agree_by_chance_give_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    chooser = random.Random(3)
    words = [f"w{number}" for number in range(50)]
    items = {str(number): (" ".join(chooser.choices(words, k=30)),) for number in range(40)}
    texts = [" ".join(chooser.choices(words, k=200)) for _ in range(20)] + [f"a {items['5'][0]} b"]
    exact = _find(texts, items, n=4)
    monkeypatch.setattr(contamination_index, "HASH_MASK", np.uint64(0xF000000000000000))
    assert _find(texts, items, n=4) == exact
    assert {row[1] for row in exact if row[0] == "d20" and row[3] == 1.0} == {"5"}


def test_empty_inputs_give_no_rows() -> None:
    index = build_index([("set", [("0", (QUESTION,))])], ngram_words=13)
    for frame in (_frame(), _frame("", None, "\x00", "😀" * 100, "1 " * 50)):
        assert find_contamination(frame, index).is_empty()
    nothing = build_index([], ngram_words=13)
    assert find_contamination(_frame(QUESTION), nothing).is_empty()
    assert nothing.count_items().is_empty()


def test_a_saved_index_finds_the_same_and_is_built_once(tmp_path: Path) -> None:
    calls = []

    def build() -> ContaminationIndex:
        calls.append(1)
        return build_index([("set", [("0", (QUESTION, SHORT))])], ngram_words=13)

    digest = digest_sets([("set", "ab" * 32, ())], 13)
    frame = _frame(f"x {QUESTION} y {SHORT}")
    expected = find_contamination(frame, build())
    for _ in range(2):
        assert find_contamination(frame, open_index(tmp_path, digest, build)).equals(expected)
    assert len(calls) == 2
    assert [path.name for path in tmp_path.iterdir()] == [digest]
    assert digest_sets([("set", "cd" * 32, ())], 13) != digest != digest_sets([("set", "ab" * 32, ())], 8)
    with pytest.raises(ConfigurationError, match="build it again"):
        ContaminationIndex.load(tmp_path / "absent")


def test_a_removal_per_document_and_set_names_the_item_most_of_which_is_there() -> None:
    sets = [("gsm8k", [("1", (QUESTION,)), ("2", (QUESTION[:80] + " and more",))]), ("quiz", [("1", (SHORT,))])]
    found = find_contamination(_frame("clean", f"{QUESTION} {SHORT}"), build_index(sets, ngram_words=13))
    removals = removals_of_contamination(found, remove=True)
    assert removals.schema == describe_removals("any", "doc_id", "filtered_text").schema
    assert removals.select("doc_id", "rule", "signal", "value", "value_text", "high").rows() == [
        ("d1", "contamination_gsm8k", "item_ratio", 1.0, "1", 0.0),
        ("d1", "contamination_quiz", "item_ratio", 1.0, "1", 0.0),
    ]
    assert removals_of_contamination(found, remove=False).is_empty()


def _split(text: str) -> list[tuple[str, int, int]]:
    """Words of ASCII text, read plainly: apostrophes vanish, all other marks separate."""
    return [
        (found[0].lower().replace("'", ""), found.start(), found.end())
        for found in re.finditer(r"[A-Za-z0-9](?:'*[A-Za-z0-9])*", text)
    ]


def _list_grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = [word for word, _, _ in _split(text)]
    width = n if len(words) >= n else len(words)
    return {tuple(words[at : at + width]) for at in range(len(words) - width + 1)} if width >= min(8, n) else set()


def _join(covered: list[tuple[int, int]]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for first, stop in sorted(covered):
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], stop))
        else:
            spans.append((first, stop))
    return spans


def _find_plainly(texts: list[str], items: dict[str, tuple[str, ...]], n: int) -> list[tuple]:
    """The reference: n-grams as tuples in dictionaries, every word of every document looked at."""
    holders: dict[tuple[str, ...], set[str]] = {}
    for part in {part for parts in items.values() for part in parts}:
        for gram in _list_grams(part, n):
            holders.setdefault(gram, set()).add(part)
    rows = []
    for number, text in enumerate(texts):
        words = _split(text)
        for item, parts in items.items():
            counted = {gram for part in parts for gram in _list_grams(part, n) if len(holders[gram]) <= 10}
            present = {
                (at, at + width): gram
                for width in range(min(8, n), n + 1)
                for at in range(len(words) - width + 1)
                if (gram := tuple(word for word, _, _ in words[at : at + width])) in counted
            }
            ratio = len(set(present.values())) / max(len(counted), 1)
            rows += [
                (f"d{number}", item, text[words[first][1] : words[stop - 1][2]], ratio)
                for first, stop in _join(list(present))
            ]
    return rows


_WORDS = st.lists(st.sampled_from(["a", "b", "c", "d1", "don't"]), max_size=24)
_MARKS = st.sampled_from([" ", ", ", "-", "\n", " — ", "...", " ' "])


@st.composite
def _texts(draw: st.DrawFn) -> str:
    return "".join(word + draw(_MARKS) for word in draw(_WORDS))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_texts(), max_size=3), st.lists(st.lists(_texts(), max_size=2).map(tuple), max_size=4), st.integers(1, 11)
)
def test_it_finds_what_the_slow_reference_finds(texts: list[str], parts: list[tuple[str, ...]], n: int) -> None:
    items = {str(number): texts_of for number, texts_of in enumerate(parts)}
    assert sorted(_find([*texts], items, n)) == sorted(_find_plainly(texts, items, n))


_FILLER = st.lists(st.sampled_from([f"f{number}" for number in range(40)]), max_size=30).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(_FILLER, _FILLER, st.integers(8, 40), st.integers(0, 10**6))
def test_an_item_anywhere_in_a_document_is_found_whole(before: str, after: str, length: int, seed: int) -> None:
    item = " ".join(f"q{number}" for number in random.Random(seed).sample(range(1000), length))
    rows = _find([f"{before} {item} {after}", f"{before} {after}"], {"0": (item,)})
    assert rows == [("d0", "0", item, 1.0)]


@settings(max_examples=30, deadline=None)
@given(st.lists(_texts(), min_size=1, max_size=8), st.integers(1, 7), st.randoms(use_true_random=False))
def test_order_and_shards_change_nothing(texts: list[str], cut: int, chooser: random.Random) -> None:
    index = build_index([("s", [(str(at), (text,)) for at, text in enumerate(texts[:4])])], ngram_words=3)
    frame = _frame(*texts)
    whole = find_contamination(frame, index)
    shuffled = frame[chooser.sample(range(len(texts)), len(texts))]
    parts = [find_contamination(part, index) for part in (shuffled[:cut], shuffled[cut:])]
    assert pl.concat(parts).sort(TEXT_CONTAMINATION.key).equals(whole)


def test_many_batches_are_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'x ' * number}{QUESTION}" for number in range(40)]
    whole = _find(texts, {"0": (QUESTION,)})
    monkeypatch.setattr("mmpipe.deduplication.contamination._BATCH_CHARACTERS", 150)
    assert _find(texts, {"0": (QUESTION,)}) == whole
    assert len(whole) == 40


def test_two_sets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Two evaluation sets are named 'mmlu'"):
        build_index([("mmlu", [("0", (QUESTION,))]), ("mmlu", [("0", (SHORT,))])], ngram_words=13)
