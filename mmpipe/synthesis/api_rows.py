"""Instruction–API rows: a teacher writes what a user would ask where an API is the answer, and never names it.

Patil et al. 2023, "Gorilla" (arXiv 2305.15334, section 3.1): from the card of each API a teacher writes ten
instructions, with examples of another card before it; a row is a chat of one instruction and the call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.synthesis.api_calls import CallVerdict, check_references, list_strings, read_calls, read_reference
from mmpipe.synthesis.drafts import Parent, join_left_out, make_seed
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row
from mmpipe.synthesis.tool_schemas import choose_tools, describe_call, read_tool_call, write_json
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmpipe.tables.chat import ChatReply, Teacher

METHOD = "api_rows"

#: The fields of a card, those of APIBench; `api_id` and `dump` are ours.
CARD_FIELDS = (
    "domain",
    "framework",
    "functionality",
    "api_name",
    "api_call",
    "api_arguments",
    "environment_requirements",
    "example_code",
    "performance",
    "description",
)
_REQUIRED = ("api_id", "dump", "domain", "functionality", "api_name", "api_call", "description")

#: Why an instruction is refused, in the order looked for. The first two are of a card, about which nobody is asked: it
#: lacks what a card must have, or its call is not right as an answer to itself. `missing` ones were not written.
REASONS = ("incomplete_card", "unscorable_card", "missing", "too_short", "names_api", "repeated_instruction")

PROMPT = Prompt(
    "api_rows/instructions",
    "You are given the card of an API. You write what different people might ask an assistant who then uses this API: "
    "real wishes, each with the details that make the API the right choice. Nobody who asks knows the API: no name of "
    "it, of its model, its library or its functions may stand in an instruction.",
    "Instructions wanted: {count}\n\nCard:\n{card}",
    (
        (
            {
                "count": "2",
                "card": '{"api_call": "weather.forecast(place, days=3)", "description": "Weather of the next days."}',
            },
            {
                "instructions": [
                    "We hike around Lake Orrin from Friday to Sunday. Will we need rain coats?",
                    "My bakery sells more ice cream on hot days. How warm will the coming three days be?",
                ]
            },
        ),
    ),
)

DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String,
        "api_id": pl.String,
        "domain": pl.String,
        "api_name": pl.String,
        "api_call": pl.String,
    }
)

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRowSettings:
    """What is asked and what passes.

    Attributes:
        instructions: per API (10, section 3.1).
        words: fewest words of an instruction (ours; Self-Instruct drops three and fewer).
        answer: `code` for the call in Python, as Gorilla is trained and scored; `call` for a tool call, with a list of
            tools that may be called.
        tools_shown: tools beside an answer that is a call: its own, others of the cards by hash (ours).
        temperature: of the teacher.
        top_p: nucleus.
        max_tokens: of a reply with all instructions.
        seed: of the requests.
    """

    instructions: int = 10
    words: int = 4
    answer: Literal["code", "call"] = "code"
    tools_shown: int = 4
    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tools_shown < 1:
            raise ConfigurationError(f"api_rows.tools_shown must be 1 or more, not {self.tools_shown}.")


def make_api_rows(cards: pl.DataFrame, teacher: Teacher, settings: ApiRowSettings) -> Judged:
    """Return a row per instruction that passed: the user asks, the assistant says the call and what it is for.

    `instructions` rows are planned for each API; those that a reply lacks are refused as `missing`.

    Args:
        cards: columns api_id, dump and those of CARD_FIELDS that are known (domain, functionality, api_name, api_call
            and description must be).
        teacher: who writes; one request for each API.
        settings: how.

    Raises:
        ConfigurationError: a column is missing.
        TeacherError: the teacher cannot answer any more.
    """
    account = RowAccount()
    rows = _read_cards(cards, account, settings)
    names = {row["api_id"]: _list_names(row) for row in rows}
    requests = [_make_request(row, settings) for row in rows]
    by_call = _describe_tools(rows) if settings.answer == "call" else {}
    for row, request, outcome in zip(rows, requests, account.ask(teacher, requests), strict=True):
        said, reason = _read_reply(outcome)
        paid = _share(outcome, settings.instructions)
        seen: set[str] = set()
        for number in range(settings.instructions):
            instruction_id = make_id(METHOD, row["api_id"], number)
            text = said[number].strip() if number < len(said) else ""
            fault = reason or _find_fault(text, number < len(said), names[row["api_id"]], seen, settings)
            if fault:
                account.refuse(instruction_id, text, fault)
                continue
            account.rows.append(
                make_instruction_row(
                    instruction_id=instruction_id,
                    dump=row["dump"],
                    method=METHOD,
                    stage="instruction_tuning",
                    mode="general_distillation.from_seeds",
                    instruction=text,
                    response=write_json(by_call[row["api_id"]][1]) if by_call else render_answer(row),
                    parents=(Parent("api_cards", row["api_id"]),),
                    teacher=teacher.name,
                    prompt_version=PROMPT.version,
                    sampling=request.sampling,
                    paid=paid(number),
                )
                | _show_tools(row["api_id"], instruction_id, by_call, settings)
            )
            details = {name: row[name] for name in ("api_id", "domain", "api_name", "api_call")}
            account.details.append({"instruction_id": instruction_id, **details})
    return account.close(DETAILS_SCHEMA)


def _describe_tools(cards: Sequence[Mapping[str, Any]]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the tool and the call of each card, by its id."""
    described = {}
    for card in cards:
        name, arguments = read_tool_call(card["api_call"])
        tool = describe_call(card["api_call"], f"{card['functionality']}: {card['description']}")
        described[card["api_id"]] = (tool, {"name": name, "arguments": arguments})
    return described


