from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mmpipe.errors import DatasetNotReady
from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.lanes.image_report import ImageReport, collect_image_report, list_plain, write_image_report
from mmpipe.lanes.image_samples import say_limit
from mmpipe.release.image_report import render_image_report, render_summary
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES
from mmpipe.tables.removals import IMAGE_REMOVALS
from mmpipe_tests.lanes.pair_lake import add_judged_pairs, draw_pairs

DUMP = "dump-1"
RULES = ("datacomp_image_min_side", "datacomp_image_aspect_ratio", "laion_nsfw_score")


def make_recipe() -> Recipe:
    recipe = load_recipe("refinedweb")
    rules = tuple(IMAGE_RULES[name] for name in RULES)
    return replace(recipe, images=replace(recipe.images, rules=rules, scores=("nsfw",)))


class House:
    """30 drawn pictures, a broken file and a missing one; two are unsafe, one of them also too small."""

    def __init__(self, folder: Path) -> None:
        self.cache = str(folder / "cache")
        self.lake = Lake(str(folder / "lake"))
        small = io.BytesIO()
        Image.effect_noise((90, 80), 90).convert("RGB").save(small, "PNG")
        drawn = draw_pairs(30)
        drawn[5] = (small.getvalue(), "png", "A small picture <b>of noise</b>")
        drawn += [(b"no picture", "jpeg", "Broken"), (b"", "jpeg", "Missing")]
        scores = {place: {"nsfw_score": 0.9 if place in (5, 6) else 0.1} for place in range(32)}
        add_judged_pairs(self.lake, DUMP, drawn, self.cache, make_recipe(), scores)
        self.ids = self.lake.dataset(IMAGE_CANDIDATES, DUMP).scan().collect()["pair_id"].to_list()

    @property
    def removals(self) -> pl.DataFrame:
        return self.lake.dataset(IMAGE_REMOVALS, DUMP).scan().collect()

    def collect(self, **more: object) -> ImageReport:
        return collect_image_report(self.lake, DUMP, cache_folder=self.cache, **more)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(house: House) -> ImageReport:
    return house.collect()


def read_thumbnail(address: str | None) -> np.ndarray:
    assert address is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"), dtype=float)


def test_the_funnel_is_the_ledgers(report, house):
    kept = house.lake.dataset(FILTERED_IMAGE_PAIRS, DUMP).scan().collect().height
    assert (report.judged, report.kept_pairs) == (32, kept)
    assert report.judged == kept + house.removals["pair_id"].n_unique()
    assert [stage.name for stage in report.stages] == [
        "image_candidates", "image_signals", "image_removals", "filtered_image_pairs"
    ]  # fmt: skip


def test_every_rule_is_counted_with_what_it_took_alone_and_its_limit(report, house):
    for rule in report.rules:
        ids = set(house.removals.filter(pl.col("rule") == rule.name)["pair_id"])
        others = set(house.removals.filter(pl.col("rule") != rule.name)["pair_id"])
        assert (rule.rows, rule.alone) == (len(ids), len(ids - others)), rule.name
    limits = {rule.name: rule.limit for rule in report.rules}
    assert limits["datacomp_image_min_side"] == "at least 200"
    # a rule that does not keep its own limit says so
    assert limits["laion_nsfw_score"] == "below 0.5"
    assert limits["not_an_image"] == "readable"
    assert set(limits) >= set(RULES)


def test_samples_show_what_was_measured_and_the_limit(report, house):
    for rule, pairs in report.samples.items():
        taken = house.removals.filter(pl.col("rule") == rule).sort("pair_id")
        assert [pair.pair_id for pair in pairs] == taken["pair_id"].to_list()[:8]
        assert [pair.value for pair in pairs] == taken["value"].to_list()[:8]
    small = next(pair for pair in report.samples["datacomp_image_min_side"] if pair.pair_id == house.ids[5])
    assert (small.value, small.limit, small.size, small.others) == (
        80.0,
        "at least 200",
        (90, 80),
        ("laion_nsfw_score",),
    )


def test_a_picture_removed_for_safety_is_hidden_under_every_rule(report, house):
    shown = {(rule, pair.pair_id): pair for rule, pairs in report.samples.items() for pair in pairs}
    unsafe = {house.ids[5], house.ids[6]}
    assert {pair_id for (_, pair_id), pair in shown.items() if pair.is_unsafe} == unsafe
    for rule in ("laion_nsfw_score", "datacomp_image_min_side"):
        pixels = read_thumbnail(shown[rule, house.ids[5]].thumbnail)
        # noise of standard deviation 90 is gone, patch by patch
        assert np.abs(np.diff(pixels, axis=1)).mean() < 3
    other = next(pair for pair in report.kept)
    assert not other.is_unsafe
    assert read_thumbnail(other.thumbnail).std() > 5


def test_a_score_that_no_rule_limits_hides_too(tmp_path):
    recipe = make_recipe()
    recipe = replace(recipe, images=replace(recipe.images, rules=recipe.images.rules[:2]))
    lake = Lake(str(tmp_path / "lake"))
    add_judged_pairs(lake, DUMP, draw_pairs(4), str(tmp_path / "cache"), recipe, {1: {"q16_score": 0.7}})
    report = collect_image_report(lake, DUMP, cache_folder=str(tmp_path / "cache"))
    assert [pair.is_unsafe for pair in report.kept].count(True) == 1


