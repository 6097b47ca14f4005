"""Calls each preference method on what the lane or a file has: answers, their scores, pairs and the account of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.preference_sections import RATING_METHOD
from mmpipe.lanes.synthesis_inputs import identify_rows, read_records
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS

if TYPE_CHECKING:
    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.synthesis.comparisons import Comparisons
    from mmpipe.synthesis.drafts import Spent, Synthesis
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import ProgramRunner

#: Before the name of an aspect in `judgements.criterion`: the plain criterion may have the same name.
RATED = f"{RATING_METHOD}/"


@dataclass(frozen=True, slots=True)
class PreferenceRun:
    """What a method is called with.

    Attributes:
        entry: as the recipe names it.
        settings: the method's own; None for one that has none.
        beside: options that are no settings.
        dump: what its pairs say.
        criterion: what `instructions.criterion` names.
        teacher: who answers; None where nobody is asked.
        judge: who judges; None likewise.
        instructions: kept ones of a shard; no rows where the method reads a file.
        responses: theirs.
        judgements: of these.
        revisions: of these, every try (`response_revisions`).
        runner: runs programs; None where none are run.
    """

    entry: SynthesisMethod
    settings: Any
    beside: Mapping[str, Any]
    dump: str
    criterion: str
    teacher: Teacher | None = None
    judge: Teacher | None = None
    instructions: pl.DataFrame = field(default_factory=pl.DataFrame)
    responses: pl.DataFrame = field(default_factory=pl.DataFrame)
    judgements: pl.DataFrame = field(default_factory=pl.DataFrame)
    revisions: pl.DataFrame = field(default_factory=pl.DataFrame)
    runner: ProgramRunner | None = None

    @property
    def policy(self) -> Teacher:
        """Who answers."""
        assert self.teacher is not None
        return self.teacher

    def list_answers(self) -> pl.DataFrame:
        """Return the responses as the methods take answers; see `list_answers`."""
        return list_answers(self.responses, self.instructions)

    def list_scored(self) -> pl.DataFrame:
        """Return the answers with a score: of the file's own, or by what the recipe says scores them."""
        if "answers" in self.entry.files:
            return self._read_answers()
        scores = self.beside.get("scores", "criterion")
        return score_responses(self.list_answers(), self.judgements, self.criterion, scores)

    def _read_answers(self) -> pl.DataFrame:
        file = self.entry.files["answers"]
        by = getattr(self.settings, "by", "score")
        frame = identify_rows(
            read_records(file), "answer_id", "prompt", "answer", by, file=file.list, dump=self.dump
        ).with_columns(pl.col(by).cast(pl.Float64, strict=False).alias("score"), pl.col(by).alias("said"))
        wrong = frame.filter(pl.col("said").is_not_null() & pl.col("score").is_null())
        if wrong.height:
            raise ConfigurationError(f"{file.list}: the {by} {wrong.item(0, 'said')!r} is no number.")
        frame = frame.with_columns(pl.col("score").alias(by)).drop("said")
        if "prompt_id" not in frame.columns:
            ids = [make_id("prompt", prompt) for prompt in frame.get_column("prompt")]
            frame = frame.with_columns(pl.Series("prompt_id", ids, dtype=pl.String))
        return frame.with_columns(pl.col("prompt_id").cast(pl.String))


@dataclass(frozen=True, slots=True)
class Made:
    """Pairs, what was spent on them (None where nobody is asked), and other tallies by name."""

    comparisons: Comparisons
    spent: Spent | None = None
    counts: Mapping[str, float] = field(default_factory=dict)


# answers and their scores ---------------------------------------------------------------------------------------------


def list_answers(responses: pl.DataFrame, instructions: pl.DataFrame) -> pl.DataFrame:
    """Return responses as answers: their prompts, texts, models, why they ended, and what is known of each prompt.

    Columns: prompt_id, prompt, evidence, has_picture, picture, reference, answer_id, answer, dump, model, sample_index,
    finish_reason. The prompt is the passage, where there is one, and what is asked; `picture` is what is known of its
    picture, empty where it has none or nothing is known of it. In the order of the responses; those whose instruction
    is not among the given ones are left out.
    """
    has_picture = pl.col("images").list.len() > 0 if "images" in instructions.columns else pl.lit(value=False)
    asked = instructions.select(
        "instruction_id",
        "evidence",
        has_picture=has_picture,
        picture=pl.when(has_picture).then("evidence").otherwise(pl.lit("")),
        reference="response",
        prompt=pl.concat_str("context", "instruction", separator="\n\n", ignore_nulls=True),
    )
    columns = ["response_id", "instruction_id", "dump", "response", "teacher", "sample_index", "finish_reason"]
    joined = responses.select(columns).join(
        asked, on="instruction_id", how="inner", maintain_order="left", validate="m:1"
    )
    return joined.rename(
        {"instruction_id": "prompt_id", "response_id": "answer_id", "response": "answer", "teacher": "model"}
    )


