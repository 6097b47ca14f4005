"""Says how a recipe names a list: a packaged one, a file beside the recipe, a member of an archive, a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ARCHIVE_MEMBER = re.compile(r"\.(?:tar|tgz|tar\.gz|tar\.xz|tar\.zst)#(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReference:
    """One list of words, domains, hosts or URLs, one entry per line.

    Attributes:
        list: name of a packaged list, a path (relative ones stand beside the recipe) or a URL; `.xz`, `.gz` and `.zst`
            are unpacked. A file in an archive stands behind a `#`: `ut1.tar.xz#adult/domains`.
        sha256: digest of the file as stored; filled in for packaged lists and paths, required for a URL.
        licence: licence and author of the list, shown in the dataset card.
        path: where the file lies, or the URL; never part of a digest.
    """

    list: str
    sha256: str = ""
    licence: str = ""
    path: str = field(default="", compare=False)

    @property
    def file(self) -> str:
        """The list without the member of an archive."""
        return self.list.removesuffix(f"#{self.member}") if self.member else self.list

    @property
    def member(self) -> str:
        """The file in an archive; empty if the list is the file itself."""
        found = _ARCHIVE_MEMBER.search(self.list)
        return found[1] if found else ""

    @property
    def identity(self) -> str:
        """What changes when the entries do: the digest of the file, and which member of it is meant."""
        return f"{self.sha256}#{self.member}" if self.member else self.sha256
