"""`mmpipe pictures`: hashes evaluation images for a recipe's list, and trains a score of one's own from labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.commands.report import read_labels
from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.tables.images import IMAGE_SIGNALS

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.models.head_training import HeadReport, Kind
    from mmpipe.storage.lake import Lake

#: Kinds of hashes, to the signal that holds them.
HASHES = {"phash": "phash", "sha256": "image_sha256", "md5": "image_md5"}
_MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class HashedPictures:
    """A list of hashes that was written.

    Attributes:
        file: the list.
        pictures: files that were hashed.
        hashes: different hashes among them.
        unreadable: files that are no picture or cannot be decoded, with what they are.
    """

    file: Path
    pictures: int
    hashes: int
    unreadable: dict[str, str]


def hash_pictures(folder: Path, out: Path, *, kind: str = "phash", name: str = "", licence: str = "") -> HashedPictures:
    """Write the hashes of all pictures of a folder and those below it, one per line, sorted.

    Args:
        folder: pictures, such as an evaluation set's.
        out: the list, for `images: {duplicates: {evaluation_hashes: [...]}}`.
        kind: `phash` finds copies of another size or quality, `sha256` and `md5` the same file only.
        name: of the set, written at the head of the list.
        licence: of the set.

    Raises:
        ConfigurationError: no such folder or kind, or no picture in it.
    """
    from mmpipe.filtering.image_pixels import measure_image

    if kind not in HASHES:
        raise ConfigurationError(f"Unknown kind of hash {kind!r}: one of {', '.join(HASHES)}.")
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder of pictures.")
    found: set[str] = set()
    unreadable: dict[str, str] = {}
    pictures = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        measured = measure_image(path.read_bytes(), _MAX_PIXELS)
        value = measured.signals.get(HASHES[kind])
        if measured.status != "ok" or value is None:
            unreadable[path.relative_to(folder).as_posix()] = measured.status
            continue
        pictures += 1
        found.add(str(value))
    if not found:
        raise ConfigurationError(f"{folder} holds no picture that can be read ({len(unreadable)} other files).")
    head = [f"# {kind} of {pictures} pictures of {name or folder.name}, made by `mmpipe pictures hash`"]
    head += [f"# licence: {' '.join(licence.split())}"] if licence.strip() else []
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join([*head, *sorted(found)]) + "\n", encoding="utf-8")
    return HashedPictures(out, pictures, len(found), unreadable)


def train_score(lake: Lake, labels: Path, out: Path, *, column: str = "label", kind: Kind = "linear") -> HeadReport:
    """Train a head on the stored embeddings of labelled pairs, and save it in a folder.

    Args:
        lake: where image_signals are.
        labels: `pair_id` and a number per pair: 0 and 1 for a probability (watermark, NSFW), else a rating.
        out: folder of the head: what MMPIPE_AESTHETIC, MMPIPE_WATERMARK or MMPIPE_NSFW names.
        column: of the labels.
        kind: `linear` or `mlp`.

    Raises:
        ConfigurationError: labels without these columns, embeddings of several CLIP models, or too few of them.
        DatasetNotReady: no image_signals are stored.
    """
    import numpy as np

    from mmpipe.models.head_training import train_head

    sample = read_labels(labels)
    for name in ("pair_id", column):
        if name not in sample.columns:
            raise ConfigurationError(f"{labels}: no column {name!r}; there are {', '.join(sample.columns)}.")
    try:
        wanted = sample.select(pl.col("pair_id").cast(pl.String), label=pl.col(column).cast(pl.Float64)).drop_nulls()
    except pl.exceptions.InvalidOperationError as error:
        raise ConfigurationError(f"{labels}: {column!r} must hold numbers.") from error
    dumps = lake.list_dumps(IMAGE_SIGNALS)
    if not dumps:
        raise DatasetNotReady(f"No image_signals are stored in {lake.root}. Materialize them with a CLIP model first.")
    signals = pl.concat(
        lake.dataset(IMAGE_SIGNALS, dump).scan().select("pair_id", "image_embedding", "clip_weights") for dump in dumps
    )
    rows = signals.join(wanted.lazy().unique("pair_id"), on="pair_id").drop_nulls("image_embedding").collect()
    models = rows.get_column("clip_weights").unique().to_list()
    if len(models) > 1:
        raise ConfigurationError(
            f"The labelled pictures have embeddings of {len(models)} CLIP models. Measure all dumps with one: set "
            f"MMPIPE_CLIP and materialize image_signals."
        )
    stored = rows.get_column("image_embedding").to_list()
    embeddings = np.stack([np.frombuffer(each, "<f2") for each in stored]) if stored else np.empty((0, 0), np.float16)
    return train_head(embeddings.astype(np.float32), rows.get_column("label").to_numpy(), kind=kind, folder=out)
