"""ReST and ReST-EM: a policy's samples and their rewards are stored once; every filtered set is a view of them.

ReST (Gulcehre et al. 2023, arXiv 2308.08998, section 3): Grow samples many outputs per prompt; each Improve step trains
on those whose reward exceeds a threshold that rises from step to step. ReST-EM (Singh et al. 2023, arXiv 2312.06585,
section 3): 32 samples per problem, a binary reward from a verifier, at most 10 right solutions kept per problem.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import VERSION, AnswerCheck
from mmpipe.synthesis.drafts import (
    Parent,
    Spent,
    Synthesis,
    describe_sampling,
    join_left_out,
    make_seed,
    sort_counts,
)
from mmpipe.synthesis.problems import Problem, read_problems
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import CANDIDATES_SCHEMA, Judged, RowAccount, read_text, write_details
from mmpipe.synthesis.solution_parts import normalize_solution
from mmpipe.synthesis.star import DIRECT
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.tables.chat import Teacher

    #: Gives a solution its reward, higher is better; None where it cannot be measured.
    Reward = Callable[[Problem, str], float | None]

METHOD = "rest"

#: Why a stored sample is not in a view.
REASONS = ("reward_unmeasured", "reward_too_low", "duplicate_solution", "over_cap")

#: Every sample once, with its reward; a null reward was not measured and passes no threshold.
SAMPLES_SCHEMA = pl.Schema(
    {
        "sample_id": pl.String(),
        "problem_id": pl.String(),
        "dump": pl.String(),
        "table": pl.String(),
        "grow_step": pl.Int64(),
        "sample_index": pl.Int64(),
        "question": pl.String(),
        "solution": pl.String(),
        "reward": pl.Float64(),
        "reward_name": pl.String(),
        "teacher": pl.String(),
        "prompt_version": pl.String(),
        "sampling": pl.String(),
        "seed": pl.Int64(),
        "attempts": pl.Int64(),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
    }
)

DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String(),
        "sample_id": pl.String(),
        "problem_id": pl.String(),
        "grow_step": pl.Int64(),
        "threshold": pl.Float64(),
        "reward": pl.Float64(),
        "reward_name": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """How a policy is sampled and which samples make a training set.

    Attributes:
        samples: per problem: 32 for maths, 64 for code (ReST-EM, section 5).
        temperature: 0.7 (ReST-EM, section 5).
        top_k: likeliest tokens drawn from: 40 (ReST-EM, section 5); 0 for all.
        top_p: nucleus.
        max_tokens: of one solution.
        solutions_per_problem: most kept per problem (ReST-EM: 10); None for all (ReST).
        thresholds: rewards to exceed, one per Improve step, rising. (0,) is the binary reward's only one.
        check: how answers are compared, where the reward is the verifier's.
        seed: of the requests and of the choice under the cap.
    """

    samples: int = 32
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 40
    max_tokens: int = 512
    solutions_per_problem: int | None = 10
    thresholds: tuple[float, ...] = (0.0,)
    check: AnswerCheck = field(default_factory=AnswerCheck)
    seed: int = 0

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.thresholds, self.thresholds[1:], strict=False))
        if not self.thresholds or not rising:
            raise ConfigurationError(f"ReST's thresholds must rise from step to step: {list(self.thresholds)}.")
        if self.samples < 1 or (self.solutions_per_problem is not None and self.solutions_per_problem < 1):
            raise ConfigurationError("ReST needs at least one sample, and at least one kept, per problem.")


def make_verifier(check: AnswerCheck) -> Reward:
    """Return the binary reward: 1 for a right final answer, else 0."""
    return lambda problem, solution: float(problem.judge(solution, check).is_right)


def grow(
    problems: pl.DataFrame,
    policy: Teacher,
    settings: RestSettings,
    reward: Reward | None = None,
    *,
    reward_name: str = VERSION,
    grow_step: int = 0,
    prompt: Prompt = DIRECT,
) -> Synthesis:
    """Return every sample of one Grow step with its reward (`SAMPLES_SCHEMA`); what gave no text is `rejected`.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        policy: the model sampled.
        settings: how.
        reward: of a solution; left out, the verifier of `settings.check`.
        reward_name: its name and version, stored with each reward.
        grow_step: from 0; part of ids and seeds.
        prompt: template with the field `question`.

    Raises:
        TeacherError: the policy cannot answer any more.
    """
    score = make_verifier(settings.check) if reward is None else reward
    account = RowAccount()
    asked = [(problem, index) for problem in read_problems(problems, settings.check, account)
             for index in range(settings.samples)]  # fmt: skip
    requests = []
    for problem, index in asked:
        seed = make_seed(settings.seed, METHOD, problem.problem_id, grow_step, index)
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed, top_k=settings.top_k)
        requests.append(ChatRequest(prompt.render(question=problem.show()), sampling, sample_index=index))
    # a problem that cannot be used would have given all its samples
    fallen = [candidate for candidate in account.refused for _ in range(settings.samples)]
    rows = []
    for (problem, index), request, outcome in zip(asked, requests, account.ask(policy, requests), strict=True):
        text, reason = read_text(outcome)
        sample_id = make_id(METHOD, problem.problem_id, grow_step, index)
        if reason:
            fallen.append({"id": sample_id, "text": text, "reason": reason})
            continue
        rows.append(
            {
                "sample_id": sample_id,
                "problem_id": problem.problem_id,
                "dump": problem.dump,
                "table": problem.table,
                "grow_step": grow_step,
                "sample_index": index,
                "question": problem.show(),
                "solution": text,
                "reward": score(problem, text),
                "reward_name": reward_name,
                "teacher": policy.name,
                "prompt_version": prompt.version,
                "sampling": describe_sampling(request.sampling, join_left_out((), outcome)),
                "seed": request.sampling.seed,
                "attempts": outcome.attempts,
                "prompt_tokens": outcome.prompt_tokens,
                "completion_tokens": outcome.completion_tokens,
            }
        )
    counts = sort_counts(Counter(candidate["reason"] for candidate in fallen))
    candidates = pl.DataFrame(fallen, schema=CANDIDATES_SCHEMA)
    frame = pl.DataFrame(rows, schema=SAMPLES_SCHEMA)
    return Synthesis(frame, len(rows) + len(fallen), counts, counts, account.spent, candidates)


def view_above(samples: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Return the samples whose reward exceeds `threshold` (ReST, section 3: strictly), in their order.

    A view, nothing is sampled or scored again: of two thresholds the higher one's set is a subset of the lower one's.
    """
    return samples.filter(pl.col("reward") > threshold)


