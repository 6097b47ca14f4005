from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from mmpipe.filtering.pretraining_sections import PretrainingSettings
from mmpipe.lanes.pretraining_mixture import plan_sources
from mmpipe.lanes.pretraining_sources import open_source
from mmpipe.models.tokenizer import load_tokenizer
from mmpipe.tables.instructions import PREFERENCE_DATASET, PRETRAINING_DATASET, SFT_DATASET
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from mmpipe.demo.sample_crawl import SampleCrawl
    from mmpipe.storage.lake import Lake

# one process for all tests of the lanes: the lanes run once
pytestmark = pytest.mark.xdist_group("lanes")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))


def test_the_sft_dataset_loads_as_trainers_load_it(whole_lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = whole_lake.dataset(SFT_DATASET).folder.url
    rows = whole_lake.dataset(SFT_DATASET).scan().collect()
    text = load_dataset(folder, "text_only", split="train", cache_dir=str(tmp_path))
    pictured = load_dataset(folder, "with_images", split="train", cache_dir=str(tmp_path))

    assert len(text) + len(pictured) == rows.height
    assert text[0]["messages"][0]["role"] == "user"
    assert text[0]["messages"][-1]["role"] == "assistant"
    assert "images" not in text.column_names
    row = pictured[0]
    assert row["images"][0].size[0] > 0
    parts = row["messages"][0]["content"]
    assert [part["type"] for part in parts].count("image") == len(row["images"])
    assert "<image>" not in "".join(part["text"] or "" for part in parts)


def test_the_jsonl_beside_it_holds_the_same_rows_and_names_its_images(
    whole_lake: Lake, sample_crawl: SampleCrawl
) -> None:
    folder = Path(whole_lake.dataset(SFT_DATASET).folder.url) / "release" / "with_images"
    lines = pl.read_ndjson(folder / f"{sample_crawl.dumps[0].name}.jsonl")

    assert lines.height
    for images in lines["images"]:
        for path in images:
            from PIL import Image

            assert Image.open(io.BytesIO((folder / path).read_bytes())).size[0] > 0


def test_a_preference_is_a_prompt_and_two_different_answers(whole_lake: Lake) -> None:
    rows = whole_lake.dataset(PREFERENCE_DATASET).scan().collect()

    for row in rows.iter_rows(named=True):
        assert row["prompt"][-1]["role"] == "user"
        assert [turn["role"] for turn in row["chosen"] + row["rejected"]] == ["assistant", "assistant"]
        assert row["chosen"][0]["content"].split() != row["rejected"][0]["content"].split()
        assert row["score_chosen"] > row["score_rejected"]


def test_the_card_says_where_the_rows_come_from(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    card = whole_lake.dataset(SFT_DATASET).folder.join("README.md").read_text()

    assert sample_crawl.dumps[0].name in card
    assert "transformers:SmolLM2" in card
    assert "refinedweb" in card


def test_every_token_of_the_corpus_is_packed_once(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    tokenizer = load_tokenizer(None)
    texts = whole_lake.dataset(DEDUPED_CORPUS, sample_crawl.dumps[0].name).scan().collect()["text"].to_list()
    packed = whole_lake.dataset(PRETRAINING_DATASET).scan().collect()

    tokens = sum(len(ids) + 1 for ids in tokenizer.encode_batch(texts))
    assert packed["input_ids"].list.len().sum() == tokens
    assert packed["doc_lengths"].list.sum().to_list() == packed["input_ids"].list.len().to_list()
    # the shards of a dump are packed together: its last sequence alone is short
    assert whole_lake.dataset(DEDUPED_CORPUS, sample_crawl.dumps[0].name).require_manifest().commits[1:]
    assert packed.height == -(-tokens // 2048)


def test_the_pretraining_dataset_loads_too(whole_lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    dataset = whole_lake.dataset(PRETRAINING_DATASET)
    loaded = load_dataset(dataset.folder.url, split="train", cache_dir=str(tmp_path))

    assert len(loaded) == dataset.require_manifest().rows_out
    assert loaded[0]["input_ids"]


def test_a_part_of_an_epoch_is_chosen_over_the_whole_dump(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    name = sample_crawl.dumps[0].name
    corpus = whole_lake.dataset(DEDUPED_CORPUS, name)
    source, tokenizer = open_source(corpus), load_tokenizer(None)

    half, more, whole = (
        plan_sources(PretrainingSettings(epochs={name: epochs}), [source], tokenizer).once_more[name]
        for epochs in (1.5, 1.8, 2.0)
    )

    assert whole == []
    assert 0 < len(half) < len(more) < corpus.scan().collect().height
    assert set(half) <= set(more)
