"""Gives the pictures of one document their sentences: embeddings read, compared, judged, assigned, put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.interleaved_signals import drop_nodes, split_node_rules
from mmpipe.sampling.image_assignment import UNASSIGNED, assign_images, compare_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mmpipe.filtering.image_sections import InterleavedSettings


#: Cosines of one document: pictures beyond so many by sentences are left out, for a page may hold 50,000 of them.
_MOST_COSINES = 1_000_000


@dataclass(frozen=True, slots=True)
class Matches:
    """A document in the order of its sentences.

    Attributes:
        texts: sentences, null where a picture stands.
        images: pictures by pair_id, null where a sentence stands. A picture stands before its sentence.
        matched_text_index: sentence of each picture, in the order of `images`, among the sentences from 0.
        matched_sim: cosine of each picture and its sentence.
        similarity_matrix: cosine of each picture with every sentence.
        nodes: the document's nodes, with the reason of those that are left out.
    """

    texts: list[str | None]
    images: list[str | None]
    matched_text_index: list[int]
    matched_sim: list[float]
    similarity_matrix: list[list[float]]
    nodes: pl.DataFrame


def read_embeddings(embeddings: pl.DataFrame, digest: str) -> dict[str, NDArray[np.float16]]:
    """Return the embedding of each picture that has one, by pair_id.

    Raises:
        ConfigurationError: other weights than those of the digest made one of them.
    """
    present = embeddings.filter(pl.col("image_embedding").is_not_null())
    others = present.filter(pl.col("clip_weights").ne_missing(digest))
    if others.height:
        raise ConfigurationError(
            f"interleaved_candidates: {others.height} pictures were embedded by CLIP weights "
            f"{others.get_column('clip_weights').item(0)}, the sentences would be by {digest}. Make image_signals with "
            f"the same weights (MMPIPE_CLIP)."
        )
    return {
        pair_id: np.frombuffer(data, "<f2")
        for pair_id, data in present.select("pair_id", "image_embedding").iter_rows()
    }


def match_document(
    nodes: pl.DataFrame,
    sentences: Sequence[str],
    embedded: NDArray[Any],
    vectors: Mapping[str, NDArray[np.float16]],
    settings: InterleavedSettings,
) -> Matches:
    """Return a document's sentences with its pictures between them (MMC4; Zhu et al. 2023, arXiv 2304.06939, §2).

    A picture that fails a rule of pictures, such as MMC4's least likeness to any sentence, is left out before the
    others are assigned.

    Args:
        nodes: of one document, in order.
        sentences: of its kept paragraphs, in order.
        embedded: [sentences, d] their embeddings.
        vectors: embeddings of pictures by pair_id.
        settings: rules of nodes, and what becomes of pictures beyond the number of sentences.
    """
    is_shown = pl.col("pair_id").is_not_null() & pl.col("reason").is_null()
    most = max(_MOST_COSINES // max(len(sentences), 1), 1)
    is_beyond = is_shown & (is_shown.cast(pl.Int64).cum_sum() > most)
    nodes = nodes.with_columns(reason=pl.when(is_beyond).then(pl.lit("too_many_images")).otherwise("reason"))
    shown = nodes.filter(is_shown).get_column("pair_id").to_list()
    cosines = {
        pair_id: compare_embeddings(vectors[pair_id][None], embedded)[0] if len(sentences) else np.empty(0)
        for pair_id in shown
        if pair_id in vectors
    }
    best = [float(cosines[pair_id].max()) if pair_id in cosines and len(sentences) else None for pair_id in shown]
    judged = nodes.join(
        pl.DataFrame(
            {"pair_id": shown, "node_best_similarity": best},
            schema={"pair_id": pl.String, "node_best_similarity": pl.Float64},
        ),
        on="pair_id",
        how="left",
        maintain_order="left",
    )
    why_not = "no_text" if not len(sentences) else "no_image_embedding"
    judged = judged.with_columns(
        reason=pl.when(is_shown & pl.col("node_best_similarity").is_null()).then(pl.lit(why_not)).otherwise("reason")
    )
    judged = drop_nodes(judged, split_node_rules(settings.node_rules)["images"])
    left = judged.filter(is_shown).get_column("pair_id").to_list()
    matrix = np.stack([cosines[pair_id] for pair_id in left]) if left else np.empty((0, len(sentences)))
    chosen = assign_images(matrix, settings.surplus)
    unplaced = [pair_id for pair_id, text in zip(left, chosen, strict=True) if text == UNASSIGNED]
    judged = judged.with_columns(
        reason=pl.when(is_shown & pl.col("pair_id").is_in(unplaced))
        .then(pl.lit("no_sentence_left"))
        .otherwise("reason")
    )
    # by sentence, then as the page shows them
    order = [number for number in np.argsort(chosen, kind="stable").tolist() if chosen[number] != UNASSIGNED]
    return Matches(
        *_put_in_order(sentences, [(left[number], int(chosen[number])) for number in order]),
        matched_text_index=[int(chosen[number]) for number in order],
        matched_sim=[float(matrix[number, chosen[number]]) for number in order],
        similarity_matrix=[matrix[number].tolist() for number in order],
        nodes=judged,
    )


def _put_in_order(
    sentences: Sequence[str], placed: Sequence[tuple[str, int]]
) -> tuple[list[str | None], list[str | None]]:
    texts: list[str | None] = []
    images: list[str | None] = []
    waiting = list(placed)
    for number, sentence in enumerate(sentences):
        while waiting and waiting[0][1] == number:
            texts.append(None)
            images.append(waiting.pop(0)[0])
        texts.append(sentence)
        images.append(None)
    return texts, images
