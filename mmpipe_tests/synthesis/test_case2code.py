"""Case2Code with a scripted teacher and the real sandbox: which functions, every refusal, and what a row says."""

from __future__ import annotations

import ast
import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.synthesis.case2code import REASONS, Case2CodeSettings, make_case2code
from mmpipe.synthesis.case_templates import HEADERS, NAMINGS, REQUESTS, STYLES, Case, render_cases
from mmpipe.synthesis.python_functions import find_function_table, find_functions
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.programs import ProgramLimits, ProgramRun

LIMITS = ProgramLimits(cpu_seconds=1, wall_seconds=10, memory_bytes=256 << 20, output_bytes=10_000)
SETTINGS = Case2CodeSettings(inputs=4, shown=3, limits=LIMITS)
NUMBERS = ["0", "1", "2, ", "( 3 )"]

FUNCTIONS = {
    "good": ("def good(n):\n    return [n, 'é'] * n", NUMBERS),
    "raises": ("def raises(n):\n    return 6 // n", ["0", "1", "2", "3"]),
    "count_mismatch": ("def f(a):\n    return a + 1", NUMBERS[:3]),
    "input_not_literal": ("def f(a):\n    return a + 2", ["1", "2", "3", "open('x')"]),
    "repeated_input": ("def f(a):\n    return a + 3", ["1", "2", "3", " 1 "]),
    "no_status": ("def f(a):\n    while a == 3: pass\n    return a + 4", ["0", "1", "2", "3"]),
    "unequal_runs": ("def f(a):\n    return id(object()) + a + 5", NUMBERS),
    "missing_name": ("def f(a):\n    return math.sqrt(a) + 6 if a else 0", NUMBERS),
    "memory_address": ("def f(a):\n    return str(f)[:11] + ' at 0x7f00aa' + str(a + 7)", NUMBERS),
    "output_too_long": ("def f(a):\n    return 'x' * 3000 + str(a + 8)", NUMBERS),
    "all_exceptions": ("def f(a):\n    if True: raise ValueError(a)\n    return 9", NUMBERS),
    "constant_output": ("def f(a):\n    a + 10\n    return 10", NUMBERS),
    "leaves": ("def f(a):\n    if a != 99: raise SystemExit(a)\n    return 11", NUMBERS),
    "prints": ("def f(a):\n    print('noise', a)\n    return a + 12", NUMBERS),
}
#: What a file may call a function: none, several, with an import, without an argument, no Python, nothing.
UNUSABLE = [
    "x = 1",
    "def f(a):\n    return a\n\ndef g(a):\n    return a",
    "import math\ndef f(a):\n    return math.sqrt(a)",
    "def f():\n    return 1",
    "def f(a: return a",
    None,
]


def make_table(names: list[str] | None = None) -> pl.DataFrame:
    documents = pl.DataFrame(
        [{"doc_id": name, "dump": "x", "text": FUNCTIONS[name][0]} for name in names or FUNCTIONS],
        schema={"doc_id": pl.String, "dump": pl.String, "text": pl.String},
    )
    return find_function_table(documents)


def answer(request: ChatRequest) -> str:
    code = str(request.messages[-1].content).split("\n\n", 1)[1]
    return json.dumps({"inputs": next(inputs for text, inputs in FUNCTIONS.values() if text == code)})


@pytest.fixture(scope="module")
def sandbox() -> ProgramSandbox:
    opened = ProgramSandbox(workers=2)
    try:
        opened.describe()
    except ConfigurationError as error:
        pytest.skip(str(error))
    return opened


