"""Scores pairs of picture and caption: CLIP similarity and every head asked for, from one embedding of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, WeightsNotFound, name_nearest
from mmpipe.models.image_heads import EmbeddingHead, ToxicTexts, load_head, load_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from PIL import Image

    from mmpipe.models.clip import ClipModel

#: Scores that a recipe may ask for, and their columns.
SCORE_COLUMNS = {
    "aesthetic": "aesthetic_score",
    "watermark": "watermark_score",
    "nsfw": "nsfw_score",
    "q16": "q16_score",
    "toxic_texts": "toxic_text_excess",
}


class ImageScorer:
    """A CLIP model and heads on its embeddings of pictures.

    Args:
        clip: embeds pictures and captions.
        heads: scores from the picture's embedding, each with a column of its own.

    Raises:
        ConfigurationError: a head for embeddings of another size, or two for one column.
    """

    def __init__(self, clip: ClipModel, heads: Sequence[EmbeddingHead] = ()) -> None:
        for head in heads:
            if head.dimension != clip.dimension:
                raise ConfigurationError(
                    f"{head.column}: its head {getattr(head, 'source', '')} takes embeddings of {head.dimension} "
                    f"numbers, CLIP {clip.folder} gives {clip.dimension}. Take the head made for this CLIP model."
                )
        columns = [head.column for head in heads]
        if len(set(columns)) < len(columns):
            raise ConfigurationError(f"Two heads give one column: {', '.join(sorted(columns))}.")
        self.clip = clip
        self.heads = tuple(heads)

    @property
    def digests(self) -> Mapping[str, str]:
        """Score column to the SHA-256 of the weights behind it; a head's stands beside CLIP's, on which it rests."""
        return {"clip_similarity": self.clip.digest} | {head.column: head.digest for head in self.heads}

    def prepare_image(self, picture: Image.Image) -> np.ndarray:
        """Return CLIP's own preprocessing of a picture, [height, width, 3] of uint8; safe in threads."""
        return self.clip.prepare_image(picture)

    def score_prepared(self, images: Sequence[Any], captions: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Return each score as float32 [n], and `image_embedding` and `caption_embedding` as float16 [n, d], length 1.

        A picture that comes several times as the very same object is embedded once.

        Raises:
            ValueError: not as many captions as pictures.
        """
        import numpy as np
        import torch

        if len(images) != len(captions):
            raise ValueError(f"{len(images)} pictures and {len(captions)} captions are no pairs.")
        with torch.inference_mode():
            distinct = {id(image): image for image in images}
            places = {key: place for place, key in enumerate(distinct)}
            once = self.clip.encode_prepared(list(distinct.values()))
            pictures, texts = once[[places[id(image)] for image in images]], self.clip.encode_texts(captions)
            cosines = (pictures * texts).sum(dim=-1).clamp(-1, 1)
            scores = {"clip_similarity": cosines} | {head.column: head.score(pictures) for head in self.heads}
        measured = {column: score.float().cpu().numpy() for column, score in scores.items()}
        return measured | {
            "image_embedding": pictures.cpu().numpy().astype(np.float16),
            "caption_embedding": texts.cpu().numpy().astype(np.float16),
        }


def open_scorer(
    clip: ClipModel,
    scores: Sequence[str],
    weights: Mapping[str, str],
    toxic_texts: Sequence[tuple[str, float]] = (),
) -> ImageScorer:
    """Return a scorer with the heads that a recipe asks for.

    Args:
        clip: embeds pictures and captions.
        scores: of `SCORE_COLUMNS`.
        weights: score to its head: a file, a folder or `org/repo:file`; none is needed for `toxic_texts`.
        toxic_texts: texts and the cosine that a picture may reach, for `toxic_texts`.

    Raises:
        ConfigurationError: an unknown score, or a head that does not fit the CLIP model.
        WeightsNotFound: a score without weights.
    """
    heads: list[EmbeddingHead] = []
    for score in scores:
        if score not in SCORE_COLUMNS:
            raise ConfigurationError(f"Unknown score {score!r}.{name_nearest(score, SCORE_COLUMNS)}")
        column = SCORE_COLUMNS[score]
        if score == "toxic_texts":
            heads.append(ToxicTexts(clip, toxic_texts, column))
        elif score not in weights:
            raise WeightsNotFound(
                f"The recipe asks for {score!r}, and no weights of such a head are named. Name a file, a folder or "
                f"org/repo:file made for CLIP embeddings of {clip.dimension} numbers, train one from labelled "
                f"pictures (models.head_training.train_head), or take {score!r} out of images.scores."
            )
        elif score == "q16":
            heads.append(load_vectors(weights[score], column))
        else:
            heads.append(load_head(weights[score], column))
    return ImageScorer(clip, heads)
