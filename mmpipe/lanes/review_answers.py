"""Keeps what each person said of each row beside the datasets, so that files of answers add up in any order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.instruction_reviews import read_review_file, write_review_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.storage.lake import Lake

ANSWERS, MERGES = "answers.parquet", "merges.parquet"

#: One row per row, person and version of the texts: the last answer. `label` is null where it was taken back.
KEPT_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "annotator": pl.String(),
        "shown": pl.String(),
        "label": pl.String(),
        "correction": pl.String(),
        "answered_at": pl.Datetime("us", "UTC"),
        "file": pl.String(),
    }
)

#: Files that were merged, and when for the first time: the time of answers whose tool does not say it.
MERGES_SCHEMA = pl.Schema({"file": pl.String(), "name": pl.String(), "merged_at": pl.Datetime("us", "UTC")})

_KEY = ("item_id", "annotator", "shown")
_SAID = ("label", "correction")


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """A file's answers: its name, a digest of it, and rows of `release.review_answers.ANSWERS_SCHEMA`."""

    name: str
    digest: str
    answers: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What files added.

    Attributes:
        answers: `KEPT_SCHEMA`, all that people said last.
        merges: `MERGES_SCHEMA`.
        fresh: answers of people who had not spoken of the row.
        replaced: answers that took the place of another by the same person: item_id, annotator.
        repeated: answers that say what was known.
        outdated: answers than which the same person gave a later one; they do not count.
    """

    answers: pl.DataFrame
    merges: pl.DataFrame
    fresh: int
    replaced: pl.DataFrame
    repeated: int
    outdated: int


def read_kept_answers(lake: Lake, dump: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the answers kept of a dump, `KEPT_SCHEMA`, and the files they came in, `MERGES_SCHEMA`."""
    answers, merges = read_review_file(lake, dump, ANSWERS), read_review_file(lake, dump, MERGES)
    return (
        pl.DataFrame(schema=KEPT_SCHEMA) if answers is None else answers,
        pl.DataFrame(schema=MERGES_SCHEMA) if merges is None else merges,
    )


def write_kept_answers(lake: Lake, dump: str, accumulated: Accumulated) -> None:
    """Keep what files added; the answers first, so that a merge cut short is whole when it is done again."""
    write_review_file(lake, dump, ANSWERS, accumulated.answers)
    write_review_file(lake, dump, MERGES, accumulated.merges)


def accumulate(
    kept: pl.DataFrame, merges: pl.DataFrame, files: Sequence[AnswerFile], now: datetime | None = None
) -> Accumulated:
    """Return the last answer of each person about each row, of what was kept and what files bring.

    The later answer counts, whole, whatever the order of the files. An answer whose tool does not say when it was given
    is as old as the first merge of its file; so merging a file again changes nothing.

    Args:
        kept: `KEPT_SCHEMA`.
        merges: `MERGES_SCHEMA`.
        files: what comes.
        now: time of this merge; None for the clock's.

    Raises:
        ConfigurationError: files say different things of one row by one person, and not when.
    """
    now = now or datetime.now(UTC)
    first = dict(merges.select("file", "merged_at").iter_rows())
    new = {file.digest: (file.digest, file.name, now) for file in files if file.digest not in first}
    merges = pl.concat([merges, pl.DataFrame(list(new.values()), schema=MERGES_SCHEMA, orient="row")])
    brought = [
        file.answers.select(
            *_KEY, *_SAID, "answered_at",
            file=pl.lit(file.digest), merged_at=pl.lit(first.get(file.digest, now), MERGES_SCHEMA["merged_at"]),
        )
        for file in files
    ]  # fmt: skip
    coming = (
        pl.concat(brought)
        if brought
        else pl.DataFrame(schema=[*KEPT_SCHEMA.items(), ("merged_at", MERGES_SCHEMA["merged_at"])])
    )
    _check_contradictions(coming, {file.digest: file.name for file in files})
    coming = coming.with_columns(answered_at=pl.coalesce("answered_at", "merged_at")).select(KEPT_SCHEMA.names())
    coming = _take_last(coming)
    last = _take_last(pl.concat([kept, coming]))

    both = coming.join(kept, on=_KEY, how="inner", nulls_equal=True, suffix="_before")
    is_same = pl.all_horizontal(*[pl.col(name).eq_missing(pl.col(f"{name}_before")) for name in _SAID])
    is_later = pl.col("answered_at") > pl.col("answered_at_before")
    replaced = both.filter(~is_same & is_later).select("item_id", "annotator").sort("item_id", "annotator")
    repeated = both.filter(is_same).height
    return Accumulated(
        last, merges, coming.height - both.height, replaced, repeated, both.height - replaced.height - repeated
    )


def _take_last(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the last answer by person, row and texts; of two of one moment, the same whatever their order."""
    order = [*_KEY, "answered_at", *_SAID, "file"]
    return answers.sort(order, nulls_last=False).unique(_KEY, keep="last", maintain_order=True)


def _check_contradictions(coming: pl.DataFrame, names: dict[str, str]) -> None:
    """Stop at answers by one person about one row of which none can be told to be the later."""
    undated = coming.filter(pl.col("answered_at").is_null())
    told = undated.group_by(*_KEY, "merged_at").agg(
        pl.struct(_SAID).n_unique().alias("different"), pl.col("file").unique().sort()
    )
    torn = told.filter(pl.col("different") > 1).sort(_KEY)
    if torn.height:
        row = torn.row(0, named=True)
        where = " and ".join(sorted(names[file] for file in row["file"]))
        raise ConfigurationError(
            f"{where}: {row['annotator']} says different things of {row['item_id']} (one of {torn.height} such rows), "
            f"and the tool does not say which later. Merge the older file first, then the other."
            if len(row["file"]) > 1
            else f"{where}: has two answers of {row['annotator']} about {row['item_id']} (one of {torn.height} such "
            f"rows) that differ, and does not say which is the later. Take one of them out."
        )
