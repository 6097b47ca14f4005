"""Lists the rules of COYO-700M, by its model card: what is greater or less is removed, equal values are kept."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_COYO = "COYO-700M, model card, filters; removed is what is greater or less, equal values are kept"

COYO_700M = (
    Rule(name="coyo_image_bytes", signal="image_bytes", low=5_000, source=_COYO),
    Rule(name="coyo_image_min_side", signal="image_min_side", low=200, source=_COYO),
    Rule(name="coyo_image_aspect_ratio", signal="image_aspect_ratio", high=3.0, source=_COYO),
    Rule(
        name="coyo_nsfw_score",
        signal="nsfw_score",
        high=0.5,
        source=_COYO + "; OpenNSFW2 and GantMan's model, of which the worse counts: here the classifier of the run",
    ),
    Rule(name="coyo_caption_language", signal="caption_language", allowed=("en",), source=_COYO + "; cld3"),
    Rule(name="coyo_caption_chars", signal="caption_chars", low=5, low_is_kept=False, high=1000,
         source="COYO-700M, model card: 5 or less is removed, and (`1000 words`, by its statistics characters) over "
         "1,000"),
    Rule(name="coyo_caption_words", signal="caption_words", low=3, high=256,
         source=_COYO + "; here by Unicode's word boundaries, so that any script has words"),
    Rule(name="coyo_caption_space_words", signal="caption_space_words", low=3, high=256,
         source=_COYO + "; words are what spaces divide. Its own statistics show 323, against its rule"),
    Rule(name="coyo_caption_has_noun", signal="caption_has_noun", low=1,
         source="COYO-700M, model card: text without a noun is removed; here by rules for English, not by a tagger"),
    Rule(name="coyo_caption_pairs", signal="caption_pairs", high=10,
         source="COYO-700M, model card: texts that appear more than 10 times are removed, all of them"),
    Rule(name="coyo_caption_flagged_words", signal="caption_flagged_words", high=0,
         source="COYO-700M, model card: text with a word of three lists is removed; here of the recipe's lists"),
)  # fmt: skip
