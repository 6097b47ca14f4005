"""The oracle is trafilatura itself, in a process of its own where nothing has been changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmpipe.extraction.faster_trafilatura import hasten_trafilatura

SETTINGS: dict[str, dict[str, Any]] = {
    "precision": {"favor_precision": True, "deduplicate": True, "include_comments": False},
    "balanced": {"include_comments": False},
    "recall": {"favor_recall": True, "output_format": "markdown", "include_links": True},
    "fast": {"fast": True, "favor_precision": True, "include_tables": False},
}

_STOCK = """
import json, sys
import trafilatura
from trafilatura.deduplication import LRU_TEST
settings, pages = json.load(open(sys.argv[1]))
texts = {}
for name, options in settings.items():
    texts[name] = []
    for page in pages:
        LRU_TEST.clear()
        texts[name].append(trafilatura.extract(page, **options))
json.dump(texts, open(sys.argv[2], "w"))
"""


def hold_to_stock(pages: list[str], settings: dict[str, dict[str, Any]], folder: Path) -> int:
    """Compare every text; return how many there are."""
    from trafilatura.deduplication import LRU_TEST

    asked, answered = folder / "asked.json", folder / "answered.json"
    asked.write_text(json.dumps([settings, pages]), encoding="utf-8")
    subprocess.run([sys.executable, "-c", _STOCK, str(asked), str(answered)], check=True, capture_output=True)
    trafilatura: Any = hasten_trafilatura()
    count = 0
    for name, texts in json.loads(answered.read_text(encoding="utf-8")).items():
        for page, text in zip(pages, texts, strict=True):
            LRU_TEST.clear()
            assert trafilatura.extract(page, **settings[name]) == text, (name, page[:500])
            count += text is not None
    return count


WORDS = "One sentence of plain words that a reader would read, with a comma, to the end of it. "
BODIES = [
    # the article is all there is: readability cannot win
    f"<article><h1>Title</h1><p>{WORDS * 3}</p><p>Another. {WORDS * 5}</p></article>",
    # much more text outside of what is taken, which readability would take
    f"<div class='entry-content'><p>{WORDS}</p></div><div>{('<p>' + WORDS * 4 + '</p>') * 9}</div>",
    # nothing but tables, and a form around everything
    f"<form><table>{('<tr><td>' + WORDS + '</td><td>2</td></tr>') * 9}</table></form>",
    # the order of two attributes decides
    f"<div id='x' class='cookie'><p>{WORDS * 9}</p></div><div class='x' id='cookie'><p>{WORDS * 8}</p></div>",
    f"<div class='link' id='a'><p>{WORDS * 9}</p></div><p id='b' class='the link'>{WORDS * 3}</p>",
    # a video's mark is text that the page does not have
    "<p>Short.</p>" + "<iframe src='https://www.youtube.com/embed/1'></iframe>" * 40,
    # repeated, hidden and commented
    f"{('<p>' + WORDS + '</p>') * 5}<div style='display:none'>{WORDS}</div><div id='comments'><p>{WORDS}</p></div>",
    # an infinite scroll with its own heading
    f"<p>{WORDS}</p><div class='infinite-scroll'><h1>T</h1>{WORDS * 4}</div><ul class='comment-list'><li>One</ul>",
    "",
    f"{'<div>' * 300}<p>{WORDS * 4}</p>",
]
PAGES = ["no page", *(f"<html><body>{body}</body></html>" for body in BODIES)]


def test_texts_are_trafilaturas_own(tmp_path: Path) -> None:
    assert hold_to_stock(PAGES, SETTINGS, tmp_path) > len(PAGES)


def test_readability_runs_where_it_can_win(monkeypatch: pytest.MonkeyPatch) -> None:
    from trafilatura.readability_lxml import Document

    trafilatura: Any = hasten_trafilatura()
    asked: list[Document] = []
    summary = Document.summary

    def note(self: Document) -> str:
        asked.append(self)
        return summary(self)

    monkeypatch.setattr(Document, "summary", note)
    trafilatura.extract(PAGES[1], **SETTINGS["precision"])
    assert not asked
    trafilatura.extract(PAGES[2], **SETTINGS["precision"])
    assert asked


@pytest.mark.real_data
def test_real_pages_have_trafilaturas_own_text(shared_data: Path, tmp_path: Path) -> None:
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import WarcRange, index_range, read_payloads

    root = Place(str(shared_data / "web"))
    index = index_range("d", root, WarcRange("real_pages.warc.gz", 0, 2**40)).filter(kind="html", record_status="ok")
    pages = [decode_page(found.body, found.charset).text for _, found in read_payloads(root, index[::36], 1 << 24)]
    few = {name: SETTINGS[name] for name in ("precision", "balanced")}
    assert hold_to_stock(pages, few, tmp_path) > len(pages)
