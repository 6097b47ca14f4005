"""Finds replies that are well-formed and still no answer: the prompt again, a loop, another language or script."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.grounding import list_words, measure_longest_copy, measure_repetition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mmpipe.synthesis.drafts import Draft, Planned

#: Scripts that one language writes side by side.
_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "FULLWIDTH": "LATIN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFaultSettings:
    """When a reply is no answer.

    The limits are our own, set so that an answer which quotes its passage or takes up its question passes.

    Attributes:
        repeated_share: a run of words that is this share of the prompt and of the reply makes it a repetition of the
            prompt.
        looped_share: share of word trigrams that repeat an earlier one, at which a reply is a loop; prose is far below.
        least_words: of a reply that is checked for loops.
        least_letters: of a text whose script or language is told.
        least_score: of a language, by the identifier, that counts as told.
    """

    repeated_share: float = 0.5
    looped_share: float = 0.5
    least_words: int = 20
    least_letters: int = 20
    least_score: float = 0.7


def find_reply_fault(
    reply: str,
    prompt: str,
    settings: ReplyFaultSettings,
    *,
    language: str = "",
    identify: Callable[[str], tuple[str, float]] | None = None,
) -> str | None:
    """Return why a reply is no answer, None if nothing is wrong.

    Args:
        reply: what the teacher wrote.
        prompt: the message it replies to.
        settings: limits.
        language: the reply should be in; with `identify` only.
        identify: returns language and score of a text; None checks the script alone, which needs no model.

    Returns:
        `repeats_prompt`, `loops`, `other_script` (letters of another script than the prompt's), `other_language`.
    """
    words = list_words(reply)
    copied = measure_longest_copy(reply, prompt)
    if words and copied >= settings.repeated_share * max(len(words), len(list_words(prompt))):
        return "repeats_prompt"
    if len(words) >= settings.least_words and measure_repetition(reply) >= settings.looped_share:
        return "loops"
    scripts = name_script(reply, settings.least_letters), name_script(prompt, settings.least_letters)
    if all(scripts) and scripts[0] != scripts[1]:
        return "other_script"
    if identify is not None and language and scripts[0]:
        found, score = identify(reply)
        if found != language and score >= settings.least_score:
            return "other_language"
    return None


def name_script(text: str, least_letters: int = 1) -> str:
    """Return the script most letters of `text` are of, as Unicode names it (`LATIN`, `CYRILLIC`, `CJK`); "" for few."""
    counts = Counter(unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha())
    if counts.total() < max(1, least_letters):
        return ""
    merged: Counter[str] = Counter()
    for script, count in counts.items():
        merged[_TOGETHER.get(script, script)] += count
    return min(merged.items(), key=lambda item: (-item[1], item[0]))[0]


def refuse_faulty(
    accept: Callable[[Planned, Mapping[str, Any]], Draft | str],
    settings: ReplyFaultSettings,
    *,
    language: str = "",
    identify: Callable[[str], tuple[str, float]] | None = None,
) -> Callable[[Planned, Mapping[str, Any]], Draft | str]:
    """Return a method's checks with these before them: all texts of a reply together against the last message."""

    def accept_faultless(plan: Planned, reply: Mapping[str, Any]) -> Draft | str:
        said = "\n".join(_list_texts(reply))
        fault = find_reply_fault(said, plan.messages[-1].content, settings, language=language, identify=identify)
        return fault or accept(plan, reply)

    return accept_faultless


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _list_texts(item)] if isinstance(value, list) else []
