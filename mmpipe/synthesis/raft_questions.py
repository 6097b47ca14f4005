"""Asks for the questions of RAFT: several about one chunk, each whole, new, and silent about the text it rests on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mmpipe.synthesis.drafts import make_seed
from mmpipe.synthesis.grounding import measure_grounding
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.raft_distractors import Chunk
from mmpipe.synthesis.refusals import Refusal, name_reason
from mmpipe.synthesis.row_account import Paid, RowAccount, read_text
from mmpipe.synthesis.solution_parts import normalize_solution
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.raft_settings import RaftSettings
    from mmpipe.tables.chat import ChatFailure, ChatReply, Teacher

_METHOD = "raft"

#: Why a question is refused, beside the teacher's failures; its answer may fail by REASONS of `grounded_questions` too.
REASONS = (
    "question_missing", "question_without_question_mark", "question_repeated", "question_names_text",
    "question_ungrounded", "too_few_distractors",
)  # fmt: skip

EXAMPLE = (
    "The Harbour Museum opened in 1931 in a former rope factory. Its largest room holds a whale skeleton, 18 metres "
    "long, that was found on the north beach."
)

QUESTIONS = Prompt(
    "raft/questions",
    "You write questions that a reader of the given text can answer from it alone, in the language of the text. Each "
    "names what it asks about, asks about another fact, and never speaks of the text itself.",
    "Text: {chunk}\n\nNumber of questions: {count}",
    (
        (
            {"chunk": EXAMPLE, "count": "2"},
            {
                "questions": [
                    "When did the Harbour Museum open?",
                    "How long is the whale skeleton in the Harbour Museum?",
                ]
            },
        ),
    ),
)

_NAMES_TEXT = re.compile(
    r"\b(?:according to|in|from|of|by) (?:the|this|that) (?:text|passage|document|article|excerpt|context|paragraph)\b|"
    r"\bthe (?:text|passage|author|article|excerpt) (?:says?|states?|mentions?|describes?)\b|文中|文章|本文",
    re.IGNORECASE,
)


def ask_questions(
    chunks: Sequence[Chunk], teacher: Teacher, settings: RaftSettings, account: RowAccount
) -> list[tuple[str, Chunk, str, Paid]]:
    """Return (question_id, chunk, question, what it cost) for every question that passes; others are refused.

    What was paid for a chunk's questions its questions share: attempts the first, tokens evenly.

    A chunk is asked about again while it lacks questions; every question it still lacks after that is refused by the
    reason its last candidate failed for, or `question_missing` if there was none.
    """
    found: dict[str, list[str]] = {chunk.chunk_id: [] for chunk in chunks}
    faults: dict[str, list[tuple[str, Refusal | str]]] = {}
    paid = {chunk.chunk_id: Paid() for chunk in chunks}
    open_chunks = list(chunks)
    for attempt in range(settings.attempts):
        requests = [_make_questions_request(chunk, attempt, settings) for chunk in open_chunks]
        for chunk, outcome in zip(open_chunks, account.ask(teacher, requests), strict=True):
            paid[chunk.chunk_id].add(outcome)
            faults[chunk.chunk_id] = _read_questions(outcome, found[chunk.chunk_id], chunk.text, settings)
            for _, reason in faults[chunk.chunk_id]:
                account.refuse_reply(name_reason(reason))
        open_chunks = [chunk for chunk in open_chunks if len(found[chunk.chunk_id]) < settings.questions_per_chunk]
        if not open_chunks:
            break
    asked: list[tuple[str, Chunk, str, Paid]] = []
    for chunk in chunks:
        questions = found[chunk.chunk_id]
        for place, text in enumerate(questions):
            share = paid[chunk.chunk_id].take_share(len(questions), place)
            asked.append((make_id(_METHOD, chunk.chunk_id, normalize_solution(text)), chunk, text, share))
        last = faults.get(chunk.chunk_id, [])
        first = name_reason(last[0][1]) if last else ""
        missing = ("", first if first.startswith("teacher_") else "question_missing")
        for place in range(settings.questions_per_chunk - len(questions)):
            text, reason = last[place] if place < len(last) else missing
            account.refuse(make_id(_METHOD, chunk.chunk_id, "missing", place), text, reason, was_asked=False)
    return asked


def _make_questions_request(chunk: Chunk, attempt: int, settings: RaftSettings) -> ChatRequest:
    count = settings.questions_per_chunk
    schema = {
        "type": "object",
        "properties": {
            "questions": {"type": "array", "items": {"type": "string", "maxLength": 400}, "maxItems": 2 * count}
        },
        "required": ["questions"],
        "additionalProperties": False,
    }
    temperature = max(settings.temperature, settings.retry_temperature) if attempt else settings.temperature
    seed = make_seed(settings.seed, _METHOD, chunk.chunk_id, attempt)
    sampling = Sampling(temperature, settings.top_p, settings.max_tokens, seed)
    return ChatRequest(QUESTIONS.render(chunk=chunk.text, count=str(count)), sampling, schema, sample_index=attempt)


def _read_questions(
    outcome: ChatReply | ChatFailure, found: list[str], chunk: str, settings: RaftSettings
) -> list[tuple[str, Refusal | str]]:
    """Add the questions that pass to `found`, up to the number asked for; return (question, reason) of the others."""
    text, reason = read_text(outcome)
    if reason:
        return [("", reason)]
    refused: list[tuple[str, Refusal | str]] = []
    earlier = {normalize_solution(question) for question in found}
    for candidate in json.loads(text)["questions"]:
        if len(found) == settings.questions_per_chunk:
            break
        question = candidate.strip()
        # asked again, a teacher says again what passed before; that is no fault
        if normalize_solution(question) in earlier:
            continue
        fault = _find_question_fault(question, found, chunk, settings)
        if fault:
            refused.append((question, fault))
        else:
            found.append(question)
    return refused


def _find_question_fault(question: str, found: Sequence[str], chunk: str, settings: RaftSettings) -> Refusal | str:
    if not question.endswith(("?", "？", "؟")):
        return "question_without_question_mark"
    if named := _NAMES_TEXT.search(question):
        return Refusal(reason="question_names_text", found=named[0])
    # before an answer is paid for: a weak model asks about the example again
    grounded, least = measure_grounding(question, chunk), settings.questions.question_grounding
    if grounded < least:
        return Refusal(reason="question_ungrounded", measure="grounding", value=grounded, low=least)
    is_known = normalize_solution(question) in {normalize_solution(other) for other in found}
    return "question_repeated" if is_known else ""
