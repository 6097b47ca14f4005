"""Exact substrings: what a look at every window finds, whatever the order, the shards, the memory and the workers."""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from mmpipe.deduplication import substring_fingerprints
from mmpipe.deduplication.substring import find_repeats
from mmpipe.deduplication.substring_index import SubstringIndex, write_substring_index
from mmpipe.deduplication.substring_settings import SubstringSettings
from mmpipe.deduplication.substring_spans import (
    SPANS,
    cut_documents,
    cut_spans,
    is_short_after_cuts,
    removals_of_short,
)
from mmpipe.errors import ConfigurationError, DatasetNotReady, SchemaError
from mmpipe_tests.peers import find_peer

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


def look_at_every_window(texts: Corpus, length: int, keep: str = "first", overlaps: str = "keep") -> list[set[int]]:
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
                stays[at : at + length] |= overlaps == "keep"
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
periodic = st.builds(
    lambda part, times, tail: part * times + tail,
    st.text("ab", max_size=6) | st.text("a€😀", max_size=4),
    st.integers(0, 12),
    few_letters,
)
corpora = st.lists(few_letters | wide_letters | periodic, max_size=6)


@given(corpora, st.integers(2, 12), st.sampled_from(["first", "none"]))
def test_spans_are_those_that_a_look_at_every_window_finds(texts: Corpus, length: int, keep: Any) -> None:
    spans = find([frame_of(texts)], SubstringSettings(least_length=length, keep=keep))
    assert characters_of(spans, texts) == look_at_every_window(texts, length, keep)
    if keep == "first":
        check_kept(spans, dict(zip(frame_of(texts)["doc_id"], texts, strict=True)))
    else:
        assert spans["kept_doc_id"].null_count() == spans.height


@pytest.mark.parametrize("length", [100, 510, 512, 700])
def test_lengths_and_documents_beyond_a_byte_and_a_block(length: int) -> None:
    chance = random.Random(length)
    texts = ["".join(chance.choices("ab", k=20_000)), "c" + "".join(chance.choices("ab", k=30))]
    texts += [texts[0][9000:9900] + "d" + texts[0][8100:8800], texts[0][8500 : 8500 + length], texts[0][:length][:-1]]
    spans = find([frame_of(texts)], SubstringSettings(least_length=length))
    assert characters_of(spans, texts) == look_at_every_window(texts, length)


