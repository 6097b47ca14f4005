"""Says when two pictures are the same and which of two pairs is better: what a search for duplicates is asked."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest

#: Columns by which a pair may be preferred, by the name a recipe gives them; more is better.
PREFERENCES = {"area": "area", "similarity": "clip_similarity", "caption": "caption_chars"}

#: A caption as it is compared with others: COYO-700M's text but for white space.
NORMALIZED_CAPTION = pl.col("caption").str.replace_all(r"\s+", " ").str.strip_chars(" ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSearch:
    """When two pairs show the same picture, and which of them stays.

    Attributes:
        phash_distance: bits in which the hashes of one picture differ at most; None for no search by hash.
        orientations: whether a mirrored or turned picture is the same.
        trims_borders: whether a picture is the same with a border of one colour as without.
        same_caption: whether only pairs with an equal caption (but for white space) repeat each other.
        embedding_similarity: cosine from which two embeddings are near (to a millionth); None for no such search.
        embedding_clusters: k-means clusters within which embeddings are compared; None: one per 1,000 pairs.
        evaluation_distance: bits in which a picture's hash may differ from an evaluation image's.
        keep: by what a pair is preferred, in order (`PREFERENCES`); the smaller pair_id decides what they do not.
        seed: of k-means.
    """

    phash_distance: int | None = 0
    orientations: bool = False
    trims_borders: bool = False
    same_caption: bool = True
    embedding_similarity: float | None = None
    embedding_clusters: int | None = None
    evaluation_distance: int = 0
    keep: tuple[str, ...] = ("area", "similarity", "caption")
    seed: int = 1

    def __post_init__(self) -> None:
        for name in self.keep:
            if name not in PREFERENCES:
                raise ConfigurationError(f"Image search: no preference {name!r}.{name_nearest(name, PREFERENCES)}")
