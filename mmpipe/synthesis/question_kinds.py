"""Asks whether an answer is of the kind its English question asks for: a number, an age, a person.

A small teacher writes "How old was she?" and answers where she died. Questions of other kinds and languages pass.
"""

from __future__ import annotations

import re

from mmpipe.synthesis.grounding import list_content_words, list_words

_NUMBER_WORDS = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    r"ninety|hundred|thousand|million|half|no|none|many|several|few"
)
_NUMBER = re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE)
_TIME = re.compile(
    r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|may|june|july|august|september|"
    r"october|november|december|spring|summer|autumn|winter|morning|noon|evening|night|dawn|dusk|day|week|month|year|"
    r"century|after|before|during|until|since|while|when|once|always|never)",
    re.IGNORECASE,
)
_AGE = re.compile(r"\b(?:years?|months?|weeks?|days?|hours?|old|aged?|century|centuries)\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow many ((?:\w+ ){0,2}?\w+)\b", re.IGNORECASE)
_HOW_BIG = re.compile(r"\bhow (?:much|long|far|tall|high|deep|wide|heavy|big|fast)\b", re.IGNORECASE)
_CAPITAL = re.compile(r"\b[^\W\d_a-z]\w+")


def fits_question(question: str, answer: str) -> bool:
    """Return whether `answer` could answer `question`, going by what the question word asks for."""
    asked = question.casefold()
    if "how old" in asked:
        return bool(_NUMBER.search(answer) and _AGE.search(answer))
    counted = _HOW_MANY.search(question)
    if counted:
        return _counts(counted.group(1), answer)
    if _HOW_BIG.search(question):
        return bool(_NUMBER.search(answer))
    if asked.startswith("when ") or "what year" in asked:
        return bool(_TIME.search(answer))
    if asked.startswith(("who ", "whose ", "by whom ")):
        return bool(_list_names(answer) - _list_names(question)) or asked.startswith("who was ")
    return True


def shares_topic(question: str, answer: str) -> bool:
    """Return whether a long answer has a word of the question; an answer of up to three content words need not."""
    words = list_content_words(answer)
    return len(words) <= 3 or bool(set(words) & set(list_words(question)))


def _counts(things: str, answer: str) -> bool:
    """Return whether `answer` has a number and, unless it is a bare number, the things counted soon after it."""
    if not _NUMBER.search(answer):
        return False
    words = list_words(answer)
    if len(words) <= 3:
        return True
    stems = {word.removesuffix("s") for word in list_content_words(things)}
    places = [place for place, word in enumerate(words) if _NUMBER.fullmatch(word) or word[0].isdigit()]
    return any(word.removesuffix("s") in stems for place in places for word in words[place + 1 : place + 5])


def _list_names(text: str) -> set[str]:
    content = set(list_content_words(text))
    return {word for word in map(str.casefold, _CAPITAL.findall(text)) if word in content}
