"""RAFT rows: a question about one chunk, shown among distractors, answered step by step with verbatim quotes.

Zhang et al. 2024 (arXiv 2403.10131), section 3, and its released code: chunks of 512 tokens, 5 questions per chunk, 3
distractors; the chunk that answers (the oracle) is among the documents shown with probability p, else one more
distractor stands in its place. The answer reasons with quotes between `##begin_quote##` and `##end_quote##` and ends in
`<ANSWER>:`. The prompts are in our own words; question and answer pass the checks of `grounded_questions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.document_pieces import CountTokens, cut_pieces
from mmpipe.synthesis.drafts import Draft, Parent, Planned
from mmpipe.synthesis.grounded_questions import accept_grounded_question
from mmpipe.synthesis.grounding import list_words
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.raft_distractors import Chunk, DistractorPool
from mmpipe.synthesis.raft_questions import EXAMPLE, QUESTIONS, ask_questions
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.synthesis.raft_settings import RaftSettings
    from mmpipe.tables.chat import Teacher

METHOD = "raft"
BEGIN_QUOTE, END_QUOTE, ANSWER_MARK = "##begin_quote##", "##end_quote##", "<ANSWER>:"

#: Why an answer is refused, beside the teacher's failures and REASONS of `grounded_questions`.
ANSWER_REASONS = ("quote_unbalanced", "marker_in_answer", "quote_missing", "quote_not_verbatim")

ANSWERS = Prompt(
    "raft/answer",
    f"You answer a question from a text, in its language. First you reason, and quote every passage you rest on word "
    f"for word between {BEGIN_QUOTE} and {END_QUOTE}. Then you give the answer in one sentence that says no more than "
    f"the quotes.",
    "Text: {chunk}\n\nQuestion: {question}",
    (
        (
            {"chunk": EXAMPLE, "question": "When did the Harbour Museum open?"},
            {
                "reasoning": "The question asks for the year of the opening. The text says "
                f"{BEGIN_QUOTE}The Harbour Museum opened in 1931{END_QUOTE}, so the year is 1931.",
                "answer": "The Harbour Museum opened in 1931.",
            },
        ),
    ),
)

_ANSWER_SCHEMA = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "minLength": 1, "maxLength": 3000},
        "answer": {"type": "string", "minLength": 1, "maxLength": 600},
    },
    "required": ["reasoning", "answer"],
    "additionalProperties": False,
}
DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String(),
        "chunk_id": pl.String(),
        "oracle_doc_id": pl.String(),
        "is_oracle_shown": pl.Boolean(),
        "oracle_position": pl.Int64(),
        "distractor_ids": pl.List(pl.String),
        "quotes": pl.List(pl.String),
        "answer": pl.String(),
    }
)


def cut_chunks(documents: pl.DataFrame, settings: RaftSettings, count_tokens: CountTokens) -> list[Chunk]:
    """Return the chunks of documents (columns doc_id, text), at sentence borders, of at most `chunk_tokens` tokens."""
    chunks = []
    for doc_id, text in documents.select("doc_id", "text").iter_rows():
        pieces = cut_pieces(text, settings.chunk_tokens, count_tokens)
        chunks += [Chunk(make_id("chunk", doc_id, piece.position), doc_id, piece.text) for piece in pieces]
    return chunks


def make_raft_rows(
    documents: pl.DataFrame,
    teacher: Teacher,
    settings: RaftSettings,
    count_tokens: CountTokens,
    clusters: Mapping[str, str] | None = None,
) -> Judged:
    """Return RAFT rows: the context is the documents shown, the evidence the oracle chunk, the response the reasoning.

    Planned are `questions_per_chunk` rows for each chunk long enough.

    Args:
        documents: columns doc_id, dump, text; the distractors come from them too.
        teacher: who asks and answers.
        settings: how.
        count_tokens: tokens of each text.
        clusters: near-duplicate cluster by doc_id; documents of the oracle's cluster never distract.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    chunks = cut_chunks(documents, settings, count_tokens)
    pool = DistractorPool(chunks, clusters or {}, settings.near_duplicate, settings.seed)
    sizes = count_tokens([chunk.text for chunk in chunks])
    askable = [chunk for chunk, size in zip(chunks, sizes, strict=True) if size >= settings.least_chunk_tokens]
    dumps = dict(documents.select("doc_id", "dump").iter_rows())
    account = RowAccount()
    planned, shown_by_id, paid = [], {}, {}
    for question_id, chunk, question, cost in ask_questions(askable, teacher, settings, account):
        shown = choose_documents(question_id, chunk, pool, settings)
        if shown is None:
            account.refuse(question_id, question, "too_few_distractors", was_asked=False)
            continue
        shown_by_id[question_id], paid[question_id] = (chunk, shown), cost
        planned.append(_plan_answer(question_id, chunk, dumps[chunk.doc_id], question, shown, settings))
    account.ask_planned(
        planned, teacher, lambda plan, reply: accept_raft_answer(plan, reply, settings), attempts=settings.attempts
    )
    for row in account.rows:
        _charge(row, paid[row["instruction_id"]])
        account.details.append(_describe(row, *shown_by_id[row["instruction_id"]]))
    return account.close(DETAILS_SCHEMA)


