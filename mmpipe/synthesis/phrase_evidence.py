"""Maps the noun phrases and quotations of a caption to the items of a record, or says which of them has no evidence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mmpipe.synthesis.grounding import list_content_words, list_words
from mmpipe.synthesis.judged_drafts import Refused
from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon, list_forms
from mmpipe.synthesis.scene_evidence import find_support, list_heads, needs_support

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.evidence_records import EvidenceRecord
    from mmpipe.synthesis.scene_evidence import PhraseFinder

#: Why a caption is refused.
REASONS = (
    "text_without_evidence",
    "claim_without_evidence",
    "attribute_without_evidence",
    "count_without_evidence",
)

_QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]")
_NUMBER_WORDS = "two three four five six seven eight nine ten"
_NUMBERS = {word: number for number, word in enumerate(_NUMBER_WORDS.split(), start=2)}
_FREE = """
    one another several some few many both left right top bottom front back middle upper lower first second other
    whole single pair group
    """
#: Words before a noun that say nothing that a source could have told: place, order, or that there are several.
_FREE_WORDS = frozenset(_FREE.split())

#: Heads that any written text supports.
_WRITING = frozenset({"text", "word", "writing", "letter", "lettering", "inscription"})


def find_unwritten(caption: str, record: EvidenceRecord) -> str | None:
    """Return the first text in quotation marks that no text of the record holds; None if there is none."""
    return next((text for text in _QUOTED.findall(caption) if not _is_written(text, record)), None)


def _is_written(text: str, record: EvidenceRecord) -> bool:
    words = " ".join(list_words(text))
    return any(f" {words} " in f" {' '.join(list_words(item.words))} " for item in record.items if item.kind == "text")


def strip_quoted(caption: str) -> str:
    """Return a caption without what stands in quotation marks."""
    return _QUOTED.sub(" ", caption)


def map_phrases(
    caption: str, record: EvidenceRecord, find_phrases: PhraseFinder, lexicon: Lexicon = ENGLISH
) -> list[dict[str, Any]] | Refused:
    """Return start, end, phrase and ids of the items behind each noun phrase of a caption, or what has none.

    A phrase's head must be the head or a word of an item (by number, synonym, or as the wider name); each other word of
    content must be told by one of these items or by what lies on them; and of a number of things there must be as many.
    Words within quotation marks are checked as written text instead.
    """
    evidence = record.list_evidence()
    quoted = [match.span() for match in _QUOTED.finditer(caption)]
    mapped = []
    for start, end in find_phrases(caption):
        phrase = caption[start:end]
        if not needs_support(phrase) or any(first <= start and end <= last for first, last in quoted):
            continue
        items = find_support(phrase, evidence, lexicon)
        if not items and list_forms(list_heads(phrase)[0]) & _WRITING:
            items = [item.item_id for item in record.items if item.kind == "text"]
        if not items:
            return Refused("claim_without_evidence", phrase)
        if unknown := _list_unknown_words(phrase, items, record, lexicon):
            return Refused("attribute_without_evidence", f"{phrase}: {', '.join(unknown)}")
        if not _is_count_told(phrase, items, record):
            return Refused("count_without_evidence", phrase)
        mapped.append({"start": start, "end": end, "phrase": phrase, "items": items})
    return mapped


def _list_unknown_words(phrase: str, items: Sequence[str], record: EvidenceRecord, lexicon: Lexicon) -> list[str]:
    near = [item for item in record.items if item.item_id in items or item.part_of in items]
    told = frozenset[str]().union(*(list_forms(word) for item in near for word in list_words(item.words)))
    head = list_heads(phrase)[0]
    return [
        word
        for word in list_content_words(phrase)
        if word != head
        and word not in _FREE_WORDS
        and word not in _NUMBERS
        and not word.isdigit()
        and not lexicon.list_same(word) & told
    ]


def _is_count_told(phrase: str, items: Sequence[str], record: EvidenceRecord) -> bool:
    said = [word for word in list_words(phrase) if word in _NUMBERS or word.isdigit()]
    mapped = [item for item in record.items if item.item_id in items]
    objects = sum(item.kind == "object" for item in mapped)
    told = {word for item in mapped for word in list_words(item.words)}
    return all(word in told or objects == _NUMBERS.get(word, int(word) if word.isdigit() else 0) for word in said)
