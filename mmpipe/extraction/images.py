"""Finds the image-text pairs of a page: every image that somebody described, with all that may be its caption."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.extraction.caption_texts import (
    MAX_FIGURE_IMAGES,
    cut_caption,
    find_ancestor,
    find_figcaptions,
    find_surrounding_texts,
    normalise_caption,
)
from mmpipe.extraction.image_addresses import ImageAddress, find_base_url, find_image_address, resolve_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Texts of a page that may be the caption, unless the recipe says otherwise; the first that is there is taken.
CAPTION_SOURCES = ("alt", "figcaption")

_IMAGE_TAG = re.compile(r"<img[\s/>]|og:image", re.IGNORECASE)
_LEADING_NUMBER = re.compile(r"\s*\+?(\d{1,6})(?:\.\d*)?\s*(?:px)?\s*$", re.IGNORECASE)
_STYLE_SIZE = re.compile(r"(?:^|;)\s*(width|height)\s*:\s*(\d{1,6})(?:\.\d*)?px", re.IGNORECASE)
_STYLE_CHARS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCandidate:
    """One described image of a page.

    Attributes:
        image_url: absolute URL, or `data:TYPE;sha256=…` where the page holds the image itself.
        position: counts all `<img>` elements of the page from 0, so that it names the same element whichever of them
            are described; images that only `og:image` names follow after the last.
        element: `img`, or `og_image` for one that only the page's head names.
        caption: the first text that is there, in the order of the caption sources.
        caption_source: which one that is.
        caption_written_chars: characters of the caption as written; it holds the first `MAX_CAPTION_CHARS`.
        alt: alternative text (`alt`, `og:image:alt`); white space is normalised in all texts.
        figcaption: caption of the enclosing figure.
        title: `title` attribute.
        surrounding: text around the image; see `caption_texts.find_surrounding_texts`.
        og_title: the page's `og:title`, for the image that `og:image` names.
        rendered_width: pixels in which the page shows it.
        rendered_height: pixels.
        inline: the image's bytes, where the page holds them.
        problem: why there are none although the page should hold them.
    """

    image_url: str
    position: int
    element: str
    caption: str
    caption_source: str
    caption_written_chars: int
    alt: str | None
    figcaption: str | None
    title: str | None
    surrounding: str | None
    og_title: str | None
    rendered_width: int | None
    rendered_height: int | None
    inline: bytes | None = None
    problem: str | None = None


@dataclass(slots=True)
class _Found:
    """An image with an address and its texts, before a caption is chosen."""

    element: Any | None
    address: ImageAddress
    position: int
    texts: dict[str, str | None]
    size: tuple[int | None, int | None]


def find_image_candidates(
    html: str, page_url: str, *, caption_sources: Sequence[str] = CAPTION_SOURCES
) -> list[ImageCandidate]:
    """Return the images of a page that have a caption by the sources, in the order of the page.

    Relative addresses are resolved against `<base href>` or the page. Where `src` is empty, a `data:` URL or a
    placeholder, the address comes from the lazy-loading attributes, `srcset` (the largest), or the `<source>`s of
    the enclosing `<picture>`; a `data:` URL without any of these is the image itself. An address that is none
    (`javascript:`, `ftp:`, half a URL) is a problem of its own; an image that names none at all is left out, and so
    is the `<noscript>` twin of an image that was already found. An image that `og:image` names too is one candidate,
    with the page's title among its texts.

    Args:
        html: the decoded page; however broken, it yields what the HTML5 rules make of it.
        page_url: absolute URL of the page.
        caption_sources: of `alt`, `figcaption`, `title`, `surrounding`, `og_title`; the first that is there is taken.
            Others (`given`) are no matter of pages.
    """
    root = _parse(html) if _IMAGE_TAG.search(html) else None
    if root is None:
        return []
    base_url = find_base_url(root, page_url)
    title, named = _read_open_graph(root)
    found, images = _find_images(root, base_url, caption_sources, is_any_wanted=bool(named))
    _add_open_graph(found, title, named, base_url, images)
    described = [image for image in found if _choose(image.texts, caption_sources) or "surrounding" in caption_sources]
    if not described:
        return []
    elements = [image.element for image in described if image.element is not None]
    around = iter(find_surrounding_texts(root, elements) if elements else ())
    for image in described:
        image.texts["surrounding"] = next(around) if image.element is not None else None
    return list(_list_candidates(described, caption_sources))


def _find_images(
    root: Any, base_url: str, caption_sources: Sequence[str], *, is_any_wanted: bool
) -> tuple[list[_Found], int]:
    """Return the page's `<img>`s that are described, or all that have an address, and how many `<img>`s it has.

    An image without a text of its own may be the one that `og:image` names, or have text around it.
    """
    figcaptions = find_figcaptions(root)
    uses: dict[Any, int] = {}
    pictures: dict[Any, str | None] = {}
    found: list[_Found] = []
    number = -1
    is_any_wanted = is_any_wanted or "surrounding" in caption_sources
    for number, image in enumerate(root.iter("img")):
        figure = find_ancestor(image, "figure", 12) if figcaptions else None
        figcaption = figcaptions.get(figure)
        if figcaption:
            uses[figure] = uses.get(figure, 0) + 1
            figcaption = figcaption if uses[figure] <= MAX_FIGURE_IMAGES else None
        alt, title = normalise_caption(image.get("alt")), normalise_caption(image.get("title"))
        texts = {"alt": alt, "figcaption": figcaption, "title": title, "surrounding": None, "og_title": None}
        if not is_any_wanted and not _choose(texts, caption_sources):
            continue
        address = find_image_address(image, base_url, pictures)
        if address is not None:
            found.append(_Found(image, address, number, texts, _read_size(image)))
    return found, number + 1


def _add_open_graph(
    found: list[_Found], title: str | None, named: Iterable[Mapping[str, str]], base_url: str, images: int
) -> None:
    """Give the images that `og:image` names their texts, and add those that no `<img>` shows."""
    by_url: dict[str, _Found] = {}
    for image in found:
        by_url.setdefault(image.address.url, image)
    for properties in named:
        url = resolve_address(base_url, properties["url"])
        if url is None:
            continue
        alt = normalise_caption(properties.get("alt"))
        known = by_url.get(url)
        if known is not None:
            known.texts["alt"] = known.texts["alt"] or alt
            known.texts["og_title"] = title
            continue
        texts = {"alt": alt, "figcaption": None, "title": None, "surrounding": None, "og_title": title}
        size = _read_pixels(properties.get("width")), _read_pixels(properties.get("height"))
        by_url[url] = _Found(None, ImageAddress(url), images, texts, size)
        found.append(by_url[url])
        images += 1


def _read_open_graph(root: Any) -> tuple[str | None, list[dict[str, str]]]:
    """Return `og:title` and the images of the page's head (ogp.me): `url`, and `alt`, `width`, `height` if given."""
    title: str | None = None
    images: list[dict[str, str]] = []
    for meta in root.iter("meta"):
        name = (meta.get("property") or meta.get("name") or "").strip().lower()
        content = meta.get("content")
        if not name.startswith("og:") or not content:
            continue
        if name == "og:title" and title is None:
            title = normalise_caption(content)
        elif name == "og:image" or (name in ("og:image:url", "og:image:secure_url") and not images):
            images.append({"url": content})
        elif name.startswith("og:image:") and images:
            images[-1].setdefault(name.removeprefix("og:image:"), content)
    return title, images


