"""Writes one JSON object per line so that every reader sees the same lines, whatever it takes for the end of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: Ends of a line to Unicode, and so to `str.splitlines`, that JSON lets stand in a string: next line, line separator,
#: paragraph separator. Pages hold them.
_ENDS = {end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def write_json_line(row: Mapping[str, Any]) -> str:
    """Return a row as JSON with its line feed; letters stand as they are, and the row reads back as it was."""
    line = json.dumps(row, ensure_ascii=False)
    # outside of strings JSON has ASCII alone, so that only words are written otherwise
    for end, escape in _ENDS.items():
        line = line.replace(end, escape)
    return line + "\n"
