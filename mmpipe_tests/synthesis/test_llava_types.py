"""LLaVA's three types: symbols, turns, every refusal counted, proofs of presence and absence."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.synthesis.drafts import Parent
from mmpipe.synthesis.llava_prompts import DETAIL_REQUESTS, LLAVA_PROMPTS
from mmpipe.synthesis.llava_types import (
    REASONS,
    TYPES,
    LlavaSettings,
    make_llava,
    plan_llava,
    read_turns,
)
from mmpipe.synthesis.noun_forms import ENGLISH, list_forms, make_lexicon
from mmpipe.synthesis.picture_counts import list_untold_counts
from mmpipe.synthesis.picture_rows import PictureAsking, find_leak
from mmpipe.synthesis.scene_evidence import (
    Scene,
    SceneBox,
    find_possible,
    find_support,
    list_unsupported,
    make_phrase_finder,
    measure_rouge_l,
    read_scenes,
    write_symbols,
)
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.grounding import GRIT_ROWS
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

FIND = make_phrase_finder(RuleChunker())
NOUNS = re.compile(r"(?:black )?(?:dog|sofa|window|cat|car|ship|tree|castle|sun|noise)s?\b", re.IGNORECASE)


def find_nouns(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in NOUNS.finditer(text)]


SCENE = Scene(
    pair_id="p1",
    dump="d",
    captions=("A brown dog lies on a red sofa", "A dog sleeps near a window"),
    boxes=(SceneBox("dog", 0.1, 0.25, 0.5, 0.98765), SceneBox("sofa", 0.0, 0.2, 1.0, 1.0)),
    parents=(Parent("filtered_image_pairs", "p1"), Parent("grounded_pairs", "p1")),
)
ONCE = PictureAsking(attempts=1)


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {"speaker": speaker, "text": text}
        for pair in pairs
        for speaker, text in zip(("question", "answer"), pair, strict=True)
    ]


GOOD = (("Where is the dog?", "The dog lies on the sofa."), ("What colour is the sofa?", "It is red."))
LONG = (
    "A brown dog lies on a red sofa and sleeps. The sofa is in the middle of the picture, and the dog is on the left "
    "side of it, near a window."
)
WHY = {
    "question": "Why may the dog sleep so well?",
    "answer": "The sofa is soft, and the dog lies close to a window where the sun warms it. A warm place without noise "
    "lets the dog sleep.",
}


# --- evidence -------------------------------------------------------------------------------------------------------


def test_symbols_are_captions_then_boxes_to_three_decimals():
    assert write_symbols(SCENE) == (
        "A brown dog lies on a red sofa\nA dog sleeps near a window\n"
        "dog: [0.100, 0.250, 0.500, 0.988]\nsofa: [0.000, 0.200, 1.000, 1.000]"
    )
    assert "dog: X 0.100, Y 0.250, Width 0.400, Height 0.738" in write_symbols(SCENE, is_by_size=True)
    assert write_symbols(replace(SCENE, label="living room")).splitlines()[2] == "Scene: living room"


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_written_places_are_those_given_to_half_a_thousandth(sides: list[float]):
    line = write_symbols(replace(SCENE, boxes=(SceneBox("cup", *sides),))).splitlines()[-1]
    read = [float(number) for number in re.findall(r"\d\.\d{3}", line)]
    assert read == pytest.approx(sides, abs=0.000501)


def test_scenes_are_read_from_the_tables_of_the_image_lane():
    pairs = pl.DataFrame(
        {"pair_id": ["b", "a", "b"], "dump": "d", "caption": ["two  cups", "a dog", "again"], "image_url": "u"}
    )
    chunks = [[0.0, 5, 0.1, 0.1, 0.4, 0.4, 0.9], [0.0, 5, 0.4, 0.1, 0.4, 0.4, 0.9], [0.0, 5, -0.4, 0.1, 0.4, 0.4, 0.9],
              [0.0, 5, float("nan"), 0.1, 0.4, 0.4, 0.9]]  # fmt: skip
    grounded = pl.DataFrame(
        {"pair_id": ["a"], "caption": ["a dog"], "noun_chunks": [chunks]}, schema_overrides={"noun_chunks": GRIT_ROWS}
    )
    captions = pl.DataFrame(
        {
            "caption_id": ["2", "1", "3", "4"],
            "pair_id": ["a", "a", "a", "b"],
            "caption": ["a brown dog", "a dog", "nothing", "unfit"],
            "is_kept": [True, True, False, True],
            "image_consistent": [True, True, True, False],
        }
    )
    first, second = read_scenes(pairs, grounded, captions)
    assert (first.pair_id, first.captions, first.boxes) == ("b", ("two cups",), ())
    assert (second.pair_id, second.captions) == ("a", ("a dog", "a brown dog"))
    assert second.boxes == (SceneBox("a dog", 0.1, 0.1, 0.4, 0.4),)
    assert second.parents == (
        Parent("filtered_image_pairs", "a"), Parent("grounded_pairs", "a"),
        Parent("image_captions", "1"), Parent("image_captions", "2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "many"),
    [("dog", "dogs"), ("bus", "buses"), ("cookie", "cookies"), ("berry", "berries"), ("knife", "knives"),
     ("wolf", "wolves"), ("man", "men"), ("child", "children"), ("box", "boxes"), ("potato", "potatoes")],
)  # fmt: skip
def test_number_does_not_part_a_noun(one: str, many: str):
    assert list_forms(one) & list_forms(many)


def test_glass_is_no_plural_and_short_words_stay():
    assert list_forms("glass") == {"glass"}
    assert list_forms("gas") == {"gas"}


@pytest.mark.parametrize(
    "name",
    ["dog", "Dogs", "a small puppy", "animal", "pets", "couch", "armchair furniture", "hot dog", "windows",
     "sofa with flowers", "pile of sofas", "mydog-house of dogs", "the"],
)  # fmt: skip
def test_what_may_be_meant_is_not_absent(name: str):
    assert find_possible(name, SCENE.list_evidence())


@pytest.mark.parametrize("name", ["cat", "red car", "bicycle", "apples", "person", "dog food", "a lamp"])
def test_what_nothing_tells_of_is_absent(name: str):
    assert find_possible(name, SCENE.list_evidence()) == []


def test_compounds_boxes_phrases_and_the_label_count_as_evidence():
    told = Scene(
        pair_id="p", dump="d", captions=("A field",), boxes=(SceneBox("football", 0, 0, 1, 1),), phrases=("oak",),
        label="playground",
    )  # fmt: skip
    assert find_possible("ball", told.list_evidence()) == ["box 0"]
    assert find_possible("tree", told.list_evidence()) == ["phrase 0"]
    assert find_possible("ground", told.list_evidence()) == ["label"]
    assert find_possible("art", [("caption 0", "a cart")]) == []


@given(st.sampled_from([name for name, _ in ENGLISH.kinds]), st.data())
def test_a_kind_and_its_member_never_prove_each_other_absent(kind: str, data: st.DataObject):
    member = data.draw(st.sampled_from(sorted(dict(ENGLISH.kinds)[kind])))
    assert find_possible(kind, [("caption 0", f"two {member} there")])
    assert find_possible(member, [("caption 0", f"the {kind.removesuffix('s')}s")])
    # what is narrower supports what is wider
    assert find_support(kind, [("caption 0", member)]) == ["caption 0"]


def test_support_goes_from_the_narrow_to_the_wide_alone():
    assert find_support("animals", SCENE.list_evidence()) == ["caption 0", "caption 1", "box 0"]
    assert find_support("puppy", SCENE.list_evidence()) == ["caption 0", "caption 1", "box 0"]
    assert find_support("dog", [("caption 0", "an animal")]) == []
    assert find_support("", SCENE.list_evidence()) == []
    assert find_possible("wug", [("c", "a fep")], make_lexicon([["wug", "fep"]], [("toy", ["wug"])])) == ["c"]


def test_phrases_of_a_chunker_are_found_where_they_stand():
    text = "A Brown dog and a dog."
    assert [text[start:end] for start, end in FIND(text)] == ["Brown dog", "dog"]
    unsupported, named = list_unsupported(["A cat on the left side of a sofa"], FIND, SCENE.list_evidence())
    assert (unsupported, named) == (["cat"], 2)
    # a phrase never goes from one text into the next
    assert list_unsupported(["the dog", "sofa"], FIND, SCENE.list_evidence()) == ([], 2)


def test_rouge_l_is_that_of_its_definition():
    assert measure_rouge_l("the cat sat", "the cat lay") == pytest.approx(2 / 3)
    assert measure_rouge_l("a b", "c d") == measure_rouge_l("", "a") == 0


# --- rows -----------------------------------------------------------------------------------------------------------


def find_type(request: ChatRequest) -> str:
    system = request.messages[0].content
    return next(name for name in TYPES if LLAVA_PROMPTS[name].system == system)


def say_well(request: ChatRequest) -> str:
    replies = {"conversation": {"turns": turns(*GOOD)}, "detail": {"answer": LONG}, "reasoning": WHY}
    return json.dumps(replies[find_type(request)])


def test_three_types_of_rows_with_image_parents_and_turns():
    teacher = ScriptedTeacher(say_well)
    judged = make_llava([SCENE], teacher, LlavaSettings(asking=ONCE), find_phrases=find_nouns)
    frame = judged.synthesis.frame
    SYNTHESIZED_INSTRUCTIONS.conform(frame)
    assert judged.synthesis.planned == frame.height == 3
    assert judged.details["type"].to_list() == list(TYPES)
    assert frame["images"].to_list() == [["p1"]] * 3
    assert frame["parents"].to_list()[0] == [
        {"table": "filtered_image_pairs", "id": "p1"}, {"table": "grounded_pairs", "id": "p1"}
    ]  # fmt: skip
    assert frame["instruction"][1] in DETAIL_REQUESTS
    assert (frame["instruction"][0], frame["response"][0]) == (GOOD[0][0], GOOD[1][1])
    assert frame["turns"][0].to_list() == [
        {"role": "user", "content": "Where is the dog?"},
        {"role": "assistant", "content": "The dog lies on the sofa."},
        {"role": "user", "content": "What colour is the sofa?"},
        {"role": "assistant", "content": "It is red."},
    ]
    assert frame["turns"].to_list()[1:] == [None, None]
    assert json.loads(frame["details"][2]) == {"type": "reasoning", "named": 7, "unsupported": ["sun", "noise"]}
    assert write_symbols(SCENE) in teacher.asked[0].messages[-1].content
    assert len(teacher.asked[0].messages) == 2 + 2 * 2, "two examples of a conversation"
    assert len(teacher.asked[1].messages) == 2 + 2 * 3, "three of a detailed description"
    # what the reasoning names beyond the evidence is told
    assert judged.details["unsupported"][2].to_list() == ["sun", "noise"]


BROKEN = {
    "odd_turns": [*turns(*GOOD), {"speaker": "question", "text": "And?"}],
    "turns_out_of_order": [*turns(GOOD[0]), *turns(GOOD[1])[::-1]],
    "empty_turn": turns(GOOD[0], ("What is red?", " .")),
    "too_few_turns": turns(GOOD[0]),
    "too_many_turns": turns(*[(f"Is the dog near the window, part {n}?", "Yes.") for n in range(9)]),
    "repeated_question": turns(GOOD[0], ("where is  the dog?", "On the sofa.")),
    "question_without_question_mark": turns(GOOD[0], ("Tell me of the dog.", "It sleeps.")),
    "coordinates_leak": turns(GOOD[0], ("Where is the sofa?", "The sofa is at [0.0, 0.2, 1.0, 1.0].")),
    "evidence_leak": turns(GOOD[0], ("What does the dog do?", "According to the caption, the dog sleeps.")),
    "cannot_see": turns(GOOD[0], ("Is the dog old?", "I'm sorry, I cannot see the image.")),
    "indefinite_answer": turns(GOOD[0], ("Is the dog old?", "It is unclear.")),
    "repetition": turns(GOOD[0], ("What does it do?", "The dog sleeps and the dog sleeps and the dog sleeps.")),
    "object_without_evidence": turns(GOOD[0], ("What is beside the dog?", "A black cat is there.")),
    "count_without_evidence": turns(GOOD[0], ("How many dogs are there?", "There are three of them.")),
}


def test_every_refusal_of_a_conversation_is_counted_by_its_name():
    scenes = [replace(SCENE, pair_id=name, captions=(*SCENE.captions, f"word {name}")) for name in BROKEN]

    def say(request: ChatRequest) -> str:
        name = next(name for name in BROKEN if f"word {name}\n" in request.messages[-1].content)
        return json.dumps({"turns": BROKEN[name]})

    settings = LlavaSettings(types=("conversation",), asking=ONCE)
    judged = make_llava(scenes, ScriptedTeacher(say), settings, find_phrases=find_nouns)
    assert judged.synthesis.rejected == dict.fromkeys(BROKEN, 1)
    assert judged.synthesis.planned == len(BROKEN) == judged.candidates.height
    assert judged.candidates["reason"].to_list() == list(BROKEN)
    assert set(BROKEN) == set(REASONS) - {"answer_too_short"}
    details = map(json.loads, judged.candidates["details"].fill_null("{}"))
    told = dict(zip(judged.candidates["reason"], details, strict=True))
    assert (told["repetition"]["value"], told["repetition"]["high"]) == (pytest.approx(5 / 9), 0.2)
    assert (told["object_without_evidence"]["value"], told["object_without_evidence"]["low"]) == (
        pytest.approx(2 / 3),
        1.0,
    )
    assert told["count_without_evidence"] == {"found": "three"}


def test_a_count_is_told_by_captions_or_by_as_many_boxes():
    boat = SceneBox("boat", 0, 0, 1, 1)
    scene = Scene(pair_id="p", dump="d", captions=("Boats near a pier", "Seven gulls"), boxes=(boat, boat, boat))
    evidence = scene.list_evidence()
    told = ["There are three boats.", "7 gulls fly.", "Boats: 3.", "One of the boats is the second from the left."]
    for text in told:
        assert list_untold_counts([text], FIND, evidence) == []
    assert list_untold_counts(["How many boats are there?", "There are three."], FIND, evidence) == []
    assert list_untold_counts(["Four boats lie there."], FIND, evidence) == ["four"]
    assert list_untold_counts(["There are three gulls."], FIND, evidence) == ["three"]


def test_refusals_of_detail_and_reasoning_and_of_the_teacher():
    replies = {
        ("detail", 0): {"answer": "A dog on a sofa."},
        ("detail", 1): {"answer": LONG + " A cat is beside it."},
        ("detail", 2): {"answer": LONG},
        ("reasoning", 0): {**WHY, "question": "Why may the cat sleep so well?"},
        ("reasoning", 1): {**WHY, "answer": "Cars, ships and trees are near the castle, while " + WHY["answer"][60:]},
        ("reasoning", 2): WHY,
    }
    asked: Counter[str] = Counter()

    def say(request: ChatRequest) -> str | ChatFailure:
        name = find_type(request)
        if name == "conversation":
            return ChatFailure("refused", "no")
        asked[name] += 1
        return json.dumps(replies[name, asked[name] - 1])

    judged = make_llava([SCENE], ScriptedTeacher(say), LlavaSettings(), find_phrases=find_nouns)
    assert judged.synthesis.rejected == {"teacher_refused": 1}
    assert judged.synthesis.rejected_replies == {
        "object_without_evidence": 3, "teacher_refused": 3, "answer_too_short": 1
    }  # fmt: skip
    assert judged.synthesis.frame["attempts"].to_list() == [3, 3]
    assert judged.details["type"].to_list() == ["detail", "reasoning"]


def test_the_examples_pass_the_checks_they_teach():
    for name in TYPES:
        for number, (fields, reply) in enumerate(LLAVA_PROMPTS[name].examples):
            lines = fields["symbols"].splitlines()
            told = tuple(line for line in lines if ": [" not in line)
            boxes = tuple(SceneBox(line.split(":")[0], 0, 0, 1, 1) for line in lines if ": [" in line)
            scene = Scene(pair_id=f"e{number}", dump="d", captions=told, boxes=boxes)
            teacher = ScriptedTeacher(lambda _, reply=reply: json.dumps(reply))
            judged = make_llava([scene], teacher, LlavaSettings(types=(name,), asking=ONCE), find_phrases=FIND)
            assert judged.synthesis.rejected == {}, (name, judged.candidates.rows())


def test_one_type_each_is_drawn_by_weight_and_not_by_order():
    scenes = [replace(SCENE, pair_id=f"p{place}") for place in range(3000)]
    settings = LlavaSettings(is_one_type_each=True)
    planned = plan_llava(scenes, settings)
    drawn = Counter(
        next(name for name in TYPES if plan.prompt_version.startswith(f"llava_types/{name}")) for plan in planned
    )
    for name, weight in settings.weights.items():
        assert drawn[name] / 3000 == pytest.approx(weight / 158, abs=0.03)
    again = plan_llava(scenes[::-1], settings)
    assert {plan.instruction_id for plan in planned} == {plan.instruction_id for plan in again}
    only = replace(settings, weights={"conversation": 0, "detail": 1})
    assert len({plan.prompt_version for plan in plan_llava(scenes[:50], only)}) == 1


def test_unknown_types_and_no_weight_stop():
    with pytest.raises(ConfigurationError, match="Did you mean 'detail'"):
        LlavaSettings(types=("details",))
    with pytest.raises(ConfigurationError, match="weight"):
        LlavaSettings(is_one_type_each=True, weights={})


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=2, max_size=8))
def test_turns_that_are_read_are_those_said(pairs: list[tuple[str, str]]):
    said = [(f"q{place} {question}?", f"a {answer}") for place, (question, answer) in enumerate(pairs)]
    assert read_turns(turns(*said), LlavaSettings()) == [
        (" ".join(question.split()), " ".join(answer.split())) for question, answer in said
    ]


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("The dog lies at 0.123 of the width.", "coordinates_leak"),
        ("As mentioned, a dog.", "evidence_leak"),
        ("The bounding box holds a dog.", "evidence_leak"),
        ("The description says so.", "evidence_leak"),
        ("As an AI, I see none.", "cannot_see"),
        ("根据图片的描述，狗躺在沙发上。", "evidence_leak"),
        ("狗的坐标在左边。", "coordinates_leak"),
        ("我无法查看这张图片。", "cannot_see"),
        ("抱歉，我无法打开图片。", "cannot_see"),
        ("图片中有一只狗，它躺在沙发上。", ""),
        ("因为挡住了，所以看不到狗的尾巴。", ""),
        ("牌子说这里不能拍照片。", ""),
        ("根据图中的文字，这是一家餐厅。", ""),
        ("根据给出的文字，这是一家餐厅。", "evidence_leak"),
        ("A man reads the newspaper; it cost 1.50.", ""),
    ],
)
def test_leaks_are_named(text: str, leak: str):
    assert find_leak(text, "a dog") == leak
    assert find_leak("A caption is on the poster.", "poster with a caption") == ""
