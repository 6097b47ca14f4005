from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.image_verdicts import count_image_funnel, decide_by_header, judge_images
from mmpipe.filtering.judge import judge
from mmpipe.filtering.rules import Rule
from mmpipe.tables.images import IMAGE_SIGNALS

SIDE = Rule(name="t_side", signal="image_min_side", low=200, source="")
RATIO = Rule(name="t_ratio", signal="image_aspect_ratio", high=3, high_is_kept=False, source="")
FORMAT = Rule(name="t_format", signal="image_format", allowed=("jpeg", "png"), source="")
WORDS = Rule(name="t_words", signal="caption_words", low=2, source="")
BLUR = Rule(name="t_blur", signal="image_blur_variance", low=10, source="")
CLIP = Rule(name="t_clip", signal="clip_similarity", low=0.3, source="")
RULES = (CLIP, SIDE, RATIO, FORMAT, WORDS, BLUR)


def make_rows(*rows: dict[str, object]) -> pl.DataFrame:
    blank = dict.fromkeys(IMAGE_SIGNALS.column_names)
    filled = [blank | {"pair_id": f"p{number}", "decode_status": "ok"} | row for number, row in enumerate(rows)]
    return pl.DataFrame(filled, schema=IMAGE_SIGNALS.schema)


def list_removals(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return list(frame.select("pair_id", "rule").iter_rows())


GOOD = {"image_min_side": 300.0, "image_aspect_ratio": 1.0, "image_format": "jpeg", "caption_words": 5.0}


def test_an_undecoded_pair_is_removed_by_the_rules_on_its_header_and_caption_and_no_other() -> None:
    rows = make_rows(
        GOOD | {"decode_status": "header_only", "image_min_side": 100.0, "caption_words": 1.0},
        GOOD | {"image_min_side": 100.0, "image_blur_variance": 50.0},
        GOOD | {"image_blur_variance": 50.0, "clip_similarity": 0.5},
        {"decode_status": "not_an_image"},
    )
    assert list_removals(judge_images(rows, RULES)) == [
        ("p0", "t_side"), ("p0", "t_words"), ("p1", "t_clip"), ("p1", "t_side"), ("p3", "not_an_image"),
    ]  # fmt: skip
    # where everything was decoded, the judge's own word
    decoded = rows.filter(pl.col("decode_status") != "header_only")
    assert judge_images(decoded, RULES).equals(judge(decoded, RULES, key="pair_id", status="decode_status"))


def test_an_undecoded_pair_that_passes_looser_limits_is_named_and_not_kept() -> None:
    rows = make_rows(GOOD | {"decode_status": "header_only"}, GOOD | {"image_blur_variance": 50.0})
    removals = judge_images(rows, (SIDE, BLUR))
    assert list_removals(removals) == [("p0", "header_only")]
    assert removals.row(0, named=True)["value_text"] == "header_only"


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ({}, True),
        ({"image_min_side": 200}, True),
        ({"image_min_side": 199}, False),
        ({"image_aspect_ratio": 3.0}, False),
        ({"image_format": "webp"}, False),
        ({"image_min_side": None}, False),
        ({"caption_words": 0.0, "image_blur_variance": 0.0}, True),
    ],
)
def test_rules_on_the_header_decide_and_no_others(signals: dict[str, object], expected: bool) -> None:
    assert decide_by_header(RULES)(GOOD | signals) is expected


@given(
    st.none() | st.floats(0, 10) | st.integers(0, 10),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(5, 10),
    st.booleans(),
    st.booleans(),
)
def test_a_header_passes_a_rule_as_the_judge_has_it(
    value: float | None, low: int | None, high: int | None, low_is_kept: bool, high_is_kept: bool
) -> None:
    if low is None and high is None:
        return
    rule = Rule(name="t", signal="image_bytes", low=low, high=high, low_is_kept=low_is_kept,
                high_is_kept=high_is_kept, source="")  # fmt: skip
    frame = pl.DataFrame({"image_bytes": [value]}, schema={"image_bytes": pl.Float64})
    assert decide_by_header([rule])({"image_bytes": value}) is frame.select(rule.passes()).item()


def test_the_funnel_is_what_the_judge_removes_undecoded_pairs_included() -> None:
    rows = make_rows(
        GOOD | {"decode_status": "header_only", "image_min_side": 100.0, "caption_words": 1.0},
        GOOD | {"decode_status": "header_only"},
        GOOD | {"image_min_side": 100.0, "image_blur_variance": 50.0, "clip_similarity": 0.5},
        GOOD | {"image_blur_variance": 50.0, "clip_similarity": 0.5},
        {"decode_status": "not_an_image"},
    )
    removals, funnel = judge_images(rows, RULES), count_image_funnel(rows.lazy(), RULES)
    assert funnel.removed_by_rule == dict(removals["rule"].value_counts().iter_rows())
    assert list(funnel.removed_by_rule) == ["t_side", "header_only", "not_an_image", "t_words"]
    assert (funnel.rows_in, funnel.rows_removed) == (5, removals["pair_id"].n_unique())


def test_an_undecoded_pair_is_held_to_what_its_page_says() -> None:
    shown = Rule(name="t_shown", signal="image_shown_width", low=150, source="")
    rows = make_rows(GOOD | {"decode_status": "header_only", "image_min_side": 100.0, "image_shown_width": 20.0})
    assert list_removals(judge_images(rows, (SIDE, shown))) == [("p0", "t_side"), ("p0", "t_shown")]
