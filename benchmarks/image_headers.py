"""Header-first sizing and filtering of pictures against img2dataset's resizer, on the same files and one core.

    python benchmarks/image_headers.py [--quick] [--images FOLDER]

Both sides read each file and decide by the same limits: shorter side of 200 pixels or more, longer over shorter side of
3 or less. img2dataset's `Resizer` decodes a picture before it tests it; of its modes, `no` with `skip_reencode` is the
cheapest that filters, and its figure is the peer's. The others re-encode what is kept: `no`, and `keep_ratio` to 256
pixels, which is what it is mostly run for. Ours: header and rules alone, and the lane's own path, which hashes
the file too. Decisions are compared file by file. Seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from side_by_side import (
    IMAGE_BENCH_PYTHON,
    ROOT,
    find_peer_python,
    pin_cores,
    print_result,
    print_table,
    run_side,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "images" / "files"
MIN_SIDE, MAX_RATIO = 200, 3.0


def time_files(paths: list[Path], decide: Callable[[bytes], bool], rounds: int) -> tuple[float, list[bool]]:
    """Return files per CPU second, of the best round, and what was decided; files are read in each round."""
    decided = [decide(path.read_bytes()) for path in paths]
    best = 0.0
    for _ in range(rounds):
        begin = time.process_time()
        for path in paths:
            decide(path.read_bytes())
        best = max(best, len(paths) / (time.process_time() - begin))
    return best, decided


def run_peer(paths: list[Path], rounds: int) -> dict[str, Any]:
    """Filter with img2dataset's Resizer in its modes."""
    from img2dataset.resizer import Resizer

    limits = {"min_image_size": MIN_SIDE, "max_aspect_ratio": MAX_RATIO}
    modes = {
        "no, skip_reencode": Resizer(256, "no", False, skip_reencode=True, **limits),
        "no": Resizer(256, "no", False, **limits),
        "keep_ratio": Resizer(256, "keep_ratio", True, **limits),
    }
    result: dict[str, Any] = {}
    for name, resizer in modes.items():
        rate, kept = time_files(paths, lambda data, resizer=resizer: resizer(io.BytesIO(data))[-1] is None, rounds)
        result[name] = {"rate": rate, "kept": kept}
    return result


def run_ours(paths: list[Path], rounds: int) -> dict[str, Any]:
    """Filter by the header with rules, as the lane does."""
    sys.path.insert(0, str(ROOT))
    from mmpipe.filtering.image_headers import read_header
    from mmpipe.filtering.image_pixels import measure_image
    from mmpipe.filtering.image_verdicts import decide_by_header
    from mmpipe.filtering.rules import Rule

    passes = decide_by_header(
        [
            Rule(name="side", signal="image_min_side", low=MIN_SIDE, source="benchmark"),
            Rule(name="ratio", signal="image_aspect_ratio", high=MAX_RATIO, source="benchmark"),
        ]
    )
    unsure = 0

    def decide(data: bytes) -> bool:
        nonlocal unsure
        header = read_header(data)
        if header is None:  # Pillow opens it
            unsure += 1
            return measured(data)
        shorter, longer = sorted((header.width, header.height))
        return passes({"image_min_side": shorter, "image_aspect_ratio": longer / shorter})

    def measured(data: bytes) -> bool:
        asked: list[bool] = []

        def ask(signals: Any) -> bool:
            asked.append(passes(signals))
            return False

        measure_image(data, 10**9, header_rules=ask)
        return asked[0]

    rate, kept = time_files(paths, decide, rounds)
    unsure = 0
    for path in paths:
        decide(path.read_bytes())
    lane, kept_by_lane = time_files(paths, measured, rounds)
    assert kept == kept_by_lane
    begin = time.process_time()
    for _ in range(rounds):
        for path in paths:
            path.read_bytes()
    reading = rounds * len(paths) / (time.process_time() - begin)
    return {"rate": rate, "kept": kept, "lane": lane, "reading": reading, "unsure": unsure}


def main() -> None:
    """Run both sides and compare what they keep."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer files")
    arguments.add_argument("--images", type=Path, default=FILES)
    arguments.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if not options.images.is_dir():
        sys.exit(f"skipped: no pictures at {options.images}; name a folder with --images")
    paths = sorted(path for path in options.images.iterdir() if path.is_file())
    paths = paths[::4] if options.quick else paths
    if options.side:
        rounds = 1 if options.quick else 3
        result = run_peer(paths, rounds) if options.side == "peer" else run_ours(paths, 10 * rounds)
        print(json.dumps(result))
        return
    cores = pin_cores(1)
    given = ["--images", str(options.images), *(["--quick"] if options.quick else []), "--side"]
    peer = run_side(find_peer_python(IMAGE_BENCH_PYTHON), Path(__file__), *given, "peer")
    ours = run_side(sys.executable, Path(__file__), *given, "ours")
    cheapest = peer["no, skip_reencode"]
    different = sum(mine != other for mine, other in zip(ours["kept"], cheapest["kept"], strict=True))
    rows = [
        ["mmpipe, header and rules", round(ours["rate"]), sum(ours["kept"]), ours["rate"] / cheapest["rate"]],
        ["mmpipe, with digests of the file", round(ours["lane"]), sum(ours["kept"]), ours["lane"] / cheapest["rate"]],
        *(
            [f"img2dataset, {name}", round(side["rate"]), sum(side["kept"]), side["rate"] / cheapest["rate"]]
            for name, side in peer.items()
        ),
        ["reading the files alone", round(ours["reading"]), "-", ours["reading"] / cheapest["rate"]],
    ]  # fmt: skip
    print_table(["", "files per CPU second", "kept", "times the cheapest"], rows)
    print(f"{different} of {len(paths)} files decided otherwise; {ours['unsure']} headers left to Pillow")
    data = (
        f"{len(paths)} real files, side >= {MIN_SIDE}, ratio <= {MAX_RATIO:g}; img2dataset 1.47.0, no + skip_reencode"
    )
    print_result(
        "image_headers", ours["rate"], cheapest["rate"], "files/s", data, cores,
        with_digests=round(ours["lane"]), keep_ratio=round(peer["keep_ratio"]["rate"]), mismatches=different,
    )  # fmt: skip


if __name__ == "__main__":
    main()
