"""Tells good text from the rest: a fastText classifier of two sets of texts (`quality_training` trains one)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, WeightsNotFound, name_nearest
from mmpipe.models.fasttext_files import SEPARATORS, digest_file, load_fasttext, make_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

POSITIVE, NEGATIVE = "positive", "negative"
MODEL_FILE = "model.bin"
#: What fastText's labels begin with.
LABEL = "__label__"
#: Names of the wanted class, ours first, then that of DCLM's published classifier.
POSITIVE_LABELS = (POSITIVE, "hq")
_BATCH_CHARS = 1 << 24


class QualityClassifier:
    """A fastText classifier of two or more classes of which one is wanted.

    Args:
        path: a folder of `train_quality_classifier`, or any fastText model file.
        positive_label: the wanted class, without fastText's prefix; None for `positive` or DCLM's `hq`.

    Raises:
        WeightsNotFound: no such file, or no fastText classifier.
        ConfigurationError: the model has no such class.
    """

    def __init__(self, path: Path | str, positive_label: str | None = None) -> None:
        self.path = _find_model_file(Path(path).expanduser())
        advice = "Train one: mmpipe quality train --positive FILE --negative FILE --out FOLDER."
        self._model = load_fasttext(self.path, "Quality classifier", advice)
        labels = [label.removeprefix(LABEL) for label in self._model.get_labels()]
        wanted = (positive_label,) if positive_label is not None else POSITIVE_LABELS
        found = [label for label in wanted if label in labels]
        if not found:
            raise ConfigurationError(
                f"Quality classifier {self.path}: no class {' or '.join(wanted)}.{name_nearest(wanted[0], labels)} "
                f"Name the wanted class by its label."
            )
        self.positive_label = found[0]
        self._classes = len(labels)

    @cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the weights, with the wanted class where it is not ours."""
        weights = digest_file(self.path)
        return weights if self.positive_label == POSITIVE else f"{weights}-{self.positive_label}"

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return the probability of the wanted class for each text, 0 to 1; None for one without words.

        Args:
            texts: any strings; normalised as in training (`normalize_quality_text`).
        """
        scores: list[float | None] = []
        for batch in batch_lines(map(normalize_quality_text, texts)):
            present = [line for line in batch if line]
            predicted = iter(zip(*self._model.predict(present, k=self._classes), strict=True) if present else ())
            scores += [self._read(*next(predicted)) if line else None for line in batch]
        return scores

    def _read(self, labels: list[str], scores: Any) -> float | None:
        found = dict(zip(labels, map(float, scores), strict=True))
        # a text of words that are no feature has no prediction at all
        return min(found.get(LABEL + self.positive_label, 0.0), 1.0) if found else None


def normalize_quality_text(text: str) -> str:
    """Return a text as the classifier reads it, in training and after: one line, as DCLM joins its lines.

    What fastText takes for its own marks (a label, the end of a line) is taken apart, so that no text can write its
    class into itself. Empty for a text without words.
    """
    # surrogates first: what stood on both sides of one may be a mark together
    whole = text if text.isascii() else text.encode("utf-8", "ignore").decode()
    line = " ".join(whole.strip(_EDGES).splitlines()).replace(LABEL, "label ").replace("</s>", "< /s>")
    return make_line(line).strip(_EDGES)


#: What neither Python's lines nor fastText's words begin or end with.
_EDGES = SEPARATORS + "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


def batch_lines(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines in lists of so many characters that memory stays flat."""
    batch: list[str] = []
    chars = 0
    for line in lines:
        batch.append(line)
        chars += len(line)
        if chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _find_model_file(path: Path) -> Path:
    if path.is_file() or not path.is_dir():
        return path
    made = path / MODEL_FILE
    if made.is_file():
        return made
    # the folder that `mmpipe quality train --out` was given: the classifier trained last in it
    current = path / "quality_classifier" / "current"
    if current.is_file():
        return path / "quality_classifier" / current.read_text(encoding="utf-8").strip() / MODEL_FILE
    raise WeightsNotFound(
        f"Quality classifier: neither {MODEL_FILE} nor quality_classifier/current in the folder {path}. Give a model's "
        f"own folder, or the one that `mmpipe quality train --out` wrote to."
    )
