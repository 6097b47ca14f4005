from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import InvariantBroken
from mmpipe.release.conversations import find_conversation_fault, render_conversations
from mmpipe.release.preference_pairs import render_preferences
from mmpipe.tables.instructions import PREFERENCE_DATASET, SFT_DATASET
from mmpipe_tests.release.rows import FILES, INSTRUCTIONS, PAIRS


def test_conversations_alternate_and_carry_their_images() -> None:
    frame = render_conversations(INSTRUCTIONS, FILES)
    assert frame.schema == SFT_DATASET.schema
    text, image = frame.rows(named=True)
    assert text["messages"] == [
        {"role": "user", "content": "The pier opened in 1877.\n\nWhen did it open?"},
        {"role": "assistant", "content": "In 1877."},
    ]
    assert text["images"] == []
    assert image["messages"][0]["content"] == "<image>\nWhat is this? An image, image say."
    assert [picture["path"] for picture in image["images"]] == ["p1.png"]
    assert image["images"][0]["bytes"].startswith(b"\x89PNG")


def test_an_image_without_a_file_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="p1"):
        render_conversations(INSTRUCTIONS)


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="i1 has an empty turn"):
        render_conversations(INSTRUCTIONS.with_columns(response=pl.lit("  ")), FILES)


@pytest.mark.parametrize(
    ("roles", "contents", "images", "fault"),
    [
        ("ua", ["q", "a"], 0, None),
        ("sua", ["s", "q", "a"], 0, None),
        ("uaua", ["q", "a", "q", "a"], 0, None),
        ("", [], 0, "alternate"),
        ("au", ["a", "q"], 0, "alternate"),
        ("uu", ["q", "q"], 0, "alternate"),
        ("u", ["q"], 0, "does not end"),
        ("ua", ["q", " "], 0, "empty turn"),
        ("ua", ["<image>q", "a"], 0, "1 image placeholders and 0 images"),
        ("ua", ["q", "a"], 1, "0 image placeholders and 1 images"),
        ("uaua", ["q", "a", "<image>q", "a"], 1, "after the first turn"),
        ("ua", ["q", "<image>a"], 1, "in an answer"),
        ("ua", ["q", "<image>a"], 0, "in an answer"),
    ],
)
def test_what_trainers_refuse_is_named(roles: str, contents: list[str], images: int, fault: str | None) -> None:
    names = {"s": "system", "u": "user", "a": "assistant"}
    messages = [{"role": names[role], "content": text} for role, text in zip(roles, contents, strict=True)]
    found = find_conversation_fault(messages, images)
    assert found is None if fault is None else fault in str(found)


def test_preferences_have_one_prompt_and_two_answers() -> None:
    frame = render_preferences(PAIRS, INSTRUCTIONS, FILES)
    assert frame.schema == PREFERENCE_DATASET.schema
    row = frame.row(0, named=True)
    assert row["prompt"][-1]["role"] == "user"
    assert row["chosen"] == [{"role": "assistant", "content": "In 1877."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Never."}]
    assert row["group_id"] == "i1"
    assert row["parents"] == [{"table": "responses", "id": "r1"}, {"table": "responses", "id": "r2"}]
    assert frame.row(1, named=True)["images"][0]["path"] == "p1.png"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rejected": "In  1877."}, "prefers nothing"),
        ({"score_rejected": 9.0}, "prefers nothing"),
        ({"rejected": " "}, "empty turn"),
        ({"instruction_id": "gone"}, "not kept"),
    ],
)
def test_pairs_that_prefer_nothing_are_refused(change: dict[str, object], said: str) -> None:
    broken = PAIRS.head(1).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises(InvariantBroken, match=said):
        render_preferences(broken, INSTRUCTIONS, FILES)
