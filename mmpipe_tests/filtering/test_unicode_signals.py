"""The dialect `unicode`: words, sentences and lines of many scripts, by hand and by a plain reading of the rules."""

from __future__ import annotations

import re
import time
import unicodedata
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmpipe.filtering import unicode_classes as classes
from mmpipe.filtering.c4_signals import measure_c4
from mmpipe.filtering.characters import encode_characters
from mmpipe.filtering.fineweb_signals import measure_fineweb
from mmpipe.filtering.gopher_signals import measure_gopher
from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.text_batch import TextBatch
from mmpipe.filtering.text_signals import measure_text
from mmpipe.filtering.tokens import STOP_WORDS
from mmpipe.filtering.unicode_words import cut_words
from mmpipe.tables.text import EXTRACTED_TEXT
from mmpipe.tables.text_signals import FAMILIES

TERMINALS = classes.ENDS_SENTENCE
LETTERS = (classes.LETTER, classes.HEBREW)
ALPHANUMERIC = (*LETTERS, classes.NUMERIC)


def make_batch(texts: list[str]) -> TextBatch:
    nothing = [None] * len(texts)
    return TextBatch(texts, texts, texts, [()] * len(texts), nothing, nothing, "unicode", load_recipe("refinedweb"))


def measure(texts: list[str]) -> list[dict[str, float | None]]:
    batch = make_batch(texts)
    families = [measure_gopher(batch), measure_c4(batch), measure_fineweb(batch)]
    return pl.concat(families, how="horizontal").to_dicts()


def cut(text: str) -> list[str]:
    """Return the words as the kernel cuts them: what it tells are lengths, in order, of all but white space."""
    characters, start = encode_characters([text])
    lengths = cut_words(characters, start, STOP_WORDS).lengths.tolist()
    words, at = [], 0
    for length in lengths:
        while find_class(text[at]) == classes.SPACE:
            at += 1
        words.append(text[at : at + length])
        at += length
    assert all(find_class(character) == classes.SPACE for character in text[at:])
    return words


def find_flags(character: str) -> int:
    return int(classes.describe_characters()[ord(character)])


def find_class(character: str) -> int:
    return find_flags(character) & classes.CLASS_MASK


def cut_plainly(text: str) -> list[str]:
    """Read the rules of UAX #29 boundary by boundary, as they are written, with the tailorings of `cut_words`."""
    words: list[str] = []
    for part in "".join(" " if is_space(character) else character for character in text).split(" "):
        start = 0
        for at in range(1, len(part) + 1):
            if at == len(part) or is_boundary(part, start, at):
                words.append(part[start:at])
                start = at
    return words


def is_space(character: str) -> bool:
    return find_class(character) == classes.SPACE


def is_boundary(text: str, start: int, at: int) -> bool:
    kinds = [find_class(character) for character in text]
    ignored = (classes.EXTEND, classes.JOINER)
    if kinds[at] in ignored:  # WB4
        return False
    if kinds[at - 1] == classes.JOINER and kinds[at] == classes.PICTURE:  # WB3c
        return False
    marks = set(text[start : at + 1])
    if len(marks) == 1 and not find_flags(text[at]) & classes.IS_WORD and kinds[at] in (
        classes.OTHER, classes.PICTURE, *range(classes.MID_LETTER, classes.DOUBLE_QUOTE + 1)
    ):  # fmt: skip
        return False  # the tailoring: a run of one mark
    left = [kind for kind in kinds[:at] if kind not in ignored]
    right = [kind for kind in kinds[at:] if kind not in ignored]
    if not left or kinds[start] in ignored:  # a mark without a base is a base
        left = left if kinds[start] not in ignored else [classes.OTHER]
    before, after = left[-1], right[0]
    far_before = left[-2] if len(left) > 1 else None
    far_after = right[1] if len(right) > 1 else None
    quotes = (classes.MID_NUM_LET, classes.SINGLE_QUOTE)
    flags_before = 0
    for kind in reversed(left):
        if kind != classes.REGIONAL:
            break
        flags_before += 1
    joins = (
        (before in LETTERS and after in LETTERS)  # WB5
        or (before in LETTERS and after in (classes.MID_LETTER, *quotes) and far_after in LETTERS)  # WB6
        or (far_before in LETTERS and before in (classes.MID_LETTER, *quotes) and after in LETTERS)  # WB7
        or (before == classes.HEBREW and after == classes.SINGLE_QUOTE)  # WB7a
        or (before == far_after == classes.HEBREW and after == classes.DOUBLE_QUOTE)  # WB7b
        or (far_before == after == classes.HEBREW and before == classes.DOUBLE_QUOTE)  # WB7c
        or (before in ALPHANUMERIC and after in ALPHANUMERIC)  # WB8 to 10
        or (far_before == after == classes.NUMERIC and before in (classes.MID_NUM, *quotes))  # WB11
        or (before == far_after == classes.NUMERIC and after in (classes.MID_NUM, *quotes))  # WB12
        or (before == after == classes.KATAKANA)  # WB13
        or (before in (*ALPHANUMERIC, classes.KATAKANA, classes.EXTEND_NUM_LET) and after == classes.EXTEND_NUM_LET)
        or (before == classes.EXTEND_NUM_LET and after in (*ALPHANUMERIC, classes.KATAKANA))  # WB13a, 13b
        or (before == after == classes.REGIONAL and flags_before % 2 == 1)  # WB15, 16
    )
    return not joins


