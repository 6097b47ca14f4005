"""Which dumps there are: one record per dump, saying where its files lie; written once by whoever adds the dump."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mmpipe.errors import DatasetNotReady, name_nearest
from mmpipe.storage.places import Place
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Dump:
    """One crawl dump.

    Attributes:
        name: partition key.
        root: folder, URL or object-store prefix that the files' paths are relative to.
        files: relative paths of its WARC, WET or ARC files, in order, and of its lists of image-text pairs
            (`pair_lists.is_pair_list`).
    """

    name: str
    root: str
    files: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Digest of where and which the files are."""
        return digest_settings(asdict(self))


def record_dump(lake: Lake, dump: Dump) -> None:
    """Write a dump's record; the same record again changes nothing, another one replaces it (a re-published dump)."""
    _place(lake, dump.name).write_text(json.dumps(asdict(dump), indent=1))


def read_dump(lake: Lake, name: str) -> Dump:
    """Return the record of a dump.

    Raises:
        DatasetNotReady: no dump of that name was added.
    """
    place = _place(lake, name)
    if not place.is_file():
        raise DatasetNotReady(
            f"No dump {name!r} was added.{name_nearest(name, list_dumps(lake))} "
            f"Add it: mmpipe crawl add {name} PATH_OR_URL."
        )
    stored = json.loads(place.read_text())
    return Dump(stored["name"], stored["root"], tuple(stored["files"]))


def list_dumps(lake: Lake) -> list[str]:
    """Return the names of all dumps that were added, sorted."""
    return sorted(path.removesuffix(".json") for path in Place(lake.root).join("dumps").list_files())


def forget_dump(lake: Lake, name: str) -> None:
    """Remove a dump's record; its files stay where they are."""
    _place(lake, name).remove()


def find_shared_root(sources: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder or URL that all files lie below, and their paths relative to it.

    Args:
        sources: absolute paths or URLs, at least one.

    Raises:
        ValueError: the files lie on several hosts or stores.
    """
    folders = [source.rpartition("/")[0].split("/") for source in sources]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    root = "/".join(shared)
    if root.endswith((":/", ":")) or (not root and any("://" in source for source in sources)):
        raise ValueError("the files of one dump must lie on one host; add them as several dumps")
    return root or "/", [source.removeprefix(root).lstrip("/") for source in sources]


def _place(lake: Lake, name: str) -> Place:
    return Place(lake.root).join("dumps", f"{name}.json")
