"""Reads people's answers out of what Argilla and Label Studio export: who said what of which item, shown how, and when.

Argilla 2: records have `responses` by question, each with `value`, `user_id` and `status`; no time is told.
Label Studio: its export JSON has the tasks with `annotations`, each one person's, with the time it was last changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmpipe.release.review_exports import ReviewForm

#: What people said: one row per answer. `label` is null where a person took an answer back, or wrote a text alone;
#: `answered_at` where the tool does not say when; `shown` is a digest of the texts that the person saw.
ANSWERS_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "annotator": pl.String(),
        "label": pl.String(),
        "correction": pl.String(),
        "answered_at": pl.Datetime("us", "UTC"),
        "shown": pl.String(),
        "dump": pl.String(),
    }
)


@dataclass(frozen=True, slots=True)
class Reviews:
    """Answers that came back: answers = labels in `frame` + sum of `left_out`.

    Attributes:
        frame: `ANSWERS_SCHEMA`.
        answers: answers found, one per item and person that gave it.
        left_out: answers that give no label, by reason: `cancelled`, `draft`, `empty_answer`, `unknown_label`,
            `other_question`, `missing_item_id`, `missing_annotator`. A cancelled one stands in `frame` without a label:
            it takes back what the person said before. So does an empty one that has a correction.
        unanswered: items that nobody has answered.
    """

    frame: pl.DataFrame
    answers: int
    left_out: dict[str, int]
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """One person's answer, as far as the tool tells."""

    person: str
    label: Any
    correction: str
    at: datetime | None
    is_cancelled: bool
    is_draft: bool
    is_other: bool


def digest_shown(fields: Mapping[str, Any], form: ReviewForm) -> str | None:
    """Return a digest of what a person saw; None where the record does not hold all of it."""
    texts = [fields.get(name) for name in form.fields]
    return make_id("shown", *[str(text) for text in texts]) if all(isinstance(text, str) for text in texts) else None


def read_time(said: Any) -> datetime | None:
    """Return a time as tools write it (ISO 8601, UTC where it names no zone), or None for none.

    Raises:
        ValueError: it is no such time.
    """
    if said is None or said == "":
        return None
    time = datetime.fromisoformat(said) if isinstance(said, str) else None
    if time is None:
        raise ValueError(f"{said!r} is no time")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def read_argilla_records(
    records: Iterable[Mapping[str, Any]], form: ReviewForm, annotator: str | None = None
) -> Reviews:
    """Return the answers of Argilla's records; without a status they count as handed in.

    Args:
        records: of one dataset.
        form: what people were asked.
        annotator: who gave all of them; None: a person is told by user id.
    """
    gathered = _Gathered(form)
    for record in records:
        by_person: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
        for question, responses in (record.get("responses") or {}).items():
            times: Counter[str] = Counter()
            for response in responses:
                person = annotator or str(response.get("user_id") or "")
                by_person.setdefault((person, times[person]), {})[question] = response
                times[person] += 1
        answers = [_read_responses(person, said, form) for (person, _), said in by_person.items()]
        fields, metadata = record.get("fields") or {}, record.get("metadata") or {}
        gathered.add(record.get("id"), fields, metadata.get("dump"), answers)
    return gathered.finish()


def _read_responses(person: str, said: Mapping[str, Mapping[str, Any]], form: ReviewForm) -> _Answer:
    ours = {name: said[name] for name in (form.question, form.correction) if name in said}
    stands = {response.get("status") for response in ours.values()}
    return _Answer(
        person=person,
        label=ours.get(form.question, {}).get("value"),
        correction=str(ours.get(form.correction, {}).get("value") or ""),
        at=None,
        is_cancelled="discarded" in stands,
        is_draft="draft" in stands,
        is_other=not ours,
    )


def read_label_studio_export(
    tasks: Iterable[Mapping[str, Any]], form: ReviewForm, annotator: str | None = None
) -> Reviews:
    """Return the answers of tasks as Label Studio exports them; a person is told by `completed_by`, else as above.

    Raises:
        ValueError: an annotation has a time that is none.
    """
    gathered = _Gathered(form)
    for task in tasks:
        answers = [_read_annotation(annotation, form, annotator) for annotation in task.get("annotations") or []]
        drafts = task.get("drafts")
        if isinstance(drafts, list):
            answers += [_Answer("?", None, "", None, is_cancelled=False, is_draft=True, is_other=False) for _ in drafts]
        data = task.get("data") or {}
        shown = data.get("meta")
        gathered.add(data.get("item_id"), data, shown.get("dump") if isinstance(shown, dict) else None, answers)
    return gathered.finish()


def _read_annotation(annotation: Mapping[str, Any], form: ReviewForm, annotator: str | None) -> _Answer:
    label, said, is_other = None, "", bool(annotation.get("result"))
    for region in annotation.get("result") or []:
        value = region.get("value") or {}
        if region.get("from_name", form.question) == form.question:
            choices = value.get("choices") or []
            label, is_other = choices[0] if len(choices) == 1 else None, False
        elif form.correction and region.get("from_name") == form.correction:
            texts = value.get("text") or []
            said, is_other = "\n".join([texts] if isinstance(texts, str) else texts), False
    return _Answer(
        person=annotator or name_person(annotation.get("completed_by")),
        label=label,
        correction=said,
        at=read_time(annotation.get("updated_at") or annotation.get("created_at")),
        is_cancelled=bool(annotation.get("was_cancelled")),
        is_draft=False,
        is_other=is_other,
    )


def name_person(completed_by: Any) -> str:
    """Return who answered: an id, or of a user the id, else the e-mail address; empty if nobody is named."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id") or completed_by.get("email")
    return "" if completed_by is None else str(completed_by)


class _Gathered:
    """The answers read so far, and what was left out."""

    def __init__(self, form: ReviewForm) -> None:
        self._form = form
        self._rows: list[tuple[Any, ...]] = []
        self._left_out: Counter[str] = Counter()
        self._answers = self._unanswered = 0

    def add(self, item_id: Any, fields: Mapping[str, Any], dump: Any, answers: list[_Answer]) -> None:
        """Take the answers to one item."""
        self._answers += len(answers)
        self._unanswered += not answers
        shown = digest_shown(fields, self._form)
        for answer in answers:
            reason = self._find_fault(item_id, answer)
            correction = answer.correction.strip()
            if reason:
                self._left_out[reason] += 1
            # what is cancelled, or a text alone, says something too
            if reason and reason != "cancelled" and not (reason == "empty_answer" and correction):
                continue
            is_taken_back = reason == "cancelled"
            label = None if reason else str(answer.label)
            text = None if is_taken_back or not correction else correction
            self._rows.append((str(item_id), answer.person, label, text, answer.at, shown, dump and str(dump)))

    def _find_fault(self, item_id: Any, answer: _Answer) -> str:
        """Return the first reason why an answer gives no label, or an empty string."""
        faults = {
            "other_question": answer.is_other,
            "missing_item_id": not item_id,
            "draft": answer.is_draft,
            "missing_annotator": not answer.person,
            "cancelled": answer.is_cancelled,
            "empty_answer": answer.label is None or answer.label == "",
            "unknown_label": answer.label not in self._form.labels,
        }
        return next((reason for reason, holds in faults.items() if holds), "")

    def finish(self) -> Reviews:
        """Return what was read."""
        frame = pl.DataFrame(self._rows, schema=ANSWERS_SCHEMA, orient="row")
        return Reviews(frame, self._answers, dict(self._left_out), self._unanswered)
