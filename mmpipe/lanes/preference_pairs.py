"""The last step of the instruction lane: answers, scores and files → preference pairs, by the recipe's methods."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.preference_sections import REVISING_METHOD
from mmpipe.lanes.dump_owners import is_for
from mmpipe.lanes.instructions import open_run_teacher
from mmpipe.lanes.preference_methods import (
    FAMILY_SHARE,
    PREFERENCE_RUNS,
    add_families,
    check_preferences,
    read_preference_method,
)
from mmpipe.lanes.preference_pair_rows import table_pairs
from mmpipe.lanes.preference_policy_runs import run_previous
from mmpipe.lanes.preference_posts import LaidDump
from mmpipe.lanes.preference_runs import Made, PreferenceRun
from mmpipe.lanes.preferences import identify_asked, open_run_judge
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.teacher_watch import WatchedTeacher, refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production

#: The tables that pairs are made from.
PAIR_INPUTS = (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS, RESPONSES, JUDGEMENTS, RESPONSE_REVISIONS)


@dataclass(frozen=True, slots=True)
class PairSources:
    """The datasets of a dump that pairs are made from."""

    instructions: Dataset
    removals: Dataset
    responses: Dataset
    judgements: Dataset
    revisions: Dataset

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All of them, in the order of `PAIR_INPUTS`."""
        return (self.instructions, self.removals, self.responses, self.judgements, self.revisions)

    def fill(self, ready: PreferenceRun, shards: tuple[str, ...]) -> PreferenceRun:
        """Return a method's run with the kept instructions of these shards, and what was said to them."""
        from mmpipe.synthesis.talks import tell_talks

        removed = self.removals.scan().select("instruction_id").unique()
        kept = [
            self.instructions.scan_shard(shard).join(removed, on="instruction_id", how="anti").collect()
            for shard in shards
        ]
        instructions = pl.concat([SYNTHESIZED_INSTRUCTIONS.make_empty(), *kept])
        responses = pl.concat([RESPONSES.make_empty(), *map(self.responses.read_shard, shards)])
        judgements = pl.concat([JUDGEMENTS.make_empty(), *map(self.judgements.read_shard, shards)])
        revisions = pl.concat([RESPONSE_REVISIONS.make_empty(), *map(self.revisions.read_shard, shards)])
        return replace(
            ready,
            instructions=tell_talks(instructions),
            responses=responses,
            judgements=judgements,
            revisions=revisions,
        )


def make_dump_pairs(run: StageRun) -> Production:
    """Make the pairs of a dump by every preference method of the recipe, each in shards of its own."""
    check_preferences(run.recipe)
    sources = PairSources(*(run.read(table) for table in PAIR_INPUTS))
    inputs = fingerprint_inputs(*sources.datasets)
    work = [item for given in run.recipe.preferences.methods for item in plan_method(given, run, sources)]
    return run.write(work, call, inputs=inputs, is_in_process=True)


def call(function: Callable[..., ShardResult], *arguments: Any) -> ShardResult:
    """Make one shard: methods differ in how."""
    return function(*arguments)


