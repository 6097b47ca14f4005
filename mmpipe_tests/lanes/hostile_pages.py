"""Pages and records as no honest site sends them, made cheaply, and what becomes of each."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmpipe.demo.topics import write_english_article
from mmpipe_tests.storage.warc_samples import make_http, make_record, zip_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: The limit that the tests' recipes set; the longest page that is read lies just below it.
MAX_PAGE_BYTES = 12_000_000
HUGE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class HostilePage:
    """A response: its body and type, and what becomes of it.

    Attributes:
        statuses: extraction statuses that it may end with.
        is_sound: whether its text is as good as any, so that it is kept.
    """

    body: bytes
    statuses: tuple[str, ...]
    content_type: str = "text/html"
    is_sound: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)


def write_article(number: int) -> str:
    """Return paragraphs that every recipe keeps and no other article repeats."""
    return "\n".join(write_english_article("hostile", number).paragraphs)


def make_page(text: str, title: str = "A page", charset: str = "utf-8", head: str = "") -> bytes:
    paragraphs = "".join(f"<p>{line}</p>\n" for line in text.split("\n"))
    html = f"<!doctype html><html><head>{head}<title>{title}</title></head><body><article>{paragraphs}</article></body>"
    return html.encode(charset, "surrogatepass" if charset == "utf-8" else "strict")


_CJK = "春の川は朝早くから静かに流れ、村の人々は橋のたもとに集まって昔の話をした。水車の音が遠くまで聞こえる。"
_CHINESE = "春天的河水从清晨开始静静地流淌，村里的人们聚在桥边讲述从前的故事。水车的声音传得很远。"
_THAI = "แม่น้ำในฤดูใบไม้ผลิไหลเงียบๆตั้งแต่เช้าตรู่และชาวบ้านมารวมตัวกันที่เชิงสะพานเพื่อเล่าเรื่องเก่า"
_ARABIC = "يجري النهر في الربيع بهدوء منذ الصباح الباكر ويجتمع أهل القرية عند الجسر ليرووا قصصا قديمة."


def make_pages(short_lines: int = 200_000) -> dict[str, HostilePage]:
    """Return each hostile page by name."""
    sound, text_only = ("ok",), "text/plain; charset=utf-8"
    given_up = ("ok", "no_main_text", "extraction_timeout", "extraction_crash")
    words = "The miller of Overby kept the old wheel turning with oil, and people came to him to have it ground. "
    german = "Größe und Maß der Brücke über den Fluß prüfte der Müller für die Bürger. " * 8
    return {
        # a coding that unpacks to 200 MB in 200 KB
        "packed-bomb": HostilePage(
            gzip.compress(b"<p>" + b"word " * (HUGE_BYTES // 5), 1),
            ("oversized_page",),
            headers={"Content_Encoding": "gzip"},
        ),
        "one-byte-too-many": HostilePage(b"<html><body>" + b"x" * (MAX_PAGE_BYTES - 11), ("oversized_page",)),
        "nested-tags": HostilePage(b"<div>" * 100_000 + words.encode() * 20, given_up),
        "misnested-tags": HostilePage(b"<b><i><table>" * 34_000, given_up),
        "line-of-words": HostilePage(
            b"<html><body><p>" + words.encode() * (10_000_000 // len(words)) + b"</p></body></html>", given_up
        ),
        "text-line-of-words": HostilePage(words.encode() * (10_000_000 // len(words)), sound, text_only),
        "text-line-of-one-word": HostilePage(b"a" * 10_000_000, sound, text_only),
        "text-line-of-brackets": HostilePage(b"([{" * 1_000_000, sound, text_only),
        "text-line-of-cjk": HostilePage((_CJK * 70_000).encode()[:9_999_999], sound, text_only),
        "text-of-newlines": HostilePage(b"a" + b"\n" * 1_000_000 + b"b", sound, text_only),
        "text-of-short-lines": HostilePage(b"ab\n" * short_lines, sound, text_only),
        "text-of-digits-and-at": HostilePage(b"1@1.1:4-" * 200_000, sound, text_only),
        "page-of-newlines": HostilePage(b"<html><body><pre>" + b"\n" * 1_000_000 + b"</pre></body></html>", given_up),
        "null-bytes": HostilePage(make_page(write_article(901)).replace(b" the ", b" \0the\0 "), sound, is_sound=True),
        "only-null-bytes": HostilePage(b"\0" * 100_000, ("no_main_text", "not_html")),
        "control-bytes": HostilePage(b"<html><body>" + b"\x01\x02\x03a" * 1000, ("undecodable_page",)),
        "latin1-as-utf8": HostilePage(make_page(german, charset="latin-1"), sound, "text/html; charset=utf-8"),
        "sjis-as-ascii": HostilePage(make_page(_CJK * 6, charset="shift_jis"), sound, "text/html; charset=us-ascii"),
        "utf8-as-utf16": HostilePage(make_page(german), sound, "text/html; charset=utf-16"),
        "mixed-charsets": HostilePage(
            make_page(german) + make_page(german, charset="latin-1"), sound, "text/html; charset=utf-8"
        ),
        "unknown-charset": HostilePage(make_page(german), sound, "text/html; charset=x-klingon"),
        "only-emoji": HostilePage(make_page("😀🎉👩‍👩‍👧🇩🇪 " * 500), sound),
        "only-numbers": HostilePage(make_page("\n".join(f"{n * 7919} {n * 104_729}.5" for n in range(400))), sound),
        "no-main-text": HostilePage(b"<html><body><script>var a = 1;</script></body></html>", ("no_main_text",)),
        "empty-body": HostilePage(b"", ("empty_record",)),
        "japanese": HostilePage(make_page("\n".join([_CJK * 3] * 6)), sound),
        "chinese": HostilePage(make_page("\n".join([_CHINESE * 3] * 6)), sound),
        "thai": HostilePage(make_page("\n".join([_THAI * 3] * 6)), sound),
        "arabic": HostilePage(make_page("\n".join([_ARABIC * 3] * 6)), sound),
        "lone-surrogates": HostilePage(
            make_page(write_article(902).replace(" and ", " &#xD800; and &#57343; ", 3)), sound, is_sound=True
        ),
        "raw-surrogates": HostilePage(
            make_page(write_article(903).replace(" and ", " \ud800 and \udfff ", 3)), sound, is_sound=True
        ),
        "odd-characters": HostilePage(
            make_page(write_article(904).replace(" and ", " &#x10FFFF; and &#0; ", 3)), sound, is_sound=True
        ),
        # what XML forbids as a character
        "forbidden-entities": HostilePage(
            make_page(write_article(908).replace(" and ", " and &#1; ", 3)), sound, is_sound=True
        ),
    }


def write_dump(file: Path, pages: Mapping[str, HostilePage], *, with_huge: bool = True) -> None:
    """Write one gzip member per record: healthy pages between the hostile ones, a page of 200 MB, damaged records."""
    with file.open("wb") as out:
        for number, (name, page) in enumerate(pages.items()):
            out.write(_pack("healthy", str(number), HostilePage(make_page(write_article(number)), ())))
            out.write(_pack("hostile", name, page))
        if with_huge:
            out.writelines(_pack_huge("http://hostile.example/huge-page"))
        damaged: dict[str, dict[str, Any]] = {"revisit": {}, "response": {"WARC_Truncated": "length"}}
        for kind, extra in damaged.items():
            block = make_http(make_page(write_article(905)))
            out.write(
                zip_members(make_record(block, kind=kind, WARC_Target_URI=f"http://hostile.example/{kind}", **extra))
            )
        short = make_record(make_http(b"cut"), declared=5_000, WARC_Target_URI="http://hostile.example/short")
        out.write(zip_members(short))
        spoilt = bytearray(_pack("hostile", "corrupt", HostilePage(make_page(write_article(906)), ())))
        spoilt[len(spoilt) // 2 : len(spoilt) // 2 + 40] = bytes(40)
        out.write(spoilt)
        out.write(_pack("healthy", "last", HostilePage(make_page(write_article(907)), ())))


def _pack(host: str, name: str, page: HostilePage) -> bytes:
    block = make_http(page.body, content_type=page.content_type, **page.headers)
    record = make_record(block, WARC_Target_URI=f"http://{host}.example/{name}")
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(record) + compressor.flush()


def _pack_huge(url: str) -> Iterator[bytes]:
    """Yield the member of a page of 200 MB without ever holding it."""
    piece = b"<p>" + b"A sentence that stands here a million times. " * 22_222 + b"</p>\n"
    http = make_http(b"")
    count = HUGE_BYTES // len(piece) + 1
    record = make_record(http, declared=len(http) + count * len(piece), WARC_Target_URI=url)
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    yield compressor.compress(record.removesuffix(b"\r\n\r\n"))
    for _ in range(count):
        yield compressor.compress(piece)
    yield compressor.compress(b"\r\n\r\n") + compressor.flush()
