"""The release over all dumps: conversations, preference pairs and packed tokens, as files a trainer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.lanes.dialect_release import count_refused
from mmpipe.lanes.dump_owners import refuse_repeated
from mmpipe.lanes.instruction_candidates import keep_instructions, scan_kept
from mmpipe.lanes.instruction_matches import find_contaminated_corrections
from mmpipe.lanes.instruction_reviews import apply_corrections
from mmpipe.lanes.left_out_rows import (
    FAULTY_CONVERSATION,
    FAULTY_PAIR,
    account_for_release,
    keep_released,
    list_left_out,
)
from mmpipe.lanes.present_pictures import find_pictures
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
    """Render the conversations of one dump, with the answers that people corrected; what is left out has its reason."""
    from mmpipe.release.conversations import find_faulty_conversations, render_conversations

    judged = keep_instructions(instructions, removals)
    said = reviews.scan().collect()
    rows = apply_corrections(judged.frame, said)
    pictures = find_pictures(rows, pairs, lake, cache_folder)
    left_out = list_left_out(
        dump=str(instructions.dump),
        removals=find_contaminated_corrections(rows, said, recipe, cache_folder),
        lost=pictures.faults,
        faulty=find_faulty_conversations(rows),
        fault=FAULTY_CONVERSATION,
    )
    kept = keep_released(rows, left_out, "instruction_id")
    frame = render_conversations(kept.frame, pictures.files)
    return account_for_release(frame, judged, kept, left_out, count_refused(frame, SFT_DATASET, dialects))


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
    """Render the preference pairs of one dump: pairs in = rows + removed, each that is removed here with its reason."""
    from mmpipe.release.preference_pairs import find_faulty_pairs, render_preferences

    judged = keep(preferred.scan().collect(), fallen.scan().collect(), key="pair_id")
    settled = judged.frame
    asked = settled.lazy().select("instruction_id")
    answered = scan_kept(instructions, removals).join(asked, on="instruction_id", how="semi", maintain_order="left")
    questions = answered.collect()
    pictures = find_pictures(questions, pairs, lake, cache_folder)
    # a pair of a file answers no instruction, and has no picture to lose
    answers = dict(settled.select("pair_id", "instruction_id").iter_rows())
    left_out = list_left_out(
        dump=str(instructions.dump),
        lost={pair: pictures.faults[name] for pair, name in answers.items() if name in pictures.faults},
        faulty=find_faulty_pairs(settled, questions),
        fault=FAULTY_PAIR,
    )
    kept = keep_released(settled, left_out, "pair_id")
    frame = render_preferences(kept.frame, questions, pictures.files)
    return account_for_release(frame, judged, kept, left_out, count_refused(frame, PREFERENCE_DATASET, dialects))


RELEASE_LANE = (
    Stage(
        SFT_DATASET,
        _CONVERSATION_INPUTS,
        release_conversations,
        ("release", "contamination"),
        revision=2,
        is_per_dump=False,
    ),
    Stage(
        PREFERENCE_DATASET,
        _PREFERENCE_INPUTS,
        release_preferences,
        ("release", "contamination"),
        revision=6,
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
