"""Writes multiple-choice questions about scenes: options far apart, "none of these" last, reason, then a marked answer.

A practice report on scene data (the project's seed document 002, section on multiple choice): the question explains the
scene, options are simple and far apart, the negative one comes last because a model prefers the option nearest to the
answer, a short reason precedes the answer, and the marker `###` + `ANSWER:` lets a program read it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.choice_prompts import CHOICE_PROMPT, NONE_PROMPT
from mmpipe.synthesis.choice_texts import FORM_REASONS, LETTERS, Choice, find_line_fault, write_choice
from mmpipe.synthesis.grounding import count_words, list_content_words, list_words, measure_grounding
from mmpipe.synthesis.judged_drafts import Accepted, Refused
from mmpipe.synthesis.noun_forms import ENGLISH, list_forms
from mmpipe.synthesis.picture_rows import LEAK_REASONS, PictureAsking, draw, find_leak, judge_pictures, plan_picture
from mmpipe.synthesis.scene_evidence import measure_rouge_l, write_symbols
from mmpipe.synthesis.told_numbers import list_untold_numbers
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mmpipe.synthesis.drafts import Planned
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.synthesis.scene_evidence import Scene
    from mmpipe.tables.chat import Teacher

METHOD = "scene_choices"

#: Why a reply is refused, those of LEAK_REASONS and the first three of FORM_REASONS included.
REASONS = (
    *FORM_REASONS[:3],
    "question_without_question_mark",
    "option_too_long",
    "negative_among_options",
    "options_alike",
    "reason_too_long",
    "reason_names_option",
    *LEAK_REASONS,
    "answer_without_evidence",
    "count_without_evidence",
    "wrong_option_in_evidence",
    "reason_without_evidence",
)

DETAILS_SCHEMA: dict[str, pl.DataType] = {
    "options": pl.List(pl.String),
    "right": pl.Int64(),
    "letter": pl.String(),
    "is_negative": pl.Boolean(),
    "reason": pl.String(),
    "most_alike": pl.Float64(),
}

_NAMES_OPTION = re.compile(r"\boptions?\b|\bchoices?\b|\b(?:answer|letter) [A-Z]\b|\([A-Z]\)", re.IGNORECASE)
_WORDS = {"type": "string", "minLength": 1, "maxLength": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSettings:
    """What is asked and what is accepted. The source gives the rules, no numbers; those here are ours.

    Attributes:
        asking: how the teacher is asked.
        questions: questions about each scene.
        wrong: wrong options beside the right one; with the negative option there are `wrong` + 2.
        negative: the last option of every question.
        most_option_words: longest option; two characters of a script without spaces are a word, here and below.
        most_alike: options at least this alike are refused, by `similarity`.
        most_reason_words: longest reason.
        least_answer_grounding: smallest share of the right option's content words that the evidence tells of, by the
            word, a synonym or a narrower one.
        most_wrong_grounding: a wrong option with a greater share, wider words included, is refused: it may be right.
        least_reason_grounding: smallest share of the reason's content words that evidence and question have.
    """

    asking: PictureAsking = field(default_factory=PictureAsking)
    questions: int = 1
    wrong: int = 2
    negative: str = "None of these can be seen in the picture"
    most_option_words: int = 10
    most_alike: float = 0.5
    most_reason_words: int = 40
    least_answer_grounding: float = 0.5
    most_wrong_grounding: float = 0.5
    least_reason_grounding: float = 0.3

    def __post_init__(self) -> None:
        """Check the number of options and the negative one.

        Raises:
            ConfigurationError: there are too few or too many options, or the negative one is empty or of several lines.
        """
        if not 1 <= self.wrong <= len(LETTERS) - 2:
            raise ConfigurationError(f"{METHOD} needs 1 to {len(LETTERS) - 2} wrong options, not {self.wrong}.")
        if find_line_fault(self.negative):
            raise ConfigurationError(f"{METHOD}: the negative option {self.negative!r} must be one line of text.")


def measure_likeness(one: str, other: str) -> float:
    """Return how alike two options are, 0 to 1, in wording and in meaning.

    The greater of ROUGE-L's F and of the share of words that the other has too, or one that may mean the same: a
    synonym (a sofa, a couch), the kind or the member (an animal, a dog). Articles and the like count only where there
    is nothing else.
    """
    words, others = _list_telling(one), _list_telling(other)
    if not words or not others:
        return 0.0
    shared = _count_meant(words, others) + _count_meant(others, words)
    return max(measure_rouge_l(" ".join(words), " ".join(others)), shared / (len(words) + len(others)))


def _list_telling(text: str) -> list[str]:
    return list_content_words(text) or list_words(text)


def _count_meant(words: Sequence[str], others: Sequence[str]) -> int:
    """Return how many of the words may mean what one of the others does."""
    nothing = frozenset[str]()
    forms, related = nothing.union(*map(list_forms, others)), nothing.union(*map(_list_related, others))
    # either way round: a word may have several singulars
    return sum(not (related.isdisjoint(list_forms(word)) and forms.isdisjoint(_list_related(word))) for word in words)


@lru_cache(maxsize=65536)
def _list_related(word: str) -> frozenset[str]:
    return ENGLISH.list_related(word)


def measure_told(text: str, evidence: str, list_names: Callable[[str], frozenset[str]]) -> float:
    """Return the share of content words of `text` that the evidence has, as such or as one of their names, 0 to 1.

    Args:
        text: an option.
        evidence: what is told of the picture.
        list_names: of a word: words that tell of it too (`Lexicon.list_narrower`, `Lexicon.list_related`).
    """
    told = frozenset[str]().union(*map(list_forms, list_words(evidence)))
    words = list_content_words(text)
    found = [measure_grounding(word, evidence) > 0 or bool(list_names(word) & told) for word in words]
    return sum(found) / len(words) if words else 0.0


def measure_letters(details: pl.DataFrame) -> dict[str, int]:
    """Return how many questions have each right letter, by letter; `details` as `make_choices` gives them."""
    return dict(sorted(Counter(details.get_column("letter")).items()))


def choose_place(instruction_id: str, settings: ChoiceSettings) -> int:
    """Return the right option's place; each is equally likely, the negative one's included."""
    return draw(settings.asking.seed, settings.wrong + 2, METHOD, instruction_id)


def plan_choices(scenes: Sequence[Scene], settings: ChoiceSettings) -> list[Planned]:
    """Return what shall be asked about `scenes`, in their order.

    Where the negative option is the right one, the teacher is asked for wrong options alone.
    """
    planned = []
    for scene in scenes:
        for number in range(settings.questions):
            name = make_id(METHOD, scene.pair_id, str(number))
            is_negative = choose_place(name, settings) == settings.wrong + 1
            count = settings.wrong + is_negative
            prompt = NONE_PROMPT if is_negative else CHOICE_PROMPT
            fields = {"symbols": write_symbols(scene), "number": str(number + 1), "count": str(count)}
            schema = _make_schema(count, is_negative=is_negative)
            planned.append(plan_picture(scene, METHOD, str(number), prompt, fields, schema, settings.asking))
    return planned


def _make_schema(count: int, *, is_negative: bool) -> dict[str, Any]:
    wrong = {"type": "array", "items": _WORDS, "minItems": count, "maxItems": count}
    # in the order of the examples: a grammar writes them in this one
    right = {} if is_negative else {"right": _WORDS}
    properties = {"question": _WORDS, **right, "wrong": wrong, "reason": _WORDS}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def make_choices(
    scenes: Sequence[Scene],
    teacher: Teacher,
    settings: ChoiceSettings,
    *,
    similarity: Callable[[str, str], float] = measure_likeness,
) -> Judged:
    """Return multiple-choice rows, refused candidates, and details (`DETAILS_SCHEMA`).

    Args:
        scenes: pictures, each once, with their scene's label where it is known.
        teacher: who writes questions, options and reasons; letters are drawn by a hash of the row's id.
        settings: what is asked and accepted.
        similarity: how alike two options are, 0 to 1, whatever their order.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        return [_judge(plan, reply, settings, similarity) for plan, reply in replies]

    planned = plan_choices(scenes, settings)
    return judge_pictures(planned, teacher, judge, details_schema=DETAILS_SCHEMA, attempts=settings.asking.attempts)


