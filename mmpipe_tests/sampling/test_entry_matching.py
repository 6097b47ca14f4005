"""Entry matching: the automaton finds what a plain substring test finds, in every script, and so does a mapped copy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.sampling.entry_matching import EntryDialect, build_matcher, open_matcher

UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff]")
# few letters, so that entries overlap, end one another and occur in texts; and what the preparation treats apart
PIECES = st.lists(
    st.sampled_from(["a", "b", "ab", "A", "é", " ", "  ", ",", ".", "!", "`", "\t", "\n", "\u3000", "猫", "の", "แมว"]),
    max_size=12,
)


def prepare(text: str, dialect: EntryDialect) -> str:
    """Do to a text, character by character, what the docstring of the dialect says."""
    text = text.lower() if dialect.lower_case else text
    padded = "".join(f" {letter} " if letter in ",.;:?!`" else letter for letter in text)
    if dialect.as_written:
        return re.sub(r"[\t\n\v\f\r]", " ", padded)
    return " ".join(padded.split())


def find_plainly(texts: list[str], entries: list[str], dialect: EntryDialect) -> list[set[str]]:
    patterns = {}
    for entry in entries:
        if not entry.strip():
            continue
        folded = entry.lower() if dialect.lower_case else entry
        written = folded if dialect.as_written else prepare(entry, dialect)
        patterns[entry] = written if UNSPACED.search(entry) else f" {written} "
    return [{p for p in patterns.values() if p in f" {prepare(text, dialect)} "} for text in texts]


def find(texts: list[str], entries: list[str], dialect: EntryDialect) -> list[set[str]]:
    """Return what the matcher finds, as patterns: entries that a dialect cannot tell apart are one."""
    matcher = build_matcher(entries, dialect)
    found = matcher.match(pl.Series(texts, dtype=pl.String))
    assert list(found.rows) == sorted(found.rows)
    named: list[set[str]] = [set() for _ in texts]
    for row, entry in zip(found.rows, found.entries, strict=True):
        name = matcher.names[int(entry)]
        folded = name.lower() if dialect.lower_case else name
        written = folded if dialect.as_written else prepare(name, dialect)
        pattern = written if UNSPACED.search(name) else f" {written} "
        assert pattern not in named[row], "an entry counts once in a text"
        named[row].add(pattern)
    return named


@given(
    st.lists(PIECES.map("".join), min_size=1, max_size=8),
    st.lists(PIECES.map("".join), max_size=6),
    st.booleans(),
    st.booleans(),
)
@example(["a b", "b a", "b", "a"], ["a b a"], False, False)
@settings(max_examples=300)
def test_what_is_found_is_what_a_substring_test_finds(
    entries: list[str], texts: list[str], lower_case: bool, as_written: bool
) -> None:
    dialect = EntryDialect(lower_case=lower_case, as_written=as_written)
    entries = ["a", *entries]

    assert find(texts, entries, dialect) == find_plainly(texts, entries, dialect)


@pytest.mark.parametrize(
    ("entry", "text", "is_found"),
    [
        ("cat", "a cat, asleep", True),
        ("cat", "concatenate", False),
        ("cat", "cats", False),
        ("Cat", "a cat", False),
        ("hot dog", "a hot dog!", True),
        ("hot dog", "hot, dog", False),
        ("hot dog", "a hot\u00a0dog", True),
        ("St. Louis", "in St. Louis", True),
        ("猫", "黒猫のしっぽ", True),
        ("แมว", "ภาพแมวดำ", True),
        ("고양이", "검은고양이", False),
        ("Tシャツ", "赤いTシャツ", True),
    ],
)
def test_entries_are_found_as_words_and_anywhere_in_scripts_without_spaces(
    entry: str, text: str, is_found: bool
) -> None:
    assert bool(build_matcher([entry]).match(pl.Series([text])).rows.size) is is_found


def test_as_written_is_metaclip_to_the_letter() -> None:
    as_written = EntryDialect(as_written=True)

    assert not build_matcher(["St. Louis"], as_written).match(pl.Series(["in St. Louis"])).rows.size
    assert not build_matcher(["hot dog"], as_written).match(pl.Series(["hot  dog"])).rows.size
    assert build_matcher(["hot dog"], as_written).match(pl.Series(["hot dog, hot dog"])).rows.size == 1


def test_case_makes_no_difference_if_asked_and_the_first_spelling_names_the_entry() -> None:
    matcher = build_matcher(["paris", "Paris", "PARIS"], EntryDialect(lower_case=True))

    assert matcher.names.to_list() == ["PARIS"]
    assert matcher.match(pl.Series(["pArIs"])).rows.size == 1


def test_overlapping_entries_and_parts_of_entries_all_count() -> None:
    matcher = build_matcher(["new york", "york city", "new york city", "york", "city"])

    found = matcher.match(pl.Series(["new york city"]))

    assert set(matcher.names.gather(found.entries)) == set(matcher.names)


def test_a_saved_matcher_is_mapped_and_finds_the_same(tmp_path: Path) -> None:
    texts = pl.Series(["a red car", None, "two cats, one dog", ""])
    matcher = build_matcher(["red car", "cats", "dog", "car"])
    matcher.save(tmp_path / "cache" / "entries")
    matcher.save(tmp_path / "cache" / "entries")  # another worker was first

    opened = open_matcher(tmp_path / "cache" / "entries", matcher.dialect)

    assert isinstance(opened.nodes, np.memmap)
    assert opened.digest == matcher.digest
    assert opened.names.to_list() == matcher.names.to_list()
    for one, other in zip(
        (matcher.match(texts).rows, matcher.match(texts).entries),
        (opened.match(texts).rows, opened.match(texts).entries),
        strict=True,
    ):
        assert np.array_equal(one, other)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["entries"]


def test_a_sliced_column_is_read_from_its_own_start() -> None:
    texts = pl.Series(["cat", "dog", "cat"])

    assert build_matcher(["cat"]).match(texts[1:]).rows.tolist() == [1]


def test_no_entries_stop_by_name() -> None:
    with pytest.raises(ConfigurationError, match="no entry"):
        build_matcher(["", "  "])


def test_hashes_name_entries_and_not_their_places() -> None:
    one, other = build_matcher(["a", "b", "c"]), build_matcher(["c", "b"])

    assert (
        dict(zip(one.names, one.hashes, strict=True)).items()
        >= dict(zip(other.names, other.hashes, strict=True)).items()
    )
