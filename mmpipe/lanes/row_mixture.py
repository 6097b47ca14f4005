"""Says how often each conversation stands in the files for trainers, by the method that made it, exactly."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.left_out import MIXTURE, make_left_out

if TYPE_CHECKING:
    from mmpipe.filtering.release_sections import ReleaseSettings
    from mmpipe.sampling.mixing import SourceShare

_log = logging.getLogger(__name__)

#: Heads of the card's table.
_HEADS = ("Method", "Rows there are", "Rows read", "Share", "Epochs", "Rows planned")


@dataclass(frozen=True, slots=True)
class RowMixture:
    """Which rows are read in which epoch.

    Attributes:
        chosen: `id` and `epoch`, from 0.
        table: rows of the card's table, its heads first.
        left_out: rows that no epoch reads, LEFT_OUT.
    """

    chosen: pl.DataFrame
    table: list[tuple[str, ...]]
    left_out: pl.DataFrame

    def part(self, rows: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield each epoch with those of the rows that are read in it, in their order."""
        for epoch in self.chosen.get_column("epoch").unique().sort().to_list():
            ids = self.chosen.filter(pl.col("epoch") == epoch).get_column("id")
            read = rows.filter(pl.col("id").is_in(ids.implode()))
            if read.height:
                yield epoch, read


def mix_rows(rows: pl.DataFrame, settings: ReleaseSettings) -> RowMixture | None:
    """Return the mixture that the recipe asks for; None where each row is read once.

    A part of an epoch takes rows in the order of a hash of their ids, so a larger part takes those of a smaller one.

    Args:
        rows: `id`, `dump` and `method` of the rows that train.
        settings: of the recipe.

    Raises:
        ConfigurationError: weights leave a method out, or name one twice.
    """
    from mmpipe.sampling.mixing import account_mixture, choose_documents

    if not settings.method_epochs and not settings.method_weights:
        return None
    frame = rows.select(pl.col("id").alias("doc_id"), source="method", tokens=pl.lit(1, dtype=pl.Int64))
    plan = plan_methods(dict(frame.group_by("source").len().iter_rows()), settings)
    chosen = choose_documents(frame, {share.source: share.epochs for share in plan}, settings.seed)
    accounts = account_mixture(plan, frame, chosen)
    epochs = {share.source: share.epochs for share in plan}
    table = [
        (
            each.source,
            f"{each.documents:,}",
            f"{each.read_documents:,}",
            f"{100 * each.read_weight:.2f} %",
            f"{epochs[each.source]:.4g}",
            f"{each.planned_tokens:,}",
        )
        for each in accounts
    ]
    unread = rows.join(chosen.select(id="doc_id"), on="id", how="anti")
    left_out = make_left_out(
        (row["id"], row["dump"], MIXTURE, "not_drawn", f"{row['method']} is read in {epochs[row['method']]:.4g} epochs")
        for row in unread.iter_rows(named=True)
    )
    return RowMixture(chosen.select(id="doc_id", epoch="epoch"), [_HEADS, *table], left_out)


def plan_methods(sizes: dict[str, int], settings: ReleaseSettings) -> list[SourceShare]:
    """Return each method's share in rows.

    Args:
        sizes: rows of each method.
        settings: of the recipe.

    Raises:
        ConfigurationError: weights are given, and leave a method out.
    """
    from mmpipe.sampling.mixing import plan_mixture

    key = "method_weights" if settings.method_weights else "method_epochs"
    for name in getattr(settings, key):
        if name not in sizes:
            _log.warning("release.%s: no row is made by %r.%s", key, name, name_nearest(name, sizes))
    if not settings.method_weights:
        return plan_mixture(sizes, epochs={name: settings.method_epochs.get(name, 1.0) for name in sizes})
    given = {name: settings.method_weights[name] for name in sizes if name in settings.method_weights}
    without = sorted(set(sizes) - set(given))
    if without:
        raise ConfigurationError(
            f"release.method_weights: nothing gives {without[0]!r} a share; write 0 to leave its rows out."
            f"{name_nearest(without[0], settings.method_weights)}"
        )
    return plan_mixture(sizes, weights=given, total_tokens=settings.mixture_rows)
