"""Signs documents by SimHash and finds all pairs whose signatures differ in few bits."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from mmpipe.deduplication.key_partitions import KeyPartitions, count_partitions
from mmpipe.deduplication.normalization import CONTINUES, SEPARATES, TABLE_SIZE, VANISHES
from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BITS = 64

#: What `find_simhash_pairs` returns: ranks of two documents, and the share of bits on which they agree.
SIMHASH_PAIRS = pl.Schema({"better": pl.Int64, "worse": pl.Int64, "similarity": pl.Float64})

# code points handled at once: about 100 MB of working arrays
_BATCH_CHARACTERS = 8_000_000
_BATCH_ROWS = 1_000_000
# what a signature takes while one table of the search is sorted, all copies counted
_SEARCH_BYTES = 64
# a larger bucket is cut further instead of compared pair by pair
_MOST_MEMBERS = 4096

_RECORD = np.dtype([("key", "<u8"), ("rank", "<i8"), ("is_published", "u1"), ("signature", "<u8")])
_DISTINCT = np.dtype([("signature", "<u8"), ("rank", "<i8"), ("is_published", "u1")])


@dataclass(frozen=True, slots=True)
class SimHashSettings:
    """What is hashed and what counts as near.

    The defaults are those of ROOTS for English (Laurencon et al. 2022, section on deduplication of OSCAR; BigScience's
    self_deduplicate_en.yaml): windows of six words in lower case without punctuation, at most 4 of 64 bits different,
    looked for in 6 blocks. SimHash is close to a bag of words, so that long documents come out alike that are not:
    ROOTS discarded none of more than 6,000 characters for it, and left these to exact substrings.

    Attributes:
        unit: what a window is of: `word` (white space between) or `character` (a run of white space is one).
        window: units of a window; each window counts as often as it occurs.
        lowercase: whether case does not count.
        ignores_punctuation: whether punctuation (Unicode category P) is left out beforehand.
        blocks: into how many the signature is cut for the search; more than `most_bits`.
        most_bits: bits in which the signatures of near-duplicates differ at most.
        least_windows: texts with fewer have no signature and are left alone. (The peers give all texts shorter than a
            window the signature 0, so that they are each other's duplicates.)
        most_characters: texts with more have no signature and are left alone; None signs all.
    """

    unit: Literal["word", "character"] = "word"
    window: int = 6
    lowercase: bool = True
    ignores_punctuation: bool = True
    blocks: int = 6
    most_bits: int = 4
    least_windows: int = 1
    most_characters: int | None = 6000

    def __post_init__(self) -> None:
        if self.unit not in ("word", "character"):
            raise ConfigurationError(f"SimHash settings: unit must be word or character, not {self.unit!r}.")
        if min(self.window, self.least_windows) < 1:
            raise ConfigurationError("SimHash settings: window and least_windows must be at least 1.")
        if not 0 <= self.most_bits < self.blocks <= BITS:
            raise ConfigurationError(
                f"SimHash settings: blocks ({self.blocks}) must be more than most_bits ({self.most_bits}) and at most "
                f"{BITS}, or pairs would be missed."
            )


def sign_texts(texts: Sequence[str], settings: SimHashSettings | None = None) -> pl.Series:
    """Return the 64-bit SimHash of each text (Charikar 2002; Manku et al. 2007, section 2); null where it has none.

    Each window of the text votes with the bits of its hash. The vote is that of the `simhash` package that ROOTS used;
    hashes of windows are our own (it takes MD5), and the last window counts (it is left out there).
    """
    settings = settings or SimHashSettings()
    parts = [pl.Series("simhash", [], dtype=pl.UInt64)]
    begin = 0
    while begin < len(texts):
        end, characters = begin, 0
        while end < len(texts) and (end == begin or characters + len(texts[end]) <= _BATCH_CHARACTERS):
            characters += len(texts[end])
            end += 1
        parts.append(_sign_batch(texts[begin:end], settings))
        begin = end
    return pl.concat(parts)


def _sign_batch(texts: Sequence[str], settings: SimHashSettings) -> pl.Series:
    from mmpipe.deduplication.simhash_kernels import sign_many

    longest = settings.most_characters
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    is_short_enough = lengths >= 0 if longest is None else lengths <= longest
    read = [text if is_read else "" for text, is_read in zip(texts, is_short_enough, strict=True)]
    codes = np.frombuffer("".join(read).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths * is_short_enough)])
    table = build_word_table(settings.lowercase, settings.ignores_punctuation)
    signatures, windows = sign_many(codes, offsets, table, settings.unit == "word", settings.window)
    has_signature = pl.Series(windows >= settings.least_windows)
    signed = pl.select(pl.when(has_signature).then(pl.Series(signatures)).alias("simhash"))
    return signed.to_series().cast(pl.UInt64)


@lru_cache(maxsize=4)
def build_word_table(lowercase: bool, ignores_punctuation: bool) -> NDArray[np.uint32]:
    """Return for each code point below TABLE_SIZE what it is taken for: `action << 24 | code point`."""
    table = np.empty(TABLE_SIZE, dtype=np.uint32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        action = CONTINUES
        if character.isspace():
            action = SEPARATES
        elif ignores_punctuation and unicodedata.category(character)[0] == "P":
            action = VANISHES
        lowered = character.lower() if lowercase else character
        table[code] = (action << 24) | ord(lowered[0])
    return table


def find_simhash_pairs(
    signatures: pl.DataFrame | pl.LazyFrame,
    settings: SimHashSettings | None = None,
    *,
    scratch: Path,
    memory_bytes: int = 1 << 30,
) -> pl.DataFrame:
    """Return all pairs of documents whose signatures differ in at most `most_bits` bits: columns of SIMHASH_PAIRS.

    A signature is cut into blocks. Two that differ in k bits agree on all but k of them, so each choice of
    `blocks - most_bits` blocks is a table, in which signatures that agree there lie side by side (Manku et al. 2007,
    section 3): every pair is found, in the first table that holds it. A table's large buckets are cut in the same way
    along the other bits, as deep as it needs, so that no bucket is compared pair by pair because of its size.

    Documents of one signature are collapsed first: the best is compared for all of them. Each other has a pair with
    the best, and with whatever is better than the best and near; so the number of pairs grows with the copies, not
    with their square, and whoever loses its place for a better one leaves no copy behind.

    Args:
        signatures: `rank` (0 is the best; each once), `simhash` (nullable; these are left alone) and optionally
            `is_published`: two documents that are never make a pair.
        settings: blocks and bits.
        scratch: a folder for signatures, 25 bytes for each and 17 for each distinct one; all is removed.
        memory_bytes: for what is sorted at once; beside it, only pairs are in memory.
    """
    settings = settings or SimHashSettings()
    rows = signatures.lazy()
    if "is_published" not in rows.collect_schema():
        rows = rows.with_columns(is_published=pl.lit(value=False))
    rows = rows.select(pl.col("rank").cast(pl.Int64), pl.col("simhash").cast(pl.UInt64), "is_published").drop_nulls()
    distinct_file = scratch / "simhash_distinct.bin"
    try:
        copies = _collapse(rows, distinct_file, scratch, memory_bytes)
        distinct = np.memmap(distinct_file, dtype=_DISTINCT, mode="r") if distinct_file.stat().st_size else _NONE
        near = [pl.DataFrame(schema=SIMHASH_PAIRS), *_search_tables(distinct, settings, memory_bytes)]
    finally:
        distinct_file.unlink(missing_ok=True)
    pairs = pl.concat(near)
    # a copy of the worse document is near the better one too
    inherited = pairs.join(copies.select(worse="better", copy="worse"), on="worse").select(
        "better", worse="copy", similarity="similarity"
    )
    return pl.concat([pairs, copies, inherited]).filter(pl.col("better") < pl.col("worse")).sort("better", "worse")


_NONE = np.empty(0, dtype=_DISTINCT)


def _collapse(rows: pl.LazyFrame, file: Path, scratch: Path, memory_bytes: int) -> pl.DataFrame:
    """Write the best document of each signature into a file and return the pairs of the others with it."""
    from mmpipe.deduplication.simhash_kernels import mix_many

    count = int(rows.select(pl.len()).collect().item())
    copies = [pl.DataFrame(schema=SIMHASH_PAIRS)]
    partitions = KeyPartitions(scratch, "simhash", _RECORD, count_partitions(count, 4 * _RECORD.itemsize, memory_bytes))
    with partitions, file.open("wb") as output:
        for batch in rows.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False):
            records = np.empty(batch.height, dtype=_RECORD)
            records["signature"] = batch.get_column("simhash").to_numpy()
            records["key"] = mix_many(np.ascontiguousarray(records["signature"]))
            records["rank"] = batch.get_column("rank").to_numpy()
            records["is_published"] = batch.get_column("is_published").to_numpy()
            partitions.append(records)
        for records in partitions.read_sorted("rank"):
            is_best = np.ones(len(records), dtype=np.bool_)
            is_best[1:] = records["key"][1:] != records["key"][:-1]
            best = np.flatnonzero(is_best)[np.cumsum(is_best) - 1] if len(records) else np.empty(0, dtype=np.int64)
            is_copy = ~is_best & ~(records["is_published"] & records["is_published"][best]).astype(np.bool_)
            copies.append(_make_pairs(records["rank"][best[is_copy]], records["rank"][is_copy], 1.0))
            distinct = np.empty(int(is_best.sum()), dtype=_DISTINCT)
            for name in _DISTINCT.names or ():
                distinct[name] = records[name][is_best]
            distinct.tofile(output)
    return pl.concat(copies)


def _search_tables(distinct: NDArray[Any], settings: SimHashSettings, memory_bytes: int) -> Iterator[pl.DataFrame]:
    """Yield the near pairs of distinct signatures, table by table, each in parts that fit the memory."""
    masks = _choose_masks(~np.uint64(0), settings)
    parts = max(1, -(-len(distinct) * _SEARCH_BYTES // memory_bytes))
    for number, mask in enumerate(masks):
        for part in range(parts):
            members = _select_part(distinct, mask, part, parts)
            signatures = np.ascontiguousarray(members["signature"])
            found = list(_search(signatures, np.arange(len(signatures)), mask, masks[:number], ~mask, settings))
            if not found:
                continue
            one, other = np.concatenate(found).T
            ranks, is_published = members["rank"], members["is_published"].astype(np.bool_)
            counts = ~(is_published[one] & is_published[other])
            one, other = one[counts], other[counts]
            bits = np.bitwise_count(signatures[one] ^ signatures[other])
            low, high = np.minimum(ranks[one], ranks[other]), np.maximum(ranks[one], ranks[other])
            yield _make_pairs(low, high, 1.0 - bits / BITS)


def _select_part(distinct: NDArray[Any], mask: np.uint64, part: int, parts: int) -> NDArray[Any]:
    """Return the signatures whose key under a mask falls into one of several parts."""
    from mmpipe.deduplication.simhash_kernels import mix_many

    if parts == 1:
        return np.array(distinct)
    chosen = []
    for begin in range(0, len(distinct), _BATCH_ROWS):
        batch = np.array(distinct[begin : begin + _BATCH_ROWS])
        chosen.append(batch[mix_many(batch["signature"] & mask) % np.uint64(parts) == part])
    return np.concatenate(chosen)


def _search(
    signatures: NDArray[np.uint64],
    members: NDArray[np.int64],
    mask: np.uint64,
    earlier: NDArray[np.uint64],
    free: np.uint64,
    settings: SimHashSettings,
) -> Iterator[NDArray[np.int64]]:
    """Yield (pairs, 2) places of near signatures that agree under a mask and under none of the earlier ones.

    Args:
        signatures: distinct.
        members: places of those that are compared.
        mask: bits on which they are to agree.
        earlier: masks under which a pair was found before.
        free: bits on which they may differ still.
        settings: blocks and bits.
    """
    from mmpipe.deduplication.simhash_kernels import pair_equal_keys

    own = signatures[members]
    keys = own & mask
    order = np.argsort(keys)
    # with few free bits there are few distinct signatures, and nothing left to cut
    is_cut_further = int(free).bit_count() >= 2 * settings.blocks
    limit = _MOST_MEMBERS if is_cut_further else len(members)
    pairs, large = pair_equal_keys(own[order], keys[order], earlier, settings.most_bits, limit)
    if len(pairs):
        yield members[order[pairs]]
    if not len(large):
        return
    masks = _choose_masks(free, settings)
    for begin, end in large:
        bucket = members[order[begin:end]]
        for number, finer in enumerate(masks):
            known = np.concatenate([earlier, masks[:number]])
            yield from _search(signatures, bucket, finer, known, free & ~finer, settings)


def _choose_masks(free: np.uint64, settings: SimHashSettings) -> NDArray[np.uint64]:
    """Return a mask for each choice of `blocks - most_bits` of the blocks into which the free bits are cut."""
    places = [place for place in range(BITS) if int(free) >> place & 1]
    blocks = [sum(1 << int(place) for place in part) for part in np.array_split(places, settings.blocks)]
    chosen = combinations(blocks, settings.blocks - settings.most_bits)
    return np.array([sum(blocks) for blocks in chosen], dtype=np.uint64)


def _make_pairs(
    better: NDArray[np.int64], worse: NDArray[np.int64], similarity: NDArray[np.float64] | float
) -> pl.DataFrame:
    similarities = np.broadcast_to(np.asarray(similarity, dtype=np.float64), (len(better),))
    return pl.DataFrame({"better": better, "worse": worse, "similarity": similarities}, schema=SIMHASH_PAIRS)
