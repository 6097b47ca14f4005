"""Lists the rules of the text lane, one readable table per paper, with the paper's own limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules
from mmpipe.filtering.rules_bloom import BLOOM
from mmpipe.filtering.rules_c4 import C4_LANGUAGE, C4_PAGE, MC4_PAGE
from mmpipe.filtering.rules_dclm import DCLM_LANGUAGE, DCLM_QUALITY, LINE_CORRECTIONS
from mmpipe.filtering.rules_fineweb import FINEWEB_LANGUAGE, FINEWEB_QUALITY, FINEWEB_RELEASE_QUALITY
from mmpipe.filtering.rules_pii import DOLMA_PII
from mmpipe.filtering.rules_redpajama2 import REDPAJAMA2, REDPAJAMA2_LANGUAGE
from mmpipe.filtering.rules_scores import SCORES
from mmpipe.filtering.rules_toxicity import TOXICITY

#: How words, lines and n-grams are counted; a recipe's `text.dialect` names one.
TEXT_DIALECTS = {
    "datatrove_0_10": "datatrove 0.10: spaCy's English words; second and later occurrences repeat",
    "fineweb_release": "datatrove 0.2, which FineWeb was released with: NLTK's words, inclusive limits",
    "dclm": "DCLM content_filters.py: Unicode words, every occurrence of what is repeated counts",
    "unicode": "mmpipe's own: Unicode word boundaries in every script, datatrove 0.10's repeats",
}

_GOPHER_QUALITY = "Gopher (Rae et al. 2021, arXiv 2112.11446), Appendix A.1.1, quality filtering"
_GOPHER_REPETITION = "Gopher (Rae et al. 2021, arXiv 2112.11446), Appendix A.1.1, Table A1, repetition removal"
_REFINEDWEB_URL = "RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), §3.1, G.1, URL filtering"
_REFINEDWEB_LANGUAGE = "RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), §3.1, G.2, language identification"


def _quality(signal: str, low: float | None, high: float | None) -> Rule:
    name = f"gopher_{signal}"
    return Rule(name=name, signal=signal, low=low, high=high, source=_GOPHER_QUALITY)


def _repetition(signal: str, high: float) -> Rule:
    return Rule(name=f"gopher_{signal}", signal=signal, high=high, source=_GOPHER_REPETITION)


def _url(signal: str, high: float) -> Rule:
    return Rule(name=f"refinedweb_{signal}", signal=signal, high=high, source=_REFINEDWEB_URL)


GOPHER_QUALITY = (
    #        signal                    low    high
    _quality("word_count",             50,    100_000),
    _quality("mean_word_length",       3,     10),
    _quality("hash_to_word_ratio",     None,  0.1),
    _quality("ellipsis_to_word_ratio", None,  0.1),
    _quality("bullet_line_ratio",      None,  0.9),
    _quality("ellipsis_line_ratio",    None,  0.3),
    _quality("alphabetic_word_ratio",  0.8,   None),
    _quality("stop_word_count",        2,     None),
)  # fmt: skip

GOPHER_REPETITION = (
    #           signal                            high
    _repetition("duplicate_paragraph_ratio",      0.30),
    _repetition("duplicate_paragraph_char_ratio", 0.20),
    _repetition("duplicate_line_ratio",           0.30),
    _repetition("duplicate_line_char_ratio",      0.20),
    _repetition("top_2_gram_char_ratio",          0.20),
    _repetition("top_3_gram_char_ratio",          0.18),
    _repetition("top_4_gram_char_ratio",          0.16),
    _repetition("duplicate_5_gram_char_ratio",    0.15),
    _repetition("duplicate_6_gram_char_ratio",    0.14),
    _repetition("duplicate_7_gram_char_ratio",    0.13),
    _repetition("duplicate_8_gram_char_ratio",    0.12),
    _repetition("duplicate_9_gram_char_ratio",    0.11),
    _repetition("duplicate_10_gram_char_ratio",   0.10),
)  # fmt: skip

REFINEDWEB_URL = (
    #    signal                  high
    _url("url_blocked_domain",   0),
    _url("url_blocked_host",     0),
    _url("url_blocked_url",      0),
    _url("url_strict_subwords",  0),
    _url("url_hard_words",       0),
    _url("url_soft_words",       1),
    _url("url_held_out",         0),
)  # fmt: skip

REFINEDWEB_LANGUAGE = (
    Rule(name="refinedweb_language", signal="language", allowed=("en",), source=_REFINEDWEB_LANGUAGE),
    Rule(name="refinedweb_language_score", signal="language_score", low=0.65, source=_REFINEDWEB_LANGUAGE),
)

TEXT_RULES = index_rules(
    REFINEDWEB_URL,
    REFINEDWEB_LANGUAGE,
    GOPHER_QUALITY,
    GOPHER_REPETITION,
    LINE_CORRECTIONS,
    C4_LANGUAGE,
    C4_PAGE,
    MC4_PAGE,
    FINEWEB_LANGUAGE,
    FINEWEB_QUALITY,
    FINEWEB_RELEASE_QUALITY,
    BLOOM,
    REDPAJAMA2_LANGUAGE,
    REDPAJAMA2,
    TOXICITY,
    DCLM_LANGUAGE,
    DCLM_QUALITY,
    SCORES,
    DOLMA_PII,
)
