"""Chooses passages of a document, whole sentences only, and the sentence of each that shall be asked about."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

# a full stop ends a sentence only before a space and something that can begin one; a mark that closes a quotation or
# bracket belongs to the sentence it closes
_BEGIN = r"(?=[\"'“‘(¿¡]?[^\W\d_a-z]|[\"'“‘(]?\d)"
_SENTENCE_END = re.compile(
    rf"(?<=[.!?…])\s+{_BEGIN}|(?<=[.!?…][\"'”’)])\s+{_BEGIN}|"
    r"(?<=[。！？])(?![。！？”’」』）])|(?<=[。！？][”’」』）])(?![”’」』）])|\n+"
)
_FACT = re.compile(r"\d[\d.,]*|(?<=\s)[^\W\d_a-z]\w+")
# English sentences that begin so lean on the one before; asked about alone, the question would not say about what
_LEANING = re.compile(
    r"(?:It|Its|They|Their|Them|He|His|She|Her|This|These|That|Those|There|We|Our|Here|Such|But|And)\b|"
    r"[它他她这那此其该]|但|而且|因此|所以|我们|それ|これ|この|その|彼|しかし|また|そして"
)
_WIDE_ENDS = ("。", "！", "？", "。”", "！”", "？”", "。」", "！」", "？」", "。』", "。）", "。’")
_ENDS = (".", "!", "?", "…", '."', ".”", '!"', '?"', ".)", "!”", "?”", ".’", "!’", "?’", *_WIDE_ENDS)


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of whole sentences of one document, and one sentence of it. `position` is the first sentence's, from 0."""

    text: str
    sentence: str
    position: int


def split_sentences(text: str) -> list[str]:
    """Return the sentences of `text` in order; a line break always ends one."""
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence and sentence.strip()]


def choose_passages(
    doc_id: str,
    text: str,
    *,
    passages: int,
    passage_chars: tuple[int, int],
    sentence_chars: tuple[int, int],
    seed: int,
) -> list[Passage]:
    """Return up to `passages` passages that do not overlap, each with the sentence best asked about.

    That is one that does not lean on the sentence before it, and then the one with the most facts, counted as numbers
    and capitalised words inside the sentence. Which passages are taken depends on the
    document's id and the seed alone, so it does not change with the other documents or their order.

    Args:
        doc_id: id of the document.
        text: its text.
        passages: most passages.
        passage_chars: fewest and most characters of a passage, as `measure_length` counts them.
        sentence_chars: fewest and most characters of the sentence asked about.
        seed: another seed, another choice.
    """
    candidates: list[Passage] = []
    sentences = [sentence for sentence in split_sentences(text) if sentence.endswith(_ENDS)]
    place = 0
    while place < len(sentences):
        taken, length = 0, 0
        for sentence in sentences[place:]:
            more = measure_length(sentence)
            if length + more > passage_chars[1] or (taken and length >= passage_chars[0]):
                break
            taken, length = taken + 1, length + more + (not sentence.endswith(_WIDE_ENDS))
        some = sentences[place : place + taken]
        askable = [sentence for sentence in some if sentence_chars[0] <= measure_length(sentence) <= sentence_chars[1]]
        if askable and length >= passage_chars[0]:
            best = max(askable, key=lambda sentence: (*_rate(sentence), -some.index(sentence)))
            candidates.append(Passage(_join(some), best, place))
        place += max(taken, 1)
    ranked = sorted(candidates, key=lambda passage: make_id("passage", seed, doc_id, passage.position))
    return sorted(ranked[:passages], key=lambda passage: passage.position)


def measure_length(text: str) -> int:
    """Return the characters of a text; wide ones (Chinese, Japanese, Korean) count twice, as they say about as much."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _join(sentences: Sequence[str]) -> str:
    # no space stands behind a wide full stop
    return "".join(
        sentence if place == 0 or sentences[place - 1].endswith(_WIDE_ENDS) else f" {sentence}"
        for place, sentence in enumerate(sentences)
    )


def _rate(sentence: str) -> tuple[bool, int]:
    return _LEANING.match(sentence) is None, len(_FACT.findall(sentence))
