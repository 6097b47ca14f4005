"""Zstd frames are read as gzip members are: one record each, with or without the file's dictionary, however damaged."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import polars as pl
import pytest
from backports import zstd

from mmpipe.storage.places import Place
from mmpipe.storage.warc import WarcRange, cut_ranges, index_range, list_crawl_files, read_payload, read_payloads
from mmpipe_tests.storage.warc_samples import (
    PAGE,
    make_arc_record,
    make_http,
    make_record,
    pack_frame,
    pack_frames,
    train_dictionary,
)

NO_END = 1 << 40
RECORDS = [make_record(make_http(PAGE + b"%d" % number), number) for number in range(50)]
DICTIONARY = train_dictionary(*RECORDS)


def index_bytes(folder: Path, data: bytes, name: str = "a.warc.zst") -> pl.DataFrame:
    (folder / name).write_bytes(data)
    return index_range("d", Place(str(folder)), WarcRange(name, 0, NO_END))


@pytest.mark.parametrize(
    "data",
    [
        pack_frames(*RECORDS),
        pack_frames(*RECORDS, dictionary=DICTIONARY),
        pack_frames(*RECORDS, dictionary=DICTIONARY, is_dictionary_packed=True),
        pack_frame(b"".join(RECORDS)),
        b"".join(pack_frame(record) + b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" for record in RECORDS),  # other extensions
    ],
    ids=["frames", "dictionary", "packed dictionary", "one frame", "skippable frames"],
)
@pytest.mark.parametrize("name", ["a.warc.zst", "misnamed.warc.gz"])
def test_frames_are_read_whatever_their_dictionary(tmp_path: Path, data: bytes, name: str) -> None:
    frame = index_bytes(tmp_path, data, name)
    assert frame.get_column("url").to_list() == [f"http://example.org/{number}" for number in range(50)]
    assert set(frame.get_column("record_status")) == {"ok"}
    bodies = [payload.body for _, payload in read_payloads(Place(str(tmp_path)), frame, 1000)]
    assert bodies == [PAGE + b"%d" % number for number in range(50)]
    ranges = cut_ranges(Place(str(tmp_path / name)), 700, lookback_bytes=300)
    parts = [index_range("d", Place(str(tmp_path)), warc_range) for warc_range in ranges]
    assert pl.concat(parts).equals(frame)
    assert list_crawl_files(Place(str(tmp_path))) == [name]


def test_a_cut_file_has_several_ranges_when_it_has_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.zst"
    path.write_bytes(pack_frames(*RECORDS, dictionary=DICTIONARY))
    assert len(cut_ranges(Place(str(path)), path.stat().st_size // 4)) >= 4


@pytest.mark.parametrize("where", ["middle", "checksum", "magic", "cut"])
def test_damage_costs_one_row_and_no_neighbour(tmp_path: Path, where: str) -> None:
    frames = [bytearray(pack_frame(record, DICTIONARY)) for record in RECORDS[:3]]
    if where == "cut":
        del frames[1][len(frames[1]) // 2 :]
    else:
        frames[1][{"middle": len(frames[1]) // 2, "checksum": -1, "magic": 0}[where]] ^= 0x55
    head = pack_frames(dictionary=DICTIONARY)
    frame = index_bytes(tmp_path, head + b"".join(frames))
    assert frame.get_column("record_status").to_list() == ["ok", "corrupt_record", "ok"]
    assert frame.get_column("warc_length").sum() == (tmp_path / "a.warc.zst").stat().st_size - len(head)


@pytest.mark.parametrize(
    "dictionary", [b"", b"no dictionary at all", train_dictionary(*(bytes([n]) * 99 for n in range(50)))]
)
def test_a_wrong_dictionary_is_one_corrupt_stretch(tmp_path: Path, dictionary: bytes) -> None:
    head = b"\x5d\x2a\x4d\x18" + len(dictionary).to_bytes(4, "little") + dictionary
    frame = index_bytes(tmp_path, head + pack_frames(*RECORDS, dictionary=DICTIONARY)[8 + len(DICTIONARY) :])
    assert frame.get_column("record_status").to_list() == ["corrupt_record"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x28\xb5\x2f\xfd",
        b"\x5d\x2a\x4d\x18",
        b"\x5d\x2a\x4d\x18\xff\xff\xff\xff",
        zstd.compress(b"nothing" * 99),
        b"WRC" * 99,
    ],
)
def test_what_is_no_crawl_is_one_corrupt_row_at_most(tmp_path: Path, data: bytes) -> None:
    assert index_bytes(tmp_path, data).get_column("record_status").to_list() in ([], ["corrupt_record"])
    cut_ranges(Place(str(tmp_path / "a.warc.zst")), 100)


def test_a_bomb_is_indexed_without_being_held(tmp_path: Path) -> None:
    body = PAGE + bytes(1) * (300 << 20)
    (tmp_path / "a.warc.zst").write_bytes(pack_frames(make_record(make_http(body)), make_record(number=1)))
    size = len(body)
    del body
    tracemalloc.start()
    frame = index_range("d", Place(str(tmp_path)), WarcRange("a.warc.zst", 0, NO_END))
    payload = read_payload(Place(str(tmp_path)), "a.warc.zst", 0, 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame.get_column("record_status").to_list() == ["ok", "ok"]
    assert frame.get_column("payload_bytes").to_list()[0] == size
    assert payload.is_cut
    assert peak < 30 << 20


def test_arc_in_frames(tmp_path: Path) -> None:
    frame = index_bytes(tmp_path, pack_frames(*(make_arc_record(make_http(), n) for n in range(3))), "a.arc.zst")
    assert frame.get_column("url").to_list() == [f"http://example.org/{number}" for number in range(3)]


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["cc-main-2020-34.warc", "iana.warc", "archive-org-2008-heritrix.arc", "whirlwind.warc.wet"]
)
@pytest.mark.parametrize("has_dictionary", [False, True])
def test_real_crawls_read_alike_from_gzip_and_zstd(
    shared_data: Path, tmp_path: Path, name: str, has_dictionary: bool
) -> None:
    source = Place(str(shared_data / "web" / "crawl_samples"))
    records = split_members(source.join(f"{name}.gz").read_bytes())
    dictionary = train_dictionary(*(record[:500] for record in records)) if has_dictionary and len(records) > 9 else b""
    target = f"{name}.zst"
    (tmp_path / target).write_bytes(pack_frames(*records, dictionary=dictionary))
    here = Place(str(tmp_path))
    gzipped = index_range("d", source, WarcRange(f"{name}.gz", 0, NO_END))
    packed = index_range("d", here, WarcRange(target, 0, NO_END))
    # where the bytes lie differs, and nothing else
    elsewhere = ["doc_id", "warc_file", "warc_offset", "warc_length"]
    assert packed.drop(elsewhere).equals(gzipped.drop(elsewhere))
    payloads = [
        [payload for _, payload in read_payloads(*pair, 8 << 20)] for pair in ((source, gzipped), (here, packed))
    ]
    assert payloads[0] == payloads[1]
    ranges = cut_ranges(here.join(target), here.join(target).size() // 5 + 1, lookback_bytes=50_000)
    assert pl.concat([index_range("d", here, warc_range) for warc_range in ranges]).equals(packed)


def split_members(data: bytes) -> list[bytes]:
    import zlib

    records = []
    while data:
        member = zlib.decompressobj(31)
        records.append(member.decompress(data))
        data = member.unused_data
    assert b"".join(records) == gzip.decompress(b"".join(gzip.compress(record) for record in records))
    return records
