"""Tells the fate of an instruction, of a response, judgement or revision of it, and of a preference pair."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.commands.fates import Fate, Step, conclude, count_of, shorten
from mmpipe.commands.lookup import read_rows
from mmpipe.commands.stage_rows import Look
from mmpipe.commands.stage_words import (
    describe_candidate,
    describe_draw,
    describe_judgement,
    describe_response,
    describe_review,
    describe_revision,
    describe_twin,
)
from mmpipe.commands.unanswered import say_why_unanswered
from mmpipe.filtering.instruction_equals import COMPARED, SIGNAL, digest_equals
from mmpipe.storage.dumps import list_dumps
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import (
    INSTRUCTION_CANDIDATES,
    JUDGEMENTS,
    PREFERENCE_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake

#: What a stage did with a row that another took before it.
_NOT_REACHED = "not reached"

_SPAN = ("field", "evaluation_set", "item", "start", "end", "matched_text")
_RESPONSE = ("response_id", "sample_index", "teacher", "principle", "finish_reason", "response")
_JUDGEMENT = ("response_id", "criterion", "score", "judgement_status")
_REVISION = ("revision_id", "round", "revision_status", "critique", "revision")
_PAIR = ("pair_id", "method", "score_chosen", "score_rejected")


# instructions ---------------------------------------------------------------------------------------------------------


def explain_instruction(lake: Lake, dump: str, instruction_id: str) -> Fate:
    """Return the fate of an instruction, or of a candidate that its method refused."""
    wanted = pl.col("instruction_id") == instruction_id
    look = Look(lake, dump, wanted)
    released = Look(lake, None, pl.col("id") == instruction_id)
    pairs = pl.col("group_id") == instruction_id
    candidate = look.at(INSTRUCTION_CANDIDATES, describe_candidate)
    is_refused = candidate.values.get("candidate_status", "ok") != "ok"
    # an accepted candidate's values are those of its row
    told = candidate if is_refused else Step(candidate.asset, candidate.fate)
    removals = _name_equals(lake, dump, instruction_id, look.at_removals(INSTRUCTION_REMOVALS))
    if is_refused:
        removals = _show_refused(removals, candidate)
    is_removed = removals.fate.startswith("removed by")
    unasked = _NOT_REACHED if is_refused else None
    unanswered = _NOT_REACHED if is_removed else None
    why = unanswered or say_why_unanswered(lake, dump, instruction_id)
    unjudged = unanswered or ("no response to judge" if why else None)
    steps = [
        told,
        look.at(SYNTHESIZED_INSTRUCTIONS, describe_draw, "not in it"),
        look.at_all(INSTRUCTION_CONTAMINATION, _SPAN, "contaminated spans", unasked),
        look.at(INSTRUCTION_REVIEWS, describe_review, absent=unasked or "not reviewed"),
        look.at(
            INSTRUCTION_DUPLICATES,
            describe_twin,
            absent=unasked or ("not compared: another reason takes it" if is_removed else "no row like it"),
        ),
        removals,
        look.at_all(RESPONSES, _RESPONSE, "responses", why),
        look.at_all(JUDGEMENTS, _JUDGEMENT, "judgements", unjudged),
        look.at_all(RESPONSE_REVISIONS, _REVISION, "tries", unanswered),
        Look(lake, dump, pairs).at_all(PREFERENCE_PAIRS, _PAIR, "pairs", unanswered),
        released.at_release(SFT_DATASET, instruction_id, None if is_removed else dump),
        Look(lake, None, pairs).at_all(PREFERENCE_DATASET, ("id", *_PAIR[1:]), "preference pairs", unanswered),
    ]
    return Fate("instruction", instruction_id, dump, conclude(steps, (SFT_DATASET,)), tuple(steps))


def _show_refused(removals: Step, candidate: Step) -> Step:
    """Return the step with what the method said of its candidate in place of the status, which is the rule's name."""
    status = candidate.values["candidate_status"]
    rows = tuple(_tell_refused(row, candidate) if row["rule"] == status else row for row in removals.rows)
    return replace(removals, rows=rows)


def _tell_refused(row: dict[str, Any], candidate: Step) -> dict[str, Any]:
    """Return a removal with what the method's check measured and lets pass; else with all it said."""
    details = candidate.values.get("details") or ""
    limit, said = f"accepted by {candidate.values['method']}", row["measured"]
    if "candidate_status" in row["limit"]:
        measure = re.search(r'"measure": "(\w+)"', details)
        limit = row["limit"].replace("candidate_status", measure[1] if measure else row["rule"])
    elif said == row["rule"]:
        said = details or f"the text above ({candidate.asset})"
    return row | {"measured": said, "limit": limit}


def _name_equals(lake: Lake, dump: str, instruction_id: str, removals: Step) -> Step:
    """Return the step with the equal instruction that stays, where a row goes for one."""
    if not any(SIGNAL in str(row["limit"]) for row in removals.rows):
        return removals
    dataset = lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump)
    if dataset.find_manifest() is None:
        return removals
    # letters alone: words are read of the few rows that may be equal
    letters = pl.col("instruction").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    is_own = pl.col("instruction_id") == instruction_id
    own = dataset.scan().filter(is_own).select(key=letters)
    alike = dataset.scan().select(COMPARED).join(own, left_on=letters, right_on="key", how="semi").collect()
    digested = digest_equals(alike)
    equal = digested.filter(pl.col("same").is_in(digested.filter(is_own).get_column("same").implode()))
    stays = equal.join(_list_removed(lake, dump), on="instruction_id", how="anti").get_column("instruction_id").sort()
    return replace(removals, fate=f"{removals.fate}; {stays[0]} says the same and stays") if len(stays) else removals


