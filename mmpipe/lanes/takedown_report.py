"""Writes the report of a takedown for people: what went, which files are others now, the proof, and what remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.lanes.takedown_proof import list_told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.lanes.takedown_proof import Proof

#: Records and near-duplicates that the page names; the JSON has all.
_TOLD_RECORDS, _TOLD_NEAR = 20, 8


def name_next(dumps: Sequence[str], releases: Sequence[str]) -> str:
    """Return the command that makes anew what was withdrawn, and what follows from rows that are gone."""
    if dumps:
        return f"mmpipe backfill all --partitions {','.join(dumps)}"
    return f"mmpipe backfill {' '.join(releases)}" if releases else ""


def write_page(report: Mapping[str, Any], proof: Proof) -> str:
    """Return a report in Markdown.

    Args:
        report: as the takedown's `report.json` has it.
        proof: of it.
    """
    return "\n".join(
        [
            f"# Takedown {report['takedown']}",
            "",
            *(f"* {entry['kind']}: {entry['written']}" for entry in report["entries"]),
            f"* date: {report['date']}",
            f"* reason: {report['reason'] or 'not stated'}",
            "",
            *_tell_rows(report),
            *_tell_files(report),
            *_tell_proof(proof),
            *_tell_remains(report),
            "",
        ]
    )


def _tell_rows(report: Mapping[str, Any]) -> list[str]:
    by_table: dict[tuple[str, str], int] = {}
    for shard in report["found"]:
        key = (shard["table"], shard["dump"] or "all dumps")
        by_table[key] = by_table.get(key, 0) + shard["rows"]
    lines = ["## Rows that went", "", "| table | dump | rows |", "|---|---|---:|"]
    lines += [f"| {table} | {dump} | {rows:,} |" for (table, dump), rows in by_table.items()] or ["| none | | 0 |"]
    unsure = sum(rows for shards in report["refused_candidates_without_parents"].values() for rows in shards.values())
    if unsure:
        told = "refused candidates of instructions lost their text too: they do not say what they were made of."
        lines += ["", f"{unsure:,} {told}"]
    if report["releases"]:
        lines += ["", f"Withdrawn whole, with their files: {', '.join(report['releases'])}."]
    if report["next"]:
        lines += ["", f"Made anew by: `{report['next']}`"]
    return [*lines, ""]


def _tell_files(report: Mapping[str, Any]) -> list[str]:
    lines = ["## Files written anew", "", "| file | before | after | rows |", "|---|---|---|---:|"]
    rows = [
        f"| {item['file']} | {item['digest_before']} | {item['digest_after']} | {item['rows']:,} |"
        for item in report["files"]
    ]
    return [*lines, *(rows or ["| none | | | |"]), ""]


def _tell_proof(proof: Proof) -> list[str]:
    said = "holds" if proof.holds else "DOES NOT HOLD"
    lines = ["## Proof", "", f"It {said}: {proof.files:,} files with {proof.rows:,} rows were read again."]
    lines += [
        "",
        f"* rows that have one of the ids: {len(proof.ids):,}",
        f"* rows with one of the URLs: {len(proof.urls):,}",
    ]
    lines += [f"* {line}" for line in list_told((*proof.ids, *proof.urls))]
    lines += [f"* slices of the text that were looked for: {proof.slices:,}"]
    if proof.words:
        told = "of the slices stand elsewhere too, in what was made of other pages (a template, a quotation, a copy):"
        lines += ["", f"{proof.slices_elsewhere:,} {told}", ""]
        lines += [f"* {line}" for line in list_told(proof.words)]
    return [*lines, ""]


def _tell_remains(report: Mapping[str, Any]) -> list[str]:
    lines = ["## What remains", ""]
    for record in report["records"][:_TOLD_RECORDS]:
        folder = report["crawl_folders"][record["dump"]]
        where = f"{folder}/{record['warc_file']}, from byte {record['warc_offset']}, {record['warc_length']} bytes"
        lines.append(f"* your crawl file {where}: {record['url']}")
    if len(report["records"]) > _TOLD_RECORDS:
        lines.append(f"* and {len(report['records']) - _TOLD_RECORDS:,} records more; report.json names each")
    for table, ids in report["near_duplicates"].items():
        if ids:
            shown = ", ".join(ids[:_TOLD_NEAR]) + (", …" if len(ids) > _TOLD_NEAR else "")
            lines.append(f"* {len(ids):,} rows of other URLs that repeat it, by {table}: {shown}")
    return [
        *lines,
        "* replies of teachers in the cache folder may quote it; no row is made of them for it any more",
        "* ranges of crawl files that were read over HTTP, and what killed runs left in `scratch`, in the cache folder",
        "* the first rows of tables, cut short, in what Dagster's records keep of runs before",
        "* files that recipes name, and models that were trained",
        "* what left the lake: copies, exports for review, pages of `mmpipe report`",
    ]
