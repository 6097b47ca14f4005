"""Documents held against evaluation items per second by mmpipe and by datatrove's n-gram decontamination.

    python benchmarks/contamination.py [--quick] [--cores 0] [--peer-python .venv-bench/bin/python]

Both sides get the same texts on the same core and the same items: random ones of words of the texts, until a million
distinct n-grams are looked for, and some cut out of the texts. datatrove's own indexer needs lighteval; its filter does
not, so the hashes of its index are laid down as its indexer would, and its filter is what is timed. It stops at a
document's first n-gram found and says which set; ours names every item and span. Seconds are CPU seconds; n-grams are
of 13 words on both sides. Compilation is done beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import polars as pl
from text_rules import read_texts

from mmpipe.deduplication.contamination import find_contamination
from mmpipe.deduplication.contamination_index import ContaminationIndex, build_index

ROOT = Path(__file__).resolve().parents[1]
WORDS = 13


def make_items(texts: list[str], ngrams: int) -> list[str]:
    """Return items: of random words, each of 60, and pieces of 40 words cut out of one text in twenty."""
    chooser = random.Random(1)
    words = sorted({word for text in texts for word in text.split()})
    made = [" ".join(chooser.choices(words, k=60)) for _ in range(ngrams // (60 - WORDS + 1))]
    for text in texts[::20]:
        pieces = text.split()
        begin = chooser.randrange(max(1, len(pieces) - 40))
        made.append(" ".join(pieces[begin : begin + 40]))
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer documents and items; ends within 50 seconds")
    arguments.add_argument("--cores", type=int, nargs="+", help="cores to pin both sides to (default: the last one)")
    arguments.add_argument("--peer-python", default=str(ROOT / ".venv-bench" / "bin" / "python"))
    options = arguments.parse_args()
    cores = options.cores or [max(os.sched_getaffinity(0))]
    os.sched_setaffinity(0, cores)

    texts, source = read_texts(300 if options.quick else None)
    items = make_items(texts, 100_000 if options.quick else 1_000_000)
    begin = time.process_time()
    built = build_index([("made", ((str(at), (item,)) for at, item in enumerate(items)))], ngram_words=WORDS)
    build_seconds = time.process_time() - begin
    tiles = 3
    frame = pl.DataFrame({"doc_id": [f"{at:07d}" for at in range(tiles * len(texts))], "text": texts * tiles})
    frame = frame.with_columns(dump=pl.lit("benchmark"))
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder) / "index")
        index = ContaminationIndex.load(Path(folder) / "index")
        find_contamination(frame[:2], index)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.process_time()
        found = find_contamination(frame, index)
        seconds = time.process_time() - begin
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        question, answer = Path(folder) / "texts.json", Path(folder) / "found.json"
        question.write_text(json.dumps({"texts": texts, "items": items, "words": WORDS}), encoding="utf-8")
        peer_script = Path(__file__).with_name("contamination_peer.py")
        subprocess.run([options.peer_python, str(peer_script), str(question), str(answer)], check=True)
        peer = json.loads(answer.read_text(encoding="utf-8"))

    ours = set(found.get_column("doc_id").str.to_integer().to_list())
    ours = {at for at in ours if at < len(texts)}
    theirs = set(peer["contaminated"])
    docs_per_second = tiles * len(texts) / seconds
    print(f"index: {len(built.full.hashes)} n-grams of {len(items)} items in {build_seconds:.1f} s (with compilation)")
    print(f"documents with a hit: {len(ours)} by us, {len(theirs)} by datatrove, {len(ours & theirs)} by both")
    print(f"peak memory grew by {grown:.0f} MiB over {tiles * len(texts)} documents")
    print(
        json.dumps(
            {
                "name": "contamination",
                "ours": round(docs_per_second, 1),
                "peer": round(peer["documents"] / peer["seconds"], 1),
                "unit": "docs/s",
                "ratio": round(docs_per_second * peer["seconds"] / peer["documents"], 2),
                "input": f"{len(texts)} {source} x {tiles}, mean {sum(map(len, texts)) // len(texts)} characters, "
                f"{len(built.full.hashes)} n-grams; peer: datatrove 0.10.1 NGramsDecontFilter, its index laid by hand",
                "cores": len(cores),
                "ours_only": len(ours - theirs),
                "peer_only": len(theirs - ours),
                "peak_growth_mib": round(grown),
            }
        )
    )


if __name__ == "__main__":
    main()
