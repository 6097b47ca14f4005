"""A quality classifier from files: reads the two sets, trains, and lands the model under its digest."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from mmpipe.storage.text_files import list_text_files, read_texts

_HOME, _CURRENT = "quality_classifier", "current"

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmpipe.models.quality_training import QualitySettings, TrainedQuality


def train_from_files(
    positive: Sequence[Path],
    negative: Sequence[Path],
    folder: Path,
    settings: QualitySettings | None = None,
    *,
    field: str = "text",
) -> TrainedQuality:
    """Train a quality classifier and land it in `{folder}/quality_classifier/{digest}/`.

    Args:
        positive: files or folders of texts as wanted (`storage.text_files`: JSON lines, Parquet, a lake's dataset,
            plain text).
        negative: files or folders of texts of the pool.
        folder: where the classifiers are, each under its digest.
        settings: how it is trained; None for the defaults.
        field: field or column that holds the text.

    Raises:
        ConfigurationError: a file cannot be read, or a set is empty, too small, or like the other.
    """
    from mmpipe.models.quality_training import train_quality_classifier

    sources = {"positive": _describe(positive), "negative": _describe(negative), "field": field}
    trained = train_quality_classifier(
        chain.from_iterable(read_texts(source, field) for source in positive),
        chain.from_iterable(read_texts(source, field) for source in negative),
        folder,
        settings,
        sources=sources,
    )
    unfinished = folder / _HOME / f".{_CURRENT}-{trained.digest}"
    unfinished.write_text(trained.digest, encoding="utf-8")
    unfinished.replace(folder / _HOME / _CURRENT)
    return trained


def find_quality_weights(named: str, folder: Path) -> str:
    """Return the classifier that is named, else the one trained last in a folder; empty if there is none."""
    current = folder / _HOME / _CURRENT
    if named or not current.is_file():
        return named
    return str(folder / _HOME / current.read_text(encoding="utf-8").strip())


def _describe(sources: Sequence[Path]) -> list[dict[str, Any]]:
    from mmpipe.models.fasttext_files import digest_file

    files = [file for source in sources for file in list_text_files(source)]
    return [{"file": str(file), "bytes": file.stat().st_size, "sha256": digest_file(file)} for file in files]
