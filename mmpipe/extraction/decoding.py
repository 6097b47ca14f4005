"""From a page's bytes to text: byte order mark, declared charset, meta tag, then detection."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

#: The WHATWG Encoding standard (section 5) prescans this many bytes for a meta tag; real pages put it later too.
_META_BYTES = 4096
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]{2,40})", re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: Any byte is a character in these, so a strict decode proves nothing; they count only if nothing better fits.
_SINGLE_BYTE = re.compile(r"^(?:cp125\d|iso8859-\d+|iso8859_\d+|latin_?1|latin-?1|koi8-[ru]|mac[-_]?\w+|cp8\d\d)$")
_REPLACEMENT = "\ufffd"
#: A declared charset in which at most this share of the non-ASCII characters is broken is right; some bytes are not.
_TOLERATED = 0.05


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """A page as text, and the character encoding it was read in (Python's name for it)."""

    text: str
    charset: str


class _LastPage:
    """The page decoded or encoded last and its UTF-8 bytes: several steps read one page's bytes."""

    text = ""
    data = b""


def encode_page(text: str) -> bytes:
    """Return a page's UTF-8 bytes, with a question mark for each lone surrogate; those of the last page are at hand."""
    if text is not _LastPage.text:
        _LastPage.text, _LastPage.data = text, text.encode("utf-8", "replace")
    return _LastPage.data


def decode_page(body: bytes, declared: str | None) -> DecodedPage:
    """Return the page's text and the charset it was decoded with; every byte string gives a text.

    A byte order mark is believed first. Then the HTTP charset, then the meta tag, each only if all bytes decode in it:
    a wrong declaration is common, and a strict decode finds it out for every multi-byte charset. Bytes that are valid
    UTF-8 and not pure ASCII are UTF-8, whatever single-byte charset is declared, since such bytes by chance are
    rare. A declared charset that fails on a few bytes only is kept, with those replaced. Last comes detection from
    the bytes (uchardet through resiliparse).

    Args:
        body: the page, content coding taken off.
        declared: charset of the HTTP Content-Type, if there is one.
    """
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return _finish(body[len(mark) :].decode(charset, "replace"), charset, body)
    meta = _META.search(body[:_META_BYTES])
    charsets = [_find_codec(declared, body), _find_codec(meta[1].decode("ascii") if meta else None, body)]
    utf8 = _decode_strictly(body, "utf-8")
    for charset in filter(None, charsets):
        is_utf8 = utf8 is not None and not body.isascii() and _SINGLE_BYTE.match(charset)
        text = utf8 if is_utf8 or charset == "utf-8" else _decode_strictly(body, charset)
        if text is not None:
            return _finish(text, "utf-8" if is_utf8 else charset, body, is_utf8=text is utf8)
    if utf8 is not None:
        return _finish(utf8, "utf-8", body, is_utf8=True)
    for charset in filter(None, charsets):
        text = body.decode(charset, "replace")
        if text.count(_REPLACEMENT) <= _TOLERATED * sum(not character.isascii() for character in text):
            return _finish(text, charset, body)
    return _detect(body)


def _detect(body: bytes) -> DecodedPage:
    from resiliparse.parse.encoding import detect_encoding

    charset = _find_codec(detect_encoding(body), body) or "cp1252"
    return _finish(body.decode(charset, "replace"), charset, body)


def _decode_strictly(body: bytes, charset: str) -> str | None:
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        return None


def _find_codec(name: str | None, body: bytes) -> str | None:
    """Return Python's name of a charset as the web means it (WHATWG: Latin-1 is Windows-1252), or None."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    if name is None:
        return None
    mapped = map_encoding_to_html5(name.strip().strip("\"'").lower(), fallback_utf8=False)
    if not mapped:
        return None
    if mapped.startswith("utf-16") and b"\x00" not in body:
        return "utf-8"  # a meta tag that can be read as ASCII does not stand in UTF-16 (WHATWG Encoding, section 5)
    try:
        # the larger set of which the declared one is a part
        return codecs.lookup("gb18030" if mapped == "gbk" else mapped).name
    except LookupError:
        return None


def _finish(text: str, charset: str, body: bytes, *, is_utf8: bool = False) -> DecodedPage:
    # no decoder lets a lone surrogate through, but NUL is a character to all of them; none makes it of other bytes, and
    # bytes are searched fifty times as fast
    if b"\x00" in body:
        return DecodedPage(text.replace("\x00", ""), charset)
    if is_utf8:
        _LastPage.text, _LastPage.data = text, body
    return DecodedPage(text, charset)
