"""Finds the image-text pairs of a page: every `<img>` that somebody described, with the absolute URL of its picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

# what lazy-loading scripts call the attribute that holds the real address, commonest first
_LAZY_ATTRIBUTES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-original-src")
_SRCSET_ATTRIBUTES = ("srcset", "data-srcset", "data-lazy-srcset")
# file names that stand for "the picture comes later"; only looked at where a lazy attribute offers another
_PLACEHOLDER = re.compile(
    r"(?:^|[/_.-])(?:blank|placeholder|spacer|transparent|loading|lazy|pixel|1x1|grey|gray)[^/]*$"
)
_IMAGE_TAG = re.compile(r"<img[\s/>]", re.IGNORECASE)
_SRCSET_URL = re.compile(r"[^\s,]\S*")
_SRCSET_DESCRIPTORS = re.compile(r"(?:[^,(]|\([^)]*(?:\)|$))*")
_SRCSET_SIZE = re.compile(r"(?:^|\s)(\d{1,9}(?:\.\d{1,9})?)[wx](?:\s|$)")
# the URL standard removes tabs and newlines anywhere, and controls and spaces at both ends
_URL_CONTROLS = re.compile(r"[\t\r\n]")
_URL_EDGES = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True)
class ImageCandidate:
    """One described image of a page.

    `position` counts all `<img>` elements of the page from 0, so that it names the same element whichever of them
    are described. `caption` is the alt text, or the figcaption where there is no alt text; white space is
    normalised in all three texts.
    """

    image_url: str
    position: int
    caption: str
    caption_source: str
    alt: str | None
    figcaption: str | None


def find_image_candidates(html: str, page_url: str) -> list[ImageCandidate]:
    """Return the images of a page that have an alt text or a figcaption, in the order of the page.

    Relative addresses are resolved against `<base href>` or the page. Where `src` is empty, a `data:` URI or a
    placeholder, the address comes from the lazy-loading attributes, `srcset` (the largest), or the `<source>`s of
    the enclosing `<picture>`. Images without an http(s) address are left out; so is the `<noscript>` twin of an
    image that was already found.

    Args:
        html: the decoded page; however broken, it yields what the HTML5 rules make of it.
        page_url: absolute URL of the page.
    """
    root = _parse(html) if _IMAGE_TAG.search(html) else None
    if root is None:
        return []
    base_url = _find_base_url(root, page_url)
    figcaptions: dict[Any, str | None] = {}
    found: list[ImageCandidate] = []
    seen: set[tuple[str, str]] = set()
    for position, image in enumerate(root.iter("img")):
        alt = _normalise_text(image.get("alt"))
        figcaption = _find_figcaption(image, figcaptions)
        caption = alt or figcaption
        image_url = _find_image_url(image, base_url) if caption else None
        if not caption or not image_url:
            continue
        if (image_url, caption) in seen and _find_ancestor(image, "noscript", 3) is not None:
            continue
        seen.add((image_url, caption))
        found.append(ImageCandidate(image_url, position, caption, "alt" if alt else "figcaption", alt, figcaption))
    return found


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


def _parse(html: str) -> Any | None:
    """Return the root element, or None where nothing is left to parse.

    lxml rather than resiliparse: the latter's element lists are quadratic (10,000 images take minutes), and a page
    of many images is an easy way to stop a shard.
    """
    from lxml import etree

    # bytes, because lxml refuses a str that declares an encoding; lone surrogates cannot be encoded
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None


def _find_base_url(root: Any, page_url: str) -> str:
    for base in root.iter("base"):
        href = base.get("href")
        if href is not None:
            return _resolve(page_url, href) or page_url
    return page_url


def _find_figcaption(image: Any, known: dict[Any, str | None]) -> str | None:
    """Return the text of the enclosing figure's caption; `known` saves asking one figure for each of its images."""
    figure = _find_ancestor(image, "figure", 12)
    if figure is None:
        return None
    if figure not in known:
        caption = next(figure.iter("figcaption"), None)
        known[figure] = _normalise_text(" ".join(caption.itertext())) if caption is not None else None
    return known[figure]


def _find_ancestor(element: Any, tag: str, levels: int) -> Any | None:
    """Return the nearest enclosing element of that name; the bound keeps pages of deeply nested tags linear."""
    parent = element.getparent()
    for _ in range(levels):
        if parent is None or parent.tag == tag:
            return parent
        parent = parent.getparent()
    return None


def _find_image_url(image: Any, base_url: str) -> str | None:
    source = (image.get("src") or "").strip(_URL_EDGES)
    fallbacks = _list_fallbacks(image)
    if source and not source.lower().startswith(("data:", "about:", "javascript:")):
        resolved = _resolve(base_url, source)
        if resolved and not _PLACEHOLDER.search(urlsplit(resolved).path.lower()):
            return resolved
        return next((url for fallback in fallbacks if (url := _resolve(base_url, fallback))), resolved)
    return next((url for fallback in fallbacks if (url := _resolve(base_url, fallback))), None)


def _list_fallbacks(image: Any) -> Iterator[str]:
    for name in _LAZY_ATTRIBUTES:
        if value := image.get(name):
            yield value
    yield from _list_srcset(image)
    # several levels, because libxml2 takes <source> for an element that encloses what follows it
    picture = _find_ancestor(image, "picture", 8)
    if picture is not None:
        for source in picture.iter("source"):
            yield from _list_srcset(source)


def _list_srcset(element: Any) -> Iterator[str]:
    for name in _SRCSET_ATTRIBUTES:
        if value := element.get(name):
            # sorted is stable: of equally large candidates the page's first is asked for
            yield from (url for url, _ in sorted(parse_srcset(value), key=lambda candidate: -candidate[1]))


def _resolve(base_url: str, reference: str) -> str | None:
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


def _normalise_text(text: str | None) -> str | None:
    """Return the text with runs of white space made one space, or None if nothing is left."""
    return " ".join(text.split()) or None if text else None
