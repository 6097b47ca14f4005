"""Has a judge rate several answers together by four aspects, and criticise each; ratings go back to their own answers.

UltraFeedback (Cui et al. 2023, section 3): instruction following, truthfulness, honesty and helpfulness from 1 to 5
with a rationale, four answers of one prompt in one shuffled list, temperature 0 and top-p 0.6; a critique with an
overall score from 1 to 10. The prompts are in our own words.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.cut_answers import CUT, is_cut
from mmpipe.synthesis.drafts import Spent, describe_sampling, join_left_out, make_seed, sort_counts
from mmpipe.synthesis.ultrafeedback_prompts import ASPECT_PROMPTS, CRITIQUE_PROMPT, OVERALL, list_answers
from mmpipe.synthesis.ultrafeedback_replies import CRITIQUE_SCHEMA, RATINGS_SCHEMA, read_ratings, read_score
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest, Sampling
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS
from mmpipe.tables.teacher_families import is_own_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mmpipe.synthesis.prompts import Prompt
    from mmpipe.tables.chat import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class UltraFeedbackSettings:
    """How answers are judged; the numbers are UltraFeedback's own unless said otherwise.

    Attributes:
        aspects: names in `ASPECT_PROMPTS`.
        answers_together: most answers in one list; more are parted, by hash.
        criticises: whether each answer also gets a critique with an overall score.
        temperature: of the first attempt.
        top_p: nucleus.
        retry_temperature: of later attempts (ours).
        attempts: most requests for one list (ours).
        max_tokens: of one reply (ours).
        families: those that names do not tell, see `tables.teacher_families.find_family`.
        judges_own_family: whether the judge may score answers of its own family.
        seed: of the shuffles and the requests.
    """

    aspects: tuple[str, ...] = ("instruction_following", "truthfulness", "honesty", "helpfulness")
    answers_together: int = 4
    criticises: bool = True
    temperature: float = 0.0
    top_p: float = 0.6
    retry_temperature: float = 0.7
    attempts: int = 2
    max_tokens: int = 1024
    families: Mapping[str, str] = field(default_factory=dict)
    judges_own_family: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Feedback:
    """Ratings, and what became of every one that was planned.

    Attributes:
        frame: JUDGEMENTS: one row per answer and aspect, and one of criterion `overall` per critique. A status other
            than `ok` has no score. Tokens of a request stand with one answer of its list, so that sums are right.
        planned: ratings planned; as many rows.
        without_score: ratings without a score, by status or reason.
        rejected_replies: every reply that was refused, by reason, also where a later attempt succeeded.
        spent: requests, tokens and money.
    """

    frame: pl.DataFrame
    planned: int
    without_score: dict[str, int]
    rejected_replies: dict[str, int]
    spent: Spent


@dataclass(frozen=True, slots=True)
class _Question:
    """One request: a prompt's answers in the order shown, and what is asked of them."""

    criterion: str
    prompt: Prompt
    row: Mapping[str, Any]
    answers: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any]

    def make_request(self, attempt: int, settings: UltraFeedbackSettings) -> ChatRequest:
        ids = [answer["answer_id"] for answer in self.answers]
        temperature = settings.retry_temperature if attempt else settings.temperature
        seed = make_seed(settings.seed, self.criterion, *ids, attempt)
        shown = list_answers([answer["answer"] for answer in self.answers])
        seen = f"\n\nWhat the picture shows: {self.row['picture']}" if self.row.get("picture") else ""
        messages = self.prompt.render(instruction=f"{self.row['prompt']}{seen}", answers=shown)
        sampling = Sampling(temperature, settings.top_p, settings.max_tokens, seed)
        return ChatRequest(messages, sampling, self.schema, sample_index=attempt)


@dataclass(slots=True)
class _Outcome:
    ratings: list[tuple[float | None, str, str]]
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    sampling: str = "{}"
    seed: int = 0


