"""A tokenizer is known by its files where nothing is to be made, and never taken for another one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mmpipe.lanes.known_tokenizers as known_tokenizers
from mmpipe.filtering.pretraining_sections import PretrainingSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.release_sections import ReleaseSettings
from mmpipe.lanes.known_tokenizers import KnownTokenizer
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.tokenizer import load_tokenizer
from mmpipe.models.tokenizer_files import digest_tokenizer_files
from mmpipe.storage.lake import Lake
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from mmpipe.storage.shards import Production

WORDS = [" ".join(f"word{number}" for number in range(place, place + 40)) for place in range(12)]


def save_tokenizer(folder: Path, words: list[str]) -> str:
    """Save a tokenizer of these words, with the end-of-text token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(["?", "</s>", *words])}, "?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(str(folder))
    return str(folder)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    rows = [{"doc_id": f"d{place}", "dump": "a", "text": text} for place, text in enumerate(WORDS)]
    publish(lake, DEDUPED_CORPUS, "a", fill_rows(DEDUPED_CORPUS, rows))
    return lake


def release(lake: Lake, tokenizer: str, *, added: tuple[str, ...] = (), memory_mapped: bool = False) -> Production:
    recipe = replace(
        load_recipe("refinedweb"),
        pretraining=PretrainingSettings(sequence_length=64, added_tokens=added),
        release=ReleaseSettings(memory_mapped=memory_mapped),
    )
    knobs = Knobs(cache_folder=f"{lake.root}-cache", tokenizer=tokenizer)
    return run_stages(lake, None, [RELEASE_LANE[-1]], recipe=recipe, knobs=knobs)[PRETRAINING_DATASET.name]


def test_nothing_is_loaded_where_nothing_is_to_be_made(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = save_tokenizer(tmp_path / "words", ["word0", "word1"])
    assert release(lake, place, memory_mapped=True).made_shards == 1
    loads: list[str] = []
    monkeypatch.setattr(known_tokenizers, "open_tokenizer_for", lambda *_: loads.append("") or 1 / 0)
    assert release(lake, place, memory_mapped=True).made_shards == 0
    assert loads == []


def test_a_changed_tokenizer_is_seen_though_size_and_time_are_those_of_before(lake: Lake, tmp_path: Path) -> None:
    place = save_tokenizer(tmp_path / "words", ["word0", "word1"])
    release(lake, place)
    file = tmp_path / "words" / "tokenizer.json"
    found = file.stat()
    text = file.read_text()
    # the same bytes in number: the two words change their ids
    file.write_text(text.replace('"word0"', '"wordX"').replace('"word1"', '"word0"').replace('"wordX"', '"word1"'))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert file.stat().st_size == found.st_size

    assert release(lake, place).made_shards == 1
    assert KnownTokenizer(place, (), f"{lake.root}-cache").digest == load_tokenizer(place).digest


@pytest.mark.parametrize("place", ["", "folder"])
def test_what_is_known_is_what_is_loaded(tmp_path: Path, place: str) -> None:
    place = save_tokenizer(tmp_path / "words", ["word0"]) if place else ""
    loaded = load_tokenizer(place or None)
    for _ in range(2):  # measured, then read
        tokenizer = KnownTokenizer(place, (), str(tmp_path / "cache"))
        assert (tokenizer.digest, tokenizer.vocabulary_size) == (loaded.digest, loaded.vocabulary_size)
    (record,) = (tmp_path / "cache" / "known_tokenizers").iterdir()
    assert json.loads(record.read_text()) == [loaded.digest, loaded.vocabulary_size]


def test_added_tokens_and_names_on_the_hub_are_asked_of_the_tokenizer_itself(lake: Lake, tmp_path: Path) -> None:
    place = save_tokenizer(tmp_path / "words", ["word0"])
    release(lake, place)
    assert release(lake, place, added=("<table>",)).made_shards == 1
    plan = Path(lake.dataset(PRETRAINING_DATASET).folder.url) / "release" / "tokenizer" / "embedding_plan.json"
    assert [row["token"] for row in json.loads(plan.read_text())] == ["<table>"]
    assert len(list((tmp_path / "lake-cache" / "known_tokenizers").iterdir())) == 1
    assert digest_tokenizer_files("nobody/of-this-name") is None


def test_weights_of_a_folder_say_nothing_of_its_tokenizer(tmp_path: Path) -> None:
    place = save_tokenizer(tmp_path / "words", ["word0"])
    before = digest_tokenizer_files(place)
    (tmp_path / "words" / "model.safetensors").write_bytes(b"weights")
    assert digest_tokenizer_files(place) == before
    (tmp_path / "words" / "merges.txt").write_text("a b\n")
    assert digest_tokenizer_files(place) != before


def test_a_large_model_is_not_read_for_its_tokenizer(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    for size, is_read in ((4096, True), (2 * 2**30 + 1, False)):
        with model.open("wb") as written:
            written.truncate(size)
        assert (digest_tokenizer_files(str(model)) is not None) == is_read
