"""The release over all dumps: conversations, preference pairs and packed tokens, as files a trainer reads."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.dialect_release import count_refused
from mmpipe.lanes.dump_owners import refuse_repeated
from mmpipe.lanes.instruction_candidates import keep_instructions, scan_kept
from mmpipe.lanes.instruction_matches import keep_clean_corrections
from mmpipe.lanes.instruction_reviews import apply_corrections
from mmpipe.lanes.present_pictures import take_pictured
from mmpipe.lanes.pretraining_release import release_sequences
from mmpipe.lanes.ready_dumps import list_ready
from mmpipe.lanes.release_files import render_release
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import (
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.keep import keep
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.tables.columns import Table


def write_per_dump(
    run: StageRun, tables: tuple[Table, ...], function: Callable[..., ShardResult], *arguments: Any
) -> Production:
    """Make one shard per dump, from the datasets of that dump; the first table is of the instructions.

    Raises:
        ConfigurationError: an instruction stands in two dumps.
    """
    ready = list_ready(run, *tables)
    refuse_repeated([datasets[0] for datasets in ready])
    inputs = {name: value for datasets in ready for name, value in fingerprint_inputs(*datasets).items()}
    work = [
        ShardWork(str(datasets[0].dump), digest_settings(fingerprint_inputs(*datasets)), (*datasets, *arguments))
        for datasets in ready
    ]
    return run.write(work, function, inputs=inputs)


# sft_dataset ----------------------------------------------------------------------------------------------------------

_SFT_INPUTS = (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS, FILTERED_IMAGE_PAIRS)
_CONVERSATION_INPUTS = (*_SFT_INPUTS, INSTRUCTION_REVIEWS)


def release_conversations(run: StageRun) -> Production:
    """Render the kept instructions of all dumps as conversations."""
    arguments = (run.recipe, run.lake, run.knobs.cache_folder, run.recipe.release.dialects)
    production = write_per_dump(run, _CONVERSATION_INPUTS, conversations_shard, *arguments)
    render_release(run, production)
    return production


def conversations_shard(
    instructions: Dataset,
    removals: Dataset,
    pairs: Dataset,
    reviews: Dataset,
    recipe: Recipe,
    lake: Any,
    cache_folder: str,
    dialects: tuple[str, ...],
) -> ShardResult:
    """Render the conversations of one dump, with the answers that people corrected."""
    from mmpipe.release.conversations import render_conversations

    kept = keep_instructions(instructions, removals)
    said = reviews.scan().collect()
    clean = keep_clean_corrections(apply_corrections(kept.frame, said), said, recipe, cache_folder)
    pictured = take_pictured(clean.frame, pairs, lake, cache_folder)
    frame = render_conversations(pictured.instructions, pictured.files)
    counts = count_refused(frame, SFT_DATASET, dialects)
    removed = kept.rows_removed + clean.rows_removed + sum(pictured.lost.values())
    by_rule = Counter(kept.removed_by_rule) + Counter(clean.removed_by_rule) + Counter(pictured.lost)
    return ShardResult(frame, kept.rows_in, removed, dict(by_rule), counts=counts)


# preference_dataset ---------------------------------------------------------------------------------------------------

_PREFERENCE_INPUTS = (*_SFT_INPUTS, PREFERENCE_PAIRS, PREFERENCE_REMOVALS)


def release_preferences(run: StageRun) -> Production:
    """Render the preference pairs of all dumps that nothing takes."""
    arguments = (run.lake, run.knobs.cache_folder, run.recipe.release.dialects)
    production = write_per_dump(run, _PREFERENCE_INPUTS, preferences_shard, *arguments)
    render_release(run, production)
    return production


def preferences_shard(
    instructions: Dataset,
    removals: Dataset,
    pairs: Dataset,
    preferred: Dataset,
    fallen: Dataset,
    lake: Any,
    cache_folder: str,
    dialects: tuple[str, ...],
) -> ShardResult:
    """Render the preference pairs of one dump: pairs in = rows + removed."""
    from mmpipe.release.preference_pairs import render_preferences

    stayed = keep(preferred.scan().collect(), fallen.scan().collect(), key="pair_id")
    settled = stayed.frame
    asked = settled.lazy().select("instruction_id")
    kept = scan_kept(instructions, removals)
    answered = kept.join(asked, on="instruction_id", how="semi", maintain_order="left").collect()
    pictured = take_pictured(answered, pairs, lake, cache_folder)
    # a pair of a file answers no instruction, and has no picture to lose
    lost = pl.col("instruction_id").is_in(list(pictured.faults)).fill_null(value=False)
    unpictured = Counter(pictured.faults[name] for name in settled.filter(lost).get_column("instruction_id"))
    frame = render_preferences(settled.filter(~lost), pictured.instructions, pictured.files)
    by_rule = Counter(stayed.removed_by_rule) + unpictured
    removed = stayed.rows_removed + unpictured.total()
    counts = count_refused(frame, PREFERENCE_DATASET, dialects)
    return ShardResult(frame, stayed.rows_in, removed, dict(by_rule), counts=counts)


RELEASE_LANE = (
    Stage(SFT_DATASET, _CONVERSATION_INPUTS, release_conversations, ("release", "contamination"), is_per_dump=False),
    Stage(
        PREFERENCE_DATASET,
        _PREFERENCE_INPUTS,
        release_preferences,
        ("release", "contamination"),
        revision=5,
        is_per_dump=False,
    ),
    Stage(
        PRETRAINING_DATASET,
        (DEDUPED_CORPUS, REPHRASED_DOCUMENTS),
        release_sequences,
        ("pretraining", "memory_maps"),
        is_per_dump=False,
    ),
)
