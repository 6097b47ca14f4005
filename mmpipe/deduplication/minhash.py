"""Signs documents for near-duplicate search: shingles, MinHash, and one key per band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import polars as pl

from mmpipe.deduplication.exact import hash_exactly
from mmpipe.deduplication.shingles import Normalization, ShingleHash, Shingling, hash_shingles_of, shingle_texts
from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text import TEXT_SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MinHashSettings",
    "compute_band_keys",
    "compute_signatures",
    "make_permutations",
    "shingle_texts",
    "sign_documents",
]

Permutations = Literal["affine32", "affine64", "datatrove"]

# characters handled at once: about 30 MB of working arrays, which the allocator gives again to the next batch; larger
# ones come fresh from the system each time, which halves the speed
_BATCH_CHARACTERS = 1_000_000

# bytes of band keys of a batch, however short its texts are
_BATCH_KEY_BYTES = 1 << 28

# changes with the hashes themselves: keys made by another version never match
_HASH_VERSION = 2

#: Columns of TEXT_SIGNATURES that are made here.
_SIGNED = (
    "doc_id", "dump", "exact_hash", "band_keys", "signature_settings", "shingle_count", "text_chars", "date",
)  # fmt: skip

_DATATROVE_PRIME = (1 << 61) - 1


@dataclass(frozen=True, slots=True)
class MinHashSettings:
    """How near-duplicates are looked for and what counts as one; `minhash_presets.PRESETS` has those of the peers.

    The defaults are RefinedWeb's: 9,000 hashes of word 5-grams in 450 bands of 20 (arXiv 2306.01116, App. G.3.1; the
    "20 buckets of 450" of its §3.3 would match nothing), verified at Jaccard 0.8 as in Lee et al. (arXiv 2107.06499,
    §4.2).

    Attributes:
        shingle_words: words per shingle; null where shingles are of characters.
        bands: band keys per document; two documents that share one are compared.
        rows: hashes per band. A pair of Jaccard s shares a band with probability 1 - (1 - s^rows)^bands.
        seed: of the permutations.
        verify_jaccard: exact Jaccard of the shingle sets from which a compared pair are near-duplicates; None takes
            every compared pair for near-duplicates, as the peers do.
        shingle_characters: characters per shingle; null where shingles are of words.
        normalization: what does not count; see `shingles.Shingling`.
        short_texts: what becomes of texts of fewer units than a shingle; see `shingles.Shingling`.
        shingle_hash: see `shingles.Shingling`.
        permutations: `affine32` and `affine64` are datasketch's schemes of these names; `datatrove` is a * h + b in
            64 bits and then modulo 2^61 - 1, with datatrove's draw.
    """

    shingle_words: int | None = 5
    bands: int = 450
    rows: int = 20
    seed: int = 1
    verify_jaccard: float | None = 0.8
    shingle_characters: int | None = None
    normalization: Normalization = "unicode"
    short_texts: Literal["whole", "skip"] = "whole"
    shingle_hash: ShingleHash = "mix64"
    permutations: Permutations = "affine32"

    def __post_init__(self) -> None:
        for name in ("shingle_words", "shingle_characters", "bands", "rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"MinHash settings: {name} must be at least 1, not {value}.")
        if (self.shingle_words is None) == (self.shingle_characters is None):
            raise ConfigurationError(
                "MinHash settings: name either shingle_words or shingle_characters, and null for the other."
            )
        if self.permutations not in get_args(Permutations):
            raise ConfigurationError(
                f"MinHash settings: permutations must be one of {', '.join(get_args(Permutations))}, not "
                f"{self.permutations!r}."
            )
        if self.verify_jaccard is not None and not 0 < self.verify_jaccard <= 1:
            raise ConfigurationError(
                f"MinHash settings: verify_jaccard must be above 0 and at most 1, or null, not {self.verify_jaccard}."
            )
        _ = self.shingling  # refuses what cannot be

    @property
    def shingling(self) -> Shingling:
        """What documents are taken for, by the bands and in verification."""
        return Shingling(
            unit="words" if self.shingle_characters is None else "characters",
            size=self.shingle_characters or self.shingle_words or 0,
            normalization=self.normalization,
            short_texts=self.short_texts,
            hash=self.shingle_hash,
        )

    @property
    def signature_digest(self) -> str:
        """Digest of what the band keys depend on; keys of different digests never match and must not be compared."""
        return digest_settings(self.describe_signature())

    def describe_signature(self) -> dict[str, Any]:
        """Return what the band keys depend on, to be stored beside them and named when they do not fit."""
        settings = {name: value for name, value in asdict(self).items() if name != "verify_jaccard"}
        return settings | {"hash_version": _HASH_VERSION}


@lru_cache(maxsize=4)
def make_permutations(
    count: int, seed: int, permutations: Permutations = "affine32"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return multipliers and increments of `count` permutations, as datasketch or datatrove draws them.

    So signatures can be compared with `datasketch.MinHash(num_perm=count, seed=seed, scheme=permutations)` whatever
    made them, or with datatrove's; a test holds the first permutations to their values, because stored signatures
    would not survive another draw. Shapes: (count,), uint32 for `affine32`, else uint64.
    """
    import numpy as np

    if permutations == "datatrove":
        generator = np.random.RandomState(seed)
        return (
            generator.randint(1, _DATATROVE_PRIME, dtype=np.uint64, size=count),
            generator.randint(0, _DATATROVE_PRIME, dtype=np.uint64, size=count),
        )
    from datasketch import MinHash

    multipliers, increments = MinHash(num_perm=count, seed=seed, scheme=permutations).permutations
    return multipliers, increments


