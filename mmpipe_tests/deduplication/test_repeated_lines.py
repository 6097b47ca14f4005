"""Repeated lines: what is cut stands elsewhere, what stays is whole, and counting by hand finds the same."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.line_normalization import LINE_DIALECTS, LineDialect
from mmpipe.deduplication.line_spans import C4_LINES, C4_SPANS, CCNET, ROOTS_TEMPLATES, LineSettings, cut_into_spans
from mmpipe.deduplication.repeated_lines import LINE_SPANS, find_repeated_lines, write_line_hashes
from mmpipe.errors import ConfigurationError, SchemaError

MARKS = re.compile("[，。、„”“«»」「《》´∶：？！（）；–—．～’…━〈〉【】％►\x00-\x1f\x7f-\x9f]")


def normalize(line: str, dialect: LineDialect) -> str:
    """The dialects, told with Python's own means."""
    if dialect == "exact":
        return line.strip()
    line = line.strip().lower()
    if dialect == "ccnet_code":
        return MARKS.sub("", re.sub(r"\d", "0", line))
    if dialect == "ccnet_paper":
        bare = (c for c in unicodedata.normalize("NFD", line) if unicodedata.category(c) != "Mn")
        line = re.sub(r"\d", "0", unicodedata.normalize("NFC", "".join(bare)))
        categories = [(c, unicodedata.category(c)) for c in line]
        kept = [c for c, category in categories if c.isspace() or (category[0] != "P" and category != "Cc")]
        return " ".join("".join(kept).split())
    return line


def frame_of(texts: list[str], ranks: list[int] | None = None) -> pl.DataFrame:
    rows = [(f"d{number:03d}", number if ranks is None else ranks[number], text) for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "rank": pl.Int64, "text": pl.String}, orient="row")


def cut(frame: pl.DataFrame, spans: pl.DataFrame) -> dict[str, str]:
    texts = dict(frame.select("doc_id", "text").iter_rows())
    for doc_id, start, end in spans.sort("start", descending=True).select("doc_id", "start", "end").iter_rows():
        texts[doc_id] = texts[doc_id][:start] + texts[doc_id][end:]
    return texts


LINES = st.sampled_from(
    ["Home", "home ", "HOME", " Über uns", "uber uns", "u\u0308ber UNS", "12 May", "99 may", "a-b", "ab", "“q”", "q",
     "", "  ", "\u3000", "…", "日本語。", "日本語", "हिन्दी", "x\ty", "x y", "x  y", "Σ", "😀", "a\x00b", "１２", "–"]
)  # fmt: skip
TEXTS = st.lists(st.lists(LINES, max_size=6).map("\n".join), max_size=8)


@given(TEXTS, st.sampled_from(LINE_DIALECTS), st.sampled_from(["first", "none"]), st.integers(1, 4), st.integers(2, 3),
       st.integers(0, 99), st.integers(100, 2000))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_lines_are_those_that_counting_by_hand_finds(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], dialect: LineDialect, keep: str, least: int,
    often: int, order: int, memory: int,
) -> None:  # fmt: skip
    options = LineSettings(dialect=dialect, keep=keep, least_characters=least, least_occurrences=often)  # type: ignore[arg-type]
    scratch = tmp_path_factory.mktemp("scratch")
    frame = frame_of(texts)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=order)
    found = find_repeated_lines(shuffled.lazy(), options, scratch=scratch, memory_bytes=memory, texts=frame)
    places: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for number, text in enumerate(texts):
        start = 0
        for line in text.split("\n"):
            end = min(len(text), start + len(line) + 1)
            if len(normal := normalize(line, dialect)) >= least:
                places[normal].append((f"d{number:03d}", start, end))
            start = end
    expected = []
    for same in places.values():
        if len(same) >= often:
            kept = same[0] if keep == "first" else (None, None, None)
            expected += [(*place, *kept) for place in same[keep == "first" :]]
    assert found.rows() == sorted(expected)
    assert found.schema == LINE_SPANS
    assert not list(scratch.iterdir())


