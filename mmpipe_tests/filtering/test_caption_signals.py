"""Captions of any script, length and kind are measured; hostile ones too, and none twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmpipe.filtering import caption_signals
from mmpipe.filtering.caption_signals import measure_captions
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_lists import find_list
from mmpipe.models.language import LanguageModel, find_language_weights
from mmpipe.tables.images import CAPTION_SIGNALS, IMAGE_SIGNALS
from mmpipe.tables.special_characters import collect_special_characters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

POLITICAL = (find_list(ListReference(list="political-words"), None),)


class Telling:
    """Says a language for each caption and keeps what it was asked."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.asked: list[str] = []

    def identify(self, texts: list[str]) -> list[tuple[str, float]]:
        self.asked += texts
        return [(self.language, 0.75)] * len(texts)


def measure(
    captions: Sequence[str | None], urls: Sequence[str] | None = None, language: str | None = "en", **lists: Any
) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "pair_id": [f"{number:04d}" for number in range(len(captions))],
            "caption": captions,
            "image_url": urls or ["https://host.example/a.jpg"] * len(captions),
        },
        schema={"pair_id": pl.String, "caption": pl.String, "image_url": pl.String},
    )
    arguments: dict[str, Any] = {"flagged_words": {}, "political_words": POLITICAL} | lists
    return measure_captions(frame, language_identifier=Telling(language) if language else None, **arguments)


def ask(signal: str, *captions: str, language: str | None = "en", **lists: Any) -> list[Any]:
    return measure(captions, language=language, **lists).get_column(signal).to_list()


def test_signals_are_those_of_the_table_row_by_row() -> None:
    found = measure(["A kite", None, "A kite", "猫"])
    assert found.columns == ["pair_id", *CAPTION_SIGNALS]
    assert dict(found.schema) == {"pair_id": pl.String} | {name: IMAGE_SIGNALS.schema[name] for name in CAPTION_SIGNALS}
    assert found.get_column("pair_id").to_list() == ["0000", "0001", "0002", "0003"]
    assert found.row(0)[1:] == found.row(2)[1:]
    of_caption = [name for name in CAPTION_SIGNALS if name.startswith("caption_")]
    assert found.select(of_caption).row(1) == (None,) * len(of_caption)
    assert found.get_column("image_url_words").to_list() == [0.0] * 4
    assert measure([]).columns == found.columns


def test_a_caption_that_many_pairs_share_is_looked_at_once() -> None:
    telling = Telling("en")
    frame = pl.DataFrame({"pair_id": ["a", "b", "c"], "caption": ["A kite", " A \n kite", "Two"], "image_url": "u"})
    found = measure_captions(frame, flagged_words={}, political_words=(), language_identifier=telling)
    assert telling.asked == ["A kite", "Two"]
    assert found.get_column("caption_chars").to_list() == [6, 6, 3]
    assert found.get_column("caption_political_words").null_count() == 3


# The two ratios as ROOTS writes them: counts of n-grams in a plain dictionary.
def repeat_characters(text: str) -> float:
    grams = Counter(text[at : at + 10] for at in range(len(text) - 9))
    if not grams:
        return 0.0
    frequent = sorted(grams.values(), reverse=True)
    repeated = sum(count > 1 for count in frequent)
    return sum(frequent[: min(int(len(frequent) ** 0.5), repeated)]) / sum(frequent)