def shuffle_answers(answer_ids: Sequence[str], aspect: str, seed: int) -> list[str]:
    """Return the order in which answers are shown for one aspect: by keyed hash, another one for each aspect."""
    return sorted(answer_ids, key=lambda answer_id: make_id("ultrafeedback", seed, aspect, answer_id))


def judge_answers(answers: pl.DataFrame, judge: Teacher, settings: UltraFeedbackSettings) -> Feedback:
    """Return every answer's ratings by every aspect and, if asked for, its overall score.

    A reply that gives one rating too few, a number twice, or a score outside its range is refused whole, by that name;
    after the last attempt the list's answers have status `unparsed` and no score. What cannot be read is never low.

    Args:
        answers: columns prompt_id, prompt, answer_id, answer, dump, and model where families matter; picture where
            prompts are about pictures: what is known of it, empty where there is none; finish_reason where some may be
            cut, about which the judge is not asked.
        judge: who judges.
        settings: by what.

    Raises:
        ConfigurationError: an aspect is unknown, or an answer_id stands twice.
        TeacherError: the judge cannot answer any more.
    """
    _check(answers, settings)
    rows = answers.sort("prompt_id", "answer_id").rows(named=True)
    unasked = {row["answer_id"]: _find_unasked(judge, row, settings) for row in rows}
    asked = [row for row in rows if not unasked[row["answer_id"]]]
    questions = list(_plan(asked, settings))
    refused: Counter[str] = Counter()
    spent = Spent()
    outcomes = [_Outcome([]) for _ in questions]
    open_places = list(range(len(questions)))
    for attempt in range(settings.attempts):
        requests = [questions[place].make_request(attempt, settings) for place in open_places]
        still_open = []
        for place, request, reply in zip(open_places, requests, judge.answer(requests), strict=True):
            spent.add(reply)
            outcome = outcomes[place]
            _count(outcome, request, reply)
            reason, outcome.ratings = _read(questions[place], reply)
            if reason:
                refused[reason] += 1
                still_open.append(place)
        open_places = still_open
        if not open_places:
            break
    made = [
        _make_row(question, place, outcome, judge.name)
        for question, outcome in zip(questions, outcomes, strict=True)
        for place in range(len(question.answers))
    ]
    criteria = [*settings.aspects, *([OVERALL] if settings.criticises else [])]
    for row in rows:
        if why := unasked[row["answer_id"]]:
            made.extend(_make_unasked(row, criterion, judge.name, why) for criterion in criteria)
    made.sort(key=lambda row: (row["instruction_id"], row["response_id"], row["criterion"]))
    without = Counter(row["reason"] for row in made if row["reason"])
    frame = pl.DataFrame([{name: row[name] for name in JUDGEMENTS.schema} for row in made], schema=JUDGEMENTS.schema)
    return Feedback(JUDGEMENTS.conform(frame), len(made), sort_counts(without), sort_counts(refused), spent)


def check_aspects(settings: UltraFeedbackSettings) -> None:
    """Refuse aspects that have no prompt.

    Raises:
        ConfigurationError: naming the aspect and the nearest right name.
    """
    for aspect in settings.aspects:
        if aspect not in ASPECT_PROMPTS:
            raise ConfigurationError(f"Unknown aspect {aspect!r}.{name_nearest(aspect, ASPECT_PROMPTS)}")


def _check(answers: pl.DataFrame, settings: UltraFeedbackSettings) -> None:
    check_aspects(settings)
    if answers.get_column("answer_id").is_duplicated().any():
        raise ConfigurationError("An answer_id stands twice among the answers; one row is one answer.")


def _find_unasked(judge: Teacher, row: Mapping[str, Any], settings: UltraFeedbackSettings) -> str:
    if is_cut(row):
        return CUT
    is_own = is_own_family(judge, row.get("model") or "", settings.families)
    return "own_family" if is_own and not settings.judges_own_family else ""


