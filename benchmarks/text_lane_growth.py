"""Peak memory of the text lane's workers as documents grow in number, and what a second worker gains.

    python benchmarks/text_lane_growth.py [--quick] [--rounds 2] [--stages extract unicode datatrove_0_10]

Documents are generated: paragraphs of the gold texts of the shared data folder (MMPIPE_SHARED_DATA), or of generated
articles where it is absent, drawn anew for every document with invented words among them; for `extract` with the
markup of a page around them, 20 to 100 KB. Shards hold as many documents whatever the number of documents. Rows:

- `extract`: WARC to main text by the chooser, in its sandbox, which has a column of its own; up to 10,000 pages;
- `unicode`, `datatrove_0_10`: corrections, signals of the families gopher, c4 and fineweb in that dialect, removals,
  filtered text; up to 100,000 extracted texts.

Memory: one worker in a process of its own per size (`ru_maxrss`; sandboxes and workers beside it are sampled every
20 ms). Growth is the peak at the last size by the peak at the first. Speed-up: the largest input by one worker and by
two, a core for each, wall-clock, after they have made some shards to start; the best round, since other jobs may run
beside it. The load is printed. `--quick` has too few shards to say anything of the speed-up.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import ROOT, pin_cores, print_result, print_table

if TYPE_CHECKING:
    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.shards import ShardResult

SHARD_PAGES = 500
START_PAGES = 1_000
DIALECTS = ("unicode", "datatrove_0_10")
_RECIPE = """extends: fineweb
extraction: {extractor: chooser, favor: none, deduplicate: false, metadata: stated, timeout_seconds: 30}
text: {dialect: DIALECT, measured_before: {gopher: extracted}, signals: [gopher, c4, fineweb]}
"""
_MENU = (
    '<li class="menu-item menu-item-type-post"><a href="https://news.example/{0}/{1}" data-id="{1}">{0} {1}</a></li>\n'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 2,000 documents, one round")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of the speed-up")
    parser.add_argument("--stages", nargs="+", default=["extract", *DIALECTS])
    parser.add_argument("--side", nargs=4, metavar=("STAGE", "FOLDER", "PAGES", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        stage, folder, pages, workers = options.side
        if workers == "0":
            write_input(stage, Path(folder), int(pages))
        else:
            print(json.dumps(run_stages(stage, Path(folder), int(workers))))
        return
    cores = sorted(os.sched_getaffinity(0))[:2]
    sizes = {
        "extract": (300, 600) if options.quick else (1_000, 3_000, 10_000),
        **dict.fromkeys(DIALECTS, (1_000, 2_000) if options.quick else (1_000, 10_000, 100_000)),
    }
    rows: list[list[Any]] = []
    growth, gain = dict[str, float](), dict[str, float]()
    with tempfile.TemporaryDirectory() as scratch:
        for stage in options.stages:
            peaks = []
            for pages in sizes[stage]:
                said = run_side(stage, scratch, pages, 1)
                peaks.append(said["worker_mib"] + said["sandbox_mib"])
                rows.append([stage, pages, said["worker_mib"], said["sandbox_mib"], pages / said["seconds"], load()])
                print(f"{stage}: {pages} documents, {peaks[-1]:.0f} MiB", file=sys.stderr)
            growth[stage] = peaks[-1] / peaks[0]
            one = said["seconds"]
            for number in range(1 if options.quick else options.rounds):
                if number:
                    one = run_side(stage, scratch, pages, 1)["seconds"]
                two = run_side(stage, scratch, pages, 2)["seconds"]
                print(f"{stage}: {one:.1f} s by one worker, {two:.1f} s by two, load {load():.1f}", file=sys.stderr)
                gain[stage] = max(gain.get(stage, 0.0), one / two)
    print_table(["stage", "documents", "worker MiB", "sandbox MiB", "documents per s", "load"], rows)
    print_table(["stage", "memory growth", "two workers by one"], [[name, growth[name], gain[name]] for name in growth])
    extra = {f"{name}_two_workers": round(value, 2) for name, value in gain.items()}
    extra |= {f"{stage}_{pages}_mib": round(worker + sandbox) for stage, pages, worker, sandbox, *_ in rows}
    data = ", ".join(f"{stage}: {sizes[stage][-1]}" for stage in options.stages)
    # the peer is the lane itself at the smallest size
    unit = "times the peak memory of the smallest input, at the largest"
    print_result("text_lane_growth", max(growth.values()), 1.0, unit, f"generated documents, {data}", cores, **extra)


def load() -> float:
    return os.getloadavg()[0]


def run_side(stage: str, scratch: str, pages: int, workers: int) -> dict[str, float]:
    """Run a row's stages in a process of their own, on the input that both dialects and all rounds share."""
    kind = "crawl" if stage == "extract" else "rows"
    folder = Path(scratch) / f"{kind}-{pages}"
    command = [sys.executable, __file__, "--side", stage, str(folder), str(pages)]
    if not folder.is_dir():
        subprocess.run([*command, "0"], check=True)
    done = subprocess.run([*command, str(workers)], check=True, stdout=subprocess.PIPE, text=True)
    said: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def write_input(name: str, folder: Path, pages: int) -> None:
    """Write the documents that count, and some to start the workers with."""
    write = write_crawl if name == "extract" else write_extracted
    write(folder, name, pages)
    write(folder / "start", name, min(pages, START_PAGES))


