"""`mmpipe review`: gives instructions to people to look at, and takes their verdicts back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import OUT, open_project

review_commands = typer.Typer(no_args_is_help=True, help="Have people look at instructions, and take verdicts back.")


@review_commands.command("export")
def review_export(
    dump: Annotated[str, typer.Argument(help="Name of the dump.")],
    tool: Annotated[str, typer.Option("--format", help="argilla or label_studio.")] = "argilla",
    budget: Annotated[
        int | None,
        typer.Option(help="Rows people look at: those on which the teacher's nine votes differ most.", min=0),
    ] = None,
    most: Annotated[
        int | None, typer.Option(help="Rows looked at at all, chosen by a hash of their ids.", min=1)
    ] = None,
    people: Annotated[int, typer.Option(help="People asked about each row.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option(help="File to write; else review-DUMP.json here.")] = None,
) -> None:
    """Write the kept instructions of a dump for people to review, with form; with a budget a teacher votes first."""
    from types import SimpleNamespace

    from mmpipe.assets.resources import build_resources, collect_knobs
    from mmpipe.commands.review import export_review
    from mmpipe.storage.lake import Lake

    open_project()
    path = (out or Path(f"review-{dump}.json")).absolute()
    knobs = collect_knobs(SimpleNamespace(**build_resources(os.environ))) if budget is not None else None
    root = os.environ["MMPIPE_LAKE"]
    cache = os.environ.get("MMPIPE_CACHE", f"{root.rstrip('/')}-cache")
    done = export_review(
        Lake(root), dump, path,
        tool=tool, budget=budget, most=most, people_per_row=people, knobs=knobs, cache_folder=cache,
    )  # fmt: skip
    asked = ""
    if done.requests is not None:
        asked = f" {done.requests} requests to the teacher; {done.unparsed} of its votes name no label."
    unseen = f"Of {done.unseen} rows a picture cannot be read: people do not see it.\n" if done.unseen else ""
    OUT.print(
        f"{done.people} rows for people ({done.pictures} with pictures), {done.model} decided by the model, "
        f"{done.nobody} by nobody.{asked}\n{unseen}"
        f"{' and '.join(str(file) for file in done.files)}\n"
        f"When they are labelled: mmpipe review merge FILE...",
        soft_wrap=True,
    )


@review_commands.command("merge")
def review_merge(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="What the tool exported, as JSON; none: what the model decided."),
    ] = None,
    dump: Annotated[str | None, typer.Option(help="Name of the dump, where the files do not say it.")] = None,
    annotator: Annotated[
        str | None, typer.Option(help="Who gave all answers of the files, whatever number the tool gives the person.")
    ] = None,
) -> None:
    """Add people's answers to those merged before, with how far people and model agree; a bad record stops it."""
    from mmpipe.commands.review import describe_merge, merge_reviews
    from mmpipe.storage.lake import Lake

    open_project()
    merge = merge_reviews(Lake(os.environ["MMPIPE_LAKE"]), files or [], dump, annotator)
    OUT.print("\n".join(describe_merge(merge)), soft_wrap=True, markup=False)
