"""Compares what a teacher wrote with what it was given: words shared, words copied."""

from __future__ import annotations

import re

# a run of letters or digits; scripts written without spaces give one word per character
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|(?:(?![\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f])\w)+")

#: Words of English that carry grammar, not content; of other languages every word counts.
_GRAMMAR_WORDS = """
    a about after all also an and any are as at be because been before but by can could did do does during each for
    from had has have he her him his how if in into is it its just many may might more most much must no not of off
    on one only or other our out over own same she should so some such than that the their them then there these
    they this those through to too under until up us very was we were what when where which while who whom whose why
    will with would you your
    """
_GRAMMAR = frozenset(_GRAMMAR_WORDS.split())


def list_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, in order."""
    return _WORD.findall(text.casefold())


def list_content_words(text: str) -> list[str]:
    """Return the words of `text` that say what it is about; numbers always do."""
    return [word for word in list_words(text) if word not in _GRAMMAR]


def _stem(word: str) -> str:
    # enough to let "circle" stand for "circles"; a number stands only for itself
    if word.isdigit() or len(word) < 4:
        return word
    return word.removesuffix("s").removesuffix("e")


def measure_grounding(text: str, evidence: str) -> float:
    """Return the share of content words of `text` that occur in `evidence`, 0 to 1; 0 if it has none."""
    words = [_stem(word) for word in list_content_words(text)]
    known = {_stem(word) for word in list_words(evidence)}
    return sum(word in known for word in words) / len(words) if words else 0.0


def measure_order(text: str, evidence: str) -> float:
    """Return the share of content words of `text` that stand in `evidence` in the same order; 0 if it has none.

    The precision of ROUGE-L (Lin 2004, section 3) over content words.
    """
    words = [_stem(word) for word in list_content_words(text)]
    others = [_stem(word) for word in list_words(evidence)]
    row = [0] * (len(others) + 1)
    for word in words:
        diagonal = 0
        for place, other in enumerate(others, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1] / len(words) if words else 0.0


def count_words(text: str) -> float:
    """Return the words of `text` as people count them: two characters of a script without spaces are one."""
    return sum(map(_size_word, list_words(text)))


def _size_word(word: str) -> float:
    return 0.5 if _UNSPACED.fullmatch(word) else 1.0


def measure_copied_words(text: str, source: str) -> float:
    """Return the length of the longest run of `text` that stands verbatim in `source`, in words as people count them.

    In scripts written without spaces, where `list_words` gives one word per character, two characters are a word.
    """
    words, others = list_words(text), list_words(source)
    sizes = list(map(_size_word, words))
    best = 0.0
    row = [0.0] * (len(others) + 1)
    for word, size in zip(words, sizes, strict=True):
        previous = 0.0
        for place, other in enumerate(others, start=1):
            previous, row[place] = row[place], previous + size if word == other else 0.0
            best = max(best, row[place])
    return best


def measure_repetition(text: str) -> float:
    """Return the share of word trigrams of `text` that repeat an earlier one, 0 to 1: a model in a loop."""
    words = list_words(text)
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
