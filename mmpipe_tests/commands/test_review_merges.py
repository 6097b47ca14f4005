"""Files of answers add up: by several people, in any order, twice over, changed since, taken back, or of two tools."""

from __future__ import annotations

import io
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.commands.review import describe_merge, export_review, merge_reviews
from mmpipe.errors import ConfigurationError
from mmpipe.lanes.instruction_reviews import ALLOCATION, VERDICTS, find_review_file, read_review_file, reviews_shard
from mmpipe.lanes.review_answers import ANSWERS, KEPT_SCHEMA, MERGES, MERGES_SCHEMA, AnswerFile, accumulate
from mmpipe.lanes.review_rounds import plan_review
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.release.review_answers import ANSWERS_SCHEMA
from mmpipe.storage.lake import Lake
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def make_rows(answer: str = "Answer") -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {"instruction_id": f"r{place}", "dump": "a", "method": "raft", "instruction": f"Question {place}?",
         "context": None, "response": f"{answer} {place}.", "images": [], "parents": []}
        for place in range(4)
    ]  # fmt: skip
    return fill_rows(SYNTHESIZED_INSTRUCTIONS, rows)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", make_rows())
    publish(lake, INSTRUCTION_REMOVALS, "a", INSTRUCTION_REMOVALS.make_empty())
    return lake


