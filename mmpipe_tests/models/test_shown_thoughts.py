"""Replies of models that show their thoughts: what they thought is no part of the answer, over the wire too."""

from __future__ import annotations

import pytest

from mmpipe.models.shown_thoughts import strip_thoughts
from mmpipe.tables.chat import ChatFailure, ChatReply
from mmpipe_tests.models.chat_server import Answer, serve
from mmpipe_tests.models.test_endpoint_teacher import SCHEMA, answer, ask


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("<think>\nTwo and two.\nFour?\n</think>\n\nFour.", "Four."),
        # the chat template has opened the block
        ("Two and two.\n</think>\n\nFour.", "Four."),
        ("<think>\n\n</think>\n\nFour.", "Four."),
        ("  <think>It may be four, or", ""),
        ("Four.", "Four."),
        ("In its prompt stands <think>, and </think> ends it.", "In its prompt stands <think>, and </think> ends it."),
        ("<thinking about it> Four.", "<thinking about it> Four."),
        ("<think>a</think>One </think> two.", "One </think> two."),
    ],
)
def test_thoughts_before_an_answer_go_and_nothing_else(text: str, answered: str) -> None:
    assert strip_thoughts(text).strip() == answered


def test_a_model_that_shows_its_thoughts_keeps_to_a_schema() -> None:
    with serve(lambda *_: Answer('<think>{"n": 5} is too much.</think>\n```json\n{"n": 4}\n```')) as server:
        (reply,) = answer(server.url, ask("x", schema=SCHEMA))
    assert isinstance(reply, ChatReply)
    assert reply.text == '{"n": 4}'


def test_thoughts_that_fill_the_limit_are_no_answer() -> None:
    with serve(lambda *_: Answer("<think>Well, let me see", finish_reason="length")) as server:
        (reply,) = answer(server.url, ask("x"))
    assert isinstance(reply, ChatFailure)
    assert reply.kind == "truncated"
