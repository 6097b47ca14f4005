"""Writes a multiple-choice question as instruction and response, and reads it back: one is the inverse of the other.

The form is that of the project's seed document 002: the negative option last, a short reason, then `###` and `ANSWER:`
on lines of their own, so that a program finds the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What ends the reason and opens the answer.
MARKER = "\n###\nANSWER:"
_MARK_WORDS = ("###", "ANSWER:")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OPTION = re.compile(r"([A-Z])\. (.*)")
_ANSWER = re.compile(r" ([A-Z])")

#: Why a written question cannot be read, or one that shall be written cannot.
FORM_REASONS = (
    "several_lines",
    "empty_part",
    "marker_in_text",
    "padded_part",
    "no_marker",
    "several_markers",
    "no_reason",
    "unreadable_answer",
    "unreadable_option",
    "letter_out_of_range",
    "too_few_options",
    "too_many_options",
    "negative_not_last",
)


class ChoiceFault(Exception):
    """A question that cannot be written or read; `reason` is one of FORM_REASONS."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Choice:
    """A multiple-choice question: one line each; the last option is the negative one.

    Attributes:
        question: what is asked.
        options: in the order of their letters.
        right: place of the right one, from 0.
        reason: why, without the full stop that the writer puts after it.
    """

    question: str
    options: tuple[str, ...]
    right: int
    reason: str


def find_line_fault(text: str) -> str:
    """Return why a text cannot be a question, an option or a reason (one of FORM_REASONS), or an empty string."""
    if not text.strip():
        return "empty_part"
    # a separator at the end makes no second line, yet a reader of lines would lose it
    if text.splitlines() != [text]:
        return "several_lines"
    if any(mark in text for mark in _MARK_WORDS):
        return "marker_in_text"
    return "padded_part" if text != text.strip() else ""


def write_choice(choice: Choice, negative: str) -> tuple[str, str]:
    """Return instruction and response: question, lettered options; reason, marker, letter.

    Raises:
        ChoiceFault: `parse_choice` would not give the same question back.
    """
    for text in (choice.question, *choice.options, choice.reason):
        if fault := find_line_fault(text):
            raise ChoiceFault(fault, text)
    _check_options(choice.options, choice.right, negative)
    lines = [f"{LETTERS[place]}. {option}" for place, option in enumerate(choice.options)]
    return "\n".join([choice.question, *lines]), f"{choice.reason}.{MARKER} {LETTERS[choice.right]}"


def parse_choice(instruction: str, response: str, negative: str) -> Choice:
    """Return the question that `write_choice` wrote.

    Raises:
        ChoiceFault: it did not write these; the reason is one of FORM_REASONS.
    """
    question, *lines = instruction.split("\n")
    options = []
    for place, line in enumerate(lines):
        read = _OPTION.fullmatch(line)
        if read is None or place >= len(LETTERS) or read[1] != LETTERS[place]:
            raise ChoiceFault("unreadable_option", line)
        options.append(read[2])
    parts = response.split(MARKER)
    if len(parts) != 2:
        raise ChoiceFault("several_markers" if len(parts) > 1 else "no_marker")
    reason, answer = parts
    if not reason.endswith("."):
        raise ChoiceFault("no_reason", reason)
    letter = _ANSWER.fullmatch(answer)
    if letter is None:
        raise ChoiceFault("unreadable_answer", answer)
    for text in (question, *options, reason[:-1]):
        if fault := find_line_fault(text):
            raise ChoiceFault(fault, text)
    right = LETTERS.index(letter[1])
    _check_options(options, right, negative)
    return Choice(question, tuple(options), right, reason[:-1])


def _check_options(options: Sequence[str], right: int, negative: str) -> None:
    if len(options) < 2:
        raise ChoiceFault("too_few_options", str(len(options)))
    if len(options) > len(LETTERS):
        raise ChoiceFault("too_many_options", str(len(options)))
    if not 0 <= right < len(options):
        raise ChoiceFault("letter_out_of_range", str(right))
    if options[-1] != negative or negative in options[:-1]:
        raise ChoiceFault("negative_not_last", options[-1])
