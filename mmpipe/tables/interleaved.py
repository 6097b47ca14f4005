"""What a row of the interleaved lane is: text and pictures of a page in one order, signals, and what was left out."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table
from mmpipe.tables.removals import describe_removals

#: Orders of text and pictures: where the page shows them (OBELICS), or by likeness of picture and sentence (MMC4).
INTERLEAVED_ORDERS = ("page", "similarity")

#: Why a node is left out, beside the names of rules.
NODE_REASONS = (
    "outside_main_content",
    "no_place_in_page",
    "repeated_image",
    "no_image_embedding",
    "no_text",
    "no_sentence_left",
    "too_many_images",
)

#: A paragraph or picture that the page has and the document has not. Exactly one of `text` and `pair_id` is given.
REMOVED_NODE = pl.Struct(
    {
        "node": pl.Int64,
        "text": pl.String,
        "pair_id": pl.String,
        "reason": pl.String,
        "value": pl.Float64,
    }
)

#: What the page's <img> says of a picture: the address as written, and the size it is shown at, pixels.
IMAGE_MARKUP = pl.Struct({"src": pl.String, "width": pl.Int64, "height": pl.Int64})

_PAGE = "raw_crawl.warc_offset"
_PAIR = "filtered_image_pairs.pair_id"


def _signal(name: str, description: str) -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(_PAGE,))


_DOCUMENT = (
    Column("doc_id", pl.String, "The page.", parents=("raw_crawl.doc_id",)),
    Column("dump", pl.String, "Name of the dump.", parents=("raw_crawl.dump",)),
    Column("url", pl.String, "URL of the page.", parents=("raw_crawl.url",)),
    Column("warc_file", pl.String, "File of the page's record.", parents=("raw_crawl.warc_file",)),
    Column("warc_offset", pl.Int64, "Offset of that record.", parents=(_PAGE,)),
    Column("warc_length", pl.Int64, "Bytes of that record.", nullable=True, parents=("raw_crawl.warc_length",)),
    Column("order", pl.String, f"One of {', '.join(INTERLEAVED_ORDERS)}: what the order of the nodes follows."),
    Column(
        "texts",
        pl.List(pl.String),
        "Nodes of text, null where a picture stands: paragraphs joined by empty lines, or single sentences.",
        parents=(_PAGE,),
    ),
    Column("images", pl.List(pl.String), "Pictures by pair_id, null where a text stands.", parents=(_PAIR,)),
    Column("image_markup", pl.List(IMAGE_MARKUP), "What the page says of each picture, in order.", parents=(_PAGE,)),
    Column(
        "matched_text_index",
        pl.List(pl.Int64),
        "Sentence that each picture goes with, counted among the texts from 0; null in the order of the page.",
        nullable=True,
    ),
    Column(
        "matched_sim",
        pl.List(pl.Float64),
        "CLIP cosine of each picture and its sentence; null in the order of the page.",
        nullable=True,
        parents=("image_signals.image_embedding",),
    ),
    Column(
        "similarity_matrix",
        pl.List(pl.List(pl.Float64)),
        "CLIP cosines, one row per picture and one value per sentence; null in the order of the page.",
        nullable=True,
        parents=("image_signals.image_embedding",),
    ),
    Column("clip_weights", pl.String, "Digest of the weights behind the cosines.", nullable=True),
    Column("removed_nodes", pl.List(REMOVED_NODE), "Nodes of the page that are left out, each with its reason."),
)

#: Signals of documents; `filtering.interleaved_signals` measures them.
DOCUMENT_SIGNALS = (
    _signal("image_count", "Pictures."),
    _signal("text_count", "Texts: stretches between pictures, or sentences."),
    _signal("text_words", "White-space words that are left when special characters are stripped off."),
    _signal("text_character_repetition_ratio", "Share of 10-grams of characters that are among the most repeated."),
    _signal("text_word_repetition_ratio", "Share of 5-grams of words that occur more than once."),
    _signal("text_special_character_ratio", "Share of punctuation, digits, white space and symbols."),
    _signal("text_stop_word_ratio", "Stop words of the language per word; null if it has no list."),
    _signal("text_flagged_word_ratio", "Flagged words of the language per word; null if it has no list."),
    _signal("text_punctuation_ratio", "Punctuation marks per word or mark."),
    _signal("strong_match_ratio", "Share of pictures whose cosine with their sentence is 0.25 or more."),
    Column("language", pl.String, "Language of the text.", nullable=True, parents=(_PAGE,)),
    _signal("language_score", "Probability of the language, 0 to 1."),
)

INTERLEAVED_CANDIDATES = Table(
    name="interleaved_candidates",
    description="One row per page with a kept picture: its text and pictures in one order, and every measured value.",
    key=("doc_id",),
    columns=(*_DOCUMENT, *DOCUMENT_SIGNALS),
)

INTERLEAVED_REMOVALS = describe_removals("interleaved_removals", "doc_id", "interleaved_candidates")

INTERLEAVED_DOCUMENTS = Table(
    name="interleaved_documents",
    description="Documents of text and pictures that passed every rule of the interleaved recipe.",
    key=("doc_id",),
    columns=INTERLEAVED_CANDIDATES.columns,
)
