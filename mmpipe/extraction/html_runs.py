"""Compiled writer of text runs: character references decoded, white space collapsed, words counted on the way."""

# compiled loops: calls cost, and so do comparisons through a tuple
# ruff: noqa: C901, PLR0912, PLR0915, PLR1714

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmpipe.extraction.html_tokens import find_slot
from mmpipe.extraction.uncounted_loops import ZERO, compile_loop

#: Columns of the block table, int32; the first ten are counted here.
(
    WORDS, LINK_WORDS, CHARS, MARKS, COMMAS, DIGITS, CAPITALS, SHORT_WORDS, FUNCTION_WORDS, GROUP_WORDS, GROUP_BITS,
    ENDS_SENTENCE, STARTS, START, END, TAG_ID, FLAGS, ELEMENT, LINKS, BREAKS, SOURCE, LEVEL, ROW, HEADING, ITEM, LISTS,
    EMPHASIS, IS_CODE,
) = range(28)  # fmt: skip
BLOCK_COLUMNS = 28
#: What a run hands to the next beyond the counts: whether white space is due, and the length of the word begun.
IS_SPACED, WORD_LENGTH = range(2)

_AMP, _SPACE, _NEWLINE = 38, 32, 10
_SEED = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x100000001B3)
_FOLD = np.uint64(32)
_MOST_NAME = 32
#: Windows-1252 for the numbers 128 to 159 (HTML standard, section 13.2.5.80).
_C1 = np.array(
    [code if code in (129, 141, 143, 144, 157) else ord(bytes([code]).decode("cp1252")) for code in range(128, 160)],
    np.int32,
)


@compile_loop()
def _write_code(out: NDArray[np.uint8], code: Any) -> int:
    """Write a character in UTF-8 and return its length."""
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if 128 <= code < 160:
        code = np.int64(_C1[code - 128])
    if code < 0x80:
        out[0] = code
        return 1
    if code < 0x800:
        out[0] = 0xC0 | (code >> 6)
        out[1] = 0x80 | (code & 63)
        return 2
    if code < 0x10000:
        out[0] = 0xE0 | (code >> 12)
        out[1] = 0x80 | ((code >> 6) & 63)
        out[2] = 0x80 | (code & 63)
        return 3
    out[0] = 0xF0 | (code >> 18)
    out[1] = 0x80 | ((code >> 12) & 63)
    out[2] = 0x80 | ((code >> 6) & 63)
    out[3] = 0x80 | (code & 63)
    return 4


