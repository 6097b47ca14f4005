"""Pairs of a dump are counted and ranked as a plain count over all rows says, however they are cut and ordered."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.image_counts import count_pairs
from mmpipe.deduplication.pair_files import Scratch
from mmpipe.filtering.captions import normalise_spaces

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {
    "pair_id": pl.String, "doc_id": pl.String, "caption": pl.String, "image_url": pl.String, "phash": pl.String,
    "clip_similarity": pl.Float64,
}  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["d1", "d2", "d3"]),
        st.sampled_from(["a kite", " a \n kite ", "A kite", "猫", "", "a\u00a0kite"]),
        st.sampled_from(["u1", "u2", "U1"]),
        st.sampled_from([None, "00ff", "00fe"]),
        st.sampled_from([None, float("nan"), 0.3, 0.30000001, -0.0, 0.0, -1.0]),
    ),
    min_size=1,
    max_size=30,
)  # fmt: skip


def count(parts: list[pl.DataFrame], folder: Path, memory_bytes: int = 1 << 26) -> pl.DataFrame:
    whole = pl.concat(parts)
    folder.mkdir(exist_ok=True)
    return count_pairs(parts, whole.height, Scratch(folder, memory_bytes)).read(0, whole.get_column("pair_id"))


def count_plainly(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    rows = frame.with_columns(caption=normalise_spaces()).rows(named=True)
    captions = Counter(row["caption"] for row in rows)
    urls = Counter(row["image_url"] for row in rows)
    documents = {url: len({row["doc_id"] for row in rows if row["image_url"] == url}) for url in urls}
    hashes = Counter(row["phash"] for row in rows)
    similarities = [value for row in rows if (value := row["clip_similarity"]) is not None and value == value]
    return [
        (
            row["pair_id"],
            captions[row["caption"]],
            urls[row["image_url"]],
            documents[row["image_url"]],
            None if row["phash"] is None else hashes[row["phash"]],
            sum(other > value for other in similarities) / len(similarities)
            if (value := row["clip_similarity"]) is not None and value == value
            else None,
        )
        for row in rows
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.integers(0, 10**6), st.integers(1, 7))
def test_counts_are_those_of_the_whole_dump_whatever_the_order_and_the_shards(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], seed: int, shard_rows: int
) -> None:
    frame = pl.DataFrame([(f"{number:04d}", *row) for number, row in enumerate(rows)], schema=SCHEMA, orient="row")
    expected = count_plainly(frame)
    whole = count([frame], tmp_path_factory.mktemp("whole"))
    assert whole.rows() == expected

    order = random.Random(seed).sample(range(frame.height), frame.height)
    shuffled = frame[order]
    parts = list(shuffled.iter_slices(shard_rows))
    found = count(parts, tmp_path_factory.mktemp("cut"))
    assert found.get_column("pair_id").to_list() == shuffled.get_column("pair_id").to_list()
    assert found.sort("pair_id").rows() == expected


def test_best_share_keeps_exactly_that_many_without_ties_and_ties_stay_together(tmp_path: Path) -> None:
    for pairs, kept in ((10, 3), (100, 30), (7, 3), (1, 1), (1000, 300)):
        frame = pl.DataFrame(
            {"pair_id": [f"{n:05d}" for n in range(pairs)], "doc_id": "d", "caption": "c", "image_url": "u",
             "phash": None, "clip_similarity": [n / pairs for n in range(pairs)]},
            schema=SCHEMA,
        )  # fmt: skip
        ranks = count([frame], tmp_path / str(pairs)).get_column("clip_similarity_rank")
        assert (ranks < 0.3).sum() == kept
    tied = frame.head(10).with_columns(clip_similarity=pl.Series([0.9, 0.8, *[0.7] * 3, *[0.1] * 5]))
    ranks = count([tied], tmp_path / "tied").get_column("clip_similarity_rank").to_list()
    assert ranks == [0.0, 0.1, 0.2, 0.2, 0.2, *[0.5] * 5]


def test_a_dump_beyond_the_memory_is_counted_the_same(tmp_path: Path) -> None:
    pairs = 300_000
    frame = pl.DataFrame(
        {"pair_id": [f"{n:032x}" for n in range(pairs)], "doc_id": [f"{n % 90_000}" for n in range(pairs)],
         "caption": [f"caption {n % 100_000}" for n in range(pairs)], "image_url": [f"u{n}" for n in range(pairs)],
         "phash": [f"{n % 150_000:016x}" for n in range(pairs)], "clip_similarity": [n / pairs for n in range(pairs)]},
        schema=SCHEMA,
    )  # fmt: skip
    found = count(list(frame.iter_slices(50_000)), tmp_path, memory_bytes=1)
    assert found.select("caption_pairs", "image_url_pairs", "phash_pairs").unique().rows() == [(3.0, 1.0, 2.0)]
    assert found.get_column("clip_similarity_rank").to_list() == [(pairs - 1 - n) / pairs for n in range(pairs)]
