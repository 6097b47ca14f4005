"""`mmpipe estimate`: requests, tokens and money of all that a dump's recipe asks teachers, before anything is spent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from mmpipe.assets.resources import build_resources, collect_knobs
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.answer_estimates import estimate_answers
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.made_shards import leave_out_made
from mmpipe.lanes.stage import StageRun
from mmpipe.lanes.synthesis_estimates import MethodEstimate, estimate_synthesis
from mmpipe.storage.dumps import require_dump
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console


def estimate_dump(dump: str, recipe: str, environ: Mapping[str, str]) -> list[MethodEstimate]:
    """Return what the recipe would ask teachers for a dump, with the knobs of the environment.

    Synthesis methods come first, then rephrasing, sampled responses, judges and preference methods. What is made
    already has no estimate.

    Args:
        dump: its name.
        recipe: name or file.
        environ: MMPIPE_… variables.

    Raises:
        ConfigurationError: no such dump; a recipe, file or knob that cannot work.
        DatasetNotReady: the corpus or the pairs of the dump are not published yet.
    """
    resources = build_resources(environ)
    lake = resources["lake"].open()
    require_dump(lake, dump)
    stage = next(stage for stage in INSTRUCTION_LANE if stage.table is INSTRUCTION_CANDIDATES)
    run = StageRun(
        stage=stage,
        lake=lake,
        recipe=load_recipe(recipe),
        knobs=collect_knobs(SimpleNamespace(**resources)),
        engine=resources["engine"].open(),
        dump=dump,
    )
    return leave_out_made(run, estimate_synthesis(run) + estimate_answers(run))


def print_estimates(console: Console, made: Sequence[MethodEstimate]) -> None:
    """Print one row per method and the sum of those whose money is of one currency."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column("method", no_wrap=True)
    for name in ("requests", "of them cached", "prompt tokens", "reply tokens, at most", "cost, at most"):
        grid.add_column(name, justify="right")
    notes = []
    for one in made:
        told = one.estimate
        figures = [""] * 5
        if told is not None:
            figures = [
                f"{told.requests - told.repeated:,}",
                f"{told.cached:,}",
                f"{told.prompt_tokens:,}",
                f"{told.most_completion_tokens:,}",
                f"{told.most_cost:,.4f} {told.currency}",
            ]
        grid.add_row(one.method, *figures)
        images = f"shows {told.images:,} pictures; " if told is not None and told.images else ""
        if images or one.note:
            notes.append(f"{one.method}: {escape(images + one.note)}")
    console.print(grid)
    _print_teachers(console, made)
    for note in notes:
        console.print(note, soft_wrap=True)
    counted = [one.estimate for one in made if one.estimate is not None]
    for currency in sorted({each.currency for each in counted}):
        cost = sum(each.most_cost for each in counted if each.currency == currency)
        asked = sum(each.asked for each in counted if each.currency == currency)
        console.print(f"{asked:,} requests would go out, for at most {cost:,.4f} {currency}, tried once each.")
    if not counted:
        waiting = any(one.waits for one in made)
        rest = "now; what waits for rows that are not made yet is not counted." if waiting else "and nothing spent."
        console.print(f"Nobody would be asked {rest}")
    unpriced = sorted(
        {
            one.teacher
            for one in made
            if one.teacher.startswith("openai:") and one.estimate and one.estimate.asked and not one.estimate.most_cost
        }
    )
    if unpriced:
        console.print(
            f"No price is known of {escape(', '.join(unpriced))}: set MMPIPE_TEACHER_PROMPT_PRICE and "
            f"MMPIPE_TEACHER_COMPLETION_PRICE, or prices in the file that MMPIPE_TEACHERS names.",
            soft_wrap=True,
        )
    counters = sorted({each.counted_by for each in counted})
    if counters:
        console.print(f"Tokens are counted by {escape(', '.join(counters))}.")


def _print_teachers(console: Console, made: Sequence[MethodEstimate]) -> None:
    """Print a line per teacher: names with digests are longer than a column, and are copied."""
    asked: dict[str, list[str]] = {}
    for one in made:
        if one.teacher and one.estimate is not None and one.estimate.requests:
            asked.setdefault(one.teacher, []).append(one.method)
    for teacher, methods in asked.items():
        console.print(f"{escape(teacher)} is asked by {', '.join(methods)}", soft_wrap=True)
