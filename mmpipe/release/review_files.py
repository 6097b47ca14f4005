"""Reads a file of reviews as a tool exports it: which tool wrote it, in which form; a bad record is named."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import ConfigurationError
from mmpipe.release.review_answers import name_person, read_argilla_records, read_label_studio_export
from mmpipe.release.review_checks import HOW, check_record, check_task

if TYPE_CHECKING:
    from mmpipe.release.review_answers import Reviews
    from mmpipe.release.review_exports import ReviewForm

Format = Literal["argilla", "label_studio"]
FORMATS: tuple[Format, ...] = ("argilla", "label_studio")


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """What a file of reviews holds: the tool that wrote it, and the answers."""

    tool: Format
    reviews: Reviews


def read_review_file(data: bytes, name: str, form: ReviewForm, annotator: str | None = None) -> ReviewFile:
    """Return the answers of a file: JSON or JSON lines, of Argilla or Label Studio, as the tool writes it.

    Of Argilla the rows of `records.to_list(flatten=True)` or `to_datasets`, or records whose answers have a status (its
    `records.to_json` leaves it out); of Label Studio JSON or JSON-MIN.

    Args:
        data: the file.
        name: its name, for messages.
        form: what people were asked.
        annotator: who gave all its answers; None: whom the tool names.

    Raises:
        ConfigurationError: no text, no JSON, no such export, no answer at all, or a record that cannot be read or has
            an unknown label; its row in the file, from 1, and its item are named. Nothing of such a file is taken.
    """
    records = _parse(_decode(data, name), name)
    if not records:
        raise ConfigurationError(f"{name}: holds no record. Export the reviewed items as JSON.")
    tool, unfold = _recognize(records[0], form)
    tasks = []
    for row, record in enumerate(records, 1):
        task = unfold(record, form) if isinstance(record, dict) else record
        check = check_task if tool == "label_studio" else check_record
        fault = check(task, form)
        if not fault and annotator is None:
            fault = _check_people(task, tool)
        if fault:
            raise ConfigurationError(f"{name}, record {row}: {fault}")
        tasks.append(task)
    if annotator is not None:
        _check_one_person(tasks, tool, name, annotator)
    read = read_label_studio_export if tool == "label_studio" else read_argilla_records
    reviews = read(tasks, form, annotator)
    if reviews.frame.is_empty():
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(reviews.left_out.items()))
        raise ConfigurationError(
            f"{name}: holds {len(records)} rows and no answer{f' that counts ({left})' if left else ''}. "
            f"Export again when people have handed in their answers."
        )
    return ReviewFile(tool, reviews)


def _decode(data: bytes, name: str) -> str:
    if not data.strip():
        raise ConfigurationError(f"{name}: is empty. {HOW}")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigurationError(f"{name}: is UTF-16, not UTF-8. Save it as UTF-8, or export again.")
    if data.startswith(b"PK"):
        raise ConfigurationError(f"{name}: is a ZIP archive; unpack it, and give the JSON file. {HOW}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name}: is no UTF-8 text ({error.reason} at byte {error.start}). {HOW}") from error


def _parse(text: str, name: str) -> list[Any]:
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].lstrip().startswith("{"):
            raise ConfigurationError(f"{name}, line {error.lineno}: no JSON ({error.msg}). {HOW}") from error
        return [_parse_line(line, number, name) for number, line in lines]
    except RecursionError as error:
        raise ConfigurationError(f"{name}: is nested too deep to be an export. {HOW}") from error
    if isinstance(whole, dict):
        return [whole]
    if not isinstance(whole, list):
        raise ConfigurationError(f"{name}: a list of records is wanted, not {type(whole).__name__}. {HOW}")
    return whole


def _parse_line(line: str, number: int, name: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
        raise ConfigurationError(f"{name}, line {number}: no JSON ({said}).") from error


def _recognize(record: Any, form: ReviewForm) -> tuple[Format, Any]:
    """Return the tool that wrote a record, and what brings its records into the tool's own form."""
    if isinstance(record, dict):
        if "data" in record:
            return "label_studio", lambda task, _: task
        if "item_id" in record:
            return "label_studio", _unfold_min
        if all(name in record for name in form.fields):
            return "argilla", _unfold_columns
    return "argilla", lambda task, _: task


def _unfold_min(record: dict[str, Any], form: ReviewForm) -> dict[str, Any]:
    """Return a task of Label Studio from a record of JSON-MIN, which holds one answer beside the task's data."""
    said = []
    for question, kind in ((form.question, "choices"), (form.correction, "text")):
        answer = record.get(question) if question else None
        if isinstance(answer, dict):
            answer = answer.get(kind)
        if answer not in (None, "", []):
            said.append({"from_name": question, "value": {kind: answer if isinstance(answer, list) else [answer]}})
    annotation = {
        "result": said,
        "completed_by": record.get("annotator"),
        "created_at": record.get("created_at"),
        "updated_at": record.get("updated_at"),
    }
    # a task that nobody has answered has no number of an answer
    return {"data": record, "annotations": [annotation] if said or record.get("annotation_id") is not None else []}


def _unfold_columns(record: dict[str, Any], form: ReviewForm) -> dict[str, Any]:
    """Return a record of Argilla from a row of a Hugging Face data set, which has a column for each part."""
    responses: dict[str, list[Any]] = {}
    for question in (form.question, form.correction):
        values = record.get(f"{question}.responses") or []
        people = record.get(f"{question}.responses.users") or []
        stands = record.get(f"{question}.responses.status") or [None] * len(values)
        if not all(isinstance(part, list) and len(part) == len(values) for part in (values, people, stands)):
            responses[question] = [None]  # told as answers that are none
            continue
        responses[question] = [
            {"value": value, "user_id": person, "status": status}
            for value, person, status in zip(values, people, stands, strict=True)
        ]
    return {
        "id": record.get("id"),
        "fields": {name: record.get(name) for name in form.fields},
        "metadata": {"dump": record.get("dump")},
        "responses": responses,
    }


def _list_people(task: dict[str, Any], tool: Format) -> set[str]:
    """Return who answered a record, empty for an answer that names nobody."""
    if tool == "label_studio":
        return {name_person(annotation.get("completed_by")) for annotation in task.get("annotations") or []}
    responses = (task.get("responses") or {}).values()
    return {str(answer.get("user_id") or "") for answers in responses for answer in answers}


def _check_people(task: dict[str, Any], tool: Format) -> str:
    item = task["data"]["item_id"] if tool == "label_studio" else task["id"]
    if "" in _list_people(task, tool):
        return f"item {item}: an answer does not say who gave it. Name the person: --annotator NAME."
    return ""


def _check_one_person(tasks: list[Any], tool: Format, name: str, annotator: str) -> None:
    people = set[str]().union(*[_list_people(task, tool) for task in tasks])
    if len(people) > 1:
        raise ConfigurationError(
            f"{name}: holds answers of {len(people)} people ({', '.join(sorted(people)[:5])}), not of {annotator} "
            f"alone. Leave --annotator out, or export each person's answers."
        )
