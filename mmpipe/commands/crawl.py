"""`mmpipe crawl add` and `crawl list`: makes a dump known from a folder, files, a URL prefix or a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.assets.partitions import DUMPS, validate_dump_name
from mmpipe.errors import ConfigurationError
from mmpipe.storage.arrivals import read_file_list
from mmpipe.storage.dumps import Dump, find_shared_root, list_dumps, read_dump, record_dump
from mmpipe.storage.pair_list_search import find_pair_lists, require_pair_list
from mmpipe.storage.pair_lists import LIST_SUFFIXES, is_pair_list
from mmpipe.storage.places import Place
from mmpipe.storage.warc import CRAWL_SUFFIXES, list_crawl_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import DagsterInstance

    from mmpipe.storage.lake import Lake

#: What the paths of Common Crawl's lists begin at (commoncrawl.org, "Get Started").
COMMON_CRAWL = "https://data.commoncrawl.org"


@dataclass(frozen=True, slots=True)
class ListedDump:
    """A dump in the list of dumps."""

    name: str
    root: str
    files: int
    is_partition: bool


def find_dump_files(name: str, sources: Sequence[str], *, base_url: str | None, limit: int | None) -> Dump:
    """Return the dump that sources make.

    Args:
        name: its name.
        sources: one folder or URL prefix to list; one path list (`warc.paths`, `warc.paths.gz`) of URLs, or of paths
            relative to `base_url` or else to the list's own folder; or WARC files and lists of image-text pairs
            (Parquet, JSONL, CSV, TSV) by path or URL. In a folder, Parquet files with an address and a caption are
            such lists, and `metadata.jsonl` and `metadata.csv`.
        base_url: where the paths of a list begin.
        limit: take the first so many files only.

    Raises:
        ConfigurationError: the name cannot be a partition, a source is not there, no crawl file is in it, or a list
            of pairs has no address or no caption.
    """
    validate_dump_name(name)
    is_list = len(sources) == 1 and sources[0].removesuffix(".gz").endswith(".paths")
    if base_url is not None and not is_list:
        raise ConfigurationError(
            "--base-url goes with a path list: mmpipe crawl add NAME warc.paths.gz --base-url URL."
        )
    if is_list:
        root, files = _read_list(sources[0], base_url)
    elif len(sources) == 1 and not _is_file(sources[0]):
        root = _make_absolute(sources[0])
        files = _list_files(root)
    else:
        unknown = [source for source in sources if not source.endswith(CRAWL_SUFFIXES) and not is_pair_list(source)]
        if unknown:
            raise ConfigurationError(
                f"{unknown[0]} is no crawl file: its name must end in {', '.join(CRAWL_SUFFIXES)}, or for a list of "
                f"image-text pairs in {', '.join(LIST_SUFFIXES)}."
            )
        root, files = _split_root([_make_absolute(source) for source in sources])
    files = files[:limit]
    if not files:
        raise ConfigurationError(
            f"No crawl file in {', '.join(sources)}: mmpipe reads .warc, .wet and .arc, plain, .gz or .zst, and lists "
            f"of image-text pairs: .parquet with an address and a caption, metadata.jsonl and metadata.csv. Documents "
            f"of your own, also in Parquet, are packed first: mmpipe crawl pack."
        )
    _require_files(Place(root), files)
    for path in (path for path in _sample(Place(root), files) if is_pair_list(path)):
        require_pair_list(Place(root), path)
    return Dump(name, root, tuple(files))


def add_dump(lake: Lake, instance: DagsterInstance, dump: Dump) -> None:
    """Record a dump, then make it a partition: a partition without a record could not be read."""
    record_dump(lake, dump)
    instance.add_dynamic_partitions(str(DUMPS.name), [dump.name])


def list_known_dumps(lake: Lake, instance: DagsterInstance) -> list[ListedDump]:
    """Return every dump that has a record, sorted by name."""
    partitions = set(instance.get_dynamic_partitions(str(DUMPS.name)))
    dumps = [read_dump(lake, name) for name in list_dumps(lake)]
    return [ListedDump(dump.name, dump.root, len(dump.files), dump.name in partitions) for dump in dumps]


def _list_files(root: str) -> list[str]:
    try:
        place = Place(root)
        # a web host's folder is a page that lists it
        return [*list_crawl_files(place), *(() if place.is_http else find_pair_lists(place))]
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be listed: {error}. Give its path list or its files.") from error


def _read_list(source: str, base_url: str | None) -> tuple[str, list[str]]:
    place = Place(_make_absolute(source))
    try:
        if not place.is_file():
            raise ConfigurationError(f"The path list {source} is not there.")
        paths = list(dict.fromkeys(item.path for item in read_file_list(place)))
    except (ValueError, EOFError, OSError) as error:
        raise ConfigurationError(f"The path list {source} cannot be read: {error}.") from error
    if paths and all("://" in path for path in paths):
        if base_url:
            raise ConfigurationError(f"The lines of {source} are URLs already: leave --base-url out.")
        return _split_root(paths)
    return _make_absolute(base_url) if base_url else place.url.rpartition("/")[0], paths


def _split_root(sources: Sequence[str]) -> tuple[str, list[str]]:
    try:
        return find_shared_root(sources)
    except ValueError as error:
        raise ConfigurationError(f"{error}.".capitalize()) from error


def _require_files(root: Place, files: Sequence[str]) -> None:
    try:
        missing = [path for path in _sample(root, files) if not root.join(path).is_file()]
    except OSError as error:
        raise ConfigurationError(f"The files below {root.url} cannot be looked at: {error}") from error
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        hint = (
            f" Common Crawl's lists begin at --base-url {COMMON_CRAWL}." if missing[0].startswith("crawl-data/") else ""
        )
        raise ConfigurationError(
            f"Not there below {root.url}: {', '.join(missing[:3])}{more}. Check the path or --base-url.{hint}"
        )


def _sample(root: Place, files: Sequence[str]) -> list[str]:
    # a list of a whole crawl has 90,000 lines: on a remote store, the ends stand for the rest
    return list(dict.fromkeys(files if root.local_path is not None else (*files[:3], *files[-1:])))


def _is_file(source: str) -> bool:
    place = Place(_make_absolute(source))
    if place.local_path is None:
        # a web host answers for a folder too, with a page that lists it
        return source.endswith(CRAWL_SUFFIXES) or is_pair_list(source)
    if not place.exists():
        raise ConfigurationError(f"{source} is not there.")
    return place.is_file()


def _make_absolute(source: str) -> str:
    local = Place(source).local_path
    return source.rstrip("/") if local is None else str(local.absolute())
