"""Writes the sample crawl: dumps of generated pages and pictures in which every rule has something to remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmpipe.demo.crawled_pictures import PictureBook
from mmpipe.demo.grammar import Dice
from mmpipe.demo.sample_pages import PagePlanner, PlannedPage
from mmpipe.demo.sample_record import SampleCrawl, SampleDump, SamplePair, SampleRecord
from mmpipe.demo.warc_writer import HttpReply, WarcWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SampleCrawl", "SampleDump", "SamplePair", "SampleRecord", "write_sample_crawl"]

#: A dump's list of files; written last, so a dump that has one is complete.
FILE_LIST = "warc.paths"

_VERSIONS = ("1.0", "1.1")
_AGENT = "mmpipe-sample-crawl"


def write_sample_crawl(
    folder: Path,
    *,
    dumps: Sequence[str] = ("sample-2026-40", "sample-2026-44"),
    pages_per_dump: int = 300,
    seed: int = 20261,
) -> SampleCrawl:
    """Write dumps of generated pages as `folder/DUMP/*.warc.gz` and say what stands in them.

    Each dump has two files, of WARC 1.0 and 1.1, and a list of them, `warc.paths`, which is written last. Every
    flaw, damage and language stands in every dump at least once, so a small dump holds more than `pages_per_dump`
    pages. A fifth of the articles are the same in all dumps of a seed; the same arguments give the same bytes. A dump
    does not depend on the other names in `dumps`, except for which of its articles count as repeated.

    Args:
        folder: made if missing; dumps of the same name in it are replaced.
        dumps: names of the dumps, earliest first.
        pages_per_dump: number of pages, about; pictures, styles and the like come on top.
        seed: what everything is drawn from.
    """
    evergreens: dict[int, str] = {}
    written = tuple(_write_dump(folder / name, seed, pages_per_dump, evergreens) for name in dumps)
    return SampleCrawl(folder, written)


def _write_dump(folder: Path, seed: int, page_count: int, evergreens: dict[int, str]) -> SampleDump:
    folder.mkdir(parents=True, exist_ok=True)
    file_list = folder / FILE_LIST
    file_list.unlink(missing_ok=True)
    pictures = PictureBook(seed, Dice("pictures", seed, folder.name))
    planner = PagePlanner(folder.name, seed, page_count, pictures)
    pages = planner.plan(evergreens)
    files = [folder / f"{folder.name}-{number:05d}.warc.gz" for number in range(len(_VERSIONS))]
    records: list[SampleRecord] = []
    for number, (path, version) in enumerate(zip(files, _VERSIONS, strict=True)):
        is_last = number == len(files) - 1
        with WarcWriter(path, version=version) as writer:
            about = {"software": _AGENT, "format": f"WARC File Format {version}", "isPartOf": folder.name}
            writer.write_info(about, pages[0].reply.crawled_at)
            for page in pages[number :: len(files)]:
                records += _write_page(writer, path.name, page)
            if is_last:
                records.append(_write_cut_page(writer, path.name, planner.make_last_page()))
    listed = "".join(f"{path.name}\n" for path in files)
    temporary = file_list.with_name(file_list.name + ".writing")
    temporary.write_text(listed, encoding="utf-8")
    temporary.replace(file_list)
    pairs = tuple(
        SamplePair(page.reply.url, picture.url, picture.fate, picture.caption, picture.spec)
        for page in pages
        if page.record_status == "ok"
        for picture in page.pictures
    )
    return SampleDump(folder.name, folder, tuple(files), file_list, tuple(records), pairs)


def _write_page(writer: WarcWriter, file_name: str, page: PlannedPage) -> list[SampleRecord]:
    """Write a page with its request and metadata, and the pictures it is the first to show."""
    reply = page.reply
    writer.write_request(reply, _AGENT)
    if page.record_status == "revisit_record":
        place = writer.write_revisit(reply, first_seen=reply.crawled_at.replace(year=reply.crawled_at.year - 1))
    else:
        truncated = "length" if page.record_status == "truncated_record" else None
        place = writer.write_response(reply, truncated=truncated, corrupt=page.record_status == "corrupt_record")
    writer.write_metadata(reply, {"fetchTimeMs": str(len(reply.body) % 900 + 40)})
    records = [_describe_page(page, file_name, place)]
    for picture in page.pictures:
        if picture.content is None:
            continue
        picture_reply = HttpReply(picture.url, reply.crawled_at, picture.content, picture.content_type)
        offset, length = writer.write_response(picture_reply)
        fate, kind = f"picture_{picture.fate}", "html" if picture.fate == "html_as_image" else "image"
        records.append(
            SampleRecord(
                picture.url, fate, "ok", kind, file_name, offset, length, language=None, text=None, repeats=None
            )
        )
    return records


def _write_cut_page(writer: WarcWriter, file_name: str, page: PlannedPage) -> SampleRecord:
    offset, length = writer.write_response(page.reply)
    writer.cut_end(length // 3)
    return _describe_page(page, file_name, (offset, length))


def _describe_page(page: PlannedPage, file_name: str, place: tuple[int, int]) -> SampleRecord:
    return SampleRecord(
        url=page.reply.url,
        fate=page.fate,
        record_status=page.record_status,
        kind=page.kind,
        warc_file=file_name,
        warc_offset=place[0],
        warc_length=place[1],
        language=page.language,
        text=page.article.text if page.article else None,
        repeats=page.repeats,
    )
