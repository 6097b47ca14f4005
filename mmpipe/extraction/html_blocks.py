"""Compiled reader of HTML: a page's UTF-8 bytes to its blocks of text with what is known of each.

Imported only where it is used, because numba takes a second to import. It follows the HTML standard (section 13.2) as
far as text depends on it: which tags bound text, and which end tags are implied. It builds no tree.
"""

# compiled loops: calls cost, and so do comparisons through a tuple
# ruff: noqa: C901, PLR0912, PLR0915, PLR1714, SIM109

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mmpipe.extraction.html_runs import (
    BLOCK_COLUMNS,
    BREAKS,
    ELEMENT,
    EMPHASIS,
    END,
    FLAGS,
    HEADING,
    IS_CODE,
    IS_SPACED,
    ITEM,
    LEVEL,
    LINK_WORDS,
    LINKS,
    LISTS,
    ROW,
    SOURCE,
    START,
    TAG_ID,
    WORDS,
    end_word,
    write_run,
)
from mmpipe.extraction.html_tokens import (
    CLOSING,
    FIRST,
    HAS_TARGET,
    IS_HIDDEN,
    KIND,
    LAST,
    OPENING,
    TAG_OF,
    TEXT,
    read_tokens,
)
from mmpipe.extraction.html_vocabulary import FLAG, TAG
from mmpipe.extraction.uncounted_loops import ZERO, compile_loop

#: Columns of the element table, int32: the enclosing element, the tag, a hash of tag and class.
PARENT, ELEMENT_TAG, LIKENESS = range(3)
#: Elements open at once, and blocks of a page; what is nested deeper belongs to the deepest, what comes later is cut.
_MOST_OPEN = 512
MOST_BLOCKS = 1 << 17

#: Columns of the stack of open elements, int64, and of their class bits, uint64.
_TAG, _ELEMENT, _FLAGS, _ROW, _ITEM, _LISTS = range(6)
_OWN, _ALL = range(2)
_SPACE, _NEWLINE = 32, 10
_SEED = np.uint64(0xCBF29CE484222325)
_STEP = np.uint64(0x100000001B3)
_FOLD = np.uint64(32)
_POSITIVE = np.uint64(0x7FFFFFFF)

_P, _LI, _DT, _DD, _TR, _TD, _TH, _TABLE, _OPTION, _A, _BR, _HR, _WBR, _UL, _OL, _H1, _H6 = (
    TAG[name]
    for name in ("p", "li", "dt", "dd", "tr", "td", "th", "table", "option", "a", "br", "hr", "wbr", "ul", "ol", "h1",
                 "h6")
)  # fmt: skip
_DIV, _ADDRESS, _BODY, _HTML, _CODE, _THEAD, _TFOOT = (
    TAG[name] for name in ("div", "address", "body", "html", "code", "thead", "tfoot")
)
_TAG_COUNT = len(TAG)
_IN_PRE, _HIDDEN, _IN_HEADING = FLAG["pre"], FLAG["hidden"], FLAG["heading"]


@compile_loop(inline="always")
def _find_closed(tag: int, stack: NDArray[np.int64], top: int) -> int:
    """Return the level of the open element that an end tag closes, or -1; a cell keeps it from what is outside."""
    is_table_part = _TABLE <= tag <= _TH
    for level in range(top - 1, -1, -1):
        passed = stack[level, _TAG]
        if passed == tag:
            return level
        if not is_table_part and (passed == _TD or passed == _TH or passed == _TABLE):
            return -1
    return -1


@compile_loop(inline="always")
def _find_kept(tag: int, stack: NDArray[np.int64], top: int, in_table: bool) -> int:
    """Return how many open elements stay open when a tag opens: the end tags that it implies."""
    if top == 0:
        return 0
    above = stack[top - 1, _TAG]
    kept = top
    if above == _P or (above == _OPTION and tag == _OPTION) or (_H1 <= above <= _H6 and _H1 <= tag <= _H6):
        kept = top - 1
    if tag == _LI or tag == _DT or tag == _DD:
        for level in range(kept - 1, -1, -1):
            passed = stack[level, _TAG]
            if passed == tag or (tag != _LI and (passed == _DT or passed == _DD)):
                return level
            if passed != _DIV and passed != _P and passed != _ADDRESS:
                return kept
    is_cell = tag == _TD or tag == _TH
    if in_table and (is_cell or tag == _TR or _THEAD <= tag <= _TFOOT):
        for level in range(kept - 1, -1, -1):
            passed = stack[level, _TAG]
            if passed == _TABLE or (is_cell and passed == _TR) or (tag == _TR and _THEAD <= passed <= _TFOOT):
                return level + 1
    return kept


