"""`mmpipe review`: writes kept instructions for people to look at, and takes their verdicts back into the line."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.lanes.review_answers import AnswerFile
from mmpipe.lanes.review_items import FORM
from mmpipe.lanes.review_rounds import plan_review
from mmpipe.lanes.review_verdicts import merge_answers
from mmpipe.release.review_exports import (
    render_argilla_records,
    render_argilla_settings,
    render_label_studio_config,
    render_label_studio_tasks,
)
from mmpipe.release.review_files import FORMATS, read_review_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmpipe.lanes.review_verdicts import ReviewRound
    from mmpipe.lanes.stage import Knobs
    from mmpipe.release.review_answers import Reviews
    from mmpipe.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Export:
    """What an export wrote.

    Attributes:
        files: the items, and the form that the tool sets its project up with.
        people: rows that people look at.
        model: rows that the model's votes decide.
        nobody: rows that the votes do not decide and the budget has no room for; they stay as they are.
        requests: requests to the teacher; None where none was asked.
        unparsed: its votes that name no label.
        pictures: rows that people see with pictures.
        unseen: rows with a picture that cannot be had any more.
    """

    files: tuple[Path, ...]
    people: int
    model: int
    nobody: int
    requests: int | None
    unparsed: int = 0
    pictures: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge took in.

    Attributes:
        dump: whose rows they are.
        files: read.
        round: what came of the answers.
        answers: answers found in the files.
        left_out: answers that give no label, by reason.
        unanswered: rows of the files that nobody has answered.
    """

    dump: str
    files: int
    round: ReviewRound
    answers: int
    left_out: dict[str, int]
    unanswered: int


def export_review(
    lake: Lake,
    dump: str,
    out: Path,
    *,
    tool: str = "argilla",
    budget: int | None = None,
    most: int | None = None,
    people_per_row: int = 1,
    knobs: Knobs | None = None,
    cache_folder: str | None = None,
) -> Export:
    """Write the kept instructions of a dump for review, and the form beside them.

    Args:
        lake: where the datasets are.
        dump: its name.
        out: file of items to write, JSON.
        tool: argilla or label_studio.
        budget: rows that people look at: those on which a teacher's nine votes differ most; None for all.
        most: rows looked at at all; None for all that are kept.
        people_per_row: people asked about each row.
        knobs: name the teacher; needed for a budget.
        cache_folder: of fetched pictures; None to show no pictures.

    Raises:
        ConfigurationError: no such tool, or nothing to review.
        DatasetNotReady: the dump's instructions are not judged yet.
    """
    if tool not in FORMATS:
        raise ConfigurationError(f"Unknown format {tool!r}.{name_nearest(tool, FORMATS)}")
    teacher = None
    if budget is not None and knobs is not None:
        from mmpipe.lanes.instructions import open_run_teacher

        # a vote on an answer is a judgement, by the same teacher
        teacher = open_run_teacher(knobs.choose_teacher("judge"))
    plan = plan_review(lake, dump, teacher=teacher, budget=budget, most=most, cache_folder=cache_folder)
    form = replace(FORM, responses_per_item=people_per_row, pictures=plan.pictures)
    out.parent.mkdir(parents=True, exist_ok=True)
    if tool == "argilla":
        out.write_text(_write(render_argilla_records(plan.items, form)), encoding="utf-8")
        setup = out.with_suffix(".settings.json")
        setup.write_text(_write(render_argilla_settings(form)), encoding="utf-8")
    else:
        out.write_text(_write(render_label_studio_tasks(plan.items, form)), encoding="utf-8")
        setup = out.with_suffix(".config.xml")
        setup.write_text(render_label_studio_config(form), encoding="utf-8")
    said = plan.allocation.get_column("annotator").to_list()
    requests = plan.spent.requests if plan.spent is not None else None
    pictured = int(plan.items.get_column("pictures").list.len().gt(0).sum()) if plan.pictures else 0
    return Export(
        (out, setup),
        said.count("people"),
        said.count("model"),
        said.count("nobody"),
        requests,
        plan.unparsed,
        pictured,
        plan.unseen,
    )


