"""Plans the pages of one dump: which articles, copies, flaws and damages it holds, on which hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from mmpipe.demo.flawed_pages import FLAWS, HEAVY_FLAWS, write_duplicate_paragraphs
from mmpipe.demo.grammar import Article, Dice, edit_article
from mmpipe.demo.languages import LANGUAGES, write_foreign_article
from mmpipe.demo.names import WORDS_FOR_SITES, make_known_facts
from mmpipe.demo.page_templates import LAYOUTS, Page, render_article, render_page
from mmpipe.demo.topics import write_english_article
from mmpipe.demo.warc_writer import HttpReply

if TYPE_CHECKING:
    from mmpipe.demo.crawled_pictures import CrawledPicture, PictureBook

#: Shares of a dump's pages; what is left are articles in English that no other page repeats.
_FLAWED, _FOREIGN, _NEAR_COPIES, _COPIES, _EVERGREEN, _WITH_PICTURES = 0.2, 0.14, 0.08, 0.02, 0.2, 0.5

#: Shares of words that near-copies differ in. Five shingles of five words go with each word, so that the Jaccard
#: similarity to the first text is about 0.95, 0.90, 0.86, 0.82 and 0.67: the last should not count as a duplicate.
_EDITED_SHARES = (0.005, 0.01, 0.015, 0.018, 0.04)

#: URLs that a URL filter should stop, though their text is harmless.
_BAD_URLS = {
    "blocked_domain": (
        "https://www.hot-adult-videos.example/{slug}",
        "https://casino-jackpot.example/blog/{slug}",
        "https://shop.cheap-pills.example/{slug}.html",
    ),
    "blocked_host": ("https://ads.news-portal.example/{slug}",),
    "blocked_url": ("https://forum.example/spam/buy-followers", "https://blog.example/sponsored/payday-loans"),
    "url_strict_subwords": ("https://mysexvideos4you.example/{slug}", "https://media.example/live-sex-cam/{slug}"),
    "url_hard_words": ("https://news-b.example/xxx/{slug}", "https://directory.example/viagra/{slug}"),
    "url_soft_words": (
        "https://news-a.example/free-casino-bonus-poker/{slug}",
        "https://portal.example/betting/slots/{slug}",
    ),
}

#: Encodings that pages claim and have: fate, language, Content-Type, charset of the head, true encoding.
_CHARSETS = (
    ("charset_header_wrong", "fr", "text/html; charset=utf-8", None, "windows-1252"),
    ("charset_header_wrong", "ja", "text/html; charset=UTF-8", None, "shift_jis"),
    ("charset_header_wrong", "ru", "text/html; charset=utf-8", "utf-8", "koi8-r"),
    ("charset_unsaid", "es", "text/html", None, "utf-8"),
    ("charset_unsaid", "en", None, None, "utf-8"),
    ("charset_in_meta_only", "de", "text/html", "windows-1252", "windows-1252"),
    ("charset_in_meta_only", "ja", "text/html", "shift_jis", "shift_jis"),
    ("charset_in_bom", "en", "text/html; charset=iso-8859-1", None, "utf-8-sig"),
    ("charset_in_bom", "fr", "text/html", None, "utf-16"),
)

_OTHER_FILES = (
    ("pdf", "application/pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"),
    ("json", "application/json", b'{"items": [{"id": 1, "name": "lamp"}, {"id": 2, "name": "rope"}], "next": null}\n'),
    ("css", "text/css", b"body { margin: 0; font-family: serif }\n.nav li { display: inline }\n"),
    ("js", "application/javascript", b"export const answer = () => 42;\n"),
)


@dataclass(frozen=True, slots=True)
class PlannedPage:
    """A record to be written: the reply, its fate, the article on it, and the pictures it shows."""

    reply: HttpReply
    fate: str
    record_status: str = "ok"
    kind: str = "html"
    article: Article | None = None
    language: str | None = None
    repeats: str | None = None
    pictures: tuple[CrawledPicture, ...] = field(default=())


class PagePlanner:
    """Makes the pages of one dump in the order of the plan; everything follows from the seed and the dump's name."""

    def __init__(self, dump: str, seed: int, page_count: int, pictures: PictureBook) -> None:
        self._dump, self._seed, self._page_count = dump, seed, page_count
        self._dice = Dice("pages", seed, dump)
        self._pictures = pictures
        self._started_at = _find_crawl_start(dump)
        self._teasers: list[tuple[str, str]] = [("About this site", "/about"), ("All articles", "/archive")]
        self._pictures_left = 0
        self._pages_made = 0

    def plan(self, evergreens: dict[int, str]) -> list[PlannedPage]:
        """Return the pages of the dump, shuffled.

        Args:
            evergreens: URL by number of the articles that earlier dumps hold as well; those of this dump are added.
        """
        pages = self._plan_flawed() + self._plan_foreign() + self._plan_charsets() + self._plan_damaged()
        self._pictures_left = max(26, round(self._page_count * _WITH_PICTURES))
        good_count = self._count(1 - _FLAWED - _FOREIGN - _NEAR_COPIES - _COPIES - _EVERGREEN)
        good = [self._make_article_page("good", self._write_english(number)) for number in range(good_count)]
        pages += self._plan_evergreens(evergreens)
        for number in range(self._count(_NEAR_COPIES)):
            first = good[number * 3 % len(good)]
            pages.append(self._copy(first, "near_copy", number))
        for number in range(self._count(_COPIES)):
            pages.append(self._copy(good[(number * 3 + 1) % len(good)], "exact_copy", number))
        return self._dice.sample(pages + good, len(pages) + len(good))

    def make_last_page(self) -> PlannedPage:
        """Return the page at whose middle the dump's last file breaks off."""
        article = write_english_article(f"{self._seed}/{self._dump}/cut", 0)
        page = self._make_article_page("cut_record", article)
        return replace(page, record_status="truncated_record", pictures=())

    def _count(self, share: float) -> int:
        return max(1, round(self._page_count * share))

    def _write_english(self, number: int) -> Article:
        return write_english_article(f"{self._seed}/{self._dump}", number)

    def _plan_flawed(self) -> list[PlannedPage]:
        names = [*FLAWS, "duplicate_paragraphs", *_BAD_URLS]
        per_flaw = max(1, round(self._page_count * _FLAWED / len(names)))
        pages = [self._make_flawed(name, number) for name in names for number in range(per_flaw)]
        return pages + [self._make_flawed(name, 0) for name in HEAVY_FLAWS]

    def _make_flawed(self, name: str, number: int) -> PlannedPage:
        dice = Dice("flaw", self._seed, self._dump, name, number)
        if name in _BAD_URLS:
            article = write_english_article(f"{self._seed}/{self._dump}/{name}", number)
            patterns = _BAD_URLS[name]
            url = patterns[number % len(patterns)].format(slug=_make_slug(article.title))
            return self._make_article_page(name, article, url=url)
        title = f"{make_known_facts(dice)['place1']} notes, part {dice.number(2, 900)}"
        if name == "duplicate_paragraphs":
            body = write_duplicate_paragraphs(dice).encode()
            reply = self._reply(self._make_url(title, dice) + ".txt", body, content_type="text/plain; charset=utf-8")
            return PlannedPage(reply, name, kind="plain_text", language="en")
        body_html = (FLAWS | HEAVY_FLAWS)[name](dice)
        url = self._make_url(title, dice)
        html = self._render(title, "en", body_html, url, layout=dice.pick(("article", "main")), dice=dice)
        return PlannedPage(self._reply(url, html.encode()), name, language=None if name == "mixed_languages" else "en")

    def _plan_foreign(self) -> list[PlannedPage]:
        count = max(len(LANGUAGES), self._count(_FOREIGN))
        # Of each language one page; the rest go to the first three.
        languages = [*LANGUAGES, *(LANGUAGES[number % 3] for number in range(count - len(LANGUAGES)))]
        return [
            self._make_article_page(
                "other_language", write_foreign_article(language, f"{self._seed}/{self._dump}", number)
            )
            for number, language in enumerate(languages)
        ]

    def _plan_charsets(self) -> list[PlannedPage]:
        pages = []
        for number, (fate, language, content_type, meta, encoding) in enumerate(_CHARSETS):
            series = f"{self._seed}/{self._dump}/charset"
            if language == "en":
                article = write_english_article(series, number)
            else:
                article = write_foreign_article(language, series, number)
            page = self._make_article_page(fate, article, meta_charset=meta)
            html = page.reply.body.decode()
            body = html.encode(encoding, errors="xmlcharrefreplace")
            pages.append(replace(page, reply=replace(page.reply, body=body, content_type=content_type)))
        return pages

    def _plan_damaged(self) -> list[PlannedPage]:
        pages = []
        for number in range(2 if self._page_count >= 100 else 1):
            for fate in ("truncated_record", "revisit_record", "empty_record", "corrupt_record"):
                article = write_english_article(f"{self._seed}/{self._dump}/{fate}", number)
                page = self._make_article_page(fate, article)
                body = page.reply.body
                if fate == "truncated_record":
                    body = body[: len(body) * 2 // 3]
                elif fate == "empty_record":
                    body = b""
                kind = "html" if fate == "truncated_record" else "other"
                pages.append(replace(page, reply=replace(page.reply, body=body), record_status=fate, kind=kind))
            for status, reason in ((404, "Not Found"), (500, "Internal Server Error"), (301, "Moved Permanently")):
                url = self._make_url(f"gone {status} {number}", self._dice)
                html = self._render(reason, "en", f"<p>{status} {reason}</p>", url, layout="main", dice=self._dice)
                reply = replace(self._reply(url, html.encode()), status=status, reason=reason)
                pages.append(PlannedPage(reply, "http_error", record_status="http_error"))
            for ending, content_type, body in _OTHER_FILES:
                url = self._make_url(f"file {number}", self._dice) + f".{ending}"
                reply = self._reply(url, body * (number + 1), content_type=content_type)
                pages.append(PlannedPage(reply, f"{ending}_file", kind="other"))
        return pages

    def _plan_evergreens(self, evergreens: dict[int, str]) -> list[PlannedPage]:
        """Return the articles that every dump holds: word for word under the same URL, or edited under another."""
        pages = []
        for number in range(self._count(_EVERGREEN)):
            article = write_english_article(f"{self._seed}/evergreen", number)
            earlier = evergreens.get(number)
            url = earlier if number % 2 == 0 else None
            if earlier and number % 4 == 1:
                article = edit_article(article, Dice("edit", self._seed, self._dump, number), share=0.015)
            page = self._make_article_page("repeated_dump" if earlier else "evergreen", article, url=url)
            pages.append(replace(page, repeats=earlier))
            evergreens.setdefault(number, page.reply.url)
        return pages

    def _copy(self, first: PlannedPage, fate: str, number: int) -> PlannedPage:
        """Return a page of another host with the same text, or nearly; every other exact copy is a print version."""
        article = first.article
        assert article is not None
        url = None
        if fate == "near_copy":
            dice = Dice("edit", self._seed, self._dump, number)
            article = edit_article(article, dice, share=_EDITED_SHARES[number % len(_EDITED_SHARES)])
        elif number % 2:
            url = f"{first.reply.url}?print=1"
        return replace(self._make_article_page(fate, article, url=url), repeats=first.reply.url)

    def _make_article_page(
        self, fate: str, article: Article, *, url: str | None = None, meta_charset: str | None = "utf-8"
    ) -> PlannedPage:
        dice = Dice("page", self._seed, self._dump, fate, article.topic)
        url = url or self._make_url(article.title, dice)
        pictures, base = [], None
        if self._pictures_left > 0:
            self._pictures_left -= 1
            base = f"https://{url.split('/')[2]}/" if dice.chance(0.15) else None
            pictures = [self._pictures.take(url, base) for _ in range(1 + dice.chance(0.3))]
        body_html = render_article(article, [picture.html for picture in pictures])
        # An article keeps its author, date and layout wherever it is copied to, so that copies give the same text.
        dice = Dice("look", self._seed, article.topic)
        layout = dice.pick(LAYOUTS)
        html = self._render(
            article.title, article.language, body_html, url, layout=layout, dice=dice, charset=meta_charset, base=base
        )
        return PlannedPage(
            self._reply(url, html.encode()), fate, article=article, language=article.language, pictures=tuple(pictures)
        )

    def _render(
        self,
        title: str,
        language: str,
        body_html: str,
        url: str,
        *,
        layout: str,
        dice: Dice,
        charset: str | None = "utf-8",
        base: str | None = None,
    ) -> str:
        published = date(2015, 1, 1) + timedelta(days=dice.number(0, 4200))
        page = Page(
            title=title,
            language=language,
            published_on=published.isoformat(),
            author=make_known_facts(dice)["person4"],
            body_html=body_html,
            site=url.split("/")[2],
            teasers=dice.sample(self._teasers, 5),
            meta_charset=charset,
            base_href=base,
        )
        # Teasers of pages in a legacy encoding have to be writable in it, so only plain titles are offered.
        if title.isascii():
            self._teasers = [*self._teasers[-40:], (title, url)]
        return render_page(page, layout, dice)

    def _reply(self, url: str, body: bytes, *, content_type: str = "text/html; charset=utf-8") -> HttpReply:
        self._pages_made += 1
        return HttpReply(url, self._started_at + timedelta(seconds=37 * self._pages_made), body, content_type)

    def _make_url(self, title: str, dice: Dice) -> str:
        host = f"{dice.pick(WORDS_FOR_SITES)}-{dice.pick(WORDS_FOR_SITES)}.example"
        folder = dice.pick(("", "articles/", "2026/10/", "blog/", "en/stories/"))
        return f"https://{dice.pick(('www.', ''))}{host}/{folder}{_make_slug(title)}-{dice.number(100, 99999)}"


def _make_slug(title: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return slug or "page"


def _find_crawl_start(dump: str) -> datetime:
    """Return when a dump named `…-YEAR-WEEK` was crawled; dumps named otherwise all in the same week."""
    match = re.search(r"(\d{4})-(\d{2})$", dump)
    year, week = (int(match.group(1)), int(match.group(2))) if match else (2026, 40)
    return datetime.combine(date.fromisocalendar(year, min(max(week, 1), 52), 1), datetime.min.time(), UTC)
