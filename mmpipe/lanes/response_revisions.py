"""Has models revise their own responses, round by round, where a recipe wants it: responses → response_revisions."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.preference_sections import REVISING_METHOD
from mmpipe.lanes.instructions import open_run_teacher
from mmpipe.lanes.preference_methods import add_families, check_preferences, read_preference_method
from mmpipe.lanes.preference_runs import list_first
from mmpipe.lanes.preferences import identify_asked
from mmpipe.lanes.response_authors import open_authors
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.teacher_watch import WatchedTeacher, refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.instructions import RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.tables.chat import Teacher


def revise_dump_responses(run: StageRun) -> Production:
    """Have the first whole response to each kept instruction revised by the model that gave it."""
    check_preferences(run.recipe)
    datasets = tuple(run.read(table) for table in (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS, RESPONSES))
    given = run.recipe.preferences.find(REVISING_METHOD)
    # where nothing is revised nobody is asked, so no teacher has to be there
    authors: tuple[Teacher, ...] = ()
    settings = None
    if given is not None:
        (settings, _), _ = read_preference_method(given, run.recipe)
        settings = add_families(settings, run.knobs.families)
        authors = tuple(open_authors(run.recipe, run.knobs, open_run_teacher).teachers.values())
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, authors, settings))
        for item in follow_shards(*datasets, extra=identify_asked([author.name for author in authors], {}))
    ]
    return run.write(work, revisions_shard, inputs=fingerprint_inputs(*datasets), is_in_process=True)


def revisions_shard(
    instructions: Dataset, removals: Dataset, responses: Dataset, shard: str, authors: Sequence[Teacher], settings: Any
) -> ShardResult:
    """Have the responses of one shard revised."""
    if not authors:
        return ShardResult(RESPONSE_REVISIONS.make_empty(), 0)
    from mmpipe.synthesis.talks import tell_talks

    started = time.monotonic()
    removed = removals.scan().select("instruction_id").unique()
    kept = instructions.scan_shard(shard).join(removed, on="instruction_id", how="anti").collect()
    first = list_first(responses.read_shard(shard), tell_talks(kept))
    parts, counts = [RESPONSE_REVISIONS.make_empty()], Counter[str]()
    for author, own in share_answers(first, authors):
        watched = WatchedTeacher(author)
        frame, told = revise(own, watched, settings)
        refuse_outage(watched.asked, watched.failures, author.name)
        became = Counter(frame.get_column("revision_status").to_list())
        warn_of_nothing(f"revisions of {author.name}", became.pop("ok", 0), became)
        parts.append(frame)
        counts.update(told)
    frame = pl.concat(parts).sort("instruction_id", "round")
    return ShardResult(
        frame, first.height, counts=dict(counts), accounts_for_rows=False, device_seconds=time.monotonic() - started
    )


def share_answers(first: pl.DataFrame, authors: Sequence[Teacher]) -> list[tuple[Teacher, pl.DataFrame]]:
    """Return each author with the answers it revises: its own, or all where there is one author."""
    if len(authors) == 1:
        return [(authors[0], first)]
    return [(author, first.filter(pl.col("model") == author.name)) for author in authors]


def revise(answers: pl.DataFrame, author: Teacher, settings: Any) -> tuple[pl.DataFrame, Mapping[str, float]]:
    """Return the rows of one author's tries, and counts: why the rounds ended, and what they took."""
    from mmpipe.synthesis.self_refinement import revise_answers

    made = revise_answers(answers, author, settings)
    dumps = answers.select("prompt_id", "dump")
    is_first = pl.col("parent_id") == pl.col("first_id")
    table = pl.when(is_first).then(pl.lit(RESPONSES.name)).otherwise(pl.lit(RESPONSE_REVISIONS.name))
    rows = made.tries.join(dumps, on="prompt_id", how="left", maintain_order="left").with_columns(
        instruction_id="prompt_id",
        response_id="first_id",
        parents=pl.concat_list(pl.struct(table=table, id="parent_id")),
    )
    spent = made.spent
    counts = {
        "requests": spent.requests,
        "requests_cached": spent.cached,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost": spent.cost,
        **{f"stopped_{name}": count for name, count in made.stops.items()},
    }
    return RESPONSE_REVISIONS.conform(rows.select(RESPONSE_REVISIONS.column_names)), counts