SENTENCES = st.lists(st.sampled_from(["A b.", "C!", "D e? ", "F。", "g", "A b.\n", "...", "H i.\n\n"]), max_size=14)


@given(st.lists(SENTENCES.map(" ".join), max_size=5), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_of_every_repeated_span_of_sentences_one_stays_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], together: int, order: int
) -> None:
    options = replace(C4_SPANS, units_per_span=together)
    scratch = tmp_path_factory.mktemp("scratch")
    frame = frame_of(texts)
    found = find_repeated_lines(frame, options, scratch=scratch, texts=frame)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=order)
    assert found.equals(find_repeated_lines(shuffled.lazy(), options, scratch=scratch, memory_bytes=500))
    places = defaultdict(list)
    for number, text in enumerate(texts):
        spans = cut_into_spans([text], options)
        for start, end, key in zip(spans.starts, spans.ends, spans.hashes.tolist(), strict=True):
            places[tuple(key)].append((f"d{number:03d}", int(start), int(end)))
    gone = {name: set() for name in frame["doc_id"]}
    for doc_id, start, end in found.select("doc_id", "start", "end").iter_rows():
        assert not gone[doc_id] & set(range(start, end)), "spans overlap"
        gone[doc_id] |= set(range(start, end))
    whole = {name: set() for name in frame["doc_id"]}
    asked = {name: set() for name in frame["doc_id"]}
    for same in places.values():
        if len(same) > 1:
            whole[same[0][0]] |= set(range(same[0][1], same[0][2]))
            for doc_id, start, end in same[1:]:
                asked[doc_id] |= set(range(start, end))
    assert gone == {name: asked[name] - whole[name] for name in gone}


@pytest.mark.parametrize(
    ("unit", "text", "pieces"),
    [
        ("line", "a\n\nb", ["a\n", "b"]),
        ("paragraph", "\n a\nb\n \n\nc\n\nd", [" a\nb\n \n\n", "c\n\n", "d"]),
        ("sentence", 'He said "No." Then 3.5 left!! 日本。語 x\ny',
         ['He said "No." ', "Then 3.5 left!! ", "日本。", "語 x\n", "y"]),
        ("sentence", "one\n\n\ntwo...  three", ["one\n\n\n", "two...  ", "three"]),
    ],
)  # fmt: skip
def test_units(unit: str, text: str, pieces: list[str]) -> None:
    spans = cut_into_spans([text], LineSettings(unit=unit))  # type: ignore[arg-type]
    assert [text[start:end] for start, end in zip(spans.starts, spans.ends, strict=True)] == pieces


def test_the_hash_is_xxh3_of_the_normal_form(tmp_path: Path) -> None:
    frame = frame_of(["Ünï 12!\nb", "B", ""])
    count = write_line_hashes(frame.lazy(), LineSettings(), tmp_path / "hashes", scratch=tmp_path / "scratch")
    low = [xxhash.xxh3_128_intdigest(form) & (2**64 - 1) for form in (b"uni 00", b"b")]
    assert np.fromfile(tmp_path / "hashes", "<u8").tolist() == sorted(low)
    assert count == 2


def test_what_an_earlier_dump_has_goes_everywhere(tmp_path: Path) -> None:
    earlier, frame = frame_of(["Menu\nnews"]), frame_of(["menu\nnew\nnew", "MENU"])
    write_line_hashes(earlier, LineSettings(), tmp_path / "hashes", scratch=tmp_path)
    published = np.memmap(tmp_path / "hashes", "<u8", mode="r")
    found = find_repeated_lines(frame, scratch=tmp_path, published=published, texts=frame)
    assert found.rows() == [("d000", 0, 5, None, None, None), ("d000", 9, 12, "d000", 5, 9),
                            ("d001", 0, 4, None, None, None)]  # fmt: skip
    nothing = np.empty(0, dtype=np.uint64)
    assert find_repeated_lines(frame, scratch=tmp_path, published=nothing).height == 2


