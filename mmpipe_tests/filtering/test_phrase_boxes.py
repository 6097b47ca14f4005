"""Phrases are found where they stand, only sure boxes that differ stay, and expressions are those that readers see."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.phrase_boxes import (
    FoundBox,
    ground_caption,
    grow_expressions,
    locate_phrases,
    measure_overlap,
    read_grit_rows,
    suppress_overlaps,
)

BOX = (0.1, 0.1, 0.5, 0.5)


def read(caption: str, spans: list[tuple[int, int]]) -> list[str]:
    return [caption[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("caption", "phrases", "places"),
    [
        ("A dog in a Field of flowers", ["dog", "field", "flowers"], ["A dog", "a Field", "flowers"]),
        ("Two  red balls and the ball", ["red balls", "ball"], ["Two  red balls", "the ball"]),
        ("red apple and apple", ["red apple", "apple"], ["red apple", "apple"]),
        ("A photo of time and love", ["photo", "time", "love"], []),
        ("caterpillar on a cat", ["cat"], ["a cat"]),
        ("3 < 4 (a+b)", ["(a+b)", "", " "], ["(a+b)"]),
    ],
)
def test_phrases_are_found_as_whole_words_with_their_determiner(
    caption: str, phrases: list[str], places: list[str]
) -> None:
    assert read(caption, locate_phrases(caption, phrases)) == places


@pytest.mark.parametrize(
    ("caption", "phrases", "expressions"),
    [
        ("a dog in a field of flowers", ["dog", "field", "flowers"],
         ["a dog in a field of flowers", "a field of flowers", "flowers"]),
        ("a man riding a horse and a dog", ["man", "horse", "dog"], ["a man riding a horse", "a horse", "a dog"]),
        ("a table covered with snow, a lamp", ["table", "snow", "lamp"],
         ["a table covered with snow", "snow", "a lamp"]),
        ("a cat sitting next to a box", ["cat", "box"], ["a cat sitting next to a box", "a box"]),
        ("a dog that sees a cat", ["dog", "cat"], ["a dog", "a cat"]),
        ("a dog", ["dog"], ["a dog"]),
    ],
)  # fmt: skip
def test_a_phrase_grows_over_what_belongs_to_it_and_not_over_conjuncts(
    caption: str, phrases: list[str], expressions: list[str]
) -> None:
    assert read(caption, grow_expressions(caption, locate_phrases(caption, phrases))) == expressions


def test_only_boxes_that_are_sure_enough_and_differ_stay() -> None:
    caption = "a dog in a field"
    spans = locate_phrases(caption, ["dog", "field"])
    near, far = (0.1, 0.1, 0.5, 0.51), (0.6, 0.6, 0.9, 0.9)
    boxes = [
        FoundBox(0, near, 0.8), FoundBox(0, BOX, 0.9), FoundBox(0, far, 0.7),
        FoundBox(1, BOX, 0.65), FoundBox(1, far, 0.66),
    ]  # fmt: skip

    found = ground_caption(caption, spans, boxes)

    assert found.noun_chunks == [[0, 5, *BOX, 0.9], [0, 5, *far, 0.7], [9, 16, *far, 0.66]]
    assert found.ref_exps == [[0, 16, *BOX, 0.9], [0, 16, *far, 0.7]]
    assert (found.unsure_boxes, found.repeated_boxes) == (1, 1)


def test_an_expression_whose_head_has_no_box_leaves_room_for_those_within() -> None:
    caption = "a dog in a field"
    spans = locate_phrases(caption, ["dog", "field"])

    assert ground_caption(caption, spans, [FoundBox(1, BOX, 0.9)]).ref_exps == [[9, 16, *BOX, 0.9]]
    assert ground_caption(caption, spans, []).noun_chunks == []


_BOXES = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(1, 8)).map(
    lambda parts: (parts[0] / 16, parts[1] / 16, (parts[0] + parts[2]) / 16, (parts[1] + parts[3]) / 16)
)
_FOUND = st.builds(FoundBox, st.integers(0, 3), _BOXES, st.integers(0, 100).map(lambda share: share / 100))


@given(st.lists(_FOUND, max_size=12), st.floats(0, 1), st.randoms())
def test_what_stays_neither_overlaps_nor_depends_on_order(
    boxes: list[FoundBox], most: float, random: st.DataObject
) -> None:
    kept = suppress_overlaps(boxes, most)

    assert all(measure_overlap(a.box, b.box) <= most for i, a in enumerate(kept) for b in kept[:i])
    for found in boxes:
        assert any(measure_overlap(found.box, other.box) > most or other == found for other in kept)
    shuffled = list(boxes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [(item.box, item.confidence) for item in suppress_overlaps(shuffled, most)] == [
        (item.box, item.confidence) for item in kept
    ]


@given(st.text("ab dog infield,of", max_size=30), st.lists(_FOUND, max_size=8))
def test_rows_stand_in_the_caption_and_no_expression_is_within_another(caption: str, boxes: list[FoundBox]) -> None:
    spans = locate_phrases(caption, ["dog", "field", "b dog", "a"])
    found = ground_caption(caption, spans, [box for box in boxes if box.phrase < len(spans)])

    assert all(0 <= start < end <= len(caption) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert {tuple(row[2:]) for row in found.ref_exps} <= {tuple(row[2:]) for row in found.noun_chunks}
    places = {(row[0], row[1]) for row in found.ref_exps}
    assert not any(a != b and a[0] <= b[0] and b[1] <= a[1] for a in places for b in places)
    assert all(row[6] > 0.65 for row in found.noun_chunks)


def test_given_rows_are_read_and_what_is_no_box_is_left_out() -> None:
    rows = [
        [2, 5, *BOX, 0.9],
        [2, 5, *BOX, 0.7],
        [0, 99, *BOX, 1],
        [0, 1, 0.5, 0, 0.4, 1, 1],
        [0, 1, 1],
        [0, 1, *BOX, 1],
    ]

    spans, boxes = read_grit_rows(rows, "a dog")

    assert spans == [(0, 1), (2, 5)]
    assert boxes == [FoundBox(1, BOX, 0.9), FoundBox(1, BOX, 0.7), FoundBox(0, BOX, 1)]
