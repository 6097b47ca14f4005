"""Judges every response by one stated criterion; a judgement that cannot be read has no score, not a low one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.cut_answers import CUT, is_cut
from mmpipe.synthesis.drafts import Spent, Synthesis, describe_sampling, join_left_out, make_seed, sort_counts
from mmpipe.synthesis.prompts import Prompt, find_prompt
from mmpipe.synthesis.reference_judgements import CRITERION as REFERENCE_CRITERION
from mmpipe.synthesis.reference_judgements import judge_by_reference
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS
from mmpipe.tables.teacher_families import is_own_family

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_ALONE_EXAMPLES = (
    ({"instruction": "How many days has a week?", "response": "Seven."}, {"rationale": "Right.", "score": 9}),
    (
        {"instruction": "Write a line about the sea in rhyme.", "response": "The sea is large and full of water."},
        {"rationale": "About the sea, but no rhyme.", "score": 4},
    ),
    ({"instruction": "Add 17 and 25.", "response": "43"}, {"rationale": "It is 42.", "score": 1}),
)
_ALONE = "Instruction: {instruction}\nAnswer: {response}"

#: The same of an instruction that rests on no text: nothing is asked about one that is not there.
ALONE_PROMPTS = (
    Prompt(
        "judgements/helpfulness_alone",
        "You judge an answer from 1 (useless) to 10 (perfect): does it do what the instruction asks, rightly and in "
        "full? First a short rationale, then the score.",
        _ALONE,
        _ALONE_EXAMPLES,
    ),
    Prompt(
        "judgements/truthfulness_alone",
        "You judge an answer from 1 (made up) to 10 (all true): is all it says true, and in keeping with the "
        "instruction? First a short rationale, then the score.",
        _ALONE,
        _ALONE_EXAMPLES,
    ),
)

#: What a judge was not asked about, and what its row says in place of a judgement.
OWN_FAMILY = "own_family"
UNASKED = {
    OWN_FAMILY: "the judge and who wrote this are of one family",
    CUT: "the limit of tokens cut this answer, so it is in no pair",
}

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
        families: those that names do not tell, see `tables.teacher_families.find_family`.
        judges_own_family: whether the judge may score what a model of its own family wrote.
    """

    criterion: str = "helpfulness"
    max_tokens: int = 80
    seed: int = 0
    families: Mapping[str, str] = field(default_factory=dict)
    judges_own_family: bool = False


def judge_responses(
    responses: pl.DataFrame, instructions: pl.DataFrame, teacher: Teacher, settings: JudgementSettings
) -> Synthesis:
    """Return one judgement per response, greedy, in the order of the responses.

    A reply that cannot be had or read is a row with status `unparsed` and no score; its reason is counted in
    `rejected_replies`. A response that the judge's own family wrote is not asked about: status `own_family`, no score;
    nor is one that the limit of tokens cut: status `cut_answer`.
    Every response gets a row, so `rejected` is empty.

    Args:
        responses: columns response_id, instruction_id, dump, response, teacher where families matter, and
            finish_reason where some may be cut.
        instructions: columns instruction_id, instruction, context, evidence, and response for `answer_f1`.
        teacher: who judges.
        settings: by what.

    Raises:
        ConfigurationError: the criterion is unknown.
        TeacherError: the teacher cannot answer any more.
    """
    if settings.criterion == REFERENCE_CRITERION:
        return judge_by_reference(responses, instructions)
    with_text = find_prompt(f"judgements/{settings.criterion}", PROMPTS)
    alone = find_prompt(f"judgements/{settings.criterion}_alone", ALONE_PROMPTS)
    columns = ["instruction_id", "instruction", "context", "evidence"]
    authors = [pl.col(name) for name in ("teacher", "finish_reason") if name in responses.columns]
    rows = (
        responses.select(pl.col("response_id", "instruction_id", "dump", "response"), *authors)
        .join(instructions.select(columns), on="instruction_id", how="inner", maintain_order="left", validate="m:1")
        .rows(named=True)
    )
    unasked = {row["response_id"]: _find_unasked(teacher, row, settings) for row in rows}
    asked = [row for row in rows if not unasked[row["response_id"]]]
    requests = [_make_request(row, with_text if _find_text(row) else alone, settings) for row in asked]
    outcomes: dict[str, ChatReply | ChatFailure] = {}
    spent = Spent()
    for row, outcome in zip(asked, teacher.answer(requests), strict=True):
        spent.add(outcome)
        outcomes[row["response_id"]] = outcome
    made = []
    unparsed: Counter[str] = Counter()
    for row in rows:
        reply = outcomes.get(row["response_id"])
        why = unasked[row["response_id"]]
        score, reason = (None, why) if reply is None else _read_score(reply)
        if reason:
            unparsed[reason] += 1
        prompt = with_text if _find_text(row) else alone
        made.append(_make_row(row, reply or why, score, teacher.name, prompt, settings))
    frame = JUDGEMENTS.conform(pl.DataFrame(made, schema=JUDGEMENTS.schema))
    return Synthesis(frame, len(rows), {}, sort_counts(unparsed), spent)


