"""Lists the rules of CogVLM's image-text pairs; what the paper only names is filled in, and each source says so."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_COGVLM = "CogVLM (Wang et al. 2023, arXiv 2311.03079), pre-training data: ratio above 6 or below 1/6 removed"
_COGVLM_NSFW = "CogVLM names no classifier or limit; 0.5 is where LAION-5B counts an image as unsafe"
_COGVLM_NOISE = "CogVLM says `noise captions` and publishes no rule; "
_COGVLM_POLITICAL = (
    "CogVLM says `captions with political bias` and publishes no rule; a lexicon of partisan phrases, a heuristic"
)

COGVLM = (
    Rule(name="cogvlm_image_aspect_ratio", signal="image_aspect_ratio", high=6.0, source=_COGVLM),
    Rule(name="cogvlm_nsfw_score", signal="nsfw_score", high=0.5, source=_COGVLM_NSFW),
    Rule(
        name="cogvlm_caption_is_file_name",
        signal="caption_is_file_name",
        high=0,
        source=_COGVLM_NOISE + "file names, counters, hashes and addresses",
    ),
    Rule(
        name="cogvlm_caption_is_boilerplate",
        signal="caption_is_boilerplate",
        high=0,
        source=_COGVLM_NOISE + "boilerplate, after CC3M (Sharma et al. 2018, §3)",
    ),
    Rule(
        name="cogvlm_caption_repeated_char_ratio",
        signal="caption_repeated_char_ratio",
        high=0.2,
        source=_COGVLM_NOISE + "twice OBELICS' limit for paragraphs, which took 3 of 207 real captions for a long name",
    ),
    Rule(
        name="cogvlm_caption_repeated_word_ratio",
        signal="caption_repeated_word_ratio",
        high=0.1,
        source=_COGVLM_NOISE + "OBELICS' limit for paragraphs",
    ),
    Rule(
        name="cogvlm_caption_alphanumeric_ratio",
        signal="caption_alphanumeric_ratio",
        low=0.6,
        source=_COGVLM_NOISE + "Data-Juicer's limit in its recipe for LLaVA",
    ),
    Rule(
        name="cogvlm_caption_flagged_words",
        signal="caption_flagged_words",
        high=0,
        source=_COGVLM_NOISE + "flagged words, as COYO-700M has none",
    ),
    Rule(
        name="cogvlm_caption_political_words",
        signal="caption_political_words",
        high=0,
        source=_COGVLM_POLITICAL,
    ),
)
