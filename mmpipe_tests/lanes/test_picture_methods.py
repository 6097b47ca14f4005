"""Methods about pictures from kept pairs, boxes and captions to sft_dataset, its dialects and its balance."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.commands.trace import trace
from mmpipe.errors import MmpipeError, RecipeError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.synthesis_methods import check_methods
from mmpipe.lanes.teacher_roster import read_roster
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.models.teachers import open_teacher
from mmpipe.release import exporters_llava, exporters_trl
from mmpipe.storage.lake import Lake
from mmpipe.synthesis.choice_prompts import NONE_PROMPT
from mmpipe.synthesis.choice_texts import parse_choice
from mmpipe.synthesis.llava_prompts import LLAVA_PROMPTS
from mmpipe.synthesis.lrv_prompts import LRV_PROMPTS, TASKS
from mmpipe.synthesis.picture_descriptions import CONTINUE
from mmpipe.synthesis.scene_choices import ChoiceSettings
from mmpipe.tables.chat import ChatFailure, ChatRequest, ImageLost
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, RESPONSES, SFT_DATASET
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs, fill_rows, publish
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.models.chat_server import Answer, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.storage.commits import Manifest

DUMP = "d1"
CAPTION = "A brown dog lies on a red sofa"
FURTHER = "A dog sleeps near a window"
#: Every stage until instructions are judged.
TO_REMOVALS = tuple(itertools.takewhile(lambda stage: stage.table is not RESPONSES, INSTRUCTION_LANE))

TALK = [
    {"speaker": "question", "text": "Where is the brown dog?"},
    {"speaker": "answer", "text": "The brown dog lies on the red sofa."},
    {"speaker": "question", "text": "What colour is the sofa?"},
    {"speaker": "answer", "text": "The sofa is red."},
]
DETAIL = (
    "A brown dog lies on a red sofa and sleeps. The sofa is in the middle of the picture, and the dog is on the left "
    "side of it, near a window."
)
WHY = {
    "question": "Why may the dog sleep so well?",
    "answer": "The sofa is red and soft, and the dog lies close to a window. A dog sleeps where it is warm, and a "
    "sofa near a window is warm in the day.",
}
WRONG = {
    "positive": {"instruction": "Tell where the dog sleeps", "answer": "The dog is on the sofa.", "objects": ["dog"]},
    "nonexistent_object": {
        "instruction": "Describe the bicycles", "answer": "There are no bicycles here.", "object": "bicycle",
        "reason": "None is there.",
    },
    "wrong_attribute": {
        "instruction": "Describe the green sofa", "answer": "The sofa isn't green, it is red.", "object": "sofa",
        "wrong": "green", "right": "red", "reason": "It is red.",
    },
    "wrong_knowledge": {
        "instruction": "Say why the dog is a reptile", "answer": "A dog is not a reptile but a mammal.",
        "object": "dog", "wrong": "reptile", "right": "mammal", "reason": "Dogs are mammals.",
    },
}  # fmt: skip


def answer_llava(request: ChatRequest) -> str:
    said = {"conversation": {"turns": TALK}, "detail": {"answer": DETAIL}, "reasoning": WHY}
    name = next(name for name, prompt in LLAVA_PROMPTS.items() if prompt.system == request.messages[0].content)
    return json.dumps(said[name])


def answer_lrv(request: ChatRequest) -> str:
    kind = next(kind for kind, prompt in LRV_PROMPTS.items() if prompt.system == request.messages[0].content)
    said: dict[str, Any] = dict(WRONG[kind])
    if "Form: question" in request.messages[-1].content:
        said["instruction"] += "?"
    return json.dumps(said)


def answer_choice(request: ChatRequest) -> str:
    is_none = request.messages[0].content == NONE_PROMPT.system
    said = {"question": "Which animal lies on the sofa?", "wrong": ["Some camels", "White geese"],
            "reason": "A brown dog lies on the red sofa"}  # fmt: skip
    return json.dumps(said | ({"wrong": [*said["wrong"], "Two horses"]} if is_none else {"right": "A dog"}))


class PictureHouse:
    """A lake with four kept pictures, boxes for the first three and a further caption, and a recipe beside it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lake, self.cache = folder, Lake(str(folder / "lake")), str(folder / "cache")
        drawn = [(data, kind, CAPTION) for data, kind, _ in draw_pairs(4)]
        self.pairs = add_pairs(self.lake, DUMP, drawn, self.cache).sort("pair_id")
        self.ids = self.pairs["pair_id"].to_list()
        self.teacher = ScriptedTeacher(lambda _: "")
        publish(self.lake, DEDUPED_CORPUS, DUMP, DEDUPED_CORPUS.make_empty())
        self.publish_boxes(self.ids[:3])
        further = {"is_kept": True, "image_consistent": True, "dump": DUMP, "method": "recaption", "reason": None}
        rows = [
            further | {"caption_id": f"c{n}", "pair_id": name, "caption": FURTHER} for n, name in enumerate(self.ids)
        ]
        publish(self.lake, IMAGE_CAPTIONS, DUMP, fill_rows(IMAGE_CAPTIONS, rows))
        monkeypatch.setattr(instructions, "open_run_teacher", lambda _: self.teacher)

    def publish_boxes(self, ids: list[str]) -> None:
        chunks = [[2.0, 11.0, 0.1, 0.2, 0.5, 0.9, 0.9], [22.0, 30.0, 0.0, 0.3, 1.0, 1.0, 0.8]]
        rows = [
            {"pair_id": name, "dump": DUMP, "caption": CAPTION, "noun_chunks": chunks, "ref_exps": [],
             "box_origin": "detector"}
            for name in ids
        ]  # fmt: skip
        publish(self.lake, GROUNDED_PAIRS, DUMP, fill_rows(GROUNDED_PAIRS, rows))

    def write(self, name: str, rows: list[dict[str, Any]]) -> str:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    def recipe(self, methods: str, more: str = "") -> Any:
        path = self.folder / "mine.yaml"
        # a short answer is no fault of a talk about a picture
        rules = "[self_instruct_earlier_equal_instructions]"
        text = f"extends: refinedweb\ninstructions:\n  methods: {methods}\n  rules: {rules}\n{more}"
        path.write_text(text, encoding="utf-8")
        return load_recipe(str(path))

    def make(self, methods: str, script: Callable[[ChatRequest], Any], *, more: str = "", to: int = 1) -> Manifest:
        self.teacher = ScriptedTeacher(script)
        recipe, knobs = self.recipe(methods, more), Knobs(cache_folder=self.cache, device="cpu")
        made = run_stages(self.lake, DUMP, TO_REMOVALS[:to], recipe=recipe, knobs=knobs)
        manifest = made["instruction_candidates"].manifest
        assert manifest.rows_in == self.candidates.height
        return manifest

    def release(self, methods: str, script: Callable[[ChatRequest], Any], more: str = "") -> pl.DataFrame:
        self.make(methods, script, more=more, to=len(TO_REMOVALS))
        for stage in TO_REMOVALS:
            self.lake.dataset(stage.table, DUMP).record_verdict([])
        recipe, knobs = self.recipe(methods, more), Knobs(cache_folder=self.cache, device="cpu")
        run_stages(self.lake, DUMP, RELEASE_LANE[:1], recipe=recipe, knobs=knobs)
        return self.lake.dataset(SFT_DATASET).scan().collect()

    @property
    def candidates(self) -> pl.DataFrame:
        return self.lake.dataset(INSTRUCTION_CANDIDATES, DUMP).scan().collect()

    @property
    def rows(self) -> pl.DataFrame:
        return self.candidates.filter(pl.col("candidate_status") == "ok")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PictureHouse:
    return PictureHouse(tmp_path, monkeypatch)


