"""Cuts texts into white-space chunks, and chunks into words by their shape, in compiled loops: most need no spaCy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from mmpipe.filtering.unicode_classes import CLASS_MASK, IS_LETTER, IS_SPACE, IS_WORD, NUMERIC

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What a chunk is, beside a shape's number: cut nowhere, or to be asked of spaCy.
WHOLE, DOUBTFUL = -1, -2

#: Most words of a chunk that is cut by its shape; beyond, the check for special cases costs more than spaCy.
MOST_WORDS = 6

_SHORT_RUN = 3
_LOWER, _UPPER, _DIGIT = ord("q"), ord("Q"), ord("7")
_APOSTROPHE, _RIGHT_QUOTE = ord("'"), ord("’")
_DOT, _WIDE_DOT, _DOLLAR, _DEGREE = map(ord, ".．$°")

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@numba.njit(cache=True, nogil=True)
def cut_chunks(
    characters: NDArray[np.uint32],
    text_start: NDArray[np.int64],
    table: NDArray[np.uint16],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    start: NDArray[np.int64],
) -> None:
    """Write where each chunk begins and its length, as str.split cuts, and how many come before each text."""
    found = 0
    for text in range(text_start.size - 1):
        at, stop = text_start[text], text_start[text + 1]
        while at < stop:
            if table[characters[at]] & IS_SPACE:
                at += 1
                continue
            begin = at
            while at < stop and not table[characters[at]] & IS_SPACE:
                at += 1
            begins[found], lengths[found] = begin, at - begin
            found += 1
        start[text + 1] = found


@numba.njit(cache=True, nogil=True)
def number_spans(
    values: NDArray[np.uint32],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    done: int,
    numbers: NDArray[np.int32],
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    start: NDArray[np.int64],
    characters: NDArray[np.uint32],
    count: int,
) -> tuple[int, int]:
    """Number spans from `done` on until one does not fit; return how many are done, and how many differ."""
    for index in range(done, begins.size):
        begin, length = begins[index], lengths[index]
        value = _hash(values, begin, length)
        slot = _find_slot(value, slots.size)
        while slots[slot] >= 0 and not _is_span(slots[slot], value, values, begin, length, hashes, start, characters):
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            end = start[count] + length
            if end > characters.size or count + 2 > hashes.size or 2 * (count + 1) > slots.size:
                return index, count
            characters[start[count] : end] = values[begin : begin + length]
            slots[slot], hashes[count], start[count + 1] = count, value, end
            count += 1
        numbers[index] = slots[slot]
    return begins.size, count


@numba.njit(cache=True, nogil=True)
def reinsert(hashes: NDArray[np.uint64], slots: NDArray[np.int32]) -> None:
    """Enter all spans into larger slots."""
    for number in range(hashes.size):
        slot = _find_slot(hashes[number], slots.size)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = number


@numba.njit(cache=True, nogil=True)
def find_shapes(
    characters: NDArray[np.uint32],
    start: NDArray[np.int64],
    table: NDArray[np.uint16],
    longest: int,
    shapes: NDArray[np.uint32],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kinds: NDArray[np.int32],
) -> None:
    """Write the shortened shape of each chunk: begin and length in `shapes`; or what it is, if it has none, to `kinds`.

    A chunk is whole if it is letters alone or longer than `longest`, and doubtful if it matters which letters it has.
    """
    at = 0
    ends = np.empty(longest + 1, np.int64)
    inner = np.empty(longest + 1, np.bool_)
    for chunk in range(start.size - 1):
        own = characters[start[chunk] : start[chunk + 1]]
        begins[chunk], lengths[chunk], kinds[chunk] = at, 0, WHOLE
        if own.size <= longest and not _is_alphabetic(own, table):
            if _letters_matter(own, table):
                kinds[chunk] = DOUBTFUL
            else:
                kinds[chunk] = 0
                lengths[chunk] = _shorten(own, shapes[at:], ends, inner)
                at += lengths[chunk]


@numba.njit(cache=True, nogil=True)
def cut_by_shape(
    characters: NDArray[np.uint32],
    start: NDArray[np.int64],
    kinds: NDArray[np.int32],
    cuts: NDArray[np.int16],
    longest: int,
    special_cases: int,
    longest_case: int,
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    index_start: NDArray[np.int64],
    index_characters: NDArray[np.uint32],
    lengths: NDArray[np.int64],
    words: NDArray[np.int32],
) -> None:
    """Write the lengths of each chunk's words, `MOST_WORDS` a row, and how many they are; 0 if only spaCy can tell.

    Args:
        characters: code points of the chunks.
        start: where each chunk starts.
        kinds: number of each chunk's shape, or `WHOLE` or `DOUBTFUL`.
        cuts: where each shape's words end, 0 after the last; a first 0 says that it decides nothing.
        longest: characters of the longest chunk with a shape.
        special_cases: spans with numbers below are spaCy's special cases.
        longest_case: characters of the longest special case.
        slots: index of the dictionary that numbers chunks and special cases.
        hashes: likewise.
        index_start: likewise.
        index_characters: likewise.
        lengths: one row per chunk.
        words: one entry per chunk.
    """
    shape = np.empty(longest + 1, np.uint32)
    places = np.empty(longest + 1, np.int64)
    inner = np.empty(longest + 1, np.bool_)
    ends = np.zeros(MOST_WORDS + 1, np.int64)
    for chunk in range(start.size - 1):
        kind = kinds[chunk]
        words[chunk] = 0
        own = characters[start[chunk] : start[chunk + 1]]
        if kind == WHOLE:
            lengths[chunk, 0], words[chunk] = own.size, 1
        elif kind >= 0:
            _shorten(own, shape, places, inner)
            found = _place_cuts(cuts[kind], places, inner, ends)
            is_sure = found > 0 and ends[found] == own.size
            for first in range(found):
                for last in range(first + 1, found + 1):
                    length = ends[last] - ends[first]
                    if not is_sure or length > longest_case or length == own.size:
                        continue
                    if last - first == 1 and _is_affix(own, ends[first], length):
                        continue
                    number = _find_span(own, ends[first], length, slots, hashes, index_start, index_characters)
                    is_sure = not 0 <= number < special_cases
            if is_sure:
                words[chunk] = found
                for word in range(found):
                    lengths[chunk, word] = ends[word + 1] - ends[word]


@numba.njit(cache=True, nogil=True)
def _place_cuts(
    cuts: NDArray[np.int16], places: NDArray[np.int64], inner: NDArray[np.bool_], ends: NDArray[np.int64]
) -> int:
    """Write where the words of a chunk end, by its shape's, up to one inside a shortened run; return how many."""
    found = 0
    while found < MOST_WORDS and cuts[found] > 0 and not inner[cuts[found]]:
        ends[found + 1] = places[cuts[found]]
        found += 1
    return found


