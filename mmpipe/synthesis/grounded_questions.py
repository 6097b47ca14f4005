"""Grounded question-answer instructions: a teacher asks about one sentence of a document and answers from it.

The sentence is chosen before the question is written (answer-aware question generation, Du and Cardie 2018, "Harvesting
Paragraph-Level Question-Answer Pairs from Wikipedia"), as the chunks of RAFT are (Zhang et al. 2024, section 3), so
the evidence is verbatim by construction and a weak teacher has to write, not to search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.drafts import Draft, Parent, Planned
from mmpipe.synthesis.grounding import (
    list_content_words,
    list_words,
    measure_copied_words,
    measure_grounding,
    measure_order,
    measure_repetition,
)
from mmpipe.synthesis.passages import Passage, choose_passages
from mmpipe.synthesis.prompts import Prompt, find_prompt
from mmpipe.synthesis.question_kinds import fits_question, shares_topic
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.told_numbers import list_untold_numbers
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

METHOD = "grounded_questions"

#: Why a reply is refused.
REASONS = (
    "question_without_question_mark",
    "question_copied",
    "question_ungrounded",
    "question_gives_answer",
    "repetition",
    "answer_ungrounded",
    "answer_unfinished",
    "answer_is_question",
    "answer_of_another_kind",
    "answer_rearranged",
)

_MUSEUM = "The Harbour Museum opened in 1931 in a former rope factory."
_WHALE = "Its largest room holds a whale skeleton, 18 metres long, that was found on the north beach."
_BRIDGE = "The stone bridge was designed by Clara Benn, and Mayor Holt paid 900 crowns for it."
_BEES = "Many flowers carry ultraviolet marks that lead a bee to the nectar."

_EXAMPLES = (
    (
        {"sentence": _WHALE, "passage": f"{_MUSEUM} {_WHALE}"},
        {"question": "How long is the whale skeleton?", "answer": "The whale skeleton is 18 metres long."},
    ),
    (
        {"sentence": _BRIDGE, "passage": f"The first tower fell in 1702. {_BRIDGE}"},
        {"question": "Who designed the stone bridge?", "answer": "The stone bridge was designed by Clara Benn."},
    ),
    (
        {"sentence": _BEES, "passage": f"Bees cannot see red. {_BEES}"},
        {
            "question": "How do many flowers lead a bee to the nectar?",
            "answer": "Many flowers carry ultraviolet marks that lead a bee to the nectar.",
        },
    ),
)

#: `sentence` shows the sentence alone, which a small model needs; `passage` shows what stands around it.
PROMPTS = (
    Prompt(
        "grounded_questions/sentence",
        "You write a question that the given sentence answers, and then the answer.",
        "Sentence: {sentence}",
        _EXAMPLES,
    ),
    Prompt(
        "grounded_questions/passage",
        "You write one question about a passage, in the language of the passage, and its answer. The question is "
        "answered by the given sentence, names what it asks about, and can be understood from the passage alone. "
        "The answer is one whole sentence and says nothing that the sentence does not say.",
        "Passage: {passage}\n\nSentence: {sentence}",
        _EXAMPLES,
    ),
)

_SCHEMA = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "pattern": r'^[^?？؟"\\]{8,140}[?？؟]$'},
        "answer": {"type": "string", "minLength": 2, "maxLength": 240},
    },
    "required": ["question", "answer"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedQuestionSettings:
    """What is asked and what is accepted.

    Attributes:
        languages: languages of documents asked about; empty for all.
        documents: most documents asked about, chosen by hash; None for all.
        passages_per_document: most questions about one document.
        passage_chars: fewest and most characters of a passage; wide ones (Chinese, Japanese, Korean) count twice.
        sentence_chars: fewest and most characters of the sentence asked about, counted likewise.
        prompt: name of the prompt.
        temperature: of the first attempt; 0 is greedy.
        retry_temperature: of later attempts.
        top_p: nucleus.
        max_tokens: of one reply.
        seed: seed of the choice and of the requests.
        answer_grounding: smallest share of the answer's content words that the sentence has; of numbers it has all.
        answer_order: smallest share of them that stands in the sentence in the same order (ROUGE-L precision): who did
            what to whom is seldom turned round.
        question_grounding: smallest share of the question's content words that the passage has; of numbers it has all.
        question_copy_words: longest run of words a question may copy from the passage; two characters of a script
            without spaces are a word.
        repetition: largest share of repeated trigrams in question or answer.
    """

    languages: tuple[str, ...] = ("en",)
    documents: int | None = None
    passages_per_document: int = 2
    passage_chars: tuple[int, int] = (200, 700)
    sentence_chars: tuple[int, int] = (40, 220)
    prompt: str = "grounded_questions/sentence"
    temperature: float = 0.0
    retry_temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 96
    seed: int = 0
    answer_grounding: float = 0.8
    answer_order: float = 0.65
    question_grounding: float = 0.6
    question_copy_words: int = 10
    repetition: float = 0.2


def plan_grounded_questions(documents: pl.DataFrame, settings: GroundedQuestionSettings) -> list[Planned]:
    """Return what shall be asked about `documents`, in their order.

    Args:
        documents: columns doc_id, dump, language, text (those of deduped_corpus).
        settings: what is asked.

    Raises:
        ConfigurationError: the prompt is unknown.
    """
    prompt = find_prompt(settings.prompt, PROMPTS)
    rows = documents.select("doc_id", "dump", "language", "text").rows(named=True)
    rows = [row for row in rows if not settings.languages or row["language"] in settings.languages]
    if settings.documents is not None:
        chosen = sorted(rows, key=lambda row: make_id("document", settings.seed, row["doc_id"]))[: settings.documents]
        ids = {row["doc_id"] for row in chosen}
        rows = [row for row in rows if row["doc_id"] in ids]
    return [
        _plan(row, passage, prompt, settings)
        for row in rows
        for passage in choose_passages(
            row["doc_id"],
            row["text"],
            passages=settings.passages_per_document,
            passage_chars=settings.passage_chars,
            sentence_chars=settings.sentence_chars,
            seed=settings.seed,
        )
    ]


def _plan(row: Mapping[str, Any], passage: Passage, prompt: Prompt, settings: GroundedQuestionSettings) -> Planned:
    return Planned(
        instruction_id=make_id(METHOD, row["doc_id"], passage.position),
        dump=row["dump"],
        method=METHOD,
        stage="instruction_tuning",
        mode="general_distillation.from_seeds",
        prompt_version=prompt.version,
        messages=prompt.render(passage=passage.text, sentence=passage.sentence),
        schema=_SCHEMA,
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens, settings.seed),
        retry_temperature=settings.retry_temperature,
        evidence=passage.sentence,
        context=passage.text,
        parents=(Parent("deduped_corpus", row["doc_id"]),),
    )


def accept_grounded_question(
    planned: Planned, reply: Mapping[str, Any], settings: GroundedQuestionSettings
) -> Draft | Refusal:
    """Return the question and answer of a reply that satisfies the schema, or the first of REASONS that holds."""
    question, answer = str(reply["question"]).strip(), str(reply["answer"]).strip()
    faults = _list_faults(question, answer, planned, settings)
    return next(faults, None) or Draft(question, answer)


def _list_faults(question: str, answer: str, planned: Planned, settings: GroundedQuestionSettings) -> Iterator[Refusal]:
    """Yield what is wrong with a question and its answer, in the order of REASONS."""
    passage = planned.context or planned.evidence
    if not question.endswith(("?", "？", "؟")):
        yield Refusal(reason="question_without_question_mark", found=question)
    copied = measure_copied_words(question, passage)
    if copied > settings.question_copy_words:
        yield Refusal(reason="question_copied", measure="copied_words", value=copied, high=settings.question_copy_words)
    yield from _find_ungrounded("question_ungrounded", question, passage, settings.question_grounding)
    if set(list_content_words(answer)) <= set(list_words(question)):
        yield Refusal(reason="question_gives_answer", found=answer)
    repeated = max(measure_repetition(question), measure_repetition(answer))
    if repeated > settings.repetition:
        yield Refusal(reason="repetition", measure="repeated_trigrams", value=repeated, high=settings.repetition)
    yield from _find_ungrounded(
        "answer_ungrounded", answer, planned.evidence, settings.answer_grounding, are_words_held=True
    )
    if answer.endswith((",", ";", ":", "-")) or not list_words(answer):
        yield Refusal(reason="answer_unfinished", found=answer)
    if answer.endswith(("?", "？", "؟")):
        yield Refusal(reason="answer_is_question", found=answer)
    if not fits_question(question, answer) or not shares_topic(question, answer):
        yield Refusal(reason="answer_of_another_kind", found=answer)
    ordered = measure_order(answer, planned.evidence)
    if ordered < settings.answer_order:
        yield Refusal(reason="answer_rearranged", measure="order", value=ordered, low=settings.answer_order)


def _find_ungrounded(
    reason: str, text: str, source: str, least: float, *, are_words_held: bool = False
) -> Iterator[Refusal]:
    grounded = measure_grounding(text, source)
    if grounded < least:
        yield Refusal(reason=reason, measure="grounding", value=grounded, low=least)
    if untold := list_untold_numbers(text, source, are_words_held=are_words_held):
        yield Refusal(reason=reason, found=f"untold numbers: {', '.join(untold)}")
