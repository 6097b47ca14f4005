"""Rows are made again where the weights that decide them change: tokenizers, what finds noun phrases."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.errors import WeightsNotFound
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.synthesis_sections import SynthesisMethod
from mmpipe.lanes import instructions
from mmpipe.lanes.code_methods import open_embedder
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.method_inputs import MethodRun
from mmpipe.lanes.picture_sources import PictureSources
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.synthesis_methods import FILE_METHODS, list_weights
from mmpipe.models import tokenizer
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.sampling.noun_phrases import open_chunker
from mmpipe.storage.lake import Lake
from mmpipe.synthesis.code_pairs import embed_by_hashing
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
extends: refinedweb
instructions:
  methods: [{method: flan, rows: rows.jsonl, task: {name: sums, family: closed_book_qa, fields: {question: question}}}]
"""


def test_rows_that_a_tokenizer_decides_are_made_again_with_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, DEDUPED_CORPUS, "d1", DEDUPED_CORPUS.make_empty())
    publish(lake, FILTERED_IMAGE_PAIRS, "d1", FILTERED_IMAGE_PAIRS.make_empty())
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "question": "Who?", "answer": "Nobody."}\n')
    (tmp_path / "mine.yaml").write_text(RECIPE)
    embedded = tokenizer.load_tokenizer()
    named = {"": embedded, "other": dataclasses.replace(embedded, digest="another")}
    monkeypatch.setattr(tokenizer, "load_tokenizer", lambda name=None: named[name or ""])
    monkeypatch.setattr(instructions, "open_run_teacher", lambda _: ScriptedTeacher(lambda _: ""))
    keys = []
    for name in ("", "other", "other"):
        knobs = Knobs(cache_folder=str(tmp_path / "cache"), tokenizer=name)
        run_stages(lake, "d1", INSTRUCTION_LANE[:1], recipe=load_recipe(str(tmp_path / "mine.yaml")), knobs=knobs)
        (commit,) = lake.dataset(INSTRUCTION_CANDIDATES, "d1").require_manifest().commits
        keys.append(commit.key)
    assert keys[0] != keys[1] == keys[2]


def test_what_finds_noun_phrases_is_part_of_what_decides_rows_about_pictures() -> None:
    teacher = ScriptedTeacher(lambda _: "")
    nothing = pl.DataFrame()
    run = MethodRun(SynthesisMethod(method="llava_types"), None, {}, "d1", teacher, nothing)
    about = dataclasses.replace(run, pictures=PictureSources(nothing, nothing, nothing))
    assert list_weights(FILE_METHODS["llava_types"], about) == [open_chunker().name]
    assert list_weights(FILE_METHODS["api_rows"], run) == []


def test_the_sentence_encoder_of_the_knobs_finds_examples_of_a_translation(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda _: "")
    entry = SynthesisMethod(method="code_translation")
    plain = MethodRun(entry, None, {}, "d1", teacher, pl.DataFrame())
    named = dataclasses.replace(plain, knobs=Knobs(embedder_weights=str(tmp_path / "no model"), device="cpu"))
    assert list_weights(FILE_METHODS["code_translation"], plain) == [""]
    assert list_weights(FILE_METHODS["code_translation"], named) == [str(tmp_path / "no model")]
    assert open_embedder(plain) is embed_by_hashing
    with pytest.raises(WeightsNotFound, match="no model"):
        open_embedder(named)(["print *, 1"])
