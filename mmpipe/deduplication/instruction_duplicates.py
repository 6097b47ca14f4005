"""Finds instructions of a dump that repeat each other across methods: word for word, or nearly, by three measures.

Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 2.2) keeps an instruction whose ROUGE-L with all others is
below 0.7; it compares within one method's pool, while it grows. MinHash and embeddings find what ROUGE-L, which goes by
the order of words, cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from mmpipe.deduplication.rouge_pool import RougePool, tokenize
from mmpipe.deduplication.row_duplicates import INSTRUCTION_MINHASH, find_embedded_duplicates, find_row_duplicates
from mmpipe.deduplication.semantic import SemanticSettings
from mmpipe.tables.identity import make_id
from mmpipe.tables.instruction_matches import INSTRUCTION_DUPLICATES
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.row_draws import list_originals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mmpipe.deduplication.rouge_pool import Tokenizer

#: Comparison to the rule that its removals name.
RULES = {
    "exact": "self_instruct_equal_row",
    "rouge_l": "self_instruct_rouge_l",
    "minhash": "lee_instruction_jaccard",
    "embedding": "semdedup_instruction_cosine",
}


@dataclass(frozen=True, slots=True)
class InstructionDuplicateSettings:
    """What counts as a repeat; None where a comparison is not made.

    Attributes:
        exact: whether rows of the same words in question, passage, pictures and answer are one.
        rouge_l: highest ROUGE-L F1 that two instructions may have.
        tokenizer: what ROUGE-L goes by, see `rouge_pool.tokenize`.
        minhash_jaccard: Jaccard similarity of word shingles from which two instructions are one.
        cosine: cosine similarity of embeddings from which two instructions are one.
        within: `context` compares only rows about the same passage and the same pictures; `dump` compares rows about
            different passages too. Rows about different pictures are never compared.
    """

    exact: bool = True
    rouge_l: float | None = None
    tokenizer: Tokenizer = "unspaced"
    minhash_jaccard: float | None = None
    cosine: float | None = None
    within: Literal["context", "dump"] = "context"


def find_instruction_duplicates(
    rows: pl.DataFrame,
    settings: InstructionDuplicateSettings,
    *,
    embed: Callable[[Sequence[str]], NDArray] | None = None,  # type: ignore[type-arg]
    scratch: Path,
) -> pl.DataFrame:
    """Return INSTRUCTION_DUPLICATES: each row that goes, and the one that stays for it.

    As `key_instructions` and `find_keyed_duplicates` over one table.

    Args:
        rows: as `key_instructions` takes them.
        settings: what counts.
        embed: returns (texts, dimensions); needed for `cosine`.
        scratch: an empty folder for vectors.
    """
    return find_keyed_duplicates(key_instructions(rows, settings), settings, embed=embed, scratch=scratch)


def key_instructions(rows: pl.DataFrame, settings: InstructionDuplicateSettings) -> pl.DataFrame:
    """Return what of rows is compared: instruction_id, dump, instruction, original, draw, about, words, answer.

    Passages, answers and turns are digests in it, so that the keys of a whole dump hold its questions and no more.

    Args:
        rows: instruction_id, dump, instruction, context, images, response, turns if there are talks, and details if a
            mixture drew some again: draws of one row are one, and stay or go together.
        settings: what counts.
    """
    originals = list_originals(rows)
    draws = [make_id("row_duplicates", original) for original in originals]
    keyed = rows.select("instruction_id", "dump", "instruction", pl.Series("original", originals, dtype=pl.String))
    return keyed.with_columns(pl.Series("draw", draws, dtype=pl.String), *_key_rows(rows, settings))


def find_keyed_duplicates(
    keyed: pl.DataFrame,
    settings: InstructionDuplicateSettings,
    *,
    embed: Callable[[Sequence[str]], NDArray] | None = None,  # type: ignore[type-arg]
    scratch: Path,
) -> pl.DataFrame:
    """Return INSTRUCTION_DUPLICATES: each row that goes, and the one that stays for it.

    Equal rows go first. Then instructions are compared, each once: several answers to one instruction, as sampling
    methods make them, stay or go together. Of two alike the one stays whose id has the smaller hash, so that neither
    the order of rows nor their shards nor the order of methods counts.

    Args:
        keyed: rows of `key_instructions`, of all that is compared.
        settings: what counts, the same.
        embed: returns (texts, dimensions); needed for `cosine`.
        scratch: an empty folder for vectors.
    """
    if keyed.is_empty():
        return INSTRUCTION_DUPLICATES.make_empty()
    rows, keyed = keyed.select("instruction_id", "dump"), keyed.sort("draw", "instruction_id")
    found: list[tuple[str, str, str, float, float]] = []
    if settings.exact:
        first = pl.col("original").first().over("about", "words", "answer")
        twin = pl.col("instruction_id").first().over("about", "words", "answer")
        twins = keyed.with_columns(twin=twin).filter(first != pl.col("original"))
        found += [(row, twin, "exact", 1.0, 1.0) for row, twin in twins.select("instruction_id", "twin").iter_rows()]
        keyed = keyed.filter(first == pl.col("original"))
    # the first row of an instruction stands for it, and is the one of the smallest draw
    keyed = keyed.with_columns(unit=pl.col("instruction_id").first().over("about", "words"))
    units = keyed.filter(pl.col("unit") == pl.col("instruction_id")).filter(pl.col("words") != "")
    units = units.filter(pl.len().over("about") > 1)
    twins_of = _compare_units(units, settings, embed, scratch)
    members = keyed.select("instruction_id", "unit").iter_rows()
    found += [(row, *twins_of[unit]) for row, unit in members if unit in twins_of]
    return _name_kept(rows, found)


def removals_of_instruction_duplicates(duplicates: pl.DataFrame) -> pl.DataFrame:
    """Return the removals that INSTRUCTION_DUPLICATES asks for: `value_text` is the row that stays."""
    return INSTRUCTION_REMOVALS.conform(
        duplicates.select(
            "instruction_id",
            pl.col("comparison").replace_strict(RULES, return_dtype=pl.String).alias("rule"),
            pl.format("instruction_{}", "comparison").alias("signal"),
            pl.col("similarity").alias("value"),
            pl.col("kept_id").alias("value_text"),
            pl.lit(None, dtype=pl.Float64).alias("low"),
            # a cosine is compared to a millionth
            pl.min_horizontal("limit", "similarity").alias("high"),
            pl.lit(None, dtype=pl.List(pl.String)).alias("allowed"),
        ).sort("instruction_id")
    )


def _key_rows(rows: pl.DataFrame, settings: InstructionDuplicateSettings) -> list[pl.Series]:
    """Return what a row is about, the words of its instruction, and those of its answer with all turns."""
    abouts, words, answers = [], [], []
    has_turns = "turns" in rows.columns
    columns = ["instruction", "context", "images", "response", *(["turns"] if has_turns else [])]
    for row in rows.select(columns).iter_rows(named=True):
        passage = _join_words(row["context"] or "")
        about = passage if settings.within == "context" else ""
        abouts.append(make_id("about", about, *(row["images"] or [])))
        words.append(_join_words(row["instruction"]))
        said = [turn["content"] for turn in (row["turns"] if has_turns else None) or []]
        answers.append(make_id(passage, *(_join_words(text) for text in (row["response"], *said))))
    return [
        pl.Series("about", abouts, dtype=pl.String),
        pl.Series("words", words, dtype=pl.String),
        pl.Series("answer", answers, dtype=pl.String),
    ]


def _join_words(text: str) -> str:
    return " ".join(tokenize(text, "unspaced"))


def _compare_units(
    units: pl.DataFrame,
    settings: InstructionDuplicateSettings,
    embed: Callable[[Sequence[str]], NDArray] | None,  # type: ignore[type-arg]
    scratch: Path,
) -> dict[str, tuple[str, str, float, float]]:
    """Return twin, comparison, similarity and limit by the id of an instruction that goes."""
    found: dict[str, tuple[str, str, float, float]] = {}
    for number, group in enumerate(units.partition_by("about", maintain_order=True)):
        rows = group.select(id="instruction_id", text="instruction")
        if settings.rouge_l is not None:
            pool = RougePool(settings.rouge_l, tokenizer=settings.tokenizer)
            ids = rows.get_column("id").to_list()
            near = zip(ids, pool.add_all(rows.get_column("text").to_list(), ids), strict=True)
            alike = {
                row: (other.name, "rouge_l", other.score, settings.rouge_l) for row, other in near if other is not None
            }
            found |= alike
            rows = rows.filter(~pl.col("id").is_in(list(alike)))
        if settings.minhash_jaccard is not None and rows.height > 1:
            minhash = replace(INSTRUCTION_MINHASH, verify_jaccard=settings.minhash_jaccard)
            pairs = find_row_duplicates(rows, minhash)
            found |= _read_pairs(pairs, settings.minhash_jaccard)
            rows = rows.filter(~pl.col("id").is_in(pairs.get_column("id").implode()))
        if settings.cosine is not None and rows.height > 1:
            assert embed is not None
            # one cluster: of k-means, what falls into two is never compared
            near_by = SemanticSettings(epsilon=1 - settings.cosine, clusters=1 if rows.height < 1000 else None)
            place = scratch / str(number)
            place.mkdir(parents=True)
            vectors = embed(rows.get_column("text").to_list())
            pairs = find_embedded_duplicates(rows.select("id"), vectors, near_by, scratch=place)
            found |= _read_pairs(pairs, settings.cosine)
    return found


def _read_pairs(pairs: pl.DataFrame, limit: float) -> dict[str, tuple[str, str, float, float]]:
    return {row: (kept, method, value, limit) for row, kept, method, value in pairs.iter_rows()}


def _name_kept(rows: pl.DataFrame, found: list[tuple[str, str, str, float, float]]) -> pl.DataFrame:
    """Return the rows that go, each with the row at the end of its twins, which stays."""
    twins = {row: twin for row, twin, *_ in found}

    def follow(row: str) -> str:
        while row in twins:
            row = twins[row]
        return row

    made = [(row, follow(row), *rest) for row, *rest in found]
    names = ["instruction_id", "kept_id", "twin_id", "comparison", "similarity", "limit"]
    frame = pl.DataFrame(
        made,
        schema={name: INSTRUCTION_DUPLICATES.schema[name] for name in names},
        orient="row",
    )
    joined = frame.join(rows, on="instruction_id", how="left")
    return INSTRUCTION_DUPLICATES.conform(joined.select(INSTRUCTION_DUPLICATES.column_names).sort("instruction_id"))
