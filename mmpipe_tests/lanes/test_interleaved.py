"""Pages become documents through the real lane: nothing is lost on the way, whatever the order and the shards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from mmpipe.errors import ConfigurationError, RecipeError, ShardError
from mmpipe.filtering.image_sections import InterleavedSettings
from mmpipe.filtering.interleaved_rules import (
    INTERLEAVED_RULES,
    MMC4_DOCUMENT,
    MMC4_NODE,
    OBELICS_DOCUMENT,
    OBELICS_NODE,
)
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.interleaved import INTERLEAVED_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.clip import ClipModel
from mmpipe.storage.places import Place
from mmpipe.storage.warc import cut_ranges
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.interleaved import INTERLEAVED_CANDIDATES, INTERLEAVED_DOCUMENTS, INTERLEAVED_REMOVALS, NODE_REASONS
from mmpipe_tests.lanes.interleaved_lakes import DUMP, make_lake, write_pages
from mmpipe_tests.lanes.running import run_stages, save_untrained_clip

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Lake

PARAGRAPHS = (
    "The old harbour lies below the town, and every morning the fishing boats come back with the tide.",
    "In the summer months visitors walk along the quay, look at the nets, and eat fresh fish in the bars.",
    "A museum beside the church tells how the harbour was built, who paid for it, and why it silted up.",
    "Most of the boats are made of wood and were built by the same family, which still keeps a yard here.",
)
AGAIN = "It was the best of the boats of the town, " * 3 + "and it was the best of the boats of the town."
PAGE = (
    "<html><body><nav><img src='/logo.png' alt='Logo'></nav><article><h1>The harbour of the old town</h1>"
    f"<p>{PARAGRAPHS[0]}</p><img src='/boats.jpg' alt='Boats' width=640 height=480><p>{PARAGRAPHS[1]}</p>"
    f"<p>{AGAIN}</p><img src='/nets.jpg' alt='Nets'><p>{PARAGRAPHS[2]} He left.</p>"
    f"<img src='/boats.jpg' alt='Boats again'><p>{PARAGRAPHS[3]}</p></article></body></html>"
)


def make_recipe(**settings: object) -> Recipe:
    """Return a recipe with lists of flagged words, which OBELICS' rules need."""
    return replace(load_recipe("bloom"), interleaved=InterleavedSettings(**settings))  # type: ignore[arg-type]


def read(lake: Lake) -> list[pl.DataFrame]:
    tables = (INTERLEAVED_CANDIDATES, INTERLEAVED_REMOVALS, INTERLEAVED_DOCUMENTS)
    return [lake.dataset(table, DUMP).scan().collect() for table in tables]


def check_nothing_is_lost(lake: Lake) -> None:
    """Every kept pair of a page is in its document or named with its reason; exactly one node per position."""
    candidates, removals, documents = read(lake)
    pairs = lake.dataset(FILTERED_IMAGE_PAIRS, DUMP).scan().collect()
    assert set(candidates["doc_id"]) == set(pairs["doc_id"])
    assert set(documents["doc_id"]) == set(candidates["doc_id"]) - set(removals["doc_id"])
    of_page = {doc_id: set(ids) for doc_id, ids in pairs.group_by("doc_id").agg("pair_id").iter_rows()}
    for row in candidates.iter_rows(named=True):
        assert all((text is None) != (image is None) for text, image in zip(row["texts"], row["images"], strict=True))
        shown = [image for image in row["images"] if image is not None]
        removed = [node["pair_id"] for node in row["removed_nodes"] if node["pair_id"] is not None]
        assert sorted(shown + removed) == sorted(of_page[row["doc_id"]])
        assert len(row["image_markup"]) == len(shown) == row["image_count"]
        assert all((node["text"] is None) != (node["pair_id"] is None) for node in row["removed_nodes"])
        assert all(node["reason"] in (*NODE_REASONS, *INTERLEAVED_RULES) for node in row["removed_nodes"])


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("harbour")
    (folder / "crawl").mkdir()
    pages = {"http://a.example/harbour": PAGE, "http://a.example/plain": "<p>Nothing to see, and no picture at all."}
    write_pages(folder / "crawl" / "pages.warc.gz", pages)
    return make_lake(folder / "lake", folder / "crawl" / "pages.warc.gz")


