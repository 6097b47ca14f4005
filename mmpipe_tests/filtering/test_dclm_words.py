"""DCLM's three kinds of words, by hand and against the tokenizers that DCLM itself calls."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.dclm_words import WORD_COUNTS, count_spaced_words, cut_dclm_words
from mmpipe_tests.peers import find_peer

ROOT = Path(__file__).resolve().parents[2]
PEER_SCRIPT = Path(__file__).with_name("dclm_peer.py")

PIECES = (
    "a", "b", "Z", "1", "2", "_", ".", ",", ":", ";", "'", '"', " ", "  ", "\n", "\xa0", "\u202f", "\u0301", "\u200d",
    "\xad", "\u200b", "é", "中", "ひ", "カ", "ー", "\uff9e", "ก", "\u0e31", "א", "ב", "©", "😀", "🇩", "²", "ª", "Ⓐ",
    "…", "-", "\x85", "\x1c", "\0", "İ", "\u2028", "Ⅷ", "\u0661", "\u066b", "the", "To", " of ",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lengths", "numbers"),
    [
        ("Don't stop, don't", [5, 4, 5], [0, 1, 2]),  # one word each; marks are none; case counts
        ("e-mail a:b c.d 1,000.5", [1, 4, 3, 3, 7], [0, 1, 2, 3, 4]),
        ("_private x_y", [3], [0]),  # begins with no letter or digit
        ("你好 ひカナ", [1, 1, 1, 2], [0, 1, 2, 3]),  # ideographs and Hiragana one by one, Katakana in a run
        ("1\u202f000 a\xa0b", [5, 1, 1], [0, 1, 2]),  # a narrow no-break space joins
        ("a a b a", [1, 1, 1, 1], [0, 0, 1, 0]),
        ("... ! —", [], []),
    ],
)
def test_words_whose_repeats_count(text: str, lengths: list[int], numbers: list[int]) -> None:
    cut = cut_dclm_words(["x", text])
    assert cut.lengths[cut.start[1] :].tolist() == lengths
    assert cut.words[cut.start[1] :].tolist() == numbers


def test_counts_by_hand() -> None:
    text = 'The cat, the "hat" and (you) 4 x\0y TO to\xa0be'
    # white-space words: The cat, the "hat" and (you) 4 x\0y TO to be: 11; all but 4 have a letter; the stop words are
    # The the and TO to be, five of them distinct without case: the and to be are 4. fastText also cuts at \0 and not
    # at \xa0: The cat, the "hat" and (you) 4 x y TO to\xa0be, of which "hat" and (you) begin with a mark: 9
    counts = dict(zip(WORD_COUNTS, count_spaced_words([text])[0].tolist(), strict=True))
    assert counts == {
        "words": 11, "word_chars": 3 + 4 + 3 + 5 + 3 + 5 + 1 + 3 + 2 + 2 + 2, "alphabetic_words": 10, "stop_words": 6,
        "distinct_stop_words": 4, "fasttext_words": 9,
    }  # fmt: skip


MIXED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), MIXED), max_size=4))
def test_white_space_words_are_pythons(texts: list[str]) -> None:
    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    for text, counts in zip(texts, count_spaced_words(texts).tolist(), strict=True):
        words = text.split()
        stops = [word.lower() for word in words if word.lower() in stop_words]
        letters = sum(any(map(str.isalpha, word)) for word in words)
        assert counts[:5] == [len(words), sum(map(len, words)), letters, len(stops), len(set(stops))]


@settings(deadline=None)
@given(st.lists(MIXED, max_size=5))
def test_texts_do_not_touch_one_another(texts: list[str]) -> None:
    together = cut_dclm_words(texts)
    for index, text in enumerate(texts):
        alone = cut_dclm_words([text])
        span = slice(together.start[index], together.start[index + 1])
        assert together.lengths[span].tolist() == alone.lengths.tolist()
        assert together.words[span].tolist() == alone.words.tolist()
        assert together.counts[index].tolist() == alone.counts[0].tolist()


def ask_peer(texts: list[str], folder: Path) -> list[dict[str, Any]]:
    """Return what uniseg and fastText say of the texts."""
    python = find_peer("uniseg", "fasttext")
    asked, answered = folder / "asked.json", folder / "answered.json"
    asked.write_text(json.dumps(texts), encoding="utf-8")
    subprocess.run([python, PEER_SCRIPT, asked, answered], check=True)
    answers: list[dict[str, Any]] = json.loads(answered.read_text(encoding="utf-8"))
    return answers


def hold_to_peer(texts: list[str], folder: Path) -> None:
    answers = ask_peer(texts, folder)
    cut = cut_dclm_words(texts)
    for index, answer in enumerate(answers):
        numbers: dict[str, int] = {}
        span = slice(cut.start[index], cut.start[index + 1])
        assert cut.lengths[span].tolist() == list(map(len, answer["words"])), texts[index]
        assert cut.words[span].tolist() == [numbers.setdefault(word, len(numbers)) for word in answer["words"]]
        assert cut.counts[index, 5] == answer["fasttext_words"], texts[index]


def test_words_are_those_of_uniseg_and_fasttext(tmp_path: Path) -> None:
    chooser = random.Random(3)
    hold_to_peer(["".join(chooser.choices(PIECES, k=chooser.randint(0, 30))) for _ in range(3_000)], tmp_path)


@pytest.mark.real_data
@pytest.mark.slow
def test_words_of_real_texts_are_those_of_uniseg_and_fasttext(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [text for line in file if (text := json.loads(line)["gold_text"])]
    hold_to_peer(texts, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["a" * 2_000_000, "a " * 1_000_000, "\n" * 2_000_000, "." * 2_000_000, "\u0301" * 2_000_000, "'א" * 1_000_000],
)
def test_time_grows_with_the_length_only(text: str) -> None:
    cut_dclm_words(["warm"])
    started = time.process_time()
    assert cut_dclm_words([text]).start[1] <= len(text)
    assert time.process_time() - started < 3


def test_no_texts_and_no_words() -> None:
    assert cut_dclm_words([]).words.size == 0
    assert cut_dclm_words(["", "\ud800"]).start.tolist() == [0, 0, 0]
    assert np.array_equal(count_spaced_words([""]), np.zeros((1, len(WORD_COUNTS)), np.int64))
