"""Collects what a dump's image report shows: funnel, rules, overlaps, histograms, thumbnails, agreement, cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.lanes.image_samples import SHOWN_STATUSES, PairSample, PairSamples
from mmpipe.lanes.label_agreement import compare_labels
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
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import DECODE_STATUSES, FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.published import IMAGE_TABLES
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmpipe.lanes.label_agreement import LabelAgreement
    from mmpipe.storage.lake import Lake

#: The stages whose processor time a dump's pictures cost, in order.
STAGES = (RAW_CRAWL, *IMAGE_TABLES)
#: Name of the page in the folder of the kept pairs.
REPORT_FILE = "report.html"
#: Its figures as Markdown, beside it.
SUMMARY_FILE = "report.md"


@dataclass(frozen=True, slots=True)
class ImageReport:
    """Everything the page shows; plain values only.

    Attributes:
        dump: its name.
        recipe: name of the recipe.
        recipe_yaml: the recipe as it was resolved.
        stages: in order.
        rules: most rows first, statuses of unreadable pictures included.
        overlaps: (rule, other rule, rows that both took), most first.
        histograms: of every limited signal that was measured.
        groups: title to rows of (name, described pictures, kept pairs).
        kept: some kept pairs.
        samples: rule to pairs it took.
        sampled_rows: rows that histograms and overlaps were drawn from.
        judged: pairs that were judged.
        kept_pairs: pairs that passed.
        agreement: with a labelled sample, if one was given.
    """

    dump: str
    recipe: str
    recipe_yaml: str
    stages: tuple[StageCost, ...]
    rules: tuple[RuleCount, ...]
    overlaps: tuple[tuple[str, str, int], ...]
    histograms: tuple[Histogram, ...]
    groups: Mapping[str, tuple[tuple[str, int, int], ...]]
    kept: tuple[PairSample, ...]
    samples: Mapping[str, tuple[PairSample, ...]]
    sampled_rows: int
    judged: int
    kept_pairs: int
    agreement: LabelAgreement | None

    @property
    def core_hours(self) -> float:
        """Core-hours that the dump's pictures took, the reading of the crawl included."""
        return sum(stage.cpu_seconds for stage in self.stages) / 3600

    @property
    def device_hours(self) -> float:
        """Hours for which a model's device was held."""
        return sum(stage.device_seconds for stage in self.stages) / 3600


def collect_image_report(
    lake: Lake, dump: str, *, cache_folder: str = "", labels: pl.DataFrame | None = None
) -> ImageReport:
    """Return the report of a dump whose image_removals are made; later stages are shown as far as they are.

    Args:
        lake: where the datasets are.
        dump: its name.
        cache_folder: where fetched pictures are, for thumbnails.
        labels: a sample that people labelled, as `label_agreement.compare_labels` takes it.

    Raises:
        DatasetNotReady: the dump's candidates, signals or removals are not made, or refused.
        ConfigurationError: the labelled sample cannot be read.
    """
    removals, candidates = lake.dataset(IMAGE_REMOVALS, dump), lake.dataset(IMAGE_CANDIDATES, dump)
    manifest = removals.require_manifest()
    lake.dataset(IMAGE_SIGNALS, dump).require_manifest()
    judged = candidates.require_manifest().rows_out
    recipe_yaml = removals.folder.join("recipe.yaml").read_text()
    recipe = yaml.safe_load(recipe_yaml)
    rules = recipe["images"]["rules"]
    share = min(1.0, SAMPLED_ROWS / max(judged, 1))
    samples = PairSamples(lake, dump, cache_folder, recipe["images"])
    kept = lake.dataset(FILTERED_IMAGE_PAIRS, dump).find_manifest()
    taken = tuple(_say_limits(count_rules(removals, manifest, rules, "pair_id"), samples))
    return ImageReport(
        dump=dump,
        recipe=recipe["name"],
        recipe_yaml=recipe_yaml,
        stages=tuple(list_costs(lake, dump, STAGES)),
        rules=taken,
        overlaps=tuple(count_overlaps(removals, share, "pair_id")),
        histograms=tuple(_draw_histograms(lake, dump, rules, share)),
        groups=_count_groups(lake, dump),
        kept=samples.pick_kept(),
        samples=samples.pick_removed(),
        sampled_rows=round(judged * share),
        judged=judged,
        kept_pairs=kept.rows_out if kept is not None else judged - manifest.rows_removed,
        agreement=None if labels is None else _compare(lake, dump, labels, [rule.name for rule in taken]),
    )


def write_image_report(lake: Lake, dump: str, *, cache_folder: str = "", labels: pl.DataFrame | None = None) -> str:
    """Return the report of a dump as one self-contained HTML page; see `collect_image_report`."""
    from mmpipe.release.image_report import render_image_report

    return render_image_report(list_plain(collect_image_report(lake, dump, cache_folder=cache_folder, labels=labels)))


