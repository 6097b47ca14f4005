"""Balance by queries, noun phrases and concepts: what stays depends on the pairs alone, and is as many as asked."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.sampling.balance_removals import cite_balance
from mmpipe.sampling.capped_subjects import draw_by_ranks, rank_links
from mmpipe.sampling.concept_balancing import list_concept_links
from mmpipe.sampling.entry_matching import build_matcher
from mmpipe.sampling.noun_phrases import RuleChunker
from mmpipe.sampling.phrase_balancing import list_phrase_links
from mmpipe.sampling.query_balancing import count_entries, draw_by_entries
from mmpipe.tables.image_balance import IMAGE_BALANCE

WORDS = ("dog", "cat", "owl", "red barn", "lighthouse", "the", "unheard")
CAPTIONS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" and ".join), min_size=1, max_size=40)


def make_pairs(captions: list[str]) -> pl.DataFrame:
    ids = [xxhash.xxh3_128_hexdigest(f"{number}".encode()) for number in range(len(captions))]
    return pl.DataFrame({"pair_id": ids, "caption": captions}, schema={"pair_id": pl.String, "caption": pl.String})


def cut(pairs: pl.DataFrame, shards: int) -> list[pl.DataFrame]:
    return [pairs[shard::shards] for shard in range(shards)]


def balance_by_queries(shards: list[pl.DataFrame], limit: int) -> pl.DataFrame:
    matcher = build_matcher(WORDS[:5])
    counts = sum((count_entries(pairs["caption"], matcher) for pairs in shards), np.zeros(5, np.int64))
    drawn = [draw_by_entries(pairs, matcher, counts, limit=limit, seed=1) for pairs in shards]
    return pl.concat(pl.concat([p.select("pair_id"), d], how="horizontal") for p, d in zip(shards, drawn, strict=True))


def balance_by_phrases(shards: list[pl.DataFrame], floor: int, cap: int) -> pl.DataFrame:
    links = [list_phrase_links(pairs, RuleChunker(), seed=1) for pairs in shards]
    ranked = rank_links(pl.concat(links), floor=floor)
    drawn = [draw_by_ranks(pairs, ranked, cap=cap, seed=1) for pairs in shards]
    return pl.concat(pl.concat([p.select("pair_id"), d], how="horizontal") for p, d in zip(shards, drawn, strict=True))


@given(CAPTIONS, st.integers(1, 5), st.integers(1, 6), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_what_stays_depends_neither_on_order_nor_on_shards(captions, limit, shards, random) -> None:  # type: ignore[no-untyped-def]
    pairs = make_pairs(captions)
    order = list(range(pairs.height))
    random.shuffle(order)

    for whole, parts in (
        (balance_by_queries([pairs], limit), balance_by_queries(cut(pairs[order], shards), limit)),
        (balance_by_phrases([pairs], 2, limit), balance_by_phrases(cut(pairs[order], shards), 2, limit)),
    ):
        assert whole.sort("pair_id").equals(parts.sort("pair_id"))


@given(CAPTIONS, st.integers(1, 5))
@settings(max_examples=50)
def test_matches_that_the_first_pass_kept_are_drawn_by(captions: list[str], limit: int) -> None:
    pairs, matcher = make_pairs(captions), build_matcher(WORDS[:5])
    counts = count_entries(pairs["caption"], matcher)

    again = draw_by_entries(pairs, matcher, counts, limit=limit, seed=3)
    kept = draw_by_entries(pairs, matcher, counts, limit=limit, seed=3, found=matcher.match(pairs["caption"]))
    none = draw_by_entries(pairs, matcher, counts, limit=limit, seed=3, found=matcher.match(pl.Series([""])))

    assert kept.equals(again)
    assert none["entries_matched"].sum() == 0


@given(CAPTIONS, st.integers(1, 5))
@settings(max_examples=50)
def test_a_caption_with_a_rare_entry_stays_and_one_without_any_does_not(captions: list[str], limit: int) -> None:
    pairs = make_pairs(captions)
    kept = dict(balance_by_queries([pairs], limit).select("pair_id", "is_kept").iter_rows())
    held = [{word for word in WORDS[:5] if word in caption} for caption in captions]
    counts = Counter(word for words in held for word in words)

    for pair_id, words in zip(pairs["pair_id"], held, strict=True):
        if any(counts[word] <= limit for word in words):
            assert kept[pair_id]
        if not words:
            assert not kept[pair_id]


@pytest.mark.parametrize("limit", [50, 500, 4000])
def test_a_corpus_of_one_entry_keeps_about_the_limit(limit: int) -> None:
    pairs = make_pairs(["a dog"] * 20_000)

    told = balance_by_queries([pairs], limit)

    chance = limit / 20_000
    assert told["is_kept"].sum() == pytest.approx(limit, abs=4 * math.sqrt(20_000 * chance * (1 - chance)))
    assert told["keep_probability"].to_list() == pytest.approx([chance] * 20_000)
    assert set(told["rarest_entry_pairs"]) == {20_000}


def test_entries_draw_independently_of_one_another() -> None:
    pairs = make_pairs(["dog"] * 10_000 + ["cat"] * 10_000 + ["dog and cat"] * 10_000)

    told = balance_by_queries([pairs], 4000)  # 20,000 pairs each, so 0.2

    both = told["is_kept"][20_000:].sum()
    chance = 1 - 0.8 * 0.8
    assert both == pytest.approx(10_000 * chance, abs=4 * math.sqrt(10_000 * chance * (1 - chance)))
    assert told["keep_probability"][-1] == pytest.approx(chance)


def test_a_larger_limit_keeps_what_a_smaller_one_keeps() -> None:
    pairs = make_pairs(["dog and cat", "dog", "cat"] * 200)
    kept = [set(balance_by_queries([pairs], limit).filter("is_kept")["pair_id"]) for limit in (10, 40, 200, 1000)]

    assert kept[0] < kept[1] < kept[2] < kept[3]
    assert len(kept[3]) == 600


def test_pairs_without_an_entry_stay_if_asked() -> None:
    pairs = make_pairs(["nothing listed", "dog"])
    matcher = build_matcher(["dog"])
    counts = count_entries(pairs["caption"], matcher)

    told = draw_by_entries(pairs, matcher, counts, limit=1, seed=1, keeps_unmatched=True)

    assert told["is_kept"].to_list() == [True, True]
    assert told["entries_matched"].to_list() == [0, 1]


def walk_as_llava(held: dict[str, set[str]], floor: int, cap: int, order: dict[tuple[str, str], int]) -> set[str]:
    """Walk the phrases from the rarest, ties by text; add all pairs of each, or the first `cap` in a given order."""
    frequency = Counter(phrase for phrases in held.values() for phrase in phrases)
    pool: set[str] = set()
    for phrase in sorted(frequency, key=lambda phrase: (frequency[phrase], phrase)):
        if frequency[phrase] < floor:
            continue
        of_phrase = [pair for pair, phrases in held.items() if phrase in phrases]
        pool.update(sorted(of_phrase, key=lambda pair: order[pair, phrase])[:cap])
    return pool


@given(CAPTIONS, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60)
def test_noun_phrases_keep_the_pool_of_llavas_walk(captions: list[str], floor: int, cap: int) -> None:
    pairs = make_pairs(captions)
    links = list_phrase_links(pairs, RuleChunker(), seed=1)
    order = {(pair, phrase): rank for pair, phrase, rank in links.select("pair_id", "subject", "link_hash").iter_rows()}
    held = dict(zip(pairs["pair_id"], map(set, RuleChunker().chunk(captions)), strict=True))

    told = balance_by_phrases([pairs], floor, cap)

    assert set(told.filter("is_kept")["pair_id"]) == walk_as_llava(held, floor, cap, order)


def test_a_frequent_phrase_gives_its_cap_and_rare_ones_nothing() -> None:
    pairs = make_pairs(["a dog"] * 500 + ["the cat"] * 100 + ["an owl"] * 3 + ["a lighthouse"] * 2)

    told = balance_by_phrases([pairs], 3, 100).with_columns(pairs["caption"])

    kept = Counter(told.filter("is_kept")["caption"])
    assert kept == {"a dog": 100, "the cat": 100, "an owl": 3}
    assert set(told.filter(caption="a lighthouse")["entries_matched"]) == {0}
    assert told.filter(caption="a dog")["keep_probability"].to_list() == pytest.approx([0.2] * 500)


def test_concepts_keep_their_cap_and_an_unmeasured_picture_has_none() -> None:
    pairs = make_pairs(["x"] * 300)
    labels = pairs.select("pair_id", cluster=pl.Series([0] * 200 + [1] * 50 + [2] * 40 + [None] * 10, dtype=pl.Int64))
    ranked = rank_links(list_concept_links(labels, seed=1), floor=1)

    told = draw_by_ranks(pairs, ranked, cap=45, seed=1).with_columns(labels["cluster"])

    kept = Counter(told.filter("is_kept")["cluster"])
    assert kept == {0: 45, 1: 45, 2: 40}
    again = draw_by_ranks(pairs, rank_links(list_concept_links(labels, seed=2), floor=1), cap=45, seed=2)
    assert again["is_kept"].to_list() != told["is_kept"].to_list()


def test_what_is_left_out_is_cited_with_its_draw_and_chance() -> None:
    pairs = make_pairs(["a dog"] * 50 + ["unheard"])
    balance = (
        pl.concat([balance_by_queries([pairs], 5)])
        .with_columns(method=pl.lit("queries"), subjects_from=pl.lit("entries"))
        .select(IMAGE_BALANCE.column_names)
    )

    removals = cite_balance(IMAGE_BALANCE.conform(balance))

    assert set(removals["pair_id"]) == set(balance.filter(~pl.col("is_kept"))["pair_id"])
    assert set(removals["rule"]) == {"metaclip_query_balance"}
    told = removals.join(balance, on="pair_id", how="left")
    assert told["value"].to_list() == told["draw"].to_list()
    assert told["high"].to_list() == told["keep_probability"].to_list()
    assert (removals["value"] > removals["high"]).all()
    assert removals.filter(pl.col("high") == 0)["value_text"].to_list() == [None]
    for method, rule in (("noun_phrases", "llava_noun_phrase_balance"), ("concepts", "mmpipe_concept_balance")):
        assert set(cite_balance(balance.with_columns(method=pl.lit(method)))["rule"]) == {rule}
