"""Splits the released rows of all dumps into training and validation; sft and preference rows by one draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.tables.identity import make_id
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.lanes.stage import StageRun

TRAIN, VALIDATION = "train", "validation"

#: Few rows that all others are made from: they would tie everything into one group.
_SEEDS = frozenset(("seed_tasks",))
#: Methods, as rows name them, whose first parent is what a row is about; the others are shown beside it (distractors,
#: examples) and tie nothing: with three distractors a row, all documents of a dump would be one group.
_ABOUT_THE_FIRST = ("raft", "flan_rows", "code_translation")
#: The method whose parents are demonstrations alone, grown tasks among them; instances of one task share its words.
_OF_EXAMPLES = "self_instruct"
#: The method whose templates ask the same of many rows ("Write a negative review."): its prompts tie nothing.
_OF_TEMPLATES = "flan_rows"


def split_rows(run: StageRun, dumps: Sequence[str]) -> pl.DataFrame | None:
    """Return `id` and `split` of every published row of the stage's table; None where the recipe asks for no split.

    The draw is one of instructions, kept or not: a conversation and the preferences of its instruction fall on the
    same side, and a moved limit moves no row to the other side. Pairs of a file go with the instructions of their
    prompt.

    Raises:
        InvariantBroken: rows that share a parent, a picture or an instruction fell on both sides; one key is named.
    """
    settings = run.recipe.release
    if not settings.validation_share:
        return None
    from mmpipe.release.splits import assign_splits, list_group_keys

    fractions = {TRAIN: 1 - settings.validation_share, VALIDATION: settings.validation_share}
    keys = list_instruction_keys(run, dumps)
    rows = _read_rows(run)
    asked = "group_id" if "group_id" in rows.columns else "id"
    if asked == "group_id":
        keys = pl.concat([keys, _list_file_keys(run, keys)])
    drawn = assign_splits(keys, fractions, settings.seed)
    found = rows.select("id", instruction=asked).join(
        drawn.select("split", instruction="id"), on="instruction", how="left", maintain_order="left"
    )
    splits = found.select("id", "split")
    require_whole_groups(run.stage.table.name, splits, list_group_keys(rows, _list_parent_tables(rows)))
    return splits


def require_whole_groups(name: str, splits: pl.DataFrame, keys: pl.DataFrame) -> None:
    """Raise InvariantBroken where rows with a key in common stand on both sides, or a row on none.

    Args:
        name: of the dataset.
        splits: `id` and `split`.
        keys: `id` and `group_keys`, of the rows that are published.
    """
    from mmpipe.release.splits import find_straddling

    lost = splits.filter(pl.col("split").is_null())
    if lost.height:
        raise InvariantBroken(f"{name}: row {lost.item(0, 'id')} is in no split; its instruction is not published.")
    straddling = find_straddling(splits, keys)
    if straddling.height:
        raise InvariantBroken(
            f"{name}: rows that share {straddling.item(0, 'group_key')!r} stand on both sides of the split."
        )


def list_instruction_keys(run: StageRun, dumps: Sequence[str]) -> pl.DataFrame:
    """Return `id` and `group_keys` of all instructions of the dumps.

    Parents, pictures by content and the instruction itself; of those without pictures the prompt too.
    """
    from mmpipe.release.splits import list_group_keys

    frames = []
    for dump in dumps:
        asked = run.lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump).scan()
        same_task = pl.when(method=_OF_EXAMPLES).then("instruction")
        # the same is asked of many pictures, and of many rows by a template
        is_told = (pl.col("images").list.len() == 0) & (pl.col("method") != _OF_TEMPLATES)
        prompt = pl.when(is_told).then(pl.concat_str("context", "instruction", separator="\n\n", ignore_nulls=True))
        names = {"task": same_task, "prompt": prompt, "id": pl.col("instruction_id")}
        frame = asked.select(_what_ties(), "images", **names).collect()
        frame = frame.with_columns(_name_prompts(frame.get_column("prompt")))
        # of a dump's pairs, few have an instruction
        named = frame.lazy().select(pair_id=pl.col("images").explode()).drop_nulls().unique()
        pairs = run.lake.dataset(FILTERED_IMAGE_PAIRS, dump).scan().select("pair_id", "image_sha256")
        contents = dict(pairs.join(named, on="pair_id", how="semi").collect(engine="streaming").iter_rows())
        images = [[contents.get(pair, pair) for pair in row or ()] for row in frame.get_column("images").to_list()]
        frames.append(frame.with_columns(images=pl.Series(images, dtype=pl.List(pl.String))))
    rows = pl.concat(frames)
    # what an instruction was made from another instruction by ties it to that one, not to its siblings alone
    own = pl.concat_list(pl.format("parent:synthesized_instructions:{}", "id"))
    keys = list_group_keys(rows, _list_parent_tables(rows))
    task = pl.concat_list(pl.format("task:{}", rows.get_column("task"))).list.drop_nulls()
    prompts = pl.concat_list(rows.get_column("prompt")).list.drop_nulls()
    keys = keys.with_columns(group_keys=pl.concat_list("group_keys", own, task, prompts))
    # a method that reads a file and no dump writes the same rows, by the same ids, for every dump
    return keys.group_by("id", maintain_order=True).agg(pl.col("group_keys").explode())


def _list_file_keys(run: StageRun, known: pl.DataFrame) -> pl.DataFrame:
    """Return `id` and `group_keys` of the comparison sets whose prompt is of a file: the prompt, and nothing else.

    With two keys they could tie groups of instructions that are apart where conversations are drawn.
    """
    asked = pl.col("prompt").list.first().struct.field("content").alias("prompt")
    pairs = run.read(run.stage.table).scan().select(asked, id="group_id")
    own = pairs.join(known.lazy().select("id"), on="id", how="anti").unique().collect(engine="streaming")
    # a file may give pairs of several prompts one group
    least = own.with_columns(_name_prompts(own.get_column("prompt"))).group_by("id").agg(pl.col("prompt").min())
    return least.sort("id").select("id", group_keys=pl.concat_list("prompt"))


def _name_prompts(prompts: pl.Series) -> pl.Series:
    """Return the key of each prompt: its words as they are released, whatever the white space; null stays null."""
    from mmpipe.release.conversations import IMAGE_PLACEHOLDER

    words = (None if text is None else text.replace(IMAGE_PLACEHOLDER, "image").split() for text in prompts)
    keys = [None if said is None else f"prompt:{make_id(*said)}" for said in words]
    return pl.Series(prompts.name, keys, dtype=pl.String)


def _read_rows(run: StageRun) -> pl.DataFrame:
    """Return what ties the published rows: id, group_id, parents, paths of pictures; no bytes are held."""
    dataset = run.read(run.stage.table)
    names = [name for name in ("id", "group_id") if name in run.stage.table.schema]
    images = pl.col("images").list.eval(pl.element().struct.field("path"))
    return dataset.scan().select(*names, _what_ties(), images).collect(engine="streaming")


def _what_ties() -> pl.Expr:
    """Return the parents of a row but for those that are only shown beside what it is about."""
    parents = pl.col("parents")
    ties = pl.when(pl.col("method").is_in(_ABOUT_THE_FIRST)).then(parents.list.head(1))
    return ties.when(method=_OF_EXAMPLES).then(parents.list.head(0)).otherwise(parents).alias("parents")


def _list_parent_tables(rows: pl.DataFrame) -> list[str]:
    tables = rows.get_column("parents").explode().struct.field("table").drop_nulls().unique()
    return sorted(set(tables) - _SEEDS)
