"""Lists the rules of interleaved documents and of their paragraphs, by the paper that set them."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_OBELICS = "OBELICS (Laurençon et al. 2023, arXiv 2306.16527), filters on documents; equal values are kept"

OBELICS_DOCUMENT = (Rule(name="obelics_image_count", signal="image_count", low=1, high=30, source=_OBELICS),)

INTERLEAVED_RULES = index_rules(OBELICS_DOCUMENT)
