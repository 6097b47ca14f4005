"""Documents measured per second by mmpipe and filtered by datatrove's Gopher filters, with every value compared.

    python benchmarks/text_signals.py [--quick] [--cores 0] [--peer-python .venv-bench/bin/python]

datatrove stops a document at its first failing rule; ours measures all 21 text signals and the URL signals of every
document. Both sides get the same texts on the same cores, and seconds are CPU seconds. Our dictionary starts empty, as
in the first shard of a run; a second pass shows it filled. Compilation is done beforehand.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import polars as pl

from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.text_signals import measure_text
from mmpipe.tables.text import EXTRACTED_TEXT

ROOT = Path(__file__).resolve().parents[1]


def read_texts(count: int) -> tuple[list[str], str]:
    """Return gold texts of real pages where the shared folder is, else generated ones, and what they are."""
    folder = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    gold = folder / "web" / "gold.jsonl.gz"
    if gold.is_file():
        with gzip.open(gold, "rt", encoding="utf-8") as lines:
            texts = [text for text in (json.loads(line)["gold_text"] for line in lines) if text and text.strip()]
        return texts[:count], "gold texts of real pages"
    chooser = random.Random(1)
    words = ["".join(chooser.choices("etaoinshrdlucmfwypvbgkjqxz", k=chooser.randint(2, 9))) for _ in range(30_000)]
    words += ["don't", "Mr.", "U.S.", "word,", "(see", "well-known", "2,019", "5km", "http://a.example/b", "…", "..."]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    return [
        "\n".join(" ".join(chooser.choices(words, weights, k=chooser.randint(1, 40))) for _ in range(30))
        for _ in range(count)
    ], "generated texts"


def make_rows(texts: list[str]) -> pl.DataFrame:
    rows = {
        "doc_id": [f"{number:06d}" for number in range(len(texts))],
        "url": ["http://host.example/page"] * len(texts),
        "text": texts,
    }
    fixed = {"dump": "benchmark", "extraction_status": "ok", "language": "en", "language_score": 1.0}
    others = [name for name in EXTRACTED_TEXT.column_names if name not in rows and name not in fixed]
    return EXTRACTED_TEXT.conform(
        pl.DataFrame(rows)
        .with_columns(**{name: pl.lit(value) for name, value in fixed.items()})
        .with_columns(pl.lit(None).alias(name) for name in others)
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer documents; ends within 50 seconds")
    arguments.add_argument("--cores", type=int, nargs="+", help="cores to pin both sides to (default: the last one)")
    arguments.add_argument("--peer-python", default=str(ROOT / ".venv-bench" / "bin" / "python"))
    options = arguments.parse_args()
    cores = options.cores or [max(os.sched_getaffinity(0))]
    os.sched_setaffinity(0, cores)

    texts, source = read_texts(300 if options.quick else 10_000)
    rows, recipe = make_rows(texts), load_recipe("refinedweb")
    measure_text(make_rows(["warm up, once and twice " * 10]), recipe)
    begin = time.process_time()
    signals = measure_text(rows, recipe)
    first = time.process_time() - begin
    begin = time.process_time()
    measure_text(rows, recipe)
    second = time.process_time() - begin

    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "texts.json", Path(folder) / "values.json"
        question.write_text(json.dumps(texts), encoding="utf-8")
        peer_script = Path(__file__).with_name("text_signals_peer.py")
        subprocess.run([options.peer_python, str(peer_script), str(question), str(answer)], check=True)
        peer = json.loads(answer.read_text(encoding="utf-8"))

    mismatches = [
        (number, name, row[name], value)
        for number, (row, values) in enumerate(zip(signals.iter_rows(named=True), peer["values"], strict=True))
        for name, value in values.items()
        if row[name] != value
    ]
    gopher = [rule for rule in recipe.text.rules if rule.name.startswith("gopher_")]
    removed = set(judge(signals, gopher, key="doc_id", status="extraction_status").get_column("doc_id"))
    ours_kept = [doc_id not in removed for doc_id in signals.get_column("doc_id")]
    verdicts = sum(ours != theirs for ours, theirs in zip(ours_kept, peer["kept"], strict=True))
    for number, name, ours, theirs in mismatches[:10]:
        print(f"text {number}: {name} is {ours}, datatrove has {theirs}")
    print(f"dictionary filled: {len(texts) / second:.0f} docs/s; kept {sum(ours_kept)} of {len(texts)}")
    print(
        json.dumps(
            {
                "name": "text_signals",
                "ours": round(len(texts) / first, 1),
                "peer": round(len(texts) / peer["seconds"], 1),
                "unit": "docs/s",
                "ratio": round(peer["seconds"] / first, 2),
                "input": f"{len(texts)} {source}, mean {sum(map(len, texts)) // len(texts)} characters; "
                "peer: datatrove 0.10.1 GopherRepetitionFilter, GopherQualityFilter",
                "cores": len(cores),
                "mismatches": len(mismatches),
                "verdict_mismatches": verdicts,
            }
        )
    )


if __name__ == "__main__":
    main()
