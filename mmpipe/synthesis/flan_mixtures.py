"""Mixes rendered tasks as FLAN does: examples-proportional with a cap and a rate maximum, and mixtures of mixtures.

FLAN (Wei et al. 2021, arXiv 2109.01652, section 2.4): at most 30,000 examples per dataset, mixed in proportion to their
number, none counting as more than 3,000. FLAN 2022 (Longpre et al. 2023, arXiv 2301.13688) mixes collections by
weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.drafts import Spent, Synthesis
from mmpipe.synthesis.flan_rows import FlanSettings
from mmpipe.synthesis.flan_tasks import Task
from mmpipe.synthesis.joined_syntheses import drop_rows, join_syntheses
from mmpipe.synthesis.row_account import write_details
from mmpipe.tables.identity import make_id
from mmpipe.tables.row_draws import REPEATS

#: Weights of the published FLAN 2022 mixture, by collection.
FLAN_2022_WEIGHTS = {"flan2021": "0.40", "t0": "0.32", "niv2": "0.20", "cot": "0.05", "dialog": "0.03"}


@dataclass(frozen=True, slots=True)
class TaskShare:
    """One task's part in a mixture.

    Attributes:
        task: its name.
        rows: rows it has.
        used_rows: rows it may give, capped.
        weight: its exact share of the draws; all weights sum to 1.
    """

    task: str
    rows: int
    used_rows: int
    weight: Fraction


def plan_flan_mixture(
    sizes: Mapping[str, int],
    *,
    examples_cap: int = 30_000,
    rate_maximum: int = 3_000,
    collections: Mapping[str, str] | None = None,
    weights: Mapping[str, str | float] | None = None,
) -> list[TaskShare]:
    """Return each task's share, by name.

    Args:
        sizes: rows of each task.
        examples_cap: most rows a task gives.
        rate_maximum: most rows a task is counted as when shares are made.
        collections: collection of each task, with `weights`.
        weights: weight of each collection; within one, tasks share by examples-proportional mixing.

    Raises:
        ConfigurationError: a size or weight is negative, a name is unknown or missing, or nothing is left to mix.
    """
    if (collections is None) != (weights is None):
        raise ConfigurationError("FLAN mixture: collections and weights go together.")
    if min(examples_cap, rate_maximum) < 1 or any(size < 0 for size in sizes.values()):
        raise ConfigurationError("FLAN mixture: cap and rate maximum are at least 1, and no size is negative.")
    used = {task: min(size, examples_cap) for task, size in sizes.items()}
    rates = {task: Fraction(min(rows, rate_maximum)) for task, rows in used.items()}
    groups = dict.fromkeys(sizes, "all") if collections is None else _check_collections(sizes, collections)
    # the decimal as written: 0.4 is 2/5, not the double nearest to it
    given = {"all": Fraction(1)} if weights is None else {name: Fraction(str(value)) for name, value in weights.items()}
    for task, group in groups.items():
        if group not in given:
            raise ConfigurationError(f"FLAN mixture: no weight for {group!r} of {task}.{name_nearest(group, given)}")
    if any(weight < 0 for weight in given.values()):
        raise ConfigurationError("FLAN mixture: a weight is negative.")
    totals: dict[str, Fraction] = {}
    for task, group in groups.items():
        totals[group] = totals.get(group, Fraction(0)) + rates[task]
    empty = sorted(name for name, weight in given.items() if weight and not totals.get(name))
    if empty:
        raise ConfigurationError(f"FLAN mixture: {', '.join(empty)} has a weight but no rows; write 0 to leave it out.")
    whole = sum(given.values(), Fraction(0))
    if not whole:
        raise ConfigurationError("FLAN mixture: nothing is left to mix.")
    shares = []
    for task in sorted(sizes):
        group = groups[task]
        weight = given[group] / whole * rates[task] / totals[group] if totals[group] else Fraction(0)
        shares.append(TaskShare(task, sizes[task], used[task], weight))
    return shares


def _check_collections(sizes: Mapping[str, int], collections: Mapping[str, str]) -> dict[str, str]:
    missing = sorted(set(sizes) - set(collections))
    if missing:
        raise ConfigurationError(f"FLAN mixture: no collection for {', '.join(missing)}.")
    return {task: collections[task] for task in sizes}


def count_draws(shares: list[TaskShare], total: int) -> dict[str, int]:
    """Return how many of `total` draws each task gets: its share to the nearest below, the rest by largest remainder.

    The counts sum to `total` exactly, and each is within one of its share.

    Raises:
        ConfigurationError: `total` is negative.
    """
    if total < 0:
        raise ConfigurationError(f"FLAN mixture: {total} draws.")
    exact = {share.task: share.weight * total for share in shares}
    counts = {task: int(share) for task, share in exact.items()}
    left = total - sum(counts.values())
    for task in sorted(exact, key=lambda task: (counts[task] - exact[task], task))[:left]:
        counts[task] += 1
    return counts


def draw_mixture(rows: pl.DataFrame, shares: list[TaskShare], total: int, *, seed: int = 0) -> pl.DataFrame:
    """Return `total` draws in reading order: instruction_id, task, epoch (0 for a row's first time).

    A task's rows are taken in the order of a keyed hash, the same rows under any cap that holds them, and again from
    the first once all are used. The order mixes all tasks by the same kind of hash.

    Args:
        rows: columns instruction_id (unique), task (`flan_rows` details).
        shares: of `plan_flan_mixture`.
        total: draws.
        seed: of the hashes.

    Raises:
        ConfigurationError: a task with a share has no row here, or another number of rows than was planned with.
    """
    counts = count_draws(shares, total)
    ids: dict[str, list[str]] = {}
    for row_id, task in rows.select("instruction_id", "task").iter_rows():
        ids.setdefault(task, []).append(row_id)
    drawn: list[tuple[str, str, str, int]] = []
    for share in shares:
        have = ids.get(share.task, [])
        if len(have) != share.rows:
            raise ConfigurationError(
                f"FLAN mixture: {share.task} was planned with {share.rows} rows and has {len(have)}."
            )
        ranked = sorted(have, key=lambda row_id: make_id("flan mixture", seed, row_id))[: share.used_rows]
        for place in range(counts[share.task]):
            epoch, row_id = place // len(ranked), ranked[place % len(ranked)]
            drawn.append((make_id("flan mixture order", seed, row_id, epoch), row_id, share.task, epoch))
    schema = {"order": pl.String, "instruction_id": pl.String, "task": pl.String, "epoch": pl.Int64}
    return pl.DataFrame(drawn, schema=schema, orient="row").sort("order", "instruction_id").drop("order")


#: A rendered row that the mixture did not draw.
NOT_DRAWN = "not_drawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlanMixtureSettings:
    """How labelled datasets are rendered and mixed.

    Attributes:
        tasks: what each dataset is.
        collections: collection of each task, by its name, where `weights` are given.
        rendering: how rows are rendered.
        examples_cap: most rows a task gives (FLAN: 30,000).
        rate_maximum: most rows a task counts as when shares are made (FLAN: 3,000).
        weights: weight of each collection; without them one rule holds for all tasks.
        total: rows of the mixture; without it as many as there are without a row twice.
        seed: of renderings and draws.
    """

    tasks: tuple[Task, ...] = ()
    collections: Mapping[str, str] = field(default_factory=dict)
    rendering: FlanSettings = field(default_factory=FlanSettings)
    examples_cap: int = 30_000
    rate_maximum: int = 3_000
    weights: Mapping[str, str] | None = None
    total: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.examples_cap, self.rate_maximum) < 1 or (self.total is not None and self.total < 1):
            raise ConfigurationError("FLAN mixture: examples_cap, rate_maximum and total are 1 or more.")
        for name, weight in (self.weights or {}).items():
            try:
                is_negative = Fraction(weight) < 0
            except ValueError:
                raise ConfigurationError(f"FLAN mixture: the weight {weight!r} of {name} is no number.") from None
            if is_negative:
                raise ConfigurationError(f"FLAN mixture: the weight {weight} of {name} is negative.")


def count_unrepeated(shares: list[TaskShare]) -> int:
    """Return the most draws that take no row twice."""
    return int(min((share.used_rows / share.weight for share in shares if share.weight), default=Fraction(0)))


def mix_rendered(rendered: Mapping[str, Synthesis], settings: FlanMixtureSettings) -> Synthesis:
    """Return the rows of all tasks that the mixture draws; a row drawn again has an id of its own, and names the first.

    Args:
        rendered: what each task's dataset was rendered to, by its name.
        settings: how they are mixed.

    Raises:
        ConfigurationError: as `plan_flan_mixture`.
    """
    shares = plan_flan_mixture(
        {name: made.frame.height for name, made in rendered.items()},
        examples_cap=settings.examples_cap,
        rate_maximum=settings.rate_maximum,
        collections=settings.collections if settings.weights is not None else None,
        weights=settings.weights,
    )
    total = count_unrepeated(shares) if settings.total is None else settings.total
    rows = pl.concat(made.frame.select("instruction_id", task=pl.lit(name)) for name, made in rendered.items())
    drawn = draw_mixture(rows, shares, total, seed=settings.seed)
    whole = join_syntheses(list(rendered.values()))
    left = rows.join(drawn, on="instruction_id", how="anti").get_column("instruction_id").to_list()
    again = drawn.filter(pl.col("epoch") > 0).select("instruction_id", "epoch")
    repeats = again.join(whole.frame, on="instruction_id", how="left", maintain_order="left")
    ids = [make_id("flan again", row_id, epoch) for row_id, epoch in again.iter_rows()]
    told = [
        write_details({**json.loads(details or "{}"), REPEATS: row_id, "epoch": epoch})
        for row_id, epoch, details in repeats.select("instruction_id", "epoch", "details").iter_rows()
    ]
    repeats = repeats.with_columns(
        pl.Series("instruction_id", ids, dtype=pl.String), pl.Series("details", told, dtype=pl.String)
    ).select(whole.frame.columns)
    once = drop_rows(whole, left, NOT_DRAWN)
    return join_syntheses([once, Synthesis(repeats, repeats.height, {}, {}, Spent())])
