"""Lists the rules of C4 and mC4 with their true values; what happens to single lines is a correction, `c4_lines`."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_PAGE = "C4 (Raffel et al. 2020, JMLR 21:140), §2.2; TensorFlow Datasets, text/c4_utils.py, clean_page"
_LENGTH = "TensorFlow Datasets, text/c4_utils.py, is_valid_length; DCLM, baselines_configs/c4.yaml"
_LANGUAGE = "C4 (JMLR 21:140), §2.2: langdetect, probability of at least 0.99; the probability here is another model's"
_PARAGRAPHS = "mC4 (Xue et al. 2021, arXiv 2010.11934), §3.1"

C4_LANGUAGE = (
    Rule(name="c4_language", signal="language", allowed=("en",), source=_LANGUAGE),
    Rule(name="c4_language_score", signal="language_score", low=0.99, source=_LANGUAGE),
)

C4_PAGE = (
    Rule(name="c4_page_char_count", signal="page_char_count", high=190_000, source=_LENGTH),
    Rule(name="c4_lorem_ipsum_count", signal="lorem_ipsum_count", high=0, source=_PAGE),
    Rule(name="c4_curly_bracket_count", signal="curly_bracket_count", high=0, source=_PAGE),
    # datatrove has 5, and 3 words per line: the two minima swapped
    Rule(name="c4_sentence_count", signal="sentence_count", low=3, source=_PAGE),
)

MC4_PAGE = (Rule(name="mc4_long_line_count", signal="long_line_count", low=3, source=_PARAGRAPHS),)