def improve(samples: pl.DataFrame, settings: RestSettings, threshold: float) -> Judged:
    """Return the training rows at one threshold; every stored sample is a row or a candidate with a reason.

    Of equal solutions to one problem (`normalize_solution`) the best rewarded stays, and under the cap the best
    rewarded are kept, ties by a keyed hash. So the sets stay nested as the threshold rises, cap or no cap.

    Args:
        samples: `SAMPLES_SCHEMA`; ids unique, of one or several Grow steps.
        settings: cap and seed.
        threshold: reward to exceed.
    """
    ranked = sorted(samples.rows(named=True), key=lambda row: _rank(row, settings.seed))
    kept_texts: set[tuple[str, str]] = set()
    kept_counts: Counter[str] = Counter()
    faults: dict[str, str] = {}
    for row in ranked:
        text = (row["problem_id"], normalize_solution(row["solution"]))
        fault = _find_fault(row, threshold)
        if not fault and text in kept_texts:
            fault = "duplicate_solution"
        if not fault and settings.solutions_per_problem is not None:
            fault = "over_cap" if kept_counts[row["problem_id"]] >= settings.solutions_per_problem else ""
        faults[row["sample_id"]] = fault
        if not fault:
            kept_texts.add(text)
            kept_counts[row["problem_id"]] += 1
    rows = [row for row in samples.rows(named=True) if not faults[row["sample_id"]]]
    refused = [
        {"id": row["sample_id"], "text": row["solution"], "reason": faults[row["sample_id"]]}
        for row in samples.rows(named=True)
        if faults[row["sample_id"]]
    ]
    counts = sort_counts(Counter(candidate["reason"] for candidate in refused))
    told = ("sample_id", "problem_id", "grow_step", "reward", "reward_name")
    details = [{"threshold": threshold} | {name: row[name] for name in told} for row in rows]
    made = [_make_row(row) | {"details": write_details(one)} for row, one in zip(rows, details, strict=True)]
    frame = SYNTHESIZED_INSTRUCTIONS.conform(pl.DataFrame(made, schema=SYNTHESIZED_INSTRUCTIONS.schema))
    candidates = pl.DataFrame(refused, schema=CANDIDATES_SCHEMA)
    return Judged(
        Synthesis(frame, samples.height, counts, counts, Spent(), candidates),
        candidates,
        pl.DataFrame([{"instruction_id": one["sample_id"], **one} for one in details], schema=DETAILS_SCHEMA),
    )


def _rank(row: Mapping[str, Any], seed: int) -> tuple[bool, float, str]:
    reward = row["reward"]
    return reward is None, -(reward or 0.0), make_id("rest choice", seed, row["sample_id"])


def _find_fault(row: Mapping[str, Any], threshold: float) -> str:
    if row["reward"] is None:
        return "reward_unmeasured"
    return "" if row["reward"] > threshold else "reward_too_low"


def _make_row(row: Mapping[str, Any]) -> dict[str, Any]:
    parent = Parent(row["table"], row["problem_id"])
    copied = ("dump", "teacher", "prompt_version", "sampling", "seed", "attempts", "prompt_tokens", "completion_tokens")
    return {
        "instruction_id": row["sample_id"],
        "method": METHOD,
        "stage": "finetuning",
        "mode": "model_self_improvement",
        "instruction": row["question"],
        "context": None,
        "response": row["solution"],
        "evidence": "",
        "images": [],
        "parents": [{"table": parent.table, "id": parent.id}],
        **{name: row[name] for name in copied},
    }


@dataclass(frozen=True, slots=True)
class RestStep:
    """One Grow step: its stored samples, and one training set per threshold."""

    grown: Synthesis
    improved: tuple[Judged, ...]


def run_rest(
    problems: pl.DataFrame,
    train: Callable[[int, Sequence[RestStep]], Teacher],
    settings: RestSettings,
    reward: Reward | None = None,
    *,
    grow_steps: int = 1,
    reward_name: str = VERSION,
) -> list[RestStep]:
    """Return the Grow steps, each with its Improve sets at rising thresholds.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        train: gives the policy of a Grow step, from its number and the steps before. ReST trains on from the policy
            before, ReST-EM from the base model each time (section 3).
        settings: how.
        reward: as in `grow`.
        grow_steps: how many.
        reward_name: as in `grow`.
    """
    steps: list[RestStep] = []
    for number in range(grow_steps):
        policy = train(number, tuple(steps))
        grown = grow(problems, policy, settings, reward, reward_name=reward_name, grow_step=number)
        improved = tuple(improve(grown.frame, settings, threshold) for threshold in settings.thresholds)
        steps.append(RestStep(grown, improved))
    return steps
