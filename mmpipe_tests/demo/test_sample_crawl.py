from __future__ import annotations

import hashlib
import io
import itertools
from collections import Counter
from pathlib import Path

import pytest

from mmpipe.demo.crawled_pictures import PICTURE_FATES
from mmpipe.demo.flawed_pages import FLAWS, HEAVY_FLAWS
from mmpipe.demo.languages import LANGUAGES
from mmpipe.demo.sample_crawl import FILE_LIST, SampleCrawl, SampleDump, write_sample_crawl
from mmpipe.tables.crawl import RECORD_KINDS, RECORD_STATUSES
from mmpipe.tables.takedowns import TAKEN_DOWN


def _digest_files(dump: SampleDump) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*dump.files, dump.file_list)}


def _read_body(dump: SampleDump, warc_file: str, offset: int) -> bytes:
    from fastwarc.warc import ArchiveIterator

    with (dump.folder / warc_file).open("rb") as file:
        file.seek(offset)
        return next(iter(ArchiveIterator(io.BytesIO(file.read()), parse_http=True))).reader.read()


def _shingle(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[place : place + 5]) for place in range(len(words) - 4)}


def _jaccard(first: str, second: str) -> float:
    one, two = _shingle(first), _shingle(second)
    return len(one & two) / len(one | two)


def test_every_fate_stands_in_every_small_dump(sample_crawl: SampleCrawl) -> None:
    for dump in sample_crawl.dumps:
        assert set(FLAWS) | set(HEAVY_FLAWS) <= set(dump.fates)
        assert {"good", "near_copy", "exact_copy", "duplicate_paragraphs", "cut_record", "pdf_file"} <= set(dump.fates)
        assert set(dump.record_statuses) == {*RECORD_STATUSES} - {TAKEN_DOWN}  # which people alone make
        assert {record.kind for record in dump.records} == set(RECORD_KINDS)
        assert set(dump.picture_fates) == set(PICTURE_FATES)
        assert {record.language for record in dump.records} >= {"en", *LANGUAGES}


def test_only_the_later_dump_repeats_the_earlier(sample_crawl: SampleCrawl) -> None:
    first, second = sample_crawl.dumps
    assert not first.find("repeated_dump")
    repeated = second.find("repeated_dump")
    assert {record.repeats for record in repeated} == {record.url for record in first.find("evergreen")}
    texts = {record.url: record.text for record in first.records}
    similarities = [_jaccard(record.text or "", texts[record.repeats or ""] or "") for record in repeated]
    assert max(similarities) == 1
    assert 0.8 < min(similarities) < 1


def test_copies_are_as_near_as_they_say(sample_crawl: SampleCrawl) -> None:
    for dump in sample_crawl.dumps:
        texts = {record.url: record.text or "" for record in dump.records}
        for record in dump.find("exact_copy"):
            assert record.text == texts[record.repeats or ""]
            assert record.url != record.repeats
        for record in dump.find("near_copy"):
            assert 0.6 < _jaccard(record.text or "", texts[record.repeats or ""]) < 1


def test_records_are_where_they_say(sample_crawl: SampleCrawl) -> None:
    from fastwarc.warc import ArchiveIterator

    dump = sample_crawl.dumps[0]
    for record in dump.records:
        if record.record_status == "corrupt_record" or record.fate == "cut_record":
            continue
        with (dump.folder / record.warc_file).open("rb") as file:
            file.seek(record.warc_offset)
            found = list(ArchiveIterator(io.BytesIO(file.read(record.warc_length)), parse_http=False))
        assert [one.headers["WARC-Target-URI"] for one in found] == [record.url]


def test_digests_hold_except_where_a_record_is_damaged(sample_crawl: SampleCrawl) -> None:
    from fastwarc.warc import ArchiveIterator

    checked: Counter[bool] = Counter()
    dump = sample_crawl.dumps[1]
    for record in dump.records:
        if record.record_status in ("corrupt_record", "revisit_record") or record.fate == "cut_record":
            continue
        with (dump.folder / record.warc_file).open("rb") as file:
            file.seek(record.warc_offset)
            found = next(iter(ArchiveIterator(io.BytesIO(file.read(record.warc_length)), parse_http=False)))
            checked[found.verify_block_digest()] += 1
    assert checked[False] == 0
    assert checked[True] > 80


