"""`mmpipe crawl`: adds a crawl dump or documents of one's own, lists the dumps, and removes one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import OUT, open_project
from mmpipe.errors import ConfigurationError

crawl_commands = typer.Typer(
    no_args_is_help=True, help="Add a crawl dump or documents of your own; list and remove dumps."
)


@crawl_commands.command("add")
def crawl_add(
    name: Annotated[str, typer.Argument(help="Name of the dump: letters, digits, '.', '_', '-'.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A folder, a URL prefix, a path list (warc.paths, warc.paths.gz), or files: WARC, WET, ARC, lists of "
            "image-text pairs."
        ),
    ],
    base_url: Annotated[
        str | None, typer.Option("--base-url", "--base", help="URL or folder that the paths of a path list begin at.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take only the first so many files.", min=1)] = None,
) -> None:
    """Make a dump known: its files are checked and recorded, none is copied.

    Common Crawl: mmpipe crawl add CC-MAIN-2024-22 warc.paths.gz --base-url https://data.commoncrawl.org --limit 2
    """
    import dagster as dg

    from mmpipe.commands.crawl import add_dump, find_dump_files
    from mmpipe.commands.fates import count_of
    from mmpipe.storage.lake import Lake

    open_project()
    dump = find_dump_files(name, sources, base_url=base_url, limit=limit)
    with dg.DagsterInstance.get() as instance:
        add_dump(Lake(os.environ["MMPIPE_LAKE"]), instance, dump)
    found = f"{dump.name}: {count_of(len(dump.files), 'files')} below {dump.root}."
    OUT.print(f"{found} Run it: mmpipe backfill all --partitions {name}", soft_wrap=True)


@crawl_commands.command("sample")
def crawl_sample(
    name: Annotated[str, typer.Argument(help="Name of the dump.")],
    into: Annotated[
        Path | None, typer.Option(help="Folder to write the dump's folder in; else the one the sensor watches.")
    ] = None,
    pages: Annotated[int, typer.Option(help="Pages, about.", min=40)] = 100,
) -> None:
    """Write a generated dump. In the watched folder it is one that lands: `mmpipe dev` takes it within a minute."""
    from mmpipe.assets.partitions import validate_dump_name
    from mmpipe.demo.sample_crawl import write_sample_crawl

    open_project()
    folder = into or Path(os.environ["MMPIPE_CRAWL"])
    written = write_sample_crawl(folder, dumps=(validate_dump_name(name),), pages_per_dump=pages)
    OUT.print(f"{name}: {len(written.dumps[0].files)} files in {written.dumps[0].folder}.")


@crawl_commands.command("pack")
def crawl_pack(
    sources: Annotated[
        list[Path], typer.Argument(help="Text, Markdown and HTML files, JSON lines, Parquet; or folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="File to write; its name ends in .warc.gz.")],
    field: Annotated[str, typer.Option(help="Field or column that holds the text of a row.")] = "text",
    host: Annotated[str, typer.Option(help="Host of the addresses that documents get.")] = "own.invalid",
) -> None:
    """Pack documents of your own into a WARC file, to be added like any crawl."""
    from mmpipe.storage.packed_texts import pack_texts

    packed = pack_texts(sources, out, field=field, host=host)
    if packed.skipped:
        left = ", ".join(f"{kind} {count:,}" for kind, count in packed.skipped.items())
        OUT.print(f"Passed over, for they are no text: {left}.")
    OUT.print(f"{packed.documents:,} documents in {out}. Add them: mmpipe crawl add NAME {out}", soft_wrap=True)


@crawl_commands.command("remove")
def crawl_remove(
    names: Annotated[list[str], typer.Argument(metavar="DUMP...", help="Dumps to remove, by name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a dump out: its partition, record and datasets in the lake. Its crawl files stay."""
    import dagster as dg

    from mmpipe.commands.crawl_removal import plan_removal, print_plan, print_removed, refuse_at_work, remove_dump
    from mmpipe.storage.lake import Lake

    open_project()
    lake = Lake(os.environ["MMPIPE_LAKE"])
    with dg.DagsterInstance.get() as instance:
        planned = plan_removal(lake, instance, names, os.environ["MMPIPE_CRAWL"])
        refuse_at_work(instance)
        print_plan(OUT, planned)
        if not yes and not sys.stdin.isatty():
            raise ConfigurationError("Nothing was removed: nobody is there to ask. Say --yes.")
        if not yes and not typer.confirm("Remove this for good?", default=False):
            OUT.print("Nothing was removed.")
            raise typer.Exit(1)
        refuse_at_work(instance)  # one may have begun while we asked
        for removal in planned:
            remove_dump(lake, instance, removal.dump)
    print_removed(OUT, planned)


@crawl_commands.command("list")
def crawl_list() -> None:
    """List the dumps that were added, by hand or by the sensor, and those that were removed."""
    import dagster as dg

    from mmpipe.commands.crawl import list_known_dumps
    from mmpipe.commands.printing import print_dumps
    from mmpipe.storage.dumps import list_removed_dumps
    from mmpipe.storage.lake import Lake

    open_project()
    with dg.DagsterInstance.get() as instance:
        lake = Lake(os.environ["MMPIPE_LAKE"])
        print_dumps(OUT, list_known_dumps(lake, instance), list_removed_dumps(lake))
