"""Text signals equal a plain reading of the rules, word by word with spaCy, value for value."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.extraction.corrections import Step, correct_text, find_step
from mmpipe.filtering import text_signals
from mmpipe.filtering.gopher_signals import measure_words_and_lines
from mmpipe.filtering.punctuation import list_punctuation
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.text_batch import TextBatch
from mmpipe.filtering.text_signals import measure_text
from mmpipe.filtering.tokens import STOP_WORDS, WordDictionary
from mmpipe.tables.corrections import CORRECTION
from mmpipe.tables.text import EXTRACTED_TEXT


@lru_cache(maxsize=1)
def load_tokenizer() -> Any:
    import spacy

    return spacy.blank("en").tokenizer


def measure_plainly(text: str) -> dict[str, float | None]:
    """The rules as written down, slowly: the whole text through spaCy, lists and sets for the rest."""
    words = [word for word in (token.text.strip() for token in load_tokenizer()(text)) if word]
    real = [word for word in words if not set(word) <= list_punctuation()]
    values: dict[str, float | None] = {
        "word_count": float(len(real)),
        "mean_word_length": sum(map(len, real)) / len(real) if real else None,
        "hash_to_word_ratio": text.count("#") / len(words) if words else None,
        "ellipsis_to_word_ratio": (text.count("...") + text.count("…")) / len(words) if words else None,
        "alphabetic_word_ratio": sum(any(c.isalpha() for c in word) for word in words) / len(words) if words else None,
        "stop_word_count": float(len(set(words) & set(STOP_WORDS))),
    }
    lines = text.splitlines()
    is_bullet = [line.lstrip()[:1] in ("•", "-") and line.strip() != "" for line in lines]
    is_cut_off = [line.rstrip().endswith(("...", "…")) for line in lines]
    values["bullet_line_ratio"] = sum(is_bullet) / len(lines) if lines else None
    values["ellipsis_line_ratio"] = sum(is_cut_off) / len(lines) if lines else None
    for kind, parts in (("paragraph", re.split(r"\n{2,}", text.strip())), ("line", re.split(r"\n+", text))):
        repeats = [part for index, part in enumerate(parts) if part in parts[:index]]
        values[f"duplicate_{kind}_ratio"] = len(repeats) / len(parts) if text else None
        values[f"duplicate_{kind}_char_ratio"] = sum(map(len, repeats)) / len(text) if text else None
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        gram, count = grams.most_common(1)[0] if grams else ("", 0)
        values[f"top_{n}_gram_char_ratio"] = len(gram) * count / len(text) if text else None
    for n in range(5, 11):
        met, repeated, index = set(), 0, 0
        while index + n <= len(words):
            gram = "".join(words[index : index + n])
            repeated += len(gram) if gram in met else 0
            index += n if gram in met else 1
            met.add(gram)
        values[f"duplicate_{n}_gram_char_ratio"] = repeated / len(text) if text else None
    return values


WORDS = (
    "the", "and", "to", "have", "The", "a", "b", "ab", "c", "bc", "don't", "Mr.", "word,", "#", "...", "…", "-", "•",
    "10km", "e-mail", "naïve", "中文", "Straße", "#tag", "end...", "(so)", "http://a.example/b", "!!", "--",
)  # fmt: skip
SPACES = (" ", " ", " ", "\n", "\n\n", "\n\n\n", "\t", "  ", "\r\n", "\u2028", "\u00a0", "\x0b")
texts = st.lists(
    st.sampled_from(WORDS) | st.sampled_from(SPACES) | st.just(" ") | st.text(max_size=3), max_size=80
).map("".join)


@given(st.lists(texts, min_size=1, max_size=6))
@example(["", "\n", " \n\n ", "a", "- a\n- a\n- a"])
@example(["ab c d e f a bc d e f " * 3])
@example(["a a a a a a a a a a a a a a a a a a a a a"])
@settings(max_examples=300, deadline=None)
def test_signals_equal_a_plain_reading_of_the_rules(batch: list[str]) -> None:
    measured = measure_words_and_lines(batch).to_dicts()
    assert measured == [{name: plain[name] for name in measured[0]} for plain in map(measure_plainly, batch)]


def make_pages(*texts_or_nulls: str | None) -> pl.DataFrame:
    rows = [{"doc_id": f"{i}", "dump": "d", "extraction_status": "ok", "text": t} for i, t in enumerate(texts_or_nulls)]
    return pl.DataFrame(rows, schema=EXTRACTED_TEXT.schema)


def test_a_row_without_text_has_null_signals_and_keeps_its_place() -> None:
    pages = make_pages("the first and", None, "the third and last")
    signals = measure_text(pages, load_recipe("refinedweb"))
    assert signals.get_column("doc_id").to_list() == ["0", "1", "2"]
    assert signals.get_column("word_count").to_list() == [3.0, None, 4.0]
    assert measure_text(pages.head(0), load_recipe("refinedweb")).height == 0


def correct_pages(pages: pl.DataFrame, steps: Sequence[Step]) -> pl.DataFrame:
    after = [correct_text(text, steps) for text in pages.get_column("text")]
    edits = [
        [(position, edit.correction, edit.start, edit.end, edit.replacement) for position, edit in each.edits]
        for each in after
    ]
    rows = [[dict(zip(dict(CORRECTION), edit, strict=True)) for edit in each] for each in edits]
    return pages.with_columns(
        corrected_text=pl.Series([each.text for each in after], dtype=pl.String),
        corrections=pl.Series(rows, dtype=pl.List(CORRECTION)),
    )


@pytest.mark.parametrize(
    ("name", "signals", "is_read"),
    [("refinedweb", ("corrections",), True), ("fineweb", (), True), ("refinedweb", ("toxicity",), False)],
)
def test_corrections_count_in_a_batch_and_only_where_they_are_read(
    name: str, signals: tuple[str, ...], is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(name)
    if signals:
        recipe = replace(recipe, text=replace(recipe.text, rules=(), signals=signals))
    steps = [find_step(item.step, item.options) for item in recipe.corrections.steps]
    pages = make_pages(
        "Here are five words now.\none\nTWO WORDS\n3 likes", "The last and only line stands.", "x\ny z\nX"
    )
    pages = correct_pages(pages, steps)
    together = measure_text(pages, recipe)

    heights = []

    def watch(batch: TextBatch) -> pl.DataFrame:
        heights.append((len(batch.texts), any(batch.corrections)))
        return measure(batch)

    family = signals[0] if signals else "c4"
    measure = text_signals.find_family(family)
    find = text_signals.find_family
    monkeypatch.setattr(text_signals, "find_family", lambda name: watch if name == family else find(name))
    monkeypatch.setattr(text_signals, "_BATCH_CHARACTERS", 400)
    assert measure_text(pages, recipe).equals(together)
    assert sum(height for height, _ in heights) == pages.height
    assert (len(heights) > 1, any(is_given for _, is_given in heights)) == (is_read, is_read)


def test_an_empty_text_has_no_words_and_no_shares() -> None:
    (row,) = measure_words_and_lines([""]).to_dicts()
    assert {name for name, value in row.items() if value is not None} == {"word_count", "stop_word_count"}
    assert row["word_count"] == 0


def test_a_text_shorter_than_an_n_gram_does_not_repeat() -> None:
    (row,) = measure_words_and_lines(["one two three"]).to_dicts()
    assert row["top_4_gram_char_ratio"] == row["duplicate_5_gram_char_ratio"] == 0.0
    assert row["top_3_gram_char_ratio"] == 1.0  # a single occurrence counts


def test_n_grams_repeat_by_their_letters_and_not_by_their_words() -> None:
    (row,) = measure_words_and_lines(["ab c d e f . a bc d e f"]).to_dicts()
    assert row["duplicate_5_gram_char_ratio"] == 6 / 23


@given(st.lists(texts, min_size=2, max_size=8), st.data())
@settings(max_examples=50, deadline=None)
def test_signals_do_not_depend_on_batches_or_order(batch: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(batch))))
    together = measure_words_and_lines(batch)
    assert measure_words_and_lines([batch[index] for index in order]).equals(together[list(order)])
    assert pl.concat([measure_words_and_lines([text]) for text in batch]).equals(together)


def test_a_dictionary_that_starts_anew_says_the_same() -> None:
    small, large = WordDictionary(most_chunks=2), WordDictionary()
    for batch in (["the river and", "a b c d"], ["the river", "don't e"], ["a b", "river river"]):
        for dictionary in (small, large):
            words = dictionary.read(batch)
            spelled = [
                "".join(map(chr, words.table.characters[words.table.start[word] : words.table.start[word + 1]]))
                for word in words.words
            ]
            assert spelled == [token.text for text in batch for token in load_tokenizer()(text)]
    assert small.chunk_count < large.chunk_count


@pytest.mark.real_data
def test_signals_of_real_pages_equal_a_plain_reading_of_the_rules(shared_data: Path) -> None:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        pages = [text for text in (json.loads(line)["gold_text"] for line in lines) if text][::20]
    measured = measure_words_and_lines(pages).to_dicts()
    assert len(measured) > 20
    assert measured == [{name: plain[name] for name in measured[0]} for plain in map(measure_plainly, pages)]
