"""The extractors side by side on the same pages in one process: pages per CPU second, and F1 by source and page type.

Run: python benchmarks/extractors.py [--quick]. Needs the shared data folder; the chooser's figures are of models that
saw no page of the page's domain (`train_chooser.py --folds var/chooser_folds`, made at the first run).
F1 is the mean over pages of the word F1 with gold text (benchmarks/extraction.py). Segments: micro F1 over the pieces
of text that must and must not be in a page, where a source has them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from extraction import read_real_pages, score
from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table

QUICK_STEP = 20
FOLDS = ROOT / "var" / "chooser_folds"
SOURCES = ("WCXB", "scrapinghub-aeb", "fundus", "mozilla-readability", "newspaper-tests")
TYPES = ("article", "documentation", "forum", "listing", "collection", "product", "service")


def load_folds() -> list[Any]:
    """Return the models of the folds."""
    from train_folds import FOLDS as COUNT

    from mmpipe.extraction.chooser import load_model

    if not (FOLDS / f"fold{COUNT - 1}.npz").is_file():
        subprocess.run([find_peer_python(), ROOT / "benchmarks" / "train_chooser.py", "--folds", FOLDS], check=True)
    return [load_model(FOLDS / f"fold{fold}.npz") for fold in range(COUNT)]


def list_extractors() -> dict[str, Callable[[str, str], str]]:
    """Return what is compared: page and its domain to text."""
    from train_folds import find_fold

    from mmpipe.extraction.extractors import ExtractionSettings, extract_with_model, find_extractor

    def run(settings: ExtractionSettings, html: str, _domain: str) -> str:
        return find_extractor(settings.extractor)(html, settings).text

    def choose(html: str, domain: str) -> str:
        return extract_with_model(html, chooser, models[find_fold(domain)]).text

    models = load_folds()
    chooser = ExtractionSettings(extractor="chooser", metadata="none")
    settings = partial(ExtractionSettings, metadata="none")
    return {
        "trafilatura": partial(run, settings()),
        "trafilatura fast": partial(run, settings(is_fast=True)),
        "trafilatura precision": partial(run, settings(favor="precision")),
        "resiliparse": partial(run, settings(extractor="resiliparse")),
        "justext": partial(run, settings(extractor="justext")),
        "chooser (held out)": choose,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_STEP}th page")
    options = parser.parse_args()
    cores = pin_cores(1)
    pages = read_real_pages()[:: QUICK_STEP if options.quick else 1]
    rows = []
    rates: dict[str, float] = {}
    figures: dict[str, dict[str, float]] = {}
    for name, extract in list_extractors().items():
        extract(pages[0][1], pages[0][0]["domain"])
        scores: dict[str, list[float]] = defaultdict(list)
        seconds = 0.0
        right = wrong = missed = 0
        for row, html in pages:
            start = time.process_time()
            text = extract(html, row["domain"])
            seconds += time.process_time() - start
            if row["gold_text"]:
                f1 = score(text, row["gold_text"])
                for group in (row["source"], row.get("page_type")):
                    scores[str(group)].append(f1)
            found = sum(piece in text for piece in row.get("with") or ())
            right += found
            missed += len(row.get("with") or ()) - found
            wrong += sum(piece in text for piece in row.get("without") or ())
        rates[name] = len(pages) / seconds
        means = {group: sum(values) / len(values) for group, values in scores.items()}
        means["segments"] = 2 * right / max(2 * right + missed + wrong, 1)
        figures[name] = {group: round(value, 4) for group, value in means.items()}
        rows.append([name, rates[name], *(means.get(group, float("nan")) for group in (*SOURCES, *TYPES, "segments"))])
    print_table(["extractor", "pages per CPU s", *SOURCES, *TYPES, "segments"], rows)
    print_result(
        "extractors",
        rates["chooser (held out)"],
        rates["trafilatura"],
        "pages per CPU second",
        f"{len(pages)} real pages",
        cores,
        f1=figures,
        pages_per_cpu_second={name: round(rate, 1) for name, rate in rates.items()},
    )


if __name__ == "__main__":
    main()