@numba.njit(cache=True, nogil=True)
def describe_words(
    characters: NDArray[np.uint32],
    start: NDArray[np.int64],
    table: NDArray[np.uint16],
    punctuation: NDArray[np.bool_],
    is_word: NDArray[np.uint8],
    is_alphabetic: NDArray[np.uint8],
) -> None:
    """Write whether each word has a character that is no punctuation, and whether it has a letter."""
    for word in range(start.size - 1):
        for character in characters[start[word] : start[word + 1]]:
            is_word[word] |= not punctuation[character]
            is_alphabetic[word] |= table[character] & IS_LETTER != 0


@numba.njit(cache=True, nogil=True)
def _is_alphabetic(own: NDArray[np.uint32], table: NDArray[np.uint16]) -> bool:
    for character in own:  # noqa: SIM110
        if not table[character] & IS_LETTER:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _letters_matter(own: NDArray[np.uint32], table: NDArray[np.uint16]) -> bool:
    """Return whether spaCy looks at which letter or digit it is, and not only whether it is one.

    It does after a dot (URLs, sentence ends), after a digit (units), beside a currency or degree sign, in IPv4
    addresses, after any apostrophe but the last.
    """
    is_after_dot = is_after_digit = has_letter = has_digit = False
    dots = apostrophes = 0
    for character in own:
        kind = table[character]
        is_digit = kind & IS_WORD != 0 and kind & CLASS_MASK == NUMERIC
        if kind & IS_WORD and not is_digit:
            if is_after_dot or is_after_digit:
                return True
            has_letter = True
        is_dot = character == _DOT or character == _WIDE_DOT  # noqa: PLR1714
        dots += is_dot and has_digit
        apostrophes += character == _APOSTROPHE or character == _RIGHT_QUOTE  # noqa: PLR1714
        if dots > 1 or apostrophes > 1 or character == _DEGREE or (character == _DOLLAR and has_letter):
            return True
        has_digit |= is_digit
        is_after_digit = is_digit
        is_after_dot = is_dot or (is_after_dot and kind & IS_WORD != 0)
    return False


