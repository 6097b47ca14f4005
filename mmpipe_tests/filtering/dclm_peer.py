"""Runs in the peers' environment: the two tokenizers that DCLM counts with, asked for their words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fasttext.FastText import tokenize
from uniseg.wordbreak import words


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = [
        {
            "words": [word for word in words(text) if word[0].isalnum()],
            "fasttext_words": sum(word[0].isalnum() for word in tokenize(text)),
        }
        for text in texts
    ]
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
