"""Says which model of a pool answers which sample of an instruction, under which principle; joins what they said.

UltraFeedback (Cui et al. 2023, section 3.2): four different models of a pool of 17 answer each instruction, each answer
under one principle, a sentence of which the model is told first. Pairs of one model's samples teach its own habits;
those of several models differ in more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.drafts import Spent, Synthesis, sort_counts
from mmpipe.synthesis.ultrafeedback_prompts import draw_models, draw_principle
from mmpipe.tables.instructions import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.prompts import Prompt


@dataclass(frozen=True, slots=True)
class ResponseRoutes:
    """Who answers each sample, and under which principle: by keyed hash of the instruction's id alone.

    Attributes:
        pool: names of the models that may answer, as the recipe has them; none where one model answers all.
        principles: weight by principle (`ultrafeedback_prompts.PRINCIPLES`); none where answers are under none.
        samples: responses per instruction.
        seed: of the draws.
    """

    pool: tuple[str, ...] = ()
    principles: Mapping[str, float] = field(default_factory=dict)
    samples: int = 4
    seed: int = 0

    def list_authors(self, instruction_id: str) -> list[str]:
        """Return who answers each sample: different models as long as there are some, then the same in turn."""
        if not self.pool:
            return [""] * self.samples
        drawn = draw_models(instruction_id, self.pool, len(set(self.pool)), self.seed)
        return [drawn[place % len(drawn)] for place in range(self.samples)]

    def draw_principle(self, instruction_id: str, sample_index: int) -> tuple[str, str] | None:
        """Return the principle of one answer and its sentence; None where answers are under none."""
        if not self.principles:
            return None
        return draw_principle(instruction_id, str(sample_index), self.principles, self.seed)


def add_principle(prompt: Prompt, drawn: tuple[str, str] | None) -> Prompt:
    """Return a prompt whose model is told a principle first; without one, the prompt as it is.

    The examples go: they show answers that were written under no principle, and would be imitated.
    """
    if drawn is None:
        return prompt
    name, sentence = drawn
    return replace(prompt, name=f"{prompt.name}/{name}", system=f"{sentence} {prompt.system}".strip(), examples=())


def join_responses(parts: Sequence[Synthesis], instruction_ids: Sequence[str]) -> Synthesis:
    """Return what several models said as one synthesis, by the order of the instructions and their samples.

    Args:
        parts: rows of RESPONSES each; none stands in two.
        instruction_ids: in their order.
    """
    rejected, spent = Counter[str](), Spent()
    for part in parts:
        rejected.update(part.rejected)
        spent.join(part.spent)
    order = pl.DataFrame({"instruction_id": instruction_ids}, schema={"instruction_id": pl.String})
    rows = pl.concat([RESPONSES.make_empty(), *(part.frame for part in parts)])
    frame = order.join(
        rows.sort("sample_index", maintain_order=True), on="instruction_id", how="inner", maintain_order="left_right"
    )
    counts = sort_counts(rejected)
    return Synthesis(RESPONSES.conform(frame), sum(part.planned for part in parts), counts, counts, spent)
