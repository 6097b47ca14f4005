"""Runs the methods about pictures: captions and boxes of kept pairs become scenes, and scenes a method's rows."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.picture_sources import count_least, read_all

if TYPE_CHECKING:
    from mmpipe.lanes.method_inputs import MethodRun
    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.scene_evidence import PhraseFinder, Scene

_log = logging.getLogger(__name__)

#: Why nothing was asked about a picture.
TOO_FEW_BOXES, NO_ANNOTATIONS = "too_few_boxes", "no_annotations"


def choose_scenes(run: MethodRun) -> tuple[list[Scene], list[str]]:
    """Return the scenes with boxes enough, and the pairs of the others."""
    least = count_least(run.entry, run.beside)
    scenes = read_all(run.take_pictures())
    return [scene for scene in scenes if len(scene.boxes) >= least], [
        scene.pair_id for scene in scenes if len(scene.boxes) < least
    ]


def open_finder(run: MethodRun) -> PhraseFinder:
    """Return what finds noun phrases: the pipeline that the knobs name, or rules for English."""
    from mmpipe.sampling.noun_phrases import open_chunker
    from mmpipe.synthesis.scene_evidence import make_phrase_finder

    return make_phrase_finder(open_chunker(run.knobs.noun_chunker))


def add_left_out(synthesis: Synthesis, left_out: list[str], reason: str) -> Synthesis:
    """Return a synthesis with pairs that nothing was asked about as refused candidates."""
    from mmpipe.synthesis.refusals import list_candidates

    if not left_out:
        return synthesis
    named = list_candidates((name, "", reason) for name in left_out)
    known = named.clear() if synthesis.candidates is None else synthesis.candidates
    return replace(
        synthesis,
        planned=synthesis.planned + len(left_out),
        rejected={**synthesis.rejected, reason: len(left_out)},
        candidates=pl.concat([known, named]),
    )


# methods --------------------------------------------------------------------------------------------------------------


def open_llava(_: str) -> Any:
    """Return the settings of LLaVA's three types."""
    from mmpipe.synthesis.llava_types import LlavaSettings

    return LlavaSettings()


def run_llava(run: MethodRun) -> Synthesis:
    """Have talks, descriptions and reasonings written about pictures."""
    from mmpipe.synthesis.llava_types import make_llava

    scenes, bare = choose_scenes(run)
    judged = make_llava(scenes, run.teacher, run.settings, find_phrases=open_finder(run))
    return add_left_out(judged.synthesis, bare, TOO_FEW_BOXES)


def open_lrv(_: str) -> Any:
    """Return the settings of LRV's balance."""
    from mmpipe.synthesis.lrv_balance import LrvSettings

    return LrvSettings()


def run_lrv(run: MethodRun) -> Synthesis:
    """Have as many wrong instructions as right ones written; how balanced they are goes to the log."""
    from mmpipe.synthesis.lrv_balance import make_lrv
    from mmpipe.synthesis.lrv_measures import measure_balance

    scenes, bare = choose_scenes(run)
    judged = make_lrv(scenes, run.teacher, run.settings, find_phrases=open_finder(run))
    balance = measure_balance(judged.synthesis.frame, judged.details, tolerance=run.settings.tolerance)
    _log.info("%s: %s", run.entry.method, balance)
    return add_left_out(judged.synthesis, bare, TOO_FEW_BOXES)


def open_choices(_: str) -> Any:
    """Return the settings of questions about scenes."""
    from mmpipe.synthesis.scene_choices import ChoiceSettings

    return ChoiceSettings()


def run_choices(run: MethodRun) -> Synthesis:
    """Have multiple-choice questions written; a file may say what kind of scene a picture shows."""
    from mmpipe.lanes.picture_files import read_labels
    from mmpipe.synthesis.scene_choices import make_choices, measure_letters

    scenes, bare = choose_scenes(run)
    labels = read_labels(run) if "labels" in run.entry.files else {}
    scenes = [replace(scene, label=labels.get(scene.pair_id, "")) for scene in scenes]
    judged = make_choices(scenes, run.teacher, run.settings)
    _log.info("%s: right letters: %s", run.entry.method, measure_letters(judged.details))
    return add_left_out(judged.synthesis, bare, TOO_FEW_BOXES)


def open_merged(_: str) -> Any:
    """Return the settings of merged annotations."""
    from mmpipe.synthesis.merged_annotation import MergedSettings

    return MergedSettings()


def run_merged(run: MethodRun) -> Synthesis:
    """Have dense captions written from boxes and from the annotations of a file."""
    from mmpipe.lanes.picture_files import list_box_annotations, read_annotations
    from mmpipe.synthesis.merged_annotation import make_dense_captions, merge_annotations

    sources = run.take_pictures()
    scenes, bare = choose_scenes(run)
    pairs = sources.pairs.filter(pl.col("pair_id").is_in([scene.pair_id for scene in scenes]))
    annotations = list_box_annotations(sources.grounded)
    if "annotations" in run.entry.files:
        annotations = pl.concat([annotations, read_annotations(run)])
    annotations = annotations.join(pairs.select("pair_id"), on="pair_id", how="semi")
    records = merge_annotations(annotations, run.settings)
    untold = [name for name in pairs.get_column("pair_id") if name not in records or not records[name].items]
    judged = make_dense_captions(
        pairs, annotations, run.teacher, run.settings, find_phrases=open_finder(run), pictures=sources.parts
    )
    return add_left_out(add_left_out(judged.synthesis, untold, NO_ANNOTATIONS), bare, TOO_FEW_BOXES)


def open_descriptions(_: str) -> Any:
    """Return the settings of MiniGPT-4's descriptions."""
    from mmpipe.synthesis.picture_descriptions import DescriptionSettings

    return DescriptionSettings()


def run_descriptions(run: MethodRun) -> Synthesis:
    """Have pictures described at length, and the descriptions mended; the run's critic mends, if there is one."""
    from mmpipe.synthesis.picture_descriptions import make_descriptions

    scenes, bare = choose_scenes(run)
    judged = make_descriptions(scenes, run.teacher, run.settings, run.open_counter(), mender=run.critic)
    return add_left_out(judged.synthesis, bare, TOO_FEW_BOXES)
