"""Methods about code, APIs and tools, with the embedded model and the real sandbox and token scorer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.gguf_weights import EMBEDDED
from mmpipe.models.token_scores import TransformersTokenScorer
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.synthesis.api_rows import ApiRowSettings, make_api_rows, names_api
from mmpipe.synthesis.case2code import Case2CodeSettings, make_case2code
from mmpipe.synthesis.code_pairs import PairStore
from mmpipe.synthesis.code_translation import CodeTranslationSettings, make_code_translations, read_code
from mmpipe.synthesis.python_functions import find_function_table
from mmpipe.synthesis.text_tools import make_calculator
from mmpipe.synthesis.tiny_gsm import TinyGsmSettings, make_tiny_gsm
from mmpipe.synthesis.tool_graphs import PlanTool, ToolGraph
from mmpipe.synthesis.tool_plans import ToolPlanSettings, make_tool_plans
from mmpipe.synthesis.toolformer import CALCULATOR_SETTINGS, make_toolformer_rows
from mmpipe_tests.synthesis_embedded.onlooker import check_synthesis, run_twice

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.tables.programs import ProgramRunner
    from mmpipe_tests.synthesis_embedded.onlooker import Onlooker

pytestmark = [pytest.mark.xdist_group("embedded"), pytest.mark.slow]

FUNCTIONS = "def square(n):\n    return n * n\n\n\ndef add_tax(price, rate):\n    return round(price * (1 + rate), 2)\n"
FORTRAN = "program total\n  integer :: n\n  read(*,*) n\n  print *, n + 1\nend program total\n"


@pytest.fixture(scope="module")
def sandbox() -> ProgramRunner:
    opened = ProgramSandbox(workers=1)
    try:
        opened.describe()
    except ConfigurationError as error:
        pytest.skip(str(error))
    return opened


def test_case2code(teacher: Onlooker, sandbox: ProgramRunner) -> None:
    functions = find_function_table(pl.DataFrame([{"doc_id": "d", "dump": "x", "text": FUNCTIONS}]))
    settings = Case2CodeSettings(inputs=3, shown=2, max_tokens=96, attempts=2)
    made = run_twice(teacher, lambda: make_case2code(functions, teacher, sandbox, settings))
    check_synthesis(made.synthesis, parents="deduped_corpus")
    assert made.synthesis.planned == 2


@pytest.mark.parametrize("variant", ["solve", "new"])
def test_tiny_gsm(teacher: Onlooker, sandbox: ProgramRunner, variant: str) -> None:
    seeds = pl.DataFrame(
        {"problem_id": ["a", "b"], "dump": "x", "problem": ["What is 2 + 2?", "A box holds 6 eggs. How many in 4?"],
         "answer": [4.0, 24.0]}
    )  # fmt: skip
    settings = TinyGsmSettings(variant=variant, max_tokens=96)  # type: ignore[arg-type]
    made = run_twice(teacher, lambda: make_tiny_gsm(seeds, teacher, sandbox, settings))
    check_synthesis(made.synthesis)
    assert made.synthesis.planned == 2
    assert made.details.height == made.synthesis.frame.height


def test_api_rows_do_not_name_the_api(teacher: Onlooker) -> None:
    card = {
        "api_id": "a", "dump": "x", "domain": "Weather", "functionality": "forecast", "api_name": "Forecast",
        "api_call": "weather.forecast(place, days=3)", "description": "Weather of the next days at a place.",
    }  # fmt: skip
    settings = ApiRowSettings(instructions=3, max_tokens=128)
    made = run_twice(teacher, lambda: make_api_rows(pl.DataFrame([card]), teacher, settings))
    check_synthesis(made.synthesis)
    assert made.synthesis.planned >= 3
    for row in made.synthesis.frame.iter_rows(named=True):
        assert not names_api(row["instruction"], ["Forecast", "weather.forecast"])


def test_tool_plans_and_their_critic(teacher: Onlooker) -> None:
    graph = ToolGraph(
        (
            PlanTool("Painter", ("text",), ("image",), "paints what a text says"),
            PlanTool("Captioner", ("image",), ("text",), "describes an image"),
        )
    )
    settings = ToolPlanSettings(plans=3, max_tokens=128)
    made = run_twice(teacher, lambda: make_tool_plans(graph, teacher, settings, teacher))
    check_synthesis(made.synthesis)
    assert made.synthesis.planned == 3


def test_toolformer_with_the_losses_of_a_real_model(teacher: Onlooker, weights: Path) -> None:
    documents = pl.DataFrame(
        {"doc_id": ["a"], "dump": ["x"], "text": ["The hall has 12 rows of 30 seats, that is 360 in all."]}
    )
    settings = replace(CALCULATOR_SETTINGS, places=2, calls_per_place=2, loss_gain=-10.0)
    scorer = TransformersTokenScorer(EMBEDDED, dtype="bfloat16", converted=weights)
    made = run_twice(teacher, lambda: make_toolformer_rows(documents, make_calculator(), teacher, scorer, settings))
    # a limit that no loss falls short of: every call that can be run stays
    check_synthesis(made.synthesis, least_rows=1)
    (detail,) = made.details.to_dicts()
    for call in detail["calls"]:
        assert all(call[name] > 0 for name in ("loss_with_result", "loss_without_result", "loss_without_call"))
    strict = replace(settings, loss_gain=10.0)
    none = make_toolformer_rows(documents, make_calculator(), teacher, scorer, strict)
    assert none.synthesis.rejected == {"no_help": 1}


def test_code_translation(teacher: Onlooker) -> None:
    pairs = pl.DataFrame(
        {
            "pair_id": ["p"],
            "source": ["program a\n  print *, 1\nend program a"],
            "target": ["#include <iostream>\nint main() { std::cout << 1 << std::endl; }"],
        }
    )
    query = {"query_id": "q", "dump": "x", "source": FORTRAN, "inputs": ["3\n"], "reference": None}
    queries = pl.DataFrame([query], schema_overrides={"reference": pl.String})
    settings = CodeTranslationSettings(shots=1, requires_run=False, max_tokens=128)
    made = run_twice(teacher, lambda: make_code_translations(queries, PairStore(pairs), teacher, None, settings))
    check_synthesis(made.synthesis)
    assert made.synthesis.planned == 1
    for row in made.synthesis.frame.iter_rows(named=True):
        assert read_code(row["response"])
