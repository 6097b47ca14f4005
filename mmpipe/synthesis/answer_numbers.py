r"""Reads numbers, fractions, percentages and quantities as people and models write them, exactly, or says it cannot.

Nothing is stripped that changes a value: a sign, a fraction's stroke and an exponent stay. What is read is exact
(`fractions.Fraction`); an expression ("5²", "3√2", "2^10", "5x"), a date and a time are no numbers here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_MINUS = "-−﹣－‐‑–"
_GROUP_SPACES = "\u00a0\u202f\u2009"

_LATEX_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*(-?[\d.,]+)\s*\}|(\d))\s*(?:\{\s*(-?[\d.,]+)\s*\}|(\d))")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox|operatorname)\s*\{([^{}]*)\}")
_LATEX_NOISE = re.compile(r"\\[,;:! ]|\\left|\\right|\\\(|\\\)|\\\[|\\\]|\*\*|__|(?<=\d)\{,\}(?=\d)")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree")

_DIGITS = rf"\d(?:[\d.,:/'{_GROUP_SPACES}]*\d)?"
_TOKEN = re.compile(
    rf"(?P<sign>[{_MINUS}+]\s?)?(?:(?P<currency>US\$|[$€£¥₹₽])\s?)?(?P<inner>[{_MINUS}])?"
    rf"(?P<lead>\.(?=\d))?(?P<body>{_DIGITS})(?P<exponent>[eE][+\-−]?\d+(?![\w.]))?"
    rf"(?:[ {_GROUP_SPACES}](?P<part>\d+/\d+)(?![\d/]))?"
)
_WORD = r"[^\W\d_]+(?:\^?[23])?"
_UNIT = re.compile(rf"\s?(%|٪|percent\b|per cent\b|pct\b|{_WORD}(?:[/·]{_WORD})?|°[CF]?|[$€£¥₹₽¢])")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_VARIABLE = re.compile(r"\s?(?:\\pi|π|√|\\sqrt|\\cdot|\\times|×\s?10)|[xyznijk](?![^\W\d_])")
_THOUSANDS = {",": re.compile(r"\d{1,3}(,\d{3})+"), ".": re.compile(r"\d{1,3}(\.\d{3}){2,}")}
_GROUPED = {",": re.compile(r"\d{1,3}(,\d{3})+"), ".": re.compile(r"\d{1,3}(\.\d{3})+")}
_INDIAN = re.compile(r"\d{1,2}(,\d{2})+,\d{3}")
_SPACED = re.compile(rf"\d{{1,3}}([{_GROUP_SPACES}']\d{{3}})+")
_MOST_DIGITS = 400
_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "万": 10**4, "億": 10**8, "亿": 10**8,
}  # fmt: skip
_PERCENT_WORDS = frozenset({"%", "٪", "percent", "per cent", "pct"})


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that was read.

    Attributes:
        value: the number itself; of "50 %" it is 50.
        unit: what follows or, for money, precedes it, as written; empty if nothing does.
        is_percent: whether a percent sign or word follows.
        start: where it begins in the text as `clean_markup` leaves it.
        end: where it ends there, unit excluded.
    """

    value: Fraction
    unit: str
    is_percent: bool
    start: int = 0
    end: int = 0

    @property
    def share(self) -> Fraction:
        """The value itself, of a percentage a hundredth."""
        return self.value / 100 if self.is_percent else self.value


def clean_markup(text: str) -> str:
    """Return `text` without LaTeX and Markdown dress; fractions become `a/b`, exponents stay exponents.

    Compatibility forms (full-width digits, ½) are read as NFKC has them, but a superscript never becomes a digit of
    its own: "5²" is "5^2", not "52".
    """
    text = _LATEX_TEXT.sub(r" \1 ", text)
    text = _DEGREES.sub("°", text)
    text = _LATEX_FRACTION.sub(_write_fraction, text)
    text = _LATEX_NOISE.sub("", text).replace("\\$", "$").replace("\\%", "%")
    text = re.sub(r"(?<!\w)\$(?=[^$]*\$)([^$]*)\$", r"\1", text)
    signs: list[str] = []
    for place, sign in enumerate(text):
        if sign in _SUPERSCRIPTS:
            is_first = place == 0 or text[place - 1] not in _SUPERSCRIPTS
            signs.append(("^" if is_first else "") + unicodedata.normalize("NFKC", sign))
        elif sign in _GROUP_SPACES:
            signs.append(sign)
        elif "VULGAR FRACTION" in unicodedata.name(sign, ""):
            signs.append((" " if signs and signs[-1][-1].isdigit() else "") + _name_vulgar(sign))
        else:
            signs.append(unicodedata.normalize("NFKC", sign))
    text = "".join(signs).replace("⁄", "/")
    return "".join(str(unicodedata.digit(sign)) if sign.isdigit() and not sign.isascii() else sign for sign in text)


def _write_fraction(match: re.Match[str]) -> str:
    upper, lower = match.group(1) or match.group(2), match.group(3) or match.group(4)
    glue = " " if match.start() and match.string[match.start() - 1].isdigit() else ""
    return f"{glue}{upper}/{lower}"


def _name_vulgar(sign: str) -> str:
    value = Fraction(unicodedata.numeric(sign)).limit_denominator(10)
    return f"{value.numerator}/{value.denominator}"


