"""Lists BLOOM's rules, with the limits that its native speakers chose language by language."""

from __future__ import annotations

from mmpipe.filtering.rules import Limits, Rule

_SOURCE = (
    "ROOTS (Laurençon et al. 2023, arXiv 2303.03915), §3.2, Appendix C; BigScience data-preparation, "
    "01b_oscar_cleaning_and_filtering/parameters_filtering.py"
)

#: Languages that BLOOM set limits for, as lid.176 names them.
BLOOM_LANGUAGES = ("ar", "bn", "ca", "en", "es", "eu", "fr", "hi", "id", "pt", "ur", "vi", "zh")

_LOW = ("stripped_word_count", "stop_word_ratio", "language_score")
# word count has a high of 100,000 in every language but Chinese, whose words are pieces of a SentencePiece model
_MOST_WORDS = {language: 1_000_000 if language == "zh" else 100_000 for language in BLOOM_LANGUAGES}

_SIGNALS = (
    "stripped_word_count",
    "character_repetition_ratio",
    "word_repetition_ratio",
    "special_character_ratio",
    "stop_word_ratio",
    "flagged_word_ratio",
    "language_score",
    "perplexity",
)
_DEFAULT = (10, 0.2, 0.3, 0.4, 0.1, 0.1, 0.70, 10_000)
_BY_LANGUAGE = {
    #     words  characters  5-grams  special  stop    flagged  language  perplexity
    "ar": (20,   0.2,        0.34,    0.3,     0.07,   0.03,    0.81,     2300),
    "bn": (33,   0.13,       0.21,    0.45,    0.002,  0.001,   0.95,     2000),
    "ca": (15,   0.2,        0.4,     0.25,    0.25,   0.1,     0.8,      2500),
    "en": (20,   0.106,      0.19,    0.4,     0.3,    0.01,    0.8,      1500),
    "es": (16,   0.14,       0.25,    0.34,    0.4,    0.01,    0.8,      1300),
    "eu": (8,    0.2,        0.4,     0.31,    0.05,   0.1,     0.7,      3000),
    "fr": (13,   0.14,       0.13,    0.34,    0.27,   0.008,   0.8,      1770),
    "hi": (38,   0.18,       0.47,    0.45,    0.01,   0.005,   0.9,      1517),
    "id": (15,   0.15,       0.2,     0.34,    0.15,   0.01,    0.7,      5000),
    "pt": (19,   0.25,       0.98,    0.35,    0.2,    0.007,   0.6,      3038),
    "ur": (25,   0.19,       0.5,     0.25,    0.01,   0.025,   0.9,      1495),
    "vi": (30,   0.15,       0.2,     0.34,    0.08,   0.005,   0.9,      1600),
    "zh": (1,    0.2,        0.96,    0.3,     0.1691, 0.001,   0.85,     2095),
}  # fmt: skip


def _limit(signal: str, value: float, most_words: int = 100_000) -> Limits:
    if signal == "stripped_word_count":
        return Limits(low=value, high=most_words)
    return Limits(low=value) if signal in _LOW else Limits(high=value)


def _rule(column: int) -> Rule:
    signal = _SIGNALS[column]
    own = _limit(signal, _DEFAULT[column])
    return Rule(
        name=f"bloom_{signal}",
        signal=signal,
        low=own.low,
        high=own.high,
        by_language={
            language: _limit(signal, values[column], _MOST_WORDS[language]) for language, values in _BY_LANGUAGE.items()
        },
        source=_SOURCE,
    )


BLOOM = (
    Rule(name="bloom_language", signal="language", allowed=BLOOM_LANGUAGES, source=_SOURCE),
    *(_rule(column) for column in range(len(_SIGNALS))),
)
