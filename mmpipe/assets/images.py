"""The image lane in Dagster: each stage of lanes.images with its group, kinds and pool."""

from __future__ import annotations

from mmpipe.assets.stages import Dressing
from mmpipe.lanes.images import IMAGE_LANE

#: How each asset of the lane is shown and scheduled.
IMAGE_DRESSING = {
    "image_candidates": Dressing("images", ("parquet", "python")),
    "image_signals": Dressing("images", ("parquet", "pytorch"), pool="gpu"),
    "image_removals": Dressing("images"),
    "filtered_image_pairs": Dressing("images"),
}

IMAGE_ASSETS = [(stage, IMAGE_DRESSING[stage.table.name]) for stage in IMAGE_LANE]
