"""What a row of the text lane is: an extracted page, its signals, its duplicates, a document."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table
from mmpipe.tables.corrections import CORRECTION

#: One entry of `extracted_text.language_scores`.
LANGUAGE_SCORE = pl.Struct({"language": pl.String, "score": pl.Float64})

#: Why a record has no text. `ok` has one; every other status becomes a removal of the same name. The record's own
#: statuses (`tables.crawl.RECORD_STATUSES`) are carried over as they are.
EXTRACTION_STATUSES = (
    "ok",
    "truncated_record",
    "revisit_record",
    "empty_record",
    "corrupt_record",
    "http_error",
    "taken_down",
    "not_html",
    "oversized_page",
    "undecodable_page",
    "no_main_text",
    "extraction_timeout",
    "extraction_crash",
    # the first pass: what never needs the dear extractor
    "blocked_url",
    "repeated_url",
    "repeated_page",
    "other_language",
    # the corrections
    "nothing_left",
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
            "Main text, before any correction.",
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
        Column(
            "language_scores",
            pl.List(LANGUAGE_SCORE),
            "The most likely languages with their probabilities, best first.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
        Column(
            "other_language_char_ratio",
            pl.Float64,
            "Share of characters in lines of another language than the page's; null unless lines are identified.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
    ),
)

TEXT_CORRECTIONS = Table(
    name="text_corrections",
    description="One row per row of extracted_text: what rewriting steps changed in its text, span by span.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("extracted_text.doc_id",)),
        Column(
            "extraction_status",
            pl.String,
            "Status carried over; `nothing_left` if the steps left no text.",
            parents=("extracted_text.extraction_status",),
        ),
        Column(
            "corrected_text",
            pl.String,
            "Text after all steps; null if no step changed it, or it has none.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
        Column(
            "corrections",
            pl.List(CORRECTION),
            "Changed and tagged spans in the order they were made; each counts characters of the text before its step.",
            nullable=True,
            parents=("extracted_text.text",),
        ),
    ),
)

TEXT_SCORES = Table(
    name="text_scores",
    description="One row per row of extracted_text: what models say of it. A score of a model not asked for is null.",
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("extracted_text.doc_id",)),
        Column(
            "quality_score",
            pl.Float64,
            "Probability of the positive class by the fastText quality classifier, 0 to 1.",
            nullable=True,
            parents=("extracted_text.text", "text_corrections.corrected_text"),
        ),
        Column("quality_weights", pl.String, "Digest of that classifier.", nullable=True),
        Column(
            "perplexity",
            pl.Float64,
            "Perplexity per token of a language model, 1 or more.",
            nullable=True,
            parents=("extracted_text.text", "text_corrections.corrected_text"),
        ),
        Column("perplexity_weights", pl.String, "Digest of that language model.", nullable=True),
        Column(
            "encoder_score",
            pl.Float64,
            "Score of an encoder with a regression or classification head, such as 0 to 5 of FineWeb-Edu.",
            nullable=True,
            parents=("extracted_text.text", "text_corrections.corrected_text"),
        ),
        Column("encoder_weights", pl.String, "Digest of that encoder.", nullable=True),
    ),
)

TEXT_CONTAMINATION = Table(
    name="text_contamination",
    description="Every span of a document that an evaluation item also holds.",
    key=("doc_id", "evaluation_set", "item", "start"),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("filtered_text.doc_id",)),
        Column("dump", pl.String, "Name of the dump.", parents=("filtered_text.dump",)),
        Column("evaluation_set", pl.String, "Name of the evaluation set."),
        Column("item", pl.String, "Id of the item in its file: its own id, else the line, counted from 0."),
        Column("start", pl.Int64, "First character of the span in the document."),
        Column("end", pl.Int64, "Character after the last of the span."),
        Column("matched_text", pl.String, "The span's text.", parents=("filtered_text.text",)),
        Column(
            "item_ratio",
            pl.Float64,
            "Share of the item's n-grams that stand anywhere in the document, 0 to 1.",
            parents=("filtered_text.text",),
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
    description="What deduplication compares: hashes of text, shingles and URL of each document, and what ranks it.",
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
            "url_hash",
            pl.UInt64,
            "64-bit xxh3 of the normalised URL; null if the recipe does not compare URLs.",
            nullable=True,
            parents=("filtered_text.url",),
        ),
        Column(
            "simhash",
            pl.UInt64,
            "64-bit SimHash; null if the recipe does not ask for it or the text has none.",
            nullable=True,
            parents=("filtered_text.text",),
        ),
        Column(
            "shingle_count",
            pl.Int64,
            "Distinct shingles; 0 if the text has none.",
            parents=("filtered_text.text",),
        ),
        Column(
            "text_chars",
            pl.Int64,
            "Characters of text, by which a recipe may prefer the longer of several alike.",
            parents=("filtered_text.text",),
        ),
        Column(
            "date",
            pl.String,
            "Publication date, by which a recipe may prefer the earlier of several alike.",
            nullable=True,
            parents=("filtered_text.date",),
        ),
        Column(
            "quality",
            pl.Float64,
            "Score of the quality classifier, by which a recipe may prefer one of several alike; null if not scored.",
            nullable=True,
            parents=("text_scores.quality_score",),
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
        Column("method", pl.String, "How it was tied to the kept document: url, exact, minhash, simhash or semantic."),
        Column(
            "similarity",
            pl.Float64,
            "Similarity to the kept document: Jaccard of shingles (exact, minhash), share of equal bits (simhash), "
            "cosine (semantic), 1 for url.",
            parents=("filtered_text.text", "text_signatures.band_keys"),
        ),
        Column("cluster_documents", pl.Int64, "Documents of the cluster, in all dumps compared."),
        Column("cluster_kept", pl.Int64, "How many of them stay."),
        Column(
            "cluster_diameter",
            pl.Int64,
            "Pairs on the longest of the shortest ways between two texts of the cluster: 1 where all are alike, more "
            "in a chain; where it was not measured exactly, at least this.",
        ),
        Column("cluster_diameter_at_most", pl.Int64, "The diameter, or what it is at most."),
    ),
)

TEXT_REPEATS = Table(
    name="text_repeats",
    description="Every span of a document that repeats text standing elsewhere, and where that stands; they are cut.",
    key=("doc_id", "method", "start"),
    columns=(
        Column("doc_id", pl.String, "Id of the document.", parents=("filtered_text.doc_id",)),
        Column("dump", pl.String, "Its dump.", parents=("filtered_text.dump",)),
        Column("method", pl.String, "substring (any text of some length), or lines (lines, paragraphs, sentences)."),
        Column("start", pl.Int64, "First character of the span in filtered_text.", parents=("filtered_text.text",)),
        Column("end", pl.Int64, "Character after its last."),
        Column(
            "kept_doc_id",
            pl.String,
            "Document in which the same text stays; null if none does, or if an earlier dump's line is known by hash.",
            nullable=True,
            parents=("filtered_text.doc_id",),
        ),
        Column("kept_start", pl.Int64, "Where it begins there.", nullable=True),
    ),
)
