"""LLM2LLM with a student of a known error set and a teacher that triggers every refusal."""

from __future__ import annotations

import json

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.llm2llm import (
    EVALUATION_SCHEMA,
    POOL_SCHEMA,
    Llm2llmSettings,
    augment_wrong,
)
from mmpipe.synthesis.llm2llm_rounds import evaluate_student, run_llm2llm, start_pool
from mmpipe.synthesis.row_account import RowAccount
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest

ANSWERS = {"right": "5", "sign": "-5", "half": "1/2", "cut": "7", "down": "8", "silent": "9", "unread": "6"}
SEEDS = pl.DataFrame(
    [{"problem_id": n, "dump": "x", "question": f"What is the {n} number?", "answer": a} for n, a in ANSWERS.items()]
    + [{"problem_id": "broken", "dump": "x", "question": "What?", "answer": "unknown"}]
)
#: The published compare of LLM2LLM takes the second and third for right.
SAID = {"right": "The answer is 5.", "sign": "The answer is 5.", "half": "The answer is 12.", "unread": "Who knows?"}


def study(request: ChatRequest) -> str | ChatReply | ChatFailure:
    name = request.messages[-1].content.split()[4]
    if name == "down":
        return ChatFailure("connection", "reset")
    if name == "cut":
        return ChatReply("The answer is 7", "length", 1, 4)
    return SAID.get(name, "")


def write(question: str, answer: str = "4", solution: str = "Two and two. The answer is 4.") -> str:
    return json.dumps({"question": question, "solution": solution, "answer": answer})


def test_the_student_is_judged_by_value() -> None:
    evaluation = evaluate_student(start_pool(SEEDS, Llm2llmSettings()), ScriptedTeacher(study), Llm2llmSettings())
    assert evaluation.schema == EVALUATION_SCHEMA
    assert {row["problem_id"]: (row["is_right"], row["reason"]) for row in evaluation.rows(named=True)} == {
        "right": (True, ""),
        "sign": (False, "wrong_answer"),
        "half": (False, "wrong_answer"),
        "cut": (False, "teacher_truncated"),
        "silent": (False, "empty_reply"),
        "unread": (False, "answer_unreadable"),
        "down": (None, "teacher_connection"),
    }


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (write("How many legs has a dog?"), ""),
        (write("  ?! "), "question_empty"),
        (write("What is the sign number?"), "question_repeats_seed"),
        (write("What is the   RIGHT number?"), "question_known"),
        (write("How many legs has a dog?", answer="four"), "answer_unreadable"),
        (write("How many legs has a dog?", solution="The answer is -4."), "solution_misses_answer"),
        ("no json", "teacher_schema"),
        (ChatFailure("rate", "429"), "teacher_rate"),
    ],
)
def test_new_items_are_refused_by_reason(reply: str | ChatFailure, reason: str) -> None:
    pool = start_pool(SEEDS, Llm2llmSettings())
    evaluation = pl.DataFrame([("sign", 0, "5", False, "wrong_answer")], schema=EVALUATION_SCHEMA, orient="row")
    judged, grown = augment_wrong(pool, evaluation, ScriptedTeacher(lambda _: reply), Llm2llmSettings())
    assert judged.synthesis.rejected == ({reason: 1} if reason else {})
    assert judged.candidates.height + judged.synthesis.frame.height == judged.synthesis.planned == 1
    assert grown.height - pool.height == int(not reason)
    assert grown.schema == POOL_SCHEMA


def test_one_new_item_per_wrong_seed_and_none_twice() -> None:
    pool = start_pool(SEEDS, Llm2llmSettings())
    evaluation = evaluate_student(pool, ScriptedTeacher(study), Llm2llmSettings())
    teacher = ScriptedTeacher(lambda _: write("How many legs has a dog?"))
    judged, grown = augment_wrong(pool, evaluation, teacher, Llm2llmSettings(), 3)
    # wrong: sign, half, cut, silent, unread; the one that never answered is not augmented
    assert len(teacher.asked) == 5
    assert judged.synthesis.rejected == {"question_known": 4}
    row = judged.synthesis.frame.row(0, named=True)
    assert row["parents"] == [{"table": "problems", "id": "sign"}]
    assert (row["instruction"], row["response"]) == ("How many legs has a dog?", "Two and two. The answer is 4.")
    assert grown.filter(pl.col("origin") == "augmented").select("round", "seed_id").rows() == [(3, "sign")]
    assert "The pupil's answer: The answer is 5." in teacher.asked[0].messages[-1].content


