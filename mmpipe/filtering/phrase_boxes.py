"""Grounds a caption: finds its phrases' places, keeps the sure boxes of each, and grows phrases to expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

#: Left, top, right and bottom as shares of the picture's width and height, 0 to 1.
Box = tuple[float, float, float, float]

#: A row of GRIT: start and end character, left, top, right and bottom as shares, confidence.
GritRow = list[float]


class FoundBox(NamedTuple):
    """A box of the phrase of a number, and how sure the detector is, 0 to 1."""

    phrase: int
    box: Box
    confidence: float


class SeenPhrase(Protocol):
    """A phrase seen in a picture: left, top, right and bottom as shares of its width and height, 0 to 1."""

    @property
    def phrase(self) -> str: ...  # noqa: D102
    @property
    def left(self) -> float: ...  # noqa: D102
    @property
    def top(self) -> float: ...  # noqa: D102
    @property
    def right(self) -> float: ...  # noqa: D102
    @property
    def bottom(self) -> float: ...  # noqa: D102
    @property
    def confidence(self) -> float: ...  # noqa: D102


class PhraseBoxes(Protocol):
    """A detector of phrases in pictures."""

    @property
    def digest(self) -> str:
        """Digits that name its weights."""

    def find(
        self, pictures: Sequence[Image.Image], phrases: Sequence[Sequence[str]], *, least_confidence: float = 0.1
    ) -> Sequence[Sequence[SeenPhrase]]:
        """Return the boxes of each picture's phrases that are at least so sure; a phrase may have several."""


def number_boxes(seen: Iterable[SeenPhrase], phrases: Sequence[str]) -> list[FoundBox]:
    """Return what a detector saw by the number of the phrase; a phrase that stands twice has its boxes twice."""
    return [
        FoundBox(number, (box.left, box.top, box.right, box.bottom), box.confidence)
        for box in seen
        for number, phrase in enumerate(phrases)
        if phrase == box.phrase
    ]


def read_grit_rows(rows: Iterable[Sequence[float]], caption: str) -> tuple[list[tuple[int, int]], list[FoundBox]]:
    """Return places of phrases and their boxes from GRIT's rows as data give them; what is no box there is left out.

    Args:
        rows: start and end character, left, top, right, bottom, confidence.
        caption: that the characters are of.
    """
    good = [
        row
        for row in rows
        if len(row) == 7
        and 0 <= row[0] < row[1] <= len(caption)
        and 0 <= row[2] < row[4] <= 1
        and 0 <= row[3] < row[5] <= 1
    ]
    spans = sorted({(int(row[0]), int(row[1])) for row in good})
    number = {span: place for place, span in enumerate(spans)}
    return spans, [FoundBox(number[int(row[0]), int(row[1])], (row[2], row[3], row[4], row[5]), row[6]) for row in good]


@dataclass(frozen=True, slots=True)
class Grounding:
    """What is known of a caption's phrases.

    Attributes:
        noun_chunks: a row per box, by place in the caption, then the surest first.
        ref_exps: the same boxes with the expressions that their phrases are part of; none within another.
        unsure_boxes: boxes below the least confidence.
        repeated_boxes: boxes that overlap a surer one of their phrase.
    """

    noun_chunks: list[GritRow]
    ref_exps: list[GritRow]
    unsure_boxes: int = 0
    repeated_boxes: int = 0


#: Words that belong to a noun phrase and that lists of phrases leave out.
_DETERMINERS = (
    "a", "an", "the", "this", "that", "these", "those", "his", "her", "its", "their", "my", "our", "your", "some",
    "two", "three", "four", "five", "six", "several", "many",
)  # fmt: skip

#: Phrases that nothing in a picture shows: GRIT drops abstract ones, such as "time", "love" and "freedom" (§2.1). It
#: publishes no list; this one is ours.
_ABSTRACT = frozenset((
    "time", "love", "freedom", "day", "night", "life", "way", "idea", "peace", "happiness", "beauty", "history", "hope",
    "joy", "truth", "year", "years", "month", "week", "morning", "evening", "afternoon", "moment", "it", "he", "she",
    "they", "them", "him", "this", "that", "which", "who", "one", "lot", "part", "kind", "sort", "type", "photo",
    "picture", "image", "view", "background", "front", "back", "top", "bottom", "left", "right", "middle", "center",
    "centre", "side",
))  # fmt: skip

_PREPOSITIONS = (
    "of", "in", "on", "at", "with", "without", "by", "from", "under", "over", "above", "below", "behind", "beside",
    "besides", "near", "inside", "outside", "into", "onto", "around", "along", "across", "through", "against",
    "beneath", "underneath", "between", "among", "atop", "towards", "toward", "next to", "in front of", "on top of",
    "close to",
)  # fmt: skip


