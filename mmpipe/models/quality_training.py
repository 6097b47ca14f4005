"""Trains a quality classifier from two sets of texts, and measures it on texts that it has not seen."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
import yaml

from mmpipe.errors import ConfigurationError
from mmpipe.models.fasttext_training import train_fasttext
from mmpipe.models.quality import (
    LABEL,
    MODEL_FILE,
    NEGATIVE,
    POSITIVE,
    QualityClassifier,
    batch_lines,
    normalize_quality_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

REPORT_FILE, RECIPE_FILE = "report.json", "recipe.yaml"
#: Shares of the negative set for which the report names a threshold; DCLM keeps a tenth of its pool.
KEPT_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_PARTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """How a quality classifier is trained; every field changes the model.

    Attributes:
        word_ngrams: words of the longest n-gram that counts as a feature (2: DCLM, Li et al. 2024, arXiv 2406.11794,
            section 4.4, found bigrams better than single words).
        learning_rate: of stochastic gradient descent, falling to 0 (0.1: fastText's own for classifiers).
        epochs: passes over the texts (5: fastText's own).
        dimensions: of the word vectors (100: fastText's own).
        least_count: a word that occurs less often is no feature of its own (1: fastText's own).
        buckets: hash buckets of n-grams (2,000,000: fastText's own); with the words, times dimensions, times 4 bytes,
            this is the size of the model.
        held_out: share of the texts that is kept from training and measured, chosen by a hash of the text.
        least_texts: texts that each set must hold.
        most_overlap: texts that stand in both sets say nothing and are left out; above this share of the smaller set
            the sets are refused.
        seed: of the order of texts and the first vectors.
    """

    word_ngrams: int = 2
    learning_rate: float = 0.1
    epochs: int = 5
    dimensions: int = 100
    least_count: int = 1
    buckets: int = 2_000_000
    held_out: float = 0.1
    least_texts: int = 100
    most_overlap: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        whole = (self.word_ngrams, self.epochs, self.dimensions, self.least_count, self.buckets)
        if min(whole) < 1:
            raise ConfigurationError("Quality settings: whole numbers must be 1 or more.")
        if not (0 < self.held_out < 1 and 0 <= self.most_overlap <= 1 and self.learning_rate > 0):
            raise ConfigurationError("Quality settings: held_out must be in (0, 1), most_overlap in [0, 1].")


@dataclass(frozen=True, slots=True)
class TrainedQuality:
    """A trained classifier: its folder (named for its digest, with MODEL_FILE, REPORT_FILE, RECIPE_FILE) and report."""

    folder: Path
    digest: str
    report: dict[str, Any]


def train_quality_classifier(
    positive: Iterable[str],
    negative: Iterable[str],
    folder: Path,
    settings: QualitySettings | None = None,
    *,
    sources: Mapping[str, Any] | None = None,
) -> TrainedQuality:
    """Train a classifier on two sets of texts, and measure it on texts it has not seen.

    Equal sets and settings give the same bytes, whatever the order of the texts: each set is deduplicated, shuffled
    by a hash, and trained on one thread. Texts lie on disk, not in memory.

    Args:
        positive: texts as wanted, such as DCLM's instructions and explanations.
        negative: texts of the pool that will be scored.
        folder: where `quality_classifier/{digest}/` is made; a model that is there already stays as it is.
        settings: how; None for the defaults.
        sources: where the texts are from, written into the model's recipe.

    Raises:
        ConfigurationError: a set is empty or too small, the sets overlap, or the training diverged.
    """
    settings = settings or QualitySettings()
    start = time.monotonic()
    home = folder / "quality_classifier"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=home) as scratch:
        sets = [_lay_out(texts, name, Path(scratch), settings) for name, texts in _name(positive, negative)]
        overlap = _refuse_bad_sets(sets[0], sets[1], settings)
        lines, held_out = Path(scratch) / "lines.txt", Path(scratch) / "held_out.txt"
        counts = _divide(Path(scratch), lines, held_out, overlap, settings)
        made = Path(scratch) / "made"
        made.mkdir()
        train_fasttext(
            lines,
            made / MODEL_FILE,
            {
                "wordNgrams": settings.word_ngrams,
                "lr": settings.learning_rate,
                "epoch": settings.epochs,
                "dim": settings.dimensions,
                "minCount": settings.least_count,
                "bucket": settings.buckets,
                "seed": settings.seed,
                "loss": "softmax",
            },
        )
        classifier = QualityClassifier(made)
        report: dict[str, Any] = {
            "digest": classifier.digest,
            "texts": dict(counts),
            "repeated": {found.name: found.repeated for found in sets},
            "empty": {found.name: found.empty for found in sets},
            "overlapping": len(overlap),
            "held_out": measure_held_out(*_score_lines(classifier, held_out)),
            "seconds": round(time.monotonic() - start, 1),
        }
        recipe = {"settings": asdict(settings), "sources": dict(sources or {}), "fasttext": version("fasttext")}
        (made / REPORT_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
        (made / RECIPE_FILE).write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
        target = home / classifier.digest
        if not target.is_dir():
            shutil.move(made, target)
    return TrainedQuality(target, classifier.digest, report)


def measure_held_out(scores: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what a classifier is worth on texts it has not seen.

    Precision, recall and accuracy are at 0.5; `auc` is the chance that a positive text scores above a negative one,
    ties counted half. `thresholds` has for each share of the negative texts (the pool) the lowest score that keeps no
    more of them, and the share of the positive ones it keeps.

    Args:
        scores: probability of the wanted class, one per text.
        is_positive: whether the text is of the wanted set; some must be and some not.
    """
    good, rest = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    chosen = scores >= 0.5
    hits = int((chosen & is_positive).sum())
    below = np.searchsorted(rest, good, side="left") + np.searchsorted(rest, good, side="right")
    thresholds = []
    for share in KEPT_SHARES:
        least = float(np.nextafter(rest[::-1][int(share * len(rest))], np.inf))
        kept = float((rest >= least).mean())
        thresholds.append(
            {"share": share, "least_score": least, "negative_kept": kept, "recall": float((good >= least).mean())}
        )
    return {
        "positive": len(good),
        "negative": len(rest),
        "precision": hits / int(chosen.sum()) if chosen.any() else None,
        "recall": hits / len(good),
        "accuracy": float((chosen == is_positive).mean()),
        "auc": float(below.mean() / (2 * len(rest))),
        "thresholds": thresholds,
    }


@dataclass(slots=True)
class _TextSet:
    name: str
    keys: set[int] = field(default_factory=set)
    repeated: int = 0
    empty: int = 0


def _name(positive: Iterable[str], negative: Iterable[str]) -> tuple[tuple[str, Iterable[str]], ...]:
    return (POSITIVE, positive), (NEGATIVE, negative)


def _lay_out(texts: Iterable[str], name: str, scratch: Path, settings: QualitySettings) -> _TextSet:
    """Write each text once, as a line under its hash, into the part file that its hash names."""
    found = _TextSet(name)
    parts = [(scratch / f"part-{part:02d}").open("a", encoding="utf-8", newline="\n") for part in range(_PARTS)]
    try:
        for text in texts:
            line = normalize_quality_text(text)
            if not line:
                found.empty += 1
                continue
            key = xxhash.xxh3_128_intdigest(line.encode(), seed=settings.seed)
            if key in found.keys:
                found.repeated += 1
                continue
            found.keys.add(key)
            parts[key >> 122].write(f"{key:032x} {LABEL}{name} {line}\n")
    finally:
        for part in parts:
            part.close()
    return found


def _refuse_bad_sets(positive: _TextSet, negative: _TextSet, settings: QualitySettings) -> set[int]:
    """Return the keys that stand in both sets.

    Raises:
        ConfigurationError: a set is too small, or the sets are too much alike.
    """
    overlap = positive.keys & negative.keys
    smaller = min(len(positive.keys), len(negative.keys))
    if smaller and len(overlap) > settings.most_overlap * smaller:
        raise ConfigurationError(
            f"Quality classifier: {len(overlap)} texts stand in both sets ({len(positive.keys)} positive, "
            f"{len(negative.keys)} negative): nothing tells them apart. Give two different sets."
        )
    for found in (positive, negative):
        left = len(found.keys) - len(overlap)
        if left < settings.least_texts:
            raise ConfigurationError(
                f"Quality classifier: the {found.name} set has {left} distinct texts with words ({found.empty} empty, "
                f"{found.repeated} repeated, {len(overlap)} also in the other set); it needs {settings.least_texts}."
            )
    return overlap


def _divide(scratch: Path, lines: Path, held_out: Path, overlap: set[int], settings: QualitySettings) -> Counter[str]:
    """Write the training lines in the order of their hashes, and the held-out ones apart; return counts."""
    counts: Counter[str] = Counter()
    with (
        lines.open("w", encoding="utf-8", newline="\n") as training,
        held_out.open("w", encoding="utf-8", newline="\n") as rest,
    ):
        for part in sorted(scratch.glob("part-*")):
            for line in sorted(part.read_text(encoding="utf-8").split("\n")[:-1]):
                key = int(line[:32], 16)
                if key in overlap:
                    continue
                # the low bits: the high ones are the order
                is_held_out = (key & 0xFFFFFFFF) < settings.held_out * 2**32
                label = line[33:].split(" ", 1)[0].removeprefix(LABEL)
                counts[f"{label}_{'held_out' if is_held_out else 'trained'}"] += 1
                (rest if is_held_out else training).write(line[33:] + "\n")
            part.unlink()
    for name in (POSITIVE, NEGATIVE):
        if not counts[f"{name}_held_out"] or not counts[f"{name}_trained"]:
            raise ConfigurationError(
                f"Quality classifier: with held_out {settings.held_out} of {counts.total()} texts, no {name} text is "
                f"left to {'measure' if counts[f'{name}_trained'] else 'train'} with. Give more texts."
            )
    return counts


def _score_lines(classifier: QualityClassifier, file: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores: list[float] = []
    is_positive: list[bool] = []
    with file.open(encoding="utf-8", newline="\n") as stream:
        for batch in batch_lines(line.removesuffix("\n") for line in stream):
            labels, texts = zip(*(line.split(" ", 1) for line in batch), strict=True)
            is_positive += [label == LABEL + POSITIVE for label in labels]
            # what has no prediction is kept by no threshold
            scores += [score or 0.0 for score in classifier.score(texts)]
    return np.array(scores), np.array(is_positive)
