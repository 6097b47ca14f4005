"""The compiled loops that compare the text around equal fingerprints: which windows repeat, and where first.

Imported only where it is used, because numba takes a second to import. A *group* is the fingerprints of one key, best
placed first, as columns `_AT`, `_ORDERED`, `_LOW` and `_HIGH`. Its windows are told apart by how many units they begin
before the fingerprint: `back`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.deduplication.substring_kernels import (
    BACK_SHIFT,
    BASE,
    BYTE,
    ONE,
    PLACE_SHIFT,
    hash_units,
    raise_base,
    spread_hash,
)

# of a member of a group: its place, the same in the order of documents, and the least and most `back` of its windows
_AT, _ORDERED, _LOW, _HIGH = 0, 1, 2, 3

# of an entry of the table of windows: its hash, its slot, the member that has it first, whether another has it too
_HASH, _SLOT, _MEMBER, _IS_MATED = 0, 1, 2, 3

_EMPTY = -1
#: Zero as one number of many: for a plain 0 numba compiles what is called with it apart, and once more for the others.
_ZERO: Any = np.int64(0)

# the last byte of an entry's hash is its `back`
_UPPER_BITS = np.uint64(0xFFFFFFFFFFFFFF00)
_BACK_BITS = 8


@numba.njit(cache=True, nogil=True, error_model="numpy")
def match_windows(
    keys: NDArray[np.uint64],
    places: NDArray[np.uint64],
    moves: NDArray[np.int64],
    units: NDArray[Any],
    current: int,
    width: int,
    gap: int,
    most_entries: int,
) -> NDArray[np.int64]:
    """Return (records, 3): the windows that occur twice or more, as runs (first place, windows, where the first is).

    "Where" is a place in the order of documents; a run that is itself the first occurrence has its own. Windows of one
    run are consecutive, and so are those they repeat. Every window that repeats is in exactly one run. Nothing rests
    on a hash: what is called equal has been compared.

    Within a group each member is compared with the best-placed one; what they do not share goes through a table of
    windows. The cost is linear in the windows of the group, however many members it has.

    Args:
        keys: sorted keys of fingerprints.
        places: of each, as `select_fingerprints` returns them.
        moves: of each, what to add to a place to have it in the order of documents.
        units: units of the corpus.
        current: places from here on belong to earlier corpora, and no run begins there.
        width: as in `select_fingerprints`.
        gap: as in `select_fingerprints`.
        most_entries: windows in the table at once, if members are fewer.
    """
    length = width + gap - 1
    records = np.empty((1024, 3), dtype=np.int64)
    count = _ZERO
    slots = np.full(1024, _EMPTY, dtype=np.int64)
    is_mated = np.empty(gap, dtype=np.bool_)
    begin = _ZERO
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        if end - begin > 1:
            group = _read_group(places, moves, begin, end)
            shared = np.empty((end - begin, 2), dtype=np.int64)
            rest = _share_with_first(units, group, width, length, shared, is_mated)
            records, count = _append_shared(records, count, group, shared, is_mated, current)
            if end - begin > 2 and rest > 1:
                distances = gap if rest <= most_entries else max(1, most_entries // (end - begin))
                room = min(rest, (end - begin) * distances)
                if len(slots) < 2 * room:
                    slots = np.full(1 << int(np.ceil(np.log2(2 * room))), _EMPTY, dtype=np.int64)
                table = np.empty((room, 4), dtype=np.int64)
                listed = np.empty(room, dtype=np.int64)
                for low in range(0, gap, distances):
                    high = min(gap, low + distances) - 1
                    _look_up_windows(units, group, shared, low, high, length, slots, table, listed)
                    records, count = _append_listed(records, count, group, shared, low, high, table, listed, current)
        begin = end
    return records[:count].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _read_group(places: NDArray[np.uint64], moves: NDArray[np.int64], begin: int, end: int) -> NDArray[np.int64]:
    group = np.empty((end - begin, 4), dtype=np.int64)
    for member in range(end - begin):
        packed = places[begin + member]
        high = np.int64((packed >> BACK_SHIFT) & BYTE)
        at = np.int64(packed >> PLACE_SHIFT) + high
        group[member, _AT] = at
        group[member, _ORDERED] = at + moves[begin + member]
        group[member, _LOW] = high - np.int64(packed & BYTE)
        group[member, _HIGH] = high
    if len(group) == 2 and group[0, _ORDERED] < group[1, _ORDERED]:
        return group
    return group[np.argsort(group[:, _ORDERED])]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_same(units: NDArray[Any], one: int, other: int, length: int) -> bool:
    for step in range(length):  # noqa: SIM110 - compiled
        if units[one + step] != units[other + step]:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _share_with_first(
    units: NDArray[Any],
    group: NDArray[np.int64],
    width: int,
    length: int,
    shared: NDArray[np.int64],
    is_mated: NDArray[np.bool_],
) -> int:
    """Write the least and most `back` of the windows that each shares with the first; return how many are left."""
    is_mated[:] = False
    first = group[0, _AT]
    rest = 0
    shared[0] = 1, 0
    for member in range(1, len(group)):
        at = group[member, _AT]
        low, high = max(group[0, _LOW], group[member, _LOW]), min(group[0, _HIGH], group[member, _HIGH])
        rest += group[member, _HIGH] - group[member, _LOW] + 1
        shared[member] = 1, 0
        if low > high or not _is_same(units, first, at, width):
            continue
        left = 0
        while left < high and units[first - left - 1] == units[at - left - 1]:
            left += 1
        right, most = width, length - low
        while right < most and units[first + right] == units[at + right]:
            right += 1
        low = max(low, length - right)
        if low <= left:
            shared[member] = low, left
            is_mated[low : left + 1] = True
            rest -= left - low + 1
    return rest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append(records: NDArray[np.int64], count: int, begin: int, windows: int, source: int) -> NDArray[np.int64]:
    if count == len(records):
        records = np.concatenate((records, np.empty_like(records)))
    records[count] = begin, windows, source
    return records


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append_shared(
    records: NDArray[np.int64],
    count: int,
    group: NDArray[np.int64],
    shared: NDArray[np.int64],
    is_mated: NDArray[np.bool_],
    current: int,
) -> tuple[NDArray[np.int64], int]:
    """Append the runs that the first member has with others, for both."""
    first, ordered = group[0, _AT], group[0, _ORDERED]
    for member in range(1, len(group)):
        low, high = shared[member]
        if low <= high and group[member, _AT] < current:
            records = _append(records, count, group[member, _AT] - high, high - low + 1, ordered - high)
            count += 1
    back = group[0, _HIGH] if first < current else _EMPTY
    while back >= group[0, _LOW]:
        run = _ZERO
        while back - run >= group[0, _LOW] and is_mated[back - run]:
            run += 1
        if run:
            records = _append(records, count, first - back, run, ordered - back)
            count += 1
        back -= max(run, 1)
    return records, count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_up_windows(
    units: NDArray[Any],
    group: NDArray[np.int64],
    shared: NDArray[np.int64],
    low: int,
    high: int,
    length: int,
    slots: NDArray[np.int64],
    table: NDArray[np.int64],
    listed: NDArray[np.int64],
) -> None:
    """List the table's entry of each window that is not shared with the first, `low` to `high` units back."""
    oldest_factor = raise_base(length - 1)
    entries, windows = 0, 0
    for member in range(1, len(group)):
        rolling = np.uint64(0)
        # the window before, and the member whose window it was found equal to
        last_back = last_mate = _ZERO + _EMPTY
        for back in range(min(group[member, _HIGH], high), max(group[member, _LOW], low) - 1, -1):
            if shared[member, 0] <= back <= shared[member, 1]:
                continue
            window = group[member, _AT] - back
            if last_back == back + 1:
                rolling -= (np.uint64(units[window - 1]) + ONE) * oldest_factor
                rolling = rolling * BASE + (np.uint64(units[window + length - 1]) + ONE)
            else:
                last_mate = _ZERO + _EMPTY
                rolling = hash_units(units, window, window + length)
            hashed = np.int64((spread_hash(rolling) >> ONE) & _UPPER_BITS) | back
            entry = _find_entry(units, group, window, back, length, slots, table, hashed, last_mate)
            last_back, last_mate = back, _ZERO + _EMPTY
            if entry >= 0:
                table[entry, _IS_MATED] = 1
                last_mate = table[entry, _MEMBER]
            else:
                slot = -1 - entry
                entry = entries
                entries += 1
                slots[slot] = entry
                table[entry] = hashed, slot, member, 0
            listed[windows] = entry
            windows += 1
    for entry in range(entries):
        slots[table[entry, _SLOT]] = _EMPTY


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _find_entry(
    units: NDArray[Any],
    group: NDArray[np.int64],
    window: int,
    back: int,
    length: int,
    slots: NDArray[np.int64],
    table: NDArray[np.int64],
    hashed: int | np.int64,
    last_mate: int | np.int64,
) -> int:
    """Return the entry of an equal window that is equally far back, or -1 - the slot for it."""
    slot = (hashed >> _BACK_BITS) & (len(slots) - 1)
    while slots[slot] != _EMPTY:
        entry = slots[slot]
        if table[entry, _HASH] == hashed:
            mate = table[entry, _MEMBER]
            other = group[mate, _AT] - back
            # with the mate of the window before, all but the last unit has been compared
            known = length - 1 if mate == last_mate else 0
            if _is_same(units, other + known, window + known, length - known):
                return int(entry)
        slot = (slot + 1) & (len(slots) - 1)
    return int(-1 - slot)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append_listed(
    records: NDArray[np.int64],
    count: int,
    group: NDArray[np.int64],
    shared: NDArray[np.int64],
    low: int,
    high: int,
    table: NDArray[np.int64],
    listed: NDArray[np.int64],
    current: int,
) -> tuple[NDArray[np.int64], int]:
    """Append the runs among the windows that `_look_up_windows` listed."""
    windows = 0
    for member in range(1, len(group)):
        begin, mate, run = _ZERO, _EMPTY, _ZERO
        for back in range(min(group[member, _HIGH], high), max(group[member, _LOW], low) - 2, -1):
            other = _EMPTY
            is_end = back < max(group[member, _LOW], low)
            if not is_end and not shared[member, 0] <= back <= shared[member, 1]:
                entry = listed[windows]
                windows += 1
                if table[entry, _IS_MATED] and group[member, _AT] < current:
                    other = table[entry, _MEMBER]
            if other != mate:
                if mate != _EMPTY:
                    place, source = group[member, _AT] - begin, group[mate, _ORDERED] - begin
                    records = _append(records, count, place, run, source)
                    count += 1
                begin, mate, run = back, other, _ZERO
            run += 1
    return records, count
