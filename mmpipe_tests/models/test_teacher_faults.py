"""The endpoint teacher before a server that fails by plan: every fault has its name, and nothing accepted is lost."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmpipe.errors import TeacherError
from mmpipe.models.endpoint_health import Patience
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.http_transport import find_proxy
from mmpipe.models.prices import Prices
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatReply, ChatRequest, ImagePart, Sampling
from mmpipe_tests.models.fault_server import FINAL, HARMLESS, PASSING, serve_faults

QUICK = Patience(attempts=4, first_pause_s=0.01, longest_pause_s=0.05, rate_deadline_s=60.0, circuit_pause_s=0.05)
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False}


def ask(*texts: str, **more: object) -> list[ChatRequest]:
    sampling = Sampling(max_tokens=16)
    return [ChatRequest((ChatMessage("user", text),), sampling, SCHEMA, **more) for text in texts]  # type: ignore[arg-type]


def answer(url: str, requests: Sequence[ChatRequest], **more: object) -> list[ChatReply | ChatFailure]:
    settings = {"timeout_s": 10.0, "patience": QUICK, "concurrency": 16, "most_reply_bytes": 1_000_000, **more}
    return list(EndpointTeacher(url, "m", **settings).answer(requests))  # type: ignore[arg-type]


def name(outcome: ChatReply | ChatFailure) -> str:
    return outcome.kind if isinstance(outcome, ChatFailure) else "reply"


def test_every_fault_that_passes_is_outlived() -> None:
    plan = {f"{fault}-{number}": fault for fault in (*PASSING, *HARMLESS) for number in range(3)}
    with serve_faults(plan) as server:
        outcomes = answer(server.url, ask(*plan), timeout_s=1.5)
    assert {name(outcome) for outcome in outcomes} == {"reply"}
    assert [outcome.text for outcome in outcomes if isinstance(outcome, ChatReply)] == [
        f'{{"q": "reply to {text}"}}' for text in plan
    ]
    asked = {text: server.asked[text] for text in plan}
    assert all(asked[text] == 1 for text in plan if plan[text] in ("keep_alive", "wrong_usage", "two_choices"))
    assert all(asked[text] == 2 for text in plan if plan[text] in ("html", "reset", "hang", "cut_once", "cut_json"))


def test_every_fault_that_stays_has_its_name_and_is_asked_once() -> None:
    plan = {fault: fault for fault in FINAL}
    with serve_faults(plan) as server:
        outcomes = dict(zip(plan, answer(server.url, ask(*plan, "fine")), strict=False))
    assert {text: name(outcome) for text, outcome in outcomes.items()} == {
        "huge": "oversized",
        "schema_ignored": "schema",
        "always_cut": "truncated",
        "refused": "refused",
        "content_filter": "content_filter",
        # whole JSON by its schema: what it says is for the method to judge
        "repeats_prompt": "reply",
        "other_language": "reply",
    }
    assert server.asked["always_cut"] == 2
    assert all(server.asked[text] == 1 for text in plan if text != "always_cut")
    cut = outcomes["always_cut"]
    assert isinstance(cut, ChatFailure)
    assert "max_tokens = 32" in cut.detail


def test_a_tenth_of_all_requests_fails_and_none_is_lost(tmp_path: Path) -> None:
    texts = [f"question {number}" for number in range(400)]
    with serve_faults(share=0.1, faults=[fault for fault in PASSING if fault != "hang"]) as server:
        outcomes = answer(server.url, ask(*texts), cache=ReplyCache(tmp_path / "r.sqlite"), prices=Prices(1e6, 1e6))
        met = Counter(server.met.values())
    assert [name(outcome) for outcome in outcomes] == ["reply"] * 400
    assert 20 < 400 - met[""] < 70  # the plan drew what it should
    assert all(server.sent[text] == 1 for text in texts)
    # an empty reply was paid for too; it is counted in the row that came of it
    paid_twice = [outcome for outcome in outcomes if isinstance(outcome, ChatReply) and outcome.prompt_tokens == 20]
    assert len(paid_twice) == met["empty"] > 0
    assert {outcome.cost for outcome in paid_twice} == {30.0}


def test_429_for_long_is_waited_out_by_all_together() -> None:
    texts = [f"{number}" for number in range(60)]
    with serve_faults(rate_until_s=1.0, retry_after_s=0.25) as server:
        started = time.monotonic()
        outcomes = answer(server.url, ask(*texts), concurrency=20)
    assert [name(outcome) for outcome in outcomes] == ["reply"] * 60
    assert time.monotonic() - started < 10
    # four waves at most, each smaller than the last; without a common rest there would be hundreds of refusals
    assert server.asked.total() - 60 <= 4 * 20


def test_429_without_end_stops_the_run() -> None:
    patience = Patience(first_pause_s=0.01, longest_pause_s=0.05, rate_deadline_s=0.3, dead_after=3)
    with serve_faults(rate_until_s=1e9, retry_after_s=0.1) as server:
        with pytest.raises(TeacherError, match=r"only tells to wait: 3 requests.*run again"):
            answer(server.url, ask(*map(str, range(500))), patience=patience, concurrency=2)
        assert server.asked.total() < 40
    started = time.monotonic()
    with serve_faults(rate_until_s=1e9, retry_after_s=86_400) as server:
        with pytest.raises(TeacherError, match=r"asks to wait 86,400 s.*Run again then"):
            answer(server.url, ask(*map(str, range(500))), concurrency=2)
        assert server.asked.total() <= 2
    assert time.monotonic() - started < 3


def test_concurrency_falls_to_what_the_endpoint_takes() -> None:
    texts = [f"{number}" for number in range(300)]
    with serve_faults(most_at_once=4, latency_s=0.02, retry_after_s=0.02) as server:
        teacher = EndpointTeacher(server.url, "m", concurrency=32, patience=QUICK, timeout_s=5)
        outcomes = list(teacher.answer(ask(*texts)))
        refused = server.asked.total() - 300
        again = list(teacher.answer(ask(*(f"again {number}" for number in range(100)))))
    assert [name(outcome) for outcome in (*outcomes, *again)] == ["reply"] * 400
    assert teacher._learned_limit < 16
    assert refused < 300
    # the second call begins where the first has learned to be
    assert server.asked.total() - refused - 400 < 100


def test_an_outage_is_waited_out_by_one_probe_at_a_time() -> None:
    texts = [f"{number}" for number in range(200)]
    patience = Patience(
        attempts=6, first_pause_s=0.01, longest_pause_s=0.02, circuit_pause_s=0.2, most_circuit_pauses=6
    )
    with serve_faults(down_until_s=1.0) as server:
        outcomes = answer(server.url, ask(*texts), patience=patience)
    failed = [outcome for outcome in outcomes if isinstance(outcome, ChatFailure)]
    assert len(failed) <= 2
    # about twenty attempts open the circuit, then one probe a pause; not one attempt for every request
    assert server.asked.total() - 200 < 60


def test_an_outage_that_stays_stops_the_run_and_keeps_what_has_arrived(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    plan = {f"{number}": "" for number in range(30)}
    patience = Patience(
        attempts=99, first_pause_s=0.01, longest_pause_s=0.02, circuit_pause_s=0.02, most_circuit_pauses=3
    )
    with serve_faults(plan) as server:
        answer(server.url, ask(*plan), cache=cache)
        url = server.url
        with serve_faults(down_until_s=1e9) as broken:
            teacher = EndpointTeacher(broken.url, "m", patience=patience, concurrency=8)
            with pytest.raises(TeacherError, match=r"3 pauses did not help.*run again"):
                list(teacher.answer(ask(*(f"new {number}" for number in range(100)))))
            assert broken.asked.total() < 100
        again = answer(url, ask(*plan), cache=cache)
    assert all(isinstance(outcome, ChatReply) and outcome.is_cached for outcome in again)


def test_an_endpoint_that_never_answered_stops_the_next_calls_at_once() -> None:
    patience = Patience(attempts=5, first_pause_s=0.01, longest_pause_s=0.02, circuit_pause_s=0.1, unanswered_s=0.4)
    with serve_faults(down_until_s=1e9) as server:
        teacher = EndpointTeacher(server.url, "m", patience=patience, concurrency=8)
        # four calls of one request each: none opens the circuit alone
        alone = [next(iter(teacher.answer(ask(f"alone {number}")))) for number in range(3)]
        assert [name(outcome) for outcome in alone] == ["server"] * 3
        with pytest.raises(TeacherError, match=r"has answered no request: .* run again"):
            list(teacher.answer(ask(*(f"new {number}" for number in range(100)))))
        before = server.asked.total()
        assert before < 40
        with pytest.raises(TeacherError, match=r"has answered no request"):
            list(teacher.answer(ask(*(f"other {number}" for number in range(100)))))
        assert server.asked.total() == before + 1
    # mended meanwhile: the same teacher goes on
    plan = {f"{number}": "" for number in range(30)}
    with serve_faults(plan, down_until_s=0.6) as server:
        teacher = EndpointTeacher(server.url, "m", patience=patience, concurrency=8)
        with pytest.raises(TeacherError, match=r"has answered no request"):
            list(teacher.answer(ask(*plan)))
        time.sleep(0.7)
        assert {name(outcome) for outcome in teacher.answer(ask(*plan))} == {"reply"}


def test_one_request_that_never_works_has_a_deadline() -> None:
    patience = Patience(attempts=50, first_pause_s=0.01, longest_pause_s=0.05, deadline_s=0.8)
    with serve_faults(latency_s=5.0) as server:
        started = time.monotonic()
        (outcome,) = answer(server.url, ask("slow"), patience=patience, timeout_s=0.3)
    assert name(outcome) == "timeout"
    assert isinstance(outcome, ChatFailure)
    assert "0.8 s" in outcome.detail
    assert outcome.attempts in (2, 3)  # of 50
    assert time.monotonic() - started < 3


def test_an_endpoint_without_structured_output_is_asked_without_it() -> None:
    from mmpipe_tests.models.chat_server import Answer, serve

    refusing = Answer(status=400, error={"message": "response_format is not supported here"})
    with serve(
        lambda said, _: refusing if "response_format" in server.bodies[-1] else Answer(text='{"q": "x"}')
    ) as server:
        outcomes = answer(server.url, ask("a", "b", "c"), concurrency=1)
        bodies = [("response_format" in body) for body in server.bodies]
        told = [[turn for turn in body["messages"] if turn["role"] == "system"] for body in server.bodies]
    assert [name(outcome) for outcome in outcomes] == ["reply"] * 3
    assert bodies == [True, False, False, False]
    # what is not sent as a schema is said in words
    assert told[0] == []
    assert all(json.dumps(SCHEMA) in turn["content"] for (turn,) in told[1:])


def test_a_proxy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert find_proxy("https://api.example.org/v1") == "http://proxy:3128"
    assert find_proxy("https://localhost:8000/v1") is None
    assert find_proxy("http://api.example.org/v1") is None


# images ---------------------------------------------------------------------------------------------------------------


def make_image(content: bytes, *, now: bytes | None = None) -> ImagePart:
    return ImagePart(hashlib.sha256(content).hexdigest(), "image/png", lambda: content if now is None else now)


def ask_about(*images: ImagePart) -> ChatRequest:
    return ChatRequest((ChatMessage("user", "What is it?", images),), Sampling(max_tokens=16), SCHEMA)


def test_an_image_goes_out_as_a_data_url_before_its_text() -> None:
    from mmpipe_tests.models.chat_server import Answer, serve

    with serve(lambda *_: Answer(text='{"q": "x"}')) as server:
        # this server counts by the last message's content, which must be a text there
        teacher = EndpointTeacher(server.url, "m", patience=QUICK)
        request = ask_about(make_image(b"png bytes"))
        turned = ChatRequest((*request.messages, ChatMessage("user", "Say.")), request.sampling, SCHEMA)
        (outcome,) = teacher.answer([turned])
    assert isinstance(outcome, ChatReply)
    first, last = server.bodies[0]["messages"]
    assert first["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5nIGJ5dGVz"}},
        {"type": "text", "text": "What is it?"},
    ]
    assert last["content"] == "Say."


def test_equal_images_are_one_request_and_other_images_another() -> None:
    keys = [ask_about(make_image(content)).make_key("t") for content in (b"a", b"a", b"b")]
    assert keys[0] == keys[1] != keys[2]
    text_only = ChatRequest((ChatMessage("user", "What is it?"),), Sampling(max_tokens=16), SCHEMA)
    assert len({*keys, text_only.make_key("t")}) == 3
    turned = ask_about(make_image(b"a"), make_image(b"b")), ask_about(make_image(b"b"), make_image(b"a"))
    assert turned[0].make_key("t") != turned[1].make_key("t")


def test_an_image_that_vanished_or_changed_is_a_failure_of_its_row_only() -> None:
    def vanish() -> bytes:
        raise FileNotFoundError("no such picture")

    lost = ImagePart("0" * 64, "image/png", vanish)
    with serve_faults() as server:
        outcomes = answer(server.url, [ask_about(lost), ask_about(make_image(b"a", now=b"b")), *ask("fine")])
    assert [name(outcome) for outcome in outcomes] == ["image_lost", "image_lost", "reply"]
    assert isinstance(outcomes[0], ChatFailure)
    assert isinstance(outcomes[1], ChatFailure)
    assert "no such picture" in outcomes[0].detail
    assert "the bytes there now" in outcomes[1].detail
    assert server.asked.total() == 1


def test_a_teacher_of_text_refuses_images_unasked() -> None:
    with serve_faults() as server:
        outcomes = answer(server.url, [ask_about(make_image(b"a")), *ask("fine")], takes_images=False)
    assert [name(outcome) for outcome in outcomes] == ["text_only", "reply"]
    assert server.asked.total() == 1


# estimates ------------------------------------------------------------------------------------------------------------


def test_an_estimate_is_made_without_asking(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    with serve_faults() as server:
        answer(server.url, ask("known"), cache=cache)
        teacher = EndpointTeacher(server.url, "m", cache=cache, prices=Prices(1e6, 2e6, "EUR"))
        image = ask_about(make_image(b"a"))
        estimate = teacher.estimate([*ask("known", "12345678", "12345678", "123456789"), image])
        assert server.asked.total() == 1
    assert (estimate.requests, estimate.repeated, estimate.cached, estimate.asked, estimate.images) == (5, 1, 1, 3, 1)
    assert estimate.prompt_tokens == (2 + 4) + (3 + 4) + (3 + 4)
    assert estimate.most_completion_tokens == 3 * 16
    assert (estimate.prompt_cost, estimate.most_cost) == (20.0, 20.0 + 2 * 48)
    assert (estimate.currency, estimate.counted_by) == ("EUR", "characters / 4")
