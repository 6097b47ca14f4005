"""Says what a prompt is: a named template with a digest, so that every row tells which words made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.chat import ChatMessage
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat prompt with examples.

    Attributes:
        name: `{method}/{variant}`.
        system: what the teacher is told first.
        user: template of a user turn, `str.format` fields in braces.
        examples: (fields of the user turn, what the teacher should reply); a mapping is replied as JSON.
    """

    name: str
    system: str
    user: str
    examples: tuple[tuple[Mapping[str, Any], Mapping[str, Any] | str], ...] = ()

    @property
    def version(self) -> str:
        """Name and digest: a changed word is another version, another cache key and another row."""
        return f"{self.name}@{digest_settings([self.system, self.user, self.examples])[:8]}"

    def render(self, **fields: str) -> tuple[ChatMessage, ...]:
        """Return the messages: system, examples as finished turns, then the user turn with these fields.

        What is constant comes first, so that engines may share the prefix between requests.
        """
        turns = [ChatMessage("system", self.system)]
        for example, reply in self.examples:
            turns.append(ChatMessage("user", self.user.format(**example)))
            turns.append(ChatMessage("assistant", reply if isinstance(reply, str) else json.dumps(reply)))
        return (*turns, ChatMessage("user", self.user.format(**fields)))


def find_prompt(name: str, known: tuple[Prompt, ...]) -> Prompt:
    """Return the prompt of that name.

    Raises:
        ConfigurationError: there is none; the message names the nearest.
    """
    for prompt in known:
        if prompt.name == name:
            return prompt
    raise ConfigurationError(f"Unknown prompt {name!r}.{name_nearest(name, [prompt.name for prompt in known])}")
