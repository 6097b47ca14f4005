"""Lists the rules of interleaved documents and of their paragraphs, by the paper that set them."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_NODE = (
    "OBELICS (Laurençon et al. 2023, arXiv 2306.16527), filters on paragraphs, limits of its configuration "
    "config_filter_web_documents; equal values are kept"
)
_OBELICS = (
    "OBELICS (Laurençon et al. 2023, arXiv 2306.16527), filters on documents, limits of its configuration "
    "config_filter_web_documents; equal values are kept"
)
_MMC4 = "MMC4 (Zhu et al. 2023, arXiv 2304.06939), §2; equal values are kept; CLIP is ViT-L/14"
_CORE = "MMC4-core (Zhu et al. 2023, arXiv 2304.06939), Appendix; equal values are kept; CLIP is ViT-L/14"

#: Of paragraphs. OBELICS' share of common words, 0.8, needs its own list of words and is no rule here.
OBELICS_NODE = (
    Rule(name="obelics_node_words", signal="node_words", low=4, high=1000, source=_NODE),
    Rule(
        name="obelics_node_character_repetition_ratio",
        signal="node_character_repetition_ratio",
        high=0.1,
        source=_NODE,
    ),
    Rule(name="obelics_node_word_repetition_ratio", signal="node_word_repetition_ratio", high=0.1, source=_NODE),
    Rule(name="obelics_node_special_character_ratio", signal="node_special_character_ratio", high=0.3, source=_NODE),
    Rule(name="obelics_node_stop_word_ratio", signal="node_stop_word_ratio", low=0.3, source=_NODE),
    Rule(name="obelics_node_flagged_word_ratio", signal="node_flagged_word_ratio", high=0.01, source=_NODE),
    Rule(name="obelics_node_punctuation_ratio", signal="node_punctuation_ratio", low=0.001, source=_NODE),
)

#: Of documents. Its shares of common words (0.9) and spam words (0.12) need its own lists, its perplexity (1500) its
#: own language model: they are no rules here. That the text is English is OBELICS' choice.
OBELICS_DOCUMENT = (
    Rule(name="obelics_image_count", signal="image_count", low=1, high=30, source=_OBELICS),
    Rule(name="obelics_text_words", signal="text_words", low=10, high=2000, source=_OBELICS),
    Rule(
        name="obelics_text_character_repetition_ratio",
        signal="text_character_repetition_ratio",
        high=0.1,
        source=_OBELICS,
    ),
    Rule(name="obelics_text_word_repetition_ratio", signal="text_word_repetition_ratio", high=0.2, source=_OBELICS),
    Rule(
        name="obelics_text_special_character_ratio",
        signal="text_special_character_ratio",
        high=0.275,
        source=_OBELICS,
    ),
    Rule(name="obelics_text_stop_word_ratio", signal="text_stop_word_ratio", low=0.35, source=_OBELICS),
    Rule(name="obelics_text_flagged_word_ratio", signal="text_flagged_word_ratio", high=0.01, source=_OBELICS),
    Rule(name="obelics_text_punctuation_ratio", signal="text_punctuation_ratio", low=0.03, source=_OBELICS),
    Rule(name="obelics_language", signal="language", allowed=("en",), source=_OBELICS),
    Rule(name="obelics_language_score", signal="language_score", low=0.8, source=_OBELICS),
)

#: Of pictures, before they are given their sentences.
MMC4_NODE = (Rule(name="mmc4_node_best_similarity", signal="node_best_similarity", low=0.15, source=_MMC4),)

MMC4_DOCUMENT = (Rule(name="mmc4_image_count", signal="image_count", low=1, source=_MMC4),)

MMC4_CORE = (
    Rule(name="mmc4_core_text_count", signal="text_count", low=4, high=40, source=_CORE),
    Rule(name="mmc4_core_image_count", signal="image_count", low=2, high=15, source=_CORE),
    Rule(name="mmc4_core_strong_match_ratio", signal="strong_match_ratio", low=0.75, source=_CORE),
)

INTERLEAVED_RULES = index_rules(OBELICS_NODE, OBELICS_DOCUMENT, MMC4_NODE, MMC4_DOCUMENT, MMC4_CORE)
