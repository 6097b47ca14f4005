from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from mmpipe.errors import DatasetNotReady
from mmpipe.filtering.image_sections import ImageDuplicates, ImageSettings
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.rules import Rule
from mmpipe.lanes.image_duplicates import find_image_duplicates
from mmpipe.lanes.stage import Knobs, Stage
from mmpipe.storage.lake import Lake
from mmpipe.tables.identity import make_id
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from pathlib import Path

STAGE = Stage(IMAGE_DUPLICATES, (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS), find_image_duplicates, ("images",))
_REVISIONS = itertools.count(1)
SMALL = Rule(name="coyo_image_min_side", signal="image_min_side", low=200, source="COYO-700M")


def name(dump: str, place: int) -> str:
    return make_id("pair", dump, place)


def add_dump(lake: Lake, dump: str, pairs: list[dict[str, Any]]) -> None:
    """Publish pairs as candidates, signals and counts of a dump."""
    rows = [
        {"pair_id": name(dump, place), "dump": dump, "decode_status": "ok", "image_min_side": 300.0,
         "image_width": 400.0, "image_height": 300.0, "caption_chars": 5.0, "caption": "a cat", **pair}
        for place, pair in enumerate(pairs)
    ]  # fmt: skip
    for table in (IMAGE_CANDIDATES, IMAGE_SIGNALS, IMAGE_COUNTS):
        publish(lake, table, dump, fill_rows(table, rows))


def search(lake: Lake, dump: str, **settings: Any) -> dict[str, tuple[str | None, str | None, int | None]]:
    """Return for each row of image_duplicates the pair kept, method and bits."""
    images = ImageSettings(duplicates=ImageDuplicates(**settings), rules=(SMALL,))
    recipe = replace(load_recipe("refinedweb"), images=images)
    # a revision of its own for each search: another recipe is made anew, whatever its digest says
    stage = replace(STAGE, revision=next(_REVISIONS))
    run_stages(lake, dump, [stage], recipe=recipe, knobs=Knobs(cache_folder=f"{lake.root}-cache"))
    dataset = lake.dataset(IMAGE_DUPLICATES, dump)
    dataset.record_verdict([])
    rows = dataset.scan().select("pair_id", "kept_pair_id", "method", "distance").collect()
    return {row[0]: row[1:] for row in rows.iter_rows()}


