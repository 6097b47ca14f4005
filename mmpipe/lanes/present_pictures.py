"""Reads the pictures of kept pairs that are still there, and tells those that vanished or became others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ShardError
from mmpipe.lanes.images import read_pair_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.storage.lake import Dataset, Lake

#: Why the picture of a kept pair cannot be had any more.
VANISHED, CHANGED = "vanished_image", "changed_image"
#: Pairs of which no picture can be read lost their dump, not their pictures.
_OUTAGE_PAIRS = 8


def read_present(pairs: pl.DataFrame, lake: Lake, cache_folder: str) -> dict[str, bytes]:
    """Return the bytes of the pairs whose record or cached file is still there."""
    try:
        return read_pair_images(lake, pairs, cache_folder)
    except (ShardError, OSError):
        if pairs.height == 1:
            return {}
        # one record that is gone must not take its neighbours along
        half = pairs.height // 2
        return read_present(pairs[:half], lake, cache_folder) | read_present(pairs[half:], lake, cache_folder)


def find_picture_fault(data: bytes | None, sha256: str) -> str | None:
    """Return why bytes are not the picture that was judged: VANISHED, CHANGED, or None if they are."""
    if data is None:
        return VANISHED
    return None if hashlib.sha256(data).hexdigest() == sha256 else CHANGED


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures that instructions name.

    Attributes:
        files: those that are still what was judged, columns `release.conversations.IMAGE_FILES`.
        faults: fault and pair of the first lost picture, by the instruction_id of each that lost one.
    """

    files: pl.DataFrame
    faults: Mapping[str, tuple[str, str]]


def find_pictures(instructions: pl.DataFrame, pairs: Dataset, lake: Any, cache_folder: str) -> Pictures:
    """Return the files of the instructions' pictures, and which instructions lost one.

    A picture is lost where its bytes are gone or others, or its pair is kept no more.

    Args:
        instructions: with columns `instruction_id` and `images`, of pair ids.
        pairs: filtered_image_pairs of the same dump.
        lake: where dumps are recorded.
        cache_folder: of fetched pictures.

    Raises:
        ShardError: no picture of many can be read: the crawl is away, which is an outage and no result.
    """
    from mmpipe.release.conversations import IMAGE_FILES

    named = instructions.lazy().select(pair_id=pl.col("images").explode()).drop_nulls().unique()
    rows = pairs.scan().join(named, on="pair_id", how="semi").collect().sort("pair_id")
    found = read_present(rows, lake, cache_folder)
    if rows.height >= _OUTAGE_PAIRS and not found:
        raise ShardError(
            f"{pairs.label}: none of {rows.height} pictures can be read; where the dump lies or the cache of "
            f"fetched pictures is away. Mount it, or name it anew, and run again."
        )
    known = rows.select("pair_id", "image_sha256").iter_rows()
    faults = {pair_id: find_picture_fault(found.get(pair_id), sha256) for pair_id, sha256 in known}
    lost: dict[str, tuple[str, str]] = {}
    for instruction_id, images in instructions.select("instruction_id", "images").iter_rows():
        first = next(((fault, pair) for pair in images if (fault := faults.get(pair, VANISHED))), None)
        if first is not None:
            lost[instruction_id] = first
    sound = rows.filter(pl.col("pair_id").is_in([pair_id for pair_id, fault in faults.items() if fault is None]))
    data = pl.Series([found[pair_id] for pair_id in sound.get_column("pair_id")], dtype=pl.Binary)
    path = pl.format("{}.{}", "image_sha256", "image_format")
    files = sound.select("pair_id", path=path).with_columns(bytes=data).select(IMAGE_FILES.names())
    return Pictures(files, lost)
