"""Prints what the commands return: tables and trees, with rich. Needs no Dagster, whose start costs half a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from mmpipe.commands.crawl import ListedDump
    from mmpipe.commands.doctor import Finding
    from mmpipe.commands.fates import Fate, Step
    from mmpipe.commands.judge import WhatIf
    from mmpipe.commands.lists import ListFinding
    from mmpipe.commands.trace import Origin
    from mmpipe.filtering.list_catalogue import KnownList
    from mmpipe.storage.dumps import RemovedDump


def print_dumps(console: Console, dumps: Sequence[ListedDump], removed: Sequence[RemovedDump] = ()) -> None:
    """Print the known dumps, and those that were removed with what brings them back."""
    for gone in removed:
        told = f"{gone.dump.name} was removed {gone.tell_when()}. {gone.tell_return()}"
        console.print(told, soft_wrap=True, markup=False)
    if not dumps and removed:
        return
    if not dumps:
        console.print("No dump was added yet. Add one: mmpipe crawl add NAME FOLDER, or drop one into MMPIPE_CRAWL.")
        return
    grid = make_grid("dump", "files", "root", "partition")
    for dump in dumps:
        grid.add_row(dump.name, str(dump.files), escape(dump.root), "yes" if dump.is_partition else "[yellow]no[/]")
    console.print(grid)


# lists ----------------------------------------------------------------------------------------------------------------


def print_catalogue(console: Console, known: Mapping[str, KnownList]) -> None:
    """Print the lists that recipes name."""
    grid = make_grid("list", "for", "licence", "homepage")
    for name, entry in known.items():
        mark = "" if entry.is_checked else " [yellow]?[/]"
        grid.add_row(name, escape(entry.purpose), escape(entry.licence) + mark, escape(entry.homepage))
    console.print(grid)
    console.print("? from memory, not verified: read homepage and licence at the source.")
    console.print("Fetch one: mmpipe lists fetch NAME --from PATH_OR_URL --sha256 DIGEST")


def print_list_findings(console: Console, findings: Sequence[ListFinding]) -> bool:
    """Print what became of the fetched lists; return whether all are well."""
    if not findings:
        console.print("No list was fetched yet: mmpipe lists show names some.")
        return True
    grid = make_grid("list", "entries", "broken lines", "licence", "state")
    for finding in findings:
        counts = ["" if count is None else f"{count:,}" for count in (finding.entries, finding.broken)]
        state = f"[red]{escape(finding.problem)}[/]" if finding.problem else "as it was fetched"
        state += f" (not read: {escape('; '.join(finding.examples))})" if finding.examples else ""
        grid.add_row(finding.fetched.name, *counts, escape(finding.fetched.licence), state)
    console.print(grid)
    return not any(finding.problem for finding in findings)


# doctor, explain, trace, judge ----------------------------------------------------------------------------------------


def print_findings(console: Console, findings: Iterable[Finding], *, is_mending: bool) -> int:
    """Print what the doctor finds, mend what can be mended if asked, and return how much is still wrong."""
    left = mendable = 0
    for finding in findings:
        mark = "[red]wrong[/]" if finding.is_wrong else "[green]well [/]"
        if finding.is_wrong and finding.mend is not None and is_mending:
            finding.mend()
            mark = "[yellow]mended[/]"
        elif finding.is_wrong:
            left += 1
            mendable += finding.mend is not None
        console.print(f"{mark} {finding.check}: {escape(finding.message)}")
    if mendable:
        console.print(f"\n{mendable} of {left} can be mended here: mmpipe doctor --fix")
    return left


def print_fate(console: Console, fate: Fate) -> None:
    """Print the fate of a row as a tree, one branch per stage."""
    tree = Tree(f"[bold]{fate.kind} {fate.id}[/]{f' of {fate.dump}' if fate.dump else ''}: {escape(fate.verdict)}")
    for step in fate.steps:
        branch = tree.add(f"[bold]{step.asset}[/]: {_color_fate(step)}")
        if step.values:
            branch.add(_make_values(step.values))
        if step.rows:
            grid = make_grid(*step.rows[0])
            for row in step.rows:
                grid.add_row(*(escape(_write(value)) for value in row.values()))
            branch.add(grid)
    console.print(tree)


def _color_fate(step: Step) -> str:
    text = escape(step.fate)
    if step.fate.startswith(("removed", "repeats")):
        return f"[red]{text}[/]"
    return f"[green]{text}[/]" if step.fate.startswith(("kept", "passed")) else text


def _make_values(values: dict[str, Any]) -> Group:
    told = {name: _write(value) for name, value in values.items()}
    return Group(*(f"[dim]{name}[/] {escape(text)}" for name, text in told.items() if text))


def _write(value: Any) -> str:
    """Return a value as people read it; nothing for none and for an empty list."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case list():
            return "; ".join(_write(item) for item in value)
        case dict():
            return ", ".join(f"{name} {text}" for name, item in value.items() if (text := _write(item)))
        case _:
            return str(value)


def print_origin(console: Console, origin: Origin) -> None:
    """Print where a row comes from as a tree, down to the records of the crawl."""
    console.print(_grow(None, origin))
    count = len({record.id for record in origin.list_records()})
    console.print(f"{count:,} crawl record{'' if count == 1 else 's'}")


def _grow(tree: Tree | None, origin: Origin) -> Tree:
    made_by = ", ".join(f"{name} {_write(value)}" for name, value in origin.made_by.items() if value is not None)
    label = (
        f"[bold]{origin.asset}[/] {origin.id}{f' of {origin.dump}' if origin.dump else ''}  [dim]{escape(made_by)}[/]"
    )
    branch = Tree(label) if tree is None else tree.add(label)
    for parent in origin.parents:
        _grow(branch, parent)
    return branch


def print_what_if(console: Console, answer: WhatIf) -> None:
    """Print two funnels side by side, moved limits marked."""
    before, after = answer.before, answer.after
    grid = make_grid("", "limit", "before", "after", "change")
    grid.add_row("rows", "", f"{before.rows_in:,}", f"{after.rows_in:,}", "")
    grid.add_row(
        "[bold]kept[/]", "", f"{before.rows_kept:,}", f"{after.rows_kept:,}", _sign(before.rows_kept, after.rows_kept)
    )
    grid.add_row("removed", "", f"{before.rows_removed:,}", f"{after.rows_removed:,}", "")
    for rule in answer.list_rules():
        old, new = before.removed_by_rule.get(rule, 0), after.removed_by_rule.get(rule, 0)
        limit_before, limit_after = answer.limits_before.get(rule, "—"), answer.limits_after.get(rule, "—")
        limit = f"{limit_before} → [bold]{limit_after}[/]" if answer.has_moved(rule) else limit_after
        grid.add_row(f"  {rule}", limit, f"{old:,}", f"{new:,}", _sign(old, new))
    console.print(f"{answer.lane} of {', '.join(answer.dumps)}, by the rules alone; nothing was written")
    console.print(grid)
    if answer.lane == "images":
        console.print("[dim]Duplicates and balance take more pairs of those that pass the rules.[/]")


def _sign(before: int, after: int) -> str:
    return f"{after - before:+,}" if after != before else ""


def make_grid(*columns: str) -> Table:
    """Return an empty table of named columns, without lines."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    return grid
