"""Finds numbers said of a picture that nothing tells: neither a caption, nor how many boxes there are of a thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.synthesis.noun_forms import ENGLISH, Lexicon
from mmpipe.synthesis.scene_evidence import find_support
from mmpipe.synthesis.told_numbers import list_untold_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.scene_evidence import PhraseFinder


def list_untold_counts(
    texts: Sequence[str],
    find_phrases: PhraseFinder,
    evidence: Sequence[tuple[str, str]],
    lexicon: Lexicon = ENGLISH,
) -> list[str]:
    """Return the numbers of the texts, in digits or words from two on, that no evidence tells, each once.

    A number is told if a caption has it, or if there are as many boxes of a thing that the texts name.

    Args:
        texts: questions and answers about one picture.
        find_phrases: finds noun phrases (`scene_evidence.make_phrase_finder`).
        evidence: (where it stands, text), as `Scene.list_evidence` gives it.
        lexicon: which words name the same thing.
    """
    boxes = [(where, text) for where, text in evidence if where.startswith("box ")]
    phrases = {text[start:end] for text in texts for start, end in find_phrases(text)}
    counts = {str(len(find_support(phrase, boxes, lexicon))) for phrase in phrases}
    told = "\n".join([*(text for _, text in evidence), *sorted(counts)])
    return list_untold_numbers("\n".join(texts), told, are_words_held=True)
