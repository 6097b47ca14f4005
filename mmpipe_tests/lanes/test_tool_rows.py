"""Rows with tools, from instructions to every trainer's file: apart from other rows, calls as calls, nothing lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.release_sections import DIALECTS, ReleaseSettings
from mmpipe.lanes.instruction_reviews import apply_corrections
from mmpipe.lanes.preferences import choose_answered
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models import chat_tokenizer
from mmpipe.models.chat_tokenizer import load_chat_tokenizer
from mmpipe.release import exporters_axolotl, exporters_llama_factory, exporters_openai, exporters_trl
from mmpipe.release.chat_templates import ChatTemplate, RenderedConversation, render_conversation
from mmpipe.release.conversations import render_conversations
from mmpipe.release.dialect_files import read_conversations
from mmpipe.release.records import Conversation, ToolCall, Turn
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

CALL = {"name": "hub_load", "arguments": {"model": "seer1", "deep": True}}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object",
     "properties": {"model": {"type": "string"}, "deep": {"type": "boolean"}}, "required": ["model"]}}}
    for name in ("hub_load", "listen")
]  # fmt: skip
PLAN = '{"tasks": [{"id": 0, "tool": "listen"}]}'
ROWS: list[dict[str, Any]] = [
    {"instruction_id": "call", "response": json.dumps(CALL), "tools": json.dumps(TOOLS),
     "tool_calls": json.dumps([CALL])},
    {"instruction_id": "plan", "response": PLAN, "tools": json.dumps(TOOLS)},
    {"instruction_id": "words", "response": "In 1877."},
]  # fmt: skip
EXPECTED = Conversation(
    "call",
    (Turn("user", "Which of call?"), Turn("assistant", "", (ToolCall("hub_load", CALL["arguments"]),))),
    tools=tuple(TOOLS),
)  # fmt: skip
#: A chat template that shows calls; what shows the tools stands before it.
PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: Whoever reads a line of a dialect gets back the conversation that was written.
READERS: dict[str, Any] = {
    "trl": exporters_trl.import_conversation,
    "llama_factory": exporters_llama_factory.import_sharegpt,
    "axolotl": exporters_axolotl.import_chat_template,
    "openai": lambda line: exporters_openai.import_conversation(line, "call"),
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    lake = Lake(str(tmp_path / "lake"))
    rows = [
        {"dump": "a", "instruction": f"Which of {row['instruction_id']}?", "images": [],
         "parents": [{"table": "api_cards", "id": row["instruction_id"]}], **row}
        for row in ROWS
    ]  # fmt: skip
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    publish(lake, FILTERED_IMAGE_PAIRS, "a", FILTERED_IMAGE_PAIRS.make_empty())
    publish(lake, INSTRUCTION_REMOVALS, "a", INSTRUCTION_REMOVALS.make_empty())
    publish(lake, INSTRUCTION_REVIEWS, "a", INSTRUCTION_REVIEWS.make_empty())
    return lake


def release(lake: Lake, **settings: Any) -> Path:
    recipe = replace(load_recipe("refinedweb"), release=ReleaseSettings(**settings))
    run_stages(lake, None, [RELEASE_LANE[0]], recipe=recipe, knobs=Knobs(cache_folder=f"{lake.root}-cache"))
    return Path(lake.dataset(SFT_DATASET).folder.url)


def read_lines(file: Path) -> dict[str, Any]:
    """Return the lines by what they ask."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {"call" if "Which of call" in json.dumps(line) else "plan": line for line in lines}


