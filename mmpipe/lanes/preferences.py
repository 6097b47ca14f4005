"""The second half of the instruction lane: kept instructions → sampled responses → judgements, shard by shard."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.filtering.preference_sections import RATING_METHOD
from mmpipe.lanes.instructions import account_for, open_run_teacher
from mmpipe.lanes.preference_methods import add_families, check_preferences, read_preference_method
from mmpipe.lanes.preference_runs import list_answers, rate_answers
from mmpipe.lanes.response_authors import ask_authors, open_authors
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.teacher_watch import refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.response_authors import Authors
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.synthesis.judgements import JudgementSettings
    from mmpipe.synthesis.responses import ResponseSettings
    from mmpipe.tables.chat import Teacher


def sample_dump_responses(run: StageRun) -> Production:
    """Sample several responses to the kept instructions, one shard per shard of them."""
    instructions, removals = run.read(SYNTHESIZED_INSTRUCTIONS), run.read(INSTRUCTION_REMOVALS)
    check_preferences(run.recipe)
    chosen = choose_answered(instructions, removals, run.recipe)
    # where no method reads responses nobody is asked, so no teacher has to be there
    authors = open_authors(run.recipe, run.knobs, open_run_teacher) if chosen else None
    work = []
    extra = identify_asked(authors.identities, run.knobs.families) if authors else ""
    for item in follow_shards(instructions, removals, extra=extra):
        ids = instructions.scan_shard(item.shard).select("instruction_id").collect()
        answered = [name for name in ids.to_series().to_list() if name in chosen]
        arguments = (instructions, item.shard, answered, run.recipe, authors, run.knobs.families)
        work.append(ShardWork(item.shard, digest_settings([item.inputs, answered]), arguments))
    return run.write(work, responses_shard, inputs=fingerprint_inputs(instructions, removals), is_in_process=True)


def choose_answered(instructions: Dataset, removals: Dataset, recipe: Recipe) -> set[str]:
    """Return the instructions of a dump that are answered: kept, and at most `answered_per_dump`, by hash of their ids.

    Those that come with tools are not. Ids alone are held. Nobody is answered where no method reads responses.
    """
    if not recipe.preferences.reads_responses:
        return set()
    section = recipe.instructions
    removed = removals.scan().select("instruction_id").unique()
    # the request of a response shows no tools, so an answer to it could call none
    askable = instructions.scan().filter(pl.col("tools").is_null())
    kept = askable.select("instruction_id").join(removed, on="instruction_id", how="anti").collect()
    ids = kept.get_column("instruction_id").to_list()
    if section.answered_per_dump is None:
        return set(ids)
    ranked = sorted(ids, key=lambda name: make_id("responses", section.seed, name))
    return set(ranked[: section.answered_per_dump])


def responses_shard(
    instructions: Dataset,
    shard: str,
    answered: Sequence[str],
    recipe: Recipe,
    authors: Authors | None,
    families: Mapping[str, str],
) -> ShardResult:
    """Sample the responses of one shard."""
    if authors is None or not answered:
        return ShardResult(RESPONSES.make_empty(), 0)
    started = time.monotonic()
    rows = instructions.read_shard(shard).filter(pl.col("instruction_id").is_in(answered))
    synthesis = ask_authors(rows, authors, collect_response_settings(recipe, families))
    return account_for(synthesis, time.monotonic() - started)


def collect_response_settings(recipe: Recipe, families: Mapping[str, str]) -> ResponseSettings:
    """Return the recipe's section as sampled responses take it, with the families that the knobs give."""
    from mmpipe.synthesis.responses import ResponseSettings

    section = recipe.instructions
    return ResponseSettings(
        samples=section.samples_per_prompt,
        temperature=section.temperature,
        max_tokens=section.max_tokens,
        seed=section.seed,
        pool=section.response_teachers,
        principles=section.principles,
        families=families,
    )


