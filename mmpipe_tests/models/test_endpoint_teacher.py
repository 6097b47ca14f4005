from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError, TeacherError
from mmpipe.models.endpoint_attempts import read_retry_after
from mmpipe.models.endpoint_health import Patience
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.prices import Prices
from mmpipe.models.reply_cache import ReplyCache, TryCommit
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatReply, ChatRequest, Sampling
from mmpipe_tests.models.chat_server import Answer, serve

QUICK = Patience(attempts=3, first_pause_s=0.01, longest_pause_s=0.02, rate_deadline_s=2.0, dead_after=4)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def ask(*texts: str, schema: dict[str, object] | None = None) -> list[ChatRequest]:
    return [ChatRequest((ChatMessage("user", text),), Sampling(max_tokens=9), schema) for text in texts]


def answer(url: str, requests: Sequence[ChatRequest], **more: object) -> list[ChatReply | ChatFailure]:
    settings = {"timeout_s": 5.0, "patience": QUICK, "concurrency": 4, **more}
    return list(EndpointTeacher(url, "m", **settings).answer(requests))  # type: ignore[arg-type]


def test_replies_come_in_request_order_with_bounded_concurrency() -> None:
    texts = [str(number) for number in range(24)]
    with serve(lambda said, _: Answer(text=said, delay_s=0.05 if int(said) % 3 == 0 else 0.0)) as server:
        outcomes = answer(server.url, ask(*texts))
    assert [outcome.text for outcome in outcomes if isinstance(outcome, ChatReply)] == texts
    assert 1 < server.most_in_flight <= 4


def test_equal_requests_are_asked_once() -> None:
    with serve(lambda said, _: Answer(text=said)) as server:
        outcomes = answer(server.url, ask("a", "b", "a"))
    assert [getattr(outcome, "text", None) for outcome in outcomes] == ["a", "b", "a"]
    assert server.asked == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "failing",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=408),
        Answer(is_reset=True),
        Answer(raw=b'{"cut'),
        Answer(text=""),
        Answer(raw=b'{"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": []}'),
    ],
)
def test_transient_faults_are_tried_again_and_counted(failing: Answer) -> None:
    with serve(lambda _, times: failing if times < 2 else Answer(text="there")) as server:
        (outcome,) = answer(server.url, ask("x"))
    assert isinstance(outcome, ChatReply)
    assert (outcome.text, outcome.attempts, server.asked["x"]) == ("there", 3, 3)


def test_attempts_end() -> None:
    with serve(lambda *_: Answer(status=500)) as server:
        (outcome,) = answer(server.url, ask("x"))
    assert isinstance(outcome, ChatFailure)
    assert (outcome.kind, outcome.attempts, server.asked["x"]) == ("server", 3, 3)


def test_a_slow_reply_is_a_timeout() -> None:
    with serve(lambda _, times: Answer(delay_s=0.6 if times == 0 else 0.0)) as server:
        (outcome,) = answer(server.url, ask("x"), timeout_s=0.2)
    assert isinstance(outcome, ChatReply)
    assert outcome.attempts == 2


def test_too_many_requests_use_up_no_attempt_and_pause_everyone() -> None:
    waits = 5  # more than the attempts allowed

    def script(said: str, times: int) -> Answer:
        return Answer(status=429, headers={"Retry-After": "0.1"}) if said == "a" and times < waits else Answer()

    started = time.monotonic()
    with serve(script) as server:
        outcomes = answer(server.url, ask("a", "b", "c"), concurrency=1)
    assert all(isinstance(outcome, ChatReply) for outcome in outcomes)
    assert server.asked["a"] == waits + 1
    assert time.monotonic() - started >= waits * 0.1


def test_waiting_ends_at_the_deadline() -> None:
    with serve(lambda *_: Answer(status=429, headers={"Retry-After": "1.5"})) as server:
        (outcome,) = answer(server.url, ask("x"))
    assert isinstance(outcome, ChatFailure)
    assert outcome.kind == "rate"
    assert server.asked["x"] == 2


