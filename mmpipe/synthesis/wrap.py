"""WRAP: a model rephrases web documents in four styles, piece by piece, for pretraining beside the real ones.

Maini et al. 2024 (arXiv 2401.16380), section 3: styles easy, medium (as in an encyclopaedia), hard (terse, scholarly)
and question-answer; inputs of at most 300 tokens, since longer ones lose information; real and synthetic mixed 1 : 1
(`wrap_mixing`). The prompts are in our own words; the guards are ours.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.document_pieces import CountTokens, Piece, cut_pieces
from mmpipe.synthesis.drafts import Spent, Synthesis, describe_sampling, make_seed, sort_counts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import CANDIDATES_SCHEMA, Paid
from mmpipe.synthesis.wrap_guards import Asked, Fault, Read, describe_fault, read_reply
from mmpipe.synthesis.wrap_settings import Style, WrapSettings
from mmpipe.tables.chat import ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.wrap_guards import IdentifyLanguages
    from mmpipe.tables.chat import Teacher

METHOD = "wrap"

#: The status of a document of which every piece was written again.
OK = "ok"
#: The status of a document without words: nobody is asked.
EMPTY = "empty_document"
#: Characters of a refused reply that are kept.
TEXT_CHARS = 20_000

_KEEP = (
    "You keep every fact and number and add none. You write in the language of the text, and nothing but the result."
)

PROMPTS: dict[Style, Prompt] = {
    "easy": Prompt(
        "wrap/easy",
        f"You say a text again for a small child: very short sentences, only the simplest words. {_KEEP}",
        "Text:\n{piece}",
    ),
    "medium": Prompt(
        "wrap/medium",
        f"You say a text again in clear, correct, well-ordered prose, as an encyclopaedia would. {_KEEP}",
        "Text:\n{piece}",
    ),
    "hard": Prompt(
        "wrap/hard",
        f"You say a text again as scholars write for scholars: terse, precise, in rare and technical words. {_KEEP}",
        "Text:\n{piece}",
    ),
    "question_answer": Prompt(
        "wrap/question_answer",
        'You turn a text into questions and answers: each question on a line that begins with "Question:", its answer '
        f'on the next, which begins with "Answer:". {_KEEP}',
        "Text:\n{piece}",
        (
            (
                {"piece": "The old mill of Orrin burned down in 1902. Two years later a school was built there."},
                (
                    "Question: When did the old mill of Orrin burn down?\nAnswer: It burned down in 1902.\n"
                    "Question: What was built in its place?\nAnswer: Two years later a school was built there."
                ),
            ),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Rephrased:
    """Rephrased documents with their account, and what was refused.

    Attributes:
        synthesis: rows of REPHRASED_DOCUMENTS; planned = rows + sum of `rejected`; `rejected_replies` counts refused
            replies of pieces.
        candidates: one row per refused document: id, text, reason.
        tried: every document and style, accepted or not: rows of REPHRASED_CANDIDATES, as many as were planned.
    """

    synthesis: Synthesis
    candidates: pl.DataFrame
    tried: pl.DataFrame


@dataclass(slots=True)
class _Piece:
    """One piece on its way: what was written of it, and what its last reply failed."""

    asked: Asked
    source: Piece
    last: Read = field(default_factory=lambda: Read(""))


@dataclass(slots=True)
class _Job:
    """One document in one style."""

    row: dict[str, Any]
    style: Style
    pieces: list[_Piece]
    paid: Paid

    @property
    def failed(self) -> list[tuple[int, _Piece]]:
        """Pieces that nobody wrote again, with their number from 1."""
        return [(number, piece) for number, piece in enumerate(self.pieces, 1) if piece.last.faults]


def choose_styles(doc_id: str, settings: WrapSettings) -> list[Style]:
    """Return the styles a document is written in: by hash of its id, whatever other documents there are."""
    ranked = sorted(dict.fromkeys(settings.styles), key=lambda style: make_id("wrap", settings.seed, doc_id, style))
    return ranked[: settings.styles_per_document]


def rephrase_documents(
    documents: pl.DataFrame,
    teacher: Teacher,
    settings: WrapSettings,
    count_tokens: CountTokens,
    identify: IdentifyLanguages | None = None,
) -> Rephrased:
    """Return every document rephrased, pieces joined in their order with the white space that stood between them.

    A document of which one piece fails is refused whole: half of one would be a text nobody wrote.

    Args:
        documents: columns doc_id, dump, language, text.
        teacher: who rephrases.
        settings: how.
        count_tokens: tokens of each text, by the teacher's tokenizer or a close one.
        identify: languages of pieces and replies; without it only another script is refused.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    jobs: list[_Job] = []
    for row in documents.select("doc_id", "dump", "language", "text").rows(named=True):
        pieces = cut_pieces(row["text"], settings.piece_tokens, count_tokens)
        languages = _identify([piece.text for piece in pieces], identify)
        for style in choose_styles(row["doc_id"], settings):
            asked = [
                _Piece(Asked(piece.text, style, row["language"] or "", language), piece)
                for piece, language in zip(pieces, languages, strict=True)
            ]
            jobs.append(_Job(row, style, asked, Paid()))
    spent, refused = Spent(), Counter[str]()
    still_open = [(job, piece) for job in jobs for piece in job.pieces]
    for attempt in range(settings.attempts):
        requests = [_make_request(job, piece, attempt, settings) for job, piece in still_open]
        outcomes = list(teacher.answer(requests))
        said = [outcome.text if isinstance(outcome, ChatReply) else "" for outcome in outcomes]
        languages = _identify(said, identify)
        for (job, piece), outcome, language in zip(still_open, outcomes, languages, strict=True):
            spent.add(outcome)
            job.paid.add(outcome)
            piece.last = read_reply(piece.asked, outcome, settings, language)
            if piece.last.faults:
                refused[piece.last.faults[0].rule] += 1
        still_open = [(job, piece) for job, piece in still_open if piece.last.faults]
        if not still_open:
            break
    return _close(jobs, teacher.name, settings, spent, refused)


