"""Finds pairs whose picture is one of an evaluation set, by lists of hashes of its pictures or files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.deduplication.hamming_join import find_nearest_hashes
from mmpipe.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: What `find_evaluation_images` returns: the pair, the hash that the list has, and the bits between the two pictures
#: (null where whole files are equal).
EVALUATION_HITS = pl.Schema({"pair_id": pl.String, "evaluation_hash": pl.String, "distance": pl.Int64})

_HEXADECIMAL = re.compile(r"[0-9a-f]*")
_DIGITS = {16: "phash", 32: "image_md5", 64: "image_sha256"}


@dataclass(frozen=True, slots=True)
class EvaluationHashes:
    """Hashes of evaluation images, sorted: perceptual ones, and those of whole files by the column they stand in."""

    phashes: NDArray[np.uint64]
    files: dict[str, list[str]]


def sort_evaluation_hashes(entries: Iterable[str]) -> EvaluationHashes:
    """Return the entries of lists by what they are: 16 digits a perceptual hash, 32 an MD5, 64 a SHA-256 of the file.

    Raises:
        ConfigurationError: an entry is none of these.
    """
    found: dict[str, set[str]] = {column: set() for column in _DIGITS.values()}
    for entry in entries:
        lowered = entry.strip().lower()
        column = _DIGITS.get(len(lowered))
        if column is None or not _HEXADECIMAL.fullmatch(lowered):
            raise ConfigurationError(
                f"Evaluation images: {entry[:80]!r} is no hash. 16 hexadecimal digits are a perceptual hash, 64 the "
                f"SHA-256 of a file, 32 its MD5."
            )
        found[column].add(lowered)
    phashes = np.array(sorted(int(value, 16) for value in found.pop("phash")), dtype=np.uint64)
    return EvaluationHashes(phashes, {column: sorted(values) for column, values in found.items() if values})


def parse_hashes(hashes: pl.Series, count: int = 1) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return (n, count) 64-bit numbers of hashes in hexadecimal, and (n,) which rows have any; the others are zeros.

    Args:
        hashes: `count` hashes of 16 digits, joined by spaces; null where there are none.
        count: of a row.

    Raises:
        SchemaError: a row has other than these digits.
    """
    has_hash = hashes.is_not_null().to_numpy()
    digits = hashes.drop_nulls().str.replace_all(" ", "", literal=True)
    wrong = digits.filter((digits.str.len_bytes() != 16 * count) | digits.str.contains("[^0-9a-fA-F]"))
    if len(wrong):
        raise SchemaError(
            f"{hashes.name}: {len(wrong)} rows do not hold {count} hashes of 16 hexadecimal digits, as {wrong[0]!r}."
        )
    numbers = np.zeros((len(hashes), count), dtype=np.uint64)
    packed = b"".join(digits.str.decode("hex").to_list())
    numbers[has_hash] = np.frombuffer(packed, dtype=">u8").reshape(-1, count)
    return numbers, has_hash


def find_evaluation_images(
    pairs: pl.DataFrame,
    variants: NDArray[np.uint64],
    has_hash: NDArray[np.bool_],
    evaluation: EvaluationHashes,
    distance: int,
) -> pl.DataFrame:
    """Return EVALUATION_HITS, one for each pair whose picture is of an evaluation set, in the order of the pairs.

    An equal file counts before a near picture, and of near pictures the nearest, then the smaller hash.

    Args:
        pairs: `pair_id` and the columns of files' hashes that the lists have (`image_sha256`, `image_md5`).
        variants: (n, v) perceptual hashes of each pair's picture: as it is, turned, without its border.
        has_hash: (n,) pairs that have them.
        evaluation: what is looked for.
        distance: bits in which a picture's hash may differ.

    Raises:
        SchemaError: a list has hashes of a kind that the pairs do not have.
    """
    matched = np.full(pairs.height, None, dtype=object)
    bits = np.full(pairs.height, -1, dtype=np.int64)
    for column in range(variants.shape[1] if len(evaluation.phashes) else 0):
        rows, found = find_nearest_hashes(variants[:, column], evaluation.phashes, distance)
        is_better = has_hash & (rows >= 0) & ((bits < 0) | (found < bits))
        bits[is_better] = found[is_better]
        matched[is_better] = [f"{int(value):016x}" for value in evaluation.phashes[rows[is_better]]]
    for name, hashes in evaluation.files.items():
        if name not in pairs.columns:
            raise SchemaError(
                f"Evaluation images are listed by {name.removeprefix('image_')} ({len(hashes)} hashes), which the "
                f"pairs do not have. List them by SHA-256 or by perceptual hash."
            )
        is_equal = pairs.get_column(name).is_in(hashes).fill_null(value=False).to_numpy()
        matched[is_equal] = pairs.get_column(name).to_numpy()[is_equal]
        bits[is_equal] = -1
    is_hit = np.array([value is not None for value in matched], dtype=np.bool_)
    distances = pl.Series("distance", bits[is_hit])
    return pl.DataFrame(
        {
            "pair_id": pairs.get_column("pair_id").filter(pl.Series(is_hit)),
            "evaluation_hash": pl.Series(matched[is_hit].tolist(), dtype=pl.String),
            "distance": distances.set(distances < 0, None),
        },
        schema=EVALUATION_HITS,
    )
