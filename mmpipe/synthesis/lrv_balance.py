"""Positive and negative instructions about pictures, one to one: LRV-Instruction's balance, with proofs of absence.

Liu et al. 2024 (LRV-Instruction), section 3: models lean to yes, so half of the instructions are wrong about the
picture in one of three ways: a nonexistent object, an existent one with a wrong attribute, wrong knowledge. The paper
trusts the teacher; here a nonexistent object must be absent from all evidence (`scene_evidence.find_possible`), an
existent one must be in it, and a wrong word must not be.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.grounding import list_words, measure_repetition
from mmpipe.synthesis.judged_drafts import Accepted, Refused
from mmpipe.synthesis.lrv_claims import list_unfounded
from mmpipe.synthesis.lrv_prompts import LRV_PROMPTS, TASKS
from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon, list_forms
from mmpipe.synthesis.picture_counts import list_untold_counts
from mmpipe.synthesis.picture_rows import LEAK_REASONS, PictureAsking, draw, find_leak, judge_pictures, plan_picture
from mmpipe.synthesis.scene_evidence import find_possible, find_support, write_symbols
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.drafts import Planned
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.synthesis.scene_evidence import PhraseFinder, Scene
    from mmpipe.tables.chat import Teacher

METHOD = "lrv_balance"

#: The three ways an instruction can be wrong about a picture.
NEGATIVE_KINDS = ("nonexistent_object", "wrong_attribute", "wrong_knowledge")
KINDS = ("positive", *NEGATIVE_KINDS)
FORMS = ("question", "statement")

#: Why a reply is refused, those of LEAK_REASONS included.
REASONS = (
    "empty_part",
    "wrong_form",
    *LEAK_REASONS,
    "repetition",
    "object_without_evidence",
    "object_not_in_instruction",
    "object_in_evidence",
    "wrong_word_not_in_instruction",
    "wrong_word_in_evidence",
    "right_word_without_evidence",
    "right_word_is_wrong",
    "right_word_not_in_answer",
    "answer_affirms",
    "claims_without_evidence",
    "count_without_evidence",
    "beyond_balance",
)

DETAILS_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "task": pl.String(),
    "form": pl.String(),
    "objects": pl.List(pl.String),
    "wrong": pl.String(),
    "right": pl.String(),
    "reason": pl.String(),
}

#: Words of which an answer to a wrong instruction has one.
_DENIALS = frozenset(
    {"no", "not", "none", "nobody", "nothing", "never", "without", "neither", "nor", "instead", "cannot"}
)


def _make_schema(*names: str) -> dict[str, Any]:
    # names of things are short; a weak teacher must come to their end
    lengths = {"instruction": 600, "answer": 1500, "reason": 600}
    properties: dict[str, Any] = {name: {"type": "string", "maxLength": lengths.get(name, 80)} for name in names}
    if "objects" in names:
        properties["objects"] = {"type": "array", "items": properties["objects"], "minItems": 1, "maxItems": 30}
    return {"type": "object", "properties": properties, "required": list(names), "additionalProperties": False}


_WRONG = _make_schema("instruction", "answer", "object", "wrong", "right", "reason")
_SCHEMAS = {
    "positive": _make_schema("instruction", "answer", "objects"),
    "nonexistent_object": _make_schema("instruction", "answer", "object", "reason"),
    "wrong_attribute": _WRONG,
    "wrong_knowledge": _WRONG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LrvSettings:
    """What is asked, and how balanced it must be.

    Attributes:
        per_kind: negatives of each of the three kinds for a picture; as many positives as negatives. The paper asks
            for 6 nonexistent objects and 6 wrong attributes in one prompt.
        asking: how the teacher is asked.
        most_repetition: largest share of repeated trigrams; ours.
        least_supported: smallest share of the things that instruction and answer name, beside what is wrong or absent,
            that the evidence has; ours. Wrong knowledge is not held to it: what is right of it is known, not seen.
        is_trimmed: drop rows beyond one to one within each task, those last by a hash of their id.
        tolerance: largest distance of a share from one half (`lrv_measures.measure_balance`); ours.
    """

    per_kind: int = 1
    asking: PictureAsking = field(default_factory=PictureAsking)
    most_repetition: float = 0.2
    least_supported: float = 0.5
    is_trimmed: bool = True
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: they are out of range.
        """
        if self.per_kind < 1 or not 0 <= self.tolerance <= 0.5 or not 0 <= self.least_supported <= 1:
            raise ConfigurationError(
                f"{METHOD}: per_kind must be 1 or more, tolerance 0 to 0.5, least_supported 0 to 1."
            )