def _identify(texts: Sequence[str], identify: IdentifyLanguages | None) -> Sequence[tuple[str, float] | None]:
    return [None] * len(texts) if identify is None else identify(texts)


def _make_request(job: _Job, piece: _Piece, attempt: int, settings: WrapSettings) -> ChatRequest:
    seed = make_seed(settings.seed, METHOD, job.row["doc_id"], job.style, piece.source.position, attempt)
    temperature = max(settings.temperature, settings.retry_temperature) if attempt else settings.temperature
    sampling = Sampling(temperature, settings.top_p, settings.max_tokens, seed)
    return ChatRequest(PROMPTS[job.style].render(piece=piece.asked.piece), sampling, sample_index=attempt)


def _join(job: _Job) -> str:
    written = [piece.last.text for piece in job.pieces]
    if job.style == "question_answer":
        return "\n\n".join(written)
    # the document's own white space, but for what stands around it
    joined = "".join(
        f"{piece.source.before}{text}{piece.source.after}" for piece, text in zip(job.pieces, written, strict=True)
    )
    return joined.strip()


def _describe(job: _Job, teacher: str, settings: WrapSettings) -> dict[str, Any]:
    """Return a document in a style as a row of REPHRASED_CANDIDATES."""
    seed = make_seed(settings.seed, METHOD, job.row["doc_id"], job.style, 0, 0)
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
    failed = job.failed
    faults = [describe_fault(fault, number) for number, piece in failed for fault in piece.last.faults]
    if not job.pieces:
        faults = [describe_fault(Fault(rule=EMPTY), 0)]
    return {
        "rephrased_id": make_id(METHOD, job.row["doc_id"], job.style),
        "doc_id": job.row["doc_id"],
        "dump": job.row["dump"],
        "language": job.row["language"],
        "style": job.style,
        "candidate_status": faults[0]["rule"] if faults else OK,
        "text": failed[0][1].last.text[:TEXT_CHARS] if failed else _join(job),
        "failed_pieces": len(failed),
        "faults": faults,
        "pieces": len(job.pieces),
        "method": METHOD,
        "stage": "pretraining",
        "mode": "general_distillation.controllable",
        "parents": [{"table": "deduped_corpus", "id": job.row["doc_id"]}],
        "teacher": teacher,
        "prompt_version": PROMPTS[job.style].version,
        "sampling": describe_sampling(sampling, job.paid.left_out),
        "seed": seed,
        "attempts": job.paid.attempts,
        "prompt_tokens": job.paid.prompt_tokens,
        "completion_tokens": job.paid.completion_tokens,
    }


def _close(jobs: list[_Job], teacher: str, settings: WrapSettings, spent: Spent, refused: Counter[str]) -> Rephrased:
    rows = [_describe(job, teacher, settings) for job in jobs]
    tried = REPHRASED_CANDIDATES.conform(pl.DataFrame(rows, schema=REPHRASED_CANDIDATES.schema))
    is_ok = pl.col("candidate_status") == OK
    frame = REPHRASED_DOCUMENTS.conform(tried.filter(is_ok).select(REPHRASED_DOCUMENTS.column_names))
    fallen = tried.filter(~is_ok).select(id="rephrased_id", text="text", reason="candidate_status")
    fallen = fallen.with_columns(details=pl.lit(None, pl.String)).cast(CANDIDATES_SCHEMA)
    rejected = sort_counts(Counter(fallen.get_column("reason")))
    return Rephrased(Synthesis(frame, len(jobs), rejected, sort_counts(refused), spent, fallen), fallen, tried)
