"""Lists the rules on flagged words."""

from __future__ import annotations

from mmpipe.filtering.rules import Limits, Rule

_MC4 = "mC4 (Xue et al. 2021, arXiv 2010.11934), §3.1; TensorFlow Datasets, text/c4_utils.py: any word of the 28 lists"

#: Languages that LDNOOBW has lists for, as lid.176 names them. Its lists for Filipino, Quebec's French and Klingon are
#: not among them: lid.176 says `tl` for the first and has no name for the others.
LDNOOBW_LANGUAGES = (
    "ar", "cs", "da", "de", "en", "eo", "es", "fa", "fi", "fr", "hi", "hu", "it", "ja", "kab", "ko", "nl", "no", "pl",
    "pt", "ru", "sv", "th", "tr", "zh",
)  # fmt: skip

# it does not speak of a language without a list; C4's own rule is for English and stands among C4's
TOXICITY = (
    Rule(
        name="mc4_toxic_word_count",
        signal="toxic_word_count",
        by_language=dict.fromkeys(LDNOOBW_LANGUAGES, Limits(high=0)),
        source=_MC4,
    ),
)
