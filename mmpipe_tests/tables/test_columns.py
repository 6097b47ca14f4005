from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import SchemaError
from mmpipe.tables.columns import Column, Table
from mmpipe.tables.identity import digest_settings, make_doc_id, make_id

TABLE = Table(
    "things",
    "Things.",
    ("id",),
    (Column("id", pl.String, "Id."), Column("size", pl.Int64, "Size.", nullable=True)),
)


def test_conform_orders_and_casts_columns() -> None:
    frame = TABLE.conform(pl.DataFrame({"size": [1, None], "id": ["a", "b"]}, schema_overrides={"size": pl.Int8}))

    assert frame.schema == TABLE.schema


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"id": ["a"]}), "missing columns \\['size'\\]"),
        (pl.DataFrame({"id": ["a"], "size": [1], "hue": [2]}), "unknown columns \\['hue'\\]"),
        (pl.DataFrame({"id": [None], "size": [1]}), "things.id: 1 null"),
        (pl.DataFrame({"id": ["a"], "size": ["large"]}), "does not fit"),
    ],
)
def test_a_frame_that_is_not_the_table_is_refused_by_name(frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        TABLE.conform(frame)


def test_ids_are_stable_and_keep_their_parts_apart() -> None:
    # written down once: an id that changes would cut every published row from its past
    assert make_doc_id("d", "f.warc.gz", 10) == "94510534c8d7d24bfd9a6ca9adcc7433"
    assert make_id("a", "bc") != make_id("ab", "c")
    assert digest_settings({"a": 1, "b": 2}) == digest_settings({"b": 2, "a": 1})