def _judge(
    plan: Planned, reply: Mapping[str, Any], settings: ChoiceSettings, similarity: Callable[[str, str], float]
) -> Accepted | Refused:
    place = choose_place(plan.instruction_id, settings)
    is_negative = place == settings.wrong + 1
    wrong = [_clean(text) for text in reply["wrong"]]
    right = None if is_negative else _clean(reply["right"])
    shown = wrong if right is None else [*wrong[:place], right, *wrong[place:]]
    choice = Choice(reply["question"].strip(), (*shown, settings.negative), place, _clean(reply["reason"]))
    if (fault := _find_fault(choice, settings, similarity, plan.evidence)) is not None:
        return fault
    # what is told of by a narrower name is told: "an animal" of a dog; what may be meant is not plainly wrong
    if (
        right is not None
        and measure_told(right, plan.evidence, ENGLISH.list_narrower) < settings.least_answer_grounding
    ):
        return Refused("answer_without_evidence", right)
    if untold := _list_untold_counts(f"{right or ''}\n{choice.reason}", plan.evidence):
        return Refused("count_without_evidence", ", ".join(untold))
    for option in wrong:
        if measure_told(option, plan.evidence, ENGLISH.list_related) > settings.most_wrong_grounding:
            return Refused("wrong_option_in_evidence", option)
    told = f"{plan.evidence}\n{choice.question}"
    if measure_grounding(choice.reason, told) < settings.least_reason_grounding:
        return Refused("reason_without_evidence", choice.reason)
    details = {
        "options": list(choice.options),
        "right": place,
        "letter": LETTERS[place],
        "is_negative": is_negative,
        "reason": choice.reason,
        "most_alike": _measure_most_alike(shown, similarity),
    }
    return Accepted(*write_choice(choice, settings.negative), details)


