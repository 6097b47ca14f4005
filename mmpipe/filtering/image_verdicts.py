"""Judges pairs in two steps: by the header before a picture is decoded, and by all signals afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.judge import Funnel, count_funnel, judge
from mmpipe.tables.images import CAPTION_SIGNALS, HEADER_SIGNALS, PAGE_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.filtering.rules import Rule

_STATUS = "decode_status"


def decide_by_header(rules: Sequence[Rule]) -> Callable[[Mapping[str, Any]], bool]:
    """Return what says by the signals of a header whether decoding its picture can still matter.

    It cannot where the header already fails one of `rules`: the pair is removed whatever its pixels are. Rules on other
    signals than a header's, and those with limits by language, are left to the judge.

    Args:
        rules: of a recipe, in any order.

    Returns:
        For `image_signals.measure_pairs`, as `header_rules`. A picture that it leaves alone is `header_only`; limits
        that are loosened later ask for its pixels, so a recipe under trial had better decode all.
    """
    of_header = [rule for rule in rules if rule.signal in HEADER_SIGNALS and not rule.by_language]
    return lambda signals: all(_passes(rule, signals.get(rule.signal)) for rule in of_header)


def _passes(rule: Rule, value: Any) -> bool:
    """Return what `rule.passes()` says of one value."""
    if value is None:
        return False
    if rule.allowed is not None:
        return value in rule.allowed
    is_high_enough = rule.low is None or value > rule.low or (rule.low_is_kept and value == rule.low)
    return is_high_enough and (rule.high is None or value < rule.high or (rule.high_is_kept and value == rule.high))


def judge_images(signals: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Return one row per failed rule of each pair, as `judge.judge`, where some pictures were left undecoded.

    A pair that is `header_only` is held to the rules on header, caption and page alone: a signal that nobody measured
    is no reason. One that passes them all was measured under tighter limits than it is judged by; it gets one removal
    named `header_only`, since what was never measured passes nothing.

    Args:
        signals: rows of `tables.images.IMAGE_SIGNALS`.
        rules: rules in the order of the recipe.

    Returns:
        The columns of `tables.removals.describe_removals`, sorted by pair, then by rule order.

    Raises:
        SchemaError, RecipeError: as `judge.judge`.
    """
    is_header_only = pl.col(_STATUS) == "header_only"
    measured = judge(signals.filter(~is_header_only), rules, key="pair_id", status=_STATUS)
    undecoded = signals.filter(is_header_only)
    if not undecoded.height:
        return measured
    known = {*HEADER_SIGNALS, *CAPTION_SIGNALS, *PAGE_SIGNALS}
    cheap = [rule for rule in rules if rule.signal in known]
    failed = judge(undecoded.with_columns(pl.lit("ok").alias(_STATUS)), cheap, key="pair_id", status=_STATUS)
    unexplained = judge(undecoded.join(failed, on="pair_id", how="anti"), [], key="pair_id", status=_STATUS)
    return pl.concat([measured, failed, unexplained]).sort("pair_id", maintain_order=True)


def count_image_funnel(signals: pl.LazyFrame, rules: Sequence[Rule]) -> Funnel:
    """Return the funnel that `judge_images` would make, streamed but for the pairs left undecoded; see `count_funnel`.

    Args:
        signals: rows of `tables.images.IMAGE_SIGNALS`, with counts beside them where a rule limits one.
        rules: rules in the order of the recipe.
    """
    is_header_only = pl.col(_STATUS) == "header_only"
    measured = count_funnel(signals.filter(~is_header_only), rules, key="pair_id", status=_STATUS)
    limited = dict.fromkeys(rule.signal for rule in rules)
    languages = ["caption_language"] if any(rule.by_language for rule in rules) else []
    read = list(dict.fromkeys(["pair_id", _STATUS, *limited, *languages]))
    undecoded = signals.filter(is_header_only).select(read).collect(engine="streaming")
    removed = dict(measured.removed_by_rule)
    for rule, rows in judge_images(undecoded, rules).group_by("rule").len().iter_rows():
        removed[rule] = removed.get(rule, 0) + rows
    ordered = sorted(removed.items(), key=lambda item: (-item[1], item[0]))
    return Funnel(measured.rows_in + undecoded.height, measured.rows_kept, dict(ordered))
