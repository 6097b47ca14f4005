"""Decoding, hashing and measuring pictures against Data-Juicer's operators on the same files and one core.

    python benchmarks/image_signals.py [--quick] [--images FOLDER]

Data-Juicer's operators that measure a picture without weights: `image_shape_filter`, `image_aspect_ratio_filter`,
`image_size_filter`, and `image_deduplicator`, whose phash is imagededup's. It has none for brightness, contrast,
entropy, blur, the commonest colour, animation or orientation; ours measures those too, in the same pass. Each operator
of Data-Juicer loads its pictures anew, as it does by default (`op_fusion: false`); beside it stands the sum with one
loaded picture shared by all (`context`), which fusion does. Only the operators' own functions are timed, without the
data set they run on. Ours is timed twice: one call per picture, and `measure_pairs`, which makes a table of its rows.
Both sides read each file in the time shown. Seconds are CPU seconds. imagehash's own phash of a picture that is decoded
already stands beside ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from side_by_side import IMAGE_BENCH_PYTHON, ROOT, find_peer_python, pin_cores, print_result, print_table, run_side

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = Path(os.environ.get("MMPIPE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "images" / "files"
#: Samples that a batch of Data-Juicer's holds, so that shared pictures fit in memory.
BATCH = 32


def time_rounds(work: Callable[[], object], count: int, rounds: int) -> float:
    """Return files per CPU second, of the best of some rounds after one that is not timed."""
    work()
    best = 0.0
    for _ in range(rounds):
        begin = time.process_time()
        work()
        best = max(best, count / (time.process_time() - begin))
    return best


def run_peer(paths: list[str], rounds: int) -> dict[str, Any]:
    """Run Data-Juicer's operators on each file: each by itself, all, and all with one loaded picture."""
    from data_juicer.ops.deduplicator.image_deduplicator import ImageDeduplicator
    from data_juicer.ops.filter.image_aspect_ratio_filter import ImageAspectRatioFilter
    from data_juicer.ops.filter.image_shape_filter import ImageShapeFilter
    from data_juicer.ops.filter.image_size_filter import ImageSizeFilter
    from data_juicer.utils.constant import Fields

    duplicates = ImageDeduplicator(method="phash")

    def hash_batch(samples: dict[str, list[Any]], context: bool) -> dict[str, list[Any]]:
        # the one operator that takes a sample, and not a batch
        for number, images in enumerate(samples["images"]):
            sample = {"images": images, Fields.context: samples[Fields.context][number]}
            samples["hash"][number] = ImageDeduplicator.compute_hash(duplicates, sample, context=context)
        return samples

    operators: dict[str, Callable[..., Any]] = {
        "image_shape_filter": ImageShapeFilter().compute_stats_batched,
        "image_aspect_ratio_filter": ImageAspectRatioFilter().compute_stats_batched,
        "image_size_filter": ImageSizeFilter().compute_stats_batched,
        "image_deduplicator": hash_batch,
    }

    def run(chosen: list[Callable[..., Any]], context: bool) -> list[Any]:
        stats: list[Any] = []
        for start in range(0, len(paths), BATCH):
            files = paths[start : start + BATCH]
            samples: dict[str, list[Any]] = {
                "images": [[file] for file in files],
                "hash": [None] * len(files),
                Fields.stats: [{} for _ in files],
                Fields.context: [{} for _ in files],
            }
            for operator in chosen:
                samples = operator(samples, context=context)
            stats += samples[Fields.stats]
        return stats

    every = list(operators.values())
    sides = [[int(stat["image_width"][0]), int(stat["image_height"][0])] for stat in run(every, context=False)]
    rates = {
        name: time_rounds(lambda one=one: run([one], context=False), len(paths), rounds)
        for name, one in operators.items()
    }
    return {
        "each": rates,
        "all": time_rounds(lambda: run(every, context=False), len(paths), rounds),
        "fused": time_rounds(lambda: run(every, context=True), len(paths), rounds),
        "sides": sides,
    }


