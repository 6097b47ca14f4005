"""Keeps fetched images by their content, and remembers by URL which they are or why there are none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from mmpipe.storage.places import Place


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What became of one URL.

    `origin` is one of `tables.images.IMAGE_ORIGINS`: `fetched`, `cache` or `missing`; `sha256` names the bytes in the
    cache. Where they are missing, `detail` begins with `fetch_refused` or `fetch_failed` and says why, `kind` says it
    in a word (`robots`, `opt_out`, `private_address`, `http_status`, `too_large`, `connection`, …), and
    `is_permanent` whether asking again is in vain.
    """

    origin: str
    sha256: str | None = None
    detail: str | None = None
    kind: str | None = None
    is_permanent: bool = False


@dataclass(frozen=True, slots=True)
class ImageCache:
    """A folder of images: `ab/abcd…` by SHA-256, and `urls/ab/abcd….json` by URL.

    Equal images under many URLs are stored once. An entry appears only after its bytes, so a killed fetch leaves bytes
    without an entry at worst.
    """

    folder: Place

    def find(self, url: str, conditions: str = "") -> FetchOutcome | None:
        """Return the remembered outcome of a URL, or None if it is to be asked for.

        That is a fetch that went well (`origin` is `cache`), or one that is in vain under the same conditions.
        """
        entry = self._entry(url)
        if not entry.exists():
            return None
        try:
            known = json.loads(entry.read_text())
        except ValueError:  # cut by a full disk: as good as none
            return None
        if known["url"] != url:
            return None
        if known.get("is_permanent") and known.get("conditions") == conditions:
            return FetchOutcome("missing", detail=known["detail"], kind=known["kind"], is_permanent=True)
        if not known["sha256"] or not self._content(known["sha256"]).exists():
            return None
        return FetchOutcome("cache", known["sha256"])

    def read(self, sha256: str) -> bytes:
        """Return an image's bytes.

        Raises:
            FileNotFoundError: they are not in the cache.
        """
        return self._content(sha256).read_bytes()

    def store(self, url: str, data: bytes) -> FetchOutcome:
        """Keep an image and remember that the URL gave it."""
        sha256 = hashlib.sha256(data).hexdigest()
        content = self._content(sha256)
        if not content.exists():
            content.write_bytes(data)
        outcome = FetchOutcome("fetched", sha256)
        self.remember(url, outcome)
        return outcome

    def remember(self, url: str, outcome: FetchOutcome, conditions: str = "") -> None:
        """Write a URL's outcome; one without bytes is asked for again unless that is in vain under the conditions."""
        entry = {"url": url, **asdict(outcome), "conditions": conditions}
        self._entry(url).write_text(json.dumps(entry, ensure_ascii=True))

    def forget(self, url: str, sha256: str | None) -> bool:
        """Remove what is known of a URL, and the bytes of that name where they go too; return whether any was there."""
        places = [self._entry(url), *([self._content(sha256)] if sha256 is not None else [])]
        was_there = [place for place in places if place.exists()]
        for place in was_there:
            place.remove()
        return bool(was_there)

    def _content(self, sha256: str) -> Place:
        return self.folder.join(sha256[:2], sha256)

    def _entry(self, url: str) -> Place:
        name = make_id("image url", url)
        return self.folder.join("urls", name[:2], f"{name}.json")
