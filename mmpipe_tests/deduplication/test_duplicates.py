"""Whole searches for duplicates: who goes, who stays, and that neither order nor shards matter."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mmpipe.deduplication.cluster_tables import DUPLICATE_SCHEMA
from mmpipe.deduplication.duplicate_index import build_index
from mmpipe.deduplication.duplicates import find_duplicates, removals_of, search_duplicates
from mmpipe.deduplication.minhash import MinHashSettings, sign_documents
from mmpipe.deduplication.ranked_documents import PAIR_SCHEMA
from mmpipe.deduplication.survivors import KeepPolicy
from mmpipe.deduplication.verification import measure_similarities
from mmpipe.errors import ConfigurationError, InvariantBroken, SchemaError
from mmpipe.tables.keep import keep

SETTINGS = MinHashSettings(bands=40, rows=6, verify_jaccard=0.7)


def write_text(seed: int, words: int = 120) -> list[str]:
    chooser = random.Random(seed)
    return [
        f"{chooser.choice('bcdfgklmnprst')}{chooser.choice('aeiou')}{chooser.randrange(9000):x}x" for _ in range(words)
    ]


def edit_text(words: list[str], seed: int, edits: int) -> list[str]:
    chooser = random.Random(seed)
    changed = list(words)
    for place in chooser.sample(range(len(words)), edits):
        changed[place] = f"edited{seed}at{place}"
    return changed


def frame_of(texts: dict[str, str], dump: str = "now", dates: dict[str, str] | None = None) -> pl.DataFrame:
    rows = [(doc_id, dump, text, (dates or {}).get(doc_id)) for doc_id, text in texts.items()]
    return pl.DataFrame(
        rows, schema={"doc_id": pl.String, "dump": pl.String, "text": pl.String, "date": pl.String}, orient="row"
    )


def make_corpus(families: int = 30) -> dict[str, str]:
    """Families of one original, an exact twin, two near-duplicates and one text that is alike but not enough."""
    texts = {}
    for family in range(families):
        original = write_text(family)
        texts[f"{family:03d}-original"] = " ".join([*original, "longest"])
        texts[f"{family:03d}-twin"] = "  ".join([*original, "LONGEST"]).replace("  ", "\n", 1)
        texts[f"{family:03d}-near1"] = " ".join(edit_text(original, 1, 1))
        texts[f"{family:03d}-near2"] = " ".join(edit_text(original, 2, 2))
        texts[f"{family:03d}-far"] = " ".join(edit_text(original, 3, 20))
    return texts


def search(texts: dict[str, str], settings: MinHashSettings = SETTINGS) -> pl.DataFrame:
    frame = frame_of(texts)
    return find_duplicates(sign_documents(frame, settings), None, frame, settings)


def test_rows_in_are_rows_kept_plus_removed_and_the_right_ones_stay() -> None:
    texts = make_corpus()
    frame = frame_of(texts)
    duplicates = search(texts)
    kept = keep(frame, removals_of(duplicates, SETTINGS), key="doc_id")
    assert kept.rows_in == kept.frame.height + kept.rows_removed == 150
    assert kept.removed_by_rule == {"near_duplicate": 60, "exact_duplicate": 30}
    assert {doc_id[4:] for doc_id in kept.frame["doc_id"]} == {"twin", "far"}  # the twin has more characters
    assert duplicates.schema == DUPLICATE_SCHEMA


def test_every_removed_document_is_as_alike_as_the_limit_to_a_document_that_stays() -> None:
    duplicates = search(make_corpus())
    removed = duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id"))
    kept = duplicates.filter(pl.col("doc_id") == pl.col("kept_doc_id"))
    assert removed.height
    assert removed["similarity"].min() >= 0.7
    assert set(removed["kept_doc_id"]) <= set(kept["doc_id"])
    assert (kept["similarity"] == 1.0).all()


def test_neither_the_order_of_rows_nor_the_shards_matter() -> None:
    texts = make_corpus(12)
    frame = frame_of(texts)
    expected = search(texts)
    for seed in range(3):
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
        shards = [sign_documents(shuffled[begin : begin + 7 + seed], SETTINGS) for begin in range(0, 60, 7 + seed)]
        found = find_duplicates(pl.concat(shards), None, shuffled, SETTINGS)
        assert found.equals(expected)


def test_a_corpus_without_duplicates_comes_out_unchanged() -> None:
    texts = {str(seed): " ".join(write_text(seed)) for seed in range(200)}
    duplicates = search(texts)
    assert duplicates.is_empty()
    assert keep(frame_of(texts), removals_of(duplicates, SETTINGS), key="doc_id").frame.height == 200


def test_no_document_goes_at_all_from_nothing() -> None:
    empty = frame_of({})
    assert find_duplicates(sign_documents(empty, SETTINGS), None, empty, SETTINGS).is_empty()


def test_a_document_of_an_earlier_dump_stays_even_if_it_is_shorter_and_later() -> None:
    words = write_text(1)
    published = frame_of({"zz": " ".join(words[:-1])}, "first", {"zz": "2024-01-01"})
    arriving = frame_of({"aa": " ".join(words), "bb": " ".join(write_text(2))}, "second", {"aa": "2001-01-01"})
    earlier = sign_documents(published, SETTINGS).with_columns(dump_sequence=pl.lit(0))
    texts = dict(pl.concat([published, arriving]).select("doc_id", "text").iter_rows())
    duplicates = find_duplicates(
        sign_documents(arriving, SETTINGS), earlier.lazy(), lambda ids: {i: texts[i] for i in ids}, SETTINGS
    )
    assert duplicates.select("doc_id", "kept_doc_id", "kept_dump", "method").rows() == [
        ("aa", "zz", "first", "minhash")
    ]
    # an exact duplicate across dumps, too
    again = sign_documents(frame_of({"cc": " ".join(words[:-1])}, "third"), SETTINGS)
    exact = find_duplicates(again, earlier, texts_never_read, SETTINGS)
    assert exact.select("kept_doc_id", "method", "similarity").rows() == [("zz", "exact", 1.0)]


def test_a_text_without_words_is_found_again_in_an_earlier_dump() -> None:
    earlier = sign_documents(frame_of({"zz": "***"}, "first"), SETTINGS).with_columns(dump_sequence=pl.lit(0))
    found = find_duplicates(sign_documents(frame_of({"aa": "***"}), SETTINGS), earlier, texts_never_read, SETTINGS)
    assert found.select("doc_id", "kept_doc_id", "method").rows() == [("aa", "zz", "exact")]


def texts_never_read(ids: list[str]) -> dict[str, str]:
    raise AssertionError(f"no pair needs its text read: {ids}")


def test_the_earliest_dump_is_preferred_among_earlier_ones() -> None:
    text = " ".join(write_text(1))
    first = sign_documents(frame_of({"zz": text}, "first"), SETTINGS).with_columns(dump_sequence=pl.lit(0))
    second = sign_documents(frame_of({"aa": text}, "second"), SETTINGS).with_columns(dump_sequence=pl.lit(1))
    now = sign_documents(frame_of({"mm": text}), SETTINGS)
    found = find_duplicates(now, pl.concat([second, first]), texts_never_read, SETTINGS)
    assert found.select("doc_id", "kept_doc_id").rows() == [("mm", "zz")]


def test_the_end_of_a_chain_is_kept_because_nothing_kept_is_like_it() -> None:
    words = write_text(7, 200)
    chain = {f"link{step}": " ".join(words[step * 12 : step * 12 + 140]) for step in range(5)}
    duplicates = search(chain)
    assert duplicates["cluster_id"].unique().to_list() == ["link0"]
    assert duplicates.filter(pl.col("doc_id") == pl.col("kept_doc_id")).height > 1
    assert duplicates["similarity"].min() >= 0.7


def test_texts_without_words_are_duplicates_of_exact_twins_only() -> None:
    texts = {"a": "", "b": "", "c": "!!! ???", "d": "--- !", "e": "!!!  ???"}
    duplicates = search(texts)
    assert duplicates.select("doc_id", "kept_doc_id", "method").rows() == [
        ("a", "a", "exact"),
        ("b", "a", "exact"),
        ("c", "e", "exact"),
        ("e", "e", "exact"),
    ]


def test_without_verification_every_pair_that_shares_a_band_counts() -> None:
    settings = MinHashSettings(bands=60, rows=2, verify_jaccard=None)
    words = write_text(1)
    texts = {"a": " ".join(words), "b": " ".join(edit_text(words, 1, 8))}
    duplicates = search(texts, settings)
    assert 0 < duplicates["similarity"].min() < 0.7
    assert removals_of(duplicates, settings)["high"].to_list() == [None]


def share_every_band(frame: pl.DataFrame) -> pl.DataFrame:
    """Sign documents so that all of them share all their band keys."""
    signatures = sign_documents(frame, SETTINGS)
    return signatures.with_columns(band_keys=pl.lit(bytes(8 * SETTINGS.bands)))


@pytest.mark.parametrize("hubs", [1, 3, 16, 1000])
def test_a_bucket_larger_than_the_hubs_loses_no_near_duplicate(hubs: int) -> None:
    texts = {}
    for pair in range(60):  # all in one bucket, sixty pairs that have nothing in common
        words = write_text(pair)
        texts[f"{pair:02d}a"] = " ".join(words)
        texts[f"{pair:02d}b"] = " ".join(words[:-1])
    frame = frame_of(texts)
    found = find_duplicates(share_every_band(frame), None, frame, SETTINGS, hubs=hubs)
    kept = [f"{pair:02d}a" for pair in range(60) for _ in range(2)]
    assert found.select("doc_id", "kept_doc_id").rows() == list(zip(sorted(texts), kept, strict=True))


def test_a_bucket_is_never_paired_in_full_beyond_the_most_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mmpipe.deduplication.near_duplicates.MOST_HUBS", 4)
    texts = frame_of({f"{seed:03d}": " ".join(write_text(seed)) for seed in range(100)})
    asked: list[int] = []

    def count_pairs(doc_ids: object, left: np.ndarray, *_: object) -> np.ndarray:
        asked.append(len(left))
        return np.zeros(len(left))

    monkeypatch.setattr("mmpipe.deduplication.near_duplicates.measure_similarities", count_pairs)
    index = build_index(tmp_path / "index", share_every_band(texts).lazy(), SETTINGS)
    found = search_duplicates(index, [], texts, SETTINGS, tmp_path / "found", hubs=2)
    assert sum(asked) == 99 + 98 + 97 + 96
    assert found.is_cut


def test_little_memory_and_many_workers_give_the_same_answer(tmp_path: Path) -> None:
    frame = frame_of(make_corpus(8))
    signatures = sign_documents(frame, SETTINGS)
    half = signatures.filter(pl.col("doc_id").str.ends_with("original")).with_columns(dump_sequence=pl.lit(0))
    rest = signatures.filter(~pl.col("doc_id").str.ends_with("original"))
    expected = find_duplicates(rest, half, frame, SETTINGS)
    assert expected.height == 24
    rest.write_parquet(tmp_path / "signatures.parquet", row_group_size=5)
    scan = pl.scan_parquet(tmp_path / "signatures.parquet")
    for workers in (1, 3):
        # keys come in ranges of a few, and pairs in runs of a few
        found = find_duplicates(scan, half.lazy(), frame, SETTINGS, memory_bytes=4096, workers=workers)
        assert found.equals(expected)


def test_of_earlier_dumps_only_candidates_are_read() -> None:
    texts = frame_of(make_corpus(20))
    is_published = pl.col("doc_id").str.contains("original|far")
    earlier = sign_documents(texts.filter(is_published), SETTINGS).with_columns(
        dump_sequence=pl.int_range(pl.len()) % 3
    )
    joined = earlier.lazy().join(pl.LazyFrame({"doc_id": ["000-original"]}), on="doc_id", how="anti")
    known = dict(texts.select("doc_id", "text").iter_rows())
    read: set[str] = set()

    def read_texts(ids: list[str]) -> dict[str, str]:
        read.update(ids)
        return {doc_id: known[doc_id] for doc_id in ids}

    found = find_duplicates(sign_documents(texts.filter(~is_published), SETTINGS), joined, read_texts, SETTINGS)
    assert found.height == 60
    kept = found.filter(pl.col("doc_id").str.starts_with("000")).get_column("kept_doc_id").unique().to_list()
    assert kept == ["000-twin"]  # its original is not published, so the best of this dump stays
    others = found.filter(~pl.col("doc_id").str.starts_with("000"))
    assert others.select((pl.col("kept_doc_id") == pl.col("doc_id").str.head(3) + "-original").all()).item()
    assert len([doc_id for doc_id in read if doc_id.endswith("far")]) < 20  # most share no band key


def test_signatures_of_other_settings_are_refused() -> None:
    frame = frame_of({"a": "one two three four five six"})
    other = sign_documents(frame, MinHashSettings(bands=40, rows=6, seed=2)).with_columns(dump_sequence=pl.lit(0))
    with pytest.raises(SchemaError, match="other MinHash settings"):
        find_duplicates(sign_documents(frame, SETTINGS), other, frame, SETTINGS)
    with pytest.raises(SchemaError, match="other MinHash settings"):
        find_duplicates(other.drop("dump_sequence"), None, frame, SETTINGS)


def test_a_missing_text_names_the_document() -> None:
    with pytest.raises(InvariantBroken, match="first b"):
        measure_similarities(
            pl.Series(["a", "b"]), pl.Series([0]).to_numpy(), pl.Series([1]).to_numpy(), frame_of({"a": "x"}), 5
        )


def test_pairs_of_all_methods_join_one_clustering_and_the_first_method_is_named() -> None:
    words = [write_text(seed) for seed in range(6)]
    texts = {
        "a": " ".join([*words[0], "a", "b", "c"]),
        "b": " ".join([*words[0], "a", "b"]),  # near a
        "c": " ".join(words[1][:100]),  # its address is a's
        "d": " ".join(words[1][:100]).upper(),  # c's text, not its address
        "e": " ".join(words[2][:100]),  # a's in other words
        "f": " ".join(words[2][:100]) + " ",  # its copy
        "g": " ".join(words[4][:90]),
    }
    rows = [("c", "a", 1.0, "url"), ("a", "e", 0.9, "semantic"), ("b", "a", 0.97, "simhash"), ("g", "zz", 1.0, "url")]
    pairs = pl.DataFrame(rows, schema=PAIR_SCHEMA, orient="row")
    frame = frame_of(texts)
    found = find_duplicates(sign_documents(frame, SETTINGS), None, frame, SETTINGS, pairs=pairs)
    described = found.select("doc_id", "cluster_id", "kept_doc_id", "method")
    assert described.rows() == [
        ("a", "a", "a", "url"),
        ("b", "a", "a", "minhash"),
        ("c", "a", "a", "url"),
        ("d", "a", "d", "exact"),  # nothing that stays has its text or its address
        ("e", "a", "a", "semantic"),
        ("f", "a", "a", "semantic"),
    ]
    rules = removals_of(found, SETTINGS).select("doc_id", "rule", "high")
    assert rules.rows() == [
        ("b", "near_duplicate", 0.7),
        ("c", "url_duplicate", 1.0),
        ("e", "semantic_duplicate", None),
        ("f", "semantic_duplicate", None),
    ]
    for shuffled in (pairs[::-1], pairs.rename({"better": "worse", "worse": "better"})):
        again = find_duplicates(sign_documents(frame[::-1], SETTINGS), None, frame, SETTINGS, pairs=shuffled)
        assert again.equals(found)
    guessed = pairs.with_columns(method=pl.lit("guess"))
    signatures = sign_documents(frame, SETTINGS)
    with pytest.raises(ConfigurationError, match="guess"):
        find_duplicates(signatures, None, frame, SETTINGS, pairs=guessed)


def test_a_pair_of_another_method_reaches_into_an_earlier_dump() -> None:
    published, arriving = frame_of({"zz": " ".join(write_text(1))}, "first"), frame_of({"aa": " ".join(write_text(2))})
    earlier = sign_documents(published, SETTINGS).with_columns(dump_sequence=pl.lit(0))
    pairs = pl.DataFrame([("aa", "zz", 1.0, "url")], schema=PAIR_SCHEMA, orient="row")
    signatures = sign_documents(arriving, SETTINGS)
    found = find_duplicates(signatures, earlier, texts_never_read, SETTINGS, pairs=pairs)
    assert found.select("doc_id", "kept_doc_id", "kept_dump", "method").rows() == [("aa", "zz", "first", "url")]
    alone = KeepPolicy(scope="within_dump")
    assert find_duplicates(signatures, earlier, texts_never_read, SETTINGS, pairs=pairs, policy=alone).is_empty()


def test_star_clusters_are_never_wider_than_a_document_kept_and_its_own(tmp_path: Path) -> None:
    words = write_text(7, 200)
    chain = {f"link{step}": " ".join(words[step * 12 : step * 12 + 140]) for step in range(5)}
    frame = frame_of(chain)
    index = build_index(tmp_path / "index", sign_documents(frame, SETTINGS).lazy(), SETTINGS)
    chained = search_duplicates(index, [], frame, SETTINGS, tmp_path / "chained")
    assert chained.clusters.collect().rows() == [("link0", 5, 2, 2, 2)]  # two steps apart is still a pair
    policy = KeepPolicy(clusters="stars")
    stars = search_duplicates(index, [], frame, SETTINGS, tmp_path / "stars", policy=policy)
    rows = stars.duplicates.collect()
    # the other document that stays is kept for none, so it is in no star
    assert rows.height == 4
    assert rows.get_column("kept_doc_id").n_unique() == rows.get_column("cluster_id").n_unique() == 1
    assert stars.clusters.select(pl.col("diameter_at_most").max()).collect().item() <= 2


def test_copies_of_one_page_cost_as_many_comparisons_as_there_are_copies() -> None:
    words = write_text(3, 80)
    copies = {f"{number:05d}": " ".join([*words, f"visitor{number}x"]) for number in range(10_000)}
    frame = frame_of(copies)
    settings = MinHashSettings(bands=10, rows=4, verify_jaccard=0.7)
    asked = 0
    texts = dict(frame.select("doc_id", "text").iter_rows())

    def read_texts(ids: list[str]) -> dict[str, str]:
        nonlocal asked
        asked += len(ids)
        return {doc_id: texts[doc_id] for doc_id in ids}

    begin = time.process_time()
    duplicates = find_duplicates(sign_documents(frame, settings), None, read_texts, settings)
    assert time.process_time() - begin < 15
    assert asked < 32 * 10_000
    assert duplicates.get_column("kept_doc_id").n_unique() == 1
    assert duplicates.height == 10_000