def locate_phrases(caption: str, phrases: Iterable[str]) -> list[tuple[int, int]]:
    """Return where phrases stand in a caption, (start, end) in characters, by place; none within another.

    A phrase is looked for as whole words whatever their case and the white space between them, with the determiner
    before it (GRIT's own noun chunks hold it); of two that overlap the longer one is taken, then the earlier. Phrases
    that no picture shows, such as "time", are left out, as GRIT does (Peng et al. 2023, arXiv 2306.14824, §2.1).
    """
    found: list[tuple[int, int]] = []
    for phrase in set(phrases):
        words = phrase.split()
        if not words or phrase.lower().strip() in _ABSTRACT:
            continue
        inner = r"\s+".join(re.escape(word) for word in words)
        pattern = rf"(?<!\w)(?:(?:{'|'.join(_DETERMINERS)})\s+)?{inner}(?!\w)"
        found += [match.span() for match in re.finditer(pattern, caption, re.IGNORECASE)]
    chosen: list[tuple[int, int]] = []
    for start, end in sorted(set(found), key=lambda span: (span[0] - span[1], span[0])):
        if all(end <= first or last <= start for first, last in chosen):
            chosen.append((start, end))
    return sorted(chosen)


def grow_expressions(caption: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the expression that each phrase heads: "a dog" of "a dog in a field of flowers" heads it all.

    Kosmos-2 (Peng et al. 2023, arXiv 2306.14824, §2.1) follows the dependency tree and no conjuncts. Without a tree
    this rule stands for it: a phrase takes on the next one where only a preposition stands between them, a participle
    ("a man riding a horse", "a table covered with snow"), or both; words of any other kind end it. It is English.

    Args:
        caption: any text.
        spans: places of phrases, in order, none overlapping another.
    """
    ends = [end for _, end in spans]
    for number in range(len(spans) - 2, -1, -1):
        if _compile_link().fullmatch(caption, spans[number][1], spans[number + 1][0]):
            ends[number] = ends[number + 1]
    return [(start, end) for (start, _), end in zip(spans, ends, strict=True)]


def ground_caption(
    caption: str,
    spans: Sequence[tuple[int, int]],
    boxes: Iterable[FoundBox],
    *,
    least_confidence: float = 0.65,
    most_overlap: float = 0.5,
) -> Grounding:
    """Return GRIT's rows of a caption from the boxes of its phrases (Peng et al. 2023, arXiv 2306.14824, §2.1).

    Boxes must be surer than `least_confidence` (0.65 in GRIT; an equal one is not); of two boxes of one phrase with
    more intersection over union than `most_overlap` the surer one stays. Expressions within another are dropped, so
    that "flowers" is no expression beside "a dog in a field of flowers", but a phrase with its boxes. (GRIT's published
    rows hold such expressions too, although its paper drops them.)

    Args:
        caption: any text.
        spans: places of its phrases.
        boxes: by number of the span.
        least_confidence: 0 to 1.
        most_overlap: 0 to 1.
    """
    by_phrase: dict[int, list[FoundBox]] = {}
    unsure = 0
    for found in boxes:
        if found.confidence > least_confidence:
            by_phrase.setdefault(found.phrase, []).append(found)
        else:
            unsure += 1
    repeated = 0
    kept: dict[int, list[FoundBox]] = {}
    for phrase, candidates in by_phrase.items():
        kept[phrase] = suppress_overlaps(candidates, most_overlap)
        repeated += len(candidates) - len(kept[phrase])
    order = sorted(range(len(spans)), key=spans.__getitem__)
    grown = dict(zip(order, grow_expressions(caption, [spans[number] for number in order]), strict=True))
    heads = [number for number in order if kept.get(number)]
    chunks = [_row(spans[number], found) for number in heads for found in kept[number]]
    expressions = [
        _row(grown[number], found)
        for number in heads
        if not any(_holds(grown[other], grown[number]) for other in heads if other != number)
        for found in kept[number]
    ]
    return Grounding(chunks, expressions, unsure, repeated)


def suppress_overlaps(boxes: Iterable[FoundBox], most_overlap: float) -> list[FoundBox]:
    """Return the boxes of one phrase, the surest first, without those that overlap a surer one more than that.

    Equally sure boxes stand in the order of their coordinates.
    """
    kept: list[FoundBox] = []
    for found in sorted(boxes, key=lambda item: (-item.confidence, item.box)):
        if all(measure_overlap(found.box, other.box) <= most_overlap for other in kept):
            kept.append(found)
    return kept


def measure_overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def _row(span: tuple[int, int], found: FoundBox) -> GritRow:
    return [float(span[0]), float(span[1]), *found.box, found.confidence]


def _holds(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one != other and one[0] <= other[0] and other[1] <= one[1]


@lru_cache(maxsize=1)
def _compile_link() -> re.Pattern[str]:
    preposition = "|".join(sorted((re.escape(word) for word in _PREPOSITIONS), key=len, reverse=True))
    participle = r"(?:\w+ing|\w+ed|worn|held|seen|made|cut|shown|known|built|drawn|written)"
    return re.compile(
        rf"\s+(?:{participle}\s+)?(?:(?:up|down|out)\s+)?(?:{preposition})\s+|\s+\w+ing\s+", re.IGNORECASE
    )
