"""Exports for review: which kept instructions people look at, and which a model's votes decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.instruction_candidates import scan_kept
from mmpipe.lanes.instruction_reviews import ALLOCATION, read_review_file, write_review_file
from mmpipe.lanes.review_items import FORM, QUESTION, describe_items, digest_texts
from mmpipe.lanes.review_pictures import draw_pictures
from mmpipe.synthesis.label_prompts import LabelTask
from mmpipe.synthesis.label_votes import ALLOCATION_SCHEMA, allocate, collect_votes
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake
    from mmpipe.synthesis.drafts import Spent
    from mmpipe.tables.chat import Teacher

TASK = LabelTask(QUESTION, FORM.labels)


@dataclass(frozen=True, slots=True)
class ReviewPlan:
    """What goes to people, and what the model decided.

    Attributes:
        items: what people see, as `release.review_exports` takes it.
        allocation: `ALLOCATION_SCHEMA`: who labels each row.
        spent: what the model's votes cost; None where no model was asked.
        unparsed: the model's votes that name no label.
        pictures: the most pictures that an item has.
        unseen: items with a picture that cannot be had any more.
    """

    items: pl.DataFrame
    allocation: pl.DataFrame
    spent: Spent | None
    unparsed: int = 0
    pictures: int = 0
    unseen: int = 0


def plan_review(
    lake: Lake,
    dump: str,
    *,
    teacher: Teacher | None,
    budget: int | None,
    most: int | None = None,
    cache_folder: str | None = None,
    seed: int = 0,
) -> ReviewPlan:
    """Return which kept instructions people look at, and keep the split beside the datasets for the merge.

    Args:
        lake: where the datasets are.
        dump: its name.
        teacher: who votes nine times on each row (CoAnnotating, Li et al. 2023, section 3); None for people alone.
        budget: rows that people look at: those on which the votes differ most; None for all.
        most: rows that are looked at at all, chosen by a hash of their ids; None for all.
        cache_folder: of fetched pictures; None to show no pictures.
        seed: of the requests and of the order of equals.

    Raises:
        DatasetNotReady: the dump's instructions or their removals are not made.
        ConfigurationError: nothing is left to look at, or a budget without a teacher.
    """
    if budget is not None and teacher is None:
        raise ConfigurationError("A budget splits rows between people and a model: name a teacher that votes.")
    instructions, removals = lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump), lake.dataset(INSTRUCTION_REMOVALS, dump)
    kept = scan_kept(instructions, removals)
    ids = kept.select("instruction_id").collect().get_column("instruction_id").to_list()
    chosen = sorted(ids, key=lambda row_id: make_id("review", seed, row_id))[:most]
    rows = kept.filter(pl.col("instruction_id").is_in(chosen)).collect().sort("instruction_id")
    if rows.is_empty():
        raise ConfigurationError(f"{instructions.label}: no instruction is kept, so there is nothing to review.")
    items = describe_items(rows)
    spent = None
    if teacher is None or budget is None:
        allocation = _give_all_to_people(items)
    else:
        votes = collect_votes(write_texts(items, rows), TASK, teacher, seed=seed)
        allocation, spent = (
            allocate(votes.frame, budget, seed=seed).with_columns(teacher=pl.lit(teacher.name)),
            votes.spent,
        )
    shown = items.join(allocation.filter(pl.col("annotator") == "people"), on="item_id").sort("item_id")
    agent = teacher.name if teacher is not None else None
    # one minus the entropy of two labels in bits, and `unparsed` makes three
    sure = (1 - pl.col("entropy")).clip(0, 1)
    suggested = shown.select(
        "item_id", "prompt", "response", "dump", "method", "images",
        suggestion=pl.col("model_label"), score=sure, agent=pl.lit(agent, dtype=pl.String),
    )  # fmt: skip
    texts_seen = digest_texts(items)
    allocation = allocation.with_columns(
        shown=pl.col("item_id").replace_strict(texts_seen, return_dtype=pl.String, default=None)
    )
    write_review_file(lake, dump, ALLOCATION, _add_earlier(allocation, read_review_file(lake, dump, ALLOCATION)))
    most_pictures = unseen = 0
    if cache_folder is not None:
        asked = rows.filter(pl.col("instruction_id").is_in(suggested.get_column("item_id").to_list()))
        drawn = draw_pictures(asked, lake, dump, cache_folder)
        suggested = suggested.join(drawn, on="item_id", how="left", maintain_order="left")
        counted = drawn.get_column("pictures").list.len()
        most_pictures = max(counted.to_list(), default=0)
        unseen = sum((counted < asked.get_column("images").list.len()).to_list())
    unparsed = sum(allocation.get_column("unparsed").to_list()) if spent is not None else 0
    return ReviewPlan(suggested, allocation, spent, unparsed, most_pictures, unseen)


def write_texts(items: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return item_id and text, what a model votes on: a picture, which people see, it is told of in words.

    Args:
        items: as `describe_items` returns them for `rows`.
        rows: instructions.
    """
    is_told = (pl.col("images").list.len() > 0) & (pl.col("evidence") != "")
    told = pl.when(is_told).then(pl.format("\n\nWhat the picture shows: {}", "evidence")).otherwise(pl.lit(""))
    known = items.join(
        rows.select(item_id="instruction_id", told=told), on="item_id", how="left", maintain_order="left"
    )
    return known.select("item_id", text=pl.format("{}{}\n\nAnswer: {}", "prompt", "told", "response"))


def _add_earlier(allocation: pl.DataFrame, before: pl.DataFrame | None) -> pl.DataFrame:
    """Return a split with the rows of earlier exports, whose answers may still come: of those, people's words alone."""
    if before is None:
        return allocation
    earlier = before.join(allocation.select("item_id"), on="item_id", how="anti")
    return pl.concat([allocation, earlier.with_columns(annotator=pl.lit("people"))], how="diagonal")


def _give_all_to_people(items: pl.DataFrame) -> pl.DataFrame:
    empty = {name: pl.lit(None, dtype=kind) for name, kind in ALLOCATION_SCHEMA.items() if name != "item_id"}
    counted = {"votes": pl.lit(0, dtype=pl.Int64), "unparsed": pl.lit(0, dtype=pl.Int64)}
    ranked = {"rank": pl.int_range(pl.len(), dtype=pl.Int64), "annotator": pl.lit("people")}
    teacher = pl.lit(None, dtype=pl.String)
    return items.select("item_id", **(empty | counted | ranked), teacher=teacher)
