"""A classifier is trained from files and datasets of the lake, and its recipe names them with their digests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.quality_classifier import train_from_files
from mmpipe.models.quality_training import QualitySettings
from mmpipe.storage.lake import Lake
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.commands.lakes import publish
from mmpipe_tests.models.test_quality import NEGATIVE, POSITIVE

TINY = QualitySettings(dimensions=8, buckets=2000, epochs=15, learning_rate=0.5, least_texts=20, held_out=0.2)


def write_positive(folder: Path) -> Path:
    file = folder / "positive.jsonl"
    file.write_text("".join(f"{json.dumps({'text': text})}\n" for text in POSITIVE))
    return file


def publish_negative(folder: Path) -> Lake:
    lake = Lake(str(folder / "lake"))
    for dump, texts in (("one", NEGATIVE[:100]), ("two", NEGATIVE[100:])):
        rows = [{"doc_id": f"{dump}-{number}", "text": text} for number, text in enumerate(texts)]
        publish(lake, DEDUPED_CORPUS, dump, rows)
        # a file that no manifest names is no part of the dataset
        (folder / "lake" / "deduped_corpus" / f"dump={dump}" / "part-left-over.parquet").write_bytes(b"half a file")
    return lake


def test_files_and_datasets_of_the_lake_are_read(tmp_path: Path) -> None:
    positive = write_positive(tmp_path)
    publish_negative(tmp_path)
    corpus = tmp_path / "lake" / "deduped_corpus"
    trained = train_from_files([positive], [corpus], tmp_path, TINY)
    assert sum(trained.report["texts"].values()) == 300
    assert trained.report["held_out"]["auc"] > 0.99
    recipe = yaml.safe_load((trained.folder / "recipe.yaml").read_text())
    assert [len(recipe["sources"][name]) for name in ("positive", "negative")] == [1, 2]
    assert recipe["sources"]["positive"][0]["bytes"] == positive.stat().st_size
    one_by_one = train_from_files([positive], [corpus / "dump=two", corpus / "dump=one"], tmp_path / "again", TINY)
    assert one_by_one.digest == trained.digest


def test_a_dataset_whose_checks_failed_is_refused(tmp_path: Path) -> None:
    lake = publish_negative(tmp_path)
    lake.dataset(DEDUPED_CORPUS, "two").record_verdict(["texts_are_there"])
    with pytest.raises(ConfigurationError, match="refused: blocking checks failed: texts_are_there"):
        train_from_files([write_positive(tmp_path)], [tmp_path / "lake" / "deduped_corpus"], tmp_path, TINY)
