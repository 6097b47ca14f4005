"""Draws the pictures that reviewed instructions are about, so that people see what a response describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.present_pictures import find_picture_fault, read_present
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

#: Longer side of a picture in a review, pixels: enough to see what it shows, and a file of thousands stays small.
SIDE = 512
#: Kept pairs are within the recipe's own limit; this one bounds memory where a recipe has none.
_MOST_PIXELS = 150_000_000
#: Pictures whose files are in memory at once.
_READ_AT_ONCE = 256


def draw_pictures(rows: pl.DataFrame, lake: Lake, dump: str, cache_folder: str) -> pl.DataFrame:
    """Return item_id and `pictures`, lists of `data:image/jpeg` addresses; a picture that is gone is left out.

    Args:
        rows: instruction_id and images, of pair ids.
        lake: where the pairs of the dump are.
        dump: its name.
        cache_folder: of fetched pictures.
    """
    from mmpipe.release.thumbnails import draw_thumbnail

    named = rows.lazy().select(pair_id=pl.col("images").explode()).drop_nulls().unique()
    drawn: dict[str, str] = {}
    if named.collect().height:
        pairs = lake.dataset(FILTERED_IMAGE_PAIRS, dump).scan().join(named, on="pair_id", how="semi").collect()
        for part in pairs.sort("pair_id").iter_slices(_READ_AT_ONCE):
            found = read_present(part, lake, cache_folder)
            for pair_id, sha256 in part.select("pair_id", "image_sha256").iter_rows():
                data = found.get(pair_id)
                if data is None or find_picture_fault(data, sha256) is not None:
                    continue
                picture = draw_thumbnail(data, is_unsafe=False, max_pixels=_MOST_PIXELS, side=SIDE)
                if picture is not None:
                    drawn[pair_id] = picture
    shown = [
        (instruction_id, [drawn[pair_id] for pair_id in images or () if pair_id in drawn])
        for instruction_id, images in rows.select("instruction_id", "images").iter_rows()
    ]
    return pl.DataFrame(shown, schema={"item_id": pl.String, "pictures": pl.List(pl.String)}, orient="row")
