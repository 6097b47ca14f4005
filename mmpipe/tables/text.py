"""What a row of the text lane is: an extracted page, its signals, its duplicates, a document."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: Why a record has no text. `ok` has one; every other status becomes a removal of the same name. The record's own
#: statuses (`tables.crawl.RECORD_STATUSES`) are carried over as they are.
EXTRACTION_STATUSES = (
    "ok",
    "truncated_record",
    "revisit_record",
    "empty_record",
    "corrupt_record",
    "http_error",
    "not_html",
    "oversized_page",
    "undecodable_page",
    "no_main_text",
    "extraction_timeout",
    "extraction_crash",
)

EXTRACTED_TEXT = Table(
    name="extracted_text",
    description="One row per record of raw_crawl: its main text, title, date and language, or why it has none.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the record.", parents=("raw_crawl.doc_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("raw_crawl.dump",)),
        Column("url", pl.String, "URL of the page.", nullable=True, parents=("raw_crawl.url",)),
        Column("extraction_status", pl.String, f"One of {', '.join(EXTRACTION_STATUSES)}."),
        Column("extraction_detail", pl.String, "What the reader or extractor said, if it failed.", nullable=True),
        Column("extractor", pl.String, "Extractor and version; null if none ran.", nullable=True),
        Column("charset", pl.String, "Character encoding the bytes were decoded with.", nullable=True),
        Column("title", pl.String, "Title of the page.", nullable=True, parents=("raw_crawl.warc_offset",)),
        Column("date", pl.String, "Publication date the page states, ISO 8601.", nullable=True),
        Column(
            "text",
            pl.String,
            "Main text: no bare URLs, at most two newlines in a row.",
            nullable=True,
            parents=("raw_crawl.warc_offset", "raw_crawl.warc_file"),
        ),
        Column("text_chars", pl.Int64, "Characters of text.", nullable=True, parents=("extracted_text.text",)),
        Column(
            "language",
            pl.String,
            "Most likely language, ISO 639 code of lid.176.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
        Column(
            "language_score",
            pl.Float64,
            "Probability of that language, 0 to 1.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
    ),
)


def _signal(name: str, description: str, parent: str = "extracted_text.text") -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(parent,))


TEXT_SIGNALS = Table(
    name="text_signals",
    description="One row per row of extracted_text: every measured value. A value that could not be measured is null.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("extracted_text.doc_id",)),
        Column(
            "extraction_status",
            pl.String,
            "Status carried over; all but `ok` are removals of that name.",
            parents=("extracted_text.extraction_status",),
        ),
        Column("language", pl.String, "Most likely language.", nullable=True, parents=("extracted_text.language",)),
        _signal("language_score", "Probability of that language, 0 to 1.", "extracted_text.language_score"),
        _signal("url_blocked_domain", "1 if the registered domain is on the blocklist.", "extracted_text.url"),
        _signal("url_blocked_host", "1 if the full host is on the blocklist.", "extracted_text.url"),
        _signal("url_blocked_url", "1 if the URL is on the blocklist.", "extracted_text.url"),
        _signal("url_strict_subwords", "Strict sub-words found anywhere in the URL's letters.", "extracted_text.url"),
        _signal("url_hard_words", "Hard words among the URL's words.", "extracted_text.url"),
        _signal("url_soft_words", "Soft words among the URL's words.", "extracted_text.url"),
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
    ),
)

_DOCUMENT_COLUMNS = (
    Column("doc_id", pl.String, "Id of the document.", parents=("extracted_text.doc_id",)),
    Column("dump", pl.String, "Name of the dump.", parents=("extracted_text.dump",)),
    Column("url", pl.String, "URL of the page.", nullable=True, parents=("extracted_text.url",)),
    Column("title", pl.String, "Title of the page.", nullable=True, parents=("extracted_text.title",)),
    Column("date", pl.String, "Publication date, ISO 8601.", nullable=True, parents=("extracted_text.date",)),
    Column("language", pl.String, "Most likely language.", parents=("extracted_text.language",)),
    Column("language_score", pl.Float64, "Probability of that language.", parents=("extracted_text.language_score",)),
    Column("text", pl.String, "Main text.", parents=("extracted_text.text",)),
)

FILTERED_TEXT = Table(
    name="filtered_text",
    description="Documents that passed every rule of the recipe.",
    key=("doc_id",),
    columns=_DOCUMENT_COLUMNS,
)

DEDUPED_CORPUS = Table(
    name="deduped_corpus",
    description="Documents of filtered_text without those that repeat a kept one, in this dump or an earlier one.",
    key=("doc_id",),
    columns=_DOCUMENT_COLUMNS,
)

TEXT_SIGNATURES = Table(
    name="text_signatures",
    description="What deduplication compares: exact hash and MinHash band keys of each document, and what ranks it.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("filtered_text.doc_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("filtered_text.dump",)),
        Column(
            "exact_hash",
            pl.String,
            "128-bit xxh3 of the normalised text, 32 hex digits.",
            parents=("filtered_text.text",),
        ),
        Column(
            "band_keys",
            pl.Binary,
            "Hash of each band of the MinHash signature, little-endian uint64 each; empty if the text has no word.",
            parents=("filtered_text.text",),
        ),
        Column(
            "signature_settings",
            pl.String,
            "Digest of shingle, bands, rows and seed: only band keys made with equal settings compare.",
        ),
        Column(
            "shingle_count",
            pl.Int64,
            "Distinct word shingles (a text shorter than one counts as one); 0 if it has no word.",
            parents=("filtered_text.text",),
        ),
        Column(
            "text_chars",
            pl.Int64,
            "Characters of text: the longest document of a cluster is kept.",
            parents=("filtered_text.text",),
        ),
        Column(
            "date",
            pl.String,
            "Publication date: the earlier of two equally long documents is kept.",
            nullable=True,
            parents=("filtered_text.date",),
        ),
    ),
)

TEXT_DUPLICATES = Table(
    name="text_duplicates",
    description="Every document of a cluster of two or more, with the document kept for it and how alike they are.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("text_signatures.doc_id",)),
        Column("dump", pl.String, "Its dump.", parents=("text_signatures.dump",)),
        Column("cluster_id", pl.String, "Id of the cluster: the smallest doc_id in it."),
        Column(
            "kept_doc_id", pl.String, "Id of the document kept for the cluster.", parents=("text_signatures.doc_id",)
        ),
        Column("kept_dump", pl.String, "Dump of the kept document.", parents=("text_signatures.dump",)),
        Column("method", pl.String, "exact or minhash: how it was tied to the cluster."),
        Column(
            "similarity",
            pl.Float64,
            "Measured Jaccard similarity of word shingles to the kept document.",
            parents=("filtered_text.text", "text_signatures.band_keys"),
        ),
    ),
)
