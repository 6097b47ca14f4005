from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmpipe.models.reply_cache import ReplyCache
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.models.teacher import RequestBook, find_schema_fault
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatReply, ChatRequest, Sampling, Teacher

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def ask(*texts: str) -> list[ChatRequest]:
    return [ChatRequest((ChatMessage("user", text),), Sampling()) for text in texts]


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"n": 1}', None), ('{"n": "1"}', "$.n"), ("{}", "required"), ('{"n": 1', "not JSON"), ("", "not JSON")],
)
def test_schema_faults_are_named(text: str, said: str | None) -> None:
    fault = find_schema_fault(text, SCHEMA)
    assert fault is None if said is None else said in str(fault)


def test_a_book_gives_outcomes_in_request_order_and_asks_equal_requests_once(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    requests = ask("a", "b", "a", "c")
    cache.put(requests[1].make_key("t"), ChatReply("cached b", "stop", 1, 1))
    book = RequestBook("t", requests, cache)
    assert [request.messages[0].content for _, request in book.open] == ["a", "c"]

    def arrive() -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        for key, request in reversed(book.open):
            said = request.messages[0].content
            outcome = ChatReply(f"new {said}", "stop", 1, 1) if said == "a" else ChatFailure("server", "down")
            book.commit(key, outcome)
            yield key, outcome

    outcomes = list(book.yield_in_order(arrive()))
    assert [getattr(outcome, "text", "failed") for outcome in outcomes] == ["new a", "cached b", "new a", "failed"]
    assert len(cache) == 2


def test_the_scripted_teacher_is_a_teacher() -> None:
    teacher = ScriptedTeacher(lambda request: request.messages[-1].content)
    assert isinstance(teacher, Teacher)
    good, bad = teacher.answer(
        [ChatRequest((ChatMessage("user", text),), Sampling(), SCHEMA) for text in ('{"n": 1}', "no")]
    )
    assert isinstance(good, ChatReply)
    assert isinstance(bad, ChatFailure)
    assert bad.kind == "schema"
    assert len(teacher.asked) == 2
