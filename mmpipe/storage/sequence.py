"""The order of the dumps: which was deduplicated first, kept for good so that a re-run ends in the same rows."""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.storage.lake import Lake


@dataclass(slots=True)
class Sequence:
    """An order of dumps that grows, and loses those that are removed for good."""

    place: Place
    dumps: list[str]

    def list_before(self, dump: str) -> list[str]:
        """Return the dumps that came before this one; all, if it is new."""
        return self.dumps[: self.dumps.index(dump)] if dump in self.dumps else list(self.dumps)

    def append(self, dump: str) -> None:
        """Give a new dump the next place; one that has a place keeps it."""
        if dump not in self.dumps:
            self.dumps.append(dump)
            self.place.write_text(json.dumps(self.dumps, indent=1))

    def remove(self, dump: str) -> None:
        """Forget a dump that is gone: later ones are compared without it, and if it comes again it is the newest."""
        if dump in self.dumps:
            self.dumps.remove(dump)
            self.place.write_text(json.dumps(self.dumps, indent=1))


@contextmanager
def hold_sequence(lake: Lake, name: str) -> Iterator[Sequence]:
    """Hold an order for reading and appending; a second holder on this disk waits.

    On an object store the asset's pool of one keeps holders apart.
    """
    place = Place(lake.root).join(f"{name}.json")
    if place.local_path is None:
        yield _read(place)
        return
    place.local_path.parent.mkdir(parents=True, exist_ok=True)
    with place.local_path.with_name(f".{name}.lock").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield _read(place)


def _read(place: Place) -> Sequence:
    return Sequence(place, json.loads(place.read_text()) if place.is_file() else [])