@given(
    corpora,
    st.integers(2, 12),
    st.randoms(use_true_random=False),
    st.sampled_from([0, 1, 15, 2**64 - 1]),
    st.sampled_from([1, 2000, 1 << 28]),
    st.integers(1, 3),
)
def test_order_shards_memory_workers_and_hashes_do_not_show(
    texts: Corpus, length: int, chance: Any, mask: int, memory_bytes: int, workers: int
) -> None:
    frame = frame_of(texts, ranks=[number // 2 for number in range(len(texts))])
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=chance.randrange(1000)) if texts else frame
    edges = sorted(chance.randrange(len(texts) + 1) for _ in range(3))
    shards = [shuffled[a:b] for a, b in zip([0, *edges], [*edges, len(texts)], strict=True)]
    settings = SubstringSettings(least_length=length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(substring_fingerprints, "HASH_MASK", np.uint64(mask))
        found = find(shards, settings, memory_bytes=memory_bytes, workers=workers)
    assert found.equals(find([frame], settings))


@given(corpora, st.integers(2, 12))
def test_every_window_that_repeats_stays_whole_somewhere(texts: Corpus, length: int) -> None:
    frame = frame_of(texts)
    spans = find([frame], SubstringSettings(least_length=length))
    cut = characters_of(spans, texts)
    remains = [
        "".join("\0" if index in gone else character for index, character in enumerate(text)).encode()
        for text, gone in zip(texts, cut, strict=True)
    ]
    units = [text.encode() for text in texts]
    windows = Counter(text[at : at + length] for text in units for at in range(len(text) - length + 1))
    assert all(any(window in text for text in remains) for window, times in windows.items() if times > 1)
    after = cut_documents(frame, spans)
    assert after["text"].to_list() == [text.decode().replace("\0", "") for text in remains]
    assert after["cut_characters"].to_list() == [len(gone) for gone in cut]


@given(st.lists(st.text(min_size=12, max_size=60), max_size=8, unique=True))
def test_a_corpus_without_repeats_comes_out_byte_for_byte(texts: Corpus) -> None:
    # a letter of its own in every other place: no two units in a row stand twice
    numbered = [
        "".join(f"{character}{number:03d}{at:04d}" for at, character in enumerate(text))
        for number, text in enumerate(texts)
    ]
    frame = frame_of(numbered)
    spans = find([frame], SubstringSettings(least_length=24))
    assert spans.is_empty()
    assert cut_documents(frame, spans)["text"].to_list() == numbered


@given(corpora, st.integers(2, 12))
def test_where_overlaps_are_cut_every_character_is_kept_somewhere(texts: Corpus, length: int) -> None:
    spans = find([frame_of(texts)], SubstringSettings(least_length=length, overlaps="cut"))
    cut = characters_of(spans, texts)
    assert cut == look_at_every_window(texts, length, overlaps="cut")
    lead = {
        (int(row["doc_id"][-4:]), row["start"] + step): (int(row["kept_doc_id"][-4:]), row["kept_start"] + step)
        for row in spans.iter_rows(named=True)
        for step in range(row["end"] - row["start"])
    }
    for place in lead:
        document, at = place
        while (document, at) in lead:
            assert lead[document, at] < (document, at)
            document, at = lead[document, at]
        assert texts[document][at] == texts[place[0]][place[1]]


def read_as(texts: Corpus, prefix: str) -> Any:
    return lambda ids: {doc_id: texts[int(doc_id.removeprefix(f"{prefix}-"))] for doc_id in ids}


@tried(max_examples=40)
@given(corpora, corpora, corpora, st.integers(2, 12), st.sampled_from(["first", "none"]), st.sampled_from([1, 1 << 28]))
def test_earlier_dumps_come_first_and_are_not_cut(
    oldest: Corpus, older: Corpus, texts: Corpus, length: int, keep: Any, memory_bytes: int
) -> None:
    settings = SubstringSettings(least_length=length, keep=keep)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        earlier = []
        for name, published in (("oldest", oldest), ("older", older)):
            write_substring_index([frame_of(published, name)], settings, folder / name, memory_bytes=3000)
            earlier.append((SubstringIndex.open(folder / name, settings), read_as(published, name)))
        spans = find([frame_of(texts)], settings, earlier=earlier, memory_bytes=memory_bytes)
    every = look_at_every_window([*oldest, *older, *texts], length, keep)[len(oldest) + len(older) :]
    if keep == "first":
        assert characters_of(spans, texts) == every
        of_id = {
            f"{name}-{number:04d}": text
            for name, corpus in (("oldest", oldest), ("older", older), ("doc", texts))
            for number, text in enumerate(corpus)
        }
        check_kept(spans, of_id)
    else:
        # what repeats within earlier dumps alone is theirs
        assert characters_of(spans, texts) == every


def test_only_texts_that_match_are_read_again(tmp_path: Path) -> None:
    chance = random.Random(0)
    published = ["".join(chance.choices("etaoin shrdlu", k=120)) for _ in range(50)]
    settings = SubstringSettings(least_length=30)
    write_substring_index([frame_of(published, "old")], settings, tmp_path / "index")
    asked: list[str] = []

    def read(ids: list[str]) -> dict[str, str]:
        asked.extend(ids)
        return {doc_id: published[int(doc_id[-4:])] for doc_id in ids}

    new = "Before it, " + published[7] + " and behind it."
    index = SubstringIndex.open(tmp_path / "index", settings)
    spans = find([frame_of([new])], settings, earlier=[(index, read)])
    assert asked == ["old-0007"]
    assert set(spans["kept_doc_id"]) == {"old-0007"}
    assert cut_documents(frame_of([new]), spans)["text"].item() == "Before it,  and behind it."


def test_an_index_that_does_not_fit_or_is_damaged_is_refused(tmp_path: Path) -> None:
    settings = SubstringSettings(least_length=20)
    texts = ["what is written here is written here again and again"]
    with pytest.raises(DatasetNotReady, match="No substring index"):
        SubstringIndex.open(tmp_path / "index", settings)
    write_substring_index([frame_of(texts)], settings, tmp_path / "index")
    with pytest.raises(ConfigurationError, match=r"'least_length': 20.*'least_length': 21"):
        SubstringIndex.open(tmp_path / "index", SubstringSettings(least_length=21))
    index = SubstringIndex.open(tmp_path / "index", settings)
    with pytest.raises(SchemaError, match="not those that were indexed"):
        find([frame_of(texts, "new")], settings, earlier=[(index, lambda ids: dict.fromkeys(ids, texts[0][:-1] + "x"))])
    keys = tmp_path / "index" / "keys.u64"
    keys.write_bytes(b"\1" + keys.read_bytes()[1:])
    with pytest.raises(DatasetNotReady, match=r"keys\.u64 is not what was written"):
        SubstringIndex.open(tmp_path / "index", settings)


def test_an_index_has_the_same_bytes_whatever_the_batches_and_workers(tmp_path: Path) -> None:
    texts = [f"{number} of these are like the others, {number % 7} are not" * 5 for number in range(40)]
    settings = SubstringSettings(least_length=30)
    frame = frame_of(texts)
    write_substring_index([frame], settings, tmp_path / "one")
    write_substring_index([frame[:9], frame[9:]], settings, tmp_path / "other", memory_bytes=4000, workers=3)
    for name in ("keys.u64", "places.u64", "index.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@given(st.lists(st.text(alphabet="ab 漢字\n", max_size=40), max_size=5), st.integers(2, 6))
def test_words_are_units_that_white_space_or_unspaced_scripts_set_apart(texts: Corpus, length: int) -> None:
    settings = SubstringSettings(unit="tokens", least_length=length)
    spans = find([frame_of(texts)], settings)
    words = [list(re.finditer(r"[漢字]|[^\s漢字]+", text)) for text in texts]
    ids: dict[str, int] = {}
    numbers = [[ids.setdefault(word[0], len(ids)) for word in found] for found in words]
    given_tokens = frame_of(texts).select(
        "doc_id",
        "rank",
        pl.Series("token_ids", numbers, dtype=pl.List(pl.UInt32)),
        pl.Series("token_starts", [[word.start() for word in found] for found in words], dtype=pl.List(pl.Int64)),
        pl.Series("token_ends", [[word.end() for word in found] for found in words], dtype=pl.List(pl.Int64)),
    )
    assert spans.equals(find([given_tokens], settings))
    # the same windows, each word one letter
    letters = ["".join(chr(33 + number % 90) for number in found) for found in numbers]
    cut = look_at_every_window(letters, length)
    for gone, found, text, ours in zip(cut, words, texts, characters_of(spans, texts), strict=True):
        expected = {at for number in gone for at in range(*found[number].span())}
        assert {at for at in ours if not text[at].isspace()} == expected
    of_id = dict(zip(frame_of(texts)["doc_id"], texts, strict=True))
    for row in spans.iter_rows(named=True):
        one = of_id[row["doc_id"]][row["start"] : row["end"]]
        other = of_id[row["kept_doc_id"]][row["kept_start"] : row["kept_end"]]
        assert re.findall(r"[漢字]|[^\s漢字]+", one) == re.findall(r"[漢字]|[^\s漢字]+", other)
        assert len(re.findall(r"[漢字]|[^\s漢字]+", one)) == row["length"]


def test_tokens_that_share_a_character_are_cut_together() -> None:
    # a byte-level tokenizer may say one character in two tokens: 1 and 2 are both the character at 3
    frame = pl.DataFrame(
        {
            "doc_id": ["a", "b"],
            "rank": [0, 1],
            "token_ids": [[7, 8, 9, 1, 5], [7, 8, 9, 1, 2]],
            "token_starts": [[0, 1, 2, 3, 3], [0, 1, 2, 3, 3]],
            "token_ends": [[1, 2, 3, 4, 4], [1, 2, 3, 4, 4]],
        }
    )
    spans = find([frame], SubstringSettings(unit="tokens", least_length=4))
    assert spans.select("doc_id", "start", "end", "length").rows() == [("b", 0, 3, 3)]


def test_short_remains_go_by_their_own_rule() -> None:
    shared = "this sentence is longer than the least length of a repeat"
    frame = frame_of([shared, shared + " and more text that is not", "ab " + shared, "short"])
    settings = SubstringSettings(least_length=40)
    cut = cut_documents(frame, find([frame], settings))
    assert cut["text"].to_list() == [shared, " and more text that is not", "ab ", "short"]
    removals = removals_of_short(cut, settings)
    assert removals.select("doc_id", "rule", "value", "low").rows() == [("doc-0002", "short_after_repeats", 3.0, 20.0)]
    assert [is_short_after_cuts(*pair, settings) for pair in ((3, 57), (26, 57), (5, 0))] == [True, False, False]


def test_cut_spans_puts_nothing_in_their_place() -> None:
    assert cut_spans("a😀bcd", [(1, 2), (3, 4)]) == "abd"
    assert cut_spans("abc", []) == "abc"


def test_hostile_texts() -> None:
    settings = SubstringSettings()
    texts = ["", "\0" * 300, "a" * 1_000_000, "", "\0" * 300, "😀" * 5000, "b" + "a" * 1000]
    frame = frame_of(texts)
    spans = find([frame], settings)
    after = cut_documents(frame, spans)["text"].to_list()
    assert after == ["", "\0" * 100, "a" * 100, "", "", "😀" * 26, "b"]
    # one span for each least length of them, not for each of them
    assert spans.filter(pl.col("doc_id") == "doc-0002").height < 11_000
    assert find([frame_of([])], settings).is_empty()
    assert find([], settings).schema == SPANS


def test_one_line_of_ten_megabytes() -> None:
    chance = np.random.default_rng(0)
    line = "".join(map(chr, chance.integers(97, 123, 10_000_000)))
    begin = time.process_time()
    spans = find([frame_of([line, "see: " + line[5_000_000:5_000_500] + "."])], SubstringSettings())
    assert time.process_time() - begin < 8
    assert spans.rows() == [("doc-0001", 5, 505, "doc-0000", 5_000_000, 5_000_500, 500)]


def test_a_paragraph_in_very_many_documents_costs_no_square() -> None:
    paragraph = (
        "All rights reserved. " * 3 + "The terms of use apply to each page of this site, and so does the notice."
    )
    texts = [f"{number}{number * 7919 % 10007} {paragraph} {number * 104729 % 1000003}" for number in range(30_000)]
    begin = time.process_time()
    frame = frame_of(texts).with_columns(doc_id=pl.format("d{}", pl.col("rank")))
    spans = find([frame], SubstringSettings())
    assert time.process_time() - begin < 8
    assert spans.height < 3 * 30_000
    check_kept(spans, dict(zip(frame["doc_id"], texts, strict=True)))
    # numbers before and behind that are repeats of their own keep it in some: see the module
    assert 15_000 < spans["doc_id"].n_unique() < 29_999
    spans = find([frame], SubstringSettings(overlaps="cut"))
    after = cut_documents(frame, spans)["text"]
    assert after.str.contains(paragraph[30:100], literal=True).sum() == 1


def test_documents_that_cannot_be_compared_are_named() -> None:
    settings = SubstringSettings()
    frame = frame_of(["one", "two"])
    with pytest.raises(SchemaError, match="have no text"):
        find([frame.with_columns(text=pl.lit(None, dtype=pl.String))], settings)
    with pytest.raises(SchemaError, match="no rank"):
        find([frame.with_columns(rank=pl.lit(None, dtype=pl.Int64))], settings)
    with pytest.raises(SchemaError, match="share an id"):
        find([frame, frame], settings)
    odd = frame.with_columns(token_ids=pl.Series([[1], [2]]), token_starts=pl.Series([[0], [0]]))
    with pytest.raises(SchemaError, match="lists of equal length"):
        find([odd.with_columns(token_ends=pl.Series([[1], [1, 2]]))], SubstringSettings(unit="tokens"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"unit": "byte"}, "Did you mean 'bytes'"),
        ({"keep": "all"}, "unknown keep 'all'"),
        ({"overlaps": "kept"}, "Did you mean 'keep'"),
        ({"least_length": 1}, "2 or more"),
        ({"least_characters": -1}, "not be negative"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SubstringSettings(**wrong)


def test_lone_surrogates_cannot_come_in_a_frame_and_are_one_character_where_spans_are_cut() -> None:
    with pytest.raises(UnicodeEncodeError):
        frame_of(["x\ud800y"])
    assert cut_spans("x\ud800yz", [(2, 3)]) == "x\ud800z"


SUFFIX_ARRAY = """
import json, sys
import numpy as np
from pydivsufsort import divsufsort, kasai
for line in sys.stdin:
    texts, length = json.loads(line)
    units = np.frombuffer(b"".join(b"\\xff" + text.encode() for text in texts) + b"\\xff", np.uint8).copy()
    suffixes = divsufsort(units)
    repeats = kasai(units, suffixes)[:-1] >= length
    places = np.unique(np.concatenate([suffixes[:-1][repeats], suffixes[1:][repeats]]))
    edges = np.flatnonzero(units == 255)
    places = places[edges[np.searchsorted(edges, places)] - places >= length]
    covered = np.zeros(len(units) + 1, np.int64)
    np.add.at(covered, places, 1)
    np.add.at(covered, places + length, -1)
    is_covered = np.cumsum(covered)[:-1] > 0
    # of each text, the bytes that a repeat covers
    print(json.dumps([np.flatnonzero(is_covered[a + 1 : b]).tolist() for a, b in zip(edges[:-1], edges[1:])]))
"""


def ask_suffix_array(cases: list[tuple[Corpus, int]]) -> list[list[list[int]]]:
    peer = find_peer("pydivsufsort")
    asked = "\n".join(json.dumps(case) for case in cases)
    done = subprocess.run([peer, "-c", SUFFIX_ARRAY], input=asked, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def whole_characters(text: str, covered: list[int]) -> set[int]:
    """Return the characters all of whose bytes are covered."""
    counts = np.bincount([at for at, character in enumerate(text) for _ in character.encode()], minlength=len(text))
    owners = np.repeat(np.arange(len(text)), counts)
    return set(np.flatnonzero(np.bincount(owners[covered], minlength=len(text)) == counts).tolist())


def test_spans_are_those_of_a_suffix_array() -> None:
    chance = random.Random(0)
    cases = []
    for _ in range(150):
        letters = chance.choice(["ab", "a\0", "abcdefgh"])
        length = chance.randrange(4, 20)
        cases.append((["".join(chance.choices(letters, k=chance.randrange(120))) for _ in range(6)], length))
    for (texts, length), covered in zip(cases, ask_suffix_array(cases), strict=True):
        spans = find([frame_of(texts)], SubstringSettings(least_length=length, keep="none"))
        assert characters_of(spans, texts) == [set(of_text) for of_text in covered]


@pytest.mark.real_data
def test_spans_of_real_text_are_those_of_a_suffix_array(shared_data: Path) -> None:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["gold_text"] or "" for line in file][:500]
    chance = random.Random(1)
    for text in texts[:200]:
        words = text.split(" ")
        for _ in range(1 + len(words) // 80):
            words[chance.randrange(len(words))] = "changed"
        texts.append(" ".join(words))
    (covered,) = ask_suffix_array([(texts, 100)])
    spans = find([frame_of(texts)], SubstringSettings(keep="none"), memory_bytes=1 << 22)
    expected = [whole_characters(text, of_text) for text, of_text in zip(texts, covered, strict=True)]
    assert sum(map(len, expected)) > 200_000
    assert characters_of(spans, texts) == expected
    first = find([frame_of(texts)], SubstringSettings())
    check_kept(first, dict(zip(frame_of(texts)["doc_id"], texts, strict=True)))