@compile_loop(inline="always")
def _place_block(
    row: NDArray[np.int32], stack: NDArray[np.int64], bits: NDArray[np.uint64], top: int, link_bits: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Say where a block stands; return the class bits of the three innermost elements and of all."""
    row[LEVEL] = top
    if top == 0:
        return np.uint64(0), np.uint64(0)
    row[TAG_ID] = stack[top - 1, _TAG]
    row[FLAGS] = stack[top - 1, _FLAGS]
    row[ELEMENT] = stack[top - 1, _ELEMENT]
    row[ROW] = stack[top - 1, _ROW]
    row[ITEM] = stack[top - 1, _ITEM]
    row[LISTS] = stack[top - 1, _LISTS]
    level = top - 1 if stack[top - 1, _FLAGS] & _IN_HEADING else -1
    while level >= 0 and not (_H1 <= stack[level, _TAG] <= _H6):
        level -= 1
    if level >= 0:
        row[HEADING] = stack[level, _TAG] - _H1 + 1
    near = link_bits if row[LINKS] > 0 and row[LINK_WORDS] == row[WORDS] else np.uint64(0)
    for level in range(max(top - 3, 0), top):
        near |= bits[level, _OWN]
    return near, bits[top - 1, _ALL]


@compile_loop(inline="always")
def _open_element(
    tag: int, is_hidden: bool, element: int, own: np.uint64, stack: NDArray[np.int64], bits: NDArray[np.uint64],
    top: int, tag_flags: NDArray[np.uint32],
) -> Any:  # fmt: skip
    """Put an element on the stack; return the element that it stands in."""
    for column in range(6):
        stack[top, column] = stack[top - 1, column] if top > 0 else 0
    bits[top, _ALL] = bits[top - 1, _ALL] if top > 0 else np.uint64(0)
    parent = stack[top, _ELEMENT]
    stack[top, _TAG] = tag
    stack[top, _ELEMENT] = element
    stack[top, _FLAGS] |= np.int64(tag_flags[tag]) | (_HIDDEN if is_hidden else 0)
    if tag == _TR:
        stack[top, _ROW] = element
    elif tag == _TABLE:
        stack[top, _ROW] = 0
    elif tag == _LI:
        stack[top, _ITEM] = element
    stack[top, _LISTS] += tag == _UL or tag == _OL
    bits[top, _OWN] = own
    if tag != _BODY:
        # a body's class names the kind of page, not what stands in it
        bits[top, _ALL] |= own
    return parent


@compile_loop()
def _fill_blocks(
    page: NDArray[np.uint8], tokens: NDArray[np.int32], token_marks: NDArray[np.uint64],
    word_keys: NDArray[np.uint64], word_groups: NDArray[np.int32], entity_keys: NDArray[np.uint64],
    entity_bytes: NDArray[np.uint8], tag_flags: NDArray[np.uint32], out: NDArray[np.uint8], blocks: NDArray[np.int32],
    marks: NDArray[np.uint64], elements: NDArray[np.int32], stack: NDArray[np.int64], bits: NDArray[np.uint64],
    open_count: NDArray[np.int64], counts: NDArray[np.int32], carried: NDArray[np.int64], hashes: NDArray[np.uint64],
    scratch: NDArray[np.uint8],
) -> tuple[int, int, int]:  # fmt: skip
    """Fill the tables of `read_blocks`; return the bytes of text, the blocks and the elements.

    `stack`, `bits` and `open_count` are the open elements; `counts`, `carried`, `hashes` and `scratch` are as
    `write_run` takes them; all of these are zero, but for the hashes.
    """
    count = 0
    element_count = 1
    top = 0
    too_deep = 0
    # levels at which a link and a code element were opened, -1 outside
    link_level = -1
    code_level = -1
    link_bits = np.uint64(0)
    start = ZERO
    at = ZERO
    after_break = False

    for position in range(tokens.shape[0] + 1):
        is_end = position == tokens.shape[0]
        if not is_end:
            kind, tag = tokens[position, KIND], tokens[position, TAG_OF]
            in_pre = top > 0 and (stack[top - 1, _FLAGS] & _IN_PRE) != 0
            if kind == TEXT:
                before = at
                at = write_run(
                    page, np.int64(tokens[position, FIRST]), np.int64(tokens[position, LAST]), out, start, at, in_pre,
                    link_level >= 0, counts, carried, hashes, scratch, word_keys, word_groups, entity_keys,
                    entity_bytes,
                )  # fmt: skip
                if at > before:
                    after_break = False
                    if before == start:
                        counts[SOURCE] = tokens[position, FIRST]
                        counts[IS_CODE] = code_level >= 0
                continue
            if tag == 0:
                counts[EMPHASIS] += 1
                continue
            if tag == _A:
                is_target = kind == OPENING and tokens[position, HAS_TARGET]
                link_level = top if is_target else -1
                if is_target:
                    counts[LINKS] += 1
                    link_bits = token_marks[position, 0]
                continue
            if tag == _WBR:
                continue
            if tag == _CODE:
                code_level = -1 if kind == CLOSING else top
                continue
            if tag == _BR and (in_pre or not after_break):
                end_word(counts, carried, hashes, word_keys, word_groups)
                counts[BREAKS] += 1
                carried[IS_SPACED] = 0
                if at > start:
                    while not in_pre and out[at - 1] == _SPACE:
                        at -= 1
                    out[at] = _NEWLINE
                    at += 1
                    after_break = True
                continue

        # the block ends
        end_word(counts, carried, hashes, word_keys, word_groups)
        while at > start and out[at - 1] <= _SPACE:
            at -= 1
        if at > start:
            counts[START] = start
            counts[END] = at
            near, far = _place_block(counts, stack, bits, top, link_bits)
            for column in range(BLOCK_COLUMNS):
                blocks[count, column] = counts[column]
            marks[count, 0] = near
            marks[count, 1] = far
            marks[count, 2] = hashes[1]
            count += 1
            start = at
        # element by element: filling a slice costs as much as reading a tag
        for column in range(BLOCK_COLUMNS):
            counts[column] = 0
        counts[LINKS] = link_level >= 0
        carried[0] = carried[1] = 0
        hashes[0] = hashes[1] = _SEED
        after_break = False
        if is_end or count == MOST_BLOCKS:
            break
        if tag == _BR or tag == _HR:
            continue

        kept = top
        if kind == CLOSING:
            if too_deep > 0:
                too_deep -= 1
            elif open_count[tag] > 0:
                closed = _find_closed(tag, stack, top)
                kept = closed if closed >= 0 else top
        else:
            kept = _find_kept(tag, stack, top, open_count[_TABLE] > 0)
        while top > kept:
            top -= 1
            open_count[stack[top, _TAG]] -= 1
        link_level = link_level if link_level <= top else -1
        code_level = code_level if code_level <= top else -1
        if kind == CLOSING or tag == _HTML or (tag == _BODY and open_count[_BODY] > 0):
            continue
        if top == _MOST_OPEN:
            too_deep += 1
            continue
        parent = _open_element(
            tag, tokens[position, IS_HIDDEN] == 1, element_count, token_marks[position, 0], stack, bits, top, tag_flags
        )
        elements[element_count, PARENT] = parent
        elements[element_count, ELEMENT_TAG] = tag
        likeness = (token_marks[position, 1] ^ np.uint64(tag)) * _STEP
        elements[element_count, LIKENESS] = np.int32((likeness ^ (likeness >> _FOLD)) & _POSITIVE)
        open_count[tag] += 1
        element_count += 1
        top += 1
    return at, count, element_count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def read_blocks(page: NDArray[np.uint8], vocabulary: Any) -> Any:
    """Read a page.

    Args:
        page: UTF-8 bytes.
        vocabulary: `html_vocabulary.Vocabulary`.

    Returns:
        text: UTF-8 bytes of all blocks, one after the other.
        blocks: (n, BLOCK_COLUMNS) int32; columns in `html_runs`.
        marks: (n, 3) uint64, bits of CLASS_WORDS of the three innermost elements and of all, hash of the block's text.
        elements: (m, 3) int32.
        is_cut: whether the page had more than MOST_BLOCKS blocks and the rest was not read.
    """
    tokens, token_marks = read_tokens(page, vocabulary)
    # a named reference may be longer in UTF-8 than as it is written
    out = np.empty(2 * page.size + 64, np.uint8)
    # a token ends one block and opens one element at most
    most = tokens.shape[0] + 1
    blocks = np.empty((min(most, MOST_BLOCKS), BLOCK_COLUMNS), np.int32)
    marks = np.empty((min(most, MOST_BLOCKS), 3), np.uint64)
    elements = np.empty((most, 3), np.int32)
    for column in range(3):
        elements[0, column] = 0
    elements[0, PARENT] = -1
    at, count, element_count = _fill_blocks(
        page, tokens, token_marks, vocabulary.word_keys, vocabulary.word_groups, vocabulary.entity_keys,
        vocabulary.entity_bytes, vocabulary.tag_flags, out, blocks, marks, elements,
        np.zeros((_MOST_OPEN, 6), np.int64), np.zeros((_MOST_OPEN, 2), np.uint64), np.zeros(_TAG_COUNT, np.int64),
        np.zeros(BLOCK_COLUMNS, np.int32), np.zeros(2, np.int64), np.full(2, _SEED, np.uint64), np.zeros(8, np.uint8),
    )  # fmt: skip
    return out[:at], blocks[:count], marks[:count], elements[:element_count], count == MOST_BLOCKS