def _show_tools(
    api_id: str,
    instruction_id: str,
    by_call: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
    settings: ApiRowSettings,
) -> dict[str, str]:
    """Return the columns of a row that calls a tool; other cards of the same function are no distractors."""
    if not by_call:
        return {}
    # of cards of one function the first by id tells of it, whatever their order
    tools = {call["name"]: tool for _, (tool, call) in sorted(by_call.items(), reverse=True)}
    own, call = by_call[api_id]
    tools[call["name"]] = own
    shown = choose_tools([call["name"]], tools, settings.tools_shown, settings.seed, instruction_id)
    return {"tools": write_json([tools[name] for name in shown]), "tool_calls": write_json([call])}


def render_answer(card: Mapping[str, Any]) -> str:
    """Return the assistant's turn: what is done, the call as code, and what it needs where the card says so."""
    parts = [f"{card['functionality']}: {card['description']}", f"```python\n{card['api_call']}\n```"]
    needed = card.get("environment_requirements")
    if needed:
        parts.append(f"Needs: {needed if isinstance(needed, str) else ', '.join(needed)}")
    return "\n\n".join(parts)


def names_api(instruction: str, names: Iterable[str]) -> bool:
    """Return whether an instruction has one of the names, as whole words, whatever stands between their parts."""
    words = [word.casefold() for word in _WORD.findall(instruction)]
    for name in names:
        wanted = [word.casefold() for word in _WORD.findall(name)]
        if wanted and any(words[place : place + len(wanted)] == wanted for place in range(len(words))):
            return True
        joined = "".join(wanted)
        if len(wanted) > 1 and joined in words:
            return True
    return False


