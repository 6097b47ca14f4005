"""Recognises captions that describe nothing (file names, hashes, boilerplate), and what a picture's URL says."""

from __future__ import annotations

from functools import lru_cache

import polars as pl

from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_lists import find_list
from mmpipe.filtering.word_lists import read_words

#: Longer captions are no file name, whatever they look like: file systems end at 255 bytes, URLs in use at 2,048.
_MOST_CHARS = 2048
_IMAGE_SUFFIX = r"(?:jpe?g|jfif|png|gif|webp|bmp|tiff?|svg|heic|heif|avif|ico|psd|eps|pdf|raw|cr2|nef|dng|mp4|mov)"
#: How cameras, telephones, programs and web sites begin the names that they number.
_COUNTED = (
    r"(?:_?mg|img|imag|image|images|dsc|dscn|dscf|dsci|dscp|_dsc|pict|pic|picture|photo|foto|bild|imagen|imagem|cimg"
    r"|gopr|mvimg|pxl|pano|burst|screenshot|screen[ _-]?shot|bildschirmfoto|capture|scan|scanned|snap|snapshot|vid"
    r"|video|mov|hpim|fb_img|whatsapp[ _-]?image|signal|telegram|untitled|unbenannt|unnamed"
    r"|download|file|attachment|thumb|thumbnail|slide|banner|logo|icon|avatar|clip[ _-]?image|fullsizerender"
    r"|received|photogrid|snapseed|beautyplus|b612|adobestock|shutterstock|istock|depositphotos|gettyimages)"
)
_VARIANTS = r"(?:at|um|of|copy|kopie|wa|n|o|edit(?:ed)?|final|small|large|scaled|cropped)"
_FILE_NAMES = (
    # up to five words that end as a file of pictures does
    rf"(?:\S+ ){{0,4}}\S+\.{_IMAGE_SUFFIX}(?:[?#]\S*)?",
    # a name that is numbered, with a date, a size or a copy's number behind it: IMG_1234 (2), image001-300x200
    rf"{_COUNTED}[ _.-]*\(?#?\d[\d _.,:x()-]*(?:{_VARIANTS}[\d _.,:x()-]*)*",
    r"(?:p[abc]?|sam_?|wp_?|sdc|kif_?)\d{4,}",
    r"(?:untitled|unbenannt|unnamed|fullsizerender|dsc|dscn|img)",
    # digits alone, or a size: 20190412, 300 x 200
    r"\(?\d[\d _.,:x()-]*",
    # hexadecimal digests and UUIDs
    r"[0-9a-f]{16,}",
    r"\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?",
    # one token of words that underscores join, as 12345678_9012_n, or hyphens with a number at the end
    r"[^\s_]+(?:_[^\s_]*)+",
    r"[a-z0-9]+(?:-[a-z0-9]+){2,}-\d+(?:x\d+)?",
    r"[a-z0-9]+(?:-[a-z0-9]+){4,}",
    # bare addresses
    r"(?:https?|ftp|file|blob)://\S*",
    r"data:[a-z]+/\S*",
    r"www\.\S+",
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|net|org|info|io|edu|gov)(?:/\S*)?",
)

#: Words that MMC4 (§2.1) and OBELICS (Appendix A.1.3) look for anywhere in a picture's URL.
FURNITURE_WORDS = ("logo", "button", "icon", "plugin", "widget")
#: Words that OBELICS (Appendix A.1.3) looks for besides.
ADULT_WORDS = ("porn", "xxx", "sex")


def is_file_name(column: str = "caption") -> pl.Expr:
    """Return an expression: whether a caption is nothing but a file name, a counter, a hash or an address.

    Args:
        column: captions with white space normalised.
    """
    caption = pl.col(column)
    pattern = "^(?:" + "|".join(f"(?:{name})" for name in _FILE_NAMES) + ")$"
    return caption.str.to_lowercase().str.contains(pattern) & (caption.str.len_chars() <= _MOST_CHARS)


def is_boilerplate(column: str = "caption") -> pl.Expr:
    """Return an expression: whether a caption is boilerplate, or begins or ends with it; without regard to signs.

    The phrases are the packaged list `caption-boilerplate`. Words as "Image of" before a description are none, alone
    they are: "Image of" is boilerplate, "Image of a red kite" describes.

    Args:
        column: captions.

    Source: CC3M (Sharma et al. 2018, ACL), §3, which drops captions with boilerplate prefixes and suffixes and
    publishes four of them.
    """
    words = pl.col(column).str.to_lowercase().str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars(" ")
    return words.str.contains(_compile_boilerplate())


@lru_cache(maxsize=1)
def _compile_boilerplate() -> str:
    phrases = read_words((find_list(ListReference(list="caption-boilerplate"), None),))
    whole = sorted(phrase for phrase in phrases if "*" not in phrase)
    first = sorted(phrase.removesuffix(" *") for phrase in phrases if phrase.endswith(" *"))
    last = sorted(phrase.removeprefix("* ") for phrase in phrases if phrase.startswith("* "))
    return rf"^(?:{'|'.join(whole)})$|^(?:{'|'.join(first)}) |[^ ] (?:{'|'.join(last)})$"


def count_url_words(column: str = "image_url") -> dict[str, pl.Expr]:
    """Return expressions for the words of page furniture and of adult sites in the URLs of pictures, by signal.

    `image_url_words` counts them as tokens, what stands between characters that are no letters, also in the plural and
    where a capital begins a token (`siteLogo`). The two others count which of the words stand anywhere, as MMC4 and
    OBELICS look for them, for which Essex holds "sex" and "semicon.jpg" an icon.

    Args:
        column: URLs. Null gives null; the content of a data URL is not looked at.
    """
    url = pl.col(column).str.replace(r"(?i)^(data:[^,]{0,256}),[\s\S]*$", "$1")
    tokens = url.str.replace_all(r"(\p{Ll})(\p{Lu})", "$1 $2").str.to_lowercase()
    lower = url.str.to_lowercase()
    words = "|".join((*FURNITURE_WORDS, *ADULT_WORDS))
    # a token begins and ends where no letter stands; digits are none
    plain = tokens.str.replace_all(r"[^\p{L}]+", "  ")
    return {
        "image_url_words": pl.concat_str(pl.lit(" "), plain, pl.lit(" "))
        .str.count_matches(rf" (?:{words})s? ")
        .cast(pl.Float64),
        "image_url_furniture_substrings": _count_held(lower, FURNITURE_WORDS),
        "image_url_adult_substrings": _count_held(lower, ADULT_WORDS),
    }


def _count_held(text: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    held = [text.str.contains(word, literal=True).cast(pl.Float64) for word in words]
    return sum(held[1:], start=held[0])
