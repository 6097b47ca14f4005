"""The peer's side of text_signals.py: datatrove's own Gopher filters and counts. Runs in the peers' environment.

Reads a JSON list of texts from the file named first; writes a JSON object to the file named second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS, GopherQualityFilter
from datatrove.pipeline.filters.gopher_repetition_filter import (
    GopherRepetitionFilter,
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import PUNCTUATION_SET, split_into_words


def measure(text: str, splitter: GopherRepetitionFilter) -> dict[str, float]:
    """Return every value the two filters compare, from the same functions and expressions they use."""
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


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    repetition, quality = GopherRepetitionFilter(), GopherQualityFilter()
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    for document in documents[:5]:
        repetition.filter(document), quality.filter(document)
    begin = time.process_time()
    # as in its published recipe: what the first filter drops never reaches the second
    kept = [repetition.filter(document) is True and quality.filter(document) is True for document in documents]
    seconds = time.process_time() - begin
    values = [measure(text, repetition) for text in texts]
    Path(sys.argv[2]).write_text(json.dumps({"seconds": seconds, "kept": kept, "values": values}), encoding="utf-8")


if __name__ == "__main__":
    main()
