"""Finds pairs that show the same picture, by hashes within a radius and by embeddings, and says which of them stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.evaluation_images import find_evaluation_images, parse_hashes
from mmpipe.deduplication.hamming_join import join_masks, order_bits, plan_bands
from mmpipe.deduplication.image_duplicate_rows import cite_duplicates, describe_hits, describe_stars
from mmpipe.deduplication.image_embeddings import ImageEmbeddings, lay_embeddings
from mmpipe.deduplication.image_search import NORMALIZED_CAPTION, PREFERENCES, ImageSearch
from mmpipe.errors import SchemaError
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES

__all__ = ["FoundDuplicates", "ImageEmbeddings", "ImageSearch", "cite_duplicates", "find_duplicates"]

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.evaluation_images import EvaluationHashes
    from mmpipe.deduplication.hamming_join import Bands
    from mmpipe.deduplication.image_embeddings import LaidEmbeddings
    from mmpipe.deduplication.star_kernels import Cells, HashIndex, Stars

#: Columns of a pair that a search reads; all but the first three may be null.
PAIR_COLUMNS = pl.Schema(
    {
        "pair_id": pl.String,
        "dump": pl.String,
        "caption": pl.String,
        "dump_sequence": pl.Int64,
        "area": pl.Float64,
        "clip_similarity": pl.Float64,
        "caption_chars": pl.Float64,
        "phash": pl.String,
    }
)

_ORIENTATIONS = 8


@dataclass(frozen=True, slots=True)
class FoundDuplicates:
    """Rows of IMAGE_DUPLICATES, by pair_id; and counts, of clusters and of near embeddings that clusters part."""

    duplicates: pl.DataFrame
    counts: dict[str, int]


def find_duplicates(
    pairs: pl.DataFrame,
    search: ImageSearch,
    *,
    scratch: Path,
    evaluation: EvaluationHashes | None = None,
    embeddings: ImageEmbeddings | None = None,
) -> FoundDuplicates:
    """Return which pairs show the picture of another, and which of them stays.

    Pairs are decided one by one, best first: first those that earlier dumps published, which stay; then by the search's
    preferences; never by which came first. A pair that is near to one that stays goes, any other stays. So every pair
    that goes is within the radius of the pair kept for it, whereas the ends of a chain of near pairs may have nothing
    in common; and no two pairs that stay are near. The text lane chooses in the same way
    (`survivors.choose_survivors`). A cluster is a pair that stays and those that go for it.

    Of several pairs that one may go for, the first of the first method counts (hashes, turned, trimmed, embeddings),
    then the nearest, then the best. Distances of turned pictures are those between all eight hashes of the worse pair
    and the upright hash of the better one; of trimmed ones the least between either picture with and without border.

    Pairs of evaluation images go first, and no pair goes for them.

    Args:
        pairs: PAIR_COLUMNS, and as asked for `phash_orientations`, `phash_trimmed`, `image_sha256`, `image_md5`. Pairs
            with a `dump_sequence` were published by an earlier dump (the smaller, the earlier). `pair_id` is unique.
        search: what is near, and what is better.
        scratch: a folder for embeddings, 4 bytes per number; they are removed.
        evaluation: hashes of evaluation images.
        embeddings: of this dump's pairs; those without are compared by hash alone. Published pairs are never compared
            by embedding.

    Memory: 40 bytes per pair, 16 for each of its hashes and 28 for each hash and band (about 5) of pairs that stay.

    Raises:
        SchemaError: two pairs have one id, or a column is missing.
    """
    _refuse(pairs, search)
    variants, has_hash = _collect_variants(pairs, search)
    counts: dict[str, int] = {}
    is_published = pairs.get_column("dump_sequence").is_not_null()
    described = IMAGE_DUPLICATES.make_empty()
    if evaluation is not None:
        fresh = (~is_published).to_numpy()
        hits = find_evaluation_images(
            pairs.filter(~is_published), variants[fresh], has_hash[fresh], evaluation, search.evaluation_distance
        )
        described = describe_hits(hits, pairs, search)
        stays = ~pairs.get_column("pair_id").is_in(hits.get_column("pair_id").implode())
        pairs, variants, has_hash = pairs.filter(stays), variants[stays.to_numpy()], has_hash[stays.to_numpy()]
    order = _order_pairs(pairs, search)
    pairs, variants = pairs[order], variants[order]
    has_hash = has_hash[order] & (search.phash_distance is not None)
    laid = lay_embeddings(pairs, search, embeddings, scratch, counts)
    stars = _choose(pairs, variants, has_hash, laid, search)
    frame = IMAGE_DUPLICATES.conform(pl.concat([describe_stars(pairs, stars, search), described]).sort("pair_id"))
    counts["clusters"] = frame.get_column("cluster_id").drop_nulls().n_unique()
    return FoundDuplicates(frame, counts)


def _refuse(pairs: pl.DataFrame, search: ImageSearch) -> None:
    wanted = [
        *PAIR_COLUMNS.names(),
        *(["phash_orientations"] if search.orientations else []),
        *(["phash_trimmed"] if search.trims_borders else []),
    ]
    missing = [name for name in wanted if name not in pairs.columns]
    if missing:
        raise SchemaError(f"Pairs to compare: no column {', '.join(missing)}.")
    if pairs.get_column("pair_id").n_unique() < pairs.height:
        raise SchemaError("Pairs to compare: a pair_id is given twice.")


def _collect_variants(pairs: pl.DataFrame, search: ImageSearch) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return (n, v) hashes of each picture: as it is, turned, trimmed; where one was not measured, as it is."""
    upright, has_hash = parse_hashes(pairs.get_column("phash"))
    columns = [upright]
    for is_asked, name, count in (
        (search.orientations, "phash_orientations", _ORIENTATIONS),
        (search.trims_borders, "phash_trimmed", 1),
    ):
        if is_asked:
            hashes, is_measured = parse_hashes(pairs.get_column(name), count)
            columns.append(np.where(is_measured[:, None], hashes, upright))
    return np.concatenate(columns, axis=1), has_hash


