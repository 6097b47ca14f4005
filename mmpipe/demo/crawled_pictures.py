"""Puts drawn pictures on pages with right, wrong, missing or noisy captions, and makes the files they point to."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmpipe.demo.picture_specs import PictureSpec, find_unlike, list_specs
from mmpipe.demo.pictures import describe_picture, draw_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from mmpipe.demo.grammar import Dice

_NOISY_CAPTIONS = ("IMG_{number}.jpg", "click here", "image", "DSC0{number}", "photo {number} of 9999", "untitled")

#: Fates of pictures, in the order in which pages take them; the first ones are the commonest.
_ROTATION = (
    "right_caption", "right_caption", "wrong_caption", "right_caption", "noisy_caption", "right_caption",
    "missing_caption", "right_caption", "near_duplicate", "wrong_caption", "right_caption", "icon", "right_caption",
    "tracking_pixel", "exact_duplicate", "right_caption", "banner", "right_caption", "small_file", "missing_image",
    "right_caption", "undecodable_image", "noisy_caption", "html_as_image", "right_caption", "rotated_by_exif",
)  # fmt: skip

#: Every fate a picture can have.
PICTURE_FATES = tuple(dict.fromkeys(_ROTATION))

#: How an <img> is written, in turn.
_MARKUPS = ("plain", "figure", "lazy", "srcset", "relative", "figure_without_alt", "plain")

_PLACEHOLDER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_PILLOW_NAMES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}


@dataclass(frozen=True, slots=True)
class CrawledPicture:
    """A picture of a page: its file (None if it is not in the dump), its caption, and the HTML that shows it."""

    url: str
    fate: str
    caption: str | None
    spec: PictureSpec | None
    content_type: str
    content: bytes | None
    html: str


class PictureBook:
    """Hands out the pictures of one dump, each fate in its turn."""

    def __init__(self, seed: int, dice: Dice) -> None:
        self._dice = dice
        self._specs = list_specs(seed, part="crawl")
        self._handed_out = 0
        self._drawn = 0
        self._last_good: CrawledPicture | None = None
        self._repeated: CrawledPicture | None = None

    def take(self, page_url: str, base_href: str | None = None) -> CrawledPicture:
        """Return the next picture, to be shown on the page of that URL.

        Where the page has a base address (the root of its host), pictures are given relative to it.
        """
        fate = _ROTATION[self._handed_out % len(_ROTATION)]
        markup = _MARKUPS[self._handed_out % len(_MARKUPS)]
        self._handed_out += 1
        if fate == "exact_duplicate" and self._last_good:
            self._repeated = self._repeated or self._last_good
            again = replace(self._repeated, fate=fate, content=None)
            return replace(again, html=_render(again, "plain", page_url, base_href))
        picture = self._make(fate, page_url)
        if fate == "right_caption":
            self._last_good = picture
        markup = "plain" if fate in ("missing_caption", "icon", "tracking_pixel") else markup
        return replace(picture, html=_render(picture, markup, page_url, base_href))

    def _make(self, fate: str, page_url: str) -> CrawledPicture:
        dice = self._dice
        if fate == "near_duplicate" and self._last_good and self._last_good.spec:
            spec = self._last_good.spec
        else:
            spec = self._specs[self._drawn % len(self._specs)]
            # A further round through the held-out specs draws each of them anew.
            spec = replace(spec, seed=spec.seed + self._drawn // len(self._specs))
            self._drawn += 1
        right = describe_picture(spec, dice.number(0, 11))
        format_name, content = self._encode(fate, spec)
        shown = None if fate in ("icon", "tracking_pixel", "undecodable_image", "html_as_image") else spec
        number = f"{dice.number(1000, 9999)}"
        caption: str | None = right
        if fate == "wrong_caption":
            other = find_unlike(spec, self._specs, dice.number(0, len(self._specs) - 1))
            caption = describe_picture(other, dice.number(0, 11))
        elif fate == "noisy_caption":
            caption = dice.pick(_NOISY_CAPTIONS).format(number=number)
        elif fate == "icon":
            caption = dice.pick(("search", "menu", "logo", "Follow us on the social networks"))
        elif fate in ("missing_caption", "tracking_pixel"):
            caption = None
        host = urlsplit(page_url).netloc
        folder = dice.pick(("media", "images/2026", "wp-content/uploads"))
        url = f"https://{host}/{folder}/{self._handed_out:04d}-{number}.{format_name}"
        return CrawledPicture(url, fate, caption, shown, _TYPES[format_name], content, "")

    def _encode(self, fate: str, spec: PictureSpec) -> tuple[str, bytes | None]:
        """Return the file name's ending and the file; no file for a picture that is only on the web."""
        if fate == "missing_image":
            return "jpg", None
        if fate == "undecodable_image":
            return "png", b"\x89PNG\r\n\x1a\n" + bytes(self._dice.number(0, 255) for _ in range(6000))
        if fate == "html_as_image":
            return "jpg", b"<!DOCTYPE html><html><body><h1>Hotlinking is not allowed</h1></body></html>" * 80
        if fate in _SPOILERS:
            return _SPOILERS[fate](spec)
        file_format = ("png", "webp", "jpg", "jpg", "jpg")[self._drawn % 5]
        settings = {"png": {}, "webp": {"quality": 95}, "jpg": {"quality": 88}}[file_format]
        return file_format, _save(draw_picture(spec), _PILLOW_NAMES[file_format], **settings)