def test_rows_with_tools_stand_in_files_of_their_own(lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = release(lake)
    text = pl.read_parquet(folder / "release" / "text_only" / "a.parquet")
    assert (text["id"].to_list(), {"tools", "tool_calls"} & set(text.columns)) == (["words"], set())
    for layout in ("parquet", "jsonl"):
        place = str(folder / "release" / "with_tools" / f"a.{layout}")
        kind = "json" if layout == "jsonl" else layout
        rows = {
            row["id"]: row
            for row in load_dataset(kind, data_files=place, split="train", cache_dir=str(tmp_path / layout))
        }
        assert set(rows) == {"call", "plan"}
        assert json.loads(rows["plan"]["tools"]) == TOOLS
        said = rows["call"]["messages"][-1]
        (made,) = said["tool_calls"]
        assert (said["content"], made["function"]["name"]) == ("", "hub_load")
        assert json.loads(made["function"]["arguments"]) == CALL["arguments"]
        assert rows["plan"]["messages"][-1]["content"] == PLAN
    assert "with_tools" in (folder / "README.md").read_text()


@pytest.mark.parametrize("dialect", READERS)
def test_each_dialect_holds_tools_and_calls_and_gives_them_back(lake: Lake, dialect: str) -> None:
    lines = read_lines(release(lake, dialects=(dialect,)) / "release" / dialect / "with_tools" / "a.jsonl")
    assert READERS[dialect](lines["call"]) == EXPECTED
    plan = READERS[dialect](lines["plan"])
    assert (plan.turns[-1], plan.tools) == (Turn("assistant", PLAN), tuple(TOOLS))


def test_what_has_no_place_for_tools_is_counted(lake: Lake) -> None:
    folder = release(lake, dialects=DIALECTS)
    manifest = lake.dataset(SFT_DATASET).require_manifest()
    assert manifest.counts["llava: has a system turn or tools, which LLaVA cannot hold"] == 2
    assert not (folder / "release" / "llava" / "with_tools").exists()
    told = json.loads((folder / "release" / "llama_factory" / "dataset_info.json").read_text())
    assert told["sft_dataset_with_tools"]["columns"]["tools"] == "tools"


def test_a_template_shows_the_tools_and_learns_the_call(lake: Lake) -> None:
    source = "{% if tools %}[{{ tools | tojson }}]{% endif %}" + PLAIN
    frame = render_conversations(lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a").scan().collect())
    template = ChatTemplate("t", source, {"eos_token": "<end>"})
    made = {one.id: render_conversation(template, one) for one in read_conversations(frame)}
    call, words = made["call"], made["words"]
    assert isinstance(call, RenderedConversation)
    assert isinstance(words, RenderedConversation)
    ((begin, end),) = call.spans
    assert json.loads(call.text[begin:end].removesuffix("<end>")) == CALL
    assert call.text.startswith(f"[{json.dumps(TOOLS)}]<user>")
    assert words.text == "<user>Which of words?<end><assistant>In 1877.<end>"


def test_packing_counts_a_call_that_the_template_cannot_show(lake: Lake) -> None:
    folder = release(lake, pack_tokens=256)
    card = (folder / "README.md").read_text()
    # the embedded model's template knows no tools: a call would be learnt as nothing at all, a plan without its tools
    assert "1 (template_drops_calls), 1 (template_drops_tools)" in card
    packed = pl.read_parquet(folder / "release" / "packed" / "*.parquet")
    assert packed["row_ids"].to_list() == [["words"]]


def test_packed_rows_with_tools_stand_beside_those_without(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    # a template that shows tools, in place of the embedded model's
    shown = "{% if tools %}{{ tools | tojson }}{% endif %}" + PLAIN
    tokenizer = replace(load_chat_tokenizer(None), chat_template=shown)
    monkeypatch.setattr(chat_tokenizer, "load_chat_tokenizer", lambda _: tokenizer)
    folder = release(lake, pack_tokens=256)
    packed = pl.read_parquet(folder / "release" / "packed" / "*.parquet")
    assert sorted(name for names in packed["row_ids"] for name in names) == ["call", "plan", "words"]


def test_a_template_that_writes_the_date_is_given_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = replace(load_chat_tokenizer(None), chat_template="{{ strftime_now('%d %b %Y') }}" + PLAIN)
    monkeypatch.setattr(chat_tokenizer, "load_chat_tokenizer", lambda _: tokenizer)
    with pytest.raises(ConfigurationError, match=r"release: \{template_date: 2026-01-31\}"):
        release(lake, pack_tokens=256)
    folder = release(lake, pack_tokens=256, template_date="2026-01-31")
    packed = pl.read_parquet(folder / "release" / "packed" / "*.parquet")
    assert tokenizer.decode(packed["input_ids"][0].to_list()).startswith("31 Jan 2026<user>")


def test_words_of_people_take_the_place_of_a_call(lake: Lake) -> None:
    rows = lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a").scan().collect()
    better = {
        "instruction_id": "call",
        "corrected_response": "No tool can do that.",
        "annotators": ["ann"],
        "labels": ["good"],
    }
    corrected = apply_corrections(rows, fill_rows(INSTRUCTION_REVIEWS, [better]))
    (found,) = (one for one in read_conversations(render_conversations(corrected)) if one.id == "call")
    assert (found.turns[-1], found.tools) == (Turn("assistant", "No tool can do that."), tuple(TOOLS))


def test_nobody_answers_again_what_comes_with_tools(lake: Lake) -> None:
    instructions, removals = lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a"), lake.dataset(INSTRUCTION_REMOVALS, "a")
    assert choose_answered(instructions, removals, load_recipe("refinedweb")) == {"words"}
