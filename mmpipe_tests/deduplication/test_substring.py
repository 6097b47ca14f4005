"""Exact substrings: what a look at every window finds, whatever the order, the shards, the memory and the workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.deduplication import substring_fingerprints
from mmpipe.deduplication.substring import find_repeats
from mmpipe.deduplication.substring_settings import SubstringSettings
from mmpipe.deduplication.substring_spans import cut_documents, cut_spans
from mmpipe.errors import SchemaError

Corpus = list[str]


def frame_of(texts: Corpus, prefix: str = "doc", ranks: list[int] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [f"{prefix}-{i:04d}" for i in range(len(texts))],
            "rank": list(range(len(texts))) if ranks is None else ranks,
            "text": texts,
        },
        schema={"doc_id": pl.String, "rank": pl.Int64, "text": pl.String},
    )


def find(frames: list[pl.DataFrame], settings: SubstringSettings, **knobs: Any) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as scratch:
        return find_repeats(frames, settings, scratch=Path(scratch), **knobs)


def look_at_every_window(texts: Corpus, length: int, keep: str = "first") -> list[set[int]]:
    """Return the characters of each text that are cut, from what the module's docstring says; earlier text is first."""
    units = [text.encode() for text in texts]
    first: dict[bytes, tuple[int, int]] = {}
    count: dict[bytes, int] = {}
    for document, text in enumerate(units):
        for at in range(len(text) - length + 1):
            window = text[at : at + length]
            first.setdefault(window, (document, at))
            count[window] = count.get(window, 0) + 1
    cut = []
    for document, (text, words) in enumerate(zip(units, texts, strict=True)):
        stays = np.zeros(len(text), dtype=bool)
        runs: list[list[int]] = []
        before: tuple[int, int] | None = None
        for at in range(len(text) - length + 1):
            window = text[at : at + length]
            source = first[window] if count[window] > 1 else None
            if source == (document, at) and keep == "first":
                stays[at : at + length] = True
                source = None
            if source is not None:
                if before is not None and source == (before[0], before[1] + 1):
                    runs[-1][1] += 1
                else:
                    runs.append([at, at + length])
            before = source
        removed = set()
        begin = 0
        for index, character in enumerate(words):
            end = begin + len(character.encode())
            if not stays[begin:end].any() and any(run[0] <= begin and end <= run[1] for run in runs):
                removed.add(index)
            begin = end
        cut.append(removed)
    return cut


def characters_of(spans: pl.DataFrame, texts: Corpus, prefix: str = "doc") -> list[set[int]]:
    cut: list[set[int]] = [set() for _ in texts]
    for doc_id, start, end in spans.select("doc_id", "start", "end").iter_rows():
        assert doc_id.startswith(prefix)
        span = set(range(start, end))
        assert span
        assert not span & cut[int(doc_id[-4:])]
        cut[int(doc_id[-4:])] |= span
    return cut


def check_kept(spans: pl.DataFrame, texts: dict[str, str]) -> None:
    """Every span equals text that no span takes."""
    taken: dict[str, set[int]] = {}
    for row in spans.iter_rows(named=True):
        taken.setdefault(row["doc_id"], set()).update(range(row["start"], row["end"]))
    for row in spans.iter_rows(named=True):
        kept = texts[row["kept_doc_id"]][row["kept_start"] : row["kept_end"]]
        assert texts[row["doc_id"]][row["start"] : row["end"]] == kept
        assert not taken.get(row["kept_doc_id"], set()) & set(range(row["kept_start"], row["kept_end"]))


few_letters = st.text(alphabet="ab", max_size=40)
wide_letters = st.text(alphabet="aé€😀", max_size=20)
periodic = st.builds(lambda part, times, tail: part * times + tail, st.text("ab", max_size=6), st.integers(0, 12), few_letters)
corpora = st.lists(few_letters | wide_letters | periodic, max_size=6)


@given(corpora, st.integers(2, 12), st.sampled_from(["first", "none"]))
def test_spans_are_those_that_a_look_at_every_window_finds(texts: Corpus, length: int, keep: Any) -> None:
    spans = find([frame_of(texts)], SubstringSettings(least_length=length, keep=keep))
    assert characters_of(spans, texts) == look_at_every_window(texts, length, keep)
    if keep == "first":
        check_kept(spans, dict(zip(frame_of(texts)["doc_id"], texts, strict=True)))
    else:
        assert spans["kept_doc_id"].null_count() == spans.height
