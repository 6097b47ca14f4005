"""Lists the rules that limit personal data: a page with much of it is a list of people, and masks do not mend it."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_DOLMA = "Dolma (Soldaini et al. 2024, arXiv 2402.00159), web pages: five spans or fewer are masked, else dropped"

#: Dolma counts e-mail, phone and IP addresses. A recipe with this rule needs the step `mask_pii`: else nothing is
#: measured, and null never passes.
DOLMA_PII = (Rule(name="dolma_pii_span_count", signal="pii_span_count", high=5, source=_DOLMA),)