def test_every_refusal_is_counted_by_its_reason_and_kept(sandbox: ProgramSandbox) -> None:
    files = [
        {"function_id": f"file{place}", "dump": "x", "doc_id": "file", "code": code}
        for place, code in enumerate([*UNUSABLE, f"def f(a):\n    return {'0 + ' * 2000}a"])
    ]
    teacher = ScriptedTeacher(answer)
    made = make_case2code(pl.concat([make_table(), pl.DataFrame(files)]), teacher, sandbox, SETTINGS)
    expected = dict.fromkeys(REASONS, 1) | {"no_status": 2, "unusable_function": len(UNUSABLE)}
    assert made.synthesis.rejected == dict(sorted(expected.items(), key=lambda item: (-item[1], item[0])))
    assert (made.synthesis.planned, made.synthesis.frame.height) == (len(FUNCTIONS) + len(files), 3)
    assert len(teacher.asked) == len(FUNCTIONS)
    refused = dict(zip(made.candidates["reason"], made.candidates["text"], strict=True))
    assert "open('x')" in refused["input_not_literal"]
    assert "3 inputs" in refused["count_mismatch"]
    assert set(made.details["name"]) == {"good", "raises", "f"}


def test_a_row_shows_some_cases_that_are_true_and_answers_with_the_code(sandbox: ProgramSandbox) -> None:
    made = make_case2code(make_table(["good", "raises", "prints"]), ScriptedTeacher(answer), sandbox, SETTINGS)
    assert made.synthesis.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    rows = made.synthesis.frame.join(made.details, on="instruction_id").rows(named=True)
    assert len(rows) == 3
    for row in rows:
        scope: dict[str, object] = {}
        exec(row["response"].removeprefix("```python\n").removesuffix("\n```"), scope)
        assert len(row["shown"]) == 3
        assert row["shown"] == sorted(set(row["shown"]))
        for place, (text, output) in enumerate(zip(row["inputs"], row["outputs"], strict=True)):
            if "Error" not in output:
                assert repr(eval(f"{row['name']}({text})", scope)) == output
            assert (f"{output}" in row["instruction"]) or place not in row["shown"]
        assert len({row["outputs"][place] for place in row["shown"]}) > 1
        assert row["parents"][0]["table"] == "deduped_corpus"
    raises = next(row for row in rows if row["name"] == "raises")
    assert raises["outputs"][0].startswith("ZeroDivisionError: ")


def test_rows_depend_neither_on_order_nor_on_neighbours(sandbox: ProgramSandbox) -> None:
    one = make_case2code(make_table(["good", "raises", "prints"]), ScriptedTeacher(answer), sandbox, SETTINGS)
    other = make_case2code(make_table(["prints", "good"]).reverse(), ScriptedTeacher(answer), sandbox, SETTINGS)
    kept = one.synthesis.frame.filter(pl.col("instruction_id").is_in(other.synthesis.frame["instruction_id"].to_list()))
    assert kept.sort("instruction_id").equals(other.synthesis.frame.sort("instruction_id"))
    assert kept.height == 2


def test_one_function_of_two_documents_has_two_rows(sandbox: ProgramSandbox) -> None:
    table = make_table(["good"])
    other = table.with_columns(doc_id=pl.lit("elsewhere"), dump=pl.lit("y"))
    rows = [make_case2code(each, ScriptedTeacher(answer), sandbox, SETTINGS).synthesis.frame for each in (table, other)]
    both = pl.concat(rows)
    assert (both.height, both["instruction_id"].n_unique(), both["response"].n_unique()) == (2, 2, 1)


def test_a_refused_teacher_is_asked_again(sandbox: ProgramSandbox) -> None:
    def script(request: ChatRequest) -> str | ChatFailure | ChatReply:
        return ChatFailure("timeout", "slow", prompt_tokens=7) if request.sample_index == 0 else answer(request)

    settings = Case2CodeSettings(inputs=4, shown=3, limits=LIMITS, attempts=2)
    made = make_case2code(make_table(["good"]), ScriptedTeacher(script), sandbox, settings)
    assert made.synthesis.rejected_replies == {"teacher_timeout": 1}
    assert made.synthesis.frame["attempts"].to_list() == [2]
    assert made.synthesis.rejected == {}


class _Machine:
    """A runner that says what it was told to: for outcomes that no honest run gives."""

    def __init__(self, *outputs: ProgramRun) -> None:
        self.outputs = outputs

    def run_all(self, programs: object) -> list[ProgramRun]:
        return [self.outputs[place % len(self.outputs)] for place, _ in enumerate(programs)]  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [b"", b"no json", b"[1]", b'["else", "x"]', b"7"])
