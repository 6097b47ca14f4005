"""LRV-style balance: positives and negatives one to one, absence proven, every refusal counted, skew stops."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.synthesis.lrv_balance import (
    DETAILS_SCHEMA,
    FORMS,
    KINDS,
    NEGATIVE_KINDS,
    REASONS,
    LrvSettings,
    make_lrv,
    plan_lrv,
)
from mmpipe.synthesis.lrv_measures import UnbalancedRows, measure_balance, read_answer, require_balance
from mmpipe.synthesis.lrv_prompts import LRV_PROMPTS, TASKS
from mmpipe.synthesis.picture_rows import PictureAsking
from mmpipe.synthesis.scene_evidence import Scene, SceneBox, find_possible, make_phrase_finder
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

SETTINGS = LrvSettings(asking=PictureAsking(attempts=1), is_trimmed=False)


def make_scene(name: str) -> Scene:
    return Scene(
        pair_id=name,
        dump="d",
        captions=(f"A brown dog sleeps on a red sofa {name}",),
        boxes=(SceneBox("dog", 0.1, 0.25, 0.5, 0.95),),
        phrases=("two cushions",),
    )


def find_kind(request: ChatRequest) -> str:
    return next(kind for kind in KINDS if LRV_PROMPTS[kind].system == request.messages[0].content)


GOOD = {
    "positive": {
        "instruction": "Tell where the dog sleeps", "answer": "The dog is on the sofa.", "objects": ["dog", "sofas"],
    },
    "nonexistent_object": {
        "instruction": "Describe the bicycles", "answer": "There are no bicycles here.", "object": "bicycle",
        "reason": "None is there.",
    },
    "wrong_attribute": {
        "instruction": "Describe the green sofa", "answer": "The sofa isn't green, it is red.", "object": "sofa",
        "wrong": "green", "right": "red", "reason": "It is red.",
    },
    "wrong_knowledge": {
        "instruction": "Say why the dog is a reptile", "answer": "A dog is not a reptile but a mammal.",
        "object": "dog",
        "wrong": "reptile", "right": "mammal", "reason": "Dogs are mammals.",
    },
}  # fmt: skip


def shape(reply: dict, request: ChatRequest) -> str:
    is_question = "Form: question" in request.messages[-1].content
    return json.dumps({**reply, "instruction": reply["instruction"] + ("?" if is_question else ".")})


def say_well(request: ChatRequest) -> str:
    return shape(GOOD[find_kind(request)], request)


def test_the_plan_is_one_to_one_in_kinds_tasks_and_forms():
    scenes = [make_scene(f"p{number}") for number in range(160)]
    plans = plan_lrv(scenes, LrvSettings(per_kind=2))
    assert len(TASKS) == 16
    assert Counter(plan.kind for plan in plans) == {"positive": 960, **dict.fromkeys(NEGATIVE_KINDS, 320)}
    assert len({plan.planned.instruction_id for plan in plans}) == len(plans) == 1920
    for task in TASKS:
        of_task = Counter(plan.kind == "positive" for plan in plans if plan.task == task)
        assert of_task[True] == of_task[False] > 0
    assert Counter(plan.form for plan in plans) == dict.fromkeys(FORMS, 960)
    again = plan_lrv(scenes[::-1], LrvSettings(per_kind=2))
    assert {(p.planned.instruction_id, p.task, p.form) for p in plans} == {
        (p.planned.instruction_id, p.task, p.form) for p in again
    }


def test_rows_of_all_kinds_are_balanced():
    scenes = [make_scene(f"p{number}") for number in range(40)]
    judged = make_lrv(scenes, ScriptedTeacher(say_well), SETTINGS)
    frame = SYNTHESIZED_INSTRUCTIONS.conform(judged.synthesis.frame)
    assert frame.height == judged.synthesis.planned == 240
    assert frame["images"].to_list()[:6] == [["p0"]] * 6
    assert judged.details["wrong"].drop_nulls().unique().sort().to_list() == ["green", "reptile"]
    balance = measure_balance(frame, judged.details, tolerance=0.05, tasks=TASKS)
    assert (balance.positive, balance.negative) == (120, 120)
    assert balance.kinds == {"positive": 120, **dict.fromkeys(NEGATIVE_KINDS, 40)}
    assert sum(balance.forms.values()) == 240
    assert abs(balance.forms["question"] - 120) <= 12
    assert balance.answers == {"open": 240}
    assert all(positive == negative for positive, negative in balance.tasks.values())
    require_balance(balance)


DOG = "the dog sleeps and " * 3
BROKEN: list[tuple[str, str, dict]] = [
    ("positive", "empty_part", {"answer": "..."}),
    ("positive", "wrong_form", {"instruction": "What is it??? No"}),
    ("positive", "coordinates_leak", {"answer": "The dog is at 0.100."}),
    ("positive", "evidence_leak", {"answer": "As described, the dog sleeps."}),
    ("positive", "cannot_see", {"answer": "As an AI I see no dog."}),
    ("positive", "repetition", {"answer": DOG}),
    ("positive", "object_without_evidence", {"objects": ["dog", "cat"]}),
    ("nonexistent_object", "object_not_in_instruction", {"object": "boat"}),
    ("nonexistent_object", "object_in_evidence", {"object": "puppies", "instruction": "Describe the puppies"}),
    ("nonexistent_object", "object_in_evidence", {"object": "pillow", "instruction": "Describe the pillow"}),
    ("nonexistent_object", "object_in_evidence", {"object": "an animal", "instruction": "Describe an animal"}),
    ("nonexistent_object", "answer_affirms", {"answer": "The bicycles are old."}),
    ("wrong_attribute", "object_without_evidence", {"object": "chair", "instruction": "Describe the green chair"}),
    ("wrong_attribute", "wrong_word_not_in_instruction", {"wrong": "blue"}),
    ("wrong_attribute", "wrong_word_in_evidence", {"wrong": "brown", "instruction": "Describe the brown sofa"}),
    ("wrong_attribute", "wrong_word_in_evidence", {"wrong": "the", "instruction": "Describe the sofa"}),
    ("wrong_attribute", "right_word_without_evidence", {"right": "yellow", "answer": "It is not green but yellow."}),
    ("wrong_attribute", "right_word_is_wrong", {"right": "green"}),
    ("wrong_attribute", "right_word_not_in_answer", {"answer": "The sofa is not green."}),
    ("wrong_knowledge", "wrong_word_in_evidence", {"wrong": "animal", "instruction": "Say why the dog is an animal"}),
    ("wrong_knowledge", "object_without_evidence", {"object": "cat", "instruction": "Say why the cat is a reptile"}),
]


def test_every_refusal_is_counted_by_its_name():
    scenes = [make_scene(f"s{number}") for number in range(len(BROKEN))]
    told: Counter[str] = Counter()

    def say(request: ChatRequest) -> str:
        place = int(request.messages[-1].content.splitlines()[1].rpartition(" s")[2])
        kind, _, change = BROKEN[place]
        if find_kind(request) != kind or told[str(place)]:
            return say_well(request)
        told[str(place)] += 1
        if "?" in change.get("instruction", ""):
            is_question = "Form: question" in request.messages[-1].content
            return json.dumps({**GOOD[kind], "instruction": "Say it." if is_question else "What is it?"})
        return shape({**GOOD[kind], **change}, request)

    judged = make_lrv(scenes, ScriptedTeacher(say), SETTINGS)
    assert judged.candidates["reason"].to_list() == [reason for _, reason, _ in BROKEN]
    assert judged.synthesis.rejected == dict(Counter(reason for _, reason, _ in BROKEN))
    assert judged.synthesis.planned == 6 * len(BROKEN) == judged.synthesis.frame.height + len(BROKEN)
    assert {reason for _, reason, _ in BROKEN} == set(REASONS) - {
        "beyond_balance", "claims_without_evidence", "count_without_evidence",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "change", "is_refused"),
    [
        ("positive", {}, False),
        ("positive", {"answer": "The dog is on the sofa with a cat, a hat and some apples."}, True),
        ("positive", {"answer": "Five dogs are on the sofa."}, "count_without_evidence"),
        ("nonexistent_object", {}, False),
        ("nonexistent_object", {"answer": "No, the couch is in front of the lamp, the bed and a table."}, True),
        ("wrong_attribute", {}, False),
        ("wrong_attribute", {"answer": "It is not green but red, as are the lamp, the bed and the table."}, True),
        ("wrong_knowledge", {"answer": "It is no reptile: a mammal has hair, teeth, warm blood and milk."}, False),
    ],
)
def test_what_a_row_names_beside_what_is_wrong_must_mostly_be_told(kind: str, change: dict, is_refused: bool | str):
    def say(request: ChatRequest) -> str:
        return shape({**GOOD[kind], **change}, request) if find_kind(request) == kind else say_well(request)

    finder = make_phrase_finder(RuleChunker())
    held = make_lrv([make_scene("p")], ScriptedTeacher(say), SETTINGS, find_phrases=finder).synthesis.rejected
    if isinstance(is_refused, str):
        assert set(held) == {is_refused}
        return
    assert set(held) == ({"claims_without_evidence"} if is_refused else set())
    loose = replace(SETTINGS, least_supported=0.0)
    assert not make_lrv([make_scene("p")], ScriptedTeacher(say), loose, find_phrases=finder).synthesis.rejected


def test_rows_beyond_one_to_one_go_and_say_so():
    scenes = [make_scene(f"p{number}") for number in range(30)]

    def say(request: ChatRequest) -> str | ChatFailure:
        return ChatFailure("refused", "") if find_kind(request) == "nonexistent_object" else say_well(request)

    skewed = make_lrv(scenes, ScriptedTeacher(say), SETTINGS)
    balance = measure_balance(skewed.synthesis.frame, skewed.details, tolerance=0.05)
    assert (balance.positive, balance.negative) == (90, 60)
    with pytest.raises(UnbalancedRows, match="positive instructions: 90 of 150"):
        require_balance(balance)
    trimmed = make_lrv(scenes, ScriptedTeacher(say), replace(SETTINGS, is_trimmed=True))
    assert trimmed.synthesis.rejected == {"beyond_balance": 30, "teacher_refused": 30}
    kept = measure_balance(trimmed.synthesis.frame, trimmed.details, tolerance=0.05)
    assert all(positive == negative for positive, negative in kept.tasks.values())
    assert (kept.positive, kept.negative) == (60, 60)
    turned = make_lrv(scenes[::-1], ScriptedTeacher(say), replace(SETTINGS, is_trimmed=True))
    assert set(turned.details["instruction_id"]) == set(trimmed.details["instruction_id"])


def make_rows(rows: list[tuple[str, str, str, str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = [str(place) for place in range(len(rows))]
    frame = pl.DataFrame(
        {"instruction_id": names, "response": [row[3] for row in rows]},
        schema={"instruction_id": pl.String, "response": pl.String},
    )
    schema = {"instruction_id": pl.String, **{name: DETAILS_SCHEMA[name] for name in ("kind", "task", "form")}}
    return frame, pl.DataFrame([(n, *row[:3]) for n, row in zip(names, rows, strict=True)], schema, orient="row")


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["counting", "sentiment"]), st.sampled_from(FORMS),
                          st.sampled_from(["Yes.", "No, it is.", "No boat.", "A dog"])), max_size=60),
       st.floats(0, 0.5))  # fmt: skip
def test_a_skew_is_told_exactly_where_a_share_is_beyond_tolerance(rows: list, tolerance: float):
    balance = measure_balance(*make_rows(rows), tolerance=tolerance, least_rows=10)
    positive = sum(kind == "positive" for kind, *_ in rows)
    assert (balance.positive, balance.negative) == (positive, len(rows) - positive)
    is_skewed = len(rows) >= 10 and abs(positive / len(rows) - 0.5) > tolerance
    assert any(skew.startswith("positive instructions: ") for skew in balance.skews) == is_skewed
    yes = sum(row[3] == "Yes." for row in rows)
    no = sum(row[3] == "No, it is." for row in rows)
    is_skewed = yes + no >= 10 and abs(yes / (yes + no) - 0.5) > tolerance
    assert any(skew.startswith("answers of yes") for skew in balance.skews) == is_skewed


def test_a_task_without_rows_is_a_skew_once_there_are_enough():
    rows = [("positive", "counting", "question", "a"), ("wrong_attribute", "counting", "statement", "b")] * 10
    balance = measure_balance(*make_rows(rows), tolerance=0, least_rows=10, tasks=["counting", "sentiment"])
    assert balance.skews == ("no rows of sentiment",)
    assert measure_balance(*make_rows(rows), tolerance=0, least_rows=11, tasks=["counting", "sentiment"]).skews == ()


def test_answers_are_read_by_their_first_word():
    assert [read_answer(text) for text in ("Yes, it is", " no.", "No", "No boat", "Yesterday", "")] == [
        "yes", "no", "no", "open", "open", "open"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_pass_the_checks_they_teach(kind: str):
    for fields, reply in LRV_PROMPTS[kind].examples:
        caption, box = fields["symbols"].splitlines()
        name = box.split(":")[0]
        scenes = (
            Scene(pair_id=f"e{n}", dump="d", captions=(caption,), boxes=(SceneBox(name, 0, 0, 1, 1),))
            for n in range(99)
        )
        scene = next(
            s for s in scenes if any(p.kind == kind and p.form == fields["form"] for p in plan_lrv([s], SETTINGS))
        )

        def say(request: ChatRequest, reply: dict = reply, form: str = fields["form"]) -> str | ChatFailure:
            if find_kind(request) == kind and f"Form: {form} " in request.messages[-1].content:
                return json.dumps(reply)
            return ChatFailure("refused", "")

        judged = make_lrv([scene], ScriptedTeacher(say), SETTINGS)
        assert set(judged.synthesis.rejected) == {"teacher_refused"}, judged.candidates.rows()
        assert set(judged.details["kind"]) == {kind}
        if kind == "nonexistent_object":
            assert find_possible(reply["object"], scene.list_evidence()) == []


def test_settings_that_cannot_work_stop():
    for wrong in ({"per_kind": 0}, {"tolerance": 0.6}):
        with pytest.raises(ConfigurationError):
            LrvSettings(**wrong)
