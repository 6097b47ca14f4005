"""Makes rows of image_captions: one shape for every method, ids made of pair, method and sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_caption_row(
    pair: Mapping[str, Any],
    method: str,
    caption: str,
    *,
    source: str | None = None,
    sample_index: int = 0,
    model: str | None = None,
    prompt_version: str | None = None,
    sampling: str | None = None,
    seed: int | None = None,
    match: tuple[float, str] | None = None,
    is_crawl_caption: bool = False,
    image_consistent: bool = True,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return a row of image_captions, without CLIP similarity.

    Args:
        pair: pair_id and dump.
        method: one of `tables.image_captions.CAPTION_METHODS`.
        caption: the text.
        source: text it was made from.
        sample_index: among the texts of one picture and method.
        model: who wrote it.
        prompt_version: of the teacher's prompt.
        sampling: sampling parameters, JSON.
        seed: of the sampling.
        match: the matcher's probability and digest.
        is_crawl_caption: whether it is the crawl's own caption.
        image_consistent: whether it may stand beside the picture.
        reason: why it is not kept; None if it is.
    """
    probability, weights = match if match is not None else (None, None)
    return {
        "caption_id": make_id("caption", pair["pair_id"], method, "crawl" if is_crawl_caption else sample_index),
        "pair_id": pair["pair_id"],
        "dump": pair["dump"],
        "method": method,
        "caption": caption,
        "is_crawl_caption": is_crawl_caption,
        "source_caption": source,
        "sample_index": sample_index,
        "model": model,
        "prompt_version": prompt_version,
        "sampling": sampling,
        "seed": seed,
        "match_probability": probability,
        "match_weights": weights,
        "clip_similarity": None,
        "clip_weights": None,
        "image_consistent": image_consistent,
        "is_kept": reason is None,
        "reason": reason,
    }
