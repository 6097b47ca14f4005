"""Lists FineWeb's rules: as datatrove 0.10 has them, and as datatrove 0.2 had them when FineWeb was released."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

# §3.6 prints 0.1 for the characters of repeated lines; appendix E.4 and the code have 0.01. The rule of newlines per
# word is in the code only.
_FILTER = "pipeline/filters/fineweb_quality_filter.py; FineWeb (Penedo et al. 2024, arXiv 2406.17557), §3.6, E.4"
_CURRENT = f"datatrove 0.10, {_FILTER}"
_RELEASE = f"datatrove 0.2, {_FILTER}"
_LANGUAGE = "FineWeb (arXiv 2406.17557), §3.3; datatrove, pipeline/filters/language_filter.py: strictly above"


def _current(signal: str, low: float | None, high: float | None) -> Rule:
    return Rule(name=f"fineweb_{signal}", signal=signal, low=low, high=high, source=_CURRENT)


def _release(signal: str, low: float | None, high: float | None, *, is_limit_kept: bool) -> Rule:
    return Rule(
        name=f"fineweb_release_{signal}",
        signal=signal,
        low=low,
        high=high,
        low_is_kept=is_limit_kept,
        high_is_kept=is_limit_kept,
        source=_RELEASE,
        dialect="fineweb_release",
    )


FINEWEB_LANGUAGE = (
    Rule(name="fineweb_language", signal="language", allowed=("en",), source=_LANGUAGE),
    Rule(name="fineweb_language_score", signal="language_score", low=0.65, low_is_kept=False, source=_LANGUAGE),
)

FINEWEB_QUALITY = (
    #        signal                      low   high
    _current("nonblank_line_count",      1,    None),
    _current("terminal_line_ratio",      0.12, None),
    _current("short_line_ratio",         None, 0.67),
    _current("repeated_line_char_ratio", None, 0.01),
    _current("newline_to_word_ratio",    None, 0.3),
)  # fmt: skip

FINEWEB_RELEASE_QUALITY = (
    #        signal                      low   high
    _release("terminal_line_ratio",      0.12, None, is_limit_kept=False),
    _release("short_line_ratio",         None, 0.67, is_limit_kept=False),
    _release("repeated_line_char_ratio", None, 0.01, is_limit_kept=False),
    _release("newline_to_word_ratio",    None, 0.3,  is_limit_kept=True),
)  # fmt: skip