def run_stages(name: str, folder: Path, workers: int) -> dict[str, float]:
    """Run a row's stages; return seconds, and the peaks of a worker and of its sandbox in MiB."""
    pin_cores(workers)  # before Polars counts them
    from mmpipe.lanes.text import TEXT_LANE
    from mmpipe.tables.text import FILTERED_TEXT

    last = [stage.table for stage in TEXT_LANE].index(FILTERED_TEXT) + 1
    stages = TEXT_LANE[1:2] if name == "extract" else TEXT_LANE[2:last]
    seconds = 0.0
    with PeakMemory() as peak:
        for place in (folder / "start", folder):
            for stage in stages:
                shutil.rmtree(place / "lake" / stage.table.name, ignore_errors=True)
            start = time.perf_counter()
            for stage in stages:
                stage.make(open_run(place, name, stage, workers))
            seconds = time.perf_counter() - start
    return {"seconds": seconds, "worker_mib": peak.worker, "sandbox_mib": peak.sandbox}


def open_run(folder: Path, name: str, stage: Any, workers: int) -> StageRun:
    from mmpipe.filtering.recipes import load_recipe
    from mmpipe.lanes.stage import Knobs, StageRun
    from mmpipe.storage.lake import Lake
    from mmpipe.storage.shards import Engine

    recipe = folder / "recipe.yaml"
    folder.mkdir(exist_ok=True, parents=True)
    recipe.write_text(_RECIPE.replace("DIALECT", "unicode" if name == "extract" else name))
    return StageRun(
        stage=stage,
        lake=Lake(str(folder / "lake")),
        recipe=load_recipe(str(recipe)),
        # about 200 pages
        knobs=Knobs(cache_folder=str(folder / "cache"), range_bytes=4 << 20),
        engine=Engine(workers),
        dump="growth",
    )


