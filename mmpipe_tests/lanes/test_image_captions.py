from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError, ShardError
from mmpipe.filtering.image_sections import CaptionSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.image_captions import CaptionModels, captions_shard
from mmpipe.lanes.image_lane import IMAGE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Production, ShardResult
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs
from mmpipe_tests.lanes.running import run_stages, save_untrained_clip
from mmpipe_tests.models.tiny_vision import save_blip

DUMP = "dump-1"
CAPTION_STAGE = [stage for stage in IMAGE_LANE if stage.table is IMAGE_CAPTIONS]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Real models with random weights: their code paths are real, what they say means nothing."""
    folder = tmp_path_factory.mktemp("weights")
    save_blip(folder / "captioner", "BlipForConditionalGeneration")
    save_blip(folder / "matcher", "BlipForImageTextRetrieval")
    return {
        "captioner_weights": str(folder / "captioner"),
        "matcher_weights": str(folder / "matcher"),
        "clip_weights": save_untrained_clip(folder / "clip"),
    }


class House:
    def __init__(self, folder: Path) -> None:
        self.lake, self.cache = Lake(str(folder / "lake")), str(folder / "cache")
        drawn = draw_pairs(6)
        drawn[0] = (*drawn[0][:2], "A man and his red square")
        self.pairs = add_pairs(self.lake, DUMP, drawn, self.cache)

    def make(self, weights: dict[str, str], **settings: Any) -> Production:
        recipe = replace(load_recipe("refinedweb"), captions=CaptionSettings(**settings))
        knobs = Knobs(cache_folder=self.cache, device="cpu", **weights)
        return run_stages(self.lake, DUMP, CAPTION_STAGE, recipe=recipe, knobs=knobs)["image_captions"]

    @property
    def rows(self) -> pl.DataFrame:
        return self.lake.dataset(IMAGE_CAPTIONS, DUMP).scan().collect()

    def polish(self, script: Any) -> ShardResult:
        models = CaptionModels(teacher=ScriptedTeacher(script))
        pairs, knobs = self.lake.dataset(FILTERED_IMAGE_PAIRS, DUMP), Knobs(cache_folder=self.cache)
        settings = CaptionSettings(methods=("polish",))
        return captions_shard(pairs, "all", settings, models, self.lake, knobs, 10**8)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_without_methods_the_table_is_empty_and_needs_no_models(house: House) -> None:
    production = house.make({})
    assert (production.manifest.rows_in, production.manifest.rows_out) == (6, 0)
    assert house.rows.columns == IMAGE_CAPTIONS.column_names


def test_recaption_and_capfilt_stand_beside_the_crawls_caption(house: House, weights: dict[str, str]) -> None:
    house.make(
        weights, methods=("recaption", "capfilt"), captions_per_image=2, max_tokens=5, top_p=1.0, least_match=0.5
    )
    rows = house.rows
    sampled, judged = rows.filter(pl.col("method") == "recaption"), rows.filter(pl.col("method") == "capfilt")
    assert sampled.height == 12
    assert set(sampled["pair_id"]) == set(house.pairs["pair_id"])
    assert sampled["match_probability"].null_count() == 12
    crawl = judged.filter("is_crawl_caption")
    assert dict(crawl.select("pair_id", "caption").iter_rows()) == dict(
        house.pairs.select("pair_id", "caption").iter_rows()
    )
    assert judged.height == 6 + sampled.filter("is_kept").height
    assert judged["is_kept"].to_list() == (judged["match_probability"] >= 0.5).to_list()
    said = rows.filter(pl.col("caption") != "")
    assert said["clip_similarity"].is_between(-1, 1).all()
    assert said["clip_weights"].n_unique() == 1
    assert rows["caption_id"].n_unique() == rows.height


def test_a_similarity_is_that_of_its_own_picture_and_text(house: House, weights: dict[str, str]) -> None:
    import io

    from PIL import Image

    from mmpipe.lanes.images import read_pair_images
    from mmpipe.models.clip import ClipModel

    house.make({"clip_weights": weights["clip_weights"]}, methods=("gender_swap",))
    (row,) = house.rows.rows(named=True)
    pair = house.pairs.filter(pl.col("pair_id") == row["pair_id"])
    picture = Image.open(io.BytesIO(read_pair_images(house.lake, pair, house.cache)[row["pair_id"]]))
    ours = ClipModel(weights["clip_weights"], device="cpu").score_pairs([picture], ["A woman and her red square"])
    assert row["clip_similarity"] == pytest.approx(float(ours[0]), abs=1e-5)


def test_swaps_are_text_only(house: House) -> None:
    house.make({}, methods=("gender_swap",))
    (row,) = house.rows.rows(named=True)
    assert (row["caption"], row["source_caption"]) == ("A woman and her red square", "A man and his red square")
    assert (row["image_consistent"], row["is_kept"], row["clip_similarity"]) == (False, True, None)


def test_samples_depend_on_the_seed_and_are_made_once(house: House, weights: dict[str, str]) -> None:
    how = {"methods": ("recaption",), "max_tokens": 6, "top_p": 1.0}
    first = house.make(weights, **how)
    texts = house.rows["caption"].to_list()
    again = house.make(weights, **how)
    assert (first.made_shards, again.made_shards) == (1, 0)
    house.make(weights, **how, seed=2)
    assert house.rows["caption"].to_list() != texts
    house.make(weights, **how)
    assert house.rows["caption"].to_list() == texts


def test_a_method_without_its_model_stops_at_once(house: House, weights: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="MMPIPE_CAPTIONER"):
        house.make({}, methods=("recaption",))
    with pytest.raises(ConfigurationError, match="MMPIPE_MATCHER"):
        house.make({"captioner_weights": weights["captioner_weights"]}, methods=("capfilt",))


def test_a_picture_that_is_gone_is_counted_and_the_others_go_on(house: House, weights: dict[str, str]) -> None:
    gone = house.pairs.row(2, named=True)
    (Path(house.cache) / "images" / gone["image_sha256"][:2] / gone["image_sha256"]).unlink()
    production = house.make(weights, methods=("recaption",), max_tokens=4)
    assert production.manifest.counts["unreadable_image"] == 1
    assert set(house.rows["pair_id"]) == set(house.pairs["pair_id"]) - {gone["pair_id"]}


def read_caption(request: ChatRequest) -> str:
    return request.messages[-1].content.removeprefix("Caption: ")


def test_polish_mends_the_crawls_caption_and_counts_what_it_cost(house: House) -> None:
    result = house.polish(lambda request: json.dumps({"caption": f"{read_caption(request)}."}))
    assert result.frame["caption"].to_list() == [f"{caption}." for caption in house.pairs["caption"]]
    assert result.frame["source_caption"].to_list() == house.pairs["caption"].to_list()
    assert result.counts["requests"] == 6
    assert result.counts["prompt_tokens"] > 0


def test_what_the_teacher_adds_is_refused_by_name(house: House, caplog: pytest.LogCaptureFixture) -> None:
    result = house.polish(lambda _: json.dumps({"caption": "An elephant in the harbour of Lisbon."}))
    assert result.counts["refused_polish_ungrounded"] == 6
    assert not result.frame["is_kept"].any()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("captions, polish: 0 of 6 accepted: polish_ungrounded 6. ")
    caplog.clear()
    house.polish(lambda request: json.dumps({"caption": f"{read_caption(request)}."}))
    assert not caplog.records


def test_an_outage_is_no_result(house: House) -> None:
    from mmpipe.errors import TeacherError

    with pytest.raises(TeacherError):
        house.polish(lambda _: ChatFailure("timeout", "no answer"))


def test_polish_takes_the_synthetic_captions_where_there_are_some(house: House, weights: dict[str, str]) -> None:
    from mmpipe.models.captioner import Captioner

    teacher = ScriptedTeacher(lambda request: json.dumps({"caption": read_caption(request)}))
    models = CaptionModels(captioner=Captioner(weights["captioner_weights"], device="cpu"), teacher=teacher)
    settings = CaptionSettings(methods=("recaption", "polish"), max_tokens=5, top_p=1.0)
    frame = captions_shard(
        house.lake.dataset(FILTERED_IMAGE_PAIRS, DUMP), "all", settings, models, house.lake,
        Knobs(cache_folder=house.cache), 10**8,
    ).frame  # fmt: skip
    kept = frame.filter((pl.col("method") == "recaption") & pl.col("is_kept"))
    polished = frame.filter(pl.col("method") == "polish")
    sources = dict(polished.select("pair_id", "source_caption").iter_rows())
    assert {pair: sources[pair] for pair in kept["pair_id"]} == dict(kept.select("pair_id", "caption").iter_rows())


def test_a_broken_shard_is_an_exception(house: House, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpipe.models.captioner import Captioner

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(Captioner, "caption", refuse)
    with pytest.raises(ShardError, match="the device is gone"):
        house.make(weights, methods=("recaption",))


def test_other_weights_make_the_rows_again(house: House, weights: dict[str, str]) -> None:
    house.make({}, methods=("gender_swap",))
    measured = house.make({"clip_weights": weights["clip_weights"]}, methods=("gender_swap",))
    assert measured.made_shards == 1
    assert house.rows["clip_similarity"].null_count() == 0