def _save(picture: Image.Image, file_format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **settings)
    return buffer.getvalue()


def _save_tracking_pixel(spec: PictureSpec) -> tuple[str, bytes]:
    return "gif", _save(draw_picture(spec).resize((1, 1)).convert("P"), "GIF")


def _save_icon(spec: PictureSpec) -> tuple[str, bytes]:
    return "png", _save(draw_picture(spec).resize((32, 32)), "PNG")


def _save_banner(spec: PictureSpec) -> tuple[str, bytes]:
    return "jpg", _save(draw_picture(replace(spec, width=960, height=120, count=1)), "JPEG", quality=90)


def _save_small_file(spec: PictureSpec) -> tuple[str, bytes]:
    return "jpg", _save(draw_picture(replace(spec, grain=0)).resize((220, 220)), "JPEG", quality=30)


def _save_near_duplicate(spec: PictureSpec) -> tuple[str, bytes]:
    picture = draw_picture(spec)
    return "jpg", _save(picture.resize((picture.width * 9 // 10, picture.height * 9 // 10)), "JPEG", quality=60)


def _save_rotated(spec: PictureSpec) -> tuple[str, bytes]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: to be turned a quarter clockwise when shown
    return "jpg", _save(draw_picture(spec).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=88, exif=exif)


_SPOILERS: dict[str, Callable[[PictureSpec], tuple[str, bytes]]] = {
    "tracking_pixel": _save_tracking_pixel,
    "icon": _save_icon,
    "banner": _save_banner,
    "small_file": _save_small_file,
    "near_duplicate": _save_near_duplicate,
    "rotated_by_exif": _save_rotated,
}


def _render(picture: CrawledPicture, markup: str, page_url: str, base_href: str | None) -> str:
    """Return the HTML of a picture: `<img>`, alone or in a figure, with its address where sites put it."""
    parts = urlsplit(picture.url)
    same_host = parts.netloc == urlsplit(page_url).netloc
    source = parts.path if markup == "relative" and same_host else picture.url
    if base_href and same_host:
        source = parts.path.removeprefix("/")
    caption = escape(picture.caption or "")
    if markup == "figure":
        return (
            f'<figure class="photo"><img src="{source}" alt="{caption}"><figcaption>{caption}. Photo: the author'
            "</figcaption></figure>"
        )
    if markup == "figure_without_alt":
        return f'<figure><img src="{source}" loading="lazy"><figcaption>{caption}</figcaption></figure>'
    if markup == "lazy":
        return f'<img class="lazyload" src="{_PLACEHOLDER}" data-src="{source}" alt="{caption}">'
    if markup == "srcset":
        return f'<p><img srcset="{source} 640w, {source}?w=320 320w" sizes="100vw" src="{source}" alt="{caption}"></p>'
    alt = f' alt="{caption}"' if picture.caption is not None else ""
    return f'<p><img src="{source}"{alt} width="320"></p>'
