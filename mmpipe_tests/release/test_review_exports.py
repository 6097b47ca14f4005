"""Items out to Argilla and Label Studio, held to what their own packages read, and labels back with their reasons."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from mmpipe.errors import ConfigurationError
from mmpipe.release.blind_pairs import PAIR_LABELS, blind_pairs, is_chosen_first, unblind_reviews
from mmpipe.release.review_answers import Reviews, read_argilla_records, read_label_studio_export
from mmpipe.release.review_exports import (
    ReviewForm,
    render_argilla_records,
    render_argilla_settings,
    render_label_studio_config,
    render_label_studio_tasks,
)
from mmpipe.release.review_files import read_review_file
from mmpipe.synthesis.label_votes import VOTES_SCHEMA, allocate, merge_labels
from mmpipe_tests.peers import SYNTHESIS_PEER_PYTHON, find_peer

FORM = ReviewForm(
    fields=("text", "note"),
    labels=("positive", 'neg"&<ative'),
    title='Is it "good" & <short>?',
    guidelines="Read & mark.",
)
ITEMS = pl.DataFrame(
    {
        "item_id": ["1", "2", "3"],
        "text": ['http://a.b is <good> & "new"', "bad\nfilm", "schön 好"],
        "note": ["x", "y", "z"],
        "suggestion": ["positive", None, 'neg"&<ative'],
        "score": [0.9, None, None],
        "agent": ["endpoint:m@1", None, None],
        "entropy": [0.1, 0.99, 0.5],
        "source": [None, "s", None],
    }
)


def test_records_have_what_argilla_documents() -> None:
    records = render_argilla_records(ITEMS, FORM)
    assert records[0] == {
        "id": "1",
        "fields": {"text": 'http://a.b is <good> & "new"', "note": "x"},
        "metadata": {"entropy": 0.1},
        "suggestions": {"label": {"value": "positive", "score": 0.9, "agent": "endpoint:m@1"}},
        "responses": {},
        "vectors": {},
    }
    assert records[1]["suggestions"] == {}
    assert records[1]["metadata"] == {"entropy": 0.99, "source": "s"}


def test_tasks_have_what_label_studio_documents() -> None:
    tasks = render_label_studio_tasks(ITEMS, FORM)
    assert tasks[0] == {
        "data": {"item_id": "1", "text": 'http://a.b is <good> & "new"', "note": "x", "meta": {"entropy": 0.1}},
        "predictions": [
            {
                "model_version": "endpoint:m@1",
                "score": 0.9,
                "result": [
                    {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["positive"]}}
                ],
            }
        ],
    }
    assert "predictions" not in tasks[1]
    assert tasks[2]["predictions"][0]["model_version"] == "model"
    root = etree.fromstring(render_label_studio_config(FORM))
    assert [element.get("value") for element in root.iter("Choice")] == list(FORM.labels)
    assert [element.get("value") for element in root.iter("Text")] == ["$text", "$note"]
    assert root.find("Choices").get("toName") == "text"
    assert {element.get("value") for element in root.iter("Header")} >= {FORM.title, FORM.guidelines}


def list_answers(read: Reviews) -> list[tuple[str | None, ...]]:
    return read.frame.select("item_id", "annotator", "label", "correction").rows()


def test_labels_come_back_from_argilla() -> None:
    form = replace(FORM, correction="better", corrected="text")
    records = render_argilla_records(ITEMS, form)
    records[0]["responses"] = {
        "label": [{"value": "positive", "user_id": "u1"}, {"value": None, "user_id": "u2"}],
        "comment": [{"value": "nice", "user_id": "u1"}, {"value": "nice", "user_id": "u3"}],
        "better": [{"value": " Good. ", "user_id": "u1"}],
    }
    records[1]["responses"] = {
        "label": [
            {"value": "maybe", "user_id": "u1"},
            {"value": "positive", "user_id": "u2", "status": "discarded"},
            {"value": 'neg"&<ative', "user_id": "u3", "status": "submitted"},
            {"value": "positive", "user_id": "u4", "status": "draft"},
        ],
        # a text alone is handed in nowhere, but a person may take the label back and leave it
        "better": [{"value": "x", "user_id": "u4", "status": "draft"}, {"value": "y", "user_id": "u5"}],
    }
    records[2] |= {"id": None, "responses": {"label": [{"value": "positive", "user_id": "u1"}]}}
    read = read_argilla_records([*records, {"id": "9", "responses": None}], form)
    assert list_answers(read) == [
        ("1", "u1", "positive", "Good."), ("2", "u2", None, None), ("2", "u3", 'neg"&<ative', None),
        ("2", "u5", None, "y"),
    ]  # fmt: skip
    assert read.left_out == {
        "empty_answer": 2, "other_question": 1, "unknown_label": 1, "cancelled": 1, "missing_item_id": 1, "draft": 1,
    }  # fmt: skip
    assert read.answers == read.frame["label"].count() + sum(read.left_out.values()) == 9
    assert read.unanswered == 1


def answer(label: str | None, person: Any, **more: Any) -> dict[str, Any]:
    region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"completed_by": person, "was_cancelled": False, "result": [] if label is None else [region], **more}


def test_labels_come_back_from_label_studio() -> None:
    tasks = render_label_studio_tasks(ITEMS, FORM)
    other = {"from_name": "comment", "type": "textarea", "value": {"text": ["x"]}}
    tasks[0]["annotations"] = [
        answer("positive", 7, created_at="2026-01-02T03:04:05Z"),
        answer('neg"&<ative', {"id": 8, "email": "a@b.c"}, updated_at="2026-01-02T03:04:05+01:00"),
        answer("positive", {"email": "a@b.c"}),
        answer("positive", 9, was_cancelled=True),
        answer(None, 10),
        answer("maybe", 11),
        {"completed_by": 12, "result": [other]},
        answer("positive", None),
    ]
    tasks[1] |= {"annotations": [], "drafts": [{"result": []}]}
    del tasks[2]["data"]["item_id"]
    tasks[2]["annotations"] = [answer("positive", 7)]
    read = read_label_studio_export([*tasks, {"data": {"item_id": "4"}}], FORM)
    assert list_answers(read) == [
        ("1", "7", "positive", None), ("1", "8", 'neg"&<ative', None), ("1", "a@b.c", "positive", None),
        ("1", "9", None, None),
    ]  # fmt: skip
    assert [at and at.hour for at in read.frame["answered_at"].to_list()] == [3, 2, None, None]
    assert read.left_out == {
        "cancelled": 1, "empty_answer": 1, "unknown_label": 1, "other_question": 1, "missing_item_id": 1,
        "missing_annotator": 1, "draft": 1,
    }  # fmt: skip
    assert read.answers == read.frame["label"].count() + sum(read.left_out.values()) == 10
    assert read.unanswered == 1
    assert set(read_label_studio_export(tasks, FORM, "ann").frame["annotator"]) == {"ann"}


def test_from_votes_to_people_and_back() -> None:
    votes = {"1": "p" * 9, "2": "pppppnnnn", "3": "nnnnnnppp", "4": "n" * 9}
    rows = [
        (item, f"v{place}", {"p": "positive", "n": "negative"}[letter], "", "t", "1")
        for item, letters in votes.items()
        for place, letter in enumerate(letters)
    ]
    split = allocate(pl.DataFrame(rows, schema=VOTES_SCHEMA, orient="row"), 2)
    form = ReviewForm(fields=("text",), labels=("positive", "negative"))
    items = split.filter(pl.col("annotator") == "people").select(
        "item_id", text=pl.format("text {}", "item_id"), suggestion="model_label", entropy="entropy"
    )
    tasks = json.loads(json.dumps(render_label_studio_tasks(items, form)))
    assert sorted(task["data"]["item_id"] for task in tasks) == ["2", "3"]
    for task in tasks:
        task["annotations"] = [answer("negative", 1), answer("negative", 2)]
    merged = merge_labels(split, read_label_studio_export(tasks, form).frame)
    assert merged.frame.select("item_id", "label", "labelled_by").sort("item_id").rows() == [
        ("1", "positive", "model"),
        ("2", "negative", "people"),
        ("3", "negative", "people"),
        ("4", "negative", "model"),
    ]
    assert merged.people_items == 2


@given(st.lists(st.sampled_from(PAIR_LABELS), min_size=1, max_size=40), st.integers(0, 3))
def test_blind_pairs_are_told_apart_again(labels: list[str], seed: int) -> None:
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{n}" for n in range(len(labels))],
            "prompt": "q",
            "chosen": [f"good {n}" for n in range(len(labels))],
            "rejected": [f"bad {n}" for n in range(len(labels))],
        }
    )
    items = blind_pairs(pairs, seed)
    assert items.columns == ["item_id", "prompt", "first", "second"]
    said = [(item, "u", label) for item, label in zip(items["item_id"], labels, strict=True)]
    reviews = pl.DataFrame(said, schema=["item_id", "annotator", "label"], orient="row")
    for row, review, label in zip(
        items.rows(named=True), unblind_reviews(reviews, seed).rows(named=True), labels, strict=True
    ):
        if label == "equal":
            assert review["label"] == "equal"
        else:
            assert review["label"] == ("chosen" if row[label].startswith("good") else "rejected")


def test_the_chosen_answer_stands_first_half_of_the_time() -> None:
    first = sum(is_chosen_first(f"p{n}") for n in range(2000))
    assert 900 < first < 1100
    with pytest.raises(ConfigurationError, match="Did you mean 'first'"):
        unblind_reviews(pl.DataFrame({"item_id": ["a"], "annotator": ["u"], "label": ["frist"]}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ["a", " ", "c"]}, "'2' has no text in its field 'text'"),
        ({"text": ["a", None, "c"]}, "'2' has no text"),
        ({"item_id": ["1", "1", "3"]}, "stands twice"),
        ({"suggestion": ["positiv", None, None]}, "Did you mean 'positive'"),
        ({"score": [1.2, None, None]}, "take 0 to 1"),
    ],
)
def test_items_that_no_tool_takes_stop(change: dict[str, list[Any]], message: str) -> None:
    items = ITEMS.with_columns(pl.Series(name, values) for name, values in change.items())
    for render in (render_argilla_records, render_label_studio_tasks):
        with pytest.raises(ConfigurationError, match=message):
            render(items, FORM)
    with pytest.raises(ConfigurationError, match="no column 'note'"):
        render_argilla_records(ITEMS.drop("note"), FORM)


def test_forms_that_no_tool_takes_stop() -> None:
    for fields in (("Bad Name",), ("item_id",), (), ("text", "text"), ("label",)):
        with pytest.raises(ConfigurationError, match="review form"):
            ReviewForm(fields=fields, labels=("a", "b"))
    for labels in (("a",), ("a", "a"), ("a", "")):
        with pytest.raises(ConfigurationError, match="two or more different"):
            ReviewForm(fields=("text",), labels=labels)


_ARGILLA = """
import json, sys
from pathlib import Path
from unittest.mock import MagicMock
import argilla as rg
from argilla.records._io import GenericIO, JsonIO
folder = Path(sys.argv[1])
rg.Argilla._default_client = MagicMock()  # reading files asks no server
settings = rg.Settings.from_json(folder / "settings.json")
settings.validate()
dataset = rg.Dataset(name="review", workspace="w", settings=settings)
records = JsonIO._records_from_json(folder / "records.json")
people = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]
for record in records:
    record.dataset = dataset
    record.api_model()
