"""Says what accepted rows cost, refused ones and failed attempts included: tokens and money per row, by method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmpipe.storage.commits import Commit, Manifest


@dataclass(frozen=True, slots=True)
class RowPrice:
    """What one method's rows cost, or all of a dataset's.

    Attributes:
        method: its name; `all` for all.
        candidates: what was tried.
        accepted: rows.
        missing: rows that were wanted and not found.
        requests: asked for, those that the cache answered included.
        prompt_tokens: of prompts.
        completion_tokens: of replies.
        cost: money.
    """

    method: str
    candidates: int
    accepted: int
    missing: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float

    @property
    def tokens(self) -> int:
        """Tokens of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def tokens_per_row(self) -> float | None:
        """Tokens per accepted row; None where there is no row."""
        return self.tokens / self.accepted if self.accepted else None

    @property
    def cost_per_row(self) -> float | None:
        """Money per accepted row; None where there is no row."""
        return self.cost / self.accepted if self.accepted else None


def price_rows(manifest: Manifest) -> RowPrice | None:
    """Return what the rows of a dataset cost; None where no teacher was asked for them."""
    return _add_up("all", manifest.commits) if "requests" in manifest.counts else None


def price_methods(manifest: Manifest) -> list[RowPrice]:
    """Return what the rows of each method cost, in the order of their shards."""
    by_method: dict[str, list[Commit]] = {}
    for commit in manifest.commits:
        if "requests" in commit.counts:
            by_method.setdefault(name_method(commit), []).append(commit)
    return [_add_up(method, commits) for method, commits in by_method.items()]


def name_method(commit: Commit) -> str:
    """Return the method that made a shard; shards of candidates are named `METHOD-NUMBER`."""
    return name_shard_method(commit.shard)


def name_shard_method(shard: str) -> str:
    """Return the method, as a recipe names it, that made the shard of that name."""
    return shard.rpartition("-")[0] or shard


def _add_up(method: str, commits: Iterable[Commit]) -> RowPrice:
    commits = list(commits)

    def count(name: str) -> float:
        return sum(commit.counts.get(name, 0) for commit in commits)

    return RowPrice(
        method=method,
        candidates=sum(commit.rows_in for commit in commits),
        # a table of candidates has more rows than were accepted
        accepted=int(sum(commit.counts.get("accepted", commit.rows_out) for commit in commits)),
        missing=int(count("missing")),
        requests=int(count("requests")),
        prompt_tokens=int(count("prompt_tokens")),
        completion_tokens=int(count("completion_tokens")),
        cost=count("cost"),
    )