def plan_method(given: Any, run: StageRun, sources: PairSources) -> Iterator[ShardWork]:
    """Yield the shards of one method; none if it is for another dump."""
    (settings, beside), entry = read_preference_method(given, run.recipe)
    method = PREFERENCE_RUNS[entry.method]
    settings = add_families(settings, run.knobs.families)
    dump = run.dump or ""
    if not is_for(run, entry.method, beside.get("dump")):
        return
    asked = method.names_asked(entry)
    ready = PreferenceRun(
        entry,
        settings,
        beside,
        dump,
        run.recipe.instructions.criterion,
        open_run_teacher(run.knobs.choose_teacher("responses")) if "teacher" in asked else None,
        open_run_judge(run) if "judge" in asked else None,
    )
    names = [who.name for who in (ready.teacher, ready.judge) if who is not None]
    whom = identify_asked(names, run.knobs.families if ready.judge is not None else {})
    scope = method.find_scope(entry)
    if scope == "posts":
        laid = LaidDump(entry.files["posts"], settings, run.knobs.cache_folder)
        count = laid.count_shards()
        for place in range(count):
            identity = digest_settings([entry.method, place, count])
            yield ShardWork(f"{entry.method}-{place:05d}", identity, (posts_shard, ready, laid, place, count))
        return
    if "previous" in entry.files:
        yield ShardWork(f"{entry.method}-previous", digest_settings(whom), (pairs_shard, run_previous, ready, False))
    if scope == "file":
        if "problems" in entry.files:
            ready = replace(ready, runner=_open_runner(run))
        identity = digest_settings([entry.method, whom])
        yield ShardWork(f"{entry.method}-file", identity, (pairs_shard, method.run, ready, False))
        return
    read = sources.datasets if entry.method == REVISING_METHOD else sources.datasets[:4]
    shards = follow_shards(*(read[:2] if scope == "instructions" else read), extra=whom)
    if scope == "dump":
        identity = digest_settings([entry.method, [item.inputs for item in shards]])
        parts = tuple(item.shard for item in shards)
        yield ShardWork(f"{entry.method}-all", identity, (rows_shard, method.run, ready, sources, parts))
        return
    for item in shards:
        arguments = (rows_shard, method.run, ready, sources, (item.shard,))
        yield ShardWork(f"{entry.method}-{item.shard}", digest_settings([entry.method, item.inputs]), arguments)


def rows_shard(
    make: Callable[[PreferenceRun], Made], ready: PreferenceRun, sources: PairSources, shards: tuple[str, ...]
) -> ShardResult:
    """Run a method on the rows of some shards."""
    return pairs_shard(make, sources.fill(ready, shards), True)


def posts_shard(ready: PreferenceRun, laid: LaidDump, place: int, count: int) -> ShardResult:
    """Pair the answers of one part of a StackExchange dump."""
    comparisons = laid.pair(place, count)
    return pairs_shard(lambda _: Made(comparisons, counts=laid.rows if place == 0 else {}), ready, False)


def pairs_shard(make: Callable[[PreferenceRun], Made], ready: PreferenceRun, of_instructions: bool) -> ShardResult:
    """Run a method and return its pairs with their account: comparisons looked at = pairs + left out by reason."""
    started = time.monotonic()
    teacher = WatchedTeacher(ready.teacher) if ready.teacher is not None else None
    judge = WatchedTeacher(ready.judge) if ready.judge is not None else None
    watched = [who for who in (teacher, judge) if who is not None]
    made = cap_shares(make(replace(ready, teacher=teacher, judge=judge)), ready)
    for who in watched:
        refuse_outage(who.asked, who.failures, who.name)
    if any(who.asked for who in watched):
        warn_of_nothing(ready.entry.method, made.comparisons.frame.height, made.comparisons.left_out)
    frame = table_pairs(made.comparisons.frame, ready.dump, of_instructions=of_instructions)
    spent = made.spent
    counts: dict[str, float] = {}
    if spent is not None:
        counts = {
            "requests": spent.requests,
            "requests_cached": spent.cached,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cost": spent.cost,
        }
    return ShardResult(
        frame,
        made.comparisons.planned,
        rows_removed=sum(made.comparisons.left_out.values()),
        removed_by_rule=made.comparisons.left_out,
        counts={**counts, **made.counts},
        device_seconds=time.monotonic() - started if watched else 0.0,
    )


def cap_shares(made: Made, ready: PreferenceRun) -> Made:
    """Return what a method made, less the pairs by which a family has more than the share that the recipe gives it."""
    if FAMILY_SHARE not in ready.beside:
        return made
    from mmpipe.synthesis.family_shares import cap_families

    families = dict(ready.responses.select("response_id", "family").iter_rows())
    seed = getattr(ready.settings, "seed", 0)
    return replace(made, comparisons=cap_families(made.comparisons, families, ready.beside[FAMILY_SHARE], seed))


def _open_runner(run: StageRun) -> Any:
    from mmpipe.storage.program_sandbox import ProgramSandbox

    return ProgramSandbox(workers=run.engine.workers)