def count_sentences_plainly(text: str) -> int:
    found = 0
    for line in text.splitlines():
        sentence = ""
        for at, character in enumerate(line):
            sentence += character
            if find_flags(character) & TERMINALS and ends_sentence(line, at):
                found += any(find_flags(inner) & classes.IS_WORD for inner in sentence)
                sentence = ""
        found += any(find_flags(inner) & classes.IS_WORD for inner in sentence)
    return found


def ends_sentence(line: str, at: int) -> bool:
    if find_flags(line[at]) & classes.ENDS_WIDE_SENTENCE:
        return True
    end = at + 1
    while end < len(line) and find_flags(line[end]) & (classes.CLOSES | TERMINALS):
        end += 1
    if end == len(line):
        return True
    if not line[end].isspace():
        return False
    has_only_dots = all(mark == "." for mark in line[at:end] if find_flags(mark) & TERMINALS)
    rest = line[end:].lstrip()
    return not (has_only_dots and rest and find_flags(rest[0]) & classes.IS_LOWER)


def divide(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def measure_plainly(text: str) -> dict[str, float | None]:
    """The definitions, slowly: lists, sets and strings."""
    words = cut_plainly(text)
    real = [word for word in words if any(find_flags(character) & classes.IS_WORD for character in word)]
    lines = text.splitlines()
    is_bullet = [line.lstrip().startswith(("•", "-")) for line in lines]
    values = {
        "word_count": float(len(real)),
        "mean_word_length": divide(sum(map(len, real)), len(real)),
        "hash_to_word_ratio": divide(text.count("#"), len(words)),
        "ellipsis_to_word_ratio": divide(text.count("...") + text.count("…"), len(words)),
        "bullet_line_ratio": divide(sum(is_bullet), len(lines)),
        "ellipsis_line_ratio": divide(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alphabetic_word_ratio": divide(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_count": float(len(set(words) & set(STOP_WORDS))),
    }
    for kind, parts in (("paragraph", re.split(r"\n{2,}", text.strip())), ("line", re.split(r"\n+", text))):
        repeats = [part for index, part in enumerate(parts) if part in parts[:index]]
        values[f"duplicate_{kind}_ratio"] = len(repeats) / len(parts) if text else None
        values[f"duplicate_{kind}_char_ratio"] = divide(sum(map(len, repeats)), len(text))
    for n in (2, 3, 4):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        gram, count = grams.most_common(1)[0] if grams else ((), 0)
        values[f"top_{n}_gram_char_ratio"] = divide(len(" ".join(gram)) * count, len(text))
    for n in range(5, 11):
        met, repeated, index = set(), 0, 0
        while index + n <= len(words):
            gram = tuple(words[index : index + n])
            repeated += len("".join(gram)) if gram in met else 0
            index += n if gram in met else 1
            met.add(gram)
        values[f"duplicate_{n}_gram_char_ratio"] = divide(repeated, len(text))
    values["sentence_count"] = float(count_sentences_plainly(text))
    values["lorem_ipsum_count"] = float(sum("lorem ipsum" in line.lower() for line in lines))
    values["curly_bracket_count"] = float(sum("{" in line for line in lines))
    values["long_line_count"] = float(sum(len(line) >= 200 for line in text.split("\n")))
    values["page_char_count"] = float(len(text))
    full = [line for line in text.split("\n") if line.strip()]
    repeats = [line for index, line in enumerate(full) if line in full[:index]]
    values["nonblank_line_count"] = float(len(full))
    values["terminal_line_ratio"] = divide(
        sum(bool(find_flags(line.rstrip()[-1]) & TERMINALS) for line in full), len(full)
    )
    values["short_line_ratio"] = divide(sum(len(line) <= 30 for line in full), len(full))
    values["repeated_line_char_ratio"] = divide(sum(map(len, repeats)), len(text.replace("\n", "")))
    values["newline_to_word_ratio"] = divide(text.count("\n"), len(words))
    return values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it's 3.14 or 1,000!", "Don't|stop|,|it's|3.14|or|1,000|!"),
        ("l’homme U.S.A. e-mail snake_case a:b", "l’homme|U.S.A|.|e|-|mail|snake_case|a|:|b"),
        ("Wait... what?! ----- ====", "Wait|...|what|?|!|-----|===="),
        ("我喜欢读书。他也是！", "我|喜|欢|读|书|。|他|也|是|！"),
        ("コンピュータは便利です。", "コンピュータ|は|便|利|で|す|。"),
        ("สวัสดี ครับ", "ส|วั|ส|ดี|ค|รั|บ"),
        ("مرحبا بالعالم، كيف", "مرحبا|بالعالم|،|كيف"),
        ("צה\"ל ג'ירפה", "צה\"ל|ג'ירפה"),
        ("नमस्ते दुनिया।", "नमस्ते|दुनिया|।"),
        ("Привет, мир! Ещё раз", "Привет|,|мир|!|Ещё|раз"),
        ("안녕하세요 세계", "안녕하세요|세계"),
        ("🎉🎉 👩‍👩‍👧 🇩🇪🇫🇷 👍🏽", "🎉🎉|👩‍👩‍👧|🇩🇪|🇫🇷|👍🏽"),
        ("a\u00a0b\u2003c\u3000d\u200be\u2028f", "a|b|c|d|e|f"),
        ("12 3٫4 ٣٤ ⅷ", "12|3٫4|٣٤|ⅷ"),
        ("\x00\x00a\x00 \ud800x", "\x00\x00|a|\x00|\ud800|x"),
        ("e\u0301te\u0301 \u0301x", "e\u0301te\u0301|\u0301|x"),
        (" \t\n\x1f\x85", ""),
        ("", ""),
    ],
)
def test_words_of_many_scripts(text: str, words: str) -> None:
    assert "|".join(cut(text)) == words
    assert "|".join(cut_plainly(text)) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? “Four.” Five", 5),
        ("It costs 3.50 at example.com today.", 1),
        ("See e.g. the house. It stands.", 2),
        ("我来了。你呢？好！", 3),
        ("नमस्ते। कैसे हैं?", 2),
        ("مرحبا. كيف حالك؟ جيد", 3),
        ("no mark\nand another line", 2),
        ("🎉! ... !!!", 0),
        ("Hi", 1),
        ("", 0),
    ],
)
def test_sentences_of_many_scripts(text: str, sentences: int) -> None:
    (row,) = measure([text])
    assert row["sentence_count"] == sentences == count_sentences_plainly(text)


