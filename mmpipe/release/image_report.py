"""Renders the reviewer's page of a dump's pictures: one self-contained HTML page, and a short table for Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.release.report_pages import render_page, write_number, write_share

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Rules that the summary names.
_SUMMED_RULES = 12
#: Rules whose samples stand open when the page is opened.
_OPEN_RULES = 4


def render_image_report(report: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        report: a `lanes.image_report.ImageReport` as plain values, with `core_hours` and `device_hours`.
    """
    limits = {rule["name"]: rule["limit"] for rule in report["rules"]}
    order = [rule["name"] for rule in report["rules"] if rule["name"] in report["samples"]]
    return render_page(
        "image_report.html",
        report,
        tiles=_list_tiles(report),
        styles=("image_report.css",),
        divisor=max(report["judged"], 1),
        taken=[
            {"name": name, "limit": limits[name], "pairs": report["samples"][name], "is_open": place < _OPEN_RULES}
            for place, name in enumerate(order)
        ],
        counts={rule["name"]: rule["rows"] for rule in report["rules"]},
    )


def _list_tiles(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    judged, kept = report["judged"], report["kept_pairs"]
    tiles = [
        ("described pictures", write_number(judged)),
        ("kept pairs", write_number(kept)),
        ("kept", write_share(kept / judged) if judged else "–"),
        ("core-hours", write_number(report["core_hours"])),
    ]
    if report["device_hours"]:
        tiles.append(("device-hours", write_number(report["device_hours"])))
    if kept:
        tiles.append(("core-hours per million kept pairs", write_number(report["core_hours"] / kept * 1e6)))
    return tiles


def render_summary(report: Mapping[str, Any]) -> str:
    """Return the funnel and what the rules took as Markdown, short enough for the page of an asset."""
    judged = max(report["judged"], 1)
    share = write_share(report["kept_pairs"] / judged)
    pairs = f"{report['judged']:,} described pictures, {report['kept_pairs']:,} kept ({share})"
    lines = [
        f"**{report['dump']}**: {pairs}, recipe `{report['recipe']}`.",
        "",
        "| stage | rows in | rows out | core-seconds |",
        "|---|---:|---:|---:|",
        *(
            f"| `{stage['name']}` | {stage['rows_in']:,} | {stage['rows_out']:,} "
            f"| {write_number(stage['cpu_seconds'])} |"
            for stage in report["stages"]
        ),
        "",
        "| rule | keeps | rows | share | no other rule took |",
        "|---|---|---:|---:|---:|",
        *(
            f"| `{rule['name']}` | {rule['limit']} | {rule['rows']:,} | {write_share(rule['rows'] / judged)} "
            f"| {rule['alone']:,} |"
            for rule in report["rules"][:_SUMMED_RULES]
        ),
    ]
    if len(report["rules"]) > _SUMMED_RULES:
        lines.append(f"\n{len(report['rules']) - _SUMMED_RULES} more rules are on the report's page.")
    return "\n".join(lines) + "\n"
