"""The quick look drops what is surely of another language, never for want of text; hostile pages are read once."""

from __future__ import annotations

import pickle
import time
from functools import partial
from pathlib import Path

import pytest

from mmpipe.extraction.first_pass import LEAST_SAMPLE_CHARS, FirstPass
from mmpipe.extraction.strip import LEAST_RUN_CHARS, SAMPLE_CHARS, sample_text

SENTENCE = "The otters of the lower valley were counted again this spring, and there are more of them."


def name_by_first_word(text: str, score: float = 0.9) -> tuple[str, float]:
    return ("en" if text.startswith("The") else "de"), score


def look(html: str, **settings: object) -> tuple[str, str] | None:
    first_pass = FirstPass(name_by_first_word, **{"languages": ("en",), **settings})  # type: ignore[arg-type]
    return first_pass.look(html)


def test_running_text_is_sampled_without_menus_scripts_and_comments() -> None:
    hidden = f"<script>var x = '>{SENTENCE}';</script><STYLE>a>{SENTENCE}</style ><!-- <p>{SENTENCE} -->"
    menu = "<ul>" + "<li><a>Contact us</a></li>" * 50 + "</ul>"
    page = f"<html><body>{hidden}{menu}<p>  One &amp; two:\n {SENTENCE}</p><select><option>{SENTENCE}</select>"
    assert sample_text(page) == f"One & two: {SENTENCE}"
    assert sample_text(page + f"<!-- open <p>{SENTENCE}</p>") == f"One & two: {SENTENCE}"
    # text stands directly behind what is hidden
    for element in ("<!-- x -->", "<script>x</script>"):
        assert sample_text(f"<p>short {element}{SENTENCE}</p>") == SENTENCE
    assert sample_text(f"{SENTENCE}<p>short</p>") == ""
    assert sample_text("") == ""


def test_sampling_ends_when_there_is_enough() -> None:
    page = f"<p>{SENTENCE}</p>" * 10_000
    sample = sample_text(page)
    assert SAMPLE_CHARS <= len(sample) <= SAMPLE_CHARS + 2 * len(SENTENCE)
    assert len(sample_text("<p>" + "a" * 10_000_000)) == 2 * SAMPLE_CHARS


def test_only_surely_foreign_pages_are_dropped() -> None:
    english, foreign = f"<p>{SENTENCE}</p>" * 5, f"<p>Wir zählen. {SENTENCE}</p>" * 5
    assert look(english) is None
    status, detail = look(foreign) or ("", "")
    assert status == "other_language"
    assert detail.startswith("de 0.90")
    assert look(foreign, least_score=0.91) is None
    assert look(foreign, languages=("en", "de")) is None
    assert look(foreign, languages=()) is None


def test_little_text_decides_nothing() -> None:
    run = "x" * LEAST_RUN_CHARS
    fitting = LEAST_SAMPLE_CHARS // (LEAST_RUN_CHARS + 1) + 1
    assert look(f"<p>{run}</p>" * (fitting - 1)) is None
    assert look(f"<p>{run}</p>" * fitting) is not None
    assert look("") is None


def test_it_crosses_to_another_process() -> None:
    crossed = pickle.loads(pickle.dumps(FirstPass(partial(name_by_first_word, score=0.8), ("en",))))
    assert crossed.look(f"<p>Wir zählen. {SENTENCE}</p>" * 5)[1].startswith("de 0.80")


@pytest.mark.real_data
def test_real_pages_of_the_wanted_language_are_not_lost(shared_data: Path) -> None:
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.extraction.pages import ExtractionSettings, find_extractor
    from mmpipe.models.language import LanguageModel, find_language_weights
    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import WarcRange, index_range, read_payloads

    warc = shared_data / "web" / "real_pages.warc.gz"
    root = Place(str(warc.parent))
    rows = index_range("real", root, WarcRange(warc.name, 0, 8_000_000)).filter(kind="html", record_status="ok")
    pages = [decode_page(page.body, page.charset).text for _, page in read_payloads(root, rows, 20 << 20)]
    model = LanguageModel(find_language_weights())
    extract = find_extractor("resiliparse")
    named = model.identify([extract(page, ExtractionSettings()).text for page in pages])
    for wanted in ("en", "de"):
        first_pass = FirstPass(model.identify_one, (wanted,))
        is_dropped = [first_pass.look(page) is not None for page in pages]
        lost = [name for name, dropped in zip(named, is_dropped, strict=True) if dropped and name[0] == wanted]
        assert [score for _, score in lost if score >= 0.65] == []
        foreign = [dropped for (name, _), dropped in zip(named, is_dropped, strict=True) if name != wanted]
        assert len(foreign) > 50
        assert sum(foreign) > 0.85 * len(foreign)


@pytest.mark.parametrize(
    "page",
    [
        "<" * 2_000_000,
        ">" * 2_000_000,
        "<div>" * 400_000,
        "<!--" * 500_000,
        "<script>" * 250_000,
        "<script></script>" * 100_000,
        ">" + "&amp;" * 400_000,
        ">" + " " * 2_000_000,
        ">" + "\0\ud800" * 1_000_000,
    ],
    ids=["open", "closed", "nested", "comments", "scripts", "pairs", "entities", "spaces", "surrogates"],
)
def test_hostile_pages_are_read_once(page: str) -> None:
    start = time.process_time()
    look(page)
    assert time.process_time() - start < 2