records[0].responses.add(rg.Response("label", "positive", user_id=people[0], status="submitted"))
records[0].responses.add(rg.Response("better", "Good.", user_id=people[0], status="submitted"))
records[0].responses.add(rg.Response("label", "positive", user_id=people[1], status="draft"))
records[1].responses.add(rg.Response("label", "positive", user_id=people[1], status="discarded"))
JsonIO.to_json(records, folder / "back.json")
(folder / "rows.json").write_text(json.dumps(GenericIO.to_list(records, flatten=True)))
print(json.dumps({
    "fields": [field.name for field in settings.fields],
    "questions": [[question.name, question.required] for question in settings.questions],
    "labels": list(settings.questions[0].labels),
    "min_submitted": settings.distribution.min_submitted,
    "texts": [dict(record.fields)["text"] for record in records],
}))
"""


def test_argilla_reads_and_writes_them(tmp_path: Path) -> None:
    peer = find_peer("argilla", python=SYNTHESIS_PEER_PYTHON)
    form = replace(FORM, correction="better", corrected="text", responses_per_item=2, pictures=1)
    items = ITEMS.with_columns(pictures=pl.Series([["data:image/gif;base64,R0lG"], None, []], dtype=pl.List(pl.String)))
    (tmp_path / "settings.json").write_text(json.dumps(render_argilla_settings(form)))
    (tmp_path / "records.json").write_text(json.dumps(render_argilla_records(items, form)))
    asked = [str(peer), "-c", _ARGILLA, str(tmp_path)]
    said = json.loads(subprocess.run(asked, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
    assert said == {
        "fields": ["picture_1", "text", "note"],
        "questions": [["label", True], ["better", False]],
        "labels": list(FORM.labels),
        "min_submitted": 2,
        "texts": ITEMS["text"].to_list(),
    }
    back = json.loads((tmp_path / "back.json").read_text())
    names = ("id", "fields", "metadata", "suggestions")
    assert [{name: record[name] for name in names} for record in back] == [
        {name: record[name] for name in names} for record in render_argilla_records(items, form)
    ]
    # what the tool itself exports: with the status of each answer, and without
    rows = (tmp_path / "rows.json").read_bytes()
    assert b"R0lG" in rows
    read = read_review_file(rows, "rows.json", form)
    assert list_answers(read.reviews) == [
        ("1", "11111111-1111-4111-8111-111111111111", "positive", "Good."),
        ("2", "22222222-2222-4222-8222-222222222222", None, None),
    ]
    assert read.reviews.left_out == {"draft": 1, "cancelled": 1}
    with pytest.raises(ConfigurationError, match="record 1: item 1: an answer does not say whether it was handed in"):
        read_review_file((tmp_path / "back.json").read_bytes(), "back.json", form)


_LABEL_STUDIO = """
import json, sys
from pathlib import Path
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import TaskValue
from label_studio_sdk.converter import Converter
folder = Path(sys.argv[1])
interface = LabelInterface((folder / "config.xml").read_text())
interface.validate()
tasks = json.loads((folder / "tasks.json").read_text())
errors = []
answers = [
    {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["positive"]}},
    {"from_name": "better", "to_name": "text", "type": "textarea", "value": {"text": ["Good."]}},
]
exported = []
for number, task in enumerate(tasks, 1):
    annotation = {"id": number, "completed_by": number, "result": answers, "was_cancelled": number == 3,
                  "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z"}
    errors.extend([] if interface.validate_annotation({"result": answers}) else ["annotation"])
    exported.append({**task, "id": number, "annotations": [annotation]})
