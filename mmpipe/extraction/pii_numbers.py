"""Finds numbers that belong to somebody: phones, bank accounts (IBAN), payment cards. Checksums before anything."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError
from mmpipe.extraction.pii_addresses import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Length of an IBAN by country (SWIFT, IBAN Registry, release 99).
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

_IBAN_SHAPE = re.compile(rb"AA00(?<![0Aa]AA00)(?=[ \xa0-]?[0A])")
_IBAN_GAPS = " \u00a0-"


def find_ibans(text: str, shape: bytes) -> list[Span]:
    """Return the bank account numbers of a text: known country, its length, checksum (ISO 13616, modulo 97).

    Args:
        text: any text.
        shape: its `find_shape`.
    """
    spans: list[Span] = []
    for found in _IBAN_SHAPE.finditer(shape):
        start = found.start()
        length = _IBAN_LENGTHS.get(text[start : start + 2])
        end = None if length is None else _read_iban(text, start, length)
        if end is not None and (not spans or start >= spans[-1][1]):
            spans.append((start, end))
    return spans


def _read_iban(text: str, start: int, length: int) -> int | None:
    """Return the end of the number of that many letters and digits, None if there is none or its checksum is wrong."""
    taken: list[str] = []
    at = start
    while len(taken) < length:
        character = text[at : at + 1]
        if character in _IBAN_GAPS and character and text[at - 1] not in _IBAN_GAPS:
            at += 1
        elif character.isascii() and (character.isupper() or character.isdigit()):
            taken.append(character)
            at += 1
        else:
            return None
    if text[at : at + 1].isalnum():
        return None
    number = "".join(str(int(character, 36)) for character in taken[4:] + taken[:4])
    return at if int(number) % 97 == 1 else None


#: Issuers by first digits, and how long their numbers are (ISO/IEC 7812; the networks' published ranges).
_CARD_RANGES = (
    (r"4", (16, 19)),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    (r"3[47]", (15,)),  # American Express
    (r"6011|64[4-9]|65", (16, 19)),  # Discover
    (r"3(?:0[0-5]|[689])", (14,)),  # Diners Club
    (r"35(?:2[89]|[3-8])", (16, 19)),  # JCB
    (r"62", (16, 17, 18, 19)),  # UnionPay
    (r"50(?:18|20|38)|5893|6304|6759|676[1-3]", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
)
_ISSUERS = tuple((re.compile(prefix), lengths) for prefix, lengths in _CARD_RANGES)

#: As printed on the card, or in one piece; not within a longer number, a word, a path or a decimal.
_CARD_SHAPE = re.compile(
    rb"0000(?<![\w./=&#-]0000)(?:"
    rb"(?P<four>[ -])0000(?P=four)0000(?P=four)0000(?:(?P=four)000)?|(?P<six>[ -])000000(?P=six)00000?|0{8,15}+"
    rb")(?![\w/]|[.,-]0)"
)


def find_cards(text: str, shape: bytes) -> list[Span]:
    """Return the payment card numbers of a text: an issuer's first digits and length, checksum (Luhn).

    Args:
        text: any text.
        shape: its `find_shape`.
    """
    spans = [found.span() for found in _CARD_SHAPE.finditer(shape)]
    return [(start, end) for start, end in spans if _is_card(re.sub(r"\D", "", text[start:end]))]


def _is_card(digits: str) -> bool:
    known = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
    return known and len(set(digits)) > 2 and check_luhn(digits)


def check_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


#: Digits with few marks between them: one phone number, or several in a row. `?` stands for a dash outside Latin-1.
_RUN_SHAPE = re.compile(rb"0(?<![\w.,:/=%#$\xa3-]0)(?:[ \xa0.\-/()?]{0,3}0){6,95}+")
#: What is left of a run after a cut at white space.
_PIECE = re.compile(r"[^ \u00a0]+")
_GROUP = re.compile(r"[0-9]+")
_MARKS = frozenset("0123456789 \u00a0.-/()+\u2010\u2011\u2012\u2013")
_BEHIND = re.compile(r"[\w%€$£]|[.,:/-][0-9]| ?[€$£]")
_BEFORE = "$€£%#=,.:/-_"
_LEAST_DIGITS = 7
_MOST_DIGITS = 15  # E.164

_CUE = re.compile(
    r"(?:\b(?:tele?(?:fono?|phone|foon|fax)?|tel[eé]fono|t[eé]l(?:[eé]phone)?|phone|ph|fon|fax|call|cell(?:ular)?"
    r"|mob(?:ile|iel|il)?|handy|mobil|whatsapp|hotline|sms|text|rufnummer|ring|dial|nummer|m[oó]vil|portable|cellulare"
    r"|contact)\b|☎|📞|📱|✆|电话|電話|手机|전화|тел)[^\w\n]{0,6}(?:(?:us|me|now|number|no|nr|at|on|is)\b[^\w\n]{0,3}){0,3}$",
    re.IGNORECASE,
)
_CUE_WINDOW = 40


def find_phones(text: str, shape: bytes, regions: Sequence[str] = ()) -> list[Span]:
    """Return the phone numbers of a text, as sure as the numbering plans make it (libphonenumber's metadata).

    A number with `+` or `00` must be valid in the country it names. Without, it must be valid in one of `regions`, and
    either be grouped as that country writes it or stand behind a word for phone.

    Args:
        text: any text.
        shape: its `find_shape`.
        regions: countries by ISO 3166 code, such as `US`.

    Raises:
        ConfigurationError: libphonenumber knows no such country.
    """
    countries = tuple(regions)
    spans: list[Span] = []
    for run in _RUN_SHAPE.finditer(shape):
        start = run.start()
        while start and text[start - 1] in "+(" and run.start() - start < len("(+"):
            start -= 1
        if start and (text[start - 1].isalnum() or text[start - 1] in _BEFORE):
            continue
        pieces = [(piece.start(), piece.end()) for piece in _PIECE.finditer(text, start, run.end())]
        spans += _read_run(text, pieces, countries)
    return spans


def _read_run(text: str, pieces: list[Span], regions: tuple[str, ...]) -> Iterator[Span]:
    """Yield the numbers in a run, the longest from each piece on."""
    first = 0
    while first < len(pieces):
        end = _find_end(text, pieces, first, regions)
        if end is not None:
            start, stop = pieces[first][0], pieces[end][1]
            # a bracket that is closed behind the number stands around it
            yield start + (text[start] == "(" and ")" not in text[start:stop]), stop
            first = end
        first += 1


def _find_end(text: str, pieces: list[Span], first: int, regions: tuple[str, ...]) -> int | None:
    """Return the last piece of the longest number that begins with a piece, None if there is none."""
    start = pieces[first][0]
    is_marked = text.startswith(("+", "(+"), start)
    # what stands before a later piece is a number
    has_cue = first == 0 and _CUE.search(text[max(0, start - _CUE_WINDOW) : start]) is not None
    digits = 0
    groups: list[str] = []
    ends: list[tuple[int, int]] = []
    for last in range(first, len(pieces)):
        added = _GROUP.findall(text, *pieces[last])
        digits += sum(map(len, added))
        if digits > _MOST_DIGITS + len("00"):
            break
        # rows of single digits are a table's
        if not (is_marked or has_cue) and any(len(group) == 1 for group in added):
            break
        groups += added
        if digits >= _LEAST_DIGITS:
            ends.append((last, len(groups)))
    is_inside = first > 0 or (start > 1 and text[start - 1].isspace() and text[start - 2].isdigit())
    for last, count in reversed(ends):
        end = pieces[last][1]
        number = tuple(groups[:count])
        # groups that only spaces part may be some of a longer number's
        is_plain = not (is_marked or has_cue) and text[start:end].replace(" ", "").replace("\u00a0", "").isdigit()
        if is_plain and (is_inside or last + 1 < len(pieces)):
            continue
        if not _BEHIND.match(text, end) and _is_phone(text[start:end], number, regions, has_cue=has_cue):
            return last
    return None


def _is_phone(written: str, groups: tuple[str, ...], regions: tuple[str, ...], *, has_cue: bool) -> bool:
    digits = "".join(groups)
    if not _MARKS.issuperset(written):
        return False
    if written.startswith(("+", "(+")):
        return _is_international(digits)
    # a bare row of digits is an id, a price, an ISBN
    if _is_date(groups) or (len(groups) == 1 and not has_cue):
        return False
    if digits.startswith("00") and _is_international(digits[2:]):
        return True
    return any(
        _plan_of(region).fullmatch(digits) and _is_national(digits, groups, region, is_cued=has_cue)
        for region in regions
    )


def _is_date(groups: tuple[str, ...]) -> bool:
    return len(groups) > 2 and groups[0][:2] in ("19", "20") and tuple(map(len, groups[:3])) == (4, 2, 2)


@lru_cache(maxsize=512)
def _plan_of(region: str) -> re.Pattern[str]:
    """Return a quick look at a country's numbering plan: its trunk prefix and the general pattern behind it.

    Raises:
        ConfigurationError: no such country.
    """
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.general_desc is None:
        raise ConfigurationError(f"mask_pii: no phone numbering plan of {region!r}; name countries by ISO 3166 code.")
    trunk = metadata.national_prefix or ""
    return re.compile(f"(?:{trunk})?(?:{metadata.general_desc.national_number_pattern})")


@lru_cache(maxsize=65_536)
def _is_international(digits: str) -> bool:
    import phonenumbers

    if not 8 <= len(digits) <= _MOST_DIGITS:
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}", None))
    except phonenumbers.NumberParseException:
        return False


@lru_cache(maxsize=65_536)
def _is_national(digits: str, groups: tuple[str, ...], region: str, *, is_cued: bool) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number_for_region(number, region):
        return False
    if is_cued:
        return True
    printed = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return tuple(_GROUP.findall(printed)) == groups
