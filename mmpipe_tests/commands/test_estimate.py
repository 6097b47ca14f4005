"""`mmpipe estimate`: what would be asked is what is asked then, and nothing is asked or written meanwhile."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mmpipe.commands.estimate import estimate_dump, print_estimates
from mmpipe.errors import ConfigurationError, MmpipeError
from mmpipe.lanes.synthesis_estimates import MethodEstimate
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.models.chat_server import Answer, serve

NAMES = ["Clara Ashe", "Boris Lund", "Dana Voss", "Edith Marr", "Frank Oxley", "Greta Pohl"]
TOWNS = ["Aldby", "Brack", "Corfe", "Dunham", "Ember", "Frome"]
METHODS = """
    - grounded_questions
    - {method: reasoning_rows, problems: problems.jsonl}
    - {method: flan, rows: rows.jsonl, task: {name: sums, family: closed_book_qa, fields: {question: question}}}
    - evol_instruct
    - {method: api_rows, cards: cards.jsonl, dump: another}
"""


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """A lake with one document, a recipe of five methods, and the environment that names both."""
    lake = Lake(str(tmp_path / "lake"))
    record_dump(lake, Dump("d1", str(tmp_path), ()))
    text = " ".join(
        f"{name} built the stone bridge of {town} in 18{place}7, for {place}00 crowns."
        for place, (name, town) in enumerate(zip(NAMES, TOWNS, strict=True))
    )
    row = {"doc_id": "bridges", "dump": "d1", "text": text, "language": "en"}
    publish(lake, DEDUPED_CORPUS, "d1", fill_rows(DEDUPED_CORPUS, [row]))
    publish(lake, FILTERED_IMAGE_PAIRS, "d1", FILTERED_IMAGE_PAIRS.make_empty())
    problems = [{"question": f"What is 2 + {number}?", "answer": 2 + number} for number in range(4)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(each) + "\n" for each in problems))
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "question": "What is 1 + 1?", "answer": "2"}\n')
    (tmp_path / "cards.jsonl").write_text('{"api_call": "f()"}\n')
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"extends: refinedweb\ninstructions:\n  methods:{METHODS}")
    return {
        "MMPIPE_LAKE": lake.root,
        "MMPIPE_RECIPE": str(recipe),
        "MMPIPE_CACHE": str(tmp_path / "cache"),
        "MMPIPE_TEACHER": "m",
        "MMPIPE_TEACHER_PROMPT_PRICE": "10",
        "MMPIPE_TEACHER_COMPLETION_PRICE": "20",
    }


def list_files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_first_rounds_are_counted_and_nobody_is_asked(project: dict[str, str], tmp_path: Path) -> None:
    before = list_files(tmp_path)
    with serve(lambda *_: Answer()) as server:
        made = estimate_dump("d1", project["MMPIPE_RECIPE"], project | {"MMPIPE_TEACHER_URL": server.url})
        assert not server.asked
    assert list_files(tmp_path) == before

    told = {one.method: one for one in made}
    chains = told["reasoning_rows"].estimate
    assert chains is not None
    assert (chains.requests, chains.cached, chains.images) == (4, 0, 0)
    assert chains.most_cost == pytest.approx((10 * chains.prompt_tokens + 20 * chains.most_completion_tokens) / 1e6)
    questions = told["grounded_questions"].estimate
    assert questions is not None
    assert questions.requests > 0
    nobody = told["flan"].estimate
    assert nobody is not None
    assert (nobody.requests, told["flan"].note) == (0, "asks nobody")
    assert (told["evol_instruct"].estimate, told["api_rows"].estimate) == (None, None)
    assert "none are made yet" in told["evol_instruct"].note
    assert told["api_rows"].note == "makes its rows for another dump"

    # what follows instructions is said to wait for them
    assert told["responses"].estimate is None
    assert "none are made yet" in told["responses"].note
    assert (told["evol_instruct"].waits, told["responses"].waits, told["grounded_questions"].waits) == (
        True,
        True,
        False,
    )

    written = io.StringIO()
    print_estimates(Console(file=written, width=100), made)
    assert f"{chains.requests + questions.requests} requests would go out" in written.getvalue()
    teacher = told["reasoning_rows"].teacher
    narrow = io.StringIO()
    print_estimates(Console(file=narrow, width=60), made)
    # its digest is copied in one piece
    assert f"\n{teacher} is asked by grounded_questions, reasoning_rows\n" in narrow.getvalue()
    # a note is longer than any column, and is told whole
    assert f"\nevol_instruct: {told['evol_instruct'].note}\n" in written.getvalue()
    assert "MMPIPE_TEACHER_PROMPT_PRICE" not in written.getvalue()
    unpriced = [replace(one, estimate=replace(one.estimate, most_cost=0.0)) for one in made if one.estimate]
    print_estimates(Console(file=written, width=100), unpriced)
    assert "No price is known of openai:" in written.getvalue()


def test_rows_of_an_earlier_version_are_none_yet(project: dict[str, str], tmp_path: Path) -> None:
    methods = "[grounded_questions, evol_instruct]"
    (tmp_path / "evolved.yaml").write_text(f"extends: refinedweb\ninstructions: {{methods: {methods}}}\n")
    environ = project | {"MMPIPE_TEACHER_URL": "http://localhost:9/v1"}
    lake = Lake(project["MMPIPE_LAKE"])
    for table, lacking in ((INSTRUCTION_CANDIDATES, "turns"), (SYNTHESIZED_INSTRUCTIONS, "tools")):
        publish(lake, table, "d1", table.make_empty())
        for file in lake.dataset(table, "d1").list_files():
            table.make_empty().drop(lacking).write_parquet(file.url)
    publish(lake, INSTRUCTION_REMOVALS, "d1", INSTRUCTION_REMOVALS.make_empty())
    told = {one.method: one for one in estimate_dump("d1", str(tmp_path / "evolved.yaml"), environ)}
    assert "none are made yet" in told["evol_instruct"].note
    assert "none are made yet" in told["responses"].note
    assert (told["evol_instruct"].waits, told["responses"].waits, told["grounded_questions"].waits) == (
        True,
        True,
        False,
    )


def test_what_is_cached_costs_nothing_again(project: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text(
        "extends: refinedweb\ninstructions:\n  methods: [{method: reasoning_rows, problems: problems.jsonl}]\n"
    )
    said = json.dumps({"rationale": "It is so.", "answer": "2"})
    with serve(lambda *_: Answer(text=said)) as server:
        environ = project | {"MMPIPE_TEACHER_URL": server.url}
        from mmpipe.lanes import synthesis_estimates

        seen = []
        teacher = EndpointTeacher(server.url, "m", cache=ReplyCache(tmp_path / "cache" / "replies.sqlite"))
        count = synthesis_estimates.estimate
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(synthesis_estimates, "estimate", lambda who, asked: seen.extend(asked) or count(who, asked))
            before, *_ = estimate_dump("d1", str(tmp_path / "few.yaml"), environ)
        list(teacher.answer(seen))
        after, *_ = estimate_dump("d1", str(tmp_path / "few.yaml"), environ)
    assert before.estimate is not None
    assert after.estimate is not None
    assert (before.estimate.asked, after.estimate.asked, after.estimate.cached) == (4, 0, 4)
    assert after.estimate.most_cost == 0


@pytest.mark.parametrize(
    ("waits", "told"), [(False, "and nothing spent."), (True, "now; what waits for rows that are")]
)
def test_an_estimate_of_what_is_made_says_that_nobody_would_be_asked(*, waits: bool, told: str) -> None:
    written = io.StringIO()
    made = [
        MethodEstimate("grounded_questions", "openai:m", None, "made already, so nobody is asked"),
        MethodEstimate("responses", "", None, "of what is there", waits=waits),
    ]
    print_estimates(Console(file=written, width=200), made)
    assert f"Nobody would be asked {told}" in written.getvalue()
    assert "requests would go out" not in written.getvalue()


def test_a_dump_or_recipe_that_is_not_there_stops(project: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="No dump 'd2'"):
        estimate_dump("d2", project["MMPIPE_RECIPE"], project)
    with pytest.raises(MmpipeError, match="refinedweb"):
        estimate_dump("d1", "refinedwebb", project)