def list_whole(run: PreferenceRun) -> tuple[pl.DataFrame, dict[str, float]]:
    """Return the answers that the limit of tokens did not cut, and how many it did, for methods that ask about each."""
    from mmpipe.synthesis.cut_answers import CUT, mark_cut

    answers = run.list_answers()
    whole = answers.filter(~mark_cut(answers))
    cut = answers.height - whole.height
    return whole, {f"answers_{CUT}": cut} if cut else {}


def score_responses(answers: pl.DataFrame, judgements: pl.DataFrame, criterion: str, scores: str) -> pl.DataFrame:
    """Return the answers with a column `score`, null where there is none: of the criterion, or of their ratings."""
    from mmpipe.synthesis.overall_scores import score_answers

    if scores in ("mean_rating", "overall"):
        return score_answers(answers, list_ratings(judgements), by="overall" if scores == "overall" else "mean_rating")
    given = judgements.filter((pl.col("criterion") == criterion) & (pl.col("judgement_status") == "ok"))
    scored = given.select("score", answer_id="response_id")
    return answers.join(scored, on="answer_id", how="left", maintain_order="left", validate="1:1")


def list_ratings(judgements: pl.DataFrame) -> pl.DataFrame:
    """Return the judgements by aspect, under the names that UltraFeedback's own have."""
    rated = judgements.filter(pl.col("criterion").str.starts_with(RATED))
    return rated.with_columns(pl.col("criterion").str.strip_prefix(RATED))


def rate_answers(
    answers: pl.DataFrame, judge: Teacher, options: tuple[Any, Mapping[str, Any]]
) -> tuple[Synthesis, dict[str, float]]:
    """Return the rows of `judgements` that rate answers by aspects, and counts: verdicts on the overall scores.

    Args:
        answers: as `list_answers` returns them.
        judge: who rates.
        options: UltraFeedbackSettings, and what the recipe says beside them.
    """
    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.overall_scores import OverallSettings, judge_with_check

    settings, beside = options
    feedback, check = judge_with_check(answers, judge, settings, beside.get("limits") or OverallSettings())
    named = feedback.frame.with_columns(pl.concat_str(pl.lit(RATED), "criterion").alias("criterion"))
    ids = [make_id("judgement", *row) for row in named.select("response_id", "criterion").iter_rows()]
    frame = JUDGEMENTS.conform(named.with_columns(pl.Series("judgement_id", ids, dtype=pl.String)))
    counts: dict[str, float] = {f"without_score_{name}": count for name, count in feedback.without_score.items()}
    if settings.criticises:
        counts |= {f"overall_{name}": count for name, count in check.counts.items()}
    return Synthesis(frame, frame.height, {}, feedback.rejected_replies, feedback.spent), counts


# methods over responses -----------------------------------------------------------------------------------------------


def run_best_worst(run: PreferenceRun) -> Made:
    """Pair the highest with the lowest score of each instruction."""
    from mmpipe.synthesis.comparisons import COMPARISONS_SCHEMA, STAGE, Comparisons
    from mmpipe.synthesis.preferences import build_pairs

    answers = run.list_answers()
    own = run.judgements.filter(pl.col("criterion") == run.criterion)
    built = build_pairs(run.responses.filter(pl.col("response_id").is_in(answers["answer_id"].implode())), own)
    prompts = answers.select("prompt", instruction_id="prompt_id").unique()
    parent = [pl.struct(table=pl.lit("responses"), id=pl.col(name)) for name in ("chosen_id", "rejected_id")]
    frame = built.frame.join(prompts, on="instruction_id", how="left", maintain_order="left").select(
        *(name for name in built.frame.columns),
        pl.col("instruction_id").alias("group_id"),
        "prompt",
        (pl.col("score_chosen") - pl.col("score_rejected")).alias("margin"),
        pl.lit("best_worst").alias("method"),
        pl.lit(STAGE).alias("stage"),
        pl.lit("external_evaluator").alias("mode"),
        pl.lit(0, pl.Int64).alias("iteration"),
        pl.lit("").alias("policy"),
        pl.lit([], pl.List(pl.String)).alias("tags"),
        pl.lit(None, pl.String).alias("license"),
        pl.lit([], pl.List(pl.String)).alias("source_urls"),
        pl.concat_list(parent).alias("parents"),
    )
    # instructions = pairs + instructions without one; responses that nobody could score are of another kind
    left_out = {reason: count for reason, count in built.left_out.items() if reason != "unparsed_judgement"}
    unparsed = built.left_out.get("unparsed_judgement", 0)
    return Made(
        Comparisons(frame.cast(COMPARISONS_SCHEMA), built.instructions, left_out),
        counts={"unparsed_judgement": unparsed} if unparsed else {},
    )


def run_comparisons(run: PreferenceRun) -> Made:
    """Pair all answers of each prompt."""
    from mmpipe.synthesis.comparisons import compare_ranked

    # ranks of a file are its own; a score of the run is what the recipe scores by
    settings = run.settings if run.entry.files else replace(run.settings, criterion=name_scores(run))
    return Made(compare_ranked(run.list_scored(), settings))


