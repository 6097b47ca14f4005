"""Lists the steps that rewrite a text, with their options and defaults: recipes name them, extraction makes them."""

from __future__ import annotations

from typing import TypeAlias

#: What an option may be; the default's type says how a recipe's value is read.
Option: TypeAlias = bool | int | float | str | tuple[str, ...]

#: What a line of a number counts: DCLM (arXiv 2406.11794), modifiers.py, `counter_line_modifier`.
COUNTER_WORDS = (
    "likes", "shares", "comments", "retweets", "reposts", "quotes", "bookmarks", "upvotes", "downvotes", "downloads",
    "views", "followers",
)  # fmt: skip

#: Step to its options with their defaults. The step's function is `extraction.corrections.find_step`'s.
CORRECTION_STEPS: dict[str, dict[str, Option]] = {
    # RefinedWeb (arXiv 2306.01116) G.2: URLs by their scheme or `www.`
    "refinedweb_remove_urls": {},
    # DCLM (arXiv 2406.11794), modifiers.py: `url_removal_modifier`, `newline_removal_modifier`
    "dclm_remove_urls": {"needs_leading_domain": False},
    "dclm_collapse_newlines": {"most_newlines": 2},
    # RefinedWeb G.2, line-wise corrections; values, words and order of DCLM's baselines_configs/refinedweb.yaml
    "refinedweb_lines": {
        "max_uppercase_ratio": 0.5,
        "max_numeric_ratio": 0.999999,
        "counters": COUNTER_WORDS,
        "min_words": 2,
        "max_substring_words": 10,
        "any_three_marks": False,
    },
    # C4 (JMLR 21:140) §2.2 and TensorFlow Datasets, text/c4_utils.py: the true values, which most copies have changed
    "c4_lines": {
        "min_line_words": 5,
        "count_cited_words": False,
        "require_terminal_mark": True,
        "terminal_marks": (".", "?", "!", '"'),
        "max_word_chars": 1000,
        "remove_citations": True,
        "remove_javascript": True,
        "remove_policy": True,
    },
    # BigScience data-preparation, 01b_oscar_cleaning_and_filtering/parameters_filtering.py, as for English
    "bloom_words": {"longest_word": 25, "substrings": ("http", "www", ".com", "href", "//")},
    # kinds to mask, kinds to tag only, `tag` or `example`, countries whose national phone formats are known
    "mask_pii": {
        "mask": ("email", "ip", "iban", "card", "key"),
        "tag": ("phone",),
        "style": "tag",
        "phone_regions": ("US", "CA", "GB", "DE", "FR", "ES", "IT", "NL"),
    },
}

#: Kinds of personal data that `mask_pii` knows, first the one that wins where two share characters.
PII_KINDS = ("key", "email", "iban", "card", "ip", "phone", "user")

#: How `mask_pii` writes a mask: `<EMAIL>`, or an example that belongs to nobody.
PII_STYLES = ("tag", "example")

#: Step and option to the words that the option may be, or may hold.
OPTION_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("mask_pii", "mask"): PII_KINDS,
    ("mask_pii", "tag"): PII_KINDS,
    ("mask_pii", "style"): PII_STYLES,
}

#: The step whose removed words RefinedWeb limits (`corrected_word_ratio`).
LINE_STEP = "refinedweb_lines"

#: The step that masks personal data. It is the last of a recipe, and no signal measures its result.
MASK_STEP = "mask_pii"