def _order_pairs(pairs: pl.DataFrame, search: ImageSearch) -> NDArray[np.int64]:
    """Return the pairs by group of equal captions, if these matter, and in it best first: a total order."""
    preferences = [PREFERENCES[name] for name in search.keep]
    ordered = (
        pairs.lazy()
        .select(
            "pair_id", "dump_sequence", *preferences, row=pl.int_range(pl.len()),
            group=NORMALIZED_CAPTION if search.same_caption else pl.lit(""),
        )
        .with_columns(pl.col(name).fill_nan(None) for name in preferences)
        .sort(
            ["group", "dump_sequence", *preferences, "pair_id"],
            descending=[False, False, *(True for _ in preferences), False],
            nulls_last=True,
        )
        .select("row")
        .collect()
    )  # fmt: skip
    return ordered.get_column("row").to_numpy().astype(np.int64)


def _choose(
    pairs: pl.DataFrame,
    variants: NDArray[np.uint64],
    has_hash: NDArray[np.bool_],
    laid: LaidEmbeddings,
    search: ImageSearch,
) -> Stars:
    """Return for each pair the row kept for it, how it was found, and how near it is."""
    from mmpipe.deduplication.hamming_kernels import permute_bits
    from mmpipe.deduplication.star_kernels import Stars, choose_stars

    count = pairs.height
    groups = _mark_groups(pairs, search)
    group_starts = np.append(np.flatnonzero(np.diff(groups, prepend=-1)), count).astype(np.int64)
    largest = int(np.diff(group_starts).max(initial=0))
    radius = search.phash_distance or 0
    border = variants.shape[1] - 1 if search.trims_borders else -1
    most_hashes = largest * (2 if border > 0 else 1)
    bands = plan_bands(most_hashes, max(1, largest), radius, is_bulk=False)
    order = order_bits(np.ascontiguousarray(variants[:, 0]), bands)
    permuted = permute_bits(np.ascontiguousarray(variants).reshape(-1), order).reshape(variants.shape)
    stars = Stars(
        np.arange(count), np.full(count, 255, dtype=np.uint8), np.full(count, -1, dtype=np.int64), np.full(count, -2.0)
    )
    choose_stars(
        permuted,
        border,
        has_hash,
        pairs.get_column("dump_sequence").is_not_null().to_numpy(),
        group_starts,
        radius,
        _make_index(bands, most_hashes),
        _make_cells(groups, laid),
        search.embedding_similarity or 2.0,
        stars,
    )
    return stars


def _make_index(bands: Bands, most_hashes: int) -> HashIndex:
    from mmpipe.deduplication.star_kernels import HashIndex

    tables = 0 if bands.widths == (0,) else len(bands.widths)
    masks, mask_ends = join_masks(bands)
    return HashIndex(
        shifts=np.array(bands.shifts[:tables], dtype=np.int64),
        widths=np.array(bands.widths[:tables], dtype=np.int64),
        masks=masks,
        mask_ends=mask_ends,
        starts=np.zeros((tables, (1 << max(bands.widths)) + 1), dtype=np.int64),
        laid=np.empty((tables, most_hashes), dtype=np.uint64),
        places=np.empty((tables, most_hashes), dtype=np.int32),
        stored=np.empty(most_hashes, dtype=np.uint64),
        rows=np.empty(most_hashes, dtype=np.int64),
        columns=np.empty(most_hashes, dtype=np.int32),
        slots=np.full(1 << (2 * most_hashes + 1).bit_length(), -1, dtype=np.int32),
    )


def _make_cells(groups: NDArray[np.int64], laid: LaidEmbeddings) -> Cells:
    from mmpipe.deduplication.star_kernels import Cells

    cells = np.full(len(groups), -1, dtype=np.int64)
    is_embedded = laid.labels >= 0
    if is_embedded.any():
        keys = np.stack([groups[is_embedded], laid.labels[is_embedded]])
        cells[is_embedded] = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(cells[is_embedded])
    return Cells(
        cells=cells,
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        counts=np.zeros(len(sizes), dtype=np.int64),
        rows=np.empty(int(sizes.sum()), dtype=np.int64),
        vectors=laid.vectors,
        vector_rows=laid.rows,
    )


def _mark_groups(pairs: pl.DataFrame, search: ImageSearch) -> NDArray[np.int64]:
    """Return the number of each pair's group, for pairs in the order of groups."""
    if not search.same_caption:
        return np.zeros(pairs.height, dtype=np.int64)
    return pairs.select(NORMALIZED_CAPTION.rle_id()).to_series().to_numpy().astype(np.int64)
