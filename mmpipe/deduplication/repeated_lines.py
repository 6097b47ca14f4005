"""Finds lines, paragraphs or runs of sentences that occur more than once in a corpus, and says which to cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mmpipe.deduplication.key_partitions import KeyPartitions, count_partitions
from mmpipe.deduplication.line_normalization import build_line_table
from mmpipe.deduplication.line_spans import LineSettings, TextSpans, cut_into_spans
from mmpipe.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.verification import Texts

#: What `find_repeated_lines` returns, as of exact substrings. `kept_*`, null where none is kept, are the bounds of the
#: line (or run of sentences) that is.
LINE_SPANS = pl.Schema(
    {
        "doc_id": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "kept_doc_id": pl.String,
        "kept_start": pl.Int64,
        "kept_end": pl.Int64,
    }
)

# code points handled at once: about 150 MB of working arrays
_BATCH_CHARACTERS = 4_000_000
_BATCH_ROWS = 8192
# pairs of texts in memory while they are compared
_BATCH_PAIRS = 4096
# how many characters a unit is taken to have, when scratch files are planned
_TYPICAL_CHARACTERS = 32

_RECORD = np.dtype([("key", "<u8"), ("check", "<u8"), ("rank", "<i8"), ("start", "<i8"), ("end", "<i8")])
_KEY = np.dtype([("key", "<u8")])
_NO_PLACE = -1


def find_repeated_lines(
    documents: pl.DataFrame | pl.LazyFrame,
    settings: LineSettings | None = None,
    *,
    scratch: Path,
    published: NDArray[np.uint64] | None = None,
    texts: Texts | None = None,
    memory_bytes: int = 1 << 30,
) -> pl.DataFrame:
    """Return what to cut: columns of LINE_SPANS, disjoint, sorted by document and start; offsets are of characters.

    A span is compared by the 128-bit xxh3 of its normal form (CCNet took 64 bits of SHA-1), and by the normal form
    itself if `texts` is given. One that occurs often enough stays where it is first, by rank and then by place, and
    goes elsewhere; with `keep="none"`, or if an earlier dump has it, it goes everywhere. Of a run of sentences nothing
    goes that is also part of a run that stays here, so each run that occurs more than once stays whole in one place.

    The answer does not depend on the order of rows. Spans end where the next unit begins, so that what is cut takes
    its line end with it.

    Args:
        documents: `doc_id`, `rank` (0 is the best; each once), `text`, and optionally `unit_starts`, a list of where
            units begin, for units that were found elsewhere (sentences by a model); the first is then taken for 0.
        settings: what is compared and what stays.
        scratch: a folder for 40 bytes per span of the corpus; all is removed.
        published: what `write_line_hashes` wrote for earlier dumps, one sorted array (it may be memory-mapped).
        texts: where the texts of documents can be read again, to compare spans themselves.
        memory_bytes: for spans sorted at once; beside it stand the spans found, 80 bytes each, and their ids.

    Raises:
        SchemaError: two documents have one rank, or unit starts are not ascending places of the text.
    """
    settings = settings or LineSettings()
    rows = documents.lazy()
    with _partition(rows, scratch, _RECORD, memory_bytes) as partitions:
        for ranks, spans in _stream_spans(rows, settings):
            records = np.empty(len(spans.starts), dtype=_RECORD)
            records["key"], records["check"] = spans.hashes.T
            records["rank"], records["start"], records["end"] = ranks[spans.documents], spans.starts, spans.ends
            partitions.append(records)
        removed, protected = _choose(partitions, settings, published)
    names = _name_ranks(rows, np.concatenate([removed[:, 0], removed[:, 3]]))
    if texts is not None:
        removed = _verify(removed, names, texts, settings)
    return _describe(removed, protected, names)


def write_line_hashes(
    documents: pl.DataFrame | pl.LazyFrame,
    settings: LineSettings,
    file: Path,
    *,
    scratch: Path,
    memory_bytes: int = 1 << 30,
) -> int:
    """Write the first 64 bits of the hash of each distinct span of a dump, sorted, little-endian; return how many.

    Later dumps take it (`np.memmap(file, "<u8")`) as `published`; arrays of several dumps are merged by sorting.
    """
    rows = documents.lazy()
    written = 0
    with _partition(rows, scratch, _KEY, memory_bytes) as partitions, file.open("wb") as output:
        for _, spans in _stream_spans(rows, settings):
            partitions.append(spans.hashes[:, 0].astype(_KEY))
        for records in partitions.read_sorted():
            distinct = np.unique(records["key"])
            distinct.tofile(output)
            written += len(distinct)
    return written


def _partition(rows: pl.LazyFrame, scratch: Path, record: np.dtype[Any], memory_bytes: int) -> KeyPartitions:
    size = pl.col("text").str.len_chars().cast(pl.Int64)
    spans = rows.select((size // _TYPICAL_CHARACTERS + 1).sum()).collect().item()
    return KeyPartitions(scratch, "lines", record, count_partitions(spans, 4 * record.itemsize, memory_bytes))


def _stream_spans(rows: pl.LazyFrame, settings: LineSettings) -> Iterator[tuple[NDArray[np.int64], TextSpans]]:
    """Yield the ranks of some documents and their spans."""
    columns = ["rank", "text", *(["unit_starts"] if "unit_starts" in rows.collect_schema() else [])]
    wanted = rows.select(columns).filter(pl.col("text") != "")
    for batch in wanted.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
        parts = pl.col("text").str.len_chars().cast(pl.Int64).cum_sum() // _BATCH_CHARACTERS
        for part in batch.with_columns(part=parts).partition_by("part", maintain_order=True):
            starts = part.get_column("unit_starts").to_list() if "unit_starts" in columns else None
            yield (
                part.get_column("rank").to_numpy(),
                cut_into_spans(part.get_column("text").to_list(), settings, starts),
            )


def _choose(
    partitions: KeyPartitions, settings: LineSettings, published: NDArray[np.uint64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (n, 6) rank, start, end of spans that go and of those kept for them, and (m, 3) of spans that stay."""
    removed, protected = [np.empty((0, 6), dtype=np.int64)], [np.empty((0, 3), dtype=np.int64)]
    for records in partitions.read_sorted("check", "rank", "start"):
        is_new = np.ones(len(records), dtype=np.bool_)
        is_new[1:] = (records["key"][1:] != records["key"][:-1]) | (records["check"][1:] != records["check"][:-1])
        heads = np.flatnonzero(is_new)
        group = np.cumsum(is_new) - 1
        is_often = np.diff(np.append(heads, len(records))) >= settings.least_occurrences
        is_known = _are_in(records["key"][heads], published)
        keeps = is_often & ~is_known & (settings.keep == "first")
        goes = (is_often | is_known)[group] & ~(is_new & keeps[group])
        places = np.stack([records["rank"], records["start"], records["end"]], axis=1)
        kept = np.where(keeps[group, None], places[heads[group]], _NO_PLACE)
        removed.append(np.concatenate([places, kept], axis=1)[goes])
        protected.append(places[heads[keeps]])
    return np.concatenate(removed), np.concatenate(protected)


