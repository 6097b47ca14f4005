"""Names the partitions: one per dump, added when a dump lands, with a name that cannot break a path or a range."""

from __future__ import annotations

import re

import dagster as dg

from mmpipe.errors import ConfigurationError

#: Every per-dump asset is partitioned by this.
DUMPS = dg.DynamicPartitionsDefinition(name="dump")

# no comma (breaks the UI's selection), no "..." (a range), no "=" or "/" (a folder), no leading dot (hidden)
_DUMP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def validate_dump_name(name: str) -> str:
    """Return the name if it may be a partition key and a folder.

    Raises:
        ConfigurationError: it may not; the message says which characters may stand in it.
    """
    if not _DUMP_NAME.fullmatch(name) or ".." in name:
        raise ConfigurationError(
            f"{name!r} cannot name a dump: use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or "
            f"digit, without '..'. Common Crawl's own names, such as CC-MAIN-2024-22, are fine."
        )
    return name