# llava_types ----------------------------------------------------------------------------------------------------------


def test_llava_writes_three_types_of_rows_about_every_picture_with_boxes(house: PictureHouse) -> None:
    manifest = house.make("[llava_types]", answer_llava)

    assert [commit.shard for commit in manifest.commits] == ["llava_types-00000"]
    assert house.rows.height == 9
    told = [json.loads(details)["type"] for details in house.rows["details"]]
    assert {name: told.count(name) for name in told} == {"conversation": 3, "detail": 3, "reasoning": 3}
    assert {name for images in house.rows["images"] for name in images} == set(house.ids[:3])
    parents = {parent["table"] for row in house.rows["parents"] for parent in row}
    assert parents == {"filtered_image_pairs", "grounded_pairs", "image_captions"}
    # what the teacher was told: both captions, and the boxes
    asked = house.teacher.asked[0].messages[-1].content
    assert f"{CAPTION}\n{FURTHER}\nbrown dog: [0.100, 0.200, 0.500, 0.900]\nred sofa: [" in asked
    # the picture without boxes is told of
    left = house.candidates.filter(pl.col("candidate_status") != "ok")
    assert left.select("candidate_status", "candidate").rows() == [("too_few_boxes", house.ids[3])]


def test_a_talk_keeps_its_turns_in_the_release_and_its_dialects(house: PictureHouse) -> None:
    more = "release:\n  dialects: [llava, trl, llama_factory]\n"
    sft = house.release("[{method: llava_types, types: [conversation]}]", answer_llava, more)

    assert sft.height == 3
    for messages in sft["messages"]:
        assert [turn["content"] for turn in messages] == [f"<image>\n{TALK[0]['text']}", *(t["text"] for t in TALK[1:])]
    folder = Path(house.lake.dataset(SFT_DATASET).folder.url) / "release"
    items = json.loads((folder / "llava" / "with_images" / f"{DUMP}.json").read_text())
    lines = [json.loads(line) for line in (folder / "trl" / "with_images" / f"{DUMP}.jsonl").read_text().splitlines()]
    read = [exporters_llava.import_conversation(item) for item in items]
    assert [conversation.turns for conversation in read] == [
        exporters_trl.import_conversation(line).turns for line in lines
    ]
    assert {len(conversation.turns) for conversation in read} == {4}
    for conversation in read:
        data = (folder / "llava" / conversation.images[0]).resolve().read_bytes()
        assert hashlib.sha256(data).hexdigest() in set(house.pairs["image_sha256"])