def collect_judgement_settings(recipe: Recipe, families: Mapping[str, str]) -> JudgementSettings:
    """Return the recipe's section as judgements by a criterion take it, with the families that the knobs give."""
    from mmpipe.synthesis.judgements import JudgementSettings

    section = recipe.instructions
    return JudgementSettings(
        criterion=section.criterion,
        seed=section.seed,
        families=families,
        judges_own_family=section.judges_own_family,
    )


def judge_dump_responses(run: StageRun) -> Production:
    """Judge every response: by the recipe's criterion, by aspects, or both, as its preference methods read them."""
    from mmpipe.synthesis.reference_judgements import CRITERION as BY_REFERENCE

    check_preferences(run.recipe)
    instructions, responses = run.read(SYNTHESIZED_INSTRUCTIONS), run.read(RESPONSES)
    preferences = run.recipe.preferences
    by_criterion = preferences.reads_criterion and run.recipe.instructions.criterion != BY_REFERENCE
    # a comparison with the accepted answer asks nobody, so no teacher has to be there
    is_asked = by_criterion or preferences.find(RATING_METHOD) is not None
    teacher = open_run_judge(run) if is_asked else None
    extra = identify_asked([teacher.name], run.knobs.families) if teacher else BY_REFERENCE
    work = [
        ShardWork(
            item.shard, item.inputs, (instructions, responses, item.shard, run.recipe, teacher, run.knobs.families)
        )
        for item in follow_shards(instructions, responses, extra=extra)
    ]
    inputs = fingerprint_inputs(instructions, responses)
    return run.write(work, judgements_shard, inputs=inputs, is_in_process=True)


def identify_asked(names: Sequence[str], families: Mapping[str, str]) -> str:
    """Return whom a shard asks, and the families that the knobs give: they decide which answers a judge may score."""
    return ",".join([*names, *(f"{model}={family}" for model, family in sorted(families.items()))])


def open_run_judge(run: StageRun) -> Teacher:
    """Return who judges: the run's judge, or its teacher where none is named."""
    return open_run_teacher(run.knobs.choose_teacher("judge"))


def judgements_shard(
    instructions: Dataset,
    responses: Dataset,
    shard: str,
    recipe: Recipe,
    teacher: Teacher | None,
    families: Mapping[str, str],
) -> ShardResult:
    """Judge the responses of one shard; without a teacher, by the accepted answers."""
    from mmpipe.synthesis.judgements import judge_responses
    from mmpipe.synthesis.reference_judgements import judge_by_reference
    from mmpipe.synthesis.talks import tell_talks

    said, asked = responses.read_shard(shard), tell_talks(instructions.read_shard(shard))
    if said.is_empty():
        return ShardResult(JUDGEMENTS.make_empty(), 0)
    started = time.monotonic()
    parts = []
    if recipe.preferences.reads_criterion:
        if teacher is None:
            parts.append(judge_by_reference(said, asked))
        else:
            parts.append(judge_responses(said, asked, teacher, collect_judgement_settings(recipe, families)))
    counts: dict[str, float] = {}
    entry = recipe.preferences.find(RATING_METHOD)
    if entry is not None and teacher is not None:
        (settings, beside), _ = read_preference_method(entry, recipe)
        options = (add_families(settings, families), beside)
        rated, counts = rate_answers(list_answers(said, asked), teacher, options)
        parts.append(rated)
    frames = [JUDGEMENTS.make_empty()]
    for part in parts:
        refuse_outage(part.planned, part.rejected_replies)
        read = part.frame.filter(pl.col("judgement_status") != "unparsed").height
        warn_of_nothing("judgements", read, part.rejected_replies)
        frames.append(part.frame)
        for name, count in account_for(part, 0.0).counts.items():
            counts[name] = counts.get(name, 0) + count
    frame = pl.concat(frames)
    return ShardResult(frame, frame.height, counts=counts, device_seconds=time.monotonic() - started)
