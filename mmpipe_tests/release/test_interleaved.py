"""OBELICS and MMC4 files hold the fields that their readers name, and the datasets library reads them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.release.interleaved import (
    OBELICS_DATASET,
    convert_obelics_to_arrow,
    list_repeated_urls,
    name_mmc4_shard,
    render_mmc4,
    render_obelics,
    render_obelics_jsonl,
)
from mmpipe.tables.interleaved import INTERLEAVED_DOCUMENTS

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = pl.DataFrame(
    {
        "pair_id": ["p1", "p2"],
        "image_url": ["https://a.example/i/red-boat_02.jpg?w=3", "https://a.example/x"],
        "alt": ["A red boat", None],
        "image_sha256": ["a" * 64, "b" * 64],
        "image_format": ["jpeg", "png"],
        "image_width": [640, 300],
        "image_height": [480, 200],
    }
)


def make_documents(**columns: Any) -> pl.DataFrame:
    row = {
        "doc_id": "d1", "dump": "one", "url": "https://a.example/page", "warc_file": "f.warc.gz", "warc_offset": 12,
        "warc_length": 345, "order": "page", "texts": ["One.\n\nTwo é.", None, "Three.", None],
        "images": [None, "p1", None, "p2"],
        "image_markup": [{"src": "/i/red-boat_02.jpg?w=3", "width": 320, "height": None}, None],
        "removed_nodes": [], **columns,
    }  # fmt: skip
    names = INTERLEAVED_DOCUMENTS.column_names
    filled = {name: row.get(name) for name in names}
    return INTERLEAVED_DOCUMENTS.conform(pl.DataFrame([filled], schema=INTERLEAVED_DOCUMENTS.schema))


SIMILAR = {
    "order": "similarity", "texts": [None, "One.", "Two é.", None, "Three."], "images": ["p1", None, None, "p2", None],
    "matched_text_index": [0, 2], "matched_sim": [0.31, 0.2], "similarity_matrix": [[0.31, 0.1, 0.0], [0.2, 0.3, 0.2]],
}  # fmt: skip


def test_obelics_rows_are_parallel_lists_with_the_pages_metadata() -> None:
    (row,) = render_obelics(make_documents(), PAIRS).iter_rows(named=True)

    assert row["texts"] == ["One.\n\nTwo é.", None, "Three.", None]
    assert row["images"] == [None, "https://a.example/i/red-boat_02.jpg?w=3", None, "https://a.example/x"]
    assert json.loads(row["general_metadata"]) == {
        "url": "https://a.example/page", "warc_filename": "f.warc.gz", "warc_record_offset": 12,
        "warc_record_length": 345,
    }  # fmt: skip
    metadata = json.loads(row["metadata"])
    assert [item is None for item in metadata] == [True, False, True, False]
    assert metadata[1] == {
        "document_url": "https://a.example/page", "unformatted_src": "/i/red-boat_02.jpg?w=3",
        "src": "https://a.example/i/red-boat_02.jpg?w=3", "formatted_filename": "red boat 02", "alt_text": "A red boat",
        "rendered_width": 320, "format": "jpeg", "original_width": 640, "original_height": 480,
    }  # fmt: skip
    assert metadata[3]["unformatted_src"] == "https://a.example/x"


def test_pictures_may_be_named_by_their_files() -> None:
    (row,) = render_obelics(make_documents(), PAIRS, image_paths={"p1": "images/1.jpeg"}).iter_rows(named=True)

    assert row["images"] == [None, "images/1.jpeg", None, "https://a.example/x"]


def test_mmc4_lines_hold_sentences_pictures_and_likenesses() -> None:
    documents = make_documents(**SIMILAR)

    (line,) = render_mmc4(documents, PAIRS, repeated_urls={"https://a.example/page"})

    assert json.loads(line) == {
        "url": "https://a.example/page",
        "text_list": ["One.", "Two é.", "Three."],
        "image_info": [
            {"image_name": f"{'a' * 64}.jpeg", "raw_url": "https://a.example/i/red-boat_02.jpg?w=3",
             "matched_text_index": 0, "matched_sim": 0.31, "face_detections": None},
            {"image_name": f"{'b' * 64}.png", "raw_url": "https://a.example/x",
             "matched_text_index": 2, "matched_sim": 0.2, "face_detections": None},
        ],
        "similarity_matrix": [[0.31, 0.1, 0.0], [0.2, 0.3, 0.2]],
        "could_have_url_duplicate": 1,
    }  # fmt: skip
    assert line.endswith("\n")


def test_documents_of_the_same_url_are_marked() -> None:
    one, two = make_documents(**SIMILAR), make_documents(doc_id="d2", **SIMILAR)
    other = make_documents(doc_id="d3", url="https://a.example/other", **SIMILAR)
    documents = pl.concat([one, two, other])

    repeated = list_repeated_urls(documents)
    lines = [json.loads(line) for line in render_mmc4(documents, PAIRS, repeated_urls=repeated)]

    assert repeated == {"https://a.example/page"}
    assert [line["could_have_url_duplicate"] for line in lines] == [1, 1, 0]


def test_what_cannot_be_rendered_says_what_to_change() -> None:
    with pytest.raises(ConfigurationError, match="order: similarity"):
        list(render_mmc4(make_documents(), PAIRS))
    with pytest.raises(ConfigurationError, match="p2"):
        render_obelics(make_documents(), PAIRS.head(1))


def test_the_datasets_library_reads_every_file_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets
    import pyarrow.parquet as pq

    documents = make_documents(**SIMILAR)
    rows = render_obelics(pl.concat([documents, make_documents(doc_id="d2")]), PAIRS)
    pq.write_table(convert_obelics_to_arrow(rows), tmp_path / "obelics.parquet")
    (tmp_path / "obelics.jsonl").write_text("".join(render_obelics_jsonl(rows)), encoding="utf-8")
    (tmp_path / name_mmc4_shard(0)).write_text("".join(render_mmc4(documents, PAIRS)), encoding="utf-8")

    def load(kind: str, name: str) -> list[dict[str, Any]]:
        cache = str(tmp_path / "cache")
        return list(datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=cache))

    parquet, jsonl = load("parquet", "obelics.parquet"), load("json", "obelics.jsonl")
    assert parquet == rows.to_dicts() == jsonl
    assert set(parquet[0]) == set(OBELICS_DATASET)
    for row in parquet:
        assert all((text is None) != (image is None) for text, image in zip(row["texts"], row["images"], strict=True))
    (mmc4,) = load("json", "docs_shard_0_v2.jsonl")
    assert mmc4["text_list"] == ["One.", "Two é.", "Three."]
    assert [item["matched_text_index"] for item in mmc4["image_info"]] == [0, 2]
    assert mmc4["similarity_matrix"] == SIMILAR["similarity_matrix"]
