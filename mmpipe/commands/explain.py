"""`mmpipe explain`: the fate of a document, pair or instruction at every stage, with values and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.commands.fates import Fate, Step, conclude, count_of, shorten
from mmpipe.commands.instruction_fates import (
    explain_instruction,
    explain_pair_of_answers,
    explain_response,
    explain_source,
)
from mmpipe.commands.lookup import Found, RowNotFound, complete_id, find_named, find_url, read_rows
from mmpipe.commands.removed_fates import tell_of_removed_dump
from mmpipe.commands.stage_rows import Look
from mmpipe.commands.stage_words import (
    describe_balance,
    describe_corrections,
    describe_duplicate,
    describe_image_duplicate,
    describe_scores,
)
from mmpipe.commands.taken_fates import explain_taken, tell_of_takedown
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.image_release import IMAGE_DATASET
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.instructions import (
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    SFT_DATASET,
)
from mmpipe.tables.interleaved import INTERLEAVED_CANDIDATES, INTERLEAVED_REMOVALS
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import IMAGE_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS, REPHRASED_REMOVALS
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_CONTAMINATION,
    TEXT_CORRECTIONS,
    TEXT_DUPLICATES,
    TEXT_REPEATS,
    TEXT_SCORES,
)
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

#: What a stage did with a row that was removed before it.
_NOT_REACHED = "not reached"
_REPEAT = ("method", "start", "end", "kept_doc_id", "kept_start")
_SPAN = ("evaluation_set", "item", "start", "end", "matched_text")


def explain(lake: Lake, wanted: str) -> list[Fate]:
    """Return the fate of what an id or its beginning names, or of every record of a URL.

    Raises:
        RowNotFound: nothing published has it, or several ids begin so.
    """
    wanted = complete_id(lake, wanted)
    try:
        found = find_url(lake, wanted) if "://" in wanted else find_named(lake, wanted)
    except RowNotFound:
        others = explain_taken(lake, wanted) or explain_source(lake, wanted)
        if not others:
            raise
        return others
    return [tell_of_takedown(lake, tell_of_removed_dump(lake, _explain_found(lake, item))) for item in found]


def _explain_found(lake: Lake, found: Found) -> Fate:
    row = found.row
    if found.table.name in (PREFERENCE_PAIRS.name, PREFERENCE_DATASET.name):
        return explain_pair_of_answers(lake, row)
    if "response_id" in row:
        return explain_response(lake, found.dump or row["dump"], row)
    if "instruction_id" in row:
        return explain_instruction(lake, found.dump or row["dump"], row["instruction_id"])
    if found.table.name == SFT_DATASET.name:
        return explain_instruction(lake, row["dump"], row["id"])
    return _explain_crawled(lake, found)


def _explain_crawled(lake: Lake, found: Found) -> Fate:
    """Return the fate of a pair or document, or that a row of any other table stands there."""
    row = found.row
    # a row that only a dataset over all dumps still holds tells its dump itself
    dump = str(found.dump or row.get("dump"))
    if found.table in (REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS):
        return _explain_rephrased(lake, dump, row)
    if "pair_id" in row:
        return _explain_pair(lake, dump, row["pair_id"])
    if "doc_id" in row:
        return _explain_document(lake, dump, row["doc_id"])
    key = found.table.key[0]
    return Fate(found.table.name, row[key], found.dump, f"stands in {found.table.name}", (_show(found),))


def _show(found: Found) -> Step:
    return Step(found.table.name, "is there", shorten(found.row))


def _explain_document(lake: Lake, dump: str, doc_id: str) -> Fate:
    look = Look(lake, dump, pl.col("doc_id") == doc_id)
    filtered = look.at(FILTERED_TEXT, lambda _: "kept", absent="not in it")
    is_past = filtered.fate.startswith("kept")
    steps = [
        look.at(RAW_CRAWL, lambda row: f"{row['record_status']}, {row['kind']}"),
        look.at(EXTRACTED_TEXT, lambda row: row["extraction_status"]),
        look.at(TEXT_CORRECTIONS, describe_corrections),
        look.at(TEXT_SIGNALS, lambda _: "measured"),
        look.at(TEXT_SCORES, describe_scores),
        look.at_removals(TEXT_REMOVALS),
        filtered,
        look.at(TEXT_DUPLICATES, describe_duplicate, absent="no duplicate found" if is_past else _NOT_REACHED),
        look.at_all(TEXT_REPEATS, _REPEAT, "repeated spans, cut") if is_past else Step(TEXT_REPEATS.name, _NOT_REACHED),
        look.at_all(TEXT_CONTAMINATION, _SPAN, "contaminated spans")
        if is_past
        else Step(TEXT_CONTAMINATION.name, _NOT_REACHED),
        look.at(DEDUPED_CORPUS, lambda _: "kept", absent="not in it"),
        look.at_all(IMAGE_CANDIDATES, ("pair_id", "image_url", "caption"), "pairs on this page"),
        look.at(INTERLEAVED_CANDIDATES, lambda row: f"{len(row['images'])} places", absent="no such document"),
        look.at_removals(INTERLEAVED_REMOVALS),
        Look(lake, None, pl.col("doc_id") == doc_id).at_all(INTERLEAVED_DATASET, ("order", "url"), "released rows"),
        look.made_from(doc_id),
        look.at_all(REPHRASED_CANDIDATES, ("rephrased_id", "style", "candidate_status"), "tries in other words"),
        look.at_all(REPHRASED_DOCUMENTS, ("rephrased_id", "style", "teacher"), "times in other words"),
        _count_pretraining(lake, doc_id),
    ]
    return Fate("document", doc_id, dump, conclude(steps, (FILTERED_TEXT, DEDUPED_CORPUS)), tuple(steps))


def _explain_rephrased(lake: Lake, dump: str, row: dict[str, Any]) -> Fate:
    """Return the fate of a document in other words, and which document it says again."""
    rephrased_id = row["rephrased_id"]
    again = Look(lake, dump, pl.col("rephrased_id") == rephrased_id)
    told = again.at_removals(REPHRASED_REMOVALS)
    steps = [
        Look(lake, dump, pl.col("doc_id") == row["doc_id"]).at(DEDUPED_CORPUS, lambda _: "what it says again"),
        again.at(REPHRASED_CANDIDATES, _describe_again),
        told,
        again.at(REPHRASED_DOCUMENTS, lambda _: "kept", absent="not in it"),
        _count_pretraining(lake, rephrased_id),
    ]
    if told.fate.startswith("removed by"):
        verdict = f"{row['doc_id']} in other words: {conclude(steps, ())}"
    else:
        read = f"{steps[-1].fate} of" if steps[-1].fate.startswith("in ") else "kept;"
        end = "" if steps[-1].fate.startswith("in ") else " is not made yet"
        verdict = f"{row['doc_id']} in other words, {read} {PRETRAINING_DATASET.name}{end}"
    return Fate("rephrased document", rephrased_id, dump, verdict, tuple(steps))


def _describe_again(row: dict[str, Any]) -> str:
    told = f"{row['style']}, in {count_of(row['pieces'], 'pieces')}, {row['teacher']}"
    status = row["candidate_status"]
    return told if status == "ok" else f"{told}; {row['failed_pieces']} of them failed, first by {status}"


def _explain_pair(lake: Lake, dump: str, pair_id: str) -> Fate:
    look = Look(lake, dump, pl.col("pair_id") == pair_id)
    released = Look(lake, None, pl.col("pair_id") == pair_id)
    steps = [
        look.at(IMAGE_CANDIDATES, lambda row: f"bytes: {row['image_origin']}"),
        look.at(IMAGE_SIGNALS, lambda row: row["decode_status"]),
        look.at(IMAGE_COUNTS, lambda row: f"{row['caption_pairs']:.0f} with this caption in the dump"),
        look.at(IMAGE_DUPLICATES, describe_image_duplicate, absent="no duplicate found, or not reached"),
        look.at(IMAGE_BALANCE, describe_balance, absent="not balanced, or not reached"),
        look.at_removals(IMAGE_REMOVALS),
        look.at(FILTERED_IMAGE_PAIRS, lambda _: "kept", absent="not in it"),
        look.at_all(IMAGE_CAPTIONS, ("method", "caption", "is_kept", "reason"), "further captions"),
        look.at(GROUNDED_PAIRS, lambda row: f"{len(row['noun_chunks'])} phrases with boxes", absent="not grounded"),
        released.at_all(IMAGE_DATASET, ("key", "caption"), "released rows"),
        look.made_from(pair_id),
    ]
    return Fate("pair", pair_id, dump, conclude(steps, (FILTERED_IMAGE_PAIRS,)), tuple(steps))


def _count_pretraining(lake: Lake, doc_id: str) -> Step:
    dataset = lake.dataset(PRETRAINING_DATASET)
    if dataset.find_manifest() is None:
        return Step(PRETRAINING_DATASET.name, "not made yet")
    rows = read_rows(dataset, pl.col("doc_ids").list.contains(doc_id)) or []
    return Step(PRETRAINING_DATASET.name, f"in {count_of(len(rows), 'sequences')}")
