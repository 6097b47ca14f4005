from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.lanes.text_report import REPORT_FILE, collect_text_report, write_text_report
from mmpipe.release.report_pages import draw_plot, write_number, write_share, write_size
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS, EXTRACTED_TEXT, FILTERED_TEXT
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from mmpipe.lanes.text_report import TextReport
    from mmpipe.storage.lake import Lake

# one process for all tests of the lanes
pytestmark = pytest.mark.xdist_group("lanes")


@pytest.fixture(scope="module")
def dump(text_lake: Lake) -> str:
    return text_lake.list_dumps(RAW_CRAWL)[0]


@pytest.fixture(scope="module")
def report(text_lake: Lake, dump: str) -> TextReport:
    return collect_text_report(text_lake, dump)


def test_the_funnel_is_the_ledgers(report, text_lake, dump):
    stages = {stage.name: stage for stage in report.stages}
    assert stages["raw_crawl"].rows_out == text_lake.dataset(RAW_CRAWL, dump).scan().collect().height
    assert stages["filtered_text"].rows_out == text_lake.dataset(FILTERED_TEXT, dump).scan().collect().height
    assert all(stage.cpu_seconds > 0 for stage in report.stages)


def test_every_rule_is_counted_with_what_it_took_alone(report, text_lake, dump):
    removals = text_lake.dataset(TEXT_REMOVALS, dump).scan().collect()
    for rule in report.rules:
        ids = set(removals.filter(pl.col("rule") == rule.name).get_column("doc_id"))
        others = set(removals.filter(pl.col("rule") != rule.name).get_column("doc_id"))
        assert (rule.rows, rule.alone) == (len(ids), len(ids - others)), rule.name
    assert {rule.name for rule in report.rules} >= {"gopher_hash_to_word_ratio", "refinedweb_language"}


def test_overlaps_are_rows_that_both_rules_took(report, text_lake, dump):
    removals = text_lake.dataset(TEXT_REMOVALS, dump).scan().collect()
    taken = {
        rule: set(part.get_column("doc_id")) for (rule,), part in removals.partition_by("rule", as_dict=True).items()
    }
    assert report.overlaps
    assert all(len(taken[first] & taken[second]) == rows for first, second, rows in report.overlaps)


def test_histograms_hold_every_page_with_text(report, text_lake, dump):
    pages = text_lake.dataset(TEXT_SIGNALS, dump).scan().filter(pl.col("extraction_status") == "ok").collect().height
    histograms = {histogram.signal: histogram for histogram in report.histograms}
    assert all(sum(plot.counts) + plot.unmeasured == pages for plot in report.histograms)
    words = histograms["word_count"]
    assert words.limits == (("gopher_word_count", 50.0, 100_000.0),)
    assert words.edges[0] <= 50 <= words.edges[-1]


def test_groups_add_up(report, text_lake, dump):
    texts = text_lake.dataset(EXTRACTED_TEXT, dump).scan().filter(pl.col("text").is_not_null()).collect().height
    assert sum(text for _, text, _, _ in report.groups["languages"]) == texts
    assert all(text >= filtered >= corpus for _, text, filtered, corpus in report.groups["hosts"])


def test_cost_is_told_per_kept_word(report, text_lake, dump):
    texts = text_lake.dataset(DEDUPED_CORPUS, dump).scan().collect().get_column("text")
    assert report.kept_words == sum(len(re.findall(r"\S+", text)) for text in texts)
    assert report.core_hours_per_billion_words == pytest.approx(report.cpu_seconds / 3600 / report.kept_words * 1e9)


def test_the_page_stands_alone(text_lake, dump):
    page = write_text_report(text_lake, dump)
    addresses: list[str] = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            addresses.extend(f"{tag}.{name}" for name, _ in attrs if name in ("src", "href"))

    Addresses().feed(page)
    assert addresses == []
    assert "<script" not in page
    assert text_lake.dataset(DEDUPED_CORPUS, dump).folder.join(REPORT_FILE).read_text().startswith("<!doctype html>")


def test_hostile_text_is_shown_not_run(report):
    from dataclasses import asdict

    from mmpipe.release.text_report import render_text_report

    evil = {"doc_id": "0", "url": "javascript:1", "value": 1.0, "value_text": None, "extraction_detail": None}
    plain = asdict(report) | {"core_hours": 1.0, "core_hours_per_billion_words": None}
    plain["samples"] = {"rule": ({**evil, "text": "<script>alert(1)</script>"},)}
    page = render_text_report(plain, snippet_chars=280)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_bars_beyond_a_limit_are_marked():
    plot = draw_plot(
        {
            "signal": "s",
            "counts": (1, 2, 4, 1),
            "edges": (0.0, 1.0, 2.0, 3.0, 4.0),
            "limits": (("r", 1.0, 3.0),),
            "unmeasured": 0,
        }
    )
    assert [bar["is_out"] for bar in plot["bars"]] == [True, False, False, True]
    assert [bar["height"] for bar in plot["bars"]] == [20.5, 41.0, 82.0, 20.5]
    assert [mark["x"] for mark in plot["marks"]] == [82.5, 247.5]


def test_what_stands_at_a_limit_of_nothing_is_kept():
    limits = (("r", None, 0.0),)
    plot = draw_plot({"signal": "s", "counts": (9, 1), "edges": (0.0, 1.0, 2.0), "limits": limits, "unmeasured": 0})
    assert [bar["is_out"] for bar in plot["bars"]] == [False, True]


def test_a_limit_outside_the_plot_is_told():
    plot = draw_plot(
        {"signal": "s", "counts": (1,), "edges": (0.0, 1.0), "limits": (("r", None, 100_000.0),), "unmeasured": 3}
    )
    assert plot["marks"] == []
    assert plot["note"] == "r; limit 100,000 lies outside the plot; 3 not measured"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234567, "1,234,567"), (0.12345, "0.123"), (1234.5, "1,234"), (2.0, "2")]
)
def test_numbers_are_short(value, text):
    assert write_number(value) == text


def test_shares_and_sizes_have_units():
    assert (write_share(0.1234), write_share(0.0), write_share(0.00012)) == ("12.3%", "0.0%", "1.2e-04")
    assert (write_size(999), write_size(1500), write_size(2_340_000)) == ("999 B", "1.5 kB", "2.34 MB")
