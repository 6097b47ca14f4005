"""Which dumps there are: one record per dump, saying where its files lie; written once by whoever adds the dump.

A dump that was removed leaves a record of that, so that whoever asks for it is told; added again, it leaves none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, DatasetNotReady, name_nearest
from mmpipe.storage.places import Place
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmpipe.storage.lake import Lake

#: Files of a dump that are named one by one where it says how to add the dump again.
_NAMED_FILES = 3


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


@dataclass(frozen=True, slots=True)
class RemovedDump:
    """A dump that was taken out of the lake.

    Attributes:
        dump: its record, as it was.
        removed_at: when, in UTC.
    """

    dump: Dump
    removed_at: datetime

    def tell_when(self) -> str:
        """Return the day and minute of the removal, as people write them."""
        return f"on {self.removed_at:%Y-%m-%d} at {self.removed_at:%H:%M} UTC"

    def tell_return(self) -> str:
        """Return the commands that bring the dump back."""
        name, root = self.dump.name, self.dump.root.rstrip("/")
        if len(self.dump.files) <= _NAMED_FILES:
            files = " ".join(f"{root}/{file}" for file in self.dump.files)
        else:
            files = f"with its {len(self.dump.files):,} files below {root}" if "://" in root else root
        return f"Add it again: mmpipe crawl add {name} {files}; then mmpipe backfill all --partitions {name}"


def record_dump(lake: Lake, dump: Dump) -> None:
    """Write a dump's record; the same record again changes nothing, another one replaces it (a re-published dump)."""
    _place(lake, dump.name).write_text(json.dumps(asdict(dump), indent=1))
    _place_removed(lake, dump.name).remove()


def read_dump(lake: Lake, name: str) -> Dump:
    """Return the record of a dump.

    Raises:
        DatasetNotReady: no dump of that name was added.
    """
    place = _place(lake, name)
    if not place.is_file():
        raise DatasetNotReady(describe_unknown_dump(lake, name))
    return _read_record(json.loads(place.read_text()))


def list_dumps(lake: Lake) -> list[str]:
    """Return the names of all dumps that were added, sorted."""
    return sorted(path.removesuffix(".json") for path in Place(lake.root).join("dumps").list_files())


def describe_unknown_dump(lake: Lake, name: str, known: Iterable[str] = ()) -> str:
    """Return what to say of a name that no dump has: that the dump was removed, and when; else the nearest name.

    Args:
        lake: where the records are.
        name: what was asked for.
        known: dumps that are known beside those of the lake's records.
    """
    removed = find_removed_dump(lake, name)
    if removed is not None:
        return f"The dump {name!r} was removed {removed.tell_when()}. {removed.tell_return()}"
    nearest = name_nearest(name, sorted({*list_dumps(lake), *known}))
    return f"No dump {name!r} was added.{nearest} See: mmpipe crawl list. Add it: mmpipe crawl add {name} PATH_OR_URL"


def require_dump(lake: Lake, name: str) -> None:
    """Stop where a dump is asked for that is not there.

    Raises:
        ConfigurationError: it was never added, or was removed; the message says which.
    """
    if name not in list_dumps(lake):
        raise ConfigurationError(describe_unknown_dump(lake, name))


def find_removed_dump(lake: Lake, name: str) -> RemovedDump | None:
    """Return the record of a removal; None for a dump that is there, or of which nothing is known."""
    if "/" in name or not (place := _place_removed(lake, name)).is_file():
        return None
    stored = json.loads(place.read_text())
    return RemovedDump(_read_record(stored), datetime.fromisoformat(stored["removed_at"]))


def list_removed_dumps(lake: Lake) -> list[RemovedDump]:
    """Return the dumps that were removed and did not come again, by name."""
    known = {f"{name}.json" for name in list_dumps(lake)}
    gone = sorted(set(Place(lake.root).join("removed_dumps").list_files()) - known)
    return [found for path in gone if (found := find_removed_dump(lake, path.removesuffix(".json"))) is not None]


def forget_dump(lake: Lake, name: str) -> None:
    """Remove a dump's record, and leave one of the removal; its files stay where they are."""
    place = _place(lake, name)
    if place.is_file():
        gone = asdict(_read_record(json.loads(place.read_text())))
        gone["removed_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        _place_removed(lake, name).write_text(json.dumps(gone, indent=1))
    place.remove()


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


def _read_record(stored: dict[str, Any]) -> Dump:
    return Dump(stored["name"], stored["root"], tuple(stored["files"]))


def _place(lake: Lake, name: str) -> Place:
    return Place(lake.root).join("dumps", f"{name}.json")


def _place_removed(lake: Lake, name: str) -> Place:
    return Place(lake.root).join("removed_dumps", f"{name}.json")
