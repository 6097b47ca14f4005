"""What is measured of a text: the columns of text_signals, family by family. Which are measured, the recipe says."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table


def _signal(name: str, description: str, parent: str = "extracted_text.text") -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(parent,))


_IDENTITY = (
    Column("doc_id", pl.String, "Id of the document.", parents=("extracted_text.doc_id",)),
    Column(
        "extraction_status",
        pl.String,
        "Status carried over; all but `ok` are removals of that name.",
        parents=("extracted_text.extraction_status",),
    ),
    Column("language", pl.String, "Most likely language.", nullable=True, parents=("extracted_text.language",)),
    _signal("language_score", "Probability of that language, 0 to 1.", "extracted_text.language_score"),
)

#: Categories of the UT1 blacklists that RedPajama-V2 annotates documents with (arXiv 2411.12372, quality signals).
UT1_CATEGORIES = (
    "adult",
    "agressif",
    "agressive",
    "arjel",
    "chat",
    "dating",
    "ddos",
    "filehosting",
    "gambling",
    "mixed_adult",
    "phishing",
    "porn",
    "violence",
)

_URL = (
    _signal("url_blocked_domain", "1 if the registered domain is on the blocklist.", "extracted_text.url"),
    _signal("url_blocked_host", "1 if the full host is on the blocklist.", "extracted_text.url"),
    _signal("url_blocked_url", "1 if the URL is on the blocklist.", "extracted_text.url"),
    _signal("url_strict_subwords", "Strict sub-words found anywhere in the URL's letters.", "extracted_text.url"),
    _signal("url_hard_words", "Hard words among the URL's words.", "extracted_text.url"),
    _signal("url_soft_words", "Soft words among the URL's words.", "extracted_text.url"),
    _signal("url_held_out", "1 if the URL's source is held out, to be mixed separately.", "extracted_text.url"),
    *(
        _signal(f"url_ut1_{category}", f"1 if the URL is listed in UT1's category {category}.", "extracted_text.url")
        for category in UT1_CATEGORIES
    ),
)

_GOPHER = (
    _signal("word_count", "Words with at least one character that is not punctuation."),
    _signal("mean_word_length", "Mean length of those words, characters."),
    _signal("hash_to_word_ratio", "Occurrences of # per word."),
    _signal("ellipsis_to_word_ratio", "Occurrences of ... or the ellipsis character per word."),
    _signal("bullet_line_ratio", "Share of lines that start with a bullet."),
    _signal("ellipsis_line_ratio", "Share of lines that end with an ellipsis."),
    _signal("alphabetic_word_ratio", "Share of words with at least one letter."),
    _signal("stop_word_count", "Distinct words of {the, be, to, of, and, that, have, with} present."),
    _signal("duplicate_paragraph_ratio", "Share of paragraphs that repeat an earlier one."),
    _signal("duplicate_paragraph_char_ratio", "Share of characters in such paragraphs."),
    _signal("duplicate_line_ratio", "Share of lines that repeat an earlier one."),
    _signal("duplicate_line_char_ratio", "Share of characters in such lines."),
    *(
        _signal(f"top_{n}_gram_char_ratio", f"Share of characters in the most frequent word {n}-gram.")
        for n in (2, 3, 4)
    ),
    *(
        _signal(f"duplicate_{n}_gram_char_ratio", f"Share of characters in word {n}-grams that repeat.")
        for n in range(5, 11)
    ),
)

# each family's columns are declared by whoever measures it; a name stands for one quantity in every family
_C4 = (
    _signal("sentence_count", "Sentences of the lines that C4 keeps."),
    _signal("lorem_ipsum_count", "Lines with the words lorem ipsum, among those left when C4 looks for them."),
    _signal("curly_bracket_count", "Lines with a {, among those left when C4 looks for it."),
    _signal("long_line_count", "Lines of at least 200 characters (mC4)."),
    _signal("page_char_count", "Characters of the text as extracted, before any correction."),
)
_FINEWEB = (
    _signal("nonblank_line_count", "Lines that hold more than white space."),
    _signal("terminal_line_ratio", "Share of lines that end in a terminal punctuation mark."),
    _signal("short_line_ratio", "Share of lines of at most 30 characters."),
    _signal("repeated_line_char_ratio", "Characters of lines that repeat an earlier one, per character of all lines."),
    _signal("newline_to_word_ratio", "Newlines per word."),
)
_CORRECTIONS = (
    Column(
        "corrected_word_ratio",
        pl.Float64,
        "Share of words that the line corrections removed; 0 without such a step, null without words before it.",
        nullable=True,
        parents=("extracted_text.text", "text_corrections.corrections"),
    ),
)
# what DCLM counts beyond Gopher's own quantities, in every dialect by white-space words
_DCLM = (
    _signal("symbol_to_word_ratio", "Occurrences of #, ..., . . . and the ellipsis character per white-space word."),
    _signal("stop_word_occurrences", "White-space words that are, lower-cased, one of Gopher's eight stop words."),
)
# BLOOM counts stripped words, which is no other family's word_count
_BLOOM = (
    _signal("stripped_word_count", "White-space words that are left when special characters are stripped off."),
    _signal("character_repetition_ratio", "Share of character n-grams that are among the most repeated ones."),
    _signal("word_repetition_ratio", "Share of word n-grams that occur more than once."),
    _signal("special_character_ratio", "Share of characters that are punctuation, digits, white space or symbols."),
    _signal("stop_word_ratio", "Stop words of the document's language per word; null if it has no list."),
    _signal("flagged_word_ratio", "Flagged words of the document's language per word; null if it has no list."),
)
# by their published names; a line's signals are means over the lines unless the description says else
_REDPAJAMA2 = (
    _signal("ccnet_length", "Characters."),
    _signal("ccnet_nlines", "Lines."),
    _signal("rps_doc_word_count", "White-space words of the lower-cased text without punctuation."),
    _signal("rps_doc_mean_word_length", "Mean length of those words, characters."),
    _signal("rps_doc_num_sentences", "Runs of characters up to . ! or ?, each from a word's start."),
    _signal("rps_doc_symbol_to_word_ratio", "Occurrences of #, ... or the ellipsis character per raw word."),
    _signal("rps_doc_frac_lines_end_with_ellipsis", "Share of lines that end with an ellipsis."),
    _signal("rps_doc_frac_no_alph_words", "Share of raw words without a letter from a to z."),
    _signal("rps_doc_frac_unique_words", "Distinct words per word."),
    _signal("rps_doc_unigram_entropy", "Entropy of the words, natural logarithm."),
    _signal("rps_doc_frac_all_caps_words", "Share of raw words in capitals."),
    _signal("rps_doc_curly_bracket", "Curly brackets per character."),
    _signal("rps_doc_lorem_ipsum", "Occurrences of lorem ipsum per character of the text without punctuation."),
    _signal("rps_doc_stop_word_fraction", "Stop words of the language per raw word; null if it has no list."),
    _signal("rps_doc_ldnoobw_words", "Flagged words and phrases of the language; null if it has no list."),
    *(
        _signal(
            f"rps_doc_frac_chars_top_{n}gram",
            f"Characters of all occurrences of the most frequent {n}-gram per character of words; 0 if it occurs once, "
            f"and above 1 where they overlap.",
        )
        for n in (2, 3, 4)
    ),
    *(
        _signal(f"rps_doc_frac_chars_dupe_{n}grams", f"Share of word characters covered by repeated {n}-grams.")
        for n in range(5, 11)
    ),
    _signal("rps_lines_ending_with_terminal_punctution_mark", "Share of lines that end in . ! ? or a closing quote."),
    _signal("rps_lines_javascript_counts", "Words `javascript`, summed over lines."),
    _signal("rps_lines_num_words", "Words per line."),
    _signal("rps_lines_numerical_chars_fraction", "Share of numeric characters of a line without punctuation."),
    _signal("rps_lines_start_with_bulletpoint", "Share of lines that start with a bullet."),
    _signal("rps_lines_uppercase_letter_fraction", "Share of upper-case characters of a line."),
)
_TOXICITY = (
    _signal("toxic_word_count", "Occurrences of flagged words of the document's language; null if it has no list."),
    _signal(
        "toxic_word_ratio", "Those per run of letters, marks and digits; per character where words have no spaces."
    ),
    _signal("distinct_toxic_word_count", "Distinct flagged words that occur."),
)


def _count_pii(kind: str, description: str) -> Column:
    return _signal(f"pii_{kind}_count", description, "text_corrections.corrections")


# null where the recipe does not look for the kind
_PII = (
    _count_pii("email", "E-mail addresses masked or tagged."),
    _count_pii("phone", "Phone numbers masked or tagged."),
    _count_pii("ip", "Public IPv4 and IPv6 addresses masked or tagged."),
    _count_pii("reserved_ip", "Private and reserved IP addresses tagged; they point to nobody."),
    _count_pii("iban", "International bank account numbers with a right checksum masked or tagged."),
    _count_pii("card", "Payment card numbers with a right checksum masked or tagged."),
    _count_pii("key", "Keys, tokens and passwords of machines masked or tagged."),
    _count_pii("user", "Names of users (@name) masked or tagged."),
    _count_pii("span", "All of these but private and reserved IP addresses."),
)

#: Families of signals that read the text, each measured in one go (`filtering.text_signals`). The URL's are always
#: measured.
FAMILIES: dict[str, tuple[Column, ...]] = {
    "gopher": _GOPHER,
    "dclm": _DCLM,
    "c4": _C4,
    "fineweb": _FINEWEB,
    "corrections": _CORRECTIONS,
    "bloom": _BLOOM,
    "redpajama2": _REDPAJAMA2,
    "toxicity": _TOXICITY,
    "pii": _PII,
}

TEXT_SIGNALS = Table(
    name="text_signals",
    description="One row per row of extracted_text: every measured value. A value that was not measured is null.",
    key=("doc_id",),
    columns=(*_IDENTITY, *_URL, *(column for family in FAMILIES.values() for column in family)),
)
