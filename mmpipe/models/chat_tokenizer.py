"""Loads a chat model's tokenizer with its template and special tokens, for text that a template has rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from mmpipe.errors import ConfigurationError
from mmpipe.models.tokenizer import open_tokenizer


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """A tokenizer that reads rendered conversations: marks become special tokens, none is added.

    For words of a page use `tokenizer.LoadedTokenizer`, in which no text becomes a special token.

    Attributes:
        name: hub name, or name of the folder or file.
        digest: 16 hex digits of vocabulary, rules and template.
        chat_template: in Jinja; None if it has none.
        special_tokens: what templates name: bos_token, eos_token, pad_token, unk_token.
        marks: every string that becomes a special token, longest first.
    """

    name: str
    digest: str
    chat_template: str | None
    special_tokens: Mapping[str, str]
    marks: tuple[str, ...]
    _backend: Any

    def encode_chat(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a rendered conversation, and the (begin, end) of each in characters of it."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special tokens included."""
        return str(self._backend.decode(ids, skip_special_tokens=False))


def load_chat_tokenizer(name_or_path: str | None = None, *, allow_download: bool = False) -> ChatTokenizer:
    """Return the chat tokenizer of that name; the arguments and errors are those of `tokenizer.load_tokenizer`.

    Raises:
        WeightsNotFound: nothing is there under that name.
        ConfigurationError: it has no fast form, or several templates and none by default.
    """
    name, tokenizer = open_tokenizer(name_or_path, allow_download=allow_download)
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
        if template is None:
            known = ", ".join(sorted(tokenizer.chat_template))
            raise ConfigurationError(f"Tokenizer {name!r} has the chat templates {known}, but none by default.")
    backend = tokenizer.backend_tokenizer
    # with it, offsets leave white space out, which belongs to answers like any other character
    backend.post_processor = None
    special = {
        key: str(value)
        for key, value in tokenizer.special_tokens_map.items()
        if isinstance(value, str) and key.endswith("_token")
    }
    marks = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return ChatTokenizer(
        name=name,
        digest=xxhash.xxh3_64_hexdigest(f"{backend.to_str()}\0{template or ''}".encode()),
        chat_template=template,
        special_tokens=special,
        marks=tuple(sorted(marks | set(special.values()), key=lambda mark: (-len(mark), mark))),
        _backend=backend,
    )
