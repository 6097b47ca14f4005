"""Writes conversations and preferences as axolotl's dataset formats, and reads them back.

Source: axolotl, `docs/dataset-formats` and `axolotl.prompt_strategies` (0.19). The name of a form is the `type` that
axolotl's configuration gives a dataset. `import(export(x)) == x` for what a form can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.release.conversations import IMAGE_PLACEHOLDER
from mmpipe.release.exporters_trl import split_parts
from mmpipe.release.records import (
    Conversation,
    LabelledAnswer,
    Preference,
    Turn,
    list_messages,
    read_messages,
    refuse,
    require_sound,
)

_DIALECT = "axolotl"

#: Columns of (question, chosen, rejected) in the forms that hold plain strings and a `system`.
_PAIR_COLUMNS = {
    "chatml.argilla": ("instruction", "chosen_response", "rejected_response"),
    "chatml.icr": ("input", "chosen", "rejected"),
    "chatml.intel": ("question", "chosen", "rejected"),
    "chatml.prompt_pairs": ("prompt", "chosen", "rejected"),
    "bradley_terry.chat_template": ("input", "chosen", "rejected"),
}

#: Column of the question in the forms of labelled answers; `completion` and `label` stand beside it.
_LABEL_COLUMNS = {"chatml.argilla": "instruction", "chatml.intel": "question", "chatml.prompt_pairs": "prompt"}

PREFERENCE_FORMS = ("chat_template.default", "chat_template.argilla_chat", "chatml.ultra", *_PAIR_COLUMNS)
LABEL_FORMS = tuple(_LABEL_COLUMNS)


def describe_dataset(path: str, form: str) -> dict[str, str]:
    """Return the entry of `datasets` in axolotl's configuration for a JSONL file of rows of this form."""
    return {"path": path, "ds_type": "json", "type": form}


# conversations --------------------------------------------------------------------------------------------------------


def export_chat_template(conversation: Conversation) -> dict[str, Any]:
    """Return a row of type `chat_template`: `messages`, and `tools` where there are any.

    In a row with pictures each message holds a list of parts, an image part with its `path`.

    Raises:
        InvariantBroken: no trainer accepts the row; the row is named.
    """
    require_sound(conversation, _DIALECT)
    messages = list_messages(conversation.turns)
    if conversation.images:
        left = iter(conversation.images)
        for message in messages:
            message["content"] = [
                {**part, "path": next(left)} if part["type"] == "image" else part
                for part in split_parts(message["content"])
            ]
    row: dict[str, Any] = {"id": conversation.id, "messages": messages}
    return row | ({"tools": [dict(tool) for tool in conversation.tools]} if conversation.tools else {})


