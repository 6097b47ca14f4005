"""Counts what pairs of a dump share (caption, URL, picture) and ranks their similarity, out of core."""

# ruff: noqa: S608 - queries are made of paths of our own, quoted, and of the names below
from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.deduplication.external_sort import copy_query, quote_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmpipe.deduplication.pair_files import Scratch

#: Tables of shared keys: name, key, and what is counted of the pairs that share one.
_SHARED = (
    ("captions", "caption_key", "count(*) AS pairs"),
    ("urls", "url_key", "count(*) AS pairs, count(DISTINCT document_key) AS documents"),
    ("hashes", "phash_key", "count(*) AS pairs"),
)


def identify_pairs(pairs: pl.LazyFrame, first_row: int) -> pl.LazyFrame:
    """Return the 64-bit keys by which pairs are counted, and the number of each pair's row.

    Captions are the same if they are, letter by letter, with runs of white space as one space and none at the ends, as
    COYO-700M has them; capitals tell them apart. URLs are compared as they are resolved, hashes as they are written.
    Two different ones of 10⁸ share a key with a probability of about 0.0003.

    Args:
        pairs: `pair_id`, `doc_id`, `caption`, `image_url`, `phash` and `clip_similarity`.
        first_row: number of the first of them among the dump's pairs.
    """
    keys = {
        "caption_key": pl.col("caption").str.replace_all(r"\s+", " ").str.strip_chars(" "),
        "url_key": pl.col("image_url"),
        "document_key": pl.col("doc_id"),
        "phash_key": pl.col("phash"),
    }
    return pairs.select(
        "pair_id",
        similarity=pl.col("clip_similarity").cast(pl.Float64).fill_nan(None),
        **{name: pl.when(text.is_not_null()).then(text.hash(seed=1)) for name, text in keys.items()},
    ).with_row_index("row", offset=first_row)


def count_pairs(files: Sequence[Path], scratch: Scratch) -> Path:
    """Count what the pairs of a dump share, within the scratch's memory whatever their number.

    Args:
        files: Parquet files of what `identify_pairs` returns: each pair once, in any order and cut.
        scratch: where DuckDB lays what does not fit.

    Returns:
        A Parquet file with the columns of `tables.image_counts.IMAGE_COUNTS`, one row per pair by rising `row`. The
        rank of a similarity is the share of the measured pairs with a greater one: pairs as similar as each other have
        one rank, so that a limit keeps all of them or none.
    """
    pairs = f"read_parquet([{', '.join(map(quote_path, files))}])"
    for name, key, counted in _SHARED:
        # a key that one pair has is in no table: most have a URL and a hash of their own
        scratch.sorter.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT {key} AS key, {counted} FROM {pairs} "
            f"WHERE {key} IS NOT NULL GROUP BY {key} HAVING count(*) > 1"
        )
    scratch.sorter.execute(
        "CREATE OR REPLACE TABLE ranks AS SELECT similarity, "
        "(sum(pairs) OVER (ORDER BY similarity DESC) - pairs)::DOUBLE / (sum(pairs) OVER ())::DOUBLE AS rank "
        f"FROM (SELECT similarity, count(*) AS pairs FROM {pairs} WHERE similarity IS NOT NULL GROUP BY similarity)"
    )
    file = scratch.name_file("counts.parquet")
    copy_query(
        scratch,
        f"""
        SELECT pair_id,
            coalesce(captions.pairs, 1)::DOUBLE AS caption_pairs,
            coalesce(urls.pairs, 1)::DOUBLE AS image_url_pairs,
            coalesce(urls.documents, 1)::DOUBLE AS image_url_documents,
            CASE WHEN phash_key IS NOT NULL THEN coalesce(hashes.pairs, 1)::DOUBLE END AS phash_pairs,
            ranks.rank AS clip_similarity_rank
        FROM {pairs} AS pairs
        LEFT JOIN captions ON captions.key = pairs.caption_key
        LEFT JOIN urls ON urls.key = pairs.url_key
        LEFT JOIN hashes ON hashes.key = pairs.phash_key
        LEFT JOIN ranks ON ranks.similarity = pairs.similarity
        ORDER BY pairs.row
        """,
        file,
    )
    for name in ("captions", "urls", "hashes", "ranks"):
        scratch.sorter.execute(f"DROP TABLE {name}")
    return file
