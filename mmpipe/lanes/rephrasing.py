"""Has documents of the corpus rephrased for pretraining, judges and keeps them; says which of both a mixture takes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import InvariantBroken
from mmpipe.lanes.image_scoring import open_identifier
from mmpipe.lanes.instruction_candidates import STATUS, count_spent
from mmpipe.lanes.instructions import choose_rows, open_run_teacher
from mmpipe.lanes.repeats import open_evaluation_index
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.teacher_watch import WatchedTeacher, refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS, REPHRASED_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.filtering.rephrasing_sections import RephrasingSettings
    from mmpipe.lanes.stage import Knobs
    from mmpipe.models.language import LanguageModel
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.synthesis.wrap_settings import WrapSettings
    from mmpipe.tables.chat import Teacher

#: Documents between two commits.
DOCUMENTS_PER_SHARD = 128
#: Characters of evidence in a removal.
EVIDENCE_CHARS = 1_000


# rephrased_candidates -------------------------------------------------------------------------------------------------


def rephrase_corpus(run: StageRun) -> Production:
    """Have documents of a dump written again in the recipe's styles; none if it names no style."""
    settings = run.recipe.rephrasing
    corpus = run.read(DEDUPED_CORPUS)
    inputs = fingerprint_inputs(corpus)
    if not settings.styles:
        return run.write([], rephrase_shard, inputs=inputs)
    from mmpipe.models.tokenizer import load_tokenizer

    teacher = open_run_teacher(run.knobs.choose_teacher("rephrasing"))
    tokenizer = load_tokenizer(run.knobs.tokenizer or None)
    identifier = None if settings.language_score is None else open_identifier(run.knobs)
    rows = choose_rows(corpus, "doc_id", settings.documents_per_dump, settings.seed)
    chosen = rows.select("doc_id", "dump", "language", "text")
    work = []
    for number, chunk in enumerate(chosen.iter_slices(DOCUMENTS_PER_SHARD)):
        read = [make_id(*row) for row in chunk.select("doc_id", "text").iter_rows()]
        # pieces are cut by the tokenizer
        identity = digest_settings([teacher.name, tokenizer.digest, identifier.digest if identifier else "", read])
        arguments = (chunk, run.recipe, teacher, run.knobs, identifier)
        work.append(ShardWork(f"rephrased-{number:05d}", identity, arguments))
    return run.write(work, rephrase_shard, inputs=inputs, is_in_process=True)


def rephrase_shard(
    documents: pl.DataFrame, recipe: Recipe, teacher: Teacher, knobs: Knobs, identifier: LanguageModel | None
) -> ShardResult:
    """Have the documents of one shard written again, each in its styles: one row for each, whatever became of it.

    Raises:
        InvariantBroken: rows, pieces or tokens of the method's account are not all there.
    """
    from mmpipe.models.tokenizer import load_tokenizer
    from mmpipe.synthesis.wrap import rephrase_documents

    started = time.monotonic()
    tokenizer = load_tokenizer(knobs.tokenizer or None)
    watched = WatchedTeacher(teacher)
    made = rephrase_documents(
        documents,
        watched,
        collect_wrap_settings(recipe.rephrasing),
        lambda texts: [len(ids) for ids in tokenizer.encode_batch(list(texts))],
        None if identifier is None else lambda texts: identifier.identify(list(texts)),
    )
    refuse_outage(watched.asked, watched.failures)
    became = Counter(made.tried.get_column(STATUS).to_list())
    warn_of_nothing("rephrasing", became.pop("ok", 0), became)
    seconds = time.monotonic() - started
    wanted = documents.height * recipe.rephrasing.styles_per_document
    paid = sum(int(made.tried.get_column(name).sum()) for name in ("prompt_tokens", "completion_tokens"))
    spent = made.synthesis.spent
    if made.tried.height != wanted or paid != spent.prompt_tokens + spent.completion_tokens:
        raise InvariantBroken(
            f"rephrased_candidates: {documents.height} documents in {recipe.rephrasing.styles_per_document} styles are "
            f"{made.tried.height} rows with {paid} of {spent.prompt_tokens + spent.completion_tokens} tokens. The "
            f"method's account is wrong."
        )
    counts = count_spent(made.synthesis) | {
        "pieces": float(made.tried.get_column("pieces").sum()),
        "pieces_failed": float(made.tried.get_column("failed_pieces").sum()),
    }
    return ShardResult(made.tried, wanted, counts=counts, device_seconds=seconds)


