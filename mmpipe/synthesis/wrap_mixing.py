"""Mixes real documents with their rephrased twins in an exact ratio, and says what every document came to."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.tables.identity import make_id


@dataclass(frozen=True, slots=True)
class TwinMixture:
    """A mixture and its account.

    Attributes:
        frame: doc_id, row_id (the real doc_id or the rephrased_id), is_rephrased, style (null for real), text; in
            reading order.
        real: real documents in the mixture.
        rephrased: rephrased ones; real : rephrased is the ratio asked for, exactly.
        left_out_real: real documents left out.
        left_out_rephrased: rephrased ones left out.
        without_twin: rephrased ones in the mixture whose real twin is not; 0 wherever the ratio has as many real.
    """

    frame: pl.DataFrame
    real: int
    rephrased: int
    left_out_real: int
    left_out_rephrased: int
    without_twin: int


def mix_with_twins(
    real: pl.DataFrame, rephrased: pl.DataFrame, *, ratio: tuple[int, int] = (1, 1), seed: int = 0
) -> TwinMixture:
    """Return the largest mixture of whole documents in exactly that ratio (WRAP, section 3.3: 1 : 1).

    Real documents that have a rephrased twin come first, and of the rephrased each document's first style before any
    second one, all by keyed hash; so a rephrased document stands beside its real twin as long as the ratio allows it.
    The order is a keyed hash of the rows: no run of one kind, and the same on every machine.

    Args:
        real: columns doc_id (unique), text.
        rephrased: columns rephrased_id (unique), doc_id, style, text (`tables.rephrased.REPHRASED_DOCUMENTS`).
        ratio: real to rephrased.
        seed: of the hashes.

    Raises:
        ConfigurationError: a number of the ratio is below 1, an id stands twice, or a rephrased document has no row
            among the real ones.
    """
    if min(ratio) < 1:
        raise ConfigurationError(f"WRAP mixing: the ratio needs two whole numbers from 1 up, not {ratio}.")
    for frame, name in ((real, "doc_id"), (rephrased, "rephrased_id")):
        if frame.get_column(name).is_duplicated().any():
            raise ConfigurationError(f"WRAP mixing: {name} is not unique.")
    real = real.select(pl.col("doc_id", "text").cast(pl.String))
    rephrased = rephrased.select(pl.col("rephrased_id", "doc_id", "style", "text").cast(pl.String))
    known = set(real.get_column("doc_id"))
    stray = [doc_id for doc_id in rephrased.get_column("doc_id") if doc_id not in known]
    if stray:
        raise ConfigurationError(
            f"WRAP mixing: {len(stray)} rephrased documents have no real twin here, among them of {stray[0]!r}. "
            f"Give the real documents they were made from."
        )
    written: dict[str, list[str]] = {}
    for doc_id, row_id in rephrased.select("doc_id", "rephrased_id").iter_rows():
        written.setdefault(doc_id, []).append(row_id)
    draws = {doc_id: make_id("wrap mixing", seed, doc_id) for doc_id in known}
    ranked_real = sorted(known, key=lambda doc_id: (doc_id not in written, draws[doc_id]))
    ranked_rephrased = sorted(
        (rank, draws[doc_id], row_id, doc_id)
        for doc_id, row_ids in written.items()
        for rank, row_id in enumerate(sorted(row_ids, key=lambda row_id: make_id("wrap style", seed, row_id)))
    )
    times = min(len(ranked_real) // ratio[0], len(ranked_rephrased) // ratio[1])
    taken_real = set(ranked_real[: times * ratio[0]])
    taken = ranked_rephrased[: times * ratio[1]]
    taken_rephrased = {row_id for _, _, row_id, _ in taken}
    parts = [
        real.filter(pl.col("doc_id").is_in(taken_real)).select(
            "doc_id", pl.col("doc_id").alias("row_id"), is_rephrased=False, style=pl.lit(None, pl.String), text="text"
        ),
        rephrased.filter(pl.col("rephrased_id").is_in(taken_rephrased)).select(
            "doc_id", pl.col("rephrased_id").alias("row_id"), is_rephrased=True, style="style", text="text"
        ),
    ]
    frame = pl.concat(parts)
    order = pl.Series([make_id("wrap order", seed, row_id) for row_id in frame.get_column("row_id")], dtype=pl.String)
    return TwinMixture(
        frame.with_columns(order=order).sort("order").drop("order"),
        len(taken_real),
        len(taken_rephrased),
        len(known) - len(taken_real),
        rephrased.height - len(taken_rephrased),
        sum(doc_id not in taken_real for _, _, _, doc_id in taken),
    )
