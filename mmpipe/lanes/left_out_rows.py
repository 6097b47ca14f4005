"""Tells which rows a release leaves out, of all its files or of some, and why: what no table of removals holds."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.storage.shards import ShardResult
from mmpipe.tables.keep import Kept, keep
from mmpipe.tables.left_out import LEFT_OUT_FILE, RELEASE, make_left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.storage.places import Place

#: Reasons of rows that make no conversation or pair which trainers accept; `details` says what is wrong.
FAULTY_CONVERSATION, FAULTY_PAIR = "faulty_conversation", "faulty_pair"


def list_left_out(
    *,
    dump: str,
    lost: Mapping[str, tuple[str, str]],
    faulty: Mapping[str, str],
    fault: str,
    removals: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return the rows of a dump that are not released, once per reason; LEFT_OUT.

    Args:
        dump: its name.
        lost: fault and pair of a lost picture, by id of the row.
        faulty: what is wrong with a conversation or pair, by id of the row.
        fault: FAULTY_CONVERSATION or FAULTY_PAIR.
        removals: of evaluation sets, as any table of removals has them, the id first.
    """
    rows = [(name, dump, RELEASE, reason, f"pair {pair}") for name, (reason, pair) in lost.items()]
    rows += [(name, dump, RELEASE, fault, found) for name, found in faulty.items()]
    if removals is not None:
        told = removals.select(removals.columns[0], "rule", "value_text").iter_rows()
        rows += [(name, dump, RELEASE, rule, text) for name, rule, text in told]
    return make_left_out(rows)


def keep_released(rows: pl.DataFrame, left_out: pl.DataFrame, key: str) -> Kept:
    """Return the rows that are released."""
    return keep(rows, left_out.select(pl.col("id").alias(key), rule="reason"), key=key)


def account_for_release(
    frame: pl.DataFrame, judged: Kept, kept: Kept, left_out: pl.DataFrame, counts: Mapping[str, float]
) -> ShardResult:
    """Return released rows with their account: rows in = rows + removed before + left out here.

    Args:
        frame: the rows.
        judged: what tables of removals left.
        kept: what the release itself left of those.
        left_out: what it left out.
        counts: other tallies.
    """
    by_rule = Counter(judged.removed_by_rule) + Counter(kept.removed_by_rule)
    removed = judged.rows_removed + kept.rows_removed
    return ShardResult(frame, judged.rows_in, removed, dict(by_rule), counts=counts, left_out=left_out)


def write_left_out(frames: Sequence[pl.DataFrame], folder: Place) -> int:
    """Write what is left out as `LEFT_OUT_FILE` in `release/`, where anything is, and return how many rows it has.

    Args:
        frames: LEFT_OUT, of the stage and of the formats; a row that a format leaves out in every epoch counts once.
        folder: `release/`.
    """
    told = make_left_out(pl.concat([make_left_out(()), *frames]).unique().iter_rows())
    if told.height:
        buffer = io.BytesIO()
        told.write_parquet(buffer, compression="zstd")
        folder.join(LEFT_OUT_FILE).write_bytes(buffer.getvalue())
    return told.height


def describe_left_out(rows: int) -> tuple[str, str]:
    """Return the row of the card's table of layouts."""
    told = "rows that stand in no file, or not in every format; each with place, reason and details"
    return "left out", f"`release/{LEFT_OUT_FILE}`: {rows:,} {told}"
