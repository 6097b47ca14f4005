"""`mmpipe lists fetch` and `check`: brings big lists and evaluation sets here, checked and with a licence."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import yaml

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.filtering.list_catalogue import Kind, KnownList, read_catalogue
from mmpipe.storage.file_copies import copy_file, copy_folder, digest_file, digest_folder
from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class FetchedList:
    """A list that lies here, as its record says.

    Attributes:
        name: its name; the record is `{name}.json`.
        kind: which key of a recipe it belongs under.
        file: its file or folder, beside the record.
        sha256: digest of the file, or of a folder's files.
        licence: licence and author.
        source: where it came from.
        is_verified: whether the digest was stated by who fetched it; else it is only what was found.
    """

    name: str
    kind: str
    file: str
    sha256: str
    licence: str
    source: str
    is_verified: bool


@dataclass(frozen=True, slots=True)
class ListFinding:
    """What a look at a fetched list found: `problem` is empty if it is as it was fetched."""

    fetched: FetchedList
    problem: str = ""
    entries: int | None = None
    broken: int | None = None
    examples: tuple[str, ...] = ()


def fetch_list(
    name: str, source: str, folder: Path, *, sha256: str = "", kind: str | None = None, licence: str | None = None
) -> FetchedList:
    """Bring a list into the folder of lists.

    Args:
        name: of the catalogue, or your own with `kind` and `licence`.
        source: path or URL of a file; or a folder of files on this machine.
        folder: the folder of lists.
        sha256: what the file must be (of a folder: as `digest_folder` has it); required for a URL.
        kind: which key of a recipe it belongs under; needed where the catalogue does not know the name.
        licence: its licence, where the catalogue does not know it or knows another.

    Raises:
        ConfigurationError: an unknown name without a kind or licence, no such source, or another file than stated.
    """
    known = read_catalogue()
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot name a list: use letters, digits, '.', '_' and '-'.")
    if sha256 and not _SHA256.fullmatch(sha256 := sha256.lower()):
        raise ConfigurationError(f"{sha256!r} is no sha256: it has 64 hexadecimal digits.")
    if "://" in source and not source.startswith("file://") and not sha256:
        raise ConfigurationError(f"{source} is a URL: state the --sha256 that the list must have.")
    settled_kind, settled_licence = _settle(name, kind, licence, known)
    place = Place(source if "://" in source else str(Path(source).expanduser().absolute()))
    local = place.local_path
    target = folder / name / place.name
    try:
        if local is not None and local.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            found = copy_folder(local, target, sha256)
        else:
            found = copy_file(place, target, sha256)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{source} is not there.") from error
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be copied: {error} Run the command again to go on.") from error
    stated = bool(sha256)
    record = FetchedList(name, settled_kind, f"{name}/{place.name}", found, settled_licence, source, stated)
    Place(str(folder / f"{name}.json")).write_text(json.dumps(asdict(record), indent=1, ensure_ascii=False))
    return record


def list_fetched(folder: Path) -> list[FetchedList]:
    """Return the lists that were fetched, sorted by name.

    Raises:
        ConfigurationError: a record cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(FetchedList(**json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{path} is no record of a list: {error}. Fetch the list again.") from error
    return found


def check_list(fetched: FetchedList, folder: Path) -> ListFinding:
    """Look whether a list is still as it was fetched, and count its entries and broken lines where it has lines."""
    path = folder / fetched.file
    if not path.exists():
        return ListFinding(fetched, f"{path} is gone: fetch it again")
    found = digest_folder(path) if path.is_dir() else digest_file(path)
    if found != fetched.sha256:
        return ListFinding(fetched, f"its sha256 is {found}, and was {fetched.sha256} when it was fetched")
    if path.is_dir() or fetched.kind not in ("domains", "urls", "words"):
        return ListFinding(fetched)
    from mmpipe.filtering.list_files import ListTally, read_entries
    from mmpipe.filtering.list_references import ListReference

    tally = ListTally()
    try:
        for _ in read_entries(ListReference(list=str(path)), _find_normalizer(fetched.kind), tally):
            pass
    except ConfigurationError as error:
        return ListFinding(fetched, str(error))
    problem = "" if tally.entries else "it holds no entry"
    return ListFinding(fetched, problem, tally.entries, tally.broken, tuple(tally.examples))


def write_recipe_lines(fetched: FetchedList, folder: Path) -> str:
    """Return the lines of YAML that name a fetched list in a recipe."""
    path = str((folder / fetched.file).absolute())
    entry = {"list": path, "sha256": fetched.sha256, "licence": fetched.licence}
    section: dict[str, object]
    match fetched.kind:
        case "evaluation":
            section = {"contamination": {"sets": [{"name": fetched.name, **entry}]}}
        case "words" if Path(path).is_dir():
            section = {"words": {"flagged": {"folder": path, "licence": fetched.licence}}}
        case "words":
            section = {"words": {"flagged": {"en": [entry]}}}
        case "categories":
            section = {"url": {"categories": _list_categories(path, entry)}}
        case _:
            section = {"url": {fetched.kind: [entry]}}
    return yaml.safe_dump(section, sort_keys=False, allow_unicode=True, width=10_000)


def _list_categories(path: str, entry: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """Return the files of UT1's categories in an archive, domains and URLs."""
    import tarfile

    from mmpipe.tables.text_signals import UT1_CATEGORIES

    found: dict[str, list[dict[str, str]]] = {}
    try:
        with tarfile.open(path) as archive:
            names = sorted(member.name for member in archive if member.isfile())
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ConfigurationError(f"{path} is no archive of categories: {error}.") from error
    for name in names:
        category, _, file = "/".join(name.split("/")[-2:]).partition("/")
        if category in UT1_CATEGORIES and file in ("domains", "urls"):
            found.setdefault(category, []).append(entry | {"list": f"{path}#{category}/{file}"})
    if not found:
        raise ConfigurationError(f"{path} holds no file CATEGORY/domains of UT1's categories.")
    return found


def _settle(name: str, kind: str | None, licence: str | None, known: dict[str, KnownList]) -> tuple[str, str]:
    """Return the kind and licence of a list: those stated, else the catalogue's."""
    entry = known.get(name)
    if kind is not None and kind not in get_args(Kind):
        raise ConfigurationError(f"Unknown kind {kind!r}.{name_nearest(kind, get_args(Kind))}")
    if entry is not None:
        return kind or entry.kind, licence or entry.licence
    if kind is None or licence is None:
        raise ConfigurationError(
            f"The catalogue knows no list {name!r}.{name_nearest(name, known)} For a list of your own, state "
            f"--kind and --licence."
        )
    return kind, licence


def _find_normalizer(kind: str) -> Callable[[str], str]:
    from mmpipe.filtering.url_signals import keep_entry, trim_domain, trim_listed_url

    return {"domains": trim_domain, "urls": trim_listed_url}.get(kind, keep_entry)
