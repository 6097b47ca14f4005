"""A stored index: the same bytes from the same documents, and never read where it is not what was written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest

from mmpipe.deduplication.duplicate_index import BrokenIndex, build_index, open_index, open_or_build_index
from mmpipe.deduplication.duplicates import search_duplicates
from mmpipe.deduplication.minhash import MinHashSettings, sign_documents
from mmpipe.deduplication.survivors import Criterion, KeepPolicy
from mmpipe.errors import SchemaError

SETTINGS = MinHashSettings(bands=6, rows=4, verify_jaccard=0.5)


def make_frame(documents: int = 120, dump: str = "now") -> pl.DataFrame:
    dice = random.Random(dump)
    words = [f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(400)]
    rows = []
    for number in range(documents):
        text = [*random.Random(number % 40).choices(words, k=60), *dice.choices(words, k=number % 5)]
        rows.append((f"{dump}-{number:04d}", dump, " ".join(text) if number % 17 else "", None))
    schema = {"doc_id": pl.String, "dump": pl.String, "text": pl.String, "date": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_shards_order_memory_and_workers_change_no_byte_of_index_or_result(tmp_path: Path) -> None:
    frame = make_frame()
    signatures = sign_documents(frame, SETTINGS)
    expected_index: dict[str, bytes] = {}
    expected_found: dict[str, bytes] = {}
    for shards in (1, 3, 17):
        for workers, memory in ((1, 1 << 28), (2, 1 << 12)):
            place = tmp_path / f"{shards}-{workers}"
            place.mkdir()
            shuffled = signatures.sample(fraction=1.0, shuffle=True, seed=shards)
            for shard in range(shards):
                shuffled.gather_every(shards, shard).write_parquet(place / f"{shard}.parquet")
            scan = pl.scan_parquet(place / "*.parquet")
            index = build_index(place / "index", scan, SETTINGS, workers=workers, memory_bytes=memory)
            search_duplicates(index, [], frame, SETTINGS, place / "found", workers=workers, memory_bytes=memory)
            expected_index = expected_index or read_bytes(place / "index")
            expected_found = expected_found or read_bytes(place / "found")
            assert read_bytes(place / "index") == expected_index
            assert read_bytes(place / "found") == expected_found
    assert pl.read_parquet(expected_found["duplicates.parquet"]).height > 60


def test_a_broken_file_is_named_and_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    signatures = sign_documents(make_frame(), SETTINGS)
    folder = tmp_path / "index"
    reads = []

    def read() -> pl.LazyFrame:
        reads.append(1)
        return signatures.lazy()

    def open_again() -> None:
        open_or_build_index(folder, read, SETTINGS, fingerprint="first")

    open_again()
    whole = read_bytes(folder)
    open_again()
    assert len(reads) == 1
    damaged = {
        "band-003.bin": whole["band-003.bin"][:-1],
        "band-004.bin": whole["band-004.bin"][:9] + b"xyz" + whole["band-004.bin"][12:],
        "documents.parquet": b"",
        "index.json": whole["index.json"][:40],
    }
    for number, (name, octets) in enumerate(damaged.items()):
        (folder / name).write_bytes(octets)
        with pytest.raises(BrokenIndex, match=name):
            open_index(folder, SETTINGS)
        caplog.clear()
        open_again()
        assert name in caplog.text
        assert read_bytes(folder) == whole
        assert len(reads) == number + 2
    (folder / "exact.bin").unlink()
    with pytest.raises(BrokenIndex, match=r"exact\.bin is missing"):
        open_index(folder, SETTINGS)
    open_or_build_index(folder, read, SETTINGS, fingerprint="second")
    assert json.loads((folder / "index.json").read_text())["fingerprint"] == "second"


def test_an_index_of_other_settings_is_refused_with_both_named(tmp_path: Path) -> None:
    build_index(tmp_path / "index", sign_documents(make_frame(5), SETTINGS).lazy(), SETTINGS)
    with pytest.raises(SchemaError, match=r"bands 6, .*rows 4, .*asks for bands 14, .*rows 8"):
        open_index(tmp_path / "index", MinHashSettings(bands=14, rows=8))
    open_index(tmp_path / "index", MinHashSettings(bands=6, rows=4, verify_jaccard=None))
    # the same signatures cannot have other settings; those of another run can
    other = MinHashSettings(bands=14, rows=8)
    signatures = sign_documents(make_frame(5), other).lazy()
    with pytest.raises(SchemaError, match="built with bands 6"):
        open_or_build_index(tmp_path / "index", lambda: signatures, other, fingerprint="")
    assert open_or_build_index(tmp_path / "index", lambda: signatures, other, fingerprint="new").bands == 14


def test_columns_to_rank_by_are_kept_and_asked_for(tmp_path: Path) -> None:
    frame = pl.concat([make_frame(3).with_columns(text=pl.lit("one two three four five six"))])
    signatures = sign_documents(frame, SETTINGS).with_columns(quality=pl.Series([None, 0.25, float("nan")]))
    policy = KeepPolicy((Criterion("higher quality", "quality", is_larger_better=True),))
    with pytest.raises(SchemaError, match="'quality'"):
        build_index(tmp_path / "index", signatures.drop("quality").lazy(), SETTINGS, rank_columns=policy.columns)
    plain = build_index(tmp_path / "plain", signatures.lazy(), SETTINGS)
    with pytest.raises(SchemaError, match="'quality'"):
        search_duplicates(plain, [], frame, SETTINGS, tmp_path / "found", policy=policy)
    index = build_index(tmp_path / "index", signatures.lazy(), SETTINGS, rank_columns=policy.columns)
    found = search_duplicates(index, [], frame, SETTINGS, tmp_path / "found", policy=policy).duplicates.collect()
    assert found["kept_doc_id"].unique().to_list() == ["now-0001"]  # neither an unknown quality nor NaN is better


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    signatures = sign_documents(make_frame(5), SETTINGS)
    with pytest.raises(SchemaError, match="now-0003 comes twice"):
        build_index(tmp_path / "index", pl.concat([signatures, signatures[3:4]]).lazy(), SETTINGS)
