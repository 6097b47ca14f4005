"""The released datasets in Dagster: over all dumps, following by themselves when a dump's datasets change."""

from __future__ import annotations

from mmpipe.assets.automation import FOLLOW_ALL_DUMPS
from mmpipe.assets.stages import Dressing
from mmpipe.lanes.image_release import IMAGE_RELEASE_LANE
from mmpipe.lanes.interleaved_release import INTERLEAVED_RELEASE
from mmpipe.lanes.release import RELEASE_LANE

#: Every released dataset.
RELEASED = (*RELEASE_LANE, *IMAGE_RELEASE_LANE, INTERLEAVED_RELEASE)

#: How each asset is shown and scheduled.
RELEASE_DRESSING = {
    stage.table.name: Dressing("release", ("parquet", "huggingface"), automation=FOLLOW_ALL_DUMPS) for stage in RELEASED
}

RELEASE_ASSETS = [(stage, RELEASE_DRESSING[stage.table.name]) for stage in RELEASED]
