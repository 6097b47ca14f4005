"""Cuts words and sentences as NLTK does for English: Treebank's rules for words, Punkt's for sentences."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.punctuation import list_punctuation
from mmpipe.filtering.tokens import STOP_WORDS, WordBatch, WordTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.list_references import ListReference

#: Files of a trained Punkt model, as NLTK's `punkt_tab/english` has them.
_MODEL_FILES = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


class NltkWords:
    """NLTK's `word_tokenize` and `sent_tokenize` with a Punkt model of one's own, or with none.

    Without a model Punkt knows no abbreviation: `Mr.` ends a sentence, and its full stop is a word.

    Args:
        model: files of a Punkt model, or nothing.

    Raises:
        ConfigurationError: nltk is not installed, or the model is not whole.
    """

    def __init__(self, model: Sequence[ListReference] = ()) -> None:
        try:
            from nltk.tokenize import NLTKWordTokenizer  # type: ignore[import-untyped]
            from nltk.tokenize.punkt import PunktSentenceTokenizer  # type: ignore[import-untyped]
        except ImportError as error:
            raise ConfigurationError(
                "The dialect fineweb_release counts NLTK's words: install the package nltk, or choose another "
                "text.dialect in the recipe."
            ) from error
        self._sentences: Any = PunktSentenceTokenizer()
        self._words: Any = NLTKWordTokenizer()
        if model:
            self._sentences._params = _read_model(model)  # noqa: SLF001 (NLTK's own PunktTokenizer.load_lang sets it so)

    def split(self, text: str) -> list[str]:
        """Return the words of a text; none holds white space."""
        return [word for sentence in self._sentences.tokenize(text) for word in self._words.tokenize(sentence)]

    def count_sentences(self, lines: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of sentences of each line."""
        return np.fromiter((len(self._sentences.tokenize(line)) for line in lines), np.int64, len(lines))


@lru_cache(maxsize=2)
def load_nltk_words(model: tuple[ListReference, ...] = ()) -> NltkWords:
    """Return this process's tokenizer for a model."""
    return NltkWords(model)


def number_words(texts: Sequence[Sequence[str]]) -> WordBatch:
    """Return words as numbers into a table of the distinct ones.

    Args:
        texts: words of each text.
    """
    numbers: dict[str, int] = {}
    words = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for word in chain.from_iterable(texts)),
        np.int32,
        sum(map(len, texts)),
    )
    punctuation = list_punctuation()
    stop_bits = {word: 1 << bit for bit, word in enumerate(STOP_WORDS)}
    joined = "".join(numbers)
    table = WordTable(
        start=_find_starts([len(word) for word in numbers]),
        characters=np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32),
        is_word=np.array([not punctuation.issuperset(word) for word in numbers], np.uint8),
        is_alphabetic=np.array([any(map(str.isalpha, word)) for word in numbers], np.uint8),
        stop_word=np.array([stop_bits.get(word, 0) for word in numbers], np.uint8),
    )
    return WordBatch(words, _find_starts([len(text) for text in texts]), table)


def _find_starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _read_model(model: Sequence[ListReference]) -> Any:
    from nltk.tokenize.punkt import PunktParameters

    files = {Path(reference.list).name: Path(reference.path) for reference in model}
    missing = [name for name in _MODEL_FILES if name not in files]
    if missing:
        raise ConfigurationError(
            f"text.sentence_model lacks {', '.join(missing)}: name the four files of NLTK's punkt_tab/english."
        )
    rows = {name: files[name].read_text(encoding="utf-8").split("\n") for name in _MODEL_FILES}
    pairs = {name: [tuple(row.split("\t")) for row in rows[name] if "\t" in row] for name in _MODEL_FILES}
    parameters: Any = PunktParameters()
    parameters.abbrev_types = set(rows["abbrev_types.txt"])
    parameters.sent_starters = set(rows["sent_starters.txt"])
    parameters.collocations = set(pairs["collocations.tab"])
    parameters.ortho_context.update((word, int(flags)) for word, flags in pairs["ortho_context.tab"])
    return parameters
