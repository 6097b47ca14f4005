"""What who answers, and who judges, is shown: the passage, a picture in words, or the instruction and nothing else."""

from __future__ import annotations

import json

import polars as pl

from mmpipe.lanes.preference_runs import list_answers
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.judgements import ALONE_PROMPTS, PROMPTS, JudgementSettings, judge_responses
from mmpipe.synthesis.responses import ALONE, PROMPT, ResponseSettings, sample_responses
from mmpipe.synthesis.ultrafeedback import UltraFeedbackSettings, judge_answers
from mmpipe.tables.chat import ChatRequest

CODE = "def double(n): return 2 * n"
ROWS = pl.DataFrame(
    {
        "instruction_id": ["passage", "picture", "code", "alone"],
        "dump": ["x"] * 4,
        "instruction": ["Who built it?", "What is this?", "Write the function that gives 4 for 2.", "Say hello."],
        "context": ["Clara built it. It fell.", None, None, None],
        "evidence": ["Clara built it.", "a red cup", CODE, ""],
        "response": ["Clara.", "A cup.", CODE, "Hello."],
        "images": [[], ["pair1"], [], []],
    }
)


def show(request: ChatRequest) -> str:
    return str(request.messages[-1].content)


def test_the_evidence_of_a_row_without_a_picture_is_not_shown_to_who_answers() -> None:
    teacher = ScriptedTeacher(lambda _: "So it is.")
    made = sample_responses(ROWS, teacher, ResponseSettings(samples=1)).frame
    assert [show(request) for request in teacher.asked] == [
        "Text: Clara built it. It fell.\n\nQuestion: Who built it?",
        "Text: a red cup\n\nQuestion: What is this?",
        "Write the function that gives 4 for 2.",
        "Say hello.",
    ]
    # a row says with which words it was asked for
    assert made["prompt_version"].to_list() == [PROMPT.version] * 2 + [ALONE.version] * 2
    assert all("given text" not in str(request.messages) for request in teacher.asked[2:])


def test_a_judge_is_not_told_of_a_text_that_is_not_there() -> None:
    responses = sample_responses(ROWS, ScriptedTeacher(lambda _: "Hi."), ResponseSettings(samples=1)).frame
    judge = ScriptedTeacher(lambda _: '{"rationale": "good", "score": 8}', "scripted:judge@0")
    made = judge_responses(responses, ROWS, judge, JudgementSettings(criterion="truthfulness"))
    assert [show(request).startswith("Text: ") for request in judge.asked] == [True, True, True, False]
    assert show(judge.asked[3]) == "Instruction: Say hello.\nAnswer: Hi."
    assert "text" not in judge.asked[3].messages[0].content
    versions = [PROMPTS[1].version] * 3 + [ALONE_PROMPTS[1].version]
    assert made.frame["prompt_version"].to_list() == versions
    assert [prompt.name for prompt in ALONE_PROMPTS] == [f"{prompt.name}_alone" for prompt in PROMPTS]


def test_a_judge_reads_all_that_the_answer_may_rest_on() -> None:
    rows = pl.DataFrame(
        {
            "instruction_id": ["within", "input", "beside"],
            "dump": ["x"] * 3,
            "instruction": ["Who built it?", "Put it in the past.", "Who sailed?"],
            # the input of a Self-Instruct task has no evidence; RAFT may leave the evidence out of the documents
            "context": ["Clara built it. It fell.", "She sings.", "<DOCUMENT>Bees fly.</DOCUMENT>"],
            "evidence": ["Clara  built it.", "", "Mia sailed."],
        }
    )
    responses = sample_responses(rows, ScriptedTeacher(lambda _: "Hi."), ResponseSettings(samples=1)).frame
    judge = ScriptedTeacher(lambda _: '{"rationale": "good", "score": 8}', "scripted:judge@0")
    judge_responses(responses, rows, judge, JudgementSettings())
    assert [show(request).partition("\nQuestion: ")[0] for request in judge.asked] == [
        "Text: Clara built it. It fell.",
        "Text: She sings.",
        "Text: <DOCUMENT>Bees fly.</DOCUMENT>\n\nMia sailed.",
    ]


def test_whoever_rates_answers_about_a_picture_is_told_what_it_shows() -> None:
    responses = sample_responses(ROWS, ScriptedTeacher(lambda _: "Hi."), ResponseSettings(samples=1)).frame
    answers = list_answers(responses, ROWS)
    assert answers["picture"].to_list() == ["", "a red cup", "", ""]

    def rate(_: ChatRequest) -> str:
        return json.dumps({"ratings": [{"answer": 1, "rationale": "Fine.", "rating": 4}]})

    judge = ScriptedTeacher(rate, "scripted:judge@0")
    settings = UltraFeedbackSettings(aspects=("truthfulness",), criticises=False)
    judge_answers(answers, judge, settings)
    told = {show(request).split("\n")[0]: show(request) for request in judge.asked}
    assert "What the picture shows: a red cup" in told["Instruction: What is this?"]
    assert CODE not in told["Instruction: Write the function that gives 4 for 2."]
    assert sum("What the picture shows" in text for text in told.values()) == 1
