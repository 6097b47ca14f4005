"""What several methods say of one prompt: whatever their order, nothing twice and nothing against itself."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.comparison_groups import find_fallen, key_pairs, name_method
from mmpipe.synthesis.comparisons import ComparisonSettings, compare_ranked

_TEXTS = st.sampled_from(["a", "b", "c", " a", "a  b"])
_PAIRS = st.lists(
    st.tuples(st.sampled_from(["p", "q"]), _TEXTS, _TEXTS).filter(lambda row: row[1].split() != row[2].split()),
    max_size=14,
)


def make_pairs(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    named = [(f"{place:02}", *row) for place, row in enumerate(rows)]
    return pl.DataFrame(
        named, schema=dict.fromkeys(("pair_id", "group_id", "chosen", "rejected"), pl.String), orient="row"
    )


def squeeze(row: Any) -> tuple[str, str, str]:
    return row[1], " ".join(row[2].split()), " ".join(row[3].split())


@given(_PAIRS, st.randoms(use_true_random=False))
def test_settled_pairs_repeat_and_deny_nothing_in_any_order(rows: list[tuple[str, str, str]], draw: Any) -> None:
    pairs = make_pairs(rows)
    order = list(range(pairs.height))
    draw.shuffle(order)
    fallen = find_fallen(key_pairs(pairs))
    assert find_fallen(key_pairs(pairs[order])).equals(fallen)

    settled = pairs.join(fallen, on="pair_id", how="anti")
    assert fallen["pair_id"].is_unique().all()
    said = [squeeze(row) for row in settled.iter_rows()]
    assert len(set(said)) == len(said)
    assert not {(group, worse, better) for group, better, worse in said} & set(said)
    # what nobody repeats or denies stays
    every = [squeeze(row) for row in pairs.iter_rows()]
    denied = {(group, worse, better) for group, better, worse in every}
    assert set(said) == set(every) - denied
    # each is told the pair it falls for
    words = {row[0]: squeeze(row) for row in pairs.iter_rows()}
    for pair_id, reason, other_id in fallen.iter_rows():
        group, better, worse = words[pair_id]
        if reason == "repeated_pair":
            assert words[other_id] == (group, better, worse)
            assert other_id < pair_id
            assert other_id in settled["pair_id"].to_list()
        else:
            assert words[other_id] == (group, worse, better)


def test_pairs_of_another_name_have_ids_of_their_own() -> None:
    answers = pl.DataFrame(
        {
            "prompt_id": ["p"] * 3,
            "prompt": ["P"] * 3,
            "answer_id": list("abc"),
            "answer": list("xyz"),
            "score": [1.0, 2, 3],
        }
    )
    made = compare_ranked(answers, ComparisonSettings())
    named = name_method(made, "other")

    assert set(named.frame["method"]) == {"other"}
    assert not set(named.frame["pair_id"]) & set(made.frame["pair_id"])
    assert named.frame["pair_id"].n_unique() == 3
    assert named.planned == made.planned
