"""Finds facts in a rewritten text that its source has not: names, addresses, quotations. Exact, by their letters.

Numbers are found by `told_numbers.list_added_numbers`. What a text says in other words nothing here can tell; what it
names, quotes or links to stands in its source letter by letter, or nobody told it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmpipe.synthesis.grounding import list_words

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Languages whose nouns all begin with a capital, by ISO 639: a capital says nothing of a name there.
CAPITAL_NOUNS = frozenset({"de", "deu", "lb", "ltz", "nds", "als", "gsw", "bar", "pdc", "ksh", "pfl", "frr", "stq"})

_NAME = re.compile(r"[^\W\d_](?:[\w'’.&-]*\w)?")
#: What may stand between the last sentence and the first word of the next: a capital there says nothing.
_SENTENCE_END = re.compile(r"(?:[.!?:;…。！？：|•*#>–—/(\[{\"“”‘«»„\n-]|\A)[\s\"'“”‘’«»„(\[{*_#>-]*\Z")
_NEAR_CHARS = 40
#: A line that is a heading: marked as one, or ending in a colon. Headings are often written with capitals throughout.
_HEADING = re.compile(r"\s*(?:#.*|\*\*[^*\n]+\*\*:?|.*:)\s*")
#: Capitals that name nobody: what a reply labels its lines with, and forms of address.
_LABELS = frozenset(
    "question answer q a note mr mrs ms miss dr prof sir madam st ok i".split()  # noqa: SIM905
)
#: Words between the capitals of a name that its initials leave out.
_LINKING = frozenset("of the and for in on de du des la le el y und & a an to".split())  # noqa: SIM905
#: People and tongues whose names share too little with their country's.
_COUNTRIES = {
    "french": ("france",), "spanish": ("spain",), "dutch": ("netherlands", "holland"), "polish": ("poland",),
    "welsh": ("wales",), "danish": ("denmark",), "finnish": ("finland",), "norwegian": ("norway",),
    "irish": ("ireland",), "swiss": ("switzerland",), "american": ("usa", "us", "u.s"), "british": ("uk", "u.k"),
    "turkish": ("turkey",), "greek": ("greece",), "scottish": ("scotland",), "european": ("eu",),
}  # fmt: skip
#: Each of these names with the others that tell it.
_KIN = _COUNTRIES | {
    country: tuple(people for people, lands in _COUNTRIES.items() if country in lands)
    for lands in _COUNTRIES.values()
    for country in lands
}
_MONTHS = frozenset(
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
_DATE = re.compile(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b")

#: Lengths are those that addresses may have; each run is looked at from its beginning alone.
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'`)\]}|]+|(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}|"
    r"(?<![\w.-])(?:[a-z0-9-]{1,63}\.){1,8}(?:com|org|net|edu|gov|info|io|eu|uk)\b(?:/[^\s<>\"'`)\]}|]*)?",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"“([^“”]+)”|\"([^\"\n]+)\"|«([^«»]+)»|„([^„“”]+)[“”]|「([^「」]+)」|『([^『』]+)』")
#: Where a quotation leaves something out, or puts something in.
_ELLIPSIS = re.compile(r"\.\.\.|…|\[[^\]]*\]")
#: Words from which on a quotation claims that somebody said them; shorter ones mark a term.
LEAST_QUOTED_WORDS = 4
#: Letters that two forms of one name share at least at their beginning, and their share of the longer form.
_LEAST_STEM = 4
_STEM_SHARE = 0.5


def list_added_names(text: str, source: str, language: str = "") -> list[str]:
    """Return the capitalised words of `text` that `source` has not, each once, in their order.

    A word counts where its capital can only be a name's: not at the beginning of a sentence, line, quotation or item,
    not in a heading, not in a language that writes all nouns so (`CAPITAL_NOUNS`). It is told if the source has it in
    whatever case, a form of it (half of the letters, at least four, from the first on), the words that its letters are
    the initials of, or initials that the whole name spells; months are told by dates in digits.

    Args:
        text: what was written.
        source: what it was written from.
        language: ISO 639 code of both, script behind it or not; empty if not known.
    """
    if re.split(r"[-_]", language.casefold())[0] in CAPITAL_NOUNS:
        return []
    known = _Known(source)
    added: dict[str, None] = {}
    for line in text.splitlines():
        if _HEADING.fullmatch(line):
            continue
        spelled = known.list_spelled(line)
        names = (word for word in dict.fromkeys(_list_names(line)) if word not in spelled)
        added.update(dict.fromkeys(word for word in names if word in added or not known.tells(word)))
    return list(added)


def _list_names(line: str) -> list[str]:
    """Return the words of a line whose capital is a name's."""
    found = []
    for match in _NAME.finditer(line):
        word = re.sub(r"['’]\w*\Z", "", match[0])
        # what ends a sentence stands near: a long line is not read again for each of its words
        near = max(0, match.start() - _NEAR_CHARS)
        if word[:1].isupper() and len(word) > 1 and not _SENTENCE_END.search(line, near, match.start()):
            found.append(word)
    return found


