"""`mmpipe lists`: fetches block lists and evaluation sets, and looks whether they are as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import ERR, OUT, open_project

lists_commands = typer.Typer(no_args_is_help=True, help="Fetch block lists and evaluation sets, checked and licensed.")

_LISTS_FOLDER = typer.Option("--into", envvar="MMPIPE_LISTS", help="Folder of lists; else var/lists of the project.")


@lists_commands.command("show")
def lists_show() -> None:
    """Show the lists that recipes name, with homepage and licence. None is fetched by itself."""
    from mmpipe.commands.printing import print_catalogue
    from mmpipe.filtering.list_catalogue import read_catalogue

    print_catalogue(OUT, read_catalogue())


@lists_commands.command("fetch")
def lists_fetch(
    name: Annotated[str, typer.Argument(help="Name of the catalogue (mmpipe lists show), or your own.")],
    source: Annotated[str, typer.Option("--from", help="Path or URL of the file; or a folder on this machine.")],
    sha256: Annotated[str, typer.Option(help="What the file must be; required for a URL.")] = "",
    kind: Annotated[str | None, typer.Option(help="domains, urls, categories, words or evaluation.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence and author, where the catalogue lacks them.")] = None,
    into: Annotated[Path | None, _LISTS_FOLDER] = None,
) -> None:
    """Bring a list here, whole and checked, and print the lines that name it in a recipe. Goes on after a break."""
    from mmpipe.commands.lists import fetch_list, write_recipe_lines

    folder = into or open_project().folder / "var" / "lists"
    fetched = fetch_list(name, source, folder, sha256=sha256, kind=kind, licence=licence)
    lines = write_recipe_lines(fetched, folder)
    said = "as stated" if fetched.is_verified else "found, not verified: compare it with the publisher's"
    ERR.print(f"{name}: {folder / fetched.file}, sha256 {fetched.sha256} ({said}). Licence: {fetched.licence}.")
    typer.echo(lines, nl=False)


@lists_commands.command("check")
def lists_check(into: Annotated[Path | None, _LISTS_FOLDER] = None) -> None:
    """Look whether the fetched lists are as they were, and count their entries and broken lines."""
    from mmpipe.commands.lists import check_list, list_fetched
    from mmpipe.commands.printing import print_list_findings

    folder = into or open_project().folder / "var" / "lists"
    if not print_list_findings(OUT, [check_list(fetched, folder) for fetched in list_fetched(folder)]):
        raise typer.Exit(1)
