"""Judges the crawl's caption and the sampled ones by one matcher, and keeps both texts and both scores: CapFilt.

Li et al. 2022 ("BLIP", section 3.3): a text is noise if the head for image-text matching says that it does not match
its picture; filtered texts of web and captioner together make the new data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mmpipe.synthesis.caption_rows import make_caption_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from PIL import Image

METHOD = "capfilt"


class TextMatcher(Protocol):
    """A model that says how probably a text matches a picture (`models.caption_matcher.CaptionMatcher`)."""

    @property
    def digest(self) -> str:
        """Digest of its weights."""

    def match(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> np.ndarray:
        """Return the probability of a match of each picture and caption, float [n], 0 to 1."""


def filter_captions(
    pairs: Sequence[Mapping[str, Any]],
    pictures: Sequence[Image.Image],
    sampled: Iterable[Mapping[str, Any]],
    matcher: TextMatcher,
    *,
    least_match: float,
) -> list[dict[str, Any]]:
    """Return one row of image_captions per judged text: the crawl's caption of each pair, then its samples.

    Args:
        pairs: pair_id, dump and caption of each pair.
        pictures: the picture of each.
        sampled: rows of `recaptioning.sample_captions`; those that are not kept are not judged.
        matcher: who judges.
        least_match: probability from which a text is kept.
    """
    samples: dict[str, list[Mapping[str, Any]]] = {}
    for row in sampled:
        if row["is_kept"]:
            samples.setdefault(row["pair_id"], []).append(row)
    judged = [
        (pair, picture, row)
        for pair, picture in zip(pairs, pictures, strict=True)
        for row in (None, *samples.get(pair["pair_id"], []))
    ]
    texts = [pair["caption"] if row is None else row["caption"] for pair, _, row in judged]
    probabilities: Sequence[float] | np.ndarray = (
        matcher.match([picture for _, picture, _ in judged], texts) if judged else []
    )
    return [
        make_caption_row(
            pair,
            METHOD,
            text,
            sample_index=0 if sample is None else sample["sample_index"],
            model=None if sample is None else sample["model"],
            sampling=None if sample is None else sample["sampling"],
            seed=None if sample is None else sample["seed"],
            match=(float(probability), matcher.digest),
            is_crawl_caption=sample is None,
            # NaN is no match
            reason=None if float(probability) >= least_match else "unmatched_caption",
        )
        for (pair, _, sample), text, probability in zip(judged, texts, probabilities, strict=True)
    ]
