"""Finds lists of image-text pairs in a folder, and tells them from tables of other things, such as documents."""

from __future__ import annotations

import posixpath
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmpipe.errors import ConfigurationError
from mmpipe.storage.pair_lists import CAPTION_COLUMNS, FILE_COLUMNS, URL_COLUMNS, read_columns, read_first_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmpipe.storage.places import Place

#: Lists that a folder is searched for beside Parquet: as Hugging Face's imagefolder names them.
FOLDER_LIST_NAMES = ("metadata.jsonl", "metadata.csv")
# `url` and `text` are names that tables of web documents have too (FineWeb, C4): there, what stands in them tells
_EITHER = "text"
_LOOKED_AT_ROWS = 100
# the median document of the web is some thousand characters long, the median alt text some fifty
_DOCUMENT_CHARS = 300
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".svg")


def find_pair_lists(dump: Place) -> list[str]:
    """Return the lists of pairs in a folder, sorted: Parquet files with an address and a caption, and `metadata.*`.

    Other Parquet files, such as a crawl's columnar index or documents with their URL, are no lists.

    Raises:
        ConfigurationError: such a file cannot be read; it may still be copied.
    """
    found = []
    for path in dump.list_files():
        if not path.lower().endswith(".parquet") and posixpath.basename(path) not in FOLDER_LIST_NAMES:
            continue
        names = read_columns(dump, path)
        if not _find_lack(names) and not _find_documents(dump, path, names):
            found.append(path)
    return sorted(found)


def require_pair_list(root: Place, path: str) -> None:
    """Hold a list that somebody named to having an address and a caption.

    Raises:
        ConfigurationError: it has not, holds documents, or cannot be read; the message names its columns and the
            names looked for.
    """
    names = read_columns(root, path)
    lack = _find_lack(names)
    if lack:
        raise ConfigurationError(
            f"{path} is no list of image-text pairs: none of its columns ({', '.join(names) or 'it has none'}) is "
            f"{lack}. Rename one; columns of embedded images are not read."
        )
    told = _find_documents(root, path, names)
    if told:
        place = root.join(path)
        raise ConfigurationError(
            f"{path} seems to hold documents, not pictures with captions: {told}. Documents are packed first: "
            f"mmpipe crawl pack {place.local_path or place.url} --out documents.warc.gz. If they are captions, "
            "name the column caption."
        )


def _find_lack(names: Iterable[str]) -> str:
    known = {name.lower() for name in names}
    if not known & {*URL_COLUMNS, *FILE_COLUMNS}:
        return f"an address ({', '.join((*URL_COLUMNS, *FILE_COLUMNS))})"
    return "" if known & set(CAPTION_COLUMNS) else f"a caption ({', '.join(CAPTION_COLUMNS)})"


def _find_documents(root: Place, path: str, names: Iterable[str]) -> str:
    """Return by what a table is one of documents; nothing if it is none."""
    if {name.lower() for name in names} & set(CAPTION_COLUMNS) != {_EITHER}:
        return ""
    rows = read_first_rows(root, path, _LOOKED_AT_ROWS)
    lengths = [len(row.caption) for row in rows if row.caption]
    pictures = sum(_names_a_picture(row.url) or _names_a_picture(row.file) for row in rows)
    if not lengths or median(lengths) < _DOCUMENT_CHARS or 2 * pictures > len(rows):
        return ""
    return (
        f"its texts have {median(lengths):,.0f} characters at the median, and {pictures} of {len(rows)} addresses name "
        f"a picture"
    )


def _names_a_picture(address: str | None) -> bool:
    try:
        return address is not None and urlsplit(address).path.lower().endswith(_PICTURE_SUFFIXES)
    except ValueError:  # brackets that are no IPv6 address
        return False
