"""Decides by a quick look which pages never need the dear extractor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmpipe.extraction.strip import sample_text

#: Characters below which a quick look says nothing; the page is extracted.
LEAST_SAMPLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class FirstPass:
    """Looks at decoded pages, one at a time; crosses to another process by pickle if `identify` does.

    Attributes:
        identify: names the most likely language of a text and its probability, 0 to 1.
        languages: languages that are extracted, as `identify` names them; empty for all.
        least_score: how sure the quick look must be of another one.
    """

    identify: Callable[[str], tuple[str, float]]
    languages: tuple[str, ...] = ()
    least_score: float = 0.65

    def look(self, html: str) -> tuple[str, str] | None:
        """Return (extraction_status, detail) of a page that need not be extracted; None for one that must be.

        `other_language`: the page's running text (`strip.sample_text`, half a millisecond) is of a language that is
        not wanted, with at least `least_score`. Too little running text decides nothing.

        Args:
            html: the decoded page.
        """
        if not self.languages:
            return None
        sample = sample_text(html)
        if len(sample) < LEAST_SAMPLE_CHARS:
            return None
        language, score = self.identify(sample)
        if language in self.languages or score < self.least_score:
            return None
        return "other_language", f"{language} {score:.2f} in the first {len(sample)} characters of running text"