@dataclass(frozen=True, slots=True)
class LrvPlan:
    """A planned row and what it shall be."""

    planned: Planned
    kind: str
    task: str
    form: str


def plan_lrv(scenes: Sequence[Scene], settings: LrvSettings) -> list[LrvPlan]:
    """Return what shall be asked about `scenes`, in their order: positives and negatives of the same tasks and forms.

    The tasks of a picture follow one another from a place drawn by its id; forms take turns from a drawn one.
    """
    names = list(TASKS)
    plans = []
    for scene in scenes:
        symbols = write_symbols(scene, is_by_size=True)
        first = draw(settings.asking.seed, 2 * len(names), METHOD, scene.pair_id)
        for place in range(len(NEGATIVE_KINDS) * settings.per_kind):
            task, form = names[(first // 2 + place) % len(names)], FORMS[(first + place) % 2]
            number = str(place + 1)
            fields = {"symbols": symbols, "task": task, "meaning": TASKS[task], "form": form, "number": number}
            for kind in ("positive", NEGATIVE_KINDS[place % len(NEGATIVE_KINDS)]):
                planned = plan_picture(
                    scene, METHOD, f"{kind}:{place}", LRV_PROMPTS[kind], fields, _SCHEMAS[kind], settings.asking
                )
                plans.append(LrvPlan(planned, kind, task, form))
    return plans


def make_lrv(
    scenes: Sequence[Scene],
    teacher: Teacher,
    settings: LrvSettings,
    *,
    find_phrases: PhraseFinder | None = None,
    lexicon: Lexicon = ENGLISH,
) -> Judged:
    """Return positive and negative rows, refused candidates, and details (`DETAILS_SCHEMA`).

    Args:
        scenes: pictures, each once.
        teacher: who writes.
        settings: what is asked and accepted.
        find_phrases: finds noun phrases (`scene_evidence.make_phrase_finder`); without it nothing is held to
            `least_supported`.
        lexicon: which words may name the same thing.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    known = {scene.pair_id: scene.list_evidence() for scene in scenes}
    plans = {plan.planned.instruction_id: plan for plan in plan_lrv(scenes, settings)}

    def judge(replies: Sequence[tuple[Planned, Mapping[str, Any]]]) -> list[Accepted | Refused]:
        return [
            _judge(plans[planned.instruction_id], reply, known[planned.images[0]], settings, find_phrases, lexicon)
            for planned, reply in replies
        ]

    def trim(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        return dict.fromkeys(_list_surplus([plans[row["instruction_id"]] for row in rows], settings), "beyond_balance")

    return judge_pictures(
        [plan.planned for plan in plans.values()],
        teacher,
        judge,
        details_schema=DETAILS_SCHEMA,
        attempts=settings.asking.attempts,
        compare=trim if settings.is_trimmed else None,
    )


def _list_surplus(made: Sequence[LrvPlan], settings: LrvSettings) -> list[str]:
    """Return the rows of each task that one side has more of than the other, those last by hash."""
    counts = Counter((plan.task, plan.kind == "positive") for plan in made)
    surplus = []
    seen: Counter[tuple[str, bool]] = Counter()
    for plan in sorted(made, key=lambda plan: make_id("trim", settings.asking.seed, plan.planned.instruction_id)):
        side = (plan.task, plan.kind == "positive")
        seen[side] += 1
        if seen[side] > counts[plan.task, not side[1]]:
            surplus.append(plan.planned.instruction_id)
    return surplus


def _judge(
    plan: LrvPlan,
    reply: Mapping[str, Any],
    evidence: Sequence[tuple[str, str]],
    settings: LrvSettings,
    find_phrases: PhraseFinder | None,
    lexicon: Lexicon,
) -> Accepted | Refused:
    said = {name: " ".join(text.split()) for name, text in reply.items() if name != "objects"}
    objects = [" ".join(name.split()) for name in reply["objects"]] if plan.kind == "positive" else [said["object"]]
    fault = _find_fault(plan, said, objects, settings)
    if fault is None:
        finders = {
            "positive": _find_positive_fault,
            "nonexistent_object": _find_nonexistent_fault,
            "wrong_attribute": _find_attribute_fault,
            "wrong_knowledge": _find_knowledge_fault,
        }
        fault = finders[plan.kind](said, objects, evidence, lexicon)
    if fault is None and find_phrases is not None and plan.kind != "wrong_knowledge":
        unfounded, named = list_unfounded(said, objects, evidence, find_phrases, lexicon)
        supported = 1 - len(unfounded) / named if named else 1.0
        if supported < settings.least_supported:
            fault = Refused("claims_without_evidence", ", ".join(unfounded), supported, settings.least_supported)
    if fault is None and find_phrases is not None and plan.kind == "positive":
        both = (said["instruction"], said["answer"])
        if untold := list_untold_counts(both, find_phrases, evidence, lexicon):
            fault = Refused("count_without_evidence", ", ".join(untold))
    if fault is not None:
        return fault
    details = {
        "kind": plan.kind,
        "task": plan.task,
        "form": plan.form,
        "objects": objects,
        **{name: said.get(name) for name in ("wrong", "right", "reason")},
    }
    return Accepted(said["instruction"], said["answer"], details)


def _find_fault(
    plan: LrvPlan, said: Mapping[str, str], objects: Sequence[str], settings: LrvSettings
) -> Refused | None:
    instruction, answer = said["instruction"], said["answer"]
    if not all(list_words(text) for text in (*said.values(), *objects)):
        return Refused("empty_part")
    is_wrong = plan.kind != "positive"
    faults = (
        ("wrong_form", instruction.endswith(("?", "？", "؟")) != (plan.form == "question")),
        ("repetition", max(measure_repetition(instruction), measure_repetition(answer)) > settings.most_repetition),
        ("object_not_in_instruction", is_wrong and not _stands_in(objects[0], instruction)),
        ("answer_affirms", is_wrong and not _DENIALS & set(_list_denying_words(answer))),
    )
    leaks = (find_leak(text, plan.planned.evidence) for text in (instruction, answer))
    fault = next((leak for leak in leaks if leak), "") or next((name for name, holds in faults if holds), "")
    return Refused(fault, f"{instruction} {answer}") if fault else None


def _find_positive_fault(
    said: Mapping[str, str], objects: Sequence[str], evidence: Sequence[tuple[str, str]], lexicon: Lexicon
) -> Refused | None:
    del said
    missing = [name for name in objects if not find_support(name, evidence, lexicon)]
    return Refused("object_without_evidence", ", ".join(missing)) if missing else None


def _find_nonexistent_fault(
    said: Mapping[str, str], objects: Sequence[str], evidence: Sequence[tuple[str, str]], lexicon: Lexicon
) -> Refused | None:
    del said
    places = find_possible(objects[0], evidence, lexicon)
    return Refused("object_in_evidence", f"{objects[0]}: {', '.join(places)}") if places else None


def _find_attribute_fault(
    said: Mapping[str, str], objects: Sequence[str], evidence: Sequence[tuple[str, str]], lexicon: Lexicon
) -> Refused | None:
    fault = _find_wrong_word_fault(said, objects, evidence, lexicon)
    if fault is None and not any(_stands_in(said["right"], text) for _, text in evidence):
        return Refused("right_word_without_evidence", said["right"])
    return fault


def _find_knowledge_fault(
    said: Mapping[str, str], objects: Sequence[str], evidence: Sequence[tuple[str, str]], lexicon: Lexicon
) -> Refused | None:
    # what is right is known of the thing, not seen in the picture
    return _find_wrong_word_fault(said, objects, evidence, lexicon)


def _find_wrong_word_fault(
    said: Mapping[str, str], objects: Sequence[str], evidence: Sequence[tuple[str, str]], lexicon: Lexicon
) -> Refused | None:
    wrong, right = said["wrong"], said["right"]
    if not find_support(objects[0], evidence, lexicon):
        return Refused("object_without_evidence", objects[0])
    if not _stands_in(wrong, said["instruction"]):
        return Refused("wrong_word_not_in_instruction", wrong)
    if find_possible(wrong, evidence, lexicon):
        return Refused("wrong_word_in_evidence", wrong)
    if _stands_in(right, wrong) or _stands_in(wrong, right):
        return Refused("right_word_is_wrong", right)
    return None if _stands_in(right, said["answer"]) else Refused("right_word_not_in_answer", right)


def _stands_in(phrase: str, text: str) -> bool:
    """Return whether the words of `phrase` stand in a row in `text`, in either number."""
    words, others = list_words(phrase), list_words(text)
    return any(
        all(list_forms(word) & list_forms(other) for word, other in zip(words, others[place:], strict=False))
        for place in range(len(others) - len(words) + 1)
    )


def _list_denying_words(answer: str) -> list[str]:
    # the apostrophe parts a word: isn't, can’t
    return list_words(answer.replace("n't", " not").replace("n’t", " not"))
