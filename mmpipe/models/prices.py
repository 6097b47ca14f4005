"""Says what tokens cost. A price list is a setting: a table of ours would go stale unseen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens of one model, in one currency."""

    prompt_per_million: float = 0.0
    completion_per_million: float = 0.0
    currency: str = "USD"

    def compute_cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what these tokens cost."""
        return (prompt_tokens * self.prompt_per_million + completion_tokens * self.completion_per_million) / 1e6
