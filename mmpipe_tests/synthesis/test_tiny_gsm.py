"""TinyGSM with a scripted teacher and the real sandbox: problems made from a template, whose answers are known."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.synthesis.tiny_gsm import REASONS, TinyGsmSettings, make_tiny_gsm, plan_tiny_gsm
from mmpipe.tables.chat import ChatRequest
from mmpipe.tables.programs import ProgramLimits

LIMITS = ProgramLimits(cpu_seconds=1, wall_seconds=10, memory_bytes=256 << 20)
SOLVE = TinyGsmSettings(variant="solve", limits=LIMITS)
NEW = TinyGsmSettings(limits=LIMITS)
BODY = "def solve():\n    apples = {a} * {b}\n    return apples - {c}"


def make_seeds(count: int) -> pl.DataFrame:
    """Word problems from a template, with their answers."""
    rows = []
    for number in range(count):
        a, b, c = number % 7 + 2, number % 5 + 3, number % 3
        problem = f"{a} baskets hold {b} apples each. {c} are eaten. How many of lot {number} are left?"
        rows.append({"problem_id": f"p{number:03}", "dump": "x", "problem": problem, "answer": float(a * b - c)})
    return pl.DataFrame(rows, schema={"problem_id": str, "dump": str, "problem": str, "answer": pl.Float64})


@pytest.fixture(scope="module")
def sandbox() -> ProgramSandbox:
    opened = ProgramSandbox(workers=2)
    try:
        opened.describe()
    except ConfigurationError as error:
        pytest.skip(str(error))
    return opened


def read_problem(request: ChatRequest) -> str:
    return str(request.messages[-1].content).removeprefix("Problem: ")


def solve(request: ChatRequest) -> str:
    a, b, c = re.findall(r"\d+", read_problem(request))[:3]
    return json.dumps({"solution": BODY.format(a=a, b=b, c=c)})


def test_right_solutions_are_rows(sandbox: ProgramSandbox) -> None:
    seeds = make_seeds(6)
    made = make_tiny_gsm(seeds, ScriptedTeacher(solve), sandbox, SOLVE)
    assert made.synthesis.rejected == {}
    assert made.details["answer"].to_list() == seeds["answer"].to_list()
    assert made.details["is_checked"].all()
    assert made.synthesis.frame["instruction"].to_list() == seeds["problem"].to_list()
    assert made.synthesis.frame["parents"].to_list()[3] == [{"table": "problems", "id": "p003"}]
    scope: dict[str, object] = {}
    exec(made.synthesis.frame["response"][2].removeprefix("```python\n").removesuffix("```"), scope)
    assert scope["solve"]() == seeds["answer"][2]  # type: ignore[operator]


INJECTED = {
    "not_python": "def solve(:\n    return 1",
    "imports": "def solve():\n    import os\n    return 1",
    "no_function": "def solve(a):\n    return a",
    "no_end": "def solve():\n    while True: pass",
    "failed": "def solve():\n    return 1 / 0",
    "unequal_runs": "def solve():\n    return float(id(object()))",
    "not_a_number": "def solve():\n    return 'three'",
    "not_finite": "def solve():\n    return 10 ** 400",
    # right, and not computed
    "no_steps": "def solve():\n    left = {right}\n    return left",
    "wrong_answer": "def solve():\n    return 1234567 * 1",
}


def test_every_injected_fault_is_found(sandbox: ProgramSandbox) -> None:
    names = list(INJECTED)

    def script(request: ChatRequest) -> str:
        place = int(re.search(r"lot (\d+)", read_problem(request))[1])  # type: ignore[index]
        wrong = INJECTED[names[place]].replace("{right}", str(seeds["answer"][place])) if place < len(names) else ""
        return json.dumps({"solution": wrong}) if wrong else solve(request)

    seeds = make_seeds(len(names) + 2)
    made = make_tiny_gsm(seeds, ScriptedTeacher(script), sandbox, SOLVE)
    assert made.synthesis.rejected == dict.fromkeys(sorted(INJECTED), 1)
    assert made.synthesis.frame.height == 2
    assert set(made.candidates["reason"]) == set(INJECTED)
    assert set(INJECTED) | {"empty_problem", "duplicate_problem", "contaminated"} == set(REASONS)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def solve():\n    return True", "not_a_number"),
        ("def solve():\n    return None", "not_a_number"),
        ("def solve():\n    return 1j", "not_a_number"),
        ("def solve():\n    return float('nan')", "not_finite"),
        ("def solve():\n    raise SystemExit(0)", "failed"),
        ("def solve():\n    return 1\ndef solve():\n    return 1", "no_function"),
        ("solve = lambda: 1", "no_function"),
        ("def solve():\n    return __import__('socket').socket().fileno()", "failed"),
    ],
)
def test_what_is_no_finite_number_is_none(sandbox: ProgramSandbox, source: str, reason: str) -> None:
    made = make_tiny_gsm(make_seeds(1), ScriptedTeacher(lambda _: json.dumps({"solution": source})), sandbox, SOLVE)
    assert made.synthesis.rejected == {reason: 1}


def test_answers_are_equal_within_the_tolerance(sandbox: ProgramSandbox) -> None:
    seeds = make_seeds(1).with_columns(answer=pl.lit(1 / 3))
    teacher = ScriptedTeacher(
        lambda _: json.dumps({"solution": "```python\ndef solve():\n    return 0.333333 * 1\n```"})
    )
    assert make_tiny_gsm(seeds, teacher, sandbox, SOLVE).synthesis.frame.height == 1
    strict = TinyGsmSettings(variant="solve", limits=LIMITS, relative_tolerance=1e-9, absolute_tolerance=1e-9)
    assert make_tiny_gsm(seeds, teacher, sandbox, strict).synthesis.rejected == {"wrong_answer": 1}


def test_new_problems_alike_stay_once_and_contaminated_ones_go(sandbox: ProgramSandbox) -> None:
    seeds = make_seeds(6)
    said = {
        0: "Tom has 3 cats. How many legs?",
        1: "tom has 3 cats -- how many legs",
        2: seeds["problem"][4].upper(),
        3: "Janet's ducks lay sixteen eggs per day.",
        4: " ?! ",
        5: "Tom has 4 cats. How many legs?",
    }

    def script(request: ChatRequest) -> str:
        place = int(re.search(r"lot (\d+)", read_problem(request))[1])  # type: ignore[index]
        return json.dumps({"problem": said[place], "solution": "def solve():\n    return 6 + 6"})

    def find_contaminated(texts: Sequence[str]) -> list[bool]:
        return ["ducks lay sixteen eggs" in text for text in texts]

    made = make_tiny_gsm(seeds, ScriptedTeacher(script), sandbox, NEW, find_contaminated)
    assert made.synthesis.rejected == {"duplicate_problem": 2, "contaminated": 1, "empty_problem": 1}
    assert made.synthesis.frame.height == 2
    assert not made.details["is_checked"].any()
    turned = make_tiny_gsm(seeds.reverse(), ScriptedTeacher(script), sandbox, NEW, find_contaminated)
    assert turned.synthesis.frame.sort("instruction_id").equals(made.synthesis.frame.sort("instruction_id"))


def test_several_problems_of_a_seed_have_seeds_of_their_own() -> None:
    planned = plan_tiny_gsm(make_seeds(2), TinyGsmSettings(problems_per_seed=3))
    assert len({plan.make_request(0).sampling.seed for plan in planned}) == 6
    assert len({plan.instruction_id for plan in planned}) == 6
