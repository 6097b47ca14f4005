"""Measures instructions: length, grounding, likeness of answer and question, and equal instructions drawn before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.filtering.instruction_equals import (
    SIGNAL,
    count_earlier_equals,
    digest_equals,
    list_words,
    read_answered,
    read_asked,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNALS = (
    "instruction_words",
    "response_words",
    "response_grounding",
    "response_instruction_similarity",
    "response_repetition",
    SIGNAL,
)


def measure_instructions(instructions: pl.DataFrame, earlier: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Return one row of signals per instruction, keyed by `instruction_id`.

    Signals:
        instruction_words: words of the instruction; the passage it comes with does not count.
        response_words: words of the response.
        response_grounding: share of the response's distinct words of four or more characters, and of its numbers, that
            stand in the evidence or the instruction; 1 if it has none, or if the row has no evidence to rest on.
        response_instruction_similarity: Jaccard similarity of the words of response and instruction; 1 repeats it.
        response_repetition: share of the response's word trigrams that repeat an earlier one.
        earlier_equal_instructions: rows with the same words in instruction, passage and images, whatever the case and
            punctuation, whose id has a smaller hash (Self-Instruct drops instructions like an earlier one; this is the
            exact form of it, and no order of rows counts). Of methods that answer an instruction several times on
            purpose, those with the same words in the answer too; rows that a mixture draws again are one.

    Args:
        instructions: columns instruction_id, instruction, response, turns, evidence, context, images, and method where
            there are several, and details. Of several turns, all questions are the instruction and all answers the
            response.
        earlier: count of equal instructions by id, where those of other shards count too
            (`instruction_equals.count_earlier_equals`); left out, those given are counted.
    """
    if earlier is None:
        earlier = count_earlier_equals(digest_equals(instructions))
    rows = []
    columns = ["instruction_id", "instruction", "response", "turns", "evidence"]
    for row in instructions.select(columns).iter_rows(named=True):
        asked, answered = list_words(read_asked(row)), list_words(read_answered(row))
        trigrams = list(zip(answered, answered[1:], answered[2:], strict=False))
        telling = {word for word in answered if len(word) >= 4 or word.isdigit()}
        known = {*asked, *list_words(row["evidence"])}
        rows.append(
            {
                "instruction_id": row["instruction_id"],
                "instruction_words": float(len(asked)),
                "response_words": float(len(answered)),
                "response_grounding": len(telling & known) / len(telling) if telling and row["evidence"] else 1.0,
                "response_instruction_similarity": _compare(set(asked), set(answered)),
                "response_repetition": 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0,
                SIGNAL: float(earlier.get(row["instruction_id"], 0)),
            }
        )
    return pl.DataFrame(rows, schema={"instruction_id": pl.String, **dict.fromkeys(SIGNALS, pl.Float64)})


def _compare(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 0.0
