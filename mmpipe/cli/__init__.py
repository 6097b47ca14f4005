"""The command line: names the commands and their options, prints what they return, turns errors into one line."""

from __future__ import annotations

import atexit
import os
import sys
import threading

import typer

from mmpipe.cli import asking, running
from mmpipe.cli.crawl import crawl_commands
from mmpipe.cli.entries import entries_commands
from mmpipe.cli.lists import lists_commands
from mmpipe.cli.pictures import pictures_commands
from mmpipe.cli.quality import quality_commands
from mmpipe.cli.review import review_commands
from mmpipe.cli.takedown import takedown
from mmpipe.cli.terminal import ERR
from mmpipe.errors import MmpipeError

commands = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a raw crawl dump to trainer-ready multimodal datasets, with every row's fate explainable.",
)
# in the order of `mmpipe --help`
commands.command()(running.demo)
commands.command()(running.dev)
commands.command()(running.backfill)
commands.command()(running.doctor)
commands.command()(asking.explain)
commands.command()(asking.trace)
commands.command()(asking.judge)
commands.command()(asking.estimate)
commands.command()(asking.report)
commands.command()(takedown)
commands.add_typer(crawl_commands, name="crawl")
commands.add_typer(quality_commands, name="quality")
commands.add_typer(lists_commands, name="lists")
commands.add_typer(pictures_commands, name="pictures")
commands.add_typer(entries_commands, name="entries")
commands.add_typer(review_commands, name="review")


def app() -> None:
    """Run a command; an error raised on purpose is one line and exit code 1, Ctrl-C is 130."""
    code = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    if "duckdb_engine" in sys.modules:
        # DuckDB's types outlive SQLAlchemy's registries, and the binding would print pages about it at the very end:
        # leave as the interpreter does (threads, then handlers; there is no public way to run them), but before that
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    try:
        commands()
    except MmpipeError as error:
        ERR.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return 0


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
