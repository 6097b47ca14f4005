"""Collects what the cards of released rows tell beside their files: sources, lengths, evaluation sets, known limits."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.instruction_candidates import STATUS, scan_kept
from mmpipe.lanes.pretraining_sources import REPHRASED
from mmpipe.lanes.release_sources import OF_THE_PAGES
from mmpipe.tables.correction_steps import MASK_STEP
from mmpipe.tables.instruction_matches import INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS, PREFERENCE_CONTAMINATION
from mmpipe.tables.instructions import PREFERENCE_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS, TEXT_CONTAMINATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmpipe.lanes.pretraining_sources import PretrainingSource
    from mmpipe.lanes.stage import StageRun
    from mmpipe.release.dataset_card import CardContamination, CardSource
    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table

#: Upper ends of the classes of a histogram of lengths; a last one holds what is longer.
LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

_WRITTEN_AGAIN = "of the pages, and the terms of the model that wrote them again; see below"

#: Columns of messages whose words are counted.
_SPOKEN = ("messages", "prompt", "chosen", "rejected")


def list_document_sources(run: StageRun) -> list[CardSource]:
    """Return the sources of the training sequences, with the sequences of each."""
    from mmpipe.release.dataset_card import CardSource

    rows = run.read(run.stage.table).scan().group_by("source").len().collect(engine="streaming")
    return [
        CardSource(name, count, _WRITTEN_AGAIN if name.endswith(f"/{REPHRASED}") else OF_THE_PAGES)
        for name, count in sorted(rows.iter_rows())
    ]


def list_writers(sources: Iterable[PretrainingSource]) -> list[str]:
    """Return the teachers that wrote documents of the sources again."""
    written = (source.dataset for source in sources if "teacher" in source.dataset.table.schema)
    return sorted(
        {name for dataset in written for name in dataset.scan().select("teacher").unique().collect()["teacher"]}
    )


def count_words(run: StageRun) -> list[tuple[str, int]]:
    """Return (words, published rows) of all that is said in a row, as a histogram."""
    dataset = run.read(run.stage.table)
    spoken = [name for name in _SPOKEN if name in run.stage.table.schema]
    counts: Counter[int] = Counter()
    for batch in dataset.scan().select(spoken).collect_batches(chunk_size=4096):
        words = [
            batch.get_column(name).list.eval(pl.element().struct.field("content").str.count_matches(r"\S+")).list.sum()
            for name in spoken
        ]
        counts.update(pl.DataFrame([column.alias(str(place)) for place, column in enumerate(words)]).sum_horizontal())
    return count_classes(counts)


def count_document_tokens(run: StageRun) -> list[tuple[str, int]]:
    """Return (tokens, documents) of the documents in the sequences; one cut in two counts twice."""
    lengths = run.read(run.stage.table).scan().select(pl.col("doc_lengths").explode().alias("length"))
    counted = lengths.drop_nulls().group_by("length").len().collect(engine="streaming")
    return count_classes(dict(counted.iter_rows()))


def count_classes(counts: Any) -> list[tuple[str, int]]:
    """Return the rows of each class of `LENGTHS` that lies between the shortest and the longest row.

    Args:
        counts: rows by length.
    """
    edges = (-1, *LENGTHS)
    rows = [sum(count for length, count in counts.items() if low < length <= high) for low, high in pairwise(edges)]
    rows.append(sum(count for length, count in counts.items() if length > LENGTHS[-1]))
    names = [f"{low + 1:,} to {high:,}" for low, high in pairwise(edges)] + [f"more than {LENGTHS[-1]:,}"]
    filled = [place for place, count in enumerate(rows) if count]
    return list(zip(names, rows, strict=True))[filled[0] : filled[-1] + 1] if filled else []


def list_contamination(run: StageRun, production: Production, dumps: Sequence[str]) -> list[CardContamination]:
    """Return, for each evaluation set of the recipe, how many rows were held against it and how many went for it.

    Of documents, those that went are among the removals of the dumps; of conversations and pairs, among the release's
    own, with those that a better answer brought in.
    """
    from mmpipe.release.dataset_card import CardContamination

    settings = run.recipe.contamination
    if run.stage.table is PREFERENCE_DATASET:
        looked, removed = PREFERENCE_CONTAMINATION, Counter(production.manifest.removed_by_rule)
    elif "doc_ids" in run.stage.table.schema:
        looked, removed = TEXT_CONTAMINATION, _add_removed(run, DEDUPED_CORPUS, dumps)
    else:
        looked, removed = INSTRUCTION_CONTAMINATION, Counter(production.manifest.removed_by_rule)
    rows = sum(_read_manifests(run, looked, dumps, "rows_in"))
    method = f"shared {settings.ngram_words}-grams of words" + ("" if settings.remove else ", listed and not removed")
    return [
        CardContamination(item.name, method, rows, int(removed[f"contamination_{item.name}"])) for item in settings.sets
    ]


def list_limits(run: StageRun, dumps: Sequence[str]) -> list[str]:
    """Return what the rows are known not to be, one sentence each."""
    recipe = run.recipe
    limits = [
        "Shared words are found, paraphrases and translations of evaluation items are not."
        if recipe.contamination.sets
        else "No evaluation set was named, so benchmarks may stand in the rows word by word."
    ]
    masked = any(step.step == MASK_STEP for step in recipe.corrections.steps)
    told = "Personal data is masked by patterns, which miss names." if masked else "Personal data is not masked."
    if "doc_ids" in run.stage.table.schema:
        return [*limits, told, "Text of the open web is biased as the web is, and may be wrong, outdated or offensive."]
    reviewed = sum(_read_manifests(run, INSTRUCTION_REVIEWS, dumps, "rows_out"))
    looked = (
        f"{reviewed:,} instructions have a verdict of people or a model's votes" if reviewed else "nobody reviewed them"
    )
    others = " Files that methods read, and what models wrote, are as they are." if masked else ""
    limits.append(told + others)
    limits.append(f"Rows may be wrong however sure they sound: most are written by models, and {looked}.")
    near = recipe.instructions.duplicates
    if near is None or not (near.rouge_l or near.minhash_jaccard or near.cosine):
        limits.append("Nearly equal instructions of different methods were not looked for.")
    else:
        limits.append("Nearly equal instructions were looked for within a dump, not across dumps.")
    if run.stage.table is PREFERENCE_DATASET:
        limits.append("The better answer is what the named criterion calls better; only votes are people's.")
    return limits


def count_fallen(run: StageRun, dumps: Iterable[str]) -> tuple[int, Counter[str]]:
    """Return how many instructions of the dumps are kept, and how many each rule takes, refused candidates left aside.

    Args:
        run: of any stage.
        dumps: their names.
    """
    kept, fallen = 0, Counter[str]()
    for dump in dumps:
        instructions = run.lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump)
        removals = run.lake.dataset(INSTRUCTION_REMOVALS, dump)
        kept += int(scan_kept(instructions, removals).select(pl.len()).collect().item())
        taken = removals.scan().filter(pl.col("signal") != STATUS).select("instruction_id", "rule").unique()
        fallen.update(dict(taken.group_by("rule").len().collect().iter_rows()))
    return kept, fallen


def tell_cost(money: float, rows: int) -> str | None:
    """Return what the card tells of the money that teachers cost, failed attempts included; None where none was spent.

    Args:
        money: in the currency of the teachers' price lists, which rows do not name.
        rows: published ones.
    """
    if not money:
        return None
    each = f"; {money / rows:,.6f} per published row" if rows else ""
    return f"{money:,.4f} in the currency of the teachers' prices, failed attempts included{each}"


def _read_manifests(run: StageRun, table: Table, dumps: Iterable[str], name: str) -> Iterable[int]:
    for dump in dumps:
        manifest = run.lake.dataset(table, dump).find_manifest()
        if manifest is not None:
            yield getattr(manifest, name)


def _add_removed(run: StageRun, table: Table, dumps: Iterable[str]) -> Counter[str]:
    removed: Counter[str] = Counter()
    for dump in dumps:
        manifest = run.lake.dataset(table, dump).find_manifest()
        if manifest is not None:
            removed.update(manifest.removed_by_rule)
    return removed
