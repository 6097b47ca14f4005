"""Cites what balance leaves out, as removals: the pair's draw, the chance it would have to be below, its subject."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.removals import IMAGE_REMOVALS

#: The rule behind each method of IMAGE_BALANCE.
BALANCE_RULES = {
    "queries": "metaclip_query_balance",
    "noun_phrases": "llava_noun_phrase_balance",
    "concepts": "mmpipe_concept_balance",
}


def cite_balance(balance: pl.DataFrame) -> pl.DataFrame:
    """Return a removal for each row of IMAGE_BALANCE that is not kept.

    `value` is the draw, `high` the chance that it is not below, `value_text` the pair's rarest subject.
    """
    return IMAGE_REMOVALS.conform(
        balance.filter(~pl.col("is_kept")).select(
            "pair_id",
            rule=pl.col("method").replace_strict(BALANCE_RULES, return_dtype=pl.String),
            signal=pl.lit("balance_draw"),
            value="draw",
            value_text="rarest_entry",
            low=pl.lit(None, dtype=pl.Float64),
            high="keep_probability",
            allowed=pl.lit(None, dtype=pl.List(pl.String)),
        )
    )
