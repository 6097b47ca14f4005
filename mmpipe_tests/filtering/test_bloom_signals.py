"""BLOOM's signals: values counted by hand, a plain reading of the definitions beside the fast one, hostile texts."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.bloom_signals import cut_chunks, measure_bloom
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_sections import WordSettings
from mmpipe.filtering.unspaced import cut_unspaced
from mmpipe.filtering.word_lists import find_stop_words
from mmpipe.tables.special_characters import list_special_characters
from mmpipe_tests.filtering.batches import make_batch
from mmpipe_tests.peers import IMAGE_PEER_PYTHON, find_peer


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> WordSettings:
    folder = tmp_path_factory.mktemp("words")

    def write(name: str, *entries: str) -> tuple[ListReference, ...]:
        path: Path = folder / name
        path.write_text("\n".join(entries), encoding="utf-8")
        return (ListReference(list=str(path), path=str(path)),)

    return WordSettings(
        flagged={"en": write("flagged-en", "darn", "two words"), "zh": write("flagged-zh", "坏话")},
        stop={
            "en": write("stop-en", "the", "on", "a"),
            "vi": write("stop-vi", "bởi vì", "và"),
            "zh": write("stop-zh", "的", "我们"),
            "ur": write("stop-ur", "aa"),
        },
    )


def measure(text: str, words: WordSettings, language: str | None = "en") -> dict[str, float | None]:
    return measure_bloom(make_batch([text], language, words)).row(0, named=True)


def test_english_counted_by_hand(words: WordSettings) -> None:
    measured = measure("The (cat) sat, on\tthe mat... 42 -- Darn!\n", words)
    # The, cat, sat, on, the, mat, Darn; 42 and -- are nothing but special characters
    assert measured["stripped_word_count"] == 7
    # the, on, the
    assert measured["stop_word_ratio"] == pytest.approx(3 / 7)
    assert measured["flagged_word_ratio"] == pytest.approx(1 / 7)
    # "The (cat) sat, on the mat... 42 -- Darn!" has 40 characters: 8 spaces, ( ) , ... 4 2 - - ! are 11 more
    assert measured["special_character_ratio"] == pytest.approx(19 / 40)
    assert measured["word_repetition_ratio"] == 0
    assert measured["character_repetition_ratio"] == 0


def test_repetition_counted_by_hand(words: WordSettings) -> None:
    # 7 words, 3 five-grams: "a b a b a" twice, "b a b a b" once
    assert measure("a b a b a b a", words)["word_repetition_ratio"] == pytest.approx(2 / 3)
    # 12 characters, 3 ten-grams, all equal: 1 distinct, k = min(1, 1), 3 of 3
    assert measure("xxxxxxxxxxxx", words)["character_repetition_ratio"] == 1
    # 20 characters: 11 ten-grams; abcdefghij twice, the 9 others once; 10 distinct, k = min(3, 1): 2 of 11
    assert measure("abcdefghijabcdefghij", words)["character_repetition_ratio"] == pytest.approx(2 / 11)
    # fewer than n: nothing repeats
    assert measure("a b a b", words)["word_repetition_ratio"] == 0
    assert measure("aaaaaaaaa", words)["character_repetition_ratio"] == 0


def test_urdu_looks_at_seven_words(words: WordSettings) -> None:
    # 7 words: one 7-gram, which stands once; the same text has repeated 5-grams in English
    assert measure("a b a b a b a", words, "ur")["word_repetition_ratio"] == 0


def test_chinese_words_are_characters_and_pairs_are_looked_up(words: WordSettings) -> None:
    measured = measure("我们的猫说坏话。", words, "zh")
    # seven characters; the full stop is special
    assert measured["stripped_word_count"] == 7
    # 的, and the pair 我们
    assert measured["stop_word_ratio"] == pytest.approx(2 / 7)
    assert measured["flagged_word_ratio"] == pytest.approx(1 / 7)
    # character 3-grams: 猫猫猫猫 has two equal ones: 1 distinct, k = 1, 2 of 2
    assert measure("猫猫猫猫", words, "zh")["character_repetition_ratio"] == 1


def test_vietnamese_pairs_are_looked_up_too(words: WordSettings) -> None:
    # five words; và stands alone, bởi vì is a pair
    assert measure("Bởi vì mưa và gió", words, "vi")["stop_word_ratio"] == pytest.approx(2 / 5)


def test_a_pair_does_not_reach_over_the_end_of_a_text(words: WordSettings) -> None:
    frame = measure_bloom(make_batch(["mưa bởi", "vì gió"], "vi", words))
    assert frame.get_column("stop_word_ratio").to_list() == [0, 0]


def test_what_cannot_be_measured_is_null(words: WordSettings) -> None:
    assert measure("", words) == {
        "stripped_word_count": 0,
        "character_repetition_ratio": 0,
        "word_repetition_ratio": 0,
        "special_character_ratio": 0,
        "stop_word_ratio": None,
        "flagged_word_ratio": None,
    }
    for language in ("xx", None, "../en", "eng_Latn"):
        measured = measure("some words", words, language)
        assert (measured["stop_word_ratio"], measured["flagged_word_ratio"]) == (None, None)


def test_languages_without_a_list_of_the_recipe_have_spacys_stop_words() -> None:
    for language in ("ar", "bn", "ca", "en", "es", "eu", "fr", "hi", "id", "pt", "ur", "vi", "zh"):
        assert find_stop_words(language, WordSettings())
    measured = measure("The cat is on the mat", WordSettings())
    assert measured["stop_word_ratio"] == pytest.approx(4 / 6)


def test_thai_vowels_stay_with_their_letters() -> None:
    # น้ำ: น with the tone mark, then sara am, which is a letter
    assert cut_unspaced("น้ำ ok 好！") == ["น้", "ำ", "ok", "好", "！"]


def test_control_characters_are_deleted_and_object_marks_are_spaces() -> None:
    assert cut_chunks("a\x00b\ufffcc\u3000d\x85e") == ["ab", "c", "de"]


def read_plainly(text: str, language: str, stop: frozenset[str]) -> tuple[float, ...]:
    """The definitions of filtering.py, read word for word, for languages with spaces."""
    special = list_special_characters()
    text = " ".join(cut_chunks(text))
    words = [word for word in (piece.lower().strip(special) for piece in text.split()) if word]
    n = 7 if language == "ur" else 5
    characters = Counter(text[i : i + 10] for i in range(len(text) - 9))
    counts = sorted(characters.values(), reverse=True)
    k = min(int(math.sqrt(len(counts))), sum(count > 1 for count in counts))
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return (
        sum(bool(piece.strip(special)) for piece in text.split()),
        sum(counts[:k]) / sum(counts) if counts else 0,
        sum(count for count in grams.values() if count > 1) / sum(grams.values()) if grams else 0,
        sum(character in special for character in text) / len(text) if text else 0,
        sum(word in stop for word in words) / len(words) if words else math.nan,
    )


texts = st.text(st.sampled_from("ab A.,\n\tё漢😀0\x00\u00a0\ud800é'"), max_size=80)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.sampled_from(["en", "ur"])), max_size=6))
def test_the_fast_reading_is_the_plain_one(words: WordSettings, rows: list[tuple[str, str]]) -> None:
    frame = measure_bloom(make_batch([text for text, _ in rows], [language for _, language in rows], words))
    for (text, language), row in zip(rows, frame.rows(), strict=True):
        stop = find_stop_words(language, words)
        assert stop is not None
        found = [math.nan if value is None else value for value in row[:5]]
        assert found == pytest.approx(list(read_plainly(text, language, stop)), nan_ok=True)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.sampled_from(["en", "zh", "vi", "th", None])), max_size=6), st.randoms())
def test_shares_are_shares_and_neighbours_do_not_matter(
    words: WordSettings, rows: list[tuple[str, str | None]], chooser: Any
) -> None:
    def measure_all(some: list[tuple[str, str | None]]) -> list[tuple[float | None, ...]]:
        return measure_bloom(make_batch([text for text, _ in some], [own for _, own in some], words)).rows()

    measured = measure_all(rows)
    assert all(value is None or 0 <= value <= 1 for row in measured for value in row[1:])
    order = list(range(len(rows)))
    chooser.shuffle(order)
    assert measure_all([rows[i] for i in order]) == [measured[i] for i in order]


def test_hostile_texts_are_measured_like_others(words: WordSettings) -> None:
    long_line = "word " * 400_000
    frame = measure_bloom(
        make_batch([long_line, "x" * 2_000_000, "😀" * 50_000, "\x00" * 1000, "1 2 3 " * 9999], "en", words)
    )
    assert frame.get_column("stripped_word_count").to_list() == [400_000, 1, 0, 0, 0]
    assert frame.get_column("special_character_ratio").to_list()[2:] == [1, 0, 1]


@pytest.mark.real_data
def test_real_pages_measure_as_the_plain_reading(words: WordSettings, shared_data: Path) -> None:
    import gzip
    import json

    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        golden = [entry["gold_text"] for entry, _ in zip(map(json.loads, lines), range(300), strict=False)]
    kept = [text for text in golden if text]
    stop = find_stop_words("en", words)
    assert stop is not None
    for text, row in zip(kept, measure_bloom(make_batch(kept, "en", words)).rows(), strict=True):
        assert row[:5] == pytest.approx(read_plainly(text, "en", stop), nan_ok=True)


_PEER = """
import json, sys
from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
from data_juicer.ops.filter.word_repetition_filter import WordRepetitionFilter
from data_juicer.ops.filter.words_num_filter import WordsNumFilter
texts = json.load(open(sys.argv[1]))
batch = {"text": texts, "__dj__stats__": [{} for _ in texts]}
for op in (WordsNumFilter(), CharacterRepetitionFilter(10), WordRepetitionFilter(rep_len=5), SpecialCharactersFilter()):
    if op.is_batched_op():
        batch = op.compute_stats_batched(batch)
    else:
        pairs = zip(texts, batch["__dj__stats__"])
        samples = [op.compute_stats_single({"text": text, "__dj__stats__": stats}) for text, stats in pairs]
        batch["__dj__stats__"] = [sample["__dj__stats__"] for sample in samples]
