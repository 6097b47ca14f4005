"""The released datasets in Dagster: over all dumps, following by themselves when a dump's datasets change."""

from __future__ import annotations

from mmpipe.assets.automation import FOLLOW_ALL_DUMPS
from mmpipe.assets.stages import Dressing
from mmpipe.lanes.release import RELEASE_LANE

#: How each asset is shown and scheduled.
RELEASE_DRESSING = {
    stage.table.name: Dressing("release", ("parquet", "huggingface"), automation=FOLLOW_ALL_DUMPS)
    for stage in RELEASE_LANE
}

RELEASE_ASSETS = [(stage, RELEASE_DRESSING[stage.table.name]) for stage in RELEASE_LANE]