class PeakMemory:
    """Samples resident memory in MiB: `worker` is the most of this process or a worker, `sandbox` of an extractor."""

    def __enter__(self) -> Self:
        self.worker = self.sandbox = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.worker = max(self.worker, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    def _watch(self) -> None:
        import psutil

        while not self._is_over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                try:
                    size = process.memory_info().rss / 2**20
                    is_sandbox = "sandbox" in " ".join(process.cmdline())
                except psutil.Error:
                    continue
                if is_sandbox:
                    self.sandbox = max(self.sandbox, size)
                else:
                    self.worker = max(self.worker, size)


def write_extracted(folder: Path, name: str, pages: int) -> None:
    """Write a dataset extracted_text of generated documents."""
    from mmpipe.lanes.text import TEXT_LANE
    from mmpipe.storage.shards import ShardWork

    run = open_run(folder, name, TEXT_LANE[1], 1)
    starts = range(0, pages, SHARD_PAGES)
    work = [ShardWork(f"{start:07d}", str(start), (start, min(SHARD_PAGES, pages - start))) for start in starts]
    run.write(work, write_rows, inputs={})


def write_rows(start: int, count: int) -> ShardResult:
    import polars as pl

    from mmpipe.storage.shards import ShardResult
    from mmpipe.tables.text import EXTRACTED_TEXT

    texts = [write_text(number) for number in range(start, start + count)]
    frame = pl.DataFrame({"doc_id": [f"{number:032x}" for number in range(start, start + count)], "text": texts})
    frame = frame.with_columns(
        dump=pl.lit("growth"),
        url=pl.format("https://news.example/{}", "doc_id"),
        extraction_status=pl.lit("ok"),
        text_chars=pl.col("text").str.len_chars().cast(pl.Int64),
        language=pl.lit("en"),
        language_score=pl.lit(0.99),
    )
    empty = EXTRACTED_TEXT.make_empty()
    return ShardResult(pl.concat([empty, frame], how="diagonal"), count)


def write_crawl(folder: Path, name: str, pages: int) -> None:
    """Write a WARC file of generated pages, and its index."""
    from mmpipe.lanes.text import TEXT_LANE
    from mmpipe.storage.dumps import Dump, record_dump

    run = open_run(folder, name, TEXT_LANE[0], 1)
    with (folder / "pages.warc.gz").open("wb") as out:
        for number in range(pages):
            html = write_page(number).encode()
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
            head = (
                "WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"WARC-Target-URI: https://news.example/{number}\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            )
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            out.write(packer.compress(head.encode() + http + b"\r\n\r\n") + packer.flush())
    record_dump(run.lake, Dump("growth", str(folder), ("pages.warc.gz",)))
    run.stage.make(run)


def write_page(number: int) -> str:
    """Return a page of 20 to 100 KB: scripts and menus around the text."""
    from html import escape

    dice = random.Random(number)
    paragraphs = "\n".join(f"<p>{escape(line)}</p>" for line in write_text(number).split("\n"))
    menu = "".join(_MENU.format(invent(dice), dice.randrange(10**6)) for _ in range(dice.randrange(40, 250)))
    script = "".join(f'window.q.push(["{invent(dice)}",{dice.random()}]);' for _ in range(dice.randrange(100, 900)))
    return (
        f"<!doctype html><html lang=en><head><title>Page {number}</title><script>{script}</script></head>"
        f"<body><nav><ul>{menu}</ul></nav><main><article><h1>{invent(dice)}</h1>{paragraphs}</article></main><footer>{menu}</footer></body></html>"
    )


def write_text(number: int) -> str:
    """Return a text of some paragraphs, in which one word in fifty is invented."""
    dice = random.Random(number)
    paragraphs = dice.choices(read_paragraphs(), k=dice.randrange(4, 40))
    lines = []
    for paragraph in paragraphs:
        words = paragraph.split(" ")
        for place in range(dice.randrange(50), len(words), 50):
            words[place] = invent(dice)
        lines.append(" ".join(words))
    return "\n".join(lines)


def invent(dice: random.Random) -> str:
    return "".join(dice.choices("abcdefghiklmnoprstuvwy", k=dice.randrange(4, 12)))


@cache
def read_paragraphs() -> list[str]:
    shared = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web" / "gold.jsonl.gz"
    if shared.is_file():
        with gzip.open(shared, "rt", encoding="utf-8") as lines:
            texts = [
                row["gold_text"] for row in map(json.loads, lines) if row["lang_guess"] == "en" and row["gold_text"]
            ]
    else:
        from mmpipe.demo.topics import write_english_article

        texts = [write_english_article("growth", number).text for number in range(300)]
    return [line for text in texts for line in text.split("\n") if 20 <= len(line) <= 2_000]


if __name__ == "__main__":
    main()
