"""A teacher that answers from a function: for trying a method without a model, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.models.teacher import find_schema_fault
from mmpipe.tables.chat import ChatFailure, ChatReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mmpipe.tables.chat import ChatRequest


class ScriptedTeacher:
    """Answers each request with what `script` returns for it.

    A text becomes a reply and is held to the request's schema as with any teacher; a `ChatReply` or `ChatFailure` is
    passed on as it is. Tokens are counted as white-space words.

    Args:
        script: what to answer.
        name: who it is.
    """

    def __init__(
        self, script: Callable[[ChatRequest], str | ChatReply | ChatFailure], name: str = "scripted:script@0"
    ) -> None:
        self.asked: list[ChatRequest] = []
        self._script = script
        self._name = name

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield one outcome per request, in order; requests are kept in `asked`."""
        for request in requests:
            self.asked.append(request)
            yield self._read(request)

    def _read(self, request: ChatRequest) -> ChatReply | ChatFailure:
        said = self._script(request)
        if not isinstance(said, str):
            return said
        prompt_tokens = sum(len(message.content.split()) for message in request.messages)
        fault = None if request.schema is None else find_schema_fault(said, request.schema)
        if fault is not None:
            return ChatFailure("schema", fault, prompt_tokens=prompt_tokens, completion_tokens=len(said.split()))
        return ChatReply(said, "stop", prompt_tokens, len(said.split()))
