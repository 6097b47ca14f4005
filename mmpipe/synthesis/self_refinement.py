"""Has a model criticise and revise its own answers, and pairs last with first where an outside judge agrees.

Self-Refine (Madaan et al. 2023, section 2): feedback and refinement by one model until it finds nothing more to mend.
Every revision is a row with its parent, and so is every try at one that ended the rounds. `refined_pairs` compares the
last with the first.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Spent, describe_sampling, join_left_out, make_seed, sort_counts
from mmpipe.synthesis.pairwise_judge import PairwiseSettings
from mmpipe.synthesis.refined_pairs import METHOD, MODE, pair_with_first
from mmpipe.synthesis.refinement_prompts import CRITIQUE, CRITIQUE_SCHEMA, REVISION, tell_earlier
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.comparisons import Comparisons
    from mmpipe.synthesis.pairwise_judge import PositionBias
    from mmpipe.synthesis.prompts import Prompt
    from mmpipe.tables.chat import Teacher

#: Why revising an answer ended. `done`: the critique says so. `unchanged`: the revision is the answer it was of.
#: `returned`: it is an earlier one. `round_limit`: there was still something to mend.
STOPS = ("done", "unchanged", "returned", "round_limit", "empty_critique", "empty_revision", "cut_revision")

#: An answer's history. Round 0 is the first answer; `parent_id` is the revision it was made of, `critique` what led to
#: it.
REVISIONS_SCHEMA = pl.Schema(
    {
        "prompt_id": pl.String,
        "prompt": pl.String,
        "revision_id": pl.String,
        "parent_id": pl.String,
        "round": pl.Int64,
        "answer": pl.String,
        "critique": pl.String,
        "stage": pl.String,
        "mode": pl.String,
        "teacher": pl.String,
        "prompt_version": pl.String,
        "sampling": pl.String,
        "seed": pl.Int64,
        "stop": pl.String,
    }
)

#: Every try at a revision: what was found wanting, what was written then, and whether it counts (`ok`, or a stop).
TRIES_SCHEMA = pl.Schema(
    {
        "prompt_id": pl.String,
        "first_id": pl.String,
        "revision_id": pl.String,
        "parent_id": pl.String,
        "round": pl.Int64,
        "revision_status": pl.String,
        "critique": pl.String,
        "revision": pl.String,
        "teacher": pl.String,
        "prompt_version": pl.String,
        "sampling": pl.String,
        "seed": pl.Int64,
        "attempts": pl.Int64,
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementSettings:
    """How answers are revised.

    Attributes:
        rounds: most revisions of one answer (Self-Refine, section 3: 4).
        temperature: of revisions (the same: 0.7). Critiques are greedy (ours).
        max_tokens: of a critique or revision (ours); a revision that this cuts is none.
        seed: of the requests.
        judging: how last and first are compared.
    """

    rounds: int = 4
    temperature: float = 0.7
    max_tokens: int = 512
    seed: int = 0
    judging: PairwiseSettings = field(default_factory=PairwiseSettings)


@dataclass(frozen=True, slots=True)
class Revisions:
    """What became of answers that their author revised.

    Attributes:
        frame: `REVISIONS_SCHEMA`, by prompt and round; `stop` stands on the last row of each answer.
        tries: `TRIES_SCHEMA`, by prompt and round: one row per round of each answer, its last one included.
        stops: answers by why they ended (`STOPS`, or `teacher_…`).
        spent: requests of the author.
    """

    frame: pl.DataFrame
    tries: pl.DataFrame
    stops: dict[str, int]
    spent: Spent


@dataclass(frozen=True, slots=True)
class Refinement:
    """Every revision, and the pairs that a judge confirmed.

    Attributes:
        frame: `REVISIONS_SCHEMA`, by prompt and round; `stop` stands on the last row of each answer.
        stops: answers by why they ended (`STOPS`, or `teacher_…`).
        comparisons: last against first; planned = answers. An answer that was never revised is `no_revision`, one
            whose first version the judge preferred is `judge_disagrees`.
        bias: of the judge.
        spent: requests of author and judge.
    """

    frame: pl.DataFrame
    stops: dict[str, int]
    comparisons: Comparisons
    bias: PositionBias
    spent: Spent


def start_revisions(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the state before the first round: each answer as its own revision 0.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer; one answer per prompt.
    """
    return answers.sort("prompt_id").select(
        "prompt_id",
        "prompt",
        pl.col("answer_id").alias("revision_id"),
        pl.lit(None, pl.String).alias("parent_id"),
        pl.lit(0, pl.Int64).alias("round"),
        "answer",
        pl.lit(None, pl.String).alias("critique"),
        pl.lit("preference_alignment").alias("stage"),
        pl.lit(MODE).alias("mode"),
        *(pl.lit("").alias(name) for name in ("teacher", "prompt_version")),
        pl.lit("{}").alias("sampling"),
        pl.lit(0, pl.Int64).alias("seed"),
        pl.lit("").alias("stop"),
    ).cast(REVISIONS_SCHEMA)  # fmt: skip


