"""The peer's side of contamination.py: datatrove's own n-gram filter. Runs in the peers' environment.

Reads texts, items and n from the JSON file named first; writes a JSON object to the file named second.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.utils.text import ngrams, simplify_text

#: Documents that are timed: it does some dozens a second.
MOST_DOCUMENTS = 300


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    config = NGramsDecontConfig(n_grams=given["words"])
    with tempfile.TemporaryDirectory() as folder:
        decont = NGramsDecontFilter(folder, config=config)
        # this version hands strings to xxhash, whose later releases take bytes only
        hash_bytes = decont.hash_func
        decont.hash_func = lambda gram: hash_bytes(gram.encode())
        hashes: set[int] = set()
        for item in given["items"]:
            # what NGramsDecontIndexer.compute_hashes does for a label; its run needs lighteval
            words = decont.tokenizer.word_tokenize(simplify_text(item, config.norm_config))
            hashes.update(map(decont.hash_func, map(" ".join, ngrams(words, config.n_grams))))
        array = np.array(list(hashes), dtype=config.hash_config.np_descr)
        array.tofile(Path(folder) / "made.index.hashes")
        documents = [Document(text=text, id=str(at)) for at, text in enumerate(given["texts"])]
        decont.filter(Document(text="warm up", id="x"))
        contaminated = []
        begin = time.process_time()
        for at, document in enumerate(documents[:MOST_DOCUMENTS]):
            if decont.filter(document) is not True:
                contaminated.append(at)
        seconds = time.process_time() - begin
        timed = min(len(documents), MOST_DOCUMENTS)
        contaminated += [
            at for at, document in enumerate(documents[timed:], start=timed) if decont.filter(document) is not True
        ]
    result = {"seconds": seconds, "documents": timed, "contaminated": contaminated}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
