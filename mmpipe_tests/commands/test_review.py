"""Reviews there and back: rows go to people and model, verdicts and better answers come back with who gave them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.commands.review import describe_merge, export_review, merge_reviews
from mmpipe.errors import ConfigurationError
from mmpipe.lanes import instructions, review_pictures
from mmpipe.lanes.instruction_reviews import ALLOCATION, VERDICTS, read_review_file
from mmpipe.lanes.review_rounds import plan_review
from mmpipe.lanes.stage import Knobs
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish, read_size
from mmpipe_tests.lanes.test_vanished_pictures import DUMP, PictureHouse

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.tables.chat import ChatRequest

SAID = (("user", "Hi"), ("assistant", "Hello"), ("user", "Sum?"), ("assistant", "Four"))
TURNS = [{"role": role, "content": content} for role, content in SAID]
#: A record of Argilla with an answer of which something is told.
ARGILLA = '[{"id": "r0", "responses": {"label": [{"value": "good", %s}]}}]'
#: An answer of Label Studio that the form does not have.
NAMELESS = '{"result": [{"from_name": "label", "value": {"choices": ["good"]}}]}'
FINE = '{"from_name": "label", "value": {"choices": ["fine"]}}'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    rows: list[dict[str, Any]] = [
        {"instruction_id": f"r{place}", "dump": "a", "method": "raft", "instruction": f"Question {place}?",
         "context": "A passage." if place == 1 else None, "response": f"Answer {place}.", "images": [], "parents": []}
        for place in range(6)
    ]  # fmt: skip
    rows[2] |= {"tools": '[{"name": "find"}]', "tool_calls": "[]"}
    rows[5] |= {"turns": TURNS, "images": ["p1"], "evidence": "a red cup"}
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    gone = {"instruction_id": "r4", "rule": "x", "signal": "x"}
    publish(lake, INSTRUCTION_REMOVALS, "a", fill_rows(INSTRUCTION_REMOVALS, [gone]))
    return lake


def answer_argilla(file: Path, labels: dict[str, dict[str, str]], corrections: dict[str, str] | None = None) -> Path:
    """Fill an export in, as the tool does: label by person by item, and corrections by the first person."""
    records = json.loads(file.read_text())
    for record in records:
        said = labels.get(record["id"], {})
        record["responses"] = {
            "label": [{"value": value, "user_id": user, "status": "submitted"} for user, value in said.items()]
        }
        if corrections and record["id"] in corrections:
            better = {"value": corrections[record["id"]], "user_id": next(iter(said)), "status": "submitted"}
            record["responses"]["correction"] = [better]
    out = file.with_name("labelled.json")
    out.write_text(json.dumps(records))
    return out


def answer_label_studio(file: Path, labels: dict[str, dict[str, str]], corrections: dict[str, str]) -> Path:
    tasks = json.loads(file.read_text())
    for task in tasks:
        item, made = task["data"]["item_id"], []
        for user, value in labels.get(item, {}).items():
            result = [{"from_name": "label", "to_name": "prompt", "type": "choices", "value": {"choices": [value]}}]
            if not made and item in corrections:
                result.append({"from_name": "correction", "to_name": "response", "type": "textarea",
                               "value": {"text": [corrections[item]]}})  # fmt: skip
            made.append({"result": result, "completed_by": {"id": user}, "was_cancelled": False})
        task["annotations"] = made
    out = file.with_name("labelled.json")
    out.write_text(json.dumps(tasks))
    return out


ANSWERS = {"r0": {"ann": "good", "bo": "good"}, "r1": {"ann": "bad", "bo": "bad"}, "r2": {"ann": "good", "bo": "bad"},
           "r5": {"ann": "good"}}  # fmt: skip
BETTER = {"r0": " A better answer. ", "r1": "of no use: the row goes"}


@pytest.mark.parametrize(("tool", "answer"), [("argilla", answer_argilla), ("label_studio", answer_label_studio)])
def test_verdicts_and_better_answers_come_back_with_their_authors(lake: Lake, tmp_path: Path, tool: str, answer: Any):
    done = export_review(lake, "a", tmp_path / "items.json", tool=tool)
    assert (done.people, done.model, done.nobody, done.requests) == (5, 0, 0, None)
    assert all(file.is_file() for file in done.files)

    merge = merge_reviews(lake, [answer(done.files[0], ANSWERS, BETTER)])

    kept = read_review_file(lake, "a", VERDICTS)
    assert kept is not None
    rows = {row["instruction_id"]: row for row in kept.to_dicts()}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "r0": "keep", "r1": "remove", "r2": None, "r5": "keep"}  # fmt: skip
    assert (rows["r0"]["corrected_response"], rows["r0"]["corrected_by"]) == ("A better answer.", "ann")
    assert rows["r1"]["corrected_response"] is None
    assert rows["r1"]["annotators"] == ["ann", "bo"]
    assert merge.round.merged.disagreements == 1
    # 2 of 3 rows with two answers agree: 4 good and 2 bad... of 3 good, 3 bad by chance
    assert merge.round.merged.people_kappa == pytest.approx(1 / 3)
    assert "1 tied" in " ".join(describe_merge(merge))


def test_people_see_passages_talks_and_what_was_kept_alone(lake: Lake) -> None:
    items = {row["item_id"]: row for row in plan_review(lake, "a", teacher=None, budget=None).items.to_dicts()}
    assert set(items) == {"r0", "r1", "r2", "r3", "r5"}
    assert items["r1"]["prompt"] == "A passage.\n\nQuestion 1?"
    assert (items["r5"]["prompt"], items["r5"]["response"]) == ("User: Hi\n\nAssistant: Hello\n\nUser: Sum?", "Four")
    assert items["r5"]["images"] == "p1"
    assert items["r2"]["prompt"] == 'Question 2?\n\nTools: [{"name": "find"}]'
    assert items["r0"]["images"] is None


def say(request: ChatRequest) -> str:
    """Be sure of two rows, and say now one label, now the other of the rest."""
    text = str(request.messages[-1].content)
    is_turned = "not 'good'" in text or "wrong to label it 'good'" in text or "label is 'bad'" in text
    if "Question 0" in text or "Question 3" in text:
        is_good = "Question 0" in text
    else:
        is_good = "Statement" in text or "think" in text
    if "one letter" in text or "one of" in text:
        return "good" if is_good else "bad"
    return "yes" if is_good != is_turned else "no"


def test_a_budget_gives_people_the_rows_that_votes_differ_on(lake: Lake, tmp_path: Path) -> None:
    plan = plan_review(lake, "a", teacher=ScriptedTeacher(say), budget=2)
    assert plan.spent is not None
    assert plan.spent.requests == 9 * 5
    annotators = dict(plan.allocation.select("item_id", "annotator").iter_rows())
    assert annotators["r0"] == annotators["r3"] == "model"
    assert sorted(annotators.values()).count("people") == 2
    # the model's word counts where people say nothing, and people's where they do
    items = plan.items.get_column("item_id").to_list()
    file = tmp_path / "items.json"
    file.write_text(json.dumps([{"id": name, "metadata": {"dump": "a"}} for name in items]))
    merge = merge_reviews(lake, [answer_argilla(file, {items[0]: {"ann": "bad"}})])
    rows = {row["instruction_id"]: row for row in merge.round.verdicts.to_dicts()}
    assert (rows["r0"]["verdict"], rows["r3"]["verdict"]) == ("keep", "remove")
    assert rows["r3"]["labelled_by"] == "model"
    assert len(rows["r3"]["annotators"]) == 1
    assert (rows[items[0]]["verdict"], rows[items[0]]["annotators"]) == ("remove", ["ann"])
    assert items[1] not in rows


def test_a_model_that_votes_is_told_what_a_picture_shows(lake: Lake) -> None:
    teacher = ScriptedTeacher(say)
    plan_review(lake, "a", teacher=teacher, budget=1)
    asked = [str(request.messages) for request in teacher.asked]
    told = [text for text in asked if "What the picture shows: a red cup" in text]
    assert len(told) == 9
    assert all("Sum?" in text for text in told)
    assert sum("picture" in text for text in asked) == 9


def test_a_second_round_keeps_the_verdicts_of_the_first(lake: Lake, tmp_path: Path) -> None:
    first = export_review(lake, "a", tmp_path / "one.json", most=2)
    assert first.people == 2
    items = [record["id"] for record in json.loads(first.files[0].read_text())]
    merge_reviews(lake, [answer_argilla(first.files[0], {name: {"ann": "bad"} for name in items})])
    second = export_review(lake, "a", tmp_path / "two.json")
    rest = {record["id"]: {"bo": "good"} for record in json.loads(second.files[0].read_text())}
    merge = merge_reviews(
        lake, [answer_argilla(second.files[0], {name: rest[name] for name in rest if name not in items})]
    )
    assert dict(merge.round.verdicts.select("instruction_id", "verdict").iter_rows()) == {
        name: "remove" if name in items else "keep" for name in rest
    }


def test_a_model_takes_no_word_of_people_back_and_a_better_answer_stays(lake: Lake, tmp_path: Path) -> None:
    first = export_review(lake, "a", tmp_path / "one.json")
    merge_reviews(
        lake,
        [answer_argilla(first.files[0], {"r0": {"ann": "good"}, "r3": {"ann": "good"}}, {"r0": "A better answer."})],
    )
    # the second round's model is sure of r0 and r3, and would remove r3
    plan = plan_review(lake, "a", teacher=ScriptedTeacher(say), budget=0)
    assert dict(plan.allocation.select("item_id", "model_label").iter_rows())["r3"] == "bad"
    file = tmp_path / "two.json"
    file.write_text(json.dumps([{"id": name, "metadata": {"dump": "a"}} for name in ("r0", "r1")]))
    merge = merge_reviews(lake, [answer_argilla(file, {"r0": {"bo": "good"}, "r1": {"bo": "good"}})])
    rows = {row["instruction_id"]: row for row in merge.round.verdicts.to_dicts()}
    assert (rows["r3"]["verdict"], rows["r3"]["annotators"]) == ("keep", ["ann"])
    assert (rows["r0"]["annotators"], rows["r0"]["corrected_response"]) == (["ann", "bo"], "A better answer.")
    assert (rows["r0"]["labels"], rows["r0"]["corrected_by"]) == (["good", "good"], "ann")
    # one of three is outvoted; where two change their minds, the better answer goes with its row
    last = merge_reviews(lake, [answer_argilla(file, {"r0": {"cy": "bad"}})])
    row = last.round.verdicts.row(by_predicate=pl.col("instruction_id") == "r0", named=True)
    assert (row["verdict"], row["labels"], row["corrected_by"]) == ("keep", ["good", "good", "bad"], "ann")
    last = merge_reviews(lake, [answer_argilla(file, {"r0": {"bo": "bad"}})])
    assert last.round.added.replaced.rows() == [("r0", "bo")]
    row = last.round.verdicts.row(by_predicate=pl.col("instruction_id") == "r0", named=True)
    assert (row["verdict"], row["labels"], row["corrected_response"]) == ("remove", ["good", "bad", "bad"], None)
    assert "r0 by bo" in " ".join(describe_merge(last))


def test_answers_to_an_earlier_export_are_taken(lake: Lake, tmp_path: Path) -> None:
    first = export_review(lake, "a", tmp_path / "one.json")
    export_review(lake, "a", tmp_path / "two.json", most=1)
    names = [record["id"] for record in json.loads(first.files[0].read_text())]
    merge = merge_reviews(lake, [answer_argilla(first.files[0], {name: {"ann": "bad"} for name in names})])
    assert merge.round.verdicts.get_column("verdict").to_list() == ["remove"] * 5


def test_what_a_model_decided_in_an_export_that_another_followed_does_not_count(lake: Lake, tmp_path: Path) -> None:
    plan_review(lake, "a", teacher=ScriptedTeacher(say), budget=2)
    later = export_review(lake, "a", tmp_path / "two.json", most=1)
    (name,) = [record["id"] for record in json.loads(later.files[0].read_text())]
    merge = merge_reviews(lake, [answer_argilla(later.files[0], {name: {"ann": "good"}})])
    assert merge.round.verdicts.get_column("instruction_id").to_list() == [name]


def test_the_judge_of_several_teachers_votes(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_named(knobs: Knobs) -> ScriptedTeacher:
        opened.append(knobs.teacher["model"])
        return ScriptedTeacher(say)

    monkeypatch.setattr(instructions, "open_run_teacher", open_named)
    teachers = {"small": {"model": "small"}, "strong": {"model": "strong"}}
    knobs = Knobs(teachers=teachers, teacher_uses={"default": "small", "judge": "strong"})
    export_review(lake, "a", tmp_path / "one.json", budget=1, knobs=knobs)
    assert opened == ["strong"]


@pytest.mark.parametrize("tool", ["argilla", "label_studio"])
def test_people_see_the_pictures_that_are_there(tmp_path: Path, tool: str) -> None:
    house = PictureHouse(tmp_path, 3)
    house.publish_rows(
        [house.make_row(0, house.ids[:2]), house.make_row(1, house.ids[2:]), house.make_row(2, ["gone"]),
         house.make_row(3, [])]
    )  # fmt: skip
    done = export_review(house.lake, DUMP, tmp_path / "items.json", tool=tool, cache_folder=house.cache)
    # of i2 the picture is gone
    assert (done.pictures, done.unseen) == (2, 1)
    items, form = json.loads(done.files[0].read_text()), done.files[1].read_text()
    if tool == "argilla":
        shown = {item["id"]: [item["fields"][f"picture_{place}"] for place in (1, 2)] for item in items}
        assert [field["name"] for field in json.loads(form)["fields"]][:2] == ["picture_1", "picture_2"]
        assert [field["required"] for field in json.loads(form)["fields"]] == [False, False, True, True]
    else:
        shown = {item["data"]["item_id"]: [*item["data"]["pictures"], None, None][:2] for item in items}
        assert 'valueList="$pictures"' in form
    # one that stands for none: Label Studio would not open the task, Argilla not export it
    (blank,) = {shown["i2"][0], shown["i3"][0]}
    assert blank.startswith("data:image/gif")
    assert read_size(base64.b64decode(blank.split(",")[1])) == (48, 1)
    shown = {name: [None if one == blank else one for one in pictures] for name, pictures in shown.items()}
    drawn = {name: [read_size(base64.b64decode(one.split(",")[1])) if one else None for one in pictures]
             for name, pictures in shown.items()}  # fmt: skip
    wanted = dict(house.pairs.select("pair_id", size=pl.concat_list("image_width", "image_height")).iter_rows())
    assert drawn == {
        "i0": [tuple(wanted[house.ids[0]]), tuple(wanted[house.ids[1]])], "i1": [tuple(wanted[house.ids[2]]), None],
        "i2": [None, None], "i3": [None, None],
    }  # fmt: skip
    assert len({one for pictures in shown.values() for one in pictures if one}) == 3


def test_pictures_are_read_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = PictureHouse(tmp_path, 3)
    rows = pl.DataFrame({"instruction_id": ["i0"], "images": [house.ids]})
    together = review_pictures.draw_pictures(rows, house.lake, DUMP, house.cache)
    sizes: list[int] = []
    read = review_pictures.read_present
    monkeypatch.setattr(review_pictures, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(
        review_pictures, "read_present", lambda part, *rest: sizes.append(len(part)) or read(part, *rest)
    )
    assert review_pictures.draw_pictures(rows, house.lake, DUMP, house.cache).equals(together)
    assert len(together["pictures"][0]) == 3
    assert sizes == [2, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\ufeff  \n", "is empty|no JSON"),
        ("{]", "line 1: no JSON"),
        ("[]", "holds no record"),
        ("3", "a list of records"),
        ('{"id": "r0"}\n{"id": ', "line 2: no JSON"),
        ('[{"id": "r0", "fields": {}}, {"name": "r1"}]', "record 2: is no record of Argilla: it has no `id`"),
        ('[{"id": "r0", "fields": {}}, 7]', "record 2: is no record of Argilla"),
        ('{"id": 1, "text": "a", "label": ["good"]}', "record 1: .* neither `fields` nor `responses`"),
        ('id,label\nr0,good\n', "line 1: no JSON.*from Label Studio as JSON"),
        ("[" * 100_000, "nested too deep"),
        ('[{"id": "r0", "responses": {"label": [{"value": "goood"}]}}]', "record 1: item r0: 'goood'.*'good'"),
        ('[{"id": "r0", "responses": {"label": "good"}}]', "record 1: item r0: the answers to 'label'"),
        ('[{"id": "r0", "responses": ["good"]}]', "record 1: item r0: `responses`"),
        ('[{"id": "r0", "responses": {"correction": [{"value": 3}]}}]', "record 1: item r0: the correction is no text"),
        ('[{"data": {"item_id": "r0"}}, {"data": {}}]', "record 2: is no task that mmpipe exported"),
        ('[{"data": {"item_id": "r0"}, "annotations": [{}]}]', "record 1: item r0: an annotation has no list"),
        ('[{"data": {"item_id": "r0"}, "annotations": [{"result": [' + FINE + "]}]}]", "record 1: item r0: 'fine'"),
        ('[{"data": {"item_id": "r0"}, "annotations": 3}]', "record 1: item r0: `annotations`"),
        ('[{"data": {"item_id": "r0"}, "annotations": [{"result": [], "created_at": "noon"}]}]', "r0: when .*noon"),
        ('[{"data": {"item_id": "r0"}, "annotations": [' + NAMELESS + "]}]", "does not say who gave it.*--annotator"),
        (ARGILLA % '"status": "submitted"', "does not say who gave it.*--annotator"),
        (ARGILLA % '"status": "submitted", "user_id": "\\ud800"', "half a character"),
        (ARGILLA % '"status": "submitted", "user_id": "u"', "no row that names its dump"),
        # Argilla's records.to_json writes drafts and discarded answers so, too
        (ARGILLA % '"user_id": "u"', "item r0: an answer does not say whether it was handed in.*to_list"),
        ('[{"id": "r0", "fields": {}}]', "1 rows and no answer that counts|1 rows and no answer"),
        ('[{"data": {"item_id": "r0"}, "annotations": [], "drafts": [{}]}]', r"no answer that counts \(1 draft\)"),
    ],
)  # fmt: skip
def test_a_bad_file_names_the_row_and_nothing_of_it_is_taken(lake: Lake, tmp_path: Path, text: str, said: str) -> None:
    export_review(lake, "a", tmp_path / "items.json")
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        merge_reviews(lake, [file])
    assert read_review_file(lake, "a", VERDICTS) is None


def test_what_cannot_be_asked_is_said(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'argilla'"):
        export_review(lake, "a", tmp_path / "x.json", tool="argila")
    with pytest.raises(ConfigurationError, match="name a teacher"):
        plan_review(lake, "a", teacher=None, budget=3)
    with pytest.raises(ConfigurationError, match=r"none\.json: is not there"):
        merge_reviews(lake, [tmp_path / "none.json"])
    file = tmp_path / "one.json"
    said = {"label": [{"value": "good", "user_id": "ann", "status": "submitted"}]}
    file.write_text(json.dumps([{"id": "r0", "metadata": {"dump": "a"}, "responses": said}]))
    with pytest.raises(ConfigurationError, match="mmpipe review export a"):
        merge_reviews(lake, [file])
    for data, fault in ((b'"\xe4"', "no UTF-8"), (b"\xff\xfe[\0", "is UTF-16"), (b"PK\3\4", "a ZIP archive")):
        file.write_bytes(data)
        with pytest.raises(ConfigurationError, match=fault):
            merge_reviews(lake, [file])
    with pytest.raises(ConfigurationError, match="is no file"):
        merge_reviews(lake, [tmp_path])


def test_rows_never_exported_stop_the_merge(lake: Lake, tmp_path: Path) -> None:
    done = export_review(lake, "a", tmp_path / "items.json", most=1)
    records = json.loads(done.files[0].read_text())
    said = {"label": [{"value": "good", "user_id": "ann", "status": "submitted"}]}
    done.files[0].write_text(json.dumps([records[0] | {"responses": said}, {"id": "zz", "responses": said}]))
    with pytest.raises(ConfigurationError, match=r"items\.json: item zz was never exported from a"):
        merge_reviews(lake, [done.files[0]])
    assert read_review_file(lake, "a", VERDICTS) is None
    assert read_review_file(lake, "a", ALLOCATION) is not None
