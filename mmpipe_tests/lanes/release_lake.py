"""A lake whose instructions, responses and judgements are published as if models had made them: what is released."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.storage.lake import Lake
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS, PREFERENCE_CONTAMINATION
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs, fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from pathlib import Path

CRITERION = load_recipe("refinedweb").instructions.criterion
#: Of one dump: 24 documents with two questions each, a picture with two, and a question about two pictures.
TEXTS, PICTURED = 48, 3


def make_release_lake(folder: Path) -> Lake:
    """Make a lake of one dump in the folder, its pictures in `cache` beside it."""
    lake = Lake(str(folder / "lake"))
    pairs = add_pairs(lake, "a", draw_pairs(3), str(folder / "cache"))["pair_id"].to_list()
    asked = [ask(f"t{place:02}", [("deduped_corpus", f"d{place // 2}")], []) for place in range(TEXTS)]
    named = [pairs[:1], pairs[:1], pairs[1:]]
    asked += [ask(f"p{place}", [("filtered_image_pairs", ids[0])], ids) for place, ids in enumerate(named)]
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, asked))
    publish(lake, INSTRUCTION_REMOVALS, "a", INSTRUCTION_REMOVALS.make_empty())
    publish(lake, INSTRUCTION_REVIEWS, "a", INSTRUCTION_REVIEWS.make_empty())
    sampled: list[dict[str, Any]] = [
        {"response_id": f"{row['instruction_id']}-{place}", "instruction_id": row["instruction_id"],
         "dump": "a", "sample_index": place, "response": f"Answer {place}.", "finish_reason": "stop",
         "teacher": "answering"}
        for row in asked for place in range(2)
    ]  # fmt: skip
    judged = [
        {"judgement_id": f"j{row['response_id']}", "response_id": row["response_id"], "dump": "a", "score": place % 2,
         "instruction_id": row["instruction_id"], "criterion": CRITERION,
         "judgement_status": "ok", "teacher": "judging"}
        for place, row in enumerate(sampled)
    ]  # fmt: skip
    publish(lake, RESPONSES, "a", fill_rows(RESPONSES, sampled))
    publish(lake, JUDGEMENTS, "a", fill_rows(JUDGEMENTS, judged))
    publish(lake, RESPONSE_REVISIONS, "a", RESPONSE_REVISIONS.make_empty())
    run_stages(lake, "a", INSTRUCTION_LANE[-3:])
    for table in (PREFERENCE_PAIRS, PREFERENCE_CONTAMINATION, PREFERENCE_REMOVALS):
        lake.dataset(table, "a").record_verdict([])
    texts = [{"doc_id": f"d{place}", "dump": "a", "text": "word " * (20 + 7 * place)} for place in range(12)]
    publish(lake, DEDUPED_CORPUS, "a", fill_rows(DEDUPED_CORPUS, texts))
    return lake


def ask(name: str, parents: list[tuple[str, str]], images: list[str]) -> dict[str, Any]:
    """Return an instruction that is made from these rows, about these pictures."""
    return {
        "instruction_id": name, "dump": "a", "instruction": f"What of {name}?", "images": images,
        "response": f"This of {name}, at length.", "parents": [{"table": table, "id": row} for table, row in parents],
    }  # fmt: skip