@numba.njit(cache=True, nogil=True)
def _shorten(
    own: NDArray[np.uint32], shape: NDArray[np.uint32], places: NDArray[np.int64], inner: NDArray[np.bool_]
) -> int:
    """Write a chunk's shape, with runs of one kind of letter or digit cut to three; return its length.

    Also where in the chunk each character of the shape stands, and whether a cut before it would cut a shortened run.
    """
    length = run = 0
    is_tail = False
    for index in range(own.size):
        character = own[index]
        if not is_tail:  # 's is an affix and 't is not: what follows the apostrophe counts letter by letter
            if 97 <= character <= 122:
                character = np.uint32(_LOWER)
            elif 65 <= character <= 90:
                character = np.uint32(_UPPER)
            elif 48 <= character <= 57:
                character = np.uint32(_DIGIT)
            is_tail = character == _APOSTROPHE or character == _RIGHT_QUOTE  # noqa: PLR1714
        may_run = character == _LOWER or character == _UPPER or character == _DIGIT  # noqa: PLR1714
        run = run + 1 if may_run and length > 0 and shape[length - 1] == character else 1
        if run > _SHORT_RUN:
            inner[length - 1] = inner[length - 2] = True
            continue
        shape[length], places[length], inner[length] = character, index, False
        length += 1
    places[length], inner[length] = own.size, False
    return length


@numba.njit(cache=True, nogil=True)
def _is_affix(own: NDArray[np.uint32], begin: int, length: int) -> bool:
    """Return whether a word is one mark or `'s`, which spaCy cuts off in any case, special or not."""
    if length == 2 and (own[begin] == _APOSTROPHE or own[begin] == _RIGHT_QUOTE):
        return bool(own[begin + 1] == 115 or own[begin + 1] == 83)  # s, S
    return length == 1


@numba.njit(cache=True, nogil=True)
def _hash(values: NDArray[np.uint32], begin: int, length: int) -> np.uint64:
    value = np.uint64(length)
    for character in values[begin : begin + length]:
        value = value * _FACTOR + np.uint64(character)
    return value


@numba.njit(cache=True, nogil=True)
def _find_span(
    values: NDArray[np.uint32],
    begin: int,
    length: int,
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    start: NDArray[np.int64],
    characters: NDArray[np.uint32],
) -> int:
    """Return a span's number, -1 if it has none."""
    value = _hash(values, begin, length)
    slot = _find_slot(value, slots.size)
    while slots[slot] >= 0 and not _is_span(slots[slot], value, values, begin, length, hashes, start, characters):
        slot = (slot + 1) & (slots.size - 1)
    return int(slots[slot])


@numba.njit(cache=True, nogil=True)
def _is_span(
    number: int,
    value: np.uint64,
    values: NDArray[np.uint32],
    begin: int,
    length: int,
    hashes: NDArray[np.uint64],
    start: NDArray[np.int64],
    characters: NDArray[np.uint32],
) -> bool:
    if hashes[number] != value or start[number + 1] - start[number] != length:
        return False
    for offset in range(length):  # noqa: SIM110
        if characters[start[number] + offset] != values[begin + offset]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _find_slot(value: np.uint64, size: int) -> int:
    value = (value ^ (value >> np.uint64(31))) * _MIX
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(size - 1))  # type: ignore[return-value]
