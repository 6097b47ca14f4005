"""The instruction lane, top to bottom: candidates → instructions → removals; responses → judgements."""

from __future__ import annotations

from mmpipe.lanes.instruction_candidates import accept_instructions, judge_instructions
from mmpipe.lanes.instruction_matches import (
    find_dump_duplicates,
    find_instruction_contamination,
    find_preference_contamination,
)
from mmpipe.lanes.instruction_reviews import publish_reviews
from mmpipe.lanes.instructions import synthesize_instructions
from mmpipe.lanes.preference_pairs import PAIR_INPUTS, make_dump_pairs
from mmpipe.lanes.preference_removals import judge_dump_pairs
from mmpipe.lanes.preferences import judge_dump_responses, sample_dump_responses
from mmpipe.lanes.response_revisions import revise_dump_responses
from mmpipe.lanes.stage import Stage
from mmpipe.tables.grounding import GROUNDED_PAIRS
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import DEDUPED_CORPUS

#: What instructions are held against before they are judged.
INSTRUCTION_MATCHES = (INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS, INSTRUCTION_DUPLICATES)

INSTRUCTION_LANE = (
    Stage(
        INSTRUCTION_CANDIDATES,
        (DEDUPED_CORPUS, FILTERED_IMAGE_PAIRS, GROUNDED_PAIRS, IMAGE_CAPTIONS),
        synthesize_instructions,
        ("instructions",),
        revision=5,
    ),
    Stage(SYNTHESIZED_INSTRUCTIONS, (INSTRUCTION_CANDIDATES,), accept_instructions),
    Stage(INSTRUCTION_CONTAMINATION, (SYNTHESIZED_INSTRUCTIONS,), find_instruction_contamination, ("contamination",)),
    Stage(INSTRUCTION_REVIEWS, (SYNTHESIZED_INSTRUCTIONS,), publish_reviews),
    Stage(
        INSTRUCTION_DUPLICATES,
        (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS),
        find_dump_duplicates,
        ("instruction_duplicates", "instruction_rules", "contamination"),
        revision=3,
    ),
    Stage(
        INSTRUCTION_REMOVALS,
        (INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS, *INSTRUCTION_MATCHES),
        judge_instructions,
        ("instruction_rules", "contamination"),
        revision=6,
    ),
    Stage(
        RESPONSES, (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS), sample_dump_responses, ("responses",), revision=2
    ),
    Stage(
        JUDGEMENTS, (SYNTHESIZED_INSTRUCTIONS, RESPONSES), judge_dump_responses, ("judgements", "ratings"), revision=5
    ),
    Stage(
        RESPONSE_REVISIONS,
        (SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS, RESPONSES),
        revise_dump_responses,
        ("revisions",),
        revision=3,
    ),
    Stage(PREFERENCE_PAIRS, PAIR_INPUTS, make_dump_pairs, ("preferences", "judgements"), revision=6),
    Stage(PREFERENCE_CONTAMINATION, (PREFERENCE_PAIRS,), find_preference_contamination, ("contamination",)),
    Stage(PREFERENCE_REMOVALS, (PREFERENCE_PAIRS, PREFERENCE_CONTAMINATION), judge_dump_pairs, ("contamination",)),
)
