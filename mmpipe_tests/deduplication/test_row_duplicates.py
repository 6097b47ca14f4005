"""Near-duplicate rows: every pair near enough is found, what goes goes for one that stays, order changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.deduplication.minhash import shingle_texts
from mmpipe.deduplication.row_duplicates import (
    INSTRUCTION_MINHASH,
    ROW_DUPLICATES,
    find_embedded_duplicates,
    find_row_duplicates,
)
from mmpipe.deduplication.semantic import SemanticSettings
from mmpipe.errors import SchemaError

WORDS = ["write", "list", "the", "a", "sea", "poem", "of", "facts"]
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(" ".join),
    max_size=12,
)
#: Finds every pair that shares a shingle or two, so that only the similarity decides.
SURE = replace(INSTRUCTION_MINHASH, bands=256, rows=1, verify_jaccard=0.5)


def frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"i{place:02}" for place in range(len(texts))], "text": texts},
        schema_overrides={"text": pl.String, "id": pl.String},
    )


def jaccard(one: str, other: str) -> float:
    values, starts = shingle_texts([one, other], SURE.shingling)
    left, right = set(values[: starts[1]].tolist()), set(values[starts[1] :].tolist())
    return len(left & right) / len(left | right)


def test_a_variant_goes_for_the_row_of_better_rank() -> None:
    rows = frame(
        [
            "Write a short poem about the deep blue sea at night.",
            "Write a short poem about the deep blue sea at night!",
            "write a SHORT poem about the deep blue sea at night please",
            "List three renewable sources of energy.",
        ]
    ).with_columns(rank=pl.Series([2, 1, 3, 4]))
    found = find_row_duplicates(rows)
    assert found.schema == ROW_DUPLICATES
    assert found.rows() == [("i00", "i01", "minhash", 1.0), ("i02", "i01", "minhash", 0.9)]


@given(TEXTS, st.randoms(use_true_random=False))
def test_what_stays_is_apart_and_what_goes_is_near_one_that_stays(texts: list[str], random: object) -> None:
    rows = frame(texts)
    found = find_row_duplicates(rows, SURE)
    text = dict(rows.iter_rows())
    goes = dict(found.select("id", "kept_id").iter_rows())
    stays = [name for name in text if name not in goes]
    assert set(goes.values()) <= set(stays)
    for name, kept, _, similarity in found.iter_rows():
        assert similarity == pytest.approx(jaccard(text[name], text[kept]))
        assert similarity >= 0.5
    assert all(jaccard(text[one], text[other]) < 0.5 for place, one in enumerate(stays) for other in stays[place + 1 :])
    shuffled = rows.sample(fraction=1, shuffle=True, seed=random.randrange(1000))  # type: ignore[attr-defined]
    assert find_row_duplicates(shuffled, SURE).equals(found)


def test_texts_without_words_are_nobodys_duplicates() -> None:
    assert find_row_duplicates(frame(["", "", "...", "a", "a"])).height == 1
    assert find_row_duplicates(frame([])).height == 0


def test_chinese_variants_are_found() -> None:
    rows = frame(["请写一首关于大海和月亮的短诗", "请写一首关于大海和月亮的短诗吧", "列出三种可再生能源的优点"])
    assert find_row_duplicates(rows).height == 1


def test_what_means_the_same_goes(tmp_path: Path) -> None:
    rows = frame(["a", "b", "c", "d"]).with_columns(rank=pl.Series([3, 1, 0, 2]))
    vectors = np.array([[1, 0.01], [1, 0], [0, 1], [0, 0]], dtype=np.float32)
    found = find_embedded_duplicates(rows, vectors, SemanticSettings(epsilon=0.05, clusters=1), scratch=tmp_path)
    assert found.select("id", "kept_id", "method").rows() == [("i00", "i01", "embedding")]
    assert found["similarity"][0] == pytest.approx(1 / np.sqrt(1.0001), abs=1e-6)
    assert list(tmp_path.iterdir()) == []
    order = [2, 0, 3, 1]
    again = find_embedded_duplicates(
        rows[order], vectors[order], SemanticSettings(epsilon=0.05, clusters=1), scratch=tmp_path
    )
    assert again.equals(found)


def test_rows_must_have_an_id_and_a_text_each() -> None:
    with pytest.raises(SchemaError, match="i00 stands there twice"):
        find_row_duplicates(pl.DataFrame({"id": ["i00", "i00"], "text": ["a", "b"]}))
    with pytest.raises(SchemaError, match="1 have no text"):
        find_row_duplicates(pl.DataFrame({"id": ["i00", "i01"], "text": ["a", None]}))
