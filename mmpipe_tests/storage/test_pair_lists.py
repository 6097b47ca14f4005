from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, ShardError
from mmpipe.storage.pair_list_search import find_pair_lists, require_pair_list
from mmpipe.storage.pair_lists import (
    MAX_METADATA_CHARS,
    ImageFiles,
    ListedPair,
    ListRange,
    cut_list,
    identify_image_files,
    read_image_file,
    read_list,
)
from mmpipe.storage.places import Place


def read_all(folder: Path, name: str, rows: int = 100_000) -> list[ListedPair]:
    root = Place(str(folder))
    return [pair for part in cut_list(root, name, rows) for pair in read_list(root, part)]


ROWS = [
    {"url": "http://e.org/1.jpg", "text": 'A "red", boat', "likes": 5, "similarity": 0.25},
    {"url": "http://e.org/2.jpg", "text": "Two\nlines", "likes": None, "similarity": None},
    {"url": "http://e.org/3.jpg", "text": "קטה", "likes": 0, "similarity": 1.0},
]


def write(folder: Path, name: str) -> None:
    frame = pl.DataFrame(ROWS)
    path = folder / name.removesuffix(".gz")
    if ".parquet" in name:
        frame.write_parquet(path, row_group_size=2)
    elif ".jsonl" in name:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        frame.write_csv(path, separator="\t" if ".tsv" in name else ",")
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv", "a.tsv", "a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_every_layout_gives_the_same_rows_however_it_is_cut(tmp_path: Path, name: str, rows: int) -> None:
    write(tmp_path, name)
    pairs = read_all(tmp_path, name, rows)
    assert [(p.position, p.url, p.caption, p.likes) for p in pairs] == [
        (0, "http://e.org/1.jpg", 'A "red", boat', 5.0),
        (1, "http://e.org/2.jpg", "Two\nlines", None),
        (2, "http://e.org/3.jpg", "קטה", 0.0),
    ]
    assert json.loads(pairs[0].metadata or "")["similarity"] in (0.25, "0.25")


def test_columns_of_published_lists_are_understood(tmp_path: Path) -> None:
    laion = {
        "SAMPLE_ID": 7,
        "URL": "http://e.org/a.jpg",
        "TEXT": "a boat",
        "WIDTH": 300,
        "NSFW": "UNLIKELY",
        "LICENSE": None,
    }
    coyo = {"id": 1, "url": "http://e.org/b.jpg", "text": "b", "image_phash": "ff", "page_url": "http://e.org/p"}
    folder = {"file_name": "images/c.png", "text": "c", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0]}}
    found = []
    for row in (laion, coyo, folder):
        pl.DataFrame([row]).write_parquet(tmp_path / "a.parquet")
        found += read_all(tmp_path, "a.parquet")
    assert [(p.url, p.file, p.caption) for p in found] == [
        ("http://e.org/a.jpg", None, "a boat"), ("http://e.org/b.jpg", None, "b"), (None, "images/c.png", "c"),
    ]  # fmt: skip
    assert json.loads(found[0].metadata or "") == {"SAMPLE_ID": 7, "WIDTH": 300, "NSFW": "UNLIKELY"}
    assert (found[1].page_url, json.loads(found[1].metadata or "")) == (
        "http://e.org/p",
        {"id": 1, "image_phash": "ff"},
    )
    assert json.loads(found[2].metadata or "")["objects"]["bbox"] == [[1, 2, 3, 4]]


def test_bad_rows_keep_their_place_and_their_neighbours(tmp_path: Path) -> None:
    long = {"url": "u", "text": "t", "rest": "x" * (MAX_METADATA_CHARS + 1)}
    lines = ['{"url": "u", "text": "\\ud800 a", "likes": "many"}', "{half", "[1]", "", json.dumps(long), "[" * 100_000]
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"url": "u", "text": "\xff"}')
    pairs = read_all(tmp_path, "a.jsonl", 2)
    assert [p.position for p in pairs] == [0, 1, 2, 3, 4, 5]
    assert (pairs[0].caption, pairs[0].likes) == ("? a", None)
    assert pairs[1] == ListedPair(1)
    assert pairs[2] == ListedPair(2)
    assert (pairs[3].metadata, pairs[3].is_metadata_cut) == (None, True)
    assert pairs[4] == ListedPair(4)
    assert pairs[5].caption == "\ufffd"


def test_bytes_in_a_parquet_list_are_not_read_along(tmp_path: Path) -> None:
    rows = {"url": ["u"], "text": ["t"], "jpg": [b"\xff" * 99], "image": [{"bytes": b"x", "path": "p"}]}
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    assert read_all(tmp_path, "a.parquet") == [ListedPair(0, "u", None, "t")]


