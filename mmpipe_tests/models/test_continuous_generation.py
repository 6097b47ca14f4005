"""Continuous batching: the replies of a static batch, whatever rows share a step; faults and early ends do no harm."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mmpipe.errors import ConfigurationError
from mmpipe.models import continuous_generation
from mmpipe.models.continuous_generation import GeneratedRow, NotGenerated, generate_continuously
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.models.token_draws import Draws
from mmpipe.models.transformers_teacher import TransformersTeacher
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe_tests.models.test_transformers_teacher import SCHEMA, ask, tiny  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # more only spin against one another at these sizes


def make_requests() -> list[ChatRequest]:
    """Greedy, drawn, penalized, stopped and schema-bound requests, of many lengths."""
    plain = [ask("x" * (5 * place), temperature=place % 3 * 0.5, top_p=0.8, seed=place) for place in range(7)]
    held = [ask(f"json {place}", temperature=0.9, seed=place, schema=SCHEMA, max_tokens=60) for place in range(3)]
    return [
        *plain,
        *held,
        ask("often", temperature=0.7, seed=4, presence_penalty=1.5, frequency_penalty=0.5, max_tokens=30),
        ask("few", temperature=1.0, seed=5, top_k=3),
        ask("y", max_tokens=1),
    ]


def test_replies_are_those_of_static_batches(tiny: Path) -> None:  # noqa: F811
    requests = make_requests()
    static = TransformersTeacher(str(tiny), dtype="float32", batch_size=16, batching="static")
    expected = list(static.answer(requests))
    assert sum(isinstance(outcome, ChatReply) for outcome in expected) > 10
    for size in (2, 16):
        teacher = TransformersTeacher(str(tiny), dtype="float32", batch_size=size, batching="continuous")
        assert list(teacher.answer(requests)) == expected
    # the model's own attention is back: a static batch goes on as before
    teacher.batching = "static"
    assert list(teacher.answer(requests[:3])) == expected[:3]


def test_a_stop_string_ends_a_reply_and_costs_what_it_does_in_a_static_batch(tiny: Path) -> None:  # noqa: F811
    free = ask("stop here", temperature=1.0, seed=3, max_tokens=40)
    [whole] = TransformersTeacher(str(tiny), dtype="float32", batching="static").answer([free])
    assert isinstance(whole, ChatReply)
    # random bytes are seldom letters; transformers finds no stop string in others
    stop = next(letter for letter in whole.text[3:] if letter.isascii() and letter.isprintable())
    request = ask("stop here", temperature=1.0, seed=3, max_tokens=40, stop=(stop,))
    [static] = TransformersTeacher(str(tiny), dtype="float32", batching="static").answer([request])
    [continuous] = TransformersTeacher(str(tiny), dtype="float32", batching="continuous").answer([request])
    assert continuous == static
    assert isinstance(continuous, ChatReply)
    assert stop not in continuous.text
    assert continuous.completion_tokens < whole.completion_tokens


def test_no_row_waits_for_the_longest_of_its_batch(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """One long reply and many short ones, two at a time: about as many steps as the long one has tokens."""
    steps = []
    hold = continuous_generation._hold_to_grammars
    monkeypatch.setattr(
        continuous_generation, "_hold_to_grammars", lambda rows, *rest: steps.append(len(rows)) or hold(rows, *rest)
    )
    long = ask("long", temperature=1.0, seed=1, max_tokens=60, schema={"type": "string", "minLength": 55})
    short = [ask(f"s{place}", max_tokens=5, schema={"enum": [1]}) for place in range(12)]
    teacher = TransformersTeacher(str(tiny), dtype="float32", batch_size=2, batching="continuous")
    replies = list(teacher.answer([long, *short]))
    assert [reply.text for reply in replies[1:] if isinstance(reply, ChatReply)] == ["1"] * 12
    # static batches of two would take the long one's tokens and those of six batches more, none beside it
    assert sum(steps) > len(steps) * 1.3
    assert len(steps) <= 70


def test_what_is_too_long_is_refused_and_replies_are_cached(tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    cache = ReplyCache(tmp_path / "replies.sqlite")
    teacher = TransformersTeacher(str(tiny), dtype="float32", batching="continuous", cache=cache)
    outcomes = list(teacher.answer([ask("a"), ask("b" * 400)]))
    assert isinstance(outcomes[0], ChatReply)
    assert isinstance(outcomes[1], ChatFailure)
    assert outcomes[1].kind == "refused"
    assert len(cache) == 1
    [again] = teacher.answer([ask("a")])
    assert isinstance(again, ChatReply)
    assert again.is_cached


def test_a_caller_that_ends_early_leaves_no_thread(tiny: Path) -> None:  # noqa: F811
    teacher = TransformersTeacher(str(tiny), dtype="float32", batch_size=1, batching="continuous")
    before = threading.active_count()
    replies = teacher.answer([ask(str(place), max_tokens=100) for place in range(5)])
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(list(teacher.answer([ask("z")]))) == 1


@pytest.mark.parametrize("answered", [0, 2])
def test_where_transformers_cannot_the_rest_is_answered_in_static_batches(
    tiny: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answered: int,
) -> None:
    from transformers.generation.continuous_batching import ContinuousBatchingManager

    requests = make_requests()
    expected = list(TransformersTeacher(str(tiny), dtype="float32", batching="static").answer(requests))
    get, count = ContinuousBatchingManager.get_result, iter(range(100))

    def fail_then(manager: Any, *args: Any, **more: Any) -> Any:
        result = get(manager, *args, **more)
        if result is not None and next(count) >= answered:
            result.error = "CUDA out of memory"
        return result

    monkeypatch.setattr(ContinuousBatchingManager, "get_result", fail_then)
    teacher = TransformersTeacher(str(tiny), dtype="float32", batching="continuous")
    assert list(teacher.answer(requests)) == expected
    assert "CUDA out of memory" in caplog.text
    assert teacher.batching == "static"


def test_a_model_whose_attention_has_no_pages_is_told_from_a_fault(tiny: Path) -> None:  # noqa: F811
    model, tokenizer = TransformersTeacher(str(tiny), dtype="float32").load()
    model.config._attn_implementation = "flex_attention"
    row = GeneratedRow("k", [5, 6], Draws(0.0, 1.0, torch.zeros(3)), 3)
    with pytest.raises(NotGenerated, match="flex_attention"):
        next(generate_continuously(model, tokenizer, [row], ends=[0], most_rows=1))


def test_an_unknown_way_of_batching_stops() -> None:
    with pytest.raises(ConfigurationError, match="auto, static, continuous"):
        TransformersTeacher(batching="dynamic")  # type: ignore[arg-type]
