"""Refused candidates from the method to the removal: each has a row, a reason and an explanation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.commands.explain import explain
from mmpipe.commands.trace import trace
from mmpipe.errors import InvariantBroken
from mmpipe.filtering.judge import judge
from mmpipe.lanes import instructions
from mmpipe.lanes.instruction_candidates import (
    account_for_candidates,
    keep_instructions,
    scan_kept,
    take_accepted,
    tell_measured,
)
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.synthesis.drafts import Spent, Synthesis
from mmpipe.synthesis.refusals import Refusal, list_candidates, name_reason
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmpipe.tables.chat import ChatRequest

DUMP = "d1"
REASONS = st.sampled_from(["too_short", "wrong_answer", "teacher_refused"])


def make_synthesis(
    accepted: int, refused: Sequence[tuple[str, str, Refusal | str]], counted: dict[str, int] | None = None
) -> Synthesis:
    rows = [{"instruction_id": f"row-{place}", "dump": DUMP, "method": "api_rows"} for place in range(accepted)]
    rejected = counted
    if rejected is None:
        reasons = [name_reason(why) for _, _, why in refused]
        rejected = {reason: reasons.count(reason) for reason in reasons}
    named = list_candidates(refused)
    frame = fill_rows(SYNTHESIZED_INSTRUCTIONS, [{**row, "images": [], "parents": []} for row in rows])
    return Synthesis(frame, accepted + sum(rejected.values()), rejected, {}, Spent(), named)


@given(st.integers(0, 4), st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text(max_size=5), REASONS), max_size=8))
def test_every_candidate_is_one_row_whatever_its_name(accepted: int, refused: list[tuple[str, str, str]]) -> None:
    synthesis = make_synthesis(accepted, refused)
    frame = account_for_candidates(synthesis, "api_rows", DUMP, 0.0).frame

    assert frame.height == synthesis.planned
    assert frame.get_column("instruction_id").is_unique().all()
    assert take_accepted(frame).equals(synthesis.frame)
    fallen = frame.filter(pl.col("candidate_status") != "ok").select("candidate", "text", "candidate_status")
    assert fallen.rows() == refused


def test_refused_replies_are_named_apart_from_refused_rows() -> None:
    one = make_synthesis(1, [("q", "r", "too_short")])
    made = account_for_candidates(replace(one, rejected_replies={"too_short": 3}), "raft", DUMP, 0.0)
    # one row fell, of the three replies that were too short
    assert {name: count for name, count in made.counts.items() if "too_short" in name} == {
        "replies_refused_too_short": 3
    }
    assert made.frame.get_column("candidate_status").to_list().count("too_short") == 1


def test_what_is_counted_and_not_named_is_there_all_the_same() -> None:
    made = account_for_candidates(make_synthesis(1, [("a", "so", "too_short")], {"too_short": 2}), "api_rows", DUMP, 0)
    assert made.frame.select("candidate", "candidate_status").rows() == [
        ("row-0", "ok"), ("a", "too_short"), ("", "too_short"),
    ]  # fmt: skip


def test_a_removal_says_what_the_check_measured_found_and_lets_pass() -> None:
    near = Refusal(reason="similar", measure="rouge_l", value=0.83, high=0.7, near="seed-4")
    named = [
        ("a", "Sing", near),
        ("b", "In 1994", Refusal(reason="untold", found="1994")),
        ("c", "Sing on", Refusal(reason="short", value=2, low=4, found="Sing on")),
        ("d", "", "teacher_timeout"),
    ]
    every = account_for_candidates(make_synthesis(1, named), "raft", DUMP, 0.0).frame
    assert json.loads(every.filter(candidate="a").item(0, "details")) == {
        "measure": "rouge_l", "value": 0.83, "high": 0.7, "near": "seed-4",
    }  # fmt: skip
    removals = tell_measured(judge(every, (), key="instruction_id", status="candidate_status"), every)
    told = removals.sort("rule").select("rule", "value", "value_text", "low", "high", "signal").rows()
    assert told == [
        ("short", 2.0, "Sing on", 4.0, None, "candidate_status"),
        ("similar", 0.83, "like seed-4", None, 0.7, "candidate_status"),
        ("teacher_timeout", None, "teacher_timeout", None, None, "candidate_status"),
        ("untold", None, "1994", None, None, "candidate_status"),
    ]
    assert INSTRUCTION_REMOVALS.conform(removals).height == 4


def test_an_account_that_does_not_add_up_stops() -> None:
    with pytest.raises(InvariantBroken, match=r"counted as .* and named as"):
        account_for_candidates(make_synthesis(1, [("a", "so", "too_short")], {}), "api_rows", DUMP, 0.0)

    made = make_synthesis(2, [])
    short = Synthesis(made.frame, 3, {}, {}, Spent())
    with pytest.raises(InvariantBroken, match="3 candidates were planned; 2 rows and 0 refused"):
        account_for_candidates(short, "api_rows", DUMP, 0.0)


def test_a_refused_candidate_can_be_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(str(tmp_path / "lake"))
    record_dump(lake, Dump(DUMP, str(tmp_path), ()))
    publish(lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, []))
    publish(lake, FILTERED_IMAGE_PAIRS, DUMP, FILTERED_IMAGE_PAIRS.make_empty())
    (tmp_path / "x.jsonl").write_text(
        '{"question": "What is 2 + 3?", "answer": 5}\n{"question": "What is 2 + 9?", "answer": 11}\n'
    )
    (tmp_path / "mine.yaml").write_text(
        "extends: refinedweb\ninstructions:\n  rules: []\n  methods: [{method: reasoning_rows, problems: x.jsonl,"
        " attempts: 1, check: {kind: number}}]\n"
    )

    def script(_: ChatRequest) -> str:
        return json.dumps({"rationale": "Two and three more make five.", "answer": "5"})

    monkeypatch.setattr(instructions, "open_run_teacher", lambda _: ScriptedTeacher(script))
    from mmpipe.filtering.recipes import load_recipe

    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    end = [stage.table for stage in INSTRUCTION_LANE].index(INSTRUCTION_REMOVALS) + 1
    made = run_stages(lake, DUMP, INSTRUCTION_LANE[:end], recipe=recipe, knobs=Knobs(cache_folder=str(tmp_path)))

    candidates = lake.dataset(INSTRUCTION_CANDIDATES, DUMP).scan().collect()
    (wrong,) = candidates.filter(candidate_status="wrong_answer").rows(named=True)
    assert "make five" in wrong["text"]
    removals = lake.dataset(INSTRUCTION_REMOVALS, DUMP)
    (removal,) = removals.scan().collect().rows(named=True)
    assert (removal["instruction_id"], removal["rule"]) == (wrong["instruction_id"], "wrong_answer")
    assert (removals.require_manifest().rows_in, removals.require_manifest().rows_removed) == (2, 1)

    (fate,) = explain(lake, wrong["instruction_id"])
    assert fate.verdict == "instruction_removals: removed by wrong_answer"
    assert [step.fate for step in fate.steps[:2]] == ["reasoning_rows refused it: wrong_answer", "not in it"]
    assert trace(lake, wrong["instruction_id"]).parents == ()

    # the reason of a refusal is no removal of a row that stays
    rows = lake.dataset(SYNTHESIZED_INSTRUCTIONS, DUMP)
    assert keep_instructions(rows, removals).frame.height == 1
    assert scan_kept(rows, removals).collect().equals(keep_instructions(rows, removals).frame)
    counts = made["synthesized_instructions"].manifest.counts
    assert (counts["requests"], counts["accepted"]) == (2, 1)