def run_best_of_n(run: PreferenceRun) -> Made:
    """Pair the best answer of each prompt with a worse one."""
    from mmpipe.synthesis.best_of_n import pick_best

    settings = run.settings if run.entry.files else replace(run.settings, criterion=name_scores(run))
    return Made(pick_best(run.list_scored(), settings).comparisons)


def name_scores(run: PreferenceRun) -> str:
    """Return what the criterion of a pair says: the recipe's, or which of the ratings."""
    scores: str = run.beside.get("scores", "criterion")
    return run.criterion if scores == "criterion" else RATED + scores


def run_ultrafeedback(run: PreferenceRun) -> Made:
    """Pair the best rated answer of each prompt with one of the others, as Zephyr does."""
    from mmpipe.synthesis.best_of_n import BestOfNSettings, pick_best
    from mmpipe.synthesis.comparison_groups import name_method
    from mmpipe.synthesis.overall_scores import score_answers

    scores = run.beside.get("scores", "mean_rating")
    ratings, limits = list_ratings(run.judgements), run.beside.get("limits")
    rated = score_answers(run.list_answers(), ratings, by=scores, settings=limits)
    settings = BestOfNSettings(
        rejected=run.beside.get("rejected", "drawn"),
        least_margin=run.beside.get("least_margin", 0.0),
        criterion=RATED + scores,
        seed=run.settings.seed,
    )
    statuses = rated.filter(pl.col("score_status") != "ok").get_column("score_status").value_counts().iter_rows()
    made = name_method(pick_best(rated, settings).comparisons, RATING_METHOD)
    return Made(made, counts={f"unscored_{status}": count for status, count in sorted(statuses)})


def run_pairwise_judge(run: PreferenceRun) -> Made:
    """Have two answers of each prompt compared in both orders."""
    from mmpipe.synthesis.pairwise_judge import judge_pairs

    assert run.judge is not None
    most = run.beside.get("pairs_per_prompt", 1)
    rows = []
    answers, cut = list_whole(run)
    for group in answers.sort("prompt_id", "answer_id").partition_by("prompt_id", maintain_order=True):
        pairs = list(combinations(group.rows(named=True), 2))
        key = [make_id("pairwise", run.settings.seed, one["answer_id"], two["answer_id"]) for one, two in pairs]
        for place in sorted(range(len(pairs)), key=key.__getitem__)[:most]:
            one, two = pairs[place]
            rows.append(
                {name: one[name] for name in ("prompt_id", "prompt", "evidence")}
                | {"first_id": one["answer_id"], "first": one["answer"], "first_model": one["model"]}
                | {"second_id": two["answer_id"], "second": two["answer"], "second_model": two["model"]}
            )
    names = ("prompt_id", "prompt", "evidence", "first_id", "first", "first_model", "second_id", "second")
    judged = judge_pairs(
        pl.DataFrame(rows, schema=dict.fromkeys((*names, "second_model"), pl.String)), run.judge, run.settings
    )
    bias = judged.bias
    refused = {f"replies_refused_{name}": count for name, count in judged.rejected_replies.items()}
    places = {"first_place_wins": bias.first_place, "second_place_wins": bias.second_place}
    return Made(judged.comparisons, judged.spent, {**refused, "read_in_both_orders": bias.compared, **places, **cut})


def run_self_refinement(run: PreferenceRun) -> Made:
    """Compare the last revision of each first answer with that answer."""
    from mmpipe.synthesis.refined_pairs import pair_with_first
    from mmpipe.synthesis.self_refinement import list_last

    assert run.judge is not None
    first, (_, cut) = list_first(run.responses, run.instructions), list_whole(run)
    last = list_last(run.revisions.rename({"instruction_id": "prompt_id"}))
    made = pair_with_first(first, last, run.judge, run.settings.judging)
    tables = (("response_revisions", "chosen_id"), ("responses", "rejected_id"))
    parents = pl.concat_list(*(pl.struct(table=pl.lit(table), id=pl.col(column)) for table, column in tables))
    bias = made.bias
    places = {"first_place_wins": bias.first_place, "second_place_wins": bias.second_place}
    frame = made.comparisons.frame.with_columns(parents=parents)
    counts = {"read_in_both_orders": bias.compared, **places, **cut}
    return Made(replace(made.comparisons, frame=frame), made.spent, counts)


def list_first(responses: pl.DataFrame, instructions: pl.DataFrame) -> pl.DataFrame:
    """Return the answer to each prompt that its author revises: the first that is whole, by prompt.

    Prompts about pictures have none: who revises sees no picture, and would revise what it cannot know.

    Args:
        responses: rows of RESPONSES.
        instructions: the kept ones, talks told (`talks.tell_talks`).
    """
    from mmpipe.synthesis.cut_answers import mark_cut

    answers = list_answers(responses, instructions)
    seen = answers.filter(~mark_cut(answers) & ~pl.col("has_picture"))
    return seen.sort("sample_index").group_by("prompt_id", maintain_order=True).first().sort("prompt_id")
