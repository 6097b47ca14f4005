"""Lists of entries are made from a corpus, titles and WordNet, with their limits, sources and licences."""

from __future__ import annotations

import gzip
import json
import math
import re
import unicodedata
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

import mmpipe.sampling.entry_building as building
from mmpipe.commands.entries import EntrySource, build_entries
from mmpipe.errors import ConfigurationError
from mmpipe.filtering.list_files import ListTally, read_entries
from mmpipe.filtering.list_references import ListReference
from mmpipe.sampling.entry_building import EntryLimits
from mmpipe.storage.lake import Lake
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish

WORDNET = """  1 This software and database is being provided to you, the LICENSEE
  2 by Princeton University
dog n 7 5 @ ~ #m #p % 7 1 02086723 10133978
hot_dog n 3 1 @ 3 1 10207169
# n 1 0 1 0 00000000
"""


def write_texts(folder: Path) -> Path:
    # 2,400 words, so 120 times each: `new` and `york` always follow one another, the rest is chance
    filler = [f"word{number % 18}" for number in range(2160)]
    texts = [f"new york {' '.join(filler[number * 18 : number * 18 + 18])}" for number in range(120)]
    path = folder / "texts.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_words_and_bigrams_reach_their_limits(tmp_path: Path) -> None:
    limits = EntryLimits(word_count=100, bigram_count=20, bigram_association=19.5)

    built = build_entries(tmp_path / "out.txt", corpora=[EntrySource(write_texts(tmp_path), "CC0")], limits=limits)

    values = pl.read_parquet(built.values)
    found = {row["entry"]: row for row in values.iter_rows(named=True)}
    assert found["new"]["word_count"] == 120
    # P(xy) / (P(x) P(y)) = (120 / 2400) / (120 / 2400)^2 = 20, for each of the 19 neighbours in a text
    assert found["new york"]["association"] == pytest.approx(20)
    assert found["new york"]["bigram_count"] == 120
    assert "word17 new" not in found, "texts are no neighbours"
    assert built.by_source == {"words": 20, "bigrams": 19, "titles": 0, "synsets": 0}
    none = EntryLimits(word_count=121, bigram_count=20)
    assert (
        build_entries(tmp_path / "none.txt", corpora=[EntrySource(tmp_path / "texts.txt", "CC0")], limits=none).entries
        == 0
    )


def test_titles_and_synsets_are_entries_and_what_no_list_can_hold_is_counted(tmp_path: Path) -> None:
    (tmp_path / "wn").mkdir()
    (tmp_path / "wn" / "index.noun").write_text(WORDNET, encoding="utf-8")
    (tmp_path / "titles.tsv").write_text("Eiffel_Tower\t69\nEiffel_Tower\t1\nObscure\t69\ndog\t70\n", encoding="utf-8")

    built = build_entries(
        tmp_path / "out.txt",
        titles=[EntrySource(tmp_path / "titles.tsv", "CC0, Wikimedia")],
        wordnet=[EntrySource(tmp_path / "wn", "WordNet licence,\nPrinceton")],
    )

    lines = built.file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["Eiffel Tower", "dog", "hot dog"]
    assert "# Source: wn; licence: WordNet licence, Princeton" in lines
    assert built.left_out == 1
    record = json.loads(built.record.read_text(encoding="utf-8"))
    assert record["by_source"] == {"words": 0, "bigrams": 0, "titles": 2, "synsets": 2}
    assert set(record["sha256"]) == {"index.noun", "titles.tsv"}
    tally = ListTally()
    read = list(read_entries(ListReference(list=str(built.file), path=str(built.file)), str.strip, tally))
    assert read == ["Eiffel Tower", "dog", "hot dog"]
    assert tally.broken == 0


