"""Finds the numbers of a text that its source does not tell: digits of every script, ordinals, decades, number words.

A number is told if the source has its value, however either writes it: `12,000`, `12 000`, `12 thousand`, `twelve
thousand`, `1.2万`; `20th`, `twentieth` and `20`. A decade is told by itself and by any number within it (`the 1990s` by
`1994`), and tells no year. Nothing is computed: who tells two numbers does not tell their sum.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from mmpipe.synthesis.number_words import SCALES, Spelled, list_chinese_numbers, list_spelled_numbers

#: Numbers to this one are written in words as often as in digits, and number lists.
OFTEN_SPELLED = 12

_SPACES = "\u00a0\u202f\u2009"
_DIGITS = rf"\d+(?:[.,'’{_SPACES}]\d+| (?=\d{{3}}(?!\d))\d+)*"
_SCALE_WORDS = "|".join(SCALES)
_SCALE = rf"\s?(?P<scale>(?:{_SCALE_WORDS})s?\b|[百千万萬亿億兆]|(?<=\d)(?:k|K|bn|mn|tn)\b)"
_TOKEN = re.compile(
    r"(?P<date>(?<!\d)(?:\d{4}([-/])\d{1,2}\2\d{1,2}|\d{1,2}([-/])\d{1,2}\3\d{4})(?!\d))|"
    rf"(?P<hour>(?<![\d:.])(?:[01]?\d|2[0-4])):(?P<minute>[0-5]\d)(?![\d:])|"
    rf"(?P<digits>{_DIGITS})(?:(?P<decade>['’]?s\b|er\b|年代)|{_SCALE}|"
    rf"(?=\s?(?:to|or|and|[-–—~～至到])\s?{_DIGITS}\s?(?P<shared>(?:{_SCALE_WORDS})s?\b|[百千万萬亿億兆])))?",
    re.IGNORECASE,
)
#: `2019-20`, `1990–95`: the end of a span of years with its century left out.
_SPAN = re.compile(r"(?<!\d)(\d\d)(\d\d)[-–—/](\d\d)(?!\d)")
#: What a line of a list begins with: `13.`, `(13)`, `Question 13:`.
_MARKER = re.compile(r"^([ \t]*(?:\*\*)?(?:question|answer|[qa])?[ \t]?\(?)(\d{1,3})(?=[.):](?:\*\*)?\s)", re.M | re.I)
_SHORT_SCALES = {"k": 3, "mn": 6, "bn": 9, "tn": 12}
_CHINESE_SCALES = {"百": 2, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8, "兆": 12}
_MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
#: Words that tell how many without a number.
_GROUPS = {"both": "2", "pair": "2", "couple": "2", "twice": "2", "double": "2", "twin": "2", "twins": "2",
           "half": "2", "triple": "3", "trio": "3", "thrice": "3"}  # fmt: skip
_GROUP = re.compile(rf"\b(?:{'|'.join(_GROUPS)})\b", re.IGNORECASE)
_MONTH = re.compile(rf"\b(?:{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it stands in a text.

    Attributes:
        shown: what stands there.
        values: what it may be; one of them told tells it.
        parts: numbers that tell it too if all of them are told (dates, times); empty if none do.
        decade: its first year, or its two digits; None if it is none.
        is_sure: whether it counts as a number of a text; one in words that may be an idiom tells, and is not asked for.
        is_small_word: whether it is one of two to twelve in words.
    """

    shown: str
    values: frozenset[str]
    parts: tuple[str, ...] = ()
    decade: int | None = None
    is_sure: bool = True
    is_small_word: bool = False