def _find_unasked(judge: Teacher, row: Mapping[str, Any], settings: JudgementSettings) -> str:
    """Return why nobody is asked about a response, a key of `UNASKED`; an empty text where the judge is."""
    if is_cut(row):
        return CUT
    is_own = is_own_family(judge, row.get("teacher") or "", settings.families)
    return OWN_FAMILY if is_own and not settings.judges_own_family else ""


def _find_text(row: Mapping[str, Any]) -> str:
    """Return what an answer may rest on: the passage or input that is asked about, and evidence that is not in it."""
    context, evidence = row["context"] or "", row["evidence"] or ""
    if " ".join(evidence.split()) in " ".join(context.split()):
        return context
    return f"{context}\n\n{evidence}" if context else evidence


def _make_row(
    row: Mapping[str, Any],
    reply: ChatReply | ChatFailure | str,
    score: float | None,
    judge: str,
    prompt: Prompt,
    settings: JudgementSettings,
) -> dict[str, Any]:
    """Return the judgement of a response; in place of a reply, why nobody was asked about it."""
    sampling = _choose_sampling(row, settings)
    if isinstance(reply, str):
        status, said = reply, UNASKED[reply]
    else:
        status = "unparsed" if score is None else "ok"
        said = reply.text if isinstance(reply, ChatReply) else f"{reply.kind}: {reply.detail}"
    return {
        "judgement_id": make_id("judgement", row["response_id"], settings.criterion),
        "response_id": row["response_id"],
        "instruction_id": row["instruction_id"],
        "dump": row["dump"],
        "criterion": settings.criterion,
        "score": score,
        "judgement_status": status,
        "judgement": said,
        "teacher": judge,
        "prompt_version": prompt.version,
        "sampling": describe_sampling(sampling, () if isinstance(reply, str) else join_left_out((), reply)),
        "seed": sampling.seed,
        "attempts": 0 if isinstance(reply, str) else reply.attempts,
        "prompt_tokens": 0 if isinstance(reply, str) else reply.prompt_tokens,
        "completion_tokens": 0 if isinstance(reply, str) else reply.completion_tokens,
    }


def _choose_sampling(row: Mapping[str, Any], settings: JudgementSettings) -> Sampling:
    seed = make_seed(settings.seed, row["response_id"], settings.criterion)
    return Sampling(max_tokens=settings.max_tokens, seed=seed)


def _make_request(row: dict[str, Any], prompt: Prompt, settings: JudgementSettings) -> ChatRequest:
    text = {"evidence": shown} if (shown := _find_text(row)) else {}
    messages = prompt.render(instruction=row["instruction"], response=row["response"], **text)
    return ChatRequest(messages, _choose_sampling(row, settings), _SCHEMA)


def _read_score(outcome: ChatReply | ChatFailure) -> tuple[float | None, str]:
    """Return (score, "") or (None, reason). The teacher's reply satisfies the schema by contract."""
    if isinstance(outcome, ChatFailure):
        return None, f"teacher_{outcome.kind}"
    return float(json.loads(outcome.text)["score"]), ""