def _list_untold_counts(text: str, evidence: str) -> list[str]:
    # a thing with three boxes stands there in three lines
    lines = Counter(evidence.casefold().splitlines())
    return list_untold_numbers(text, "\n".join([evidence, *map(str, lines.values())]), are_words_held=True)


def _clean(text: str) -> str:
    return text.strip().rstrip(".。．").rstrip()


def _find_fault(
    choice: Choice, settings: ChoiceSettings, similarity: Callable[[str, str], float], evidence: str
) -> Refused | None:
    shown = choice.options[:-1]
    for text in (choice.question, *shown, choice.reason):
        if fault := find_line_fault(text):
            return Refused(fault, text)
    said = " ".join((choice.question, *shown, choice.reason))
    faults: Iterable[tuple[str, bool]] = (
        ("question_without_question_mark", not choice.question.endswith(("?", "？", "؟"))),
        ("option_too_long", any(count_words(option) > settings.most_option_words for option in shown)),
        ("negative_among_options", any(_is_negative(option, settings.negative) for option in shown)),
        ("options_alike", _measure_most_alike(shown, similarity) >= settings.most_alike),
        ("reason_too_long", count_words(choice.reason) > settings.most_reason_words),
        ("reason_names_option", bool(_NAMES_OPTION.search(choice.reason))),
    )
    fault = next((name for name, holds in faults if holds), "") or find_leak(said, evidence)
    return Refused(fault, said) if fault else None


def _is_negative(option: str, negative: str) -> bool:
    words = list_words(option)
    return words == list_words(negative) or words[:2] in (["none", "of"], ["all", "of"]) or words == ["none"]


def _measure_most_alike(options: Sequence[str], similarity: Callable[[str, str], float]) -> float:
    return max((similarity(one, other) for n, one in enumerate(options) for other in options[:n]), default=0.0)
