"""Signs documents for near-duplicate search: word shingles, MinHash, and one key per band."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.deduplication.exact import hash_exactly
from mmpipe.deduplication.normalization import build_character_table
from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text import TEXT_SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

# code points handled at once: about 100 MB of working arrays
_BATCH_CHARACTERS = 8_000_000


@dataclass(frozen=True, slots=True)
class MinHashSettings:
    """How near-duplicates are looked for and what counts as one.

    The defaults are RefinedWeb's: 9,000 hashes of word 5-grams in 450 bands of 20 (arXiv 2306.01116, App. G.3.1; the
    "20 buckets of 450" of its §3.3 would match nothing), verified at Jaccard 0.8 as in Lee et al. (arXiv 2107.06499,
    §4.2). FineWeb's are `bands=14, rows=8, verify_jaccard=None` (arXiv 2406.17557, App. E.1).

    Attributes:
        shingle_words: words per shingle.
        bands: band keys per document; two documents that share one are compared.
        rows: hashes per band. A pair of Jaccard s shares a band with probability 1 - (1 - s^rows)^bands.
        seed: of the permutations.
        verify_jaccard: exact Jaccard of the shingle sets from which a compared pair are near-duplicates; None takes
            every compared pair for near-duplicates.
    """

    shingle_words: int = 5
    bands: int = 450
    rows: int = 20
    seed: int = 1
    verify_jaccard: float | None = 0.8

    def __post_init__(self) -> None:
        for name in ("shingle_words", "bands", "rows"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"MinHash settings: {name} must be at least 1, not {getattr(self, name)}.")
        if self.verify_jaccard is not None and not 0 < self.verify_jaccard <= 1:
            raise ConfigurationError(
                f"MinHash settings: verify_jaccard must be above 0 and at most 1, or null, not {self.verify_jaccard}."
            )

    @property
    def signature_digest(self) -> str:
        """Digest of what the band keys depend on; keys of different digests never match and must not be compared."""
        return digest_settings({name: value for name, value in asdict(self).items() if name != "verify_jaccard"})


@lru_cache(maxsize=4)
def make_permutations(count: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return multipliers (odd) and increments of `count` permutations of 32-bit integers, as datasketch draws them.

    So signatures can be compared with `datasketch.MinHash(num_perm=count, seed=seed)` whatever made them; a test holds
    the first permutations to their values, because stored signatures would not survive another draw.
    """
    from datasketch import MinHash

    multipliers, increments = MinHash(num_perm=count, seed=seed).permutations
    return multipliers, increments


def shingle_texts(texts: Sequence[str], shingle_words: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the sorted distinct 64-bit shingle hashes of each text, end to end, and (texts + 1,) where they begin.

    Words are runs of letters, digits and marks after folding (`normalization.build_character_table`). A text of fewer
    words than a shingle is one shingle of all of them; a text without words has none.
    """
    import numpy as np

    from mmpipe.deduplication.minhash_kernels import shingle_documents

    texts = [text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text) for text in texts]
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return shingle_documents(codes, offsets, build_character_table(), shingle_words)


def sign_documents(frame: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    """Return TEXT_SIGNATURES rows for documents, in their order.

    Every row depends on its own text and the settings alone, so shards may be cut anywhere.

    Args:
        frame: `doc_id`, `dump`, `text` (not null), `date` (nullable, ISO 8601).
        settings: of the whole corpus; the digest is stored in each row.
    """
    parts = [_sign_batch(batch, settings) for batch in _cut_batches(frame)]
    return TEXT_SIGNATURES.conform(pl.concat(parts) if parts else TEXT_SIGNATURES.make_empty())


def _sign_batch(batch: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    import numpy as np

    from mmpipe.deduplication.minhash_kernels import compute_band_keys

    texts = batch.get_column("text").to_list()
    shingles, starts = shingle_texts(texts, settings.shingle_words)
    counts = np.diff(starts)
    multipliers, increments = make_permutations(settings.bands * settings.rows, settings.seed)
    keys = compute_band_keys(shingles, starts, multipliers, increments, settings.bands)
    # a text without words is nobody's near-duplicate: it gets no keys
    packed = [row.tobytes() if count else b"" for row, count in zip(keys.astype("<u8"), counts, strict=True)]
    return batch.select(
        "doc_id",
        "dump",
        hash_exactly(texts),
        pl.Series("band_keys", packed, dtype=pl.Binary),
        pl.lit(settings.signature_digest).alias("signature_settings"),
        pl.Series("shingle_count", counts, dtype=pl.Int64),
        pl.col("text").str.len_chars().cast(pl.Int64).alias("text_chars"),
        "date",
    )


def _cut_batches(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield consecutive slices of at most about _BATCH_CHARACTERS characters of text (always at least one row)."""
    if frame.is_empty():
        return
    running = pl.col("text").str.len_chars().cast(pl.Int64).cum_sum() // _BATCH_CHARACTERS
    yield from (
        frame.select("doc_id", "dump", "text", "date")
        .with_columns(batch=running)
        .partition_by("batch", maintain_order=True, include_key=False)
    )
