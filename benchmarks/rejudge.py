"""A changed limit on the stored signals of a million documents: rows per second judged again, beside a plain loop.

    python benchmarks/rejudge.py [--quick] [--documents 1000000] [--cores 2]

The signals are those of all text families, drawn at random around each rule's limits so that most rules take one or
two in a hundred, and lie in Parquet files as a run leaves them. For every recipe with text rules: `count_funnel`
over the files (what `mmpipe judge` shows), and `judge` in memory (the removals themselves), after one limit has moved.
The peer is what a filter's own code does: each rule asked of each document in Python, on a hundredth of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import pin_cores, print_result, print_table

from mmpipe.errors import RecipeError
from mmpipe.filtering.judge import count_funnel, judge
from mmpipe.filtering.recipes import Recipe, list_recipes, load_recipe
from mmpipe.filtering.rules import Rule, set_limit
from mmpipe.tables.text_signals import TEXT_SIGNALS

FILES = 8


def draw_signals(count: int, recipes: list[Recipe]) -> pl.DataFrame:
    """Return signals around the limits of the recipes' rules."""
    chooser = np.random.default_rng(1)
    limits: dict[str, list[Rule]] = {}
    for recipe in recipes:
        for rule in recipe.text.rules:
            limits.setdefault(rule.signal, []).append(rule)
    # scores of models lie in a table of their own; here they stand beside the signals, as the rules see them
    numbers = [column.name for column in TEXT_SIGNALS.columns if column.dtype == pl.Float64]
    numbers += [
        name for name, rules in limits.items() if name not in TEXT_SIGNALS.column_names and not rules[0].allowed
    ]
    columns = {name: draw_values(count, limits.get(name, []), chooser) for name in numbers}
    return pl.DataFrame(columns).with_columns(
        doc_id=pl.int_range(count).cast(pl.String).str.zfill(12),
        extraction_status=pl.Series(chooser.choice(["ok", "not_html"], count, p=[0.97, 0.03])),
        language=pl.Series(chooser.choice(["en", "de", "fr"], count, p=[0.9, 0.05, 0.05])),
    )


def draw_values(count: int, rules: list[Rule], chooser: np.random.Generator) -> np.ndarray:
    share = chooser.random(count)
    lows = [rule.low for rule in rules if rule.low is not None]
    highs = [rule.high for rule in rules if rule.high is not None]
    if not lows and not highs:
        return share
    low = max(lows, default=0.0)
    high = min((limit for limit in highs if limit >= low), default=max(2 * low, 1.0))
    if low == high:  # a count that must be 0
        return low + np.floor(share * 1.02)
    # one in a hundred below, one in a hundred above
    return low + (share * 1.02 - 0.01) * (high - low)


def move_limit(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    rule = next(rule for rule in rules if rule.high is not None or rule.low is not None)
    side = "high" if rule.high is not None else "low"
    return set_limit(rules, rule.name, side, getattr(rule, side) * 1.01 + 0.001)


def judge_plainly(rows: list[dict[str, object]], rules: tuple[Rule, ...]) -> int:
    kept = 0
    for row in rows:
        passes = row["extraction_status"] == "ok"
        for rule in rules:
            value = row[rule.signal]
            if rule.allowed is not None:
                passes &= value in rule.allowed
            else:
                passes &= value is not None and (rule.low is None or value >= rule.low)
                passes &= value is not None and (rule.high is None or value <= rule.high)
        kept += bool(passes)
    return kept


def load_all() -> list[Recipe]:
    recipes = []
    for name in list_recipes():
        try:
            recipe = load_recipe(name)
        except RecipeError as error:
            print(f"left out: {name}: {error}")
            continue
        if recipe.text.rules:
            recipes.append(recipe)
    return recipes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundred thousand documents")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    cores = pin_cores(options.cores)  # before polars counts them
    count = 100_000 if options.quick else options.documents
    recipes = load_all()
    signals = draw_signals(count, recipes)
    rows, slowest, plain_seconds = [], 0.0, 0.0
    sample = signals.head(count // 100).to_dicts()
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(signals.iter_slices(-(-count // FILES))):
            part.write_parquet(Path(folder) / f"part-{number}.parquet", compression="zstd")
        stored = pl.scan_parquet(folder)
        for recipe in recipes:
            rules = move_limit(recipe.text.rules)
            seconds = []
            for _ in range(3):
                begin = time.perf_counter()
                funnel = count_funnel(stored, rules, key="doc_id", status="extraction_status")
                middle = time.perf_counter()
                removals = judge(signals, rules, key="doc_id", status="extraction_status")
                seconds.append((middle - begin, time.perf_counter() - middle))
            funnel_seconds, judge_seconds = (min(side) for side in zip(*seconds, strict=True))
            begin = time.perf_counter()
            judge_plainly(sample, rules)
            plain = (time.perf_counter() - begin) * count / len(sample)
            slowest, plain_seconds = max(slowest, funnel_seconds), max(plain_seconds, plain)
            rows.append(
                [recipe.name, len(rules), funnel_seconds, judge_seconds, plain, funnel.rows_kept, removals.height]
            )
    print_table(["recipe", "rules", "funnel s", "removals s", "plain loop s", "kept", "removals"], rows)
    print_result(
        "rejudge",
        count / slowest,
        count / plain_seconds,
        "documents judged again/s",
        f"{count} rows of text_signals in Parquet, slowest of {len(rows)} recipes; peer: a Python loop over rules",
        cores,
        slowest_funnel_s=round(slowest, 3),
        slowest_removals_s=round(max(row[3] for row in rows), 3),
    )


if __name__ == "__main__":
    main()
