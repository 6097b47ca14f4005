"""Takes off what a model that thinks writes before its answer, where its server does not part the two."""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<think>", "</think>"
_BLOCK = re.compile(rf"\s*{_OPEN}.*?(?:{_CLOSE}|\Z)", re.DOTALL)


def strip_thoughts(text: str) -> str:
    """Return a reply without the thoughts it begins with; empty where it never got beyond them.

    Models such as DeepSeek-R1 and Qwen3 write them between `<think>` and `</think>`; of some the chat template opens
    the block, so that a reply has its end alone. What stands within an answer stays.
    """
    if _CLOSE in text and _OPEN not in text:
        return text.partition(_CLOSE)[2]
    found = _BLOCK.match(text)
    return text[found.end() :] if found else text