def test_emoji_are_no_words_and_numbers_have_no_letters() -> None:
    emoji, numbers, empty = measure(["🎉 ❤️ 👍🏽 …", "1 2 3.5 ٤", ""])
    assert (emoji["word_count"], emoji["mean_word_length"], emoji["alphabetic_word_ratio"]) == (0, None, 0)
    assert (numbers["word_count"], numbers["mean_word_length"], numbers["alphabetic_word_ratio"]) == (4, 1.5, 0)
    assert (empty["word_count"], empty["alphabetic_word_ratio"], empty["nonblank_line_count"]) == (0, None, 0)


def test_what_c4s_step_met_counts_although_its_lines_have_gone() -> None:
    recipe = load_recipe("fineweb")
    steps = [item.step for item in recipe.corrections.steps]
    tag = {"step": steps.index("c4_lines"), "correction": "c4_curly_bracket", "start": 0, "end": 9, "replacement": None}
    left = ["A line that stays. And one more."]
    batch = TextBatch(left, ["{ gone\n" + left[0]], left, [[tag]], [None], [None], "unicode", recipe)
    (row,) = measure_c4(batch).to_dicts()
    assert (row["curly_bracket_count"], row["lorem_ipsum_count"], row["sentence_count"]) == (1, 0, 2)
    assert row["page_char_count"] == len(left[0]) + 7


def test_a_recipe_of_this_dialect_measures_and_judges_pages_of_every_kind() -> None:
    recipe = load_recipe("fineweb")
    recipe = replace(recipe, text=replace(recipe.text, dialect="unicode"))
    page = {"dump": "d", "extraction_status": "ok", "language": "en", "language_score": 1.0}
    texts = ["The people of the town have come to see.\nThat was it, and they left.", "🎉", "", "\x00", "1 2 3"]
    rows = [page | {"doc_id": f"{number}", "text": text} for number, text in enumerate(texts)]
    signals = measure_text(pl.DataFrame(rows, schema=EXTRACTED_TEXT.schema), recipe)
    assert signals.get_column("word_count").to_list() == [15, 0, 0, 0, 3]
    of_texts = [name for family in ("gopher", "c4", "fineweb") for name in (column.name for column in FAMILIES[family])]
    assert signals.head(1).select(of_texts).null_count().sum_horizontal().item() == 0
    rules = [rule for rule in recipe.text.rules if rule.signal in of_texts]
    removals = judge(signals, rules, key="doc_id", status="extraction_status")
    assert set(removals.get_column("doc_id")) >= {"1", "2", "3", "4"}


