"""Writes conversations and preferences as LLaMA-Factory's alpaca and sharegpt rows, and reads them back.

Source: LLaMA-Factory, `data/README.md` and the converters of `llamafactory.data.converter` (0.9.5). Every row of a file
has the same columns, since the converter looks each of them up. `import(export(x)) == x` for what a form can hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.release.records import (
    Conversation,
    LabelledAnswer,
    Preference,
    ToolCall,
    Turn,
    refuse,
    require_sound,
)

Formatting = Literal["alpaca", "sharegpt"]
Task = Literal["sft", "preference", "kto"]

_DIALECT = "llama_factory"

#: Between the results of calls made in one turn, which sharegpt keeps in one observation; LLaMA-Factory's own words.
RESULT_SEPARATOR = "\n</tool_response>\n<tool_response>\n"

#: What `columns` of dataset_info.json says, by formatting and task; the pictures' column is added where there are any.
_COLUMNS: dict[tuple[Formatting, Task], dict[str, str]] = {
    ("alpaca", "sft"): {"prompt": "instruction", "query": "input", "response": "output"},
    ("alpaca", "preference"): {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
    ("alpaca", "kto"): {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "kto_tag"},
    ("sharegpt", "sft"): {"messages": "conversations"},
    ("sharegpt", "preference"): {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    ("sharegpt", "kto"): {"messages": "conversations", "kto_tag": "kto_tag"},
}

_Record = Conversation | Preference | LabelledAnswer


def describe_dataset(file_name: str, formatting: Formatting, task: Task, *, has_images: bool = False) -> dict[str, Any]:
    """Return the entry of dataset_info.json for a file of rows that this module wrote.

    Raises:
        ConfigurationError: an unknown formatting or task.
    """
    if (formatting, task) not in _COLUMNS:
        known = {name for pair in _COLUMNS for name in pair}
        wrong = formatting if formatting not in known else task
        raise ConfigurationError(f"llama_factory: there is no form {wrong!r}.{name_nearest(wrong, known)}")
    columns = _COLUMNS[formatting, task] | {"system": "system"}
    columns |= {"history": "history"} if formatting == "alpaca" else {"tools": "tools"}
    columns |= {"images": "images"} if has_images else {}
    entry: dict[str, Any] = {"file_name": file_name, "formatting": formatting, "columns": columns}
    return entry | ({"ranking": True} if task == "preference" else {})


# alpaca ---------------------------------------------------------------------------------------------------------------


def export_alpaca(record: _Record) -> dict[str, Any]:
    """Return an alpaca row: the last question as `instruction`, earlier exchanges as `history`.

    A preference has `chosen` and `rejected` for `output`; a labelled answer a boolean `kto_tag` besides.

    Raises:
        InvariantBroken: no trainer accepts the row, or it has calls, which alpaca cannot hold; the row is named.
    """
    require_sound(record, _DIALECT)
    prompt, answers = _split_record(record)
    if any(turn.role == "tool" or turn.tool_calls for turn in (*prompt, *answers.values())) or record.tools:
        refuse(_DIALECT, record.id, "has tools, which alpaca cannot hold; use sharegpt")
    system, turns = _part_system(prompt)
    *earlier, asked = [turn.content for turn in turns]
    return {
        "id": record.id,
        "instruction": asked,
        "input": "",
        **{name: turn.content for name, turn in answers.items()},
        **({"kto_tag": record.label} if isinstance(record, LabelledAnswer) else {}),
        "system": system,
        "history": [list(pair) for pair in zip(earlier[::2], earlier[1::2], strict=True)],
        "images": list(record.images),
    }


def import_alpaca(row: Mapping[str, Any]) -> _Record:
    """Return the record of a row that `export_alpaca` wrote; rows with an `input` of their own read likewise."""
    asked = "\n".join(part for part in (row["instruction"], row.get("input")) if part)
    earlier = [turn for pair in row.get("history") or () for turn in _make_exchange(pair)]
    prompt = (*_make_system(row.get("system")), *earlier, Turn("user", asked))
    images = tuple(row.get("images") or ())
    if "chosen" in row:
        sides = [(Turn("assistant", row[name]),) for name in ("chosen", "rejected")]
        return Preference(row["id"], prompt, sides[0], sides[1], images)
    answer = (Turn("assistant", row["output"]),)
    if "kto_tag" in row:
        return LabelledAnswer(row["id"], prompt, answer, row["kto_tag"], images)
    return Conversation(row["id"], (*prompt, *answer), images)


def _split_record(record: _Record) -> tuple[tuple[Turn, ...], dict[str, Turn]]:
    """Return the prompt and the answers by column, each the last turn alone."""
    if isinstance(record, Conversation):
        return record.turns[:-1], {"output": record.turns[-1]}
    if isinstance(record, LabelledAnswer):
        return record.prompt, {"output": _take_turn(record.id, record.completion)}
    sides = {"chosen": record.chosen, "rejected": record.rejected}
    return record.prompt, {name: _take_turn(record.id, turns) for name, turns in sides.items()}


def _take_turn(row_id: str, turns: Sequence[Turn]) -> Turn:
    if len(turns) != 1:
        refuse(_DIALECT, row_id, f"has an answer of {len(turns)} turns, where there is room for one")
    return turns[0]


def _part_system(turns: Sequence[Turn]) -> tuple[str, Sequence[Turn]]:
    return (turns[0].content, turns[1:]) if turns[0].role == "system" else ("", turns)


def _make_system(system: str | None) -> tuple[Turn, ...]:
    return (Turn("system", system),) if system else ()


def _make_exchange(pair: Sequence[str]) -> tuple[Turn, Turn]:
    return Turn("user", pair[0]), Turn("assistant", pair[1])


# sharegpt -------------------------------------------------------------------------------------------------------------


def export_sharegpt(record: _Record) -> dict[str, Any]:
    """Return a sharegpt row: `conversations` of `from` and `value`, `system`, `tools` (a JSON string) and `images`.

    Human and observation stand on odd places, gpt and function_call on even ones; LLaMA-Factory drops anything else
    with no more than a warning. Results of calls made in one turn stand in one observation (`RESULT_SEPARATOR`).

    Raises:
        InvariantBroken: no trainer accepts the row, or sharegpt cannot hold it (words beside calls, an answer of
            several turns, a result that holds the separator); the row is named.
    """
    require_sound(record, _DIALECT)
    prompt, answers = _split_record(record)
    system, turns = _part_system(prompt)
    if isinstance(record, Preference):
        sides: dict[str, Any] = {name: _write_entry(record.id, [turn]) for name, turn in answers.items()}
    else:
        turns = (*turns, answers["output"])
        sides = {"kto_tag": record.label} if isinstance(record, LabelledAnswer) else {}
    return {
        "id": record.id,
        "conversations": [_write_entry(record.id, group) for group in _group_results(turns)],
        **sides,
        "system": system,
        "tools": json.dumps([dict(tool) for tool in record.tools], ensure_ascii=False) if record.tools else "",
        "images": list(record.images),
    }


def import_sharegpt(row: Mapping[str, Any]) -> _Record:
    """Return the record of a row that `export_sharegpt` wrote."""
    turns = (*_make_system(row.get("system")), *_read_entries(row["conversations"]))
    tools = tuple(json.loads(row["tools"])) if row.get("tools") else ()
    images = tuple(row.get("images") or ())
    if "chosen" in row:
        sides = [tuple(_read_entries([row[name]])) for name in ("chosen", "rejected")]
        return Preference(row["id"], turns, sides[0], sides[1], images, tools)
    if "kto_tag" in row:
        return LabelledAnswer(row["id"], turns[:-1], turns[-1:], row["kto_tag"], images, tools)
    return Conversation(row["id"], turns, images, tools)


def _group_results(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield the turns one by one, but results that follow one another together."""
    group: list[Turn] = []
    for turn in turns:
        if group and not (turn.role == group[-1].role == "tool"):
            yield group
            group = []
        group.append(turn)
    if group:
        yield group


