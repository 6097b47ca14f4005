"""RAFT rows: chunks, questions, distractors of other documents only, the oracle's coin, verbatim quotes."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.raft import (
    ANSWER_MARK,
    ANSWERS,
    BEGIN_QUOTE,
    END_QUOTE,
    choose_documents,
    cut_chunks,
    list_quotes,
    make_raft_rows,
)
from mmpipe.synthesis.raft_distractors import Chunk, DistractorPool, measure_overlap
from mmpipe.synthesis.raft_questions import QUESTIONS
from mmpipe.synthesis.raft_settings import RaftSettings
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

NAMES = ["Benn", "Holt", "Marsh", "Quill", "Rowe", "Stone", "Thorn", "Vale"]
TOWNS = ["Aldby", "Brack", "Corfe", "Dunham", "Ember", "Frome", "Glynde", "Hythe"]


def describe(place: int) -> str:
    built = f"Clara {NAMES[place]} built the bridge of {TOWNS[place]} in 18{place}7."
    return f"{built} It cost {place}00 crowns in {TOWNS[place]} alone."


DOCUMENTS = pl.DataFrame({"doc_id": [f"d{n}" for n in range(8)], "dump": "x", "text": [describe(n) for n in range(8)]})
SETTINGS = RaftSettings(questions_per_chunk=1, least_chunk_tokens=5, attempts=2)


def count_words(texts: list[str] | tuple[str, ...]) -> list[int]:
    return [len(text.split()) for text in texts]


def find_place(request: ChatRequest) -> int:
    asked = request.messages[-1].content
    return next(place for place, town in enumerate(TOWNS) if town in asked)


def answer(place: int, quote: str | None = None, said: str | None = None) -> str:
    quote = f"Clara {NAMES[place]} built the bridge of {TOWNS[place]}" if quote is None else quote
    said = f"Clara {NAMES[place]} built the bridge of {TOWNS[place]}." if said is None else said
    return json.dumps({"reasoning": f"The text says {BEGIN_QUOTE}{quote}{END_QUOTE}, so it is she.", "answer": said})


def say(request: ChatRequest) -> str:
    place = find_place(request)
    if "Question: " in request.messages[-1].content:
        return answer(place)
    return json.dumps({"questions": [f"Who built the bridge of {TOWNS[place]}?"]})


def test_rows_show_the_oracle_among_distractors_of_other_documents() -> None:
    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(say), SETTINGS, count_words)
    frame = made.synthesis.frame
    assert frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert (made.synthesis.planned, frame.height, made.synthesis.rejected) == (8, 8, {})
    for row, detail in zip(frame.rows(named=True), made.details.rows(named=True), strict=True):
        shown = row["context"].removeprefix("<DOCUMENT>").removesuffix("</DOCUMENT>").split("</DOCUMENT>\n<DOCUMENT>")
        assert len(shown) == 4
        assert shown[detail["oracle_position"]] == row["evidence"]
        assert detail["quotes"][0] in row["evidence"]
        assert row["response"].endswith(f"{ANSWER_MARK} {detail['answer']}")
        assert row["parents"][0]["id"] == detail["oracle_doc_id"]
        assert detail["oracle_doc_id"] not in {parent["id"] for parent in row["parents"][1:]}
        assert len(row["parents"]) == 4
    assert made.details["oracle_position"].n_unique() > 1
    again = make_raft_rows(DOCUMENTS.reverse(), ScriptedTeacher(say), SETTINGS, count_words)
    assert again.synthesis.frame.sort("instruction_id").equals(frame.sort("instruction_id"))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_without_the_oracle_one_more_distractor_stands_in(probability: float) -> None:
    settings = replace(SETTINGS, oracle_probability=probability)
    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(say), settings, count_words)
    for row, detail in zip(made.synthesis.frame.rows(named=True), made.details.rows(named=True), strict=True):
        assert row["context"].count("<DOCUMENT>") == 4
        assert (row["evidence"] in row["context"]) is detail["is_oracle_shown"] is bool(probability)
        assert len(detail["distractor_ids"]) == 3 + int(not probability)


def test_the_oracle_is_kept_with_its_probability_whatever_else_there_is() -> None:
    chunks = [Chunk(f"c{n}", f"d{n}", f"words of document {n} and nothing else {n * 7}") for n in range(30)]
    pool = DistractorPool(chunks, {}, 0.5)
    shown = [choose_documents(f"q{n}", chunks[0], pool, replace(SETTINGS, oracle_probability=0.8)) for n in range(3000)]
    kept = [one is not None and one.oracle_position is not None for one in shown]
    assert 0.78 < sum(kept) / 3000 < 0.82
    smaller = DistractorPool(chunks[:10], {}, 0.5)
    some = [choose_documents(f"q{n}", chunks[0], smaller, replace(SETTINGS, oracle_probability=0.8)) for n in range(99)]
    assert [one is not None and one.oracle_position is not None for one in some] == kept[:99]
    places = [one.oracle_position for one in shown if one is not None and one.oracle_position is not None]
    assert min(places.count(place) for place in range(4)) > 500


def test_near_duplicates_clusters_and_own_documents_never_distract() -> None:
    oracle = Chunk("o", "d0", describe(0))
    chunks = [
        oracle,
        Chunk("same document", "d0", "Another part of that document, of other words."),
        Chunk("copy", "d1", f"Copied: {describe(0)}"),
        Chunk("cluster", "d2", "Quite another text that a cluster joins to the oracle."),
        Chunk("good", "d3", describe(3)),
        Chunk("good's twin", "d4", describe(3)),
        Chunk("good's brother", "d3", "A second chunk of one document, with its own words."),
        Chunk("empty", "d5", "!!"),
    ]
    assert measure_overlap(chunks[0], chunks[2]) == 1.0
    pool = DistractorPool(chunks, {"d0": "k", "d2": "k"}, 0.5)
    for number in range(40):
        chosen = pool.choose(f"q{number}", oracle, 1)
        assert chosen is not None
        assert chosen[0].chunk_id in {"good", "good's twin", "good's brother"}
    further = DistractorPool([*chunks, Chunk("other", "d6", describe(6))], {"d0": "k", "d2": "k"}, 0.5)
    for number in range(40):
        pair = further.choose(f"q{number}", oracle, 2)
        assert pair is not None
        # neither two chunks of one document nor two that say the same
        assert {chunk.chunk_id for chunk in pair} not in ({"good", "good's brother"}, {"good", "good's twin"})
    assert pool.choose("q", oracle, 3) is None
    assert DistractorPool(chunks[:2], {}, 0.5).choose("q", oracle, 1) is None
    assert DistractorPool(chunks[:1] + chunks[3:4], {}, 0.5).choose("q", oracle, 1) == [chunks[3]]


def test_a_pool_of_distractors_takes_no_more_memory_than_its_hashes() -> None:
    texts = [" ".join(f"word{number % 97}x{place}" for number in range(300)) for place in range(300)]
    chunks = [Chunk(f"c{place}", f"d{place}", text) for place, text in enumerate(texts)]
    tracemalloc.start()
    try:
        pool = DistractorPool(chunks, {}, 0.5)
        used, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # an id, a tuple and two places of lists; the words of one text at a time
    assert used < 400 * len(chunks)
    assert most < 200_000
    assert pool.choose("q", chunks[0], 3) is not None


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(0, quote="Clara Benn planned the bridge of Aldby"), "quote_not_verbatim"),
        (answer(0, quote="Clara Benn"), "quote_missing"),
        (json.dumps({"reasoning": "It is she.", "answer": "Clara Benn built the bridge of Aldby."}), "quote_missing"),
        (json.dumps({"reasoning": f"{BEGIN_QUOTE}Clara Benn built", "answer": "Clara Benn."}), "quote_unbalanced"),
        (json.dumps({"reasoning": f"{END_QUOTE}a b c{BEGIN_QUOTE}", "answer": "Clara Benn."}), "quote_unbalanced"),
        (answer(0, said=f"{ANSWER_MARK} Clara Benn built the bridge."), "marker_in_answer"),
        (answer(0, said="Clara Benn built it for 900 sheep and many cows."), "answer_ungrounded"),
        (answer(0, said="The bridge of Aldby built Clara Benn."), "answer_rearranged"),
        ("{}", "teacher_schema"),
        (ChatFailure("server", "500"), "teacher_server"),
    ],
)
def test_answers_are_refused_by_reason(reply: str | ChatFailure, reason: str) -> None:
    def script(request: ChatRequest) -> str | ChatFailure:
        is_answer = "Question: " in request.messages[-1].content
        return reply if is_answer and find_place(request) == 0 else say(request)

    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(script), SETTINGS, count_words)
    assert made.synthesis.rejected == {reason: 1}
    assert made.synthesis.rejected_replies == {reason: 2}
    assert made.candidates["reason"].to_list() == [reason]
    assert made.synthesis.frame.height == made.synthesis.planned - 1


def test_a_row_names_both_prompts_and_pays_for_its_question_too() -> None:
    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(say), SETTINGS, count_words).synthesis
    assert made.frame.height == made.planned
    assert set(made.frame["prompt_version"]) == {f"{QUESTIONS.version}+{ANSWERS.version}"}
    for name in ("attempts", "prompt_tokens", "completion_tokens"):
        assert made.frame[name].sum() == getattr(made.spent, name)


def test_a_refused_answer_shows_the_quote_that_is_none() -> None:
    invented = answer(0, quote="Clara Benn planned the bridge of Aldby")

    def script(request: ChatRequest) -> str:
        is_answer = "Question: " in request.messages[-1].content
        return invented if is_answer and find_place(request) == 0 else say(request)

    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(script), SETTINGS, count_words)
    assert [json.loads(one) for one in made.candidates["details"]] == [
        {"found": "Clara Benn planned the bridge of Aldby"}
    ]


def test_white_space_alone_may_differ_in_a_quote() -> None:
    def script(request: ChatRequest) -> str:
        place = find_place(request)
        is_answer = "Question: " in request.messages[-1].content
        return answer(place, quote=f"Clara\n  {NAMES[place]} built the bridge") if is_answer else say(request)

    assert make_raft_rows(DOCUMENTS, ScriptedTeacher(script), SETTINGS, count_words).synthesis.frame.height == 8


@pytest.mark.parametrize(
    ("questions", "rejected"),
    [
        (["Who built the bridge of Aldby?", "What did Aldby pay?"], {}),
        (["Who built the bridge of Aldby?"], {"question_missing": 1}),
        ([], {"question_missing": 2}),
        (["Who built the bridge of Aldby?", "who built  the bridge of Aldby?"], {"question_missing": 1}),
        (["Who built the bridge of Aldby?", "Aldby paid."], {"question_without_question_mark": 1}),
        (
            ["According to the text, who built it?", "Aldby paid."],
            {"question_names_text": 1, "question_without_question_mark": 1},
        ),
        (["What was paid in Aldby?"] * 4, {"question_missing": 1}),
        # the example of the prompt, asked again
        (["When did the Harbour Museum open?", "What did Aldby pay?"], {"question_ungrounded": 1}),
        (None, {"teacher_rate": 2}),
    ],
)
def test_every_question_planned_is_a_row_or_has_a_reason(questions: list[str] | None, rejected: dict[str, int]) -> None:
    settings = replace(
        SETTINGS,
        questions_per_chunk=2,
        questions=replace(SETTINGS.questions, question_grounding=0.2, answer_grounding=0.0, answer_order=0.0),
    )

    def script(request: ChatRequest) -> str | ChatFailure:
        if "Question: " in request.messages[-1].content:
            return answer(find_place(request))
        if find_place(request):
            return json.dumps(
                {
                    "questions": [
                        f"Who built {TOWNS[find_place(request)]} bridge?",
                        f"Who built the bridge of {TOWNS[find_place(request)]}?",
                    ]
                }
            )
        return ChatFailure("rate", "429") if questions is None else json.dumps({"questions": questions})

    made = make_raft_rows(DOCUMENTS, ScriptedTeacher(script), settings, count_words)
    refused = {
        reason: count for reason, count in made.synthesis.rejected.items() if "question" in reason or "rate" in reason
    }
    assert refused == rejected
    # of the first attempt: what says again what was asked before, in the same reply
    repeated = {"who built  the bridge of Aldby?": 1, "What was paid in Aldby?": 3}.get(
        questions[1] if questions and len(questions) > 1 else "", 0
    )
    assert made.synthesis.rejected_replies.get("question_repeated", 0) == repeated
    assert made.synthesis.planned == 16 == made.synthesis.frame.height + made.candidates.height


def test_too_few_documents_to_distract_ask_no_answer() -> None:
    teacher = ScriptedTeacher(say)
    made = make_raft_rows(DOCUMENTS[:3], teacher, SETTINGS, count_words)
    assert made.synthesis.rejected == {"too_few_distractors": 3}
    assert len(teacher.asked) == 3


def test_chunks_and_quotes() -> None:
    settings = replace(SETTINGS, chunk_tokens=9)
    chunks = cut_chunks(DOCUMENTS, settings, count_words)
    assert len(chunks) == 16
    assert all(size <= 9 for size in count_words([chunk.text for chunk in chunks]))
    assert list_quotes(f"a {BEGIN_QUOTE}b c{END_QUOTE} d {BEGIN_QUOTE}e{END_QUOTE}") == ["b c", "e"]
    assert list_quotes("none") == []
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        RaftSettings(oracle_probability=1.2)
    with pytest.raises(ConfigurationError, match="at least one question"):
        RaftSettings(questions_per_chunk=0)
