"""Opens what scores pictures and captions: CLIP, the heads that the recipe asks for, and the captions' language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.filtering.image_sections import ImageSettings
    from mmpipe.filtering.recipe_sections import ListReference
    from mmpipe.lanes.stage import Knobs
    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import ImageScorer
    from mmpipe.models.language import LanguageModel

#: Score that a recipe asks for, to its column, the knob that names its weights, and the variable that sets the knob.
_HEADS = {
    "aesthetic": ("aesthetic_score", "aesthetic_weights", "MMPIPE_AESTHETIC"),
    "watermark": ("watermark_score", "watermark_weights", "MMPIPE_WATERMARK"),
    "nsfw": ("nsfw_score", "nsfw_weights", "MMPIPE_NSFW"),
    "q16": ("q16_score", "q16_weights", "MMPIPE_Q16"),
}


def open_scorer(settings: ImageSettings, knobs: Knobs) -> ImageScorer | None:
    """Return what scores the pictures of a run; None if no CLIP model is named and no score is asked for.

    Raises:
        ConfigurationError: the recipe asks for a score whose weights nobody named.
        WeightsNotFound: named weights that are not there.
    """
    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import ImageScorer

    if not knobs.clip_weights:
        if settings.scores:
            raise ConfigurationError(
                f"The recipe asks for {', '.join(settings.scores)}, which are measured on CLIP's embedding, and no "
                f"CLIP is named. Set MMPIPE_CLIP, or write `images: {{scores: []}}` and leave out the rules on them."
            )
        return None
    clip = ClipModel(knobs.clip_weights, device=knobs.device, batch_size=knobs.batch_size)
    return ImageScorer(clip, [_open_head(name, settings, knobs, clip) for name in settings.scores])


def _open_head(name: str, settings: ImageSettings, knobs: Knobs, clip: ClipModel) -> Any:
    from mmpipe.models.image_heads import ToxicTexts, load_head, load_vectors

    if name == "toxic_texts":
        if not settings.toxic_texts:
            raise ConfigurationError("The recipe asks for toxic_texts and names no list: write `images.toxic_texts`.")
        return ToxicTexts(clip, read_toxic_texts(settings.toxic_texts))
    column, knob, variable = _HEADS[name]
    weights = getattr(knobs, knob)
    if not weights:
        raise ConfigurationError(
            f"The recipe asks for the score {name!r} and no weights are named. Set {variable} to a head over the "
            f"embedding of {knobs.clip_weights}, or leave {name!r} out of `images.scores` and {column} out of the "
            f"rules."
        )
    return load_vectors(weights) if name == "q16" else load_head(weights, column)


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
