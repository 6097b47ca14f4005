"""What proves an answer right or wrong, and what proves nothing; answers of a model to prompts that stand alone."""

from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.synthesis.answer_checks import AnswerCheck, AnswerKind
from mmpipe.synthesis.answer_verifiers import make_verifier, read_program, run_tests
from mmpipe.synthesis.plain_answers import PlainSettings, sample_answers
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest


@pytest.mark.parametrize(
    ("kind", "answer", "reference", "verdict"),
    [
        ("number", "So the answer is 42.", "42", True),
        ("number", "So the answer is 41.", "42", False),
        ("number", "So the answer is -42.", "42", False),
        ("number", "I do not know.", "42", None),
        # the set's own answer is no number: nothing is proved
        ("number", "So the answer is 42.", "a museum", None),
        ("number", "So the answer is 42.", "", None),
        # sets whose answers are whole solutions: GSM8K's, MATH's, and rows that reason
        ("number", "So the answer is 72.", "Half is 48/2 = <<48/2=24>>24.\n#### 72", True),
        ("number", "So the answer is 24.", "Half is 48/2 = <<48/2=24>>24.\n#### 72", False),
        ("number", "So the answer is 1200.", r"We get $3 \cdot 400 = \boxed{1{,}200}$.", True),
        ("text", "The answer is Paris.", "It lies on the Seine.\nThe answer is Paris.", True),
        ("text", "The answer is Paris.", "paris", True),
        ("text", "The answer is Rome.", "paris", False),
    ],
)
def test_only_a_final_answer_proves_something(
    kind: AnswerKind, answer: str, reference: str, verdict: bool | None
) -> None:
    assert make_verifier(AnswerCheck(kind=kind))({"answer": answer, "reference": reference}) is verdict


def test_a_program_is_right_if_it_reaches_the_end_of_its_tests() -> None:
    tests = "assert f(2) == 4"
    answers = {
        "right": "Here:\n```python\ndef f(n):\n    return n * 2\n```\nDone.",
        "loud": "def f(n):\n    print('x', end='')\n    return n * 2",
        "wrong": "def f(n):\n    return n * 3",
        "no code": "I would double it.",
        "exits": "import sys\nsys.exit(0)",
        "guesses": "print('0' * 32)\nraise SystemExit",
    }
    rows = [{"answer_id": name, "answer": text, "tests": tests} for name, text in answers.items()]
    verdicts = run_tests(rows, ProgramSandbox(workers=1))

    assert {name for name, verdict in verdicts.items() if verdict} == {"right", "loud"}
    assert None not in verdicts.values()


def test_the_last_block_is_the_program() -> None:
    assert read_program("```py\na\n```\nBetter:\n```\nb\n```") == "b\n"
    assert read_program("c = 1") == "c = 1"


def test_answers_that_did_not_come_are_counted() -> None:
    def script(request: ChatRequest) -> str | ChatReply | ChatFailure:
        cut = ChatReply("It goes on", finish_reason="length", prompt_tokens=1, completion_tokens=1)
        return ("Well.", " ", cut, ChatFailure("server", "503"))[request.sample_index]

    prompts = pl.DataFrame({"prompt_id": ["b", "a"], "prompt": ["B?", "A?"]})
    teacher = ScriptedTeacher(script)
    made = sample_answers(prompts, teacher, PlainSettings())

    assert made.frame.select("prompt_id", "answer").rows() == [("a", "Well."), ("b", "Well.")]
    assert made.rejected == {"empty_answer": 2, "cut_answer": 2, "teacher_server": 2}
    assert len({request.sampling.seed for request in teacher.asked}) == 8
    assert made.frame["answer_id"].n_unique() == 2
    with pytest.raises(ConfigurationError, match="2 or more"):
        PlainSettings(samples=1)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("Each has 3, so 3 * 4 = 12.", True),
        ("3 * 4 = 12, and 12 it is.", True),
        ("3 * 4 = 12, which makes 12.0 in all", True),
        # either may be meant
        ("3 * 4 = 12, so he has 2 boxes.", None),
        ("3 * 5 = 15, of which 12 are left.", None),
        # a mark says which
        ("3 * 4 = 12, so he has 2 boxes. The answer is 12.", True),
        ("3 * 4 = 12, so he has 2 boxes. The answer is 2.", False),
        ("3 * 4 = 12, \\boxed{13}", False),
        ("I count 13.", False),
        ("nothing = nothing", None),
    ],
)
def test_an_answer_that_says_two_numbers_proves_nothing(answer: str, is_right: bool | None) -> None:
    assert make_verifier(AnswerCheck())({"answer": answer, "reference": "12"}) is is_right
