"""The compiled inner loops of line deduplication: where units of text begin, and what of them is compared.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.line_normalization import IS_SPACE
from mmpipe.deduplication.normalization import CONTINUES, SEPARATES, VANISHES
from mmpipe.light_imports import start_numba

start_numba()

#: What a text is cut into.
LINE, PARAGRAPH, SENTENCE = range(3)

_LINE_END = 10
_ACTION = np.uint32(3)


def _mark(characters: str) -> NDArray[np.uint32]:
    return np.array([ord(character) for character in characters], dtype=np.uint32)


# sentence ends (UAX 29, Sentence_Terminal, the common ones); those of the second kind need no space behind them
_ENDS = _mark(".!?…؟۔।॥։።")
_WIDE_ENDS = _mark("。！？｡．")
_CLOSERS = _mark("\"'”’)]}»›」』）】")


@numba.njit(cache=True, nogil=True)
def _is_in(code: np.uint32, marks: NDArray[np.uint32]) -> bool:
    is_found = False
    for mark in marks:
        is_found |= code == mark
    return is_found


@numba.njit(cache=True, nogil=True)
def _is_space(code: np.uint32, table: NDArray[np.uint32]) -> bool:
    return bool(code < len(table) and (table[code] >> np.uint32(24)) & np.uint32(IS_SPACE))


@numba.njit(cache=True, nogil=True)
def _end_line(codes: NDArray[np.uint32], at: int, end: int) -> int:
    while at < end and codes[at] != _LINE_END:
        at += 1
    return min(at + 1, end)


@numba.njit(cache=True, nogil=True)
def _is_blank(codes: NDArray[np.uint32], begin: int, end: int, table: NDArray[np.uint32]) -> bool:
    is_blank = True
    for at in range(begin, end):
        is_blank &= _is_space(codes[at], table)
    return is_blank


@numba.njit(cache=True, nogil=True)
def _end_paragraph(codes: NDArray[np.uint32], at: int, end: int, table: NDArray[np.uint32]) -> int:
    """Return where the first line with a word behind a blank line begins."""
    is_after_blank = False
    while at < end:
        stop = _end_line(codes, at, end)
        is_blank = _is_blank(codes, at, stop, table)
        if is_after_blank and not is_blank:
            return at
        is_after_blank = is_blank
        at = stop
    return end


@numba.njit(cache=True, nogil=True)
def _end_sentence(codes: NDArray[np.uint32], at: int, end: int, table: NDArray[np.uint32]) -> int:
    while at < end:
        is_wide = _is_in(codes[at], _WIDE_ENDS)
        is_over = codes[at] == _LINE_END
        if is_wide or _is_in(codes[at], _ENDS):
            while at + 1 < end and (
                _is_in(codes[at + 1], _ENDS) or _is_in(codes[at + 1], _WIDE_ENDS) or _is_in(codes[at + 1], _CLOSERS)
            ):
                at += 1
            is_over = is_wide or at + 1 == end or _is_space(codes[at + 1], table)
        at += 1
        if is_over:
            while at < end and _is_space(codes[at], table):
                at += 1
            return at
    return end


@numba.njit(cache=True, nogil=True)
def cut_units(
    codes: NDArray[np.uint32], offsets: NDArray[np.int64], table: NDArray[np.uint32], kind: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the units of each text begin, end to end, and (texts + 1,) how many come before each text.

    A unit reaches to the next one: the line ends and spaces between two belong to the first.
    """
    starts = np.empty(1024, dtype=np.int64)
    counts = np.zeros(len(offsets), dtype=np.int64)
    found = 0
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        while at < end:
            if found == len(starts):
                starts = np.concatenate((starts, np.empty_like(starts)))
            starts[found] = at
            found += 1
            if kind == LINE:
                at = _end_line(codes, at, end)
            elif kind == PARAGRAPH:
                at = _end_paragraph(codes, at, end, table)
            else:
                at = _end_sentence(codes, at, end, table)
        counts[text + 1] = found
    return starts[:found].copy(), counts


