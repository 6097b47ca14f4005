"""The lane of interleaved documents: pages → text and pictures in one order → removals → kept documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.image_scoring import open_clip_model
from mmpipe.lanes.pages import open_crawl
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.light_imports import start_numba
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_SIGNALS
from mmpipe.tables.interleaved import (
    IMAGE_MARKUP,
    INTERLEAVED_CANDIDATES,
    INTERLEAVED_DOCUMENTS,
    INTERLEAVED_REMOVALS,
)
from mmpipe.tables.keep import count_removed_by_rule, keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.models.clip import ClipModel
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.places import Place
    from mmpipe.storage.shards import Production

#: What `find_page_nodes` returns.
_NODES: dict[str, Any] = {
    "doc_id": pl.String,
    "node": pl.Int64,
    "text": pl.String,
    "position": pl.Int64,
    "markup": IMAGE_MARKUP,
    "reason": pl.String,
}
_PAGE_COLUMNS = ("doc_id", "dump", "url", "warc_file", "warc_offset", "warc_length")


# interleaved_candidates -----------------------------------------------------------------------------------------------


def find_interleaved(run: StageRun) -> Production:
    """Bring the text and the kept pictures of each page into one order, and measure the documents."""
    from mmpipe.filtering.interleaved_signals import check_node_rules
    from mmpipe.models.language import LanguageModel, find_language_weights

    assert run.dump is not None
    crawl, pairs, signals = run.read(RAW_CRAWL), run.read(FILTERED_IMAGE_PAIRS), run.read(IMAGE_SIGNALS)
    settings = run.recipe.interleaved
    if settings.order == "none":
        return run.write([ShardWork("none", "no order", ())], make_none, inputs={}, is_in_process=True)
    check_node_rules(settings.node_rules)
    weights = find_language_weights(run.knobs.language_weights or None)
    clip = None
    if settings.order == "similarity":
        if not run.knobs.clip_weights:
            raise ConfigurationError(
                "interleaved_candidates: `interleaved.order: similarity` compares pictures with sentences by CLIP: "
                "name its weights (MMPIPE_CLIP), or set the order to page."
            )
        clip = open_clip_model(run.knobs)
    root = read_dump(run.lake, run.dump).root
    digests = [LanguageModel(weights).digest, clip.digest if clip else "", read_digests(run.recipe)]
    datasets = (crawl, pairs, signals)
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, root, run.recipe, run.knobs.cache_folder, weights, clip))
        for item in follow_shards(*datasets, extra=digest_settings(digests))
    ]
    return run.write(work, candidates_shard, inputs=fingerprint_inputs(*datasets), is_in_process=clip is not None)


def read_digests(recipe: Recipe) -> list[Any]:
    """Return what else of the recipe and the code changes the documents: the block chooser, languages, lists of words.

    The section `interleaved` is in the stage's code version.
    """
    from mmpipe.extraction.chooser import read_model_digest

    return [
        read_model_digest(),
        recipe.extraction.max_page_bytes,
        recipe.language.prefix_chars,
        {
            f"{kind} {language}": [reference.identity for reference in references]
            for kind, lists in (("flagged", recipe.words.flagged), ("stop", recipe.words.stop))
            for language, references in sorted(lists.items())
        },
    ]


def make_none() -> ShardResult:
    """Return no documents: the recipe asks for none."""
    return ShardResult(INTERLEAVED_CANDIDATES.make_empty(), 0)


def candidates_shard(
    crawl: Dataset,
    pairs: Dataset,
    signals: Dataset,
    shard: str,
    root: str,
    recipe: Recipe,
    cache_folder: str,
    weights: Path,
    clip: ClipModel | None,
) -> ShardResult:
    """Make the documents of one shard's pages."""
    from mmpipe.lanes.interleaved_order import order_by_page, order_by_similarity

    start_numba()
    kept = pairs.read_shard(shard)
    index = crawl.read_shard(shard)
    pages = index.filter((pl.col("kind") == "html") & (pl.col("record_status") == "ok")).join(
        kept.select("doc_id").unique(), on="doc_id", how="semi", maintain_order="left"
    )
    nodes = find_page_nodes(open_crawl(root, cache_folder), pages, kept, recipe.extraction.max_page_bytes)
    nodes = judge_texts(nodes, recipe, weights)
    if clip is None:
        documents = order_by_page(nodes)
    else:
        embeddings = signals.scan_shard(shard).select("pair_id", "image_embedding", "clip_weights").collect()
        documents = order_by_similarity(nodes, embeddings, recipe, clip)
    frame = finish_documents(pages, documents, recipe)
    counts = {
        "pictures": int(frame.get_column("image_count").sum()),
        **count_reasons(frame),
    }
    return ShardResult(frame, pages.height, counts=counts)


def find_page_nodes(root: Place, pages: pl.DataFrame, pairs: pl.DataFrame, max_page_bytes: int) -> pl.DataFrame:
    """Return the nodes of pages in order, with `pair_id` where a kept picture stands.

    A picture that the document shows already, by address or by content, is a `repeated_image`.
    """
    known = pairs.select("doc_id", "position", "pair_id", "image_url", "image_sha256")
    rows = pl.DataFrame(list(_list_nodes(root, pages, known, max_page_bytes)), schema=_NODES, orient="row")
    nodes = rows.join(known, on=["doc_id", "position"], how="left", maintain_order="left", validate="m:1")
    is_shown = pl.col("pair_id").is_not_null() & pl.col("reason").is_null()
    is_again = pl.lit(value=False)
    for name in ("image_url", "image_sha256"):
        # only pictures that are shown count: one in a footer repeats nothing
        is_again |= (
            is_shown & pl.col(name).is_not_null() & (pl.struct("doc_id", name, is_shown).is_first_distinct().not_())
        )
    return nodes.with_columns(
        reason=pl.when(is_again).then(pl.lit("repeated_image")).otherwise("reason"),
        value=pl.lit(None, pl.Float64),
    ).drop("position", "image_url", "image_sha256")


