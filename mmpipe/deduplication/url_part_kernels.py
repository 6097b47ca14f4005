"""The compiled inner loops of URL normalisation that write parts of a URL: percent-encoding, and the query.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.light_imports import start_numba

start_numba()

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_DELIMITERS = b"!$&'()*+,;=:@/?"
_SLASH, _BACKSLASH, _PERCENT, _QUESTION, _AND, _EQUALS = (ord(mark) for mark in "/\\%?&=")
_HEX = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)


def _build_classes() -> NDArray[np.uint8]:
    """Bit 0: unreserved; bit 1: may stand in a path or query as it is; bit 2: may stand in a host."""
    classes = np.zeros(256, dtype=np.uint8)
    for byte in _UNRESERVED:
        classes[byte] |= 3
    for byte in _DELIMITERS:
        classes[byte] |= 2
    for byte in b"abcdefghijklmnopqrstuvwxyz0123456789-._":
        classes[byte] |= 4
    return classes


#: What each byte may be.
CLASSES = _build_classes()


@numba.njit(cache=True, nogil=True, inline="always")
def lower_byte(byte: int) -> int:
    """Return the byte of a letter in lower case, any other byte as it is."""
    return byte + 32 if 65 <= byte <= 90 else byte


@numba.njit(cache=True, nogil=True)
def _read_hex(byte: int) -> int:
    if 48 <= byte <= 57:
        return byte - 48
    byte = lower_byte(byte)
    return byte - 87 if 97 <= byte <= 102 else -1


@numba.njit(cache=True, nogil=True)
def write_encoded(url: NDArray[np.uint8], begin: int, end: int, out: NDArray[np.uint8], at: int, is_path: bool) -> int:
    """Write one part with its percent-encoding normalised (RFC 3986, 6.2.2.1 and 6.2.2.2) and return the new end."""
    place = begin
    while place < end:
        byte = url[place]
        code = int(byte)
        place += 1
        if byte == _PERCENT and place + 1 < end and _read_hex(url[place]) >= 0 and _read_hex(url[place + 1]) >= 0:
            code = _read_hex(url[place]) * 16 + _read_hex(url[place + 1])
            place += 2
            if CLASSES[code] & 1:
                out[at] = code
                at += 1
                continue
        elif is_path and byte == _BACKSLASH:
            out[at] = _SLASH
            at += 1
            continue
        elif CLASSES[byte] & 2:
            out[at] = byte
            at += 1
            continue
        out[at] = _PERCENT
        out[at + 1] = _HEX[code >> 4]
        out[at + 2] = _HEX[code & 15]
        at += 3
    return at


@numba.njit(cache=True, nogil=True)
def _has_dropped_name(
    out: NDArray[np.uint8], begin: int, end: int, names: NDArray[np.uint8], bounds: NDArray[np.int64], prefixes: int
) -> bool:
    """Whether the parameter is one of the sorted names, or begins with one of the first `prefixes`, in any case."""
    stop = begin
    while stop < end and out[stop] != _EQUALS:
        stop += 1
    length = stop - begin
    for name in range(len(bounds) - 1):
        width = bounds[name + 1] - bounds[name]
        if length < width or (name >= prefixes and length != width):
            continue
        offset = bounds[name] - begin
        is_same = True
        for place in range(begin, begin + width):
            if lower_byte(out[place]) != names[offset + place]:
                is_same = False
                break
        if is_same:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _is_after(out: NDArray[np.uint8], one: int, one_end: int, other: int, other_end: int) -> bool:
    """Whether the name of one parameter comes after that of another."""
    while True:
        one_byte = out[one] if one < one_end and out[one] != _EQUALS else -1
        other_byte = out[other] if other < other_end and out[other] != _EQUALS else -1
        if one_byte != other_byte or one_byte < 0:
            return one_byte > other_byte
        one += 1
        other += 1


@numba.njit(cache=True, nogil=True)
def _sort_pieces(out: NDArray[np.uint8], pieces: NDArray[np.int64], spare: NDArray[np.int64], count: int) -> None:
    """Sort parameters by name; those of one name keep their order (as URLSearchParams.sort, WHATWG 6.2)."""
    width = 1
    while width < count:
        for begin in range(0, count, 2 * width):
            middle, end = min(begin + width, count), min(begin + 2 * width, count)
            left, right = begin, middle
            for place in range(begin, end):
                takes_right = right < end and (
                    left >= middle
                    or _is_after(out, pieces[left, 0], pieces[left, 1], pieces[right, 0], pieces[right, 1])
                )
                source = right if takes_right else left
                spare[place, 0], spare[place, 1] = pieces[source, 0], pieces[source, 1]
                if takes_right:
                    right += 1
                else:
                    left += 1
        pieces[:count] = spare[:count]
        width *= 2


@numba.njit(cache=True, nogil=True)
def write_query(
    url: NDArray[np.uint8],
    begin: int,
    end: int,
    out: NDArray[np.uint8],
    at: int,
    names: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    prefixes: int,
    is_sorted: bool,
    pieces: NDArray[np.int64],
    spare: NDArray[np.int64],
    copy: NDArray[np.uint8],
) -> int:
    """Write the parameters that count, behind a question mark if there are any, and return the new end.

    Args:
        url: holds the query.
        begin: of the query, behind its question mark.
        end: of the query.
        out: to write to.
        at: where.
        names: see `url_kernels.normalize_many`.
        bounds: likewise.
        prefixes: likewise.
        is_sorted: whether parameters are sorted by name.
        pieces: (n, 2) scratch, a row for each parameter.
        spare: likewise.
        copy: scratch for what is written.
    """
    first = at
    count = 0
    place = begin
    while place <= end:
        stop = place
        while stop < end and url[stop] != _AND:
            stop += 1
        written = write_encoded(url, place, stop, out, at + 1, False)
        if stop > place and not _has_dropped_name(out, at + 1, written, names, bounds, prefixes):
            out[at] = _AND if count else _QUESTION
            pieces[count, 0], pieces[count, 1] = at + 1, written
            count += 1
            at = written
        place = stop + 1
    if is_sorted and count > 1:
        _sort_pieces(out, pieces, spare, count)
        copy[: at - first] = out[first:at]
        at = first
        for piece in range(count):
            out[at] = _AND if piece else _QUESTION
            at += 1
            for source in range(pieces[piece, 0] - first, pieces[piece, 1] - first):
                out[at] = copy[source]
                at += 1
    return at