def test_a_list_that_became_shorter_says_so(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    with pytest.raises(ShardError, match="ends at row 3 of 5"):
        list(read_list(Place(str(tmp_path)), ListRange("a.csv", 1, 5)))


def test_lists_in_a_folder_are_told_from_other_tables(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write(tmp_path, "pairs.parquet")
    write(tmp_path / "b", "metadata.csv")
    pl.DataFrame({"url": ["u"], "warc_filename": ["w"]}).write_parquet(tmp_path / "index.parquet")
    pl.DataFrame({"image": [{"bytes": b"x"}], "text": ["t"]}).write_parquet(tmp_path / "embedded.parquet")
    (tmp_path / "notes.jsonl").write_text('{"url": "u", "text": "t"}')
    assert find_pair_lists(Place(str(tmp_path))) == ["b/metadata.csv", "pairs.parquet"]
    (tmp_path / "half.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigurationError, match=r"half\.parquet cannot be read"):
        find_pair_lists(Place(str(tmp_path)))


@pytest.mark.parametrize(("columns", "lack"), [(["text", "id"], "an address"), (["url", "id"], "a caption")])
def test_a_named_list_without_address_or_caption_stops(tmp_path: Path, columns: list[str], lack: str) -> None:
    (tmp_path / "a.csv").write_text(",".join(columns) + "\n1,2\n")
    with pytest.raises(ConfigurationError, match=lack):
        require_pair_list(Place(str(tmp_path)), "a.csv")


def make_documents(pages: int = 150) -> pl.DataFrame:
    """Columns as FineWeb has them."""
    return pl.DataFrame(
        {
            "text": ["A page of some length about boats. " * 40 if number % 3 else "Short." for number in range(pages)],
            "url": [f"https://e.org/pages/{number}" for number in range(pages)],
            "file_path": ["s3://bucket/CC-MAIN-2024-10/a.warc.gz"] * pages,
        }
    )


@pytest.mark.parametrize("rows", [2, 150])
def test_documents_with_their_url_are_no_pairs(tmp_path: Path, rows: int) -> None:
    root, documents = Place(str(tmp_path)), make_documents().slice(1).head(rows)
    documents.write_parquet(tmp_path / "fineweb.parquet")
    documents.write_ndjson(tmp_path / "fineweb.jsonl")
    assert find_pair_lists(root) == []
    for name in ("fineweb.parquet", "fineweb.jsonl"):
        with pytest.raises(ConfigurationError, match=rf"{name} seems to hold documents.*crawl pack \S*/{name}"):
            require_pair_list(root, name)


def test_pairs_with_long_texts_are_told_by_their_addresses_or_their_column(tmp_path: Path) -> None:
    documents = make_documents()
    (documents.with_columns(pl.col("url") + ".JPG?w=1").drop("file_path")).write_parquet(tmp_path / "dense.parquet")
    documents.rename({"text": "caption"}).write_parquet(tmp_path / "told.parquet")
    documents.with_columns(text=pl.lit("A boat")).write_parquet(tmp_path / "short.parquet")
    documents.head(0).write_parquet(tmp_path / "void.parquet")
    found = find_pair_lists(Place(str(tmp_path)))
    assert found == ["dense.parquet", "short.parquet", "told.parquet", "void.parquet"]
    for name in found:
        require_pair_list(Place(str(tmp_path)), name)


def test_pictures_are_found_beside_the_list_or_the_dump_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "d" / "images").mkdir(parents=True)
    for path in ("d/images/a.png", "d/b.png", "secret.png"):
        (tmp_path / path).write_bytes(b"x")
    files = ImageFiles(Place(str(tmp_path / "d")))
    assert files.find("images/metadata.csv", "a.png") == "images/a.png"
    assert files.find("meta/list.parquet", "./images\\a.png") == "images/a.png"
    assert files.find("list.parquet", "b.png") == "b.png"
    for path in ("../secret.png", "images/../../secret.png", str(tmp_path / "secret.png"), "file:///d/b.png", "images",
                 "", "b.png\0", "x" * 5000):  # fmt: skip
        assert files.find("list.parquet", path) is None
    assert read_image_file(Place(str(tmp_path / "d")), "b.png", 10) == b"x"
    # more than any machine has: only what is there is held
    assert read_image_file(Place(str(tmp_path / "d")), "b.png", 1 << 60) == b"x"
    assert read_image_file(Place(str(tmp_path / "d")), "gone.png", 10) is None


def test_a_picture_is_read_to_its_limit(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "a.png").write_bytes(data)
    for limit in (0, 1, 1 << 20, (1 << 20) + 1, len(data) - 1, len(data), len(data) + 1):
        assert read_image_file(Place(str(tmp_path)), "a.png", limit) == data[:limit]


def test_changed_pictures_are_told_without_reading_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    root = Place(str(tmp_path))
    before = identify_image_files(root, ["a.png", "b.png"])
    assert identify_image_files(root, ["b.png", "a.png"]) == before
    (tmp_path / "b.png").write_bytes(b"y")
    with_b = identify_image_files(root, ["a.png", "b.png"])
    (tmp_path / "a.png").write_bytes(b"longer")
    assert len({before, with_b, identify_image_files(root, ["a.png", "b.png"])}) == 3


@given(st.text(max_size=80))
def test_no_path_leads_out_of_the_dump(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    found = ImageFiles(Place(str(Path(__file__).parent))).find("a/list.csv", path)
    assert found is None or ".." not in found
