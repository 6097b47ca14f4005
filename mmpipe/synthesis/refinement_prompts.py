"""The words a model criticises and revises its own answers by (Self-Refine, Madaan et al. 2023, section 2); our own."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CRITIQUE = Prompt(
    "self_refinement/critique",
    "You read your own answer as a stern editor. You name what is wrong, missing or unclear, each with what to do "
    "about it. If nothing needs to change, you say that it is done.",
    "Question: {question}\n\nAnswer:\n{answer}",
    (
        (
            {"question": "Why is the sky dark at night?", "answer": "Because of the moon."},
            {
                "critique": "The moon is not the cause. Say that the Earth has turned away from the sun.",
                "is_done": False,
            },
        ),
        (
            {"question": "Which is the longest river of Europe?", "answer": "The Volga, with about 3,500 km."},
            {"critique": "Right and complete.", "is_done": True},
        ),
    ),
)
REVISION = Prompt(
    "self_refinement/revision",
    "You revise your answer by the critique: you mend what it names and leave the rest. Earlier answers, each with its "
    "critique, show what was mended already. You reply with the whole new answer and nothing else.",
    "Question: {question}\n\n{earlier}Answer:\n{answer}\n\nCritique:\n{critique}",
)

CRITIQUE_SCHEMA = {
    "type": "object",
    "properties": {"critique": {"type": "string", "maxLength": 1200}, "is_done": {"type": "boolean"}},
    "required": ["critique", "is_done"],
    "additionalProperties": False,
}


def tell_earlier(revisions: Sequence[Mapping[str, Any]]) -> str:
    """Return the answers before the last, each with its critique: the history that the paper shows (its equation 4).

    Args:
        revisions: of one answer, by round: `answer`, and the `critique` that led to it.
    """
    return "".join(
        f"Earlier answer:\n{before['answer']}\n\nIts critique:\n{after['critique']}\n\n"
        for before, after in pairwise(revisions)
    )