@pytest.mark.parametrize("scores", [(), ("nsfw",)])
def test_an_undecoded_picture_is_shown_but_where_safety_is_asked_for(tmp_path, scores):
    recipe = make_recipe()
    recipe = replace(recipe, images=replace(recipe.images, rules=recipe.images.rules[:2], scores=scores))
    lake, undecoded = Lake(str(tmp_path / "lake")), {"decode_status": "header_only", "image_min_side": 100.0}
    add_judged_pairs(lake, DUMP, draw_pairs(4), str(tmp_path / "cache"), recipe, {1: undecoded})
    report = collect_image_report(lake, DUMP, cache_folder=str(tmp_path / "cache"))
    ((pair,),) = report.samples.values()
    assert pair.thumbnail is not None
    assert pair.is_unsafe == bool(scores)
    (sides,) = (plot for plot in report.histograms if plot.signal == "image_min_side")
    assert sum(sides.counts) == 4


@pytest.mark.parametrize(
    ("rule", "removal", "said"),
    [
        ("mmpipe_near_duplicate_image", {"signal": "phash_distance", "low": 9.0}, "9 bits apart or more"),
        ("coyo_duplicate_pair", {"signal": "phash_distance", "low": 1.0}, "1 bit apart or more"),
        ("semdedup_embedding", {"signal": "embedding_similarity", "high": 0.98}, "of a cosine below 0.98"),
        ("metaclip_query_balance", {"signal": "balance_draw", "high": 0.25}, "drawn below its chance of 0.25"),
        ("laion_nsfw_score", {"signal": "nsfw_score", "low": None, "high": 0.5}, "below 0.5"),
    ],
)
def test_limits_are_said_with_what_they_limit(rule, removal, said):
    assert say_limit(rule, removal) == said


def test_a_word_in_the_caption_hides_the_picture(tmp_path):
    recipe = make_recipe()
    recipe = replace(recipe, images=replace(recipe.images, rules=(IMAGE_RULES["coyo_caption_flagged_words"],)))
    lake = Lake(str(tmp_path / "lake"))
    words = {place: {"caption_flagged_words": float(place == 1)} for place in range(4)}
    add_judged_pairs(lake, DUMP, draw_pairs(4), str(tmp_path / "cache"), recipe, words)
    report = collect_image_report(lake, DUMP, cache_folder=str(tmp_path / "cache"))
    (pair,) = report.samples["coyo_caption_flagged_words"]
    assert pair.is_unsafe
    assert not any(pair.is_unsafe for pair in report.kept)


def test_histograms_hold_every_decoded_picture_and_the_limit(report):
    histograms = {histogram.signal: histogram for histogram in report.histograms}
    assert set(histograms) == {"image_min_side", "image_aspect_ratio", "nsfw_score"}
    assert all(sum(plot.counts) + plot.unmeasured == 30 for plot in report.histograms)
    assert histograms["image_min_side"].limits == (("datacomp_image_min_side", 200.0, None),)


def test_groups_add_up(report):
    for title in ("hosts of pages", "hosts of pictures", "sources of captions", "formats"):
        assert sum(pairs for _, pairs, _ in report.groups[title]) == 32, title
        assert sum(kept for _, _, kept in report.groups[title]) == report.kept_pairs, title


def test_labels_are_compared(house):
    labels = pl.DataFrame({"pair_id": [*house.ids[4:7], "f" * 32], "label": ["keep", "remove", "remove", "keep"]})
    agreement = house.collect(labels=labels).agreement
    assert (agreement.labelled, agreement.unknown) == (3, 1)
    assert (agreement.overall.precision, agreement.overall.recall, agreement.overall.kappa) == (1.0, 1.0, 1.0)
    page = render_image_report(list_plain(house.collect(labels=labels)))
    assert "Agreement with people" in page


def test_the_page_stands_alone(house):
    page = write_image_report(house.lake, DUMP, cache_folder=house.cache)
    addresses: list[str] = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            addresses.extend(
                value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
            )

    Addresses().feed(page)
    assert {address[:23] for address in addresses if not address.startswith("#")} == {"data:image/jpeg;base64,"}
    assert "<script" not in page
    assert "url(" not in page
    assert "&lt;b&gt;of noise" in page


def test_a_page_is_the_same_each_time(house, report):
    again = house.collect()
    assert (again.samples, again.kept, again.histograms) == (report.samples, report.kept, report.histograms)


def test_pictures_that_are_gone_leave_the_page_standing(tmp_path):
    import shutil

    house = House(tmp_path)
    shutil.rmtree(house.cache)
    report = house.collect()
    assert all(pair.thumbnail is None for pair in report.kept)
    assert "no picture" in render_image_report(list_plain(report))


def test_the_summary_is_a_short_table(report):
    summary = render_summary(list_plain(report))
    assert f"32 described pictures, {report.kept_pairs} kept" in summary
    assert "| `datacomp_image_min_side` | at least 200 | 1 |" in summary


def test_a_dump_that_is_not_judged_has_no_report(tmp_path):
    with pytest.raises(DatasetNotReady):
        collect_image_report(Lake(str(tmp_path)), DUMP)
