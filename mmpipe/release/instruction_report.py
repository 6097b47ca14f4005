"""Renders the instruction report of a dump as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.release.report_pages import render_page, write_number
from mmpipe.release.verb_noun_plot import LEAST_VERBS

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_instruction_report(report: Mapping[str, Any], *, snippet_chars: int) -> str:
    """Return the page.

    Args:
        report: a `lanes.instruction_report.InstructionReport` as plain values, with `tokens_per_row` of each method
            that asked a teacher.
        snippet_chars: length at which snippets were cut.
    """
    candidates = sum(method["candidates"] for method in report["methods"])
    tiles = [
        ("candidates", write_number(candidates)),
        ("accepted by their method", write_number(report["rows"])),
        ("kept", write_number(report["kept"])),
        ("methods", write_number(len(report["methods"]))),
        ("requests", write_number(sum(stage["requests"] for stage in report["asked"]))),
        ("cost", write_number(sum(stage["cost"] for stage in report["asked"]))),
    ]
    return render_page(
        "instruction_report.html",
        report,
        tiles=tiles,
        judged=max(candidates, 1),
        snippet=snippet_chars,
        least_verbs=LEAST_VERBS,
    )
