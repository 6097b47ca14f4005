"""Compiled finder of a page's long runs of text between two tags, past all that is not shown."""

# compiled loops: calls cost

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_LT, _GT, _BANG, _DASH, _SLASH, _UNDERSCORE = 60, 62, 33, 45, 47, 95
_HIDDEN = ("script", "style", "noscript", "template", "svg", "textarea", "select")
#: The names one after the other, and where each begins.
_LETTERS = np.frombuffer("".join(_HIDDEN).encode(), np.uint8).copy()
_STARTS = np.cumsum([0, *map(len, _HIDDEN)])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_named(page: NDArray[np.uint8], position: int, name: int) -> bool:
    """Return whether the name of something not shown stands at a position, whole."""
    size = _STARTS[name + 1] - _STARTS[name]
    if position + size > page.size:
        return False
    for at in range(size):
        if page[position + at] | 32 != _LETTERS[_STARTS[name] + at]:
            return False
    if position + size == page.size:
        return True
    after = page[position + size]
    return not (48 <= after <= 57 or 97 <= after | 32 <= 122 or after == _UNDERSCORE or after >= 128)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _skip_hidden(page: NDArray[np.uint8], position: int) -> Any:
    """Return where reading goes on after the `<` at a position: at the end of what it hides, or at the next byte."""
    n = page.size
    if position + 3 < n and page[position + 1] == _BANG and page[position + 2] == _DASH and page[position + 3] == _DASH:
        at = position + 4
        while at + 2 < n and not (page[at] == _DASH and page[at + 1] == _DASH and page[at + 2] == _GT):
            at += 1
        # its last byte is the bracket that a run may follow
        return at + 2 if at + 2 < n else n
    first = page[position + 1] | 32 if position + 1 < n else 0
    for name in range(_STARTS.size - 1):
        if first != _LETTERS[_STARTS[name]] or not _is_named(page, position + 1, name):
            continue
        at = position + 1
        while at + 1 < n:
            if page[at] == _LT and page[at + 1] == _SLASH and _is_named(page, at + 2, name):
                return at + 2 + _STARTS[name + 1] - _STARTS[name]
            at += 1
        return n
    return position + 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_runs(page: NDArray[np.uint8], position: int, least_chars: int, runs: NDArray[np.int64]) -> tuple[int, int]:
    """Find runs of text that begin after a tag's end and hold no angle bracket.

    Args:
        page: UTF-8 bytes.
        position: where to look on; 0, or what the call before returned.
        least_chars: characters of the shortest run.
        runs: (n, 2), gets the bounds of as many runs as it has room for.

    Returns:
        how many were found, and where to look on; the page's end if there is no more.
    """
    n = page.size
    count = 0
    while position < n and count < runs.shape[0]:
        byte = page[position]
        if byte == _LT:
            position = _skip_hidden(page, position)
            continue
        position += 1
        if byte != _GT:
            continue
        start = position
        chars = 0
        while position < n and page[position] != _LT and page[position] != _GT:
            chars += page[position] & 0xC0 != 0x80
            position += 1
        if chars >= least_chars:
            runs[count, 0] = start
            runs[count, 1] = position
            count += 1
    return count, position
