"""Splits: no group is parted, whatever ties it, and nothing depends on order or machine."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release.conversations import render_conversations
from mmpipe.release.preference_pairs import render_preferences
from mmpipe.release.splits import SPLITS, assign_splits, find_straddling, list_group_keys
from mmpipe_tests.release.rows import FILES, INSTRUCTIONS, PAIRS

SHARES = {"train": 0.7, "validation": 0.3}


def make_rows(keys: list[list[str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"r{n}" for n in range(len(keys))], "group_keys": keys},
        schema={"id": pl.String, "group_keys": pl.List(pl.String)},
    )


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=3), max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_rows_tied_by_any_chain_stay_together(keys: list[list[str]], shuffler: random.Random) -> None:
    rows = make_rows(keys)
    splits = assign_splits(rows, SHARES, seed=1)
    assert splits.schema == SPLITS
    assert splits["id"].to_list() == rows["id"].to_list()
    assert find_straddling(splits, rows).is_empty()
    # groups are exactly the connected ones: flood fill says which
    groups = splits["split_group"].to_list()
    for place in range(len(keys)):
        reached, border = {place}, {place}
        while border:
            tied = {key for row in border for key in keys[row]}
            border = {row for row, own in enumerate(keys) if tied & set(own)} - reached
            reached |= border
        assert {row for row, group in enumerate(groups) if group == groups[place]} == reached
        assert len({splits["split"][row] for row in reached}) == 1
    order = list(range(len(keys)))
    shuffler.shuffle(order)
    again = assign_splits(rows[order], SHARES, seed=1)
    assert again.sort("id").equals(splits.sort("id"))


def test_shares_hold_over_many_groups() -> None:
    rows = make_rows([[f"user:{n}"] for n in range(6000)])
    counts = dict(assign_splits(rows, SHARES, seed=2)["split"].value_counts().iter_rows())
    assert abs(counts["validation"] / 6000 - 0.3) < 0.03
    assert not assign_splits(rows, SHARES, seed=3).equals(assign_splits(rows, SHARES, seed=2))


def test_more_rows_of_a_known_group_leave_it_where_it_was() -> None:
    rows = make_rows([[f"user:{n}"] for n in range(50)])
    more = pl.concat([rows, rows.with_columns(id=pl.format("{}-again", "id"))])
    split = dict(assign_splits(rows, SHARES, seed=2).select("split_group", "split").iter_rows())
    grown = assign_splits(more, SHARES, seed=2)
    assert grown.filter(pl.col("split") != pl.col("split_group").replace_strict(split)).is_empty()


def test_what_straddles_is_found() -> None:
    rows = make_rows([["a"], ["a", "b"], ["b"], []])
    parted = pl.DataFrame({"id": ["r0", "r1", "r2", "r3"], "split": ["train", "train", "validation", "train"]})
    assert find_straddling(parted, rows).rows() == [("b", ["train", "validation"])]


def test_released_rows_name_what_ties_them() -> None:
    conversations = render_conversations(INSTRUCTIONS, FILES)
    keys = dict(list_group_keys(conversations).iter_rows())
    assert keys == {"i1": ["parent:deduped_corpus:d"], "i2": ["parent:deduped_corpus:d", "image:p1.png"]}
    assert dict(list_group_keys(conversations, ["filtered_image_pairs"]).iter_rows()) == {
        "i1": [],
        "i2": ["image:p1.png"],
    }
    pairs = list_group_keys(render_preferences(PAIRS, INSTRUCTIONS, FILES))
    assert pairs.row(0)[1][0] == "group_id:i1"
    users = pl.DataFrame({"id": ["x", "y"], "user_id": [7, None], "images": [["a.png"], None]})
    assert dict(list_group_keys(users).iter_rows()) == {"x": ["user_id:7", "image:a.png"], "y": []}
    assert list_group_keys(users.select("id"))["group_keys"].to_list() == [[], []]


@pytest.mark.parametrize(
    ("shares", "said"),
    [({"train": 0.5}, "make 1, not 0.5"), ({"train": 1.0, "validation": 0.0}, "'validation' must be above 0")],
)
def test_shares_that_are_none_are_refused(shares: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        assign_splits(make_rows([[]]), shares, seed=1)


def test_repeated_ids_and_no_rows() -> None:
    with pytest.raises(InvariantBroken, match="row r0 stands there more than once"):
        assign_splits(pl.concat([make_rows([["a"]])] * 2), SHARES, seed=1)
    assert assign_splits(make_rows([]), SHARES, seed=1).schema == SPLITS
