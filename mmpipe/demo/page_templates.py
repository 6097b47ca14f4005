"""Puts articles on pages as sites do: head, navigation, cookie banner, sidebar, comments, scripts, in five layouts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.demo.grammar import Article, Dice

#: How a page may be laid out; see `render_page`.
LAYOUTS = ("article", "main", "div_soup", "table", "blog")

_MENU = ("Home", "News", "Guides", "Places", "People", "Archive", "Shop", "Contact", "About us", "Help", "Weather")
_COMMENTS = (
    "Lovely piece, thank you! My grandmother used to tell me about this.",
    "I think the second date is wrong, but otherwise very helpful.",
    "Does anyone know whether dogs are allowed?",
    "First!!!",
    "We were there last spring and it rained the whole time. Still worth it.",
    "Could you write more about the early years, please?",
    "Shared this with my class today.",
    "Great photos. Which camera did you use?",
)
_STYLE = "body{font:16px/1.5 serif;margin:0}.wrap{max-width:72em}nav li{display:inline}.ad{border:1px solid #ccc}"
_SCRIPT = (
    "window.dataLayer=window.dataLayer||[];function track(e){dataLayer.push({event:e,time:Date.now()});}track('view');"
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made of, before it has a layout.

    `body_html` is its main part, `meta_charset` the encoding named in the head (none if None), `base_href` the
    address that relative ones are resolved against, and `teasers` are titles and addresses of other pages.
    """

    title: str
    language: str
    published_on: str
    author: str
    body_html: str
    site: str
    teasers: Sequence[tuple[str, str]] = ()
    meta_charset: str | None = "utf-8"
    base_href: str | None = None


def render_article(article: Article, figures: Sequence[str] = ()) -> str:
    """Return the article as HTML: headings, paragraphs, and each figure's HTML after a paragraph of its own."""
    waiting = list(figures)
    parts = []
    for heading, paragraphs in article.sections:
        if heading:
            parts.append(f"<h2>{escape(heading, quote=False)}</h2>")
        for paragraph in paragraphs:
            parts.append(f"<p>{escape(paragraph, quote=False)}</p>")
            if waiting:
                parts.append(waiting.pop(0))
    return "\n".join(parts + waiting)


def render_page(page: Page, layout: str, dice: Dice) -> str:
    """Return the whole HTML page.

    Layouts: `article` and `main` use HTML5 elements, `blog` adds comments, `div_soup` has nothing but divs with class
    names, `table` is laid out as around the year 2000.
    """
    heading = f"<h1>{escape(page.title)}</h1>"
    day = f'<time datetime="{page.published_on}">{page.published_on}</time>'
    byline = f'<p class="byline">By {escape(page.author)}, {day}</p>'
    render_body = {"div_soup": _render_div_soup, "table": _render_table, "blog": _render_blog}.get(layout)
    if render_body:
        body = render_body(page, heading, byline, dice)
    else:
        inner = f"{heading}\n{byline}\n{page.body_html}"
        main = (
            f"<main><article>{inner}</article></main>" if layout == "article" else f'<main id="content">{inner}</main>'
        )
        body = "\n".join(
            (_render_header(page, dice), _render_cookie_banner(dice), main, _render_sidebar(page), _render_footer(page))
        )
    return f"<!DOCTYPE html>\n{_render_head(page)}\n<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"


def _render_head(page: Page) -> str:
    charset = f'<meta charset="{page.meta_charset}">\n' if page.meta_charset else ""
    base = f'<base href="{page.base_href}">\n' if page.base_href else ""
    title, site = escape(page.title), escape(page.site)
    about = {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": page.title,
        "datePublished": page.published_on,
        "author": {"@type": "Person", "name": page.author},
    }
    return (
        f'<html lang="{page.language}">\n<head>\n{charset}{base}<title>{title} | {site}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="description" content="{title} on {site}">\n<meta property="og:title" content="{title}">\n'
        f'<meta property="og:type" content="article">\n<meta property="og:site_name" content="{site}">\n'
        f'<meta property="article:published_time" content="{page.published_on}">\n<style>{_STYLE}</style>\n'
        f'<script type="application/ld+json">{json.dumps(about)}</script>\n</head>'
    )


