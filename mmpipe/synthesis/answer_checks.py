"""Verifies a final answer against the right one: number, percentage, quantity, option letter or text; never by guess.

The compare of LLM2LLM's published code strips sign and stroke, so that -5 equals 5 and 1/2 equals 12; here a value is
read exactly (`answer_numbers`) or the answer is unreadable, and an unreadable answer is wrong with its own reason.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, get_args

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.answer_numbers import Quantity, clean_markup, find_quantities, read_quantity
from mmpipe.synthesis.answer_units import measure_unit
from mmpipe.synthesis.api_calls import judge_calls, read_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

AnswerKind = Literal["number", "percent", "quantity", "choice", "text", "api_call"]

#: Changes with what is judged right: part of every row that was kept by it.
VERSION = "answer_checks@2"

#: Why an answer is not right.
REASONS = ("wrong_answer", "answer_unreadable", "unit_missing", "wrong_unit")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CUE = re.compile(
    r"(?:####|\b(?:the\s+)?(?:final\s+|correct\s+|right\s+)?answer\s*(?:is|:|=|：)|答案\s*(?:是|为|為|:|：)|答え\s*(?:は|:|：)"
    r"|<answer>\s*:?|\bANSWER\s*:)\s*:?",
    re.IGNORECASE,
)
_ABBREVIATED = "".join(rf"(?<!\b{name})" for name in ("approx", "ca", "Rs", "No", "Mr", "Mrs", "Ms", "Dr", "St", "vs"))
#: Where what follows a cue ends: a later sentence of the line is no answer. Numbers and `U.S.` have their own points.
_SENTENCE_END = re.compile(rf"{_ABBREVIATED}(?<!\.[A-Z])[.!?]\s+(?=\D)|[。！？](?=.)")
_NOT = re.compile(r"(?:not|n't|never|不是)\b", re.IGNORECASE)
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_QUOTES = "\"'“”‘’«»「」『』`*_ \t\n"
_ENDS = ".,;:!?。，；：！？、"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCheck:
    """How answers of a task are compared.

    Attributes:
        kind: what an answer is. `number`: its value, whatever counted thing follows it; a percentage is its hundredth.
            `percent`: 50, 50 % and "50 percent" are one. `quantity`: a number and a unit, converted. `choice`: a
            letter, or the text of exactly one option. `text`: the same text after `normalize_text`. `api_call`: a
            call in Python that states every argument of the right one, with equal trees (`api_calls`).
        relative: largest difference as a share of the right value.
        absolute: largest difference. Both 0 asks for the exact value; 0.33 is then no third.
        may_leave_unit: whether a quantity without a unit is taken to be in the right answer's.
    """

    kind: AnswerKind = "number"
    relative: float = 1e-6
    absolute: float = 0.0
    may_leave_unit: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(AnswerKind):
            known = get_args(AnswerKind)
            raise ConfigurationError(f"Unknown kind of answer {self.kind!r}.{name_nearest(self.kind, known)}")
        if not (0 <= self.relative < 1 and self.absolute >= 0):
            raise ConfigurationError(f"Tolerances must be at least 0: {self.relative} and {self.absolute}.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right; `answer` is what was read as the final answer, `reason` is empty if it is right."""

    is_right: bool
    answer: str
    reason: str = ""


def check_answer(said: str, right: str, check: AnswerCheck, options: Sequence[str] = ()) -> Verdict:
    """Return whether the final answer of `said` is `right`.

    Args:
        said: an answer, or a whole solution that ends in one.
        right: the right answer: a number, a text, or for `choice` a letter or an option's text.
        check: how they are compared.
        options: texts of the options in order A, B, …, for `choice`.

    Raises:
        ConfigurationError: `right` itself cannot be read, so nothing could ever be right.
    """
    if check.kind == "choice":
        return _check_choice(said, right, options)
    if check.kind == "api_call":
        return _check_call(said, right)
    if check.kind == "text":
        answer = extract_final(said)
        is_same = bool(normalize_text(answer)) and normalize_text(answer) == normalize_text(right)
        return Verdict(is_same, answer, "" if is_same else ("wrong_answer" if answer else "answer_unreadable"))
    expected = read_quantity(right)
    if expected is None:
        raise ConfigurationError(f"The right answer {right!r} is no {check.kind}; say kind: text, or mend the row.")
    found = extract_number(said)
    if found is None:
        return Verdict(False, extract_final(said), "answer_unreadable")
    reason = _compare(found, expected, check)
    return Verdict(not reason, _write(found), reason)