def test_a_row_is_traced_through_its_boxes_and_captions_to_the_pair(house: PictureHouse) -> None:
    house.make("[{method: llava_types, types: [detail]}]", answer_llava)
    row = house.rows.row(0, named=True)
    records = [{"doc_id": name, "dump": DUMP} for name in house.pairs["doc_id"].unique()]
    publish(house.lake, RAW_CRAWL, DUMP, fill_rows(RAW_CRAWL, records))

    origin = trace(house.lake, row["instruction_id"])
    walks = {parent.asset: [above.asset for above in parent.parents] for parent in origin.parents}
    assert walks == {
        "filtered_image_pairs": ["raw_crawl"],
        "grounded_pairs": ["filtered_image_pairs"],
        "image_captions": ["filtered_image_pairs"],
    }
    assert {record.id for record in origin.list_records()} <= set(house.pairs["doc_id"])


def test_rows_are_made_again_where_boxes_changed_and_only_there(house: PictureHouse) -> None:
    house.make("[llava_types]", answer_llava)
    before = house.rows["instruction_id"].to_list()
    house.make("[llava_types]", answer_llava)
    assert not house.teacher.asked
    house.publish_boxes(house.ids)
    house.make("[llava_types]", answer_llava)
    assert set(before) < set(house.rows["instruction_id"])


