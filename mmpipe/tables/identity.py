"""Names rows: stable ids made from where a row came from, and digests of the settings that made it."""

from __future__ import annotations

import json
from typing import Any

import xxhash


def make_id(*parts: str | int) -> str:
    """Return a stable 32-digit hexadecimal id (128-bit xxh3) of the parts, whatever the machine or the run.

    Parts are joined by NUL, so `("a", "bc")` and `("ab", "c")` differ.
    """
    return xxhash.xxh3_128_hexdigest("\0".join(str(part) for part in parts).encode())


def make_doc_id(dump: str, warc_file: str, warc_offset: int) -> str:
    """Return the id of the record that starts at byte `warc_offset` of `warc_file` (its path inside the dump)."""
    return make_id("doc", dump, warc_file, warc_offset)


def digest_settings(settings: Any) -> str:
    """Return a 16-digit digest of a JSON-like value; equal settings give equal digests in every process."""
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return xxhash.xxh3_64_hexdigest(canonical.encode())