def _list_nodes(
    root: Place, pages: pl.DataFrame, pairs: pl.DataFrame, max_page_bytes: int
) -> Iterator[tuple[Any, ...]]:
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.extraction.interleaved import find_nodes
    from mmpipe.storage.warc import read_payloads

    positions = dict(pairs.group_by("doc_id").agg("position").iter_rows())
    for doc_id, payload in read_payloads(root, pages, max_page_bytes):
        html = decode_page(payload.body, payload.charset).text
        for number, node in enumerate(find_nodes(html, positions[doc_id])):
            markup = node.markup._asdict() if node.markup else None
            yield doc_id, number, node.text, node.position, markup, node.left_out


def judge_texts(nodes: pl.DataFrame, recipe: Recipe, weights: Path) -> pl.DataFrame:
    """Return nodes with the language of their document, and the first rule that each paragraph fails as its reason."""
    from mmpipe.filtering.interleaved_signals import drop_nodes, measure_texts, split_node_rules
    from mmpipe.models.language import LanguageModel

    is_text = pl.col("text").is_not_null()
    documents = nodes.group_by("doc_id", maintain_order=True).agg(pl.col("text").drop_nulls().str.join("\n"))
    found = LanguageModel(weights).identify_all(
        documents.get_column("text").to_list(), prefix_chars=recipe.language.prefix_chars
    )
    languages = documents.select("doc_id").with_columns(
        pl.Series("language", [best[0][0] for best in found], pl.String),
        pl.Series("language_score", [best[0][1] for best in found], pl.Float64),
    )
    nodes = nodes.join(languages, on="doc_id", how="left", maintain_order="left")
    rules = split_node_rules(recipe.interleaved.node_rules)["texts"]
    if not rules:
        return nodes
    texts = nodes.filter(is_text)
    measured = measure_texts(texts.get_column("text").to_list(), texts.get_column("language").to_list(), recipe, "node")
    judged = drop_nodes(pl.concat([texts, measured], how="horizontal"), rules)
    verdicts = judged.select("doc_id", "node", text_reason="reason", text_value="value")
    return (
        nodes.join(verdicts, on=["doc_id", "node"], how="left", maintain_order="left")
        .with_columns(reason=pl.coalesce("reason", "text_reason"), value=pl.coalesce("value", "text_value"))
        .drop("text_reason", "text_value")
    )


def finish_documents(pages: pl.DataFrame, documents: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Return INTERLEAVED_CANDIDATES rows: one per page, in the order of the pages, with their signals."""
    from mmpipe.filtering.interleaved_signals import measure_documents

    joined = pages.select(_PAGE_COLUMNS).join(
        documents, on="doc_id", how="inner", maintain_order="left", validate="1:1"
    )
    return measure_documents(joined, recipe).select(INTERLEAVED_CANDIDATES.column_names)


def count_reasons(frame: pl.DataFrame) -> dict[str, int]:
    """Return how many nodes are left out by each reason."""
    reasons = frame.select(pl.col("removed_nodes").explode().struct.field("reason").drop_nulls()).to_series()
    counted = reasons.value_counts().sort("reason")
    return {f"left out: {reason}": int(count) for reason, count in counted.iter_rows()}


# interleaved_removals, interleaved_documents --------------------------------------------------------------------------


def judge_interleaved(run: StageRun) -> Production:
    """Judge the stored signals of the documents."""
    candidates = run.read(INTERLEAVED_CANDIDATES)
    work = [ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe)) for item in follow_shards(candidates)]
    return run.write(work, removals_shard, inputs=fingerprint_inputs(candidates))


def removals_shard(candidates: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Judge the documents of one shard."""
    from mmpipe.filtering.judge import judge

    rules = recipe.interleaved.rules
    rows = candidates.scan_shard(shard).drop("texts", "similarity_matrix", "removed_nodes").collect()
    removals = judge(rows, rules, key="doc_id", status=None)
    return ShardResult(
        removals,
        rows.height,
        rows_removed=removals.get_column("doc_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="doc_id"),
        accounts_for_rows=False,
    )


def keep_interleaved(run: StageRun) -> Production:
    """Keep the documents without removals."""
    candidates, removals = run.read(INTERLEAVED_CANDIDATES), run.read(INTERLEAVED_REMOVALS)
    return run.write(
        follow_shards(candidates, removals), documents_shard, inputs=fingerprint_inputs(candidates, removals)
    )


def documents_shard(candidates: Dataset, removals: Dataset, shard: str) -> ShardResult:
    """Keep the documents of one shard."""
    kept = keep(candidates.read_shard(shard), removals.read_shard(shard), key="doc_id")
    return ShardResult(kept.frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)


INTERLEAVED_LANE = (
    Stage(INTERLEAVED_CANDIDATES, (RAW_CRAWL, IMAGE_SIGNALS, FILTERED_IMAGE_PAIRS), find_interleaved, ("interleaved",)),
    Stage(INTERLEAVED_REMOVALS, (INTERLEAVED_CANDIDATES,), judge_interleaved, ("interleaved_rules",)),
    Stage(INTERLEAVED_DOCUMENTS, (INTERLEAVED_CANDIDATES, INTERLEAVED_REMOVALS), keep_interleaved),
)
