"""Measures paragraphs, pictures and whole documents of text and pictures, and drops the nodes that fail their rules."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.bloom_signals import measure_bloom
from mmpipe.filtering.text_batch import TextBatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.rules import Rule

#: Cosine from which a picture and its sentence go well together (MMC4-core; Zhu et al. 2023, arXiv 2304.06939).
STRONG_MATCH = 0.25

#: OBELICS asks no punctuation of a paragraph with fewer words and marks (config_filter_web_documents).
_LEAST_PUNCTUATED = 12

#: Signals of a paragraph and of a picture.
TEXT_NODE_SIGNALS = (
    "node_words",
    "node_character_repetition_ratio",
    "node_word_repetition_ratio",
    "node_special_character_ratio",
    "node_stop_word_ratio",
    "node_flagged_word_ratio",
    "node_punctuation_ratio",
)
IMAGE_NODE_SIGNALS = ("node_best_similarity",)

# OBELICS took these over from BLOOM, whose families of signals measures them
_BLOOM = {
    "stripped_word_count": "words",
    "character_repetition_ratio": "character_repetition_ratio",
    "word_repetition_ratio": "word_repetition_ratio",
    "special_character_ratio": "special_character_ratio",
    "stop_word_ratio": "stop_word_ratio",
    "flagged_word_ratio": "flagged_word_ratio",
}


def measure_texts(texts: Sequence[str], languages: Sequence[str | None], recipe: Recipe, prefix: str) -> pl.DataFrame:
    """Return OBELICS' signals of texts, one row each: words, repetition, special characters, stop and flagged words.

    Definitions: OBELICS (Laurençon et al. 2023, arXiv 2306.16527), Appendix A.3, and its web_document_filtering; they
    are BLOOM's (`bloom_signals`), whose white space is collapsed first. Punctuation is measured beside them: marks per
    word or mark, where words are runs of letters, digits and apostrophes. Null where there is no list of words.

    Args:
        texts: paragraphs or documents.
        languages: of each.
        recipe: its `words` section names the lists.
        prefix: of the columns: `node` or `text`.
    """
    nothing = [()] * len(texts)
    batch = TextBatch(texts, texts, texts, nothing, languages, [None] * len(texts), recipe.text.dialect, recipe)
    measured = measure_bloom(batch) if texts else pl.DataFrame(schema=dict.fromkeys(_BLOOM, pl.Float64))
    ratios = [measure_punctuation(text, _LEAST_PUNCTUATED if prefix == "node" else 0) for text in texts]
    return measured.select(
        *(pl.col(name).alias(f"{prefix}_{short}") for name, short in _BLOOM.items()),
        pl.Series(f"{prefix}_punctuation_ratio", ratios, pl.Float64),
    )


def measure_punctuation(text: str, least_pieces: int = 0) -> float:
    """Return punctuation marks per word or mark; 1 of a text with fewer than `least_pieces`, 0 of one without any.

    A mark is any character of Unicode category P but the apostrophe, which is part of words.
    """
    pieces = _compile_pieces().findall(text)
    if not pieces or len(pieces) < least_pieces:
        return 1.0 if least_pieces else 0.0
    return sum(1 for piece in pieces if not (piece[0].isalnum() or piece[0] in "_'")) / len(pieces)


def measure_documents(documents: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Return documents with their signals, as `tables.interleaved.DOCUMENT_SIGNALS` names them.

    Args:
        documents: `texts` and `images`, `matched_sim` (null in the order of the page), `language`, `language_score`.
        recipe: its `words` section names the lists.
    """
    joined = documents.select(pl.col("texts").list.drop_nulls().list.join("\n\n")).to_series().to_list()
    measured = measure_texts(joined, documents.get_column("language").to_list(), recipe, "text")
    strong = pl.col("matched_sim").list.eval((pl.element() >= STRONG_MATCH).cast(pl.Float64)).list.mean()
    counted = documents.with_columns(
        image_count=pl.col("images").list.drop_nulls().list.len().cast(pl.Float64),
        text_count=pl.col("texts").list.drop_nulls().list.len().cast(pl.Float64),
        strong_match_ratio=strong,
    )
    return pl.concat([counted, measured], how="horizontal")


def drop_nodes(nodes: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Return nodes with the first rule that each fails as `reason`, and the measured `value`.

    A rule is held against the nodes that its signal is about: paragraphs, or pictures. A value that was not measured
    passes no rule. Nodes with a reason already keep it.

    Args:
        nodes: `text` (null for a picture), `reason`, `value`, and every signal of the rules.
        rules: in order.

    Raises:
        RecipeError: a rule is about no signal of nodes.
    """
    check_node_rules(rules)
    for rule in rules:
        is_about = pl.col("text").is_null() if rule.signal in IMAGE_NODE_SIGNALS else pl.col("text").is_not_null()
        fails = is_about & pl.col("reason").is_null() & ~rule.passes()
        nodes = nodes.with_columns(
            value=pl.when(fails).then(rule.signal).otherwise("value"),
            reason=pl.when(fails).then(pl.lit(rule.name)).otherwise("reason"),
        )
    return nodes


def check_node_rules(rules: Sequence[Rule]) -> None:
    """Raise a RecipeError for a rule that is about no paragraph and no picture."""
    known = (*TEXT_NODE_SIGNALS, *IMAGE_NODE_SIGNALS)
    for rule in rules:
        if rule.signal not in known:
            raise RecipeError(
                f"interleaved.node_rules: {rule.name} limits {rule.signal!r}, which is measured of whole documents; "
                f"name it in interleaved.rules.{name_nearest(rule.signal, known)}"
            )


def split_node_rules(rules: Sequence[Rule]) -> Mapping[str, tuple[Rule, ...]]:
    """Return the rules about `texts` and those about `images`, each in order."""
    check_node_rules(rules)
    return {
        "texts": tuple(rule for rule in rules if rule.signal in TEXT_NODE_SIGNALS),
        "images": tuple(rule for rule in rules if rule.signal in IMAGE_NODE_SIGNALS),
    }


@lru_cache(maxsize=1)
def _compile_pieces() -> re.Pattern[str]:
    marks = "".join(
        re.escape(chr(code))
        for code in range(0x1FFFF)
        if unicodedata.category(chr(code))[0] == "P" and chr(code) not in "_'"
    )
    return re.compile(rf"[\w']+|[{marks}]")
