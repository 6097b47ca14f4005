"""What the first pass spares of the dear extractor's work, and what it loses by it, page by page.

Run: python benchmarks/first_pass.py [--quick] [--language en]. Ours: the quick look, then trafilatura for the pages it
leaves; peer: trafilatura for every page; then lid.176 on the text. A page is *lost* if the quick look drops it though
the full pass names the wanted language with 0.65 or more, and *missed* if the full pass drops it after extraction for
being surely of another. Seconds are CPU seconds of one process. Real pages where the shared data folder is
(MMPIPE_SHARED_DATA, or ../shared/data beside the clone), else generated ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import ROOT, pin_cores, print_result, print_table

QUICK_PAGES = 300
#: What the recipes ask of a page's language (RefinedWeb, section 3.1; FineWeb).
WANTED_SCORE = 0.65
LEAST_SCORES = (0.5, 0.65, 0.8, 0.9)


def read_pages(most: int | None) -> tuple[str, list[str]]:
    from mmpipe.demo.sample_crawl import write_sample_crawl
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import WarcRange, index_range, read_payloads

    def read(warc: Path) -> list[str]:
        root = Place(str(warc.parent))
        rows = index_range("bench", root, WarcRange(warc.name, 0, warc.stat().st_size)).filter(kind="html")
        step = max(rows.height // most, 1) if most else 1
        chosen = rows.filter(record_status="ok").gather_every(step)
        return [decode_page(page.body, page.charset).text for _, page in read_payloads(root, chosen, 20 << 20)]

    data = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web" / "real_pages.warc.gz"
    if data.is_file():
        pages = read(data)
        return f"{len(pages)} real pages", pages
    with tempfile.TemporaryDirectory() as folder:
        dump = write_sample_crawl(Path(folder), pages_per_dump=most or 1000).dumps[0]
        pages = [page for file in dump.files for page in read(dump.folder / file)]
    return f"{len(pages)} generated pages", pages


def main() -> None:
    from mmpipe.extraction.first_pass import FirstPass
    from mmpipe.extraction.pages import ExtractionSettings, find_extractor
    from mmpipe.models.language import LanguageModel, find_language_weights

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAGES} pages")
    parser.add_argument("--language", default="en", help="the language that is wanted")
    options = parser.parse_args()
    cores = pin_cores(1)
    source, pages = read_pages(QUICK_PAGES if options.quick else None)
    model = LanguageModel(find_language_weights())
    settings = ExtractionSettings()
    extract = find_extractor("trafilatura")
    extract("<p>warm", settings)

    texts, seconds = [], []
    for page in pages:
        start = time.process_time()
        texts.append(extract(page, settings).text)
        seconds.append(time.process_time() - start)
    full = model.identify(texts)
    is_kept = [language == options.language and score >= WANTED_SCORE for language, score in full]
    is_foreign = [language != options.language and score >= WANTED_SCORE for language, score in full]

    first_pass = FirstPass(model.identify_one, (options.language,))
    table, figures = [], {}
    for least_score in LEAST_SCORES:
        looking = replace(first_pass, least_score=least_score)
        start = time.process_time()
        is_dropped = [looking.look(page) is not None for page in pages]
        look_seconds = time.process_time() - start
        spared = sum(cost for cost, dropped in zip(seconds, is_dropped, strict=True) if dropped)
        lost = sum(dropped and kept for dropped, kept in zip(is_dropped, is_kept, strict=True))
        missed = sum(not dropped and foreign for dropped, foreign in zip(is_dropped, is_foreign, strict=True))
        figures[least_score] = (look_seconds, spared, lost, missed, sum(is_dropped))
        table.append([least_score, sum(is_dropped), f"{sum(is_dropped) / len(pages):.1%}", spared, look_seconds,
                      f"{lost} of {sum(is_kept)}", f"{missed} of {sum(is_foreign)}"])  # fmt: skip
    header = ["least_score", "dropped", "share", "spared s", "look s", "lost", "missed"]
    print(f"{source}; {options.language} wanted; full extraction {sum(seconds):.1f} CPU s")
    print_table(header, table)
    look_seconds, spared, lost, missed, dropped = figures[first_pass.least_score]
    print_result(
        "first_pass",
        len(pages) / (sum(seconds) - spared + look_seconds),
        len(pages) / sum(seconds),
        "docs/s",
        f"{source}, {options.language} wanted, least_score {first_pass.least_score}; peer: trafilatura on all",
        cores,
        dropped=dropped,
        lost=lost,
        kept_by_full_pass=sum(is_kept),
        missed=missed,
        look_milliseconds=round(1000 * look_seconds / len(pages), 3),
    )


if __name__ == "__main__":
    main()
