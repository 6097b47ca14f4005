"""Lists the rules of the image lane, one readable table per paper, with the paper's own limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_LAION = "LAION-400M (Schuhmann et al. 2021, arXiv 2111.02114), §2.2"
_DATACOMP = "DataComp (Gadre et al. 2023, arXiv 2304.14108), §3.3, basic filtering; equal values are kept"

LAION_400M = (
    Rule(name="laion_image_bytes", signal="image_bytes", low=5_000, source=_LAION),
    Rule(name="laion_caption_chars", signal="caption_chars", low=5, source=_LAION),
    Rule(name="laion_clip_similarity", signal="clip_similarity", low=0.3, source=_LAION),
)

DATACOMP_BASIC = (
    Rule(name="datacomp_image_min_side", signal="image_min_side", low=200, source=_DATACOMP),
    Rule(name="datacomp_image_aspect_ratio", signal="image_aspect_ratio", high=3.0, source=_DATACOMP),
    Rule(name="datacomp_caption_words", signal="caption_words", low=2, low_is_kept=False, source=_DATACOMP),
    Rule(name="datacomp_caption_chars", signal="caption_chars", low=5, low_is_kept=False, source=_DATACOMP),
)

IMAGE_RULES = index_rules(LAION_400M, DATACOMP_BASIC)