def _read_cards(cards: pl.DataFrame, account: RowAccount, settings: ApiRowSettings) -> list[dict[str, Any]]:
    """Return the cards that can be asked about and scored against; the others' instructions are refused.

    What stays scores all right against itself: a call of another reference, or none, makes a score mean nothing.
    """
    for name in _REQUIRED:
        if name not in cards.columns:
            raise ConfigurationError(f"API cards lack {name!r}.{name_nearest(name, cards.columns)}")
    rows = cards.rows(named=True)
    whole = [row for row in rows if all(str(row[name] or "").strip() for name in _REQUIRED)]
    complete = {row["api_id"] for row in whole}
    wrong = check_references({row["api_id"]: row["api_call"] for row in whole})
    if settings.answer == "call":
        wrong |= {row["api_id"]: CallVerdict("no_call") for row in whole if not _is_tool_call(row["api_call"])}
    for row in rows:
        if row["api_id"] in wrong or row["api_id"] not in complete:
            verdict = wrong.get(row["api_id"])
            reason = "unscorable_card" if verdict else "incomplete_card"
            said = f"{row['api_call']}\n{verdict.verdict}: {', '.join(verdict.found)}" if verdict else _write_card(row)
            for number in range(settings.instructions):
                account.refuse(make_id(METHOD, row["api_id"], number), said, reason, was_asked=False)
    return [row for row in whole if row["api_id"] not in wrong]


def _write_card(row: Mapping[str, Any]) -> str:
    # a file of cards may have columns of any type, such as days
    return json.dumps(row, ensure_ascii=False, default=str)


def _is_tool_call(call: str) -> bool:
    try:
        read_tool_call(call)
    except ConfigurationError:
        return False
    return True


def _list_names(card: Mapping[str, Any]) -> set[str]:
    """Return what gives an API away: its name, its function, and names among the strings of its call."""
    reference = read_reference(card["api_call"])
    strings = list_strings(read_calls(card["api_call"]))
    # a word of a sentence may be an argument: names of models have a digit, a sign or a capital inside
    given = {text for text in strings if re.search(r"[\d/_-]|[a-z][A-Z]", text)}
    given |= {part for text in given for part in text.split("/") if re.search(r"[\d_-]|[a-z][A-Z]", part)}
    last = reference.name.rpartition(".")[2]
    names = {card["api_name"], reference.name, *given}
    return names | ({last} if re.search(r"[\d_]|[a-z][A-Z]", last) else set())


def _make_request(card: Mapping[str, Any], settings: ApiRowSettings) -> ChatRequest:
    shown = {name: card[name] for name in CARD_FIELDS if card.get(name)}
    schema = {
        "type": "object",
        "properties": {
            "instructions": {
                "type": "array",
                "items": {"type": "string", "maxLength": 600},
                "minItems": 1,
                "maxItems": 2 * settings.instructions,
            }
        },
        "required": ["instructions"],
        "additionalProperties": False,
    }
    sampling = Sampling(
        settings.temperature, settings.top_p, settings.max_tokens, make_seed(settings.seed, METHOD, card["api_id"])
    )
    messages = PROMPT.render(count=str(settings.instructions), card=json.dumps(shown, ensure_ascii=False))
    return ChatRequest(messages, sampling, schema)


def _read_reply(outcome: ChatReply | ChatFailure) -> tuple[list[str], str]:
    if isinstance(outcome, ChatFailure):
        return [], f"teacher_{outcome.kind}"
    return [str(text) for text in json.loads(outcome.text)["instructions"]], ""


def _share(outcome: ChatReply | ChatFailure, count: int) -> Any:
    """Return what each of the rows of one reply paid: whole tokens, so that they add up to the reply's."""

    def part(whole: int, number: int) -> int:
        return whole * (number + 1) // count - whole * number // count

    left_out = join_left_out((), outcome)
    return lambda number: Paid(
        outcome.attempts, part(outcome.prompt_tokens, number), part(outcome.completion_tokens, number), left_out
    )


def _find_fault(text: str, is_there: bool, names: set[str], seen: set[str], settings: ApiRowSettings) -> str:
    if not is_there:
        return "missing"
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) < settings.words:
        return "too_short"
    if names_api(text, names):
        return "names_api"
    key = " ".join(words)
    if key in seen:
        return "repeated_instruction"
    seen.add(key)
    return ""