def repeat_words(text: str) -> float:
    stripped = [word.lower().strip("".join(collect_special_characters())) for word in text.split()]
    words = [word for word in stripped if word]
    grams = Counter(tuple(words[at : at + 5]) for at in range(len(words) - 4))
    return sum(count for count in grams.values() if count > 1) / sum(grams.values()) if grams else 0.0


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@example(["ab" * 30, "a b c d e " * 4, "a b c d x a b c d y"])
@given(
    st.lists(
        st.text(alphabet="abé. !-A1", max_size=60)
        | st.lists(st.sampled_from(["a", "b", "Ab", "(b)", "!", "é1"]), max_size=30).map(" ".join),
        max_size=5,
    )
)
def test_repetition_is_what_roots_counts(captions: list[str]) -> None:
    found = measure(captions)
    texts = [" ".join(caption.split()) for caption in captions]
    assert found.get_column("caption_repeated_char_ratio").to_list() == pytest.approx(
        [repeat_characters(text) for text in texts]
    )
    assert found.get_column("caption_repeated_word_ratio").to_list() == pytest.approx(
        [repeat_words(text) for text in texts]
    )


@pytest.mark.parametrize(
    ("caption", "capital", "alphanumeric", "special"),
    [
        ("ABC def 12", 0.5, 0.8, 0.4),  # 6 letters; 8 of 10 letters or digits; two digits and two spaces
        ("猫が好き!", 0.0, 0.8, 0.2),
        ("😀😀", 0.0, 0.0, 1.0),
        ("", 0.0, 0.0, 0.0),
        ("ÀÉ", 1.0, 1.0, 0.0),
        ("ǅ", 0.0, 1.0, 0.0),  # a titlecase letter is no capital of its own
    ],
)
def test_characters_are_shared_out(caption: str, capital: float, alphanumeric: float, special: float) -> None:
    row = measure([caption]).row(0, named=True)
    assert row["caption_capital_ratio"] == pytest.approx(capital)
    assert row["caption_alphanumeric_ratio"] == pytest.approx(alphanumeric)
    assert row["caption_special_char_ratio"] == pytest.approx(special)


def test_stop_words_are_those_of_the_captions_language() -> None:
    assert ask("caption_stop_word_ratio", "A kite in the sky", "Red kite") == [0.6, 0.0]
    assert ask("caption_stop_word_ratio", "Der Hund und das Haus", language="de") == [0.6]
    assert ask("caption_stop_word_ratio", "A kite in the sky", language=None) == [0.6]
    assert ask("caption_stop_word_ratio", "A kite", language="tlh") == [None]
    assert ask("caption_stop_word_ratio", "!!!", "") == [None, None]


def test_flagged_words_stand_alone_and_cannot_hide() -> None:
    captions = ("porn", "PORN porn.", "pornographer", "hardcore porn", "ｐｏｒｎ", "po\u00adrn", "p\u202eorn", "a kite")
    assert ask("caption_flagged_words", *captions) == [1, 2, 0, 1, 1, 1, 1, 0]


