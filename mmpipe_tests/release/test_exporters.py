"""Every exporter is undone by its inverse, through JSON; what a form cannot hold is refused with the row named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.release import (
    exporters_axolotl,
    exporters_llama_factory,
    exporters_llava,
    exporters_openai,
    exporters_trl,
)
from mmpipe.release.records import Conversation, LabelledAnswer, Preference, ToolCall, Turn
from mmpipe_tests.release.record_strategies import TOOLS, conversations, labelled, preferences

PLAIN: dict[str, Any] = {"has_system": False, "has_tools": False, "most_images": 0, "most_exchanges": 1}
TEXT: dict[str, Any] = {"has_tools": False, "most_images": 0}
URLS = "https://example.org/{}.png"
TRIPS = settings(max_examples=60)


def through_json(row: Any) -> Any:
    return json.loads(json.dumps(row, ensure_ascii=False))


# TRL


@given(conversations(), st.sampled_from(["messages", "prompt_completion"]))
@TRIPS
def test_trl_conversations_come_back(conversation: Conversation, form: Any) -> None:
    row = through_json(exporters_trl.export_conversation(conversation, form=form))
    assert exporters_trl.import_conversation(row) == conversation


@given(conversations(**PLAIN))
@TRIPS
def test_trl_plain_strings_come_back(conversation: Conversation) -> None:
    row = exporters_trl.export_conversation(conversation, form="prompt_completion", is_standard=True)
    assert [type(row[name]) for name in ("prompt", "completion")] == [str, str]
    assert exporters_trl.import_conversation(through_json(row)) == conversation


@given(preferences(), st.booleans())
@TRIPS
def test_trl_preferences_come_back(preference: Preference, is_prompt_explicit: bool) -> None:
    row = through_json(exporters_trl.export_preference(preference, is_prompt_explicit=is_prompt_explicit))
    assert ("prompt" in row) == is_prompt_explicit
    assert exporters_trl.import_preference(row) == preference


@given(preferences(**PLAIN), labelled(**PLAIN))
@TRIPS
def test_trl_plain_preferences_and_labels_come_back(preference: Preference, answer: LabelledAnswer) -> None:
    row = exporters_trl.export_preference(preference, is_standard=True)
    assert exporters_trl.import_preference(through_json(row)) == preference
    row = exporters_trl.export_labelled(answer, is_standard=True)
    assert exporters_trl.import_labelled(through_json(row)) == answer


@given(labelled())
@TRIPS
def test_trl_labels_come_back(answer: LabelledAnswer) -> None:
    assert exporters_trl.import_labelled(through_json(exporters_trl.export_labelled(answer))) == answer


def test_trl_puts_a_part_in_the_place_of_each_picture() -> None:
    asked = Turn("user", "<image>\nleft or <image>?")
    row = exporters_trl.export_conversation(Conversation("r", (asked, Turn("assistant", "left")), ("a", "b")))
    assert row["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image"},
                {"type": "text", "text": "\nleft or "},
                {"type": "image"},
                {"type": "text", "text": "?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "left"}]},
    ]
    assert row["images"] == ["a", "b"]


def test_trl_datasets_have_one_form() -> None:
    text = Conversation("r1", (Turn("user", "q"), Turn("assistant", "a")))
    vision = Conversation("r2", (Turn("user", "<image>q"), Turn("assistant", "a")), ("i",))
    rows = [exporters_trl.export_conversation(each) for each in (text, vision)]
    exporters_trl.require_one_form(rows[:1] * 2)
    with pytest.raises(InvariantBroken, match="row r2 is not of the form of row r1"):
        exporters_trl.require_one_form(rows)
    # the same columns, but strings in one row and messages in the other
    mixed = [
        exporters_trl.export_conversation(text, form="prompt_completion", is_standard=standard)
        for standard in (False, True)
    ]
    with pytest.raises(InvariantBroken, match="form"):
        exporters_trl.require_one_form(mixed)
    # the same columns, but parts in one row and plain words in the other
    parts = rows[1] | {
        "messages": [{**turn, "content": [{"type": "text", "text": "x"}]} for turn in rows[0]["messages"]]
    }
    del parts["images"]
    with pytest.raises(InvariantBroken, match="form"):
        exporters_trl.require_one_form([rows[0], parts])


# LLaMA-Factory


@given(st.one_of(*[kind(has_tools=False) for kind in (conversations, labelled)]))
@TRIPS
def test_alpaca_comes_back(record: Any) -> None:
    row = through_json(exporters_llama_factory.export_alpaca(record))
    assert exporters_llama_factory.import_alpaca(row) == record


@given(preferences(has_tools=False, has_group=False, has_margin=False))
@TRIPS
def test_alpaca_preferences_come_back(preference: Preference) -> None:
    row = through_json(exporters_llama_factory.export_alpaca(preference))
    assert exporters_llama_factory.import_alpaca(row) == preference


@given(st.one_of(conversations(speaks_beside_calls=False), labelled(speaks_beside_calls=False)))
@TRIPS
def test_sharegpt_comes_back(record: Any) -> None:
    row = through_json(exporters_llama_factory.export_sharegpt(record))
    places = [entry["from"] for entry in row["conversations"]]
    assert set(places[::2]) <= {"human", "observation"}
    assert set(places[1::2]) <= {"gpt", "function_call"}
    assert sum(entry["value"].count("<image>") for entry in row["conversations"]) == len(row["images"])
    assert exporters_llama_factory.import_sharegpt(row) == record


@given(preferences(speaks_beside_calls=False, has_group=False, has_margin=False))
@TRIPS
def test_sharegpt_preferences_come_back(preference: Preference) -> None:
    row = through_json(exporters_llama_factory.export_sharegpt(preference))
    assert exporters_llama_factory.import_sharegpt(row) == preference


def test_dataset_info_names_the_columns_that_rows_have() -> None:
    answer = (Turn("assistant", "a"),)
    prompt = (Turn("user", "q"),)
    records = {
        "sft": Conversation("r", (*prompt, *answer)),
        "preference": Preference("r", prompt, answer, (Turn("assistant", "b"),)),
        "kto": LabelledAnswer("r", prompt, answer, label=True),
    }
    for formatting, export in (
        ("alpaca", exporters_llama_factory.export_alpaca),
        ("sharegpt", exporters_llama_factory.export_sharegpt),
    ):
        for task, record in records.items():
            entry = exporters_llama_factory.describe_dataset("f.json", formatting, task, has_images=True)  # type: ignore[arg-type]
            assert set(entry["columns"].values()) | {"id"} == set(export(record))
            assert entry.get("ranking", False) == (task == "preference")
    with pytest.raises(ConfigurationError, match="Did you mean 'sharegpt'"):
        exporters_llama_factory.describe_dataset("f", "sharegtp", "sft")  # type: ignore[arg-type]


# axolotl


@given(conversations())
@TRIPS
def test_axolotl_messages_come_back(conversation: Conversation) -> None:
    row = through_json(exporters_axolotl.export_chat_template(conversation))
    assert exporters_axolotl.import_chat_template(row) == conversation


@given(conversations(**PLAIN))
@TRIPS
def test_axolotl_alpaca_comes_back(conversation: Conversation) -> None:
    assert exporters_axolotl.import_alpaca(exporters_axolotl.export_alpaca(conversation)) == conversation


@pytest.mark.parametrize("form", exporters_axolotl.PREFERENCE_FORMS)
@given(st.data())
@TRIPS
def test_axolotl_preferences_come_back(form: str, data: st.DataObject) -> None:
    more = TEXT | ({} if form.startswith("chat_template") else {"most_exchanges": 1})
    preference = data.draw(preferences(has_group=False, has_margin=False, **more))
    row = through_json(exporters_axolotl.export_preference(preference, form))
    assert exporters_axolotl.import_preference(row, form) == preference


@pytest.mark.parametrize("form", exporters_axolotl.LABEL_FORMS)
@given(answer=labelled(**TEXT | {"most_exchanges": 1}))
@TRIPS
def test_axolotl_labels_come_back(form: str, answer: LabelledAnswer) -> None:
    row = through_json(exporters_axolotl.export_labelled(answer, form))
    assert exporters_axolotl.import_labelled(row, form) == answer


@given(st.lists(st.tuples(st.text("ab", max_size=3), st.text("cd", min_size=1, max_size=3)), max_size=4), st.text("ab"))
@TRIPS
def test_axolotl_segments_come_back(pieces: list[tuple[str, str]], tail: str) -> None:
    text, spans = "", []
    for prompt, answer in pieces:
        spans.append((len(text + prompt), len(text + prompt + answer)))
        text += prompt + answer
    row = exporters_axolotl.export_segments("r", text + tail, spans)
    assert exporters_axolotl.import_segments(through_json(row)) == (text + tail, spans)
    assert all(segment["text"] for segment in row["segments"])


# LLaVA


@given(conversations(has_system=False, has_tools=False, most_images=1, leads_with_image=True))
@TRIPS
def test_llava_comes_back(conversation: Conversation) -> None:
    item = through_json(exporters_llava.export_conversation(conversation))
    assert ("image" in item) == bool(conversation.images)
    assert exporters_llava.import_conversation(item) == conversation


@given(conversations(has_system=False, has_tools=False, most_images=3, leads_with_image=True))
@TRIPS
def test_llava_with_several_pictures_comes_back(conversation: Conversation) -> None:
    item = through_json(exporters_llava.export_conversation(conversation, allows_several=True))
    assert exporters_llava.import_conversation(item) == conversation


# OpenAI


@given(conversations(image=URLS))
@TRIPS
def test_openai_comes_back(conversation: Conversation) -> None:
    line = through_json(exporters_openai.export_conversation(conversation))
    assert exporters_openai.import_conversation(line, conversation.id) == conversation
    called = [call["id"] for message in line["messages"] for call in message.get("tool_calls", ())]
    assert called == [message["tool_call_id"] for message in line["messages"] if message["role"] == "tool"]
    assert len(set(called)) == len(called)


@given(preferences(image=URLS, has_group=False, has_margin=False))
@TRIPS
def test_openai_preferences_come_back(preference: Preference) -> None:
    line = through_json(exporters_openai.export_preference(preference))
    assert set(line) == {"input", "preferred_output", "non_preferred_output"}
    assert exporters_openai.import_preference(line, preference.id) == preference


def make_line(images: int, data: bytes = b"x", kind: str = "png") -> dict[str, Any]:
    url = f"data:image/{kind};base64," + base64.b64encode(data).decode()
    turns = (Turn("user", "<image>" * images + "q"), Turn("assistant", "a"))
    return exporters_openai.export_conversation(Conversation("r", turns, (url,) * images))


@pytest.mark.parametrize(
    ("lines", "limits", "said"),
    [
        ([make_line(0)] * 9, {}, "9 rows are fewer than the 10"),
        ([make_line(0)] * 9 + [make_line(11)], {}, "row 9 has 11 images"),
        ([make_line(1)] * 3, {"rows_with_images": 2}, "row 2 is one row with images more than the 2"),
        ([make_line(0), make_line(1, b"12345")], {"image_bytes": 4}, "row 1 has an image of 5 bytes"),
        (
            [make_line(0), make_line(1, kind="gif")],
            {},
            "row 1 has an image of kind gif, where jpeg, png, webp are read",
        ),
        ([make_line(0)] * 3, {"bytes": 200}, "row 2 does not fit"),
    ],
)
def test_openai_files_keep_their_limits(lines: list[Any], limits: dict[str, int], said: str) -> None:
    rows = [(str(number), line) for number, line in enumerate(lines)]
    with pytest.raises(InvariantBroken, match=said):
        list(exporters_openai.render_lines(rows, exporters_openai.FileLimits(**limits)))


def test_openai_files_that_fit_are_written() -> None:
    lines = [make_line(2, b"1234")] * 10
    limits = exporters_openai.FileLimits(images_per_row=2, image_bytes=4, rows_with_images=10)
    written = list(exporters_openai.render_lines(((str(n), line) for n, line in enumerate(lines)), limits))
    assert [json.loads(text) for text in written] == lines
    assert all(text.endswith("\n") for text in written)


# what no dialect takes

SOUND = Conversation("row7", (Turn("user", "q"), Turn("assistant", "a")))
CALLING = Conversation(
    "row7",
    (
        Turn("user", "q"),
        Turn("assistant", "", (ToolCall("look", {"of": 1}),)),
        Turn("tool", "7", name="look"),
        Turn("assistant", "a"),
    ),
    tools=TOOLS,
)
CONVERSATION_EXPORTS: list[Callable[[Conversation], Any]] = [
    exporters_trl.export_conversation,
    exporters_llama_factory.export_alpaca,
    exporters_llama_factory.export_sharegpt,
    exporters_axolotl.export_chat_template,
    exporters_axolotl.export_alpaca,
    exporters_llava.export_conversation,
    exporters_openai.export_conversation,
]


def test_sound_records_are_written_by_all() -> None:
    for export in CONVERSATION_EXPORTS:
        assert export(SOUND)
    for calling in (exporters_trl, exporters_openai):
        assert calling.export_conversation(CALLING)
    assert exporters_llama_factory.export_sharegpt(CALLING)


@pytest.mark.parametrize("export", CONVERSATION_EXPORTS)
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(SOUND, turns=()), "does not begin with the user"),
        (replace(SOUND, turns=(Turn("assistant", "a"),)), "does not begin with the user"),
        (replace(SOUND, turns=(Turn("user", "q"), Turn("user", "q"))), "user where assistant is due"),
        (replace(SOUND, turns=(*SOUND.turns, *SOUND.turns[1:])), "assistant where user is due"),
        (replace(SOUND, turns=(*SOUND.turns, Turn("system", "s"))), "system where user is due"),
        (replace(SOUND, turns=SOUND.turns[:1]), "does not end with the assistant"),
        (replace(SOUND, turns=(Turn("user", "q"), Turn("assistant", " "))), r"empty turn \(assistant\)"),
        (replace(SOUND, turns=(Turn("system", ""), *SOUND.turns)), r"empty turn \(system\)"),
        (replace(SOUND, images=("i",)), "0 image placeholders and 1 images"),
        (replace(SOUND, turns=(Turn("user", "<image>"), Turn("assistant", "a"))), "1 image placeholders and 0"),
        (
            replace(SOUND, turns=(Turn("user", "q"), Turn("assistant", "<image>")), images=("i",)),
            "placeholder in a turn of the assistant",
        ),
        (replace(CALLING, turns=CALLING.turns[:2] + CALLING.turns[3:]), "goes on before the result of tool 'look'"),
        (replace(CALLING, turns=CALLING.turns[:3]), "does not end with the assistant"),
        (replace(CALLING, turns=(*SOUND.turns[:1], CALLING.turns[2])), "that nobody called"),
        (
            replace(CALLING, turns=(*CALLING.turns[:2], Turn("tool", "7", name="count"), CALLING.turns[3])),
            "result of tool 'count' where 'look' was called",
        ),
        (replace(CALLING, tools=TOOLS[1:]), "calls tool 'look', which is not among its tools"),
        (
            replace(CALLING, turns=(*SOUND.turns[:1], Turn("assistant", "", (ToolCall("look", {"of": {1}}),)))),
            "arguments that are no JSON object",
        ),
        (replace(SOUND, turns=(Turn("user", "q", name="me"), SOUND.turns[1])), "where only tools have one"),
    ],
)
def test_a_broken_row_is_named(export: Any, broken: Conversation, said: str) -> None:
    with pytest.raises(InvariantBroken, match=f"row row7 .*({said})"):
        export(broken)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rejected": (Turn("assistant", " a\n"),)}, "prefers nothing"),
        ({"margin": 0.0}, "its margin is 0.0"),
        ({"rejected": (Turn("assistant", ""),)}, "with its rejected answer has an empty turn"),
        ({"prompt": SOUND.turns}, "has a prompt that ends with the assistant"),
        ({"rejected": (Turn("user", "b"),)}, "with its rejected answer"),
    ],
)
def test_a_preference_that_teaches_nothing_is_named(change: dict[str, Any], said: str) -> None:
    sound = Preference("row7", SOUND.turns[:1], SOUND.turns[1:], (Turn("assistant", "b"),), margin=1.0)
    for export in (
        exporters_trl.export_preference,
        exporters_llama_factory.export_alpaca,
        exporters_axolotl.export_preference,
        exporters_openai.export_preference,
    ):
        assert export(sound)
        with pytest.raises(InvariantBroken, match=f"row row7 .*{said}"):
            export(replace(sound, **change))


@pytest.mark.parametrize(
    ("export", "row", "said"),
    [
        (exporters_llama_factory.export_alpaca, CALLING, "tools, which alpaca cannot hold"),
        (
            exporters_llama_factory.export_sharegpt,
            replace(CALLING, turns=(CALLING.turns[0], replace(CALLING.turns[1], content="so"), *CALLING.turns[2:])),
            "words beside its tool calls",
        ),
        (
            exporters_llama_factory.export_sharegpt,
            replace(
                CALLING,
                turns=(
                    *CALLING.turns[:2],
                    Turn("tool", exporters_llama_factory.RESULT_SEPARATOR + "x", name="look"),
                    CALLING.turns[3],
                ),
            ),
            "mark between results",
        ),
        (exporters_axolotl.export_alpaca, replace(SOUND, turns=SOUND.turns * 2), "more than one question"),
        (exporters_llava.export_conversation, CALLING, "LLaVA cannot hold"),
        (
            exporters_llava.export_conversation,
            replace(SOUND, turns=(Turn("user", "q<image>"), SOUND.turns[1]), images=("i",)),
            "does not begin with <image>",
        ),
        (
            exporters_llava.export_conversation,
            replace(SOUND, turns=(Turn("user", "<image>\n<image>"), SOUND.turns[1]), images=("i", "j")),
            "2 images, where LLaVA reads one",
        ),
        (
            exporters_openai.export_conversation,
            replace(SOUND, turns=(Turn("user", "<image>"), SOUND.turns[1]), images=("local.png",)),
            "neither a URL nor a data URL",
        ),
    ],
)
def test_what_a_form_cannot_hold_is_refused(export: Any, row: Conversation, said: str) -> None:
    with pytest.raises(InvariantBroken, match=f"row row7 .*{said}"):
        export(row)


def test_unknown_forms_are_named() -> None:
    preference = Preference("r", SOUND.turns[:1], SOUND.turns[1:], (Turn("assistant", "b"),))
    with pytest.raises(ConfigurationError, match=r"Did you mean 'chatml\.argilla'"):
        exporters_axolotl.export_preference(preference, "chatml.argila")
    with pytest.raises(ConfigurationError, match="Did you mean 'messages'"):
        exporters_trl.export_conversation(SOUND, form="mesages")  # type: ignore[arg-type]
