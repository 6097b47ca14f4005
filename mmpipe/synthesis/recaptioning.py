"""Writes new captions of pictures with a captioner: several nucleus samples of each, every one with its seed.

BLIP (Li et al. 2022, section 4.2) samples one caption per picture with p = 0.9, more varied than a beam search;
DataCompDR and LAION-COCO take several of each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mmpipe.synthesis.caption_rows import make_caption_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL import Image

METHOD = "recaption"


class PictureCaptioner(Protocol):
    """A model that writes captions of pictures (`models.captioner.Captioner`)."""

    @property
    def digest(self) -> str:
        """Digest of its weights."""

    def caption(
        self,
        pictures: Sequence[Image.Image],
        ids: Sequence[str],
        *,
        captions_per_image: int = 1,
        top_p: float = 0.9,
        max_tokens: int = 40,
        seed: int = 1,
    ) -> list[list[str]]:
        """Return `captions_per_image` samples of each picture; a picture's depend on its id and the seed alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecaptionSettings:
    """How captions are sampled.

    Attributes:
        captions_per_image: samples of each picture.
        top_p: nucleus (BLIP: 0.9).
        max_tokens: of one caption.
        seed: of the sampling.
    """

    captions_per_image: int = 1
    top_p: float = 0.9
    max_tokens: int = 40
    seed: int = 1


def sample_captions(
    pairs: Sequence[Mapping[str, Any]],
    pictures: Sequence[Image.Image],
    captioner: PictureCaptioner,
    settings: RecaptionSettings,
) -> list[dict[str, Any]]:
    """Return the sampled captions as rows of image_captions, by pair and sample.

    An empty sample and one that says what an earlier sample of its picture says are in the rows, but not kept.

    Args:
        pairs: pair_id and dump of each pair.
        pictures: the picture of each.
        captioner: who writes.
        settings: how.
    """
    samples = captioner.caption(
        pictures,
        [pair["pair_id"] for pair in pairs],
        captions_per_image=settings.captions_per_image,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )
    sampling = json.dumps({"max_tokens": settings.max_tokens, "top_p": settings.top_p}, separators=(",", ":"))
    rows = []
    for pair, texts in zip(pairs, samples, strict=True):
        said: set[str] = set()
        for index, text in enumerate(texts):
            caption = " ".join(text.split())
            reason = "empty_caption" if not caption else "repeated_caption" if caption.casefold() in said else None
            said.add(caption.casefold())
            rows.append(
                make_caption_row(
                    pair,
                    METHOD,
                    caption,
                    sample_index=index,
                    model=captioner.digest,
                    sampling=sampling,
                    seed=settings.seed,
                    reason=reason,
                )
            )
    return rows