def test_out_of_quota_is_not_waited_for() -> None:
    with (
        serve(lambda *_: Answer(status=429, error={"code": "insufficient_quota"})) as server,
        pytest.raises(TeacherError, match="quota"),
    ):
        answer(server.url, ask("x"))
    assert server.asked["x"] == 1


def test_a_schema_is_asked_for_and_never_trusted() -> None:
    said = {"good": '{"n": 1}', "prose": "Sure! 1", "wrong": '{"n": "one"}', "more": '{"n": 1, "m": 2}'}
    with serve(lambda text, _: Answer(text=said[text])) as server:
        outcomes = answer(server.url, ask(*said, schema=SCHEMA))
    assert [getattr(outcome, "kind", "reply") for outcome in outcomes] == ["reply", "schema", "schema", "schema"]
    assert all(body["response_format"]["json_schema"]["schema"] == SCHEMA for body in server.bodies)
    assert all(
        count == 1 for count in server.asked.values()
    )  # a bad reply was paid for; asking again is the method's call


def test_json_in_a_fence_is_taken_out_of_it_and_nothing_else_is_mended() -> None:
    said = {
        "fenced": '```json\n{"n": 1}\n```',
        "plain fence": '```\n{"n": 2}\n```\n',
        "talk": 'Sure!\n```json\n{"n": 3}\n```',
        "two": '```\n{"n": 4}\n```\n```\n{"n": 5}\n```',
        "wrong": '```json\n{"n": "six"}\n```',
    }
    with serve(lambda text, _: Answer(text=said[text])) as server:
        outcomes = answer(server.url, ask(*said, schema=SCHEMA))
        (free,) = answer(server.url, ask("fenced"))
    assert [getattr(outcome, "text", "failed") for outcome in outcomes] == ['{"n": 1}', '{"n": 2}', *["failed"] * 3]
    assert isinstance(free, ChatReply)
    assert free.text == said["fenced"]  # asked for as text, kept as text


def test_a_cut_reply_is_noticed() -> None:
    with serve(lambda *_: Answer(text='{"n": 1}', finish_reason="length")) as server:
        (whole,) = answer(server.url, ask("x", schema=SCHEMA))
        (free,) = answer(server.url, ask("x"))
    assert isinstance(whole, ChatFailure)
    # asked again once with twice the tokens, and both attempts are counted
    assert (whole.kind, whole.attempts, whole.completion_tokens) == ("truncated", 2, 10)
    assert [body["max_tokens"] for body in server.bodies] == [9, 18, 9]
    assert isinstance(free, ChatReply)
    assert free.finish_reason == "length"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Answer(status=400), "refused"),
        (Answer(status=400, error={"code": "content_filter"}), "content_filter"),
        (Answer(finish_reason="content_filter"), "content_filter"),
    ],
)
def test_what_cannot_be_answered_is_asked_once(given: Answer, kind: str) -> None:
    with serve(lambda *_: given) as server:
        (outcome,) = answer(server.url, ask("x"))
    assert isinstance(outcome, ChatFailure)
    assert (outcome.kind, server.asked["x"]) == (kind, 1)


def test_tokens_and_money_count_every_attempt() -> None:
    with serve(lambda _, times: Answer(text="" if times == 0 else "there")) as server:
        (outcome,) = answer(server.url, ask("x"), prices=Prices(1_000_000, 2_000_000))
    assert isinstance(outcome, ChatReply)
    assert (outcome.prompt_tokens, outcome.completion_tokens, outcome.cost) == (20, 10, 40.0)


def test_a_dead_endpoint_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    started = time.monotonic()
    with pytest.raises(TeacherError, match=url):
        answer(url, ask(*map(str, range(100))))
    assert time.monotonic() - started < 5
    with pytest.raises(TeacherError, match="not reached"):
        EndpointTeacher(url, "m").check()


