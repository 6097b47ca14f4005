"""STaR with a scripted student: right at once, right with the hint only, leaking, wrong, silent."""

from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.answer_checks import AnswerCheck
from mmpipe.synthesis.star import (
    DIRECT,
    HINTED,
    StarRound,
    StarSettings,
    count_training_steps,
    find_hint_leak,
    run_star,
    run_star_round,
)
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

#: question -> (said without the hint, said with it)
SCRIPT = {
    "direct": ("Two and two make four. The answer is 4.", "never asked"),
    "with the hint": ("Two and two make five. The answer is 5.", "One, two, three, four. The answer is 4."),
    "sign": ("Two and two make minus four. The answer is -4.", "Two and two make -4. The answer is −4."),
    "leaks": ("The answer is 5.", "Since the answer is 4, two and two make 4. The answer is 4."),
    "bare": ("The answer is 4.", "The answer is 4."),
    "cut": ("cut", "cut"),
    "silent": ("", ""),
    "unread": ("I do not know.", "I do not know."),
    "down": ("down", "down"),
}
PROBLEMS = pl.DataFrame(
    [{"problem_id": name, "dump": "x", "question": f"What is 2 + 2? ({name})", "answer": "4"} for name in SCRIPT]
    + [
        {"problem_id": "broken", "dump": "x", "question": "What is it?", "answer": "four"},
        {"problem_id": "empty", "dump": "x", "question": " ", "answer": "4"},
    ]
)


def say(request: ChatRequest) -> str | ChatReply | ChatFailure:
    asked = request.messages[-1].content
    name = asked[asked.index("(") + 1 : asked.index(")")]
    said = SCRIPT[name][int(asked.endswith("[4]"))]
    if said == "cut":
        return ChatReply("Two and two. The answer is 4", "length", 3, 3)
    return ChatFailure("server", "500", prompt_tokens=7) if said == "down" else said


def test_the_hint_is_the_final_answer_of_a_whole_solution() -> None:
    solved = {"problem_id": "p", "dump": "x", "question": "Two and 3?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}
    student = ScriptedTeacher(lambda _: "I do not know.")
    made = run_star_round(pl.DataFrame([solved]), student, StarSettings())
    assert made.judged.synthesis.rejected == {"answer_unreadable": 1}
    assert [request.messages[-1].content for request in student.asked] == [
        "Problem: Two and 3?",
        "Problem: Two and 3? [5]",
    ]


@pytest.mark.parametrize(
    ("text", "answer"), [("Half of 3 is 3 / 2 = 1.5.", "3/2"), ("3 / 2 = 1.5. The answer is 1.5.", "1.5")]
)
def test_the_answer_of_a_rationale_is_no_sentence(text: str, answer: str) -> None:
    problem = {"problem_id": "p", "dump": "x", "question": "Half of 3?", "answer": "1.5"}
    made = run_star_round(pl.DataFrame([problem]), ScriptedTeacher(lambda _: text), StarSettings())
    assert made.judged.details["answer"].to_list() == [answer]


def test_a_round_keeps_the_right_ones_and_accounts_for_all_others() -> None:
    made = run_star_round(PROBLEMS, ScriptedTeacher(say), StarSettings(), 1)
    frame, details = made.judged.synthesis.frame, made.judged.details
    assert frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert dict(zip(details["problem_id"], details["origin"], strict=True)) == {
        "direct": "direct",
        "with the hint": "rationalised",
    }
    assert made.judged.synthesis.rejected == {
        "answer_unreadable": 1,
        "empty_question": 1,
        "empty_reply": 1,
        "hint_leaked": 1,
        "no_rationale": 1,
        "right_answer_unreadable": 1,
        "teacher_server": 1,
        "teacher_truncated": 1,
        "wrong_answer": 1,
    }
    assert made.judged.synthesis.candidates is made.judged.candidates
    assert made.judged.synthesis.planned == PROBLEMS.height == frame.height + made.judged.candidates.height
    # both attempts of all that stayed wrong, and the first of the one that was mended
    assert made.judged.synthesis.rejected_replies == {
        "wrong_answer": 4,
        "answer_unreadable": 2,
        "empty_reply": 2,
        "no_rationale": 2,
        "teacher_server": 2,
        "teacher_truncated": 2,
        "hint_leaked": 1,
    }
    assert made.numbers == {
        "problems": 9,
        "problems_unreadable": 2,
        "direct_right": 1,
        "rationalised_right": 1,
        "unsolved": 7,
        "hint_leaked": 1,
        "no_rationale": 2,
    }
    assert made.steps == 48
    assert made.judged.synthesis.spent.requests == 9 + 8


def test_the_hint_is_gone_from_what_is_saved() -> None:
    made = run_star_round(PROBLEMS, ScriptedTeacher(say), StarSettings())
    row = made.judged.synthesis.frame.filter(pl.col("prompt_version") == HINTED.version).row(0, named=True)
    assert row["instruction"] == "What is 2 + 2? (with the hint)"
    assert row["response"] == "One, two, three, four. The answer is 4."
    assert "[4]" not in str(row)
    assert row["parents"] == [{"table": "problems", "id": "with the hint"}]
    assert row["attempts"] == 2
    detail = made.judged.details.row(1, named=True)
    assert (detail["rationale"], detail["answer"]) == ("One, two, three, four.", "4")
    assert DIRECT.version.startswith("star/direct@")
    assert HINTED.version.startswith("star/hinted@")
    assert made.judged.synthesis.frame["prompt_version"].to_list() == [DIRECT.version, HINTED.version]


def test_without_rationalisation_nobody_is_asked_twice() -> None:
    made = run_star_round(PROBLEMS, ScriptedTeacher(say), StarSettings(has_rationalisation=False))
    assert made.judged.details["origin"].to_list() == ["direct"]
    assert made.judged.synthesis.spent.requests == 9
    assert made.judged.synthesis.rejected["wrong_answer"] == 3


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("The hint says 4.", "hint"),
        ("We know the answer is 4.", "know the answer"),
        ("As the given answer says, 4.", "given answer"),
        ("The result is already known.", "result is already known"),
        ("It stands in brackets.", "in brackets"),
        ("提示说是四。", "提示"),
        ("2 + 2 = 4, given that both are 2.", None),
        ("He hinted at it.", "hinted"),
        ("The chinter answers.", None),
    ],
)
def test_hint_leaks(text: str, leak: str | None) -> None:
    assert find_hint_leak(text, "What is 2 + 2?") == leak