(folder / "export.json").write_text(json.dumps(exported))
converter = Converter((folder / "config.xml").read_text(), ".")
converter.convert(str(folder / "export.json"), str(folder / "min"), "JSON_MIN", is_dir=False)
for task in tasks:
    TaskValue(**task)
    if not interface.validate_task({"data": task["data"]}):
        errors.append(task["data"])
    for prediction in task.get("predictions", []):
        errors.extend(interface.validate_prediction(prediction, return_errors=True))
broken = json.loads(json.dumps(tasks[0]["predictions"][0]).replace("positive", "other"))
print(json.dumps({"errors": errors, "broken": interface.validate_prediction(broken, return_errors=True)}))
"""


def test_label_studio_validates_them_and_both_its_exports_say_the_same(tmp_path: Path) -> None:
    peer = find_peer("label_studio_sdk", python=SYNTHESIS_PEER_PYTHON)
    form = replace(FORM, correction="better", corrected="text", pictures=1)
    (tmp_path / "config.xml").write_text(render_label_studio_config(form))
    (tmp_path / "tasks.json").write_text(json.dumps(render_label_studio_tasks(ITEMS, form)))
    asked = [str(peer), "-c", _LABEL_STUDIO, str(tmp_path)]
    said = json.loads(subprocess.run(asked, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
    assert said["errors"] == []
    assert said["broken"]
    (least,) = (tmp_path / "min").iterdir()
    for file, cancelled in ((tmp_path / "export.json", 1), (least, 0)):
        read = read_review_file(file.read_bytes(), file.name, form).reviews
        handed_in = read.frame.drop_nulls("label")
        assert handed_in.select("item_id", "annotator", "label", "correction").sort("item_id").rows() == [
            ("1", "1", "positive", "Good."), ("2", "2", "positive", "Good."),
        ]  # fmt: skip
        assert handed_in["answered_at"].unique().dt.second().to_list() == [6]
        assert read.left_out.get("cancelled", 0) == cancelled
