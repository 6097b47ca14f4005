"""Draws the next token of every row of a batch from the row's own seed, so that no row depends on its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.tables.chat import ChatRequest

#: Candidates looked at before a full sort is paid for; they hold the nucleus of a sharp distribution.
_FEW = 256


@dataclass(frozen=True, slots=True)
class Draws:
    """How one row draws: temperature (0 is greedy), nucleus, and one uniform number in [0, 1) per token.

    `presence_penalty`, `frequency_penalty` and `top_k` are `tables.chat.Sampling`'s.
    """

    temperature: float
    top_p: float
    uniforms: Any  # tensor (max_tokens,)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_k: int = 0

    @property
    def is_penalized(self) -> bool:
        """Whether tokens that were written become less likely."""
        return bool(self.presence_penalty or self.frequency_penalty)


def seed_draws(request: ChatRequest) -> Draws:
    """Return the draws of a request; equal seed and sample index give equal numbers on every device."""
    import torch

    sampling = request.sampling
    # torch takes 63 bits here; mixing keeps seed 0, sample 1 and seed 1, sample 0 apart
    seed = xxhash.xxh3_64_intdigest(f"{sampling.seed}:{request.sample_index}".encode()) >> 1
    uniforms = torch.rand(sampling.max_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Draws(
        sampling.temperature,
        sampling.top_p,
        uniforms,
        sampling.presence_penalty,
        sampling.frequency_penalty,
        sampling.top_k,
    )


class DrawTokens:
    """A logits processor that draws: it leaves one token possible per row and makes all others impossible.

    Args:
        rows: how each row of the batch draws, in order.
    """

    def __init__(self, rows: list[Draws]) -> None:
        self._rows = rows
        self._step = 0
        self._prompt_width: int | None = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores (batch, vocabulary) with all but the drawn token at minus infinity."""
        written: Any = ()
        if any(row.is_penalized for row in self._rows):
            self._prompt_width = input_ids.shape[1] if self._prompt_width is None else self._prompt_width
            written = input_ids[:, self._prompt_width :]
        step, self._step = self._step, self._step + 1
        return choose_tokens(self._rows, [step] * len(self._rows), written, scores)


def choose_tokens(rows: Sequence[Draws], steps: Sequence[int], written: Sequence[Any], scores: Any) -> Any:
    """Return scores (rows, vocabulary) with all but the drawn token at minus infinity; a greedy row keeps all.

    Args:
        rows: how each draws.
        steps: which token of its reply each draws, from 0.
        written: tensor of the tokens of each reply so far; read where a row has penalties alone.
        scores: logits (rows, vocabulary).
    """
    import torch

    if any(row.is_penalized for row in rows):
        scores = _penalize(rows, written, scores)
    hot = [place for place, row in enumerate(rows) if row.temperature > 0]
    if not hot:
        return scores
    temperatures = torch.tensor([rows[place].temperature for place in hot], device=scores.device)
    top_p = torch.tensor([rows[place].top_p for place in hot], device=scores.device)
    uniforms = torch.stack([rows[place].uniforms[steps[place]] for place in hot]).to(scores.device)
    logits = scores[hot].float() / temperatures[:, None]
    for place, row in enumerate(hot):
        if 0 < rows[row].top_k < logits.shape[1]:
            logits[place] = keep_likeliest(logits[place], rows[row].top_k)
    drawn = draw_tokens(logits, top_p, uniforms)
    only = torch.full_like(scores[hot], float("-inf"))
    only.scatter_(1, drawn[:, None], 0.0)
    scores[hot] = only
    return scores


def _penalize(rows: Sequence[Draws], written: Sequence[Any], scores: Any) -> Any:
    """Return scores less the penalties of the tokens of the replies so far."""
    import torch

    scores = scores.clone()
    for place, row in enumerate(rows):
        if row.is_penalized and len(written[place]):
            tokens, counts = torch.unique(written[place], return_counts=True)
            penalty = row.presence_penalty + row.frequency_penalty * counts.to(scores.dtype)
            scores[place, tokens] -= penalty
    return scores


def keep_likeliest(logits: Any, count: int) -> Any:
    """Return logits (vocabulary,) with all but the `count` largest at minus infinity (Fan et al. 2018, section 5.4)."""
    import torch

    values, places = logits.topk(count)
    return torch.full_like(logits, float("-inf")).scatter_(0, places, values)


def draw_tokens(logits: Any, top_p: Any, uniforms: Any) -> Any:
    """Return one token per row by inverting the cumulative distribution of its nucleus.

    The nucleus is the smallest set of most likely tokens whose probability reaches `top_p` (Holtzman et al. 2020,
    "The Curious Case of Neural Text Degeneration", section 3.1).

    Args:
        logits: (rows, vocabulary), temperature applied.
        top_p: (rows,), 0 to 1.
        uniforms: (rows,), in [0, 1).
    """
    import torch

    probabilities = torch.softmax(logits, dim=-1)
    drawn = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    # each row goes the same way whatever its neighbours ask for, or it would draw another token beside others
    whole = top_p >= 1
    if bool(whole.any()):
        drawn[whole] = _invert(probabilities[whole].double().cumsum(-1), uniforms[whole])
    if not bool(whole.all()):
        drawn[~whole] = _draw_from_nucleus(probabilities[~whole], top_p[~whole], uniforms[~whole])
    return drawn


def _draw_from_nucleus(probabilities: Any, top_p: Any, uniforms: Any) -> Any:
    import torch

    likeliest, order = probabilities.topk(min(_FEW, probabilities.shape[1]), dim=-1)
    if bool((likeliest.double().sum(-1) < top_p).any()):
        likeliest, order = probabilities.sort(dim=-1, descending=True)
    likeliest = likeliest.double()
    # a token is in the nucleus if what comes before it has not reached top_p yet
    before = likeliest.cumsum(-1) - likeliest
    nucleus = torch.where(before < top_p[:, None], likeliest, 0.0).cumsum(-1)
    return order.gather(1, _invert(nucleus, uniforms)[:, None]).squeeze(-1)


def _invert(cumulative: Any, uniforms: Any) -> Any:
    import torch

    places = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1])[:, None], right=True).squeeze(-1)
    return places.clamp(max=cumulative.shape[1] - 1)
