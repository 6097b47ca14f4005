"""The compiled inner loops of exact substrings: winnowing fingerprints, and the windows that equal fingerprints share.

Imported only where it is used, because numba takes a second to import. A *window* is `least_length` units; its
*fingerprint* is the least hash among the pieces of `width` units in it, the last of them where several are least, so
that equal windows have equal fingerprints at equal places (winnowing: Schleimer, Wilkerson and Aiken, SIGMOD 2003).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(33)
_ONE = np.uint64(1)
_LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)

# a fingerprint packs the place of its first window, and two bytes: how far it stands behind that window's start, and
# how many windows in a row have it, less one
_PLACE_SHIFT = np.uint64(16)
_BACK_SHIFT = np.uint64(8)
_BYTE = np.uint64(0xFF)

# hashes at a time
_BLOCK = 8192

#: Units from the start of a window to its fingerprint are kept in a byte.
MOST_GAP = 256


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _spread(value: np.uint64) -> np.uint64:
    # one multiplication: a second costs more than it helps, since what is called equal has been compared
    spread = (value ^ (value >> _HALF)) * _MIX
    return spread ^ (spread >> _HALF)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _raise_base(exponent: int) -> np.uint64:
    power = _ONE
    for _ in range(exponent):
        power *= _BASE
    return power


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_units(units: NDArray[Any], begin: int, end: int) -> np.uint64:
    rolling = np.uint64(0)
    for index in range(begin, end):
        rolling = rolling * _BASE + (np.uint64(units[index]) + _ONE)
    return rolling


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append_fingerprint(found: NDArray[np.uint64], count: int, key: np.uint64, place: int, back: int, more: int) -> Any:
    if count == len(found):
        found = np.concatenate((found, np.empty_like(found)))
    # spread again, since least hashes are small and would crowd into the first partitions
    found[count, 0] = _spread(key ^ _BASE)
    found[count, 1] = (np.uint64(place) << _PLACE_SHIFT) | (np.uint64(back) << _BACK_SHIFT) | np.uint64(more)
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def select_fingerprints(
    units: NDArray[Any], starts: NDArray[np.int64], origin: int, width: int, gap: int, mask: np.uint64
) -> NDArray[np.uint64]:
    """Return (fingerprints, 2): the key of each, and its place with the windows it stands for.

    Every window of `width + gap - 1` units belongs to exactly one fingerprint.

    Args:
        units: units of some documents, end to end.
        starts: (documents + 1,) first unit of each.
        origin: place of `units[0]` in the corpus.
        width: units that are hashed.
        gap: hashes of which the least is taken.
        mask: bits of the hash that count.
    """
    found = np.empty((1024 + 3 * len(units) // (gap + 1), 2), dtype=np.uint64)
    count = 0
    oldest_factor = _raise_base(width - 1)
    hashes = np.empty(_BLOCK + gap, dtype=np.uint64)
    for document in range(len(starts) - 1):
        begin = starts[document]
        hashed = starts[document + 1] - begin - width + 1
        if hashed < gap:
            continue
        rolling = _hash_units(units, begin, begin + width - 1)
        least, least_at, since = _LARGEST, 0, 0
        for block in range(0, hashed, _BLOCK):
            # in front of the hashes of this block stand the last of the one before
            end = min(block + _BLOCK, hashed)
            base = block - gap
            hashes[:gap] = hashes[_BLOCK : _BLOCK + gap]
            for index in range(block, end):
                rolling = rolling * _BASE + (np.uint64(units[begin + index + width - 1]) + _ONE)
                hashes[index - base] = _spread(rolling) & mask
                rolling -= (np.uint64(units[begin + index]) + _ONE) * oldest_factor
            index = block
            while index < end:
                stop = min(end, least_at + gap)
                while index < stop and hashes[index - base] > least:
                    index += 1
                if index == end:
                    break
                new, new_at = hashes[index - base], index
                if index == stop:
                    # the least hash has left the window: the next is the last of the least in it
                    for other in range(index - gap + 1, index):
                        new = min(new, hashes[other - base])
                    while hashes[new_at - base] != new:
                        new_at -= 1
                window = index - gap + 1
                if window > 0:
                    place = origin + begin + since
                    found = _append_fingerprint(found, count, least, place, least_at - since, window - since - 1)
                    count += 1
                    since = window
                least, least_at = new, new_at
                index += 1
        place = origin + begin + since
        found = _append_fingerprint(found, count, least, place, least_at - since, hashed - gap - since)
        count += 1
    return found[:count].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _is_same(units: NDArray[Any], one: int, other: int, length: int) -> bool:
    for step in range(length):
        if units[one + step] != units[other + step]:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _append(records: NDArray[np.int64], count: int, begin: int, windows: int, source: int) -> NDArray[np.int64]:
    if count == len(records):
        records = np.concatenate((records, np.empty_like(records)))
    records[count, 0] = begin
    records[count, 1] = windows
    records[count, 2] = source
    return records


@numba.njit(cache=True, nogil=True, error_model="numpy")
def match_windows(
    keys: NDArray[np.uint64],
    places: NDArray[np.uint64],
    documents_order: NDArray[np.int64],
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

    Within a group of equal keys each member is compared with the best-placed one; what they do not share goes through
    a table of windows. The cost is linear in the windows of the group, however many members it has.

    Args:
        keys: sorted keys of fingerprints.
        places: of each, as `select_fingerprints` returns them.
        documents_order: of each, what to add to a place to have it in the order of documents.
        units: units of the corpus.
        current: places from here on belong to earlier corpora, and no run begins there.
        width: as in `select_fingerprints`.
        gap: as in `select_fingerprints`.
        most_entries: windows in the table at once, if members are fewer.
    """
    length = width + gap - 1
    oldest_factor = _raise_base(length - 1)
    records = np.empty((1024, 3), dtype=np.int64)
    count = 0
    slots = np.full(1024, -1, dtype=np.int64)
    is_mated = np.empty(MOST_GAP, dtype=np.bool_)
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        members = end - begin
        if members < 2:
            begin = end
            continue
        at = np.empty(members, dtype=np.int64)  # place of the fingerprint
        ordered = np.empty(members, dtype=np.int64)  # the same in the order of documents
        low = np.empty(members, dtype=np.int64)  # fewest and most units from a window's start to the fingerprint
        high = np.empty(members, dtype=np.int64)
        for member in range(members):
            packed = places[begin + member]
            place = np.int64(packed >> _PLACE_SHIFT)
            high[member] = np.int64((packed >> _BACK_SHIFT) & _BYTE)
            low[member] = high[member] - np.int64(packed & _BYTE)
            at[member] = place + high[member]
            ordered[member] = at[member] + documents_order[begin + member]
        begin = end
        if members == 2:
            if ordered[1] < ordered[0]:
                for values in (at, ordered, low, high):
                    values[0], values[1] = values[1], values[0]
        else:
            order = np.argsort(ordered)
            at, ordered, low, high = at[order], ordered[order], low[order], high[order]

        # each with the first: the windows they share are those between `shared_low` and `shared_high`
        shared_low = np.zeros(members, dtype=np.int64)
        shared_high = np.full(members, -1, dtype=np.int64)
        is_mated[:gap] = False
        first = at[0]
        rest = 0
        for member in range(1, members):
            place = at[member]
            lowest, highest = max(low[0], low[member]), min(high[0], high[member])
            if lowest <= highest and _is_same(units, first, place, width):
                left = 0
                while left < highest and units[first - left - 1] == units[place - left - 1]:
                    left += 1
                right, most = width, length - lowest
                while right < most and units[first + right] == units[place + right]:
                    right += 1
                highest, lowest = left, max(lowest, length - right)
                if lowest <= highest:
                    shared_low[member], shared_high[member] = lowest, highest
                    is_mated[lowest : highest + 1] = True
                    if place < current:
                        records = _append(records, count, place - highest, highest - lowest + 1, ordered[0] - highest)
                        count += 1
            rest += high[member] - low[member] + 1
            if shared_low[member] <= shared_high[member]:
                rest -= shared_high[member] - shared_low[member] + 1
        if first < current:
            back = high[0]
            while back >= low[0]:
                run = 0
                while back - run >= low[0] and is_mated[back - run]:
                    run += 1
                if run:
                    records = _append(records, count, first - back, run, ordered[0] - back)
                    count += 1
                back -= max(run, 1)
        if members == 2 or rest < 2:
            continue

        # what is left, some distances from the fingerprint at a time
        distances = gap if rest <= most_entries else max(1, most_entries // members)
        room = min(rest, members * distances)
        wanted = 1024
        while wanted < 2 * room:
            wanted *= 2
        if len(slots) < wanted:
            slots = np.full(wanted, -1, dtype=np.int64)
        last_slot = np.uint64(wanted - 1)
        entry_hash = np.empty(room, dtype=np.uint64)
        entry_slot = np.empty(room, dtype=np.int64)
        entry_member = np.empty(room, dtype=np.int64)
        entry_mated = np.empty(room, dtype=np.bool_)
        listed = np.empty(room, dtype=np.int64)
        for nearest in range(0, gap, distances):
            furthest = min(gap, nearest + distances) - 1
            entries = 0
            windows = 0
            for member in range(1, members):
                place = at[member]
                rolling = np.uint64(0)
                next_back, next_mate = -1, -1
                for back in range(min(high[member], furthest), max(low[member], nearest) - 1, -1):
                    if shared_low[member] <= back <= shared_high[member]:
                        continue
                    window = place - back
                    if back == next_back:
                        rolling -= (np.uint64(units[window - 1]) + _ONE) * oldest_factor
                        rolling = rolling * _BASE + (np.uint64(units[window + length - 1]) + _ONE)
                    else:
                        next_mate = -1
                        rolling = np.uint64(0)
                        for index in range(window, window + length):
                            rolling = rolling * _BASE + (np.uint64(units[index]) + _ONE)
                    next_back = back - 1
                    hashed = _spread(rolling + np.uint64(back) * _BASE)
                    slot = hashed & last_slot
                    while True:
                        entry = slots[slot]
                        if entry == -1:
                            entry = entries
                            entries += 1
                            slots[slot] = entry
                            entry_hash[entry], entry_slot[entry] = hashed, np.int64(slot)
                            entry_member[entry], entry_mated[entry] = member, False
                            next_mate = -1
                            break
                        if entry_hash[entry] == hashed:
                            mate = entry_member[entry]
                            other = at[mate] - back
                            # all but the last unit has been compared, one window earlier, if that had the same mate
                            if mate == next_mate:
                                is_equal = units[other + length - 1] == units[window + length - 1]
                            else:
                                is_equal = _is_same(units, other, window, length)
                            if is_equal:
                                entry_mated[entry] = True
                                next_mate = mate
                                break
                        slot = (slot + _ONE) & last_slot
                    listed[windows] = entry
                    windows += 1
            windows = 0
            for member in range(1, members):
                run_begin, run_mate, run = 0, -1, 0
                for back in range(min(high[member], furthest), max(low[member], nearest) - 1, -1):
                    mate = -1
                    if not shared_low[member] <= back <= shared_high[member]:
                        entry = listed[windows]
                        windows += 1
                        if entry_mated[entry] and at[member] < current:
                            mate = entry_member[entry]
                    if mate != run_mate:
                        if run_mate != -1:
                            records = _append(
                                records, count, at[member] - run_begin, run, ordered[run_mate] - run_begin
                            )
                            count += 1
                        run_begin, run_mate, run = back, mate, 0
                    run += 1
                if run_mate != -1:
                    records = _append(records, count, at[member] - run_begin, run, ordered[run_mate] - run_begin)
                    count += 1
            for entry in range(entries):
                slots[entry_slot[entry]] = -1
    return records[:count].copy()
