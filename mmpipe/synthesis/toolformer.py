"""Toolformer: calls of tools are put into a text where their results make what follows less surprising to a model.

Schick et al. 2023, "Toolformer: Language Models Can Teach Themselves to Use Tools" (arXiv 2302.04761, section 2):
places are those where the model gives the token that opens a call a probability above τs, at most k; m calls are
sampled for each and run; a call stays if it and its result, put before the text, lower the weighted loss of the tokens
after its place by τf or more against the better of no call and the call without its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.call_losses import (
    ARROW,
    CLOSE,
    OPEN,
    Losses,
    choose_places,
    make_weights,
    measure_losses,
    render_call,
)
from mmpipe.synthesis.drafts import Parent, make_seed
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row, read_text
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from mmpipe.synthesis.call_losses import TokenScorer
    from mmpipe.synthesis.text_tools import TextTool
    from mmpipe.tables.chat import Teacher

METHOD = "toolformer"

#: Why a document gets no row: no place is likely enough, no call can be read, none has a result, none helps enough.
REASONS = ("no_place", "no_call", "no_result", "no_help", "over_rows_per_tool")

PROMPT = Prompt(
    "toolformer/calls",
    "You put calls of a tool into a text, where its result tells what comes next. You are given the tool, the text up "
    "to the place of the call, and how the text goes on. You write the call alone, on one line.",
    "Tool {name}: {description}. Example: {example}\n\nText: {before} <call>{after}",
    (
        (
            {
                "name": "Calculator",
                "description": "computes + - * / with brackets",
                "example": "Calculator(400 / 1400)",
                "before": "The hall has 12 rows of 30 seats, that is",
                "after": " 360 in all.",
            },
            "Calculator(12 * 30)",
        ),
    ),
)

_CALL = pl.Struct(
    {
        "place": pl.Int64,
        "argument": pl.String,
        "result": pl.String,
        "loss_with_result": pl.Float64,
        "loss_without_result": pl.Float64,
        "loss_without_call": pl.Float64,
    }
)

DETAILS_SCHEMA = pl.Schema(
    {"instruction_id": pl.String(), "doc_id": pl.String(), "tool": pl.String(), "calls": pl.List(_CALL)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolformerSettings:
    """What is tried and what stays; numbers are those of section 4.1.

    Attributes:
        places: most places of a text (k = 5; 20 for calculator and translation).
        call_probability: smallest probability of the opening token (τs = 0.05; 0 for calculator and translation).
        calls_per_place: calls sampled for a place (m = 5; 10 for calculator and translation).
        loss_gain: smallest fall of the loss (τf = 1.0; 0.5 for calculator and translation).
        weight_step: by how much the weight of a token falls with each token of distance (0.2).
        rows_per_tool: most rows, chosen by hash (25,000).
        temperature: of the teacher who writes calls.
        top_p: nucleus.
        max_tokens: of a call.
        shown_after: characters after the place that the teacher sees (ours; the paper's model sees none).
        seed: of the requests and the choice.
    """

    places: int = 5
    call_probability: float = 0.05
    calls_per_place: int = 5
    loss_gain: float = 1.0
    weight_step: float = 0.2
    rows_per_tool: int = 25_000
    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 48
    shown_after: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.weight_step <= 1:
            raise ConfigurationError(f"toolformer.weight_step is above 0 and at most 1, not {self.weight_step}.")


#: Section 4.1: for the tools that few texts call for, calculator and translation, more is tried.
CALCULATOR_SETTINGS = ToolformerSettings(places=20, call_probability=0.0, calls_per_place=10, loss_gain=0.5)


@dataclass(frozen=True, slots=True)
class _Call:
    place: int
    argument: str
    result: str


@dataclass(slots=True)
class _Document:
    row: Mapping[str, Any]
    pieces: list[str]
    places: list[int]
    paid: Paid
    calls: list[_Call]
    reason: str = ""


def read_call(text: str, name: str) -> str | None:
    """Return the argument of a call of a tool that a teacher wrote; None if the text is no such call alone."""
    line = text.strip().removeprefix(OPEN).removesuffix(CLOSE).strip().strip("`")
    if not line.startswith(f"{name}(") or not line.endswith(")") or "\n" in line:
        return None
    argument = line[len(name) + 1 : -1].strip()
    return None if any(mark in argument for mark in (OPEN, CLOSE, ARROW)) else argument


def make_toolformer_rows(
    documents: pl.DataFrame, tool: TextTool, teacher: Teacher, scorer: TokenScorer, settings: ToolformerSettings
) -> Judged:
    """Return a row per document in which a call helps; details hold each call's place and losses.

    A place gets the call of the greatest gain (ties: the first by argument), if that is `loss_gain` or more. The row's
    response is the text with calls and results; its context is the text as it was.

    Args:
        documents: columns doc_id, dump, text, and those the tool reads (`date` for the calendar).
        tool: which tool.
        teacher: who writes calls; the paper has the scorer's own model write them.
        scorer: the language model whose losses decide.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    account = RowAccount()
    work = [_open_document(row, tool, scorer, settings) for row in documents.rows(named=True)]
    _ask_calls(work, account, tool, teacher, settings)
    made = []
    for document in work:
        number = make_id(METHOD, tool.name, document.row["doc_id"])
        kept = _keep_calls(document, tool.name, scorer, settings)
        if kept:
            made.append((number, document, kept))
        else:
            reason = "no_help" if document.calls else document.reason
            account.refuse(number, document.row["text"], reason)
    ranked = sorted(made, key=lambda item: make_id(METHOD, settings.seed, item[0]))
    chosen = {number for number, _, _ in ranked[: settings.rows_per_tool]}
    for number, document, kept in made:
        if number in chosen:
            _add_row(account, number, document, kept, tool, teacher.name, settings)
        else:
            account.refuse(number, document.row["text"], "over_rows_per_tool")
    return account.close(DETAILS_SCHEMA)


def _open_document(
    row: Mapping[str, Any], tool: TextTool, scorer: TokenScorer, settings: ToolformerSettings
) -> _Document:
    pieces = scorer.split(row["text"])
    places = choose_places(
        pieces,
        scorer,
        most=settings.places,
        call_probability=settings.call_probability,
        prompt=f"{tool.description}: {OPEN}{tool.example}{CLOSE}\n",
    )
    return _Document(row, pieces, places, Paid(), [], "no_call" if places else "no_place")


def _ask_calls(
    work: Sequence[_Document], account: RowAccount, tool: TextTool, teacher: Teacher, settings: ToolformerSettings
) -> None:
    """Have calls written and run; each document learns its calls, or how far it came."""
    asked = [
        (document, place, sample)
        for document in work
        for place in document.places
        for sample in range(settings.calls_per_place)
    ]
    requests = [_make_request(document, place, sample, tool, settings) for document, place, sample in asked]
    read: list[tuple[_Document, int, str]] = []
    for (document, place, _), outcome in zip(asked, account.ask(teacher, requests), strict=True):
        document.paid.add(outcome)
        text, reason = read_text(outcome)
        argument = None if reason else read_call(text, tool.name)
        if argument is None:
            account.refuse_reply(reason or "no_call")
            if reason and document.reason == "no_call":
                document.reason = reason
            continue
        read.append((document, place, argument))
    results = tool.run_calls([(argument, document.row) for document, _, argument in read])
    for (document, place, argument), result in zip(read, results, strict=True):
        if result is None or any(mark in result for mark in (OPEN, CLOSE, ARROW)):
            account.refuse_reply("no_result")
            document.reason = "no_result"
            continue
        call = _Call(place, argument, result)
        if call not in document.calls:
            document.calls.append(call)


def _make_request(
    document: _Document, place: int, sample: int, tool: TextTool, settings: ToolformerSettings
) -> ChatRequest:
    seed = make_seed(settings.seed, METHOD, tool.name, document.row["doc_id"], place, sample)
    messages = PROMPT.render(
        name=tool.name,
        description=tool.description,
        example=tool.example,
        before="".join(document.pieces[:place]),
        after="".join(document.pieces[place:])[: settings.shown_after],
    )
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed, stop=("\n",))
    return ChatRequest(messages, sampling, sample_index=sample)


