"""Every byte string gives a text; a wrong declaration does not spoil it."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.decoding import decode_page

GERMAN = "<p>Die Größe überrascht, äußerst schön: Straße, Mädchen, Übermut und Füße.</p>" * 5
RUSSIAN = "<p>Съешь же ещё этих мягких французских булок, да выпей чаю.</p>" * 5
JAPANESE = "<p>これは日本語の文章です。文字化けしてはいけません。</p>" * 5
CHINESE = "<p>这是一个中文网页，编码声明可能是错的。</p>" * 5


@pytest.mark.parametrize(
    ("text", "charset", "declared"),
    [
        (GERMAN, "utf-8", None),
        (GERMAN, "utf-8", "iso-8859-1"),  # wrong, and each byte would decode
        (GERMAN, "cp1252", "utf-8"),
        (GERMAN, "cp1252", "latin1"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", None),
        (RUSSIAN, "cp1251", "utf-8"),
        (JAPANESE, "shift_jis", "x-sjis"),
        (JAPANESE, "euc-jp", None),
        (JAPANESE, "shift_jis", "utf-8"),
        (CHINESE, "gb18030", "gb2312"),
        (CHINESE, "utf-8", "gb2312"),
        (GERMAN, "utf-8", "no-such-charset"),
        (GERMAN, "utf-16", "utf-8"),
    ],
)
def test_declared_or_not(text: str, charset: str, declared: str | None) -> None:
    assert decode_page(text.encode(charset), declared).text == text


def test_meta_tag_is_read_and_utf16_in_it_is_not_believed() -> None:
    page = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1251"></head>' + RUSSIAN
    assert decode_page(page.encode("cp1251"), None).text == page
    assert decode_page(b'<meta charset="utf-16"><p>words', None).text == '<meta charset="utf-16"><p>words'


def test_byte_order_mark_wins_and_goes() -> None:
    assert decode_page(codecs.BOM_UTF8 + GERMAN.encode(), "cp1251").text == GERMAN
    assert decode_page(codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"), None).charset == "utf-16-be"


def test_few_broken_bytes_do_not_change_the_charset() -> None:
    page = decode_page(JAPANESE.encode() + b"\xff" + JAPANESE.encode(), "utf-8")
    assert page.charset == "utf-8"
    assert page.text == JAPANESE + "\ufffd" + JAPANESE


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-16", "gbk", "koi8-r", "shift_jis", "latin1", "x"]))
def test_any_bytes_give_a_text_that_can_be_written(body: bytes, declared: str | None) -> None:
    text = decode_page(body, declared).text
    text.encode()
    assert "\0" not in text