def _are_in(keys: NDArray[np.uint64], published: NDArray[np.uint64] | None) -> NDArray[np.bool_]:
    if published is None or not len(published):
        return np.zeros(len(keys), dtype=np.bool_)
    places = np.minimum(np.searchsorted(published, keys), len(published) - 1)
    return np.asarray(published[places] == keys)


def _name_ranks(rows: pl.LazyFrame, ranks: NDArray[np.int64]) -> pl.DataFrame:
    """Return `rank` and `doc_id` of documents, by rank."""
    wanted = pl.LazyFrame({"rank": np.unique(ranks)})
    named = rows.select(pl.col("rank").cast(pl.Int64), "doc_id").join(wanted, on="rank", how="semi")
    names = named.collect(engine="streaming").sort("rank", "doc_id")
    twice = names.filter(pl.col("rank").is_duplicated())
    if twice.height:
        raise SchemaError(
            f"Documents to compare: rank {twice.item(0, 'rank')} is given to {twice.item(0, 'doc_id')} and to "
            f"{twice.item(1, 'doc_id')}. Rank each document once, best first."
        )
    return names


def _verify(removed: NDArray[np.int64], names: pl.DataFrame, texts: Texts, settings: LineSettings) -> NDArray[np.int64]:
    """Return only those spans that are alike, white space apart, to the span kept for them."""
    from mmpipe.deduplication.line_kernels import normalize_units

    table = build_line_table(settings.dialect)

    def normalize(text: str) -> str:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        normal, _, _ = normalize_units(codes, np.array([0, len(text)], dtype=np.int64), table)
        return "".join(normal.tobytes().decode("utf-8", "surrogatepass").split())

    has_kept = removed[:, 3] != _NO_PLACE
    is_equal = np.ones(len(removed), dtype=np.bool_)
    ranks, doc_ids = names.get_column("rank").to_numpy(), names.get_column("doc_id")
    # neighbours in the order of the kept document share its text
    compared = np.flatnonzero(has_kept)[np.argsort(removed[has_kept, 3], kind="stable")]
    for begin in range(0, len(compared), _BATCH_PAIRS):
        batch = compared[begin : begin + _BATCH_PAIRS]
        owners = doc_ids.gather(np.searchsorted(ranks, removed[batch][:, [0, 3]].ravel())).to_list()
        found = _read(texts, sorted(set(owners)))
        for row, doc_id, kept_doc_id in zip(batch.tolist(), owners[::2], owners[1::2], strict=True):
            _, start, end, _, kept_start, kept_end = removed[row].tolist()
            kept = found[kept_doc_id][kept_start:kept_end]
            is_equal[row] = normalize(found[doc_id][start:end]) == normalize(kept)
    return removed[is_equal]


def _read(texts: Texts, doc_ids: list[str]) -> dict[str, str]:
    if isinstance(texts, pl.DataFrame):
        return dict(texts.filter(pl.col("doc_id").is_in(doc_ids)).select("doc_id", "text").iter_rows())
    return texts(doc_ids)


def _describe(removed: NDArray[np.int64], protected: NDArray[np.int64], names: pl.DataFrame) -> pl.DataFrame:
    """Return LINE_SPANS: of each span that goes what no earlier one and none that stays has."""
    from mmpipe.deduplication.line_kernels import cut_around

    removed = removed[np.lexsort(removed[:, 2::-1].T)]
    protected = protected[np.lexsort(protected[:, 2::-1].T)]
    pieces, owners = cut_around(np.ascontiguousarray(removed[:, :3]), protected)
    chosen = removed[owners]
    kept = pl.DataFrame(
        {
            "rank": chosen[:, 0],
            "start": pieces[:, 0],
            "end": pieces[:, 1],
            "kept_rank": chosen[:, 3],
            "kept_start": chosen[:, 4],
            "kept_end": chosen[:, 5],
        }
    )
    has_kept = pl.col("kept_rank") != _NO_PLACE
    return (
        kept.join(names, on="rank", how="left")
        .join(names.rename({"rank": "kept_rank", "doc_id": "kept_doc_id"}), on="kept_rank", how="left")
        .with_columns(pl.when(has_kept).then(pl.col(name)).alias(name) for name in ("kept_start", "kept_end"))
        .select(list(LINE_SPANS))
        .match_to_schema(LINE_SPANS)
        .sort("doc_id", "start")
    )
