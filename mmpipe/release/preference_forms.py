"""Turns preferences into the forms that methods learn from: labelled answers, whole texts, ranked lists and pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.records import LabelledAnswer, Preference, Turn, find_turns_fault, refuse, require_sound
from mmpipe.tables.identity import make_id

#: How Anthropic's published comparisons mark who speaks (Bai et al. 2022, arXiv 2204.05862, the hh-rlhf files).
HUMAN_MARK = "\n\nHuman: "
ASSISTANT_MARK = "\n\nAssistant: "


@dataclass(frozen=True, slots=True)
class RankedAnswers:
    """Several answers to one prompt with their scores; higher is better, equal scores are a tie.

    Attributes:
        id: of the prompt: the comparison set.
        prompt: turns before the answers.
        answers: the final assistant turn of each.
        scores: of each answer.
        images: path or URI of each picture of the prompt.
    """

    id: str
    prompt: tuple[Turn, ...]
    answers: tuple[str, ...]
    scores: tuple[float, ...]
    images: tuple[str, ...] = ()


def order_answers(ranked: RankedAnswers) -> RankedAnswers:
    """Return the answers best first; ties stand in the order of their texts, so that no draw is needed."""
    order = sorted(range(len(ranked.answers)), key=lambda place: (-ranked.scores[place], ranked.answers[place]))
    return replace(
        ranked,
        answers=tuple(ranked.answers[place] for place in order),
        scores=tuple(ranked.scores[place] for place in order),
    )


def list_pairs(ranked: RankedAnswers, *, least_margin: float = 0.0) -> list[Preference]:
    """Return every pair of answers that a score tells apart, better first: at most K (K - 1) / 2 of K answers.

    InstructGPT learns from all of them (Ouyang et al. 2022, arXiv 2203.02155, section 3.5) and keeps them in one batch,
    as they are not independent: they share `group_id`.

    Args:
        ranked: answers and scores; a tie or two equal texts make no pair.
        least_margin: pairs whose scores differ by no more than this are left out.

    Raises:
        InvariantBroken: answers and scores differ in number, a score is no number, or the prompt or an answer is
            faulty; the row is named.
    """
    _require_ranking(ranked)
    best_first = order_answers(ranked)
    pairs = []
    for better, worse in combinations(range(len(best_first.answers)), 2):
        margin = best_first.scores[better] - best_first.scores[worse]
        chosen, rejected = best_first.answers[better], best_first.answers[worse]
        if margin <= least_margin or chosen.split() == rejected.split():
            continue
        pairs.append(
            Preference(
                make_id("ranked pair", ranked.id, chosen, rejected),
                ranked.prompt,
                (Turn("assistant", chosen),),
                (Turn("assistant", rejected),),
                ranked.images,
                margin=margin,
                group_id=ranked.id,
            )
        )
    return pairs


def _require_ranking(ranked: RankedAnswers) -> None:
    if len(ranked.answers) != len(ranked.scores):
        refuse("ranked answers", ranked.id, f"has {len(ranked.answers)} answers and {len(ranked.scores)} scores")
    unmeasured = next((score for score in ranked.scores if not abs(score) < float("inf")), None)
    if unmeasured is not None:
        refuse("ranked answers", ranked.id, f"has the score {unmeasured}")
    for answer in ranked.answers:
        turns = (*ranked.prompt, Turn("assistant", answer))
        refuse("ranked answers", ranked.id, find_turns_fault(turns, len(ranked.images)))


def unpair(preference: Preference) -> tuple[LabelledAnswer, LabelledAnswer]:
    """Return both answers with their labels: the chosen as desirable, the rejected as undesirable."""
    require_sound(preference, "unpaired preferences")
    shared = {"prompt": preference.prompt, "images": preference.images, "tools": preference.tools}
    return (
        LabelledAnswer(f"{preference.id}-chosen", completion=preference.chosen, label=True, **shared),  # type: ignore[arg-type]
        LabelledAnswer(f"{preference.id}-rejected", completion=preference.rejected, label=False, **shared),  # type: ignore[arg-type]
    )


def drop_repeated(answers: Iterable[LabelledAnswer]) -> tuple[list[LabelledAnswer], list[tuple[str, str, str]]]:
    """Return labelled answers without repeats, and of those left out id, reason and the id of the one in their way.

    Pairs of one prompt repeat their answers. The first by id of equal ones stays, the others are `repeated_answer`; an
    answer that is chosen here and rejected there has no one label and is left out (`contradicted_label`).
    """
    groups: dict[tuple[object, ...], list[LabelledAnswer]] = {}
    for answer in answers:
        key = (repr(answer.prompt), repr(answer.completion), answer.images)
        groups.setdefault(key, []).append(answer)
    kept, left_out = [], []
    for members in groups.values():
        first, *others = sorted(members, key=lambda answer: answer.id)
        if len({answer.label for answer in members}) > 1:
            left_out += [
                (each.id, "contradicted_label", next(other.id for other in members if other.label is not each.label))
                for each in members
            ]
            continue
        kept.append(first)
        left_out += [(each.id, "repeated_answer", first.id) for each in others]
    return sorted(kept, key=lambda answer: answer.id), sorted(left_out)


def require_both_labels(answers: Sequence[LabelledAnswer]) -> tuple[int, int]:
    """Return how many answers are desirable and undesirable.

    Raises:
        InvariantBroken: one of the labels has none: KTO then compares with nothing.
    """
    desirable = sum(answer.label for answer in answers)
    if not 0 < desirable < len(answers):
        missing = "undesirable" if desirable else "desirable"
        raise InvariantBroken(
            f"kto: none of {len(answers)} rows is {missing}; KTO learns nothing from one label alone."
        )
    return desirable, len(answers) - desirable


def split_shared_prompt(
    chosen: Sequence[Turn], rejected: Sequence[Turn]
) -> tuple[tuple[Turn, ...], tuple[Turn, ...], tuple[Turn, ...]]:
    """Return (prompt, chosen, rejected) of two whole conversations: the prompt is what both begin with."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    return tuple(chosen[:shared]), tuple(chosen[shared:]), tuple(rejected[shared:])