def _check_call(said: str, right: str) -> Verdict:
    verdict = judge_calls(said, "right", {"right": read_reference(right)}).verdict
    reason = "" if verdict == "right" else "answer_unreadable" if verdict == "no_call" else "wrong_answer"
    return Verdict(not reason, said.strip(), reason)


def _compare(found: Quantity, expected: Quantity, check: AnswerCheck) -> str:
    if check.kind == "quantity":
        return _compare_units(found, expected, check)
    pair = (found.value, expected.value) if check.kind == "percent" else (found.share, expected.share)
    return "" if _is_near(*pair, check) else "wrong_answer"


def _compare_units(found: Quantity, expected: Quantity, check: AnswerCheck) -> str:
    given, wanted = ("%" if it.is_percent else it.unit for it in (found, expected))
    if given and wanted:
        (dimension, size), (wanted_dimension, wanted_size) = measure_unit(given), measure_unit(wanted)
        if dimension != wanted_dimension:
            return "wrong_unit"
        is_near = _is_near(found.value * size, expected.value * wanted_size, check)
        return "" if is_near else "wrong_answer"
    if wanted and not check.may_leave_unit:
        return "unit_missing"
    return "" if _is_near(found.value, expected.value, check) else "wrong_answer"


def _is_near(found: Fraction, expected: Fraction, check: AnswerCheck) -> bool:
    # the tolerances' own decimal value, so that a difference of exactly 0.01 passes a limit of 0.01
    relative, absolute = Fraction(str(check.relative)), Fraction(str(check.absolute))
    return abs(found - expected) <= max(absolute, relative * abs(expected))


def _write(quantity: Quantity) -> str:
    value = str(quantity.value)
    return f"{value}%" if quantity.is_percent else f"{value} {quantity.unit}".strip()