def test_pairs_that_fail_a_rule_take_no_other_with_them(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_dump(lake, "one", [
        {"phash": "00000000000000ff", "image_min_side": 100.0, "image_width": 9000.0},
        {"phash": "00000000000000fe", "image_width": 500.0},
        {"phash": "00000000000000ff", "decode_status": "truncated_image"},
        {"phash": "00000000000000fc"},
        {"phash": "00000000000000fe", "caption": "another", "image_width": 900.0},
    ])  # fmt: skip
    found = search(lake, "one", phash_distance=2)
    assert found == {
        name("one", 1): (name("one", 1), None, None),
        name("one", 3): (name("one", 1), "phash", 1),
    }
    whatever = search(lake, "one", phash_distance=2, same_caption=False)
    assert whatever[name("one", 1)] == (name("one", 4), "phash", 0)
    commit = lake.dataset(IMAGE_DUPLICATES, "one").require_manifest().commits[0]
    assert (commit.rows_in, commit.removed_by_rule) == (3, {"mmpipe_near_duplicate_image": 2})


def test_what_an_earlier_dump_published_stays_and_only_that_counts(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_dump(lake, "one", [{"phash": "00000000000000ff"}, {"phash": "ffff0000ffff0000"}])
    add_dump(lake, "two", [
        {"phash": "00000000000000fe", "image_width": 9000.0},
        {"phash": "ffff0000ffff0001"},
        {"phash": "ffff0000ffff0003"},
    ])  # fmt: skip
    assert search(lake, "one", phash_distance=2, across_dumps=True) == {}
    with pytest.raises(DatasetNotReady, match="filtered_image_pairs"):
        search(lake, "two", phash_distance=2, across_dumps=True)
    kept = [{"pair_id": name("one", 0), "dump": "one", "caption": "a cat", "phash": "00000000000000ff"}]
    publish(lake, FILTERED_IMAGE_PAIRS, "one", fill_rows(FILTERED_IMAGE_PAIRS, kept))
    found = search(lake, "two", phash_distance=2, across_dumps=True)
    first, second = sorted([name("two", 1), name("two", 2)])
    assert found == {
        name("two", 0): (name("one", 0), "phash", 1),
        first: (first, None, None),
        second: (first, "phash", 1),
    }
    rows = lake.dataset(IMAGE_DUPLICATES, "two").scan().filter(pl.col("pair_id") == name("two", 0)).collect()
    assert rows.select("kept_dump", "cluster_pairs", "cluster_id").row(0) == (
        "one", 2, min(name("one", 0), name("two", 0)),
    )  # fmt: skip
    # the first dump comes again: nothing was before it
    assert search(lake, "one", phash_distance=2, across_dumps=True) == {}


def test_evaluation_images_go_by_a_list_beside_the_recipe(tmp_path: Path) -> None:
    lake, hashes = Lake(str(tmp_path / "lake")), tmp_path / "evaluation.txt"
    hashes.write_text(f"# two pictures\n00000000000000ff\n{7:064x}\n")
    add_dump(lake, "one", [
        {"phash": "00000000000000fe"},
        {"phash": "00000000000000f0", "image_sha256": f"{7:064x}"},
        {"phash": "00000000000000f0"},
    ])  # fmt: skip
    reference = ListReference(list=str(hashes), path=str(hashes))
    assert search(lake, "one", evaluation_hashes=(reference,), evaluation_distance=1) == {
        name("one", 0): (None, "evaluation_set", 1),
        name("one", 1): (None, "evaluation_set", None),
    }


def test_embeddings_are_read_from_the_signals(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    vectors = np.array([[1, 0, 0], [0.995, 0.0999, 0], [0, 1, 0]], dtype="<f2")
    add_dump(lake, "one", [
        {"phash": f"{place:x}" * 16, "image_embedding": vector.tobytes(), "image_width": 900.0 - place}
        for place, vector in enumerate(vectors)
    ])  # fmt: skip
    assert search(lake, "one", phash_distance=None, embedding_similarity=0.99) == {
        name("one", 0): (name("one", 0), None, None),
        name("one", 1): (name("one", 0), "embedding", None),
    }
    assert search(lake, "one", phash_distance=None, embedding_similarity=0.999) == {}


def test_turned_and_framed_pictures_are_found_where_the_recipe_asks(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    upright, turned, framed = "123456789abcdef0", "0fedcba987654321", "5555aaaa5555aaaa"
    others = [f"{place:x}" * 16 for place in range(2, 8)]
    add_dump(lake, "one", [
        {"phash": upright, "phash_orientations": " ".join([upright, turned, *others]), "phash_trimmed": upright,
         "image_width": 900.0},
        {"phash": turned, "phash_orientations": " ".join([turned, upright, *others]), "phash_trimmed": turned},
        {"phash": framed, "phash_orientations": " ".join([framed, *others, framed]), "phash_trimmed": upright},
    ])  # fmt: skip
    assert search(lake, "one", phash_distance=4) == {}
    assert search(lake, "one", phash_distance=4, orientations=True, trims_borders=True) == {
        name("one", 0): (name("one", 0), None, None),
        name("one", 1): (name("one", 0), "orientation", 0),
        name("one", 2): (name("one", 0), "border", 0),
    }


def test_a_recipe_without_a_search_finds_nothing(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    add_dump(lake, "one", [{"phash": "0" * 16}, {"phash": "0" * 16}])
    recipe = replace(load_recipe("refinedweb"), images=ImageSettings(duplicates=None))
    run_stages(lake, "one", [STAGE], recipe=recipe)
    assert lake.dataset(IMAGE_DUPLICATES, "one").scan().collect().equals(IMAGE_DUPLICATES.make_empty())