def test_counts_are_the_same_in_parts_as_at_once(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["gold_text"] or "" for line in lines][:400]
    # a plain expression knows no combining marks
    texts = [text for text in texts if not any(unicodedata.category(letter)[0] == "M" for letter in text)]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "texts.parquet")
    source = [EntrySource(tmp_path / "texts.parquet", "see its README")]
    limits = EntryLimits(word_count=30, bigram_count=5)
    whole = build_entries(tmp_path / "whole.txt", corpora=source, limits=limits)
    monkeypatch.setattr(building, "_HELD_ROWS", 5_000)
    monkeypatch.setattr("mmpipe.commands.entries._BATCH_TEXTS", 37)

    parts = build_entries(tmp_path / "parts.txt", corpora=source, limits=limits)

    assert whole.file.read_bytes() == parts.file.read_bytes()
    # and both are what a plain count has
    counts = Counter(
        word for text in texts for word in re.findall(r"[^\W_]+(?:['’\-][^\W_]+)*", text) if word.isascii()
    )
    values = pl.read_parquet(whole.values).filter(pl.col("entry").str.contains(r"^[\x00-\x7f]+$"))
    found = dict(values.drop_nulls("word_count").select("entry", "word_count").iter_rows())
    assert found == {word: count for word, count in counts.items() if count >= 30}
    assert whole.by_source["bigrams"] > 100


def test_the_lakes_own_corpus_is_counted_dump_by_dump(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    for dump, text in (("d1", "a red barn"), ("d2", "a red barn and a dog")):
        rows = [{"doc_id": f"{dump}{number}", "text": text} for number in range(60)]
        publish(lake, DEDUPED_CORPUS, dump, fill_rows(DEDUPED_CORPUS, rows))
    limits = EntryLimits(bigram_association=1.5)

    whole = build_entries(tmp_path / "whole.txt", lake=lake, lake_licence="as its pages", limits=limits)
    one = build_entries(tmp_path / "one.txt", lake=lake, dumps=["d2"], limits=limits)

    counts = dict(pl.read_parquet(whole.values).drop_nulls("word_count").select("entry", "word_count").iter_rows())
    assert counts == {"a": 180, "red": 120, "barn": 120}
    assert "# Source: deduped_corpus of the lake; licence: as its pages" in whole.file.read_text(encoding="utf-8")
    assert one.by_source["words"] == 1, "of 60 documents only `a` occurs 100 times"
    with pytest.raises(ConfigurationError, match="no deduped_corpus of 'd3'"):
        build_entries(tmp_path / "none.txt", lake=lake, dumps=["d3"])


def test_a_limit_in_bits_that_nothing_can_reach_stops(tmp_path: Path) -> None:
    limits = EntryLimits(measure="pmi_bits")

    with pytest.raises(ConfigurationError, match=f"more than {math.log2(2400 / 20):.1f} bits"):
        build_entries(tmp_path / "out.txt", corpora=[EntrySource(write_texts(tmp_path), "CC0")], limits=limits)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("missing.txt", "is not there"),
        ("texts.csv", "ends in '.csv'"),
        ("texts.jsonl", "no column 'text'. Did you mean 'texts'"),
    ],
)
def test_sources_that_cannot_be_read_stop_by_name(tmp_path: Path, source: str, problem: str) -> None:
    (tmp_path / "texts.csv").write_text("text\n", encoding="utf-8")
    (tmp_path / "texts.jsonl").write_text('{"texts": "a dog"}\n', encoding="utf-8")

    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        build_entries(tmp_path / "out.txt", corpora=[EntrySource(tmp_path / source, "CC0")])


def test_a_source_without_a_licence_and_no_source_at_all_stop(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least one source"):
        build_entries(tmp_path / "out.txt")
    with pytest.raises(ConfigurationError, match="state the licence"):
        build_entries(tmp_path / "out.txt", corpora=[EntrySource(write_texts(tmp_path), " ")])
    (tmp_path / "titles.tsv").write_text("no views\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 1"):
        build_entries(tmp_path / "out.txt", titles=[EntrySource(tmp_path / "titles.tsv", "CC0")])
