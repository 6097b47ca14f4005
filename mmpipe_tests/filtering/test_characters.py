"""Spans are numbered as a Python dictionary would number them, however many there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.filtering.characters import SpanDictionary, encode_characters


@given(st.lists(st.lists(st.text(st.characters(), max_size=4), max_size=30), max_size=4))
@settings(max_examples=100, deadline=None)
def test_spans_are_numbered_as_they_are_met(batches: list[list[str]]) -> None:
    dictionary, numbers = SpanDictionary(), dict[str, int]()
    for batch in batches:
        characters, start = encode_characters(batch)
        numbered = dictionary.number(characters, start[:-1], np.diff(start)).tolist()
        assert numbered == [numbers.setdefault(span, len(numbers)) for span in batch]
    assert dictionary.read(range(dictionary.count)) == list(numbers)


def test_numbers_stay_while_the_dictionary_grows() -> None:
    spans = [f"{number:x}" * (1 + number % 5) for number in range(30_000)]
    dictionary = SpanDictionary()
    for part in (spans[:10], spans[:20_000], spans, ["x" * 100_000]):
        characters, start = encode_characters(part)
        numbers = dictionary.number(characters, start[:-1], np.diff(start))
        assert dictionary.read(numbers.tolist()) == part
    assert dictionary.count == len(set(spans)) + 1
    assert int(dictionary.start[-1]) == dictionary.characters.size
