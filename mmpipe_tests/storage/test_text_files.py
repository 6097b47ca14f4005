"""Texts are read from what people have, and what cannot be read is named with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.storage.text_files import list_text_files, read_texts

TEXTS = ["one\ntwo", "", "drei \ud83e\udda6".encode("utf-16", "surrogatepass").decode("utf-16"), "four"]


def write_lines(file: Path, compression: str | None) -> None:
    lines = "".join(f"{json.dumps({'text': text, 'n': 1})}\n\n" for text in TEXTS) + '{"text": null}\n'
    if compression is None:
        file.write_text(lines)
        return
    with pa.CompressedOutputStream(str(file), compression) as stream:
        stream.write(lines.encode())


@pytest.mark.parametrize(
    ("name", "compression"), [("a.jsonl", None), ("b.json.gz", "gzip"), ("c.v2.jsonl.zst", "zstd"), ("d.ndjson", None)]
)
def test_json_lines_give_a_text_per_row(name: str, compression: str | None, tmp_path: Path) -> None:
    write_lines(tmp_path / name, compression)
    assert list(read_texts(tmp_path / name)) == TEXTS
    assert list(read_texts(tmp_path)) == TEXTS


def test_parquet_gives_its_column_and_plain_text_its_lines(tmp_path: Path) -> None:
    pl.DataFrame({"text": [*TEXTS, None], "body": ["b"] * 5}).write_parquet(tmp_path / "x.parquet")
    assert list(read_texts(tmp_path / "x.parquet")) == TEXTS
    assert list(read_texts(tmp_path / "x.parquet", "body")) == ["b"] * 5
    (tmp_path / "y.txt.gz").write_bytes(gzip.compress(b"one\r\ntw\xffo\n\nthree"))
    assert list(read_texts(tmp_path / "y.txt.gz")) == ["one", "tw\ufffdo", "", "three"]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.jsonl", "sub/c.txt", "notes.md"):
        (tmp_path / name).write_text('{"text": "a"}' if name.endswith("jsonl") else name)
    assert list(read_texts(tmp_path)) == ["a", "b.txt", "sub/c.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", b'{"txt": "x"}\n', r"a\.jsonl:1: no field 'text'"),
        ("a.jsonl", b'["text"]\n', r"a\.jsonl:1: no field 'text'"),
        ("a.jsonl", b'{"text": 5}\n', "line 1 is int, not a string"),
        ("a.jsonl.gz", b"no gzip", "damaged or not compressed"),
        ("a.txt.gz", gzip.compress(b"a line\n" * 9999)[:60], "damaged or not compressed"),
        ("a.parquet", b"no parquet", "not a Parquet file"),
        ("a.csv", b"text\n", "of no known kind"),
        ("gz.gz", b"", "of no known kind"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        list(read_texts(tmp_path / name))


def test_missing_sources_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        list_text_files(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="no texts in this folder"):
        list_text_files(tmp_path)
    pl.DataFrame({"body": ["x"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(ConfigurationError, match="no column 'text'"):
        list(read_texts(tmp_path / "x.parquet"))