def _list_candidates(found: Iterable[_Found], caption_sources: Sequence[str]) -> Iterable[ImageCandidate]:
    seen: set[tuple[str, str]] = set()
    for image in found:
        chosen = _choose(image.texts, caption_sources)
        if chosen is None:
            continue
        source, caption = chosen
        key = image.address.url, caption
        if key in seen and image.element is not None and find_ancestor(image.element, "noscript", 3) is not None:
            continue
        seen.add(key)
        yield ImageCandidate(
            image_url=image.address.url,
            position=image.position,
            element="og_image" if image.element is None else "img",
            caption=cut_caption(caption) or caption,
            caption_source=source,
            caption_written_chars=len(caption),
            **{name: cut_caption(text) for name, text in image.texts.items()},
            rendered_width=image.size[0],
            rendered_height=image.size[1],
            inline=image.address.inline,
            problem=image.address.problem,
        )


def _choose(texts: Mapping[str, str | None], caption_sources: Iterable[str]) -> tuple[str, str] | None:
    """Return the first source that has a text, and the text."""
    return next(((source, text) for source in caption_sources if (text := texts.get(source))), None)


def _read_size(image: Any) -> tuple[int | None, int | None]:
    """Return the pixels in which the page shows an image: its style's, or else its attributes'."""
    style = image.get("style")
    styled = {name.lower(): pixels for name, pixels in _STYLE_SIZE.findall(style[:_STYLE_CHARS])} if style else {}
    width, height = (_read_pixels(styled.get(name) or image.get(name)) for name in ("width", "height"))
    return width, height


def _read_pixels(written: str | None) -> int | None:
    match = _LEADING_NUMBER.match(written[:40]) if written else None
    return int(match.group(1)) or None if match else None


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
