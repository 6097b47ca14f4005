"""Commands that ask what was made: `mmpipe explain`, `trace`, `judge`, `estimate`, `report`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import OUT, open_project


def explain(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A doc_id, pair_id, instruction_id, …, its first 6 digits or more, or a URL."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the fate of a row at every stage, with measured values and the limits they broke."""
    from mmpipe.commands.explain import explain as find_fates
    from mmpipe.commands.printing import print_fate
    from mmpipe.storage.lake import Lake

    open_project()
    fates = find_fates(Lake(os.environ["MMPIPE_LAKE"]), wanted)
    if as_json:
        typer.echo(json.dumps([fate.to_json() for fate in fates], indent=1, ensure_ascii=False))
        return
    for fate in fates:
        print_fate(OUT, fate)


def trace(
    row_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of any published row, such as one of sft_dataset, or its first 6 digits or more."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Walk from a row back to the crawl records it was made from."""
    from mmpipe.commands.printing import print_origin
    from mmpipe.commands.trace import trace as find_origin
    from mmpipe.storage.lake import Lake

    open_project()
    origin = find_origin(Lake(os.environ["MMPIPE_LAKE"]), row_id, os.environ["MMPIPE_RECIPE"])
    if as_json:
        typer.echo(json.dumps(origin.to_json(), indent=1, ensure_ascii=False))
    else:
        print_origin(OUT, origin)


def judge(
    recipe: Annotated[str | None, typer.Option(help="Recipe to judge by; else the project's (MMPIPE_RECIPE).")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="rule.limit=value, as gopher_word_count.low=80. May repeat.")
    ] = None,
    lane: Annotated[str, typer.Option(help="text or images.")] = "text",
    dump: Annotated[str | None, typer.Option(help="One dump; else all.")] = None,
) -> None:
    """Ask what other limits would keep: judges the stored signals again in seconds, and writes nothing."""
    from mmpipe.commands.judge import judge_again
    from mmpipe.commands.printing import print_what_if
    from mmpipe.storage.lake import Lake

    open_project()
    answer = judge_again(
        Lake(os.environ["MMPIPE_LAKE"]),
        lane=lane,
        dump=dump,
        current=os.environ["MMPIPE_RECIPE"],
        recipe=recipe,
        overrides=overrides or [],
    )
    print_what_if(OUT, answer)


def estimate(
    dump: Annotated[str, typer.Argument(help="Name of a dump whose corpus and pairs are made.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe; else the project's (MMPIPE_RECIPE).")] = None,
) -> None:
    """Say what the synthesis of a dump would ask the teachers and cost, method by method. Nobody is asked."""
    from mmpipe.commands.estimate import estimate_dump, print_estimates

    open_project()
    print_estimates(OUT, estimate_dump(dump, recipe or os.environ["MMPIPE_RECIPE"], os.environ))


def report(
    dump: Annotated[str, typer.Argument(help="Name of the dump.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; else report-DUMP.html in var/reports of the project.")
    ] = None,
    lane: Annotated[str, typer.Option(help="text, images or instructions.")] = "text",
    labels: Annotated[
        Path | None,
        typer.Option(help="Labelled sample of pairs (.csv, .parquet, .jsonl) that rules are compared with."),
    ] = None,
) -> None:
    """Write what became of a dump's text, pictures or instructions as one HTML page, with samples."""
    from mmpipe.commands.report import save_report
    from mmpipe.storage.lake import Lake

    reports = open_project().folder / "var" / "reports"
    root = os.environ["MMPIPE_LAKE"]
    name = f"report-{dump}.html" if lane == "text" else f"report-{dump}-{lane}.html"
    path = save_report(
        Lake(root),
        dump,
        (out or reports / name).absolute(),
        lane=lane,
        labels=labels,
        cache_folder=os.environ.get("MMPIPE_CACHE", f"{root.rstrip('/')}-cache"),
    )
    typer.echo(f"{path}: open it in a browser; it holds everything it shows.")
