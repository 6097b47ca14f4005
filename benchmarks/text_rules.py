"""All rules of Gopher, C4 and FineWeb on extracted texts: mmpipe in two dialects beside datatrove's four filters.

    python benchmarks/text_rules.py [--quick] [--documents 988] [--cores 0] [--peer-python .venv-bench/bin/python]

Both sides get the same texts as Python strings on the same cores; seconds are CPU seconds. datatrove's filters stand in
a chain, so that a document stops at the first that drops it. Ours corrects C4's lines, measures all 31 signals of every
document and judges them all. Rows:

- `datatrove_0_10`: parity on, held to datatrove value by value; the dictionary starts empty, as in a run's first shard;
- `datatrove_0_10, dictionary filled`: the same texts once more;
- `unicode`: the product's own words; all signals of the texts as extracted;
- `unicode, lines corrected`: with C4's rewriting before C4 and FineWeb are measured, as datatrove's chain does.

Where more documents are asked for than there are, they are tiled, one word in ten changed in each tile.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import ROOT, print_result, print_table

from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.text_batch import TextBatch
from mmpipe.filtering.text_signals import find_family
from mmpipe.tables.corrections import Edit

#: Documents corrected, measured and judged at a time.
BATCH = 200
FAMILIES = ("gopher", "c4", "fineweb")


def read_texts(count: int | None) -> tuple[list[str], str]:
    """Return gold texts of real pages where the shared folder is, else generated ones, and what they are."""
    folder = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    gold = folder / "web" / "gold.jsonl.gz"
    if gold.is_file():
        with gzip.open(gold, "rt", encoding="utf-8") as lines:
            texts = [text for text in (json.loads(line)["gold_text"] for line in lines) if text and text.strip()]
        source = "gold texts of real pages"
    else:
        texts, source = generate_texts(1_000), "generated texts"
    count = count or len(texts)
    tiles = range(-(-count // len(texts)))
    return [change_words(text, tile) for tile in tiles for text in texts][:count], source


def generate_texts(count: int) -> list[str]:
    chooser = random.Random(1)
    words = ["".join(chooser.choices("etaoinshrdlucmfwypvbgkjqxz", k=chooser.randint(2, 9))) for _ in range(30_000)]
    words += ["don't", "Mr.", "U.S.", "word,", "(see", "well-known", "2,019", "5km", "http://a.example/b", "…", "the."]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    return [
        "\n".join(" ".join(chooser.choices(words, weights, k=chooser.randint(1, 40))) for _ in range(30))
        for _ in range(count)
    ]


def change_words(text: str, tile: int) -> str:
    """Return the text with one word in ten turned by a letter; unchanged in the first tile."""
    words = text.split(" ")
    for place in range(tile, len(words) if tile else 0, 10):
        turn = tile % max(1, len(words[place]))
        words[place] = words[place][turn:] + words[place][:turn]
    return " ".join(words)


def judge_texts(texts: list[str], recipe: Recipe, dialect: str, *, is_corrected: bool = True) -> pl.DataFrame:
    """Correct, measure and judge; return all signals, and which documents are kept."""
    count = len(texts)
    corrected, corrections = texts, [[] for _ in texts]
    if is_corrected:
        steps = [find_step(item.step, item.options) for item in recipe.corrections.steps]
        results = [correct_text(text, steps) for text in texts]
        corrected = [result.text for result in results]
        corrections = [[_describe(step, edit) for step, edit in result.edits] for result in results]
    else:
        recipe = replace(
            recipe, corrections=replace(recipe.corrections, steps=()), text=replace(recipe.text, measured_before={})
        )
    nothing = [None] * count
    signals = []
    for family in FAMILIES:
        seen = texts if family == "gopher" else corrected  # Gopher's filters stand before C4's
        batch = TextBatch(seen, texts, corrected, corrections, nothing, nothing, dialect, recipe)
        signals.append(find_family(family)(batch))
    frame = pl.concat(signals, how="horizontal").with_columns(
        doc_id=pl.int_range(count).cast(pl.String).str.zfill(8), extraction_status=pl.lit("ok")
    )
    rules = [rule for rule in recipe.text.rules if rule.signal in frame.columns]
    removed = judge(frame, rules, key="doc_id", status="extraction_status").get_column("doc_id")
    return frame.with_columns(kept=~pl.col("doc_id").is_in(removed.unique().implode()))


def _describe(step: int, edit: Edit) -> dict[str, object]:
    return {
        "step": step,
        "correction": edit.correction,
        "start": edit.start,
        "end": edit.end,
        "replacement": edit.replacement,
    }


def time_side(
    texts: list[str], recipe: Recipe, dialect: str, *, is_corrected: bool = True
) -> tuple[float, pl.DataFrame]:
    begin = time.process_time()
    parts = [
        judge_texts(texts[start : start + BATCH], recipe, dialect, is_corrected=is_corrected)
        for start in range(0, len(texts), BATCH)
    ]
    return time.process_time() - begin, pl.concat(parts)


def ask_peer(python: str, texts: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "texts.json", Path(folder) / "values.json"
        question.write_text(json.dumps(texts), encoding="utf-8")
        script = Path(__file__).with_name("text_rules_peer.py")
        subprocess.run([python, str(script), str(question), str(answer)], check=True)
        return json.loads(answer.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer documents; ends within 50 seconds")
    parser.add_argument("--documents", type=int, help="how many (default: all gold texts)")
    parser.add_argument("--cores", type=int, nargs="+", help="cores to pin both sides to (default: the last one)")
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-bench" / "bin" / "python"))
    options = parser.parse_args()
    cores = options.cores or [max(os.sched_getaffinity(0))]
    os.sched_setaffinity(0, cores)

    texts, source = read_texts(300 if options.quick else options.documents)
    recipe = load_recipe("fineweb")
    for dialect in ("datatrove_0_10", "unicode"):  # compile
        judge_texts(["Warm up, once and twice.\n" * 10], recipe, dialect)
    sides = {
        "datatrove_0_10": time_side(texts, recipe, "datatrove_0_10"),
        "datatrove_0_10, dictionary filled": time_side(list(texts), recipe, "datatrove_0_10"),
        "unicode": time_side(list(texts), recipe, "unicode", is_corrected=False),
        "unicode, lines corrected": time_side(list(texts), recipe, "unicode"),
    }
    peer = ask_peer(options.peer_python, texts)
    frame = sides["datatrove_0_10"][1]
    mismatches = [
        (number, name, row[name], value)
        for number, (row, values) in enumerate(zip(frame.iter_rows(named=True), peer["values"], strict=True))
        for name, value in values.items()
        if row[name] != value
    ]
    verdicts = sum(ours != theirs for ours, theirs in zip(frame.get_column("kept"), peer["kept"], strict=True))
    for number, name, ours, theirs in mismatches[:10]:
        print(f"text {number}: {name} is {ours}, datatrove has {theirs}")
    rows = [["datatrove 0.10.1, four filters", len(texts) / peer["seconds"], 1.0, sum(peer["kept"])]]
    rows += [
        [name, len(texts) / seconds, peer["seconds"] / seconds, result.get_column("kept").sum()]
        for name, (seconds, result) in sides.items()
    ]
    print_table(["side", "docs per CPU second", "ratio", "kept"], rows)
    print_result(
        "text_rules",
        rows[1][1],
        rows[0][1],
        "docs/s",
        f"{len(texts)} {source}, mean {sum(map(len, texts)) // len(texts)} characters; peer: datatrove 0.10.1 "
        "GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter, FineWebQualityFilter",
        cores,
        dictionary_filled=round(rows[2][1], 1),
        unicode=round(rows[3][1], 1),
        unicode_ratio=round(rows[3][2], 2),
        unicode_lines_corrected=round(rows[4][1], 1),
        unicode_lines_corrected_ratio=round(rows[4][2], 2),
        values_compared=sum(map(len, peer["values"])),
        mismatches=len(mismatches),
        verdict_mismatches=verdicts,
    )


if __name__ == "__main__":
    main()