def write_transcripts(preference: Preference, *, end_of_context: str = "") -> dict[str, str]:
    """Return whole texts for a reward model: `id`, `chosen` and `rejected`, dialogues with an implicit prompt.

    Args:
        preference: without system turn, tools and pictures, which the dialogue has no mark for.
        end_of_context: a marker after the last turn, on which a preference model predicts its score (Askell et al.
            2021, arXiv 2112.00861, section 4.1); none by default.

    Raises:
        InvariantBroken: there are pictures, a turn has another role, or its words hold a mark, so that the text could
            not be read back.
        ConfigurationError: the marker is nothing but white space, or a part of the dialogue's marks.
    """
    require_sound(preference, "transcripts")
    _require_marker(end_of_context)
    if preference.images:
        refuse("transcripts", preference.id, "has pictures, which a transcript cannot hold")
    for turn in (*preference.prompt, *preference.chosen, *preference.rejected):
        if turn.role not in {"user", "assistant"} or turn.tool_calls:
            refuse("transcripts", preference.id, f"has a turn of the {turn.role}, which a transcript cannot hold")
        marks = [HUMAN_MARK, ASSISTANT_MARK, *([end_of_context] if end_of_context else [])]
        found = next((mark for mark in marks if mark in turn.content), None)
        if found is not None:
            refuse("transcripts", preference.id, f"holds the mark {found!r} in its words")
    if preference.chosen[0] == preference.rejected[0]:
        refuse("transcripts", preference.id, "has answers that begin alike, so its implicit prompt would grow")
    return {
        "id": preference.id,
        "chosen": _write_dialogue((*preference.prompt, *preference.chosen)) + end_of_context,
        "rejected": _write_dialogue((*preference.prompt, *preference.rejected)) + end_of_context,
    }


def read_transcripts(row: dict[str, str], *, end_of_context: str = "") -> Preference:
    """Return the preference of texts that `write_transcripts` wrote; margin and group are not in them.

    Raises:
        InvariantBroken: a text does not begin with the human's mark or does not end with the marker.
    """
    _require_marker(end_of_context)
    sides = []
    for name in ("chosen", "rejected"):
        text = row[name]
        if not text.startswith(HUMAN_MARK) or not text.endswith(end_of_context):
            refuse("transcripts", row["id"], f"has no {HUMAN_MARK!r} at the start of {name}, or no marker at its end")
        sides.append(_read_dialogue(text.removesuffix(end_of_context) if end_of_context else text))
    return Preference(row["id"], *split_shared_prompt(sides[0], sides[1]))


def _require_marker(end_of_context: str) -> None:
    if end_of_context and (not end_of_context.strip() or end_of_context in HUMAN_MARK + ASSISTANT_MARK):
        raise ConfigurationError(f"transcripts: {end_of_context!r} cannot mark the end of a context.")


def _write_dialogue(turns: Iterable[Turn]) -> str:
    return "".join((HUMAN_MARK if turn.role == "user" else ASSISTANT_MARK) + turn.content for turn in turns)


def _read_dialogue(text: str) -> list[Turn]:
    turns = []
    for piece in text.removeprefix(HUMAN_MARK).split(HUMAN_MARK):
        asked, *answers = piece.split(ASSISTANT_MARK)
        turns += [Turn("user", asked), *(Turn("assistant", answer) for answer in answers)]
    return turns
