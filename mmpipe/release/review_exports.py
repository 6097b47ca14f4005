"""Renders items for people to review, as Argilla and Label Studio import them; `review_answers` reads what they say.

Argilla 2: `Dataset.records.from_json` reads a list of records (`id`, `fields`, `metadata`, `suggestions` by question,
`responses` by question, `vectors`), `Settings.from_json` the form. Label Studio: a list of tasks (`data`,
`predictions` with `result` of `from_name`, `to_name`, `type`, `value`) and a labelling configuration in XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names that both tools take for fields, questions and XML attributes.
_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: Names of our own in a task's data.
_OWN_KEYS = ("item_id", "score", "pictures")
#: Stands where an item has fewer pictures than others: Label Studio does not open a task with an empty list, and
#: Argilla's export stops at a picture that is not there. A white line of 48 pixels.
_NO_PICTURE = "data:image/gif;base64,R0lGODdhMAABAIEAAP///wAAAAAAAAAAACwAAAAAMAABAAAIDgABCBxIsKDBgwgTDgwIADs="


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewForm:
    """What people see and answer.

    Attributes:
        fields: columns shown, as text, in order.
        labels: what may be answered, one of them.
        question: name of the answer.
        title: of the question, as people read it.
        guidelines: what people should know; shown beside it.
        responses_per_item: people asked about each item.
        correction: name of a second question that is answered in words and may be left out; empty for none.
        corrected: field whose text the correction takes the place of.
        pictures: the most pictures that an item has; zero shows none.
    """

    fields: tuple[str, ...]
    labels: tuple[str, ...]
    question: str = "label"
    title: str = "Which label fits?"
    guidelines: str = ""
    responses_per_item: int = 1
    correction: str = ""
    corrected: str = ""
    pictures: int = 0

    def __post_init__(self) -> None:
        names = (*self.fields, self.question, *([self.correction] if self.correction else []))
        if self.correction and self.corrected not in self.fields:
            raise ConfigurationError(
                f"A review form corrects {self.corrected!r}.{name_nearest(self.corrected, self.fields)}"
            )
        for name in names:
            if not _NAME.fullmatch(name) or name in _OWN_KEYS:
                raise ConfigurationError(
                    f"A review form cannot have a field {name!r}: use a-z, 0-9 and _, not {_OWN_KEYS}."
                )
        if not self.fields or len(set(names)) < len(names):
            raise ConfigurationError(f"A review form needs fields of different names, not {list(names)}.")
        if len(set(self.labels)) < 2 or len(set(self.labels)) < len(self.labels) or not all(self.labels):
            raise ConfigurationError(f"A review form needs two or more different labels, not {list(self.labels)}.")


def render_argilla_settings(form: ReviewForm) -> dict[str, Any]:
    """Return the form as `Settings.from_json` reads it."""
    return {
        "guidelines": form.guidelines or None,
        "fields": [
            *[
                {"name": name, "title": name.replace("_", " "), "required": False, "settings": {"type": "image"}}
                for name in _name_pictures(form.pictures)
            ],
            *[
                {"name": name, "title": name, "required": True, "settings": {"type": "text", "use_markdown": False}}
                for name in form.fields
            ],
        ],
        "questions": [
            {
                "name": form.question,
                "title": form.title,
                "required": True,
                "settings": {
                    "type": "label_selection",
                    "options": [{"value": label, "text": label} for label in form.labels],
                    "visible_options": None,
                },
            },
            *([_render_text_question(form)] if form.correction else []),
        ],
        "metadata": [],
        "vectors": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": form.responses_per_item},
        "mapping": None,
    }


def _name_pictures(count: int) -> list[str]:
    return [f"picture_{number}" for number in range(1, count + 1)]


def _fill_up(pictures: list[str], count: int) -> list[str]:
    return [*pictures, *[_NO_PICTURE] * (count - len(pictures))]


def _render_text_question(form: ReviewForm) -> dict[str, Any]:
    return {
        "name": form.correction,
        "title": f"A better text for {form.corrected}, if it needs one",
        "required": False,
        "settings": {"type": "text", "use_markdown": False},
    }


def render_argilla_records(items: pl.DataFrame, form: ReviewForm) -> list[dict[str, Any]]:
    """Return one record per item, as `Dataset.records.from_json` reads them.

    Args:
        items: columns item_id and the form's fields; optional suggestion (a label or null), score (0 to 1) and agent:
            the model's label, shown as a suggestion; pictures (lists of `data:` addresses or others, shown as far as
            the form has room); and further columns, which become metadata.
        form: what people see.

    Raises:
        ConfigurationError: a column is missing, an item_id stands twice, a field is empty, or a suggestion is no label.
    """
    records = []
    for row in _check_items(items, form):
        suggestion = {"value": row["suggestion"], "score": row["score"], "agent": row["agent"]}
        records.append(
            {
                "id": row["item_id"],
                "fields": {
                    **dict(zip(_name_pictures(form.pictures), _fill_up(row["pictures"], form.pictures), strict=True)),
                    **{name: row[name] for name in form.fields},
                },
                "metadata": row["metadata"],
                "suggestions": {form.question: suggestion} if row["suggestion"] is not None else {},
                "responses": {},
                "vectors": {},
            }
        )
    return records


def render_label_studio_config(form: ReviewForm) -> str:
    """Return the labelling configuration, in XML."""
    from xml.sax.saxutils import quoteattr

    lines = ["<View>"]
    if form.guidelines:
        lines.append(f"  <Header value={quoteattr(form.guidelines)} size={quoteattr('4')}/>")
    if form.pictures:
        lines.append('  <Image name="picture" valueList="$pictures" width="60%"/>')
    for name in form.fields:
        lines.append(f"  <Header value={quoteattr(name)}/>")
        # a text that begins with http is a text, and no address to load
        lines.append(f'  <Text name="{name}" value="${name}" valueType="text"/>')
    lines.append(f"  <Header value={quoteattr(form.title)}/>")
    lines.append(f'  <Choices name="{form.question}" toName="{form.fields[0]}" choice="single" required="true">')
    lines.extend(f"    <Choice value={quoteattr(label)}/>" for label in form.labels)
    lines.append("  </Choices>")
    if form.correction:
        lines.append(f"  <Header value={quoteattr(f'A better text for {form.corrected}, if it needs one')}/>")
        lines.append(f'  <TextArea name="{form.correction}" toName="{form.corrected}" rows="6" maxSubmissions="1"/>')
    return "\n".join([*lines, "</View>", ""])


def render_label_studio_tasks(items: pl.DataFrame, form: ReviewForm) -> list[dict[str, Any]]:
    """Return one task per item, as Label Studio imports them; arguments and errors as `render_argilla_records`."""
    tasks = []
    for row in _check_items(items, form):
        task: dict[str, Any] = {
            "data": {"item_id": row["item_id"], **{name: row[name] for name in form.fields}, "meta": row["metadata"]}
        }
        if form.pictures:
            task["data"]["pictures"] = _fill_up(row["pictures"], 1)
        if row["suggestion"] is not None:
            region = {
                "from_name": form.question,
                "to_name": form.fields[0],
                "type": "choices",
                "value": {"choices": [row["suggestion"]]},
            }
            prediction: dict[str, Any] = {"model_version": row["agent"] or "model", "result": [region]}
            if row["score"] is not None:
                prediction["score"] = row["score"]
            task["predictions"] = [prediction]
        tasks.append(task)
    return tasks


def _check_items(items: pl.DataFrame, form: ReviewForm) -> Iterable[dict[str, Any]]:
    for name in ("item_id", *form.fields):
        if name not in items.columns:
            raise ConfigurationError(f"The items to review have no column {name!r}.{name_nearest(name, items.columns)}")
    if items.get_column("item_id").is_duplicated().any():
        raise ConfigurationError("An item_id stands twice among the items to review; labels could not be told apart.")
    known = {"item_id", *form.fields, "suggestion", "score", "agent", "pictures"}
    for row in items.rows(named=True):
        for name in form.fields:
            if not (isinstance(row[name], str) and row[name].strip()):
                raise ConfigurationError(f"The item {row['item_id']!r} has no text in its field {name!r}.")
        suggestion, score = row.get("suggestion"), row.get("score")
        if suggestion is not None and suggestion not in form.labels:
            raise ConfigurationError(
                f"The item {row['item_id']!r} suggests {suggestion!r}.{name_nearest(suggestion, form.labels)}"
            )
        if score is not None and not 0 <= score <= 1:
            raise ConfigurationError(f"The item {row['item_id']!r} has the score {score}; both tools take 0 to 1.")
        yield {
            **{name: row[name] for name in ("item_id", *form.fields)},
            "suggestion": suggestion,
            "score": score,
            "agent": row.get("agent"),
            "pictures": (row.get("pictures") or [])[: form.pictures],
            "metadata": {name: value for name, value in row.items() if name not in known and value is not None},
        }
