from __future__ import annotations

import gzip
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.assets.jobs import WHOLE_LINE
from mmpipe.assets.partitions import DUMPS
from mmpipe.assets.resources import LakeResource
from mmpipe.assets.sensors import Memory, build_dump_sensor, decide, make_run_key, read_cursor, write_cursor
from mmpipe.storage.arrivals import Sighting
from mmpipe.storage.dumps import read_dump

# the decision -------------------------------------------------------------------------------------------------------

_looks = st.lists(
    st.dictionaries(st.sampled_from(["d1", "d2", "d3"]), st.sampled_from([None, "A", "B", "C"]), max_size=3),
    max_size=12,
)


def see(look: dict[str, str | None]) -> list[Sighting]:
    return [Sighting(dump, identity, lacking="" if identity else "half") for dump, identity in sorted(look.items())]


@given(_looks, st.integers(1, 3))
def test_nothing_is_taken_twice_in_a_row_half_copied_or_in_motion(
    looks: list[dict[str, str | None]], limit: int
) -> None:
    memory: dict[str, Memory] = {}
    taken: dict[str, str] = {}
    before: dict[str, str | None] = {}
    for look in looks:
        decision = decide(read_cursor(write_cursor(memory)), see(look), limit)
        assert len(decision.take) <= limit
        for sighting in decision.take:
            assert sighting.identity is not None
            assert before.get(sighting.dump) == sighting.identity  # it rested for one look
            assert taken.get(sighting.dump) != sighting.identity  # and is not what was taken last
            taken[sighting.dump] = sighting.identity
        assert decision.memory.keys() >= taken.keys()  # a dump that is gone is not forgotten
        assert all(dump in decision.waiting for dump, identity in look.items() if identity is None)
        memory, before = decision.memory, look


@given(_looks)
def test_whatever_rests_is_taken_in_the_end(looks: list[dict[str, str | None]]) -> None:
    memory: dict[str, Memory] = {}
    for look in looks:
        memory = decide(memory, see(look), 1).memory
    for _ in range(5):
        memory = decide(memory, see({"d1": "Z", "d2": "Z", "d3": "Z"}), 1).memory
    assert {item.taken for item in memory.values()} == {"Z"}


def test_a_dump_with_an_impossible_name_is_named_and_does_not_stop_the_others() -> None:
    looks = [Sighting("bad,name", "A"), Sighting("good", "A")]
    decision = decide(decide({}, looks).memory, looks)
    assert [sighting.dump for sighting in decision.take] == ["good"]
    assert "cannot name a dump" in decision.waiting["bad,name"]


# the sensor, on Dagster's test instance -----------------------------------------------------------------------------


