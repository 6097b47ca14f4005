"""Has a teacher mend captions: grammar, repetition, broken ends; what it adds or leaves of itself is refused.

MiniGPT-4 (Zhu et al. 2023, section 3.2) polishes the captions of its own first stage by ChatGPT before the second. The
prompt is in our own words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.caption_rows import make_caption_row
from mmpipe.synthesis.drafts import Spent, describe_sampling, join_left_out, make_seed
from mmpipe.synthesis.grounding import list_words, measure_grounding, measure_repetition
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.told_numbers import list_untold_numbers
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.tables.chat import Teacher

METHOD = "polish"

PROMPT = Prompt(
    "polish/mend",
    "You mend captions of pictures. You correct spelling and grammar, say once what is said twice, complete or leave "
    "out a sentence that breaks off, and leave out file names and credits. You add nothing that the caption does not "
    "say. A caption without faults you give back as it is.",
    "Caption: {caption}",
    (
        (
            {"caption": "a dog a dog sits on on the red sofa and the dog"},
            {"caption": "A dog sits on the red sofa."},
        ),
        (
            {"caption": "IMG_2041.jpg Three boat lies near wooden pier. They"},
            {"caption": "Three boats lie near a wooden pier."},
        ),
        ({"caption": "A white cup beside an open book."}, {"caption": "A white cup beside an open book."}),
    ),
)

_SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string", "minLength": 2, "maxLength": 600}},
    "required": ["caption"],
    "additionalProperties": False,
}
#: Words that tell of the task and not of the picture.
_LEAKS = frozenset({"caption", "captions", "corrected", "sorry", "rewritten", "polished"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolishSettings:
    """How captions are polished.

    Attributes:
        max_tokens: of one reply.
        seed: of the requests.
        attempts: most requests for one caption.
        least_grounding: smallest share of the new text's content words that the old one has.
        most_repetition: largest share of repeated trigrams.
    """

    max_tokens: int = 160
    seed: int = 1
    attempts: int = 3
    least_grounding: float = 0.8
    most_repetition: float = 0.1


def polish_captions(
    sources: Sequence[tuple[Mapping[str, Any], str]], teacher: Teacher, settings: PolishSettings
) -> tuple[list[dict[str, Any]], Spent]:
    """Return one row of image_captions per source, in their order, and what was spent.

    A caption whose every reply is refused has a row that is not kept: its text is the source, its reason the last one.

    Args:
        sources: (pair with pair_id and dump, caption to mend).
        teacher: who mends.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    spent = Spent()
    rows: list[dict[str, Any] | None] = [None] * len(sources)
    numbers = _number_sources(sources)
    open_places = list(range(len(sources)))
    for attempt in range(settings.attempts):
        requests = [_make_request(sources[place], numbers[place], attempt, settings) for place in open_places]
        still_open = []
        for place, request, outcome in zip(open_places, requests, teacher.answer(requests), strict=True):
            pair, source = sources[place]
            spent.add(outcome)
            text, reason = "", f"teacher_{outcome.kind}" if isinstance(outcome, ChatFailure) else None
            if not isinstance(outcome, ChatFailure):
                text = " ".join(str(json.loads(outcome.text)["caption"]).split())
                reason = find_fault(text, source, settings)
            rows[place] = make_caption_row(
                pair,
                METHOD,
                source if reason else text,
                source=source,
                sample_index=numbers[place],
                model=teacher.name,
                prompt_version=PROMPT.version,
                sampling=describe_sampling(request.sampling, join_left_out((), outcome)),
                seed=request.sampling.seed,
                reason=reason,
            )
            if reason:
                still_open.append(place)
        open_places = still_open
        if not open_places:
            break
    return [row for row in rows if row is not None], spent


def _number_sources(sources: Sequence[tuple[Mapping[str, Any], str]]) -> list[int]:
    """Return 0, 1, … among the sources of each pair."""
    seen: dict[str, int] = {}
    numbers = []
    for pair, _ in sources:
        numbers.append(seen.get(pair["pair_id"], 0))
        seen[pair["pair_id"]] = numbers[-1] + 1
    return numbers


def _make_request(
    source: tuple[Mapping[str, Any], str], number: int, attempt: int, settings: PolishSettings
) -> ChatRequest:
    pair, caption = source
    # the first attempt takes the likeliest words; a later one must differ from it
    sampling = Sampling(
        0.7 if attempt else 0.0, 0.9, settings.max_tokens, make_seed(settings.seed, pair["pair_id"], number, attempt)
    )
    return ChatRequest(PROMPT.render(caption=" ".join(caption.split())), sampling, _SCHEMA, sample_index=attempt)


def find_fault(text: str, source: str, settings: PolishSettings) -> str | None:
    """Return why a polished caption is refused, one of `tables.image_captions.CAPTION_REASONS`; None if it is not."""
    if not list_words(text):
        return "empty_caption"
    if (_LEAKS - set(list_words(source))) & set(list_words(text)):
        return "polish_leak"
    if measure_repetition(text) > settings.most_repetition:
        return "polish_repetition"
    is_told = measure_grounding(text, source) >= settings.least_grounding and not list_untold_numbers(
        text, source, are_words_held=True
    )
    return None if is_told else "polish_ungrounded"