def _list_removed(lake: Lake, dump: str) -> pl.DataFrame:
    return lake.dataset(INSTRUCTION_REMOVALS, dump).scan().select("instruction_id").unique().collect()


def explain_source(lake: Lake, row_id: str) -> list[Fate]:
    """Return what was made, in each dump, of a row of a file that a recipe names; nothing where no row says so."""
    fates = []
    for dump in list_dumps(lake):
        made = Look(lake, dump, pl.lit(value=True)).made_from(row_id)
        if made.rows:
            kept = sum(row.get("fate") == "kept" for row in made.rows)
            verdict = f"{count_of(len(made.rows), 'rows')} made from it, {kept} of them kept"
            fates.append(Fate("row of a file", row_id, dump, verdict, (made,)))
    return fates


# responses, judgements, revisions -------------------------------------------------------------------------------------


def explain_response(lake: Lake, dump: str, row: dict[str, Any]) -> Fate:
    """Return the fate of a response, or of a judgement or revision of it: what it answers, and where it was compared.

    Args:
        lake: where the datasets are.
        dump: of the row.
        row: a row of RESPONSES, JUDGEMENTS or RESPONSE_REVISIONS.
    """
    response_id = row["response_id"]
    look = Look(lake, dump, pl.col("response_id") == response_id)
    judged = look.at_all(JUDGEMENTS, ("judgement_id", *_JUDGEMENT[1:]), "judgements")
    tried = look.at_all(RESPONSE_REVISIONS, _REVISION, "tries")
    kind, own_id = "response", response_id
    if "judgement_id" in row:
        kind, own_id = "judgement", row["judgement_id"]
        judged = replace(judged, fate=describe_judgement(row), values=shorten(row))
    elif "revision_id" in row:
        kind, own_id = "revision", row["revision_id"]
        tried = replace(tried, fate=describe_revision(row), values=shorten(row))
    compared = own_id if kind == "revision" else response_id
    among = (pl.col("chosen_id") == compared) | (pl.col("rejected_id") == compared)
    pairs = read_rows(lake.dataset(PREFERENCE_PAIRS, dump), among) or []
    ids = [pair["pair_id"] for pair in pairs]
    steps = [
        *_show_asked(lake, dump, row["instruction_id"]),
        look.at(RESPONSES, describe_response),
        judged,
        tried,
        Look(lake, dump, among).at_all(PREFERENCE_PAIRS, (*_PAIR, "chosen_id", "rejected_id"), "pairs"),
        Look(lake, dump, pl.col("pair_id").is_in(ids)).at_all(PREFERENCE_REMOVALS, ("pair_id", "rule"), "of them fall"),
        Look(lake, None, pl.col("id").is_in(ids)).at_all(PREFERENCE_DATASET, ("id", *_PAIR[1:]), "preference pairs"),
    ]
    chosen = sum(pair["chosen_id"] == compared for pair in pairs)
    verdict = f"chosen in {chosen} and rejected in {len(pairs) - chosen} of the pairs of {row['instruction_id']}"
    if kind == "judgement":
        verdict = f"{describe_judgement(row)}, of response {response_id}; that is {verdict}"
    return Fate(kind, own_id, dump, verdict, tuple(steps))


def _show_asked(lake: Lake, dump: str, instruction_id: str) -> list[Step]:
    look = Look(lake, dump, pl.col("instruction_id") == instruction_id)
    return [look.at(SYNTHESIZED_INSTRUCTIONS, describe_draw), look.at_removals(INSTRUCTION_REMOVALS)]


# preference pairs -----------------------------------------------------------------------------------------------------


def explain_pair_of_answers(lake: Lake, row: dict[str, Any]) -> Fate:
    """Return the fate of a preference pair: what it compares, and whether it is released.

    Args:
        lake: where the datasets are.
        row: a row of PREFERENCE_PAIRS or PREFERENCE_DATASET.
    """
    dump, pair_id = row["dump"], row.get("pair_id") or row["id"]
    look = Look(lake, dump, pl.col("pair_id") == pair_id)
    made = read_rows(lake.dataset(PREFERENCE_PAIRS, dump), pl.col("pair_id") == pair_id) or []
    steps: list[Step] = []
    if made and made[0]["instruction_id"] is not None:
        answers = pl.col("response_id").is_in([made[0]["chosen_id"], made[0]["rejected_id"]])
        revised = pl.col("revision_id").is_in([made[0]["chosen_id"], made[0]["rejected_id"]])
        steps = [
            *_show_asked(lake, dump, made[0]["instruction_id"]),
            Look(lake, dump, answers).at_all(RESPONSES, _RESPONSE, "of its answers"),
            Look(lake, dump, answers).at_all(JUDGEMENTS, _JUDGEMENT, "judgements of them"),
            Look(lake, dump, revised).at_all(RESPONSE_REVISIONS, _REVISION, "of its answers"),
        ]
    removals = look.at_removals(PREFERENCE_REMOVALS)
    is_removed = removals.fate.startswith("removed by")
    steps += [
        look.at(PREFERENCE_PAIRS, lambda pair: f"by {pair['method']}"),
        look.at_all(PREFERENCE_CONTAMINATION, _SPAN, "contaminated spans"),
        removals,
        Look(lake, None, pl.col("id") == pair_id).at_release(PREFERENCE_DATASET, pair_id, None if is_removed else dump),
    ]
    return Fate("preference pair", pair_id, dump, conclude(steps, (PREFERENCE_DATASET,)), tuple(steps))
