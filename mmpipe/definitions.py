"""The door: what Dagster loads. Assets of every lane, their checks, jobs, sensors and resources."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dagster as dg

from mmpipe.assets.automation import build_automation_sensor
from mmpipe.assets.checks import build_contract_checks
from mmpipe.assets.contracts import find_contract_folder, load_contracts
from mmpipe.assets.images import IMAGE_ASSETS
from mmpipe.assets.instructions import INSTRUCTION_ASSETS
from mmpipe.assets.jobs import build_jobs
from mmpipe.assets.partitions import DUMPS
from mmpipe.assets.patient_executor import patient_executor
from mmpipe.assets.quality_classifier import quality_classifier
from mmpipe.assets.release import RELEASE_ASSETS
from mmpipe.assets.resources import build_resources
from mmpipe.assets.sensors import build_dump_sensor
from mmpipe.assets.stages import build_asset
from mmpipe.assets.text import REPHRASING_ASSETS, TEXT_ASSETS
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.preference_methods import check_preferences
from mmpipe.lanes.synthesis_methods import check_methods

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What every step needs, loaded once per run.
PRELOADED = ("mmpipe.definitions", "mmpipe.assets.duckdb_datasource")


def build_definitions(environ: Mapping[str, str], **resources: Any) -> dg.Definitions:
    """Return everything Dagster loads.

    Args:
        environ: the environment; `docs/settings.md` lists the variables.
        resources: resources that take the place of those from the environment, as tests do.

    Raises:
        ConfigurationError: a recipe, a contract or a setting that cannot work.
    """
    recipe = load_recipe(environ.get("MMPIPE_RECIPE", "refinedweb"))
    check_methods(recipe)
    check_preferences(recipe)
    contracts = load_contracts(find_contract_folder(environ.get("MMPIPE_CONTRACTS")))
    lanes = [*TEXT_ASSETS, *REPHRASING_ASSETS, *IMAGE_ASSETS, *INSTRUCTION_ASSETS, *RELEASE_ASSETS]
    groups: dict[str, list[str]] = {}
    for stage, dressing in lanes:
        groups.setdefault(dressing.group, []).append(stage.table.name)
    return dg.Definitions(
        assets=[quality_classifier, *(build_asset(stage, dressing, recipe, contracts) for stage, dressing in lanes)],
        asset_checks=build_contract_checks(
            contracts, {stage.table.name: DUMPS if stage.is_per_dump else None for stage, _ in lanes}
        ),
        jobs=build_jobs(groups),
        sensors=[build_dump_sensor(), build_automation_sensor(groups["release"])],
        resources=build_resources(environ) | resources,
        # steps are forked from a process that has loaded the definitions and Great Expectations once (seconds each);
        # two steps at once leave cores for the shards of each
        executor=patient_executor.configured(
            {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": list(PRELOADED)}}}
        ),
    )


defs = build_definitions(os.environ)
