"""The peer's side of test_datatrove_parity.py: datatrove's own filters, run in the peers' environment.

Reads a JSON object from the file named first, writes one to the file named second. The filters decide; the values that
they compare are computed by the functions and expressions they use, for they expose none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    URLFilter,
)

try:  # where it stands since 0.3
    from datatrove.pipeline.filters import C4ParagraphFilter
except ImportError:
    from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter


def decide(chosen: Any, document: Document) -> str:
    """Return the reason for which a filter drops a document; empty if it keeps it."""
    try:
        answer = chosen.filter(document)
    except ZeroDivisionError:
        return "division by zero"
    if isinstance(answer, tuple):
        return str(answer[1])
    return "" if answer else "dropped"


def read_c4_values(chosen: C4QualityFilter, text: str) -> dict[str, Any]:
    """Return what the C4 filter leaves of a text and how many sentences that has, whatever it would drop."""
    lenient = type(chosen)(
        filter_no_terminal_punct=chosen.filter_no_terminal_punct,
        min_words_per_line=chosen.min_words_per_line,
        min_num_sentences=0,
        filter_lorem_ipsum=False,
        filter_curly_bracket=False,
    )
    module, name = sys.modules[type(chosen).__module__], "split_into_sentences"
    if not hasattr(module, name):  # 0.2 imports NLTK's at each call
        import nltk.tokenize as module  # type: ignore[no-redef]

        name = "sent_tokenize"
    split = getattr(module, name)
    counted: list[int] = []

    def count(line: str, language: str) -> list[str]:
        sentences = split(line, language)
        counted.append(len(sentences))
        return list(sentences)

    setattr(module, name, count)
    document = Document(text=text, id="")
    lenient.filter(document)
    setattr(module, name, split)
    return {"text": document.text, "sentence_count": sum(counted)}


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    texts = given.get("texts", [])
    singles = {
        "repetition": GopherRepetitionFilter(),
        "quality": GopherQualityFilter(),
        "c4": C4QualityFilter(),
        "c4_fineweb": C4QualityFilter(filter_no_terminal_punct=False),
        "c4_paragraph": C4ParagraphFilter(),
        "fineweb": FineWebQualityFilter(exclusion_writer=None),
    }
    results: dict[str, Any] = {
        name: [decide(chosen, Document(text=text, id="")) for text in texts] for name, chosen in singles.items()
    }
    for name in ("c4", "c4_fineweb"):
        results[f"{name}_values"] = [read_c4_values(singles[name], text) for text in texts]
    chain = [singles[name] for name in ("repetition", "quality", "c4_fineweb", "fineweb")]
    results["chain"], results["chain_texts"] = [], []
    for text in texts:
        document = Document(text=text, id="")
        reason = next((reason for chosen in chain if (reason := decide(chosen, document))), "")
        results["chain"].append(reason)
        results["chain_texts"].append(document.text)
    if "urls" in given:
        from tldextract import TLDExtract

        by_url = URLFilter()
        by_url.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)  # its own copy of the list; no network
        results["urls"] = [decide(by_url, Document(text="", id="", metadata={"url": url})) for url in given["urls"]]
    Path(sys.argv[2]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
