"""Which edits of real pictures are found to be the same picture at up to 10 bits, and which other pictures are, too.

Every picture is edited in seven ways. Recall is the share of edits that are taken for their picture; precision the
share of true variants among the pairs of different pictures that are. Ours is searched as a dump is
(`find_duplicates`): with the upright hash alone, with turned ones, and with trimmed ones too. Beside it the hashes of
imagehash and of imagededup, compared at the same distance. imagehash's is the one that ours is made to equal.

    python benchmarks/image_duplicates.py [--quick] [--images FOLDER] [--bits 10] [--list]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from side_by_side import ROOT, pin_cores, print_result, print_table, run_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

IMAGE_PEERS = ROOT / ".venv-bench-images" / "bin" / "python"
_PEER = Path(__file__).with_name("image_duplicates_peer.py")

#: Pairs that were looked at, of all that any side found at 10 bits, and are one picture: at another size, cut out of
#: its background, thresholded, or in other colours. Two charts, screenshots of two moments and two photographs of alike
#: things are not. By the first digits of names.
VARIANTS = tuple(
    map(
        frozenset,
        [
            ("0e88a5b8", "3e7b4721"),
            ("5a302ef3", "682fc8ce"),
            ("66a46cd3", "a8eae95b"),
            ("818abded", "89e2d653"),
            ("8dcf08a2", "cfbb588c"),
        ],
    )
)


def scale(image: Image.Image, share: float) -> Image.Image:
    """Return the picture at a share of its size."""
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))


def crop(image: Image.Image, share: float) -> Image.Image:
    """Return the picture without a share of each side, half of it at either end."""
    across, down = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((across, down, image.width - across, image.height - down))


def list_edits() -> dict[str, Callable[[Image.Image], Image.Image]]:
    """Return the edits by name."""
    from PIL import Image, ImageEnhance, ImageOps

    return {
        "JPEG q30": lambda image: image,
        "half size": lambda image: scale(image, 0.5),
        "crop 5 %": lambda image: crop(image, 0.05),
        "mirrored": ImageOps.mirror,
        "turned 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
        "border 10 %": lambda image: ImageOps.expand(image, round(0.1 * min(image.size)), "white"),
        "brightness x 1.3": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    }


def write_files(images: Path, folder: Path, most: int) -> dict[str, str]:
    """Write each picture and its edits as files, and return the picture of each file; an original's is its own name."""
    from PIL import Image

    picture_of = {}
    for file in sorted(path for path in images.iterdir() if path.is_file())[:most]:
        with Image.open(file) as opened:
            image = opened.convert("RGBA")
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A"))
        for number, (name, edit) in enumerate([("original", lambda image: image), *list_edits().items()]):
            stem = f"{file.stem}~{number}"
            picture_of[stem] = file.stem
            if name == "JPEG q30":
                edit(flat).save(folder / f"{stem}.jpg", quality=30)
            else:
                edit(flat).save(folder / f"{stem}.png", compress_level=1)
    return picture_of


def measure_files(folder: Path) -> pl.DataFrame:
    """Return the hashes of all files, as a dump's pictures are measured."""
    from mmpipe.filtering.image_pixels import PixelChoice, measure_image

    choice = PixelChoice(orientations=True, trims_borders=True)
    rows = []
    for file in sorted(folder.iterdir()):
        signals = measure_image(file.read_bytes(), 100_000_000, choice).signals
        rows.append(
            {"pair_id": file.stem, **{name: value for name, value in signals.items() if name.startswith("phash")}}
        )
    return pl.DataFrame(rows)


def search(hashes: pl.DataFrame, groups: pl.Series, bits: int, **settings: Any) -> pl.DataFrame:
    """Return what goes, among files with the same group; originals are preferred."""
    from mmpipe.deduplication.image_duplicates import ImageSearch, find_duplicates

    pairs = hashes.with_columns(
        groups.alias("caption"),
        dump=pl.lit("one"),
        dump_sequence=pl.lit(None, dtype=pl.Int64),
        area=pl.col("pair_id").str.ends_with("~0").cast(pl.Float64),
        clip_similarity=pl.lit(None, dtype=pl.Float64),
        caption_chars=pl.lit(None, dtype=pl.Float64),
    )
    with tempfile.TemporaryDirectory() as scratch:
        found = find_duplicates(pairs, ImageSearch(phash_distance=bits, **settings), scratch=Path(scratch)).duplicates
    return found.filter(~pl.col("is_kept"))


