"""Commands that run something: `mmpipe demo`, `dev`, `backfill`, `doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import ERR, OUT, open_project
from mmpipe.errors import ConfigurationError


def demo(
    dump: Annotated[str | None, typer.Option(help="Folder, WARC file or path list of your own; else a sample.")] = None,
    pages: Annotated[int, typer.Option(help="Pages of each sample dump.", min=40)] = 300,
) -> None:
    """Run the whole line on a sample crawl, or on your own dump, and show what came out."""
    from mmpipe.commands.demo import run_demo

    run_demo(OUT, open_project(), dump, pages)


def dev(
    host: Annotated[
        str, typer.Option(help="Address to listen on. There is no login: keep it a loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the web UI; 0 picks a free one.", min=0, max=65535)] = 3000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name the UI is reached by, as through a proxy. May repeat.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="A UI that shows and launches nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what daemon and runs log.")] = False,
) -> None:
    """Run the web UI and the daemon (sensors, backfills, automation) until Ctrl-C.

    Requests that another site's page makes are refused.
    """
    from mmpipe.commands.dev import is_loopback, run_dev

    if not is_loopback(host):
        ERR.print(
            f"[yellow]{host} can be reached from other machines, and the UI has no login: put a proxy before it.[/]"
        )
    run_dev(
        open_project(),
        host=host,
        port=port,
        allow_hosts=allow_host or [],
        is_read_only=read_only,
        is_verbose=verbose,
        report=lambda url: OUT.print(f"Web UI: [bold]{url}[/]   (Ctrl-C ends it)"),
        tell=lambda told: OUT.print(told, markup=False, soft_wrap=True),
        warn=lambda told: ERR.print(f"[yellow]{told}[/]", soft_wrap=True),
    )


def backfill(
    assets: Annotated[
        list[str],
        typer.Argument(help="Asset names; all; group:text; NAME+ (and what follows); +NAME (and its sources)."),
    ],
    partitions: Annotated[str, typer.Option(help="Dumps by name, with commas between.")] = "",
    first: Annotated[str | None, typer.Option("--from", help="First dump of a range, in the order of names.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last dump of the range.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Dumps that lack one of the assets.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Dumps whose last run of one of the assets failed.")] = False,
    failed_checks: Annotated[
        bool, typer.Option("--failed-checks", help="Dumps of which one of the assets failed a blocking check.")
    ] = False,
    all_dumps: Annotated[bool, typer.Option("--all", help="Every dump.")] = False,
    server: Annotated[
        str | None,
        typer.Option(envvar="MMPIPE_SERVER", help="URL of a web server; else that of `mmpipe dev`, if it runs."),
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Run in this process even if a server runs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the runs log.")] = False,
) -> None:
    """Materialize assets for some or all dumps, then assets over all dumps.

    A running server that has the settings of this shell does it as one asset backfill, which this command follows.

    Without a server, each dump is a run in this process, in the order of names. The exit code is 1 if one failed.
    """
    import dagster as dg

    from mmpipe.commands.backfill import Which, plan_backfill
    from mmpipe.commands.backfill_printing import follow_on_server, print_plan, run_with_progress
    from mmpipe.commands.loading import load_definitions
    from mmpipe.commands.served_settings import describe_row_makers, read_row_settings, require_same_settings
    from mmpipe.commands.server import find_server
    from mmpipe.storage.lake import Lake

    project = open_project()
    settings = read_row_settings(os.environ, Path.cwd())
    states = {Which.MISSING: missing, Which.FAILED: failed, Which.FAILED_CHECKS: failed_checks, Which.ALL: all_dumps}
    chosen = [which for which, is_set in states.items() if is_set]
    if len(chosen) > 1:
        raise ConfigurationError("Give only one of --missing, --failed, --failed-checks and --all.")
    names = [name.strip() for name in partitions.split(",") if name.strip()]
    defs = load_definitions(project)
    with dg.DagsterInstance.get() as instance:
        plan = plan_backfill(
            defs,
            instance,
            Lake(os.environ["MMPIPE_LAKE"]),
            assets,
            partitions=names,
            first=first,
            last=last,
            which=chosen[0] if chosen else None,
        )
        running = None if here else find_server(server, Path(os.environ["MMPIPE_STATE"]))
        if running is not None and running.is_own and not plan.is_empty:
            require_same_settings(running.url, running.settings, settings)
        is_known = running is None or running.is_own
        makers = describe_row_makers(settings) if is_known else "settings of its own, which are not compared"
        print_plan(OUT, plan, running.url if running else None, makers)
        if dry_run or plan.is_empty:
            return
        is_success = (
            follow_on_server(OUT, running.url, plan)
            if running
            else run_with_progress(OUT, defs, instance, plan, is_verbose=verbose)
        )
    if not is_success:
        raise typer.Exit(1)


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="End stuck runs, free their slots, remove orphaned files.")
    ] = False,
) -> None:
    """Look for stuck runs, held slots, orphaned files, clashing versions, missing weights, and a full disk."""
    import dagster as dg

    from mmpipe.commands.doctor import examine
    from mmpipe.commands.printing import print_findings

    project = open_project()
    with dg.DagsterInstance.get() as instance:
        left = print_findings(OUT, examine(project, instance, os.environ), is_mending=fix)
    if left:
        raise typer.Exit(1)