def _write_entry(row_id: str, group: Sequence[Turn]) -> dict[str, str]:
    turn = group[0]
    if turn.role == "tool":
        if any(RESULT_SEPARATOR in result.content for result in group):
            refuse(_DIALECT, row_id, "has a tool's result that holds the mark between results")
        return {"from": "observation", "value": RESULT_SEPARATOR.join(result.content for result in group)}
    if not turn.tool_calls:
        return {"from": "human" if turn.role == "user" else "gpt", "value": turn.content}
    if turn.content:
        refuse(_DIALECT, row_id, "has words beside its tool calls, which a function_call cannot hold")
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in turn.tool_calls]
    return {
        "from": "function_call",
        "value": json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False),
    }


def _read_entries(entries: Sequence[Mapping[str, str]]) -> Iterator[Turn]:
    called: tuple[ToolCall, ...] = ()
    for entry in entries:
        speaker, value = entry["from"], entry["value"]
        if speaker == "observation":
            # sharegpt names no tool: results answer the calls before them, in order
            results = value.split(RESULT_SEPARATOR) if len(called) > 1 else [value]
            for call, result in zip(called, results, strict=True):
                yield Turn("tool", result, name=call.name)
        elif speaker == "function_call":
            calls = json.loads(value)
            called = tuple(
                ToolCall(call["name"], call["arguments"]) for call in (calls if isinstance(calls, list) else [calls])
            )
            yield Turn("assistant", "", called)
        else:
            yield Turn("user" if speaker == "human" else "assistant", value)
