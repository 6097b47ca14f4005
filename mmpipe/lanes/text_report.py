"""Collects what a dump's text report shows: funnel, overlaps, histograms, languages, hosts, samples, cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from mmpipe.lanes.report_figures import (
    LISTED,
    SAMPLED_ROWS,
    Histogram,
    RuleCount,
    StageCost,
    count_overlaps,
    count_rules,
    draw_histogram,
    is_sampled,
    list_costs,
)
from mmpipe.tables.published import TEXT_TABLES
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_SCORES,
)
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.storage.lake import Dataset, Lake

#: Name of the page in the corpus's folder.
REPORT_FILE = "report.html"
SAMPLES_PER_RULE = 4
SNIPPET_CHARS = 280


@dataclass(frozen=True, slots=True)
class TextReport:
    """Everything the page shows; plain values only.

    Attributes:
        dump: its name.
        recipe: name of the recipe.
        recipe_yaml: the recipe as it was resolved.
        stages: in order.
        rules: most rows first, statuses of unreadable records included.
        overlaps: (rule, other rule, rows that both took), most first.
        histograms: of every limited signal.
        groups: title to rows of (name, pages with text, kept by the rules, in the corpus).
        samples: rule to documents it took, each with url, value, limit and the begin of the text.
        sampled_rows: rows that histograms and overlaps were drawn from.
        kept_words: white-space words of the corpus.
    """

    dump: str
    recipe: str
    recipe_yaml: str
    stages: tuple[StageCost, ...]
    rules: tuple[RuleCount, ...]
    overlaps: tuple[tuple[str, str, int], ...]
    histograms: tuple[Histogram, ...]
    groups: Mapping[str, tuple[tuple[str, int, int, int], ...]]
    samples: Mapping[str, tuple[Mapping[str, Any], ...]]
    sampled_rows: int
    kept_words: int

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all stages."""
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def core_hours(self) -> float:
        """Core-hours that the dump's text took."""
        return self.cpu_seconds / 3600

    @property
    def core_hours_per_billion_words(self) -> float | None:
        """Core-hours per billion white-space words of the corpus; None if nothing was kept."""
        return self.core_hours / self.kept_words * 1e9 if self.kept_words else None


def collect_text_report(lake: Lake, dump: str) -> TextReport:
    """Return the report of a dump whose text_removals are made; later stages are shown as far as they are.

    Raises:
        DatasetNotReady: the dump's removals, signals or texts are not made, or refused.
    """
    removals, signals = lake.dataset(TEXT_REMOVALS, dump), lake.dataset(TEXT_SIGNALS, dump)
    manifest = removals.require_manifest()
    signals.require_manifest()
    recipe_yaml = removals.folder.join("recipe.yaml").read_text()
    recipe = yaml.safe_load(recipe_yaml)
    share = min(1.0, SAMPLED_ROWS / max(manifest.rows_in, 1))
    return TextReport(
        dump=dump,
        recipe=recipe["name"],
        recipe_yaml=recipe_yaml,
        stages=tuple(list_costs(lake, dump, TEXT_TABLES)),
        rules=tuple(count_rules(removals, manifest, recipe["text"]["rules"], "doc_id")),
        overlaps=tuple(count_overlaps(removals, share, "doc_id")),
        histograms=tuple(_draw_histograms(lake, dump, recipe["text"]["rules"], share)),
        groups=_count_groups(lake, dump),
        samples=_pick_samples(lake, dump),
        sampled_rows=round(manifest.rows_in * share),
        kept_words=_count_words(lake.dataset(DEDUPED_CORPUS, dump)),
    )


def write_text_report(lake: Lake, dump: str) -> str:
    """Return the report of a dump as one self-contained HTML page; see `collect_text_report`."""
    from mmpipe.release.text_report import render_text_report

    report = collect_text_report(lake, dump)
    plain = asdict(report) | {
        "core_hours": report.core_hours,
        "core_hours_per_billion_words": report.core_hours_per_billion_words,
    }
    return render_text_report(plain, snippet_chars=SNIPPET_CHARS)


