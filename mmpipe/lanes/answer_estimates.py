"""Says what rephrasing, sampled responses, judges and preference methods would ask for, before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.preference_sections import RATING_METHOD, REVISING_METHOD
from mmpipe.lanes.instruction_candidates import keep_instructions
from mmpipe.lanes.instructions import choose_rows, open_once
from mmpipe.lanes.preference_methods import PREFERENCE_RUNS, add_families, read_preference_method
from mmpipe.lanes.preference_runs import PreferenceRun, list_answers, list_first, rate_answers
from mmpipe.lanes.preferences import choose_answered, collect_judgement_settings, collect_response_settings
from mmpipe.lanes.rephrasing import collect_wrap_settings
from mmpipe.lanes.response_authors import open_authors
from mmpipe.lanes.response_revisions import revise, share_answers
from mmpipe.lanes.synthesis_estimates import Asked, MethodEstimate, Unasked, estimate
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs, StageRun
    from mmpipe.tables.chat import Estimate, Teacher
    from mmpipe.tables.columns import Table

_NOT_MADE = "depends on kept instructions, and none are made yet; estimate again once instruction_removals is"


@dataclass(frozen=True, slots=True)
class _Answers:
    """Kept instructions and their responses; those that are not sampled yet stand for the longest there may be.

    Attributes:
        instructions: kept rows, talks with their words before.
        responses: of the chosen ones.
        unsaid_tokens: most tokens of a response that is not sampled yet; 0 where they are there.
    """

    instructions: pl.DataFrame
    responses: pl.DataFrame
    unsaid_tokens: int


def estimate_answers(run: StageRun) -> list[MethodEstimate]:
    """Return what rephrasing, responses, judges and preference methods of the recipe would ask for, where they would.

    Counted is the first round, one attempt each. Nobody is asked and nothing is written.

    Args:
        run: of any stage of the instruction lane; the corpus is published.

    Raises:
        ConfigurationError: the recipe or a file of it cannot work.
        DatasetNotReady: the corpus is not published yet.
    """
    opened: dict[str, Teacher] = {}

    def open_one(knobs: Knobs) -> Teacher:
        return open_once(knobs, opened)

    def open_for(use: str) -> Teacher:
        return open_one(run.knobs.choose_teacher(use))

    made = [_estimate_rephrasing(run, open_for("rephrasing"))] if run.recipe.rephrasing.styles else []
    entries = run.recipe.preferences.list_entries(run.recipe.name)
    asking = [entry for entry in entries if PREFERENCE_RUNS[entry.method].names_asked(entry)]
    of_files = [entry for entry in asking if PREFERENCE_RUNS[entry.method].find_scope(entry) == "file"]
    ready = _is_published(run, SYNTHESIZED_INSTRUCTIONS) and _is_published(run, INSTRUCTION_REMOVALS)
    made += [_estimate_preferences(entry, run, open_for, None) for entry in of_files]
    if not ready:
        waiting = [name for name, is_asked in _list_steps(run.recipe) if is_asked]
        waiting += [entry.method for entry in asking if entry not in of_files]
        return made + [MethodEstimate(name, "", None, _NOT_MADE, waits=True) for name in waiting]
    answers = _read_answers(run, open_one)
    made += _estimate_responses(run, answers, open_for, open_one)
    for entry in asking:
        if entry.method == REVISING_METHOD:
            made += _estimate_revisions(entry, run, open_one, answers)
        if entry not in of_files:
            made.append(_estimate_preferences(entry, run, open_for, answers))
    return made


def _list_steps(recipe: Recipe) -> list[tuple[str, bool]]:
    """Return the steps between instructions and pairs, and whether the recipe has somebody asked in each."""
    from mmpipe.synthesis.reference_judgements import CRITERION as BY_REFERENCE

    preferences = recipe.preferences
    return [
        ("responses", preferences.reads_responses),
        ("judgements", preferences.reads_criterion and recipe.instructions.criterion != BY_REFERENCE),
        (f"judgements ({RATING_METHOD})", preferences.find(RATING_METHOD) is not None),
        (RESPONSE_REVISIONS.name, preferences.find(REVISING_METHOD) is not None),
    ]


def _is_published(run: StageRun, table: Table) -> bool:
    """Return whether a table is there, and was not made by an earlier version whose rows lack a column."""
    dataset = run.read(table)
    return dataset.find_manifest() is not None and set(table.column_names) <= set(dataset.scan().collect_schema())


# what is asked --------------------------------------------------------------------------------------------------------


def _catch(name: str, make: Callable[[], object], note: str, more_tokens: int = 0) -> MethodEstimate:
    """Return what `make` would ask first; each request may grow by `more_tokens` that nobody has said yet."""
    try:
        make()
    except Asked as asked:
        told = widen(estimate(asked.teacher, asked.requests), more_tokens)
        return MethodEstimate(name, asked.teacher.name, told, note)
    return MethodEstimate(name, "", None, "asks nobody")


def widen(told: Estimate, more_tokens: int) -> Estimate:
    """Return an estimate whose prompts are longer by so many tokens each, at the same price."""
    if not more_tokens or not told.prompt_tokens:
        return told
    tokens = told.prompt_tokens + more_tokens * told.asked
    cost = told.prompt_cost * tokens / told.prompt_tokens
    return replace(
        told, prompt_tokens=tokens, prompt_cost=cost, most_cost=told.most_cost - told.prompt_cost + cost
    )  # fmt: skip


def _estimate_rephrasing(run: StageRun, teacher: Teacher) -> MethodEstimate:
    from mmpipe.models.tokenizer import load_tokenizer
    from mmpipe.synthesis.wrap import rephrase_documents

    settings = run.recipe.rephrasing
    tokenizer = load_tokenizer(run.knobs.tokenizer or None)
    documents = choose_rows(run.read(DEDUPED_CORPUS), "doc_id", settings.documents_per_dump, settings.seed)
    return _catch(
        "rephrasing",
        lambda: rephrase_documents(
            documents,
            Unasked(teacher),
            collect_wrap_settings(settings),
            lambda texts: [len(ids) for ids in tokenizer.encode_batch(list(texts))],
        ),
        f"refused pieces are asked again, each at most {settings.attempts} times in all",
    )


def _read_answers(run: StageRun, open_one: Callable[[Knobs], Teacher]) -> _Answers:
    """Return the kept instructions with their responses, or with one for each that will be sampled."""
    from mmpipe.synthesis.talks import tell_talks

    instructions, removals = run.read(SYNTHESIZED_INSTRUCTIONS), run.read(INSTRUCTION_REMOVALS)
    kept = keep_instructions(instructions, removals).frame
    section = run.recipe.instructions
    if _is_published(run, RESPONSES) and (said := run.read(RESPONSES).scan().collect()).height:
        return _Answers(tell_talks(kept), said, 0)
    chosen = choose_answered(instructions, removals, run.recipe)
    authors = open_authors(run.recipe, run.knobs, open_one).teachers if chosen else {}
    routes = collect_response_settings(run.recipe, run.knobs.families).routes
    # texts that differ, as answers do: equal ones are not compared
    rows = [
        {"response_id": make_id("response", name, place), "instruction_id": name, "dump": dump, "sample_index": place,
         "response": f"{place}.", "teacher": authors[author].name}
        for name, dump in kept.select("instruction_id", "dump").iter_rows() if name in chosen
        for place, author in enumerate(routes.list_authors(name))
    ]  # fmt: skip
    return _Answers(tell_talks(kept), pl.DataFrame(rows, schema=RESPONSES.schema), section.max_tokens)


def _estimate_responses(
    run: StageRun, answers: _Answers, open_for: Callable[[str], Teacher], open_one: Callable[[Knobs], Teacher]
) -> list[MethodEstimate]:
    from mmpipe.synthesis.judgements import judge_responses
    from mmpipe.synthesis.responses import sample_responses

    (responses, _), (judgements, by_criterion), (ratings, by_aspects), _ = _list_steps(run.recipe)
    made = []
    asked = set(answers.responses.get_column("instruction_id"))
    if asked:
        rows = answers.instructions.filter(pl.col("instruction_id").is_in(sorted(asked)))
        # the talk is told to judges; whoever answers hears it turn by turn
        plain = run.read(SYNTHESIZED_INSTRUCTIONS).scan().join(rows.lazy(), on="instruction_id", how="semi").collect()
        settings = collect_response_settings(run.recipe, run.knobs.families)
        for author, teacher in open_authors(run.recipe, run.knobs, open_one).teachers.items():
            made.append(
                _catch(
                    f"{responses} ({author})" if author else responses,
                    partial(sample_responses, plain, Unasked(teacher), settings, author),
                    "",
                )
            )
    unsaid = answers.unsaid_tokens
    if by_criterion and asked:
        judging = collect_judgement_settings(run.recipe, run.knobs.families)
        made.append(
            _catch(
                judgements,
                lambda: judge_responses(answers.responses, answers.instructions, Unasked(open_for("judge")), judging),
                _tell_bound(unsaid),
                unsaid,
            )
        )
    if by_aspects and asked:
        entry = run.recipe.preferences.find(RATING_METHOD)
        assert entry is not None
        (rating, beside), _ = read_preference_method(entry, run.recipe)
        options = (add_families(rating, run.knobs.families), beside)
        listed = list_answers(answers.responses, answers.instructions)
        # several answers stand in one request
        together = min(rating.answers_together, run.recipe.instructions.samples_per_prompt)
        made.append(
            _catch(
                ratings,
                lambda: rate_answers(listed, Unasked(open_for("judge")), options),
                f"{_tell_bound(unsaid)}; lists that cannot be read are asked again".lstrip("; "),
                unsaid * together,
            )
        )
    return made


def _estimate_revisions(
    entry: Any, run: StageRun, open_one: Callable[[Knobs], Teacher], answers: _Answers
) -> list[MethodEstimate]:
    """Return what models would be asked to revise their responses, each about its own."""
    (settings, _), _ = read_preference_method(entry, run.recipe)
    first = list_first(answers.responses, answers.instructions)
    authors = open_authors(run.recipe, run.knobs, open_one).teachers
    shared = share_answers(first, [Unasked(author) for author in authors.values()])
    note = f"the first critiques; up to {2 * settings.rounds - 1} more requests an answer"
    note = "; ".join(said for said in (_tell_bound(answers.unsaid_tokens), note) if said)
    return [
        _catch(
            f"{RESPONSE_REVISIONS.name} ({name})" if name else RESPONSE_REVISIONS.name,
            partial(revise, own, author, settings),
            note,
            answers.unsaid_tokens,
        )
        for name, (author, own) in zip(authors, shared, strict=True)
    ]


def _stand_in_revisions(run: StageRun, answers: _Answers) -> pl.DataFrame:
    """Return the tries that are made, or one for each answer that will be revised."""
    if _is_published(run, RESPONSE_REVISIONS) and (tried := run.read(RESPONSE_REVISIONS).scan().collect()).height:
        return tried
    first = list_first(answers.responses, answers.instructions)
    rows = [
        {"revision_id": f"{name} revised", "instruction_id": name, "round": 1, "revision_status": "ok",
         "revision": f"{answer} Revised.", "teacher": model}
        for name, answer, model in first.select("prompt_id", "answer", "model").iter_rows()
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=RESPONSE_REVISIONS.schema)


def _tell_bound(unsaid_tokens: int) -> str:
    return f"an upper bound: each response counts as {unsaid_tokens:,} tokens" if unsaid_tokens else ""


def _estimate_preferences(
    entry: Any, run: StageRun, open_for: Callable[[str], Teacher], answers: _Answers | None
) -> MethodEstimate:
    """Return what one preference method would ask for; `answers` are None for one that reads a file."""
    (settings, beside), entry = read_preference_method(entry, run.recipe)
    if beside.get("dump", run.dump) != run.dump:
        return MethodEstimate(entry.method, "", None, "makes its pairs for another dump")
    names = PREFERENCE_RUNS[entry.method].names_asked(entry)
    ready = PreferenceRun(
        entry,
        add_families(settings, run.knobs.families),
        beside,
        run.dump or "",
        run.recipe.instructions.criterion,
        Unasked(open_for("responses")) if "teacher" in names else None,
        Unasked(open_for("judge")) if "judge" in names else None,
        judgements=JUDGEMENTS.make_empty(),
    )
    if answers is not None:
        revisions = _stand_in_revisions(run, answers)
        ready = replace(ready, instructions=answers.instructions, responses=answers.responses, revisions=revisions)
    unsaid = 0 if answers is None else answers.unsaid_tokens
    notes = [_tell_bound(unsaid)] if entry.method != "spin" else []
    # a comparison shows two answers, and who answers a prompt sees none
    more = {"pairwise_judge": 2 * unsaid}.get(entry.method, 0)
    if entry.method == REVISING_METHOD:
        notes.append("where every answer is revised")
        more = unsaid + settings.max_tokens
    note = "; ".join(note for note in notes if note)
    return _catch(entry.method, lambda: PREFERENCE_RUNS[entry.method].run(ready), note, more)
