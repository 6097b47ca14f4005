"""Renders conversations with a model's own chat template and finds what the assistant says in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mmpipe.errors import ConfigurationError
from mmpipe.release.records import Conversation, Turn, list_messages

if TYPE_CHECKING:
    import jinja2

#: Why a template cannot serve a conversation. `special_token_in_text`: words that would become a special token.
#: `template_refuses`: it raises. `template_drops_words`, `template_drops_calls`, `template_drops_tools`: the words of a
#: turn, or the name of a call or of a tool that may be called, are not in the text. `template_rewrites_turns`: one is
#: rendered otherwise once others follow, so that training would not show what the model saw when it answered.
#: `template_marks_other_turns`: its generation marks are not the assistant's turns. `inexact_tokens`: a token lies on
#: both sides of the border of an answer. `answer_longer_than_limit`: not even the first answer fits.
FaultReason = Literal[
    "special_token_in_text",
    "template_refuses",
    "template_drops_words",
    "template_drops_calls",
    "template_drops_tools",
    "template_rewrites_turns",
    "template_marks_other_turns",
    "inexact_tokens",
    "answer_longer_than_limit",
]

# stand around what a generation block renders; noncharacters, which no text holds that was decoded with care
_BEGIN, _END = "\ufdd0", "\ufdd1"

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class TemplateSource(Protocol):
    """Where a template comes from; `models.chat_tokenizer.ChatTokenizer` is one."""

    @property
    def name(self) -> str:
        """Of the tokenizer."""

    @property
    def chat_template(self) -> str | None:
        """The template in Jinja, or None."""

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """Tokens that templates name: bos_token, eos_token, pad_token, unk_token."""

    @property
    def marks(self) -> Sequence[str]:
        """Every string that becomes a special token wherever it stands."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template ready to render.

    Attributes:
        name: of the tokenizer it belongs to.
        source: Jinja, with the extensions that transformers gives templates: loop controls and generation blocks.
        special_tokens: what bos_token, eos_token, … stand for.
        marks: every string that becomes a special token wherever it stands.
        today: the date that `strftime_now` tells; without one, a template that asks cannot be rendered, so that no
            row depends on the day of the run.
    """

    name: str
    source: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    today: date | None = None

    @property
    def marks_generation(self) -> bool:
        """Whether the template itself says, in generation blocks, what the assistant generates."""
        return _GENERATION.search(self.source) is not None


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """A conversation as the model reads it.

    Attributes:
        id: of the conversation.
        text: rendered, special tokens spelled out.
        spans: (begin, end) in characters of each assistant turn's words with the mark that ends the turn.
    """

    id: str
    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """A conversation that this template or length cannot render exactly: a removal, with its reason."""

    id: str
    reason: FaultReason
    detail: str


class _Refused(Exception):
    """A template called raise_exception."""


def take_template(tokenizer: TemplateSource, *, source: str | None = None, today: date | None = None) -> ChatTemplate:
    """Return a tokenizer's own template, or another one of `source` with its special tokens.

    Raises:
        ConfigurationError: there is none, or it is not valid Jinja.
    """
    chosen = source if source is not None else tokenizer.chat_template
    if chosen is None:
        raise ConfigurationError(f"Tokenizer {tokenizer.name!r} has no chat template; name one, or a chat model.")
    template = ChatTemplate(tokenizer.name, chosen, dict(tokenizer.special_tokens), tuple(tokenizer.marks), today)
    _compile(template.source)
    return template


def render_turns(
    template: ChatTemplate,
    turns: Sequence[Turn],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Return the turns as text.

    Raises:
        ConfigurationError: the template asks for the date, and it was given none; or it is not valid Jinja.
        jinja2.TemplateError: it refuses these turns.
    """
    text, _ = _part_marked(_render(template, turns, tools, add_generation_prompt=add_generation_prompt))
    return text


def render_conversation(template: ChatTemplate, conversation: Conversation) -> RenderedConversation | TemplateFault:
    """Return the conversation as text with the spans of the assistant's turns, or why that is not exact.

    Where the template has generation blocks, they say what the assistant generates. Elsewhere a turn is what rendering
    up to and with it adds to rendering up to it with the generation prompt, without white space behind the mark that
    ends the turn. Either way every earlier stage must be a prefix of the whole.

    Raises:
        ConfigurationError: see `render_turns`.
    """
    import jinja2

    turns, row = conversation.turns, conversation.id
    mark = next((mark for turn in turns for mark in (*template.marks, _BEGIN, _END) if mark in turn.content), None)
    if mark is not None:
        return TemplateFault(row, "special_token_in_text", f"holds {mark!r}")
    try:
        marked = _render(template, turns, conversation.tools)
        text, marked_spans = _part_marked(marked)
        stages = list(_render_stages(template, conversation))
    except (jinja2.TemplateError, _Refused, TypeError) as error:
        return TemplateFault(row, "template_refuses", str(error))
    for place, prompt, whole in stages:
        if not text.startswith(whole) or not whole.startswith(prompt):
            return TemplateFault(row, "template_rewrites_turns", f"turn {place} or one before it changes")
    if template.marks_generation:
        spans = marked_spans
        if len(spans) != len(stages):
            detail = f"{len(spans)} generation blocks, {len(stages)} assistant turns"
            return TemplateFault(row, "template_marks_other_turns", detail)
    else:
        spans = [(len(prompt), _find_end(template, text, len(prompt), len(whole))) for _, prompt, whole in stages]
    fault = _find_lost_words(text, turns, spans) or _find_lost_tool(text, conversation.tools)
    return TemplateFault(row, *fault) if fault else RenderedConversation(row, text, tuple(spans))


