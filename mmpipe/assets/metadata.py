"""Tells the web UI what a run made: row counts, the funnel, a sample of rows, a plot, the ledger's figures."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from mmpipe.assets.column_metadata import describe_lineage
from mmpipe.filtering.switches import explain_switch
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import TEXT_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.report_figures import Histogram
    from mmpipe.lanes.row_prices import RowPrice
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production

SAMPLE_ROWS = 5
#: Rows of more columns than this are shown side by side, a column to a line: the UI's dialog cuts wide tables.
WIDE_COLUMNS, WIDE_ROWS = 8, 3
CELL_CHARS = 120
BARS = 14
OVERLAPS = 12
#: How tallies are named that count something else than rows, and stand in the table of counts alone.
_NOT_ROWS = ("tokens", "requests", "requests_cached", "cost", "seconds", "bytes")


def describe_production(dataset: Dataset, production: Production, recipe: Recipe) -> dict[str, Any]:
    """Return the metadata of a materialization, for the overview and the plots tab."""
    from mmpipe.lanes.image_report import SUMMARY_FILE
    from mmpipe.lanes.row_prices import price_methods, price_rows
    from mmpipe.lanes.text_report import REPORT_FILE, describe_limits

    manifest = production.manifest
    rows_key = "dagster/row_count" if dataset.dump is None else "dagster/partition_row_count"
    off = explain_switch(dataset.table.name, recipe)
    metadata: dict[str, Any] = {"off": dg.MetadataValue.md(off)} if off else {}
    metadata |= {
        rows_key: manifest.rows_out,
        "dagster/uri": dataset.folder.url,
        "dagster/column_lineage": describe_lineage(dataset.table),
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "rows_removed": manifest.rows_removed,
        "share_removed": round(manifest.rows_removed / manifest.rows_in, 4) if manifest.rows_in else 0.0,
        "funnel": dg.MetadataValue.md(write_funnel(manifest.rows_in, manifest.rows_out, manifest.removed_by_rule)),
        "sample": dg.MetadataValue.md(write_sample(read_sample(dataset))),
        "shards_made": production.made_shards,
        "shards_resumed": production.resumed_shards,
        "cpu_seconds": round(sum(commit.cpu_seconds for commit in manifest.commits), 2),
        "device_seconds": round(sum(commit.device_seconds for commit in manifest.commits), 2),
        "bytes": sum(commit.bytes for commit in manifest.commits),
        "resolved_recipe": dg.MetadataValue.md(f"```yaml\n{recipe.dump()}```"),
    }
    price = price_rows(manifest)
    if price is not None:
        if price.accepted != manifest.rows_out:
            # candidates are kept whole, refused ones too
            metadata |= {"rows_accepted": price.accepted, "rows_refused": price.candidates - price.accepted}
        metadata["missing_rows"] = price.missing
        if price.tokens_per_row is not None and price.cost_per_row is not None:
            metadata["tokens_per_row"] = round(price.tokens_per_row, 2)
            metadata["cost_per_row"] = price.cost_per_row
        metadata["price_by_method"] = dg.MetadataValue.md(write_prices(price_methods(manifest)))
    if manifest.counts:
        metadata["counts"] = dg.MetadataValue.md(write_counts(manifest.counts))
    if dataset.table is TEXT_REMOVALS and dataset.dump is not None:
        histograms, overlaps = describe_limits(dataset.find_lake(), dataset.dump)
        metadata["limits"] = dg.MetadataValue.md(f"![where the limits cut]({draw_limits(histograms)})")
        metadata["overlaps"] = dg.MetadataValue.md(write_overlaps(overlaps))
    if dataset.folder.join(REPORT_FILE).is_file():
        metadata["report"] = dg.MetadataValue.path(dataset.folder.join(REPORT_FILE).url)
    if dataset.folder.join(SUMMARY_FILE).is_file():
        metadata["pictures"] = dg.MetadataValue.md(dataset.folder.join(SUMMARY_FILE).read_text())
    if dataset.table is SYNTHESIZED_INSTRUCTIONS:
        metadata |= describe_diversity(dataset)
    bars = manifest.removed_by_rule or manifest.counts or {"rows": manifest.rows_out}
    if any(bars.values()):
        title = "rows removed by rule" if manifest.removed_by_rule else "counts"
        shown = bars if manifest.removed_by_rule else choose_comparable(bars)
        metadata["plot"] = dg.MetadataValue.md(f"![{title}]({draw_bars(shown, f'{dataset.label}: {title}')})")
    return metadata


def describe_diversity(instructions: Dataset) -> dict[str, Any]:
    """Return how varied instructions are: rows and words by method, and their verbs and nouns as two rings."""
    from mmpipe.lanes.instruction_report import count_shown, iterate_instructions
    from mmpipe.release.verb_noun_plot import LEAST_VERBS, draw_verb_nouns

    # of a whole dump, numbers alone are held
    words = pl.col("instruction", "response").str.count_matches(r"\S+")
    rows = instructions.scan().select("method", words.name.suffix("_words")).collect(engine="streaming")
    by_method = rows.group_by("method").agg(
        pl.len().alias("rows"), pl.col("instruction_words", "response_words").median()
    )
    shown = count_shown(iterate_instructions(instructions))
    if shown.get_column("verb").n_unique() < LEAST_VERBS:
        told = f"{write_sample(shown.drop('method'))}\n\nA picture is drawn from {LEAST_VERBS} verbs on."
    else:
        picture = base64.b64encode(draw_verb_nouns(shown, rows.height, "png", size_inches=5.0)).decode()
        told = f"![verbs and nouns](data:image/png;base64,{picture})"
    return {
        "methods": dg.MetadataValue.md(write_sample(by_method.sort("rows", "method", descending=[True, False]))),
        "verbs_and_nouns": dg.MetadataValue.md(told),
    }


def write_funnel(rows_in: int, rows_out: int, removed_by_rule: Mapping[str, int]) -> str:
    """Return the funnel as a Markdown table: rows in, rows out, and rows per failing rule."""
    lines = ["| | rows | share of rows in |", "|---|---:|---:|", f"| **in** | {rows_in:,} | |"]
    for rule, rows in removed_by_rule.items():
        lines.append(
            f"| failed `{rule}` | {rows:,} | {rows / rows_in:.1%} |" if rows_in else f"| `{rule}` | {rows} | |"
        )
    share = f"{rows_out / rows_in:.1%}" if rows_in else ""
    return "\n".join([*lines, f"| **out** | {rows_out:,} | {share} |"])


def write_counts(counts: Mapping[str, float]) -> str:
    """Return tallies as a Markdown table."""
    return "\n".join(
        ["| what | how many |", "|---|---:|", *(f"| {name} | {count:,.10g} |" for name, count in counts.items())]
    )


def write_prices(prices: Sequence[RowPrice]) -> str:
    """Return what accepted rows cost as a Markdown table, one line per method."""
    head = ("shards of", "candidates", "accepted", "missing", "requests", "tokens per row", "cost per row")
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for price in prices:
        counted = (price.candidates, price.accepted, price.missing, price.requests)
        per_row = (
            "" if price.tokens_per_row is None else f"{price.tokens_per_row:,.1f}",
            "" if price.cost_per_row is None else f"{price.cost_per_row:,.6f}",
        )
        lines.append(f"| {price.method} | {' | '.join((*(f'{each:,}' for each in counted), *per_row))} |")
    return "\n".join(lines)


def read_sample(dataset: Dataset) -> pl.DataFrame:
    """Return a few rows for a person to look at, without reading the whole dataset."""
    return dataset.scan().head(SAMPLE_ROWS).collect()


def write_sample(rows: pl.DataFrame) -> str:
    """Return rows as a Markdown table with cells cut to a readable length; few rows side by side where it is wide."""
    if rows.is_empty():
        return "no rows"
    if rows.width > WIDE_COLUMNS:
        few = rows.head(WIDE_ROWS)
        lines = [
            f"| column |{''.join(f' row {place + 1} |' for place in range(few.height))}",
            f"|{'---|' * (few.height + 1)}",
        ]
        lines += [f"| {column.name} | {' | '.join(map(_write_cell, column))} |" for column in few]
        return "\n".join(lines)
    head = f"| {' | '.join(rows.columns)} |\n|{'---|' * rows.width}"
    return "\n".join([head, *(f"| {' | '.join(_write_cell(value) for value in row)} |" for row in rows.iter_rows())])


def choose_comparable(counts: Mapping[str, float]) -> dict[str, float]:
    """Return the tallies that one axis can show: rows; where none were counted, tokens; else all there are."""
    rows = {name: count for name, count in counts.items() if not name.endswith(_NOT_ROWS)}
    tokens = {name: count for name, count in counts.items() if name.endswith("tokens")}
    return next((chosen for chosen in (rows, tokens) if any(chosen.values())), dict(counts))


def draw_bars(counts: Mapping[str, float], title: str) -> str:
    """Return horizontal bars of the largest counts as a PNG data address (kept small: it lives in the event log)."""
    from matplotlib.figure import Figure

    largest = sorted(counts.items(), key=lambda item: item[1])[-BARS:]
    figure = Figure(figsize=(7.5, 0.8 + 0.3 * len(largest)), dpi=80, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh([name for name, _ in largest], [count for _, count in largest], color="#4f6bed")
    axes.bar_label(bars, fmt="{:,.10g}", padding=3, fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.set_xticks([])  # each bar says its count
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.margins(x=0.12)
    return _encode(figure)


def write_overlaps(overlaps: Sequence[tuple[str, str, int]]) -> str:
    """Return the pairs of rules that take the same rows as a Markdown table, most first."""
    if not overlaps:
        return "no two rules took the same row"
    rows = [f"| `{first}` | `{second}` | {both:,} |" for first, second, both in overlaps[:OVERLAPS]]
    return "\n".join(["| rule | other rule | rows both took |", "|---|---|---:|", *rows])


def draw_limits(histograms: Sequence[Histogram]) -> str:
    """Return a histogram of every limited signal, with its limits drawn in, as one PNG data address."""
    from matplotlib.figure import Figure

    columns = 4
    rows = max(1, -(-len(histograms) // columns))
    figure = Figure(figsize=(3 * columns, 1.7 * rows), dpi=60, layout="constrained")
    for number, histogram in enumerate(histograms):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.stairs(histogram.counts, histogram.edges, fill=True, color="#4f6bed")
        for _, *limits in histogram.limits:
            for limit in limits:
                if limit is not None and histogram.edges[0] <= limit <= histogram.edges[-1]:
                    axes.axvline(limit, color="#d9485f")
        axes.set_title(histogram.signal, fontsize=8, loc="left")
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return _encode(figure)


def _encode(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _write_cell(value: Any) -> str:
    if isinstance(value, bytes):
        text = f"{len(value)} bytes"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = _drop_bytes(value)
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= CELL_CHARS else text[: CELL_CHARS - 1] + "…"


def _drop_bytes(value: Any) -> str:
    if isinstance(value, pl.Series):
        value = value.to_list()
    if isinstance(value, list):
        return "[" + ", ".join(_drop_bytes(item) for item in value[:8]) + (", …]" if len(value) > 8 else "]")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_drop_bytes(item)}" for name, item in value.items()) + "}"
    return f"{len(value)} bytes" if isinstance(value, bytes) else "" if value is None else str(value)
