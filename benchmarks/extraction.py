"""From a WARC file to main text on one core: ours (sandboxed extraction) beside plain warcio + trafilatura.

Run: python benchmarks/extraction.py [--quick] [--extractor resiliparse]. Real pages where the shared data folder is
(MMPIPE_SHARED_DATA, or ../shared/data beside the clone), else generated ones. Seconds are CPU seconds of all processes,
so that other jobs change nothing; ours also gives title and date. F1 is the mean over pages of the token
F1 with gold text (lower-cased words, each CJK or Thai character a word, bags compared).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

QUICK_PAGES = 40
ROUNDS = 2
_WORDS = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+?(?=[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\b)"
)


def run_ours(warc: Path, extractor: str) -> tuple[dict[str, str], dict[str, float]]:
    import psutil

    from mmpipe.extraction.pages import ExtractionSettings, PageExtractor
    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import WarcRange, index_range, read_payloads

    root = Place(str(warc.parent))
    start = time.process_time()
    rows = index_range("bench", root, WarcRange(warc.name, 0, warc.stat().st_size))
    index_seconds = time.process_time() - start
    urls = dict(rows.select("doc_id", "url").iter_rows())
    pages = ((doc_id, page.body, page.charset) for doc_id, page in read_payloads(root, rows, 8 << 20))
    with PageExtractor(ExtractionSettings(extractor=extractor)) as sandbox:
        list(sandbox.extract([("warm", b"<p>warm", None)]))
        assert sandbox.child_pid is not None
        child = psutil.Process(sandbox.child_pid)

        def read_cpu() -> float:
            return time.process_time() + child.cpu_times().user + child.cpu_times().system

        start = read_cpu()
        texts = {urls[page.id]: page.text or "" for page in sandbox.extract(pages)}
        seconds = read_cpu() - start
    return texts, {"index": len(texts) / index_seconds, "all": len(texts) / (index_seconds + seconds)}


def run_peer(warc: Path, extractor: str) -> tuple[dict[str, str], dict[str, float]]:
    from warcio.archiveiterator import ArchiveIterator

    if extractor == "trafilatura":
        from trafilatura import extract

        def read(body: bytes) -> str:
            return extract(body, include_comments=False) or ""
    elif extractor == "chooser":
        # the peer has none: what it is held against is trafilatura
        return run_peer(warc, "trafilatura")
    else:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding

        def read(body: bytes) -> str:
            html = bytes_to_str(body, detect_encoding(body))
            return extract_plain_text(html, main_content=True, list_bullets=False, alt_texts=False, comments=False)

    read(b"<p>warm")
    start = time.process_time()
    with warc.open("rb") as stream:
        count = sum(len(r.content_stream().read()) > 0 for r in ArchiveIterator(stream) if r.rec_type == "response")
    index_seconds = time.process_time() - start
    texts = {}
    start = time.process_time()
    with warc.open("rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "response":
                texts[record.rec_headers.get_header("WARC-Target-URI")] = read(record.content_stream().read())
    return texts, {"index": count / index_seconds, "all": count / (time.process_time() - start)}


def split_words(text: str) -> list[str]:
    """Return the lower-cased words; each CJK or Thai character is one."""
    return _WORDS.findall(text.lower())


def score(text: str, gold: str) -> float:
    """Return the word F1 of two bags."""
    found, wanted = (Counter(split_words(part)) for part in (text, gold))
    common = (found & wanted).total()
    return 2 * common / (found.total() + wanted.total()) if common else float(not found and not wanted)


def write_input(folder: Path, pages: int | None) -> tuple[str, dict[str, str]]:
    """Write pages.warc.gz; return what it holds and the gold text by URL (WCXB's, if the pages are real)."""
    data = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web"
    if not (data / "real_pages.warc.gz").is_file():
        return write_generated(folder, pages or 1000)
    with gzip.open(data / "gold.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    rows = rows[:: max(len(rows) // pages, 1)][:pages] if pages else rows
    with (data / "real_pages.warc.gz").open("rb") as source, (folder / "pages.warc.gz").open("wb") as target:
        for row in rows:
            source.seek(row["warc_offset"])
            target.write(source.read(row["warc_length"]))
    gold = {row["url"]: row["gold_text"] for row in rows if row["source"] == "WCXB" and row["gold_text"]}
    return f"{len(rows)} real pages, {len(gold)} of them with WCXB gold", gold


def read_real_pages() -> list[tuple[dict[str, Any], str]]:
    """Return the gold row and the decoded HTML of each real page; needs mmpipe."""
    from mmpipe.extraction.decoding import decode_page

    data = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web"
    with gzip.open(data / "gold.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    pages = []
    with (data / "real_pages.warc.gz").open("rb") as warc:
        for row in rows:
            warc.seek(row["warc_offset"])
            head, http, body = gzip.decompress(warc.read(row["warc_length"])).split(b"\r\n\r\n", 2)
            length = re.search(rb"Content-Length: (\d+)", head)
            charset = re.search(rb"charset=([\w-]+)", http)
            assert length is not None
            body = body[: int(length[1]) - len(http) - 4]
            pages.append((row, decode_page(body, charset[1].decode() if charset else None).text))
    return pages


def write_generated(folder: Path, pages: int) -> tuple[str, dict[str, str]]:
    """Write articles of random words among navigation and footer."""
    random_ = random.Random(5)
    words = ["".join(random_.choices("abcdefghilmnoprstu", k=random_.randint(2, 9))) for _ in range(4000)]
    gold = {}
    with (folder / "pages.warc.gz").open("wb") as target:
        for number in range(pages):
            paragraphs = [" ".join(random_.choices(words, k=random_.randint(30, 90))) + "." for _ in range(12)]
            links = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in random_.sample(words, 60))
            body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
            html = f"<html><title>{number}</title><nav><ul>{links}</ul></nav><article>{body}</article><footer>{links}"
            url = f"http://example.org/{number}"
            gold[url] = "\n".join(paragraphs)
            http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            )
            target.write(gzip.compress(head.encode() + http + b"\r\n\r\n"))
    return f"{pages} generated pages", gold


def run_one_side(side: str, warc: Path, extractor: str) -> None:
    texts, rates = (run_ours if side == "ours" else run_peer)(warc, extractor)
    (warc.parent / f"{side}.json").write_text(json.dumps(texts))
    print(json.dumps(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pages: under 50 seconds")
    parser.add_argument("--extractor", default="trafilatura", choices=["trafilatura", "resiliparse", "chooser"])
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--warc", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_one_side(options.side, options.warc, options.extractor)
        return
    peer_python = find_peer_python()
    cores = pin_cores(1)
    with tempfile.TemporaryDirectory() as scratch:
        warc = Path(scratch) / "pages.warc.gz"
        data, gold = write_input(Path(scratch), QUICK_PAGES if options.quick else None)
        rates: dict[str, dict[str, Any]] = {}
        f1 = {}
        # in turn, and the best of each, since a busy machine slows CPU seconds too
        for side, python in ROUNDS * (("ours", sys.executable), ("peer", peer_python)):
            arguments = ("--side", side, "--warc", str(warc), "--extractor", options.extractor)
            found = run_side(python, Path(__file__), *arguments)
            rates[side] = {name: max(rate, rates.get(side, {}).get(name, 0.0)) for name, rate in found.items()}
            texts = json.loads((Path(scratch) / f"{side}.json").read_text())
            f1[side] = sum(score(texts.get(url, ""), text) for url, text in gold.items()) / max(len(gold), 1)
    print_table(
        ["side", "records read per CPU s", "pages per CPU s", "token F1"],
        [[side, rates[side]["index"], rates[side]["all"], f1[side]] for side in ("ours", "peer")],
    )
    print_result(
        f"extraction_{options.extractor}",
        rates["ours"]["all"],
        rates["peer"]["all"],
        "pages per CPU second",
        data,
        cores,
        f1_ours=round(f1["ours"], 4),
        f1_peer=round(f1["peer"], 4),
        records_per_cpu_second_ours=round(rates["ours"]["index"], 1),
        records_per_cpu_second_peer=round(rates["peer"]["index"], 1),
        note="ours also finds title and date, in a sandbox; the peer gives text only",
    )


if __name__ == "__main__":
    main()
