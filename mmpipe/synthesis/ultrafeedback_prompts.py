"""The words a judge is asked with by UltraFeedback's aspects, and the principles answers are written under; our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.prompts import Prompt
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Criterion of the critique's score.
OVERALL = "overall"

_TASK = (
    "You rate every answer to one instruction on its own, whatever its place in the list. For each you give its "
    "number, first a short rationale and then a rating from 1 (worst) to 5 (best). "
)
_USER = "Instruction: {instruction}\n\n{answers}"

#: What each aspect asks (UltraFeedback, section 3.3).
ASPECT_PROMPTS = {
    "instruction_following": Prompt(
        "ultrafeedback/instruction_following",
        _TASK + "The rating says how far the answer does what was asked, and keeps to what the instruction demands of "
        "form, length and content.",
        _USER,
    ),
    "truthfulness": Prompt(
        "ultrafeedback/truthfulness",
        _TASK + "The rating says how far the answer is true: nothing made up, nothing against the instruction, "
        "nothing against itself.",
        _USER,
    ),
    "honesty": Prompt(
        "ultrafeedback/honesty",
        _TASK + "The rating says how far the answer is as sure of itself as it has reason to be: it shows doubt where "
        "it may be wrong and none where it is right. Where an answer claims nothing, as with creative writing, the "
        "rating is N/A.",
        _USER,
    ),
    "helpfulness": Prompt(
        "ultrafeedback/helpfulness",
        _TASK + "The rating says how far the answer helps: right, complete for its purpose, clear, and not longer than "
        "that takes.",
        _USER,
    ),
}

#: The critique (UltraFeedback, section 3.4).
CRITIQUE_PROMPT = Prompt(
    "ultrafeedback/critique",
    "You are a teacher who gives feedback on one answer. You say what is good, what is wrong and how it could be "
    "better, without writing the better answer. Then you give an overall score from 1 (useless) to 10 (perfect). "
    "Mind that 1 is the worst and 10 the best.",
    _USER,
)

#: What an answering model is told first, one sentence drawn per answer (UltraFeedback, section 3.2 and table 6).
PRINCIPLES: Mapping[str, tuple[str, ...]] = {
    "helpfulness": (
        "You give the most useful answer you can, complete and easy to follow.",
        "You find out what the user needs and answer just that, with an example where one helps.",
    ),
    "truthfulness": (
        "You say only what is true; where the question rests on a mistake, you say so.",
        "You keep to the facts you are given and to those you know, and make nothing up.",
    ),
    "honesty": (
        "You say how sure you are, and that you do not know where you do not.",
        "You tell what you know from what you suppose.",
    ),
    "verbalized_calibration": (
        "Behind your answer you state, in per cent, how confident you are that it is right.",
        "You end with a line `Confidence:` and a number from 0 to 100.",
    ),
}


def list_answers(answers: Sequence[str]) -> str:
    """Return the answers as a judge sees them, numbered from 1."""
    return "\n\n".join(f"Answer {number}:\n{answer}" for number, answer in enumerate(answers, 1))


def draw_models(prompt_id: str, pool: Sequence[str], count: int = 4, seed: int = 0) -> list[str]:
    """Return `count` different models of a pool for one prompt, by keyed hash (UltraFeedback: 4 of 17).

    Raises:
        ConfigurationError: the pool has fewer models.
    """
    models = sorted(set(pool))
    if len(models) < count:
        raise ConfigurationError(f"A pool of {len(models)} models cannot give {count} different ones.")
    return sorted(models, key=lambda model: make_id("model", seed, prompt_id, model))[:count]


def draw_principle(prompt_id: str, answer: str, weights: Mapping[str, float], seed: int = 0) -> tuple[str, str]:
    """Return (principle, its sentence) for one answer, by keyed hash.

    Args:
        prompt_id: of the prompt.
        answer: what tells it from the prompt's other answers: who gives it, or its number.
        weights: weight by principle; UltraFeedback has other ones for each source of prompts.
        seed: of the draw.

    Raises:
        ConfigurationError: a principle is unknown, or no weight is above 0.
    """
    for name in weights:
        if name not in PRINCIPLES:
            raise ConfigurationError(f"Unknown principle {name!r}.{name_nearest(name, PRINCIPLES)}")
    whole = sum(weights.values())
    if whole <= 0 or min(weights.values()) < 0:
        raise ConfigurationError("The weights of the principles must not be negative, and one must be above 0.")
    draw = int(make_id("principle", seed, prompt_id, answer)[:13], 16) / 16**13 * whole
    chosen, reached = "", 0.0
    for name in sorted(name for name in weights if weights[name] > 0):
        chosen, reached = name, reached + weights[name]
        if draw < reached:
            break
    sentences = PRINCIPLES[chosen]
    place = int(make_id("sentence", seed, prompt_id, answer)[:13], 16) % len(sentences)
    return chosen, sentences[place]
