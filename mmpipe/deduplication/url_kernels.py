"""The compiled inner loop of URL normalisation: bytes of many URLs in, bytes of their normal forms out.

Imported only where it is used, because numba takes a second to import. All kernels release the GIL and are cached.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.url_part_kernels import CLASSES, lower_byte, write_encoded, write_query
from mmpipe.light_imports import start_numba

start_numba()

#: What became of a URL: rewritten; left as it is because it is none of http; or its host must be looked at first.
NORMALIZED, LEFT_ALONE, HAS_ODD_HOST = range(3)

_SLASH, _BACKSLASH, _COLON, _AT, _DOT = (ord(mark) for mark in "/\\:@.")
_QUESTION, _HASH, _BANG, _OPEN, _CLOSE = (ord(mark) for mark in "?#![]")
_SHORT_SCHEME = np.frombuffer(b"http://", dtype=np.uint8)
_LONG_SCHEME = np.frombuffer(b"https://", dtype=np.uint8)
_WWW = np.frombuffer(b"www.", dtype=np.uint8)
_LAST_PORT = 65535
_NO_PORT, _BAD_PORT = -1, -2
#: Room for what a normal form may have beyond three bytes for each of the URL's: a slash.
SPARE_BYTES = 8
#: Longer ones are left alone: no server reads them, and working arrays are as long as the longest.
MOST_BYTES = 65_536


@numba.njit(cache=True, nogil=True)
def _clean(data: NDArray[np.uint8], begin: int, end: int, url: NDArray[np.uint8]) -> int:
    """Copy a URL without controls and spaces at its ends, and without tabs and line ends anywhere (WHATWG, 4.4)."""
    while begin < end and data[begin] <= 32:
        begin += 1
    while end > begin and data[end - 1] <= 32:
        end -= 1
    length = 0
    for place in range(begin, end):
        byte = data[place]
        if byte not in (9, 10, 13):
            url[length] = byte
            length += 1
    return length


@numba.njit(cache=True, nogil=True)
def _remove_dots(out: NDArray[np.uint8], begin: int, end: int) -> int:
    """Resolve `.` and `..` in a path that begins with a slash, in place (RFC 3986, 5.2.4); return the new end."""
    at = begin
    place = begin
    while place < end:
        stop = place + 1
        while stop < end and out[stop] != _SLASH:
            stop += 1
        length = stop - place - 1
        is_one = length == 1 and out[place + 1] == _DOT
        is_two = length == 2 and out[place + 1] == _DOT and out[place + 2] == _DOT
        if is_two and at > begin:
            at -= 1
            while out[at] != _SLASH:
                at -= 1
        if not (is_one or is_two):
            for source in range(place, stop):
                out[at] = out[source]
                at += 1
        elif stop == end:
            out[at] = _SLASH
            at += 1
        place = stop
    return at


@numba.njit(cache=True, nogil=True)
def _find_host(url: NDArray[np.uint8], begin: int, end: int) -> tuple[int, int]:
    """Return where the host of an authority begins and ends."""
    host = begin
    for place in range(begin, end):
        if url[place] == _AT:
            host = place + 1
    stop = host
    last = _CLOSE if host < end and url[host] == _OPEN else _COLON
    while stop < end and url[stop] != last:
        stop += 1
    return host, min(stop + 1, end) if last == _CLOSE else stop


@numba.njit(cache=True, nogil=True)
def _read_port(url: NDArray[np.uint8], begin: int, end: int) -> int:
    """Return the port behind a host, _NO_PORT if none is named, _BAD_PORT if it can be none."""
    if begin == end:
        return _NO_PORT
    if url[begin] != _COLON:
        return _BAD_PORT
    port = _NO_PORT
    for place in range(begin + 1, end):
        if not 48 <= url[place] <= 57:
            return _BAD_PORT
        port = max(port, 0) * 10 + url[place] - 48
        if port > _LAST_PORT:
            return _BAD_PORT
    return port


@numba.njit(cache=True, nogil=True)
def _check_host(url: NDArray[np.uint8], begin: int, end: int, is_prepared: bool) -> int:
    """Lower the case of a host in place and say whether it can be used."""
    is_address = url[begin] == _OPEN
    for place in range(begin, end):
        url[place] = lower_byte(url[place])
        is_part = is_address and is_prepared and (url[place] in (_OPEN, _CLOSE, _COLON) or CLASSES[url[place]] & 4)
        if not is_part and not CLASSES[url[place]] & 4:
            return LEFT_ALONE if is_prepared else HAS_ODD_HOST
        if url[place] == _DOT and (place == begin or url[place - 1] == _DOT):
            return LEFT_ALONE
    return NORMALIZED


@numba.njit(cache=True, nogil=True)
def _skip_www(url: NDArray[np.uint8], begin: int, end: int) -> int:
    while end - begin > 4 and (url[begin : begin + 4] == _WWW).all() and (url[begin + 4 : end] == _DOT).any():
        begin += 4
    return begin


@numba.njit(cache=True, nogil=True)
def _count_scheme(url: NDArray[np.uint8], length: int) -> int:
    """Return the length of `http://` or `https://` at the front of a URL, 0 if it has neither."""
    is_long = length > 4 and lower_byte(url[4]) == _LONG_SCHEME[4]
    scheme = _LONG_SCHEME if is_long else _SHORT_SCHEME
    if length <= len(scheme):
        return 0
    for place in range(len(scheme)):
        byte = _SLASH if url[place] == _BACKSLASH else lower_byte(url[place])
        if byte != scheme[place]:
            return 0
    return len(scheme)


@numba.njit(cache=True, nogil=True)
def _read_authority(
    url: NDArray[np.uint8], length: int, begin: int, is_prepared: bool
) -> tuple[int, int, int, int, int]:
    """Return what can be done with a URL, where its host begins and ends, its port and where its path begins."""
    end = begin
    while end < length and url[end] not in (_SLASH, _BACKSLASH, _QUESTION, _HASH):
        end += 1
    host, host_end = _find_host(url, begin, end)
    port = _read_port(url, host_end, end)
    if begin == 0 or host == host_end or port == _BAD_PORT:
        return LEFT_ALONE, host, host_end, port, end
    fate = _check_host(url, host, host_end, is_prepared)
    if fate == NORMALIZED and url[host_end - 1] == _DOT:
        host_end -= 1
    return fate, host, host_end, port, end


@numba.njit(cache=True, nogil=True)
def _write_authority(
    url: NDArray[np.uint8],
    bounds: tuple[int, int, int],
    port: int,
    out: NDArray[np.uint8],
    at: int,
    keeps_scheme: bool,
    keeps_www: bool,
) -> int:
    begin, host, host_end = bounds
    is_long = begin == len(_LONG_SCHEME)
    if port == (443 if is_long else 80):
        port = _NO_PORT
    # one port speaks one protocol: only where none is named are http and https the same page
    scheme = _LONG_SCHEME if is_long and (keeps_scheme or port >= 0) else _SHORT_SCHEME
    out[at : at + len(scheme)] = scheme
    at += len(scheme)
    user_end = host - 1
    if user_end > begin and not (user_end == begin + 1 and url[begin] == _COLON):
        at = write_encoded(url, begin, user_end, out, at, False)
        out[at] = _AT
        at += 1
    if not keeps_www:
        host = _skip_www(url, host, host_end)
    out[at : at + host_end - host] = url[host:host_end]
    at += host_end - host
    if port < 0:
        return at
    out[at] = _COLON
    at += 1
    divisor = 10_000
    while divisor > 1 and port < divisor:
        divisor //= 10
    while divisor:
        out[at] = 48 + port // divisor % 10
        at += 1
        divisor //= 10
    return at


@numba.njit(cache=True, nogil=True)
def _write_path(
    url: NDArray[np.uint8], begin: int, end: int, out: NDArray[np.uint8], at: int, keeps_slash: bool
) -> int:
    first = at
    at = _remove_dots(out, first, write_encoded(url, begin, end, out, at, True))
    while not keeps_slash and at > first and out[at - 1] == _SLASH:
        at -= 1
    if at == first:
        out[at] = _SLASH
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _find(url: NDArray[np.uint8], begin: int, end: int, one: int, other: int) -> int:
    while begin < end and url[begin] != one and url[begin] != other:
        begin += 1
    return begin


@numba.njit(cache=True, nogil=True)
def normalize_many(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    names: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    prefixes: int,
    keeps_scheme: bool,
    keeps_www: bool,
    keeps_slash: bool,
    keeps_hashbang: bool,
    is_sorted: bool,
    is_prepared: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return the normal forms end to end, where each begins, what became of each, and (n, 2) where its host stands.

    Args:
        data: the URLs' bytes, end to end.
        offsets: (n + 1,) where each begins.
        names: names of parameters to drop, lower case, end to end; the first `prefixes` are beginnings of names.
        bounds: where each name begins, and the end.
        prefixes: how many names are beginnings.
        keeps_scheme: whether http and https differ.
        keeps_www: whether `www.` counts.
        keeps_slash: whether slashes at the end of a path count.
        keeps_hashbang: whether a fragment that begins with an exclamation mark counts.
        is_sorted: whether parameters are sorted by name.
        is_prepared: whether odd hosts have been put right already; those that still are odd are left alone.
    """
    count = len(offsets) - 1
    longest = 0
    for number in range(count):
        longest = max(longest, min(MOST_BYTES, offsets[number + 1] - offsets[number]))
    out = np.empty(3 * len(data) + SPARE_BYTES * count, dtype=np.uint8)
    out_offsets = np.zeros(count + 1, dtype=np.int64)
    fates = np.zeros(count, dtype=np.uint8)
    hosts = np.zeros((count, 2), dtype=np.int64)
    url = np.empty(longest + 1, dtype=np.uint8)
    copy = np.empty(3 * longest + SPARE_BYTES, dtype=np.uint8)
    pieces = np.empty((longest + 1, 2), dtype=np.int64)
    spare = np.empty((longest + 1, 2), dtype=np.int64)
    at = 0
    for number in range(count):
        first, last = offsets[number], offsets[number + 1]
        length = _clean(data, first, last, url) if last - first <= MOST_BYTES else 0
        begin = _count_scheme(url, length)
        fate, host, host_end, port, path = _read_authority(url, length, begin, is_prepared)
        fates[number] = fate
        hosts[number, 0], hosts[number, 1] = host, host_end
        if fate == NORMALIZED:
            at = _write_authority(url, (begin, host, host_end), port, out, at, keeps_scheme, keeps_www)
            query = _find(url, path, length, _QUESTION, _HASH)
            at = _write_path(url, path, query, out, at, keeps_slash)
            fragment = _find(url, query, length, _HASH, _HASH)
            if fragment > query:
                at = write_query(
                    url, query + 1, fragment, out, at, names, bounds, prefixes, is_sorted, pieces, spare, copy
                )
            if keeps_hashbang and fragment + 1 < length and url[fragment + 1] == _BANG:
                out[at] = _HASH
                at = write_encoded(url, fragment + 1, length, out, at + 1, False)
        else:
            out[at : at + last - first] = data[first:last]
            at += last - first
        out_offsets[number + 1] = at
    return out[:at].copy(), out_offsets, fates, hosts
