"""The trainers' own readers and converters take our rows as they are meant: TRL, LLaMA-Factory, axolotl."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmpipe.models.chat_tokenizer import load_chat_tokenizer
from mmpipe.models.tokenizer import open_tokenizer
from mmpipe.release import exporters_axolotl, exporters_llama_factory, exporters_trl
from mmpipe.release.chat_templates import ChatTemplate, RenderedConversation, render_conversation, take_template
from mmpipe.release.loss_masks import mask_conversations
from mmpipe.release.preference_forms import unpair
from mmpipe.release.records import Conversation, LabelledAnswer, Preference, ToolCall, Turn
from mmpipe_tests.release.record_strategies import TOOLS
from mmpipe_tests.trainers import find_trainers

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} {{ message.content }}"
    "{% for call in message.tool_calls or [] %}[{{ call.function.name }} {{ call.function.arguments | tojson }}]"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
PLAIN = Conversation("r1", (Turn("user", "Why is it blue?"), Turn("assistant", "It scatters.")))
LONG = Conversation(
    "r2", (Turn("system", "Be brief."), *PLAIN.turns, Turn("user", "What does?"), Turn("assistant", "Light – 光."))
)
CALLING = Conversation(
    "r3",
    (
        Turn("user", "How many?"),
        Turn("assistant", "", (ToolCall("look", {"of": "x"}), ToolCall("count", {"at": [1, 2]}))),
        Turn("tool", "seen", name="look"),
        Turn("tool", "7", name="count"),
        Turn("assistant", "Seven."),
    ),
    tools=TOOLS,
)
VISION = Conversation(
    "r4", (Turn("user", "<image>\nLeft, or <image>?"), Turn("assistant", "Left.")), ("images/a.png", "images/b.png")
)
PREFERENCE = Preference("r5", LONG.turns[:-1], LONG.turns[-1:], (Turn("assistant", "Cows."),))
SHORT_PREFERENCE = replace(PREFERENCE, prompt=(Turn("system", "Be brief."), Turn("user", "What does?")))
LABELLED = LabelledAnswer("r6", SHORT_PREFERENCE.prompt, PREFERENCE.chosen, label=False)


def ask(task: str, module: str, job: Any, folder: Path) -> Any:
    python, path = find_trainers(module)
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [str(python), "-W", "ignore", str(Path(__file__).with_name("trainer_side.py")), task, str(folder / "job.json")],
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_trl_reads_our_rows(tmp_path: Path) -> None:
    conversations = [exporters_trl.export_conversation(each) for each in (PLAIN, LONG, CALLING)]
    vision = exporters_trl.export_conversation(VISION)
    short = replace(PREFERENCE, prompt=PLAIN.turns[:1])
    job = {
        "template": TEMPLATE,
        "conversations": conversations,
        "standard": [exporters_trl.export_conversation(PLAIN, form="prompt_completion", is_standard=True)],
        "vision": vision,
        "implicit": [exporters_trl.export_preference(PREFERENCE, is_prompt_explicit=False)],
        "preferences": [exporters_trl.export_preference(each) for each in (PREFERENCE, short)],
    }
    found = ask("trl", "trl", job, tmp_path)
    assert found["is_conversational"] == [True, True, True, False]
    template = ChatTemplate("own", TEMPLATE, {"eos_token": "<|im_end|>"}, ("<|im_start|>", "<|im_end|>"))
    for text, conversation in zip(found["texts"], (PLAIN, LONG, CALLING), strict=True):
        rendered = render_conversation(template, conversation)
        assert isinstance(rendered, RenderedConversation)
        assert text == rendered.text
    parts = found["vision"][0]["content"]
    assert [part.get("image") for part in parts] == ["images/a.png", None, "images/b.png", None]
    assert "images" in found["mismatch"]
    explicit = exporters_trl.export_preference(PREFERENCE)
    assert {name: found["prompts"][0][name] for name in ("prompt", "chosen", "rejected")} == {
        name: explicit[name] for name in ("prompt", "chosen", "rejected")
    }
    ours = [exporters_trl.export_labelled(answer) for pair in (PREFERENCE, short) for answer in unpair(pair)]
    columns = ("prompt", "completion", "label")
    assert sorted(json.dumps([row[name] for name in columns]) for row in found["unpaired"]) == sorted(
        json.dumps([row[name] for name in columns]) for row in ours
    )


def test_llama_factory_converts_our_rows(tmp_path: Path) -> None:
    alpaca, sharegpt = exporters_llama_factory.export_alpaca, exporters_llama_factory.export_sharegpt
    parts: list[tuple[str, str, Any, Any]] = [
        ("alpaca", "sft", LONG, alpaca),
        ("alpaca", "sft", VISION, alpaca),
        ("alpaca", "preference", PREFERENCE, alpaca),
        ("alpaca", "kto", LABELLED, alpaca),
        ("sharegpt", "sft", LONG, sharegpt),
        ("sharegpt", "sft", CALLING, sharegpt),
        ("sharegpt", "sft", VISION, sharegpt),
        ("sharegpt", "preference", PREFERENCE, sharegpt),
        ("sharegpt", "kto", LABELLED, sharegpt),
    ]
    job = [
        {
            "entry": exporters_llama_factory.describe_dataset("x", formatting, task, has_images=True),  # type: ignore[arg-type]
            "row": export(record),
        }
        for formatting, task, record, export in parts
    ]
    converted = ask("llama_factory", "llamafactory", job, tmp_path)
    assert all(row["_prompt"] and row["_response"] for row in converted)  # a row that is dropped has neither
    turns = [[(turn["role"], turn["content"]) for turn in [*row["_prompt"], *row["_response"]]] for row in converted]
    long = [(turn.role, turn.content) for turn in LONG.turns[1:]]
    assert turns[0] == turns[4] == long
    assert converted[0]["_system"] == converted[4]["_system"] == "Be brief."
    for row in (converted[1], converted[6]):
        assert row["_images"] == list(VISION.images)
        placeholders = sum(turn["content"].count("<image>") for turn in row["_prompt"] + row["_response"])
        assert placeholders == len(row["_images"])
    assert turns[2] == turns[7] == [*long, ("assistant", "Cows.")]
    # an undesirable answer stands second
    assert turns[3][1:] == turns[8][1:] == [("assistant", ""), ("assistant", "Light – 光.")]
    assert [role for role, _ in turns[5]] == ["user", "function", "observation", "assistant"]
    assert json.loads(turns[5][1][1]) == [
        {"name": "look", "arguments": {"of": "x"}},
        {"name": "count", "arguments": {"at": [1, 2]}},
    ]
    assert json.loads(converted[5]["_tools"]) == list(TOOLS)


@pytest.mark.slow  # axolotl takes half a minute to import
def test_axolotl_learns_the_same_tokens(tmp_path: Path) -> None:
    find_trainers("axolotl")
    open_tokenizer(None, allow_download=False)[1].save_pretrained(tmp_path / "tokenizer")
    embedded = load_chat_tokenizer(str(tmp_path / "tokenizer"))
    chosen = take_template(embedded)
    masked = mask_conversations([PLAIN, LONG], chosen, embedded).rows
    rendered = [render_conversation(chosen, each) for each in (PLAIN, LONG)]
    job = {
        "tokenizer": str(tmp_path / "tokenizer"),
        "template": chosen.source,
        "conversations": [exporters_axolotl.export_chat_template(each) for each in (PLAIN, LONG)],
        "segments": [
            exporters_axolotl.export_segments(each.id, each.text, each.spans)
            for each in rendered
            if isinstance(each, RenderedConversation)
        ],
        "chatml": [
            (kind, form.removeprefix("chatml."), export(record, form))
            for kind, export, record, form in (
                ("preference", exporters_axolotl.export_preference, SHORT_PREFERENCE, "chatml.icr"),
                ("preference", exporters_axolotl.export_preference, SHORT_PREFERENCE, "chatml.intel"),
                ("preference", exporters_axolotl.export_preference, SHORT_PREFERENCE, "chatml.prompt_pairs"),
                ("preference", exporters_axolotl.export_preference, SHORT_PREFERENCE, "chatml.ultra"),
                ("label", exporters_axolotl.export_labelled, LABELLED, "chatml.argilla"),
                ("label", exporters_axolotl.export_labelled, LABELLED, "chatml.intel"),
                ("label", exporters_axolotl.export_labelled, LABELLED, "chatml.prompt_pairs"),
            )
        ],
    }
    found = ask("axolotl", "axolotl", job, tmp_path)
    for theirs, segments, ours in zip(found["conversations"], found["segments"], masked, strict=True):
        assert theirs["input_ids"] == segments["input_ids"] == ours.ids.tolist()
        assert theirs["labels"] == segments["labels"] == ours.labels.tolist()
    for row in found["chatml"]:
        assert row["prompt"] == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat does?<|im_end|>\n<|im_start|>assistant\n"
        )
        answers = [row["completion"]] if "completion" in row else [row["chosen"], row["rejected"]]
        assert answers == ["Light – 光.<|im_end|>", "Cows.<|im_end|>"][: len(answers)]
