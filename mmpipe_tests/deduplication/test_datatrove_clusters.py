"""Without verification and with datatrove's hashes, clusters are those of datatrove's own four stages."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import polars as pl

from mmpipe.deduplication.duplicate_index import build_index
from mmpipe.deduplication.duplicates import search_duplicates
from mmpipe.deduplication.minhash import sign_documents
from mmpipe.deduplication.minhash_presets import PRESETS
from mmpipe_tests.peers import find_peer

PEER = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzzy_dedup_peer.py"


def write_texts(count: int) -> list[str]:
    """Return texts of which each repeats one before it, more or less changed, or none."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnoprstuvwz", k=dice.randrange(2, 9))) for _ in range(3_000)]
    texts: list[list[str]] = []
    for number in range(count):
        source = texts[dice.randrange(number)] if number and dice.random() < 0.6 else dice.choices(words, k=100)
        text = list(source)
        for _ in range(dice.choice([0, 1, 3, 6, 10])):
            text[dice.randrange(len(text))] = dice.choice(words)
        texts.append(text)
    return [" ".join(text).capitalize() + "." for text in texts]


def test_clusters_are_those_of_datatrove(tmp_path: Path) -> None:
    python = find_peer("datatrove")
    texts = write_texts(150)
    frame = pl.DataFrame({"doc_id": [f"{number:03d}" for number in range(len(texts))], "text": texts})
    (tmp_path / "input").mkdir()
    frame.write_ndjson(tmp_path / "input" / "00000.jsonl")
    done = subprocess.run([python, str(PEER), str(tmp_path), "1"], check=True, capture_output=True, text=True)
    peer = json.loads(done.stdout.strip().splitlines()[-1])
    settings = PRESETS["datatrove"]
    documents = frame.with_columns(dump=pl.lit("d"), date=pl.lit(None, dtype=pl.String))
    index = build_index(tmp_path / "index", sign_documents(documents, settings).lazy(), settings)
    found = search_duplicates(index, [], frame, settings, tmp_path / "found").duplicates.collect()
    clusters = found.group_by("cluster_id").agg(pl.col("doc_id").sort()).get_column("doc_id").to_list()
    assert sorted(clusters) == peer["clusters"]
    assert len(clusters) > 10
