"""Every rule of the image lane keeps and removes at its paper's limit; every preset is the paper's filter."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import polars as pl
import pytest

from mmpipe.filtering.image_rules import IMAGE_RULES, IMAGE_SCORE_COLUMNS
from mmpipe.filtering.image_sections import IMAGE_SCORES
from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import IMAGE_SIGNALS

#: Rule, values it keeps, values it removes; checked by hand against the source that the rule names.
CASES: tuple[tuple[str, list[Any], list[Any]], ...] = (
    ("laion_image_bytes", [5000, 5001], [4999]),
    ("laion_caption_chars", [5], [4, 0]),
    ("laion_clip_similarity", [0.3, 1.0], [0.2999]),
    ("laion5b_caption_language", ["en"], ["de", "und"]),
    ("laion5b_clip_similarity", [0.28], [0.2799]),
    ("laion_aesthetic_score", [7.001], [7.0, 6.9]),
    ("laion_watermark_score", [0.7999], [0.8, 0.9]),
    ("laion_nsfw_score", [0.4999], [0.5]),
    ("laion_image_min_side", [1024], [1023]),
    ("laion_q16_score", [0.5], [0.5001]),
    ("laion_toxic_text_excess", [0.0, -0.1], [0.0001]),
    ("datacomp_image_min_side", [200], [199]),
    ("datacomp_image_aspect_ratio", [3.0], [3.0001]),
    ("datacomp_caption_words", [3], [2]),
    ("datacomp_caption_space_words", [3], [2]),
    ("datacomp_caption_chars", [6], [5]),
    ("datacomp_caption_language", ["en"], ["sco"]),
    ("datacomp_clip_similarity_rank", [0.0, 0.2999], [0.3, 3 / 10]),
    ("datacomp_laion2b_clip_similarity", [0.28], [0.2799]),
    ("coyo_image_bytes", [5000], [4999]),
    ("coyo_image_min_side", [200], [199]),
    ("coyo_image_aspect_ratio", [3.0], [3.0001]),
    ("coyo_nsfw_score", [0.5], [0.5001]),
    ("coyo_caption_language", ["en"], ["fr"]),
    ("coyo_caption_chars", [6, 1000], [5, 1001]),
    ("coyo_caption_words", [3, 256], [2, 257]),
    ("coyo_caption_space_words", [3, 256], [2, 257]),
    ("coyo_caption_has_noun", [1], [0]),
    ("coyo_caption_pairs", [1, 10], [11]),
    ("coyo_caption_flagged_words", [0], [1]),
    ("mmc4_image_min_side", [150], [149]),
    ("mmc4_image_aspect_ratio", [2.0], [2.0001]),
    ("mmc4_clip_similarity", [0.15], [0.1499]),
    ("mmc4_image_format", ["jpeg", "png"], ["webp", "gif"]),
    ("mmc4_image_url_furniture_substrings", [0], [1]),
    ("mmc4_nsfw_score", [0.1], [0.1001]),
    ("obelics_image_format", ["jpeg", "png", "webp"], ["gif", "svg"]),
    ("obelics_image_width", [150, 20_000], [149, 20_001]),
    ("obelics_image_height", [150, 20_000], [149, 20_001]),
    ("obelics_image_shown_width", [150, 20_000], [149, 20_001]),
    ("obelics_image_shown_height", [150, 20_000], [149, 20_001]),
    ("obelics_image_width_to_height", [0.5, 2.0], [0.4999, 2.0001]),
    ("obelics_image_url_furniture_substrings", [0], [1]),
    ("obelics_image_url_adult_substrings", [0], [2]),
    ("obelics_image_url_documents", [10], [11]),
    ("obelics_nsfw_score", [0.85], [0.8501]),
    ("cogvlm_image_aspect_ratio", [6.0], [6.0001]),
    ("cogvlm_nsfw_score", [0.5], [0.5001]),
    ("cogvlm_caption_is_file_name", [0], [1]),
    ("cogvlm_caption_is_boilerplate", [0], [1]),
    ("cogvlm_caption_repeated_char_ratio", [0.2], [0.2001]),
    ("cogvlm_caption_repeated_word_ratio", [0.1], [0.1001]),
    ("cogvlm_caption_alphanumeric_ratio", [0.6], [0.5999]),
    ("cogvlm_caption_flagged_words", [0], [1]),
    ("cogvlm_caption_political_words", [0], [1]),
    ("stable_diffusion_1_image_min_side", [512], [511]),
    ("stable_diffusion_1_aesthetic_score", [5.0001], [5.0]),
    ("stable_diffusion_1_watermark_score", [0.4999], [0.5]),
    ("stable_diffusion_2_image_min_side", [512], [511]),
    ("stable_diffusion_2_aesthetic_score", [4.5], [4.4999]),
    ("stable_diffusion_2_nsfw_score", [0.1], [0.1001]),
    ("curator_image_blur_variance", [100], [99.9]),
    ("curator_image_qr_area_ratio", [0.0499], [0.05]),
    ("cleanvision_image_brightness_p99", [0.32], [0.3199]),
    ("cleanvision_image_entropy", [3.0], [2.9999]),
    ("mmpipe_image_single_colour_ratio", [0.98], [0.9801]),
    ("mmpipe_image_frames", [1], [2]),
    ("mmpipe_image_url_words", [0], [1]),
)

#: The preset, a pair at every limit that is kept, and by rule a value just past it.
PRESETS: dict[str, tuple[dict[str, Any], dict[str, list[tuple[str, Any]]]]] = {
    "laion400m": (
        {"image_bytes": 5000, "caption_chars": 5, "clip_similarity": 0.3},
        {
            "laion_image_bytes": [("image_bytes", 4999)],
            "laion_caption_chars": [("caption_chars", 4)],
            "laion_clip_similarity": [("clip_similarity", 0.2999), ("clip_similarity", None)],
        },
    ),
    "laion5b": (
        {"image_bytes": 5000, "caption_chars": 5, "caption_language": "en", "clip_similarity": 0.28, "nsfw_score": 1.0},
        {
            "laion5b_clip_similarity": [("clip_similarity", 0.2799)],
            "laion5b_caption_language": [("caption_language", "de"), ("caption_language", None)],
        },
    ),
    "coyo": (
        {
            "image_bytes": 5000, "image_aspect_ratio": 3.0, "image_min_side": 200, "nsfw_score": 0.5,
            "caption_language": "en", "caption_chars": 6, "caption_space_words": 3, "caption_has_noun": 1,
            "caption_pairs": 10, "caption_flagged_words": 0, "clip_similarity": -1.0,
        },
        {
            "coyo_caption_chars": [("caption_chars", 5), ("caption_chars", 1001)],
            "coyo_caption_space_words": [("caption_space_words", 2), ("caption_space_words", 257)],
            "coyo_caption_pairs": [("caption_pairs", 11)],
            "coyo_caption_has_noun": [("caption_has_noun", 0), ("caption_has_noun", None)],
            "coyo_image_aspect_ratio": [("image_aspect_ratio", 3.0001)],
            "coyo_image_min_side": [("image_min_side", 199)],
            "coyo_nsfw_score": [("nsfw_score", 0.51)],
            "coyo_caption_flagged_words": [("caption_flagged_words", 1)],
        },
    ),
    "datacomp_basic": (
        {"caption_language": "en", "caption_space_words": 3, "caption_chars": 6, "image_min_side": 200,
         "image_aspect_ratio": 3.0},
        {
            "datacomp_caption_space_words": [("caption_space_words", 2)],
            "datacomp_caption_chars": [("caption_chars", 5)],
            "datacomp_image_min_side": [("image_min_side", 199)],
            "datacomp_image_aspect_ratio": [("image_aspect_ratio", 3.0001)],
            "datacomp_caption_language": [("caption_language", "nl")],
        },
    ),
    "datacomp_clip": (
        {"clip_similarity_rank": 0.29},
        {"datacomp_clip_similarity_rank": [("clip_similarity_rank", 0.3), ("clip_similarity_rank", None)]},
    ),
    "mmc4": (
        {"image_format": "png", "image_url_furniture_substrings": 0, "image_url_adult_substrings": 1,
         "image_min_side": 150, "image_aspect_ratio": 2.0, "nsfw_score": 0.1},
        {
            "mmc4_image_format": [("image_format", "webp")],
            "mmc4_image_url_furniture_substrings": [("image_url_furniture_substrings", 1)],
            "mmc4_image_min_side": [("image_min_side", 149)],
            "mmc4_image_aspect_ratio": [("image_aspect_ratio", 2.0001)],
            "mmc4_nsfw_score": [("nsfw_score", 0.1001)],
        },
    ),
    "obelics": (
        {"image_format": "webp", "image_url_furniture_substrings": 0, "image_url_adult_substrings": 0,
         "image_width": 150, "image_height": 300, "image_width_to_height": 0.5, "image_url_documents": 10,
         "image_shown_width": 150, "image_shown_height": 150,
         "nsfw_score": 0.85},
        {
            "obelics_image_url_adult_substrings": [("image_url_adult_substrings", 1)],
            "obelics_image_width": [("image_width", 149), ("image_width", 20_001)],
            "obelics_image_height": [("image_height", 20_001)],
            "obelics_image_shown_width": [("image_shown_width", 149)],
            "obelics_image_shown_height": [("image_shown_height", 20_001)],
            "obelics_image_width_to_height": [("image_width_to_height", 0.4999), ("image_width_to_height", 2.0001)],
            "obelics_image_url_documents": [("image_url_documents", 11)],
            "obelics_nsfw_score": [("nsfw_score", 0.86)],
        },
    ),
    "cogvlm": (
        {"image_aspect_ratio": 6.0, "nsfw_score": 0.5, "caption_is_file_name": 0, "caption_is_boilerplate": 0,
         "caption_repeated_char_ratio": 0.2, "caption_repeated_word_ratio": 0.1, "caption_alphanumeric_ratio": 0.6,
         "caption_flagged_words": 0, "caption_political_words": 0},
        {
            "cogvlm_image_aspect_ratio": [("image_aspect_ratio", 6.0001)],
            "cogvlm_nsfw_score": [("nsfw_score", 0.51)],
            "cogvlm_caption_political_words": [("caption_political_words", 1), ("caption_political_words", None)],
            "cogvlm_caption_is_file_name": [("caption_is_file_name", 1)],
            "cogvlm_caption_is_boilerplate": [("caption_is_boilerplate", 1)],
        },
    ),
    "stable_diffusion_1": (
        {"image_bytes": 5000, "caption_chars": 5, "caption_language": "en", "clip_similarity": 0.28,
         "image_min_side": 512, "aesthetic_score": 5.01, "watermark_score": 0.49},
        {
            "stable_diffusion_1_image_min_side": [("image_min_side", 511)],
            "stable_diffusion_1_aesthetic_score": [("aesthetic_score", 5.0)],
            "stable_diffusion_1_watermark_score": [("watermark_score", 0.5)],
        },
    ),
    "stable_diffusion_2": (
        {"image_bytes": 5000, "caption_chars": 5, "caption_language": "en", "clip_similarity": 0.28,
         "image_min_side": 512, "aesthetic_score": 4.5, "nsfw_score": 0.1},
        {
            "stable_diffusion_2_image_min_side": [("image_min_side", 511)],
            "stable_diffusion_2_aesthetic_score": [("aesthetic_score", 4.49)],
            "stable_diffusion_2_nsfw_score": [("nsfw_score", 0.11)],
        },
    ),
    "sdxl": ({"image_min_side": 1, "image_aspect_ratio": 50.0, "clip_similarity": None}, {}),
}  # fmt: skip


def test_every_rule_has_a_case() -> None:
    assert sorted(name for name, _, _ in CASES) == sorted(IMAGE_RULES)


@pytest.mark.parametrize(("name", "kept", "removed"), CASES)
def test_rule_keeps_and_removes_at_its_papers_limit(name: str, kept: list[Any], removed: list[Any]) -> None:
    rule = IMAGE_RULES[name]
    dtype = pl.String if rule.is_categorical else pl.Float64
    values = pl.Series(rule.signal, [*kept, *removed, None], dtype=dtype, strict=False)
    passes = pl.DataFrame([values]).select(rule.passes()).to_series().to_list()
    assert passes == [True] * len(kept) + [False] * (len(removed) + 1)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_keeps_a_pair_at_every_limit_and_removes_it_past_one_by_that_rule(name: str) -> None:
    pair, past = PRESETS[name]
    recipe = load_recipe(name)
    changed = [(rule, pair | {signal: value}) for rule, cases in past.items() for signal, value in cases]
    rows = [
        {"pair_id": "kept", **pair},
        *({"pair_id": f"{number:03d}", **row} for number, (_, row) in enumerate(changed)),
    ]
    words = {rule.signal for rule in recipe.images.rules if rule.is_categorical}
    schema = {signal: pl.String if signal in words else pl.Float64 for signal in pair}
    frame = pl.DataFrame(rows, schema={"pair_id": pl.String, **schema}, strict=False)

    removals = judge(frame, recipe.images.rules, key="pair_id", status=None)

    assert removals.select("pair_id", "rule").rows() == [
        (f"{number:03d}", rule) for number, (rule, _) in enumerate(changed)
    ]


def test_nothing_but_the_named_presets_is_missing() -> None:
    assert set(PRESETS) == {
        "laion400m", "laion5b", "coyo", "datacomp_basic", "datacomp_clip", "mmc4", "obelics", "cogvlm",
        "stable_diffusion_1", "stable_diffusion_2", "sdxl",
    }  # fmt: skip


def test_every_rule_limits_a_signal_of_a_table_and_tells_its_source() -> None:
    kinds = IMAGE_SIGNALS.schema | IMAGE_COUNTS.schema
    for name, rule in IMAGE_RULES.items():
        assert (kinds[rule.signal] == pl.String) == rule.is_categorical
        assert name.endswith(rule.signal)
        assert rule.source


def test_presets_ask_for_every_score_they_limit_and_for_the_lists_they_need() -> None:
    assert set(IMAGE_SCORE_COLUMNS.values()) == set(IMAGE_SCORES)
    assert set(IMAGE_SCORE_COLUMNS) <= set(IMAGE_SIGNALS.column_names)
    for name in PRESETS:
        images = load_recipe(name).images
        for rule in images.rules:
            asked = IMAGE_SCORE_COLUMNS.get(rule.signal)
            assert asked is None or asked in images.scores, f"{name}: {rule.name}"
            assert rule.signal != "caption_political_words" or images.political_words


def test_a_preset_is_the_text_lane_of_refinedweb_with_images_of_its_own() -> None:
    base = load_recipe("refinedweb")
    for name in PRESETS:
        recipe = load_recipe(name)
        own = {item.name for item in fields(recipe) if getattr(recipe, item.name) != getattr(base, item.name)}
        assert own <= {"name", "source", "images", "words", "interleaved", "image_release"}
        assert "images" in own