# rephrased_removals ---------------------------------------------------------------------------------------------------


def judge_rephrased(run: StageRun) -> Production:
    """Say of every document that was not written again why: the guards its pieces failed, or an evaluation set."""
    candidates = run.read(REPHRASED_CANDIDATES)
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe, run.knobs.cache_folder))
        for item in follow_shards(candidates)
    ]
    if work and run.recipe.contamination.sets:
        # built here once, so that the shards only map it
        open_evaluation_index(run.recipe, run.knobs.cache_folder)
    return run.write(work, judge_rephrased_shard, inputs=fingerprint_inputs(candidates))


def judge_rephrased_shard(candidates: Dataset, shard: str, recipe: Recipe, cache_folder: str) -> ShardResult:
    """Judge the candidates of one shard."""
    rows = candidates.read_shard(shard)
    removals = pl.concat([list_faults(rows), find_contaminated(rows, recipe, cache_folder)])
    removals = REPHRASED_REMOVALS.conform(removals.sort(REPHRASED_REMOVALS.key))
    return ShardResult(
        removals,
        rows.height,
        rows_removed=removals.get_column("rephrased_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="rephrased_id"),
        accounts_for_rows=False,
    )


def list_faults(candidates: pl.DataFrame) -> pl.DataFrame:
    """Return a removal for every guard that pieces of a document failed, with the measure of the first such piece.

    `value_text` tells what was found in which piece; `signal` is the guard's measure, or the status where it only says
    yes or no.

    Args:
        candidates: rows of REPHRASED_CANDIDATES.
    """
    from mmpipe.synthesis.wrap_guards import SIGNALS

    faults = (
        candidates.filter(pl.col("faults").list.len() > 0)
        .select("rephrased_id", "pieces", pl.col("faults").alias("fault"))
        .explode("fault")
        .unnest("fault")
    )
    where = pl.when(pl.col("pieces") > 1).then(pl.format("piece {} of {}", "piece", "pieces"))
    said = pl.concat_str(where, pl.when(pl.col("found") != "").then("found"), separator=": ", ignore_nulls=True)
    told = faults.with_columns(said=said).sort("rephrased_id", "rule", "piece")
    first = told.group_by("rephrased_id", "rule", maintain_order=True).agg(
        pl.col("value", "low", "high", "allowed").first(),
        pl.col("said").filter(pl.col("said") != "").str.join("; ").str.slice(0, EVIDENCE_CHARS).alias("value_text"),
    )
    named = first.with_columns(
        signal=pl.col("rule").replace_strict(SIGNALS, default=STATUS, return_dtype=pl.String),
        value_text=pl.when(pl.col("value_text") != "").then("value_text"),
        allowed=pl.when(pl.col("allowed").list.len() > 0).then("allowed"),
    )
    return REPHRASED_REMOVALS.conform(named.select(REPHRASED_REMOVALS.column_names))


def find_contaminated(candidates: pl.DataFrame, recipe: Recipe, cache_folder: str) -> pl.DataFrame:
    """Return the removals of documents whose new text holds parts of an evaluation set, as the text lane's rules do."""
    from mmpipe.deduplication.contamination import find_contamination, removals_of_contamination

    written = candidates.filter(pl.col(STATUS) == "ok")
    if not recipe.contamination.sets or written.is_empty():
        return REPHRASED_REMOVALS.make_empty()
    texts = written.select("dump", "text", doc_id="rephrased_id")
    hits = find_contamination(texts, open_evaluation_index(recipe, cache_folder))
    removals = removals_of_contamination(hits, remove=recipe.contamination.remove)
    return REPHRASED_REMOVALS.conform(removals.rename({"doc_id": "rephrased_id"}))


# rephrased_documents --------------------------------------------------------------------------------------------------


def keep_rephrased(run: StageRun) -> Production:
    """Keep the documents that were written again and that nothing removed."""
    candidates, removals = run.read(REPHRASED_CANDIDATES), run.read(REPHRASED_REMOVALS)
    commits = {commit.shard: commit for commit in candidates.require_manifest().commits}
    work = [
        # what was paid is not all in the rows, and may differ between two runs that made equal ones
        ShardWork(item.shard, make_id(item.inputs, str(commits[item.shard].counts)), item.arguments)
        for item in follow_shards(candidates, removals)
    ]
    return run.write(work, keep_rephrased_shard, inputs=fingerprint_inputs(candidates, removals))


def keep_rephrased_shard(candidates: Dataset, removals: Dataset, shard: str) -> ShardResult:
    """Keep the documents of one shard: candidates = rows + removed; with what all of them cost.

    Raises:
        InvariantBroken: a document that its method refused would stay.
    """
    rows = candidates.read_shard(shard)
    kept = keep(rows, removals.read_shard(shard), key="rephrased_id")
    if (refused := kept.frame.filter(pl.col(STATUS) != "ok")).height:
        raise InvariantBroken(
            f"{candidates.label}, shard {shard}: {refused.height} refused documents have no removal, first "
            f"{refused.item(0, 'rephrased_id')}. Materialize {REPHRASED_REMOVALS.name} again."
        )
    (commit,) = (commit for commit in candidates.require_manifest().commits if commit.shard == shard)
    frame = REPHRASED_DOCUMENTS.conform(kept.frame.select(REPHRASED_DOCUMENTS.column_names))
    return ShardResult(frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule, counts=commit.counts)


def collect_wrap_settings(section: RephrasingSettings) -> WrapSettings:
    """Return the recipe's section as WRAP takes it."""
    from mmpipe.synthesis.wrap_settings import WrapSettings

    names = {item.name for item in fields(WrapSettings)}
    return WrapSettings(**{item.name: getattr(section, item.name) for item in fields(section) if item.name in names})


# the mixture ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TwinChoice:
    """Which documents of a dump a mixture takes.

    Attributes:
        real: ids of deduped_corpus.
        rephrased: ids of rephrased_documents.
        left_out_real: real documents left out.
        left_out_rephrased: rephrased ones left out.
    """

    real: frozenset[str]
    rephrased: frozenset[str]
    left_out_real: int
    left_out_rephrased: int


def choose_twins(corpus: Dataset, rephrased: Dataset, settings: RephrasingSettings) -> TwinChoice:
    """Return the largest choice of whole documents in exactly the recipe's ratio; only ids are read."""
    from mmpipe.synthesis.wrap_mixing import mix_with_twins

    assert settings.ratio is not None
    nothing = pl.lit("").alias("text")
    mixture = mix_with_twins(
        corpus.scan().select("doc_id", nothing).collect(),
        rephrased.scan().select("rephrased_id", "doc_id", "style", nothing).collect(),
        ratio=(settings.ratio[0], settings.ratio[1]),
        seed=settings.seed,
    )
    is_rephrased = pl.col("is_rephrased")
    return TwinChoice(
        frozenset(mixture.frame.filter(~is_rephrased).get_column("row_id")),
        frozenset(mixture.frame.filter(is_rephrased).get_column("row_id")),
        mixture.left_out_real,
        mixture.left_out_rephrased,
    )


#: Who asks the teacher.
REPHRASING = Stage(REPHRASED_CANDIDATES, (DEDUPED_CORPUS,), rephrase_corpus, ("rephrasing",))
REPHRASING_LANE = (
    REPHRASING,
    Stage(REPHRASED_REMOVALS, (REPHRASED_CANDIDATES,), judge_rephrased, ("contamination",)),
    Stage(REPHRASED_DOCUMENTS, (REPHRASED_CANDIDATES, REPHRASED_REMOVALS), keep_rephrased),
)
