"""Dense captions written from a merged record of many sources' annotations; every noun phrase points at its evidence.

FullAnno (Hao et al. 2024): a cascade of expert models annotates a picture, and a language model merges boxes, region
descriptions and text into one dense caption, objects three times and captions fifteen times what COCO has. Here a
caption is refused that claims what the record does not hold.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.drafts import Parent
from mmpipe.synthesis.evidence_records import ITEM_KINDS, EvidenceRecord, merge_record, read_annotations, write_record
from mmpipe.synthesis.grounding import list_words, measure_repetition
from mmpipe.synthesis.judged_drafts import Accepted, Refused
from mmpipe.synthesis.llava_prompts import DETAIL_REQUESTS
from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon
from mmpipe.synthesis.phrase_evidence import REASONS as PHRASE_REASONS
from mmpipe.synthesis.phrase_evidence import find_unwritten, map_phrases, strip_quoted
from mmpipe.synthesis.picture_rows import LEAK_REASONS, PictureAsking, draw, find_leak, judge_pictures, plan_picture
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.scene_evidence import Scene
from mmpipe.synthesis.told_numbers import list_untold_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.drafts import Planned
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.synthesis.scene_evidence import PhraseFinder
    from mmpipe.tables.chat import ImagePart, Teacher

METHOD = "merged_annotation"
STAGE = "data_preparation"
MODE = "data_labelling"

#: Why a caption is refused, those of LEAK_REASONS included.
REASONS = (
    *LEAK_REASONS,
    "item_id_leak",
    "repetition",
    "caption_too_short",
    *PHRASE_REASONS,
    "caption_covers_too_little",
)

DETAILS_SCHEMA: dict[str, pl.DataType] = {
    "record": pl.String(),
    "phrases": pl.List(
        pl.Struct({"start": pl.Int64, "end": pl.Int64, "phrase": pl.String, "items": pl.List(pl.String)})
    ),
    "covered": pl.Float64(),
    "words": pl.Int64(),
}

_SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string", "minLength": 1, "maxLength": 6000}},
    "required": ["caption"],
    "additionalProperties": False,
}
_ITEM_ID = re.compile(rf"\b[{''.join(kind[0] for kind in ITEM_KINDS)}]\d+\b")
PROMPT = Prompt(
    "merged_annotation/dense",
    "You are given a record of a picture: objects, described regions and written text, each with an id and its place "
    "as shares of width and height (left, top, right, bottom). Write one paragraph that tells of all of it, as "
    "somebody who looks at the picture. Every thing, quality and number you name is in the record; quote written "
    "text word for word in quotation marks. Tell places in words. Never write ids or numbers of places, and never "
    "speak of a record.",
    "Record:\n{record}",
    (
        (
            {
                "record": "o1 object: bus [0.100, 0.200, 0.700, 0.800]\no2 object: woman [0.750, 0.400, 0.850, 0.900]\n"
                "r1 region: a red double-decker bus [0.100, 0.200, 0.700, 0.800] on o1\n"
                't1 text: "38 Victoria" [0.200, 0.250, 0.350, 0.300] on o1'
            },
            {
                "caption": 'A red double-decker bus with the text "38 Victoria" is on the left. On the right, near the '
                "bus, there is a woman."
            },
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedSettings:
    """How annotations are merged, and what a caption must hold.

    Attributes:
        least_iou: smallest overlap of two boxes of one thing (COCO's matching of boxes: 0.5).
        least_inside: smallest share of a region or text on the object it is part of; ours.
        least_confidence: of an annotation that is taken; ours.
        asking: how the teacher is asked.
        least_words: fewest words of a caption; ours (FullAnno's captions are 15 times COCO's, which have about 10).
        least_covered: smallest share of objects that the caption tells of; ours.
        most_repetition: largest share of repeated trigrams; ours.
    """

    least_iou: float = 0.5
    least_inside: float = 0.7
    least_confidence: float = 0.3
    asking: PictureAsking = field(default_factory=PictureAsking)
    least_words: int = 15
    least_covered: float = 0.5
    most_repetition: float = 0.2

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            ConfigurationError: one is not between 0 and 1, or boxes would be merged that do not overlap.
        """
        for name in ("least_iou", "least_inside", "least_confidence", "least_covered", "most_repetition"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{METHOD}: {name} must be between 0 and 1, not {getattr(self, name)}.")
        if self.least_iou == 0:
            raise ConfigurationError(f"{METHOD}: least_iou must be above 0: boxes apart are not one thing.")


def merge_annotations(
    annotations: pl.DataFrame, settings: MergedSettings, *, lexicon: Lexicon = ENGLISH
) -> dict[str, EvidenceRecord]:
    """Return the record of each picture that has annotations (columns of `evidence_records.read_annotations`)."""
    return {
        pair_id: merge_record(
            pair_id,
            rows,
            least_iou=settings.least_iou,
            least_inside=settings.least_inside,
            least_confidence=settings.least_confidence,
            lexicon=lexicon,
        )
        for pair_id, rows in read_annotations(annotations).items()
    }


def plan_dense_captions(
    pairs: pl.DataFrame,
    records: Mapping[str, EvidenceRecord],
    settings: MergedSettings,
    pictures: Mapping[str, ImagePart] = {},
) -> list[Planned]:
    """Return what shall be asked about pairs whose record holds an item, in the order of `pairs`.

    Args:
        pairs: pair_id, dump (filtered_image_pairs); ids are distinct.
        records: by pair_id.
        settings: how.
        pictures: by pair_id, those that are shown to the teacher too.
    """
    planned = []
    for pair_id, dump in pairs.select("pair_id", "dump").iter_rows():
        record = records.get(pair_id)
        if record is None or not record.items:
            continue
        text = write_record(record)
        scene = Scene(
            pair_id=pair_id,
            dump=dump,
            captions=(text,),
            parents=(Parent("filtered_image_pairs", pair_id),),
            picture=pictures.get(pair_id),
        )
        request = DETAIL_REQUESTS[draw(settings.asking.seed, len(DETAIL_REQUESTS), METHOD, pair_id)]
        planned.append(
            plan_picture(
                scene, METHOD, "dense", PROMPT, {"record": text}, _SCHEMA, settings.asking,
                instruction=request, stage=STAGE, mode=MODE,
            )
        )  # fmt: skip
    return planned


def make_dense_captions(
    pairs: pl.DataFrame,
    annotations: pl.DataFrame,
    teacher: Teacher,
    settings: MergedSettings,
    *,
    find_phrases: PhraseFinder,
    lexicon: Lexicon = ENGLISH,
    pictures: Mapping[str, ImagePart] = {},
) -> Judged:
    """Return a row per picture with a dense caption, refused candidates, and details (`DETAILS_SCHEMA`).

    Args:
        pairs: pair_id, dump (filtered_image_pairs); ids are distinct.
        annotations: pair_id, source, kind (object, region, text), words, left, top, right, bottom (shares of the
            picture's sides), confidence (0 to 1).
        teacher: who writes.
        settings: how.
        find_phrases: finds noun phrases (`scene_evidence.make_phrase_finder`).
        lexicon: which words name the same thing.
        pictures: by pair_id, those that are shown to the teacher too.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    records = merge_annotations(annotations, settings, lexicon=lexicon)
    planned = plan_dense_captions(pairs, records, settings, pictures)

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        return [
            _judge(plan, reply, records[plan.images[0]], settings, find_phrases, lexicon) for plan, reply in replies
        ]

    return judge_pictures(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.asking.attempts)


def _judge(
    plan: Planned,
    reply: Mapping[str, Any],
    record: EvidenceRecord,
    settings: MergedSettings,
    find_phrases: PhraseFinder,
    lexicon: Lexicon,
) -> Accepted | Refused:
    caption = " ".join(reply["caption"].split())
    # the record's own lines hold places; what a source said is what a caption may say
    told = "\n".join(words for _, words in record.list_evidence())
    if fault := _find_fault(caption, record, told, settings):
        return fault
    mapped = map_phrases(caption, record, find_phrases, lexicon)
    if isinstance(mapped, Refused):
        return mapped
    if untold := _list_untold_counts(caption, mapped, record, told):
        return Refused("count_without_evidence", ", ".join(untold))
    covered = _measure_covered(mapped, record)
    if covered < settings.least_covered:
        return Refused("caption_covers_too_little", value=covered, low=settings.least_covered)
    details = {
        "record": json.dumps(record.as_dicts(), ensure_ascii=False),
        "phrases": mapped,
        "covered": covered,
        "words": len(list_words(caption)),
    }
    return Accepted(plan.instruction or "", caption, details)


def _find_fault(caption: str, record: EvidenceRecord, told: str, settings: MergedSettings) -> Refused | None:
    """Return what is wrong with a caption whatever it names."""
    if leak := find_leak(caption, told):
        return Refused(leak, caption)
    if _names_item(caption, record, told):
        return Refused("item_id_leak", caption)
    repeated, words = measure_repetition(caption), len(list_words(caption))
    if repeated > settings.most_repetition:
        return Refused("repetition", value=repeated, high=settings.most_repetition)
    if words < settings.least_words:
        return Refused("caption_too_short", value=words, low=settings.least_words)
    unwritten = find_unwritten(caption, record)
    return None if unwritten is None else Refused("text_without_evidence", unwritten)


def _list_untold_counts(
    caption: str, mapped: Sequence[Mapping[str, Any]], record: EvidenceRecord, told: str
) -> list[str]:
    """Return numbers that no item tells and that count no thing the caption names; written text has its own check."""
    objects = {item.item_id for item in record.items if item.kind == "object"}
    counts = {str(len(objects.intersection(phrase["items"]))) for phrase in mapped}
    return list_untold_numbers(strip_quoted(caption), "\n".join([told, *sorted(counts)]), are_words_held=True)


def _names_item(caption: str, record: EvidenceRecord, told: str) -> bool:
    known = {item.item_id for item in record.items}
    return any(found in known and found not in list_words(told) for found in _ITEM_ID.findall(caption))


def _measure_covered(mapped: Sequence[Mapping[str, Any]], record: EvidenceRecord) -> float:
    objects = {item.item_id for item in record.items if item.kind == "object"}
    named = {name for phrase in mapped for name in phrase["items"]}
    # a region that is told of tells of the object it lies on
    named |= {item.part_of for item in record.items if item.item_id in named}
    return len(objects & named) / len(objects) if objects else 1.0
