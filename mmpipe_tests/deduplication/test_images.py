from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.deduplication.images import count_earlier_matches, find_repeated_pairs
from mmpipe.tables.removals import IMAGE_REMOVALS

ROWS = st.lists(
    st.tuples(st.sampled_from(["aa", "bb", None]), st.sampled_from(["cat", " cat", "a  cat", "a cat"])), max_size=12
)


def make_pairs(rows: list[tuple[str | None, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(f"p{number:02}", phash, caption) for number, (phash, caption) in enumerate(rows)],
        schema={"pair_id": pl.String, "phash": pl.String, "caption": pl.String},
        orient="row",
    )


@given(ROWS, st.randoms(use_true_random=False))
def test_counts_are_those_of_the_definition_whatever_the_order(rows, random) -> None:
    pairs = make_pairs(rows)
    expected = {
        f"p{place:02}": None
        if phash is None
        else sum(1 for p, c in rows[:place] if p == phash and c.split() == caption.split())
        for place, (phash, caption) in enumerate(rows)
    }
    order = list(range(pairs.height))
    random.shuffle(order)
    assert dict(count_earlier_matches(pairs[order]).iter_rows()) == expected


@given(ROWS)
def test_one_pair_of_each_picture_and_caption_stays(rows) -> None:
    pairs = make_pairs(rows)
    removals = IMAGE_REMOVALS.conform(find_repeated_pairs(pairs))
    distinct = {(phash, tuple(caption.split())) for phash, caption in rows if phash}
    assert sum(phash is not None for phash, _ in rows) - removals.height == len(distinct)
    assert removals.height == removals.get_column("pair_id").n_unique()


def test_removal_tells_the_value_and_the_limit() -> None:
    removals = find_repeated_pairs(make_pairs([("aa", "cat"), ("aa", "cat"), ("aa", "dog"), ("aa", " cat ")]))
    assert removals.select("pair_id", "rule", "value", "high").rows() == [
        ("p01", "coyo_duplicate_pair", 1.0, 0.0),
        ("p03", "coyo_duplicate_pair", 2.0, 0.0),
    ]
