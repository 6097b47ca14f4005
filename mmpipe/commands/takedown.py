"""`mmpipe takedown`: reads what is to be taken down, says what it means, and tells what was done and proven."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mmpipe.commands.lookup import complete_id
from mmpipe.commands.printing import make_grid
from mmpipe.errors import ConfigurationError, MmpipeError
from mmpipe.filtering.public_suffixes import find_registered_domain
from mmpipe.lanes.takedown_proof import Trace, list_told
from mmpipe.storage.takedowns import FOLDER, find_taken
from mmpipe.tables.takedowns import Entry, make_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from mmpipe.lanes.takedown import Plan
    from mmpipe.storage.lake import Lake

_ID = re.compile(r"[0-9a-f]{6,32}")


class TakedownUnproven(MmpipeError):
    """Something that was taken down is still published."""


def read_entries(
    lake: Lake,
    *,
    urls: Sequence[str] = (),
    domains: Sequence[str] = (),
    ids: Sequence[str] = (),
    file: Path | None = None,
    reason: str = "",
) -> list[Entry]:
    """Return what a user asked for as entries, each once.

    Args:
        lake: where ids are looked up by their first digits.
        urls: of pages and pictures.
        domains: with their subdomains.
        ids: of any row that is no packed sequence.
        file: one URL, domain or id per line; lines that begin with `#` are passed over.
        reason: why.

    Raises:
        ConfigurationError: one is not what it should be, or nothing was asked; a line of the file is named.
    """
    date = datetime.now(UTC).date().isoformat()
    asked = (
        [("url", url, "") for url in urls] + [("domain", name, "") for name in domains] + [("id", i, "") for i in ids]
    )
    asked += _read_lines(file) if file is not None else []
    if not asked:
        raise ConfigurationError("Nothing was named. Give --url, --domain, --id, or --from FILE with one per line.")
    entries: dict[tuple[str, str], Entry] = {}
    for kind, written, where in asked:
        try:
            entry = make_entry(kind, _complete(lake, written) if kind == "id" else written, date, reason)
            _check(lake, entry)
        except MmpipeError as error:
            raise ConfigurationError(f"{where}{error}") from error
        entries.setdefault((entry.kind, entry.value), entry)
    return list(entries.values())


def _read_lines(file: Path) -> list[tuple[str, str, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--from {file} cannot be read: {error}") from error
    told = []
    for number, line in enumerate(lines, start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        kind = "id" if _ID.fullmatch(written) else "url" if "/" in written else "domain"
        told.append((kind, written, f"{file}, line {number}: "))
    return told


def _complete(lake: Lake, written: str) -> str:
    row_id = complete_id(lake, written.strip())
    if len(row_id) < 32 and _ID.fullmatch(row_id):
        raise ConfigurationError(f"No id that is published begins with {row_id!r}. Give all 32 digits, or --url.")
    return row_id


def _check(lake: Lake, entry: Entry) -> None:
    """Refuse what would take down far more than is meant, or cannot be taken down by itself."""
    if entry.kind == "domain" and not find_registered_domain(entry.value):
        raise ConfigurationError(
            f"--domain {entry.written!r} is a public suffix, under which others register. Name the site's own domain."
        )
    if entry.kind == "id":
        _check_id(lake, entry.value)


def _check_id(lake: Lake, row_id: str) -> None:
    from mmpipe.commands.lookup import RowNotFound, find_id

    try:
        found = find_id(lake, row_id)
    except RowNotFound:
        if find_taken(lake, row_id) is None:
            raise
        return
    if "doc_ids" in found.table.schema:
        raise ConfigurationError(
            f"{row_id} is a row of {found.table.name}, packed from others. Name the rows it was made of; they are told "
            f"by: mmpipe trace {row_id}"
        )


def is_done(entries: Sequence[Entry], ended: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether takedowns that were just ended named all of the entries."""
    done = {(entry["kind"], entry["value"]) for report in ended for entry in report["entries"]}
    return {(entry.kind, entry.value) for entry in entries} <= done


def print_takedown_plan(console: Console, plan: Plan) -> None:
    """Print what a takedown means."""
    by_table: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
    for shard in plan.search.shards:
        key = (shard.table, shard.dump or "all dumps")
        rows, examples = by_table.get(key, (0, ()))
        by_table[key] = (rows + shard.rows, (*examples, *shard.examples)[:2])
    if not by_table and not plan.releases:
        console.print("Nothing of it is published. On the list, it stays away from later dumps too.")
    elif by_table:
        grid = make_grid("table", "dump", "rows", "such as")
        for (table, dump), (rows, examples) in by_table.items():
            grid.add_row(table, escape(dump), f"{rows:,}", escape(", ".join(examples)))
        console.print(grid)
    if plan.unsure:
        console.print(
            f"{plan.unsure_rows:,} refused candidates of instructions lose their text: they do not say what "
            f"they were made of.", soft_wrap=True,
        )  # fmt: skip
    if plan.fetched:
        console.print(f"Pictures in the cache: {len(plan.fetched):,}.")
    if plan.releases:
        console.print(f"Withdrawn whole, with their files: {', '.join(plan.releases)}.", soft_wrap=True)
    near = sum(map(len, plan.search.near.values()))
    if near:
        console.print(
            f"[yellow]{near:,} rows of other URLs repeat it and stay; --with-duplicates takes them down too.[/]",
            soft_wrap=True,
        )


def print_takedown(console: Console, lake: Lake, report: dict[str, Any]) -> None:
    """Print what was done and proven.

    Raises:
        TakedownUnproven: something is still published.
    """
    proof = report["proof"]
    rows = sum(shard["rows"] for shard in report["found"])
    console.print(
        f"Taken down: {rows:,} rows; {len(report['files']):,} files written anew. Read again afterwards: "
        f"{proof['files']:,} files, {proof['rows']:,} rows.",
        soft_wrap=True,
    )
    if proof["words"]:
        told = list_told([Trace(**trace) for trace in proof["words"]])
        console.print(
            f"[yellow]{proof['slices_elsewhere']:,} of {proof['slices']:,} slices of its text stand in other pages too "
            f"(a template, a quotation, a copy), in {len(proof['words']):,} rows or files: "
            f"{escape('; '.join(told[:3]))}{'; …' if len(told) > 3 else ''}[/]",
            soft_wrap=True,
        )
    place = f"{lake.root.rstrip('/')}/{FOLDER}/{report['takedown']}/report.md"
    if report["next"]:
        console.print(f"What follows from it is made anew by: {escape(report['next'])}", soft_wrap=True)
    console.print(f"Report, with what remains outside the lake: {escape(place)}", soft_wrap=True)
    if not proof["holds"]:
        left = [Trace(**trace) for trace in (*proof["ids"], *proof["urls"])]
        raise TakedownUnproven(
            f"{len(left):,} rows of it are still published: {'; '.join(list_told(left)[:5])}. Run the same again; if "
            f"they stay, the report names each."
        )
