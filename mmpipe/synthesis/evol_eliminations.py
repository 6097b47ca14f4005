"""Eliminates evolved instructions: no gain of information, words of the prompt, answers that are none (Evol-Instruct).

Xu et al. 2023, arXiv 2304.12244, section 3.2, "Elimination Evolving". Whether there is a gain of information a teacher
judges; what can be told without one is told here.
"""

from __future__ import annotations

import re

from mmpipe.synthesis.grounding import count_words, list_words
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.reply_faults import OTHER_SCRIPT

#: Why an evolved instruction is eliminated, besides the reasons of teachers; the paper's four, two that leave nothing
#: to judge, and drift into another script.
ELIMINATIONS = (
    "evol_no_information_gain",
    "evol_response_sorry",
    "evol_response_stop_words",
    "evol_prompt_copied",
    "evol_empty",
    "teacher_truncated",
    OTHER_SCRIPT,
)

#: Stop words of English: articles, pronouns, prepositions, conjunctions, auxiliaries, and the pieces that an apostrophe
#: leaves of short forms. In other languages every word counts.
_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being below between both but by
can could did do does doing down during each few for from further had has have having he her here hers herself him
himself his how i if in into is it its itself just may me might more most must my myself no nor not now of off on
once only or other ought our ours ourselves out over own same shall she should so some such than that the their
theirs them themselves then there these they this those through to too under until up us very was we were what when
where which while who whom whose why will with would you your yours yourself yourselves
aren couldn d didn doesn don hadn hasn haven isn ll m mustn needn re s shan shouldn t ve wasn weren won wouldn
"""
_STOP = frozenset(_STOP_WORDS.split())
_SORRY = re.compile(r"(?<![a-z])sorry(?![a-z])", re.IGNORECASE)
#: Words of evolving prompts, those of the paper's and of ours, that have no place in an evolved instruction.
_COPIED = re.compile(
    r"#?\s*(?:given|rewritten|created|harder|new|evolved|original)[\s_]+(?:prompt|instruction)s?\b|"
    # not `easy instructions`, which people ask for
    r"\b(?:hard|hardest|easy|easier)\s+instruction\b|"
    r"\bprompt\s+(?:rewriter|creator)\b|\bform of the data\b|\bdo not carry (?:it|them) out\b|"
    r"\blanguage of the given one\b|"
    r"(?:给定|原始|改写后|重写后|更难|更复杂)的?(?:指令|提示)",
    re.IGNORECASE,
)
#: The request's last words, said again as a heading.
_HEADING = re.compile(r"\A[\s*#]*(?:harder|new) instruction[\s*]*:[\s*]*", re.IGNORECASE)


def strip_heading(evolved: str) -> str:
    """Return an evolved instruction without a heading that calls it so; a whole reply in quotes loses them."""
    text = _HEADING.sub("", evolved, count=1).strip()
    quoted = re.fullmatch(r"[\"“]([^\"“”]+)[\"”]", text)
    return quoted[1].strip() if quoted else text


def list_copied(evolved: str, ancestor: str) -> list[str]:
    """Return the phrases of evolving prompts that an evolved instruction has and its ancestor has not."""
    known = {_flatten(phrase) for phrase in _COPIED.findall(ancestor)}
    return [phrase for phrase in map(_flatten, _COPIED.findall(evolved)) if phrase not in known]


def _flatten(phrase: str) -> str:
    return " ".join(phrase.strip("# \n").casefold().replace("_", " ").split())


def find_evolved_fault(evolved: str, ancestor: str) -> Refusal | str | None:
    """Return why an evolved instruction is eliminated before anyone judges or answers it; None if it is not.

    It has no word, copies words of the prompt it was asked with, or has the very words of its ancestor.
    """
    if not list_words(evolved):
        return "evol_empty"
    if copied := list_copied(evolved, ancestor):
        return Refusal(reason="evol_prompt_copied", found=", ".join(dict.fromkeys(copied)))
    if list_words(evolved) == list_words(ancestor):
        return Refusal(reason="evol_no_information_gain", found="the words of its ancestor")
    return None


def find_response_fault(response: str, sorry_words: int) -> Refusal | None:
    """Return why an answer shows that its instruction cannot be answered; None if it does not.

    It says sorry in less than `sorry_words` words, or has nothing but punctuation and stop words; numbers are words.
    """
    # in scripts without spaces two characters are a word
    words = max(len(response.split()), 0 if response.isascii() else count_words(response))
    if _SORRY.search(response) and words < sorry_words:
        return Refusal(
            reason="evol_response_sorry", measure="response_words", value=words, low=sorry_words, found=response
        )
    if set(list_words(response)) - _STOP:
        return None
    return Refusal(reason="evol_response_stop_words", found=response)
