"""Penalties and top_k on their way to an endpoint: sent as asked, and left out for a server that knows them not."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.judgements import JudgementSettings, judge_responses
from mmpipe.synthesis.rest import RestSettings, grow
from mmpipe.synthesis.self_refinement import RefinementSettings, revise_answers
from mmpipe.synthesis.ultrafeedback import UltraFeedbackSettings, judge_answers
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatReply, ChatRequest, Sampling
from mmpipe_tests.models.chat_server import Answer, serve

if TYPE_CHECKING:
    from pathlib import Path


def ask(*texts: str, **sampling: float) -> list[ChatRequest]:
    return [ChatRequest((ChatMessage("user", text),), Sampling(0.7, **sampling)) for text in texts]  # type: ignore[arg-type]


def test_penalties_and_top_k_are_sent_where_they_are_set() -> None:
    with serve(lambda *_: Answer()) as server:
        teacher = EndpointTeacher(server.url, "m")
        list(teacher.answer([*ask("a", presence_penalty=2.0, frequency_penalty=-1.0, top_k=40), *ask("b")]))
    bodies = {body["messages"][-1]["content"]: body for body in server.bodies}
    assert {name: bodies["a"][name] for name in ("presence_penalty", "frequency_penalty", "top_k")} == {
        "presence_penalty": 2.0,
        "frequency_penalty": -1.0,
        "top_k": 40,
    }
    assert not {"presence_penalty", "frequency_penalty", "top_k"} & bodies["b"].keys()


def test_a_server_without_top_k_answers_without_it_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def script(*_: object) -> Answer:
        # a server that knows no top_k refuses whatever holds it
        refuses = "top_k" in server.bodies[-1]
        return Answer(status=400, error={"message": "Unrecognized request argument: top_k"}) if refuses else Answer()

    with serve(script) as server, caplog.at_level(logging.WARNING):
        teacher = EndpointTeacher(server.url, "m", concurrency=1)
        outcomes = list(teacher.answer(ask("a", "b", top_k=40, presence_penalty=1.0)))
    assert [type(outcome) for outcome in outcomes] == [ChatReply, ChatReply]
    assert server.asked == {"a": 2, "b": 1}
    assert [body["presence_penalty"] for body in server.bodies] == [1.0] * 3
    assert len([record for record in caplog.records if "does not know top_k" in record.message]) == 1
    assert [outcome.left_out for outcome in outcomes if isinstance(outcome, ChatReply)] == [("top_k",)] * 2


def test_what_a_server_refused_is_not_stated_in_rows_nor_forgotten_by_the_cache(tmp_path: Path) -> None:
    def script(*_: object) -> Answer:
        refuses = "top_k" in server.bodies[-1]
        return Answer(status=400, error={"message": "Unrecognized request argument: top_k"}) if refuses else Answer()

    problems = pl.DataFrame({"problem_id": ["p"], "question": ["1 + 1?"], "answer": ["2"], "dump": ["d"]})
    told = []
    with serve(script) as server:
        for _ in range(2):
            teacher = EndpointTeacher(server.url, "m", cache=ReplyCache(tmp_path / "replies.sqlite"), concurrency=1)
            made = grow(problems, teacher, RestSettings(samples=2, top_k=40))
            told.append(made.frame.get_column("sampling").to_list())
        asked = len(server.bodies)
    assert asked == 3
    assert told[0] == told[1]
    assert ["top_k" in json.loads(text) for text in told[0]] == [False, False]
    assert json.loads(told[0][0])["temperature"] == RestSettings().temperature


def test_a_cache_made_before_parameters_could_be_left_out_is_read(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path)
    cache.put("old", ChatReply("said", "stop", 3, 4))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE left_out")
        connection.commit()
    again = ReplyCache(path)
    assert again.get_many(["old"])["old"] == ChatReply("said", "stop", 3, 4, is_cached=True)
    again.put("new", ChatReply("more", "stop", 1, 2, left_out=("presence_penalty", "top_k")))
    assert again.get_many(["new", "old"])["new"].left_out == ("presence_penalty", "top_k")
    assert again.get_many(["old"])["old"].left_out == ()


#: What servers say of a parameter that a model of theirs does not take.
_REFUSALS = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value "
    "is supported.",
    "top_p": "Unsupported parameter: 'top_p' is not supported with this model.",
    "stop": "Unsupported parameter: 'stop' is not supported with this model.",
    "seed": "[{'type': 'extra_forbidden', 'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]",
}


def test_a_model_that_thinks_is_asked_as_it_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    """As OpenAI's o-series and Mistral's servers refuse: one parameter at a time, until the request is theirs."""

    def script(*_: object) -> Answer:
        refused = next((name for name in _REFUSALS if name in server.bodies[-1]), None)
        return Answer() if refused is None else Answer(status=400, error={"message": _REFUSALS[refused]})

    with serve(script) as server, caplog.at_level(logging.WARNING):
        teacher = EndpointTeacher(server.url, "m", concurrency=1)
        outcomes = list(teacher.answer(ask("a", "b", stop=("x",), max_tokens=55)))  # type: ignore[arg-type]
    assert [type(outcome) for outcome in outcomes] == [ChatReply, ChatReply]
    # each is learned once, for all requests
    assert server.asked == {"a": 6, "b": 1}
    assert server.bodies[-1].keys() == {"model", "messages", "max_completion_tokens"}
    assert server.bodies[-1]["max_completion_tokens"] == 55
    # what the rows will say that they were not drawn with
    assert {outcome.left_out for outcome in outcomes} == {("temperature", "top_p", "seed", "stop")}  # type: ignore[union-attr]
    assert len([record for record in caplog.records if "does not know" in record.message]) == 5


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096.",
        "The prompt asks how to stop a seed; such temperature talk is refused.",
        "temperature must be between 0 and 2",
    ],
)
def test_a_refusal_of_another_kind_leaves_the_parameters_as_they_are(message: str) -> None:
    with serve(lambda *_: Answer(status=400, error={"message": message})) as server:
        teacher = EndpointTeacher(server.url, "m")
        [outcome] = teacher.answer(ask("a", stop=("x",)))  # type: ignore[arg-type]
    assert isinstance(outcome, ChatFailure)
    assert outcome.kind == "refused"
    assert len(server.bodies) == 1


@pytest.mark.parametrize("wrong", [{"presence_penalty": 2.5}, {"frequency_penalty": -3.0}, {"top_k": -1}])
def test_what_no_server_takes_is_refused_before_it_is_sent(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="must lie between -2 and 2"):
        ask("a", **wrong)


def say_without_top_p(request: ChatRequest) -> ChatReply:
    """Answer judges and authors alike, drawn without `top_p`."""
    schema = (request.schema or {}).get("properties", {})
    values = {"rationale": "It is so.", "score": 7, "critique": "Longer.", "is_done": False, "overall": 7}
    values["ratings"] = [{"answer": 1, "rationale": "It is so.", "rating": 4}]
    said = json.dumps({name: values[name] for name in schema}) if schema else f"More: {request.sampling.seed}"
    return ChatReply(said, "stop", 9, 9, left_out=("top_p",))


def test_what_judges_and_revises_names_no_parameter_that_was_refused() -> None:
    teacher = ScriptedTeacher(say_without_top_p)
    asked = {"instruction_id": "i", "instruction": "Name a bird.", "context": None, "evidence": ""}
    instructions = pl.DataFrame([asked])
    row = {"instruction_id": "i", "response_id": "r", "response": "A crow.", "dump": "d"}
    answer = {
        "prompt_id": "i",
        "prompt": "Name a bird.",
        "answer_id": "r",
        "answer": "A crow.",
        "dump": "d",
        "model": "",
    }
    judged = judge_responses(pl.DataFrame([row]), instructions, teacher, JudgementSettings()).frame
    rated = judge_answers(pl.DataFrame([answer]), teacher, UltraFeedbackSettings()).frame
    revised = revise_answers(pl.DataFrame([answer]).drop("model", "dump"), teacher, RefinementSettings(rounds=1))
    assert set(judged.get_column("judgement_status")) == set(rated.get_column("judgement_status")) == {"ok"}
    frames = (judged, rated, revised.tries, revised.frame.filter(pl.col("round") > 0))
    told = [json.loads(said) for frame in frames for said in frame.get_column("sampling")]
    assert len(told) == 1 + rated.height + 2
    assert all("top_p" not in each and "temperature" in each for each in told)