@compile_loop()
def _read_number(page: NDArray[np.uint8], at: int, end: int, scratch: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Decode a numeric reference whose number sign stands at `at`; return its end and length, 0 if it is none."""
    at += 1
    is_hexadecimal = at < end and page[at] | 32 == 120
    at += is_hexadecimal
    first = at
    code = np.int64(0)
    while at < end:
        byte = np.int64(page[at])
        if 48 <= byte <= 57:
            digit = byte - 48
        elif is_hexadecimal and 97 <= byte | 32 <= 102:
            digit = (byte | 32) - 87
        else:
            break
        code = min(code * (16 if is_hexadecimal else 10) + digit, np.int64(0x110000))
        at += 1
    if at == first:
        return at, 0
    return at + (at < end and page[at] == 59), _write_code(scratch, code)


@compile_loop()
def _read_reference(
    page: NDArray[np.uint8], position: int, end: int, scratch: NDArray[np.uint8], entity_keys: NDArray[np.uint64],
    entity_bytes: NDArray[np.uint8],
) -> tuple[Any, Any]:  # fmt: skip
    """Decode the character reference at an ampersand into `scratch`; return its end and length, 0 if it is none."""
    at = position + 1
    if at < end and page[at] == 35:
        return _read_number(page, at, end, scratch)
    key = _SEED
    while at < end and at - position <= _MOST_NAME and (48 <= page[at] <= 57 or 97 <= page[at] | 32 <= 122):
        key = (key ^ np.uint64(page[at])) * _STEP
        at += 1
    slot = find_slot(entity_keys, key ^ (key >> _FOLD)) if at > position + 1 else -1
    if slot < 0:
        return at, 0
    length = np.int64(entity_bytes[slot, 0])
    for place in range(length):
        scratch[place] = entity_bytes[slot, 1 + place]
    return at + (at < end and page[at] == 59), length


@compile_loop(inline="always")
def end_word(
    counts: NDArray[np.int32], carried: NDArray[np.int64], hashes: NDArray[np.uint64], word_keys: NDArray[np.uint64],
    word_groups: NDArray[np.int32],
) -> None:  # fmt: skip
    """Count the word that ends here, if one was begun."""
    if carried[WORD_LENGTH] == 0:
        return
    slot = find_slot(word_keys, hashes[0] ^ (hashes[0] >> _FOLD))
    if slot >= 0:
        group = word_groups[slot]
        counts[FUNCTION_WORDS] += group == 0
        if group > 0:
            counts[GROUP_WORDS] += 1
            counts[GROUP_BITS] |= 1 << group
    counts[SHORT_WORDS] += carried[WORD_LENGTH] <= 3
    carried[WORD_LENGTH] = 0
    hashes[0] = _SEED


@compile_loop(inline="always")
def _count_sign(byte: Any, second: Any, third: Any, in_link: bool, counts: NDArray[np.int32]) -> None:
    """Count the first byte of what is no letter; every Chinese, Japanese and Korean character is a word."""
    if 0xE3 <= byte <= 0xED:
        is_mark = byte == 0xE3 and second == 0x80 and third < 0x90
        counts[WORDS] += not is_mark
        counts[LINK_WORDS] += in_link and not is_mark
        counts[COMMAS] += is_mark and third == 0x81
        counts[MARKS] += is_mark and third == 0x82
        counts[ENDS_SENTENCE] = is_mark and third == 0x82
    elif byte < 0x80:
        is_end = byte == 46 or byte == 33 or byte == 63
        counts[MARKS] += is_end
        counts[COMMAS] += byte == 44 or byte == 59
        if is_end:
            counts[ENDS_SENTENCE] = 1
        elif byte == 58:
            counts[ENDS_SENTENCE] = 2
        elif byte != 34 and byte != 41 and byte != 39:
            counts[ENDS_SENTENCE] = 0


@compile_loop()
def _write_stretch(
    source: NDArray[np.uint8], position: int, end: int, out: NDArray[np.uint8], start: int, at: int, in_pre: bool,
    in_link: bool, counts: NDArray[np.int32], carried: NDArray[np.int64], hashes: NDArray[np.uint64],
    word_keys: NDArray[np.uint64], word_groups: NDArray[np.int32],
) -> int:  # fmt: skip
    """Write bytes without references and return the end of what is written; arguments as `write_run` has them."""
    # the loop's own variables stay in registers
    word_hash, text_hash = hashes[0], hashes[1]
    word_length = carried[WORD_LENGTH]
    is_spaced = carried[IS_SPACED]
    chars = 0
    mask = word_keys.size - 1
    while position < end:
        byte = np.int64(source[position])
        position += 1
        second = third = np.int64(0)
        if byte >= 0xC2:
            second = np.int64(source[position]) if position < end else np.int64(0)
            third = np.int64(source[position + 1]) if position + 1 < end else np.int64(0)
            if byte == 0xC2 and (second == 0xA0 or second == 0xAD):
                position += 1
                byte = np.int64(_SPACE if second == 0xA0 else 0)
            elif (byte == 0xE2 and second == 0x80 and third == 0x8B) or (
                byte == 0xEF and second == 0xBB and third == 0xBF
            ):
                position += 2
                byte = np.int64(0)
        is_space = byte == _SPACE or 9 <= byte <= 13
        if byte <= _SPACE and not is_space:
            continue
        is_capital = 65 <= byte <= 90
        is_digit = 48 <= byte <= 57
        # the lead bytes C2 and E2 begin quotation marks, dashes, arrows and other signs
        is_letter = (
            97 <= byte <= 122 or is_capital or is_digit or (byte >= 0xC3 and byte != 0xE2 and not 0xE3 <= byte <= 0xED)
        )
        goes_on = 0x80 <= byte < 0xC0
        if word_length > 0 and not is_letter and not goes_on:
            # as `end_word`, which as a call would cost more than the word
            key = word_hash ^ (word_hash >> _FOLD)
            slot = np.int64(key & np.uint64(mask))
            while word_keys[slot] != 0 and word_keys[slot] != key:
                slot = (slot + 1) & mask
            if word_keys[slot] != 0:
                group = word_groups[slot]
                counts[FUNCTION_WORDS] += group == 0
                if group > 0:
                    counts[GROUP_WORDS] += 1
                    counts[GROUP_BITS] |= 1 << group
            counts[SHORT_WORDS] += word_length <= 3
            word_hash = _SEED
            word_length = 0
        if is_space:
            if not in_pre:
                is_spaced = 1
            elif byte != 12 and byte != 13 and (at > start or byte != _NEWLINE):
                out[at] = byte
                at += 1
            continue
        if is_spaced:
            is_spaced = 0
            if at > start and out[at - 1] > _SPACE:
                out[at] = _SPACE
                at += 1
        out[at] = byte
        at += 1
        text_hash = (text_hash ^ np.uint64(byte)) * _STEP
        chars += not goes_on
        if is_letter:
            if word_length == 0:
                counts[WORDS] += 1
                counts[LINK_WORDS] += in_link
                counts[CAPITALS] += is_capital
                counts[ENDS_SENTENCE] = 0
                if counts[WORDS] == 1:
                    counts[STARTS] = is_capital
            word_length += 1
            counts[DIGITS] += is_digit
            word_hash = (word_hash ^ np.uint64(byte | 32 if is_capital else byte)) * _STEP
        elif goes_on:
            # with the character before; a sign's end is no word
            if word_length > 0:
                word_length += 1
                word_hash = (word_hash ^ np.uint64(byte)) * _STEP
        else:
            _count_sign(byte, second, third, in_link, counts)
    counts[CHARS] += chars
    carried[WORD_LENGTH] = word_length
    carried[IS_SPACED] = is_spaced
    hashes[0] = word_hash
    hashes[1] = text_hash
    return at


@compile_loop()
def write_run(
    page: NDArray[np.uint8], position: Any, end: Any, out: NDArray[np.uint8], start: int, at: int, in_pre: bool,
    in_link: bool, counts: NDArray[np.int32], carried: NDArray[np.int64], hashes: NDArray[np.uint64],
    scratch: NDArray[np.uint8], word_keys: NDArray[np.uint64], word_groups: NDArray[np.int32],
    entity_keys: NDArray[np.uint64], entity_bytes: NDArray[np.uint8],
) -> int:  # fmt: skip
    """Write a run of text and return the end of what is written.

    A no-break space is a space; soft hyphens, zero-width spaces and byte order marks are nothing, and so are control
    characters. Runs of white space are one space, except in preformatted text.

    The run stands in `page` from `position` to `end`; the block is written to `out` from `start`, and goes on at `at`.
    White space stays where `in_pre`, and words are link words where `in_link`. `counts` is the block's row; `carried`
    and `hashes` (of the word begun, of the block's text) are what one run hands to the next; `scratch` has room for one
    reference. The tables are those of `html_vocabulary.Vocabulary`, which as a whole would be copied with every call.
    """
    first = position
    while position < end:
        if page[position] != _AMP:
            position += 1
            continue
        after, length = _read_reference(page, position, end, scratch, entity_keys, entity_bytes)
        if length == 0:
            position += 1
            continue
        at = _write_stretch(
            page, first, position, out, start, at, in_pre, in_link, counts, carried, hashes, word_keys, word_groups
        )
        at = _write_stretch(
            scratch, ZERO, length, out, start, at, in_pre, in_link, counts, carried, hashes, word_keys, word_groups
        )
        position = first = after
    return _write_stretch(
        page, first, end, out, start, at, in_pre, in_link, counts, carried, hashes, word_keys, word_groups
    )
