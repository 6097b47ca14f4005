"""What a removal is: one row and one rule it failed, with measured value and limit. All failing rules are kept."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table


def describe_removals(name: str, key: str, judged: str) -> Table:
    """Return the table of removals of one lane.

    Args:
        name: the asset, for example `text_removals`.
        key: the id column of the rows that are judged, for example `doc_id`.
        judged: the asset whose rows are judged, for example `text_signals`.
    """
    return Table(
        name=name,
        description=f"Every rule that a row of {judged} failed, with the measured value and the limit it broke.",
        key=(key, "rule"),
        columns=(
            Column(key, pl.String, "The row that was removed.", parents=(f"{judged}.{key}",)),
            Column("rule", pl.String, "The rule that took it, `{paper}_{signal}`."),
            Column("signal", pl.String, "The signal the rule limits."),
            Column(
                "value", pl.Float64, "Measured value; null if it is a word or could not be measured.", nullable=True
            ),
            Column("value_text", pl.String, "Measured value of a categorical signal.", nullable=True),
            Column("low", pl.Float64, "Lowest value the rule keeps.", nullable=True),
            Column("high", pl.Float64, "Highest value the rule keeps.", nullable=True),
            Column("allowed", pl.List(pl.String), "Values that a categorical rule keeps.", nullable=True),
        ),
    )


TEXT_REMOVALS = describe_removals("text_removals", "doc_id", "text_signals")
IMAGE_REMOVALS = describe_removals("image_removals", "pair_id", "image_signals")
INSTRUCTION_REMOVALS = describe_removals("instruction_removals", "instruction_id", "instruction_candidates")
PREFERENCE_REMOVALS = describe_removals("preference_removals", "pair_id", "preference_pairs")
