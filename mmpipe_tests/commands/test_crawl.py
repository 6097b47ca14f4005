from __future__ import annotations

import gzip
from pathlib import Path

import dagster as dg
import pytest

from mmpipe.commands.crawl import add_dump, find_dump_files, list_known_dumps
from mmpipe.errors import ConfigurationError
from mmpipe.storage.dumps import read_dump
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.storage.flaky_host import Answer, FlakyHost, open_host
from mmpipe_tests.storage.warc_samples import make_record, zip_members


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    folder = tmp_path / "dump"
    (folder / "1").mkdir(parents=True)
    for name in ("1/a.warc.gz", "b.warc.gz", "c.warc"):
        (folder / name).write_bytes(b"WARC/1.0")
    (folder / "notes.txt").write_text("no crawl file")
    (folder / "warc.paths.gz").write_bytes(gzip.compress(b"1/a.warc.gz\nb.warc.gz\n"))
    return folder


def find(*sources: object, base_url: str | None = None, limit: int | None = None, name: str = "d1"):
    return find_dump_files(name, [str(source) for source in sources], base_url=base_url, limit=limit)


def test_a_folder_gives_its_crawl_files(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = find(crawl)
    assert (dump.root, set(dump.files)) == (str(crawl), {"1/a.warc.gz", "b.warc.gz", "c.warc"})
    monkeypatch.chdir(crawl.parent)
    assert find("dump") == dump  # a relative path is recorded as an absolute one


def test_lists_of_image_text_pairs_are_files_of_a_dump(crawl: Path) -> None:
    (crawl / "metadata.csv").write_text("file_name,text\n1/a.png,A boat\n")
    (crawl / "1" / "captions.jsonl").write_text('{"url": "http://e.org/a.png", "caption": "A boat"}\n')
    assert set(find(crawl).files) == {"1/a.warc.gz", "b.warc.gz", "c.warc", "metadata.csv"}
    assert find(crawl / "1" / "captions.jsonl").files == ("captions.jsonl",)
    (crawl / "metadata.csv").write_text("file_name,label\n1/a.png,boat\n")
    with pytest.raises(ConfigurationError, match=r"file_name, label.* is a caption \(caption, text"):
        find(crawl / "metadata.csv")


def test_files_share_a_root(crawl: Path) -> None:
    dump = find(crawl / "1" / "a.warc.gz", crawl / "c.warc")
    assert (dump.root, dump.files) == (str(crawl), ("1/a.warc.gz", "c.warc"))
    assert find(crawl / "1" / "a.warc.gz").root == str(crawl / "1")


def test_a_path_list_keeps_its_order_and_may_be_cut(crawl: Path, tmp_path: Path) -> None:
    assert find(crawl / "warc.paths.gz").files == ("1/a.warc.gz", "b.warc.gz")
    assert find(crawl / "warc.paths.gz", limit=1).files == ("1/a.warc.gz",)
    elsewhere = tmp_path / "lists" / "warc.paths"
    elsewhere.parent.mkdir()
    elsewhere.write_text("c.warc\n")
    assert find(elsewhere, base_url=str(crawl)).root == str(crawl)


def test_urls_of_one_host_are_one_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("a", "b"):
        memory.pipe(f"/store/x/{name}.warc.gz", b"WARC/1.0")
    dump = find("memory://store/x/a.warc.gz", "memory://store/x/b.warc.gz")
    assert (dump.root, dump.files) == ("memory://store/x", ("a.warc.gz", "b.warc.gz"))
    assert find("memory://store/x").files == dump.files


def test_a_path_list_of_a_web_host_is_looked_at_and_not_fetched(crawl: Path) -> None:
    data = make_record()
    paths = [f"crawl-data/D/{number}.warc.gz" for number in range(20)]
    listed = gzip.compress("\n".join(paths).encode())
    with open_host(FlakyHost(dict.fromkeys(paths, data) | {"crawl-data/D/warc.paths.gz": listed})) as host:
        for source in (crawl / "cc.paths.gz", host.url("crawl-data/D/warc.paths.gz")):
            (crawl / "cc.paths.gz").write_bytes(listed)
            dump = find(source, base_url=host.url())
            assert (dump.root, dump.files) == (host.url().rstrip("/"), tuple(paths))
        assert host.sent_bytes == len(listed)
        (crawl / "cc.paths").write_text("\n".join(host.url(path) for path in paths[:3]))
        assert find(crawl / "cc.paths").files == ("0.warc.gz", "1.warc.gz", "2.warc.gz")
        with pytest.raises(ConfigurationError, match="URLs already"):
            find(crawl / "cc.paths", base_url=host.url())
        with pytest.raises(ConfigurationError, match=r"Not there below .*Check the path"):
            find(crawl / "warc.paths.gz", base_url=host.url())
        assert find(host.url(paths[0])).files == ("0.warc.gz",)
    with pytest.raises(ConfigurationError, match=r"begin at --base-url https://data\.commoncrawl\.org"):
        find(crawl / "cc.paths.gz")


def test_a_dump_of_a_web_host_is_indexed_whole(tmp_path: Path) -> None:
    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import cut_ranges, index_range

    data = zip_members(*(make_record(number=number) for number in range(50)))
    (tmp_path / "warc.paths").write_text("a/1.warc.gz\na/2.warc.gz\n")
    with open_host(FlakyHost({"a/1.warc.gz": data, "a/2.warc.gz": data})) as host:
        dump = find(tmp_path / "warc.paths", base_url=host.url())
        host.plan = [Answer(cut_after=900)]
        rows = [
            index_range(dump.name, Place(dump.root), part).height
            for file in dump.files
            for part in cut_ranges(Place(dump.root).join(file), 1 << 20, Place(dump.root))
        ]
        assert rows == [50, 50]


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        (["{crawl}"], {"name": "a,b"}, "cannot name a dump"),
        (["{crawl}/absent"], {}, "is not there"),
        (["{crawl}/absent.paths"], {}, "is not there"),
        (["{crawl}/b.warc.gz", "{crawl}/absent.warc.gz"], {}, "Not there below .*absent.warc.gz"),
        (["{crawl}"], {"base_url": "https://x"}, "goes with a path list"),
        (["https://one.example/a.warc.gz", "https://two.example/b.warc.gz"], {}, "one host"),
    ],
)
def test_what_cannot_be_a_dump_is_refused(
    crawl: Path, sources: list[str], options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find(*(source.format(crawl=crawl) for source in sources), **options)


def test_a_folder_without_crawl_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No crawl file"):
        find(tmp_path)


def test_the_command_adds_and_lists(tiny: TinyProject, instance: dg.DagsterInstance, crawl: Path) -> None:
    ran = tiny.run("crawl", "add", "d1", str(crawl), "--limit", "2")
    assert ran.returncode == 0, ran.stderr
    assert len(read_dump(tiny.lake, "d1").files) == 2
    assert instance.get_dynamic_partitions("dump") == ["d1"]
    add_dump(tiny.lake, instance, find(crawl, name="d2"))
    assert [(dump.name, dump.files, dump.is_partition) for dump in list_known_dumps(tiny.lake, instance)] == [
        ("d1", 2, True), ("d2", 3, True),
    ]  # fmt: skip
    ran = tiny.run("crawl", "add", "bad/name", str(crawl))
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: 'bad/name' cannot name a dump")
    assert "Traceback" not in ran.stderr