def merge_reviews(lake: Lake, files: Sequence[Path], dump: str | None = None, annotator: str | None = None) -> Merge:
    """Add files of answers to what people said before; `instruction_reviews` publishes the verdicts with its next run.

    Args:
        lake: where the datasets are.
        files: what the tool exported; none to keep what the model's votes decided.
        dump: whose rows they are; answers that name another are left out. None if the files say so themselves, as
            exports of mmpipe do.
        annotator: who gave all the answers; None if the tool says so.

    Raises:
        ConfigurationError: no such file, a record that cannot be read (its row is named), rows of several dumps or that
            were never exported, or answers that contradict each other. Nothing is kept of any file.
    """
    read: list[tuple[Path, str, Reviews]] = []
    for file in files:
        if not file.is_file():
            raise ConfigurationError(f"{file}: {'is no file' if file.exists() else 'is not there'}. Give a JSON file.")
        data = file.read_bytes()
        found = read_review_file(data, str(file), FORM, annotator)
        # the same file given as another person's is another file
        read.append((file, hashlib.sha256(data + (annotator or "").encode()).hexdigest(), found.reviews))
    named = sorted({str(name) for *_, reviews in read for name in reviews.frame.get_column("dump").drop_nulls()})
    chosen = dump or (named[0] if len(named) == 1 else None)
    if chosen is None:
        told = f"rows of {', '.join(named)}" if named else "no row that names its dump"
        where = f"{', '.join(str(file) for file in files)}: {told}" if files else "No file"
        raise ConfigurationError(f"{where}. Say which dump is meant with --dump.")
    left_out: Counter[str] = Counter()
    answers = []
    for file, digest, reviews in read:
        left_out.update(reviews.left_out)
        own = reviews.frame.filter(pl.col("dump").is_null() | (pl.col("dump") == chosen))
        others = reviews.frame.filter(pl.col("label").is_not_null()).height - own.get_column("label").count()
        left_out.update({"other_dump": others} if others else {})
        answers.append(AnswerFile(str(file), digest, own))
    merged = merge_answers(lake, chosen, answers)
    found_answers = sum(reviews.answers for *_, reviews in read)
    return Merge(
        chosen,
        len(files),
        merged,
        found_answers,
        dict(sorted(left_out.items())),
        sum(one.unanswered for *_, one in read),
    )


def describe_merge(merge: Merge) -> list[str]:
    """Return what a merge found, in lines for people."""
    merged, verdicts, added = merge.round.merged, merge.round.verdicts, merge.round.added
    counts = dict(verdicts.get_column("verdict").value_counts().iter_rows())
    left = ", ".join(f"{count} {reason}" for reason, count in merge.left_out.items()) or "none"
    waiting = f" {merge.unanswered} rows have no answer yet." if merge.unanswered else ""
    lines = []
    if merge.files:
        lines.append(f"{merge.dump}: {merge.answers} answers; left out: {left}.{waiting}")
        lines.append(
            f"{added.fresh} are new, {added.replaced.height} replace an earlier one of the same person, "
            f"{added.repeated} were known, {added.outdated} are older than what the person said since."
        )
    if added.replaced.height:
        lines.append(f"Replaced: {_name_first([f'{item} by {who}' for item, who in added.replaced.iter_rows()])}.")
        if any(who.isdecimal() for who in added.replaced.get_column("annotator")):
            lines.append("If these are two people, each number 1 of a Label Studio of their own: --annotator NAME.")
    if merge.round.outlived:
        lines.append(f"{merge.round.outlived} answers are about texts that were made anew since: they do not count.")
    people = sorted({who for said in verdicts.filter(pl.col("people_labels") > 0)["annotators"] for who in said})
    decided = f"{counts.get('keep', 0)} rows to keep, {counts.get('remove', 0)} to remove, {merged.disagreements} tied"
    and_model = " and the model" if (verdicts.get_column("labelled_by") == "model").any() else ""
    lines += [
        f"By {len(people)} people so far{and_model}: {decided} (they stay).",
        f"{verdicts.get_column('corrected_response').count()} rows have a better response.",
        f"People among themselves: Fleiss' kappa {_show(merged.people_kappa)} over {merged.people_items} rows.",
        f"People among themselves: Krippendorff's alpha {_show(merged.people_alpha)}.",
        f"People and model: Cohen's kappa {_show(merged.model_kappa)}.",
    ]
    if merge.round.conflicts:
        lines.append(
            f"{len(merge.round.conflicts)} rows have several better responses, none more frequent: none is taken: "
            f"{_name_first(merge.round.conflicts)}."
        )
    lines.append(f"Now: mmpipe backfill instruction_reviews+ --partitions {merge.dump}")
    return lines


def _name_first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _show(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _write(rows: object) -> str:
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
