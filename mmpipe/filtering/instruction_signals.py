"""Measures instructions: length, grounding, likeness of answer and question, and equal instructions drawn before it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping

# a run of letters or digits; scripts written without spaces give one word per character
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|(?:(?![\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f])\w)+")

#: Methods that keep several answers to one instruction on purpose: ReST-EM ten of a problem, TinyGSM as many as wanted.
_SEVERAL_ANSWERS = frozenset({"rest", "tiny_gsm"})

SIGNALS = (
    "instruction_words",
    "response_words",
    "response_grounding",
    "response_instruction_similarity",
    "response_repetition",
    "earlier_equal_instructions",
)


def measure_instructions(instructions: pl.DataFrame) -> pl.DataFrame:
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
            purpose, those with the same words in the answer too.

    Args:
        instructions: columns instruction_id, instruction, response, turns, evidence, context, images, and method where
            there are several. Of several turns, all questions are the instruction and all answers the response.
    """
    equal: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    rows = []
    columns = ["instruction_id", "instruction", "response", "turns", "evidence", "context", "images"]
    further = [name for name in ("method",) if name in instructions.columns]
    for place, row in enumerate(instructions.select(*columns, *further).iter_rows(named=True)):
        asked, answered = (_list_words(text) for text in _read_sides(row))
        same: tuple[Any, ...] = (tuple(asked), tuple(_list_words(row["context"] or "")), tuple(row["images"]))
        if row.get("method") in _SEVERAL_ANSWERS:
            same = (*same, tuple(answered))
        trigrams = list(zip(answered, answered[1:], answered[2:], strict=False))
        telling = {word for word in answered if len(word) >= 4 or word.isdigit()}
        known = {*asked, *_list_words(row["evidence"])}
        rows.append(
            {
                "instruction_id": row["instruction_id"],
                "instruction_words": float(len(asked)),
                "response_words": float(len(answered)),
                "response_grounding": len(telling & known) / len(telling) if telling and row["evidence"] else 1.0,
                "response_instruction_similarity": _compare(set(asked), set(answered)),
                "response_repetition": 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0,
                "earlier_equal_instructions": 0.0,
            }
        )
        equal[same].append(place)
    for places in equal.values():
        if len(places) > 1:
            # the draw of `deduplication.instruction_duplicates`, so that both keep the same one of two
            places.sort(key=lambda place: make_id("row_duplicates", rows[place]["instruction_id"]))
            for before, place in enumerate(places):
                rows[place]["earlier_equal_instructions"] = float(before)
    return pl.DataFrame(rows, schema={"instruction_id": pl.String, **dict.fromkeys(SIGNALS, pl.Float64)})


def _read_sides(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is asked and what is answered, in all turns."""
    if not row["turns"]:
        return row["instruction"], row["response"]
    sides: dict[str, list[str]] = {"user": [], "assistant": []}
    for turn in row["turns"]:
        sides[turn["role"]].append(turn["content"])
    return "\n".join(sides["user"]), "\n".join(sides["assistant"])


def _list_words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _compare(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 0.0
