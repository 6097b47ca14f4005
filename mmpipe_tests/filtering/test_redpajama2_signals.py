"""RedPajama-V2's signals: values counted by hand, and the published definitions read plainly beside the fast way."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_sections import WordSettings
from mmpipe.filtering.redpajama2_signals import measure_redpajama2
from mmpipe.tables.text_signals import FAMILIES
from mmpipe_tests.filtering.batches import make_batch

STOP = frozenset(("the", "a", "is"))
FLAGGED = frozenset(("darn", "two words", "b c d"))
COUNTS = {"ccnet_length", "ccnet_nlines", "rps_doc_word_count", "rps_doc_mean_word_length", "rps_doc_num_sentences",
          "rps_doc_symbol_to_word_ratio", "rps_doc_unigram_entropy", "rps_doc_ldnoobw_words",
          "rps_lines_javascript_counts", "rps_lines_num_words"}  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> WordSettings:
    folder: Path = tmp_path_factory.mktemp("words")
    for name, entries in (("stop", STOP), ("flagged", FLAGGED)):
        (folder / name).write_text("\n".join(sorted(entries)), encoding="utf-8")
    stop, flagged = ((ListReference(list=str(folder / name), path=str(folder / name)),) for name in ("stop", "flagged"))
    return WordSettings(flagged={"en": flagged}, stop={"en": stop})


def measure(text: str, words: WordSettings, language: str | None = "en") -> dict[str, Any]:
    return measure_redpajama2(make_batch([text], language, words)).row(0, named=True)


def test_a_page_counted_by_hand(words: WordSettings) -> None:
    text = "The CAT is 42...\n• Don't {x} JavaScript; javascript\n\nLorem ipsum! Darn #two words”"
    # line 1: 16 characters and a newline; line 2: 34 and 1; line 3: 1; line 4: 29
    assert len(text) == 17 + 35 + 1 + 29
    measured = measure(text, words)
    # the cat is 42 · •, dont, x, javascript, javascript · lorem ipsum darn two words”: the ASCII marks are gone
    expected = {
        "ccnet_length": 82,
        "ccnet_nlines": 4,
        "rps_doc_word_count": 14,
        # 3+3+2+2 + 1+4+1+10+10 + 5+5+4+3+6
        "rps_doc_mean_word_length": 59 / 14,
        # The…42..., Don't…ipsum!, Darn…words”: each begins with a word
        "rps_doc_num_sentences": 3,
        # ... and # among The CAT is 42 ... • Don ' t { x } JavaScript ; javascript Lorem ipsum ! Darn # two words ”
        "rps_doc_symbol_to_word_ratio": 2 / 23,
        "rps_doc_frac_lines_end_with_ellipsis": 1 / 4,
        # 42 ... • ' { } ; ! # ”
        "rps_doc_frac_no_alph_words": 10 / 23,
        "rps_doc_frac_unique_words": 13 / 14,
        # twelve words once, one twice
        "rps_doc_unigram_entropy": 12 / 14 * math.log(14) + 2 / 14 * math.log(7),
        "rps_doc_frac_all_caps_words": 1 / 23,
        "rps_doc_curly_bracket": 2 / 82,
        # 59 characters and 13 spaces
        "rps_doc_lorem_ipsum": 1 / 72,
        # is; The is not listed as written
        "rps_doc_stop_word_fraction": 1 / 23,
        # darn; `two words” ` keeps its quote
        "rps_doc_ldnoobw_words": 1,
        # words” ends in a terminal mark, and so does ... in its full stop
        "rps_lines_ending_with_terminal_punctution_mark": 2 / 4,
        "rps_lines_javascript_counts": 2,
        "rps_lines_num_words": 14 / 4,
        # `the cat is 42`
        "rps_lines_numerical_chars_fraction": 2 / 13 / 4,
        "rps_lines_start_with_bulletpoint": 1 / 4,
        # T C A T of 17, D J S of 35, none of 1, L D of 29
        "rps_lines_uppercase_letter_fraction": (4 / 17 + 3 / 35 + 2 / 29) / 4,
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected)


def test_repeated_grams_counted_by_hand(words: WordSettings) -> None:
    # aa b aa b c: 7 characters; `aa b` twice: 6 of them. No 3-gram twice: 0
    measured = measure("aa b aa b c", words)
    assert measured["rps_doc_frac_chars_top_2gram"] == pytest.approx(6 / 7)
    assert measured["rps_doc_frac_chars_top_3gram"] == 0
    # 1 2 3 4 5 6 1 2 3 4 5 7: `1 2 3 4 5` twice covers 10 of 12 words
    measured = measure("1 2 3 4 5 6 1 2 3 4 5 7", words)
    assert measured["rps_doc_frac_chars_dupe_5grams"] == pytest.approx(10 / 12)
    assert measured["rps_doc_frac_chars_dupe_6grams"] == 0
    # x seven times: three overlapping 5-grams cover all
    assert measure("x x x x x x x", words)["rps_doc_frac_chars_dupe_5grams"] == 1
    # of equally frequent ones the first met counts: `a bb` twice, 6 of 12, and not `ccc a`
    assert measure("a bb ccc a bb ccc", words)["rps_doc_frac_chars_top_2gram"] == pytest.approx(6 / 12)


def test_phrases_are_counted_and_do_not_reach_over_texts(words: WordSettings) -> None:
    assert measure("Two words, two-words? b, c; d", words)["rps_doc_ldnoobw_words"] == 2
    frame = measure_redpajama2(make_batch(["say two", "words here", "b c", "d"], "en", words))
    assert frame.get_column("rps_doc_ldnoobw_words").to_list() == [0, 0, 0, 0]


def test_what_cannot_be_measured_is_null(words: WordSettings) -> None:
    measured = measure("", words)
    assert {name for name, value in measured.items() if value is None} == {
        "rps_doc_mean_word_length",
        "rps_doc_symbol_to_word_ratio",
        "rps_doc_frac_lines_end_with_ellipsis",
        "rps_doc_frac_no_alph_words",
        "rps_doc_frac_unique_words",
        "rps_doc_unigram_entropy",
        "rps_doc_frac_all_caps_words",
        "rps_lines_ending_with_terminal_punctution_mark",
        "rps_lines_num_words",
        "rps_lines_numerical_chars_fraction",
        "rps_lines_start_with_bulletpoint",
        "rps_lines_uppercase_letter_fraction",
    }
    for language in ("xx", None):
        measured = measure("some words", words, language)
        assert (measured["rps_doc_stop_word_fraction"], measured["rps_doc_ldnoobw_words"]) == (None, None)


def normalize(text: str) -> str:
    bare = text.translate(str.maketrans("", "", string.punctuation)).lower().strip()
    return unicodedata.normalize("NFD", re.sub(r"\s+", " ", bare))


def read_plainly(text: str) -> dict[str, float]:
    """The published definitions read word for word; NaN where they give none."""
    whole, lines = normalize(text), re.findall(r"([^\n]*\n|[^\n]+$)", text)
    words, raw = whole.split(), re.findall(r"\w+|[^\w\s]+", text)
    chars = sum(map(len, words))

    def share(part: float, of: float, nothing: float = math.nan) -> float:
        return part / of if of else nothing

    def average(values: list[float]) -> float:
        return share(sum(values), len(values))

    def list_grams(n: int) -> list[tuple[str, ...]]:
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    def measure_top(n: int) -> float:
        best = Counter(list_grams(n)).most_common(1)
        return sum(map(len, best[0][0])) * best[0][1] / chars if best and best[0][1] > 1 else 0

    def measure_duplicates(n: int) -> float:
        counts = Counter(list_grams(n))
        covered = {i + k for i, gram in enumerate(list_grams(n)) if counts[gram] > 1 for k in range(n)}
        return share(sum(len(words[i]) for i in covered), chars, 0)

    bullets = "\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013"
    return {
        "ccnet_length": len(text),
        "ccnet_nlines": len(lines),
        "rps_doc_word_count": len(words),
        "rps_doc_mean_word_length": share(chars, len(words)),
        "rps_doc_num_sentences": len(re.findall(r"\b[^.!?]+[.!?]*", text)),
        "rps_doc_symbol_to_word_ratio": share(sum(map(text.count, ("#", "...", "…"))), len(raw)),
        "rps_doc_frac_lines_end_with_ellipsis": average([line.rstrip().endswith(("...", "…")) for line in lines]),
        "rps_doc_frac_no_alph_words": 1 - share(sum(bool(re.search("[a-zA-Z]", word)) for word in raw), len(raw)),
        "rps_doc_frac_unique_words": share(len(set(words)), len(words)),
        "rps_doc_unigram_entropy": (
            sum(-c / len(words) * math.log(c / len(words)) for c in Counter(words).values()) if words else math.nan
        ),
        "rps_doc_frac_all_caps_words": share(sum(map(str.isupper, raw)), len(raw)),
        "rps_doc_curly_bracket": share(text.count("{") + text.count("}"), len(text), 0),
        "rps_doc_lorem_ipsum": share(len(re.findall("lorem ipsum", whole)), len(whole), 0),
        "rps_doc_stop_word_fraction": share(sum(word in STOP for word in raw), len(raw), 0) if words else 0,
        "rps_doc_ldnoobw_words": sum(" ".join(gram) in FLAGGED for n in (1, 2, 3) for gram in list_grams(n)),
        **{f"rps_doc_frac_chars_top_{n}gram": measure_top(n) for n in (2, 3, 4)},
        **{f"rps_doc_frac_chars_dupe_{n}grams": measure_duplicates(n) for n in range(5, 11)},
        "rps_lines_ending_with_terminal_punctution_mark": average(
            [line.rstrip().endswith((".", "!", "?", "”")) for line in lines]
        ),
        "rps_lines_javascript_counts": sum(normalize(line).split().count("javascript") for line in lines),
        "rps_lines_num_words": average([len(normalize(line).split()) for line in lines]),
        "rps_lines_numerical_chars_fraction": average(
            [share(sum(map(str.isnumeric, normalize(line))), len(normalize(line)), 0) for line in lines]
        ),
        "rps_lines_start_with_bulletpoint": average([line.lstrip().startswith(tuple(bullets)) for line in lines]),
        "rps_lines_uppercase_letter_fraction": average([sum(map(str.isupper, line)) / len(line) for line in lines]),
    }


pieces = st.sampled_from([*"abcdAB 1½\n\t.!…”#{}•–éΣ漢\ud800\x1c\u00a0", "...", " the ", " lorem ipsum", " javascript ",
                          " two words ", " b c d ", "darn"])  # fmt: skip
texts = st.lists(pieces, max_size=50).map("".join)


@settings(deadline=None)
@given(st.lists(texts, max_size=5))
def test_the_fast_reading_is_the_plain_one(words: WordSettings, some: list[str]) -> None:
    for text, row in zip(some, measure_redpajama2(make_batch(some, "en", words)).rows(named=True), strict=True):
        found = {name: math.nan if value is None else value for name, value in row.items()}
        assert found == pytest.approx(read_plainly(text), nan_ok=True)


@settings(deadline=None)
@given(st.lists(texts, max_size=6), st.randoms())
def test_shares_are_shares_and_neighbours_do_not_matter(words: WordSettings, some: list[str], chooser: Any) -> None:
    frame = measure_redpajama2(make_batch(some, "en", words))
    # all occurrences of the top n-gram count in full, and those of `b c b c b` share words: 8 of 7 characters may be
    shares = frame.drop(*COUNTS, *(f"rps_doc_frac_chars_top_{n}gram" for n in (2, 3, 4)))
    assert all(value is None or 0 <= value <= 1 for row in shares.rows() for value in row)
    order = list(range(len(some)))
    chooser.shuffle(order)
    assert measure_redpajama2(make_batch([some[i] for i in order], "en", words)).rows() == [frame.row(i) for i in order]


def test_the_columns_are_the_family_s(words: WordSettings) -> None:
    assert measure_redpajama2(make_batch([], "en", words)).columns == [c.name for c in FAMILIES["redpajama2"]]


def test_hostile_texts_are_measured_like_others(words: WordSettings) -> None:
    hostile = ["x" * 3_000_000, "\n" * 200_000, "a-" * 300_000, "\x00" * 1000, "word " * 200_000]
    frame = measure_redpajama2(make_batch(hostile, "en", words))
    assert frame.get_column("rps_doc_word_count").to_list() == [1, 0, 1, 1, 200_000]
    assert frame.get_column("ccnet_nlines").to_list() == [1, 200_000, 1, 1, 1]


@pytest.mark.real_data
def test_real_pages_measure_as_the_plain_reading(words: WordSettings, shared_data: Path) -> None:
    import gzip
    import json

    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        golden = [entry["gold_text"] for entry, _ in zip(map(json.loads, lines), range(80), strict=False)]
    kept = [text for text in golden if text]
    for text, row in zip(kept, measure_redpajama2(make_batch(kept, "en", words)).rows(named=True), strict=True):
        found = {name: math.nan if value is None else value for name, value in row.items()}
        assert found == pytest.approx(read_plainly(text), nan_ok=True)
