"""`mmpipe takedown`: takes a URL, a domain or an id out of everything that is published, and proves it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import OUT, open_project
from mmpipe.errors import ConfigurationError


def takedown(
    urls: Annotated[list[str] | None, typer.Option("--url", help="A page or picture. May repeat.")] = None,
    domains: Annotated[
        list[str] | None, typer.Option("--domain", help="A domain with all below it. May repeat.")
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="A doc_id, pair_id, instruction_id, …, or its first digits. May repeat."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--from", help="File with one URL, domain or id per line.")] = None,
    reason: Annotated[str, typer.Option(help="Why; `mmpipe explain` tells it.")] = "",
    with_duplicates: Annotated[
        bool, typer.Option("--with-duplicates", help="Take down what repeats it under other URLs too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it means; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a URL, domain or id, and all made of it, out of every dataset for good; and prove that it is gone."""
    import dagster as dg

    from mmpipe.commands.crawl_removal import refuse_at_work
    from mmpipe.commands.takedown import is_done, print_takedown, print_takedown_plan, read_entries
    from mmpipe.lanes.takedown import finish_open, plan_takedown, take_down
    from mmpipe.storage.lake import Lake

    open_project()
    lake = Lake(os.environ["MMPIPE_LAKE"])
    cache = os.environ["MMPIPE_CACHE"] if "MMPIPE_CACHE" in os.environ else f"{lake.root.rstrip('/')}-cache"
    with dg.DagsterInstance.get() as instance:
        if not dry_run:
            refuse_at_work(instance, "take it down")
            ended = finish_open(lake, cache)
            for report in ended:
                OUT.print(f"The takedown {report['takedown']} had been cut off; it is ended now.")
                print_takedown(OUT, lake, report)
            if ended and not (urls or domains or ids or file):
                return
        entries = read_entries(
            lake, urls=urls or (), domains=domains or (), ids=ids or (), file=file, reason=reason.strip()
        )
        if not dry_run and is_done(entries, ended):
            return
        plan = plan_takedown(lake, entries, with_duplicates=with_duplicates)
        print_takedown_plan(OUT, plan)
        if dry_run:
            OUT.print("Nothing was changed.")
            return
        if not yes and not sys.stdin.isatty():
            raise ConfigurationError("Nothing was taken down: nobody is there to ask. Say --yes.")
        if not yes and not typer.confirm("Take this down for good?", default=False):
            OUT.print("Nothing was taken down.")
            raise typer.Exit(1)
        refuse_at_work(instance, "take it down")  # one may have begun while we asked
        print_takedown(OUT, lake, take_down(lake, plan, cache))
        # a step that had read it before writes what it made of it when the lock is free
        refuse_at_work(instance, "run the same again: it may have read what was taken down before that")
