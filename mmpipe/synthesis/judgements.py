"""Judges every response by one stated criterion; a judgement that cannot be read has no score, not a low one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Spent, Synthesis, describe_sampling, make_seed, sort_counts
from mmpipe.synthesis.prompts import Prompt, find_prompt
from mmpipe.synthesis.reference_judgements import CRITERION as REFERENCE_CRITERION
from mmpipe.synthesis.reference_judgements import judge_by_reference
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS

if TYPE_CHECKING:
    from mmpipe.tables.chat import Teacher

_TEXT = "The Harbour Museum opened in 1931 in a former rope factory."

_EXAMPLES = (
    (
        {"evidence": _TEXT, "instruction": "When did the Harbour Museum open?", "response": "It opened in 1931."},
        {"rationale": "Right and to the point.", "score": 9},
    ),
    (
        {
            "evidence": _TEXT,
            "instruction": "When did the Harbour Museum open?",
            "response": "Museums are fun to visit!",
        },
        {"rationale": "Does not answer the question.", "score": 1},
    ),
    (
        {"evidence": _TEXT, "instruction": "What was it before?", "response": "It was a rope factory since 1802."},
        {"rationale": "Answers, but the year is not in the text.", "score": 5},
    ),
)

_USER = "Text: {evidence}\nQuestion: {instruction}\nAnswer: {response}"

#: One prompt per criterion. Scores run from 1 to 10 and follow a short rationale, as with the judges of LLaVA (section
#: 5.1) and UltraFeedback (section 3.2). Each answer is judged alone, so there is no position to be biased by.
PROMPTS = (
    Prompt(
        "judgements/helpfulness",
        "You judge an answer from 1 (useless) to 10 (perfect): does it answer the question, and is all it says in the "
        "text? First a short rationale, then the score.",
        _USER,
        _EXAMPLES,
    ),
    Prompt(
        "judgements/truthfulness",
        "You judge an answer from 1 (made up) to 10 (all true): is all it says in the text? First a short rationale, "
        "then the score.",
        _USER,
        _EXAMPLES,
    ),
)

_SCHEMA = {
    "type": "object",
    "properties": {
        "rationale": {"type": "string", "minLength": 1, "maxLength": 100},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
    },
    "required": ["rationale", "score"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementSettings:
    """How responses are judged.

    Attributes:
        criterion: `helpfulness` or `truthfulness`, which the teacher judges, or `answer_f1`, which needs no teacher: a
            weak one gives nearly every answer the same mark.
        max_tokens: of one judgement.
        seed: seed of the requests.
    """

    criterion: str = "helpfulness"
    max_tokens: int = 80
    seed: int = 0


def judge_responses(
    responses: pl.DataFrame, instructions: pl.DataFrame, teacher: Teacher, settings: JudgementSettings
) -> Synthesis:
    """Return one judgement per response, greedy, in the order of the responses.

    A reply that cannot be had or read is a row with status `unparsed` and no score; its reason is counted in
    `rejected_replies`. Every response gets a row, so `rejected` is empty.

    Args:
        responses: columns response_id, instruction_id, dump, response.
        instructions: columns instruction_id, instruction, evidence, and response for `answer_f1`.
        teacher: who judges.
        settings: by what.

    Raises:
        ConfigurationError: the criterion is unknown.
        TeacherError: the teacher cannot answer any more.
    """
    if settings.criterion == REFERENCE_CRITERION:
        return judge_by_reference(responses, instructions)
    prompt = find_prompt(f"judgements/{settings.criterion}", PROMPTS)
    columns = ["instruction_id", "instruction", "evidence"]
    rows = (
        responses.select("response_id", "instruction_id", "dump", "response")
        .join(instructions.select(columns), on="instruction_id", how="inner", maintain_order="left", validate="m:1")
        .rows(named=True)
    )
    requests = [_make_request(row, prompt, settings) for row in rows]
    made, spent = [], Spent()
    unparsed: Counter[str] = Counter()
    for row, request, outcome in zip(rows, requests, teacher.answer(requests), strict=True):
        spent.add(outcome)
        score, reason = _read_score(outcome)
        if reason:
            unparsed[reason] += 1
        made.append(
            {
                "judgement_id": make_id("judgement", row["response_id"], settings.criterion),
                "response_id": row["response_id"],
                "instruction_id": row["instruction_id"],
                "dump": row["dump"],
                "criterion": settings.criterion,
                "score": score,
                "judgement_status": "unparsed" if score is None else "ok",
                "judgement": outcome.text if isinstance(outcome, ChatReply) else f"{outcome.kind}: {outcome.detail}",
                "teacher": teacher.name,
                "prompt_version": prompt.version,
                "sampling": describe_sampling(request.sampling),
                "seed": request.sampling.seed,
                "attempts": outcome.attempts,
                "prompt_tokens": outcome.prompt_tokens,
                "completion_tokens": outcome.completion_tokens,
            }
        )
    frame = JUDGEMENTS.conform(pl.DataFrame(made, schema=JUDGEMENTS.schema))
    return Synthesis(frame, len(requests), {}, sort_counts(unparsed), spent)


def _make_request(row: dict[str, Any], prompt: Prompt, settings: JudgementSettings) -> ChatRequest:
    messages = prompt.render(evidence=row["evidence"], instruction=row["instruction"], response=row["response"])
    seed = make_seed(settings.seed, row["response_id"], settings.criterion)
    return ChatRequest(messages, Sampling(max_tokens=settings.max_tokens, seed=seed), _SCHEMA)


def _read_score(outcome: ChatReply | ChatFailure) -> tuple[float | None, str]:
    """Return (score, "") or (None, reason). The teacher's reply satisfies the schema by contract."""
    if isinstance(outcome, ChatFailure):
        return None, f"teacher_{outcome.kind}"
    return float(json.loads(outcome.text)["score"]), ""
