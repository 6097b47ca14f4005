"""Why a kept row has no response, what is measured of a refused one, and which row of a file one was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mmpipe.commands.explain import explain
from mmpipe.commands.fates import Step
from mmpipe.commands.trace import Origin, trace
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.commands.lakes import publish

DUMP = "d1"
SEEDS = '\n{"id": "s1", "instruction": "Sing a song."}\nnot JSON\n{"instruction": "Bake a cake."}\n'
#: Rows with their tools, and the seed that each was made from.
MADE = (("a", None, "s1"), ("b", None, "Bake a cake."), ("c", None, "s9"), ("d", "[]", "s1"))


def make_lake(folder: Path, answered: list[str], recipe: str) -> Lake:
    lake = Lake(str(folder / "lake"))
    record_dump(lake, Dump(DUMP, "/crawl", ("a.warc.gz",)))
    rows: list[dict[str, Any]] = [
        {"instruction_id": name, "dump": DUMP, "method": "self_instruct", "instruction": name, "tools": tools,
         "parents": [{"table": "seed_tasks", "id": parent}]}
        for name, tools, parent in MADE
    ]  # fmt: skip
    publish(lake, SYNTHESIZED_INSTRUCTIONS, DUMP, rows)
    refused = {
        "dump": DUMP,
        "method": "self_instruct",
        "candidate_status": "too_long",
        "candidate": "x",
        "text": "Long.",
    }
    publish(lake, INSTRUCTION_CANDIDATES, DUMP, [
        *(row | {"candidate_status": "ok", "candidate": row["instruction_id"]} for row in rows),
        {"instruction_id": "no-1", **refused}, {"instruction_id": "no-2", "details": '{"words": 900}', **refused},
        {"instruction_id": "no-3", "details": '{"high": 0.7, "measure": "rouge_l", "value": 0.83}', **refused},
    ])  # fmt: skip
    publish(lake, INSTRUCTION_REMOVALS, DUMP, [
        {"instruction_id": name, "rule": "too_long", "signal": "candidate_status", "value_text": "too_long"}
        for name in ("no-1", "no-2")
    ] + [
        {"instruction_id": "no-3", "rule": "too_long", "signal": "candidate_status", "value_text": "like s1",
         "value": 0.83, "high": 0.7},
    ])  # fmt: skip
    publish(lake, RESPONSES, DUMP, [
        {"response_id": f"r-{name}", "instruction_id": name, "dump": DUMP, "teacher": "small"} for name in answered
    ])  # fmt: skip
    publish(lake, JUDGEMENTS, DUMP, [])
    for table in (RESPONSES, SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_CANDIDATES):
        lake.dataset(table, DUMP).folder.join("recipe.yaml").write_text(recipe)
    return lake


def steps_of(lake: Lake, wanted: str) -> dict[str, Step]:
    return {step.asset: step for step in explain(lake, wanted)[0].steps}


DRAWN = "not among the 1 of 3 kept rows that are answered (answered_per_dump, drawn by hash of the id)"
NOBODY = "0 responses: nobody was asked, as where no method of `preferences` reads them"


@pytest.mark.parametrize(
    ("wanted", "answered", "most", "said", "judged"),
    [
        ("b", ["a"], 1, DRAWN, "no response to judge"),
        ("d", ["a"], 1, "not answered: the request of a response would show no tools", "no response to judge"),
        ("b", [], 1, NOBODY, "no response to judge"),
        ("b", ["a"], 2, "0 responses", "0 judgements"),  # there was room: nothing tells why
        ("b", ["a"], None, "0 responses", "0 judgements"),
        ("a", ["a"], 1, "1 response", "0 judgements"),
    ],
)
def test_a_row_without_a_response_says_why(
    tmp_path: Path, wanted: str, answered: list[str], most: int | None, said: str, judged: str
) -> None:
    lake = make_lake(tmp_path, answered, json.dumps({"instructions": {"answered_per_dump": most}}))
    steps = steps_of(lake, wanted)
    assert (steps["responses"].fate, steps["judgements"].fate) == (said, judged)


def test_a_refusal_shows_what_its_method_said_and_not_its_own_name_again(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [], "")
    told = {"rule": "too_long", "limit": "accepted by self_instruct"}
    (row,) = steps_of(lake, "no-1")["instruction_removals"].rows
    assert row == told | {"measured": "the text above (instruction_candidates)"}
    (row,) = steps_of(lake, "no-2")["instruction_removals"].rows
    assert row == told | {"measured": '{"words": 900}'}
    (row,) = steps_of(lake, "no-3")["instruction_removals"].rows
    assert row == {"rule": "too_long", "measured": "0.83 (like s1)", "limit": "rouge_l <= 0.7"}


def parents_of(lake: Lake, wanted: str, recipe: Path | None) -> list[Origin]:
    return list(trace(lake, wanted, None if recipe is None else str(recipe)).parents)


def test_a_row_of_a_file_is_shown_with_its_file_and_line(tmp_path: Path) -> None:
    seeds, recipe = tmp_path / "seeds.jsonl", tmp_path / "own.yaml"
    seeds.write_text(SEEDS)
    digest = hashlib.sha256(SEEDS.encode()).hexdigest()
    recipe.write_text("extends: refinedweb\ninstructions: {methods: [{method: self_instruct, seeds: seeds.jsonl}]}\n")
    entry = {"method": "self_instruct", "seeds": {"list": "seeds.jsonl", "sha256": digest, "licence": ""}}
    other = {"method": "evol_instruct", "instructions": {"list": "more.jsonl", "sha256": "0" * 64}}
    lake = make_lake(tmp_path, [], json.dumps({"instructions": {"methods": ["wrap", other, entry]}}))
    (parent,) = parents_of(lake, "a", recipe)
    assert (parent.asset, parent.id) == ("seed_tasks", "s1")
    assert parent.made_by == {
        "file": "seeds.jsonl", "line": 2, "row": '{"id": "s1", "instruction": "Sing a song."}'
    }  # fmt: skip
    # a seed without an id is known by what it asks
    assert parents_of(lake, "b", recipe)[0].made_by["line"] == 4
    assert parents_of(lake, "c", recipe)[0].made_by == {"file": "seeds.jsonl"}
    assert parents_of(lake, "a", None)[0].made_by == {"file": "seeds.jsonl"}
    # another file by now: nothing is claimed of its rows
    seeds.write_text(SEEDS.replace("song", "hymn"))
    assert parents_of(lake, "a", recipe)[0].made_by == {"file": "seeds.jsonl"}
    seeds.unlink()
    assert parents_of(lake, "a", recipe)[0].made_by == {"file": "seeds.jsonl"}
