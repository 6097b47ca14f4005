"""Says what is wrong with one record of a file of reviews, in words that tell what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmpipe.errors import name_nearest
from mmpipe.release.review_answers import read_time

if TYPE_CHECKING:
    from mmpipe.release.review_exports import ReviewForm

#: What to do about a file that is no export.
HOW = "Export from Argilla the JSON of `dataset.records.to_list(flatten=True)`, from Label Studio as JSON."


def check_record(record: Any, form: ReviewForm) -> str:
    """Return what is wrong with a record of Argilla; empty if nothing is."""
    if not isinstance(record, dict) or not record.get("id"):
        return f"is no record of Argilla: it has no `id`. {HOW}"
    if "fields" not in record and "responses" not in record:
        return f"is no record of Argilla: it has neither `fields` nor `responses`. {HOW}"
    fault = _check_parts(record)
    if not fault:
        answers = [(question, answer) for question, said in (record.get("responses") or {}).items() for answer in said]
        faults = (_check_response(question, answer, form) for question, answer in answers)
        fault = next((found for found in faults if found), "") or _check_text(record)
    return f"item {record['id']}: {fault}" if fault else ""


def _check_parts(record: dict[str, Any]) -> str:
    for part in ("fields", "metadata", "responses"):
        if not isinstance(record.get(part) or {}, dict):
            return f"`{part}` must be an object, not {type(record[part]).__name__}."
    for question, answers in (record.get("responses") or {}).items():
        if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
            return f"the answers to {question!r} are no list of objects."
    return ""


def _check_response(question: str, answer: dict[str, Any], form: ReviewForm) -> str:
    said = answer.get("value")
    if question == form.correction and said is not None and not isinstance(said, str):
        return f"the correction is no text but {type(said).__name__}."
    is_handed_in = answer.get("status") not in ("discarded", "draft")
    fault = _check_label(said, form) if question == form.question and is_handed_in else ""
    if not fault and question in (form.question, form.correction) and not answer.get("status"):
        # Argilla's `records.to_json` leaves it out, and drafts and discarded answers would count
        return f"an answer does not say whether it was handed in. {HOW}"
    return fault


def check_task(task: Any, form: ReviewForm) -> str:
    """Return what is wrong with a task of Label Studio; empty if nothing is."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict) or not data.get("item_id"):
        return "is no task that mmpipe exported: its `data` has no `item_id`. Export the project as JSON."
    annotations = task.get("annotations") or []
    if not isinstance(annotations, list):
        fault = "`annotations` must be a list. Export the project as JSON."
    else:
        faults = (_check_annotation(annotation, form) for annotation in annotations)
        fault = next((found for found in faults if found), "") or _check_text(task)
    return f"item {data['item_id']}: {fault}" if fault else ""


def _check_annotation(annotation: Any, form: ReviewForm) -> str:
    regions = annotation.get("result") if isinstance(annotation, dict) else None
    if not isinstance(regions, list) or not all(isinstance(region, dict) for region in regions):
        return "an annotation has no list `result`."
    try:
        read_time(annotation.get("updated_at") or annotation.get("created_at"))
    except ValueError as error:
        return f"when it was answered cannot be read: {error}."
    # what was skipped says nothing
    faults = (_check_region(region, form) for region in regions if not annotation.get("was_cancelled"))
    return next((found for found in faults if found), "")


def _check_region(region: dict[str, Any], form: ReviewForm) -> str:
    value = region.get("value")
    if not isinstance(value, dict):
        return "an answer has no `value`."
    if region.get("from_name") == form.question:
        choices = value.get("choices") or []
        if not isinstance(choices, list):
            return f"the choices are no list but {type(choices).__name__}."
        return next((fault for label in choices if (fault := _check_label(label, form))), "")
    texts = value.get("text") or []
    is_text = isinstance(texts, str) or (isinstance(texts, list) and all(isinstance(text, str) for text in texts))
    return "the correction is no text." if region.get("from_name") == form.correction and not is_text else ""


def _check_label(label: Any, form: ReviewForm) -> str:
    if label is None or label == "" or label in form.labels:
        return ""
    return f"{label!r} is no label of this review.{name_nearest(str(label), form.labels)}"


def _check_text(record: Any) -> str:
    """Return what is wrong with the characters of a record: half of a surrogate pair is none, and no file holds it."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"holds half a character ({error.object[error.start]!r}); write it again in the tool."
    return ""
