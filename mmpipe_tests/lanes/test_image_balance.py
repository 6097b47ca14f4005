"""The lane's balance: over all shards of a dump, of the pairs that pass and repeat none, the same however it is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pytest
import yaml

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.image_sections import ImageBalance
from mmpipe.filtering.list_files import ListTally, read_entries
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_lists import find_list
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.rules import Rule
from mmpipe.lanes.image_balance import BALANCED, balance_pairs, find_matcher
from mmpipe.lanes.stage import Knobs, Stage, StageRun
from mmpipe.sampling.balance_removals import cite_balance
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, Production, ShardResult, ShardWork, produce
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe_tests.lanes.pair_lake import fill_rows

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table

STAGE = Stage(IMAGE_BALANCE, BALANCED, balance_pairs, ("images", "image_balance"))
SUBJECTS = ["A dog in a park"] * 60 + ["a lighthouse, at night"] * 20 + ["two owls"] * 2 + ["DSC 0001"] * 8


def make_rows() -> list[dict[str, Any]]:
    """Return 90 pairs: dogs, lighthouses, owls and file names; the first dog is too small, the second a duplicate."""
    generator = np.random.default_rng(1)
    directions = {caption: generator.normal(size=8) for caption in dict.fromkeys(SUBJECTS)}
    rows = []
    for number, caption in enumerate(SUBJECTS):
        vector = directions[caption] + 0.05 * generator.normal(size=8)
        embedding = (vector / np.linalg.norm(vector)).astype("<f2").tobytes()
        rows.append(
            {
                "pair_id": make_id("pair", number),
                "caption": caption,
                "decode_status": "ok",
                "image_min_side": 100.0 if number == 0 else 300.0,
                "image_embedding": embedding,
            }
        )
    return rows


def publish(lake: Lake, table: Table, rows: list[dict[str, Any]], shards: int) -> None:
    work = [
        ShardWork(f"s{shard}", digest_settings([table.name, shards, shard]), (fill_rows(table, rows[shard::shards]),))
        for shard in range(shards)
    ]
    produce(
        lake.dataset(table, "d1"), work, _return, code_version="1", recipe_yaml="name: x\n", inputs={}, engine=Engine()
    )


def _return(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height)


def make_lake(folder: Path, shards: int, **changed: Any) -> Lake:
    lake = Lake(str(folder / f"lake-{shards}"))
    rows = [row | changed for row in make_rows()]
    for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS):
        publish(lake, table, rows, shards)
    repeated = {"pair_id": rows[1]["pair_id"], "kept_pair_id": rows[2]["pair_id"]}
    kept = {"pair_id": rows[2]["pair_id"], "kept_pair_id": rows[2]["pair_id"]}
    publish(lake, IMAGE_DUPLICATES, [repeated, kept], 1)
    return lake


def balance(lake: Lake, settings: ImageBalance | None, *, workers: int = 1, cache: str = "") -> Production:
    recipe = load_recipe("refinedweb")
    rule = Rule(name="test_image_min_side", signal="image_min_side", low=200, source="a test")
    recipe = replace(recipe, images=replace(recipe.images, rules=(rule,), balance=settings))
    run = StageRun(
        stage=STAGE,
        lake=lake,
        recipe=recipe,
        knobs=Knobs(cache_folder=cache),
        engine=Engine(workers=workers),
        dump="d1",
    )
    return balance_pairs(run)


def read(lake: Lake) -> pl.DataFrame:
    captions = lake.dataset(IMAGE_CANDIDATES, "d1").scan().select("pair_id", "caption").collect()
    return lake.dataset(IMAGE_BALANCE, "d1").scan().collect().join(captions, on="pair_id", how="left").sort("pair_id")


def count_kept(told: pl.DataFrame) -> dict[str, int]:
    kept = told.filter("is_kept").group_by(pl.col("caption")).len()
    return dict(kept.iter_rows())


def list_own_entries(folder: Path) -> ImageBalance:
    (folder / "entries.txt").write_text("# mine\ndog\nlighthouse\nowls\n", encoding="utf-8")
    reference = ListReference(list="entries.txt", path=str(folder / "entries.txt"), sha256="")
    return ImageBalance(method="queries", limit=20, entries=(reference,), lower_case=True)


METHODS = {
    "queries": ImageBalance(method="queries", limit=20, lower_case=True),
    "noun_phrases": ImageBalance(method="noun_phrases", limit=20),
    "concepts": ImageBalance(method="concepts", limit=20, clusters=4),
}


@pytest.mark.parametrize("method", list(METHODS))
def test_pairs_are_balanced_over_the_dump_however_it_is_cut(method: str, tmp_path: Path) -> None:
    whole, parts = make_lake(tmp_path, 1), make_lake(tmp_path, 4)

    production = balance(whole, METHODS[method])
    balance(parts, METHODS[method], workers=2, cache=str(tmp_path / "cache"))

    told = read(whole)
    assert told.equals(read(parts))
    # of 90 pairs one is too small and one repeats another
    assert told.height == 88
    assert set(told["method"]) == {method}
    kept = count_kept(told)
    assert kept["a lighthouse, at night"] == 20
    if method == "queries":
        assert kept.keys() == {"A dog in a park", "a lighthouse, at night", "two owls"}
        assert 8 <= kept["A dog in a park"] < 40  # dog and park draw for themselves: 58 * (1 - (1 - 20 / 58)**2) = 33
    if method == "noun_phrases":
        # two owls are below the floor of 3; of dog and park each has its 20
        assert kept.keys() == {"A dog in a park", "a lighthouse, at night", "DSC 0001"}
        assert 20 <= kept["A dog in a park"] <= 40
    if method == "concepts":
        assert kept == {"A dog in a park": 20, "a lighthouse, at night": 20, "two owls": 2, "DSC 0001": 8}
    account = production.manifest.commits[0]
    assert account.rows_out == 88
    assert account.rows_removed == 88 - sum(kept.values()) == cite_balance(told.drop("caption")).height


@pytest.mark.parametrize("method", list(METHODS))
def test_what_is_made_is_not_counted_again(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make_lake(tmp_path, 2)
    assert balance(lake, METHODS[method]).made_shards == 2

    def refuse(*_: object) -> None:
        raise AssertionError("pairs were read")

    monkeypatch.setattr("mmpipe.lanes.image_balance.list_passing", refuse)
    assert balance(lake, METHODS[method]).made_shards == 0
    with pytest.raises(AssertionError, match="pairs were read"):
        balance(lake, replace(METHODS[method], seed=7))


def test_what_is_published_keeps_its_contract(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 2)
    contracts = Path(__file__).resolve().parents[2] / "data_contracts"
    contract = yaml.safe_load((contracts / "image_balance.odcs.yaml").read_text(encoding="utf-8"))["schema"][0]
    for settings in METHODS.values():
        balance(lake, settings)
        rows = lake.dataset(IMAGE_BALANCE, "d1").scan().collect().to_arrow()  # noqa: F841 (DuckDB finds it by name)
        for check in contract["quality"]:
            assert duckdb.sql(check["query"].replace("${table}", "rows")).fetchall() == [(0,)], check["id"]
    assert [column["name"] for column in contract["properties"]] == IMAGE_BALANCE.column_names


@pytest.mark.parametrize("method", ["noun_phrases", "concepts"])
def test_subjects_ranked_in_parts_are_ranked_alike(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make_lake(tmp_path, 3)
    balance(lake, METHODS[method])
    at_once = read(lake)
    monkeypatch.setattr("mmpipe.lanes.image_balance._RANKED_LINKS", 10)

    # another number of shards, so that nothing is taken as made already
    parts = make_lake(tmp_path, 2)
    balance(parts, METHODS[method])

    assert read(parts).equals(at_once)


def test_own_entries_are_read_and_built_once(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 3)

    balance(lake, list_own_entries(tmp_path), cache=str(tmp_path / "cache"))

    kept = count_kept(read(lake))
    assert kept["a lighthouse, at night"] == 20
    assert kept["two owls"] == 2
    assert 10 <= kept["A dog in a park"] <= 32  # 20 of 58, three standard deviations
    assert len(list((tmp_path / "cache" / "entry_matchers").iterdir())) == 1


def test_without_a_balance_an_empty_table_is_published(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 3)

    production = balance(lake, None)

    assert production.manifest.rows_out == 0
    assert lake.dataset(IMAGE_BALANCE, "d1").scan().collect().is_empty()
    assert balance(lake, None).made_shards == 0


def test_concepts_without_embeddings_stop_by_name(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 2, image_embedding=None)

    with pytest.raises(ConfigurationError, match="CLIP"):
        balance(lake, METHODS["concepts"])


@pytest.mark.parametrize("method", list(METHODS))
def test_a_dump_without_passing_pairs_is_balanced_to_nothing(method: str, tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 2, image_min_side=1.0)

    assert balance(lake, METHODS[method]).manifest.rows_out == 0


@pytest.mark.parametrize("method", list(METHODS))
def test_another_seed_keeps_other_pairs(method: str, tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 2)
    kept = []
    for seed in (1, 2):
        balance(lake, replace(METHODS[method], seed=seed))
        kept.append(set(read(lake).filter("is_kept", caption="A dog in a park")["pair_id"]))

    assert kept[0] != kept[1]
    assert kept[0]


def test_the_packaged_entries_are_distinct_and_each_is_found() -> None:
    matcher = find_matcher(ImageBalance(method="queries", lower_case=True), "")

    tally = ListTally()
    listed = list(read_entries(find_list(ListReference(list="balance-entries"), None), str.strip, tally))

    assert tally.broken == 0
    assert sorted(listed) == matcher.names.sort().to_list()
    found = matcher.match(pl.Series([f"A {entry.upper()}, seen today" for entry in listed]))
    named = set(zip(found.rows.tolist(), matcher.names.gather(found.entries).to_list(), strict=True))
    assert set(enumerate(listed)) <= named
