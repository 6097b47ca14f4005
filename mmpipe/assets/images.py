"""The image lane in Dagster: each stage of lanes.images with its group, kinds and pool."""

from __future__ import annotations

from mmpipe.assets.stages import Dressing
from mmpipe.lanes.image_lane import IMAGE_LANE

#: How each asset of the lane is shown and scheduled.
IMAGE_DRESSING = {
    "image_candidates": Dressing("images", ("parquet", "python")),
    "image_signals": Dressing("images", ("parquet", "pytorch"), pool="gpu"),
    "image_counts": Dressing("images"),
    "image_duplicates": Dressing("images", ("parquet", "polars"), pool="dedup_index"),
    "image_balance": Dressing("images"),
    "image_removals": Dressing("images"),
    "filtered_image_pairs": Dressing("images"),
    "image_captions": Dressing("images", ("parquet", "pytorch"), pool="gpu"),
    "grounded_pairs": Dressing("images", ("parquet", "pytorch"), pool="gpu"),
    "interleaved_candidates": Dressing("images", ("parquet", "python")),
    "interleaved_removals": Dressing("images"),
    "interleaved_documents": Dressing("images"),
}

IMAGE_ASSETS = [(stage, IMAGE_DRESSING[stage.table.name]) for stage in IMAGE_LANE]
