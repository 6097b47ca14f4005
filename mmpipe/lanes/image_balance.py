"""The image lane's balance: how many pairs of one subject stay, counted over the whole dump, drawn shard by shard."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.duplicates import make_scratch
from mmpipe.lanes.image_choice import judge_shard
from mmpipe.lanes.stage import fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork, map_shards
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.keep import count_removed_by_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from mmpipe.filtering.image_sections import ImageBalance
    from mmpipe.filtering.list_references import ListReference
    from mmpipe.lanes.stage import StageRun
    from mmpipe.sampling.entry_matching import EntryMatcher, Matches
    from mmpipe.storage.shards import Production

#: What the balance reads.
BALANCED = (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS, IMAGE_DUPLICATES)

# links of pairs and subjects that are ranked at once
_RANKED_LINKS = 4_000_000
# k-means: faiss's sample, and more rounds than it needs
_SAMPLE_PER_CLUSTER, _ITERATIONS = 256, 100


def balance_pairs(run: StageRun) -> Production:
    """Draw which pairs stay of each subject, by the recipe's method; without one, publish an empty table."""
    inputs = fingerprint_inputs(*(run.read(table) for table in BALANCED))
    match run.recipe.images.balance:
        case None:
            work = [ShardWork("all", digest_settings("no balance"), ())]
            return run.write(work, _make_no_rows, inputs=inputs, is_in_process=True)
        case balance if balance.method == "queries":
            return _balance_by_queries(run, balance, inputs)
        case balance if balance.method == "noun_phrases":
            return _balance_by_phrases(run, balance, inputs)
        case balance:
            return _balance_by_concepts(run, balance, inputs)


def list_passing(run: StageRun, shard: str, *columns: str) -> pl.DataFrame:
    """Return the pairs of one shard that pass every rule and repeat none: `pair_id`, `caption`, and what else is asked.

    Args:
        run: of this stage.
        shard: of image_candidates.
        columns: further columns, of image_signals.
    """
    candidates, signals, counts, duplicates = (run.read(table) for table in BALANCED)
    judged, removals = judge_shard(signals, counts, shard, run.recipe)
    repeated = duplicates.scan().filter(pl.col("kept_pair_id").ne_missing(pl.col("pair_id"))).select("pair_id")
    passing = judged.lazy().select("pair_id")
    for gone in (removals.lazy(), repeated):
        passing = passing.join(gone, on="pair_id", how="anti", maintain_order="left")
    told = [candidates.scan_shard(shard).select("pair_id", "caption")]
    if columns:
        told.append(signals.scan_shard(shard).select("pair_id", *columns))
    for found in told:
        passing = passing.join(found, on="pair_id", how="left", maintain_order="left")
    return passing.collect()


def _make_no_rows() -> ShardResult:
    return ShardResult(IMAGE_BALANCE.make_empty(), 0)


def _list_shards(run: StageRun) -> list[str]:
    return [commit.shard for commit in run.read(IMAGE_CANDIDATES).require_manifest().commits]


def _plan(run: StageRun, inputs: Mapping[str, str], *arguments: object, extra: str = "") -> list[ShardWork]:
    # how often a subject occurs is a matter of all shards, so each depends on all of what is read
    digest = digest_settings([dict(inputs), extra])
    return [ShardWork(shard, digest, (run, shard, *arguments)) for shard in _list_shards(run)]


def _conclude(pairs: pl.DataFrame, fates: pl.DataFrame, method: str, subjects_from: str) -> ShardResult:
    """Return one shard's rows, from how its pairs fared."""
    from mmpipe.sampling.balance_removals import cite_balance

    told = {"method": pl.lit(method), "subjects_from": pl.lit(subjects_from)}
    frame = pl.concat([pairs.select("pair_id"), fates], how="horizontal").with_columns(**told)
    frame = IMAGE_BALANCE.conform(frame.select(IMAGE_BALANCE.column_names))
    removals = cite_balance(frame)
    return ShardResult(
        frame,
        pairs.height,
        rows_removed=removals.height,
        removed_by_rule=count_removed_by_rule(removals, key="pair_id"),
        counts={"pairs_without_subject": frame.filter(pl.col("entries_matched") == 0).height},
        accounts_for_rows=False,
    )


# queries --------------------------------------------------------------------------------------------------------------


def _balance_by_queries(run: StageRun, balance: ImageBalance, inputs: Mapping[str, str]) -> Production:
    """Count every entry over the dump, then draw."""
    plan = _plan(run, inputs)
    if run.is_made(plan):
        return run.write(plan, draw_shard, inputs=inputs)
    matcher = find_matcher(balance, run.knobs.cache_folder)
    totals = np.zeros(len(matcher.names), dtype=np.int64)
    with make_scratch(run.knobs) as scratch:
        asked = [(run, shard, scratch) for shard in _list_shards(run)]
        for found, pairs in map_shards(count_shard, asked, run.engine):
            totals[found] += pairs
        return run.write(_plan(run, inputs, totals, scratch), draw_shard, inputs=inputs)


