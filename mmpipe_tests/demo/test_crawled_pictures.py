from __future__ import annotations

import io

import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from mmpipe.demo.crawled_pictures import PICTURE_FATES, CrawledPicture, PictureBook
from mmpipe.demo.grammar import Dice
from mmpipe.demo.picture_specs import list_specs

_PAGE = "https://www.valley-paper.example/blog/a-page"


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[CrawledPicture]]:
    book = PictureBook(1, Dice("book"))
    by_fate: dict[str, list[CrawledPicture]] = {}
    for number in range(60):
        picture = book.take(_PAGE, "https://www.valley-paper.example/" if number % 7 == 6 else None)
        by_fate.setdefault(picture.fate, []).append(picture)
    return by_fate


def _open(picture: CrawledPicture) -> Image.Image:
    assert picture.content is not None
    return Image.open(io.BytesIO(picture.content))


def test_every_fate_has_its_turn(pictures: dict[str, list[CrawledPicture]]) -> None:
    assert set(pictures) == set(PICTURE_FATES)


def test_right_captions_are_true_and_wrong_ones_are_not(pictures: dict[str, list[CrawledPicture]]) -> None:
    for picture in pictures["right_caption"]:
        assert picture.spec.colour in picture.caption.lower()
        assert picture.spec.shape in picture.caption.lower()
        assert len(picture.content) > 5000
        assert min(_open(picture).size) >= 200
    for picture in pictures["wrong_caption"]:
        assert picture.spec.shape not in picture.caption.lower()


def test_held_out_specs_only(pictures: dict[str, list[CrawledPicture]]) -> None:
    held_out = {(spec.subject, spec.background) for spec in list_specs(9, part="crawl")}
    shown = {(p.spec.subject, p.spec.background) for group in pictures.values() for p in group if p.spec}
    assert shown <= held_out


def test_exif_picture_stands_upright_once_turned(pictures: dict[str, list[CrawledPicture]]) -> None:
    for picture in pictures["rotated_by_exif"]:
        stored = _open(picture)
        assert stored.getexif()[0x0112] == 6
        assert ImageOps.exif_transpose(stored).size == (picture.spec.width, picture.spec.height)
        assert stored.size == (picture.spec.height, picture.spec.width)


def test_bad_files_are_bad_in_their_own_way(pictures: dict[str, list[CrawledPicture]]) -> None:
    assert all(_open(picture).size == (1, 1) for picture in pictures["tracking_pixel"])
    assert all(max(_open(picture).size) <= 32 for picture in pictures["icon"])
    assert all(_open(picture).width / _open(picture).height == 8 for picture in pictures["banner"])
    assert all(min(_open(p).size) >= 200 and len(p.content) < 5000 for p in pictures["small_file"])
    assert all(picture.content is None for picture in pictures["missing_image"])
    for fate in ("undecodable_image", "html_as_image"):
        for picture in pictures[fate]:
            with pytest.raises(UnidentifiedImageError):
                _open(picture).load()
    assert all(len(picture.content) > 5000 for picture in pictures["banner"])


def test_near_duplicates_hash_alike(pictures: dict[str, list[CrawledPicture]]) -> None:
    import imagehash

    first = {p.spec: p for p in pictures["right_caption"]}
    assert len({picture.spec for picture in pictures["near_duplicate"]}) == len(pictures["near_duplicate"]) > 1
    for picture in pictures["near_duplicate"]:
        twin = first[picture.spec]
        assert imagehash.phash(_open(picture)) - imagehash.phash(_open(twin)) <= 8
        assert picture.content != twin.content


def test_exact_duplicates_point_to_the_same_file(pictures: dict[str, list[CrawledPicture]]) -> None:
    known = {(picture.url, picture.caption) for picture in pictures["right_caption"]}
    for picture in pictures["exact_duplicate"]:
        assert (picture.url, picture.caption) in known
        assert picture.content is None


def test_addresses_resolve_to_the_picture(pictures: dict[str, list[CrawledPicture]]) -> None:
    from mmpipe.extraction.images import find_image_candidates

    for group in pictures.values():
        for picture in group:
            if not picture.caption:
                continue
            is_based = f'src="{picture.url.split("/", 3)[3]}"' in picture.html
            base = '<base href="https://www.valley-paper.example/">' if is_based else ""
            html = f"<html><head>{base}</head><body>{picture.html}</body></html>"
            (found,) = find_image_candidates(html, _PAGE)
            assert (found.image_url, found.caption) == (picture.url, picture.caption)