def _render_stages(template: ChatTemplate, conversation: Conversation) -> Iterator[tuple[int, str, str]]:
    """Yield for each assistant turn its place, the text that asks for it, and the text that ends with it."""
    for place, turn in enumerate(conversation.turns):
        if turn.role == "assistant":
            before = conversation.turns[:place]
            yield (
                place,
                render_turns(template, before, conversation.tools, add_generation_prompt=True),
                render_turns(template, conversation.turns[: place + 1], conversation.tools),
            )


def _find_end(template: ChatTemplate, text: str, begin: int, end: int) -> int:
    """Return where a turn's mark ends: white space behind it is laid down by the template, not by the model."""
    marks = [template.special_tokens.get("eos_token", ""), *template.marks]
    for candidates in (marks[:1], marks[1:]):
        found = [(text.rfind(mark, begin, end), mark) for mark in candidates if mark]
        place, mark = max(found, default=(-1, ""))
        if place >= 0:
            return place + len(mark)
    return end


def _find_lost_words(
    text: str, turns: Sequence[Turn], spans: Sequence[tuple[int, int]]
) -> tuple[FaultReason, str] | None:
    """Return what the text lacks: a turn's words in their order, or a call in its own turn."""
    left = iter(spans)
    place = 0
    for number, turn in enumerate(turns):
        begin, end = next(left) if turn.role == "assistant" else (place, len(text))
        found = text.find(turn.content.strip(), begin, end)
        if found < 0:
            return "template_drops_words", f"turn {number} ({turn.role})"
        place = end if turn.role == "assistant" else found + len(turn.content.strip())
        lost = next((call.name for call in turn.tool_calls if call.name not in text[begin:end]), None)
        if lost is not None:
            return "template_drops_calls", f"turn {number} calls {lost!r}"
    return None


def _find_lost_tool(text: str, tools: Sequence[Mapping[str, Any]]) -> tuple[FaultReason, str] | None:
    """Return the first tool that the model would not be told of."""
    names = (str(tool.get("function", tool).get("name")) for tool in tools)
    lost = next((name for name in names if name not in text), None)
    return None if lost is None else ("template_drops_tools", f"says nothing of {lost!r}")


def _render(
    template: ChatTemplate,
    turns: Sequence[Turn],
    tools: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = False,
) -> str:
    def tell_date(pattern: str) -> str:
        if template.today is None:
            raise ConfigurationError(
                f"The chat template of {template.name!r} writes today's date: give the date that rows shall bear, in a "
                f"recipe as `release: {{template_date: 2026-01-31}}`."
            )
        return template.today.strftime(pattern)

    return _compile(template.source).render(
        messages=list_messages(turns),
        tools=[dict(tool) for tool in tools] or None,
        documents=None,
        add_generation_prompt=add_generation_prompt,
        strftime_now=tell_date,
        **template.special_tokens,
    )


def _part_marked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without marks, and the (begin, end) of what stood between them."""
    pieces, spans, length = [], [], 0
    for number, piece in enumerate(re.split(f"[{_BEGIN}{_END}]", marked)):
        if number % 2:
            spans.append((length, length + len(piece)))
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces), spans


@lru_cache(maxsize=32)
def _compile(source: str) -> jinja2.Template:
    """Return the template compiled in a sandbox: it comes with weights, and is a program of strangers."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block `{% generation %} … {% endgeneration %}` around what the model generates."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Any) -> jinja2.nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

        def mark(self, caller: Callable[[], str]) -> str:
            return f"{_BEGIN}{caller()}{_END}"

    def refuse(message: str) -> None:
        raise _Refused(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals["raise_exception"] = refuse
    # Jinja's own tojson escapes for HTML
    environment.filters["tojson"] = lambda value, indent=None, ensure_ascii=False: json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent
    )
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(
            f"The chat template is not valid Jinja, line {error.lineno}: {error.message}"
        ) from error
