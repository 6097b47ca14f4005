"""Toolformer's translation: each phrase once, nothing where there is nothing to tell, and calls that help stay."""

from __future__ import annotations

import polars as pl

from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.text_translation import Translator, make_translation
from mmpipe.synthesis.toolformer import ToolformerSettings, make_toolformer_rows
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe_tests.synthesis.test_toolformer import CacheBigrams

ENGLISH = {"vorsicht": "take care", "hello": " Hello", "leer": " ", "zwei": "one\ntwo"}


def say(request: ChatRequest) -> str | ChatReply | ChatFailure:
    phrase = str(request.messages[-1].content)
    if phrase == "lang":
        return ChatReply("long and", "length", 3, 2)
    return ENGLISH[phrase] if phrase in ENGLISH else ChatFailure("server", "500")


def test_each_phrase_is_translated_once_and_what_tells_nothing_is_none() -> None:
    teacher = ScriptedTeacher(say)
    translator = Translator(teacher)
    phrases = ["vorsicht", "hello", "leer", "zwei", "lang", "kaputt", "", "vorsicht"]
    # an English phrase, an empty reply, several lines, a cut one, a failure, and no phrase at all
    assert translator.translate(phrases) == ["take care", None, None, None, None, None, None, "take care"]
    assert len(teacher.asked) == 6 == translator.spent.requests
    tool = make_translation(translator)
    assert tool.run("vorsicht", {}) == "take care"
    assert tool.run_calls([("vorsicht", {}), ("zwei", {})]) == ["take care", None]
    assert len(teacher.asked) == 6
    assert translator.spent.completion_tokens > 0


def test_a_translation_that_tells_what_follows_stays_in_the_text() -> None:
    text = "On the door stood vorsicht , which means take care to us ."
    model = CacheBigrams(
        ["A sign that means [ go slow to us .", "On the wall stood a word , which means [ stop to us ."]
    )
    teacher = ScriptedTeacher(
        lambda request: "MT(vorsicht)" if "Tool MT" in str(request.messages[-1].content) else say(request)
    )
    translator = Translator(teacher)
    documents = pl.DataFrame({"doc_id": ["d", "e"], "dump": ["x", "x"], "text": [text, "It is a field ."]})
    settings = ToolformerSettings(places=12, call_probability=0.0, calls_per_place=1, loss_gain=0.5)
    made = make_toolformer_rows(documents, make_translation(translator), teacher, model, settings)

    (row,) = made.synthesis.frame.rows(named=True)
    assert "which means [MT(vorsicht) → take care] take care to us" in row["response"]
    assert row["response"].count("[MT(") == 1
    assert translator.spent.requests == 1
    (call,) = made.details.row(0, named=True)["calls"]
    assert call["loss_without_call"] - call["loss_with_result"] >= 0.5