@dataclass(slots=True)
class _Told:
    """What a source tells."""

    values: set[str] = field(default_factory=set)
    decades: set[int] = field(default_factory=set)
    months: set[str] = field(default_factory=set)

    def tells(self, number: _Number, is_small: Callable[[str], bool]) -> bool:
        if number.decade is not None:
            return self._tells_decade(number.decade)
        if not self.values.isdisjoint(number.values) or any(map(is_small, number.values)):
            return True
        # `10:00` says no more than `10`
        return bool(number.parts) and all(
            part in self.values or part == "0" or part in self.months or is_small(part) for part in number.parts
        )

    def _tells_decade(self, decade: int) -> bool:
        if decade in self.decades or any(other % 100 == decade for other in self.decades):
            return True
        # `the 1900s` are a century as often as ten years
        length = 100 if decade >= 1000 and decade % 100 == 0 else 10
        years = [int(value) for value in self.values if value.isdecimal() and len(value) <= 4]
        return any(
            decade <= year < decade + length or (decade < 100 and year >= 1000 and decade <= year % 100 < decade + 10)
            for year in years
        )


def list_added_numbers(text: str, source: str) -> list[str]:
    """Return the numbers of `text` that `source` does not tell, each once, in their order, as they stand there.

    Numbers to twelve are left out: they are as often spelled, and number lists. Numbers of longer lists that the text
    counts from one are left out too.
    """
    return _list_added(_strip_markers(text), source, _is_often_spelled)


def _strip_markers(text: str) -> str:
    """Return a text without the numbers that its lines begin with, where they go on from one."""
    expected = {1}

    def strip(match: re.Match[str]) -> str:
        # answers are counted beside questions: a number stands twice
        number = int(match[2])
        if number not in expected:
            return match[0]
        expected.add(number + 1)
        return match[1]

    return _MARKER.sub(strip, text)


def list_untold_numbers(text: str, evidence: str, *, are_words_held: bool = False) -> list[str]:
    """Return the numbers of `text` that `evidence` does not tell, small ones in digits too.

    One wrong number among many right words is no small share of an answer: it is the answer. Numbers of lists that the
    text counts from one say nothing.

    Args:
        text: what was written.
        evidence: what it must rest on.
        are_words_held: whether `two` to `twelve` count too. A question may count what a text lists ("Which two …");
            an answer that counts says what nobody told. `One` and ordinals are never held.
    """
    return _list_added(_strip_markers(text), evidence, lambda _: False, are_words_held=are_words_held)


def _list_added(text: str, source: str, is_small: Callable[[str], bool], *, are_words_held: bool = False) -> list[str]:
    numbers = [number for number in _list_numbers(text) if number.is_sure or (are_words_held and number.is_small_word)]
    if not numbers:
        return []
    told = _read_source(source)
    return list(dict.fromkeys(number.shown for number in numbers if not told.tells(number, is_small)))


def _is_often_spelled(value: str) -> bool:
    # a number of thousands of digits is none that int() reads
    return len(value) <= 2 and value.isdecimal() and int(value) <= OFTEN_SPELLED


def _read_source(source: str) -> _Told:
    told = _Told()
    for number in _list_numbers(source):
        told.values |= {*number.values, *number.parts}
        if number.decade is not None:
            told.decades.add(number.decade)
    told.months = {str(_find_month(name) + 1) for name in _MONTH.findall(source)}
    told.values |= {str(value) for value in list_chinese_numbers(source)}
    told.values |= {_GROUPS[name.casefold()] for name in _GROUP.findall(source)}
    return told


def _find_month(name: str) -> int:
    return next(place for place, month in enumerate(_MONTHS) if month.startswith(name[:3].casefold()))


def _list_numbers(text: str) -> Iterator[_Number]:
    plain = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
    ends = {match.start(3): match[1] + match[3] for match in _SPAN.finditer(plain) if match[3] > match[2]}
    for match in _TOKEN.finditer(plain):
        number = _read_match(match)
        if match.start() in ends:
            number = _Number(number.shown, number.values | {_trim(ends[match.start()])})
        yield number
    yield from map(_read_spelled, list_spelled_numbers(text))


def _read_spelled(spelled: Spelled) -> _Number:
    values = frozenset(str(value) for value in spelled.values)
    is_large = min(spelled.values) > OFTEN_SPELLED
    is_small_word = not is_large and not spelled.is_ordinal and 1 not in spelled.values
    parts = tuple(map(str, spelled.parts))
    return _Number(spelled.shown, values, parts, is_sure=spelled.is_sure and is_large, is_small_word=is_small_word)


