"""Reads numbers that are written in words: English cardinals and ordinals, years as they are said, Chinese numerals."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What a number in words or digits is taken times with, behind it.
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_SMALL_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_CARDINALS = {name: value for value, name in enumerate(_SMALL_NAMES.split())} | {
    name: value * 10 for value, name in enumerate(_TENS, start=2)
}
_IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
              "twelve": "twelfth"}  # fmt: skip
_ORDINALS = {
    _IRREGULAR.get(name, f"{name[:-1]}ieth" if name.endswith("y") else f"{name}th"): value
    for name, value in _CARDINALS.items()
    if value
}
_SCALED = SCALES | {"dozen": 12}

_NAMES = "|".join(sorted({*_CARDINALS, *_ORDINALS, *_SCALED}, key=len, reverse=True))
#: Number words in a row, `and` between them where it belongs to a number.
_RUN = re.compile(rf"\b(?:{_NAMES})(?:(?:[^\S\n]|-)+(?:(?:and[^\S\n]+)?(?:{_NAMES}))\b)*(?![^\W\d_])", re.IGNORECASE)
_AND_BELONGS = frozenset(SCALES)

#: Signs of 0, 1, …, 9.
_CHINESE_SIGNS = ("〇零", "一壹", "二两兩貳", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
_CHINESE_DIGITS = {sign: value for value, signs in enumerate(_CHINESE_SIGNS) for sign in signs}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_RUN = re.compile(f"[{''.join({**_CHINESE_DIGITS, **_CHINESE_UNITS})}万萬亿億]{{1,40}}")


@dataclass(frozen=True, slots=True)
class Spelled:
    """A number in words.

    Attributes:
        shown: what stands there.
        values: what it may be, the likeliest first.
        parts: numbers that it is said of, where it may be two in a row (`nineteen thirty`).
        is_sure: whether it is meant as a number: `a hundred` without one before it often is not.
        is_ordinal: whether it says a place in a row.
    """

    shown: str
    values: tuple[int, ...]
    parts: tuple[int, ...] = ()
    is_sure: bool = True
    is_ordinal: bool = False


def list_spelled_numbers(text: str) -> list[Spelled]:
    """Return the English numbers in words of `text`, in their order; `two hundred and five` is one."""
    found = []
    for match in _RUN.finditer(text):
        # digits before a scale belong to it: `3 million` is none in words
        if re.search(r"\d\s?\Z", text[max(0, match.start() - 2) : match.start()]):
            continue
        found += _read_run(match[0])
    return found


def _read_run(run: str) -> list[Spelled]:
    """Return the numbers of words in a row: a word that cannot go on with the number before begins another."""
    found: list[Spelled] = []
    reading = _Reading()
    for word in re.findall(r"[a-z]+", run.casefold()):
        if word == "and":
            if not reading.may_take_and():
                found += reading.close()
                reading = _Reading()
            continue
        if not reading.take(word):
            found += reading.close()
            reading = _Reading()
            reading.take(word)
    return [*found, *reading.close()]


class _Reading:
    """One number while its words are read."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._total = 0
        self._current = 0
        self._said: tuple[int, int] | None = None
        self._is_closed = False

    def may_take_and(self) -> bool:
        return bool(self._words) and self._words[-1] in _AND_BELONGS and not self._is_closed

    def take(self, word: str) -> bool:
        """Read one word more; False if it belongs to another number."""
        if self._is_closed:
            return False
        if word in _SCALED:
            return self._take_scale(word)
        value = _CARDINALS.get(word)
        if value is None:
            value, self._is_closed = _ORDINALS[word], True
        if not self._words or self._fits(value):
            self._current += value
        elif self._is_year(value):
            self._said = (self._current, value)
            self._current = self._current * 100 + value
        elif self._said is not None and self._current % 10 == 0 and 0 < value < 10 and self._said[1] >= 20:
            self._said = (self._said[0], self._said[1] + value)
            self._current += value
        else:
            self._is_closed = False
            return False
        self._words.append(word)
        return True

    def _fits(self, value: int) -> bool:
        low = self._current % 100
        if self._said is not None or value == 0 or self._words[-1] == "zero":
            return False
        return low == 0 if value >= 10 else low == 0 or (low >= 20 and low % 10 == 0)

    def _is_year(self, value: int) -> bool:
        is_plain = self._total == 0 and self._said is None and not self._is_closed
        return is_plain and 10 <= self._current <= 99 and value >= 10

    def _take_scale(self, word: str) -> bool:
        scale = _SCALED[word]
        if word in ("hundred", "dozen"):
            if self._current >= 100 or self._said is not None:
                return False
            self._current = max(1, self._current) * scale
        else:
            if self._said is not None or (self._total and self._total < scale):
                return False
            self._total += max(1, self._current) * scale
            self._current = 0
        self._words.append(word)
        return True

    def close(self) -> list[Spelled]:
        """Return the number that was read, if there is one."""
        if not self._words:
            return []
        is_sure = self._words[0] not in _SCALED
        value, shown = self._total + self._current, " ".join(self._words)
        return [Spelled(shown, (value,), self._said or (), is_sure, self._is_closed)]


def list_chinese_numbers(text: str) -> set[int]:
    """Return what the Chinese numerals of `text` may be: 二十 is 20, 一九三一 is 1931, 三万五千 is 35,000."""
    found = set()
    for run in _CHINESE_RUN.findall(text):
        if all(sign in _CHINESE_DIGITS for sign in run):
            found |= {int("".join(str(_CHINESE_DIGITS[sign]) for sign in run)), *(_CHINESE_DIGITS[s] for s in run)}
        else:
            found.add(_read_chinese(run))
    return found


def _read_chinese(run: str) -> int:
    total = myriads = section = digit = 0
    for sign in run:
        if sign in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[sign]
        elif sign in _CHINESE_UNITS:
            section += max(1, digit) * _CHINESE_UNITS[sign]
            digit = 0
        elif sign in "万萬":
            myriads, section, digit = (section + digit) * 10**4, 0, 0
        else:
            # 亿 counts all that stands before it
            total, myriads, section, digit = (total + myriads + section + digit) * 10**8, 0, 0, 0
    return total + myriads + section + digit
