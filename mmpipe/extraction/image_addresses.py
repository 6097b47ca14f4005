"""Finds where an image of a page is: `src`, lazy-loading attributes, `srcset`, `<picture>`, or the page itself."""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urldefrag, urljoin, urlsplit, urlunsplit

from mmpipe.extraction.caption_texts import find_ancestor

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of an image that a page may hold itself, in a `data:` URL; a larger one is named and left where it is.
MAX_INLINE_BYTES = 1 << 20
#: Characters that are kept of an address that cannot be read.
MAX_ADDRESS_CHARS = 2_000
_SHOWN_CHARS = 100

# what lazy-loading scripts call the attribute that holds the real address, commonest first
_LAZY_ATTRIBUTES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-original-src")
_SRCSET_ATTRIBUTES = ("srcset", "data-srcset", "data-lazy-srcset")
# file names that stand for "the picture comes later"; only looked at where a lazy attribute offers another
_PLACEHOLDER = re.compile(
    r"(?:^|[/_.-])(?:blank|placeholder|spacer|transparent|loading|lazy|pixel|1x1|grey|gray)[^/]*$"
)
_SRCSET_URL = re.compile(r"[^\s,]\S*")
_SRCSET_DESCRIPTORS = re.compile(r"(?:[^,(]|\([^)]*(?:\)|$))*")
_SRCSET_SIZE = re.compile(r"(?:^|\s)(\d{1,9}(?:\.\d{1,9})?)[wx](?:\s|$)")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
# the URL standard removes tabs and newlines anywhere, and controls and spaces at both ends
_URL_CONTROLS = re.compile(r"[\t\r\n]")
_URL_EDGES = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True)
class ImageAddress:
    """Where an image is.

    Attributes:
        url: absolute http(s) URL; as the page wrote it, where that is none; for one that the page holds itself
            `data:image/png;sha256=…` of the bytes (of the written URL, where there are none).
        inline: the bytes that the page holds.
        problem: why there are none although the page should hold them.
    """

    url: str
    inline: bytes | None = None
    problem: str | None = None


def find_image_address(image: Any, base_url: str, pictures: dict[Any, str | None]) -> ImageAddress | None:
    """Return where an `<img>` is, or None if it does not say so in a way that can be read.

    Args:
        image: the element.
        base_url: absolute URL that addresses are relative to.
        pictures: what `<picture>`s already asked for gave; one may enclose thousands of images.
    """
    source = (image.get("src") or "").strip(_URL_EDGES)
    is_inline = source[:5].lower() == "data:"
    if source and not is_inline and not source.lower().startswith(("about:", "javascript:")):
        resolved = resolve_address(base_url, source)
        if resolved and not _PLACEHOLDER.search(urlsplit(resolved).path.lower()):
            return ImageAddress(resolved)
        found = _find_fallback(image, base_url, pictures) or resolved
    else:
        found = _find_fallback(image, base_url, pictures)
    if found is None and is_inline:
        return read_data_url(source)
    if found is None and source:
        written = source[:MAX_ADDRESS_CHARS]
        return ImageAddress(written, problem=f"broken_address: {written[:_SHOWN_CHARS]}")
    return ImageAddress(found) if found else None


def read_data_url(url: str) -> ImageAddress:
    """Return the image that a `data:` URL holds (RFC 2397), base64 or percent-encoded, forgiving as browsers are."""
    head, _, body = url[5:].partition(",")
    media_type, *parameters = (part.strip().lower() for part in head[:200].split(";"))
    media_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else "text/plain"
    is_base64 = "base64" in parameters
    problem: str | None = None
    data = b""
    if len(body) > MAX_INLINE_BYTES * 4 // 3 + 4:
        problem = f"data_url: {len(body)} characters hold more than {MAX_INLINE_BYTES} bytes"
    else:
        data = unquote_to_bytes(body)
        data = _decode_base64(data) if is_base64 else data
        problem = None if data else "data_url: no bytes"
    digest = hashlib.sha256(data or url.encode("utf-8", "replace")).hexdigest()
    return ImageAddress(f"data:{media_type};sha256={digest}", data or None, problem)


def _decode_base64(written: bytes) -> bytes:
    letters = _NOT_BASE64.sub(b"", written.replace(b"-", b"+").replace(b"_", b"/"))
    if len(letters) % 4 == 1:  # a cut file: the last letter says less than a byte
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def parse_srcset(srcset: str) -> list[tuple[str, float]]:
    """Return the addresses of a `srcset` with their widths or densities, in the order written.

    Follows the HTML standard's splitting: an address may contain commas, a descriptor ends at a comma outside
    parentheses. An address without a usable descriptor counts as density 1.
    """
    candidates: list[tuple[str, float]] = []
    place = 0
    while match := _SRCSET_URL.search(srcset, place):
        url, place = match.group(), match.end()
        descriptors = ""
        if url.endswith(","):  # the comma ended this candidate: there is no descriptor
            url = url.rstrip(",")
        else:
            written = _SRCSET_DESCRIPTORS.match(srcset, place)
            if written:
                descriptors, place = written.group(), written.end()
        size = _SRCSET_SIZE.search(descriptors)
        candidates.append((url, float(size.group(1)) if size else 1.0))
    return candidates


def find_base_url(root: Any, page_url: str) -> str:
    """Return what the page's addresses are relative to: its first `<base href>`, or itself."""
    for base in root.iter("base"):
        href = base.get("href")
        if href is not None:
            return resolve_address(page_url, href) or page_url
    return page_url


def resolve_address(base_url: str, reference: str) -> str | None:
    """Return the absolute http(s) URL without fragment, written in ASCII as a browser would ask for it; else None."""
    reference = _URL_CONTROLS.sub("", reference.strip(_URL_EDGES))
    if not reference:
        return None
    try:
        url, _ = urldefrag(urljoin(base_url, reference))
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            return None
        if not url.isascii() or " " in url:
            netloc = (
                parts.netloc if parts.netloc.isascii() else parts.netloc.replace(host, host.encode("idna").decode())
            )
            safe = "/%:@!$&'()*+,;=~-._[]?"
            url = urlunsplit((parts.scheme, netloc, quote(parts.path, safe), quote(parts.query, safe), ""))
    except ValueError:  # an address that no rule can read: "http://[half", a host that IDNA refuses
        return None
    return url


def _find_fallback(image: Any, base_url: str, pictures: dict[Any, str | None]) -> str | None:
    own = next((url for written in _list_own(image) if (url := resolve_address(base_url, written))), None)
    # several levels, because libxml2 takes <source> for an element that encloses what follows it
    picture = None if own else find_ancestor(image, "picture", 8)
    if picture is None:
        return own
    if picture not in pictures:
        sources = (written for source in picture.iter("source") for written in _list_srcset(source))
        pictures[picture] = next((url for written in sources if (url := resolve_address(base_url, written))), None)
    return pictures[picture]


def _list_own(image: Any) -> Iterator[str]:
    for name in _LAZY_ATTRIBUTES:
        if value := image.get(name):
            yield value
    yield from _list_srcset(image)


def _list_srcset(element: Any) -> Iterator[str]:
    for name in _SRCSET_ATTRIBUTES:
        if value := element.get(name):
            # sorted is stable: of equally large candidates the page's first is asked for
            yield from (url for url, _ in sorted(parse_srcset(value), key=lambda candidate: -candidate[1]))
