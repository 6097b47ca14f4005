"""Says which rows are one row drawn again on purpose: a mixture reads some rows more than once, each under its id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

#: What `details` of a row drawn again names the row by whose draw it repeats.
REPEATS = "repeats"


def list_originals(rows: pl.DataFrame) -> list[str]:
    """Return the id that each row goes by among its draws: that of the first draw, its own for any other row.

    Args:
        rows: instruction_id, and details (JSON, or null) where there are any.
    """
    ids: list[str] = rows.get_column("instruction_id").to_list()
    if "details" not in rows.columns:
        return ids
    told = rows.get_column("details")
    # of few rows the JSON is read
    return [
        json.loads(text).get(REPEATS, row_id) if text is not None and f'"{REPEATS}"' in text else row_id
        for row_id, text in zip(ids, told, strict=True)
    ]
