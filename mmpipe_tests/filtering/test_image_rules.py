from __future__ import annotations

import polars as pl
import pytest

from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.tables.images import IMAGE_SIGNALS


@pytest.mark.parametrize(
    ("name", "kept", "removed"),
    [
        ("laion_image_bytes", 5000, 4999),
        ("laion_caption_chars", 5, 4),
        ("laion_clip_similarity", 0.3, 0.2999),
        ("laion5b_clip_similarity", 0.28, 0.2799),
        ("datacomp_image_min_side", 200, 199),
        ("datacomp_image_aspect_ratio", 3.0, 3.01),
        ("datacomp_caption_words", 3, 2),
        ("datacomp_caption_chars", 6, 5),
        ("coyo_image_bytes", 5000, 4999),
        ("coyo_image_min_side", 200, 199),
        ("coyo_image_aspect_ratio", 3.0, 3.01),
        ("coyo_caption_chars", 1000, 1001),
        ("coyo_caption_chars", 6, 5),
        ("coyo_caption_words", 256, 257),
        ("coyo_caption_words", 3, 2),
        ("mmc4_image_min_side", 150, 149),
        ("mmc4_image_aspect_ratio", 2.0, 2.01),
        ("mmc4_clip_similarity", 0.15, 0.1499),
        ("cogvlm_image_aspect_ratio", 6.0, 6.01),
    ],
)
def test_rule_keeps_and_removes_at_its_papers_limit(name: str, kept: float, removed: float) -> None:
    rule = IMAGE_RULES[name]
    frame = pl.DataFrame({rule.signal: [float(kept), float(removed), None]})
    assert frame.select(rule.passes()).to_series().to_list() == [True, False, False]


def test_every_rule_limits_a_signal_of_the_table_and_tells_its_source() -> None:
    for name, rule in IMAGE_RULES.items():
        assert rule.signal in IMAGE_SIGNALS.column_names
        assert name.endswith(rule.signal)
        assert rule.source