def test_corrupt_member_cannot_be_unpacked_but_its_neighbour_can(sample_crawl: SampleCrawl) -> None:
    import zlib

    dump = sample_crawl.dumps[0]
    record = dump.find("corrupt_record")[0]
    data = (dump.folder / record.warc_file).read_bytes()
    member = data[record.warc_offset : record.warc_offset + record.warc_length]
    with pytest.raises(zlib.error):
        zlib.decompressobj(31).decompress(member)
    following = zlib.decompressobj(31).decompress(data[record.warc_offset + record.warc_length :])
    assert following.startswith(b"WARC/1.")


def test_file_breaks_off_inside_its_last_record(sample_crawl: SampleCrawl) -> None:
    for dump in sample_crawl.dumps:
        (record,) = dump.find("cut_record")
        size = (dump.folder / record.warc_file).stat().st_size
        assert record.warc_offset < size < record.warc_offset + record.warc_length


def test_wrong_charset_pages_are_not_what_they_declare(sample_crawl: SampleCrawl) -> None:
    dump = sample_crawl.dumps[0]
    for record in dump.find("charset_header_wrong"):
        with pytest.raises(UnicodeDecodeError):
            _read_body(dump, record.warc_file, record.warc_offset).decode("utf-8")
    for record in dump.find("charset_in_bom"):
        body = _read_body(dump, record.warc_file, record.warc_offset)
        assert body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))


def test_same_seed_gives_same_bytes_and_another_seed_others(tmp_path: Path, sample_crawl: SampleCrawl) -> None:
    dump = sample_crawl.dumps[0]
    again = write_sample_crawl(tmp_path / "again", dumps=(dump.name,), pages_per_dump=40)
    assert _digest_files(again.dumps[0]) == _digest_files(dump)
    other = write_sample_crawl(tmp_path / "other", dumps=(dump.name,), pages_per_dump=40, seed=7)
    assert set(_digest_files(other.dumps[0]).values()).isdisjoint(
        {digest for name, digest in _digest_files(dump).items() if name != FILE_LIST}
    )


def test_file_list_names_the_files_and_nothing_temporary_is_left(sample_crawl: SampleCrawl) -> None:
    for dump in sample_crawl.dumps:
        assert dump.file_list.read_text().split() == [path.name for path in dump.files]
        assert {path.name for path in dump.folder.iterdir()} == {FILE_LIST, *(path.name for path in dump.files)}


def test_incomplete_dump_has_no_file_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpipe.demo.warc_writer import WarcWriter

    write_sample_crawl(tmp_path, dumps=("d-2026-01",), pages_per_dump=1)

    def break_off(self: WarcWriter, byte_count: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(WarcWriter, "cut_end", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_sample_crawl(tmp_path, dumps=("d-2026-01",), pages_per_dump=1)
    assert not (tmp_path / "d-2026-01" / FILE_LIST).exists()


def test_pictures_are_in_the_dump_unless_missing(sample_crawl: SampleCrawl) -> None:
    for dump in sample_crawl.dumps:
        stored = {record.url for record in dump.records if record.fate.startswith("picture_")}
        for pair in dump.pairs:
            assert (pair.image_url in stored) == (pair.fate != "missing_image"), pair


def test_articles_of_a_dump_differ(sample_crawl: SampleCrawl) -> None:
    texts = [record.text or "" for dump in sample_crawl.dumps for record in dump.find("good")]
    assert max(_jaccard(one, two) for one, two in itertools.combinations(texts, 2)) < 0.3


def test_find_dump_knows_its_names(sample_crawl: SampleCrawl) -> None:
    assert sample_crawl.find_dump("sample-2026-44") is sample_crawl.dumps[1]
    with pytest.raises(KeyError):
        sample_crawl.find_dump("sample-2026-45")
