"""The instruction lane in Dagster: each stage of lanes.instruction_lane with its group, kinds and pool."""

from __future__ import annotations

from mmpipe.assets.stages import Dressing
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE

#: How each asset of the lane is shown and scheduled. A teacher takes the device, be it ours or an endpoint's.
INSTRUCTION_DRESSING = {
    "instruction_candidates": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "synthesized_instructions": Dressing("instructions"),
    "instruction_contamination": Dressing("instructions", ("parquet", "numpy")),
    "instruction_reviews": Dressing("instructions"),
    "instruction_duplicates": Dressing("instructions", ("parquet", "numpy")),
    "instruction_removals": Dressing("instructions"),
    "responses": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "judgements": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "response_revisions": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "preference_pairs": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "preference_contamination": Dressing("instructions", ("parquet", "numpy")),
    "preference_removals": Dressing("instructions"),
}

INSTRUCTION_ASSETS = [(stage, INSTRUCTION_DRESSING[stage.table.name]) for stage in INSTRUCTION_LANE]