def _keep_calls(
    document: _Document, name: str, scorer: TokenScorer, settings: ToolformerSettings
) -> list[tuple[_Call, Losses]]:
    """Return the best call of each place that helps enough, by place.

    One call at two places that weigh some of the same tokens helps once: it stays where it helps most (ours).
    """
    listed = [(call.place, call.argument, call.result) for call in document.calls]
    measured = measure_losses(document.pieces, listed, name, scorer, settings.weight_step)
    reach = len(make_weights(settings.weight_step))
    best: dict[int, tuple[_Call, Losses]] = {}
    ranked = sorted(zip(document.calls, measured, strict=True), key=lambda item: (-item[1].gain, item[0].argument))
    for call, losses in ranked:
        is_near = any(
            abs(place - call.place) < reach and (other.argument, other.result) == (call.argument, call.result)
            for place, (other, _) in best.items()
        )
        if losses.gain >= settings.loss_gain and not is_near:
            best.setdefault(call.place, (call, losses))
    return [best[place] for place in sorted(best)]


def _add_row(
    account: RowAccount,
    number: str,
    document: _Document,
    kept: Sequence[tuple[_Call, Losses]],
    tool: TextTool,
    teacher: str,
    settings: ToolformerSettings,
) -> None:
    text = document.row["text"]
    account.rows.append(
        make_instruction_row(
            instruction_id=number,
            dump=document.row["dump"],
            method=METHOD,
            stage="finetuning",
            mode="model_self_improvement",
            instruction=f"Write the text with calls of {tool.name} ({tool.description}) where results help.",
            response=insert_calls(document.pieces, [call for call, _ in kept], tool.name),
            parents=(Parent("deduped_corpus", document.row["doc_id"]),),
            teacher=teacher,
            prompt_version=PROMPT.version,
            sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed, stop=("\n",)),
            paid=document.paid,
            evidence=text,
            context=text,
        )
    )
    calls = [
        {
            "place": call.place,
            "argument": call.argument,
            "result": call.result,
            "loss_with_result": losses.with_result,
            "loss_without_result": losses.without_result,
            "loss_without_call": losses.without_call,
        }
        for call, losses in kept
    ]
    account.details.append(
        {"instruction_id": number, "doc_id": document.row["doc_id"], "tool": tool.name, "calls": calls}
    )


def insert_calls(pieces: Sequence[str], calls: Sequence[_Call], name: str) -> str:
    """Return the text with each call before the token of its place, parted by the white space that was there."""
    at = {call.place: call for call in calls}
    parts = []
    for place, piece in enumerate(pieces):
        call = at.get(place)
        if call is None:
            parts.append(piece)
            continue
        words = piece.lstrip()
        space = piece[: len(piece) - len(words)]
        parts.append(f"{space}{render_call(name, call.argument, call.result)}{space or ' '}{words}")
    return "".join(parts)