def test_the_best_document_keeps_the_line(tmp_path: Path) -> None:
    found = find_repeated_lines(frame_of(["a", "a", "a"], [5, -3, 9]), scratch=tmp_path)
    assert found.select("doc_id", "kept_doc_id").rows() == [("d000", "d001"), ("d002", "d001")]


def test_sentences_found_elsewhere(tmp_path: Path) -> None:
    frame = frame_of(["Dr. No came. He left.", "He left. x"])
    given = frame.with_columns(unit_starts=pl.Series([[0, 13], [0, 9]]))
    found = find_repeated_lines(given, LineSettings(unit="sentence", dialect="lowercase"), scratch=tmp_path)
    assert found.rows() == [("d001", 0, 9, "d000", 13, 21)]
    for starts in ([[0, 30], [0]], [[0, 5, 5], [0]]):
        bad = frame.with_columns(unit_starts=pl.Series(starts))
        with pytest.raises(SchemaError, match="ascending places of a text of"):
            find_repeated_lines(bad, scratch=tmp_path)


def test_a_hash_that_lies_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpipe.deduplication import line_spans

    monkeypatch.setattr(line_spans.xxhash, "xxh3_128_digest", lambda _: b"0" * 16)
    frame = frame_of(["a\nb", "B", "c"])
    assert find_repeated_lines(frame, scratch=tmp_path).height == 3
    assert find_repeated_lines(frame, scratch=tmp_path, texts=frame).is_empty()


def test_hostile_texts(tmp_path: Path) -> None:
    texts = ["", "  \n\n ", "x" * 10_000_000, "X" * 10_000_000 + "\n", "\n" * 100_000, "\x00\n\x00", "x\r\ny", "X\ny"]
    found = find_repeated_lines(frame_of(texts), scratch=tmp_path)
    assert found.rows() == [
        ("d003", 0, 10_000_001, "d002", 0, 10_000_000), ("d007", 0, 2, "d006", 0, 3), ("d007", 2, 3, "d006", 3, 4)
    ]  # fmt: skip
    assert find_repeated_lines(frame_of([]), scratch=tmp_path).is_empty()
    lone = cut_into_spans(["\ud800 a\n\udfff", "\ud800  A"], LineSettings())
    assert lone.hashes[0].tolist() == lone.hashes[2].tolist() != lone.hashes[1].tolist()


def test_many_copies_cost_a_row_each(tmp_path: Path) -> None:
    assert find_repeated_lines(frame_of(["a b c\nd"] * 10_000), scratch=tmp_path).height == 19_998


def test_presets_and_settings() -> None:
    assert (C4_LINES.unit, C4_LINES.keep, C4_LINES.units_per_span) == ("line", "first", 1)
    assert (CCNET.keep, C4_SPANS.units_per_span, ROOTS_TEMPLATES.least_occurrences) == ("none", 3, 10)
    for wrong in ({"unit": "word"}, {"dialect": "ccnet"}, {"keep": "last"}, {"least_occurrences": 1},
                  {"units_per_span": 0}):  # fmt: skip
        with pytest.raises(ConfigurationError, match="Line settings"):
            LineSettings(**wrong)  # type: ignore[arg-type]


def test_equal_ranks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="rank 1 is given to d000 and to d001"):
        find_repeated_lines(frame_of(["a", "a", "a"], [1, 1, 2]), scratch=tmp_path)


@pytest.mark.real_data
def test_real_texts_lose_lines_that_stand_elsewhere(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz") as lines:
        texts = [text for line in lines if (text := json.loads(line)["gold_text"])]
    frame = frame_of(texts)
    found = find_repeated_lines(frame.lazy(), scratch=tmp_path, texts=frame)
    assert found.equals(find_repeated_lines(frame.lazy(), scratch=tmp_path, memory_bytes=1 << 18))
    cut_texts = cut(frame, found)
    before = {normalize(line, "ccnet_paper") for text in texts for line in text.split("\n")}
    after = [normal for text in cut_texts.values() for line in text.split("\n")
             if (normal := normalize(line, "ccnet_paper"))]  # fmt: skip
    assert found.height > 1000
    assert len(set(after)) == len(after)
    assert set(after) == before - {""}