class Watched:
    """A crawl folder, a lake and the sensor's state from tick to tick, with run keys remembered as Dagster does."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.crawl, self.lake = folder / "crawl", LakeResource(root=str(folder / "lake"))
        self.crawl.mkdir()
        self.instance, self.cursor, self.keys = instance, None, []
        job = dg.job(name=WHOLE_LINE)(lambda: None)
        self.sensor = build_dump_sensor(str(self.crawl))
        self.repository = dg.Definitions(jobs=[job]).get_repository_def()

    def tick(self) -> list[str]:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository, resources={"lake": self.lake}
        )
        result = self.sensor(context)
        self.cursor = result.cursor
        self.said = str(result.skip_reason)
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(DUMPS.name, list(request.partition_keys))
        fresh = [request for request in result.run_requests or [] if request.run_key not in self.keys]
        self.keys += [request.run_key for request in fresh]
        return [request.partition_key for request in fresh]

    def write(self, path: str, text: str = "bytes") -> None:
        (self.crawl / path).parent.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        (self.crawl / path).write_bytes(gzip.compress(data) if path.endswith(".paths.gz") else data)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(tmp_path, instance)


def test_a_whole_dump_is_taken_once_it_rests_and_never_again(watched: Watched) -> None:
    watched.write("d1/a.warc.gz")
    watched.write("d1/b.warc.gz")
    assert watched.tick() == []
    assert "file list" in watched.said
    watched.write("d1/warc.paths", "a.warc.gz\nb.warc.gz\n")
    assert watched.tick() == []
    assert watched.tick() == ["d1"]
    assert [watched.tick() for _ in range(3)] == [[], [], []]
    assert watched.instance.get_dynamic_partitions("dump") == ["d1"]
    dump = read_dump(watched.lake.open(), "d1")
    assert (dump.root, dump.files) == (str(watched.crawl / "d1"), ("a.warc.gz", "b.warc.gz"))


def test_a_half_copied_dump_waits_for_the_missing_file_and_the_full_size(watched: Watched) -> None:
    watched.write("d1/warc.paths.gz", "segments/1/a.warc.gz\t5\nsegments/1/b.warc.gz\t5\n")
    watched.write("d1/segments/1/a.warc.gz")
    assert [watched.tick() for _ in range(3)] == [[], [], []]
    assert "b.warc.gz, named by warc.paths.gz, is not there yet" in watched.said
    watched.write("d1/segments/1/b.warc.gz", "byt")
    assert [watched.tick() for _ in range(3)] == [[], [], []]
    assert "3 of 5 bytes" in watched.said
    watched.write("d1/segments/1/b.warc.gz")
    assert [watched.tick() for _ in range(3)] == [[], ["d1"], []]


def test_a_file_that_still_grows_is_not_taken(watched: Watched) -> None:
    watched.write("d1/warc.paths", "a.warc.gz")
    for size in range(1, 5):
        watched.write("d1/a.warc.gz", "x" * size)
        assert watched.tick() == []
    assert watched.tick() == ["d1"]


def test_a_list_that_is_dropped_becomes_a_dump_of_files_elsewhere(watched: Watched) -> None:
    watched.write("CC-MAIN-2024-22.warc.paths.gz", "crawl-data/a.warc.gz\n")
    assert watched.tick() == []
    assert "base_url" in watched.said
    watched.write("base_url", "https://data.example/\n")
    assert [watched.tick() for _ in range(3)] == [[], ["CC-MAIN-2024-22"], []]
    dump = read_dump(watched.lake.open(), "CC-MAIN-2024-22")
    assert (dump.root, dump.files) == ("https://data.example", ("crawl-data/a.warc.gz",))


def test_a_republished_dump_runs_again(watched: Watched) -> None:
    watched.write("d1/warc.paths", "a.warc.gz")
    watched.write("d1/a.warc.gz")
    assert [watched.tick() for _ in range(3)] == [[], ["d1"], []]
    watched.write("d1/a.warc.gz", "other bytes")
    assert [watched.tick() for _ in range(3)] == [[], ["d1"], []]
    watched.write("d1/README", "not named, not looked at")
    assert [watched.tick() for _ in range(3)] == [[], [], []]


def test_a_lost_cursor_or_an_existing_partition_neither_repeats_nor_loses_a_dump(watched: Watched) -> None:
    watched.instance.add_dynamic_partitions("dump", ["d1"])  # added, and then the daemon died
    watched.write("d1/warc.paths", "a.warc.gz")
    watched.write("d1/a.warc.gz")
    assert [watched.tick() for _ in range(2)] == [[], ["d1"]]
    watched.cursor = None
    assert [watched.tick() for _ in range(3)] == [[], [], []]


def test_an_absent_folder_is_not_an_empty_one(watched: Watched) -> None:
    watched.write("d1/warc.paths", "a.warc.gz")
    watched.write("d1/a.warc.gz")
    assert [watched.tick() for _ in range(2)] == [[], ["d1"]]
    remembered = watched.cursor
    aside = watched.crawl.rename(watched.crawl.with_name("aside"))
    assert watched.tick() == []
    assert "is not there" in watched.said
    assert watched.cursor == remembered
    aside.rename(watched.crawl)
    assert watched.tick() == []


@pytest.mark.parametrize("line", ["../outside.warc.gz", "/etc/passwd", "a.warc.gz\tmany"])
def test_a_list_that_leads_out_or_is_garbled_is_refused(watched: Watched, line: str) -> None:
    watched.write("d1/warc.paths", line)
    watched.write("d1/a.warc.gz")
    assert [watched.tick() for _ in range(3)] == [[], [], []]
    assert "cannot be read" in watched.said


def test_a_truncated_gzip_list_waits(watched: Watched) -> None:
    watched.write("d1/warc.paths.gz", "a.warc.gz\n" * 50)
    whole = (watched.crawl / "d1/warc.paths.gz").read_bytes()
    (watched.crawl / "d1/warc.paths.gz").write_bytes(whole[:-6])
    watched.write("d1/a.warc.gz")
    assert [watched.tick() for _ in range(3)] == [[], [], []]
    (watched.crawl / "d1/warc.paths.gz").write_bytes(whole)
    assert [watched.tick() for _ in range(2)] == [[], ["d1"]]


def test_many_dumps_are_taken_twenty_at_a_time_in_order(watched: Watched) -> None:
    for number in range(45):
        watched.write(f"d{number:02}/warc.paths", "a.warc.gz")
        watched.write(f"d{number:02}/a.warc.gz")
    assert watched.tick() == []
    taken = [watched.tick() for _ in range(4)]
    assert [len(dumps) for dumps in taken] == [20, 20, 5, 0]
    assert [dump for dumps in taken for dump in dumps] == [f"d{number:02}" for number in range(45)]


def test_object_stores_are_watched_by_fresh_listings(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/watched/d1/a.warc.gz", b"bytes")
    memory.pipe("/watched/d1/warc.paths", b"a.warc.gz")
    sensor = build_dump_sensor("memory://watched")
    lake = LakeResource(root=str(tmp_path))
    repository = dg.Definitions(jobs=[dg.job(name=WHOLE_LINE)(lambda: None)]).get_repository_def()
    cursor, seen = None, []
    with dg.DagsterInstance.ephemeral() as instance:
        for step in range(4):
            if step == 2:
                memory.pipe("/watched/d2/a.warc.gz", b"bytes")
                memory.pipe("/watched/d2/warc.paths", b"a.warc.gz")
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, repository_def=repository, resources={"lake": lake}
            )
            result = sensor(context)
            cursor = result.cursor
            seen += [request.partition_key for request in result.run_requests or []]
    assert seen == ["d1", "d2"]
    assert read_dump(lake.open(), "d1").root == "memory://watched/d1"


def test_the_run_key_is_name_and_content() -> None:
    assert make_run_key(Sighting("d1", "abc")) == "d1:abc"
