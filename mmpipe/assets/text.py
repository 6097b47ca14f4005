"""The text lane in Dagster: each stage of lanes.text with its group, kinds and pool."""

from __future__ import annotations

from mmpipe.assets.stages import Dressing
from mmpipe.lanes.rephrasing import REPHRASING_LANE
from mmpipe.lanes.text import TEXT_LANE

#: How each asset of the lane is shown and scheduled.
TEXT_DRESSING = {
    "raw_crawl": Dressing("crawl", ("parquet", "polars", "file")),
    "extracted_text": Dressing("text", ("parquet", "python")),
    "text_corrections": Dressing("text", ("parquet", "python")),
    "text_signals": Dressing("text", ("parquet", "polars", "numpy")),
    "text_scores": Dressing("text", ("parquet", "pytorch"), pool="gpu"),
    "text_removals": Dressing("text"),
    "filtered_text": Dressing("text"),
    "text_signatures": Dressing("text", ("parquet", "numpy")),
    # the order of dumps has one writer at a time
    "text_duplicates": Dressing("text", ("parquet", "duckdb"), pool="dedup_index"),
    "text_repeats": Dressing("text", ("parquet", "numpy"), pool="dedup_index"),
    "text_contamination": Dressing("text", ("parquet", "numpy")),
    "deduped_corpus": Dressing("text"),
}

TEXT_ASSETS = [(stage, TEXT_DRESSING[stage.table.name]) for stage in TEXT_LANE]

#: A teacher writes these, so they are made with the instructions.
REPHRASING_DRESSING = {
    "rephrased_candidates": Dressing("instructions", ("parquet", "openai", "huggingface"), pool="gpu"),
    "rephrased_removals": Dressing("instructions", ("parquet", "numpy")),
    "rephrased_documents": Dressing("instructions"),
}
REPHRASING_ASSETS = [(stage, REPHRASING_DRESSING[stage.table.name]) for stage in REPHRASING_LANE]
