"""Swaps gendered words of a caption for their counterparts: counterfactual data, which the picture may contradict.

Two-way word pairs as in Zhao et al. 2018 ("Gender Bias in Coreference Resolution", section 4.1) and Lu et al. 2018;
names in pairs as in Hall Maudslay et al. 2019 ("It's All in the Name"). The words are of our own compiling. A swapped
caption says of the people in a picture what the picture may deny, and nobody looked: it is text for text, and every row
made from it has `image_consistent` false.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.caption_rows import make_caption_row
from mmpipe.synthesis.gendered_words import CLOSED_WORDS, NAME_PAIRS, TWO_OBJECT_VERBS, WORD_PAIRS
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

METHOD = "gender_swap"

_NOUNS_IN_LY = frozenset({"family", "belly", "fly", "jelly", "assembly", "butterfly", "lily", "bully", "ally"})
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Swap:
    """A text with its gendered words swapped.

    Attributes:
        text: the new text.
        swapped: (word, its counterpart), in order, as written.
        is_ambiguous: whether a pronoun had two readings, of which a rule took the likelier: `her` or `his` before a
            conjunction, `her` after a verb of perception, and before a word in -ly or -ing.
    """

    text: str
    swapped: tuple[tuple[str, str], ...]
    is_ambiguous: bool


def swap_gender(text: str, *, names: bool = False) -> Swap:
    """Return the text with its gendered words swapped; letters' case and everything between words stay.

    `him` becomes `her`, `hers` becomes `his`. `her` becomes `his` before a noun phrase and `him` where it stands alone;
    `his` becomes `her` or `hers` likewise. A word that is part of a compound with a hyphen (`man-made`, `king-size`) is
    no person and stays.

    Args:
        text: an English caption.
        names: whether given names are swapped too, where they are written with a capital.
    """
    words = list(_WORD.finditer(text))
    parts: list[str] = []
    swapped: list[tuple[str, str]] = []
    is_ambiguous, end = False, 0
    for place, match in enumerate(words):
        word = match.group()
        counterpart, is_unsure = _find_counterpart(text, words, place, names=names)
        if counterpart is None:
            continue
        new = _copy_case(word, counterpart)
        parts += [text[end : match.start()], new]
        end = match.end()
        swapped.append((word, new))
        is_ambiguous |= is_unsure
    return Swap("".join([*parts, text[end:]]), tuple(swapped), is_ambiguous)


@cache
def _index_words() -> dict[str, str]:
    # these two have one counterpart each way of reading; `her` and `his` are read by what follows
    return {one: other for pair in WORD_PAIRS for one, other in (pair, pair[::-1])} | {"him": "her", "hers": "his"}


@cache
def _index_names() -> dict[str, str]:
    return {one: other for pair in NAME_PAIRS for one, other in (pair, pair[::-1])}


def _find_counterpart(text: str, words: Sequence[re.Match[str]], place: int, *, names: bool) -> tuple[str | None, bool]:
    """Return a word's counterpart in lower case (a name's as it is written), and whether the word has two readings."""
    match = words[place]
    word = match.group()
    lower = word.lower()
    if "-" in (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]):
        return None, False
    if lower in ("her", "his"):
        owns, is_unsure = _owns_something(text, words, place)
        return ({"her": "his", "his": "her"} if owns else {"her": "him", "his": "hers"})[lower], is_unsure
    # a name in capitals or with one; `mary` may be any word of another language
    is_name = names and word[0].isupper() and word.capitalize() in _index_names()
    return _index_names()[word.capitalize()] if is_name else _index_words().get(lower), False


def _owns_something(text: str, words: Sequence[re.Match[str]], place: int) -> tuple[bool, bool]:
    """Return whether `her` or `his` goes with a following noun, and whether that is unsure."""
    word = words[place].group().lower()
    following = _list_following(text, words, place, 3)
    before = words[place - 1].group().lower() if place else ""
    if not following:
        return False, False
    first = following[0]
    if first in ("and", "or"):
        # `his or her dog` owns, `his and hers` and `it is his and not mine` do not
        is_shared = len(following) > 2 and following[1] in ("her", "his") and following[2] not in CLOSED_WORDS
        return is_shared, True
    if first in CLOSED_WORDS:
        return False, False
    if word == "her" and first.endswith("ing") and before in TWO_OBJECT_VERBS:
        return False, True
    if first.endswith("ly") and (len(following) == 1 or following[1] in CLOSED_WORDS):
        # `watches her closely`, not `her newly painted house`
        return first in _NOUNS_IN_LY, first not in _NOUNS_IN_LY
    return True, word == "her" and before in TWO_OBJECT_VERBS


def _list_following(text: str, words: Sequence[re.Match[str]], place: int, count: int) -> list[str]:
    """Return the next words in lower case, up to the first that is not set off by white space only."""
    following: list[str] = []
    for one, other in zip(words[place : place + count], words[place + 1 : place + count + 1], strict=False):
        between = text[one.end() : other.start()]
        # quotes and digits may stand before a noun: `her "best" hat`, `his 3 dogs`
        if re.search(r"[^\s\"“”‘’'\d]", between) or between.startswith(("'", "’")):
            break
        following.append(other.group().lower())
    if not following and re.match(r"\s+\d", text[words[place].end() :]):
        return ["number"]
    return following


def _copy_case(word: str, counterpart: str) -> str:
    if word.isupper():
        return counterpart.upper()
    return counterpart[0].upper() + counterpart[1:] if word[0].isupper() else counterpart


def swap_captions(pairs: Iterable[Mapping[str, Any]], *, names: bool = False) -> list[dict[str, Any]]:
    """Return rows of image_captions for the captions that have a gendered word; the others have no row.

    Args:
        pairs: pair_id, dump and caption of each pair.
        names: whether given names are swapped too.
    """
    version = describe_words(names=names)
    rows = []
    for pair in pairs:
        swap = swap_gender(pair["caption"], names=names)
        if swap.swapped:
            rows.append(
                make_caption_row(pair, METHOD, swap.text, source=pair["caption"], model=version, image_consistent=False)
            )
    return rows


def describe_words(*, names: bool) -> str:
    """Return the name and digest of the word lists: another list is another version of every row."""
    lists = [WORD_PAIRS, sorted(CLOSED_WORDS), sorted(TWO_OBJECT_VERBS), NAME_PAIRS if names else ()]
    return f"mmpipe/gendered_words@{digest_settings(lists)[:8]}"
