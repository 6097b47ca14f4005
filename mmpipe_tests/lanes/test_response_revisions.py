"""Responses that their models revise, through the lane: every try a row with its parent, last compared with first."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.commands.explain import explain
from mmpipe.commands.trace import trace
from mmpipe.errors import ShardError
from mmpipe.lanes import teacher_watch
from mmpipe.lanes.preference_runs import list_first
from mmpipe.lanes.response_revisions import revise
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.synthesis.self_refinement import RefinementSettings
from mmpipe.tables.chat import ChatFailure, ChatReply
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.instructions import PREFERENCE_DATASET, RESPONSES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.preference_house import ASKED, DUMP, House, answer, ask_of

if TYPE_CHECKING:
    from mmpipe.tables.chat import ChatRequest

METHODS = "[{method: self_refinement, rounds: 3}]"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def count_up(request: ChatRequest) -> str | ChatReply | ChatFailure:
    """Revise `Answer N.` to `Answer N + 1.` until it is done: at once, never, or by a fault, as the question says."""
    said = ask_of(request)
    if "Answer:\n" not in said:
        return answer(request)
    number = int(said.split("Answer:\nAnswer ")[1][0])
    question = int(said.split("What is ")[1][0])
    if request.schema is not None:
        is_done = question == 0 or (question == 1 and number == 2)
        return json.dumps({"critique": f"{number} is too few.", "is_done": is_done})
    faults: dict[int, str | ChatReply | ChatFailure] = {
        3: ChatReply("Answer 1, and", "length", 7, 5),
        4: "  ",
        5: f"Answer  {number}.",
    }
    return faults.get(question, f"Answer {number + 1}.")


def compare(request: ChatRequest) -> str:
    first, second = (int(part[0]) for part in ask_of(request).split("Answer ")[1:3])
    return f"{first + 1} {second + 1}\nSo it is."


def test_every_try_is_a_row_with_its_parent_and_says_what_became_of_it(house: House) -> None:
    manifest = house.make(METHODS, count_up, compare)

    tries = house.read(RESPONSE_REVISIONS)
    told = tries.select("instruction_id", "round", "revision_status", "critique", "revision").rows()
    assert told == [
        ("q0", 1, "done", "0 is too few.", ""),
        ("q1", 1, "ok", "0 is too few.", "Answer 1."),
        ("q1", 2, "ok", "1 is too few.", "Answer 2."),
        ("q1", 3, "done", "2 is too few.", ""),
        ("q2", 1, "ok", "0 is too few.", "Answer 1."),
        ("q2", 2, "ok", "1 is too few.", "Answer 2."),
        ("q2", 3, "ok", "2 is too few.", "Answer 3."),
        ("q3", 1, "cut_revision", "0 is too few.", "Answer 1, and"),
        ("q4", 1, "empty_revision", "0 is too few.", ""),
        ("q5", 1, "unchanged", "0 is too few.", "Answer  0."),
    ]
    by_id = {row["revision_id"]: row for row in tries.iter_rows(named=True)}
    responses = set(house.read(RESPONSES)["response_id"])
    for row in by_id.values():
        (parent,) = row["parents"]
        if row["round"] == 1:
            assert (parent["table"], parent["id"]) == ("responses", row["response_id"])
            assert parent["id"] in responses
        else:
            assert parent["table"] == "response_revisions"
            before = by_id[parent["id"]]
            assert (before["round"], before["response_id"]) == (row["round"] - 1, row["response_id"])
    # both requests of a try are paid, with what was cut
    cut = next(row for row in by_id.values() if row["revision_status"] == "cut_revision")
    assert cut["completion_tokens"] > 5
    counts = house.lake.dataset(RESPONSE_REVISIONS, DUMP).require_manifest().counts
    stops = {name: count for name, count in counts.items() if name.startswith("stopped_")}
    assert stops == {"stopped_done": 2, "stopped_round_limit": 1, "stopped_cut_revision": 1,
                     "stopped_empty_revision": 1, "stopped_unchanged": 1}  # fmt: skip
    # of six answers two were revised, and the judge likes both better
    assert house.pairs.select("chosen", "rejected").sort("chosen").rows() == [
        ("Answer 2.", "Answer 0."),
        ("Answer 3.", "Answer 0."),
    ]
    assert manifest.removed_by_rule == {"no_revision": 4}


def test_a_pair_leads_to_its_revision_and_that_to_the_response(house: House) -> None:
    house.make(METHODS, count_up, compare)
    record_dump(house.lake, Dump(DUMP, str(house.folder), ()))
    pair = house.pairs.filter(instruction_id="q1").row(0, named=True)
    assert [parent["table"] for parent in pair["parents"]] == ["response_revisions", "responses"]

    for table in (DEDUPED_CORPUS, RAW_CRAWL):
        publish(house.lake, table, DUMP, fill_rows(table, [{"doc_id": name, "dump": DUMP} for name in ASKED]))
    origin = trace(house.lake, pair["pair_id"])
    revised, first = origin.parents
    assert (revised.asset, revised.id, first.asset) == ("response_revisions", pair["chosen_id"], "responses")
    (between,) = revised.parents
    (root,) = between.parents
    assert {record.id for record in origin.list_records()} == {"q1"}
    assert (between.asset, root.asset, root.id) == ("response_revisions", "responses", pair["rejected_id"])
    for wanted in (pair["chosen_id"], pair["rejected_id"]):
        (fate,) = explain(house.lake, wanted)
        (step,) = (step for step in fate.steps if step.asset == "response_revisions")
        assert [row["revision_status"] for row in step.rows] == ["ok", "ok", "done"]


def test_the_card_of_the_release_counts_the_tries_and_what_they_took(house: House) -> None:
    house.make(METHODS, count_up, compare)
    house.lake.dataset(PREFERENCE_PAIRS, DUMP).record_verdict([])
    house.release(METHODS)
    card = (house.lake.dataset(PREFERENCE_DATASET).folder.join("README.md")).read_text()
    counted = [
        house.lake.dataset(table, DUMP).require_manifest().counts["completion_tokens"]
        for table in (RESPONSES, RESPONSE_REVISIONS, PREFERENCE_PAIRS)
    ]
    assert "| response_revisions | 10 |" in card
    assert f"{int(sum(counted)):,}" in card


def test_where_no_method_revises_nobody_is_asked(house: House) -> None:
    house.make("[pairwise_judge]", count_up, compare)
    assert house.read(RESPONSE_REVISIONS).is_empty()
    assert len(house.teacher.asked) == 3 * len(ASKED)


def test_another_judge_asks_no_author_again_and_other_rounds_do(house: House) -> None:
    house.make(METHODS, count_up, compare)
    house.judge = ScriptedTeacher(compare, "openai:another-1@0")
    house.make(METHODS, count_up, compare)
    assert not house.teacher.asked
    assert house.judge.asked
    house.make(METHODS.replace("3", "1"), count_up, compare)
    assert house.read(RESPONSE_REVISIONS)["round"].max() == 1


def test_an_outage_of_the_author_commits_nothing(house: House) -> None:
    def fail(request: ChatRequest) -> str | ChatFailure:
        return answer(request) if "Answer:\n" not in ask_of(request) else ChatFailure("server", "503")

    with pytest.raises(ShardError, match="The teacher openai:writer-1@0 failed on 3 of 3 requests"):
        house.make(METHODS, fail, compare)
    assert not house.lake.dataset(RESPONSE_REVISIONS, DUMP).find_commits()


def test_an_author_that_revises_nothing_is_told_of(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a shard of the house has three answers
    monkeypatch.setattr(teacher_watch, "_BARREN_LEAST", 3)

    def settle(request: ChatRequest) -> str:
        is_critique = request.schema is not None and "Answer:\n" in ask_of(request)
        return json.dumps({"critique": "Good.", "is_done": True}) if is_critique else answer(request)

    house.make(METHODS, settle, compare)
    # other tests may have let notes through to the log
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text.partition(". If ")[0] for text in told] == [
        "revisions of openai:writer-1@0: 0 of 3 accepted: done 3"
    ] * 2


def test_nobody_revises_what_rests_on_a_picture_that_is_not_shown() -> None:
    # of the third picture nothing is known in words: a model that sees was asked about it
    names = ["seen", "unseen", "untold"]
    asked = {"instruction_id": names, "instruction": ["Why?", "What is here?", "And here?"], "context": [None] * 3}
    known = {"evidence": ["", "a cup", ""], "response": ["So.", "A cup.", "A hat."], "images": [[], ["p"], ["r"]]}
    rows = pl.DataFrame({**asked, **known})
    responses = fill_rows(
        RESPONSES,
        [{"response_id": f"r-{name}", "instruction_id": name, "response": "Hm."} for name in asked["instruction_id"]],
    )
    author = ScriptedTeacher(lambda _: json.dumps({"critique": "", "is_done": True}))
    tries, _ = revise(list_first(responses, rows), author, RefinementSettings())
    assert len(author.asked) == 1
    assert "Why?" in ask_of(author.asked[0])
    assert tries.select("instruction_id", "revision_status").rows() == [("seen", "done")]
