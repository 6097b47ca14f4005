"""Counts equal instructions: those that ask the same of the same passage and pictures, drawn before each of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.tables.identity import make_id
from mmpipe.tables.row_draws import list_originals

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The signal that holds the count.
SIGNAL = "earlier_equal_instructions"

#: Columns that say what a row asks.
ASKED = ("instruction_id", "instruction", "turns")
#: Columns that say whether two rows are equal; `method` and `details` may be missing.
COMPARED = (*ASKED, "context", "images", "response", "method", "details")

# a run of letters or digits; scripts written without spaces give one word per character
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|(?:(?![\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f])\w)+")

#: Methods that keep several answers to one instruction on purpose: ReST-EM ten of a problem, TinyGSM as many as wanted.
_SEVERAL_ANSWERS = frozenset({"rest", "tiny_gsm"})


def list_words(text: str) -> list[str]:
    """Return the words of a text, case folded; a character of a script without spaces is a word."""
    return _WORD.findall(text.casefold())


def read_asked(row: Mapping[str, Any]) -> str:
    """Return what is asked, in all turns."""
    return _join_turns(row, "user") if row["turns"] else row["instruction"]


def read_answered(row: Mapping[str, Any]) -> str:
    """Return what is answered, in all turns."""
    return _join_turns(row, "assistant") if row["turns"] else row["response"]


def digest_asked(rows: pl.DataFrame) -> pl.DataFrame:
    """Return instruction_id and `asked`, a digest of the words of the question: rows are equal in few of equal ones."""
    asked = [make_id("asked", *list_words(read_asked(row))) for row in rows.select(ASKED).iter_rows(named=True)]
    return rows.select("instruction_id", pl.Series("asked", asked, dtype=pl.String))


def digest_equals(rows: pl.DataFrame) -> pl.DataFrame:
    """Return instruction_id, `original` (what it goes by among its draws) and `same`, equal in equal rows.

    Args:
        rows: the columns of COMPARED.
    """
    columns = [name for name in COMPARED if name in rows.columns]
    same = []
    for row in rows.select(columns).iter_rows(named=True):
        parts = [list_words(read_asked(row)), list_words(row["context"] or ""), list(row["images"])]
        if row.get("method") in _SEVERAL_ANSWERS:
            parts.append(list_words(read_answered(row)))
        same.append(make_id("same", *(f"{len(part)}\0" + "\0".join(part) for part in parts)))
    originals = pl.Series("original", list_originals(rows), dtype=pl.String)
    return rows.select("instruction_id", originals, pl.Series("same", same, dtype=pl.String))


def keep_equal(digested: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `digest_equals` that another is equal to, but for draws of one row."""
    return digested.filter(pl.col("original").n_unique().over("same") > 1)


def count_earlier_equals(digested: pl.DataFrame) -> dict[str, int]:
    """Return by id how many equal rows have a smaller hash, for those that have any; draws of one row are one.

    The hash is the draw of `deduplication.instruction_duplicates`, so that both keep the same one of two.

    Args:
        digested: rows of `digest_equals`, of all that is compared.
    """
    among = keep_equal(digested)
    draws = [make_id("row_duplicates", original) for original in among.get_column("original")]
    before = pl.col("draw").rank("dense").over("same") - 1
    counted = among.with_columns(pl.Series("draw", draws, dtype=pl.String)).select("instruction_id", before)
    return {row_id: int(count) for row_id, count in counted.iter_rows() if count}


def _join_turns(row: Mapping[str, Any], role: str) -> str:
    return "\n".join(turn["content"] for turn in row["turns"] if turn["role"] == role)
