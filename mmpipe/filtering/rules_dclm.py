"""Lists the rules that are DCLM's own, and the one on what line corrections remove."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_CONFIG = "DCLM (Li et al. 2024, arXiv 2406.11794), baselines_configs/dclm_baseline_refinedweb.yaml"
_LINES = "RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), §3.1, G.2, line-wise corrections: more than 5 % of words"

DCLM_LANGUAGE = (
    Rule(name="dclm_language", signal="language", allowed=("en",), source=_CONFIG),
    # metadata_filters.py, language_filter: above 0.65
    Rule(name="dclm_language_score", signal="language_score", low=0.65, low_is_kept=False, source=_CONFIG),
)

# where DCLM limits another quantity than Gopher's rule of the same kind
DCLM_QUALITY = (
    Rule(name="dclm_symbol_to_word_ratio", signal="symbol_to_word_ratio", high=0.1, source=_CONFIG, dialect="dclm"),
    Rule(name="dclm_stop_word_occurrences", signal="stop_word_occurrences", low=2, source=_CONFIG, dialect="dclm"),
)

LINE_CORRECTIONS = (
    Rule(name="refinedweb_corrected_word_ratio", signal="corrected_word_ratio", high=0.05, source=_LINES),
)
