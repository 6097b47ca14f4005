"""Keeps a pool of instructions apart by ROUGE-L: exact scores of a new text against all of them, near ones refused.

Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 2.2) adds an instruction only if its ROUGE-L with every other
of the pool, human and machine, is below 0.7; its program keeps one of 0.7. ROUGE-L is the F1 of Lin 2004, and scores
are to the last bit those of the package rouge_score (`RougeScorer(["rougeL"], use_stemmer=False)`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mmpipe.errors import ConfigurationError
from mmpipe.tables.similarity import Similar, Similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tokenizer = Literal["rouge_score", "unspaced"]

_RUN = re.compile(r"[a-z0-9]+")

#: Scripts written without spaces between words: of a text in them rouge_score sees no token at all.
_UNSPACED = (
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0x20000, 0x323AF),  # Han
    (0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F),  # kana
    (0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x0F00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0x1780, 0x17FF),  # Burmese, Khmer
)  # fmt: skip


def tokenize(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the tokens of a text.

    `rouge_score`: lower case, runs of a-z and 0-9; everything else parts them. `unspaced`: lower case, each letter of a
    script without spaces (Han, kana, Thai, Lao, Tibetan, Burmese, Khmer) with its marks, and runs of letters, marks and
    digits of all other scripts. Of text in ASCII both make the same.
    """
    return (_RUN if tokenizer == "rouge_score" else _compile_unspaced()).findall(text.lower())


@lru_cache(maxsize=1)
def _compile_unspaced() -> re.Pattern[str]:
    codes = sorted(code for first, last in _UNSPACED for code in range(first, last + 1))
    kinds = {code: unicodedata.category(chr(code)) for code in codes}
    letters = [code for code in codes if kinds[code][0] == "L" or kinds[code] == "Nl"]  # 〇 is a letter, digits are not
    marks = [code for code in codes if kinds[code][0] == "M"]
    alone, joined = f"[{_write_ranges(letters)}]", f"[{_write_ranges(marks)}\u0300-\u036f\u3099\u309a]"
    return re.compile(rf"{alone}{joined}*|(?:(?!{alone})[^\W_]{joined}*)+")


def _write_ranges(codes: Sequence[int]) -> str:
    """Return ascending code points as ranges: letter by letter, forty thousand are gone through for each character."""
    starts = [code for code, before in zip(codes, (-2, *codes), strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, (*codes[1:], -1), strict=True) if code + 1 != after]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(starts, ends, strict=True))


class RougePool:
    """A pool of texts that no new one may be too like.

    Every text costs 16 bytes and 4 per token; its words are not kept.

    Args:
        threshold: highest score with any text of the pool that a text may have to be taken in; 0.7 is Self-Instruct's.
        tokenizer: what texts are compared by; see `tokenize`.
        most_similar: how many of the most similar texts `measure` names; Self-Instruct stores 10.

    Raises:
        ConfigurationError: the threshold is not within 0 and 1, or the tokenizer is unknown.
    """

    def __init__(self, threshold: float = 0.7, *, tokenizer: Tokenizer = "rouge_score", most_similar: int = 10) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"ROUGE-L pool: threshold must be within 0 and 1, not {threshold}.")
        if tokenizer not in get_args(Tokenizer):
            raise ConfigurationError(
                f"ROUGE-L pool: tokenizer must be one of {', '.join(get_args(Tokenizer))}, not {tokenizer!r}."
            )
        self._threshold = threshold
        self._tokenizer: Tokenizer = tokenizer
        self._most_similar = most_similar
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._tokens = np.empty(0, dtype=np.int32)
        self._starts = np.zeros(1, dtype=np.int64)
        #: Pairs whose longest common subsequence `add_all` computed so far.
        self.compared = 0

    def __len__(self) -> int:
        return len(self._names)

    @property
    def threshold(self) -> float:
        """Highest score with any text of the pool that a new one may have."""
        return self._threshold

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the texts, in the order they were added."""
        return tuple(self._names)

    def measure(self, text: str) -> Similarity:
        """Return how alike a text is to those of the pool: exact ROUGE-L F1 with each of them.

        A text without a token is like none.
        """
        from mmpipe.deduplication.rouge_kernels import score_all

        if not self._names:
            return Similarity(0.0, 0.0, ())
        numbers = [self._numbers.get(token, -1) for token in tokenize(text, self._tokenizer)]
        used = self._starts[: len(self) + 1]
        scores = score_all(
            np.array(numbers, dtype=np.int32), self._tokens[: used[-1]], used, max(1, len(self._numbers))
        )
        order = np.argsort(-scores, kind="stable")[: self._most_similar]
        nearest = tuple(Similar(self._names[place], float(scores[place])) for place in order)
        return Similarity(float(scores.max()), float(scores.mean()), nearest)

    def add(self, text: str, name: str) -> None:
        """Take a text in, whatever it is like."""
        self._append(self._number([text]))
        self._names.append(name)

    def add_all(self, texts: Sequence[str], names: Sequence[str]) -> list[Similar | None]:
        """Take in, one by one in the order given, each text whose score with none of the pool is above the threshold.

        What was taken in belongs to the pool for those after it. The decisions are those of comparing every pair; most
        pairs are spared by a bound on what they can have in common.

        Returns:
            For each text None if it was taken in, else the text of the pool it is most like (the first of equally
            like ones) and their score.
        """
        from mmpipe.deduplication.rouge_kernels import mark_tokens, thin_greedily

        new = self._number(texts)
        settled = len(self)
        sizes = np.array([len(tokens) for tokens in new], dtype=np.int64)
        tokens = np.concatenate([self._tokens[: self._starts[settled]], *new]).astype(np.int32, copy=False)
        starts = np.concatenate([self._starts[: settled + 1], self._starts[settled] + np.cumsum(sizes)])
        marks = mark_tokens(tokens, starts)
        nearest, scores, compared = thin_greedily(
            tokens, starts, marks, settled, max(1, len(self._numbers)), self._threshold
        )
        self.compared += int(compared)
        all_names = [*self._names, *names]
        taken = [place for place in range(len(new)) if nearest[settled + place] < 0]
        self._append([new[place] for place in taken])
        self._names.extend(names[place] for place in taken)
        return [
            None if other < 0 else Similar(all_names[other], float(score))
            for other, score in zip(nearest[settled:], scores[settled:], strict=True)
        ]

    def _number(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the token numbers of texts; new tokens get the next numbers."""
        numbers = self._numbers
        return [
            np.array(
                [numbers.setdefault(token, len(numbers)) for token in tokenize(text, self._tokenizer)], dtype=np.int32
            )
            for text in texts
        ]

    def _append(self, new: Sequence[NDArray[np.int32]]) -> None:
        """Write token numbers behind those of the pool; room is doubled, so that a pool of n costs n, not n squared."""
        count = len(self)
        sizes = np.array([len(tokens) for tokens in new], dtype=np.int64)
        begin = int(self._starts[count])
        end = begin + int(sizes.sum())
        self._tokens = _make_room(self._tokens, end)
        self._starts = _make_room(self._starts, count + 1 + len(new))
        if len(new):
            self._tokens[begin:end] = np.concatenate(new)
            self._starts[count + 1 : count + 1 + len(new)] = begin + np.cumsum(sizes)


def _make_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the array, or a copy with room for at least `size` numbers and twice as many as before."""
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