def _plan(rows: Sequence[Mapping[str, Any]], settings: UltraFeedbackSettings) -> Iterator[_Question]:
    prompts: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        prompts.setdefault(row["prompt_id"], {})[row["answer_id"]] = row
    for by_id in prompts.values():
        for aspect in settings.aspects:
            order = shuffle_answers(list(by_id), aspect, settings.seed)
            for start in range(0, len(order), settings.answers_together):
                shown = tuple(by_id[answer_id] for answer_id in order[start : start + settings.answers_together])
                yield _Question(aspect, ASPECT_PROMPTS[aspect], shown[0], shown, RATINGS_SCHEMA)
        if settings.criticises:
            for row in by_id.values():
                yield _Question(OVERALL, CRITIQUE_PROMPT, row, (row,), CRITIQUE_SCHEMA)


def _count(outcome: _Outcome, request: ChatRequest, reply: ChatReply | ChatFailure) -> None:
    outcome.attempts += reply.attempts
    outcome.prompt_tokens += reply.prompt_tokens
    outcome.completion_tokens += reply.completion_tokens
    outcome.sampling = describe_sampling(request.sampling, join_left_out((), reply))
    outcome.seed = request.sampling.seed


def _read(question: _Question, reply: ChatReply | ChatFailure) -> tuple[str, list[tuple[float | None, str, str]]]:
    """Return (reason or empty, ratings); a rating is (score, why there is none, what was said)."""
    count = len(question.answers)
    if isinstance(reply, ChatFailure):
        reason = f"teacher_{reply.kind}"
        return reason, [(None, reason, f"{reply.kind}: {reply.detail}")] * count
    value = json.loads(reply.text)
    if question.criterion == OVERALL:
        score = read_score(value["overall"], 10)
        critique = value["critique"].strip()
        if isinstance(score, float) and critique:
            return "", [(score, "", critique)]
        reason = score if isinstance(score, str) else "missing_rationale"
        return reason, [(None, reason, reply.text)]
    # only honesty may not apply: an answer that claims nothing is neither honest nor dishonest
    read = read_ratings(value, count, allows_na=question.criterion == "honesty")
    if isinstance(read, str):
        return read, [(None, read, reply.text)] * count
    return "", [(score, "" if score is not None else "not_applicable", rationale) for score, rationale in read]


def _make_row(question: _Question, place: int, outcome: _Outcome, judge: str) -> dict[str, Any]:
    answer = question.answers[place]
    score, reason, said = outcome.ratings[place]
    is_first = place == 0
    status = "ok" if not reason else reason if reason == "not_applicable" else "unparsed"
    return {
        **_name_row(answer, question.criterion),
        "score": score,
        "judgement_status": status,
        "reason": reason,
        "judgement": said,
        "teacher": judge,
        "prompt_version": question.prompt.version,
        "sampling": outcome.sampling,
        "seed": outcome.seed,
        "attempts": outcome.attempts,
        "prompt_tokens": outcome.prompt_tokens if is_first else 0,
        "completion_tokens": outcome.completion_tokens if is_first else 0,
    }


def _make_unasked(answer: Mapping[str, Any], criterion: str, judge: str, why: str) -> dict[str, Any]:
    prompt = CRITIQUE_PROMPT if criterion == OVERALL else ASPECT_PROMPTS[criterion]
    return {
        **_name_row(answer, criterion),
        "score": None,
        "judgement_status": why,
        "reason": why,
        "judgement": "",
        "teacher": judge,
        "prompt_version": prompt.version,
        "sampling": "{}",
        "seed": 0,
        "attempts": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }


def _name_row(answer: Mapping[str, Any], criterion: str) -> dict[str, Any]:
    return {
        "judgement_id": make_id("judgement", answer["answer_id"], criterion),
        "response_id": answer["answer_id"],
        "instruction_id": answer["prompt_id"],
        "dump": answer["dump"],
        "criterion": criterion,
    }
