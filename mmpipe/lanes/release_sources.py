"""Names the sources of released rows, for their card: the method, whose question it answers, and the licence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.tables.instructions import PREFERENCE_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS

if TYPE_CHECKING:
    from mmpipe.lanes.stage import StageRun
    from mmpipe.release.dataset_card import CardSource

#: The licence of what stands on pages that nobody licensed.
OF_THE_PAGES = "of the pages and pictures; see below"


def list_row_sources(run: StageRun, dumps: Sequence[str]) -> list[CardSource]:
    """Return the methods that made the published rows, with the licences that the rows name, or the files each read.

    A preference pair that answers an instruction stands under the licence of what the instruction was made from,
    unless its own method read a file. Files are those of the recipe that the rows of a dump were made by.

    Args:
        run: of the release.
        dumps: whose rows it has.
    """
    from mmpipe.release.dataset_card import CardSource

    dataset = run.read(run.stage.table)
    stated = pl.col("license") if "license" in run.stage.table.schema else pl.lit(None, dtype=pl.String)
    counted: dict[tuple[str, str], int] = {}
    fallback = find_file_licences(run.recipe.resolve())
    for dump in dumps:
        rows = dataset.scan_shard(dump)
        asked = pl.lit(None, dtype=pl.String).alias("asked")
        if run.stage.table is PREFERENCE_DATASET:
            rows, asked = rows.join(_scan_questions(run, dump), on="id", how="left"), pl.col("asked")
        licences = fallback | _read_file_licences(run, dump)
        for method, question, licence, count in (
            rows.group_by("method", asked, stated.alias("license")).len().collect().iter_rows()
        ):
            name = f"{method}, answers to {question}" if question else method
            own = licence or _find(licences, method) or _find(licences, question) or OF_THE_PAGES
            counted[name, own] = counted.get((name, own), 0) + count
    order = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [CardSource(name, count, licence) for (name, licence), count in order]


def _scan_questions(run: StageRun, dump: str) -> pl.LazyFrame:
    """Return `id` of a pair and `asked`, the method of the instruction it answers."""
    pairs = run.lake.dataset(PREFERENCE_PAIRS, dump).scan().select("instruction_id", id="pair_id")
    asked = run.lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump).scan().select("instruction_id", asked="method")
    return pairs.join(asked, on="instruction_id", how="inner").select("id", "asked")


def _find(licences: Mapping[str, str], method: str | None) -> str | None:
    # rows of `flan` say `flan_rows`
    return None if method is None else licences.get(method) or licences.get(method.removesuffix("_rows"))


def _read_file_licences(run: StageRun, dump: str) -> dict[str, str]:
    import yaml

    licences: dict[str, str] = {}
    for table in (SYNTHESIZED_INSTRUCTIONS, PREFERENCE_PAIRS):
        place = run.lake.dataset(table, dump).folder.join("recipe.yaml")
        if place.is_file():
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            licences |= find_file_licences(yaml.load(place.read_text(), loader) or {})  # noqa: S506  (both are safe)
    return licences


def find_file_licences(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the licences of the files that methods read, by method; a file without one is named.

    Args:
        recipe: as it was resolved, in plain values.
    """
    licences = {}
    for section in ("instructions", "preferences"):
        for entry in (recipe.get(section) or {}).get("methods") or ():
            files = [] if isinstance(entry, str) else list(_list_files(entry))
            if files:
                told = [f"{file['list']}: {file.get('licence') or 'not stated'}" for file in files]
                licences[str(entry["method"])] = "; ".join(told)
    return licences


def _list_files(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "list" in value:
            yield value
        else:
            for inner in value.values():
                yield from _list_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _list_files(inner)
