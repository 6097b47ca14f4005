"""Merges files of people's answers into verdicts: all that was ever said of a dump's rows, counted together.

A row's verdict is the label that most people gave it; of several equally frequent ones none is taken: the row stays. A
better response is the text that most people wrote; of several equally frequent ones none is taken.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.instruction_reviews import (
    ALLOCATION,
    VERDICTS,
    VERDICTS_SCHEMA,
    read_review_file,
    read_verdicts,
    write_review_file,
)
from mmpipe.lanes.review_answers import accumulate, read_kept_answers, write_kept_answers
from mmpipe.lanes.review_items import VERDICT_OF
from mmpipe.synthesis.label_votes import ALLOCATION_SCHEMA, find_majority, merge_labels
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mmpipe.lanes.review_answers import Accumulated, AnswerFile
    from mmpipe.storage.lake import Lake
    from mmpipe.synthesis.label_votes import Merged


@dataclass(frozen=True, slots=True)
class ReviewRound:
    """What came of files of answers.

    Attributes:
        merged: labels of all rows of the split, with agreement, over all that people said so far.
        verdicts: `VERDICTS_SCHEMA`, as kept.
        added: what the files added to what was known.
        conflicts: rows with several better responses, none of them more frequent than the others; none is taken.
        outlived: answers about texts that were made anew since; they do not count.
    """

    merged: Merged
    verdicts: pl.DataFrame
    added: Accumulated
    conflicts: tuple[str, ...]
    outlived: int


def merge_answers(lake: Lake, dump: str, files: Sequence[AnswerFile], now: datetime | None = None) -> ReviewRound:
    """Return the verdicts of all people's answers and the model's votes, and keep them for `instruction_reviews`.

    The model's votes never take the place of people's verdict. What a model decided in an export that another followed
    stays, if it was merged before.

    Args:
        lake: where the datasets are.
        dump: its name.
        files: of answers; none for what the model decided.
        now: time of the merge; None for the clock's.

    Raises:
        ConfigurationError: nothing of this dump was exported, or a file has an answer about a row that never was, or
            contradicts itself or another; nothing is kept of any.
        DatasetNotReady: another merge goes on.
    """
    allocation = read_review_file(lake, dump, ALLOCATION)
    if allocation is None:
        raise ConfigurationError(f"No row of {dump} was exported for review. Begin with `mmpipe review export {dump}`.")
    # two merges at once would each forget what the other brought
    with lake.dataset(INSTRUCTION_REVIEWS, dump).lock():
        if "shown" not in allocation.columns:
            allocation = allocation.with_columns(shown=pl.lit(None, dtype=pl.String))
        told = [_fit_to_export(file, allocation, dump) for file in files]
        added = accumulate(*read_kept_answers(lake, dump), told, now)
        texts = allocation.select("item_id", "shown")
        about = added.answers.join(texts, on=["item_id", "shown"], how="semi", nulls_equal=True)
        merged = merge_labels(allocation.select(ALLOCATION_SCHEMA.names()), about)
        verdicts, conflicts = _decide(dump, allocation, merged, about)
        before = read_verdicts(lake, dump)
        if before is not None:
            verdicts = pl.concat([verdicts, _list_earlier(before, verdicts, added.answers)])
        verdicts = verdicts.sort("instruction_id")
        write_kept_answers(lake, dump, added)
        write_review_file(lake, dump, VERDICTS, verdicts)
    return ReviewRound(merged, verdicts, added, conflicts, added.answers.height - about.height)


def _fit_to_export(file: AnswerFile, allocation: pl.DataFrame, dump: str) -> AnswerFile:
    """Return a file whose answers all name the texts they are about; those that do not mean what was exported last."""
    unknown = file.answers.join(allocation, on="item_id", how="anti").get_column("item_id").unique().sort().to_list()
    if unknown:
        raise ConfigurationError(
            f"{file.name}: item {unknown[0]} was never exported from {dump}, nor were {len(unknown) - 1} others of the "
            f"file. Merge what the tool made of a file of `mmpipe review export {dump}`, or name its dump with --dump."
        )
    exported = allocation.select("item_id", exported="shown")
    answers = file.answers.join(exported, on="item_id", how="left", maintain_order="left")
    return type(file)(file.name, file.digest, answers.with_columns(shown=pl.coalesce("shown", "exported")))


def _decide(
    dump: str, allocation: pl.DataFrame, merged: Merged, answers: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return verdicts on the rows that anybody labelled, and rows whose better responses contradict each other."""
    people: dict[str, list[tuple[str, str]]] = {}
    written: dict[str, list[tuple[str, str]]] = {}
    for row in answers.sort("item_id", "annotator").iter_rows(named=True):
        if row["label"] is not None:
            people.setdefault(row["item_id"], []).append((row["annotator"], row["label"]))
        if row["correction"] is not None:
            written.setdefault(row["item_id"], []).append((row["annotator"], row["correction"]))
    voters = {
        item: (teacher, shown) for item, teacher, shown in allocation.select("item_id", "teacher", "shown").rows()
    }
    conflicts = []
    made: list[dict[str, Any]] = []
    for row in merged.frame.rows(named=True):
        item = row["item_id"]
        if row["labelled_by"] == "nobody" and not row["people_labels"]:
            continue
        voter, shown = voters[item]
        said = people.get(item) or [(voter, row["model_label"])]
        verdict = VERDICT_OF.get(row["label"] or "")
        texts = written.get(item, []) if verdict != "remove" else []
        text = find_majority(Counter(text for _, text in texts))
        if texts and text is None:
            conflicts.append(item)
        made.append(
            {
                "instruction_id": item, "dump": dump, "verdict": verdict, "labelled_by": row["labelled_by"],
                "annotators": [person for person, _ in said], "labels": [label for _, label in said],
                "people_labels": row["people_labels"], "model_label": row["model_label"], "entropy": row["entropy"],
                "corrections": len({text for _, text in texts}), "corrected_response": text,
                "corrected_by": next((person for person, other in texts if other == text), None), "shown": shown,
            }
        )  # fmt: skip
    return pl.DataFrame(made, schema=VERDICTS_SCHEMA), tuple(sorted(conflicts))


def _list_earlier(before: pl.DataFrame, verdicts: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Return verdicts that stay though nothing says them now: a model's in an export that another followed."""
    is_by_people = pl.col("people_labels") > 0
    kept = before.join(verdicts.select("instruction_id"), on="instruction_id", how="anti")
    spoken = answers.select(instruction_id="item_id")
    taken_back = kept.filter(is_by_people).join(spoken, on="instruction_id", how="semi").select("instruction_id")
    return kept.join(taken_back, on="instruction_id", how="anti").select(verdicts.columns)