def _read_match(match: re.Match[str]) -> _Number:
    if match["date"]:
        return _Number(match[0], frozenset({match[0]}), tuple(map(_trim, re.findall(r"\d+", match[0]))))
    if match["hour"]:
        hour, minute = _trim(match["hour"]), _trim(match["minute"])
        return _Number(match[0], frozenset({f"{hour}:{match['minute']}"}), (hour, minute))
    digits = match["digits"]
    values, parts = _read_digits(digits)
    if match["decade"]:
        return _read_decade(match, digits, values)
    if scale := match["scale"]:
        return _Number(match[0].strip(), frozenset(map(partial(_shift, places=_find_places(scale)), values)))
    if shared := match["shared"]:
        values |= frozenset(map(partial(_shift, places=_find_places(shared)), values))
    elif re.match(r"m\b", match.string[match.end() :]):
        # metres or millions
        values |= frozenset(_shift(value, 6) for value in values)
    elif re.match(r" K\b", match.string[match.end() :]):
        values |= frozenset(_shift(value, 3) for value in values)
    return _Number(digits, values, parts)


def _read_decade(match: re.Match[str], digits: str, values: frozenset[str]) -> _Number:
    if len(digits) not in (2, 4) or not digits.endswith("0") or not digits.isdecimal():
        # `5s` and `7's` are what they are without it
        return _Number(digits, values)
    is_number_too = len(digits) == 2 or match["decade"] in ("'s", "’s")
    return _Number(match[0], values if is_number_too else frozenset(), decade=int(digits))


def _read_digits(digits: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return what digits with points, commas and spaces between them may be, and their parts where each counts."""
    parts = re.findall(r"\d+", digits)
    signs = re.findall(r"\D", digits)
    if not signs:
        return frozenset({_trim(digits)}), ()
    whole = _join_thousands(parts, signs)
    if len(set(signs)) == 1 and whole is not None:
        # `1.500` has three decimals or is a thousand and a half; `1,500` in English is no fraction
        values = {whole, _trim(".".join(parts))} if signs == ["."] else {whole}
        return frozenset(values), tuple(map(_trim, parts)) if signs[0] == " " else ()
    if signs[-1] in ".," and (len(signs) == 1 or _join_thousands(parts[:-1], signs[:-1]) is not None):
        before = _join_thousands(parts[:-1], signs[:-1]) if len(signs) > 1 else parts[0]
        is_list = signs[-1] == "," and len(parts[-1]) > 3
        if signs[-1] not in signs[:-1] and not is_list:
            value = _trim(f"{before}.{parts[-1]}")
            is_time = len(signs) == 1 and len(parts[0]) <= 2 and len(parts[1]) == 2
            return frozenset({value, f"{_trim(parts[0])}:{parts[1]}"} if is_time else {value}), ()
    return frozenset({digits}), tuple(map(_trim, parts))


def _join_thousands(parts: list[str], signs: list[str]) -> str | None:
    """Return the number whose thousands the signs part; None if they part something else."""
    if len(set(signs)) != 1 or not 1 <= len(parts[0]) <= 3 or any(len(part) != 3 for part in parts[1:]):
        return None
    return _trim("".join(parts)) if parts[0].strip("0") else None


def _trim(number: str) -> str:
    """Return digits, with a point or without, as their value is written shortest; `05` of a date is `5`."""
    whole, _, decimals = number.partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _shift(value: str, places: int) -> str:
    """Return ten to the power of `places` times a number, by its digits."""
    if ":" in value:
        return value
    whole, _, decimals = value.partition(".")
    padded = decimals.ljust(places, "0")
    return _trim(f"{whole}{padded[:places]}.{padded[places:]}")


def _find_places(scale: str) -> int:
    name = scale.casefold()
    if name in _CHINESE_SCALES or name in _SHORT_SCALES:
        return _CHINESE_SCALES.get(name) or _SHORT_SCALES[name]
    return len(str(SCALES[name.removesuffix("s")])) - 1
