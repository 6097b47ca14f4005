"""Lists every published table, in the order of the line: each is an asset, a folder, a contract and a schema."""

from __future__ import annotations

from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.image_duplicates import IMAGE_DUPLICATES
from mmpipe.tables.image_release import IMAGE_DATASET
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import (
    INSTRUCTION_CANDIDATES,
    JUDGEMENTS,
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.interleaved import INTERLEAVED_CANDIDATES, INTERLEAVED_DOCUMENTS, INTERLEAVED_REMOVALS
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import IMAGE_REMOVALS, INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS, REPHRASED_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_CONTAMINATION,
    TEXT_CORRECTIONS,
    TEXT_DUPLICATES,
    TEXT_REPEATS,
    TEXT_SCORES,
    TEXT_SIGNATURES,
)
from mmpipe.tables.text_signals import TEXT_SIGNALS

#: What a dump's crawl becomes as text; what its text costs is the cost of these.
TEXT_TABLES = (
    RAW_CRAWL,
    EXTRACTED_TEXT,
    TEXT_CORRECTIONS,
    TEXT_SIGNALS,
    TEXT_SCORES,
    TEXT_REMOVALS,
    FILTERED_TEXT,
    TEXT_SIGNATURES,
    TEXT_DUPLICATES,
    TEXT_REPEATS,
    TEXT_CONTAMINATION,
    DEDUPED_CORPUS,
)

#: What becomes of its pictures.
IMAGE_TABLES = (
    IMAGE_CANDIDATES,
    IMAGE_SIGNALS,
    IMAGE_COUNTS,
    IMAGE_DUPLICATES,
    IMAGE_BALANCE,
    IMAGE_REMOVALS,
    FILTERED_IMAGE_PAIRS,
    IMAGE_CAPTIONS,
    GROUNDED_PAIRS,
)

#: What is synthesized from both: instructions, and the preferences among their answers.
INSTRUCTION_TABLES = (
    INSTRUCTION_CANDIDATES,
    SYNTHESIZED_INSTRUCTIONS,
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_REVIEWS,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REMOVALS,
    RESPONSES,
    JUDGEMENTS,
    RESPONSE_REVISIONS,
    PREFERENCE_PAIRS,
    PREFERENCE_CONTAMINATION,
    PREFERENCE_REMOVALS,
)

#: Published over all dumps; every other table is published per dump.
OVER_ALL_DUMPS = (SFT_DATASET, PREFERENCE_DATASET, PRETRAINING_DATASET, IMAGE_DATASET, INTERLEAVED_DATASET)

#: Every published table.
PUBLISHED_TABLES = (
    *TEXT_TABLES,
    REPHRASED_CANDIDATES,
    REPHRASED_REMOVALS,
    REPHRASED_DOCUMENTS,
    *IMAGE_TABLES,
    INTERLEAVED_CANDIDATES,
    INTERLEAVED_REMOVALS,
    INTERLEAVED_DOCUMENTS,
    *INSTRUCTION_TABLES,
    *OVER_ALL_DUMPS,
)