keys = ("num_words", "char_rep_ratio", "word_rep_ratio", "special_char_ratio")
json.dump([[stats[key] for key in keys] for stats in batch["__dj__stats__"]], open(sys.argv[2], "w"))
"""


@pytest.mark.real_data
def test_real_pages_measure_as_data_juicers_operators(shared_data: Path, tmp_path: Path) -> None:
    """Data-Juicer (configs/reproduced_bloom) normalises white space in a step of its own, so it is given that text."""
    import gzip
    import json
    import subprocess

    peer = find_peer("data_juicer", python=IMAGE_PEER_PYTHON)
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        some = [entry["gold_text"] for entry, _ in zip(map(json.loads, lines), range(250), strict=False)]
    golden = [" ".join(cut_chunks(text)) for text in some if text]
    (tmp_path / "texts.json").write_text(json.dumps(golden), encoding="utf-8")
    command = [str(peer), "-c", _PEER, str(tmp_path / "texts.json"), str(tmp_path / "values.json")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    values = json.loads((tmp_path / "values.json").read_text(encoding="utf-8"))
    frame = measure_bloom(make_batch(golden, "en"))
    for text, row, theirs in zip(golden, frame.rows(), values, strict=True):
        assert row[:4] == pytest.approx(theirs), text[:80]