def test_an_outcome_that_cannot_be_read_is_no_status(said: bytes) -> None:
    made = make_case2code(
        make_table(["good"]), ScriptedTeacher(answer), _Machine(ProgramRun(status="ok", stdout=said)), SETTINGS
    )
    assert made.synthesis.rejected == {"no_status": 1}


def test_which_cases_are_shown_is_drawn_for_each_row() -> None:
    documents = [{"doc_id": str(n), "dump": "x", "text": f"def f(a):\n    return a + {n}"} for n in range(60)]
    runs = [ProgramRun(status="ok", stdout=json.dumps(["returned", str(n // 2)]).encode()) for n in range(8)]
    teacher = ScriptedTeacher(lambda _: json.dumps({"inputs": NUMBERS}))
    table = find_function_table(pl.DataFrame(documents))
    shown = make_case2code(table, teacher, _Machine(*runs), SETTINGS).details["shown"].to_list()
    counts = [sum(place in row for row in shown) for place in range(4)]
    assert len(shown) == 60
    assert all(30 < count < 58 for count in counts)  # 45 expected, standard deviation 3.4
    other = Case2CodeSettings(inputs=4, shown=3, limits=LIMITS, seed=1)
    assert make_case2code(table, teacher, _Machine(*runs), other).details["shown"].to_list() != shown


def test_only_pure_functions_are_found() -> None:
    source = '''
import os
def takes_nothing():
    return 1
def returns_nothing(a):
    print(a)
def bare_return(a):
    return
def imports(a):
    import os
    return os.sep
def yields(a):
    yield a
    return 1
@cached
def decorated(a):
    return a
async def awaits(a):
    return a
class C:
    def method(self, a):
        return a
def good(a, *, b=1):
    """é"""
    return a + b
'''
    assert find_functions(source) == ['def good(a, *, b=1):\n    """é"""\n    return a + b']
    assert find_functions("no python at all(") == []
    assert find_functions("x = 1\0") == []


def test_equal_functions_stand_once_and_long_ones_are_not_asked_about(sandbox: ProgramSandbox) -> None:
    text = FUNCTIONS["good"][0]
    table = find_function_table(
        pl.DataFrame({"doc_id": ["b", "a"], "dump": ["x", "x"], "text": [text, f"{text}\n\n{FUNCTIONS['raises'][0]}"]})
    )
    assert table["doc_id"].to_list() == ["a", "a"]
    made = make_case2code(table, ScriptedTeacher(answer), sandbox, Case2CodeSettings(code_characters=10))
    assert made.synthesis.rejected == {"function_too_long": 2} == {"function_too_long": made.synthesis.planned}


def test_more_cases_than_there_are_cannot_be_shown() -> None:
    with pytest.raises(ConfigurationError, match="2 to 4"):
        Case2CodeSettings(inputs=4, shown=5)


@given(st.text(min_size=1, max_size=8), st.integers(0, 3))
def test_words_vary_with_the_row_and_hold_every_case(row_id: str, seed: int) -> None:
    cases = [Case("1, {x}", "[{y}]"), Case("2", "ValueError: no", has_raised=True)]
    said = render_cases(row_id, seed, "find", cases)
    assert said == render_cases(row_id, seed, "find", cases)
    assert all(case.arguments in said and case.output in said for case in cases)
    assert re.search(r"\bfind\b", said)


def test_there_are_as_many_words_as_in_the_published_rows() -> None:
    counted = [len(set(words)) for words in (REQUESTS, HEADERS, NAMINGS, STYLES)]
    assert counted == [28, 20, 8, 13]


def test_many_rows_use_many_words() -> None:
    said = {render_cases(str(number), 0, "f", [Case("1", "2")]) for number in range(500)}
    assert len(said) > 450
    assert any(
        ast.parse(text.split("\n\n")[-1].split("\n", 1)[1]) for text in said if "assert" in text.split("\n\n")[-1]
    )
