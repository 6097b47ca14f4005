"""Conversations mixed by method: every file has the rows that the card counts, and validation keeps each row once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, RecipeError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.release_sections import ReleaseSettings
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.row_mixture import mix_rows
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

#: Rows by method.
METHODS = {"raft": 30, "self_instruct": 20, "star": 10}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    lake = Lake(str(tmp_path / "lake"))
    publish_dump(lake, "a", METHODS)
    return lake


def publish_dump(lake: Lake, dump: str, methods: dict[str, int], prefix: str = "") -> None:
    rows = [
        {"instruction_id": f"{prefix}{method}{place:02}", "dump": dump, "method": method, "images": [],
         "instruction": f"What of {method} {place}?", "response": f"This of {method} {place}.",
         "parents": [{"table": "problems", "id": f"{prefix}{method}{place}"}]}
        for method, count in methods.items() for place in range(count)
    ]  # fmt: skip
    publish(lake, SYNTHESIZED_INSTRUCTIONS, dump, fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    for table in (FILTERED_IMAGE_PAIRS, INSTRUCTION_REMOVALS, INSTRUCTION_REVIEWS):
        publish(lake, table, dump, table.make_empty())


def release(lake: Lake, **settings: Any) -> Path:
    recipe = replace(load_recipe("refinedweb"), release=ReleaseSettings(**settings))
    run_stages(lake, None, [RELEASE_LANE[0]], recipe=recipe, knobs=Knobs(cache_folder=f"{lake.root}-cache"))
    return Path(lake.dataset(SFT_DATASET).folder.url)


def count_read(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.group_by("method").len().iter_rows())


def test_every_file_holds_the_mixture_and_the_card_counts_it(lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = release(lake, method_epochs={"raft": 2.5, "star": 0}, dialects=("trl",), pack_tokens=128)
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "d"))
    expected = {"raft": 75, "self_instruct": 20}
    assert Counter(loaded["method"]) == expected
    lines = [pl.read_ndjson(file) for file in sorted((folder / "release" / "trl" / "text_only").glob("*.jsonl"))]
    ids = Counter(name for frame in lines for name in frame["id"])
    assert sum(ids.values()) == 95
    assert Counter(ids.values()) == {3: 15, 2: 15, 1: 20}
    # a row stands in a file once
    assert all(frame["id"].is_unique().all() for frame in lines)
    packed = pl.read_parquet(folder / "release" / "packed" / "*.parquet")
    assert Counter(packed["row_ids"].explode()) == ids
    card = (folder / "README.md").read_text()
    assert "| raft | 30 | 75 | 78.95 % | 2.5 | 75 |" in card
    assert "| star | 10 | 0 | 0.00 % | 0 | 0 |" in card
    assert "| text_only | 95 |" in card
    # what is published holds each row once
    assert count_read(lake.dataset(SFT_DATASET).scan().collect()) == METHODS
    release(lake)
    names = [file.name for file in (folder / "release" / "text_only").iterdir()]
    assert sorted(names) == ["a.jsonl", "a.parquet"]


@pytest.mark.parametrize("name", ["a-epoch1", "a.epoch1"])
def test_no_epoch_of_a_dump_takes_the_place_of_another_dump(lake: Lake, name: str) -> None:
    publish_dump(lake, name, {"star": 5}, "other-")
    folder = release(lake, method_epochs={"raft": 2, "self_instruct": 2, "star": 2})
    rows = pl.read_parquet(folder / "release" / "text_only" / "*.parquet")
    assert Counter(rows["id"].value_counts()["count"]) == {2: 65}


def test_rows_that_validate_are_read_once(lake: Lake) -> None:
    folder = release(
        lake, method_weights={"raft": 1, "self_instruct": 1, "star": 2}, mixture_rows=60, validation_share=0.3
    )
    files = folder / "release" / "text_only"
    held = pl.read_parquet(files / "validation-a*.parquet")
    trained = pl.read_parquet(files / "train-a*.parquet")
    assert held["id"].is_unique().all()
    assert held.height > 3
    assert not set(held["id"]) & set(trained["id"])
    assert count_read(trained) == {"raft": 15, "self_instruct": 15, "star": 30}


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 12), min_size=1),
    st.integers(1, 60),
    st.data(),
)
def test_the_rows_read_are_those_planned(sizes: dict[str, int], total: int, data: st.DataObject) -> None:
    weights = {name: float(data.draw(st.integers(1, 5))) for name in sizes}
    ids = [(f"{name}{place}", name, "d") for name, count in sizes.items() for place in range(count)]
    rows = pl.DataFrame(ids, schema=["id", "method", "dump"], orient="row")
    mixture = mix_rows(rows, ReleaseSettings(method_weights=weights, mixture_rows=total))
    assert mixture is not None
    read = [part for _, part in mixture.part(rows)]
    counts = Counter(name for part in read for name in part["method"])
    for name, weight in weights.items():
        assert abs(counts[name] - total * weight / sum(weights.values())) <= 0.5 + 1e-6
    assert set(mixture.left_out["id"]) == set(rows["id"]) - {name for part in read for name in part["id"]}
    shuffled = mix_rows(rows.reverse(), ReleaseSettings(method_weights=weights, mixture_rows=total))
    assert shuffled is not None
    assert shuffled.chosen.sort("id", "epoch").equals(mixture.chosen.sort("id", "epoch"))


def test_a_method_without_a_share_is_named(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing gives 'raft' a share; write 0.*Did you mean 'rafft'"):
        release(lake, method_weights={"rafft": 1, "self_instruct": 1, "star": 1})


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{method_epochs: {a: -1}}", "method_epochs must not be negative"),
        ("{method_epochs: {a: 1}, method_weights: {a: 1}}", "both say how often"),
        ("{method_weights: {a: 0}}", "no row is left"),
        ("{pack_tokens: 9, template_date: 31.1.2026}", "expected a day such as 2026-01-31"),
        ("{template_date: 2026-01-31}", "write pack_tokens too"),
        ("{mixture_rows: 10}", "goes with method_weights"),
        ("{method_weights: {a: 1}, mixture_rows: 0}", "mixture_rows must be 1 or more"),
        ("{method_wieghts: {a: 1}}", "Did you mean 'method_weights'"),
    ],
)
def test_a_wrong_mixture_stops_with_its_line(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: refinedweb\n\nrelease: {section}\n")
    with pytest.raises(RecipeError, match=said) as error:
        load_recipe(str(path))
    assert "own.yaml:3" in str(error.value)
