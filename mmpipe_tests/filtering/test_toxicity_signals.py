"""Flagged words: where they may stand in each script, how they are counted, and that a text without a list has none."""

from __future__ import annotations

import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.flagged_words import build_trie
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_sections import WordSettings
from mmpipe.filtering.rules_toxicity import LDNOOBW_LANGUAGES
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.filtering.toxicity_signals import measure_toxicity
from mmpipe_tests.filtering.batches import make_batch

LISTS = {
    "en": ["darn", "heck", "heck no", "a$$", "Straße"],
    "hi": ["गधा"],
    "ja": ["ばか", "sm"],
    "zh": ["笨蛋", "笨", "蛋", "性"],
    "th": ["บ้า"],
    "ko": ["바보"],
}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> WordSettings:
    folder: Path = tmp_path_factory.mktemp("words")
    for language, entries in LISTS.items():
        (folder / language).write_text("# a comment\n" + "\n".join(entries) + "\n\n", encoding="utf-8")
    return WordSettings(
        flagged={name: (ListReference(list=str(folder / name), path=str(folder / name)),) for name in LISTS},
    )


def count(text: str, words: WordSettings, language: str | None = "en") -> tuple[Any, ...]:
    return measure_toxicity(make_batch([text], language, words)).row(0)


@pytest.mark.parametrize(
    ("language", "text", "occurrences"),
    [
        ("en", "Darn! DARN, darn", 3),
        ("en", "darning goldarn darn_it darn1", 0),
        ("en", "(darn) «heck» 'darn'", 3),
        # the longest at its place, and nothing twice
        ("en", "heck no, heck", 2),
        ("en", "heck  no heck\nno", 2),
        ("en", "what an a$$!", 1),
        ("en", "STRASSE straße", 2),
        ("en", "", 0),
        # गधा alone; not where another vowel sign or letter follows
        ("hi", "गधा है", 1),
        ("hi", "गधाः गधाक", 0),
        # no spaces: anywhere
        ("zh", "你是笨蛋吗笨", 2),
        ("ja", "おまえはばかだ", 1),
        ("th", "เขาบ้ามาก", 1),
        # endings follow, nothing may stand before
        ("ko", "그는 바보다", 1),
        ("ko", "그는왕바보다", 0),
        # C4's own exceptions
        ("zh", "性", 0),
        ("ja", "sm", 0),
    ],
)
def test_occurrences_counted_by_hand(language: str, text: str, occurrences: int, words: WordSettings) -> None:
    assert count(text, words, language)[0] == occurrences


def test_the_ratio_is_per_word_and_per_character_without_spaces(words: WordSettings) -> None:
    # six words: oh, darn, don't as two, heck, no; two occurrences of two entries
    assert count("Oh darn, don't: heck no!", words) == (2, pytest.approx(2 / 6), 2)
    assert count("darn darn", words) == (2, 1, 1)
    # six characters, of which the mark is none
    assert count("你是笨蛋吗！笨", words, "zh") == (2, pytest.approx(2 / 6), 2)


def test_a_text_without_a_list_is_not_measured_and_one_without_words_has_no_ratio(words: WordSettings) -> None:
    for language in ("de", None):
        assert count("darn", words, language) == (None, None, None)
    assert count("... !", words) == (0, None, 0)
    assert count("darn", WordSettings()) == (None, None, None)


def test_distinct_words_are_counted_text_by_text(words: WordSettings) -> None:
    frame = measure_toxicity(make_batch(["darn", "x", "darn heck darn"], "en", words))
    assert frame.get_column("distinct_toxic_word_count").to_list() == [1, 0, 2]


def test_entries_do_not_leak_between_languages_or_texts(words: WordSettings) -> None:
    frame = measure_toxicity(make_batch(["heck", "no", "笨", "笨"], ["en", "en", "en", "zh"], words))
    assert frame.get_column("toxic_word_count").to_list() == [1, 0, 0, 1]


def read_plainly(text: str, entries: list[str]) -> int:
    def is_word(character: str) -> bool:
        return character == "_" or unicodedata.category(character)[0] in "LMN"

    text, at, found = text.casefold(), 0, 0
    while at < len(text):
        stands = [
            entry
            for entry in map(str.casefold, entries)
            if text.startswith(entry, at)
            and not (at and is_word(text[at - 1]))
            and not (at + len(entry) < len(text) and is_word(text[at + len(entry)]))
        ]
        found += bool(stands)
        at += max(map(len, stands), default=1)
    return found


pieces = st.sampled_from([*"ab_1 .\n$é\u0301ß漢\ud800", "darn", "heck", " no", "a$$", "Straße", "STRASSE"])
texts = st.lists(pieces, max_size=30).map("".join)


@settings(deadline=None)
@given(st.lists(texts, max_size=6), st.randoms())
def test_the_trie_finds_what_the_plain_reading_finds(words: WordSettings, some: list[str], chooser: object) -> None:
    frame = measure_toxicity(make_batch(some, "en", words))
    assert frame.get_column("toxic_word_count").to_list() == [read_plainly(text, LISTS["en"]) for text in some]
    assert all(value is None or 0 <= value <= 1 for value in frame.get_column("toxic_word_ratio"))
    order = list(range(len(some)))
    chooser.shuffle(order)  # type: ignore[attr-defined]
    shuffled = measure_toxicity(make_batch([some[i] for i in order], "en", words))
    assert shuffled.rows() == [frame.row(i) for i in order]


def test_a_list_of_nothing_flags_nothing() -> None:
    trie = build_trie({"en": ["", "a"], "de": []})
    assert trie.size == 1
    assert set(trie.roots) == {"en", "de"}


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    gone = WordSettings(flagged={"en": (ListReference(list="gone", path=str(tmp_path / "gone")),)})
    with pytest.raises(ConfigurationError, match="gone"):
        count("x", gone)


def test_mc4s_rule_speaks_of_languages_with_lists_only() -> None:
    rule = TEXT_RULES["mc4_toxic_word_count"]
    assert set(rule.by_language) == set(LDNOOBW_LANGUAGES)
    frame = pl.DataFrame({"language": ["en", "en", "de", "tl"], "toxic_word_count": [0.0, 1.0, None, None]})
    assert frame.select(rule.passes()).to_series().to_list() == [True, False, False, True]


def test_hostile_texts_take_time_by_their_length(words: WordSettings) -> None:
    count("warm", words)
    start = time.process_time()
    frame = measure_toxicity(make_batch(["heck " * 500_000, "heck" * 500_000, "\x00" * 1_000_000], "en", words))
    assert frame.get_column("toxic_word_count").to_list() == [500_000, 0, 0]
    assert time.process_time() - start < 5


@pytest.mark.real_data
def test_real_pages_are_flagged_as_by_c4s_expression(shared_data: Path) -> None:
    """C4 asks whether any entry stands between characters that are no word character; LDNOOBW's English list."""
    import gzip
    import json

    path = shared_data / "lists" / "ldnoobw" / "en.txt"
    entries = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    settings = WordSettings(flagged={"en": (ListReference(list=str(path), path=str(path)),)})
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        golden = [entry["gold_text"] for entry in map(json.loads, lines) if entry["gold_text"]]
    pattern = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, entries))))
    measured = measure_toxicity(make_batch(golden, "en", settings)).get_column("toxic_word_count").to_list()
    different = [
        text for text, found in zip(golden, measured, strict=True) if (found > 0) != bool(pattern.search(text.lower()))
    ]
    assert different == []
