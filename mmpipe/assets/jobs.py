"""Names the jobs: each lane of one dump, the whole line of one dump, and the datasets released over all dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The job that the sensor requests for a new dump.
WHOLE_LINE = "crawl_to_datasets"


def build_jobs(groups: Mapping[str, Sequence[str]]) -> list[dg.UnresolvedAssetJobDefinition]:
    """Return the jobs.

    Args:
        groups: names of the assets of each group, per-dump ones under `crawl`, `text`, `images`, `instructions`,
            those over all dumps under `release`.
    """
    crawl, text, images, instructions = (list(groups[name]) for name in ("crawl", "text", "images", "instructions"))

    def per_dump(name: str, assets: list[str], description: str) -> dg.UnresolvedAssetJobDefinition:
        # partitioned by dump, as all its assets are
        return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)

    return [
        per_dump(WHOLE_LINE, crawl + text + images + instructions, "Everything that one dump goes through."),
        per_dump("text_lane", crawl + text, "Crawl index to deduplicated corpus, for one dump."),
        per_dump("image_lane", crawl + images, "Crawl index to image pairs and interleaved documents, for one dump."),
        per_dump("instruction_lane", instructions, "Synthesis, responses and judgements, for one dump."),
        dg.define_asset_job(
            "train_quality_classifier",
            dg.AssetSelection.assets("quality_classifier"),
            description="A quality classifier from two sets of texts, named in the run's config.",
        ),
        dg.define_asset_job(
            "release_datasets",
            dg.AssetSelection.assets(*groups["release"]),
            description="SFT, preference, pretraining, image-text and interleaved datasets over all dumps.",
        ),
    ]