def count_shard(run: StageRun, shard: str, scratch: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the entries in captions of one shard, and how many captions hold each; the matches stay in `scratch`."""
    from mmpipe.sampling.query_balancing import count_matches

    assert run.recipe.images.balance is not None
    matcher = find_matcher(run.recipe.images.balance, run.knobs.cache_folder)
    matches = matcher.match(list_passing(run, shard).get_column("caption"))
    if scratch.is_dir():  # of another machine of a cluster it is not: there captions are matched again
        np.savez(scratch / f"{shard}.npz", rows=matches.rows, entries=matches.entries)
    counts = count_matches(matches, matcher)
    found = np.flatnonzero(counts)
    return found, counts[found]


def read_matches(scratch: Path | None, shard: str) -> Matches | None:
    """Return the matches that the first pass kept of a shard; None if they are not on this machine."""
    from mmpipe.sampling.entry_matching import Matches

    file = scratch / f"{shard}.npz" if scratch is not None else None
    if file is None or not file.is_file():
        return None
    with np.load(file) as kept:
        return Matches(kept["rows"], kept["entries"])


def draw_shard(run: StageRun, shard: str, totals: NDArray[np.int64], scratch: Path | None = None) -> ShardResult:
    """Draw the pairs of one shard by their entries."""
    from mmpipe.sampling.query_balancing import QUERY_LIMIT, draw_by_entries

    balance = run.recipe.images.balance
    assert balance is not None
    matcher = find_matcher(balance, run.knobs.cache_folder)
    pairs = list_passing(run, shard)
    limit = balance.limit or QUERY_LIMIT
    fates = draw_by_entries(
        pairs,
        matcher,
        totals,
        limit=limit,
        seed=balance.seed,
        keeps_unmatched=balance.keeps_unmatched,
        found=read_matches(scratch, shard),
    )
    case = "_lower_case" if balance.lower_case else ""
    return _conclude(pairs, fates, "queries", f"entries_{matcher.digest}{case}")


@lru_cache(maxsize=2)
def find_matcher(balance: ImageBalance, cache_folder: str) -> EntryMatcher:
    """Return the matcher of the recipe's entries, built once on a machine and mapped by all its processes.

    Raises:
        ConfigurationError: a list cannot be read, or none holds an entry.
    """
    from mmpipe.filtering.list_files import read_entries
    from mmpipe.sampling.entry_matching import MATCHER_VERSION, EntryDialect, build_matcher, open_matcher

    references = _find_lists(balance)
    dialect = EntryDialect(lower_case=balance.lower_case)
    identities = [reference.identity or reference.path for reference in references]
    digest = digest_settings([MATCHER_VERSION, identities, balance.lower_case])
    folder = Path(cache_folder) / "entry_matchers" / digest
    if not (cache_folder and folder.is_dir()):
        matcher = build_matcher((entry for lists in references for entry in read_entries(lists, str.strip)), dialect)
        if not cache_folder:
            return matcher
        matcher.save(folder)
    return open_matcher(folder, dialect)


def _find_lists(balance: ImageBalance) -> list[ListReference]:
    from mmpipe.filtering.list_references import ListReference
    from mmpipe.filtering.recipe_lists import find_list

    named = balance.entries or (ListReference(list="balance-entries"),)
    return [reference if reference.path else find_list(reference, None) for reference in named]


# noun phrases, concepts -----------------------------------------------------------------------------------------------


def _balance_by_phrases(run: StageRun, balance: ImageBalance, inputs: Mapping[str, str]) -> Production:
    """List the phrases of every shard, rank the pairs of each phrase, then draw."""
    from mmpipe.sampling.noun_phrases import open_chunker
    from mmpipe.sampling.phrase_balancing import PHRASE_CAP

    name = open_chunker(balance.phrase_pipeline).name
    plan = _plan(run, inputs, extra=name)
    if run.is_made(plan):
        return run.write(plan, cap_shard, inputs=inputs)
    tasks = [(run, shard) for shard in _list_shards(run)]
    with make_scratch(run.knobs) as scratch:
        _write_ranks(map_shards(link_shard, tasks, run.engine), scratch, balance.floor)
        told = (scratch, balance.limit or PHRASE_CAP, "noun_phrases", name)
        # ranks lie on this machine, and drawing is no work beside finding the phrases
        return run.write(_plan(run, inputs, *told, extra=name), cap_shard, inputs=inputs, is_in_process=True)


def link_shard(run: StageRun, shard: str) -> tuple[str, pl.DataFrame]:
    """Return the noun phrases of one shard's captions."""
    from mmpipe.sampling.noun_phrases import open_chunker
    from mmpipe.sampling.phrase_balancing import list_phrase_links

    balance = run.recipe.images.balance
    assert balance is not None
    pairs = list_passing(run, shard)
    return shard, list_phrase_links(pairs, open_chunker(balance.phrase_pipeline), seed=balance.seed)


def _balance_by_concepts(run: StageRun, balance: ImageBalance, inputs: Mapping[str, str]) -> Production:
    """Cluster the embeddings of the dump's pictures, rank the pairs of each cluster, then draw."""
    from mmpipe.sampling.concept_balancing import CONCEPT_CAP, list_concept_links

    plan = _plan(run, inputs)
    if run.is_made(plan):
        return run.write(plan, cap_shard, inputs=inputs)
    with make_scratch(run.knobs) as scratch:
        labels, clusters = _label_pictures(run, balance, scratch / "embeddings.f32")
        links = (
            (shard, list_concept_links(of_shard, seed=balance.seed)) for (shard,), of_shard in labels.group_by("shard")
        )
        _write_ranks(((str(shard), of_shard) for shard, of_shard in links), scratch, floor=1)
        told = (scratch, balance.limit or CONCEPT_CAP, "concepts", f"spherical_kmeans_{clusters}")
        return run.write(_plan(run, inputs, *told), cap_shard, inputs=inputs, is_in_process=True)


def _label_pictures(run: StageRun, balance: ImageBalance, file: Path) -> tuple[pl.DataFrame, int]:
    """Return `pair_id`, `shard` and `cluster` of every passing pair with an embedding, and the number of clusters."""
    from mmpipe.deduplication.spherical_kmeans import assign_all, train_centroids

    rows = pl.DataFrame(schema={"pair_id": pl.String, "shard": pl.String})
    pairs = 0
    with file.open("wb") as output:
        for shard in _list_shards(run):
            passing = list_passing(run, shard, "image_embedding")
            measured = passing.drop_nulls("image_embedding")
            pairs += passing.height
            rows = rows.extend(measured.select("pair_id", shard=pl.lit(shard)))
            for vector in measured.get_column("image_embedding"):
                np.frombuffer(vector, dtype="<f2").astype(np.float32).tofile(output)
    if pairs and rows.is_empty():
        raise ConfigurationError(
            "Balance by concepts needs the pictures' embeddings, and image_signals has none: name CLIP's weights."
        )
    if rows.is_empty():
        return rows.with_columns(cluster=pl.lit(None, dtype=pl.Int64)), 0
    width = file.stat().st_size // 4 // rows.height
    stored = np.memmap(file, dtype=np.float32, mode="r", shape=(rows.height, width))
    # in order of ids, so that the clusters do not depend on how the dump is cut
    order = rows.get_column("pair_id").arg_sort().to_numpy()
    vectors = np.memmap(file.with_suffix(".sorted"), dtype=np.float32, mode="w+", shape=stored.shape)
    for begin in range(0, rows.height, 1 << 16):
        block = stored[order[begin : begin + (1 << 16)]]
        vectors[begin : begin + len(block)] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    clusters = min(rows.height, balance.clusters or max(1, rows.height // 1000))
    centroids = train_centroids(
        vectors, np.arange(rows.height), clusters,
        sample_per_cluster=_SAMPLE_PER_CLUSTER, iterations=_ITERATIONS, seed=balance.seed,
    )  # fmt: skip
    labels, _ = assign_all(vectors, centroids)
    return rows[order].with_columns(cluster=pl.Series(labels)), clusters


def _write_ranks(links: Iterable[tuple[str, pl.DataFrame]], scratch: Path, floor: int) -> None:
    """Write the links of all shards with their ranks to `scratch`, holding those of some subjects at a time."""
    from mmpipe.sampling.capped_subjects import hash_links, rank_links

    count = 0
    none = hash_links(pl.DataFrame(schema={"pair_id": pl.String, "subject": pl.String}), seed=0)
    for number, (shard, found) in enumerate(chain([("", none)], links)):
        count += found.height
        named = found.with_columns(shard=pl.lit(shard)).sort("subject_hash")
        named.write_parquet(scratch / f"links-{number}.parquet", row_group_size=1 << 16)
    parts = count // _RANKED_LINKS + 1
    written = pl.scan_parquet(scratch / "links-*.parquet")
    for part in range(parts):
        low, high = ((1 << 64) * part // parts, (1 << 64) * (part + 1) // parts - 1)
        is_in = pl.col("subject_hash").is_between(pl.lit(low, dtype=pl.UInt64), pl.lit(high, dtype=pl.UInt64))
        ranked = rank_links(written.filter(is_in).collect(), floor=floor).sort("shard")
        ranked.write_parquet(scratch / f"ranks-{part}.parquet", row_group_size=1 << 16)


def cap_shard(run: StageRun, shard: str, scratch: Path, cap: int, method: str, subjects_from: str) -> ShardResult:
    """Draw the pairs of one shard by their ranks."""
    from mmpipe.sampling.capped_subjects import draw_by_ranks

    balance = run.recipe.images.balance
    assert balance is not None
    pairs = list_passing(run, shard)
    links = pl.scan_parquet(scratch / "ranks-*.parquet").filter(pl.col("shard") == shard).drop("shard").collect()
    return _conclude(pairs, draw_by_ranks(pairs, links, cap=cap, seed=balance.seed), method, subjects_from)
