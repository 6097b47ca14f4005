"""LLaVA's three types of instruction (conversation, detailed description, complex reasoning) from captions and boxes.

Liu et al. 2023, "Visual Instruction Tuning", section 3: a text-only teacher reads the symbolic representation of a
picture and answers as if it looked; questions of a conversation have definite answers. LLaVA checks nothing
afterwards; here a reply is refused that tells of its notes, breaks the turns, or names things that no evidence has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.grounding import list_words, measure_repetition
from mmpipe.synthesis.judged_drafts import Accepted, Refused
from mmpipe.synthesis.llava_prompts import DETAIL_REQUESTS, LLAVA_PROMPTS
from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon
from mmpipe.synthesis.picture_counts import list_untold_counts
from mmpipe.synthesis.picture_rows import LEAK_REASONS, PictureAsking, draw, find_leak, judge_pictures, plan_picture
from mmpipe.synthesis.scene_evidence import list_unsupported, write_symbols

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.drafts import Planned
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.synthesis.scene_evidence import PhraseFinder, Scene
    from mmpipe.tables.chat import Teacher

METHOD = "llava_types"

#: The three types of the paper.
TYPES = ("conversation", "detail", "reasoning")

#: Why a conversation is none.
TURN_REASONS = ("odd_turns", "turns_out_of_order", "empty_turn", "too_few_turns", "too_many_turns", "repeated_question")

#: Why a reply is refused, those of LEAK_REASONS included.
REASONS = (
    *TURN_REASONS,
    "question_without_question_mark",
    *LEAK_REASONS,
    "indefinite_answer",
    "repetition",
    "answer_too_short",
    "object_without_evidence",
    "count_without_evidence",
)

_INDEFINITE = (
    "cannot be determined",
    "can't be determined",
    "not possible to tell",
    "impossible to tell",
    "not possible to say",
    "hard to say",
    "hard to tell",
    "unclear",
    "not clear",
    "not specified",
    "not known",
)

#: What is known of a row beside what it says: its type, its turns, and things it names that no evidence has.
DETAILS_SCHEMA: dict[str, pl.DataType] = {
    "type": pl.String(),
    "turns": pl.List(pl.Struct({"question": pl.String, "answer": pl.String})),
    "named": pl.Int64(),
    "unsupported": pl.List(pl.String),
}

_TEXT = {"type": "string", "maxLength": 4000}
_TURN = {
    "type": "object",
    "properties": {"speaker": {"enum": ["question", "answer"]}, "text": _TEXT},
    "required": ["speaker", "text"],
    "additionalProperties": False,
}


def _make_schema(**properties: Any) -> dict[str, Any]:
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


_SCHEMAS = {
    "conversation": _make_schema(turns={"type": "array", "items": _TURN}),
    "detail": _make_schema(answer=_TEXT),
    "reasoning": _make_schema(question=_TEXT, answer=_TEXT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LlavaSettings:
    """What is asked and what is accepted.

    Attributes:
        types: types written, of TYPES.
        is_one_type_each: write one type of each picture, drawn by `weights`, instead of all.
        weights: of the types drawn; LLaVA-Instruct has 58 k conversations, 23 k details, 77 k reasonings (section 3).
        asking: how the teacher is asked.
        least_pairs: fewest questions of a conversation; ours.
        most_pairs: most questions of a conversation; ours.
        least_words: fewest words of an answer by type; ours (a detailed description is a paragraph, section 3).
        least_supported: smallest share of named things that the evidence has, by type; ours. Reasoning goes beyond
            what is seen, so its answer has a lower one; what its question names must all be there.
        most_repetition: largest share of repeated trigrams; ours.
    """

    types: tuple[str, ...] = TYPES
    is_one_type_each: bool = False
    weights: Mapping[str, float] = field(default_factory=lambda: {"conversation": 58, "detail": 23, "reasoning": 77})
    asking: PictureAsking = field(default_factory=PictureAsking)
    least_pairs: int = 2
    most_pairs: int = 8
    least_words: Mapping[str, int] = field(default_factory=lambda: {"conversation": 1, "detail": 20, "reasoning": 20})
    least_supported: Mapping[str, float] = field(
        default_factory=lambda: {"conversation": 1.0, "detail": 1.0, "reasoning": 0.5}
    )
    most_repetition: float = 0.2

    def __post_init__(self) -> None:
        """Check the types.

        Raises:
            ConfigurationError: one is unknown, or the drawn ones have no weight.
        """
        for name in self.types:
            if name not in TYPES:
                raise ConfigurationError(f"Unknown type {name!r} of {METHOD}.{name_nearest(name, TYPES)}")
        if self.is_one_type_each and sum(self.weights.get(name, 0) for name in self.types) <= 0:
            raise ConfigurationError(f"{METHOD} draws one type of each picture: give one of {self.types} a weight.")


def plan_llava(scenes: Sequence[Scene], settings: LlavaSettings) -> list[Planned]:
    """Return what shall be asked about `scenes`, in their order."""
    planned = []
    for scene in scenes:
        for name in (_draw_type(scene.pair_id, settings),) if settings.is_one_type_each else settings.types:
            fields = {"symbols": write_symbols(scene)}
            request = None
            if name == "detail":
                request = DETAIL_REQUESTS[draw(settings.asking.seed, len(DETAIL_REQUESTS), METHOD, scene.pair_id)]
                fields["request"] = request
            planned.append(
                plan_picture(
                    scene, METHOD, name, LLAVA_PROMPTS[name], fields, _SCHEMAS[name], settings.asking,
                    instruction=request,
                )
            )  # fmt: skip
    return planned


def _draw_type(pair_id: str, settings: LlavaSettings) -> str:
    weights = [settings.weights.get(name, 0) for name in settings.types]
    point = draw(settings.asking.seed, 1 << 32, METHOD, "type", pair_id) / (1 << 32) * sum(weights)
    for name, weight in zip(settings.types, weights, strict=True):
        if point < weight:
            return name
        point -= weight
    # rounding alone leads here
    return next(name for name, weight in zip(settings.types[::-1], weights[::-1], strict=True) if weight)


def read_turns(turns: Sequence[Mapping[str, str]], settings: LlavaSettings) -> list[tuple[str, str]] | Refused:
    """Return the question-answer pairs of a conversation, or why it is none (one of TURN_REASONS).

    Args:
        turns: speaker (question or answer) and text of each.
        settings: how many pairs there may be.
    """
    if len(turns) % 2:
        return Refused("odd_turns", f"{len(turns)} turns")
    for place, turn in enumerate(turns):
        if turn["speaker"] != ("answer" if place % 2 else "question"):
            return Refused("turns_out_of_order", f"turn {place} is a {turn['speaker']}")
        if not list_words(turn["text"]):
            return Refused("empty_turn", f"turn {place}")
    texts = [" ".join(turn["text"].split()) for turn in turns]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    if not settings.least_pairs <= len(pairs) <= settings.most_pairs:
        reason = "too_few_turns" if len(pairs) < settings.least_pairs else "too_many_turns"
        return Refused(reason, f"{len(pairs)} questions")
    if len({question.casefold() for question, _ in pairs}) < len(pairs):
        return Refused("repeated_question")
    return pairs


def make_llava(
    scenes: Sequence[Scene],
    teacher: Teacher,
    settings: LlavaSettings,
    *,
    find_phrases: PhraseFinder,
    lexicon: Lexicon = ENGLISH,
) -> Judged:
    """Return rows of the types asked for, refused candidates, and details (`DETAILS_SCHEMA`).

    A conversation's row has all its turns in `turns`: its instruction is the first question, its response the last
    answer.

    Args:
        scenes: pictures, each once.
        teacher: who writes.
        settings: what is asked and accepted.
        find_phrases: finds noun phrases in what the teacher wrote (`scene_evidence.make_phrase_finder`).
        lexicon: which words name the same thing.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    known = {scene.pair_id: scene.list_evidence() for scene in scenes}
    planned = plan_llava(scenes, settings)
    types = {LLAVA_PROMPTS[name].version: name for name in TYPES}

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        return [
            _judge(types[plan.prompt_version], plan, reply, known[plan.images[0]], settings, find_phrases, lexicon)
            for plan, reply in replies
        ]

    return judge_pictures(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.asking.attempts)