def save_image_report(lake: Lake, dump: str, *, cache_folder: str = "") -> None:
    """Write the report of a dump beside its kept pairs: the page, and its figures as Markdown for the web UI."""
    from mmpipe.release.image_report import render_image_report, render_summary

    plain = list_plain(collect_image_report(lake, dump, cache_folder=cache_folder))
    folder = lake.dataset(FILTERED_IMAGE_PAIRS, dump).folder
    folder.join(REPORT_FILE).write_text(render_image_report(plain))
    folder.join(SUMMARY_FILE).write_text(render_summary(plain))


def list_plain(report: ImageReport) -> dict[str, Any]:
    """Return a report as the plain values that `release.image_report` renders."""
    plain = asdict(report) | {"core_hours": report.core_hours, "device_hours": report.device_hours}
    if report.agreement is not None:
        compared = [report.agreement.overall, *report.agreement.rules]
        plain["agreement"]["rows"] = [
            asdict(item) | {"precision": item.precision, "recall": item.recall, "kappa": item.kappa}
            for item in compared
            if item is not None
        ]
    return plain


def _compare(lake: Lake, dump: str, labels: pl.DataFrame, rules: Sequence[str]) -> LabelAgreement:
    wanted = labels.lazy().select(pl.col("pair_id").cast(pl.String)) if "pair_id" in labels.columns else None
    if wanted is None:
        return compare_labels(labels, (), pl.DataFrame(schema={"pair_id": pl.String, "rule": pl.String}), rules)
    ids = lake.dataset(IMAGE_CANDIDATES, dump).scan().join(wanted, on="pair_id", how="semi").select("pair_id").collect()
    removals = lake.dataset(IMAGE_REMOVALS, dump).scan().join(wanted, on="pair_id", how="semi").collect()
    return compare_labels(labels, ids.get_column("pair_id"), removals.select("pair_id", "rule"), rules)


# rules and histograms -------------------------------------------------------------------------------------------------


def _say_limits(counts: Iterable[RuleCount], samples: PairSamples) -> list[RuleCount]:
    said = samples.limits
    return [
        replace(count, limit="readable" if count.name in DECODE_STATUSES else said.get(count.name, "not repeated"))
        for count in counts
    ]


def _draw_histograms(lake: Lake, dump: str, rules: Sequence[Mapping[str, Any]], share: float) -> list[Histogram]:
    frames = [
        dataset.scan()
        for dataset in (lake.dataset(table, dump) for table in (IMAGE_SIGNALS, IMAGE_COUNTS))
        if dataset.find_manifest() is not None
    ]
    limited = [(rule, found) for rule in rules if (found := IMAGE_RULES.get(rule["rule"])) and not found.is_categorical]
    rows = frames[0].filter(is_sampled("pair_id", share) & pl.col("decode_status").is_in(SHOWN_STATUSES))
    for frame in frames[1:]:
        rows = rows.join(frame, on="pair_id", how="left")
    columns = rows.collect_schema().names()
    names = [name for name in dict.fromkeys(found.signal for _, found in limited) if name in columns]
    values = rows.select(names).collect()
    return [
        draw_histogram(
            name,
            values.get_column(name).cast(pl.Float64),
            tuple((rule["rule"], rule.get("low"), rule.get("high")) for rule, found in limited if found.signal == name),
        )
        for name in names
    ]


def _count_groups(lake: Lake, dump: str) -> dict[str, tuple[tuple[str, int, int], ...]]:
    host = r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)"
    groups = {
        "hosts of pages": pl.col("page_url").str.extract(host).str.to_lowercase(),
        "hosts of pictures": pl.col("image_url").str.extract(host).str.to_lowercase(),
        "sources of captions": pl.col("caption_source"),
        "formats": pl.col("image_format"),
    }
    if "caption_language" in IMAGE_SIGNALS.column_names:
        groups = {"languages of captions": pl.col("caption_language"), **groups}
    wanted = [name for name in ("image_format", "caption_language") if name in IMAGE_SIGNALS.column_names]
    rows = (
        lake.dataset(IMAGE_CANDIDATES, dump)
        .scan()
        .select("pair_id", "page_url", "image_url", "caption_source")
        .join(lake.dataset(IMAGE_SIGNALS, dump).scan().select("pair_id", *wanted), on="pair_id", how="left")
        .join(
            lake.dataset(IMAGE_REMOVALS, dump).scan().select("pair_id", is_removed=True).unique(),
            on="pair_id",
            how="left",
        )
    )
    return {title: _count_by(rows, group) for title, group in groups.items()}


def _count_by(rows: pl.LazyFrame, group: pl.Expr) -> tuple[tuple[str, int, int], ...]:
    counted = (
        rows.group_by(group.alias("group"))
        .agg(pl.len().alias("pairs"), pl.col("is_removed").is_null().sum().alias("kept"))
        .sort(["pairs", "group"], descending=[True, False])
        .head(LISTED)
        .collect(engine="streaming")
    )
    return tuple((name or "unknown", pairs, kept) for name, pairs, kept in counted.iter_rows())
