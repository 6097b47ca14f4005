"""Trains a quality classifier from the user's own files, and says what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from mmpipe.models.quality_training import QualitySettings, TrainedQuality

#: Texts of each set below which a share of 1 % is less than one text.
LEAST_HELD_OUT = 100


def train_quality(
    positive: Sequence[Path], negative: Sequence[Path], out: Path, settings: QualitySettings, field: str
) -> TrainedQuality:
    """Train; see `lanes.quality_classifier.train_from_files`.

    Raises:
        ConfigurationError: a set has no file, or what training from files raises.
    """
    from mmpipe.lanes.quality_classifier import train_from_files

    for name, files in (("--positive", positive), ("--negative", negative)):
        if not files:
            raise ConfigurationError(f"Name at least one file or folder with {name}.")
    return train_from_files(positive, negative, out, settings, field=field)


def print_trained(console: Console, trained: TrainedQuality) -> None:
    """Print where the classifier is and how it does on the texts it has not seen."""
    held_out: dict[str, Any] = trained.report["held_out"]
    texts = trained.report["texts"]
    console.print(f"[bold]{trained.digest}[/] in {escape(str(trained.folder))}", soft_wrap=True)
    console.print(
        f"trained on {texts['positive_trained']:,} positive and {texts['negative_trained']:,} negative texts, "
        f"measured on {held_out['positive']:,} and {held_out['negative']:,} others"
    )
    figures = {name: held_out[name] for name in ("precision", "recall", "accuracy", "auc")}
    console.print("  ".join(f"{name} {'—' if value is None else f'{value:.4f}'}" for name, value in figures.items()))
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("keep of the pool", "quality_score at least", "of the positive kept"):
        grid.add_column(column, justify="right")
    for row in held_out["thresholds"]:
        grid.add_row(f"{row['share']:.0%}", f"{row['least_score']:.6f}", f"{row['recall']:.1%}")
    console.print(grid)
    fewest = min(held_out["positive"], held_out["negative"])
    if fewest < LEAST_HELD_OUT:
        console.print(f"[yellow]Only {fewest} texts of one set were held out: take these limits as rough.[/]")
    console.print(
        f"Use it: MMPIPE_QUALITY={escape(str(trained.folder))}, and a recipe with scores: {{quality: true}} and a rule "
        "on quality_score, such as dclm's.",
        soft_wrap=True,
    )
