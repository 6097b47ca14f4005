"""Which tags, class names and words the block reader knows, as tables that its compiled loops can look things up in."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Block-level tags by id; id 0 is every tag that stands in a line of text.
TAGS = (
    "", "html", "body", "div", "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table",
    "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "article", "section", "main", "header", "footer", "nav",
    "aside", "figure", "figcaption", "blockquote", "pre", "address", "form", "fieldset", "legend", "details",
    "summary", "dialog", "button", "select", "option", "optgroup", "center", "hr", "hgroup", "menu", "dir", "video",
    "audio", "canvas", "object", "br", "a", "wbr", "code",
)  # fmt: skip
#: What is never shown: skipped up to the end tag.
UNSHOWN = (
    "script", "style", "noscript", "template", "textarea", "iframe", "title", "noembed", "noframes", "svg", "math",
    "xmp",
)  # fmt: skip
TAG = {name: position for position, name in enumerate((*TAGS, *UNSHOWN))}
FIRST_UNSHOWN = len(TAGS)

#: Bits that a tag passes on to all that stands in it.
FLAGS = (
    "nav", "header", "footer", "aside", "article", "main", "section", "list", "table", "form", "figure", "figcaption",
    "blockquote", "pre", "control", "dialog", "details", "heading", "definitions", "paragraph", "hidden",
)  # fmt: skip
FLAG = {name: 1 << position for position, name in enumerate(FLAGS)}
_FLAGGED = {
    "nav": ("nav", "menu"),
    "header": ("header", "hgroup"),
    "footer": ("footer",),
    "aside": ("aside",),
    "article": ("article",),
    "main": ("main",),
    "section": ("section",),
    "list": ("ul", "ol", "li", "dir"),
    "table": ("table",),
    "form": ("form", "fieldset", "legend"),
    "figure": ("figure",),
    "figcaption": ("figcaption", "caption"),
    "blockquote": ("blockquote",),
    "pre": ("pre",),
    "control": ("button", "select", "option", "optgroup"),
    "dialog": ("dialog",),
    "details": ("details", "summary"),
    "heading": ("h1", "h2", "h3", "h4", "h5", "h6"),
    "definitions": ("dl", "dt", "dd"),
    "paragraph": ("p",),
}

#: What class, id, role, itemprop and style values say, by bit. An underscore is a boundary: anything but a letter, the
#: value's ends, and a change from lower to upper case.
CLASS_WORDS = {
    "comment": "comment disqus _reply replies respond_ discussion",
    "sidebar": "sidebar side_bar _aside_ _rail rightcol right_col leftcol left_col _secondary complementary",
    "navigation": "_nav navi menu toolbar _pager paginat _toc_ jump_ skip_",
    "breadcrumb": "breadcrumb _crumb",
    "footer": "footer _foot_ colophon copyright bottom contentinfo",
    "header": "header _head_ masthead banner _top_ topbar _hero",
    "share": "share sharing social facebook twitter addthis _follow whatsapp",
    "related": "related recommend similar _more_ _also_ outbrain taboola crosslink readmore",
    "popular": "popular trending latest recent most_ mostread _next_ _prev",
    "advertisement": "_ad_ _ads_ advert sponsor promo _dfp _adv_ _gpt_ commercial affiliate",
    "overlay": "cookie consent gdpr modal popup pop_up overlay lightbox dialog alert notice notification tooltip",
    "subscription": "newsletter subscri signup sign_up login log_in register paywall _cta donat member",
    "byline": "byline author _writer _bio_ avatar contributor",
    "time": "_date _time publish posted timestamp updated",
    "meta": "meta info_ _infos_ credit source",
    "article": "article story _post_ _posts_ entry blog news",
    "content": "content _main_ _body_ _text_ copy_ prose markdown rich_text richtext wysiwyg",
    "article_body": "articlebody article_body story_body storybody post_body postbody entry_content post_content "
    "article_content article_text body_text field_body content_body articletext article_copy page_content bodytext "
    "main_content maincontent text_content textcontent body_copy blog_content",
    "paragraph": "paragraph _para_ textblock text_block",
    "title": "title headline heading",
    "lead": "_lead intro summary teaser excerpt subtitle standfirst _dek_ abstract synopsis kicker",
    "description": "description _desc_ overview detail about",
    "caption": "caption _figure _legend",
    "picture": "image _img photo gallery carousel slider slide swiper thumb _pic",
    "video": "video player media_ audio podcast embed youtube",
    "list": "_list list_ grid _card tile result",
    "item": "item_ _item _row_ _col_ entry_",
    "tag": "_tag_ _tags_ topic categor keyword hashtag _label badge",
    "product": "product price cart_ shop_ _buy _sku store checkout wishlist",
    "review": "rating review testimonial _stars",
    "forum": "forum thread message_ answer question _quote viewtopic bbcode postcontent",
    "user": "_user profile signature _sig_ account",
    "code": "code highlight syntax example_ snippet terminal",
    "documentation": "_doc_ _docs_ document _api_ chapter reference section",
    "search": "search filter _sort facet autocomplete",
    "form": "form_ input field_ button _btn dropdown select_",
    "widget": "widget module plugin component",
    "hidden": "display_none visibility_hidden hidden _hide_ sr_only screen_reader visually invisible noprint collapsed",
    "tabs": "_tab_ _tabs_ accordion collapse_ _faq panel",
    "recipe": "recipe ingredient instruction _step nutrition",
    "event": "event location contact address_ _map_ phone _hours",
    "wiki": "_mw_ reflist references infobox navbox hatnote editsection footnote catlinks",
    "language": "_lang_ language locale country",
    "wrapper": "wrapper container layout_ _page_ _site_ outer inner",
    "service": "service feature benefit _team pricing client",
    "listing": "archive listing _feed stream loop_ collection",
    "transcript": "transcript lyrics _poem chapter_content reader",
    "bottomline": "disclaimer terms_ privacy legal correction trust",
}
CLASS_BITS = {name: 1 << position for position, name in enumerate(CLASS_WORDS)}

#: What the words of a block say; the first group are function words of the large European languages.
TEXT_WORDS = {
    "function": "the of and to in is that for it was on are as with be by this have from not or had but which you were "
    "we their they an there been has will would can if more when about its he she his her who what "
    "der die das und ist nicht ein eine zu den von mit sich auf für im dem des es auch als an wie bei oder wird "
    "sind war aus nach hat dass noch nur einer einem einen über so sie er wir "
    "le la les des et est un une dans que qui pour sur pas au avec par plus ce il sont ne se cette aux du "
    "el los las del que en y por con para una su al lo como más pero sus este ya o fue "
    "di il che è per non sono della con si dei nel alla gli delle ha "
    "het een van dat niet zijn op te voor met aan ook door maar er om bij "
    "os um uma não com mais dos das foi ao na no em "
    "i w na z się że do nie jest och att det som på är av för den med til og",
    "share": "share tweet facebook twitter whatsapp linkedin pinterest instagram email print teilen partager compartir "
    "youtube reddit telegram flipboard follow",
    "subscribe": "subscribe newsletter signup sign login register log account password username anmelden abonnieren "
    "registrieren email subscribers inscription suscríbete",
    "legal": "copyright rights reserved privacy policy terms cookies cookie datenschutz impressum agb conditions legal "
    "disclaimer consent mentions légales sitemap accessibility",
    "more": "more related recommended popular trending latest recent similar also next previous prev mehr weitere "
    "lesen read weiterlesen ähnliche older newer continue siguiente suite",
    "comment": "comment comments reply replies respond kommentar kommentare antworten commentaires comentarios likes "
    "upvote downvote vote moderator",
    "advertisement": "advertisement ad ads sponsored anzeige werbung publicité publicidad promoted affiliate",
    "byline": "by author posted published updated written editor reporter staff von par por veröffentlicht "
    "aktualisiert uhr stand redaktion ago",
    "navigation": "home menu search contact about back skip top faq help support startseite suche kontakt accueil "
    "inicio sitemap navigation login cart shop",
    "picture": "photo image photograph credit courtesy getty reuters afp ap dpa foto bild picture file caption fotos "
    "shutterstock quelle",
    "purchase": "cart price buy shipping add checkout wishlist stock order sale save off free delivery",
}
TEXT_GROUPS = tuple(TEXT_WORDS)

_BOUNDARY = 0


class Vocabulary(NamedTuple):
    """Look-up tables: keys are hashes (0: no entry) in open addressing, sizes are powers of two.

    Attributes:
        tag_keys: hash of a lower-case tag name; `tag_ids`: its id.
        tag_flags: (tags,) uint32, bits of FLAGS that a tag sets.
        class_steps: (states, 27) int16 automaton over boundary and letters; `class_bits`: bits that a state gives.
        word_keys: hash of a lower-case word; `word_groups`: group of TEXT_WORDS.
        entity_keys: hash of a named reference; `entity_bytes`: (n, 8) uint8, length and UTF-8 bytes.
    """

    tag_keys: NDArray[np.uint64]
    tag_ids: NDArray[np.int32]
    tag_flags: NDArray[np.uint32]
    class_steps: NDArray[np.int16]
    class_bits: NDArray[np.uint64]
    word_keys: NDArray[np.uint64]
    word_groups: NDArray[np.int32]
    entity_keys: NDArray[np.uint64]
    entity_bytes: NDArray[np.uint8]


_HASH_SEED = 0xCBF29CE484222325
_HASH_STEP = 0x100000001B3
_MASK = (1 << 64) - 1


def hash_bytes(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash, folded once, as the compiled loops compute it."""
    value = _HASH_SEED
    for byte in data:
        value = ((value ^ byte) * _HASH_STEP) & _MASK
    return value ^ (value >> 32)


