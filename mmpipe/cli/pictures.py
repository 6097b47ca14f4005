"""`mmpipe pictures`: hashes evaluation images, and trains a score of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmpipe.cli.terminal import ERR, open_project
from mmpipe.errors import ConfigurationError

pictures_commands = typer.Typer(no_args_is_help=True, help="Hash evaluation images; train a score of your own.")


@pictures_commands.command("hash")
def pictures_hash(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, such as an evaluation set's.")],
    out: Annotated[Path, typer.Option(help="List to write, one hash per line.")],
    kind: Annotated[str, typer.Option(help="phash (also other sizes and qualities), sha256 or md5.")] = "phash",
    name: Annotated[str, typer.Option(help="Name of the set, for the head of the list.")] = "",
    licence: Annotated[str, typer.Option(help="Its licence, for the head of the list.")] = "",
) -> None:
    """Hash the pictures of an evaluation set: a recipe that names the list keeps them out of the pairs."""
    from mmpipe.commands.pictures import hash_pictures

    made = hash_pictures(folder, out, kind=kind, name=name, licence=licence)
    for path, status in list(made.unreadable.items())[:5]:
        ERR.print(f"left out: {path} ({status})")
    ERR.print(f"{made.pictures} pictures, {made.hashes} different hashes, {len(made.unreadable)} other files.")
    typer.echo(f"images: {{duplicates: {{evaluation_hashes: [{{list: {made.file.absolute()}}}]}}}}")


@pictures_commands.command("train-score")
def pictures_train_score(
    labels: Annotated[Path, typer.Argument(help="Labelled sample (.csv, .parquet, .jsonl): pair_id and a number.")],
    out: Annotated[Path, typer.Option(help="Folder of the head, for MMPIPE_AESTHETIC, MMPIPE_WATERMARK, MMPIPE_NSFW.")],
    column: Annotated[str, typer.Option(help="Column of the number: 0 and 1, or a rating.")] = "label",
    kind: Annotated[str, typer.Option(help="linear or mlp.")] = "linear",
) -> None:
    """Train a score of pictures on the stored CLIP embeddings of pairs that people labelled."""
    from mmpipe.commands.pictures import train_score
    from mmpipe.storage.lake import Lake

    open_project()
    if kind not in ("linear", "mlp"):
        raise ConfigurationError(f"Unknown kind of head {kind!r}: use linear or mlp.")
    chosen: Literal["linear", "mlp"] = "mlp" if kind == "mlp" else "linear"
    report = train_score(Lake(os.environ["MMPIPE_LAKE"]), labels, out, column=column, kind=chosen)
    typer.echo(
        f"{out}: trained on {report.trained} pictures; {report.measure} {report.value:.3f} on {report.held_out} others."
    )
