"""FullAnno-style annotation: boxes of many sources are one by overlap, and no caption claims what no source told."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.synthesis.evidence_records import (
    EvidenceRecord,
    Item,
    measure_inside,
    measure_iou,
    merge_record,
    write_record,
)
from mmpipe.synthesis.judged_drafts import Refused
from mmpipe.synthesis.merged_annotation import (
    PROMPT,
    REASONS,
    MergedSettings,
    make_dense_captions,
    merge_annotations,
)
from mmpipe.synthesis.phrase_evidence import find_unwritten, map_phrases
from mmpipe.synthesis.picture_rows import PictureAsking
from mmpipe.synthesis.scene_evidence import make_phrase_finder
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

FIND = make_phrase_finder(RuleChunker())
LIMITS = {"least_iou": 0.5, "least_inside": 0.7, "least_confidence": 0.3}
SETTINGS = MergedSettings(asking=PictureAsking(attempts=1))


def tell(source: str, kind: str, words: str, box: tuple[float, ...], confidence: float = 0.9) -> dict[str, Any]:
    left, top, right, bottom = box
    return {
        "source": source, "kind": kind, "words": words, "left": left, "top": top, "right": right, "bottom": bottom,
        "confidence": confidence,
    }  # fmt: skip


BUS, NEAR_BUS, WOMAN, SIGN = (0.1, 0.2, 0.7, 0.8), (0.12, 0.2, 0.7, 0.8), (0.75, 0.4, 0.85, 0.9), (0.2, 0.25, 0.35, 0.3)
TOLD = [
    tell("detector", "object", "bus", BUS, 0.95),
    tell("tagger", "object", "double-decker buses", NEAR_BUS, 0.6),
    tell("tagger", "object", "lady", WOMAN, 0.7),
    tell("detector", "object", "woman", WOMAN, 0.8),
    tell("detector", "object", "bus", (0.0, 0.0, 0.1, 0.1), 0.5),
    tell("regions", "region", "a red bus in the rain", NEAR_BUS),
    tell("reader", "text", "38 Victoria", SIGN),
    tell("other reader", "text", "38 VICTORIA", SIGN, 0.5),
    tell("detector", "object", "cat", BUS, 0.1),
    tell("detector", "object", "cat", BUS, float("nan")),
    tell("detector", "object", " ", BUS),
    tell("detector", "object", "cat", (0.5, 0.2, 0.5, 0.8)),
    tell("detector", "mask", "cat", BUS),
]


def test_a_record_has_each_thing_once_and_knows_every_fields_source():
    record = merge_record("p", TOLD, **LIMITS)
    far, bus, woman, region, text = record.items
    assert bus == Item(
        "o2", "object", "double-decker buses", BUS, 0.95,
        (("words", "tagger"), ("box", "detector"), ("confidence", "detector")), ("detector", "tagger"),
    )  # fmt: skip
    assert (far.item_id, far.words, far.box) == ("o1", "bus", (0.0, 0.0, 0.1, 0.1))
    assert (woman.item_id, woman.words, woman.agreeing) == ("o3", "woman", ("detector", "tagger"))
    assert (region.item_id, region.part_of, text.item_id, text.part_of) == ("r1", "o2", "t1", "o2")
    assert text.agreeing == ("other reader", "reader")
    assert record.left_out == (
        ("box_outside_picture", 1), ("low_confidence", 2), ("unknown_kind", 1), ("without_words", 1)
    )  # fmt: skip
    assert write_record(record).splitlines() == [
        "o1 object: bus [0.000, 0.000, 0.100, 0.100]",
        "o2 object: double-decker buses [0.100, 0.200, 0.700, 0.800]",
        "o3 object: woman [0.750, 0.400, 0.850, 0.900]",
        "r1 region: a red bus in the rain [0.120, 0.200, 0.700, 0.800] on o2",
        't1 text: "38 Victoria" [0.200, 0.250, 0.350, 0.300] on o2',
    ]


@given(st.permutations(TOLD))
def test_a_record_does_not_depend_on_order(told: list[dict[str, Any]]):
    assert merge_record("p", told, **LIMITS) == merge_record("p", TOLD, **LIMITS)


SIDES = st.lists(st.integers(0, 10), min_size=2, max_size=2, unique=True).map(sorted)
BOX = st.tuples(SIDES, SIDES).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


@given(BOX, BOX)
def test_overlap_is_that_of_counted_cells(one: tuple[int, ...], other: tuple[int, ...]):
    cells, others = (
        {(x, y) for x in range(left, right) for y in range(top, bottom)} for left, top, right, bottom in (one, other)
    )
    assert measure_iou(one, other) == pytest.approx(len(cells & others) / len(cells | others))
    assert measure_inside(one, other) == pytest.approx(len(cells & others) / len(cells))


@given(st.lists(st.tuples(BOX, st.sampled_from(["dog", "dogs", "cat"]), st.floats(0.3, 1)), max_size=12))
def test_every_annotation_is_in_one_item_that_overlaps_it(boxes: list):
    told = [
        tell(str(n), "object", name, tuple(side / 10 for side in box), sure)
        for n, (box, name, sure) in enumerate(boxes)
    ]
    record = merge_record("p", told, **LIMITS)
    assert sorted(source for item in record.items for source in item.agreeing) == sorted(one["source"] for one in told)
    for item in record.items:
        for source in item.agreeing:
            box, name, sure = boxes[int(source)]
            assert measure_iou(tuple(side / 10 for side in box), item.box) >= 0.5
            assert sure <= item.confidence
            assert name[:3] == item.words[:3]


# --- captions -------------------------------------------------------------------------------------------------------

ANNOTATIONS = pl.DataFrame([{"pair_id": "p1", **one} for one in TOLD[:4] + TOLD[5:8]])
GOOD = (
    'A red double-decker bus with the text "38 Victoria" is on the left side, out in the rain. On the right, near the '
    "bus, there is a woman."
)


def make_pairs(count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = [f"p{n}" for n in range(1, count + 1)]
    told = pl.concat([ANNOTATIONS.with_columns(pair_id=pl.lit(name)) for name in names])
    return pl.DataFrame({"pair_id": names, "dump": "d"}), told


def test_a_row_has_the_caption_its_image_and_the_evidence_of_every_phrase():
    pairs = pl.DataFrame({"pair_id": ["p1", "bare"], "dump": "d"})
    teacher = ScriptedTeacher(lambda _: json.dumps({"caption": GOOD}))
    judged = make_dense_captions(pairs, ANNOTATIONS, teacher, SETTINGS, find_phrases=FIND)
    row = SYNTHESIZED_INSTRUCTIONS.conform(judged.synthesis.frame).row(0, named=True)
    assert judged.synthesis.planned == 1, "a picture without annotations is not asked about"
    assert (row["response"], row["images"], row["stage"], row["mode"]) == (
        GOOD, ["p1"], "data_preparation", "data_labelling"
    )  # fmt: skip
    assert row["parents"] == [{"table": "filtered_image_pairs", "id": "p1"}]
    detail = judged.details.row(0, named=True)
    assert detail["covered"] == 1.0
    told = {phrase["phrase"]: phrase["items"] for phrase in detail["phrases"]}
    assert told == {
        "red double-decker bus": ["o1", "r1"], "text": ["t1"], "rain": ["r1"], "bus": ["o1", "r1"], "woman": ["o2"]
    }  # fmt: skip
    for phrase in detail["phrases"]:
        assert GOOD[phrase["start"] : phrase["end"]] == phrase["phrase"]
    sources = {item["item_id"]: item["agreeing"] for item in json.loads(detail["record"])}
    assert sources["o2"] == ["detector", "tagger"]
    assert row["evidence"] in teacher.asked[0].messages[-1].content


BROKEN = {
    "coordinates_leak": GOOD + " The bus is at [0.100, 0.200].",
    "evidence_leak": GOOD + " The caption says so.",
    "cannot_see": "I'm sorry, I see no bus. " + GOOD,
    "item_id_leak": GOOD + " The bus is o1 here.",
    "repetition": "There is a red bus and " * 5,
    "caption_too_short": "A red bus.",
    "text_without_evidence": GOOD.replace("38 Victoria", "83 Victoria"),
    "claim_without_evidence": GOOD + " A dog is near the bus.",
    "attribute_without_evidence": GOOD.replace("red", "green"),
    "count_without_evidence": GOOD.replace("a woman", "three women"),
    "caption_covers_too_little": "There is rain, and more rain, and it is on the left, and on the right too, rain.",
}


def test_every_refusal_is_counted_by_its_name():
    pairs, told = make_pairs(len(BROKEN))
    # of the objects, the last picture's caption tells of none
    told = told.filter((pl.col("pair_id") != f"p{len(BROKEN)}") | (pl.col("kind") != "region"))
    rain = {"pair_id": f"p{len(BROKEN)}", **tell("regions", "region", "rain", (0.0, 0.9, 1.0, 1.0))}
    told = pl.concat([told, pl.DataFrame([rain])])
    replies = iter(BROKEN.values())
    teacher = ScriptedTeacher(lambda _: json.dumps({"caption": next(replies)}))
    judged = make_dense_captions(pairs, told, teacher, SETTINGS, find_phrases=FIND)
    assert judged.candidates["reason"].to_list() == list(BROKEN)
    assert judged.synthesis.rejected == dict(sorted(dict.fromkeys(BROKEN, 1).items()))
    assert set(BROKEN) == set(REASONS)
    found = dict(zip(judged.candidates["reason"], map(json.loads, judged.candidates["details"]), strict=True))
    assert found["text_without_evidence"] == {"found": "83 Victoria"}
    assert found["caption_too_short"] == {"value": 3, "low": 15}


@pytest.mark.parametrize(
    ("more", "untold"),
    [("There are five.", "five"), ("1 of 1 bus, and 4 in all.", "4"), ('It says "38 Victoria".', "")],
)
def test_a_count_without_a_noun_is_held_too(more: str, untold: str):
    pairs, told = make_pairs(1)
    teacher = ScriptedTeacher(lambda _: json.dumps({"caption": f"{GOOD} {more}"}))
    judged = make_dense_captions(pairs, told, teacher, SETTINGS, find_phrases=FIND)
    assert judged.synthesis.rejected == ({"count_without_evidence": 1} if untold else {})
    assert [json.loads(one) for one in judged.candidates["details"]] == ([{"found": untold}] if untold else [])


def test_a_caption_is_asked_again_and_the_teachers_failures_are_counted():
    pairs, told = make_pairs(2)
    replies = iter([GOOD + " A dog is near.", ChatFailure("timeout", "late"), GOOD, ChatFailure("timeout", "late")])

    def say(_: ChatRequest) -> str | ChatFailure:
        reply = next(replies)
        return reply if isinstance(reply, ChatFailure) else json.dumps({"caption": reply})

    settings = MergedSettings(asking=PictureAsking(attempts=2))
    judged = make_dense_captions(pairs, told, ScriptedTeacher(say), settings, find_phrases=FIND)
    assert judged.synthesis.rejected == {"teacher_timeout": 1}
    assert judged.synthesis.frame["attempts"].to_list() == [2]
    assert judged.synthesis.planned == 2


def make_record(*items: tuple[str, str, str, str]) -> EvidenceRecord:
    return EvidenceRecord(
        "p", tuple(Item(name, kind, words, BUS, 1.0, (), (), part) for name, kind, words, part in items)
    )


RECORD = make_record(
    ("o1", "object", "dog", ""), ("o2", "object", "puppy", ""), ("o3", "object", "table", ""),
    ("r1", "region", "wooden surface with four cups", "o3"), ("t1", "text", "Open 24 hours", ""),
)  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("two dogs", ["o1", "o2"]),
        ("three dogs", "count_without_evidence"),
        ("2 animals", ["o1", "o2"]),
        ("a wooden table", ["o3"]),
        ("a wooden dog", "attribute_without_evidence"),
        ("four cups", ["r1"]),
        ("five cups", "count_without_evidence"),
        ("a cat", "claim_without_evidence"),
        ("another dog", ["o1", "o2"]),
    ],
)
def test_phrases_are_mapped_by_head_quality_and_number(caption: str, said: Any):
    mapped = map_phrases(caption, RECORD, lambda text: [(0, len(text))])
    assert (mapped.reason if isinstance(mapped, Refused) else mapped[0]["items"]) == said


def test_general_phrases_and_quotations_need_no_item():
    assert map_phrases("the left side", RECORD, lambda text: [(0, len(text))]) == []
    assert map_phrases('"hours"', RECORD, lambda _: [(1, 6)]) == []
    assert find_unwritten('It says "open 24" and “hours”.', RECORD) is None
    assert find_unwritten('It says "open 25".', RECORD) == "open 25"
    assert find_unwritten('It says "dog".', RECORD) == "dog", "what is an object is not written"


def test_the_example_passes_the_checks_it_teaches():
    fields, reply = PROMPT.examples[0]
    told = [tell("a", "object", "bus", BUS), tell("a", "object", "woman", WOMAN),
            tell("b", "region", "a red double-decker bus", BUS), tell("c", "text", "38 Victoria", SIGN)]  # fmt: skip
    annotations = pl.DataFrame([{"pair_id": "p1", **one} for one in told])
    assert write_record(merge_annotations(annotations, SETTINGS)["p1"]) == fields["record"]
    teacher = ScriptedTeacher(lambda _: json.dumps(reply))
    judged = make_dense_captions(make_pairs(1)[0], annotations, teacher, SETTINGS, find_phrases=FIND)
    assert judged.synthesis.rejected == {}, judged.candidates.rows()


@pytest.mark.parametrize("wrong", [{"least_iou": 0}, {"least_iou": 1.1}, {"least_covered": -0.1}])
def test_settings_that_cannot_work_stop(wrong: dict[str, float]):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        MergedSettings(**wrong)
