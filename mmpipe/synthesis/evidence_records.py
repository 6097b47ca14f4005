"""Merges what several sources say of a picture into one record: boxes by overlap, regions, text; every field's source.

FullAnno (Hao et al. 2024): detectors, a region captioner and a text reader annotate a picture; duplicates are merged
and the rest is handed to a language model. Each item here keeps which source gave each of its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.grounding import list_words
from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon, list_forms
from mmpipe.synthesis.scene_evidence import is_box, list_heads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

Box = tuple[float, float, float, float]

#: What an item of a record is.
ITEM_KINDS = ("object", "region", "text")


@dataclass(frozen=True, slots=True)
class Item:
    """A thing, a described region or a written text of a picture.

    Attributes:
        item_id: o1, o2, …; r1, …; t1, …: from the left top corner on.
        kind: one of ITEM_KINDS.
        words: category, description or text.
        box: left, top, right, bottom as shares of the picture's sides.
        confidence: of the source that gave the box.
        sources: (field, source) of words, box and confidence.
        agreeing: all sources that told of it, sorted.
        part_of: the object a region or text lies on; empty if on none.
    """

    item_id: str
    kind: str
    words: str
    box: Box
    confidence: float
    sources: tuple[tuple[str, str], ...]
    agreeing: tuple[str, ...]
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """All items of a picture, and annotations that became none, by reason."""

    pair_id: str
    items: tuple[Item, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    def list_evidence(self) -> list[tuple[str, str]]:
        """Return (item id, words) of all items."""
        return [(item.item_id, item.words) for item in self.items]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the items as JSON-like values."""
        return [
            {
                "item_id": item.item_id,
                "kind": item.kind,
                "words": item.words,
                "box": list(item.box),
                "confidence": item.confidence,
                "sources": [{"field": field, "source": source} for field, source in item.sources],
                "agreeing": list(item.agreeing),
                "part_of": item.part_of,
            }
            for item in self.items
        ]


def measure_iou(one: Box, other: Box) -> float:
    """Return the area that two boxes share over the area that they cover, 0 to 1."""
    shared = _measure_shared(one, other)
    covered = _measure_area(one) + _measure_area(other) - shared
    return min(1.0, shared / covered) if covered > 0 else 0.0


def measure_inside(one: Box, other: Box) -> float:
    """Return the share of the area of `one` that lies in `other`, 0 to 1."""
    area = _measure_area(one)
    return min(1.0, _measure_shared(one, other) / area) if area > 0 else 0.0


def _measure_shared(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _measure_area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def merge_record(
    pair_id: str,
    annotations: Iterable[Mapping[str, Any]],
    *,
    least_iou: float,
    least_inside: float,
    least_confidence: float,
    lexicon: Lexicon = ENGLISH,
) -> EvidenceRecord:
    """Return the record of one picture; it does not depend on the annotations' order.

    Annotations of one kind are one item if their boxes overlap and they say the same: objects of one name, by number
    and synonyms, regions and texts of equal words. The surest gives box and confidence, the wordiest the words.

    Args:
        pair_id: the picture.
        annotations: source, kind, words, left, top, right, bottom (shares of the sides), confidence of each.
        least_iou: smallest overlap of two boxes of one thing.
        least_inside: smallest share of a region or text that lies on the object it is part of.
        least_confidence: of an annotation that is taken.
        lexicon: which words name the same thing.
    """
    left_out: dict[str, int] = {}
    groups: list[list[Mapping[str, Any]]] = []
    sound = []
    for one in annotations:
        fault = _find_fault(one, least_confidence)
        if fault:
            left_out[fault] = left_out.get(fault, 0) + 1
        else:
            sound.append(one)
    # faulty ones are out by now: numbers that are none have no order
    for one in sorted(sound, key=_rank):
        near = ((measure_iou(_read_box(one), _read_box(group[0])), -place) for place, group in enumerate(groups)
                if group[0]["kind"] == one["kind"] and _says_same(one, group[0], lexicon))  # fmt: skip
        iou, place = max(near, default=(0.0, 0))
        if iou >= least_iou:
            groups[-place].append(one)
        else:
            groups.append([one])
    return EvidenceRecord(pair_id, _name_items(groups, least_inside), tuple(sorted(left_out.items())))


def _rank(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return (-one["confidence"], one["kind"], one["source"], one["words"], *_read_box(one))


def _find_fault(one: Mapping[str, Any], least_confidence: float) -> str:
    if one["kind"] not in ITEM_KINDS:
        return "unknown_kind"
    if not list_words(one["words"]):
        return "without_words"
    if not is_box(*_read_box(one)):
        return "box_outside_picture"
    # not (a >= b): a confidence that is no number is below every limit
    return "" if one["confidence"] >= least_confidence else "low_confidence"


def _read_box(one: Mapping[str, Any]) -> Box:
    return one["left"], one["top"], one["right"], one["bottom"]


def _says_same(one: Mapping[str, Any], other: Mapping[str, Any], lexicon: Lexicon) -> bool:
    if list_words(one["words"]) == list_words(other["words"]):
        return True
    if one["kind"] != "object":
        return False
    heads, others = list_heads(one["words"]), list_heads(other["words"])
    return bool(heads and others) and bool(lexicon.list_same(heads[0]) & list_forms(others[0]))


def _name_items(groups: Sequence[Sequence[Mapping[str, Any]]], least_inside: float) -> tuple[Item, ...]:
    items: list[Item] = []
    for kind in ITEM_KINDS:
        of_kind = [group for group in groups if group[0]["kind"] == kind]
        # from the top to the bottom, then from left to right, as people read
        of_kind.sort(key=lambda group: (group[0]["top"], group[0]["left"], _rank(group[0])))
        for number, group in enumerate(of_kind, start=1):
            best = group[0]
            box, source = _read_box(best), best["source"]
            # the surest of those that say as much
            teller = max(group, key=lambda one: len(list_words(one["words"])))
            objects = [(measure_inside(box, item.box), item.item_id) for item in items if item.kind == "object"]
            share, owner = max(objects, default=(0.0, ""), key=lambda pair: pair[0])
            items.append(
                Item(
                    f"{kind[0]}{number}",
                    kind,
                    " ".join(teller["words"].split()),
                    box,
                    best["confidence"],
                    (("words", teller["source"]), ("box", source), ("confidence", source)),
                    tuple(sorted({one["source"] for one in group})),
                    owner if kind != "object" and share >= least_inside else "",
                )
            )
    return tuple(items)


def write_record(record: EvidenceRecord) -> str:
    """Return the record as lines: id, kind, words, box to three decimals, and the object it lies on."""
    lines = []
    for item in record.items:
        sides = ", ".join(f"{side:.3f}" for side in item.box)
        words = f'"{item.words}"' if item.kind == "text" else item.words
        lines.append(f"{item.item_id} {item.kind}: {words} [{sides}]" + (f" on {item.part_of}" if item.part_of else ""))
    return "\n".join(lines)


def read_annotations(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the annotations by picture: pair_id, source, kind, words, left, top, right, bottom, confidence."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault(row["pair_id"], []).append(row)
    return found
