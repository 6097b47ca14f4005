"""Several sampled responses to each kept instruction, the raw material of preferences (InstructGPT, section 3.4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Spent, Synthesis, describe_sampling, join_left_out, make_seed, sort_counts
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.talks import list_later_turns
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import RESPONSES

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
    """

    samples: int = 4
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 256
    seed: int = 0
    instructions: int | None = None


def sample_responses(instructions: pl.DataFrame, teacher: Teacher, settings: ResponseSettings) -> Synthesis:
    """Return `samples` responses per instruction, in the order of the instructions; empty replies are no rows.

    Who answers sees what the prompt of the pair will show, and of a picture its evidence. Evidence of other rows may be
    the answer itself (Case2Code's is the function), and is not shown.

    Args:
        instructions: columns instruction_id, dump, instruction, context, evidence; `images` where some are about
            pictures, which all are taken to be without it; `turns` where there are talks: their last question is
            answered (kept synthesized_instructions).
        teacher: who answers.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    columns = ["instruction_id", "dump", "instruction", "context", "evidence"]
    further = [name for name in ("turns", "images") if name in instructions.columns]
    rows = instructions.select(*columns, *further).rows(named=True)
    if settings.instructions is not None:
        ranked = sorted(rows, key=lambda row: make_id("responses", settings.seed, row["instruction_id"]))
        ids = {row["instruction_id"] for row in ranked[: settings.instructions]}
        rows = [row for row in rows if row["instruction_id"] in ids]
    asked = [(row, sample_index) for row in rows for sample_index in range(settings.samples)]
    requests = []
    for row, sample_index in asked:
        seed = make_seed(settings.seed, row["instruction_id"], "response", sample_index)
        shown = find_shown(row)
        prompt = PROMPT if shown else ALONE
        fields = {"evidence": shown} if shown else {}
        messages = (*prompt.render(instruction=row["instruction"], **fields), *list_later_turns(row))
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)
        requests.append(ChatRequest(messages, sampling, sample_index=sample_index))
    made, spent = [], Spent()
    rejected: Counter[str] = Counter()
    for (row, sample_index), request, outcome in zip(asked, requests, teacher.answer(requests), strict=True):
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
                "teacher": teacher.name,
                "prompt_version": (PROMPT if find_shown(row) else ALONE).version,
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


def find_shown(row: Mapping[str, Any]) -> str:
    """Return the text that is shown with an instruction: its passage, or what is known of its picture; else none."""
    is_of_picture = bool(row.get("images", True))
    return row["context"] or (row["evidence"] if is_of_picture else "") or ""
