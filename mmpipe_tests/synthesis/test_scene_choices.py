"""Multiple-choice scene data: writer and parser are inverse, letters are balanced, every refusal is counted."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.choice_prompts import CHOICE_PROMPT, NONE_PROMPT
from mmpipe.synthesis.choice_texts import (
    LETTERS,
    MARKER,
    Choice,
    ChoiceFault,
    find_line_fault,
    parse_choice,
    write_choice,
)
from mmpipe.synthesis.picture_rows import PictureAsking
from mmpipe.synthesis.scene_choices import (
    REASONS,
    ChoiceSettings,
    choose_place,
    make_choices,
    measure_letters,
    measure_likeness,
    plan_choices,
)
from mmpipe.synthesis.scene_evidence import Scene, SceneBox
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

NONE = "None of these"
CHOICE = Choice("What is here?", ("A train", "A boat", NONE), 0, "A train waits")
INSTRUCTION = "What is here?\nA. A train\nB. A boat\nC. None of these"
RESPONSE = "A train waits.\n###\nANSWER: A"
PART = st.text(min_size=1).map(str.strip).filter(lambda text: not find_line_fault(text))


def test_the_written_form_is_that_of_the_source():
    assert write_choice(CHOICE, NONE) == (INSTRUCTION, RESPONSE)
    assert parse_choice(INSTRUCTION, RESPONSE, NONE) == CHOICE


@given(PART, st.lists(PART, min_size=1, max_size=25), PART, PART, st.integers(0, 25))
def test_reading_gives_back_what_was_written(question: str, shown: list[str], reason: str, negative: str, right: int):
    assume(negative not in shown)
    choice = Choice(question, (*shown, negative), right % (len(shown) + 1), reason)
    assert parse_choice(*write_choice(choice, negative), negative) == choice


LINES = st.sampled_from(
    ["What is here?", "A. A train", "B. A boat", "C. None of these", "B. None of these", "", " ", "###", "ANSWER: A",
     "ANSWER: B", "ANSWER: D", "A train waits.", "A train waits", "a\x0bb.", "B. ", "A.A train", " ANSWER: A"]
)  # fmt: skip


@given(st.lists(LINES, max_size=5), st.lists(LINES, max_size=5))
def test_writing_gives_back_whatever_could_be_read(asked: list[str], answered: list[str]):
    instruction, response = "\n".join(asked), "\n".join(answered)
    try:
        choice = parse_choice(instruction, response, NONE)
    except ChoiceFault:
        return
    assert write_choice(choice, NONE) == (instruction, response)


@pytest.mark.parametrize(
    ("instruction", "response", "reason"),
    [
        (INSTRUCTION, "A train waits. A", "no_marker"),
        (INSTRUCTION, f"{RESPONSE}.{MARKER} B", "several_markers"),
        (INSTRUCTION, f"A train waits{MARKER} A", "no_reason"),
        (INSTRUCTION, f"{MARKER} A", "no_reason"),
        (INSTRUCTION, f".{MARKER} A", "empty_part"),
        (INSTRUCTION, f"It waits.{MARKER} a train", "unreadable_answer"),
        (INSTRUCTION, f"It waits.{MARKER} D", "letter_out_of_range"),
        (INSTRUCTION.replace("B.", "C."), RESPONSE, "unreadable_option"),
        (INSTRUCTION.replace("B.", "b)"), RESPONSE, "unreadable_option"),
        ("What is here?\nA. None of these", RESPONSE, "too_few_options"),
        ("What is here?\nA. None of these\nB. A train", RESPONSE, "negative_not_last"),
        ("What is here?\nA. None of these\nB. None of these", RESPONSE, "negative_not_last"),
        (INSTRUCTION, f"It ### waits.{MARKER} A", "marker_in_text"),
        (INSTRUCTION, f"It\nwaits.{MARKER} A", "several_lines"),
        (INSTRUCTION, f" It waits.{MARKER} A", "padded_part"),
    ],
)
def test_what_was_not_written_so_is_refused_by_name(instruction: str, response: str, reason: str):
    with pytest.raises(ChoiceFault) as fault:
        parse_choice(instruction, response, NONE)
    assert fault.value.reason == reason


def test_too_many_options_and_a_place_without_option_are_not_written():
    shown = tuple(f"thing {number}" for number in range(26))
    with pytest.raises(ChoiceFault, match="too_many_options"):
        write_choice(Choice("q?", (*shown, NONE), 0, "r"), NONE)
    with pytest.raises(ChoiceFault, match="letter_out_of_range"):
        write_choice(replace(CHOICE, right=-1), NONE)


@given(PART, PART)
def test_likeness_is_symmetric_and_whole_for_equal_texts(one: str, other: str):
    assert measure_likeness(one, other) == pytest.approx(measure_likeness(other, one))
    assert 0 <= measure_likeness(one, other) <= 1
    assert measure_likeness("a red boat", "A red boat") == 1


# --- rows -----------------------------------------------------------------------------------------------------------

SETTINGS = ChoiceSettings(asking=PictureAsking(attempts=1))
RIGHT = {
    "question": "Which means of travel can be seen here?",
    "right": "A long train.",
    "wrong": ["Rowing boats", "An airship"],
    "reason": "A long train waits at the platform.",
}
NOTHING = {
    "question": "Which animals can be seen near the train?",
    "wrong": ["A camel", "White geese", "Some cattle"],
    "reason": "At the platform there is a train and nobody",
}


def make_scene(name: str) -> Scene:
    return Scene(
        pair_id=name,
        dump="d",
        captions=(f"A long train waits at the platform {name}",),
        boxes=(SceneBox("train", 0.1, 0.1, 0.9, 0.9),),
        label="station",
    )


def is_negative(scene: Scene) -> bool:
    return choose_place(make_id("scene_choices", scene.pair_id, "0"), SETTINGS) == SETTINGS.wrong + 1


SCENES = [make_scene(f"s{number}") for number in range(400)]
POSITIVE = [scene for scene in SCENES if not is_negative(scene)]
NEGATIVE = [scene for scene in SCENES if is_negative(scene)]


def find_scene(request: ChatRequest) -> str:
    return request.messages[-1].content.splitlines()[1].rpartition(" ")[2]


def say_well(request: ChatRequest) -> str:
    return json.dumps(NOTHING if request.messages[0].content == NONE_PROMPT.system else RIGHT)


def test_rows_can_be_read_and_their_letters_are_balanced():
    judged = make_choices(SCENES, ScriptedTeacher(say_well), SETTINGS)
    frame = SYNTHESIZED_INSTRUCTIONS.conform(judged.synthesis.frame)
    assert frame.height == 400
    letters = measure_letters(judged.details)
    assert set(letters) == set("ABCD")
    # of 400 draws by a quarter, 5 standard deviations are 43
    assert all(abs(count - 100) < 43 for count in letters.values()), letters
    for row, detail in zip(frame.iter_rows(named=True), judged.details.iter_rows(named=True), strict=True):
        read = parse_choice(row["instruction"], row["response"], SETTINGS.negative)
        assert list(read.options) == detail["options"]
        assert (LETTERS[read.right], read.reason) == (detail["letter"], detail["reason"])
        assert detail["is_negative"] == (detail["letter"] == "D")
        assert read.options[read.right] == (SETTINGS.negative if detail["is_negative"] else "A long train")
        assert row["images"] == [row["evidence"].splitlines()[0].rpartition(" ")[2]]


def test_letters_depend_neither_on_order_nor_on_the_rest():
    alone = make_choices(SCENES[7:8], ScriptedTeacher(say_well), SETTINGS).synthesis.frame
    turned = make_choices(SCENES[9::-1], ScriptedTeacher(say_well), SETTINGS).synthesis.frame
    assert alone.rows()[0] in turned.rows()


@pytest.mark.parametrize(
    ("one", "other", "are_apart"),
    [
        ("A dog", "A train", True),  # an article is no likeness
        ("A dog", "A cat", True),
        ("The dog", "A puppy", False),
        ("A sofa", "Couches", False),
        ("An animal", "A dog", False),
        ("A red car", "A blue car", False),
        ("A red car", "Two blue boats", True),
        ("On", "Off", True),
    ],
)
def test_options_are_apart_in_wording_and_in_meaning(one: str, other: str, are_apart: bool):
    assert (measure_likeness(one, other) < SETTINGS.most_alike) == are_apart
    assert measure_likeness(one, other) == measure_likeness(other, one)


def test_options_as_long_as_the_schema_lets_them_take_no_time():
    one, other = (" ".join(f"{letter}{number}" for number in range(250)) for letter in "vw")
    started = time.process_time()
    assert measure_likeness(one, other) == 0
    # word by word it takes six seconds
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("A vehicle", ["A camel", "White geese"], ""),  # the train is one
        ("A railway", ["A camel", "White geese"], "answer_without_evidence"),
        ("The platform", ["Some vehicle", "White geese"], "wrong_option_in_evidence"),
        ("A long train", ["Some vehicle", "White geese"], "options_alike"),
        ("A long train", ["A tram", "White geese"], ""),
        ("The platform", ["A camel", "Cars"], ""),
    ],
)
def test_an_option_is_told_of_by_other_names_too(right: str, wrong: list[str], reason: str):
    said = json.dumps({**RIGHT, "right": right, "wrong": wrong})
    judged = make_choices(POSITIVE[:1], ScriptedTeacher(lambda _: said), SETTINGS)
    assert judged.synthesis.rejected == ({reason: 1} if reason else {})


BROKEN = {
    "several_lines": {"question": "What\nis it?"},
    "empty_part": {"right": " ."},
    "marker_in_text": {"reason": "The answer ### is a train"},
    "question_without_question_mark": {"question": "Say what is here"},
    "option_too_long": {"wrong": ["A boat", "one two three four five six seven eight nine ten eleven"]},
    "negative_among_options": {"wrong": ["A boat", "None of the above"]},
    "options_alike": {"wrong": ["A white boat", "A white big boat"]},
    "reason_too_long": {"reason": "train " * 41},
    "reason_names_option": {"reason": "Option B is the train at the platform"},
    "coordinates_leak": {"reason": "The train is at [0.1, 0.1, 0.9, 0.9]"},
    "evidence_leak": {"reason": "The caption tells of a train"},
    "cannot_see": {"reason": "I cannot see the train in the image"},
    "answer_without_evidence": {"right": "A yellow helicopter"},
    "count_without_evidence": {"reason": "Three long trains wait at the platform"},
    "wrong_option_in_evidence": {"wrong": ["Rowing boats", "The station platform"]},
    "reason_without_evidence": {"reason": "Helicopters hover above mountains"},
}


def test_every_refusal_is_counted_by_its_name():
    scenes = POSITIVE[: len(BROKEN)]
    reasons = {scene.pair_id: reason for scene, reason in zip(scenes, BROKEN, strict=True)}

    def say(request: ChatRequest) -> str:
        return json.dumps({**RIGHT, **BROKEN[reasons[find_scene(request)]]})

    judged = make_choices(scenes, ScriptedTeacher(say), SETTINGS)
    assert judged.candidates["reason"].to_list() == list(BROKEN)
    assert judged.synthesis.rejected == dict(sorted(dict.fromkeys(BROKEN, 1).items()))
    assert judged.synthesis.planned == len(BROKEN)
    assert set(BROKEN) == set(REASONS)


def test_chinese_questions_are_measured_and_written_as_others_are():
    scene = replace(POSITIVE[0], captions=("一列长长的火车停在站台旁边，三个旅客提着箱子。",), boxes=(), label="")
    said = {
        "question": "图中可以看到哪一种交通工具？",
        "right": "停在站台旁边的一列长长的火车",
        "wrong": ["几只小船", "热气球"],
        "reason": "一列长长的火车停在站台旁边，三个旅客提着箱子。",
    }
    judged = make_choices([scene], ScriptedTeacher(lambda _: json.dumps(said)), SETTINGS)
    assert judged.synthesis.rejected == {}
    (row,) = judged.synthesis.frame.rows(named=True)
    assert row["response"].startswith("一列长长的火车停在站台旁边，三个旅客提着箱子.\n###\nANSWER: ")


def test_a_negative_question_has_wrong_options_alone():
    replies = iter([json.dumps({**NOTHING, "wrong": ["A camel", "A long train", "Some cattle"]}), json.dumps(RIGHT),
                    ChatFailure("timeout", "late"), json.dumps(NOTHING)])  # fmt: skip
    judged = make_choices(NEGATIVE[:4], ScriptedTeacher(lambda _: next(replies)), SETTINGS)
    assert judged.candidates["reason"].to_list() == ["wrong_option_in_evidence", "teacher_schema", "teacher_timeout"]
    assert judged.details["is_negative"].to_list() == [True]
    assert judged.synthesis.frame["response"][0].endswith("\n###\nANSWER: D")


def test_the_measure_of_likeness_is_an_argument():
    judged = make_choices(POSITIVE[:3], ScriptedTeacher(say_well), SETTINGS, similarity=lambda _one, _other: 0.5)
    assert judged.synthesis.rejected == {"options_alike": 3}
    assert (
        make_choices(POSITIVE[:3], ScriptedTeacher(say_well), SETTINGS, similarity=lambda _one, _other: 0.49)
        .details["most_alike"]
        .to_list()
        == [0.49] * 3
    )


@pytest.mark.parametrize("prompt", [CHOICE_PROMPT, NONE_PROMPT])
def test_the_examples_pass_the_checks_they_teach(prompt):
    for fields, reply in prompt.examples:
        lines = fields["symbols"].splitlines()
        wrong = len(reply["wrong"]) - ("right" not in reply)
        settings = replace(SETTINGS, wrong=wrong)
        names = (f"e{number}" for number in range(1000))
        scene = next(
            scene
            for scene in (
                Scene(
                    pair_id=name,
                    dump="d",
                    captions=tuple(line for line in lines if ": [" not in line),
                    boxes=tuple(SceneBox(line.split(":")[0], 0, 0, 1, 1) for line in lines if ": [" in line),
                )
                for name in names
            )
            if plan_choices([scene], settings)[0].prompt_version == prompt.version
        )
        judged = make_choices([scene], ScriptedTeacher(lambda _, reply=reply: json.dumps(reply)), settings)
        assert judged.synthesis.rejected == {}, judged.candidates.rows()


def test_settings_that_cannot_work_stop():
    with pytest.raises(ConfigurationError, match="1 to 24"):
        ChoiceSettings(wrong=25)
    with pytest.raises(ConfigurationError, match="one line"):
        ChoiceSettings(negative="none\nof these")