@cache
def load_vocabulary() -> Vocabulary:
    """Return the tables, made once per process."""
    from html.entities import html5

    tag_keys, tag_ids = _make_table({name.encode(): position for name, position in TAG.items() if name})
    tag_flags = np.zeros(len(TAG), np.uint32)
    for flag, names in _FLAGGED.items():
        for name in names:
            tag_flags[TAG[name]] |= FLAG[flag]
    steps, bits = _make_automaton()
    words: dict[bytes, int] = {}
    for group, text in enumerate(TEXT_WORDS.values()):
        for word in text.split():
            words.setdefault(word.encode(), group)
    word_keys, word_groups = _make_table(words)
    references = {name.removesuffix(";").encode(): value.encode() for name, value in sorted(html5.items())}
    entity_keys, positions = _make_table({name: position for position, name in enumerate(references)})
    entity_bytes = np.zeros((len(references), 8), np.uint8)
    for row, value in zip(entity_bytes, references.values(), strict=True):
        row[0] = len(value)
        row[1 : 1 + len(value)] = np.frombuffer(value, np.uint8)
    order = np.where(positions >= 0, positions, 0)
    return Vocabulary(
        tag_keys, tag_ids, tag_flags, steps, bits, word_keys, word_groups, entity_keys, entity_bytes[order]
    )


