"""Puts the nodes of pages in the order of their document: as the page shows them, or pictures by their sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.sentence_cuts import cut_sentences
from mmpipe.lanes.sentence_matches import match_document, read_embeddings
from mmpipe.tables.interleaved import INTERLEAVED_CANDIDATES

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.models.clip import ClipModel


def order_by_page(nodes: pl.DataFrame) -> pl.DataFrame:
    """Return documents whose nodes stand as the page shows them: OBELICS (Laurençon et al. 2023, arXiv 2306.16527)."""
    documents = []
    for (doc_id,), rows in nodes.group_by("doc_id", maintain_order=True):
        texts: list[str | None] = []
        images: list[str | None] = []
        for text, pair_id in rows.filter(pl.col("reason").is_null()).select("text", "pair_id").iter_rows():
            if text is not None and texts and texts[-1] is not None:
                texts[-1] += f"\n\n{text}"
                continue
            texts.append(text)
            images.append(pair_id)
        documents.append({"doc_id": doc_id, "order": "page", "texts": texts, "images": images, **_carry(rows, images)})
    return _frame_documents(documents)


def order_by_similarity(nodes: pl.DataFrame, embeddings: pl.DataFrame, recipe: Recipe, clip: ClipModel) -> pl.DataFrame:
    """Return documents whose pictures stand before the sentence they go with: MMC4 (Zhu et al. 2023, arXiv 2304.06939).

    Args:
        nodes: of pages.
        embeddings: `pair_id`, `image_embedding` and `clip_weights` of pictures.
        recipe: its `interleaved` section.
        clip: embeds the sentences; must be the model that embedded the pictures.

    Raises:
        ConfigurationError: other weights embedded the pictures.
    """
    vectors = read_embeddings(embeddings, clip.digest)
    groups = [(str(key[0]), rows) for key, rows in nodes.group_by("doc_id", maintain_order=True)]
    sentences = []
    for _, rows in groups:
        shown = rows.filter(pl.col("reason").is_null() & pl.col("text").is_not_null())
        language = rows.get_column("language").item(0)
        sentences.append([part for text in shown.get_column("text") for part in cut_sentences(text, language)])
    # one call for the whole shard: the device gets full batches
    embedded = clip.embed_texts([part for parts in sentences for part in parts])
    documents = []
    start = 0
    for (doc_id, rows), parts in zip(groups, sentences, strict=True):
        found = match_document(rows, parts, embedded[start : start + len(parts)], vectors, recipe.interleaved)
        start += len(parts)
        documents.append(
            {
                "doc_id": doc_id,
                "order": "similarity",
                "texts": found.texts,
                "images": found.images,
                "matched_text_index": found.matched_text_index,
                "matched_sim": found.matched_sim,
                "similarity_matrix": found.similarity_matrix,
                "clip_weights": clip.digest,
                **_carry(found.nodes, found.images),
            }
        )
    return _frame_documents(documents)


def _carry(rows: pl.DataFrame, images: list[str | None]) -> dict[str, Any]:
    """Return what a document keeps of its nodes: markup of the pictures in order, language, and what is left out."""
    markup = dict(rows.filter(pl.col("pair_id").is_not_null()).select("pair_id", "markup").iter_rows())
    removed = rows.filter(pl.col("reason").is_not_null()).select("node", "text", "pair_id", "reason", "value")
    return {
        "image_markup": [markup[pair_id] for pair_id in images if pair_id is not None],
        "removed_nodes": removed.to_dicts(),
        "language": rows.get_column("language").item(0),
        "language_score": rows.get_column("language_score").item(0),
    }


def _frame_documents(documents: list[dict[str, Any]]) -> pl.DataFrame:
    schema = INTERLEAVED_CANDIDATES.schema
    names = [
        "doc_id", "order", "texts", "images", "image_markup", "matched_text_index", "matched_sim",
        "similarity_matrix", "clip_weights", "removed_nodes", "language", "language_score",
    ]  # fmt: skip
    rows = [{name: document.get(name) for name in names} for document in documents]
    return pl.DataFrame(rows, schema={name: schema[name] for name in names})