def test_words_of_the_question_are_no_leak() -> None:
    assert find_hint_leak("The hint weighs 4 g.", "A hint of salt weighs 4 g. And two?") is None
    assert find_hint_leak("The hint weighs 4 g, a known result.", "A hint of salt weighs 4 g.") == "known result"


def test_rounds_train_from_the_base_model_and_resume_from_the_cache(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from mmpipe.models.teacher import RequestBook

    class Cached(ScriptedTeacher):
        """Answers from the cache as a real teacher does."""

        def answer(self, requests):  # type: ignore[no-untyped-def]
            book = RequestBook(self.name, requests, ReplyCache(tmp_path / "replies.sqlite"))
            fresh = [(key, request, *super(Cached, self).answer([request])) for key, request in book.open]
            for key, _, outcome in fresh:
                book.commit(key, outcome)
            yield from book.yield_in_order([(key, outcome) for key, _, outcome in fresh])

    seen: list[int | None] = []
    students: list[Cached] = []

    def train(number: int, before: StarRound | None) -> Cached:
        seen.append(None if before is None else len(before.training_ids))
        students.append(Cached(say, name=f"scripted:round@{number}"))
        return students[-1]

    first = run_star(PROBLEMS, train, StarSettings(training_rows=1), rounds=2)
    assert seen == [None, 1]
    asked = [len(student.asked) for student in students]
    again = run_star(PROBLEMS, train, StarSettings(training_rows=1), rounds=2)
    # only failures are asked again: they are never cached
    assert [len(student.asked) for student in students[2:]] == [2, 2]
    assert asked == [17, 17]
    for one, other in zip(first, again, strict=True):
        assert one.judged.synthesis.frame.equals(other.judged.synthesis.frame)
        assert one.training_ids == other.training_ids
    ids = [set(made.judged.synthesis.frame["instruction_id"]) for made in first]
    assert not ids[0] & ids[1]


def test_results_do_not_depend_on_the_order_of_problems() -> None:
    one = run_star_round(PROBLEMS, ScriptedTeacher(say), StarSettings(training_rows=1))
    other = run_star_round(PROBLEMS.reverse(), ScriptedTeacher(say), StarSettings(training_rows=1))
    key = "instruction_id"
    assert one.judged.synthesis.frame.sort(key).equals(other.judged.synthesis.frame.sort(key))
    assert one.training_ids == other.training_ids


def test_steps_and_faulty_frames() -> None:
    assert [count_training_steps(number, StarSettings()) for number in range(5)] == [40, 48, 57, 69, 82]
    with pytest.raises(ConfigurationError, match="columns \\['answer'\\] are missing"):
        run_star_round(PROBLEMS.drop("answer"), ScriptedTeacher(say), StarSettings())
    with pytest.raises(ConfigurationError, match="1 ids stand for several rows, among them 'sign'"):
        run_star_round(pl.concat([PROBLEMS, PROBLEMS[2:3]]), ScriptedTeacher(say), StarSettings())


def test_options_are_shown_and_judged_by_letter() -> None:
    problems = pl.DataFrame(
        {
            "problem_id": ["c"],
            "dump": ["x"],
            "question": ["Which is a fruit?"],
            "answer": ["B"],
            "options": [["stone", "pear"]],
            "table": ["exams"],
        }
    )
    teacher = ScriptedTeacher(lambda _: "Stones do not grow on trees, pears do. The answer is (B).")
    made = run_star_round(problems, teacher, StarSettings(check=AnswerCheck(kind="choice")))
    row = made.judged.synthesis.frame.row(0, named=True)
    assert row["instruction"] == "Which is a fruit?\n(A) stone\n(B) pear"
    assert row["parents"] == [{"table": "exams", "id": "c"}]
