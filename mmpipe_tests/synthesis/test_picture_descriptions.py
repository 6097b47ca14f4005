"""MiniGPT-4's descriptions: gone on with below 80 tokens, joined, mended by another, every refusal by its name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.llava_prompts import DETAIL_REQUESTS
from mmpipe.synthesis.picture_descriptions import (
    CONTINUE,
    DESCRIBE,
    MEND,
    REASONS,
    DescriptionSettings,
    find_description_fault,
    make_descriptions,
)
from mmpipe.synthesis.picture_rows import PictureAsking
from mmpipe.synthesis.scene_evidence import Scene
from mmpipe.tables.chat import ChatFailure, ChatReply, ImagePart
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.synthesis.row_account import Judged
    from mmpipe.tables.chat import ChatRequest

FIRST = "A white ferry lies at a long pier. The ferry is white and it lies at a long pier."
MORE = "Three people wait on the pier with suitcases, and behind them a red crane stands on the quay. In the back a"
MENDED = (
    "A white ferry lies at a long pier. Three people wait on the pier with suitcases, and behind them a red crane "
    "stands on the quay."
)


def see(name: str) -> Scene:
    return Scene(pair_id=name, dump="d", captions=("never shown",), picture=ImagePart(name, "image/png", lambda: b""))


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def is_going_on(request: ChatRequest) -> bool:
    return request.messages[-1].content == CONTINUE


def describe(request: ChatRequest) -> str:
    return MORE if is_going_on(request) else FIRST


def mend(_: ChatRequest) -> str:
    return json.dumps({"description": MENDED})


def make(
    see_script: Callable[[ChatRequest], Any] = describe,
    mend_script: Callable[[ChatRequest], Any] = mend,
    *names: str,
    settings: DescriptionSettings | None = None,
) -> tuple[Judged, ScriptedTeacher, ScriptedTeacher]:
    describer, mender = ScriptedTeacher(see_script, "seeing:a@0"), ScriptedTeacher(mend_script, "writing:b@0")
    scenes = [see(name) for name in names or ("p",)]
    judged = make_descriptions(scenes, describer, settings or DescriptionSettings(), count_words, mender=mender)
    assert judged.synthesis.planned == len(scenes) == judged.synthesis.frame.height + judged.candidates.height
    assert judged.synthesis.spent.requests == len(describer.asked) + len(mender.asked)
    return judged, describer, mender


def test_a_short_description_is_gone_on_with_joined_and_mended() -> None:
    judged, describer, mender = make()

    first, more = describer.asked
    assert [message.content for message in first.messages] == [DESCRIBE.system, DESCRIBE.user]
    assert [image.sha256 for image in first.images] == ["p"]
    assert [message.role for message in more.messages] == ["system", "user", "assistant", "user"]
    assert [image.sha256 for image in more.images] == ["p"]
    assert more.messages[2].content == FIRST
    [mending] = mender.asked
    assert mending.messages[-1].content == f"Description: {FIRST} {MORE}"
    assert not mending.images
    [row] = judged.synthesis.frame.rows(named=True)
    SYNTHESIZED_INSTRUCTIONS.conform(judged.synthesis.frame)
    assert (row["response"], row["evidence"]) == (MENDED, f"{FIRST} {MORE}")
    assert row["instruction"] in DETAIL_REQUESTS
    assert (row["images"], row["parents"]) == (["p"], [{"table": "filtered_image_pairs", "id": "p"}])
    assert (row["teacher"], row["attempts"]) == ("seeing:a@0", 3)
    assert row["prompt_version"] == f"{DESCRIBE.version}+{MEND.version}"
    details = json.loads(row["details"])
    tokens = len(f"{FIRST} {MORE}".split())
    assert details == {
        "described_by": "seeing:a@0", "mended_by": "writing:b@0", "described_tokens": tokens, "is_continued": True,
        "mended_with": {"temperature": 0.0, "top_p": mending.sampling.top_p, "seed": mending.sampling.seed},
    }  # fmt: skip
    # of the model that the row names
    stated = json.loads(row["sampling"])
    assert {**stated, "seed": row["seed"]} == {
        **stated, "temperature": first.sampling.temperature, "max_tokens": first.sampling.max_tokens,
        "seed": first.sampling.seed,
    }  # fmt: skip


@pytest.mark.parametrize(("tokens", "is_continued"), [(79, True), (80, False)])
def test_eighty_tokens_are_enough(tokens: int, is_continued: bool) -> None:
    said = " ".join(["ferry"] * tokens)
    judged, describer, _ = make(lambda request: MORE if is_going_on(request) else said, mend)
    assert len(describer.asked) == 1 + is_continued
    del judged


def test_what_cannot_be_gone_on_with_stays_as_it_is() -> None:
    long = f"{MENDED} In the back a"
    for outcome in (ChatFailure("server", "500"), "I cannot see the image.", ChatReply("", "stop", 1, 1)):
        judged, _, mender = make(lambda request, said=outcome: said if is_going_on(request) else long)
        [row] = judged.synthesis.frame.rows(named=True)
        assert row["evidence"] == long
        assert not json.loads(row["details"])["is_continued"]
        assert mender.asked[0].messages[-1].content == f"Description: {long}"


def test_the_seeing_model_mends_where_nobody_else_is_named() -> None:
    teacher = ScriptedTeacher(lambda request: mend(request) if request.schema else describe(request))
    judged = make_descriptions([see("p")], teacher, DescriptionSettings(), count_words)
    assert len(teacher.asked) == 3
    assert json.loads(judged.synthesis.frame["details"][0])["mended_by"] == teacher.name


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "empty_caption"),
        (f"Here is the corrected text: {MENDED}", "polish_leak"),
        (f"{MENDED} {MENDED}", "polish_repetition"),
        ("A green tractor drives over a muddy field while two farmers in blue overalls look at the grey sky there.",
         "polish_ungrounded"),
        ("A white ferry lies at a long pier.", "description_too_short"),
        (MENDED.rstrip(".") + " and a", "description_unfinished"),
        (f"{MENDED} Паром.", "description_other_script"),
        (MENDED.replace("A white ferry", "As stated, a white ferry"), "evidence_leak"),
        (MENDED, ""),
    ],
)  # fmt: skip
def test_what_is_mended_is_held_to_what_it_was(said: str, reason: str) -> None:
    assert find_description_fault(said, f"{FIRST} {MORE}", DescriptionSettings()) == reason
    assert not reason or reason in REASONS


def test_a_refused_reply_is_asked_again_with_another_seed_and_named_at_last() -> None:
    judged, _, mender = make(describe, lambda _: json.dumps({"description": "A white ferry lies at a long pier."}))
    assert judged.synthesis.rejected == {"description_too_short": 1}
    assert judged.synthesis.rejected_replies == {"description_too_short": 3}
    assert judged.candidates["text"].to_list() == ["A white ferry lies at a long pier."]
    assert len({request.sampling.seed for request in mender.asked}) == 3
    assert [request.sampling.temperature for request in mender.asked] == [0.0, 0.7, 0.7]
    replies = iter([ChatFailure("schema", "no JSON"), json.dumps({"description": MENDED})])
    judged, _, _ = make(describe, lambda _: next(replies))
    assert judged.synthesis.frame["attempts"].to_list() == [4]


def test_who_does_not_see_and_lost_pictures_cost_their_rows_alone() -> None:
    said: dict[str, str | ChatReply | ChatFailure] = {
        "blind": "I'm unable to view the image.",
        "lost": ChatFailure("image_lost", "gone", attempts=0),
        "silent": ChatReply(" ", "stop", 1, 1),
    }
    judged, _, mender = make(
        lambda request: MORE if is_going_on(request) else said.get(request.images[0].sha256, FIRST),
        mend, "blind", "good", "lost", "silent",
    )  # fmt: skip
    assert judged.synthesis.rejected == {"cannot_see": 1, "empty_reply": 1, "teacher_image_lost": 1}
    assert judged.synthesis.frame["images"].to_list() == [["good"]]
    assert len(mender.asked) == 1


def test_rows_depend_neither_on_order_nor_on_neighbours() -> None:
    names = ["a", "b", "c"]
    together = make(describe, mend, *names)[0].synthesis.frame.sort("instruction_id")
    turned = make(describe, mend, *names[::-1])[0].synthesis.frame.sort("instruction_id")
    assert together.equals(turned)
    [alone] = make(describe, mend, "b")[0].synthesis.frame.rows(named=True)
    assert alone in together.rows(named=True)


def test_the_example_passes_the_checks_it_teaches() -> None:
    [(fields, reply)] = MEND.examples
    assert isinstance(reply, dict)
    few = replace(DescriptionSettings(), least_words=5)
    assert find_description_fault(reply["description"], fields["description"], few) == ""


@pytest.mark.parametrize("wrong", [{"least_tokens": -1}, {"asking": PictureAsking(attempts=0)}, {"least_words": -1}])
def test_settings_that_cannot_work_stop(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="picture_descriptions"):
        DescriptionSettings(**wrong)