def run_ours(paths: list[str], rounds: int) -> dict[str, Any]:
    """Measure each file in one pass."""
    sys.path.insert(0, str(ROOT))
    import imagehash
    import numpy as np
    import polars as pl
    from PIL import Image

    from mmpipe.filtering.image_hashes import hash_luma
    from mmpipe.filtering.image_pixels import measure_image
    from mmpipe.filtering.image_signals import measure_pairs

    candidates = pl.DataFrame(
        {"pair_id": paths, "caption": ["A picture"] * len(paths), "image_url": paths, "image_detail": None},
        schema_overrides={"image_detail": pl.String},
    )

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                image.load()

    def measure() -> list[Any]:
        return [measure_image(Path(path).read_bytes(), 10**9).signals for path in paths]

    def measure_table() -> pl.DataFrame:
        files = ((path, Path(path).read_bytes()) for path in paths)
        return measure_pairs(candidates, files, None, max_pixels=10**9, decode_threads=1)

    pictures = [Image.open(path).convert("L") for path in paths]
    lumas = [np.asarray(picture) for picture in pictures]
    return {
        "all": time_rounds(measure, len(paths), rounds),
        "table": time_rounds(measure_table, len(paths), rounds),
        "decode": time_rounds(decode, len(paths), rounds),
        "phash": time_rounds(lambda: [hash_luma(luma) for luma in lumas], len(paths), rounds),
        "imagehash": time_rounds(lambda: [imagehash.phash(picture) for picture in pictures], len(paths), rounds),
        "other_hashes": sum(
            hash_luma(luma) != str(imagehash.phash(picture)) for luma, picture in zip(lumas, pictures, strict=True)
        ),
        "sides": [sorted((row["image_width"], row["image_height"])) for row in measure()],
    }


def main() -> None:
    """Run both sides and compare the sizes they see."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer files")
    arguments.add_argument("--images", type=Path, default=FILES)
    arguments.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if not options.images.is_dir():
        sys.exit(f"skipped: no pictures at {options.images}; name a folder with --images")
    paths = [str(path) for path in sorted(options.images.iterdir()) if path.is_file()]
    paths = paths[::4] if options.quick else paths
    if options.side:
        rounds = 1 if options.quick else 3
        print(json.dumps(run_peer(paths, rounds) if options.side == "peer" else run_ours(paths, rounds)))
        return
    cores = pin_cores(1)
    given = ["--images", str(options.images), *(["--quick"] if options.quick else []), "--side"]
    peer = run_side(find_peer_python(IMAGE_BENCH_PYTHON), Path(__file__), *given, "peer")
    ours = run_side(sys.executable, Path(__file__), *given, "ours")
    different = sum(mine != sorted(other) for mine, other in zip(ours["sides"], peer["sides"], strict=True))
    rows = [
        ["mmpipe, all signals of header and pixels", ours["all"]],
        ["mmpipe, the same as a table (measure_pairs)", ours["table"]],
        ["Data-Juicer, the four operators", peer["all"]],
        ["Data-Juicer, one loaded picture for all four", peer["fused"]],
        *([f"Data-Juicer, {name} alone", rate] for name, rate in peer["each"].items()),
        ["Pillow, decoding alone", ours["decode"]],
        ["mmpipe, phash of decoded luma", ours["phash"]],
        ["imagehash, phash of decoded luma", ours["imagehash"]],
    ]
    print_table(
        ["", "files per CPU second", "times Data-Juicer"],
        [[name, round(rate), rate / peer["all"]] for name, rate in rows],
    )
    print(f"{different} of {len(paths)} files of another size; {ours['other_hashes']} hashes other than imagehash's")
    data = f"{len(paths)} real files, every signal of ours; py-data-juicer 1.6.1, four operators, their functions alone"
    print_result(
        "image_signals", ours["all"], peer["all"], "files/s", data, cores, table=round(ours["table"]),
        fused_peer=round(peer["fused"]), decode=round(ours["decode"]), phash=round(ours["phash"]),
        imagehash=round(ours["imagehash"]), mismatches=different, other_hashes=ours["other_hashes"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