def find_quantities(text: str) -> list[Quantity]:
    """Return the numbers of `text` in order; what merely looks like one (a date, a time, "5²", "A4") is left out."""
    return [quantity for quantity in _scan(clean_markup(text)) if quantity is not None]


def read_quantity(text: str) -> Quantity | None:
    """Return the number that `text` is, with its unit; None if it is none, several, or an expression.

    A short answer may dress it: "about 5 km", "= −5", "$1,200.50 per month".
    """
    cleaned = clean_markup(text)
    tokens = _scan(cleaned)
    if len(tokens) == 1:
        return tokens[0]
    # plain spaces between groups of thousands: only where the whole answer is the number
    grouped = re.fullmatch(rf"\s*[{_MINUS}]?\d{{1,3}}(?: \d{{3}})+(?:[.,]\d+)?\s*", cleaned)
    return read_quantity(cleaned.replace(" ", "")) if grouped else None


def _scan(text: str) -> list[Quantity | None]:
    """Return what each token of cleaned text reads as; the 2 of "m^2" belongs to the token before it."""
    found, taken = [], 0
    for match in _TOKEN.finditer(text):
        if match.start("body") < taken:
            continue
        found.append(_read_token(text, match))
        unit = _UNIT.match(text, match.end())
        taken = unit.end() if unit else match.end()
    return found


def _read_token(text: str, match: re.Match[str]) -> Quantity | None:
    before, after = text[: match.start()], text[match.end() :]
    sign, start = match["sign"] or "", match.start()
    if sign and re.search(r"[\w)\]]\s?$" if sign[-1].isspace() else r"(?:[\w)\]]|[\d)\]]\s)$", before):
        # a minus after a digit or a word is an operator, a range or a hyphen; "to -2" is negative, "birds - 2" is not
        before, sign = before + sign, ""
        start += len(match["sign"])
    glued = not sign and not match["currency"] and re.search(r"[A-Za-z_\\]$", before) is not None
    if glued or re.search(r"(?:\^|√|\\sqrt\{?|\^\{)\s*[-(]?$", before):
        return None
    if after.startswith("^") or _VARIABLE.match(after) or re.match(r"\s?[*/]\s?\d|\s?[+×÷]\s?\d", after):
        return None
    value = _read_body(("0." if match["lead"] else "") + match["body"], match["exponent"] or "", match["part"] or "")
    if value is None:
        return None
    if sign.strip() in tuple(_MINUS) or match["inner"]:
        value = -value
    unit, scale = _read_unit(after, match["currency"] or "")
    is_percent = unit.casefold() in _PERCENT_WORDS
    return Quantity(value * scale, "" if is_percent else unit, is_percent, start, match.end())


def _read_unit(after: str, currency: str) -> tuple[str, int]:
    if _ORDINAL.match(after):
        return currency, 1
    scale = 1
    match = _UNIT.match(after)
    if match and match[1].casefold() in _SCALES:
        scale = _SCALES[match[1].casefold()]
        match = _UNIT.match(after[match.end() :])
    elif match and match[1][0] in _SCALES:
        scale, match = _SCALES[match[1][0]], None
    return (currency or (match[1].rstrip(".") if match else "")), scale


def _read_body(body: str, exponent: str, part: str) -> Fraction | None:
    if ":" in body or body.count("/") > 1:
        return None
    if "/" in body:
        upper, lower = (_read_decimal(side) for side in body.split("/"))
        return upper / lower if upper is not None and lower and not (part or exponent) else None
    value = _read_decimal(body)
    if value is None or not part:
        return _raise_to(value, exponent)
    upper, lower = (Fraction(side) for side in part.split("/"))
    # "1 1/2" is a mixed number; "2020 5/4" and "1.5 1/2" are two numbers
    is_mixed = lower and upper < lower and value.denominator == 1 and not exponent
    return value + upper / lower if is_mixed else None


def _raise_to(value: Fraction | None, exponent: str) -> Fraction | None:
    if value is None or not exponent:
        return value
    power = int(exponent[1:].replace("−", "-"))
    # a number with a thousand digits is no answer; Fraction would happily build it
    return value * Fraction(10) ** power if abs(power) <= _MOST_DIGITS else None


def _read_decimal(body: str) -> Fraction | None:
    """Return the value of digits with separators: thousands and decimals, English, European and Indian; else None."""
    if _SPACED.fullmatch(re.split(r"[.,]", body)[0]):
        body = re.sub(rf"[{_GROUP_SPACES}']", "", body)
    if len(body) > _MOST_DIGITS or not re.fullmatch(r"[\d.,]+", body):
        return None
    last = max(body.rfind(","), body.rfind("."))
    if last < 0:
        return Fraction(body)
    mark, whole, decimals = body[last], body[:last], body[last + 1 :]
    if _THOUSANDS[mark].fullmatch(body) and not body.startswith("0"):
        return Fraction(body.replace(mark, ""))
    if mark == "," and _INDIAN.fullmatch(body):
        return Fraction(body.replace(",", ""))
    other = "." if mark == "," else ","
    if _GROUPED[other].fullmatch(whole):
        whole = whole.replace(other, "")
    return Fraction(f"{whole}.{decimals}") if whole.isdigit() else None
