"""Chooses how often each source is read: epochs per source, and which documents a fractional epoch takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import xxhash

from mmpipe.errors import ConfigurationError, InvariantBroken, name_nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class SourceShare:
    """One source's part in a mixture, as a row of LLaMA's Table 1 (arXiv 2302.13971) gives it.

    Attributes:
        source: its name.
        tokens: tokens it has.
        epochs: how often it is read; 1.5 is once in full and once in half.
        planned_tokens: tokens it gives, tokens * epochs.
        weight: its share of the mixture's tokens, 0 to 1.
    """

    source: str
    tokens: int
    epochs: float
    planned_tokens: int
    weight: float


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """What a mixture in fact reads of one source; the sums are exact.

    Attributes:
        source: its name.
        documents: documents it has.
        tokens: tokens it has.
        planned_tokens: tokens it was to give.
        read_tokens: tokens it gives: of the documents chosen, each as often as it is read.
        read_documents: documents chosen, each as often as it is read.
        documents_by_epoch: documents read in each epoch, from 0.
        tokens_by_epoch: their tokens.
        planned_weight: its share of the tokens planned.
        read_weight: its share of the tokens read.
    """

    source: str
    documents: int
    tokens: int
    planned_tokens: int
    read_tokens: int
    read_documents: int
    documents_by_epoch: tuple[int, ...]
    tokens_by_epoch: tuple[int, ...]
    planned_weight: float
    read_weight: float

    @property
    def missed_tokens(self) -> int:
        """Tokens planned and not read; below 0, read beyond the plan."""
        return self.planned_tokens - self.read_tokens


def plan_mixture(
    sources: Mapping[str, int],
    *,
    epochs: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    total_tokens: int | None = None,
) -> list[SourceShare]:
    """Return each source's share, by name.

    Args:
        sources: tokens of each source.
        epochs: how often each source is read; 0 leaves it out. Or:
        weights: each source's share of the mixture (any positive scale), which gives epochs = share * total / tokens.
        total_tokens: tokens of the mixture, with `weights`; left out, the largest mixture in which no source is read
            more than once.

    Raises:
        ConfigurationError: both or neither of epochs and weights are given, a name is unknown or missing, a number is
            negative, or a source without tokens is asked for.
    """
    if (epochs is None) == (weights is None):
        raise ConfigurationError("Mixture: give either epochs per source or weights per source.")
    if epochs is not None:
        if total_tokens is not None:
            raise ConfigurationError("Mixture: total_tokens goes with weights; epochs fix the total already.")
        _check_amounts("epochs", epochs, sources)
        chosen = {source: float(epochs[source]) for source in sources}
    else:
        assert weights is not None
        _check_amounts("weights", weights, sources)
        chosen = _turn_into_epochs(weights, sources, total_tokens)
    planned = {source: round(tokens * chosen[source]) for source, tokens in sources.items()}
    total = sum(planned.values())
    return [
        SourceShare(source, sources[source], chosen[source], planned[source], planned[source] / total if total else 0.0)
        for source in sorted(sources)
    ]


def choose_documents(frame: pl.DataFrame, epochs: Mapping[str, float], seed: int) -> pl.DataFrame:
    """Return the documents to read: `doc_id`, `source`, `tokens`, `epoch`, in reading order.

    A full epoch takes every document of its source. A fractional one takes documents in the order of a hash of seed,
    source and id until their tokens reach the fraction, to the nearest document: the choice is a matter of the
    documents alone, and a larger fraction takes what a smaller one takes and more. Epochs follow one another; within
    an epoch the sources are shuffled together, differently in each epoch, by the same kind of hash, so the order is
    the same on every machine.

    Args:
        frame: `doc_id` (unique), `source`, `tokens`; all documents of the sources.
        epochs: per source, as in `plan_mixture`.
        seed: of the hashes.

    Raises:
        ConfigurationError: a source has no number of epochs, a number is negative or a name unknown.
    """
    sources = frame.get_column("source").unique().to_list()
    _check_amounts(
        "epochs", {source: epochs[source] for source in epochs if source in sources}, dict.fromkeys(sources, 1)
    )
    documents = frame.select("doc_id", "source", pl.col("tokens").cast(pl.Int64))
    draws = [
        _draw(seed, "fraction", source, doc_id) for doc_id, source in documents.select("doc_id", "source").iter_rows()
    ]
    documents = documents.with_columns(draw=pl.Series(draws, dtype=pl.UInt64)).sort("draw", "doc_id")
    parts = [_list_epochs(group, epochs[str(source)]) for (source,), group in documents.group_by("source")]
    chosen = pl.concat(parts) if parts else documents.with_columns(epoch=pl.lit(0, dtype=pl.Int64))
    order = [_draw(seed, "order", epoch, doc_id) for doc_id, epoch in chosen.select("doc_id", "epoch").iter_rows()]
    return (
        chosen.with_columns(draw=pl.Series(order, dtype=pl.UInt64))
        .sort("epoch", "draw", "doc_id")
        .select("doc_id", "source", "tokens", "epoch")
    )


def account_mixture(plan: Sequence[SourceShare], frame: pl.DataFrame, chosen: pl.DataFrame) -> list[SourceAccount]:
    """Return what each source of a plan gives, by name, and hold the choice to it.

    Args:
        plan: of `plan_mixture`.
        frame: the documents there are, as `choose_documents` takes them.
        chosen: what it returned.

    Raises:
        InvariantBroken: a source's tokens are not those of the plan; a document is read twice in one epoch, is not
            among those there are, or has other tokens there; a source misses the plan by more than the half of its
            longest document that a choice of whole documents costs.
    """
    _require_known(frame, chosen)
    read_total = int(chosen.get_column("tokens").sum())
    accounts = []
    for share in plan:
        own = frame.filter(pl.col("source") == share.source).get_column("tokens")
        read = chosen.filter(pl.col("source") == share.source)
        last = read.get_column("epoch").max() if read.height else None
        passes = [
            read.filter(pl.col("epoch") == epoch) for epoch in range(int(str(last)) + 1 if last is not None else 0)
        ]
        tokens = int(read.get_column("tokens").sum())
        account = SourceAccount(
            source=share.source,
            documents=len(own),
            tokens=int(own.sum()),
            planned_tokens=share.planned_tokens,
            read_tokens=tokens,
            read_documents=read.height,
            documents_by_epoch=tuple(each.height for each in passes),
            tokens_by_epoch=tuple(int(each.get_column("tokens").sum()) for each in passes),
            planned_weight=share.weight,
            read_weight=tokens / read_total if read_total else 0.0,
        )
        _hold_to_plan(account, share, longest=int(str(own.max())) if len(own) else 0)
        accounts.append(account)
    return sorted(accounts, key=lambda account: account.source)


def _require_known(frame: pl.DataFrame, chosen: pl.DataFrame) -> None:
    repeated = chosen.filter(pl.struct("doc_id", "source", "epoch").is_duplicated())
    if repeated.height:
        raise InvariantBroken(f"Mixture: document {repeated.item(0, 'doc_id')} is read twice in one epoch.")
    there = frame.select("doc_id", "source", pl.col("tokens").cast(pl.Int64))
    strange = chosen.join(there, on=["doc_id", "source", "tokens"], how="anti")
    if strange.height:
        raise InvariantBroken(f"Mixture: document {strange.item(0, 'doc_id')} was chosen, but is not as there are.")


def _hold_to_plan(account: SourceAccount, share: SourceShare, longest: int) -> None:
    if account.tokens != share.tokens:
        raise InvariantBroken(
            f"Mixture: the plan counts {share.tokens} tokens in {account.source!r}, its documents {account.tokens}."
        )
    # the plan itself is rounded to a token
    if abs(account.missed_tokens) > longest / 2 + 1:
        raise InvariantBroken(
            f"Mixture: {account.source!r} gives {account.read_tokens} tokens, planned were {account.planned_tokens}."
        )


def _list_epochs(group: pl.DataFrame, epochs: float) -> pl.DataFrame:
    """Return the documents of one source, in order of their draw, once per epoch in which they are read."""
    full = math.floor(epochs)
    target = (epochs - full) * int(group.get_column("tokens").sum())
    # a document is in if more than half of it lies before the target: the sum is then nearest to it
    middle = pl.col("tokens").cum_sum() - pl.col("tokens") / 2
    passes = [group.with_columns(epoch=pl.lit(epoch, dtype=pl.Int64)) for epoch in range(full)]
    return pl.concat([*passes, group.filter(middle < target).with_columns(epoch=pl.lit(full, dtype=pl.Int64))])


def _draw(seed: int, *parts: str | int) -> int:
    return xxhash.xxh3_64_intdigest("\0".join(str(part) for part in parts).encode(), seed=seed)


def _check_amounts(name: str, amounts: Mapping[str, float], sources: Mapping[str, int]) -> None:
    for source, amount in amounts.items():
        if source not in sources:
            raise ConfigurationError(
                f"Mixture: {name} name an unknown source {source!r}.{name_nearest(source, sources)}"
            )
        if not (math.isfinite(amount) and amount >= 0):
            raise ConfigurationError(f"Mixture: {name} of {source!r} must be a number of at least 0, not {amount}.")
        if amount and not sources[source]:
            raise ConfigurationError(f"Mixture: {source!r} has no tokens, so its {name} can only be 0, not {amount}.")
    missing = sorted(set(sources) - set(amounts))
    if missing:
        raise ConfigurationError(f"Mixture: no {name} for {', '.join(missing)}; write 0 to leave a source out.")


def _turn_into_epochs(
    weights: Mapping[str, float], sources: Mapping[str, int], total_tokens: int | None
) -> dict[str, float]:
    whole = sum(weights.values())
    if not whole:
        raise ConfigurationError("Mixture: all weights are 0, so there is nothing to mix.")
    shares = {source: weights[source] / whole for source in sources}
    total = (
        total_tokens
        if total_tokens is not None
        else min(sources[source] / share for source, share in shares.items() if share)
    )
    return {source: shares[source] * total / tokens if tokens else 0.0 for source, tokens in sources.items()}