def test_a_document_has_its_pictures_where_the_page_shows_them(harbour: Lake) -> None:
    recipe = make_recipe(order="page", rules=OBELICS_DOCUMENT, node_rules=OBELICS_NODE)

    run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=recipe)

    candidates, removals, documents = read(harbour)
    pairs = dict(
        harbour.dataset(FILTERED_IMAGE_PAIRS, DUMP).scan().select("pair_id", "image_url").collect().iter_rows()
    )
    (row,) = documents.iter_rows(named=True)
    assert (candidates.height, removals.height) == (1, 0)
    nodes = zip(row["texts"], row["images"], strict=True)
    shown = [pairs[image].rpartition("/")[2] if image else text for text, image in nodes]
    assert shown[1:] == ["boats.jpg", PARAGRAPHS[1], "nets.jpg", f"{PARAGRAPHS[2]} He left.\n\n{PARAGRAPHS[3]}"]
    assert shown[0].endswith(PARAGRAPHS[0])
    assert row["image_markup"][0] == {"src": "/boats.jpg", "width": 640, "height": 480}
    reasons = {(node["text"] or pairs[node["pair_id"]]): node["reason"] for node in row["removed_nodes"]}
    assert reasons["http://a.example/logo.png"] == "outside_main_content"
    assert reasons["http://a.example/boats.jpg"] == "repeated_image"
    assert reasons[AGAIN].endswith("_repetition_ratio")
    assert row["language"] == "en"
    check_nothing_is_lost(harbour)


def test_a_document_that_fails_says_by_which_rule_and_value(harbour: Lake) -> None:
    rule = replace(INTERLEAVED_RULES["obelics_image_count"], low=3)
    run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=make_recipe(order="page", rules=(rule,)))

    _, removals, documents = read(harbour)

    assert documents.is_empty()
    assert removals.select("rule", "value", "low").rows() == [("obelics_image_count", 2.0, 3.0)]


def test_limits_of_documents_are_moved_without_reading_a_page(harbour: Lake) -> None:
    settings = {"order": "page", "node_rules": OBELICS_NODE}
    run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=make_recipe(rules=OBELICS_DOCUMENT, **settings))
    moved = run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=make_recipe(rules=OBELICS_DOCUMENT[:2], **settings))
    other = run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=make_recipe(order="page", node_rules=OBELICS_NODE[:2]))

    assert (moved["interleaved_candidates"].made_shards, moved["interleaved_removals"].made_shards) == (0, 1)
    assert other["interleaved_candidates"].made_shards == 1


def test_a_recipe_without_an_order_makes_empty_tables(harbour: Lake) -> None:
    made = run_stages(harbour, DUMP, INTERLEAVED_LANE, recipe=make_recipe())

    assert [frame.height for frame in read(harbour)] == [0, 0, 0]
    assert [production.manifest.rows_in for production in made.values()] == [0, 0, 0]


def test_a_rule_of_documents_among_those_of_nodes_stops_at_once(harbour: Lake) -> None:
    recipe = make_recipe(order="page", node_rules=OBELICS_DOCUMENT[:1])

    with pytest.raises(RecipeError, match=r"obelics_image_count.*interleaved\.rules"):
        run_stages(harbour, DUMP, INTERLEAVED_LANE[:1], recipe=recipe)


