"""Lists Gopher's rules on RedPajama-V2's signals: those its authors published, and the rest with Gopher's limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_PUBLISHED = "RedPajama-Data-V2, dataset card, gopher_rules_pass"
# the card's function ends in `rule 5: ...`: these go on with the paper it follows
_GOPHER = "Gopher (Rae et al. 2021, arXiv 2112.11446), Appendix A.1.1, on RedPajama-V2's signal"


def _rule(signal: str, low: float | None, high: float | None, source: str = _GOPHER) -> Rule:
    return Rule(name=f"redpajama2_{signal}", signal=signal, low=low, high=high, source=source)


REDPAJAMA2 = (
    #     signal                                 low   high
    _rule("rps_doc_word_count",                  50,   10_000, _PUBLISHED),
    _rule("rps_doc_mean_word_length",            3,    10,     _PUBLISHED),
    _rule("rps_doc_symbol_to_word_ratio",        None, 0.1,    _PUBLISHED),
    _rule("rps_lines_start_with_bulletpoint",    None, 0.9,    _PUBLISHED),
    _rule("rps_doc_frac_chars_top_2gram",        None, 0.2,    _PUBLISHED),
    _rule("rps_doc_frac_chars_top_3gram",        None, 0.18),
    _rule("rps_doc_frac_chars_top_4gram",        None, 0.16),
    _rule("rps_doc_frac_chars_dupe_5grams",      None, 0.15),
    _rule("rps_doc_frac_chars_dupe_6grams",      None, 0.14),
    _rule("rps_doc_frac_chars_dupe_7grams",      None, 0.13),
    _rule("rps_doc_frac_chars_dupe_8grams",      None, 0.12),
    _rule("rps_doc_frac_chars_dupe_9grams",      None, 0.11),
    _rule("rps_doc_frac_chars_dupe_10grams",     None, 0.10),
    _rule("rps_doc_frac_lines_end_with_ellipsis", None, 0.3),
    _rule("rps_doc_frac_no_alph_words",          None, 0.2),
)  # fmt: skip

#: The five languages that RedPajama-V2 covers.
REDPAJAMA2_LANGUAGE = (
    Rule(
        name="redpajama2_language",
        signal="language",
        allowed=("en", "de", "fr", "es", "it"),
        source="RedPajama-Data-V2, README, Languages",
    ),
)
