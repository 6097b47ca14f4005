"""Image instructions: a teacher that cannot see is told the caption and writes as if it saw the picture.

LLaVA-Instruct (Liu et al. 2023, "Visual Instruction Tuning", section 3): the caption is the symbolic stand-in of the
image. Of its kinds, `conversation` (a question about the picture and its answer) and `description` (a fixed request to
describe, as in the stage-one alignment of LLaVA and MiniGPT-4, answered anew by the teacher) need no boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.drafts import Draft, Parent, Planned
from mmpipe.synthesis.grounding import (
    list_content_words,
    list_words,
    measure_grounding,
    measure_repetition,
)
from mmpipe.synthesis.prompts import Prompt, find_prompt
from mmpipe.synthesis.question_kinds import fits_question
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.told_numbers import list_untold_numbers
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

METHOD = "image_instructions"

#: Why a reply is refused.
REASONS = (
    "question_without_question_mark",
    "caption_leak",
    "cannot_see",
    "repetition",
    "question_ungrounded",
    "question_gives_answer",
    "answer_ungrounded",
    "answer_unfinished",
    "answer_of_another_kind",
)

#: Requests to describe, one per pair by hash.
DESCRIBE = (
    "Describe this image in one sentence.",
    "What does this image show?",
    "Give a short description of the picture.",
    "Say briefly what can be seen here.",
)

#: Words that tell that the teacher read instead of looked.
_LEAKS = frozenset({"caption", "captions", "description", "alt", "sentence", "mentioned", "stated", "provided", "text"})
_BLIND = ("cannot see", "can't see", "unable to see", "language model", "as an ai", "i'm sorry", "i am sorry")
#: Words any answer about a picture may use without having them from the caption.
_SEEING = "image picture photo photograph scene show shows shown showing see seen depict depicts there colour color"

_DOG = "A brown dog on a red sofa"
_BOATS = "Three small boats near a wooden pier"
_CUP = "White cup beside an open book"

PROMPTS = (
    Prompt(
        "image_instructions/conversation",
        "You look at a picture. You write one question about what can be seen in it, and the answer.",
        "Picture: {caption}",
        (
            ({"caption": _DOG}, {"question": "What is on the red sofa?", "answer": "A brown dog is on the red sofa."}),
            ({"caption": _BOATS}, {"question": "How many boats are there?", "answer": "There are three small boats."}),
            ({"caption": _CUP}, {"question": "What is beside the book?", "answer": "A white cup is beside the book."}),
        ),
    ),
    Prompt(
        "image_instructions/description",
        "You look at a picture. You say in one sentence what can be seen in it, and nothing else.",
        "Picture: {caption}",
        (
            ({"caption": _DOG}, {"answer": "A brown dog is on a red sofa."}),
            ({"caption": _BOATS}, {"answer": "Three small boats are near a wooden pier."}),
            ({"caption": _CUP}, {"answer": "A white cup is beside an open book."}),
        ),
    ),
)

_ANSWER = {"type": "string", "minLength": 2, "maxLength": 200}
_QUESTION = {"type": "string", "pattern": r'^[^?？؟"\\]{8,100}[?？؟]$'}
_SCHEMAS = {
    "conversation": {
        "type": "object",
        "properties": {"question": _QUESTION, "answer": _ANSWER},
        "required": ["question", "answer"],
        "additionalProperties": False,
    },
    "description": {
        "type": "object",
        "properties": {"answer": _ANSWER},
        "required": ["answer"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInstructionSettings:
    """What is asked and what is accepted.

    Attributes:
        kinds: kinds of instruction written for each pair.
        pairs: most pairs, chosen by hash; None for all.
        temperature: of the first attempt; 0 is greedy.
        retry_temperature: of later attempts.
        top_p: nucleus.
        max_tokens: of one reply.
        seed: seed of the choice and of the requests.
        answer_grounding: smallest share of the answer's content words that the caption has.
        question_grounding: the same for the question.
        repetition: largest share of repeated trigrams.
    """

    kinds: tuple[str, ...] = ("conversation", "description")
    pairs: int | None = None
    temperature: float = 0.0
    retry_temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 80
    seed: int = 0
    answer_grounding: float = 0.9
    question_grounding: float = 0.5
    repetition: float = 0.2


def plan_image_instructions(pairs: pl.DataFrame, settings: ImageInstructionSettings) -> list[Planned]:
    """Return what shall be asked about `pairs`, in their order.

    Args:
        pairs: columns pair_id, dump, caption (those of filtered_image_pairs).
        settings: what is asked.

    Raises:
        ConfigurationError: a kind is unknown.
    """
    rows = pairs.select("pair_id", "dump", "caption").rows(named=True)
    if settings.pairs is not None:
        chosen = sorted(rows, key=lambda row: make_id("pair", settings.seed, row["pair_id"]))[: settings.pairs]
        ids = {row["pair_id"] for row in chosen}
        rows = [row for row in rows if row["pair_id"] in ids]
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed)
    planned = []
    for row in rows:
        for kind in settings.kinds:
            prompt = find_prompt(f"{METHOD}/{kind}", PROMPTS)
            planned.append(
                Planned(
                    instruction_id=make_id(METHOD, row["pair_id"], kind),
                    dump=row["dump"],
                    method=METHOD,
                    stage="instruction_tuning",
                    mode="general_distillation.multimodal",
                    prompt_version=prompt.version,
                    messages=prompt.render(caption=" ".join(row["caption"].split())),
                    schema=_SCHEMAS[kind],
                    sampling=sampling,
                    retry_temperature=settings.retry_temperature,
                    evidence=row["caption"],
                    instruction=None if kind == "conversation" else _choose_request(row["pair_id"], settings.seed),
                    images=(row["pair_id"],),
                    parents=(Parent("filtered_image_pairs", row["pair_id"]),),
                )
            )
    return planned


def _choose_request(pair_id: str, seed: int) -> str:
    return DESCRIBE[int(make_id("describe", seed, pair_id)[:8], 16) % len(DESCRIBE)]


def accept_image_instruction(
    planned: Planned, reply: Mapping[str, Any], settings: ImageInstructionSettings
) -> Draft | Refusal:
    """Return the question and answer of a reply that satisfies the schema, or the first of REASONS that holds."""
    answer = str(reply["answer"]).strip()
    question = str(reply["question"]).strip() if planned.instruction is None else planned.instruction
    faults = chain(
        _list_faults_of_form(question, answer, planned, settings), _list_untold(question, answer, planned, settings)
    )
    return next(faults, None) or Draft(question, answer)


def _list_faults_of_form(
    question: str, answer: str, planned: Planned, settings: ImageInstructionSettings
) -> Iterator[Refusal]:
    """Yield what is wrong with how a question and its answer are put; a fixed request is not judged."""
    is_asked = planned.instruction is None
    both = f"{question} {answer}" if is_asked else answer
    if is_asked and not question.endswith(("?", "？", "؟")):
        yield Refusal(reason="question_without_question_mark", found=question)
    if leaks := (_LEAKS - set(list_words(planned.evidence))) & set(list_words(both)):
        yield Refusal(reason="caption_leak", found=", ".join(sorted(leaks)))
    if any(phrase in both.casefold() for phrase in _BLIND):
        yield Refusal(reason="cannot_see", found=both)
    repeated = max(measure_repetition(question), measure_repetition(answer))
    if repeated > settings.repetition:
        yield Refusal(reason="repetition", measure="repeated_trigrams", value=repeated, high=settings.repetition)


def _list_untold(question: str, answer: str, planned: Planned, settings: ImageInstructionSettings) -> Iterator[Refusal]:
    """Yield what a question and its answer say that the caption does not."""
    is_asked = planned.instruction is None
    evidence = f"{planned.evidence} {_SEEING}"
    asked = measure_grounding(question, evidence) if is_asked else 1.0
    if asked < settings.question_grounding:
        yield Refusal(reason="question_ungrounded", measure="grounding", value=asked, low=settings.question_grounding)
    if is_asked and set(list_content_words(answer)) <= set(list_words(question)):
        yield Refusal(reason="question_gives_answer", found=answer)
    grounded = measure_grounding(answer, evidence)
    if grounded < settings.answer_grounding:
        yield Refusal(reason="answer_ungrounded", measure="grounding", value=grounded, low=settings.answer_grounding)
    if untold := list_untold_numbers(answer, evidence, are_words_held=True):
        yield Refusal(reason="answer_ungrounded", found=f"untold numbers: {', '.join(untold)}")
    if answer.endswith((",", ";", ":", "-", "?")) or not list_words(answer):
        yield Refusal(reason="answer_unfinished", found=answer)
    if is_asked and not fits_question(question, answer):
        yield Refusal(reason="answer_of_another_kind", found=answer)
