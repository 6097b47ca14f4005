"""Weighs what a tool's result is worth: the three losses of Toolformer, all from one language model.

Schick et al. 2023, "Toolformer: Language Models Can Teach Themselves to Use Tools" (arXiv 2302.04761, section 2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

#: What opens a call, what stands before its result, what closes it (section 2: " [", "->" and "]" instead of tokens).
OPEN, ARROW, CLOSE = "[", "→", "]"

#: A number that may go on, and how it does: digits, with a mark between two.
_NUMBER_BEGUN, _NUMBER_ON = re.compile(r"\d[.,]?$"), re.compile(r"[.,]?\d")
#: A letter or digit of a script that parts words by spaces.
_LETTER = re.compile(r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


class TokenScorer(Protocol):
    """A causal language model that says how likely tokens are."""

    @property
    def most_tokens(self) -> int:
        """Tokens it reads at once; of a longer prefix the end."""

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text as pieces; joined they are the text."""

    def score_before_each(self, prompt: str, pieces: Sequence[str], token: str) -> list[float]:
        """Return, for each piece, the natural logarithm of the probability of `token` after the prompt and all before.

        Where `token` is several of the model's tokens the first counts. One pass of the model can give them all.
        """

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Return, for each (prefix, text), the natural logarithm of the probability of each token of the text."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Weighted losses of what follows a place: the three that are compared."""

    with_result: float
    without_result: float
    without_call: float

    @property
    def gain(self) -> float:
        """By how much the result helps: min(no call, call without result) - call with result."""
        return min(self.without_call, self.without_result) - self.with_result


def make_weights(step: float = 0.2) -> list[float]:
    """Return the weights of the tokens after a place, nearest first: max(0, 1 - step·t), divided by their sum."""
    raw: list[float] = []
    while (weight := 1 - step * len(raw)) > 1e-12:
        raw.append(weight)
    return [weight / math.fsum(raw) for weight in raw]


def choose_places(
    pieces: Sequence[str], scorer: TokenScorer, *, most: int, call_probability: float, prompt: str = ""
) -> list[int]:
    """Return the most likely places of a call, ascending: token numbers i, the call stands before token i.

    Args:
        pieces: the text's tokens.
        scorer: whose probability of " [" after `prompt` and the tokens before i counts; it must be above τs. Places
            inside of words count for none (`begins_word`).
        most: k.
        call_probability: τs.
        prompt: what tells the model to write calls (section 2, P(x)).
    """
    logs = scorer.score_before_each(prompt, pieces, f" {OPEN}")
    likely = [
        (-log, place)
        for place, log in enumerate(logs)
        if math.exp(log) > call_probability and begins_word(pieces, place)
    ]
    return sorted(place for _, place in sorted(likely)[:most])


def begins_word(pieces: Sequence[str], place: int) -> bool:
    """Return whether a call may stand before a token: not before the first, nor inside of a word or number (ours).

    Scripts without spaces have a word border at every token.
    """
    if not place or not pieces[place]:
        return False
    before, after = "".join(pieces[max(place - 2, 0) : place]), "".join(pieces[place : place + 2])
    if _NUMBER_BEGUN.search(before) and _NUMBER_ON.match(after):
        return False
    return not (_LETTER.match(before[-1:]) and _LETTER.match(after))


def measure_losses(
    pieces: Sequence[str], calls: Sequence[tuple[int, str, str]], name: str, scorer: TokenScorer, step: float = 0.2
) -> list[Losses]:
    """Return the three losses of each call (place, argument, result), all from the same model.

    The call is put before the text, not into it (section 2): the model has seen no text with calls inside. Of a text
    that the model cannot read whole, all three are of the same end: what a long one loses is never the call.
    """
    weights = make_weights(step)
    pairs: list[tuple[str, str]] = []
    for place, argument, result in calls:
        shown = (f"{render_call(name, argument, result)} ", f"{render_call(name, argument)} ", "")
        # what it starts with, and tokens that part otherwise where texts are joined
        room = scorer.most_tokens - len(scorer.split(shown[0])) - len(weights) - 4
        before, after = "".join(pieces[max(0, place - room) : place]), "".join(pieces[place : place + len(weights)])
        pairs += [(call + before, after) for call in shown]
    scored = scorer.score(pairs)
    losses = [-math.fsum(weight * log for weight, log in zip(weights, logs, strict=False)) for logs in scored]
    return [Losses(*losses[start : start + 3]) for start in range(0, len(losses), 3)]


def render_call(name: str, argument: str, result: str | None = None) -> str:
    """Return a call as it stands in a text, with or without its result."""
    inside = f"{name}({argument})" if result is None else f"{name}({argument}) {ARROW} {result}"
    return f"{OPEN}{inside}{CLOSE}"
