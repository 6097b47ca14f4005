from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import InvariantBroken
from mmpipe.tables.keep import count_removed_by_rule, keep

ids = st.lists(st.integers(0, 40).map(str), unique=True, max_size=30)
rules = st.sampled_from(["short", "long", "loud"])


@given(ids, st.data())
def test_rows_in_are_rows_kept_plus_distinct_rows_removed(row_ids: list[str], data: st.DataObject) -> None:
    failing = data.draw(st.lists(st.tuples(st.sampled_from(row_ids), rules), max_size=40)) if row_ids else []
    rows = pl.DataFrame({"id": row_ids}, schema={"id": pl.String})
    removals = pl.DataFrame(failing, schema={"id": pl.String, "rule": pl.String}, orient="row")

    kept = keep(rows, removals, key="id")

    assert kept.rows_in == kept.frame.height + kept.rows_removed
    assert set(kept.frame["id"]) == set(row_ids) - {name for name, _ in failing}
    assert kept.frame["id"].to_list() == [name for name in row_ids if name not in {failed for failed, _ in failing}]


def test_a_row_that_fails_two_rules_counts_under_both_and_once() -> None:
    removals = pl.DataFrame({"id": ["a", "a", "b"], "rule": ["short", "loud", "short"]})

    kept = keep(pl.DataFrame({"id": ["a", "b", "c"]}), removals, key="id")

    assert kept.removed_by_rule == {"short": 2, "loud": 1}
    assert (kept.rows_in, kept.rows_removed, kept.frame.height) == (3, 2, 1)


@pytest.mark.parametrize(
    ("row_ids", "removed"),
    [(["a", "a"], []), (["a", None], []), (["a"], ["z"])],
    ids=["repeated id", "null id", "removal of a row that was never there"],
)
def test_rows_that_cannot_be_accounted_for_are_refused(row_ids: list[str], removed: list[str]) -> None:
    removals = pl.DataFrame({"id": removed, "rule": ["x"] * len(removed)}, schema={"id": pl.String, "rule": pl.String})

    with pytest.raises(InvariantBroken):
        keep(pl.DataFrame({"id": row_ids}, schema={"id": pl.String}), removals, key="id")


def test_rules_are_counted_most_first_then_by_name() -> None:
    removals = pl.DataFrame({"id": ["a", "b", "a", "a"], "rule": ["z", "z", "b", "a"]})

    assert list(count_removed_by_rule(removals, key="id").items()) == [("z", 2), ("a", 1), ("b", 1)]