def test_likeness_of_sentences_without_weights_says_what_to_name(harbour: Lake) -> None:
    with pytest.raises(ConfigurationError, match="MMPIPE_CLIP"):
        run_stages(harbour, DUMP, INTERLEAVED_LANE[:1], recipe=make_recipe(order="similarity"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_untrained_clip(tmp_path_factory.mktemp("weights") / "clip")


def make_lake_of_likenesses(folder: Path, weights: str, liked: dict[str, str], digest: str | None = None) -> Lake:
    """Return a lake in which the embedding of a picture is that of a sentence, by the picture's name."""
    clip = ClipModel(weights, device="cpu")

    def embed(url: str) -> bytes | None:
        sentence = liked.get(url.rpartition("/")[2])
        return None if sentence is None else clip.embed_texts([sentence])[0].astype("<f2").tobytes()

    (folder / "crawl").mkdir()
    write_pages(folder / "crawl" / "pages.warc.gz", {"http://a.example/harbour": PAGE})
    return make_lake(
        folder / "lake", folder / "crawl" / "pages.warc.gz", embed=embed, clip_weights=digest or clip.digest
    )


def test_pictures_go_with_the_sentences_that_they_are_like(tmp_path: Path, weights: str) -> None:
    # against the order of the page, so that only likeness can put them so
    liked = {"boats.jpg": "He left.", "nets.jpg": PARAGRAPHS[1]}
    lake = make_lake_of_likenesses(tmp_path, weights, liked)
    recipe = make_recipe(order="similarity", rules=MMC4_DOCUMENT, node_rules=MMC4_NODE)
    knobs = Knobs(clip_weights=weights, device="cpu")

    run_stages(lake, DUMP, INTERLEAVED_LANE, recipe=recipe, knobs=knobs)

    (row,) = read(lake)[2].iter_rows(named=True)
    pairs = dict(lake.dataset(FILTERED_IMAGE_PAIRS, DUMP).scan().select("pair_id", "image_url").collect().iter_rows())
    sentences = [text for text in row["texts"] if text is not None]
    pictures = [image for image in row["images"] if image is not None]
    found = {
        pairs[image].rpartition("/")[2]: sentences[text]
        for image, text in zip(pictures, row["matched_text_index"], strict=True)
    }
    assert found == liked
    for image in pictures:
        place = row["images"].index(image)
        assert row["texts"][place + 1] == liked[pairs[image].rpartition("/")[2]]
    matrix = np.array(row["similarity_matrix"])
    assert matrix.shape == (2, len(sentences))
    assert row["matched_sim"] == matrix[[0, 1], row["matched_text_index"]].tolist()
    assert np.allclose(row["matched_sim"], 1, atol=1e-3)
    check_nothing_is_lost(lake)


def test_a_picture_without_an_embedding_is_left_out_by_name(tmp_path: Path, weights: str) -> None:
    lake = make_lake_of_likenesses(tmp_path, weights, {"nets.jpg": PARAGRAPHS[1]})

    run_stages(
        lake, DUMP, INTERLEAVED_LANE, recipe=make_recipe(order="similarity"),
        knobs=Knobs(clip_weights=weights, device="cpu"),
    )  # fmt: skip

    (row,) = read(lake)[0].iter_rows(named=True)
    assert "no_image_embedding" in {node["reason"] for node in row["removed_nodes"]}
    assert row["image_count"] == 1
    check_nothing_is_lost(lake)


def test_pictures_beyond_all_measure_are_left_out_by_name(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make_lake_of_likenesses(tmp_path, weights, {"boats.jpg": "He left.", "nets.jpg": PARAGRAPHS[1]})
    monkeypatch.setattr("mmpipe.lanes.sentence_matches._MOST_COSINES", 1)

    run_stages(
        lake, DUMP, INTERLEAVED_LANE, recipe=make_recipe(order="similarity"),
        knobs=Knobs(clip_weights=weights, device="cpu"),
    )  # fmt: skip

    (row,) = read(lake)[0].iter_rows(named=True)
    assert (row["image_count"], len(row["matched_sim"])) == (1, 1)
    assert "too_many_images" in {node["reason"] for node in row["removed_nodes"]}
    check_nothing_is_lost(lake)


def test_embeddings_of_other_weights_are_not_compared(tmp_path: Path, weights: str) -> None:
    lake = make_lake_of_likenesses(tmp_path, weights, {"nets.jpg": PARAGRAPHS[1]}, digest="0" * 64)

    with pytest.raises(ShardError, match="same weights"):
        run_stages(
            lake, DUMP, INTERLEAVED_LANE[:1], recipe=make_recipe(order="similarity"),
            knobs=Knobs(clip_weights=weights, device="cpu"),
        )  # fmt: skip


def test_real_pages_lose_nothing_and_do_not_depend_on_shards(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "web" / "real_pages.warc.gz"
    (part, *_) = cut_ranges(Place(str(source)), 2 * 2**20, Place(str(source.parent)))
    (tmp_path / "crawl").mkdir()
    warc = tmp_path / "crawl" / "real.warc.gz"
    with source.open("rb") as stream:
        warc.write_bytes(stream.read(part.stop))
    recipe = make_recipe(order="page", rules=OBELICS_DOCUMENT, node_rules=OBELICS_NODE)
    frames = []
    for range_bytes in (64 * 2**20, 2**19):
        lake = make_lake(tmp_path / f"lake-{range_bytes}", warc, range_bytes=range_bytes)
        run_stages(lake, DUMP, INTERLEAVED_LANE, recipe=recipe)
        check_nothing_is_lost(lake)
        frames.append([frame.sort("doc_id") for frame in read(lake)])

    assert all(whole.equals(cut) for whole, cut in zip(*frames, strict=True))
    candidates, _, documents = frames[0]
    assert candidates.height > 20
    assert 0 < documents.height < candidates.height
    assert documents["text_words"].min() >= 10
    assert documents["image_count"].min() >= 1
