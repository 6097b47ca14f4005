"""Finds a row of a file that a recipe names: which file, and the row itself where the file still lies as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmpipe.errors import MmpipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.list_references import ListReference
    from mmpipe.storage.lake import Dataset

#: Sections of a recipe whose methods read files.
_SECTIONS = ("instructions", "preferences")


def describe_file_row(dataset: Dataset, method: str | None, row_id: str, recipe: str | None) -> dict[str, Any]:
    """Return `file` and, where it can be read, `line` and `row` of what a row was made from.

    Which files there were, the recipe tells that lies beside the dataset; where they are, the recipe of now.

    Args:
        dataset: that has the row made from it.
        method: that made the row; None where it says none.
        row_id: of the file's row, as it stands among the parents.
        recipe: name or path of the recipe of now; None looks into no file.
    """
    named = list(_list_named(dataset, method))
    places = _find_places(recipe) if named and recipe else {}
    for reference in named:
        found = _find_row(places[reference["sha256"]], row_id) if reference["sha256"] in places else None
        if found is not None:
            return {"file": reference["list"], **found}
    return {"file": " or ".join(reference["list"] for reference in named)} if named else {}


def _list_named(dataset: Dataset, method: str | None) -> Iterator[dict[str, str]]:
    import yaml

    stored = dataset.folder.join("recipe.yaml")
    resolved = (yaml.safe_load(stored.read_text()) if stored.is_file() else None) or {}
    for section in _SECTIONS:
        for entry in (resolved.get(section) or {}).get("methods") or ():
            if isinstance(entry, dict) and (method is None or entry.get("method") == method):
                yield from _list_references(entry)


def _list_references(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict) and value.keys() >= {"list", "sha256"}:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _list_references(item)


def _find_places(recipe: str) -> dict[str, ListReference]:
    """Return the files of the recipe of now by their digests; none where it cannot be read."""
    from mmpipe.filtering.recipes import load_recipe

    try:
        loaded = load_recipe(recipe)
    except MmpipeError:
        return {}
    entries = (*loaded.instructions.methods, *loaded.preferences.methods)
    return {file.sha256: file for entry in entries for file in getattr(entry, "files", {}).values()}


def _find_row(file: ListReference, row_id: str) -> dict[str, Any] | None:
    """Return line and row of the first that has the id in a column of its own."""
    from mmpipe.lanes.synthesis_inputs import read_lines, read_records

    try:
        if file.list.endswith((".csv", ".json", ".parquet")):
            rows: Iterator[tuple[int | None, Any]] = ((None, row) for row in read_records(file).iter_rows(named=True))
        else:
            rows = ((line, _parse(text)) for line, text in enumerate(read_lines(file), start=1))
        for line, row in rows:
            if isinstance(row, dict) and any(value == row_id or str(value) == row_id for value in row.values()):
                told = {name: value for name, value in row.items() if value not in (None, "", [])}
                return ({} if line is None else {"line": line}) | {"row": json.dumps(told, ensure_ascii=False)}
    except MmpipeError:
        return None  # another file lies there by now, or none
    return None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
