"""Recaptioning, CapFilt and polishing with models that are stated by the test: what they say is what the test gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.caption_filtering import filter_captions
from mmpipe.synthesis.caption_polishing import PROMPT, PolishSettings, find_fault, polish_captions
from mmpipe.synthesis.recaptioning import RecaptionSettings, sample_captions
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.image_captions import CAPTION_REASONS, IMAGE_CAPTIONS

PAIRS = [
    {"pair_id": "p1", "dump": "d", "caption": "IMG_1.jpg"},
    {"pair_id": "p2", "dump": "d", "caption": "a dog a dog on the sofa"},
]
PICTURES = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]


class StatedCaptioner:
    """Says what it is given, by picture id."""

    digest = "captioner-1"

    def __init__(self, texts: dict[str, list[str]]) -> None:
        self.texts, self.asked = texts, {}

    def caption(self, pictures: Sequence[Any], ids: Sequence[str], **settings: Any) -> list[list[str]]:
        assert len(pictures) == len(ids)
        self.asked = settings
        return [self.texts[name] for name in ids]


class StatedMatcher:
    """Gives a text the probability it is given; it sees the colour of the picture."""

    digest = "matcher-1"

    def __init__(self, probabilities: dict[tuple[tuple[int, int, int], str], float]) -> None:
        self.probabilities = probabilities

    def match(self, pictures: Sequence[Any], captions: Sequence[str]) -> np.ndarray:
        pairs = zip(pictures, captions, strict=True)
        return np.array([self.probabilities[picture.getpixel((0, 0)), text] for picture, text in pairs])


class StatedTeacher:
    """Replies in turn, by the caption it is asked about."""

    name = "stated:teacher@1"

    def __init__(self, replies: dict[str, list[str | ChatFailure]]) -> None:
        self.replies, self.requests = replies, []

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        for request in requests:
            self.requests.append(request)
            reply = self.replies[request.messages[-1].content.removeprefix("Caption: ")].pop(0)
            if isinstance(reply, ChatFailure):
                yield reply
            else:
                yield ChatReply(json.dumps({"caption": reply}), "stop", 10, 5)


def make_frame(rows: list[dict[str, Any]]) -> Any:
    import polars as pl

    return IMAGE_CAPTIONS.conform(pl.DataFrame(rows, schema=IMAGE_CAPTIONS.schema))


def sample() -> list[dict[str, Any]]:
    captioner = StatedCaptioner(
        {"p1": ["A red square", "a red  square", ""], "p2": ["A blue square", "A sea", "Water"]}
    )
    return sample_captions(PAIRS, PICTURES, captioner, RecaptionSettings(captions_per_image=3, top_p=0.8, seed=7))


def test_samples_are_rows_with_captioner_seed_and_nucleus():
    rows = sample()
    assert [(row["pair_id"], row["sample_index"], row["caption"]) for row in rows] == [
        ("p1", 0, "A red square"), ("p1", 1, "a red square"), ("p1", 2, ""),
        ("p2", 0, "A blue square"), ("p2", 1, "A sea"), ("p2", 2, "Water"),
    ]  # fmt: skip
    assert [row["reason"] for row in rows[:3]] == [None, "repeated_caption", "empty_caption"]
    assert [row["is_kept"] for row in rows] == [True, False, False, True, True, True]
    assert (rows[0]["model"], rows[0]["seed"], json.loads(rows[0]["sampling"])["top_p"]) == ("captioner-1", 7, 0.8)
    assert make_frame(rows)["caption_id"].n_unique() == 6


def test_crawl_and_samples_are_judged_by_one_matcher_and_both_scores_stay():
    red, blue = (255, 0, 0), (0, 0, 255)
    matcher = StatedMatcher(
        {(red, "IMG_1.jpg"): 0.1, (red, "A red square"): 0.9, (blue, "a dog a dog on the sofa"): 0.5,
         (blue, "A blue square"): 0.8, (blue, "A sea"): 0.49, (blue, "Water"): float("nan")}
    )  # fmt: skip
    rows = filter_captions(PAIRS, PICTURES, sample(), matcher, least_match=0.5)
    kept = {row["caption"]: (row["is_kept"], row["is_crawl_caption"]) for row in rows}
    assert kept == {
        "IMG_1.jpg": (False, True), "A red square": (True, False), "a dog a dog on the sofa": (True, True),
        "A blue square": (True, False), "A sea": (False, False), "Water": (False, False),
    }  # fmt: skip
    assert {row["match_weights"] for row in rows} == {"matcher-1"}
    assert {row["reason"] for row in rows} == {None, "unmatched_caption"}
    assert make_frame(rows)["caption_id"].n_unique() == 6


def test_without_samples_only_the_crawls_captions_are_judged():
    matcher = StatedMatcher({((255, 0, 0), "IMG_1.jpg"): 0.2, ((0, 0, 255), "a dog a dog on the sofa"): 0.7})
    assert [row["is_kept"] for row in filter_captions(PAIRS, PICTURES, [], matcher, least_match=0.5)] == [False, True]
    assert filter_captions([], [], [], matcher, least_match=0.5) == []


def test_a_polished_caption_stands_beside_its_source():
    teacher = StatedTeacher({"a dog a dog on the sofa": ["A dog on the sofa."]})
    (row,), spent = polish_captions([(PAIRS[1], PAIRS[1]["caption"])], teacher, PolishSettings(seed=3))
    assert (row["caption"], row["source_caption"]) == ("A dog on the sofa.", "a dog a dog on the sofa")
    assert (row["model"], row["prompt_version"], row["is_kept"]) == (teacher.name, PROMPT.version, True)
    assert (spent.requests, spent.prompt_tokens) == (1, 10)
    make_frame([row])


def test_a_refused_reply_is_asked_again_with_another_seed_and_named_at_last():
    source = "a dog a dog on the sofa"
    teacher = StatedTeacher(
        {source: ["A cat eats fish in the kitchen.", ChatFailure("schema", "x"), "Corrected caption: a dog"]}
    )
    (row,), spent = polish_captions([(PAIRS[1], source)], teacher, PolishSettings())
    assert (row["is_kept"], row["reason"], row["caption"]) == (False, "polish_leak", source)
    assert spent.requests == 3
    assert len({request.sampling.seed for request in teacher.requests}) == 3
    teacher = StatedTeacher({source: ["A cat eats fish.", "A dog on the sofa."]})
    (row,), _ = polish_captions([(PAIRS[1], source)], teacher, PolishSettings())
    assert (row["is_kept"], row["caption"]) == (True, "A dog on the sofa.")


def test_several_captions_of_a_picture_are_told_apart():
    teacher = StatedTeacher({"one dog": ["One dog."], "two dogs": ["Two dogs."]})
    rows, _ = polish_captions([(PAIRS[1], "one dog"), (PAIRS[1], "two dogs")], teacher, PolishSettings())
    assert [row["sample_index"] for row in rows] == [0, 1]
    assert make_frame(rows)["caption_id"].n_unique() == 2
    assert len({request.sampling.seed for request in teacher.requests}) == 2


def test_a_caption_states_no_parameter_that_the_endpoint_refused():
    said = ChatReply(json.dumps({"caption": "A dog on the sofa."}), "stop", 1, 1, left_out=("temperature",))
    sources = [(PAIRS[1], PAIRS[1]["caption"])]
    (row,), _ = polish_captions(sources, ScriptedTeacher(lambda _: said), PolishSettings())
    assert row["is_kept"]
    assert ("temperature" in json.loads(row["sampling"]), "top_p" in json.loads(row["sampling"])) == (False, True)


def test_a_caption_keeps_its_numbers():
    written = "Bus 38 stops near the Victoria theatre in the busy old town"
    assert find_fault("Bus 38 stops near the Victoria theatre in the busy old town.", written, PolishSettings()) is None
    wrong = "Bus 39 stops near the Victoria theatre in the busy old town."
    assert find_fault(wrong, written, PolishSettings()) == "polish_ungrounded"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("A dog on the sofa.", None),
        ("…", "empty_caption"),
        ("Sorry, a dog on the sofa", "polish_leak"),
        ("dog on sofa dog on sofa dog on sofa", "polish_repetition"),
        ("A brown dog sleeps on a leather sofa", "polish_ungrounded"),
    ],
)
def test_faults_are_named(text, fault):
    assert find_fault(text, "a dog a dog on the sofa", PolishSettings()) == fault
    assert fault is None or fault in CAPTION_REASONS


def test_the_examples_of_the_prompt_pass_their_own_checks():
    for given, wanted in PROMPT.examples:
        assert find_fault(wanted["caption"], given["caption"], PolishSettings()) is None
