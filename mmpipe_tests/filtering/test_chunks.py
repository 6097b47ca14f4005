"""Chunks are split by shape exactly as spaCy splits them."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import lru_cache
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.chunks import LONGEST_CHUNK, ChunkSplitter
from mmpipe.filtering.tokens import WordDictionary


@lru_cache(maxsize=1)
def load_tokenizer() -> Any:
    import spacy

    return spacy.blank("en").tokenizer


def split_with_spacy(chunk: str) -> list[str]:
    return [token.text for token in load_tokenizer()(chunk)]


DICTIONARY = WordDictionary()


def split(parts: list[str]) -> list[list[str]]:
    """Return the words of each chunk as the dictionary numbers them."""
    batch = DICTIONARY.read(parts)
    start, letters = batch.table.start, "".join(map(chr, batch.table.characters))
    words = [letters[start[word] : start[word + 1]] for word in batch.words]
    return [words[begin:end] for begin, end in pairwise(batch.start)]


MARKS = "aabcqstSTKM019'’`.,-–—:;!?()[]{}\"“”«»$€£%&*_/#@°+=<>~|^…。，éßЖж中あ🎉"
PIECES = (
    "word", "Mr.", "don't", "I'm", "o'clock", "US$", "km", "1990", "http://a.example/b", "x@y.com", "192.168.1.1", "7",
    "e-mail", "U.S.A.", ":)", "=D", "(=", "'s", "’re", "--", "...", "Ph.D.", "°C.", "a.m.", "cannot",
)  # fmt: skip
chunks = st.lists(st.sampled_from(PIECES) | st.sampled_from(MARKS), min_size=1, max_size=6).map("".join)


@given(st.lists(chunks, min_size=1, max_size=20))
@settings(max_examples=500, deadline=None)
def test_chunks_are_split_as_spacy_splits_them_whatever_their_neighbours(parts: list[str]) -> None:
    assert split(parts) == [split_with_spacy(part) for part in parts]


def test_every_special_case_is_split_as_spacy_splits_it_also_between_marks() -> None:
    cases = [case for case in load_tokenizer().rules if not any(map(str.isspace, case))]
    parts = [template.format(case) for case in cases for template in ("{}", "({},", "{}.", "“{}”", "x-{}", "{}s")]
    wrong = [
        (part, words, split_with_spacy(part))
        for part, words in zip(parts, split(parts), strict=True)
        if words != split_with_spacy(part)
    ]
    assert wrong == []


def test_a_storm_of_brackets_is_one_word_and_takes_no_time() -> None:
    storms = ["(" * 1_000_000, "🎉" * 200_000, "'s" * 200_000]
    begin = time.process_time()
    assert split(storms) == [[storm] for storm in storms]
    assert time.process_time() - begin < 2
    assert len(split(["a," * (LONGEST_CHUNK // 2)])[0]) > 1


def test_spacy_does_not_bring_torch_which_others_can_import_afterwards() -> None:
    code = (
        "import sys; from mmpipe.filtering.chunks import load_spacy; from mmpipe.filtering import spacy_sentences; "
        "load_spacy(); spacy_sentences._list_classes(); assert 'torch' not in sys.modules; import torch; torch.ones(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_forgetting_shapes_changes_no_split_and_holds_their_number() -> None:
    dictionary = WordDictionary()
    dictionary._splitter = ChunkSplitter(most_shapes=5)
    rounds = [[f"a{'-' * number}b," * 2, f"({number}x)", f"don't{'.' * number}", "end."] for number in range(1, 20)]
    for chunks in rounds:
        batch = dictionary.read([" ".join(chunks)])
        start, characters = batch.table.start, batch.table.characters
        words = [characters[start[word] : start[word + 1]].tobytes().decode("utf-32-le") for word in batch.words]
        assert words == [word for chunk in chunks for word in split_with_spacy(chunk)]
        assert dictionary._splitter._shapes.count <= 5 + len(chunks)
