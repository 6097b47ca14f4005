"""Location tokens round trip: boxes within half a cell or held whole, captions to the character, as Kosmos-2 has it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmpipe.release.grounding_tokens import (
    GRID,
    Box,
    GroundedSpan,
    decode_box,
    decode_caption,
    encode_box,
    encode_caption,
)

_SHARES = st.one_of(st.floats(0, 1), st.integers(0, GRID).map(lambda cell: cell / GRID))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted(draw(st.lists(_SHARES, min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(_SHARES, min_size=2, max_size=2, unique=True)))
    return left, top, right, bottom


@given(boxes())
@example((0.0, 0.0, 1.0, 1.0))
@example((0.0, 0.0, 5e-324, 5e-324))
@example((31 / 32, 31 / 32, 1.0, 1.0))
def test_a_box_comes_back_within_half_a_cell_or_is_held_whole(box: Box) -> None:
    first, last = encode_box(box)
    found = decode_box(first, last)

    assert encode_box(found) == (first, last)
    assert decode_box(*encode_box(found)) == found
    off = [abs(after - before) * GRID for after, before in zip(found, box, strict=True)]
    shares_a_line = first // GRID == last // GRID or first % GRID == last % GRID
    if shares_a_line:
        assert found[0] <= box[0]
        assert found[1] <= box[1]
        assert found[2] >= box[2]
        assert found[3] >= box[3]
        assert max(off) <= 1
    else:
        assert max(off) <= 0.5 + 1e-9


@given(boxes())
def test_large_boxes_overlap_what_they_were(box: Box) -> None:
    found = decode_box(*encode_box(box))
    width = min(found[2], box[2]) - max(found[0], box[0])
    height = min(found[3], box[3]) - max(found[1], box[1])
    shared = max(width, 0) * max(height, 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    union = area + (found[2] - found[0]) * (found[3] - found[1]) - shared
    if min(box[2] - box[0], box[3] - box[1]) >= 8 / GRID:
        # a cell less and a cell more on both sides, at worst
        assert shared / union >= (7 / 9) ** 2


@given(boxes())
def test_cells_are_those_of_kosmos_2(box: Box) -> None:
    peer = pytest.importorskip("transformers.models.kosmos2.processing_kosmos2")

    cells = encode_box(box)

    theirs = peer.coordinate_to_patch_index(box, GRID)
    if box[2] - box[0] > 1e-9 and box[3] - box[1] > 1e-9:  # theirs rounds thinner ones to cells before their own
        assert cells == theirs
    assert decode_box(*cells) == pytest.approx(peer.patch_index_to_coordinate(*cells, GRID))


_WORDS = st.sampled_from(
    ["a dog", " ", "<", ">", "&", "lt;", "amp;", "<phrase>", "</phrase>", "<object>", "</object>", "é", "3 < 4", "\n",
     "<patch_index_0001>", "</delimiter_of_multi_objects/>", "&lt;phrase>", "&amp;lt;"]
)  # fmt: skip


@st.composite
def grounded(draw: st.DrawFn) -> tuple[str, list[GroundedSpan]]:
    caption = "".join(draw(st.lists(_WORDS, max_size=10)))
    places = sorted(draw(st.sets(st.integers(0, len(caption)), max_size=6)))
    spans = [
        GroundedSpan(start, end, tuple(draw(st.lists(boxes(), min_size=1, max_size=3))))
        for start, end in zip(places[::2], places[1::2], strict=False)
    ]
    return caption, spans


@given(grounded())
def test_a_caption_comes_back_to_the_character(case: tuple[str, list[GroundedSpan]]) -> None:
    caption, spans = case

    found, back = decode_caption(encode_caption(caption, spans))

    assert found == caption
    assert [(span.start, span.end) for span in back] == [(span.start, span.end) for span in spans]
    assert [[encode_box(box) for box in span.boxes] for span in back] == [
        [encode_box(box) for box in span.boxes] for span in spans
    ]
    assert encode_caption(found, back) == encode_caption(caption, spans)


def test_the_form_is_that_of_grit_and_kosmos_2_reads_it() -> None:
    peer = pytest.importorskip("transformers.models.kosmos2.processing_kosmos2")
    caption = "a snowman warming up by a fire & tea <3"
    spans = [GroundedSpan(24, 30, ((0.5, 0.5, 0.9, 0.9), (0.1, 0.1, 0.2, 0.2))), GroundedSpan(0, 9, ((0, 0, 1, 1),))]

    text = encode_caption(caption, spans)

    assert text == (
        "<phrase>a snowman</phrase><object><patch_index_0000><patch_index_1023></object> warming up by "
        "<phrase>a fire</phrase><object><patch_index_0528><patch_index_0924></delimiter_of_multi_objects/>"
        "<patch_index_0099><patch_index_0198></object> & tea <3"
    )
    theirs = peer.clean_text_and_extract_entities_with_bboxes(text)[1]
    assert [(name, span) for name, span, _ in theirs] == [("a snowman", (0, 9)), ("a fire", (24, 30))]
    ours = decode_caption(text)[1]
    assert [list(map(pytest.approx, found)) for _, _, found in theirs] == [list(span.boxes) for span in ours]


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (0, 0, 1, 1.01), (-0.1, 0, 1, 1), (0, float("nan"), 1, 1)]
)
def test_what_is_no_box_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="no box"):
        encode_box(box)


@pytest.mark.parametrize("cells", [(5, 4), (32, 0), (0, 1024), (-1, 3)])
def test_cells_that_are_no_corners_are_refused(cells: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no corners"):
        decode_box(*cells)


def test_spans_that_overlap_are_refused() -> None:
    whole: Box = (0, 0, 1, 1)
    for spans in ([(0, 3), (2, 4)], [(0, 9)], [(2, 2)]):
        with pytest.raises(ValueError, match="span"):
            encode_caption("a dog", [GroundedSpan(*span, (whole,)) for span in spans])
    with pytest.raises(ValueError, match="no box"):
        encode_caption("a dog", [GroundedSpan(0, 5, ())])
