"""HTML pages read from real crawl files and records read per second, with and without the crawler's guess of the type.

    python benchmarks/warc_reading.py [--quick]

The files are written out as gzip members (and, for ours, as zstd frames) once as they are and once without their
`WARC-Identified-Payload-Type` lines. Ours indexes every record and reads the payload of every HTML page; the peer is
datatrove's WarcReader, which gives the pages it would extract. Seconds are CPU seconds on one core.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from side_by_side import ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

WEB = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "web"
FILES = ("crawl_samples/cc-main-2020-34.warc.gz", "crawl_samples/iana.warc.gz", "real_pages.warc.gz")
_GUESS = re.compile(rb"WARC-Identified-Payload-Type: [^\r\n]*\r\n", re.IGNORECASE)


def split_members(data: bytes) -> list[bytes]:
    """Return the records of a file of gzip members."""
    records = []
    while data:
        member = zlib.decompressobj(31)
        records.append(member.decompress(data))
        data = member.unused_data
    return records


def run_peer(folder: Path) -> dict[str, Any]:
    """Read with datatrove's WarcReader."""
    from datatrove.pipeline.readers import WarcReader

    begin = time.process_time()
    pages = sum(1 for _ in WarcReader(str(folder), glob_pattern="*.gz", file_progress=False, doc_progress=False).run())
    return {"pages": pages, "seconds": time.process_time() - begin}


def run_ours(folder: Path) -> dict[str, Any]:
    """Index all records and read the HTML pages among them."""
    sys.path.insert(0, str(ROOT))
    import polars as pl

    from mmpipe.storage.places import Place
    from mmpipe.storage.warc import WarcRange, index_range, list_crawl_files, read_payloads

    place = Place(str(folder))
    begin = time.process_time()
    rows = pl.concat(
        index_range("d", place, WarcRange(file, 0, place.join(file).size())) for file in list_crawl_files(place)
    )
    pages = rows.filter((pl.col("kind") == "html") & (pl.col("record_status") == "ok"))
    read = sum(1 for _, payload in read_payloads(place, pages, 20_000_000) if payload.body)
    return {"pages": read, "seconds": time.process_time() - begin}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="the first 300 records of a file")
    arguments.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.side:
        print(json.dumps({"ours": run_ours, "peer": run_peer}[options.side[0]](Path(options.side[1]))))
        return
    if not WEB.is_dir():
        sys.exit(f"skipped: no real crawl files at {WEB}; point MMPIPE_SHARED_DATA at the folder above `web`")
    sys.path.insert(0, str(ROOT))
    from backports import zstd

    cores = pin_cores(1)
    results: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in ("with", "without", "zstd"):
            folder = Path(scratch) / case
            folder.mkdir()
            for file in FILES:
                records = split_members((WEB / file).read_bytes())[: 300 if options.quick else None]
                if case != "with":
                    records = [_GUESS.sub(b"", record) for record in records]
                pack, end = (zstd.compress, ".zst") if case == "zstd" else (gzip.compress, ".gz")
                name = Path(file).name.removesuffix(".gz") + end
                (folder / name).write_bytes(b"".join(pack(record) for record in records))
        for side, python in (("ours", sys.executable), ("peer", find_peer_python())):
            for case in ("with", "without", "zstd") if side == "ours" else ("with", "without"):
                given = ("--side", side, str(Path(scratch) / case))
                results[side, case] = run_side(python, Path(__file__), *given)
    rows = [[side, case, found["pages"], found["pages"] / found["seconds"]] for (side, case), found in results.items()]
    print_table(["side", "guess of the type", "HTML pages", "pages per second"], rows)
    ours, peer = results["ours", "without"], results["peer", "without"]
    extra = {f"{side}_pages_{case}": found["pages"] for (side, case), found in results.items()}
    print_result(
        "warc_reading",
        ours["pages"] / ours["seconds"],
        peer["pages"] / peer["seconds"],
        "pages/s",
        f"{', '.join(FILES)} without WARC-Identified-Payload-Type; peer: WarcReader of datatrove 0.10.1",
        cores,
        **extra,
    )


if __name__ == "__main__":
    main()
