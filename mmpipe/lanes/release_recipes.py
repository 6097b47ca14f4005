"""Says by which recipe the rows of a release were made, dump by dump, from what was committed with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.tables.columns import Table


def tell_release_recipe(run: StageRun, digest: str) -> str:
    """Return the recipe that a release is written by, as cards name recipes: its name and its digest."""
    return f"{run.recipe.name} ({digest})"


def list_dump_recipes(run: StageRun, tables: Iterable[Table], dumps: Iterable[str]) -> list[tuple[str, str]]:
    """Return (dump, the recipe its rows were made by) of each dump.

    A release over all dumps is written by one recipe and holds rows that others may have made. Where the tables of a
    dump were made by several, as when only the later ones were made again, each names its tables.

    Args:
        run: of the release.
        tables: what the release is made from; those that a dump lacks, or that gave no row, are left out.
        dumps: their names.
    """
    named = list(tables)
    if SYNTHESIZED_INSTRUCTIONS in named:
        # there the teacher was asked, and the methods named
        named.insert(0, INSTRUCTION_CANDIDATES)
    names: dict[str, str] = {}
    return [(dump, _tell_recipes([run.lake.dataset(table, dump) for table in named], names)) for dump in dumps]


def _tell_recipes(datasets: Sequence[Dataset], names: dict[str, str]) -> str:
    made: dict[str, list[str]] = {}
    for dataset in datasets:
        manifest = dataset.find_manifest()
        if manifest is not None and (manifest.rows_in or manifest.rows_out):
            if manifest.recipe not in names:
                names[manifest.recipe] = f"{_read_name(dataset)} ({manifest.recipe})"
            made.setdefault(names[manifest.recipe], []).append(dataset.table.name)
    if len(made) < 2:
        return "".join(made)
    return "; ".join(f"{recipe} for {', '.join(tables)}" for recipe, tables in made.items())


def _read_name(dataset: Dataset) -> str:
    import yaml

    place = dataset.folder.join("recipe.yaml")
    recipe = yaml.load(place.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if place.is_file() else None  # noqa: S506  (both are safe)
    return str((recipe or {}).get("name", "unnamed"))
