"""Lists the rules of the image lane, one readable table per paper, with the paper's own limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_LAION = "LAION-400M (Schuhmann et al. 2021, arXiv 2111.02114), §2.2"
_DATACOMP = "DataComp (Gadre et al. 2023, arXiv 2304.14108), §3.3, basic filtering; equal values are kept"
_LAION_5B = "LAION-5B (Schuhmann et al. 2022, arXiv 2210.08402), English part, ViT-B/32"
_COYO = "COYO-700M, model card, filters; removed is what is greater or less, equal values are kept"
_MMC4 = "MMC4 (Zhu et al. 2023, arXiv 2304.06939), §2; equal values are kept; CLIP is ViT-L/14"
_COGVLM = "CogVLM (Wang et al. 2023, arXiv 2311.03079), pre-training data: ratio above 6 or below 1/6 removed"

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

LAION_5B = (Rule(name="laion5b_clip_similarity", signal="clip_similarity", low=0.28, source=_LAION_5B),)

COYO_700M = (
    Rule(name="coyo_image_bytes", signal="image_bytes", low=5_000, source=_COYO),
    Rule(name="coyo_image_min_side", signal="image_min_side", low=200, source=_COYO),
    Rule(name="coyo_image_aspect_ratio", signal="image_aspect_ratio", high=3.0, source=_COYO),
    Rule(name="coyo_caption_chars", signal="caption_chars", low=5, low_is_kept=False, high=1000, source=_COYO),
    Rule(name="coyo_caption_words", signal="caption_words", low=3, high=256, source=_COYO),
)

MMC4 = (
    Rule(name="mmc4_image_min_side", signal="image_min_side", low=150, source=_MMC4),
    Rule(name="mmc4_image_aspect_ratio", signal="image_aspect_ratio", high=2.0, source=_MMC4),
    Rule(name="mmc4_clip_similarity", signal="clip_similarity", low=0.15, source=_MMC4),
)

COGVLM = (Rule(name="cogvlm_image_aspect_ratio", signal="image_aspect_ratio", high=6.0, source=_COGVLM),)

IMAGE_RULES = index_rules(LAION_400M, LAION_5B, DATACOMP_BASIC, COYO_700M, MMC4, COGVLM)
