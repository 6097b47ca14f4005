"""Renders preference pairs for DPO, reward modelling and their kin: explicit prompt, conversational."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.release.conversations import (
    IMAGE_PLACEHOLDER,
    find_conversation_fault,
    index_image_files,
    render_turns,
    take_images,
)
from mmpipe.tables.instructions import PREFERENCE_DATASET

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Columns of a pair that the released row keeps as they are.
_KEPT = ("group_id", "method", "iteration", "policy", "license", "source_urls", "dump", "parents")

_SIDES = ("chosen", "rejected")


def render_preferences(
    pairs: pl.DataFrame, instructions: pl.DataFrame, image_files: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return one row of `preference_dataset` per pair, in order.

    Args:
        pairs: preference_pairs. One without an instruction has its prompt as text.
        instructions: the kept instructions they answer: instruction_id, dump, instruction, context, turns, images.
        image_files: the files of all images named, columns `conversations.IMAGE_FILES`.

    Raises:
        InvariantBroken: a pair without its instruction or image file, equal or empty answers, or scores that do not
            prefer the chosen one.
    """
    files = index_image_files(image_files)
    asked = {row["instruction_id"]: row for row in instructions.rows(named=True)}
    rows = []
    for pair in pairs.rows(named=True):
        prompt, pair_ids = _render_question(pair, asked)
        images = take_images(pair["pair_id"], pair_ids, files)
        chosen, rejected = (_render_answer(pair[side]) for side in _SIDES)
        fault = _find_fault(pair, prompt, len(images))
        if fault is not None:
            raise InvariantBroken(f"preference_dataset: pair {pair['pair_id']} {fault}.")
        rows.append(
            {
                "id": pair["pair_id"],
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "images": images,
                "score_chosen": pair["score_chosen"],
                "score_rejected": pair["score_rejected"],
                "criterion": pair["criterion"],
                **{name: pair[name] for name in _KEPT},
            }
        )
    return PREFERENCE_DATASET.conform(pl.DataFrame(rows, schema=PREFERENCE_DATASET.schema))


def find_faulty_pairs(pairs: pl.DataFrame, instructions: pl.DataFrame) -> dict[str, str]:
    """Return what is wrong with the pairs that prefer nothing, or whose answers no trainer accepts, by pair_id.

    Args:
        pairs: preference_pairs.
        instructions: the kept instructions they answer.
    """
    asked = {row["instruction_id"]: row for row in instructions.iter_rows(named=True)}
    faults = {}
    for pair in pairs.iter_rows(named=True):
        prompt, pair_ids = _render_question(pair, asked)
        faults[pair["pair_id"]] = _find_fault(pair, prompt, len(pair_ids))
    return {name: fault for name, fault in faults.items() if fault is not None}


def _find_fault(pair: Mapping[str, Any], prompt: list[dict[str, str]], image_count: int) -> str | None:
    for side in _SIDES:
        fault = find_conversation_fault([*prompt, *_render_answer(pair[side])], image_count)
        if fault is not None:
            return f"with its {side} answer {fault}"
    if pair["chosen"].split() == pair["rejected"].split():
        return "prefers nothing: both answers are the same but for white space"
    if not pair["score_chosen"] > pair["score_rejected"]:
        return f"prefers nothing: its scores are {pair['score_chosen']:g} and {pair['score_rejected']:g}"
    return None


def _render_answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text.strip()}]


def _render_question(
    pair: Mapping[str, Any], asked: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the turns of a pair's prompt and the pictures it is about."""
    if pair["instruction_id"] is None:
        # a file has no pictures: a placeholder in its words would claim one
        return [{"role": "user", "content": pair["prompt"].replace(IMAGE_PLACEHOLDER, "image")}], []
    instruction = asked.get(pair["instruction_id"])
    if instruction is None:
        raise InvariantBroken(f"preference_dataset: pair {pair['pair_id']} answers an instruction that is not kept.")
    return render_turns(instruction), instruction["images"]
