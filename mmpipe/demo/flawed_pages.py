"""Writes the pages that a filter should remove: one function per flaw, named as the signal that shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mmpipe.demo.grammar import Dice
from mmpipe.demo.languages import write_foreign_article
from mmpipe.demo.topics import write_english_article

if TYPE_CHECKING:
    from collections.abc import Callable

_TINY_WORDS = (
    "I", "a", "to", "we", "go", "up", "in", "it", "is", "as", "at", "on", "no", "so", "he", "me", "my", "by", "do",
    "ox", "of", "be", "an", "us", "am", "if", "or",
)  # fmt: skip
_LONG_WORDS = (
    "internationalisation", "counterproductive", "interdepartmental", "responsibilities", "notwithstanding",
    "incomprehensibility", "telecommunications", "industrialisation", "characteristically", "disproportionately",
    "electromagnetically", "uncharacteristically", "professionalisation", "misrepresentations", "photosynthetically",
    "crystallographical", "institutionalisation", "environmentalists", "straightforwardness", "semiconductor-based",
    "thermodynamically", "interchangeability", "conceptualisation", "instrumentation", "conversationalists",
    "multidimensionality", "reconceptualisation", "bioaccumulation", "underrepresentation", "compartmentalisation",
)  # fmt: skip
_GOODS = (
    "replica", "watches", "discount", "handbags", "sneakers", "wholesale", "cheap", "outlet", "designer", "luxury",
    "sunglasses", "jerseys", "online", "store", "sale", "coupon", "leather", "wallets", "gold", "silver", "rings",
    "boots", "jackets", "original", "factory", "price", "best", "shipping", "worldwide", "quality", "brand", "bags",
    "belts", "scarves", "perfume", "bracelets", "earrings", "pendants", "iphone", "cases", "chargers", "headphones",
    "laptop", "batteries", "toner", "ink", "cartridges", "garden", "furniture", "mattress", "pillows", "curtains",
)  # fmt: skip
_TAGS = ("sunset", "harbour", "coffee", "morning", "travel", "bridge", "autumn", "baking", "cycling", "books", "cats",
         "garden", "music", "street", "winter", "market", "train", "lake", "knitting", "friday")  # fmt: skip
_NAVIGATION = (
    "Home", "Products", "Services", "Support", "Downloads", "Forum", "Partners", "Careers", "Press", "Sitemap", "Login",
    "Register", "Basket", "Wish list", "Delivery", "Returns", "Size guide", "Gift cards", "Stores", "Imprint",
    "Privacy", "Cookies", "Newsletter", "Feedback", "FAQ", "Manuals", "Spare parts",
)  # fmt: skip


def _paragraphs(texts: list[str]) -> str:
    return "\n".join(f"<p>{escape(text, quote=False)}</p>" for text in texts)


def _borrow_sentences(dice: Dice, count: int) -> list[str]:
    """Return sentences of articles that stand nowhere else in the crawl."""
    sentences: list[str] = []
    while len(sentences) < count:
        article = write_english_article("borrowed", dice.number(0, 10**9))
        sentences += [
            sentence.strip().rstrip(".") for paragraph in article.paragraphs for sentence in paragraph.split(". ")
        ]
    return sentences[:count]


def _short_text(dice: Dice) -> str:
    return _paragraphs([f"{_borrow_sentences(dice, 1)[0]}.", "More on this page soon."])


def _long_text(dice: Dice) -> str:
    words = " ".join(_borrow_sentences(dice, 400)).split()
    sentences = [" ".join(dice.sample(words, 20)).capitalize() + "." for _ in range(5300)]
    return _paragraphs([" ".join(sentences[start : start + 25]) for start in range(0, len(sentences), 25)])


def _short_words(dice: Dice) -> str:
    sentences = [" ".join(dice.pick(_TINY_WORDS) for _ in range(dice.number(6, 11))) for _ in range(40)]
    return _paragraphs([". ".join(sentences[start : start + 8]).capitalize() + "." for start in range(0, 40, 8)])


def _long_words(dice: Dice) -> str:
    sentences = []
    for _ in range(24):
        words = dice.sample(_LONG_WORDS, 6)
        sentences.append(f"The {words[0]} of {words[1]} and {' '.join(words[2:])}.".capitalize())
    return _paragraphs([" ".join(sentences[start : start + 6]) for start in range(0, 24, 6)])


def _hashes(dice: Dice) -> str:
    lines = []
    for sentence in _borrow_sentences(dice, 8):
        tags = " ".join(f"#{tag}{dice.number(1, 99)}" for tag in dice.sample(_TAGS, 9))
        lines.append(f"{sentence}. {tags}")
    return _paragraphs(lines)


def _ellipses(dice: Dice) -> str:
    words = " ".join(_borrow_sentences(dice, 12)).split()
    groups = [" ".join(words[start : start + 3]) for start in range(0, len(words), 3)]
    return _paragraphs(
        ["... ".join(groups[start : start + 12]) + " and so it went." for start in range(0, len(groups), 12)]
    )


def _ellipsis_lines(dice: Dice) -> str:
    return _paragraphs([f"{sentence} ..." for sentence in _borrow_sentences(dice, 14)])


def _bullets(dice: Dice) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in _borrow_sentences(dice, 24))
    return f"<ul>{items}</ul>"


def _few_letters(dice: Dice) -> str:
    rows = []
    for row in range(30):
        numbers = " ".join(f"{dice.number(10, 9999) / 10:.1f}" for _ in range(9))
        rows.append(f"Day {row + 1}: {numbers}")
    return _paragraphs(["The table of the levels, with the mean of each day and of all gauges.", *rows])


def _no_stop_words(dice: Dice) -> str:
    return _paragraphs([" ".join(dice.sample(_GOODS, 30)) for _ in range(8)])


def _duplicate_lines(dice: Dice) -> str:
    sentences = [f"{sentence}." for sentence in _borrow_sentences(dice, 9)]
    return _paragraphs(sentences + [dice.pick(sentences) for _ in range(12)])


def _top_n_gram(phrase: str, gap: int) -> Callable[[Dice], str]:
    def write(dice: Dice) -> str:
        words = " ".join(_borrow_sentences(dice, 30)).split()
        pieces = [f"{phrase} {' '.join(words[gap * place : gap * place + gap])}" for place in range(70)]
        return _paragraphs([" ".join(pieces[start : start + 7]) for start in range(0, 70, 7)])

    return write


def _repeated_n_grams(dice: Dice) -> str:
    refrain = f"{_borrow_sentences(dice, 1)[0]}, as everyone who has read this far will know by now"
    lines = [f"{sentence}. {refrain} (note {place + 1})." for place, sentence in enumerate(_borrow_sentences(dice, 12))]
    return _paragraphs(lines)


def _navigation_only(dice: Dice) -> str:
    links = "".join(f'<li><a href="/{dice.number(1, 999)}">{entry}</a></li>' for entry in dice.sample(_NAVIGATION, 14))
    return f'<ul class="sitemap">{links}</ul>'


def _mixed_languages(dice: Dice) -> str:
    texts = [
        write_foreign_article(language, "mixed", dice.number(0, 10**9)).paragraphs[0] for language in ("de", "es", "fr")
    ]
    english = _borrow_sentences(dice, 6)
    return _paragraphs([f"{english[2 * place]}. {text} {english[2 * place + 1]}." for place, text in enumerate(texts)])


def _tag_bomb(dice: Dice) -> str:
    depth = 60_000
    return "<div>" * depth + f"<p>{_borrow_sentences(dice, 1)[0]}.</p>" + "</div>" * depth


def _oversized_page(dice: Dice) -> str:
    blob = "".join(f"{dice.number(0, 2**60):015x}" for _ in range(200)) * 1000
    text = _paragraphs([". ".join(_borrow_sentences(dice, 12)) + "."])
    return f'{text}<script>var preload="data:application/octet-stream;base64,{blob}";</script>'


def write_duplicate_paragraphs(dice: Dice) -> str:
    """Return plain text of paragraphs between blank lines, half of them said twice."""
    sentences = _borrow_sentences(dice, 20)
    paragraphs = [". ".join(sentences[start : start + 4]) + "." for start in range(0, 20, 4)]
    return "\n\n".join([*paragraphs, *paragraphs[1:5]]) + "\n"


#: What each flawed page's main part is made by.
FLAWS: dict[str, Callable[[Dice], str]] = {
    "short_text": _short_text,
    "short_words": _short_words,
    "long_words": _long_words,
    "hashes": _hashes,
    "ellipses": _ellipses,
    "ellipsis_lines": _ellipsis_lines,
    "bullets": _bullets,
    "few_letters": _few_letters,
    "no_stop_words": _no_stop_words,
    "duplicate_lines": _duplicate_lines,
    "top_2_gram": _top_n_gram("click here", 1),
    "top_3_gram": _top_n_gram("order yours today", 2),
    "top_4_gram": _top_n_gram("visit our online shop", 3),
    "repeated_n_grams": _repeated_n_grams,
    "navigation_only": _navigation_only,
    "mixed_languages": _mixed_languages,
}

#: As above, but costly to read: one page of each per dump.
HEAVY_FLAWS: dict[str, Callable[[Dice], str]] = {
    "long_text": _long_text,
    "tag_bomb": _tag_bomb,
    "oversized_page": _oversized_page,
}
