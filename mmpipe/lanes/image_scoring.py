"""Opens what scores pictures and captions: CLIP, the heads that the recipe asks for, and the captions' language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.image_sections import ImageSettings
    from mmpipe.filtering.list_references import ListReference
    from mmpipe.lanes.stage import Knobs
    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import ImageScorer
    from mmpipe.models.language import LanguageModel

#: Score that a recipe asks for, to the knob that names its weights.
_WEIGHTS = {
    "aesthetic": "aesthetic_weights",
    "watermark": "watermark_weights",
    "nsfw": "nsfw_weights",
    "q16": "q16_weights",
}


def open_scorer(settings: ImageSettings, knobs: Knobs) -> ImageScorer | None:
    """Return what scores the pictures of a run; None if no CLIP model is named and no score is asked for.

    Raises:
        ConfigurationError: the recipe asks for a score whose CLIP, weights or list nobody named.
        WeightsNotFound: named weights that are not there.
    """
    from mmpipe.models import image_scorer

    if not knobs.clip_weights:
        if settings.scores:
            raise ConfigurationError(
                f"The recipe asks for {', '.join(settings.scores)}, which are measured on CLIP's embedding, and no "
                f"CLIP is named. Set MMPIPE_CLIP, or write `images: {{scores: []}}` and leave out the rules on them."
            )
        return None
    weights = {score: getattr(knobs, knob) for score, knob in _WEIGHTS.items()}
    absent = [score for score in settings.scores if not weights.get(score, "list")]
    if absent:
        raise ConfigurationError(
            f"The recipe asks for the score {absent[0]!r} and no weights are named. Set MMPIPE_{absent[0].upper()} to "
            f"a head over the embedding of {knobs.clip_weights}, or extend the recipe, with {absent[0]!r} left out of "
            f"`images.scores` and the rules on it left out of `images.rules`."
        )
    if "toxic_texts" in settings.scores and not settings.toxic_texts:
        raise ConfigurationError("The recipe asks for toxic_texts and names no list: write `images.toxic_texts`.")
    clip = open_clip_model(knobs)
    return image_scorer.open_scorer(clip, settings.scores, weights, read_toxic_texts(settings.toxic_texts))


def open_clip_model(knobs: Knobs) -> ClipModel:
    """Return the CLIP model that the knobs name, on their device.

    Raises:
        WeightsNotFound: no such weights.
        ConfigurationError: an unknown precision, or a device that is not there.
    """
    from mmpipe.models.clip import ClipModel

    return ClipModel(
        knobs.clip_weights,
        device=knobs.device,
        precision=knobs.clip_precision,
        batch_size=knobs.clip_batch_size or None,
    )


def read_toxic_texts(lists: Sequence[ListReference]) -> list[tuple[str, float]]:
    """Return the texts of lists of `text<TAB>cosine` lines, with the cosine that a picture may reach.

    Raises:
        ConfigurationError: a line is not of that form.
    """
    from mmpipe.filtering.list_files import read_entries

    found = []
    for reference in lists:
        for entry in read_entries(reference, str.strip):
            text, tab, limit = entry.rpartition("\t")
            try:
                found.append((text.strip(), float(limit)))
            except ValueError:
                tab = ""
            if not tab:
                raise ConfigurationError(f"{reference.list}: {entry[:80]!r} is not of the form text<TAB>cosine.")
    return found


def open_identifier(knobs: Knobs) -> LanguageModel:
    """Return what tells the language of captions: the identifier of the text lane."""
    from mmpipe.models.language import LanguageModel, find_language_weights

    return LanguageModel(find_language_weights(knobs.language_weights or None))