def find_ours(hashes: pl.DataFrame, bits: int, **settings: Any) -> tuple[set[str], set[frozenset[str]]]:
    """Return the edits found to be their picture, and the pairs of different pictures found to be one.

    Each edit is searched beside its original alone, and each two originals alone, so that no third decides.
    """
    edits = hashes.filter(~pl.col("pair_id").str.ends_with("~0")).with_columns(group=pl.col("pair_id"))
    originals = hashes.filter(pl.col("pair_id").str.ends_with("~0"))
    beside = edits.select("group", original=pl.col("pair_id").str.replace(r"~\d+$", "~0")).join(
        originals, left_on="original", right_on="pair_id"
    )
    beside = beside.with_columns(pair_id=pl.col("group") + "|" + pl.col("original") + "~0")
    both = pl.concat([edits.select(*hashes.columns, "group"), beside.select(*hashes.columns, "group")])
    found = set(search(both.drop("group"), both.get_column("group"), bits, same_caption=True, **settings)["pair_id"])
    crossed = originals.join(originals, how="cross", suffix="_other").filter(
        pl.col("pair_id") < pl.col("pair_id_other")
    )
    name = pl.col("pair_id") + "|" + pl.col("pair_id_other")
    columns = [column for column in hashes.columns if column != "pair_id"]
    sides = [
        crossed.select(pair_id=name + "|0", group=name, **{column: pl.col(column) for column in columns}),
        crossed.select(pair_id=name + "|1", group=name, **{column: pl.col(f"{column}_other") for column in columns}),
    ]
    two = pl.concat(sides)
    gone = search(two.drop("group"), two.get_column("group"), bits, same_caption=True, **settings)["pair_id"]
    return found, {frozenset(part.removesuffix("~0") for part in pair.split("|")[:2]) for pair in gone}


def find_peers(hashes: dict[str, str], bits: int) -> tuple[set[str], set[frozenset[str]]]:
    """Return the same of plain hashes, compared each with each."""
    values = {name: int(value, 16) for name, value in hashes.items()}

    def is_near(one: str, other: str) -> bool:
        return (values[one] ^ values[other]).bit_count() <= bits

    originals = sorted(name for name in values if name.endswith("~0"))
    found = {name for name in values if name not in originals and is_near(name, name[:-1] + "0")}
    pairs = {
        frozenset((one[:-2], other[:-2]))
        for one in originals
        for other in originals
        if one < other and is_near(one, other)
    }
    return found, pairs


def is_variant(pair: frozenset[str]) -> bool:
    """Return whether both pictures were found by eye to be one."""
    return any(all(any(name.startswith(prefix) for prefix in group) for name in pair) for group in VARIANTS)


def main() -> None:
    """Print recall by edit, and precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="30 pictures")
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "data" / "images" / "files")
    parser.add_argument("--bits", type=int, default=10)
    parser.add_argument("--list", action="store_true", help="print the pairs of different pictures that are found")
    arguments = parser.parse_args()
    if not IMAGE_PEERS.is_file():
        sys.exit("The image lane's peers are not installed: see the Makefile.")
    if not arguments.images.is_dir():
        sys.exit(f"No folder of pictures at {arguments.images}: name one with --images.")
    cores = pin_cores(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        picture_of = write_files(arguments.images, folder, 30 if arguments.quick else sys.maxsize)
        hashes = measure_files(folder)
        peers = run_side(str(IMAGE_PEERS), _PEER, str(folder))
    turned = {"orientations": True}
    sides = {
        "ours": find_ours(hashes, arguments.bits),
        "ours + turned": find_ours(hashes, arguments.bits, **turned),
        "ours + turned + trimmed": find_ours(hashes, arguments.bits, **turned, trims_borders=True),
        **{name: find_peers(values, arguments.bits) for name, values in peers.items()},
    }
    report(sides, len(set(picture_of.values())), arguments, cores)


def report(
    sides: dict[str, tuple[set[str], set[frozenset[str]]]],
    pictures: int,
    arguments: argparse.Namespace,
    cores: list[int],
) -> None:
    """Print the tables."""
    rows: list[list[Any]] = [
        [name, *(sum(stem.endswith(f"~{number}") for stem in found) / pictures for found, _ in sides.values())]
        for number, name in enumerate(list_edits(), 1)
    ]
    recalls = {name: float(np.mean([row[column] for row in rows])) for column, name in enumerate(sides, 1)}
    rows.append(["all edits", *recalls.values()])
    every = set().union(*(pairs for _, pairs in sides.values()))
    true = {name: sum(map(is_variant, pairs)) for name, (_, pairs) in sides.items()}
    rows.append(["pairs of pictures", *(len(pairs) for _, pairs in sides.values())])
    rows.append(["of them variants", *true.values()])
    rows.append(["precision", *(true[name] / len(pairs) if pairs else 1.0 for name, (_, pairs) in sides.items())])
    print_table([f"{pictures} pictures, {arguments.bits} bits", *sides], rows)
    if arguments.list:
        for pair in sorted(map(sorted, every)):
            by = ", ".join(name for name, (_, pairs) in sides.items() if frozenset(pair) in pairs)
            print(f"{'variant' if is_variant(frozenset(pair)) else 'other'}: {' and '.join(pair)} ({by})")
    print_result(
        "image_duplicates", recalls["ours + turned + trimmed"], recalls["imagehash"], "mean recall of edits",
        f"{pictures} pictures, 7 edits each, {arguments.bits} bits", cores, imagededup=round(recalls["imagededup"], 4),
    )  # fmt: skip


if __name__ == "__main__":
    main()