def extract_boxed(text: str) -> str | None:
    r"""Return what the last `\boxed{…}` of `text` holds, braces balanced; None without one or if it never closes."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    place = text.index("{", start) + 1
    depth, first = 1, place
    while place < len(text):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[first:place].strip()
        place += 1
    return None


def extract_final(text: str) -> str:
    r"""Return the final answer of a solution: the last `\boxed{}`, or what follows the last cue, or the whole text.

    Cues are `####`, "the answer is", "Answer:" and their Chinese and Japanese kin. What follows one is read to the end
    of its line, without quotes and closing punctuation.
    """
    boxed = extract_boxed(text)
    if boxed is not None:
        return boxed
    cue = _find_cue(text)
    tail = text if cue is None else text[cue.end() :].strip().split("\n", 1)[0]
    return tail.strip(_QUOTES).rstrip(_ENDS).strip(_QUOTES)


def read_right(text: str) -> str:
    r"""Return the right answer that a text states: all of it, or what a whole solution ends in.

    Datasets have solutions where an answer is asked for: GSM8K's ends in `#### 72`, MATH's in `\boxed{72}`.
    """
    has_final = extract_boxed(text) is not None or _find_cue(text) is not None
    return extract_final(text) if has_final else text


def find_last_cue(text: str) -> int | None:
    """Return where the last cue of a final answer begins in `text` ("The answer is …"); None without one."""
    cue = _find_cue(text)
    return None if cue is None else cue.start()


def _find_cue(text: str) -> re.Match[str] | None:
    # a cue that nothing follows ("The answer is:") leaves the word to the one before
    cues = [match for match in _CUE.finditer(text) if text[match.end() :].strip(_QUOTES)]
    return cues[-1] if cues else None


def extract_last_number(text: str) -> str | None:
    """Return the last number of `text`, written exactly (`-1/2`), or None."""
    found = find_quantities(text)
    return str(found[-1].value) if found else None


def extract_number(text: str) -> Quantity | None:
    """Return the number a solution ends in: of its final answer where it has a cue or box, else the last of all.

    A final answer is the sentence behind its cue. Of several numbers it is the last of those that stand after an `=`,
    and otherwise the first: "18 eggs in 3 days" is 18. One that is an expression ("5²"), a denial or without a number
    is unreadable, and nothing else is read in its place.
    """
    has_final = extract_boxed(text) is not None or _CUE.search(text) is not None
    if not has_final:
        whole = read_quantity(text)
        found = find_quantities(text)
        # a short answer that is an expression must not give one of its parts
        if whole is None and len(text.split()) <= 3 and re.search(r"[\^√⁰-⁹²³¹!]|\\sqrt", text):
            return None
        return whole or (found[-1] if found else None)
    final = extract_final(text) if extract_boxed(text) is not None else _SENTENCE_END.split(extract_final(text), 1)[0]
    # "The answer is not 5 but 10": what it is not stands first
    if _NOT.match(final):
        return None
    if "=" in final:
        final = final.rsplit("=", 1)[1]
    whole = read_quantity(final)
    if whole is not None:
        return whole
    found = find_quantities(final)
    cleaned = clean_markup(final)
    first_digit = re.search(r"\d", cleaned)
    # the first number must be the first digits, or an expression or a date was passed over
    if not found or first_digit is None or first_digit.start() >= found[0].end:
        return None
    return found[0] if found[0].start <= first_digit.start() else None


def extract_choice(text: str, count: int) -> str | None:
    """Return the option letter that `text` settles on, among the first `count`; None if it names none or several.

    A capital A or I that is a word of the sentence is no option: a bare letter counts only where it is the whole
    answer, opens it with `.`, `)` or `:`, stands in brackets, or follows a cue.
    """
    letters = _LETTERS[:count]
    boxed = extract_boxed(text)
    if boxed is not None:
        return _read_letter(clean_markup(boxed), letters)
    for match in reversed(list(_CUE.finditer(text))):
        tail = text[match.end() :].strip().split("\n", 1)[0]
        if _NOT.match(tail):
            return None
        letter = _read_letter(tail, letters)
        if letter is not None:
            return letter
    whole = None if text.lstrip().startswith(("(", "[")) else _read_letter(text, letters)
    if whole is not None:
        return whole
    bracketed = set(re.findall(rf"\(([{letters}{letters.lower()}])\)", text))
    return bracketed.pop().upper() if len(bracketed) == 1 else None


def _read_letter(text: str, letters: str) -> str | None:
    text = unicodedata.normalize("NFKC", text).strip(_QUOTES)
    every = f"{letters}{letters.lower()}"
    # "A or B", "(A), (C)": several letters are no answer
    if re.match(rf"\(?[{every}]\)?\s*(?:,|/|&|and\b|or\b|和|或)\s*\(?[{every}]\b", text):
        return None
    match = (
        re.fullmatch(rf"[(\[]?(?:option |choice )?([{every}])[)\]]?\s*[.。!]?", text, re.IGNORECASE)
        or re.match(rf"[(\[]([{every}])[)\]]", text)
        or re.match(rf"(?:option |choice )?([{letters}])[.):：、,](?:\s|$)", text)
    )
    return match[1].upper() if match and match[1].upper() in letters else None


def _check_choice(said: str, right: str, options: Sequence[str]) -> Verdict:
    count = len(options) or len(_LETTERS)
    names = [normalize_text(option) for option in options]
    expected = _find_choice(right, names, count)
    if expected is None:
        raise ConfigurationError(
            f"The right answer {right!r} is neither a letter nor one of the {len(options)} options."
        )
    found = _find_choice(said, names, count)
    if found is None:
        return Verdict(False, extract_final(said), "answer_unreadable")
    return Verdict(found == expected, found, "" if found == expected else "wrong_answer")


def _find_choice(text: str, names: Sequence[str], count: int) -> str | None:
    final = normalize_text(extract_final(text))
    # an option's own text comes first: options may be called "A", "B" in another order
    if names.count(final) == 1:
        return _LETTERS[names.index(final)]
    return extract_choice(text, count)


def normalize_text(text: str) -> str:
    """Return `text` as texts are compared: NFKC, case folded, white space and outer punctuation and article gone.

    Inner signs stay, whatever script they are of; between CJK characters white space carries nothing and is taken out.
    A sign before a digit is not punctuation: "-5" stays "-5".
    """
    text = unicodedata.normalize("NFKC", clean_markup(text)).casefold()
    text = " ".join(text.split())
    text = re.sub(rf"(?<=[{_CJK}]) (?=[{_CJK}])", "", text)
    text = text.strip(_QUOTES).rstrip(_ENDS).lstrip("¿¡").strip(_QUOTES)
    return re.sub(r"^(?:a|an|the) (?=\S)", "", text).replace("−", "-")
