"""Says what the sample crawl holds: each record and each picture on a page, with what should become of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mmpipe.demo.picture_specs import PictureSpec


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One record with a payload (or that should have one).

    Attributes:
        url: WARC-Target-URI.
        fate: what is special about it: `good`, a flaw, a kind of damage; see `SampleDump.fates`.
        record_status: what `raw_crawl` should say of it.
        kind: html, plain_text, image or other.
        warc_file: path inside the dump.
        warc_offset: first byte in the file.
        warc_length: compressed bytes as written; a record that was cut has fewer.
        language: ISO 639-1 code of the text; None where there is none or a mixture.
        text: headings and paragraphs of the article as written, one per line; None for other payloads.
        repeats: URL of the page whose text it repeats, wholly or nearly; None if it is the first.
    """

    url: str
    fate: str
    record_status: str
    kind: str
    warc_file: str
    warc_offset: int
    warc_length: int
    language: str | None
    text: str | None
    repeats: str | None


@dataclass(frozen=True, slots=True)
class SamplePair:
    """One `<img>` of a page.

    Attributes:
        page_url: page it stands on.
        image_url: absolute URL of the picture.
        fate: what is special about the picture or its caption; see `SampleDump.picture_fates`.
        caption: alt text or figcaption as written; None if there is neither.
        spec: what the picture shows; None if it shows nothing that was drawn.
    """

    page_url: str
    image_url: str
    fate: str
    caption: str | None
    spec: PictureSpec | None


@dataclass(frozen=True, slots=True)
class SampleDump:
    """One dump: its folder, its WARC files in order, the list that names them, and what stands in them."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    file_list: Path
    records: tuple[SampleRecord, ...]
    pairs: tuple[SamplePair, ...]

    @property
    def fates(self) -> Counter[str]:
        """Number of records by fate."""
        return Counter(record.fate for record in self.records)

    @property
    def record_statuses(self) -> Counter[str]:
        """Number of records by status."""
        return Counter(record.record_status for record in self.records)

    @property
    def picture_fates(self) -> Counter[str]:
        """Number of pictures on pages by fate."""
        return Counter(pair.fate for pair in self.pairs)

    def find(self, fate: str) -> list[SampleRecord]:
        """Return the records of one fate, in order of writing."""
        return [record for record in self.records if record.fate == fate]


@dataclass(frozen=True, slots=True)
class SampleCrawl:
    """The dumps that were written, in order, and the folder they lie in."""

    folder: Path
    dumps: tuple[SampleDump, ...]

    def find_dump(self, name: str) -> SampleDump:
        """Return the dump of that name.

        Raises:
            KeyError: no such dump was written.
        """
        for dump in self.dumps:
            if dump.name == name:
                return dump
        raise KeyError(name)
