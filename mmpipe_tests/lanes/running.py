"""Runs the stages of a lane on a dump without Dagster, as the lanes' tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.lanes.stage import Knobs, Stage, StageRun
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.shards import Engine, Production

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mmpipe.storage.lake import Lake


def add_dump(lake: Lake, name: str, root: Path, files: Iterable[Path]) -> None:
    record_dump(lake, Dump(name, str(root), tuple(sorted(file.relative_to(root).as_posix() for file in files))))


def run_stages(
    lake: Lake,
    dump: str | None,
    stages: Iterable[Stage],
    *,
    recipe: Recipe | None = None,
    knobs: Knobs | None = None,
    workers: int = 1,
) -> dict[str, Production]:
    recipe = recipe or load_recipe("refinedweb")
    return {
        stage.table.name: stage.make(
            StageRun(
                stage=stage,
                lake=lake,
                recipe=recipe,
                knobs=knobs or Knobs(cache_folder=f"{lake.root}-cache"),
                engine=Engine(workers=workers),
                dump=dump if stage.is_per_dump else None,
            )
        )
        for stage in stages
    }
