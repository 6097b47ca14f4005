"""Stands in for the line in tests of the command line: two assets per dump, one over all, the sensor, a pool."""

import json
import os
import time
from pathlib import Path

import dagster as dg

from mmpipe.assets.automation import FOLLOW_ALL_DUMPS, build_automation_sensor
from mmpipe.assets.jobs import WHOLE_LINE
from mmpipe.assets.partitions import DUMPS
from mmpipe.assets.patient_executor import patient_executor
from mmpipe.assets.resources import LakeResource
from mmpipe.assets.sensors import build_dump_sensor
from mmpipe.storage.commits import Manifest, write_manifest
from mmpipe.storage.dumps import read_dump


def count_run(lake: LakeResource, name: str) -> int:
    """Count a run in the lake and return how many there were."""
    place = Path(lake.root) / "ran" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as stream:
        stream.write("x")
    return len(place.read_text())


def publish_nothing(lake: LakeResource, asset: str, dump: str) -> None:
    """Leave the manifest of a dataset that has no rows."""
    place = Path(lake.root) / asset / f"dump={dump}" / "manifest.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(write_manifest(Manifest(asset, dump, "1", "", {}, ())))


@dg.asset(partitions_def=DUMPS, group_name="text", backfill_policy=dg.BackfillPolicy.multi_run(1))
def raw_crawl(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
    files = read_dump(lake.open(), context.partition_key).files
    count_run(lake, f"raw_crawl-{context.partition_key}")
    publish_nothing(lake, "raw_crawl", context.partition_key)
    return dg.MaterializeResult(metadata={"files": len(files)})


@dg.asset(deps=[raw_crawl], partitions_def=DUMPS, group_name="text", pool="gpu",
          backfill_policy=dg.BackfillPolicy.multi_run(1))  # fmt: skip
def text_signals(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[None]:
    if (Path(lake.root) / f"break-{context.partition_key}").exists():
        raise ValueError("a cause of its own")
    if (Path(lake.root) / f"hang-{context.partition_key}").exists():
        (Path(lake.root) / "hanging").write_text(str(os.getpid()))
        time.sleep(600)
    count_run(lake, f"text_signals-{context.partition_key}")
    publish_nothing(lake, "text_signals", context.partition_key)
    return dg.MaterializeResult()


@dg.asset(deps=[text_signals], automation_condition=FOLLOW_ALL_DUMPS, group_name="release")
def sft_dataset(lake: LakeResource) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"runs": count_run(lake, "sft_dataset")})


@dg.asset_check(asset=raw_crawl, blocking=True)
def has_files(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    verdict = Path(lake.root) / "verdict.json"
    return dg.AssetCheckResult(passed=json.loads(verdict.read_text()) if verdict.exists() else True)


defs = dg.Definitions(
    assets=[raw_crawl, text_signals, sft_dataset],
    asset_checks=[has_files],
    jobs=[dg.define_asset_job(WHOLE_LINE, dg.AssetSelection.assets(raw_crawl, text_signals))],
    sensors=[build_dump_sensor(), build_automation_sensor(["sft_dataset"])],
    resources={"lake": LakeResource(root=dg.EnvVar("MMPIPE_LAKE"))},
    executor=patient_executor,
)