def test_flagged_words_of_the_own_language_and_of_english_count(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("schlimm\n", encoding="utf-8")
    (tmp_path / "en.txt").write_text("bad\n", encoding="utf-8")
    (tmp_path / "ja.txt").write_text("悪い\n", encoding="utf-8")
    (tmp_path / "ko.txt").write_text("나쁜\n", encoding="utf-8")
    lists = {name: (find_list(ListReference(list=f"{name}.txt"), tmp_path),) for name in ("de", "en", "ja", "ko")}
    captions = ("bad schlimm", "とても悪い犬", "나쁜것 안나쁜")
    assert ask("caption_flagged_words", *captions, language="de", flagged_words=lists) == [2, 0, 0]
    assert ask("caption_flagged_words", *captions, language="fr", flagged_words=lists) == [1, 0, 0]
    assert ask("caption_flagged_words", *captions, language="ja", flagged_words=lists) == [1, 1, 0]
    assert ask("caption_flagged_words", *captions, language="ko", flagged_words=lists) == [1, 0, 1]
    assert ask("caption_flagged_words", *captions, language=None, flagged_words=lists) == [1, 1, 1]


def test_political_words_of_any_script_count_and_topics_do_not(tmp_path: Path) -> None:
    captions = ("Stop the Steal, MAGA rally", "Voters queue at the election", "A blue wave", "Let’s go Brandon")
    assert ask("caption_political_words", *captions) == [2, 0, 0, 1]
    (tmp_path / "own.txt").write_text("反动派\nпредатели\n반역\nwoke mob\n", encoding="utf-8")
    own = (find_list(ListReference(list="own.txt"), tmp_path),)
    captions = ("打倒反动派!", "Предатели народа", "반역자 대반역", "woke mobs, woke mob")
    assert ask("caption_political_words", *captions, political_words=own) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("caption", "is_file_name"),
    [
        ("IMG_1234.jpg", 1), ("IMG_1234", 1), ("img-20190412-wa0003", 1), ("DSC00012", 1), ("DSC_0012 copy", 1),
        ("image001", 1), ("Image 7 of 12", 1), ("P1010234", 1), ("_MG_4711", 1), ("photo (3)", 1),
        ("Screenshot 2019-04-12 at 12.34.56", 1), ("WhatsApp Image 2019-04-12 at 12.34.56", 1), ("untitled", 1),
        ("red-kite-in-flight-300x200", 1), ("red_kite", 1), ("12345678_90123_n", 1), ("20190412 1234", 1),
        ("d41d8cd98f00b204e9800998ecf8427e", 1), ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", 1),
        ("https://host.example/a?b=c", 1), ("www.host.example", 1), ("host.com/red-kite", 1), ("my red kite.JPG", 1),
        ("data:image/png;base64,AAAA", 1),
        ("A red kite", 0), ("P-51", 0), ("state-of-the-art", 0), ("Image of a red kite", 0), ("3 dogs", 0),
        ("Sam 3 years old", 0), ("Photo: Jane Doe", 0), ("Logo", 0), ("猫", 0), ("U.S. Navy", 0), ("", 0),
        ("deadbeef", 0), ("Kites vs. buzzards", 0), ("The contents of the file named logo.svg", 0),
        ("We open our shop at www.host.example", 0),
    ],
)  # fmt: skip
def test_file_names_counters_hashes_and_addresses_are_told(caption: str, is_file_name: float) -> None:
    assert ask("caption_is_file_name", caption) == [is_file_name]


@pytest.mark.parametrize(
    ("caption", "is_boilerplate"),
    [
        ("Click to enlarge!", 1), ("click to enlarge picture", 1), ("A red kite - Click to Enlarge", 1),
        ("Stock Photo", 1), ("Red kite in flight, stock photo", 1), ("Profile photo for Jane Doe", 1), ("LOGO", 1),
        ("Image of", 1), ("photo by Jane Doe", 1), ("Thumbnail for version as of 12:00", 1), ("[image]", 1),
        ("Embedded image permalink", 1), ("No image available", 1),
        ("Image of a red kite", 0), ("A stock photo studio", 0), ("Clicking to enlarge", 0), ("A thumbnail sketch", 0),
        ("Red Cross logo", 0), ("A red kite", 0), ("", 0), ("!!!", 0),
    ],
)  # fmt: skip
def test_boilerplate_is_told_by_the_whole_its_beginning_or_its_end(caption: str, is_boilerplate: float) -> None:
    assert ask("caption_is_boilerplate", caption) == [is_boilerplate]


@pytest.mark.parametrize(
    ("caption", "has_noun"),
    [
        ("A red kite", 1), ("dogs", 1), ("Paris", 1), ("The painting", 1), ("a beautiful setting", 1), ("my dog's", 1),
        ("the view", 1), ("Blue t-shirt", 1), ("woman running fast", 1), ("don’t panic, doctor", 1), ("wedding", 1),
        ("very nice", 0), ("running fast", 0), ("read more", 0), ("beautiful and useful", 0), ("really quickly", 0),
        ("who is this", 0), ("12 34", 0), ("B-25", 0), ("the best", 0), ("she said so", 0), ("!", 0), ("", 0),
        ("don’t", 0),
    ],
)  # fmt: skip
def test_english_nouns_are_told_by_rules(caption: str, has_noun: float) -> None:
    assert ask("caption_has_noun", caption) == [has_noun]


