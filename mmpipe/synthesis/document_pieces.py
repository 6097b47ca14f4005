"""Cuts a document at sentence borders into pieces of at most so many tokens; the pieces joined are the document.

Tokens are counted by a function given by the caller, since tokenizers live among the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.passages import split_sentences

#: Tokens of each text.
CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a document: its text without outer white space, and the white space around it.

    `before + text + after` of all pieces in order is the document, character by character.
    """

    text: str
    before: str
    after: str
    position: int


def cut_pieces(text: str, most_tokens: int, count_tokens: CountTokens) -> list[Piece]:
    """Return the pieces of `text`, each of at most `most_tokens` tokens, whole sentences wherever one fits.

    A sentence that does not fit alone is cut at white space, and where that does not help (scripts without spaces)
    between characters. A document of white space only has no piece.

    Args:
        text: a document.
        most_tokens: of a piece's text, counted as one text.
        count_tokens: tokens of each text; a text that is longer never has fewer by much, or cuts are needlessly short.

    Raises:
        ConfigurationError: `most_tokens` is below 1, or one character alone has more tokens than that.
    """
    if most_tokens < 1:
        raise ConfigurationError(f"A piece must hold at least one token, not {most_tokens}.")
    units = _list_units(text, most_tokens, count_tokens)
    sizes = count_tokens([unit.strip() for unit in units])
    pieces: list[Piece] = []
    place = 0
    while place < len(units):
        taken, tokens = 1, sizes[place]
        while place + taken < len(units) and tokens + sizes[place + taken] <= most_tokens:
            tokens += sizes[place + taken]
            taken += 1
        # tokens of the parts need not add up to those of the whole: what was joined is counted again
        while taken > 1 and count_tokens(["".join(units[place : place + taken]).strip()])[0] > most_tokens:
            taken -= 1
        pieces.append(_make_piece("".join(units[place : place + taken]), len(pieces)))
        place += taken
    return pieces


def _make_piece(raw: str, position: int) -> Piece:
    text = raw.strip()
    start = raw.index(text)
    return Piece(text, raw[:start], raw[start + len(text) :], position)


def _list_units(text: str, most_tokens: int, count_tokens: CountTokens) -> list[str]:
    """Return runs of `text` that tile it, none of white space only: sentences, or parts of those too long."""
    starts, cursor = [], 0
    for sentence in split_sentences(text):
        cursor = text.index(sentence, cursor)
        starts.append(cursor)
        cursor += len(sentence)
    if not starts:
        return []
    starts[0] = 0
    sentences = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    sizes = count_tokens([sentence.strip() for sentence in sentences])
    units: list[str] = []
    for sentence, size in zip(sentences, sizes, strict=True):
        units.extend([sentence] if size <= most_tokens else _cut_sentence(sentence, most_tokens, count_tokens))
    return units


def _cut_sentence(sentence: str, most_tokens: int, count_tokens: CountTokens) -> list[str]:
    parts = []
    while count_tokens([sentence.strip()])[0] > most_tokens:
        low, high = 0, len(sentence)
        # the longest start that fits, by halving
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count_tokens([sentence[:middle].strip()])[0] <= most_tokens else (low, middle)
        if not sentence[:low].strip():
            raise ConfigurationError(f"One character has more than {most_tokens} tokens; allow more per piece.")
        spaces = [place for place in range(1, low + 1) if sentence[place - 1].isspace() and sentence[:place].strip()]
        cut = spaces[-1] if spaces else low
        parts.append(sentence[:cut])
        sentence = sentence[cut:]
    if not sentence.strip() and parts:
        parts[-1] += sentence
        return parts
    return [*parts, sentence]
