"""`mmpipe report`: writes what became of a dump's text as one HTML page, from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.lanes.text_report import write_text_report

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.storage.lake import Lake


def save_report(lake: Lake, dump: str, out: Path) -> Path:
    """Write the text report of a dump to a file, and return its path.

    Raises:
        DatasetNotReady: the dump's text is not judged yet.
    """
    page = write_text_report(lake, dump)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out
