"""Gathers what is known of the pictures that a method is asked about: kept pairs, boxes, captions, the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.present_pictures import read_present
from mmpipe.lanes.synthesis_inputs import refuse
from mmpipe.tables.chat import ImagePart
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_captions import IMAGE_CAPTIONS

if TYPE_CHECKING:
    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.synthesis.scene_evidence import Scene
    from mmpipe.tables.chat import Teacher

#: Options of every method about pictures, beside its settings.
PICTURE_OPTIONS: Mapping[str, Any] = {"most": int, "least_boxes": int, "shows_pictures": bool}
#: Boxes that a picture needs where the recipe is silent: the papers' teachers are told of boxes; questions about
#: scenes, and annotations that a file brings, need none.
LEAST_BOXES: Mapping[str, int] = {
    "llava_types": 1,
    "lrv_balance": 1,
    "scene_choices": 0,
    "merged_annotation": 0,
    "picture_descriptions": 0,
}
#: Methods whose teacher must see: without the picture there is nothing to write of.
SEEING = ("picture_descriptions",)
#: What a recipe writes instead where no picture has boxes.
_INSTEAD = {
    **dict.fromkeys(LEAST_BOXES, "`least_boxes: 0` to ask from captions alone"),
    "merged_annotation": "`annotations: FILE`",
}

_PAIR_COLUMNS = ["pair_id", "dump", "caption", "image_url", "image_sha256", "image_format"]
_BOX_COLUMNS = ["pair_id", "caption", "noun_chunks", "box_origin"]
_CAPTION_COLUMNS = ["caption_id", "pair_id", "caption", "is_kept", "image_consistent"]


@dataclass(frozen=True, slots=True)
class PictureSources:
    """What is known of the pictures that a method is asked about.

    Attributes:
        pairs: kept pairs, by pair_id.
        grounded: their rows of grounded_pairs.
        captions: their rows of image_captions.
        parts: the pictures themselves by pair_id, where the recipe shows them to the teacher.
    """

    pairs: pl.DataFrame
    grounded: pl.DataFrame
    captions: pl.DataFrame
    parts: Mapping[str, ImagePart] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Digest of all that rows depend on."""
        frames = [self.pairs, self.grounded, self.captions]
        return digest_settings([[frame.write_ndjson() for frame in frames], sorted(self.parts)])


def check_picture_options(beside: Mapping[str, Any]) -> None:
    """Refuse options that no method about pictures can take.

    Raises:
        ConfigurationError: fewer than 0 boxes.
    """
    if beside.get("least_boxes", 0) < 0:
        raise ConfigurationError("least_boxes must be 0 or more.")


def count_least(entry: SynthesisMethod, beside: Mapping[str, Any]) -> int:
    """Return how many boxes a picture needs; without a file of annotations, boxes are all there is to merge."""
    least: int = beside.get("least_boxes", LEAST_BOXES[entry.method])
    return max(1, least) if entry.method == "merged_annotation" and not entry.files else least


def read_pictures(
    run: StageRun, entry: SynthesisMethod, beside: Mapping[str, Any], pairs: pl.DataFrame, teacher: Teacher
) -> PictureSources:
    """Return what is known of pairs, and refuse what would ask nothing: before any teacher is asked.

    Args:
        run: the stage's run.
        entry: the method.
        beside: its options that are no settings.
        pairs: rows of filtered_image_pairs, all columns.
        teacher: who will be asked.

    Raises:
        RecipeError: no picture has the boxes the method needs, or pictures would be shown to a teacher that takes none.
    """
    sources = PictureSources(
        pairs.select(_PAIR_COLUMNS).sort("pair_id"),
        _read_about(run.read(GROUNDED_PAIRS), pairs, _BOX_COLUMNS, "pair_id"),
        _read_about(run.read(IMAGE_CAPTIONS), pairs, _CAPTION_COLUMNS, "caption_id"),
    )
    least = count_least(entry, beside)
    scenes = read_all(sources)
    if scenes and not any(len(scene.boxes) >= least for scene in scenes):
        refuse(
            entry,
            f"{entry.method} asks about pictures with {least} or more boxes, and none of the {len(scenes)} pictures of "
            f"{run.dump} has them in grounded_pairs. Write `grounding: {{detector: true}}` and name a detector "
            f"(MMPIPE_DETECTOR), read a list of pairs that brings `noun_chunks`, or write {_INSTEAD[entry.method]}.",
        )
    if not beside.get("shows_pictures", entry.method in SEEING):
        if entry.method in SEEING:
            refuse(entry, f"{entry.method} shows pictures: leave `shows_pictures` out.")
        return sources
    if not getattr(teacher, "takes_images", False):
        option, instead = (
            "`shows_pictures: true`",
            "leave the option out: the teacher is then told of captions and boxes",
        )
        if entry.method in SEEING:
            option, instead = entry.method, "use `llava_types`, whose teacher is told of captions and boxes"
        refuse(
            entry,
            f"{option} needs a teacher that takes pictures, and {teacher.name} takes none. Name an endpoint of a "
            f"vision model (MMPIPE_TEACHER_URL), or {instead}.",
        )
    return replace(sources, parts=open_parts(run.lake, pairs, run.knobs.cache_folder))


def _read_about(dataset: Dataset, pairs: pl.DataFrame, columns: list[str], key: str) -> pl.DataFrame:
    wanted = pairs.lazy().select("pair_id")
    return dataset.scan().select(columns).join(wanted, on="pair_id", how="semi").collect().sort(key)


def open_parts(lake: Lake, pairs: pl.DataFrame, cache_folder: str) -> dict[str, ImagePart]:
    """Return the picture of each pair as a message holds it; its bytes are read when a request goes out."""
    parts = {}
    for place, row in enumerate(pairs.select("pair_id", "image_sha256", "image_format").iter_rows(named=True)):
        load = partial(_load_picture, lake, pairs[place], cache_folder)
        parts[row["pair_id"]] = ImagePart(row["image_sha256"], f"image/{row['image_format']}", load)
    return parts


def _load_picture(lake: Lake, pair: pl.DataFrame, cache_folder: str) -> bytes:
    """Return the bytes of one pair; KeyError, which the teacher takes for a lost picture, where they are gone."""
    return read_present(pair, lake, cache_folder)[pair.item(0, "pair_id")]


def read_all(sources: PictureSources) -> list[Scene]:
    """Return a scene per pair, with the picture itself where it is shown."""
    from mmpipe.synthesis.scene_evidence import read_scenes

    scenes = read_scenes(sources.pairs, sources.grounded, sources.captions)
    return [replace(scene, picture=sources.parts.get(scene.pair_id)) for scene in scenes]