def annotate(person: Any, label: str | None, minute: int, text: str | None = None, **more: Any) -> dict[str, Any]:
    """Make an annotation as Label Studio writes it."""
    result = []
    if label:
        result.append({"from_name": "label", "to_name": "prompt", "type": "choices", "value": {"choices": [label]}})
    if text:
        result.append({"from_name": "correction", "to_name": "response", "type": "textarea", "value": {"text": [text]}})
    at = (NOON + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return {"completed_by": person, "result": result, "was_cancelled": False, "created_at": NOON.isoformat(),
            "updated_at": at, **more}  # fmt: skip


class Desk:
    """Exports of one lake, and files of answers to them."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.lake, self.folder = lake, folder
        self.tasks = json.loads(export_review(lake, "a", folder / "ls.json", tool="label_studio").files[0].read_text())
        self.records = json.loads(export_review(lake, "a", folder / "ar.json").files[0].read_text())

    def label_studio(self, name: str, said: dict[str, list[dict[str, Any]]]) -> Path:
        tasks = [{**task, "annotations": said.get(task["data"]["item_id"], []), "drafts": []} for task in self.tasks]
        file = self.folder / name
        file.write_text(json.dumps(tasks))
        return file

    def argilla(self, name: str, said: dict[str, dict[str, str]]) -> Path:
        records = [
            {**record, "responses": {"label": [{"value": value, "user_id": user, "status": "submitted"}
             for user, value in said.get(record["id"], {}).items()]}}
            for record in self.records
        ]  # fmt: skip
        file = self.folder / name
        file.write_text(json.dumps(records))
        return file

    def verdicts(self) -> dict[str, dict[str, Any]]:
        kept = read_review_file(self.lake, "a", VERDICTS)
        assert kept is not None
        return {row["instruction_id"]: row for row in kept.to_dicts()}

    def forget(self) -> None:
        for name in (ANSWERS, MERGES, VERDICTS):
            if find_review_file(self.lake, "a", name).is_file():
                find_review_file(self.lake, "a", name).remove()

    def read_bytes(self) -> list[bytes]:
        return [find_review_file(self.lake, "a", name).read_bytes() for name in (ANSWERS, MERGES, VERDICTS, ALLOCATION)]


@pytest.fixture
def desk(lake: Lake, tmp_path: Path) -> Desk:
    return Desk(lake, tmp_path)


def test_files_of_three_people_add_up_in_any_order_and_twice(desk: Desk) -> None:
    files = [
        desk.label_studio("ann.json", {"r0": [annotate(1, "good", 1, "Better.")], "r1": [annotate(1, "bad", 2)]}),
        desk.label_studio("bo.json", {"r0": [annotate(2, "good", 3, "Best.")], "r1": [annotate(2, "good", 4)]}),
        desk.label_studio("cy.json", {"r0": [annotate(3, "bad", 5, "Best.")], "r1": [annotate(3, "bad", 6)],
                                      "r2": [annotate(3, None, 7, was_cancelled=True)]}),
    ]  # fmt: skip
    seen = []
    for order in itertools.permutations(files):
        desk.forget()
        for file in order:
            merge = merge_reviews(desk.lake, [file])
        seen.append((desk.verdicts(), describe_merge(merge)[-6:]))
    desk.forget()
    together = merge_reviews(desk.lake, files)
    assert all(one == (desk.verdicts(), describe_merge(together)[-6:]) for one in seen)

    rows = desk.verdicts()
    assert {name: row["verdict"] for name, row in rows.items()} == {"r0": "keep", "r1": "remove"}
    assert (rows["r0"]["annotators"], rows["r0"]["labels"]) == (["1", "2", "3"], ["good", "good", "bad"])
    assert (rows["r0"]["corrections"], rows["r0"]["corrected_response"], rows["r0"]["corrected_by"]) == (
        2,
        "Best.",
        "2",
    )
    # by hand: two of three pairs apart in each of two rows: agreement 1/3, half of the labels good
    assert together.round.merged.people_kappa == pytest.approx((1 / 3 - 1 / 2) / (1 / 2))
    assert together.round.added.fresh == 7
    assert together.left_out == {"cancelled": 1}

    before = desk.read_bytes()
    again = merge_reviews(desk.lake, [files[1], files[0], files[0]])
    assert (again.round.added.fresh, again.round.added.replaced.height, again.round.added.repeated) == (0, 0, 4)
    assert desk.read_bytes() == before


def test_the_later_answer_of_a_person_counts_whole_whichever_file_comes_first(desk: Desk) -> None:
    old = desk.label_studio("old.json", {"r0": [annotate(1, "good", 1, "Better.")], "r1": [annotate(1, "bad", 1)]})
    new = desk.label_studio("new.json", {"r0": [annotate(1, "good", 9)],
                                         "r1": [annotate(1, None, 9, was_cancelled=True)]})  # fmt: skip
    for order in ([old, new], [new, old]):
        desk.forget()
        for file in order:
            merge = merge_reviews(desk.lake, [file])
        # no better answer any more, and what was taken back is no verdict
        assert {name: row["corrected_response"] for name, row in desk.verdicts().items()} == {"r0": None}
        said = " ".join(describe_merge(merge))
        if order[0] is old:
            assert merge.round.added.replaced.rows() == [("r0", "1"), ("r1", "1")]
            assert "Replaced: r0 by 1, r1 by 1." in said
        else:
            assert merge.round.added.outdated == 2
            assert "2 are older" in said


def test_people_of_equal_number_in_two_tools_are_told_apart_by_name(desk: Desk) -> None:
    ann = desk.label_studio("ann.json", {"r0": [annotate(1, "good", 1)]})
    bo = desk.label_studio("bo.json", {"r0": [annotate(1, "bad", 2)]})
    merge_reviews(desk.lake, [ann], annotator="ann")
    merge_reviews(desk.lake, [bo], annotator="bo")
    assert (desk.verdicts()["r0"]["verdict"], desk.verdicts()["r0"]["annotators"]) == (None, ["ann", "bo"])
    # of a file without times, each name has its own first merge
    good, bad = desk.argilla("good.json", {"r3": {"u": "good"}}), desk.argilla("bad.json", {"r3": {"u": "bad"}})
    for file, name in ((good, "ann"), (bad, "bo"), (good, "bo")):
        merge_reviews(desk.lake, [file], annotator=name)
    assert (desk.verdicts()["r3"]["annotators"], desk.verdicts()["r3"]["labels"]) == (["ann", "bo"], ["good", "good"])
    both = desk.label_studio("both.json", {"r0": [annotate(1, "good", 1), annotate(2, "bad", 2)]})
    with pytest.raises(ConfigurationError, match=r"both\.json: holds answers of 2 people \(1, 2\), not of cy alone"):
        merge_reviews(desk.lake, [both], annotator="cy")


def test_where_no_time_is_told_a_later_merge_counts_and_files_together_may_not_differ(desk: Desk) -> None:
    old, new = desk.argilla("old.json", {"r0": {"ann": "good"}}), desk.argilla("new.json", {"r0": {"ann": "bad"}})
    for files in ([old, new], [new, old]):
        with pytest.raises(ConfigurationError, match=r"new\.json and .*old\.json: ann says different things of r0"):
            merge_reviews(desk.lake, files)
        assert read_review_file(desk.lake, "a", ANSWERS) is None
    merge_reviews(desk.lake, [old])
    merge_reviews(desk.lake, [new])
    assert desk.verdicts()["r0"]["verdict"] == "remove"
    before = desk.read_bytes()
    # the older file again says nothing later, also beside the newer one
    for files in ([old], [new, old], [old, new]):
        merge_reviews(desk.lake, files)
        assert desk.read_bytes() == before
    twice = json.loads(old.read_text())
    twice[0]["responses"]["label"] *= 2
    twice[0]["responses"]["label"][1] = {**twice[0]["responses"]["label"][1], "value": "bad"}
    old.write_text(json.dumps(twice))
    with pytest.raises(ConfigurationError, match="two answers of ann about r0"):
        merge_reviews(desk.lake, [old])


def test_two_tools_and_two_people_are_counted_together(desk: Desk) -> None:
    one = desk.label_studio("one.json", {f"r{place}": [annotate(7, "good", place)] for place in range(3)})
    other = desk.argilla("other.json", {"r0": {"u": "good"}, "r1": {"u": "bad"}, "r2": {"u": "good"}})
    merge = merge_reviews(desk.lake, [other, one])
    assert merge.round.merged.people_items == 3
    assert merge.round.merged.disagreements == 1
    assert "By 2 people so far" in " ".join(describe_merge(merge))


def test_a_bad_file_among_good_ones_keeps_all_of_them_out(desk: Desk) -> None:
    good = desk.argilla("good.json", {"r0": {"ann": "good"}})
    bad = desk.argilla("bad.json", {"r0": {"bo": "fine"}})
    with pytest.raises(ConfigurationError, match=r"bad\.json, record 1: item r0: 'fine' is no label"):
        merge_reviews(desk.lake, [good, bad])
    assert read_review_file(desk.lake, "a", ANSWERS) is read_review_file(desk.lake, "a", VERDICTS) is None


def test_byte_order_mark_json_lines_and_files_of_all_forms_say_the_same(desk: Desk) -> None:
    file = desk.argilla("plain.json", {"r0": {"ann": "good"}, "r1": {"ann": "bad"}})
    records = json.loads(file.read_text())
    flat = [
        {"id": row["id"], **row["fields"], **row["metadata"], "label.responses": [said["value"] for said in answers],
         "label.responses.users": [said["user_id"] for said in answers],
         "label.responses.status": ["submitted" for _ in answers]}
        for row in records if (answers := row["responses"]["label"]) is not None
    ]  # fmt: skip
    forms = {
        "mark.json": b"\xef\xbb\xbf" + file.read_bytes(),
        "lines.jsonl": "\r\n".join(json.dumps(record) for record in records).encode(),
        "flat.jsonl": "\n".join(json.dumps(record) for record in flat).encode(),
    }
    merge_reviews(desk.lake, [file])
    wanted = desk.verdicts()
    assert {name: row["verdict"] for name, row in wanted.items()} == {"r0": "keep", "r1": "remove"}
    for name, data in forms.items():
        desk.forget()
        (desk.folder / name).write_bytes(data)
        merge_reviews(desk.lake, [desk.folder / name])
        assert desk.verdicts() == wanted, name


def test_json_min_of_label_studio_says_the_same(desk: Desk) -> None:
    file = desk.label_studio("full.json", {"r0": [annotate(1, "good", 1, "Better."), annotate(2, "bad", 2)]})
    merge_reviews(desk.lake, [file])
    wanted = desk.verdicts()
    desk.forget()
    data = next(task["data"] for task in desk.tasks if task["data"]["item_id"] == "r0")
    at = {"created_at": "2026-05-04T12:00:00Z", "id": 1}
    rows = [
        {**data, "label": "bad", "annotator": 2, "annotation_id": 2, "updated_at": "2026-05-04T12:02:00Z"} | at,
        {**data, "label": "good", "correction": "Better.", "annotator": 1, "annotation_id": 1,
         "updated_at": "2026-05-04T12:01:00Z"} | at,
        {**data, "item_id": "r3", "id": 4, "annotator": None, "annotation_id": None, "updated_at": None},
    ]  # fmt: skip
    (desk.folder / "min.json").write_text(json.dumps(rows))
    merge = merge_reviews(desk.lake, [desk.folder / "min.json"])
    assert desk.verdicts() == wanted
    assert merge.unanswered == 1


def test_what_was_said_of_an_answer_made_anew_does_not_count(desk: Desk, tmp_path: Path) -> None:
    old = desk.label_studio("old.json", {"r0": [annotate(1, "bad", 1)], "r1": [annotate(1, "bad", 1)]})
    merge_reviews(desk.lake, [old])
    rows = desk.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a")
    assert reviews_shard(rows, desk.lake, "a").frame.height == 2

    # the same ids, other words: of r0 alone
    made = make_rows().with_columns(
        response=pl.when(pl.col("instruction_id") == "r0").then(pl.lit("New.")).otherwise("response")
    )
    publish(desk.lake, SYNTHESIZED_INSTRUCTIONS, "a", made)
    shard = reviews_shard(rows, desk.lake, "a")
    assert shard.frame["instruction_id"].to_list() == ["r1"]
    assert shard.counts["changed_rows"] == 1

    export_review(desk.lake, "a", tmp_path / "new.json", tool="label_studio")
    merge = merge_reviews(desk.lake, [old])
    assert merge.round.outlived == 1
    assert "made anew" in " ".join(describe_merge(merge))
    assert reviews_shard(rows, desk.lake, "a").frame["instruction_id"].to_list() == ["r1"]
    desk.tasks = json.loads((tmp_path / "new.json").read_text())
    merge_reviews(desk.lake, [desk.label_studio("new2.json", {"r0": [annotate(1, "good", 5)]})])
    frame = reviews_shard(rows, desk.lake, "a").frame
    assert dict(frame.select("instruction_id", "verdict").iter_rows()) == {"r0": "keep", "r1": "remove"}


def test_of_two_dumps_in_one_file_the_asked_one_is_taken(desk: Desk) -> None:
    tasks = [
        {**task, "data": {**task["data"], "meta": {"dump": "b" if place else "a"}},
         "annotations": [annotate(1, "good", 1)]}
        for place, task in enumerate(desk.tasks)
    ]  # fmt: skip
    file = desk.folder / "two.json"
    file.write_text(json.dumps(tasks))
    with pytest.raises(ConfigurationError, match=r"rows of a, b\. Say which dump is meant with --dump"):
        merge_reviews(desk.lake, [file])
    merge = merge_reviews(desk.lake, [file], "a")
    assert len(desk.verdicts()) == 1
    assert merge.left_out == {"other_dump": 3}


def test_what_the_model_decided_is_taken_without_a_file(desk: Desk) -> None:
    plan_review(desk.lake, "a", teacher=ScriptedTeacher(lambda request: "good"), budget=0)
    with pytest.raises(ConfigurationError, match="--dump"):
        merge_reviews(desk.lake, [])
    merge = merge_reviews(desk.lake, [], "a")
    assert {row["labelled_by"] for row in desk.verdicts().values()} == {"model"}
    assert merge.round.verdicts.height == sum(row["verdict"] is not None for row in desk.verdicts().values())


ANSWER = st.fixed_dictionaries(
    {
        "item_id": st.sampled_from("xyz"),
        "annotator": st.sampled_from("ab"),
        "label": st.sampled_from(["good", "bad", None]),
        "correction": st.sampled_from([None, "1", "2"]),
        "answered_at": st.integers(0, 3).map(lambda minutes: NOON + timedelta(minutes=minutes)),
        "shown": st.sampled_from(["old", "new"]),
    }
)


@settings(max_examples=60)
@given(st.lists(st.lists(ANSWER, max_size=6), max_size=4), st.randoms(use_true_random=False))
def test_files_add_up_to_the_same_however_they_are_merged(files: list[list[dict[str, Any]]], random: Any) -> None:
    made = [
        AnswerFile(f"f{place}", f"d{place}", pl.DataFrame(rows, schema=ANSWERS_SCHEMA))
        for place, rows in enumerate(files)
    ]
    nothing = pl.DataFrame(schema=KEPT_SCHEMA), pl.DataFrame(schema=MERGES_SCHEMA)
    together = accumulate(*nothing, made, NOON)
    latest = {
        (row["item_id"], row["annotator"], row["shown"]): max(
            other["answered_at"] for rows in files for other in rows
            if all(other[name] == row[name] for name in ("item_id", "annotator", "shown"))
        )
        for rows in files for row in rows
    }  # fmt: skip
    names = ("item_id", "annotator", "shown")
    assert {tuple(row[name] for name in names): row["answered_at"] for row in together.answers.to_dicts()} == latest
    # some twice, in any order, one after the other, rows turned round
    order = [*made, *random.sample(made, random.randint(0, len(made)))]
    random.shuffle(order)
    kept = nothing
    for minute, file in enumerate(order):
        turned = AnswerFile(
            file.name, file.digest, file.answers.sample(fraction=1, shuffle=True, seed=random.randint(0, 9))
        )
        added = accumulate(*kept, [turned], NOON + timedelta(hours=minute))
        kept = added.answers, added.merges
        assert added.fresh + added.replaced.height + added.repeated + added.outdated <= file.answers.height
    assert kept[0].equals(together.answers)
    buffers = io.BytesIO(), io.BytesIO()
    for buffer, frame in zip(buffers, (kept[0], together.answers), strict=True):
        frame.write_parquet(buffer)
    assert buffers[0].getvalue() == buffers[1].getvalue()