class _Known:
    """What a source names."""

    def __init__(self, source: str) -> None:
        words = [re.sub(r"['’]\w*\Z", "", match[0]) for match in _NAME.finditer(source)]
        self._parts = set(list_words(source))
        self._words = {word.casefold() for word in words} | self._parts
        self._words |= {word.casefold().replace(".", "") for word in words if "." in word}
        self._stems: dict[str, list[str]] = {}
        for word in self._words:
            self._stems.setdefault(word[:_LEAST_STEM], []).append(word)
        self._initials = _spell_initials(words)
        self._acronyms = {
            form
            for word in words
            if _is_acronym(word)
            for form in (word.replace(".", "").casefold(), word.replace(".", "").removesuffix("s").casefold())
        }
        self._has_date = bool(_DATE.search(source))

    def tells(self, word: str) -> bool:
        """Return whether the source tells a name."""
        name = word.casefold()
        if name in _LABELS or (name in _MONTHS and self._has_date):
            return True
        letters = name.replace(".", "")
        # `GPS` has an s of its own, `NGOs` that of the plural
        if _is_acronym(word) and not self._initials.isdisjoint({letters, letters.removesuffix("s")}):
            return True
        if "." in name and letters in self._words:
            return True
        parts = list_words(word)
        if len(parts) > 1 and all(self._tells_form(part) for part in parts):
            return True
        return self._tells_form(name)

    def _tells_form(self, name: str) -> bool:
        if name in self._words or not self._words.isdisjoint(_KIN.get(name, ())):
            return True
        return any(_is_form(name, word) for word in self._stems.get(name[:_LEAST_STEM], ()))

    def list_spelled(self, line: str) -> set[str]:
        """Return the words of a line that stand in a name of which the source has the initials."""
        if not self._acronyms:
            return set()
        runs = (run.split() for run in _RUN.findall(line))
        return {word for run in runs if not _spell_initials(run).isdisjoint(self._acronyms) for word in run}


#: Capitalised words in a row, with small ones between them.
_RUN = re.compile(r"[^\W\d_a-z][\w'’-]*(?:\s+(?:of|the|and|for|de|du|la)\b|\s+[^\W\d_a-z][\w'’-]*)+")


def _is_acronym(word: str) -> bool:
    letters = word.replace(".", "").removesuffix("s")
    return 2 <= len(letters) <= 8 and letters.isupper()


def _spell_initials(words: Iterable[str]) -> set[str]:
    """Return what the first letters of two to eight words in a row spell, small words left out."""
    letters = [word[0].casefold() for word in words if word.casefold() not in _LINKING]
    return {"".join(letters[start : start + size]) for size in range(2, 9) for start in range(len(letters) - size + 1)}


def _is_form(name: str, word: str) -> bool:
    shared = 0
    for left, right in zip(name, word, strict=False):
        if left != right:
            break
        shared += 1
    return shared >= _LEAST_STEM and shared >= _STEM_SHARE * max(len(name), len(word))


def list_added_links(text: str, source: str) -> list[str]:
    """Return the web and mail addresses of `text` that do not stand in `source`, each once, in their order.

    Scheme, `www.` and punctuation at the end are left out of the comparison, and case counts for nothing.
    """
    known = source.casefold()
    found = (re.sub(r"[.,:;!?/]+\Z", "", link) for link in _LINK.findall(text))
    return list(dict.fromkeys(link for link in found if _strip_address(link) not in known))


def _strip_address(link: str) -> str:
    return re.sub(r"\A(?:https?://)?(?:www\.)?", "", link.casefold())


def list_added_quotes(text: str, source: str) -> list[str]:
    """Return the quotations of `text` whose words do not stand in `source` in this order, each once.

    A quotation has four words or more; marks, case and what an ellipsis or bracket leaves out do not count.
    """
    known = f" {' '.join(list_words(source))} "
    added = []
    for groups in _QUOTE.findall(text):
        said = next(filter(None, groups), "")
        if len(list_words(said)) < LEAST_QUOTED_WORDS:
            continue
        parts = [" ".join(list_words(part)) for part in _ELLIPSIS.split(said)]
        if not all(f" {part} " in known for part in parts if part):
            added.append(said.strip())
    return list(dict.fromkeys(added))
