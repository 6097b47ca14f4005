"""The peer's side of text_rules.py: datatrove's own four filters and what they count. Runs in the peers' environment.

Reads a JSON list of texts from the file named first; writes a JSON object to the file named second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import datatrove.pipeline.filters.c4_filters as c4_module
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters.c4_filters import C4QualityFilter
from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS, GopherQualityFilter
from datatrove.pipeline.filters.gopher_repetition_filter import (
    GopherRepetitionFilter,
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_words


def measure_gopher(text: str, splitter: GopherRepetitionFilter) -> dict[str, float]:
    """Return every value that the Gopher filters compare, from the same functions and expressions they use."""
    words = split_into_words(text)
    non_symbol = [word for word in words if any(character not in PUNCTUATION_SET for character in word)]
    lines = text.splitlines()
    paragraphs = splitter.paragraph_exp.split(text.strip())
    spans = splitter._line_splitter.split(text)  # noqa: SLF001
    repeated_paragraphs, paragraph_chars = find_duplicates(paragraphs)
    repeated_spans, span_chars = find_duplicates(spans)
    values = {
        "word_count": len(non_symbol),
        "duplicate_paragraph_ratio": repeated_paragraphs / len(paragraphs),
        "duplicate_paragraph_char_ratio": paragraph_chars / len(text),
        "duplicate_line_ratio": repeated_spans / len(spans),
        "duplicate_line_char_ratio": span_chars / len(text),
        "stop_word_count": len(set(STOP_WORDS).intersection(words)),
        "bullet_line_ratio": sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines),
        "ellipsis_line_ratio": sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines),
    }
    if words:
        values["hash_to_word_ratio"] = text.count("#") / len(words)
        values["ellipsis_to_word_ratio"] = (text.count("...") + text.count("…")) / len(words)
        values["alphabetic_word_ratio"] = sum(any(c.isalpha() for c in word) for word in words) / len(words)
    if non_symbol:
        values["mean_word_length"] = float(np.mean([len(word) for word in non_symbol]))
    for n in (2, 3, 4):
        grams = get_n_grams(words, n)
        values[f"top_{n}_gram_char_ratio"] = find_top_duplicate(grams) / len(text) if grams else 0.0
    for n in range(5, 11):
        values[f"duplicate_{n}_gram_char_ratio"] = find_all_duplicate(words, n) / len(text)
    return values


def measure_c4(text: str) -> tuple[dict[str, float], str]:
    """Return the sentences that the C4 filter counts, and what it leaves of the text, whatever it would drop."""
    lenient = C4QualityFilter(
        filter_no_terminal_punct=False, min_num_sentences=0, filter_lorem_ipsum=False, filter_curly_bracket=False
    )
    split, counted = c4_module.split_into_sentences, []

    def count(line: str, language: str) -> list[str]:
        sentences = split(line, language)
        counted.append(len(sentences))
        return sentences

    c4_module.split_into_sentences = count
    document = Document(text=text, id="")
    lenient.filter(document)
    c4_module.split_into_sentences = split
    return {"sentence_count": sum(counted)}, document.text


def measure_fineweb(text: str) -> dict[str, float]:
    """Return every value that the FineWeb filter compares."""
    lines = [line for line in text.split("\n") if line.strip() != ""]
    if not lines:
        return {"nonblank_line_count": 0}
    values = {
        "nonblank_line_count": len(lines),
        "terminal_line_ratio": sum(line.endswith(tuple(TERMINAL_PUNCTUATION)) for line in lines) / len(lines),
        "short_line_ratio": sum(len(line) <= 30 for line in lines) / len(lines),
        "repeated_line_char_ratio": find_duplicates(lines)[1] / len(text.replace("\n", "")),
    }
    if words := split_into_words(text):
        values["newline_to_word_ratio"] = text.count("\n") / len(words)
    return values


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    filters = (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),  # as datatrove's FineWeb example calls it
        FineWebQualityFilter(),
    )
    for text in texts[:5]:
        for chosen in filters:
            chosen.filter(Document(text=text, id=""))
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    begin = time.process_time()
    # as in its published recipe: what one filter drops never reaches the next
    kept = [all(chosen.filter(document) is True for chosen in filters) for document in documents]
    seconds = time.process_time() - begin
    values = []
    for text in texts:
        c4, left = measure_c4(text)
        values.append(measure_gopher(text, filters[0]) | c4 | measure_fineweb(left))
    Path(sys.argv[2]).write_text(json.dumps({"seconds": seconds, "kept": kept, "values": values}), encoding="utf-8")


if __name__ == "__main__":
    main()