def test_an_augmentation_is_never_augmented() -> None:
    pool = start_pool(SEEDS, Llm2llmSettings())
    evaluation = pl.DataFrame([("sign", 0, "5", False, "wrong_answer")], schema=EVALUATION_SCHEMA, orient="row")
    teacher = ScriptedTeacher(lambda _: write("How many legs has a dog?"))
    _, grown = augment_wrong(pool, evaluation, teacher, Llm2llmSettings())
    made = grown.filter(pl.col("origin") == "augmented")["problem_id"][0]
    student = ScriptedTeacher(study)
    assert made not in set(evaluate_student(grown, student, Llm2llmSettings())["problem_id"])
    stray = pl.DataFrame([(made, 0, "5", False, "wrong_answer")], schema=EVALUATION_SCHEMA, orient="row")
    with pytest.raises(ConfigurationError, match="seed items only; 1 evaluated items"):
        augment_wrong(grown, stray, teacher, Llm2llmSettings())


@pytest.mark.parametrize(("right", "is_kept"), [(3, True), (2, True), (1, False), (0, False)])
def test_the_teacher_must_agree_with_itself(right: int, is_kept: bool) -> None:
    pool = start_pool(SEEDS, Llm2llmSettings())
    evaluation = pl.DataFrame([("sign", 0, "5", False, "wrong_answer")], schema=EVALUATION_SCHEMA, orient="row")

    def say(request: ChatRequest) -> str:
        if request.schema is not None:
            return write("How many legs has a dog?")
        return f"The answer is {4 if request.sample_index < right else -4}."

    judged, _ = augment_wrong(pool, evaluation, ScriptedTeacher(say), Llm2llmSettings(votes=3))
    assert judged.synthesis.rejected == ({} if is_kept else {"teacher_disagrees": 1})
    assert judged.synthesis.spent.requests == 4
    even, _ = augment_wrong(pool, evaluation, ScriptedTeacher(say), Llm2llmSettings(votes=2))
    # one of two is no majority
    assert even.synthesis.frame.height == int(right >= 2)
    if is_kept:
        assert judged.synthesis.frame["attempts"].to_list() == [4]


def test_rounds_end_when_the_student_is_right() -> None:
    sizes: list[int] = []

    def train(number: int, pool: pl.DataFrame) -> ScriptedTeacher:
        sizes.append(pool.height)
        learnt = pool.filter(pl.col("origin") == "augmented").height

        def say(request: ChatRequest) -> str:
            name = request.messages[-1].content.split()[4]
            # knows one more seed item with every item it was given
            knows = name in list(ANSWERS)[: 5 + learnt]
            return f"The answer is {ANSWERS[name] if knows else 99}."

        return ScriptedTeacher(say)

    numbers = iter(range(100))
    teacher = ScriptedTeacher(lambda _: write(f"How many legs have {next(numbers)} dogs and cats?"))
    rounds = run_llm2llm(SEEDS, train, teacher, Llm2llmSettings())
    assert sizes == [7, 9]
    assert [made.evaluation["is_right"].sum() for made in rounds] == [5, 7]
    assert [made.judged.synthesis.planned for made in rounds] == [2, 0]


def test_a_share_of_the_seeds_is_chosen_by_hash() -> None:
    chosen = start_pool(SEEDS, Llm2llmSettings(seed_share=0.4))
    assert chosen.height == 3
    assert set(chosen["problem_id"]) == set(start_pool(SEEDS.reverse(), Llm2llmSettings(seed_share=0.4))["problem_id"])
    assert set(chosen["problem_id"]) <= set(start_pool(SEEDS, Llm2llmSettings(seed_share=0.8))["problem_id"])


def test_seeds_that_cannot_be_used_are_named() -> None:
    account = RowAccount()
    assert start_pool(SEEDS, Llm2llmSettings(), account).height == 7
    assert account.refused == [{"id": "broken", "text": "What?", "reason": "right_answer_unreadable"}]