def describe_limits(lake: Lake, dump: str) -> tuple[list[Histogram], list[tuple[str, str, int]]]:
    """Return the histograms of all limited signals of a judged dump, and the rules that took the same rows."""
    removals = lake.dataset(TEXT_REMOVALS, dump)
    recipe = yaml.safe_load(removals.folder.join("recipe.yaml").read_text())
    share = min(1.0, SAMPLED_ROWS / max(removals.require_manifest().rows_in, 1))
    return _draw_histograms(lake, dump, recipe["text"]["rules"], share), count_overlaps(removals, share, "doc_id")


def _draw_histograms(lake: Lake, dump: str, rules: Sequence[Mapping[str, Any]], share: float) -> list[Histogram]:
    limited = [rule for rule in rules if not rule.get("allowed")]
    signals = {rule["rule"]: _find_signal(rule["rule"]) for rule in limited}
    names = list(dict.fromkeys(name for name in signals.values() if name))
    frame = lake.dataset(TEXT_SIGNALS, dump).scan()
    scores = lake.dataset(TEXT_SCORES, dump)
    if scores.find_manifest() is not None:
        frame = frame.join(scores.scan(), on="doc_id", how="left")
    is_readable = pl.col("extraction_status") == "ok"
    rows = frame.filter(is_readable & is_sampled("doc_id", share)).select(names).collect()
    histograms = []
    for name in names:
        limits = tuple(
            (rule["rule"], rule.get("low"), rule.get("high")) for rule in limited if signals[rule["rule"]] == name
        )
        histograms.append(draw_histogram(name, rows.get_column(name).cast(pl.Float64), limits))
    return histograms


def _find_signal(rule: str) -> str | None:
    from mmpipe.filtering.text_rules import TEXT_RULES

    known = TEXT_RULES.get(rule)
    return None if known is None or known.is_categorical else known.signal


def _count_groups(lake: Lake, dump: str) -> dict[str, tuple[tuple[str, int, int, int], ...]]:
    host = (
        pl.col("url").str.extract(r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)").str.to_lowercase()
    )
    return {
        "languages": _count_by(lake, dump, pl.col("language")),
        "hosts": _count_by(lake, dump, host),
    }


def _count_by(lake: Lake, dump: str, group: pl.Expr) -> tuple[tuple[str, int, int, int], ...]:
    """Count pages with text, documents that passed and documents of the corpus, by group; the largest groups only."""
    texts = lake.dataset(EXTRACTED_TEXT, dump).scan().filter(pl.col("text").is_not_null())
    counted = texts.group_by(group.alias("group")).agg(pl.len().alias("text"))
    for name, table in (("filtered", FILTERED_TEXT), ("corpus", DEDUPED_CORPUS)):
        dataset = lake.dataset(table, dump)
        if dataset.find_manifest() is None:
            counted = counted.with_columns(pl.lit(0, pl.UInt32).alias(name))
            continue
        kept = dataset.scan().group_by(group.alias("group")).agg(pl.len().alias(name))
        counted = counted.join(kept, on="group", how="left", nulls_equal=True)
    top = (
        counted.sort(["text", "group"], descending=[True, False]).head(LISTED).fill_null(0).collect(engine="streaming")
    )
    return tuple((group or "unknown", text, filtered, corpus) for group, text, filtered, corpus in top.iter_rows())


def _pick_samples(lake: Lake, dump: str) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Pick a few documents that each rule took: those with the smallest ids, which are digests and so say nothing."""
    removals = lake.dataset(TEXT_REMOVALS, dump).scan()
    picked = removals.group_by("rule").agg(pl.col("doc_id").bottom_k(SAMPLES_PER_RULE)).explode("doc_id")
    values = removals.join(picked, on=["rule", "doc_id"], how="semi")
    texts = lake.dataset(EXTRACTED_TEXT, dump).scan()
    rows = (
        values.join(texts.select("doc_id", "url", "text", "extraction_detail"), on="doc_id", how="left")
        .with_columns(pl.col("text").str.slice(0, SNIPPET_CHARS))
        .sort("rule", "doc_id")
        .collect()
    )
    columns = ["doc_id", "url", "value", "value_text", "text", "extraction_detail"]
    return {
        str(rule): tuple(part.select(columns).to_dicts())
        for (rule,), part in rows.partition_by("rule", as_dict=True, maintain_order=True).items()
    }


def _count_words(corpus: Dataset) -> int:
    if corpus.find_manifest() is None:
        return 0
    return int(
        corpus.scan().select(pl.col("text").str.count_matches(r"\S+").sum()).collect(engine="streaming").item() or 0
    )
