"""Prints a backfill: its plan, its progress here or on a server, and what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmpipe.commands.backfill import run_here
from mmpipe.commands.printing import make_grid
from mmpipe.commands.server import follow_backfill, launch_backfill
from mmpipe.commands.server_lines import BackfillTeller
from mmpipe.commands.step_lines import StepTeller, hear_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg
    from rich.console import Console

    from mmpipe.commands.backfill import Outcome, Plan
    from mmpipe.commands.server import BackfillProgress

_COLORS = {"success": "green", "failed": "red", "skipped": "yellow"}


def print_plan(console: Console, plan: Plan, url: str | None, makers: str) -> None:
    """Print what a backfill will run, where, and with what.

    Args:
        console: the terminal.
        plan: what.
        url: the server; None for this process.
        makers: recipe and teacher, in a few words.
    """
    if plan.is_empty:
        console.print("Nothing to run: no dump is in that state.")
        return
    where = f"through {url}" if url else "in this process"
    for keys, dumps in (
        (plan.per_dump if plan.dumps else (), f"for {', '.join(plan.dumps)}"),
        (plan.over_all, "over all dumps"),
    ):
        if keys:
            console.print(f"{_join(keys)} {dumps} ({where})", markup=False)
    console.print(f"with {makers}", markup=False, soft_wrap=True)


def _join(keys: Sequence[dg.AssetKey]) -> str:
    return ", ".join(key.to_user_string() for key in keys)


def run_with_progress(
    console: Console, defs: dg.Definitions, instance: dg.DagsterInstance, plan: Plan, *, is_verbose: bool
) -> bool:
    """Run a plan in this process, a line per dataset; print the summary; return whether all went well."""
    runs = len(plan.dumps) + bool(plan.over_all)
    with _make_progress(console) as progress:
        task = progress.add_task("", total=runs)
        started: list[str] = []

        def say(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)

        def show(dump: str | None, run_id: str) -> None:
            place = dump or "over all dumps"
            progress.update(task, completed=len(started), description=place)
            started.append(place)
            # with --verbose the run itself prints its warnings
            hear_steps(instance, run_id, StepTeller(place, say, tells_warnings=not is_verbose))

        outcomes = run_here(
            defs,
            instance,
            plan,
            on_start=show,
            tell=lambda told: say(f"{time.strftime('%H:%M:%S')}  {started[-1] + ': ' if started else ''}{told}"),
            log_level="INFO" if is_verbose else "CRITICAL",
        )
        progress.update(task, completed=runs, description="done")
    print_outcomes(console, outcomes)
    return all(outcome.status == "success" for outcome in outcomes)


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print one row per run, and what every failed step died of."""
    grid = make_grid("dump", "status", "seconds", "run", "what failed")
    for outcome in outcomes:
        color = _COLORS[outcome.status]
        why = "\n".join(f"[bold]{step}[/]: {escape(message)}" for step, message in outcome.failures)
        grid.add_row(
            outcome.dump or "over all dumps",
            f"[{color}]{outcome.status}[/]",
            f"{outcome.seconds:.1f}",
            outcome.run_id[:8],
            why or ("a dump before it failed" if outcome.status == "skipped" else ""),
        )
    console.print(grid)


def follow_on_server(console: Console, url: str, plan: Plan) -> bool:
    """Launch a plan on a server, show its progress until it ends, print the summary; return whether all went well."""
    backfill_id = launch_backfill(url, plan)
    console.print(f"Backfill {backfill_id}: {url}/runs/b/{backfill_id} (Ctrl-C stops following, not the backfill)")
    teller = BackfillTeller(url, backfill_id, lambda line: console.print(line, markup=False, soft_wrap=True))
    with _make_progress(console) as progress:
        task = progress.add_task("waiting for the daemon", total=None)
        for seen in follow_backfill(url, backfill_id):
            total = sum(asset.targeted for asset in seen.assets)
            done = sum(asset.made + asset.failed for asset in seen.assets)
            running = [asset.asset for asset in seen.assets if asset.running]
            progress.update(task, total=total or None, completed=done, description=", ".join(running) or seen.status)
            # behind the progress: when the end is known, all events are there
            teller.look()
    _print_server_outcome(console, seen)
    return seen.is_success


def _print_server_outcome(console: Console, seen: BackfillProgress) -> None:
    grid = make_grid("asset", "wanted", "made", "failed")
    for asset in seen.assets:
        failed = f"[red]{asset.failed}[/]" if asset.failed else "0"
        grid.add_row(asset.asset, str(asset.targeted), str(asset.made), failed)
    console.print(grid)
    console.print(f"{seen.status}{': ' + escape(seen.error) if seen.error else ''}")


def _make_progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)
