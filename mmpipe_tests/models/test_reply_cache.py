from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.tables.chat import ChatMessage, ChatReply, ChatRequest, Sampling


def test_a_reply_comes_back_as_cached_and_free(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "new" / "replies.sqlite")
    cache.put("k", ChatReply("text ü", "length", 7, 3, attempts=2, cost=1.5))
    assert ReplyCache(cache.path).get_many(["k", "other"]) == {
        "k": ChatReply("text ü", "length", 7, 3, attempts=2, is_cached=True, cost=0.0)
    }


def test_the_first_reply_stays(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    cache.put("k", ChatReply("first", "stop", 1, 1))
    cache.put("k", ChatReply("second", "stop", 1, 1))
    assert cache.get_many(["k"])["k"].text == "first"


def test_many_keys_and_many_threads(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")

    def write(part: int) -> None:
        for number in range(part, 1200, 4):
            cache.put(str(number), ChatReply(str(number), "stop", 1, 1))

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = cache.get_many([str(number) for number in range(1300)])
    assert len(found) == len(cache) == 1200
    assert all(reply.text == key for key, reply in found.items())


def test_several_who_make_the_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    refused: list[Exception] = []
    for number in range(100):
        cache, ready = ReplyCache(tmp_path / str(number) / "replies.sqlite"), threading.Barrier(4)

        def write(part: int, cache: ReplyCache = cache, ready: threading.Barrier = ready) -> None:
            ready.wait()
            try:
                cache.put(str(part), ChatReply("So.", "stop", 1, 1))
            except sqlite3.OperationalError as error:
                refused.append(error)

        threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(cache) == 4 - len(refused)
        assert not refused


@pytest.mark.parametrize("count", [0, 1, 150, 151, 1000])
@pytest.mark.parametrize("refused", [(), ("seed",)])
def test_as_many_as_are_put_at_once_come_back(tmp_path: Path, count: int, refused: tuple[str, ...]) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    given = {f"k{number}": ChatReply(f"reply {number}", "stop", number, 1, 1) for number in range(count)}
    if given:
        given["k0"] = replace(given["k0"], left_out=refused)
    cache.put_many(list(given.items()))
    assert len(cache) == count
    assert cache.get_many(list(given)) == {key: replace(reply, is_cached=True) for key, reply in given.items()}


def test_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="layout 99"):
        ReplyCache(path).get_many(["k"])


def test_a_key_tells_all_of_a_request() -> None:
    base = ChatRequest((ChatMessage("user", "a"),), Sampling())
    others = [
        ChatRequest((ChatMessage("user", "b"),), Sampling()),
        ChatRequest((ChatMessage("system", "a"),), Sampling()),
        ChatRequest(base.messages, Sampling(temperature=0.5)),
        ChatRequest(base.messages, Sampling(top_p=0.5)),
        ChatRequest(base.messages, Sampling(max_tokens=1)),
        ChatRequest(base.messages, Sampling(seed=1)),
        ChatRequest(base.messages, Sampling(stop=("x",))),
        ChatRequest(base.messages, Sampling(), {"type": "object"}),
        ChatRequest(base.messages, Sampling(), sample_index=1),
    ]
    keys = {request.make_key("t") for request in (base, *others)} | {base.make_key("u")}
    assert len(keys) == len(others) + 2
    assert base.make_key("t") == ChatRequest((ChatMessage("user", "a"),), Sampling()).make_key("t")


@pytest.mark.parametrize("left_out", [(), ("top_k",)])
def test_a_commit_that_would_wait_says_so_and_writes_nothing(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    reply = ChatReply("So.", "stop", 1, 1, left_out=left_out)
    with cache.keep_open() as try_commit:
        other = sqlite3.connect(cache.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert not try_commit([("a", reply)])
        other.execute("ROLLBACK")
        other.close()
        assert len(cache) == 0
        assert try_commit([("b", reply)])
        assert list(cache.get_many(["a", "b"])) == ["b"]
