"""Renders instructions as conversations for supervised fine-tuning, and holds conversations to what trainers accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.tables.instructions import SFT_DATASET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Stands for one image, as LLaVA, LLaMA-Factory and TRL's string content write it.
IMAGE_PLACEHOLDER = "<image>"

#: Columns of the frame of image files: `pair_id`, `bytes` and `path`, the file's relative name.
IMAGE_FILES = pl.Schema({"pair_id": pl.String, "bytes": pl.Binary, "path": pl.String})


def render_prompt(instruction: str, context: str | None, image_count: int) -> list[dict[str, str]]:
    """Return the turns before the answer: one user turn of placeholders, passage (if any) and instruction."""
    # a placeholder in the crawl's own words would claim an image that is not there
    parts = [part.replace(IMAGE_PLACEHOLDER, "image") for part in (context, instruction) if part]
    return [{"role": "user", "content": f"{IMAGE_PLACEHOLDER}\n" * image_count + "\n\n".join(parts)}]


def render_turns(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the turns of an instruction but its last answer; pictures and passage stand before the first question.

    Args:
        row: instruction, context, images and turns (null where instruction and response are all) of
            synthesized_instructions.
    """
    turns = row.get("turns")
    first, *rest = turns[:-1] if turns else [{"role": "user", "content": row["instruction"]}]
    told = [
        {"role": turn["role"], "content": turn["content"].replace(IMAGE_PLACEHOLDER, "image").strip()} for turn in rest
    ]
    return [*render_prompt(first["content"], row["context"], len(row["images"])), *told]


def render_conversations(instructions: pl.DataFrame, image_files: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return one conversation per instruction, in order: the rows of `sft_dataset`.

    Args:
        instructions: kept rows of synthesized_instructions.
        image_files: the files of all images named, columns `IMAGE_FILES`; not needed where no instruction has any.

    Raises:
        InvariantBroken: an image has no file, or a conversation is not what a trainer accepts.
    """
    files = index_image_files(image_files)
    rows = []
    for row in instructions.rows(named=True):
        messages = _render_messages(row)
        images = take_images(row["instruction_id"], row["images"], files)
        fault = find_conversation_fault(messages, len(images))
        if fault is not None:
            raise InvariantBroken(f"sft_dataset: conversation {row['instruction_id']} {fault}.")
        if images and row["tools"] is not None:
            # each kind of row has files of its own, and no method makes both
            raise InvariantBroken(f"sft_dataset: conversation {row['instruction_id']} has both tools and pictures.")
        rows.append(
            {
                "id": row["instruction_id"],
                "messages": messages,
                "images": images,
                "dump": row["dump"],
                "method": row["method"],
                "tools": row["tools"],
                "tool_calls": row["tool_calls"],
                "parents": row["parents"],
            }
        )
    return SFT_DATASET.conform(pl.DataFrame(rows, schema=SFT_DATASET.schema))


def find_faulty_conversations(instructions: pl.DataFrame) -> dict[str, str]:
    """Return what is wrong with the conversations that no trainer accepts, by instruction_id; few rows, mostly none.

    A teacher may write `<image>` in an answer about markup, or a person a better answer of white space alone.

    Args:
        instructions: rows of synthesized_instructions, corrected.
    """
    faults = {
        row["instruction_id"]: find_conversation_fault(_render_messages(row), len(row["images"]))
        for row in instructions.iter_rows(named=True)
    }
    return {name: fault for name, fault in faults.items() if fault is not None}


def _render_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [*render_turns(row), {"role": "assistant", "content": row["response"].strip()}]


def index_image_files(image_files: pl.DataFrame | None) -> dict[str, dict[str, Any]]:
    """Return image structs (`bytes`, `path`) by pair_id."""
    if image_files is None:
        return {}
    rows = image_files.select("pair_id", "bytes", "path").iter_rows(named=True)
    return {row["pair_id"]: {"bytes": row["bytes"], "path": row["path"]} for row in rows}


def take_images(row_id: str, pair_ids: Sequence[str], files: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the image structs of `pair_ids`, in order.

    Raises:
        InvariantBroken: one has no file.
    """
    missing = [pair_id for pair_id in pair_ids if pair_id not in files]
    if missing:
        raise InvariantBroken(f"{row_id}: no image file for pair {missing[0]}; read the bytes of every pair named.")
    return [files[pair_id] for pair_id in pair_ids]


def find_conversation_fault(messages: Sequence[Mapping[str, str]], image_count: int) -> str | None:
    """Return why trainers would refuse or silently drop a conversation, or None.

    TRL raises where placeholders and images differ in number; LLaMA-Factory drops a conversation whose roles do not
    alternate with a warning only.
    """
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    if not turns or any(turn["role"] != ("user", "assistant")[place % 2] for place, turn in enumerate(turns)):
        return "does not alternate between user and assistant, beginning with the user"
    if turns[-1]["role"] != "assistant":
        return "does not end with the assistant"
    if any(not turn["content"].strip() for turn in turns):
        return "has an empty turn"
    return _find_placeholder_fault(turns, image_count)


def _find_placeholder_fault(turns: Sequence[Mapping[str, str]], image_count: int) -> str | None:
    if any(IMAGE_PLACEHOLDER in turn["content"] for turn in turns if turn["role"] == "assistant"):
        return f"has {IMAGE_PLACEHOLDER} in an answer, which trainers take for a picture"
    placeholders = sum(turn["content"].count(IMAGE_PLACEHOLDER) for turn in turns)
    if placeholders != image_count:
        return f"has {placeholders} image placeholders and {image_count} images"
    if any(IMAGE_PLACEHOLDER in turn["content"] for turn in turns[1:]):
        return "has an image placeholder after the first turn"
    return None