def import_chat_template(row: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a row that `export_chat_template` wrote."""
    images: list[str] = []
    messages = []
    for message in row["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            images += [part["path"] for part in content if part["type"] == "image"]
            content = "".join(IMAGE_PLACEHOLDER if part["type"] == "image" else part["text"] for part in content)
        messages.append({**message, "content": content})
    return Conversation(row["id"], read_messages(messages), tuple(images), tuple(row.get("tools") or ()))


def export_alpaca(conversation: Conversation) -> dict[str, str]:
    """Return a row of type `alpaca`: one `instruction` and one `output`, with an empty `input`.

    Raises:
        InvariantBroken: no trainer accepts the row, or it is more than one question and one answer; the row is named.
    """
    require_sound(conversation, _DIALECT)
    if [turn.role for turn in conversation.turns] != ["user", "assistant"] or conversation.turns[-1].tool_calls:
        refuse(_DIALECT, conversation.id, "is more than one question and one answer, which alpaca cannot hold")
    _refuse_images_and_tools(conversation, "alpaca")
    asked, answer = (turn.content for turn in conversation.turns)
    return {"id": conversation.id, "instruction": asked, "input": "", "output": answer}


def import_alpaca(row: Mapping[str, str]) -> Conversation:
    """Return the conversation of a row that `export_alpaca` wrote."""
    return Conversation(row["id"], (Turn("user", row["instruction"]), Turn("assistant", row["output"])))


# preferences ----------------------------------------------------------------------------------------------------------


def export_preference(preference: Preference, form: str = "chat_template.default") -> dict[str, Any]:
    """Return a row of a DPO form, or of the reward model's `bradley_terry.chat_template`.

    Args:
        preference: what to write.
        form: one of `PREFERENCE_FORMS`. `chat_template.default` holds any number of earlier turns, `argilla_chat` too;
            the others one question with its system turn (`ultra` repeats it in front of both answers).

    Raises:
        InvariantBroken: no trainer accepts the row, or the form cannot hold it; the row is named.
        ConfigurationError: there is no such form.
    """
    _require_form(form, PREFERENCE_FORMS)
    require_sound(preference, _DIALECT)
    _refuse_images_and_tools(preference, form)
    prompt = list_messages(preference.prompt)
    chosen, rejected = (_take_answer(preference.id, turns, form) for turns in (preference.chosen, preference.rejected))
    if form == "chat_template.default":
        return {"id": preference.id, "messages": prompt, "chosen": chosen, "rejected": rejected}
    if form == "chat_template.argilla_chat":
        return {"id": preference.id, "chosen": [*prompt, chosen], "rejected": [*prompt, rejected]}
    system, asked = _take_question(preference.id, preference.prompt, form)
    if form == "chatml.ultra":
        question = {"role": "user", "content": asked}
        sides: dict[str, Any] = {"prompt": asked, "chosen": [question, chosen], "rejected": [question, rejected]}
    else:
        sides = dict(zip(_PAIR_COLUMNS[form], (asked, chosen["content"], rejected["content"]), strict=True))
    return {"id": preference.id, "system": system, **sides}


def import_preference(row: Mapping[str, Any], form: str = "chat_template.default") -> Preference:
    """Return the preference of a row that `export_preference` wrote in this form.

    Raises:
        ConfigurationError: there is no such form.
    """
    _require_form(form, PREFERENCE_FORMS)
    if form == "chat_template.default":
        prompt, answers = read_messages(row["messages"]), [row["chosen"], row["rejected"]]
    elif form == "chat_template.argilla_chat":
        prompt, answers = read_messages(row["chosen"][:-1]), [row["chosen"][-1], row["rejected"][-1]]
    elif form == "chatml.ultra":
        prompt, answers = _make_question(row, "prompt"), [row["chosen"][-1], row["rejected"][-1]]
    else:
        question, *names = _PAIR_COLUMNS[form]
        prompt = _make_question(row, question)
        answers = [{"role": "assistant", "content": row[name]} for name in names]
    chosen, rejected = (read_messages([answer]) for answer in answers)
    return Preference(row["id"], prompt, chosen, rejected)


def export_labelled(answer: LabelledAnswer, form: str = "chatml.argilla") -> dict[str, Any]:
    """Return a row of a KTO form, one of `LABEL_FORMS`: the question, `completion` and a boolean `label`.

    Raises:
        InvariantBroken: no trainer accepts the row, or the form cannot hold it; the row is named.
        ConfigurationError: there is no such form.
    """
    _require_form(form, LABEL_FORMS)
    require_sound(answer, _DIALECT)
    _refuse_images_and_tools(answer, form)
    system, asked = _take_question(answer.id, answer.prompt, form)
    completion = _take_answer(answer.id, answer.completion, form)["content"]
    row = {"id": answer.id, "system": system, _LABEL_COLUMNS[form]: asked, "completion": completion}
    return {**row, "label": answer.label}


def import_labelled(row: Mapping[str, Any], form: str = "chatml.argilla") -> LabelledAnswer:
    """Return the answer of a row that `export_labelled` wrote in this form.

    Raises:
        ConfigurationError: there is no such form.
    """
    _require_form(form, LABEL_FORMS)
    prompt = _make_question(row, _LABEL_COLUMNS[form])
    return LabelledAnswer(row["id"], prompt, (Turn("assistant", row["completion"]),), row["label"])


def export_segments(row_id: str, text: str, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a row of type `input_output`: the rendered text in `segments`, with `label` where there is loss.

    Args:
        row_id: id of the row.
        text: a conversation rendered with the model's template.
        spans: (begin, end) of what the assistant says, in order; see `chat_templates.RenderedConversation`.
    """
    segments = []
    place = 0
    for begin, end in spans:
        segments += [{"text": text[place:begin], "label": False}, {"text": text[begin:end], "label": True}]
        place = end
    segments.append({"text": text[place:], "label": False})
    return {"id": row_id, "segments": [segment for segment in segments if segment["text"]]}


def import_segments(row: Mapping[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """Return (text, spans) of a row that `export_segments` wrote."""
    text, spans = "", []
    for segment in row["segments"]:
        if segment["label"]:
            spans.append((len(text), len(text) + len(segment["text"])))
        text += segment["text"]
    return text, spans


def _take_answer(row_id: str, turns: Sequence[Turn], form: str) -> dict[str, Any]:
    if len(turns) != 1 or turns[0].tool_calls:
        refuse(_DIALECT, row_id, f"has more than one turn of words for an answer, which {form} cannot hold")
    return list_messages(turns)[0]


def _take_question(row_id: str, prompt: Sequence[Turn], form: str) -> tuple[str, str]:
    roles = [turn.role for turn in prompt]
    if roles not in (["user"], ["system", "user"]):
        refuse(_DIALECT, row_id, f"has earlier turns, which {form} cannot hold")
    return (prompt[0].content if len(prompt) == 2 else ""), prompt[-1].content


def _make_question(row: Mapping[str, Any], column: str) -> tuple[Turn, ...]:
    system = (Turn("system", row["system"]),) if row.get("system") else ()
    return (*system, Turn("user", row[column]))


def _refuse_images_and_tools(record: Conversation | Preference | LabelledAnswer, form: str) -> None:
    if record.images or record.tools:
        refuse(_DIALECT, record.id, f"has {'images' if record.images else 'tools'}, which {form} cannot hold")


def _require_form(form: str, known: Sequence[str]) -> None:
    if form not in known:
        raise ConfigurationError(f"axolotl: there is no form {form!r}.{name_nearest(form, known)}")