def refine_round(
    state: pl.DataFrame,
    author: Teacher,
    number: int,
    settings: RefinementSettings,
    spent: Spent,
    tries: list[dict[str, Any]] | None = None,
) -> pl.DataFrame:
    """Return the state after one more round: new revisions, and why others end.

    A pure function of the state and the replies: with a reply cache, a killed run asks nothing twice.

    Args:
        state: `REVISIONS_SCHEMA`.
        author: who criticises and revises.
        number: of the round, from 1.
        settings: how.
        spent: counts; added to.
        tries: rows of `TRIES_SCHEMA`; one is added for each answer that was still open.
    """
    rows = state.rows(named=True)
    history: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        history.setdefault(row["prompt_id"], []).append(row)
    open_rows = [revisions[-1] for revisions in history.values() if not revisions[-1]["stop"]]
    asked = [_plan(CRITIQUE, row, None, number, settings) for row in open_rows]
    to_revise, tried = [], {}
    for row, request, reply in zip(open_rows, asked, _ask(author, asked, spent), strict=True):
        row["stop"], critique = _read_critique(reply)
        own = tried[row["prompt_id"]] = _start_try(history[row["prompt_id"]], author, number, critique)
        _count_try(own, request, reply, row["stop"])
        if not row["stop"]:
            to_revise.append((row, critique))
    requests = [
        _plan(REVISION, row, critique, number, settings, tell_earlier(history[row["prompt_id"]]))
        for row, critique in to_revise
    ]
    revised = _ask(author, requests, spent)
    for (row, critique), request, reply in zip(to_revise, requests, revised, strict=True):
        revisions = history[row["prompt_id"]]
        row["stop"] = _find_stop(reply, revisions)
        own = tried[row["prompt_id"]]
        _count_try(own, request, reply, row["stop"])
        own["prompt_version"] = f"{CRITIQUE.version} {REVISION.version}"
        own["revision"] = "" if isinstance(reply, ChatFailure) else reply.text.strip()
        if row["stop"] or isinstance(reply, ChatFailure):
            continue
        revisions.append(
            row
            | {
                "revision_id": own["revision_id"],
                "parent_id": row["revision_id"],
                "round": number,
                "answer": reply.text.strip(),
                "critique": critique,
                "teacher": author.name,
                "prompt_version": f"{CRITIQUE.version} {REVISION.version}",
                "sampling": describe_sampling(request.sampling, join_left_out((), reply)),
                "seed": request.sampling.seed,
                "stop": "round_limit" if number >= settings.rounds else "",
            }
        )
    if tries is not None:
        tries.extend(tried.values())
    ordered = [row for prompt_id in sorted(history) for row in history[prompt_id]]
    return pl.DataFrame(ordered, schema=REVISIONS_SCHEMA)


def revise_answers(answers: pl.DataFrame, author: Teacher, settings: RefinementSettings) -> Revisions:
    """Return every answer's revisions, and every try at one.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer; one answer per prompt.
        author: who criticises and revises.
        settings: how.

    Raises:
        TeacherError: the author cannot answer any more.
    """
    spent = Spent()
    tries: list[dict[str, Any]] = []
    state = start_revisions(answers)
    for number in range(1, settings.rounds + 1):
        if (state.group_by("prompt_id", maintain_order=True).last().get_column("stop") != "").all():
            break
        state = refine_round(state, author, number, settings, spent, tries)
    stops = Counter(state.filter(pl.col("stop") != "").get_column("stop").to_list())
    told = pl.DataFrame(tries, schema=TRIES_SCHEMA).sort("prompt_id", "round")
    return Revisions(state, told, sort_counts(stops), spent)