def test_an_endpoint_that_dies_is_noticed() -> None:
    def script(said: str, _: int) -> Answer:
        return Answer() if int(said) < 10 else Answer(is_reset=True)

    with serve(script) as server, pytest.raises(TeacherError, match="dead"):
        answer(server.url, ask(*map(str, range(40))))
    assert server.asked.total() < 80


@pytest.mark.parametrize(("status", "hint"), [(401, "key"), (403, "key"), (404, "model 'm'")])
def test_what_no_request_can_pass_ends_the_run(status: int, hint: str) -> None:
    with serve(lambda *_: Answer(status=status)) as server, pytest.raises(TeacherError, match=hint):
        answer(server.url, ask(*map(str, range(50))))
    assert server.asked.total() <= 8


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("old", "refuses the key in MY_KEY. HTTP 401: Incorrect API key provided. Set the right one, then run again."),
        (
            None,
            "asks for a key, and none is set. HTTP 401: Incorrect API key provided. Set it in MY_KEY, then run again.",
        ),
    ],
)
def test_a_refused_key_is_told_of_with_its_variable(key: str | None, told: str) -> None:
    refusing = Answer(status=401, error={"message": "Incorrect API\nkey provided."})
    with serve(lambda *_: refusing) as server, pytest.raises(TeacherError) as caught:
        answer(server.url, ask("x"), api_key=key, key_variable="MY_KEY")
    assert str(caught.value) == f"{server.url} {told}"


def test_the_key_is_never_repeated() -> None:
    refusing = Answer(status=401, error={"message": "no such key: s3cr3t-key"})
    with serve(lambda *_: refusing) as server, pytest.raises(TeacherError) as caught:
        answer(server.url, ask("x"), api_key="s3cr3t-key")
    assert "s3cr3t" not in str(caught.value)
    assert "***" in str(caught.value)


def test_the_caller_may_stop_early() -> None:
    with serve(lambda *_: Answer(delay_s=0.05)) as server:
        outcomes = EndpointTeacher(server.url, "m", concurrency=2).answer(ask(*map(str, range(200))))
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert server.asked.total() < 50


def test_settings_that_cannot_work() -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        EndpointTeacher("localhost:8000", "m")
    with pytest.raises(ConfigurationError, match="1 or more"):
        EndpointTeacher("http://localhost", "m", concurrency=0)


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert read_retry_after({"retry-after": "7"}) == 7.0
    assert read_retry_after({"retry-after-ms": "250"}) == 0.25
    assert read_retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert read_retry_after({"retry-after": "soon"}) is None
    assert read_retry_after({}) is None


