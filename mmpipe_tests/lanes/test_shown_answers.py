"""What a method shows its teacher as a good reply passes the rules of the packaged recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmpipe.filtering.recipes import load_recipe
from mmpipe.storage.lake import Lake
from mmpipe.synthesis import grounded_questions, image_instructions, merged_annotation, raft
from mmpipe.synthesis.choice_prompts import CHOICE_PROMPT, NONE_PROMPT
from mmpipe.synthesis.choice_texts import MARKER
from mmpipe.synthesis.llava_prompts import LLAVA_PROMPTS
from mmpipe.synthesis.lrv_prompts import LRV_PROMPTS
from mmpipe.synthesis.prompts import Prompt
from mmpipe_tests.lanes.test_instruction_rules import judge, publish_shards

Asked = tuple[str, str]


def ask_talk(shown: Any, reply: Any) -> Asked:
    if "turns" not in reply:
        return reply.get("question") or shown["request"], reply["answer"]
    said = [[turn["text"] for turn in reply["turns"] if turn["speaker"] == kind] for kind in ("question", "answer")]
    return " ".join(said[0]), " ".join(said[1])


def ask_choice(_: Any, reply: Any) -> Asked:
    options = [reply["right"], *reply["wrong"]] if "right" in reply else [*reply["wrong"], "None of these"]
    return "\n".join([reply["question"], *options]), f"{reply['reason']}.{MARKER} A"


def ask_plainly(shown: Any, reply: Any) -> Asked:
    return reply.get("instruction") or reply.get("question") or "Describe the picture in detail.", reply["answer"]


#: By method as rows name it: its prompts, and question and answer of an example.
SHOWN: dict[str, tuple[tuple[Prompt, ...], Callable[[Any, Any], Asked]]] = {
    "grounded_questions": (grounded_questions.PROMPTS, ask_plainly),
    "image_instructions": (image_instructions.PROMPTS, ask_plainly),
    "raft": (
        (raft.ANSWERS,),
        lambda shown, reply: (shown["question"], f"{reply['reasoning']}\n{raft.ANSWER_MARK} {reply['answer']}"),
    ),
    "llava_types": (tuple(LLAVA_PROMPTS.values()), ask_talk),
    "lrv_balance": (tuple(LRV_PROMPTS.values()), ask_plainly),
    "scene_choices": ((CHOICE_PROMPT, NONE_PROMPT), ask_choice),
    "merged_annotation": (
        (merged_annotation.PROMPT,),
        lambda _, reply: ("Describe the picture in detail.", reply["caption"]),
    ),
}


def list_rows(method: str) -> Iterator[dict[str, Any]]:
    """Yield the row that a method would make of each example it shows."""
    prompts, ask = SHOWN[method]
    for prompt in prompts:
        for number, (shown, reply) in enumerate(prompt.examples):
            instruction, response = ask(shown, reply)
            yield {
                "instruction_id": f"{prompt.name}-{number}", "method": method, "instruction": instruction,
                "response": response, "evidence": " ".join(shown.values()), "context": f"{prompt.name} {number}",
                "details": "{}",
            }  # fmt: skip


@pytest.mark.parametrize("method", SHOWN)
def test_what_a_method_shows_as_good_is_kept(tmp_path: Path, method: str) -> None:
    lake = Lake(str(tmp_path / "lake"))
    rows = list(list_rows(method))
    assert rows
    publish_shards(lake, rows, [], method)
    removals = judge(lake, load_recipe("refinedweb"))
    assert removals.is_empty(), removals.select("instruction_id", "rule", "value").rows()


def test_a_method_held_to_its_evidence_alone_loses_what_is_not_in_it(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    rows = [row | {"response": "Ada Byron painted several wooden tunnels."} for row in list_rows("grounded_questions")]
    publish_shards(lake, rows, [], "grounded_questions")
    assert set(judge(lake, load_recipe("refinedweb"))["rule"]) == {"mmpipe_response_grounding"}