def _make_table(entries: dict[bytes, int]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    size = 1 << (4 * len(entries)).bit_length()
    keys = np.zeros(size, np.uint64)
    values = np.full(size, -1, np.int32)
    for name, value in entries.items():
        key = hash_bytes(name)
        slot = key & (size - 1)
        while keys[slot]:
            slot = (slot + 1) & (size - 1)
        keys[slot] = key
        values[slot] = value
    return keys, values


def _make_automaton() -> tuple[NDArray[np.int16], NDArray[np.uint64]]:
    """Build the Aho-Corasick automaton of CLASS_WORDS over the boundary (0) and letters (1 to 26)."""
    children: list[dict[int, int]] = [{}]
    bits = [0]
    for name, patterns in CLASS_WORDS.items():
        for pattern in patterns.split():
            state = 0
            for letter in pattern:
                symbol = _BOUNDARY if letter == "_" else ord(letter) - 96
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    bits.append(0)
                state = children[state][symbol]
            bits[state] |= CLASS_BITS[name]
    steps = np.zeros((len(children), 27), np.int16)
    fails = [0] * len(children)
    queue = list(children[0].values())
    for symbol, child in children[0].items():
        steps[0, symbol] = child
    for state in queue:
        bits[state] |= bits[fails[state]]
        for symbol in range(27):
            if symbol in children[state]:
                child = children[state][symbol]
                fails[child] = int(steps[fails[state], symbol])
                steps[state, symbol] = child
                queue.append(child)
            else:
                steps[state, symbol] = steps[fails[state], symbol]
    return steps, np.array(bits, np.uint64)