def test_a_determiner_leads_no_word_of_the_next_caption() -> None:
    assert ask("caption_has_noun", "what is the", "running", "") == [0, 0, 0]


def test_nouns_of_other_languages_are_not_told() -> None:
    assert ask("caption_has_noun", "Der Hund", language="de") == [None]
    assert ask("caption_has_noun", "The dog", language=None) == [None]


@pytest.mark.parametrize(
    ("url", "words", "furniture", "adult"),
    [
        ("https://host.example/kite.jpg", 0, 0, 0),
        ("https://host.example/img/site-logo.png", 1, 1, 0),
        ("https://host.example/siteLogo.png", 1, 1, 0),
        ("https://host.example/icons/button2.png", 2, 2, 0),
        ("https://essex.example/semicon/catalogo.jpg", 0, 2, 1),
        ("https://xxx.example/sex/porn1.jpg", 3, 0, 3),
        ("https://host.example/LOGO_logo.svg", 2, 1, 0),
        ("https://host.example/logotype-icons.png", 1, 2, 0),
        ("https://host.example/loGo.png", 0, 1, 0),
        ("https://host.example/plugins/widget/icon-button.gif", 4, 4, 0),
        ("data:image/png;base64,logo/sex/icon", 0, 0, 0),
        ("data:image/png;sha256=abc", 0, 0, 0),
    ],
)
def test_words_of_the_url_are_counted_as_tokens_and_as_the_papers_do(
    url: str, words: float, furniture: float, adult: float
) -> None:
    names = ("image_url_words", "image_url_furniture_substrings", "image_url_adult_substrings")
    assert measure(["A kite"], [url]).select(names).row(0) == (words, furniture, adult)


HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from("\u202e\u2066\u2069\u200d\u0301\u0489😀👩ﷺ\u00ad\ufeff\x00\u0085א猫ก한"),
    ),
    max_size=40,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(HOSTILE, max_size=8), st.sampled_from(["en", "zh", "ar", None]))
def test_any_caption_has_finite_signals_that_depend_on_no_other(captions: list[str], language: str | None) -> None:
    together = measure(captions, language=language)
    for number, caption in enumerate(captions):
        assert measure([caption], language=language).row(0)[1:] == together.row(number)[1:]
    for name in CAPTION_SIGNALS:
        if name.endswith("_ratio"):
            assert together.get_column(name).drop_nulls().is_between(0, 1).all()


def test_a_caption_of_a_megabyte_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = ["kite " * 200_000, "x" * 1_000_000, "\u0301" * 100_000, "\u202e\u2067" * 50_000, "IMG_1.jpg"]
    found = measure(captions)
    assert found.get_column("caption_space_words").to_list() == [200_000, 1, 1, 1, 1]
    assert found.get_column("caption_is_file_name").to_list() == [0, 0, 0, 0, 1]
    assert found.get_column("caption_repeated_char_ratio")[1] == 1.0
    monkeypatch.setattr(caption_signals, "_PASS_CHARACTERS", 1000)
    assert measure(captions).equals(found)


def test_real_english_captions_are_english_and_none_is_a_file_name(shared_data: Path) -> None:
    lines = (shared_data / "images" / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    captions = [json.loads(line)["caption"] for line in lines]
    model = LanguageModel(find_language_weights())
    frame = pl.DataFrame({"pair_id": [str(n) for n in range(len(captions))], "caption": captions})
    frame = frame.with_columns(image_url=pl.lit("u"))
    found = measure_captions(frame, flagged_words={}, political_words=POLITICAL, language_identifier=model)
    assert (found.get_column("caption_language") == "en").mean() >= 0.95
    english = found.filter(pl.col("caption_language") == "en")
    assert english.get_column("caption_has_noun").mean() >= 0.98  # type: ignore[operator]
    assert (
        found.select("caption_is_file_name", "caption_flagged_words", "caption_political_words").sum().row(0)
        == (0,) * 3
    )