@dataclass(frozen=True, slots=True)
class Shown:
    """The documents a question is shown with: texts in order, the oracle's place (None: absent), the distractors."""

    texts: tuple[str, ...]
    oracle_position: int | None
    distractors: tuple[Chunk, ...]


def choose_documents(question_id: str, oracle: Chunk, pool: DistractorPool, settings: RaftSettings) -> Shown | None:
    """Return what is shown with a question, by keyed hash of its id; None if too few chunks can distract.

    With probability p the oracle and its distractors, else one distractor more: as many documents either way.
    """
    has_oracle = _draw(question_id, "oracle", settings.seed) < settings.oracle_probability
    distractors = pool.choose(question_id, oracle, settings.distractors + int(not has_oracle))
    if distractors is None:
        return None
    shown = [oracle, *distractors] if has_oracle else list(distractors)
    shown.sort(key=lambda chunk: make_id("raft order", settings.seed, question_id, chunk.chunk_id))
    position = shown.index(oracle) if has_oracle else None
    return Shown(tuple(chunk.text for chunk in shown), position, tuple(distractors))


def _draw(question_id: str, what: str, seed: int) -> float:
    return int(make_id("raft", what, seed, question_id)[:13], 16) / 16**13


def _plan_answer(
    question_id: str, chunk: Chunk, dump: str, question: str, shown: Shown, settings: RaftSettings
) -> Planned:
    others = sorted({distractor.doc_id for distractor in shown.distractors})
    return Planned(
        instruction_id=question_id,
        dump=dump,
        method=METHOD,
        stage="instruction_tuning",
        mode="general_distillation.reasoning_steps",
        prompt_version=f"{QUESTIONS.version}+{ANSWERS.version}",
        messages=ANSWERS.render(chunk=chunk.text, question=question),
        schema=_ANSWER_SCHEMA,
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
        retry_temperature=settings.retry_temperature,
        evidence=chunk.text,
        context="\n".join(f"<DOCUMENT>{text}</DOCUMENT>" for text in shown.texts),
        instruction=question,
        parents=tuple(Parent("deduped_corpus", doc_id) for doc_id in (chunk.doc_id, *others)),
    )


def list_quotes(text: str) -> list[str] | None:
    """Return the quotes of `text` in order; None if a mark has no partner."""
    parts = re.split(f"({re.escape(BEGIN_QUOTE)}|{re.escape(END_QUOTE)})", text)
    marks = parts[1::2]
    if marks != [BEGIN_QUOTE, END_QUOTE] * (len(marks) // 2):
        return None
    return [quote.strip() for quote in parts[2::4]]


def accept_raft_answer(planned: Planned, reply: Mapping[str, Any], settings: RaftSettings) -> Draft | Refusal | str:
    """Return question and reasoned answer, or one of ANSWER_REASONS or of `grounded_questions.REASONS`.

    Every quote must stand in the oracle word for word; white space alone may differ.
    """
    reasoning, answer = reply["reasoning"].strip(), reply["answer"].strip()
    question = planned.instruction or ""
    quotes = list_quotes(reasoning)
    if quotes is None:
        return "quote_unbalanced"
    if any(mark in answer for mark in (BEGIN_QUOTE, END_QUOTE, ANSWER_MARK)) or ANSWER_MARK in reasoning:
        return "marker_in_answer"
    if not quotes or any(len(list_words(quote)) < settings.quote_words for quote in quotes):
        shortest = min(quotes, key=lambda quote: len(list_words(quote)), default="")
        words = len(list_words(shortest))
        return Refusal(
            reason="quote_missing", measure="quote_words", value=words, low=settings.quote_words, found=shortest
        )
    oracle = " ".join(planned.evidence.split())
    invented = next((quote for quote in quotes if " ".join(quote.split()) not in oracle), None)
    if invented is not None:
        return Refusal(reason="quote_not_verbatim", found=invented)
    # the answer rests on the quotes as a grounded answer does on its sentence
    rested = replace(planned, evidence=" ".join(quotes), context=planned.evidence)
    draft = accept_grounded_question(rested, {"question": question, "answer": answer}, settings.questions)
    return draft if isinstance(draft, Refusal) else Draft(question, f"{reasoning}\n{ANSWER_MARK} {answer}")


def _charge(row: dict[str, Any], cost: Paid) -> None:
    """Add to a row what its question cost."""
    row["attempts"] += cost.attempts
    row["prompt_tokens"] += cost.prompt_tokens
    row["completion_tokens"] += cost.completion_tokens


def _describe(row: Mapping[str, Any], chunk: Chunk, shown: Shown) -> dict[str, Any]:
    return {
        "instruction_id": row["instruction_id"],
        "chunk_id": chunk.chunk_id,
        "oracle_doc_id": chunk.doc_id,
        "is_oracle_shown": shown.oracle_position is not None,
        "oracle_position": shown.oracle_position,
        "distractor_ids": [distractor.chunk_id for distractor in shown.distractors],
        "quotes": list_quotes(row["response"]),
        "answer": row["response"].rsplit(ANSWER_MARK, 1)[1].strip(),
    }
