"""The image lane, top to bottom: pages → pairs → signals → the choice → further captions, boxes, documents."""

from __future__ import annotations

from mmpipe.lanes.grounding import ground_pairs
from mmpipe.lanes.image_balance import BALANCED, balance_pairs
from mmpipe.lanes.image_candidates import find_candidates
from mmpipe.lanes.image_captions import caption_images
from mmpipe.lanes.image_choice import CHOICE, filter_pairs, judge_images
from mmpipe.lanes.image_counts import count_images
from mmpipe.lanes.image_duplicates import find_image_duplicates
from mmpipe.lanes.images import measure_images
from mmpipe.lanes.interleaved import INTERLEAVED_LANE
from mmpipe.lanes.stage import Stage
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.removals import IMAGE_REMOVALS

_MEASURED = (IMAGE_CANDIDATES, IMAGE_SIGNALS)

IMAGE_LANE = (
    Stage(IMAGE_CANDIDATES, (RAW_CRAWL,), find_candidates, ("extraction", "image_candidates"), revision=3),
    Stage(IMAGE_SIGNALS, (IMAGE_CANDIDATES,), measure_images, ("image_signals",)),
    Stage(IMAGE_COUNTS, _MEASURED, count_images),
    # duplicates are looked for among the pairs that pass, and balance draws among those that repeat none
    Stage(IMAGE_DUPLICATES, (*_MEASURED, IMAGE_COUNTS), find_image_duplicates, ("images", "image_duplicates")),
    Stage(IMAGE_BALANCE, BALANCED, balance_pairs, ("images", "image_balance")),
    Stage(IMAGE_REMOVALS, CHOICE, judge_images, ("images",), revision=2),
    Stage(FILTERED_IMAGE_PAIRS, (*_MEASURED, IMAGE_REMOVALS), filter_pairs),
    Stage(IMAGE_CAPTIONS, (FILTERED_IMAGE_PAIRS,), caption_images, ("captions",), revision=2),
    Stage(GROUNDED_PAIRS, (FILTERED_IMAGE_PAIRS,), ground_pairs, ("grounding",)),
    *INTERLEAVED_LANE,
)
