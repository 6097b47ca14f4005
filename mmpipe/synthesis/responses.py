"""Several sampled responses to each kept instruction, the raw material of preferences (InstructGPT, section 3.4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Spent, Synthesis, describe_sampling, join_left_out, make_seed, sort_counts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.response_routes import ResponseRoutes, add_principle
from mmpipe.synthesis.talks import list_later_turns
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import RESPONSES
from mmpipe.tables.teacher_families import find_family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.tables.chat import Teacher

#: A text-only teacher answers image instructions from the caption, as when they were written.
PROMPT = Prompt(
    "responses/plain",
    "You answer the question in one or two sentences. You use only what the given text says.",
    "Text: {evidence}\n\nQuestion: {instruction}",
    (
        (
            {
                "evidence": "The Harbour Museum opened in 1931 in a rope factory. Its largest room holds a whale.",
                "instruction": "When did the Harbour Museum open?",
            },
            "The Harbour Museum opened in 1931.",
        ),
        (
            {"evidence": "A brown dog asleep on a red sofa", "instruction": "Describe this image in one sentence."},
            "A brown dog is asleep on a red sofa.",
        ),
        (
            {
                "evidence": "Bees cannot see red. Many flowers carry ultraviolet marks that lead a bee to the nectar.",
                "instruction": "How do flowers lead bees to the nectar?",
            },
            "Many flowers carry ultraviolet marks that lead bees to the nectar.",
        ),
    ),
)

#: An instruction that rests on no text is answered as it stands (InstructGPT, section 3.4).
ALONE = Prompt("responses/alone", "You do what the user asks, rightly and in full.", "{instruction}")

#: The same under a principle, which says what kind of answer is wanted (`response_routes.add_principle`).
PRINCIPLED = Prompt("responses/plain", "You use only what the given text says.", PROMPT.user)
PRINCIPLED_ALONE = Prompt("responses/alone", "", ALONE.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSettings:
    """How responses are sampled.

    Attributes:
        samples: responses per instruction.
        temperature: above 0, or all samples are alike.
        top_p: nucleus.
        max_tokens: of one response; a longer one is cut and marked `length`.
        seed: seed of the requests.
        instructions: most instructions answered, chosen by hash; None for all.
        pool: names of several models that answer; see `response_routes.ResponseRoutes`.
        principles: weight of each principle that answers are written under; none for answers under none.
        families: those that names do not tell, see `tables.teacher_families.find_family`.
    """

    samples: int = 4
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 256
    seed: int = 0
    instructions: int | None = None
    pool: tuple[str, ...] = ()
    principles: Mapping[str, float] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)

    @property
    def routes(self) -> ResponseRoutes:
        """Who answers which sample, under which principle."""
        return ResponseRoutes(self.pool, self.principles, self.samples, self.seed)


def sample_responses(
    instructions: pl.DataFrame, teacher: Teacher, settings: ResponseSettings, author: str = ""
) -> Synthesis:
    """Return `samples` responses per instruction, in the order of the instructions; empty replies are no rows.

    Who answers sees what the prompt of the pair will show, and of a picture its evidence. Evidence of other rows may be
    the answer itself (Case2Code's is the function), and is not shown.

    Args:
        instructions: columns instruction_id, dump, instruction, context, evidence; `images` where some are about
            pictures, which all are taken to be without it; `turns` where there are talks: their last question is
            answered (kept synthesized_instructions).
        teacher: who answers.
        settings: how.
        author: where a pool of models answers, the teacher's name in it: the other samples are not asked for.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    routes, family = settings.routes, find_family(teacher, settings.families)
    columns = ["instruction_id", "dump", "instruction", "context", "evidence"]
    further = [name for name in ("turns", "images") if name in instructions.columns]
    rows = instructions.select(*columns, *further).rows(named=True)
    if settings.instructions is not None:
        ranked = sorted(rows, key=lambda row: make_id("responses", settings.seed, row["instruction_id"]))
        ids = {row["instruction_id"] for row in ranked[: settings.instructions]}
        rows = [row for row in rows if row["instruction_id"] in ids]
    asked = [
        (row, sample_index)
        for row in rows
        for sample_index, name in enumerate(routes.list_authors(row["instruction_id"]))
        if name == author
    ]
    requests, told = [], []
    for row, sample_index in asked:
        seed = make_seed(settings.seed, row["instruction_id"], "response", sample_index)
        shown = find_shown(row)
        drawn = routes.draw_principle(row["instruction_id"], sample_index)
        prompt = add_principle(choose_prompt(is_shown=bool(shown), is_principled=drawn is not None), drawn)
        told.append((prompt.version, drawn[0] if drawn else None))
        fields = {"evidence": shown} if shown else {}
        messages = (*prompt.render(instruction=row["instruction"], **fields), *list_later_turns(row))
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
        requests.append(ChatRequest(messages, sampling, sample_index=sample_index))
    made, spent = [], Spent()
    rejected: Counter[str] = Counter()
    outcomes = teacher.answer(requests) if requests else ()
    for (row, sample_index), request, (version, principle), outcome in zip(
        asked, requests, told, outcomes, strict=True
    ):
        spent.add(outcome)
        if isinstance(outcome, ChatFailure):
            rejected[f"teacher_{outcome.kind}"] += 1
            continue
        if not outcome.text.strip():
            rejected["empty_response"] += 1
            continue
        made.append(
            {
                "response_id": make_id("response", row["instruction_id"], sample_index),
                "instruction_id": row["instruction_id"],
                "dump": row["dump"],
                "sample_index": sample_index,
                "response": outcome.text.strip(),
                "finish_reason": outcome.finish_reason,
                "principle": principle,
                "family": family,
                "teacher": teacher.name,
                "prompt_version": version,
                "sampling": describe_sampling(request.sampling, join_left_out((), outcome)),
                "seed": request.sampling.seed,
                "attempts": outcome.attempts,
                "prompt_tokens": outcome.prompt_tokens,
                "completion_tokens": outcome.completion_tokens,
            }
        )
    counts = sort_counts(rejected)
    frame = RESPONSES.conform(pl.DataFrame(made, schema=RESPONSES.schema))
    return Synthesis(frame, len(requests), counts, counts, spent)


def choose_prompt(*, is_shown: bool, is_principled: bool) -> Prompt:
    """Return the prompt of an instruction with a text or alone, and without a principle or under one."""
    if is_principled:
        return PRINCIPLED if is_shown else PRINCIPLED_ALONE
    return PROMPT if is_shown else ALONE


def find_shown(row: Mapping[str, Any]) -> str:
    """Return the text that is shown with an instruction: its passage, or what is known of its picture; else none."""
    is_of_picture = bool(row.get("images", True))
    return row["context"] or (row["evidence"] if is_of_picture else "") or ""
