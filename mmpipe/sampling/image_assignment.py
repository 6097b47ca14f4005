"""Gives each picture of a document the sentence that it goes with, so that their likenesses are greatest in sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What becomes of pictures beyond the number of sentences: each its likeliest sentence (MMC4), or none.
Surplus = Literal["best_sentence", "left_out"]

#: A picture that goes with no sentence.
UNASSIGNED = -1


def compare_embeddings(pictures: NDArray[Any], sentences: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine of each picture with each sentence, float64 [pictures, sentences].

    Args:
        pictures: [n, d] embeddings, any float type; need not have length 1 (float16 rounds it off).
        sentences: [m, d] embeddings of the same model.
    """
    left, right = (_normalise(np.asarray(vectors, np.float64)) for vectors in (pictures, sentences))
    cosines: NDArray[np.float64] = np.clip(left @ right.T, -1, 1)
    return cosines


def assign_images(similarity: NDArray[Any], surplus: Surplus = "best_sentence") -> NDArray[np.int64]:
    """Return the sentence of each picture, int64 [pictures]; `UNASSIGNED` for none.

    Every sentence gets one picture at most, and the sum of the likenesses is the greatest that this allows (MMC4, Zhu
    et al. 2023, arXiv 2304.06939, §2.2). Where pictures outnumber sentences, the rest go to their likeliest sentences,
    as in MMC4's own assignment, or to none.

    Args:
        similarity: [pictures, sentences], all finite.
        surplus: what becomes of the rest.

    Raises:
        ValueError: a value is not finite, or the array has not two axes.
    """
    from scipy.optimize import linear_sum_assignment

    matrix = np.asarray(similarity, np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"likenesses must be a finite matrix of pictures by sentences, not of shape {matrix.shape}.")
    chosen = np.full(matrix.shape[0], UNASSIGNED, np.int64)
    if not matrix.size:
        return chosen
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    chosen[rows] = columns
    rest = chosen == UNASSIGNED
    if surplus == "best_sentence" and rest.any():
        chosen[rest] = matrix[rest].argmax(axis=1)
    return chosen


def _normalise(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1)
    return scaled