def list_last(tries: pl.DataFrame) -> pl.DataFrame:
    """Return the last try of each prompt that is a revision, of rows with prompt_id, round and revision_status."""
    kept = tries.filter(pl.col("revision_status") == "ok").sort("prompt_id", "round")
    return kept.group_by("prompt_id", maintain_order=True).last()


def run_self_refinement(
    answers: pl.DataFrame, author: Teacher, judge: Teacher, settings: RefinementSettings
) -> Refinement:
    """Return every answer's revisions and, where the judge agrees, last against first.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer; one answer per prompt; evidence if the judge shall see
            some.
        author: who criticises and revises.
        judge: who compares. If it is of the author's family, no pair is made unless the settings allow it.
        settings: how.

    Raises:
        TeacherError: author or judge cannot answer any more.
    """
    made = revise_answers(answers, author, settings)
    paired = pair_with_first(answers, list_last(made.tries), judge, settings.judging)
    made.spent.join(paired.spent)
    return Refinement(made.frame, made.stops, paired.comparisons, paired.bias, made.spent)


def _start_try(revisions: Sequence[Mapping[str, Any]], author: Teacher, number: int, critique: str) -> dict[str, Any]:
    first, parent = revisions[0]["revision_id"], revisions[-1]
    return {
        "prompt_id": parent["prompt_id"],
        "first_id": first,
        "revision_id": make_id(METHOD, first, author.name, number),
        "parent_id": parent["revision_id"],
        "round": number,
        "critique": critique,
        "revision": "",
        "teacher": author.name,
        "prompt_version": CRITIQUE.version,
        "attempts": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }


def _count_try(tried: dict[str, Any], request: ChatRequest, reply: ChatReply | ChatFailure, stop: str) -> None:
    """Note what one more reply took, and whether it ended the rounds; the last request's sampling stays."""
    tried["revision_status"] = stop or "ok"
    tried["sampling"] = describe_sampling(request.sampling, join_left_out((), reply))
    tried["seed"] = request.sampling.seed
    for name in ("attempts", "prompt_tokens", "completion_tokens"):
        tried[name] += getattr(reply, name)


def _ask(author: Teacher, requests: Sequence[ChatRequest], spent: Spent) -> list[ChatReply | ChatFailure]:
    replies = list(author.answer(requests)) if requests else []
    for reply in replies:
        spent.add(reply)
    return replies


def _plan(
    prompt: Prompt,
    row: Mapping[str, Any],
    critique: str | None,
    number: int,
    settings: RefinementSettings,
    earlier: str = "",
) -> ChatRequest:
    fields = {"question": row["prompt"], "answer": row["answer"]}
    seed = make_seed(settings.seed, prompt.name, row["revision_id"], number)
    if critique is None:
        sampling = Sampling(max_tokens=settings.max_tokens, seed=seed)
        return ChatRequest(prompt.render(**fields), sampling, CRITIQUE_SCHEMA)
    sampling = Sampling(settings.temperature, 1.0, settings.max_tokens, seed)
    return ChatRequest(prompt.render(**fields, critique=critique, earlier=earlier), sampling)


def _read_critique(reply: ChatReply | ChatFailure) -> tuple[str, str]:
    """Return (why to stop or empty, critique)."""
    if isinstance(reply, ChatFailure):
        return f"teacher_{reply.kind}", ""
    value = json.loads(reply.text)
    critique = str(value["critique"]).strip()
    if value["is_done"]:
        return "done", critique
    return ("", critique) if critique else ("empty_critique", "")


def _find_stop(reply: ChatReply | ChatFailure, revisions: Sequence[Mapping[str, Any]]) -> str:
    if isinstance(reply, ChatFailure):
        return f"teacher_{reply.kind}"
    if not reply.text.strip():
        return "empty_revision"
    if reply.finish_reason == "length":
        return "cut_revision"
    words = reply.text.split()
    if words == revisions[-1]["answer"].split():
        return "unchanged"
    # a model that goes back and forth would never end
    return "returned" if any(words == row["answer"].split() for row in revisions) else ""
