"""Says when datasets over all dumps follow: when a dump they read has changed, rests, and passed its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Sequence

#: For datasets that read every dump. Dagster's own `eager` waits for ever for a dump that never landed; these datasets
#: read what is there. And it does not look at checks: a dump with failed blocking checks must not reach a trainer.
FOLLOW_ALL_DUMPS = (
    dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
).with_label("follow_all_dumps")


def build_automation_sensor(assets: Sequence[str]) -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that asks these assets' conditions; on from the start: it never sees what landed before."""
    return dg.AutomationConditionSensorDefinition(
        "follow_new_data",
        target=dg.AssetSelection.assets(*assets),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Materializes datasets over all dumps when one of the dumps they read has changed.",
    )
