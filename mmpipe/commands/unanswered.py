"""Says why a kept instruction has no sampled response, as far as the recipe of the responses and their rows tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.tables.instructions import RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake


def say_why_unanswered(lake: Lake, dump: str, instruction_id: str) -> str | None:
    """Return why an instruction that is kept was not answered; None where it was, or nothing tells.

    Args:
        lake: where the datasets are.
        dump: of the instruction.
        instruction_id: of a row of SYNTHESIZED_INSTRUCTIONS that nothing removed.
    """
    import yaml

    responses = lake.dataset(RESPONSES, dump)
    instructions, removals = lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump), lake.dataset(INSTRUCTION_REMOVALS, dump)
    if any(dataset.find_manifest() is None for dataset in (responses, instructions, removals)):
        return None
    answered = responses.scan().select("instruction_id").unique().collect().get_column("instruction_id")
    if instruction_id in set(answered):
        return None
    own = instructions.scan().filter(pl.col("instruction_id") == instruction_id).select("tools").collect()
    if own.height and own.item(0, "tools") is not None:
        return "not answered: the request of a response would show no tools"
    if answered.is_empty():
        return "0 responses: nobody was asked, as where no method of `preferences` reads them"
    stored = responses.folder.join("recipe.yaml")
    recipe = (yaml.safe_load(stored.read_text()) if stored.is_file() else None) or {}
    most = (recipe.get("instructions") or {}).get("answered_per_dump")
    if most is None or len(answered) < int(most):
        return None
    removed = removals.scan().select("instruction_id").unique()
    askable = instructions.scan().filter(pl.col("tools").is_null()).select("instruction_id")
    kept = askable.join(removed, on="instruction_id", how="anti").select(pl.len()).collect().item()
    return f"not among the {most} of {kept} kept rows that are answered (answered_per_dump, drawn by hash of the id)"
