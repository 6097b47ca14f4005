"""Guards a rephrased piece: what makes a reply no rewriting of its piece, with what was measured and found.

Maini et al. 2024 (arXiv 2401.16380) ask the model to keep meaning and length (section 3.1) and check neither; the
guards are ours. Every guard that a reply fails is told, not the first alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.added_facts import list_added_links, list_added_names, list_added_quotes
from mmpipe.synthesis.grounding import measure_repetition
from mmpipe.synthesis.reply_faults import name_script
from mmpipe.synthesis.reply_guards import (
    find_announcement,
    is_refusal,
    measure_copy,
    strip_preamble,
)
from mmpipe.synthesis.row_account import read_text
from mmpipe.synthesis.told_numbers import list_added_numbers
from mmpipe.tables.chat import ChatFailure

if TYPE_CHECKING:
    from mmpipe.synthesis.wrap_settings import WrapSettings
    from mmpipe.tables.chat import ChatReply

#: Most likely language and its probability of each text, by whatever identifier the caller has.
IdentifyLanguages = Callable[[Sequence[str]], list[tuple[str, float]]]

#: Why a reply is refused, beside the teacher's failures, in the order in which they are named.
REASONS = (
    "refusal", "announced", "too_short", "too_long", "copied", "repeated", "other_script", "other_language",
    "question_answer_missing", "added_numbers", "added_names", "added_links", "added_quotes",
)  # fmt: skip
#: The guards whose measure has a name; a removal tells it as its signal.
SIGNALS = {
    "too_short": "length_ratio",
    "too_long": "length_ratio",
    "copied": "copy_share",
    "repeated": "repeated_share",
    "other_script": "script",
    "other_language": "language",
    **{name: name for name in REASONS if name.startswith("added_")},
}
#: A shorter text is a name or a title, for which identifiers of languages guess.
LEAST_LANGUAGE_CHARS = 40
#: Characters of what was found that are told.
FOUND_CHARS = 300

#: Where a question or its answer begins; chat models like to number and embolden them.
_LABEL = re.compile(
    r"^[^\S\n]*(?:[-*•]\s+|\d+[.)]\s+)?(?:\*\*)?(Question|Answer)\b[^:\n]{0,4}:(?:\*\*)?[ \t]*\S", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One guard that a reply failed.

    Attributes:
        rule: one of REASONS, or a failure of the teacher.
        value: what was measured; None where a guard only says yes or no.
        found: what was found, such as the added names; empty where the value says all.
        low: least value the guard lets pass.
        high: most.
        allowed: words it lets pass.
    """

    rule: str
    value: float | None = None
    found: str = ""
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reply is held against: the piece, its style and language.

    Attributes:
        piece: text of the piece.
        style: one of WRAP's four.
        language: of the document, as its row says; empty if not known.
        identified: language of the piece with its probability, where languages are identified.
    """

    piece: str
    style: str
    language: str = ""
    identified: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a reply: the text without what stands around it, and every guard it failed."""

    text: str
    faults: tuple[Fault, ...] = ()


def read_reply(
    asked: Asked, outcome: ChatReply | ChatFailure, settings: WrapSettings, identified: tuple[str, float] | None = None
) -> Read:
    """Return the rephrased text, and which guards it failed, in the order of REASONS.

    Args:
        asked: what it is held against.
        outcome: of the request.
        settings: limits.
        identified: language of the reply with its probability, where languages are identified.
    """
    said, reason = read_text(outcome)
    if reason:
        detail = outcome.detail if isinstance(outcome, ChatFailure) else ""
        return Read(said, (Fault(rule=reason, found=detail[:FOUND_CHARS]),))
    text = strip_preamble(said, asked.piece)
    return Read(text, tuple(_list_faults(text, asked, settings, identified)))


def _list_faults(
    text: str, asked: Asked, settings: WrapSettings, identified: tuple[str, float] | None
) -> Iterator[Fault]:
    piece = asked.piece
    if is_refusal(text) and not is_refusal(piece):
        yield Fault(rule="refusal", found=text[:FOUND_CHARS])
    if (announced := find_announcement(text)) and not find_announcement(piece):
        yield Fault(rule="announced", found=announced[:FOUND_CHARS])
    yield from _measure(text, piece, settings)
    script, wanted = name_script(text), name_script(piece)
    if script != wanted:
        yield Fault(rule="other_script", found=script or "no letters", allowed=(wanted,))
    elif is_other_language(asked, text, settings, identified):
        assert identified is not None
        assert asked.identified is not None
        yield Fault(rule="other_language", found=identified[0], allowed=(asked.identified[0],))
    if asked.style == "question_answer" and not _has_questions(text):
        yield Fault(rule="question_answer_missing")
    yield from _list_added(text, asked, settings)


def _measure(text: str, piece: str, settings: WrapSettings) -> Iterator[Fault]:
    least, most = settings.length_ratio
    # characters, not words: a script without spaces is measured the same way
    ratio = len(text) / len(piece)
    if ratio < least:
        yield Fault(rule="too_short", value=ratio, low=least)
    if ratio > most:
        yield Fault(rule="too_long", value=ratio, high=most)
    copied = measure_copy(text, piece, settings.copy_words)
    if copied > settings.copy_share:
        yield Fault(rule="copied", value=copied, high=settings.copy_share)
    repeated = measure_repetition(text)
    # a text that repeats itself, such as a refrain, may be said again so
    if settings.repeated_share is not None and repeated > max(settings.repeated_share, measure_repetition(piece)):
        yield Fault(rule="repeated", value=repeated, high=settings.repeated_share)


def _list_added(text: str, asked: Asked, settings: WrapSettings) -> Iterator[Fault]:
    piece = asked.piece
    for rule, limit, added in (
        ("added_numbers", settings.added_numbers, list_added_numbers(text, piece)),
        ("added_names", settings.added_names, list_added_names(text, piece, asked.language)),
        ("added_links", settings.added_links, list_added_links(text, piece)),
        ("added_quotes", settings.added_quotes, list_added_quotes(text, piece)),
    ):
        if limit is not None and len(added) > limit:
            yield Fault(rule=rule, value=float(len(added)), found=", ".join(added)[:FOUND_CHARS], high=float(limit))


def is_other_language(asked: Asked, text: str, settings: WrapSettings, identified: tuple[str, float] | None) -> bool:
    """Return whether piece and reply are long enough, and known well enough, to be of two languages."""
    if settings.language_score is None or identified is None or asked.identified is None:
        return False
    if min(len(text), len(asked.piece)) < LEAST_LANGUAGE_CHARS:
        return False
    is_sure = min(identified[1], asked.identified[1]) >= settings.language_score
    return is_sure and identified[0] != asked.identified[0]


def _has_questions(text: str) -> bool:
    labels = _LABEL.findall(text)
    return bool(labels) and labels == ["Question", "Answer"] * (len(labels) // 2)


def describe_fault(fault: Fault, piece: int) -> dict[str, Any]:
    """Return a fault as a value of the column `faults` (`tables.rephrased.FAULT`); `piece` counts from 1."""
    return {
        "piece": piece,
        "rule": fault.rule,
        "value": fault.value,
        "found": fault.found,
        "low": fault.low,
        "high": fault.high,
        "allowed": list(fault.allowed),
    }
