"""`mmpipe quality`: trains a quality classifier of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import OUT

quality_commands = typer.Typer(no_args_is_help=True, help="Train a quality classifier of your own.")


@quality_commands.command("train")
def quality_train(
    positive: Annotated[list[Path], typer.Option(help="File or folder of texts as wanted. May repeat.")],
    negative: Annotated[list[Path], typer.Option(help="File or folder of texts of the pool. May repeat.")],
    out: Annotated[Path, typer.Option(help="Folder; the model lands in quality_classifier/DIGEST below it.")],
    field: Annotated[str, typer.Option(help="Field or column that holds the text.")] = "text",
    epochs: Annotated[int, typer.Option(help="Passes over the texts; thousands of texts need 25 or more.", min=1)] = 5,
    learning_rate: Annotated[float, typer.Option(help="Of the first step; thousands of texts need 0.5 or more.")] = 0.1,
    word_ngrams: Annotated[int, typer.Option(help="Words of the longest n-gram.", min=1)] = 2,
    dimensions: Annotated[int, typer.Option(help="Of the word vectors.", min=1)] = 100,
    buckets: Annotated[int, typer.Option(help="Hash buckets of n-grams.", min=1)] = 2_000_000,
    least_texts: Annotated[int, typer.Option(help="Texts that each set must hold.", min=2)] = 100,
    seed: Annotated[int, typer.Option(help="Of the shuffle and the first vectors.")] = 0,
) -> None:
    """Train a fastText classifier of wanted texts against the pool, as DCLM did, and measure it on texts it never saw.

    Files are JSON lines, Parquet, plain text (a text per line), also compressed, or a dataset folder of the lake.
    """
    from mmpipe.commands.quality import print_trained, train_quality
    from mmpipe.models.quality_training import QualitySettings

    settings = QualitySettings(
        word_ngrams=word_ngrams,
        learning_rate=learning_rate,
        epochs=epochs,
        dimensions=dimensions,
        buckets=buckets,
        least_texts=least_texts,
        seed=seed,
    )
    print_trained(OUT, train_quality(positive, negative, out, settings, field))
