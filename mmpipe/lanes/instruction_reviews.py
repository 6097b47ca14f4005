"""The instruction lane's reviews: verdicts that people gave outside, published as a table, and what they corrected."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.review_items import describe_items, digest_texts
from mmpipe.lanes.stage import fingerprint_inputs
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production

#: Beside the datasets: they are what people said, and no run makes them again.
FOLDER = "reviews"
VERDICTS, ALLOCATION = "verdicts.parquet", "allocation.parquet"

#: Verdicts as they are kept: with a digest of the texts they are about, null where it is not known.
VERDICTS_SCHEMA = pl.Schema([*INSTRUCTION_REVIEWS.schema.items(), ("shown", pl.String())])


def find_review_file(lake: Lake, dump: str, name: str) -> Place:
    """Return where a dump's verdicts, or the split between model and people, are kept."""
    return Place(lake.root).join(FOLDER, f"dump={dump}", name)


def read_review_file(lake: Lake, dump: str, name: str) -> pl.DataFrame | None:
    """Return what is kept, or None."""
    place = find_review_file(lake, dump, name)
    return pl.read_parquet(io.BytesIO(place.read_bytes())) if place.is_file() else None


def write_review_file(lake: Lake, dump: str, name: str, rows: pl.DataFrame) -> None:
    """Keep verdicts, or the split, of a dump; what was there is replaced."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    find_review_file(lake, dump, name).write_bytes(buffer.getvalue())


def read_verdicts(lake: Lake, dump: str) -> pl.DataFrame | None:
    """Return the verdicts that are kept, `VERDICTS_SCHEMA`, or None; columns that older ones have not are filled."""
    said = read_review_file(lake, dump, VERDICTS)
    if said is None:
        return None
    filled = {
        "shown": pl.lit(None, dtype=pl.String),
        "labels": pl.lit([], dtype=pl.List(pl.String)),
        "corrections": pl.col("corrected_response").is_not_null().cast(pl.Int64),
    }
    missing = {name: value for name, value in filled.items() if name not in said.columns}
    return said.with_columns(**missing).select(VERDICTS_SCHEMA.names())


def publish_reviews(run: StageRun) -> Production:
    """Publish the verdicts that `mmpipe review merge` kept for this dump; none where nobody reviewed it."""
    assert run.dump is not None
    instructions = run.read(SYNTHESIZED_INSTRUCTIONS)
    place = find_review_file(run.lake, run.dump, VERDICTS)
    inputs = fingerprint_inputs(instructions)
    said = place.read_bytes().hex() if place.is_file() else ""
    work = [ShardWork("all", digest_settings([inputs, said]), (instructions, run.lake, run.dump))]
    return run.write(work, reviews_shard, inputs=inputs, is_in_process=True)


def reviews_shard(instructions: Dataset, lake: Lake, dump: str) -> ShardResult:
    """Publish the verdicts on instructions that say what people read; on rows that are no more, or anew, they count."""
    said = read_verdicts(lake, dump)
    if said is None:
        return ShardResult(INSTRUCTION_REVIEWS.make_empty(), 0, accounts_for_rows=False)
    asked = said.select("instruction_id").lazy()
    rows = describe_items(instructions.scan().join(asked, on="instruction_id", how="semi").collect())
    now = pl.col("instruction_id").replace_strict(digest_texts(rows), return_dtype=pl.String, default=None)
    known = said.join(rows.select(instruction_id="item_id"), on="instruction_id", how="semi")
    # a row that another teacher or prompt makes anew keeps its id, and what was said of the old one is not about it
    same = known.filter(pl.col("shown").is_null() | (pl.col("shown") == now))
    frame = INSTRUCTION_REVIEWS.conform(same.drop("shown").sort("instruction_id"))
    counts: dict[str, float] = {"unknown_rows": said.height - known.height, "changed_rows": known.height - same.height}
    counts |= dict(frame.drop_nulls("verdict").group_by("verdict").len().sort("verdict").iter_rows())
    counts["corrected"] = frame.get_column("corrected_response").count()
    return ShardResult(frame, said.height, counts=counts, accounts_for_rows=False)


def apply_corrections(rows: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """Return instructions with the answers that people wrote in place of the teacher's; who did is in the reviews.

    Of a talk, the correction takes the place of its last answer.

    Args:
        rows: rows of SYNTHESIZED_INSTRUCTIONS.
        reviews: rows of INSTRUCTION_REVIEWS.
    """
    written = reviews.filter(pl.col("corrected_response").is_not_null()).select("instruction_id", "corrected_response")
    if written.is_empty():
        return rows
    joined = rows.join(written, on="instruction_id", how="left", maintain_order="left")
    response = pl.coalesce("corrected_response", "response").alias("response")
    if "turns" in rows.columns:
        turns = [
            row["turns"]
            if row["turns"] is None or row["corrected_response"] is None
            else [*row["turns"][:-1], {"role": "assistant", "content": row["corrected_response"]}]
            for row in joined.select("turns", "corrected_response").iter_rows(named=True)
        ]
        joined = joined.with_columns(turns=pl.Series(turns, dtype=rows.schema["turns"]))
    if "tool_calls" in rows.columns:
        # words that people wrote are no call
        calls = pl.when(pl.col("corrected_response").is_null()).then("tool_calls")
        joined = joined.with_columns(tool_calls=calls)
    return joined.with_columns(response).select(rows.columns)