@numba.njit(cache=True, nogil=True)
def _write_utf8(code: int, out: NDArray[np.uint8], at: int) -> int:
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
    elif code < 0x10000:
        out[at] = 0xE0 | code >> 12
    else:
        out[at] = 0xF0 | code >> 18
        at += 1
        out[at] = 0x80 | (code >> 12 & 0x3F)
    if code >= 0x800:
        at += 1
        out[at] = 0x80 | (code >> 6 & 0x3F)
    out[at + 1] = 0x80 | (code & 0x3F)
    return at + 2


@numba.njit(cache=True, nogil=True)
def normalize_units(
    codes: NDArray[np.uint32], bounds: NDArray[np.int64], table: NDArray[np.uint32]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return the normal forms of consecutive units as UTF-8, a line end behind each, where they begin, and characters.

    Args:
        codes: of all texts.
        bounds: (units + 1,) where each unit begins; what lies before the first or behind the last is not read.
        table: `line_normalization.build_line_table`.
    """
    units = len(bounds) - 1
    out = np.empty(4 * (bounds[units] - bounds[0]) + units, dtype=np.uint8)
    begins = np.zeros(units + 1, dtype=np.int64)
    characters = np.zeros(units, dtype=np.int64)
    filled = 0
    for unit in range(units):
        at, end = bounds[unit], bounds[unit + 1]
        while at < end and _is_space(codes[at], table):
            at += 1
        while end > at and _is_space(codes[end - 1], table):
            end -= 1
        is_apart = False
        for place in range(at, end):
            code = codes[place]
            entry = table[code] if code < len(table) else np.uint32(CONTINUES << 24) | code
            action = (entry >> np.uint32(24)) & _ACTION
            if action == SEPARATES:
                is_apart = characters[unit] > 0
            elif action != VANISHES:
                if is_apart:
                    out[filled] = 32
                    filled += 1
                    characters[unit] += 1
                is_apart = False
                filled = _write_utf8(int(entry & np.uint32(0x00FFFFFF)), out, filled)
                characters[unit] += 1
        out[filled] = _LINE_END
        filled += 1
        begins[unit + 1] = filled
    return out[:filled].copy(), begins, characters


@numba.njit(cache=True, nogil=True)
def cut_around(removed: NDArray[np.int64], protected: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (pieces, 2) bounds of what of spans is in no earlier one and in none that stays, and whose piece it is.

    Args:
        removed: (n, 3) document, start, end; sorted.
        protected: (m, 3) likewise, of spans that stay.
    """
    pieces = np.empty((max(16, len(removed)), 2), dtype=np.int64)
    owners = np.empty(len(pieces), dtype=np.int64)
    found, first = 0, 0
    document, done = np.int64(-1), np.int64(0)
    for span in range(len(removed)):
        if removed[span, 0] != document:
            document, done = removed[span, 0], np.int64(0)
        at, end = max(done, removed[span, 1]), removed[span, 2]
        done = max(done, end)
        while first < len(protected) and (
            protected[first, 0] < document or (protected[first, 0] == document and protected[first, 2] <= at)
        ):
            first += 1
        stay = first
        while at < end:
            stop = end
            stays = stay < len(protected) and protected[stay, 0] == document and protected[stay, 1] < end
            if stays:
                stop = max(at, protected[stay, 1])
            if stop > at:
                if found == len(pieces):
                    pieces = np.concatenate((pieces, np.empty_like(pieces)))
                    owners = np.concatenate((owners, np.empty_like(owners)))
                pieces[found, 0], pieces[found, 1] = at, stop
                owners[found] = span
                found += 1
            at = stop
            if stays:
                at = max(at, protected[stay, 2])
                stay += 1
    return pieces[:found].copy(), owners[:found].copy()
