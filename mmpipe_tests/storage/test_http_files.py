"""No byte lost and no byte twice, whatever the host does; and what it does in the end has a name."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmpipe.storage.http_files import GRANULE_BYTES, HttpFile
from mmpipe.storage.http_requests import RemoteFileChanged, RemoteFileError, RetryPolicy, ask_file
from mmpipe.storage.places import Place
from mmpipe.storage.range_cache import RangeCache
from mmpipe.storage.warc import cut_ranges, index_range, read_payloads
from mmpipe_tests.storage.flaky_host import Answer, FlakyHost, open_host
from mmpipe_tests.storage.warc_samples import PAGE, make_http, make_record, zip_members

DATA = random.Random(1).randbytes(3 * GRANULE_BYTES + 12_345)
QUICK = RetryPolicy(
    attempts=4, first_wait_seconds=0.001, most_wait_seconds=0.002, most_asked_seconds=2, timeout_seconds=0.5
)


@pytest.fixture
def host() -> Iterator[FlakyHost]:
    with open_host(FlakyHost({"a.bin": DATA, "empty": b""})) as opened:
        yield opened


def read_all(host: FlakyHost, path: str = "a.bin", cache: RangeCache | None = None) -> bytes:
    with io.BufferedReader(HttpFile(host.url(path), QUICK, cache), 1 << 16) as file:
        return file.read()


def test_a_file_is_read_whole_and_each_byte_once(host: FlakyHost) -> None:
    assert read_all(host) == DATA
    assert host.sent_bytes == len(DATA)
    assert all(asked for _, asked, _ in host.requests)
    assert read_all(host, "empty") == b""


@pytest.mark.parametrize(
    "plan",
    [
        [Answer(cut_after=1000)],
        [Answer(cut_after=0), Answer(cut_after=70_000), Answer(cut_after=1)],
        [Answer(status=503), Answer(status=429, headers={"Retry-After": "0"}), Answer(cut_after=5000)],
        [Answer(status=500), Answer(status=502), Answer(status=504)],
        [Answer(cut_after=500_000), Answer(stall_seconds=1.0), Answer(cut_after=10)],
        [Answer(wrong_start=7), Answer(has_length=False)],
    ],
    ids=["cut", "cut thrice", "503 then 206", "5xx", "stall", "wrong range"],
)
def test_what_breaks_off_goes_on_where_it_stopped(host: FlakyHost, plan: list[Answer]) -> None:
    host.plan = plan
    assert read_all(host) == DATA


def test_only_what_is_missing_is_asked_again(host: FlakyHost) -> None:
    host.plan = [Answer(cut_after=300_000), Answer(cut_after=200_000)]
    assert read_all(host) == DATA
    assert host.sent_bytes == len(DATA)
    assert [asked.partition("-")[0] for _, asked, _ in host.requests[:3]] == ["bytes=0", "bytes=300000", "bytes=500000"]


def test_a_host_that_ignores_ranges_is_read_once_from_front_to_back(host: FlakyHost) -> None:
    host.always = lambda: Answer(ignores_range=True)
    assert read_all(host) == DATA
    assert host.sent_bytes == len(DATA)
    host.plan = [Answer(ignores_range=True, cut_after=2_000_000)]
    assert read_all(host) == DATA
    with HttpFile(host.url("a.bin"), QUICK) as file:
        file.seek(2_500_000)
        assert file.read(100) == DATA[2_500_000:2_500_100]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_any_trouble_and_any_jumps_give_the_same_bytes(host: FlakyHost, seed: int) -> None:
    chooser = random.Random(seed)
    troubles = [
        Answer,
        lambda: Answer(cut_after=chooser.randrange(200_000)),
        lambda: Answer(status=503),
        lambda: Answer(ignores_range=True, cut_after=chooser.choice([None, chooser.randrange(3_000_000)])),
    ]
    host.always = lambda: _draw(chooser, troubles)
    patient = RetryPolicy(attempts=200, first_wait_seconds=0.0, most_wait_seconds=0.0, timeout_seconds=5)
    with io.BufferedReader(HttpFile(host.url("a.bin"), patient), 1 << 16) as file:
        for _ in range(6):
            start, count = chooser.randrange(len(DATA) + 1000), chooser.randrange(1_500_000)
            file.seek(start)
            assert file.read(count) == DATA[start : start + count]


def _draw(chooser: random.Random, troubles: list[Callable[[], Answer]]) -> Answer:
    return chooser.choices(troubles, [4, 2, 1, 1])[0]()


@pytest.mark.parametrize("has_etag", [True, False])
@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_that_changes_is_told(host: FlakyHost, has_etag: bool, knows_if_range: bool) -> None:
    if not has_etag:
        host.etag = None
    with HttpFile(host.url("a.bin"), QUICK) as file:
        assert file.read(100) == DATA[:100]
        host.files["a.bin"] = DATA[::-1]
        if has_etag:
            host.etag = '"2"'
        host.modified = "Thu, 02 May 2024 12:00:00 GMT"
        if not knows_if_range:
            host.always = partial(Answer, ignores_if_range=True)
        file.seek(2 * GRANULE_BYTES)
        with pytest.raises(RemoteFileChanged, match="changed while it was read"):
            file.read(100)


def test_a_weak_etag_detects_a_change_too(host: FlakyHost) -> None:
    host.etag = 'W/"1"'
    assert read_all(host) == DATA
    with HttpFile(host.url("a.bin"), QUICK) as file:
        file.read(1)
        host.etag = 'W/"2"'
        file.seek(2 * GRANULE_BYTES)
        with pytest.raises(RemoteFileChanged):
            file.read(1)


@pytest.mark.parametrize(
    ("always", "error", "message"),
    [
        (Answer(status=503), RemoteFileError, r"given up after 4 failures.*answered 503"),
        (Answer(cut_after=0), RemoteFileError, "broke off at byte 0"),
        (Answer(status=429, headers={"Retry-After": "9999"}), RemoteFileError, "come back in 9999 s"),
        (Answer(status=503, headers={"Retry-After": "Wed, 01 Jan 2070 00:00:00 GMT"}), RemoteFileError, "come back in"),
        (Answer(status=403), PermissionError, r"refuses \(status 403\)"),
        (Answer(status=404), FileNotFoundError, "is not there"),
        (Answer(status=418), RemoteFileError, "status 418"),
        (Answer(wrong_start=9), RemoteFileError, "another range"),
        (Answer(ignores_range=True, has_length=False), RemoteFileError, "no length"),
    ],
)
def test_what_does_not_get_better_has_a_name(
    host: FlakyHost, always: Answer, error: type[OSError], message: str
) -> None:
    host.always = lambda: Answer(**vars(always))
    with pytest.raises(error, match=message):
        read_all(host)


def test_retry_after_is_obeyed(host: FlakyHost) -> None:
    import time

    host.plan = [Answer(status=429, headers={"Retry-After": "1"})]
    begin = time.monotonic()
    assert read_all(host) == DATA
    assert time.monotonic() - begin >= 1


def test_a_host_that_is_gone_has_a_name() -> None:
    with open_host(FlakyHost({})) as opened:
        url = opened.url("a.bin")
    with pytest.raises(RemoteFileError, match="did not answer"):
        HttpFile(url, QUICK).read(1)
    with pytest.raises(RemoteFileError, match="no address"):
        HttpFile("http:///nowhere", QUICK).read(1)


@pytest.mark.parametrize("knows_head", [True, False])
def test_a_place_is_asked_and_never_fetched(host: FlakyHost, knows_head: bool) -> None:
    host.knows_head = knows_head
    place = Place(host.url("a.bin"))
    assert (place.exists(), place.is_file(), place.size()) == (True, True, len(DATA))
    assert place.identify() == f'{len(DATA)}-"1"'
    # one question, and where HEAD is unknown one byte
    assert len(host.requests) == (1 if knows_head else 2)
    assert host.sent_bytes <= 1
    host.etag = '"2"'
    assert Place(host.url("a.bin")).identify() != place.identify()
    assert not Place(host.url("absent")).is_file()
    with pytest.raises(FileNotFoundError):
        Place(host.url("absent")).size()
    assert ask_file(host.url("empty")).size == 0  # type: ignore[union-attr]


def test_what_was_read_is_kept_until_it_changes(host: FlakyHost, tmp_path: Path) -> None:
    cache = RangeCache(tmp_path / "cache")
    assert read_all(host, cache=cache) == DATA
    assert read_all(host, cache=cache) == DATA
    assert host.sent_bytes == len(DATA)
    host.files["a.bin"], host.etag = DATA[::-1], '"2"'
    assert read_all(host, cache=cache) == DATA[::-1]
    # a granule that was cut by a full disk is read anew
    part = next(path for path in (tmp_path / "cache").glob("*/*") if path.stat().st_size == GRANULE_BYTES)
    part.write_bytes(b"short")
    assert read_all(host, cache=cache) == DATA[::-1]


def test_a_file_without_a_stamp_is_not_kept(host: FlakyHost, tmp_path: Path) -> None:
    host.etag = host.modified = None
    assert read_all(host, cache=RangeCache(tmp_path / "cache")) == DATA
    assert not list(tmp_path.rglob("*-*"))


def test_the_cache_stays_within_its_size_and_keeps_what_is_read(tmp_path: Path) -> None:
    import os

    cache = RangeCache(tmp_path / "cache")
    for number in range(30):
        cache.write("http://host.example/a", "1", number, bytes(1000))
        os.utime(cache._place("http://host.example/a", "1", number), (number, number))
    assert cache.read("http://host.example/a", "1", 0) is not None  # read: the newest now
    RangeCache(tmp_path / "cache", most_bytes=10_000).shrink()
    kept = [number for number in range(30) if cache.read("http://host.example/a", "1", number) is not None]
    assert kept == [0, *range(22, 30)]
    (tmp_path / "file").write_text("no folder")
    RangeCache(tmp_path / "file").write("u", "1", 0, b"x")  # nothing kept, nobody stopped


def test_a_crawl_is_read_from_a_flaky_host_as_from_disk(host: FlakyHost, tmp_path: Path) -> None:
    chooser = random.Random(2)
    bodies = [PAGE + chooser.randbytes(8000) for _ in range(400)]
    data = zip_members(*(make_record(make_http(body), number) for number, body in enumerate(bodies)))
    host.files["d/a.warc.gz"] = data
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.warc.gz").write_bytes(data)
    here, there = Place(str(tmp_path / "d")), Place(host.url("d"), RangeCache(tmp_path / "cache"))
    host.plan = [Answer(cut_after=200_000) for _ in range(2)]
    pieces = [cut_ranges(root.join("a.warc.gz"), 1 << 20, root) for root in (here, there)]
    assert pieces[0] == pieces[1]
    assert len(pieces[0]) > 2
    for part in pieces[0]:
        local, remote = (index_range("d", root, part) for root in (here, there))
        assert remote.equals(local)
        read = [[payload.body for _, payload in read_payloads(root, local, 1 << 20)] for root in (here, there)]
        assert read[0] == read[1]
    assert host.sent_bytes == len(data)  # indexed, cut and read: fetched once
