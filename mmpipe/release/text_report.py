"""Renders the text report of a dump as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.release.report_pages import render_page, write_number

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_text_report(report: Mapping[str, Any], *, snippet_chars: int) -> str:
    """Return the page.

    Args:
        report: a `lanes.text_report.TextReport` as plain values, with `core_hours_per_billion_words` and `core_hours`.
        snippet_chars: length at which snippets were cut.
    """
    judged = max((stage["rows_in"] for stage in report["stages"] if stage["name"] == "text_removals"), default=0)
    return render_page(
        "text_report.html", report, tiles=_list_tiles(report), judged=max(judged, 1), snippet=snippet_chars
    )


def _list_tiles(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    stages = {stage["name"]: stage for stage in report["stages"]}
    tiles = [("records in the dump", write_number(report["stages"][0]["rows_out"]))]
    for name, title in (("filtered_text", "passed every rule"), ("deduped_corpus", "documents in the corpus")):
        if name in stages:
            tiles.append((title, write_number(stages[name]["rows_out"])))
    tiles.append(("words in the corpus", write_number(report["kept_words"])))
    tiles.append(("core-hours", write_number(report["core_hours"])))
    if report["core_hours_per_billion_words"] is not None:
        tiles.append(("core-hours per billion kept words", write_number(report["core_hours_per_billion_words"])))
    return tiles
