"""Perplexity by an n-gram model of KenLM, with its SentencePiece model where there is one, as in cc_net and BLOOM."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound
from mmpipe.models.fasttext_files import digest_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KENLM_SUFFIXES = (".arpa", ".arpa.gz", ".klm", ".binary", ".bin")
SENTENCEPIECE_SUFFIX = ".sp.model"

# what cc_net (Wenzek et al. 2019, arXiv 1911.00359; `text_normalizer.py`) takes for ASCII punctuation
_PUNCTUATION = str.maketrans(
    {
        "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"',
        "「": '"', "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")",
        "；": ";", "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">",
        "【": "[", "】": "]", "％": "%", "►": "-",
    }
)  # fmt: skip
_DIGIT = re.compile(r"\d")


class KenlmPerplexity:
    """An n-gram model.

    With a SentencePiece model beside it (`{stem}.sp.model`) texts are normalised and cut as cc_net does; without one
    words are what white space divides.

    Args:
        path: the model's file.

    Raises:
        WeightsNotFound: the file is absent or no model, or a package that reads it is not installed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise WeightsNotFound(f"KenLM: no file at {path}. Give the path of an .arpa or binary model.")
        self._path = path
        self._pieces_path = path.with_name(path.name.split(".arpa")[0].removesuffix(".bin") + SENTENCEPIECE_SUFFIX)
        try:
            kenlm: Any = import_module("kenlm")
        except ImportError as error:
            raise WeightsNotFound(
                f"KenLM: {path} needs the package kenlm: `pip install kenlm` (it is compiled, and LGPL), or name a "
                f"model of transformers."
            ) from error
        try:
            self._model: Any = kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise WeightsNotFound(f"KenLM: {path} is no KenLM model ({error}).") from error
        self._pieces = self._load_pieces()

    @cached_property
    def digest(self) -> str:
        """Digits that name the model, and its SentencePiece model."""
        parts = [digest_file(self._path)]
        if self._pieces is not None:
            parts.append(digest_file(self._pieces_path)[:8])
        return "-".join(parts)

    def score(self, texts: Sequence[str]) -> list[float | None]:
        """Return 10^(-log10 probability per token) of each whole text, ends of lines counted as tokens, as cc_net.

        Returns:
            1 or more per text; None for one without words.
        """
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> float | None:
        total, tokens = 0.0, 0
        # lone surrogates cannot cross into C++
        for line in text.encode("utf-8", "ignore").decode().replace("\0", " ").split("\n"):
            words = self._cut(line)
            if words:
                total += self._model.score(" ".join(words))
                tokens += len(words) + 1
        return float(10 ** min(-total / tokens, 300.0)) if tokens else None

    def _cut(self, line: str) -> list[str]:
        if self._pieces is None:
            return line.split()
        return list(self._pieces.encode(normalize_as_cc_net(line), out_type=str))

    def _load_pieces(self) -> Any:
        if not self._pieces_path.is_file():
            return None
        try:
            sentencepiece: Any = import_module("sentencepiece")
        except ImportError as error:
            raise WeightsNotFound(
                f"KenLM: {self._pieces_path} needs the package sentencepiece: `pip install sentencepiece`."
            ) from error
        return sentencepiece.SentencePieceProcessor(model_file=str(self._pieces_path))


def normalize_as_cc_net(line: str) -> str:
    """Return a line as cc_net's models were trained on it: lower case, no accents, digits 0, ASCII punctuation."""
    bare = unicodedata.normalize("NFD", line.strip().lower())
    bare = "".join(character for character in bare if unicodedata.category(character) != "Mn")
    return _DIGIT.sub("0", bare).translate(_PUNCTUATION)