def test_ten_megabytes_on_one_line_take_seconds() -> None:
    storms = ["word, " * 1_700_000, "(" * 10_000_000, "我" * 2_000_000, "\n" * 3_000_000]
    measure(["warm"])
    begin = time.process_time()
    words, brackets, ideographs, newlines = measure(storms)
    assert time.process_time() - begin < 20
    assert words["word_count"] == 1_700_000
    assert (brackets["word_count"], brackets["sentence_count"]) == (0, 0)
    assert ideographs["word_count"] == 2_000_000
    assert (newlines["nonblank_line_count"], newlines["duplicate_line_ratio"]) == (0, 0.5)


PIECES = (
    "the", "and", "to", "The", "word", "a", "b", "é", "e\u0301", "don't", "’", "'", '"', ".", "...", "…", ",", ":", ";",
    "1", "23", "٣", "_", "-", "•", "#", "{", "lorem ipsum", "Lorem Ipsum", "מ", "ש", "カ", "ー", "ひ", "我", "。", "！",
    "ก", "ั", "न", "ी", "।", "к", "🎉", "👩", "🏽", "🇩", "🇪", "\u200d", "\u200b", "\u0301", "\x00", "\ud800", "﹒",
    "?", "!",    "”", ")", "]", "x" * 31, "y" * 200,
)  # fmt: skip
SPACES = (" ", " ", " ", "\n", "\n\n", "\n\n\n", "\t", "  ", "\r\n", "\r", "\u2028", "\u00a0", "\x0b", "\x85", "\x1f")
texts = st.lists(st.sampled_from(PIECES) | st.sampled_from(SPACES) | st.text(max_size=3), max_size=60).map("".join)


@given(st.lists(texts, min_size=1, max_size=5))
@example(["a b c d e a b c d e a b c d e f g h i j k a b c d e f g h i j k", "x x x x x x x x x x x x"])
@example(["\n", " \n\n ", "a\n\na \n\n a", "א''", "\u200d🎉 \u200d\u0301🎉"])
@settings(max_examples=100, deadline=None)
def test_signals_equal_a_plain_reading_of_the_rules(batch: list[str]) -> None:
    for measured, text in zip(measure(batch), batch, strict=True):
        assert measured == {name: measure_plainly(text)[name] for name in measured}


@given(st.lists(texts, min_size=2, max_size=6), st.data())
@settings(max_examples=25, deadline=None)
def test_signals_do_not_depend_on_batches_or_order(batch: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(batch))))
    together = measure(batch)
    assert measure([batch[index] for index in order]) == [together[index] for index in order]
    assert [row for text in batch for row in measure([text])] == together


def test_batches_longer_than_a_pass_are_measured_whole() -> None:
    long = ["the first of many and to be. " * 4_000, "short", "", "again and again " * 20_000, "end"]
    assert measure(long) == [row for text in long for row in measure([text])]


def test_word_breaks_are_those_of_the_unicode_tables() -> None:
    regex = pytest.importorskip("regex", reason="the oracle of Word_Break values is the package regex")
    names = {
        "ALetter": classes.LETTER, "Hebrew_Letter": classes.HEBREW, "Numeric": classes.NUMERIC,
        "Katakana": classes.KATAKANA, "ExtendNumLet": classes.EXTEND_NUM_LET, "MidNum": classes.MID_NUM,
        "MidNumLet": classes.MID_NUM_LET, "Single_Quote": classes.SINGLE_QUOTE, "Double_Quote": classes.DOUBLE_QUOTE,
        "Regional_Indicator": classes.REGIONAL, "MidLetter": classes.MID_LETTER, "ZWJ": classes.JOINER,
    }  # fmt: skip
    codes = (chr(code) for code in (*range(0xD800), *range(0xE000, 0x33480)))
    assigned = "".join(code for code in codes if unicodedata.category(code) != "Cn")
    table = classes.describe_characters()
    for name, kind in names.items():
        of_unicode = set(regex.findall(rf"\p{{WB={name}}}", assigned))
        ours = {character for character in assigned if table[ord(character)] & classes.CLASS_MASK == kind}
        # U+202F is white space here, a colon joins nothing, and newer versions of Unicode move a few rare signs
        assert len(ours ^ of_unicode) <= max(1, len(of_unicode) // 1_000), (name, sorted(ours ^ of_unicode)[:40])