def test_most_and_pairs_per_dump_limit_the_pictures(house: PictureHouse) -> None:
    methods = "[{method: llava_types, types: [detail], most: 2, least_boxes: 0}]"
    house.make(methods, answer_llava)
    assert house.candidates.height == 2
    house.make(f"{methods}\n  pairs_per_dump: 1", answer_llava)
    assert house.candidates.height == 1


def test_the_seed_of_the_section_and_how_to_ask_reach_the_teacher(house: PictureHouse) -> None:
    house.make("[{method: llava_types, types: [detail], asking: {max_tokens: 77}}]\n  seed: 5", answer_llava)
    first = {request.sampling.seed for request in house.teacher.asked}
    assert {request.sampling.max_tokens for request in house.teacher.asked} == {77}
    house.make("[{method: llava_types, types: [detail], asking: {max_tokens: 77}}]\n  seed: 6", answer_llava)
    assert first.isdisjoint({request.sampling.seed for request in house.teacher.asked})


def test_without_boxes_the_method_says_what_it_needs_before_anybody_is_asked(house: PictureHouse) -> None:
    house.publish_boxes([])
    with pytest.raises(RecipeError) as caught:
        house.make("[llava_types]", answer_llava)
    assert "llava_types asks about pictures with 1 or more boxes, and none of the 4 pictures of d1" in str(caught.value)
    assert "MMPIPE_DETECTOR" in str(caught.value)
    assert "least_boxes: 0" in str(caught.value)
    assert not house.teacher.asked
    assert house.make("[{method: llava_types, least_boxes: 0}]", answer_llava).rows_in == 12


# pictures shown to the teacher ----------------------------------------------------------------------------------------


class SeeingTeacher(ScriptedTeacher):
    takes_images = True


