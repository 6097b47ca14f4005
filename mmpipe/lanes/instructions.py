"""Asks the teacher for instructions by every method of a recipe: documents and pairs → candidates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.lanes.dump_owners import is_for, is_owned
from mmpipe.lanes.exact_methods import ExactRows, order_candidates, read_exact
from mmpipe.lanes.instruction_candidates import account_for_candidates, count_spent, take_accepted
from mmpipe.lanes.method_files import check_files
from mmpipe.lanes.method_inputs import MethodRun
from mmpipe.lanes.picture_sources import read_pictures
from mmpipe.lanes.stage import StageRun, fingerprint_inputs
from mmpipe.lanes.synthesis_methods import (
    EVOLVED,
    FILE_METHODS,
    check_methods,
    list_entries,
    list_weights,
    read_method,
    run_method,
)
from mmpipe.lanes.teacher_roster import CRITICS
from mmpipe.lanes.teacher_watch import refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork, read_committed
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.synthesis.drafts import Accept, Planned, Synthesis
    from mmpipe.synthesis.grounded_questions import GroundedQuestionSettings
    from mmpipe.synthesis.image_instructions import ImageInstructionSettings
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.columns import Table


#: Rows planned per shard: what is asked between two commits. Replies are committed one by one to the cache anyway.
PLANNED_PER_SHARD = 512


def open_run_teacher(knobs: Knobs) -> Teacher:
    """Return the teacher that the knobs name."""
    from mmpipe.models.teachers import open_teacher

    return open_teacher(
        knobs.teacher, device=knobs.device, batch_size=knobs.batch_size, cache_folder=knobs.cache_folder
    )


# instruction_candidates -----------------------------------------------------------------------------------------------


def synthesize_instructions(run: StageRun) -> Production:
    """Ask the teacher for instructions by every method of the recipe."""
    check_methods(run.recipe)
    opened: dict[str, Teacher] = {}
    work: dict[str, list[ShardWork]] = {}
    entries = list_entries(run.recipe)
    # what reads rows of this run is made after them
    for entry in sorted(entries, key=reads_instructions):
        teacher = open_once(run.knobs.choose_teacher(entry.method), opened)
        if entry.method in METHODS:
            work[entry.method] = plan_shards(entry.method, teacher, run, read_exact(entry))
        elif (one := plan_method(entry, teacher, run, work, open_critic(entry, run, opened))) is not None:
            work[entry.method] = [one]
    told = (GROUNDED_PAIRS, IMAGE_CAPTIONS) if any(map(reads_pictures, entries)) else ()
    inputs = fingerprint_inputs(*(run.read(table) for table in (DEDUPED_CORPUS, FILTERED_IMAGE_PAIRS, *told)))
    return run.write([item for items in work.values() for item in items], call, inputs=inputs, is_in_process=True)


def open_once(knobs: Knobs, opened: dict[str, Teacher]) -> Teacher:
    """Return the teacher that the knobs name; two methods with one teacher share it, and its weights."""
    name = digest_settings(dict(knobs.teacher))
    if name not in opened:
        opened[name] = open_run_teacher(knobs)
    return opened[name]


def open_critic(entry: SynthesisMethod, run: StageRun, opened: dict[str, Teacher]) -> Teacher | None:
    """Return who judges within a method, where the file of teachers names one of its own and the method has one."""
    knobs = run.knobs.choose_critic(CRITICS.get(entry.method, ""))
    if knobs is None or read_method(entry, run.recipe)[1].get("critic") is False:
        return None
    return open_once(knobs, opened)


def call(function: Callable[..., ShardResult], *arguments: Any) -> ShardResult:
    """Make one shard: methods differ in how."""
    return function(*arguments)


def reads_instructions(entry: SynthesisMethod) -> bool:
    """Return whether a method reads instructions of the same run."""
    return entry.method in FILE_METHODS and FILE_METHODS[entry.method].reads(entry) == "instructions"


def reads_pictures(entry: SynthesisMethod) -> bool:
    """Return whether a method reads boxes and captions of kept pictures."""
    return entry.method in FILE_METHODS and FILE_METHODS[entry.method].reads(entry) == "pictures"


def plan_shards(name: str, teacher: Teacher, run: StageRun, exact: ExactRows) -> list[ShardWork]:
    """Return the shards of a method that says beforehand what it asks; one where an exact number of rows is wanted."""
    method = METHODS[name]
    planned = method.plan(run.read(method.source), run.recipe)
    if exact.wanted is not None:
        planned = sorted(planned, key=lambda plan: plan.instruction_id)
        identity = digest_settings([teacher.name, [(plan.instruction_id, plan.messages) for plan in planned]])
        arguments = (synthesize_exact_shard, name, planned, run.recipe, teacher, exact, run.dump or "")
        return [ShardWork(f"{name}-00000", identity, arguments)]
    work = []
    for number, start in enumerate(range(0, len(planned), PLANNED_PER_SHARD)):
        chunk = planned[start : start + PLANNED_PER_SHARD]
        identity = digest_settings([teacher.name, [(plan.instruction_id, plan.messages) for plan in chunk]])
        work.append(ShardWork(f"{name}-{number:05d}", identity, (synthesize_shard, name, chunk, run.recipe, teacher)))
    return work


def plan_method(
    entry: SynthesisMethod,
    teacher: Teacher,
    run: StageRun,
    before: Mapping[str, Sequence[ShardWork]],
    critic: Teacher | None = None,
) -> ShardWork | None:
    """Return the one shard of a method that asks in rounds or judges its candidates; None if it is for another dump.

    A method that reads files alone and names no dump has its rows in one dump (`dump_owners`).

    Its options and the digests of its files are in the recipe's section, so in the code version.

    Args:
        entry: the method.
        teacher: who is asked.
        run: the stage's run.
        before: shards made before it, by method.
        critic: who judges within the method; None where that is the teacher too.
    """
    settings, beside = read_method(entry, run.recipe)
    dump = run.dump or ""
    if not is_for(run, entry.method, beside.get("dump")):
        return None
    method, shard = FILE_METHODS[entry.method], f"{entry.method}-00000"
    source = method.reads(entry)
    if not source and "dump" not in beside and not is_owned(run, entry.method, shard):
        return None
    check_files(entry, settings, beside)
    evolved = [item for name in EVOLVED for item in before.get(name, ())] if source == "instructions" else []
    rows = read_documents(run, is_python=source == "python") if source in ("documents", "python") else pl.DataFrame()
    read = [make_id(*row) for row in rows.select("doc_id", "text").iter_rows()] if rows.width else []
    knobs = run.knobs
    pictures = None
    if source == "pictures":
        pictures = read_pictures(run, entry, beside, choose_pairs(run, beside), teacher)
    ready = MethodRun(
        entry, settings, beside, dump, teacher, rows, run.engine.workers, knobs.tokenizer, knobs, pictures, critic
    )
    made_of: list[Any] = [teacher.name, entry.method, read, [(item.shard, item.inputs) for item in evolved]]
    if pictures is not None:
        made_of.append(pictures.identity)
    if critic is not None:
        made_of.append(critic.name)
    if entry.method in CRITICS and knobs.families:
        made_of.append(sorted(knobs.families.items()))
    made_of += list_weights(method, ready)
    return ShardWork(shard, digest_settings(made_of), (method_shard, ready, run, evolved))


def choose_pairs(run: StageRun, beside: Mapping[str, Any]) -> pl.DataFrame:
    """Return the kept pairs that a method is asked about: at most `pairs_per_dump`, and `most` of the method."""
    limits = [limit for limit in (run.recipe.instructions.pairs_per_dump, beside.get("most")) if limit is not None]
    pairs = run.read(FILTERED_IMAGE_PAIRS)
    return choose_rows(pairs, "pair_id", min(limits, default=None), run.recipe.instructions.seed)


def read_documents(run: StageRun, *, is_python: bool) -> pl.DataFrame:
    """Return the documents a method reads, at most `documents_per_dump`: all, or those that hold a function."""
    section = run.recipe.instructions
    corpus = run.read(DEDUPED_CORPUS)
    having = pl.col("text").str.contains(r"(?m)^def ") if is_python else None
    columns = ["doc_id", "dump", "date", "text"]
    return choose_rows(corpus, "doc_id", section.documents_per_dump, section.seed, having).select(columns)


def method_shard(ready: MethodRun, run: StageRun, evolved: Sequence[ShardWork]) -> ShardResult:
    """Run a method as one shard."""
    if evolved:
        dataset, version = run.read(INSTRUCTION_CANDIDATES), run.stage.compute_code_version(run.recipe)
        ready = replace(ready, rows=take_accepted(read_committed(dataset, evolved, version)))
    elif reads_instructions(ready.entry):
        ready = replace(ready, rows=SYNTHESIZED_INSTRUCTIONS.make_empty())
    started = time.monotonic()
    synthesis = run_method(ready)
    return account_for_candidates(synthesis, ready.entry.method, ready.dump, time.monotonic() - started)


def plan_questions(corpus: Dataset, recipe: Recipe) -> list[Planned]:
    """Return what is asked about the documents of a dump; documents are chosen by hash, then read."""
    from mmpipe.synthesis.grounded_questions import plan_grounded_questions

    documents = choose_rows(corpus, "doc_id", recipe.instructions.documents_per_dump, recipe.instructions.seed)
    return plan_grounded_questions(documents, collect_question_settings(recipe))


def plan_pairs(pairs: Dataset, recipe: Recipe) -> list[Planned]:
    """Return what is asked about the image pairs of a dump."""
    from mmpipe.synthesis.image_instructions import plan_image_instructions

    chosen = choose_rows(pairs, "pair_id", recipe.instructions.pairs_per_dump, recipe.instructions.seed)
    return plan_image_instructions(chosen, collect_pair_settings(recipe))


def choose_rows(dataset: Dataset, key: str, most: int | None, seed: int, having: pl.Expr | None = None) -> pl.DataFrame:
    """Return at most `most` rows, chosen by a keyed hash of their ids: the same on every machine, in any sharding."""
    rows = dataset.scan() if having is None else dataset.scan().filter(having)
    ids = rows.select(key).collect().get_column(key).to_list()
    chosen = sorted(ids, key=lambda row_id: make_id("chosen", seed, row_id))[:most]
    wanted = pl.LazyFrame({key: chosen}, schema={key: pl.String})
    return dataset.scan().join(wanted, on=key, how="semi").collect().sort(key)


def synthesize_shard(name: str, planned: Sequence[Planned], recipe: Recipe, teacher: Teacher) -> ShardResult:
    """Ask for the planned rows of one shard."""
    from mmpipe.synthesis.drafts import synthesize

    started = time.monotonic()
    synthesis = synthesize(planned, teacher, METHODS[name].build_accept(recipe))
    refuse_outage(synthesis.planned, synthesis.rejected)
    warn_of_nothing(name, synthesis.frame.height, synthesis.rejected)
    return account_for_candidates(synthesis, name, planned[0].dump, time.monotonic() - started)


def synthesize_exact_shard(
    name: str, planned: Sequence[Planned], recipe: Recipe, teacher: Teacher, exact: ExactRows, dump: str
) -> ShardResult:
    """Ask about candidates until exactly as many rows are accepted as are wanted."""
    from mmpipe.synthesis.drafts import synthesize_exactly

    started = time.monotonic()
    ordered, wanted, budget = order_candidates(planned, exact, recipe.instructions.seed)
    accept = METHODS[name].build_accept(recipe)
    synthesis = synthesize_exactly(iter(ordered), teacher, accept, wanted=wanted, budget=budget)
    refuse_outage(synthesis.planned, synthesis.rejected)
    warn_of_nothing(name, synthesis.frame.height, synthesis.rejected)
    return account_for_candidates(synthesis, name, dump, time.monotonic() - started)


def build_question_accept(recipe: Recipe) -> Accept:
    """Return the checks of a grounded question, by the recipe."""
    from mmpipe.synthesis.grounded_questions import accept_grounded_question

    return partial(accept_grounded_question, settings=collect_question_settings(recipe))


def build_pair_accept(recipe: Recipe) -> Accept:
    """Return the checks of an image instruction, by the recipe."""
    from mmpipe.synthesis.image_instructions import accept_image_instruction

    return partial(accept_image_instruction, settings=collect_pair_settings(recipe))


def collect_question_settings(recipe: Recipe) -> GroundedQuestionSettings:
    """Return the recipe's section as grounded questions take it; which languages stay is the text lane's rule."""
    from mmpipe.synthesis.grounded_questions import GroundedQuestionSettings

    section = recipe.instructions
    return GroundedQuestionSettings(
        languages=(), passages_per_document=section.questions_per_document, seed=section.seed
    )


def collect_pair_settings(recipe: Recipe) -> ImageInstructionSettings:
    """Return the recipe's section as image instructions take it."""
    from mmpipe.synthesis.image_instructions import ImageInstructionSettings

    return ImageInstructionSettings(seed=recipe.instructions.seed)


def account_for(synthesis: Synthesis, device_seconds: float) -> ShardResult:
    """Return a synthesis with its account: planned = rows + rejected by reason; tokens and money, failures included."""
    return ShardResult(
        synthesis.frame,
        synthesis.planned,
        rows_removed=sum(synthesis.rejected.values()),
        removed_by_rule=synthesis.rejected,
        counts=count_spent(synthesis),
        device_seconds=device_seconds,
    )


@dataclass(frozen=True, slots=True)
class Method:
    """One synthesis method: the table it reads, what it asks about it, and which replies it accepts."""

    source: Table
    plan: Callable[[Dataset, Recipe], list[Planned]]
    build_accept: Callable[[Recipe], Accept]


#: The methods that say beforehand what they ask; `lanes.synthesis_methods` has the others.
METHODS = {
    "grounded_questions": Method(DEDUPED_CORPUS, plan_questions, build_question_accept),
    "image_instructions": Method(FILTERED_IMAGE_PAIRS, plan_pairs, build_pair_accept),
}
