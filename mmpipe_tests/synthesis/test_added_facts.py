"""Names, addresses and quotations that nobody told, one case each; what a text says of itself adds nothing to it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.added_facts import list_added_links, list_added_names, list_added_quotes
from mmpipe.synthesis.reply_guards import find_announcement, strip_preamble
from mmpipe.synthesis.wrap_guards import REASONS, Asked, read_reply
from mmpipe.synthesis.wrap_settings import WrapSettings
from mmpipe.tables.chat import ChatReply


@pytest.mark.parametrize(
    ("text", "source", "added"),
    [
        ("In 1931 the museum opened with Tom Hale.", "The museum opened in 1931.", ["Tom", "Hale"]),
        ("It was opened by Tom Hale, and Tom Hale left.", "tom hale opened it", []),
        # a capital at the beginning of a sentence, line, quotation or item says nothing
        ("However, it fell. Anna saw it.\n- Berlin saw it\n“Paris fell,” he said: Rome too.", "it fell", []),
        ("Question: Who saw it?\nAnswer: In the end Anna did.", "somebody saw it", ["Anna"]),
        ("## The Fall of Rome\n**The Fall of Rome**\nWhat We Know of Anna:\nit fell", "it fell", []),
        ("I think that I'll go, as I've said.", "we go", []),
        # forms of a name
        ("It was the Italian fleet of Tuscany's duke.", "Italy sent the Tuscan fleet", []),
        ("It was a French and Dutch affair.", "France and the Netherlands met", []),
        ("It took place in France.", "a French affair", []),
        ("It was a Portuguese affair.", "a French affair", ["Portuguese"]),
        ("So the GPS and U.S. ships", "Global Positioning System of the United States", []),
        ("So the Global Positioning System", "they had GPS", []),
        ("So it is, as a Ph.D. said", "said a PhD", []),
        ("So the World Health Office", "two WHOs", []),
        ("Many of the Anglo-Saxon kings fell.", "Saxon kings of the Anglo people", []),
        # initials, both ways
        ("Money came from the WHO and the IMF.", "the World Health Organization paid", ["IMF"]),
        ("Money came from the World Health Organization.", "the WHO paid", []),
        ("Money came from the World Trade Organization.", "the WHO paid", ["World", "Trade", "Organization"]),
        # months are told by a date in digits
        ("It was seen in May and by Anna.", "seen 2024-05-01", ["Anna"]),
        ("It was seen in October.", "seen in autumn", ["October"]),
        ("Там живёт Иван Петров из города.", "там живёт Иван", ["Петров"]),
        ("東京でNHKが言った。", "東京で言った。", []),
        ("Er traf dort Anna und den Hund.", "Er traf den Hund.", ["Anna"]),
        ("", "Anna", []),
    ],
)  # fmt: skip
def test_names_that_nobody_told_are_found(text: str, source: str, added: list[str]) -> None:
    assert list_added_names(text, source) == added


@pytest.mark.parametrize("language", ["de", "deu_Latn", "lb"])
def test_where_all_nouns_have_capitals_they_name_nobody(language: str) -> None:
    assert list_added_names("Er traf dort Anna und den Hund.", "Er ging.", language) == []
    assert list_added_names("Er traf dort Anna und den Hund.", "Er ging.", "nl") == ["Anna", "Hund"]


@pytest.mark.parametrize(
    ("text", "source", "added"),
    [
        ("See https://www.Example.com/a/.", "at example.com/a", []),
        ("See http://example.com/b, or <www.other.org>.", "example.com/a", ["http://example.com/b", "www.other.org"]),
        ("Mail a@b.org or go to foo.com", "go to foo.com", ["a@b.org"]),
        ("The end.com of it? No: www.", "end.com", []),
        ("He came.in the dark, 3.5 times, e.g. so", "", []),
    ],
)  # fmt: skip
def test_addresses_that_nobody_told_are_found(text: str, source: str, added: list[str]) -> None:
    assert list_added_links(text, source) == added


@pytest.mark.parametrize(
    ("text", "source", "added"),
    [
        ('"We will never go home," he said.', "He said that we will never go home.", []),
        ('"We will never go back," he said.', "He said: we will never go home.", ["We will never go back,"]),
        ("It is a “so-called big thing” here.", "a thing", ["so-called big thing"]),
        ("It is a “big thing” here.", "a thing", []),
        ("«Nous irons tous à Paris»", "nous irons à Paris", ["Nous irons tous à Paris"]),
        ("„Wir gehen morgen nach Hause“", "wir gehen morgen nach hause", []),
        ('"We will … go home [soon]"', "we will never go home", []),
        ("「我们明天回家」", "我们今天回家", ["我们明天回家"]),
        ('The 5" and 7" discs of that very long year', "discs", []),
    ],
)  # fmt: skip
def test_quotations_that_nobody_said_are_found(text: str, source: str, added: list[str]) -> None:
    assert list_added_quotes(text, source) == added


PARTS = st.sampled_from(
    ["The cat", "saw Anna", "Hale.", "\n", "WHO", "“to be or not to be”", "https://a.org/x", "in Paris,", "x@y.com",
     "中文", "Иван", "- Item", "**Bold**", "\"so it was said\"", "U.S.", "O'Brien's", "McCoy", "e.g. Rome"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=12), st.lists(PARTS, max_size=3))
def test_a_text_adds_nothing_to_what_holds_it(parts: list[str], around: list[str]) -> None:
    text = " ".join(parts)
    source = f"{' '.join(around)} {text} {' '.join(around)}"
    assert list_added_names(text, source) == []
    assert list_added_links(text, source) == []
    assert list_added_quotes(text, source) == []


@given(st.lists(PARTS, max_size=8))
def test_what_is_added_is_found_wherever_it_stands(parts: list[str]) -> None:
    text = " ".join(parts)
    said = f"{text}\nThere was Zyxwvut there, at https://zyx.org/w, and said “never was it so here”."
    assert list_added_names(said, text) == ["Zyxwvut"]
    assert list_added_links(said, text) == ["https://zyx.org/w"]
    assert list_added_quotes(said, text) == ["never was it so here"]


@pytest.mark.parametrize(
    ("said", "is_found"),
    [
        ("Here is a simplified version of the text. The cat sat.", True),
        ("The rewritten text is below.\nThe cat sat.", True),
        ("This is a paraphrase of it.\nThe cat sat.", True),
        ("The cat sat.\n(Note: I kept every fact of the original text.)", True),
        ("The cat sat.\nNote: the door stays closed on Mondays.", False),
        ("Here is the harbour: it has two piers.", False),
        ("This is the version of the story that sailors tell.", False),
    ],
)
def test_words_about_the_rewriting_are_found(said: str, is_found: bool) -> None:
    assert bool(find_announcement(strip_preamble(said))) is is_found


PIECE = "The old mill of Orrin burned down one night, and two years later a school was built there by the town."
GOOD = "One night fire took the old mill at Orrin; a school rose there two years after, built by the town."
SETTINGS = WrapSettings()


def list_rules(said: str, asked: Asked, settings: WrapSettings, language: tuple[str, float] | None = None) -> list[str]:
    read = read_reply(asked, ChatReply(said, "stop", 1, 1), settings, language)
    assert [fault.rule for fault in read.faults] == sorted((fault.rule for fault in read.faults), key=REASONS.index), (
        "in the order of REASONS"
    )
    return [fault.rule for fault in read.faults]


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        (GOOD, []),
        (f"{GOOD} Mayor Ronald Quill wept, see quill.org.", ["added_names", "added_links"]),
        (f"Here is a simpler version of it. {GOOD}", ["announced"]),
        ("Mill?", ["too_short"]),
        (f"{PIECE} So said Ronald in 1931: “nobody was there at all”.",
         ["copied", "added_numbers", "added_names", "added_quotes"]),
    ],
)  # fmt: skip
def test_every_guard_that_a_reply_fails_is_told(said: str, rules: list[str]) -> None:
    settings = replace(SETTINGS, copy_share=0.6)
    assert list_rules(said, Asked(PIECE, "medium", "en"), settings) == rules
    # each is switched off alone
    for rule in rules:
        if rule.startswith("added_"):
            off = replace(settings, **{rule: None})
            assert list_rules(said, Asked(PIECE, "medium", "en"), off) == [name for name in rules if name != rule]


@pytest.mark.parametrize(
    ("piece", "reply", "least", "rules"),
    [
        (("en", 0.9), ("de", 0.9), 0.65, ["other_language"]),
        (("en", 0.9), ("en", 0.9), 0.65, []),
        (("en", 0.9), ("de", 0.6), 0.65, []),
        (("en", 0.6), ("de", 0.9), 0.65, []),
        (("en", 0.9), ("de", 0.9), None, []),
        (None, ("de", 0.9), 0.65, []),
    ],
)
def test_another_language_is_refused_where_both_are_sure(
    piece: tuple[str, float] | None, reply: tuple[str, float], least: float | None, rules: list[str]
) -> None:
    settings = replace(SETTINGS, language_score=least)
    assert list_rules(GOOD, Asked(PIECE, "medium", "en", piece), settings, reply) == rules
    # too short to tell
    short = Asked("The old mill of Orrin burned down.", "medium", "en", piece)
    assert list_rules("Fire took the old Orrin mill away.", short, settings, reply) == []


@pytest.mark.parametrize(
    "said",
    [
        "a." * 40_000,
        "a-" * 40_000 + "@",
        "a+" * 40_000,
        "Anna Xyz " * 8_000,
        '"a b c d e ' * 10_000,
        "\nnote:" * 20_000,
        "note" + ":" * 40 + "rewrite " * 10_000 + "\nfoo",
        "note" + ":" * 40 + "write " * 10_000,
        "a" + "\n" * 50_000 + "b",
    ],
)
def test_no_reply_takes_long_to_read(said: str) -> None:
    started = time.process_time()
    list_added_names(said, "the WHO cat " * 500)
    list_added_links(said, "x")
    list_added_quotes(said, "x")
    read_reply(Asked("x", "question_answer"), ChatReply(said, "stop", 1, 1), SETTINGS)
    # squares of these lengths take minutes
    assert time.process_time() - started < 5