def test_a_teacher_that_sees_gets_each_picture_and_a_lost_one_costs_its_rows(
    house: PictureHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in Path(house.cache).rglob("*"):
        if path.is_file() and house.pairs["image_sha256"][0] in path.name:
            path.unlink()
    seen = []

    def look(request: ChatRequest) -> Any:
        try:
            seen.append(hashlib.sha256(request.images[0].read()).hexdigest())
        except ImageLost as error:
            return ChatFailure("image_lost", str(error))
        return answer_llava(request)

    monkeypatch.setattr(instructions, "open_run_teacher", lambda _: SeeingTeacher(look))
    house.make("[{method: llava_types, types: [detail], shows_pictures: true}]", look)

    assert set(seen) == set(house.pairs["image_sha256"][1:3])
    refused = house.candidates.filter(pl.col("candidate_status") == "teacher_image_lost")
    assert (house.rows.height, refused.height) == (2, 1)


@pytest.mark.parametrize("takes_images", [True, False])
def test_an_endpoint_gets_the_bytes_that_were_judged(
    house: PictureHouse, monkeypatch: pytest.MonkeyPatch, takes_images: bool
) -> None:
    def open_endpoint(_: Knobs) -> Any:
        settings = {"base_url": server.url, "model": "seeing", "takes_images": takes_images}
        return open_teacher(settings, device="cpu", batch_size=1, cache_folder=house.cache)

    monkeypatch.setattr(instructions, "open_run_teacher", open_endpoint)
    methods = "[{method: llava_types, types: [detail], shows_pictures: true}]"
    with serve(lambda *_: Answer(text=json.dumps({"answer": DETAIL}))) as server:
        if not takes_images:
            with pytest.raises(RecipeError, match="needs a teacher that takes pictures"):
                house.make(methods, answer_llava)
            return
        house.make(methods, answer_llava)
        # the same pictures are not asked about again
        house.make(f"{methods}\n  questions_per_document: 3", answer_llava)

    assert house.rows.height == len(server.bodies) == 3
    shown = [body["messages"][-1]["content"][0]["image_url"]["url"] for body in server.bodies]
    digests = {hashlib.sha256(base64.b64decode(url.partition("base64,")[2])).hexdigest() for url in shown}
    assert digests == set(house.pairs["image_sha256"][:3])


def test_a_teacher_that_sees_nothing_is_refused_where_pictures_are_shown(house: PictureHouse) -> None:
    with pytest.raises(RecipeError, match="needs a teacher that takes pictures"):
        house.make("[{method: llava_types, shows_pictures: true}]", answer_llava)
    assert not house.teacher.asked


# picture_descriptions -------------------------------------------------------------------------------------------------


def test_pictures_are_described_by_who_sees_and_mended_by_who_writes(
    house: PictureHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two endpoints of a file of teachers, the whole way to the dialects."""
    bodies: dict[str, list[dict[str, Any]]] = {"seeing": [], "writing": []}

    def open_named(knobs: Knobs) -> Any:
        return open_teacher(dict(knobs.teacher), device="cpu", batch_size=1, cache_folder=house.cache)

    monkeypatch.setattr(instructions, "open_run_teacher", open_named)
    cut = f"{DETAIL} In the corner there"
    with (
        serve(lambda said, _: Answer(text="A chair stands there." if said == CONTINUE else cut)) as seeing,
        serve(lambda *_: Answer(text=json.dumps({"description": DETAIL}))) as writing,
    ):
        (house.folder / "teachers.yaml").write_text(
            f"teachers:\n  eye: {{model: seeing, base_url: '{seeing.url}'}}\n"
            f"  pen: {{model: writing, base_url: '{writing.url}', takes_images: false}}\n"
            "uses: {picture_descriptions: eye, picture_descriptions_mender: pen}\n"
        )
        roster = read_roster(str(house.folder / "teachers.yaml"))
        knobs = Knobs(cache_folder=house.cache, device="cpu", teachers=roster.teachers, teacher_uses=roster.uses)
        recipe = house.recipe("[picture_descriptions]")
        run_stages(house.lake, DUMP, TO_REMOVALS[:1], recipe=recipe, knobs=knobs)
        bodies = {"seeing": seeing.bodies, "writing": writing.bodies}

    assert (len(bodies["seeing"]), len(bodies["writing"])) == (8, 4)
    assert house.rows.height == 4
    row = house.rows.row(0, named=True)
    assert (row["response"], row["evidence"]) == (DETAIL, f"{cut} A chair stands there.")
    assert row["teacher"].startswith("openai:seeing@")
    assert json.loads(row["details"])["mended_by"].startswith("openai:writing@")
    shown = [body["messages"][1]["content"][0]["image_url"]["url"] for body in bodies["seeing"]]
    digests = {hashlib.sha256(base64.b64decode(url.partition("base64,")[2])).hexdigest() for url in shown}
    assert digests == set(house.pairs["image_sha256"])


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[picture_descriptions]", "picture_descriptions needs a teacher that takes pictures.*use `llava_types`"),
        ("[{method: picture_descriptions, shows_pictures: false}]", "leave `shows_pictures` out"),
    ],
)
def test_pictures_are_described_by_a_teacher_that_sees_alone(house: PictureHouse, methods: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        house.make(methods, lambda _: "")
    assert not house.teacher.asked


# lrv_balance, scene_choices, merged_annotation ------------------------------------------------------------------------


def test_lrv_writes_as_many_wrong_instructions_as_right_ones(house: PictureHouse) -> None:
    house.make("[lrv_balance]", answer_lrv)

    kinds = [json.loads(details)["kind"] for details in house.rows["details"]]
    assert len(kinds) == 18
    assert kinds.count("positive") == 9
    assert {json.loads(details)["task"] for details in house.rows["details"]} <= set(TASKS)


def test_scene_choices_are_read_back_and_labels_come_from_a_file(house: PictureHouse) -> None:
    rows = [{"image_sha256": sha, "label": "living room"} for sha in house.pairs["image_sha256"][:2]]
    file = house.write("labels.jsonl", [*rows, {"image_sha256": "f" * 64, "label": "unknown picture"}])
    house.make(f"[{{method: scene_choices, labels: {file}, questions: 2}}]", answer_choice)

    assert house.rows.height == 8
    asked = [request.messages[-1].content for request in house.teacher.asked]
    assert sum("Scene: living room" in text for text in asked) == 4
    negative = ChoiceSettings().negative
    for row in house.rows.iter_rows(named=True):
        choice = parse_choice(row["instruction"], row["response"], negative)
        assert json.loads(row["details"])["options"] == list(choice.options)


DENSE = 'A brown dog lies on the left part of a red sofa, and the words "no entry" stand on the red sofa.'


def test_merged_annotation_takes_boxes_and_a_file_of_other_models(house: PictureHouse) -> None:
    told = {"source": "reader", "kind": "text", "words": "no entry", "confidence": 1, "left": 0.1, "top": 0.4,
            "right": 0.4, "bottom": 0.5}  # fmt: skip
    rows = [told | {"pair_id": name} for name in house.ids[:2]]
    file = house.write("told.jsonl", [*rows, told | {"pair_id": house.ids[0], "words": None}])
    house.make(f"[{{method: merged_annotation, annotations: {file}}}]", lambda _: json.dumps({"caption": DENSE}))

    counts = dict(house.candidates.group_by("candidate_status").len().iter_rows())
    # the third picture has boxes and no such words, the fourth nothing
    assert counts == {"ok": 2, "text_without_evidence": 1, "no_annotations": 1}
    details = json.loads(house.rows["details"][0])
    assert {phrase["phrase"]: phrase["items"] for phrase in details["phrases"]}["red sofa"] == ["o2"]
    sources = {item["words"]: item["agreeing"] for item in json.loads(details["record"])}
    assert sources == {
        "red sofa": ["grounded_pairs:detector"], "brown dog": ["grounded_pairs:detector"], "no entry": ["reader"]
    }  # fmt: skip


def test_merged_annotation_without_a_file_and_boxes_says_so(house: PictureHouse) -> None:
    house.publish_boxes([])
    with pytest.raises(RecipeError, match="write `annotations: FILE`"):
        house.make("[{method: merged_annotation, least_boxes: 0}]", lambda _: "")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"picture": "x"}, "no column says which picture"),
        ({"pair_id": "x", "lable": "y"}, "no column 'label'.*Did you mean 'lable'"),
    ],
)
def test_a_file_about_pictures_with_wrong_columns_stops(house: PictureHouse, row: dict[str, str], said: str) -> None:
    file = house.write("labels.jsonl", [row])
    with pytest.raises(MmpipeError, match=f"labels.jsonl: {said}"):
        house.make(f"[{{method: scene_choices, labels: {file}}}]", answer_choice)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[{method: llava_types, types: [talk]}]", "Unknown type 'talk' of llava_types"),
        ("[{method: llava_types, least_box: 1}]", "Did you mean 'least_boxes'"),
        ("[{method: llava_types, asking: {seeds: 1}}]", "Did you mean 'seed'"),
        ("[{method: lrv_balance, tolerance: 0.7}]", "tolerance 0 to 0.5"),
        ("[{method: scene_choices, wrong: 0}]", "wrong options, not 0"),
        ("[{method: merged_annotation, least_iou: 0}]", "least_iou must be above 0"),
        ("[{method: merged_annotation, least_boxes: -1}]", "least_boxes must be 0 or more"),
        ("[lrv_balanc]", "Did you mean 'lrv_balance'"),
    ],
)
def test_wrong_options_stop_before_anything_runs(house: PictureHouse, methods: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_methods(house.recipe(methods))
    assert said in str(caught.value)
    assert "mine.yaml:3" in str(caught.value)
