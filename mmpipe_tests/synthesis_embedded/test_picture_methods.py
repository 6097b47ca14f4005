"""Methods that write about pictures from words, with the embedded model: nothing without evidence, all counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.synthesis.caption_polishing import PolishSettings, find_fault, polish_captions
from mmpipe.synthesis.choice_texts import parse_choice
from mmpipe.synthesis.drafts import Parent, synthesize
from mmpipe.synthesis.image_instructions import (
    ImageInstructionSettings,
    accept_image_instruction,
    plan_image_instructions,
)
from mmpipe.synthesis.llava_types import LlavaSettings, make_llava
from mmpipe.synthesis.lrv_balance import LrvSettings, make_lrv
from mmpipe.synthesis.merged_annotation import MergedSettings, make_dense_captions
from mmpipe.synthesis.picture_descriptions import DescriptionSettings, find_description_fault, make_descriptions
from mmpipe.synthesis.picture_rows import PictureAsking, find_leak
from mmpipe.synthesis.scene_choices import ChoiceSettings, make_choices
from mmpipe.synthesis.scene_evidence import Scene, SceneBox, make_phrase_finder
from mmpipe_tests.synthesis_embedded.onlooker import check_synthesis, run_twice

if TYPE_CHECKING:
    from mmpipe.synthesis.document_pieces import CountTokens
    from mmpipe_tests.synthesis_embedded.onlooker import Onlooker

pytestmark = [pytest.mark.xdist_group("embedded"), pytest.mark.slow]

FIND = make_phrase_finder(RuleChunker())
ONCE = PictureAsking(attempts=1, max_tokens=96)
SCENE = Scene(
    pair_id="p1",
    dump="x",
    captions=("A brown dog lies on a red sofa", "A dog sleeps near a window"),
    boxes=(SceneBox("dog", 0.1, 0.25, 0.5, 0.98), SceneBox("sofa", 0.0, 0.2, 1.0, 1.0)),
    parents=(Parent("filtered_image_pairs", "p1"),),
)
CAPTIONS = ("a brown dog asleep on a red sofa beside a window", "three small boats lie at a wooden pier in the fog")


def test_llavas_three_types(teacher: Onlooker) -> None:
    settings = LlavaSettings(asking=ONCE)
    made = run_twice(teacher, lambda: make_llava([SCENE], teacher, settings, find_phrases=FIND))
    check_synthesis(made.synthesis, parents="filtered_image_pairs")
    assert made.synthesis.planned == 3
    for row in made.synthesis.frame.iter_rows(named=True):
        assert not find_leak(f"{row['instruction']} {row['response']}", row["evidence"])


def test_lrv(teacher: Onlooker) -> None:
    settings = LrvSettings(asking=ONCE, is_trimmed=False)
    made = run_twice(teacher, lambda: make_lrv([SCENE], teacher, settings))
    check_synthesis(made.synthesis, parents="filtered_image_pairs")
    assert made.synthesis.planned == 6
    assert made.details.height == made.synthesis.frame.height


def test_scene_choices(teacher: Onlooker) -> None:
    settings = ChoiceSettings(asking=ONCE, questions=3)
    made = run_twice(teacher, lambda: make_choices([SCENE], teacher, settings))
    check_synthesis(made.synthesis, parents="filtered_image_pairs")
    assert made.synthesis.planned == 3
    for row in made.synthesis.frame.iter_rows(named=True):
        assert parse_choice(row["instruction"], row["response"], settings.negative).options[-1] == settings.negative


def test_merged_annotation(teacher: Onlooker) -> None:
    def tell(source: str, kind: str, words: str, left: float, right: float) -> dict[str, Any]:
        return {
            "pair_id": "p1", "source": source, "kind": kind, "words": words, "left": left, "top": 0.2, "right": right,
            "bottom": 0.8, "confidence": 0.9,
        }  # fmt: skip

    told = [
        tell("detector", "object", "dog", 0.1, 0.7),
        tell("tagger", "object", "sofa", 0.0, 1.0),
        tell("regions", "region", "a brown dog on a red sofa", 0.1, 0.7),
    ]
    pairs = pl.DataFrame({"pair_id": ["p1"], "dump": ["x"], "caption": ["A dog"], "image_url": ["u"]})
    settings = MergedSettings(asking=ONCE)

    def make() -> Any:
        return make_dense_captions(pairs, pl.DataFrame(told), teacher, settings, find_phrases=FIND)

    made = run_twice(teacher, make)
    check_synthesis(made.synthesis)
    assert made.synthesis.planned == 1


def test_polishing_adds_nothing(teacher: Onlooker) -> None:
    written = ["a cat a cat sits on the the window sill and the", "A white cup beside an open book."]
    sources = [({"pair_id": f"p{place}", "dump": "x"}, text) for place, text in enumerate(written)]
    settings = PolishSettings(attempts=2, max_tokens=48)
    rows, _ = run_twice(teacher, lambda: polish_captions(sources, teacher, settings))
    assert [row["source_caption"] for row in rows] == written
    kept = [row for row in rows if not row["reason"]]
    assert kept
    assert all(find_fault(row["caption"], row["source_caption"], settings) is None for row in kept)
    assert all(row["caption"] == row["source_caption"] for row in rows if row["reason"])


def test_a_mended_description_adds_nothing(teacher: Onlooker, count_tokens: CountTokens) -> None:
    """No model that sees is embedded: a script sees, and the embedded model mends."""
    said = "A white cup stands beside an open book. The white cup is on a wooden table near the window. On the"
    eye = ScriptedTeacher(lambda _: said)
    settings = DescriptionSettings(least_tokens=5, least_words=5, asking=PictureAsking(attempts=2, max_tokens=48))
    made = run_twice(teacher, lambda: make_descriptions([SCENE], eye, settings, count_tokens, mender=teacher).synthesis)
    check_synthesis(made, parents="filtered_image_pairs")
    assert made.planned == 1
    for row in made.frame.iter_rows(named=True):
        assert find_description_fault(row["response"], said, settings) == ""


def test_image_instructions(teacher: Onlooker) -> None:
    pairs = pl.DataFrame({"pair_id": ["a", "b"], "dump": "x", "caption": CAPTIONS, "image_url": "u"})
    settings = ImageInstructionSettings()
    planned = plan_image_instructions(pairs, settings)

    def make() -> Any:
        return synthesize(
            planned, teacher, lambda plan, reply: accept_image_instruction(plan, reply, settings), attempts=2
        )

    made = run_twice(teacher, make)
    check_synthesis(made, parents="filtered_image_pairs", least_rows=1)
    assert made.planned == len(planned)