def test_failures_are_not_cached_and_replies_are(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    with serve(lambda said, times: Answer(status=400) if said == "bad" and times == 0 else Answer(text=said)) as server:
        first = answer(server.url, ask("good", "bad"), cache=cache, prices=Prices(1e6, 0))
        again = answer(server.url, ask("good", "bad"), cache=cache, prices=Prices(1e6, 0))
    assert [getattr(outcome, "kind", "reply") for outcome in first] == ["reply", "refused"]
    good, bad = again
    assert isinstance(good, ChatReply)
    assert isinstance(bad, ChatReply)
    assert (good.is_cached, good.cost, good.prompt_tokens) == (True, 0.0, 10)
    assert not bad.is_cached
    assert server.asked == {"good": 1, "bad": 2}


_KILLED = """
import sys
import threading
from pathlib import Path
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.tables.chat import ChatMessage, ChatRequest, Sampling

teacher = EndpointTeacher(sys.argv[1], "m", concurrency=4, cache=ReplyCache(Path(sys.argv[2])))
requests = [ChatRequest((ChatMessage("user", str(n)),), Sampling(max_tokens=9)) for n in range(60)]
for outcome in teacher.answer(requests):
    print(outcome.text, flush=True)
"""


def test_a_killed_run_repeats_no_paid_call(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    # the first reply is slow, so later ones arrive and are paid for long before it can be handed on in order
    with serve(lambda said, times: Answer(text=said, delay_s=2.0 if said == "0" and times == 0 else 0.02)) as server:
        command = [sys.executable, "-c", _KILLED, server.url, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        deadline = time.monotonic() + 30
        while (not path.exists() or len(ReplyCache(path)) < 20) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.1)
        paid = set(
            ReplyCache(path).get_many([request.make_key(_name(server.url)) for request in ask(*map(str, range(60)))])
        )
        assert 20 <= len(paid) < 60
        asked_before = dict(server.asked)
        outcomes = answer(server.url, ask(*map(str, range(60))), cache=ReplyCache(path))
    assert [getattr(outcome, "text", None) for outcome in outcomes] == [str(number) for number in range(60)]
    keys = {request.messages[0].content: request.make_key(_name(server.url)) for request in ask(*map(str, range(60)))}
    repeated = [said for said in keys if keys[said] in paid and server.asked[said] != asked_before[said]]
    assert repeated == []
    # only what was in flight at the kill is asked a second time
    assert server.asked.total() <= 60 + 4


def _name(url: str) -> str:
    return EndpointTeacher(url, "m").name


def test_a_reply_without_text_at_the_limit_is_truncated_not_tried_five_times() -> None:
    thinking = Answer(text="", finish_reason="length")
    with serve(lambda *_: thinking) as server:
        (outcome,) = answer(server.url, ask("x"))
    assert isinstance(outcome, ChatFailure)
    assert (outcome.kind, server.asked["x"], outcome.completion_tokens) == ("truncated", 2, 10)


def test_a_text_that_must_be_whole_is_asked_again_once_with_more_tokens() -> None:
    def script(_: str, times: int) -> Answer:
        return Answer(text="whole", finish_reason="length" if times == 0 else "stop")

    request = ChatRequest((ChatMessage("user", "x"),), Sampling(max_tokens=9), is_whole_wanted=True)
    with serve(script) as server:
        (outcome,) = answer(server.url, [request])
    assert isinstance(outcome, ChatReply)
    assert (outcome.finish_reason, outcome.attempts, outcome.prompt_tokens) == ("stop", 2, 20)
    assert [body["max_tokens"] for body in server.bodies] == [9, 18]


def test_a_cache_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    class Full(ReplyCache):
        @contextmanager
        def keep_open(self) -> Iterator[TryCommit]:
            def refuse(replies: object) -> bool:
                raise OSError("no space left")

            yield refuse

    with (
        serve(lambda *_: Answer(delay_s=0.02)) as server,
        pytest.raises(OSError, match="no space left"),
    ):
        answer(server.url, ask(*map(str, range(200))), cache=Full(tmp_path / "r.sqlite"))
    assert server.asked.total() < 50


def test_a_cache_that_another_process_writes_to_is_waited_for_beside_the_asking(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    cache.put("other", ChatReply("x", "stop", 1, 1))
    texts = [str(number) for number in range(12)]
    found: list[ChatReply | ChatFailure] = []
    with serve(lambda said, _: Answer(text=said, delay_s=0.3 if said == "3" else 0.0)) as server:
        other = sqlite3.connect(cache.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        asking = threading.Thread(target=lambda: found.extend(answer(server.url, ask(*texts), cache=cache)))
        asking.start()
        # all four that may be in flight wait for their commit, and nobody asks anew before it
        time.sleep(0.6)
        assert (server.asked.total(), found) == (4, [])
        other.execute("ROLLBACK")
        asking.join()
    assert [getattr(outcome, "text", None) for outcome in found] == texts
    keys = [request.make_key(_name(server.url)) for request in ask(*texts)]
    assert len(cache.get_many(keys)) == server.asked.total() == 12
    other.close()


def test_a_fork_of_a_process_that_has_asked_says_why_it_cannot(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with serve(lambda *_: Answer()) as server:
        (outcome,) = answer(server.url, ask("one"))
        assert isinstance(outcome, ChatReply)
        child = os.fork()
        if child == 0:
            try:
                answer(server.url, ask("two"))
            except TeacherError as error:
                told.write_text(str(error))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    assert "fork of a process that has asked an endpoint" in told.read_text()
