"""Finds near-duplicate rows of a table that fits in memory, instructions above all: MinHash of words, and embeddings.

The ROUGE-L pool decides while instructions grow; this looks at finished rows once more, also across methods. Both ways
go from the best row to the worst, and a row goes only for one that stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.minhash import MinHashSettings, compute_band_keys, shingle_texts
from mmpipe.deduplication.semantic import SemanticSettings, find_semantic_pairs
from mmpipe.errors import SchemaError
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Each row that goes, the row that stays it goes for, and how alike they are: Jaccard or cosine similarity.
ROW_DUPLICATES = pl.Schema({"id": pl.String, "kept_id": pl.String, "method": pl.String, "similarity": pl.Float64})

#: For texts of one or two sentences, where the 5-grams of the text lane leave two variants hardly one in common. 32
#: bands of 4 compare a pair of Jaccard 0.7 with probability 0.9998 and one of 0.5 with 0.87 (1 - (1 - s^4)^32), so that
#: the exact similarity decides and not luck. The limit is ours.
INSTRUCTION_MINHASH = MinHashSettings(shingle_words=3, bands=32, rows=4, verify_jaccard=0.7)


def find_row_duplicates(rows: pl.DataFrame, settings: MinHashSettings = INSTRUCTION_MINHASH) -> pl.DataFrame:
    """Return the rows whose words are nearly those of a better one: columns of ROW_DUPLICATES, by id.

    Every row is compared with all that stay so far and share a band key with it, and goes for the most alike of them
    (the best of equally alike ones). The order of rows changes nothing.

    Args:
        rows: `id` (once each), `text`, and, where some rows are to stay rather than others, `rank` (lower is better);
            equal ranks, and rows without one, are ordered by a hash of the id.
        settings: shingles, bands, and the Jaccard similarity from which a compared pair are duplicates.

    Raises:
        SchemaError: an id stands there twice, or a text is null.
    """
    ordered = _order(rows)
    ids, texts = ordered.get_column("id").to_list(), ordered.get_column("text").to_list()
    if not ids:
        return pl.DataFrame(schema=ROW_DUPLICATES)
    from mmpipe.deduplication.minhash_kernels import measure_jaccard

    keys, counts = compute_band_keys(texts, settings)
    shingles, starts = shingle_texts(texts, settings.shingling)
    limit = settings.verify_jaccard
    stays: dict[tuple[int, int], list[int]] = {}
    found = []
    for row in range(len(ids)):
        if not counts[row]:
            continue  # a text without a shingle is nobody's near-duplicate
        bands = list(enumerate(keys[row].tolist()))
        others = np.array(sorted({other for band in bands for other in stays.get(band, ())}), dtype=np.int64)
        similarities = measure_jaccard(shingles, starts, np.full(len(others), row), others)
        nearest = int(similarities.argmax()) if len(others) else -1
        if nearest >= 0 and (limit is None or similarities[nearest] >= limit):
            found.append((ids[row], ids[others[nearest]], "minhash", float(similarities[nearest])))
            continue
        for band in bands:
            stays.setdefault(band, []).append(row)
    return pl.DataFrame(found, schema=ROW_DUPLICATES, orient="row").sort("id")


def find_embedded_duplicates(
    rows: pl.DataFrame, embeddings: NDArray[np.float32], settings: SemanticSettings, *, scratch: Path
) -> pl.DataFrame:
    """Return the rows that mean nearly what a better one does: columns of ROW_DUPLICATES, by id.

    Args:
        rows: `id` and, if wanted, `rank`, as for `find_row_duplicates`.
        embeddings: (rows, dimensions) of their texts, in the same order, from whatever model.
        settings: what counts as near; see `semantic.SemanticSettings`.
        scratch: a folder for the vectors; they are removed.

    Raises:
        SchemaError: an id stands there twice, or embeddings and rows are not as many.
    """
    ordered = _order(rows.with_columns(text=pl.lit(""), place=pl.int_range(pl.len())))
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[ordered.get_column("place").to_numpy()] = np.arange(len(rows))
    pairs = find_semantic_pairs(embeddings, ranks, settings, scratch=scratch)
    ids = ordered.get_column("id")
    return pl.DataFrame(
        {
            "id": ids.gather(pairs.get_column("worse")),
            "kept_id": ids.gather(pairs.get_column("better")),
            "method": pl.Series(["embedding"] * len(pairs), dtype=pl.String),
            "similarity": pairs.get_column("similarity"),
        },
        schema=ROW_DUPLICATES,
    ).sort("id")


def _order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows, best first."""
    if rows.get_column("text").null_count():
        raise SchemaError(
            f"Rows to compare: {rows.get_column('text').null_count()} have no text. Leave them out first."
        )
    ids: Sequence[str] = rows.get_column("id").to_list()
    if len(set(ids)) < len(ids):
        twice = min(rows.filter(pl.col("id").is_duplicated()).get_column("id").to_list())
        raise SchemaError(f"Rows to compare: {twice} stands there twice. Give each row an id of its own.")
    rank = pl.col("rank") if "rank" in rows.columns else pl.lit(0)
    draws = pl.Series("draw", [make_id("row_duplicates", row_id) for row_id in ids], dtype=pl.String)
    return rows.with_columns(draws, rank.alias("rank")).sort("rank", "draw", nulls_last=True)