def compute_signatures(texts: Sequence[str], settings: MinHashSettings) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the signatures of texts, (texts, bands * rows), and how many distinct shingles each has, (texts,).

    The signature of a text without a shingle means nothing: the highest number everywhere. Signatures are uint32 for
    `affine32` permutations, else uint64. All of them are held: `sign_documents` makes band keys without holding them.
    """
    import numpy as np

    shingles, starts = hash_shingles_of(texts, settings.shingling)
    from mmpipe.deduplication import minhash_kernels

    drawn = make_permutations(settings.bands * settings.rows, settings.seed, settings.permutations)
    if settings.permutations == "affine32":
        return minhash_kernels.compute_signatures32(shingles, starts, *drawn), np.diff(starts)
    family = minhash_kernels.AFFINE64 if settings.permutations == "affine64" else minhash_kernels.MERSENNE61
    return minhash_kernels.compute_signatures64(shingles, starts, *drawn, family), np.diff(starts)


def compute_band_keys(texts: Sequence[str], settings: MinHashSettings) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return one key per band of each text's signature, (texts, bands), and its distinct shingles, (texts,)."""
    import numpy as np

    shingles, starts = hash_shingles_of(texts, settings.shingling)
    from mmpipe.deduplication import minhash_kernels

    drawn = make_permutations(settings.bands * settings.rows, settings.seed, settings.permutations)
    if settings.permutations == "affine32":
        return minhash_kernels.compute_band_keys32(shingles, starts, *drawn, settings.bands), np.diff(starts)
    family = minhash_kernels.AFFINE64 if settings.permutations == "affine64" else minhash_kernels.MERSENNE61
    return minhash_kernels.compute_band_keys64(shingles, starts, *drawn, family, settings.bands), np.diff(starts)


def sign_documents(frame: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    """Return the columns of TEXT_SIGNATURES that MinHash, exact comparison and ranking need, in the rows' order.

    Every row depends on its own text and the settings alone, so shards may be cut anywhere.

    Args:
        frame: `doc_id`, `dump`, `text` (not null), `date` (nullable, ISO 8601).
        settings: of the whole corpus; the digest is stored in each row.
    """
    parts = [_sign_batch(batch, settings) for batch in _cut_batches(frame, _BATCH_KEY_BYTES // (8 * settings.bands))]
    return pl.concat([TEXT_SIGNATURES.make_empty().select(_SIGNED), *parts])


def _sign_batch(batch: pl.DataFrame, settings: MinHashSettings) -> pl.DataFrame:
    texts = batch.get_column("text").to_list()
    keys, counts = compute_band_keys(texts, settings)
    # a text without a shingle is nobody's near-duplicate: it gets no keys
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


def _cut_batches(frame: pl.DataFrame, most_rows: int) -> Iterator[pl.DataFrame]:
    """Yield consecutive slices of at most about _BATCH_CHARACTERS characters of text (always at least one row)."""
    if frame.is_empty():
        return
    running = pl.col("text").str.len_chars().cast(pl.Int64).cum_sum() // _BATCH_CHARACTERS
    row = pl.int_range(pl.len()) // max(1, most_rows)
    yield from (
        frame.select("doc_id", "dump", "text", "date")
        .with_columns(batch=running, block=row)
        .partition_by("batch", "block", maintain_order=True, include_key=False)
    )