def _render_menu(dice: Dice) -> str:
    entries = dice.sample(_MENU, dice.number(5, 9))
    return "".join(f'<li><a href="/{entry.lower().replace(" ", "-")}">{entry}</a></li>' for entry in entries)


def _render_header(page: Page, dice: Dice) -> str:
    return f'<header><a class="logo" href="/">{escape(page.site)}</a><nav><ul>{_render_menu(dice)}</ul></nav></header>'


def _render_cookie_banner(dice: Dice) -> str:
    wording = dice.pick(
        ("We use cookies to improve your visit.", "This site uses cookies. You can change your settings.")
    )
    return f'<div id="cookie-banner" class="cookie-consent"><p>{wording}</p><button>Accept all</button></div>'


def _render_teasers(page: Page) -> str:
    return "".join(f'<li><a href="{escape(url)}">{escape(title)}</a></li>' for title, url in page.teasers)


def _render_sidebar(page: Page) -> str:
    return (
        f'<aside class="sidebar"><h3>Most read</h3><ul class="related">{_render_teasers(page)}</ul>'
        '<form action="/newsletter"><label>Newsletter <input name="mail"></label>'
        "<button>Subscribe</button></form></aside>"
    )


def _render_footer(page: Page) -> str:
    return (
        f"<footer><p>&copy; 2026 {escape(page.site)}. All rights reserved.</p>"
        '<ul><li><a href="/imprint">Imprint</a></li>'
        '<li><a href="/terms">Terms of use</a></li><li><a href="/privacy">Privacy policy</a></li></ul></footer>'
    )


def _render_blog(page: Page, heading: str, byline: str, dice: Dice) -> str:
    comments = "".join(
        f'<li class="comment"><cite>reader{dice.number(10, 99)}</cite><p>{escape(comment)}</p></li>'
        for comment in dice.sample(_COMMENTS, dice.number(1, 4))
    )
    return (
        f"{_render_header(page, dice)}\n"
        f'<div class="post hentry"><div class="entry-header">{heading}{byline}</div>\n'
        f'<div class="entry-content">{page.body_html}</div>\n'
        '<div class="share"><a href="#">Share</a> <a href="#">Tweet</a> <a href="#">Pin it</a></div></div>\n'
        f'<div id="comments" class="comments-area"><h3>Comments</h3><ol class="comment-list">{comments}</ol></div>\n'
        f"{_render_sidebar(page)}\n{_render_footer(page)}"
    )


def _render_div_soup(page: Page, heading: str, byline: str, dice: Dice) -> str:
    return (
        f'<div class="wrap"><div class="top-bar"><div class="menu"><ul>{_render_menu(dice)}</ul></div></div>\n'
        f'<div class="ad">Advertisement</div>\n<div class="row"><div class="col-8"><div class="inner">\n'
        f'{heading}\n{byline}\n<div class="article-body">{page.body_html}</div></div></div>\n'
        f'<div class="col-4 related-links"><div class="box"><ul>{_render_teasers(page)}</ul></div></div></div>\n'
        f'<div class="footer">&copy; 2026 {escape(page.site)} <a href="/terms">Terms</a></div></div>'
    )


def _render_table(page: Page, heading: str, byline: str, dice: Dice) -> str:
    menu = _render_menu(dice).replace("<li>", "").replace("</li>", "<br>")
    return (
        '<table width="100%" border="0"><tr><td colspan="2" bgcolor="#ddeeff">'
        f'<font size="5">{escape(page.site)}</font></td></tr>\n'
        f'<tr><td width="150" valign="top" class="nav">{menu}</td>\n'
        f'<td valign="top"><div id="main">{heading}\n{byline}\n{page.body_html}</div></td></tr>\n'
        f'<tr><td colspan="2" class="footer"><small>Last changed {page.published_on}. '
        "Best viewed at 800 x 600.</small></td></tr></table>"
    )