def _judge(
    name: str,
    plan: Planned,
    reply: Mapping[str, Any],
    evidence: Sequence[tuple[str, str]],
    settings: LlavaSettings,
    find_phrases: PhraseFinder,
    lexicon: Lexicon,
) -> Accepted | Refused:
    if name == "conversation":
        read = read_turns(reply["turns"], settings)
        if isinstance(read, Refused):
            return read
        pairs = read
    else:
        question = plan.instruction if plan.instruction is not None else " ".join(reply["question"].split())
        pairs = [(question, " ".join(reply["answer"].split()))]
    is_asked = plan.instruction is None
    fault = _find_fault(name, pairs, plan, settings, is_asked=is_asked)
    if fault is not None:
        return fault
    questions = [question for question, _ in pairs] if is_asked else []
    asked_of, asked_count = list_unsupported(questions, find_phrases, evidence, lexicon)
    told_of, told_count = list_unsupported([answer for _, answer in pairs], find_phrases, evidence, lexicon)
    supported = 1 - len(told_of) / told_count if told_count else 1.0
    if asked_of or supported < (least := settings.least_supported[name]):
        found = ", ".join([*asked_of, *told_of])
        # what a question names must all be there: no share tells of it
        return Refused("object_without_evidence", found, *(() if asked_of else (supported, least)))
    # what follows from a picture may have numbers of its own
    said = [text for pair in pairs for text in (pair if is_asked else pair[1:])]
    if name != "reasoning" and (untold := list_untold_counts(said, find_phrases, evidence, lexicon)):
        return Refused("count_without_evidence", ", ".join(untold))
    details = {
        "type": name,
        "turns": [{"question": question, "answer": answer} for question, answer in pairs],
        "named": asked_count + told_count,
        "unsupported": told_of,
    }
    return Accepted(*pairs[0], details)


def _find_fault(
    name: str, pairs: Sequence[tuple[str, str]], plan: Planned, settings: LlavaSettings, *, is_asked: bool
) -> Refused | None:
    for question, answer in pairs:
        if is_asked and not question.endswith(("?", "？", "؟")):
            return Refused("question_without_question_mark", question)
        for text in (question, answer) if is_asked else (answer,):
            if leak := find_leak(text, plan.evidence):
                return Refused(leak, text)
        if name == "conversation" and any(phrase in answer.casefold() for phrase in _INDEFINITE):
            return Refused("indefinite_answer", answer)
        repeated, words = max(measure_repetition(question), measure_repetition(answer)), len(list_words(answer))
        if repeated > settings.most_repetition:
            return Refused("repetition", answer, repeated, high=settings.most_repetition)
        if words < settings.least_words[name]:
            return Refused("answer_too_short", answer, words, settings.least_words[name])
    return None
