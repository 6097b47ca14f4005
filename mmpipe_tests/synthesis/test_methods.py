"""Grounded questions, image instructions, responses and judgements, with a scripted teacher."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.drafts import Synthesis, synthesize
from mmpipe.synthesis.grounded_questions import (
    GroundedQuestionSettings,
    accept_grounded_question,
    plan_grounded_questions,
)
from mmpipe.synthesis.image_instructions import (
    DESCRIBE,
    ImageInstructionSettings,
    accept_image_instruction,
    plan_image_instructions,
)
from mmpipe.synthesis.judgements import JudgementSettings, judge_responses
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.reference_judgements import judge_by_reference, measure_overlap
from mmpipe.synthesis.responses import ResponseSettings, sample_responses
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

SENTENCE = "Clara Benn designed the stone bridge in 1877 for the town of Holt."
DOCUMENTS = pl.DataFrame(
    {
        "doc_id": ["d1", "d2", "d3"],
        "dump": ["x", "x", "x"],
        "language": ["en", "en", "de"],
        "text": [f"{SENTENCE} It is long.", f"{SENTENCE} Nobody paid for it.", f"{SENTENCE} Sie ist lang."],
    }
)
SETTINGS = GroundedQuestionSettings(passage_chars=(40, 300))
GOOD = {"question": "Who designed the stone bridge?", "answer": "Clara Benn designed the stone bridge."}


def write(replies: Any, settings: GroundedQuestionSettings = SETTINGS, attempts: int = 3) -> Synthesis:
    teacher = ScriptedTeacher(replies)
    planned = plan_grounded_questions(DOCUMENTS, settings)
    return synthesize(planned, teacher, partial(accept_grounded_question, settings=settings), attempts=attempts)


def test_a_row_tells_how_it_was_made() -> None:
    made = write(lambda _: json.dumps(GOOD))
    row = made.frame.row(0, named=True)
    assert made.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert (made.planned, made.frame.height, made.rejected) == (2, 2, {})
    assert row["evidence"] == SENTENCE
    assert row["evidence"] in row["context"]
    assert row["parents"] == [{"table": "deduped_corpus", "id": "d1"}]
    assert (row["stage"], row["mode"]) == ("instruction_tuning", "general_distillation.from_seeds")
    assert row["prompt_version"].startswith("grounded_questions/sentence@")
    assert json.loads(row["sampling"])["temperature"] == 0.0
    assert row["teacher"] == "scripted:script@0"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            {"question": "Who designed the stone bridge?", "answer": "Ada Byron drew a wooden tunnel."},
            "answer_ungrounded",
        ),
        # all words but one are told, and that one is what was asked for
        (
            {
                "question": "When was the stone bridge designed?",
                "answer": "Clara Benn designed the stone bridge for the town of Holt in 1878.",
            },
            "answer_ungrounded",
        ),
        (
            {
                "question": "Who designed the stone bridge?",
                "answer": "Clara Benn designed the four stone bridges for the town of Holt in 1877.",
            },
            "answer_ungrounded",
        ),
        (
            {"question": "Who designed the stone bridge of Holt in 1871?", "answer": "Clara Benn designed it."},
            "question_ungrounded",
        ),
        ({"question": "Which planet is the largest in space?", "answer": "Clara Benn."}, "question_ungrounded"),
        ({"question": f"{SENTENCE[:-1]}?", "answer": "Clara Benn."}, "question_copied"),
        ({"question": "Who is Clara Benn of Holt?", "answer": "Clara Benn."}, "question_gives_answer"),
        (
            {"question": "Who designed the stone bridge?", "answer": "Who designed the stone bridge in 1877?"},
            "answer_is_question",
        ),
        ({"question": "How old is the stone bridge?", "answer": "Clara Benn designed it."}, "answer_of_another_kind"),
        (
            {"question": "Who designed the bridge?", "answer": "The town of Holt designed Clara Benn."},
            "answer_rearranged",
        ),
        ({"question": "Who designed the stone bridge?", "answer": "Clara Benn, "}, "answer_unfinished"),
        (
            {
                "question": "Who designed the bridge?",
                "answer": "Clara Benn designed Clara Benn designed Clara Benn designed.",
            },
            "repetition",
        ),
        ("not json", "teacher_schema"),
        ({"question": "Too short", "answer": "x"}, "teacher_schema"),
    ],
)
def test_failures_are_counted_by_reason_and_are_no_rows(reply: Any, reason: str) -> None:
    made = write(lambda _: reply if isinstance(reply, str) else json.dumps(reply), attempts=2)
    assert made.frame.height == 0
    assert made.rejected == {reason: 2}
    assert made.rejected_replies == {reason: 4}


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        ("Who designed the bridge?", "Ada Byron drew a tunnel.", {"measure": "grounding", "low": 0.8, "value": 0.0}),
        ("Who designed the bridge?", "Clara Benn designed the stone bridge for Holt in 1878.",
         {"found": "untold numbers: 1878"}),
        ("Who designed the bridge?", "Clara Benn, ", {"found": "Clara Benn,"}),
    ],
)  # fmt: skip
def test_a_refused_question_says_what_was_measured(question: str, answer: str, told: dict[str, Any]) -> None:
    made = write(lambda _: json.dumps({"question": question, "answer": answer}), attempts=1)
    assert made.candidates is not None
    assert [json.loads(one) for one in made.candidates["details"]] == [told, told]


def test_a_failed_row_is_asked_again_with_another_seed() -> None:
    asked: list[ChatRequest] = []

    def script(request: ChatRequest) -> str:
        asked.append(request)
        return json.dumps(GOOD if request.sample_index == 2 else {"question": "Who designed it all?", "answer": "Me."})

    made = write(script)
    assert made.frame["attempts"].to_list() == [3, 3]
    assert made.frame["completion_tokens"].to_list() == [sum(made.frame["completion_tokens"]) // 2] * 2
    assert made.spent.completion_tokens == sum(made.frame["completion_tokens"])
    mine = asked[::2]  # two rows, three rounds
    assert len({request.sampling.seed for request in mine}) == 3
    assert [request.sampling.temperature for request in mine] == [0.0, 0.7, 0.7]
    assert made.frame["seed"].to_list()[0] == mine[2].sampling.seed


def test_rows_and_rejections_add_up_and_every_attempt_is_paid() -> None:
    def script(request: ChatRequest) -> str | ChatFailure:
        if "d2" in request.messages[-1].content or request.sampling.seed % 2:
            return ChatFailure("truncated", "cut", prompt_tokens=10, completion_tokens=4, cost=0.5)
        return json.dumps(GOOD)

    made = write(script)
    assert made.planned == made.frame.height + sum(made.rejected.values())
    assert made.spent.cost == 0.5 * made.rejected_replies.get("teacher_truncated", 0)
    assert made.spent.requests == made.frame.height + sum(made.rejected_replies.values())


def test_plans_depend_on_the_document_alone() -> None:
    one = {plan.instruction_id: plan for plan in plan_grounded_questions(DOCUMENTS, SETTINGS)}
    other = {plan.instruction_id: plan for plan in plan_grounded_questions(DOCUMENTS.reverse(), SETTINGS)}
    assert one == other
    assert len(plan_grounded_questions(DOCUMENTS, GroundedQuestionSettings(passage_chars=(40, 300), documents=1))) == 1
    assert len(plan_grounded_questions(DOCUMENTS, GroundedQuestionSettings(passage_chars=(40, 300), languages=()))) == 3


def test_an_unknown_prompt_is_named() -> None:
    with pytest.raises(ConfigurationError, match="grounded_questions/passage"):
        plan_grounded_questions(DOCUMENTS, GroundedQuestionSettings(prompt="grounded_questions/pasage"))


def test_a_changed_word_is_another_version() -> None:
    assert Prompt("n", "a", "{x}").version != Prompt("n", "b", "{x}").version
    assert Prompt("n", "a", "{x}").version == Prompt("n", "a", "{x}").version


PAIRS = pl.DataFrame({"pair_id": ["p1"], "dump": ["x"], "caption": ["Two purple circles on a green background"]})


def look(replies: dict[str, Any]) -> Synthesis:
    settings = ImageInstructionSettings()
    teacher = ScriptedTeacher(
        lambda request: json.dumps(replies["question" if "question" in request.messages[0].content else "describe"])
    )
    return synthesize(
        plan_image_instructions(PAIRS, settings), teacher, partial(accept_image_instruction, settings=settings)
    )


def test_image_instructions_are_answered_as_if_seeing() -> None:
    made = look(
        {
            "question": {"question": "How many circles are there?", "answer": "There are two purple circles."},
            "describe": {"answer": "Two purple circles are on a green background."},
        }
    )
    asked, described = made.frame.rows(named=True)
    assert asked["instruction"] == "How many circles are there?"
    assert described["instruction"] in DESCRIBE
    assert asked["images"] == described["images"] == ["p1"]
    assert asked["context"] is None
    assert asked["parents"] == [{"table": "filtered_image_pairs", "id": "p1"}]
    assert asked["mode"] == "general_distillation.multimodal"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The caption says two purple circles.", "caption_leak"),
        ("I cannot see two purple circles.", "cannot_see"),
        ("Two purple circles are on a red sofa.", "answer_ungrounded"),
        ("There are 3 purple circles on a green background.", "answer_ungrounded"),
        ("Two purple circles,", "answer_unfinished"),
    ],
)
def test_image_answers_that_will_not_do(answer: str, reason: str) -> None:
    made = look(
        {"question": {"question": "What is on the green background?", "answer": answer}, "describe": {"answer": answer}}
    )
    assert made.rejected == {reason: 2}


INSTRUCTIONS = pl.DataFrame(
    {
        "instruction_id": ["i1", "i2"],
        "dump": ["x", "x"],
        "instruction": ["Who built it?", "What is this?"],
        "context": ["Clara Benn built it. Then it fell.", None],
        "evidence": ["Clara Benn built it.", "a red cup"],
        "response": ["Clara Benn built it.", "A red cup."],
    }
)


def test_responses_are_sampled_with_seeds_of_their_own() -> None:
    teacher = ScriptedTeacher(lambda request: f"answer {request.sampling.seed}")
    made = sample_responses(INSTRUCTIONS, teacher, ResponseSettings(samples=3))
    assert made.frame["sample_index"].to_list() == [0, 1, 2] * 2
    assert made.frame["response"].n_unique() == made.frame["response_id"].n_unique() == 6
    assert "Then it fell." in teacher.asked[0].messages[-1].content
    assert "a red cup" in teacher.asked[3].messages[-1].content
    assert sample_responses(INSTRUCTIONS, teacher, ResponseSettings(instructions=1, samples=2)).frame.height == 2


def test_responses_that_fail_or_are_empty_are_counted() -> None:
    def script(request: ChatRequest) -> str | ChatReply | ChatFailure:
        return ChatFailure("timeout", "slow") if request.sample_index else ChatReply("  ", "stop", 1, 1)

    made = sample_responses(INSTRUCTIONS, ScriptedTeacher(script), ResponseSettings(samples=2))
    assert made.frame.height == 0
    assert made.rejected == {"empty_response": 2, "teacher_timeout": 2}


def test_an_unread_judgement_has_no_score_and_is_no_low_one() -> None:
    responses = sample_responses(
        INSTRUCTIONS, ScriptedTeacher(lambda _: "Clara Benn."), ResponseSettings(samples=3)
    ).frame
    said = iter(['{"rationale": "good", "score": 8}', "8 of 10!", '{"rationale": "x", "score": 11}'] * 2)
    made = judge_responses(
        responses, INSTRUCTIONS, ScriptedTeacher(lambda _: next(said), "scripted:judge@0"), JudgementSettings()
    )
    assert made.frame["score"].to_list() == [8.0, None, None] * 2
    assert made.frame["judgement_status"].to_list() == ["ok", "unparsed", "unparsed"] * 2
    assert made.frame["score"].mean() == 8.0
    assert made.rejected_replies == {"teacher_schema": 4}
    assert made.planned == made.frame.height


def test_a_judge_is_not_asked_about_its_own_family_unless_told_to() -> None:
    writer = ScriptedTeacher(lambda _: "Clara Benn.", "openai:o3-mini@1")
    responses = sample_responses(INSTRUCTIONS, writer, ResponseSettings(samples=2)).frame
    other = sample_responses(
        INSTRUCTIONS, ScriptedTeacher(lambda _: "So.", "openai:qwen2@1"), ResponseSettings(samples=2)
    )
    both = pl.concat([responses, other.frame.with_columns(pl.format("{}-q", "response_id").alias("response_id"))])
    judge = ScriptedTeacher(lambda _: '{"rationale": "good", "score": 8}', "openai:gpt-4o@1")

    kin = JudgementSettings(families={"o3-mini": "gpt"})
    made = judge_responses(both, INSTRUCTIONS, judge, kin).frame
    assert made["judgement_status"].to_list() == ["own_family"] * responses.height + ["ok"] * other.frame.height
    assert made.filter(judgement_status="own_family")["score"].null_count() == responses.height
    assert made.filter(judgement_status="own_family")["attempts"].sum() == 0
    assert len(judge.asked) == other.frame.height

    told = judge_responses(both, INSTRUCTIONS, judge, replace(kin, judges_own_family=True)).frame
    assert set(told["judgement_status"]) == {"ok"}


@pytest.mark.parametrize(
    ("response", "reference", "overlap"),
    [
        ("It is not safe.", "It is safe.", (0.5, 1.0)),
        ("-7", "7", (0.5, 1.0)),
        ("−7 degrees", "minus 7 degrees", (1.0, 1.0)),
        ("x-7", "x-7", (1.0, 1.0)),
        # words of grammar alone are all there is to compare
        ("not", "no", (0.0, 0.0)),
        ("A", "I", (0.0, 0.0)),
        ("The.", "the", (1.0, 1.0)),
        ("", "no", (0.0, 0.0)),
        ("The harbour opened in 1931.", "In 1931 the harbour opened.", (1.0, 1.0)),
    ],
)
def test_what_turns_an_answer_round_counts(response: str, reference: str, overlap: tuple[float, float]) -> None:
    assert measure_overlap(response, reference) == overlap


def test_judging_by_reference_needs_no_teacher() -> None:
    said = iter(["Clara Benn built it.", "Somebody.", "Clara."] * 2)
    responses = sample_responses(INSTRUCTIONS, ScriptedTeacher(lambda _: next(said)), ResponseSettings(samples=3)).frame
    nobody = ScriptedTeacher(lambda _: ChatFailure("refused", "not asked"))
    made = judge_responses(responses, INSTRUCTIONS, nobody, JudgementSettings(criterion="answer_f1"))
    assert nobody.asked == []
    assert made.frame["score"].to_list()[:3] == [10.0, 1.0, 5.5]
    assert made.frame.equals(judge_by_reference(responses, INSTRUCTIONS).frame)
    with pytest.raises(ConfigurationError, match="helpfulness"):
        judge_responses(responses, INSTRUCTIONS, nobody, JudgementSettings(criterion="helpfullness"))
