"""The release of image-text pairs over all dumps: rows and the files that trainers read, shard by shard."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ShardError
from mmpipe.lanes.image_release_files import (
    IMAGES,
    NAMING_PICTURES,
    RECORDS,
    RELEASED_FROM,
    finish_release,
    is_wanted,
)
from mmpipe.lanes.present_pictures import find_picture_fault, read_present
from mmpipe.lanes.ready_dumps import list_ready
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_release import IMAGE_DATASET, OTHER_CAPTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.filtering.image_sections import ImageReleaseSettings
    from mmpipe.release.pair_parquet import PairParquetWriter
    from mmpipe.release.webdataset_tars import TarWriter
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.places import Place
    from mmpipe.storage.shards import Production

#: Pairs whose pictures are held at once.
PAIRS_AT_ONCE = 64
#: A shard of as many pairs of which no picture can be read lost its dump, not its pictures.
_OUTAGE_PAIRS = 8
_ORDERED = "ordered"


def release_pairs(run: StageRun) -> Production:
    """Write the kept pairs of all dumps as files, `pairs_per_file` to a shard, and the rows that name them.

    A shard holds pictures of one format, for `datasets` reads a set of tars only if all their samples have the same
    members. Within it pairs lie in the order of their ids, which are digests: a shard mixes the hosts of its dump,
    whatever the order of its files. Each file appears whole, a shard's record after its files; a shard whose wanted
    files are all there is not read again, so that a format may be dropped for nothing and added at the price of one
    reading.
    """
    settings = run.recipe.image_release
    dataset = run.read(run.stage.table)
    folder = dataset.folder.join("release")
    work: list[ShardWork] = []
    inputs: dict[str, str] = {}
    for pairs, captions in list_ready(run, *RELEASED_FROM):
        inputs |= fingerprint_inputs(pairs, captions)
        ordered = order_pairs(pairs, captions, dataset.folder.join(_ORDERED))
        for start, count in cut_by_format(pairs, settings.pairs_per_file):
            shard = f"{len(work):05d}"
            identity = digest_settings([fingerprint_inputs(pairs, captions), start, count, settings.captions])
            arguments = (ordered, start, count, shard, identity, settings, run.lake, run.knobs.cache_folder, folder)
            work.append(ShardWork(shard, identity, arguments))
    forget_unrendered(dataset, folder, work, settings.formats)
    production = run.write(work, pairs_shard, inputs=inputs)
    for path in list(dataset.folder.join(_ORDERED).list_files()):
        dataset.folder.join(_ORDERED, path).remove()
    finish_release(run, production, folder)
    return production


def cut_by_format(pairs: Dataset, most: int) -> Iterator[tuple[int, int]]:
    """Yield (first row, rows) of each shard of a dump's ordered pairs: at most `most`, all of one format."""
    formats = pairs.scan().group_by("image_format").len().sort("image_format").collect(engine="streaming")
    first = 0
    for rows in formats.get_column("len"):
        yield from ((first + start, min(most, rows - start)) for start in range(0, rows, most))
        first += rows


def order_pairs(pairs: Dataset, captions: Dataset, folder: Place) -> Place:
    """Sort a dump's pairs by format and id into one file, out of core, with what image_captions holds of each."""
    label = digest_settings(fingerprint_inputs(pairs, captions))
    place = folder.join(f"{label}.parquet")
    if place.is_file():
        return place
    texts = captions.scan()
    judged_noise = texts.filter((pl.col("reason") == "unmatched_caption") & ~pl.col("is_crawl_caption"))
    others = (
        texts.filter(pl.col("is_kept") & pl.col("image_consistent") & ~pl.col("is_crawl_caption"))
        # what one method wrote another may have judged: the same text stands once, with its score, or not at all
        .join(judged_noise, on=["pair_id", "caption"], how="anti")
        .group_by("pair_id", "caption")
        .agg(pl.col("method", "match_probability", "caption_id").sort_by("match_probability", "caption_id",
             descending=[True, False], nulls_last=True).first())
        .group_by("pair_id")
        .agg(other_captions=pl.struct("caption", "method", "match_probability").sort_by(
             "match_probability", "caption_id", descending=[True, False], nulls_last=True))
    )  # fmt: skip
    refused = texts.filter("is_crawl_caption").group_by("pair_id").agg(is_refused=(~pl.col("is_kept")).any())
    frame = (
        pairs.scan()
        .join(others, on="pair_id", how="left")
        .join(refused, on="pair_id", how="left")
        .with_columns(
            pl.col("other_captions").fill_null(pl.lit([], dtype=pl.List(OTHER_CAPTION))),
            pl.col("is_refused").fill_null(value=False),
        )
        .sort("image_format", "pair_id")
    )
    with place.replace_file() as path:
        frame.sink_parquet(path, row_group_size=4096)
    return place


def forget_unrendered(dataset: Dataset, folder: Place, work: Sequence[ShardWork], formats: Sequence[str]) -> None:
    """Drop the commits of shards whose files are not all there, so that they are made again.

    A format may be wanted now that was not before, and a refused dataset loses its files.
    """
    with dataset.lock():
        lacking = {item.shard for item in work if not _is_rendered(folder, item, formats)}
        for key, commit in dataset.find_commits().items():
            if commit.shard in lacking:
                dataset.folder.join("commits", f"{commit.shard}-{key}.json").remove()


def _is_rendered(folder: Place, item: ShardWork, formats: Sequence[str]) -> bool:
    place = folder.join(RECORDS, f"{item.shard}.json")
    if not place.is_file():
        return False
    record = json.loads(place.read_text())
    if record["inputs"] != item.inputs or not set(formats) <= set(record["formats"]):
        return False
    wanted = {path: size for path, size in record["files"].items() if is_wanted(path, formats)}
    return all(folder.join(path).is_file() and folder.join(path).size() == size for path, size in wanted.items())


# one shard ------------------------------------------------------------------------------------------------------------


def pairs_shard(
    ordered: Place,
    start: int,
    count: int,
    shard: str,
    identity: str,
    settings: ImageReleaseSettings,
    lake: Lake,
    cache_folder: str,
    folder: Place,
) -> ShardResult:
    """Write the files of one shard; a picture that is gone or changed since it was kept is left out, counted by name.

    Raises:
        ShardError: no picture of the shard can be read, so that the dump itself must be gone.
    """
    from mmpipe.release.aspect_buckets import make_bucket_columns

    pairs = _read_ordered(ordered, start, count).with_columns(**make_bucket_columns())
    rows = choose_captions(pairs, shard, settings)
    released: list[dict[str, Any]] = []
    reasons: dict[str, int] = {}
    with ExitStack() as stack:
        files = ShardFiles(folder, shard, settings.formats, stack)
        for row, data, reason in read_pictures(pairs, rows, lake, cache_folder):
            files.add(row, data, reason)
            if data is None:
                reasons[str(reason)] = reasons.get(str(reason), 0) + 1
            else:
                released.append(row | {"image_bytes": len(data)})
        if len(rows) >= _OUTAGE_PAIRS and not released:
            raise ShardError(
                f"None of the {len(rows)} pictures of shard {shard} can be read any more ({reasons}): the dump or the "
                f"image cache is not where it was. Bring it back, or materialize the image lane again."
            )
        files.close()
    # what the files hold is known once they are there, and the record says so last
    record = {"inputs": identity, "formats": sorted(settings.formats), "files": files.measure()}
    folder.join(RECORDS, f"{shard}.json").write_text(json.dumps(record, indent=1, sort_keys=True))
    frame = pl.DataFrame([{name: row[name] for name in IMAGE_DATASET.column_names} for row in released],
                         schema=IMAGE_DATASET.schema)  # fmt: skip
    return ShardResult(frame, len(rows), sum(reasons.values()), reasons)


def _read_ordered(ordered: Place, start: int, count: int) -> pl.DataFrame:
    if ordered.local_path is not None:
        return pl.scan_parquet(ordered.local_path).slice(start, count).collect()
    with ordered.open() as stream:
        return pl.read_parquet(stream).slice(start, count)


def choose_captions(pairs: pl.DataFrame, shard: str, settings: ImageReleaseSettings) -> list[dict[str, Any]]:
    """Return the pairs as rows of image_dataset without `image_bytes`: key, released caption, the others.

    Each row also has `conditioning`: the columns of `release.aspect_buckets`, which only the files hold.
    """
    from mmpipe.release.aspect_buckets import BUCKET_COLUMNS
    from mmpipe.release.webdataset_tars import make_key

    rows = []
    for place, pair in enumerate(pairs.iter_rows(named=True)):
        others = list(pair["other_captions"])
        caption, origin = pair["caption"], pair["caption_source"]
        if settings.captions == "matched" and pair["is_refused"]:
            judged = [other for other in others if other["match_probability"] is not None]
            if judged:
                caption, origin = judged[0]["caption"], judged[0]["method"]
        rows.append(
            {name: pair[name] for name in IMAGE_DATASET.column_names if name in pair}
            | {
                "key": make_key(int(shard), place, settings.pairs_per_file),
                "caption": caption,
                "caption_origin": origin,
                "crawl_caption": pair["caption"],
                "other_captions": [other for other in others if other["caption"] != caption],
                "licence": "unknown",
                "conditioning": {name: pair[name] for name in BUCKET_COLUMNS},
            }
        )
    return rows


def read_pictures(
    pairs: pl.DataFrame, rows: Sequence[dict[str, Any]], lake: Lake, cache_folder: str
) -> Iterator[tuple[dict[str, Any], bytes | None, str | None]]:
    """Yield (row, bytes, None) or (row, None, reason) in the order of the rows; a few pictures are held at once."""
    for number, batch in enumerate(pairs.iter_slices(PAIRS_AT_ONCE)):
        found = read_present(batch, lake, cache_folder)
        for row in rows[number * PAIRS_AT_ONCE : (number + 1) * PAIRS_AT_ONCE]:
            data = found.get(row["pair_id"])
            fault = find_picture_fault(data, row["image_sha256"])
            yield row, data if fault is None else None, fault


@dataclass(slots=True)
class ShardFiles:
    """The files of one shard while they are written: each under a temporary name until all pairs are in."""

    folder: Place
    shard: str
    formats: Sequence[str]
    stack: ExitStack
    paths: list[str] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.time)
    _tar: TarWriter | None = None
    _parquet: PairParquetWriter | None = None

    def __post_init__(self) -> None:
        from mmpipe.release.pair_parquet import PairParquetWriter
        from mmpipe.release.webdataset_tars import TarWriter

        if "webdataset" in self.formats:
            path = self.stack.enter_context(self._place(f"webdataset/{self.shard}.tar").replace_file())
            self._tar = TarWriter(self.stack.enter_context(path.open("wb")))
        if "parquet" in self.formats:
            path = self.stack.enter_context(self._place(f"parquet/{self.shard}.parquet").replace_file())
            self._parquet = PairParquetWriter(path)

    def _place(self, path: str) -> Place:
        self.paths.append(path)
        return self.folder.join(path)

    def add(self, row: dict[str, Any], data: bytes | None, reason: str | None) -> None:
        """Add a pair to every format; one without bytes only to the list beside the tar."""
        from mmpipe.release.imagefolder import place_image, render_metadata_line
        from mmpipe.release.webdataset_tars import describe_sample

        if self._tar is not None:
            sample = describe_sample(row, data, error=reason, more=row["conditioning"])
            self.samples.append(sample)
            if data is not None:
                self._tar.add(sample, row["image_format"], data)
        if data is None:
            return
        if self._parquet is not None:
            self._parquet.add(row, data)
        if any(name in self.formats for name in NAMING_PICTURES):
            self._place(f"{IMAGES}/{place_image(row)}").write_bytes(data)
        if "imagefolder" in self.formats:
            self.lines.append(render_metadata_line(row))

    def close(self) -> None:
        """End every file and swap it in whole, the lists beside the tar last."""
        from mmpipe.release.webdataset_tars import list_samples, render_stats

        if self._tar is not None:
            self._tar.close()
        if self._parquet is not None:
            self._parquet.close()
        self.stack.close()
        if "imagefolder" in self.formats:
            self._place(f"{IMAGES}/{self.shard}/metadata.jsonl").write_text("".join(self.lines))
        if self._tar is not None:
            with self._place(f"webdataset/{self.shard}.parquet").replace_file() as path:
                list_samples(self.samples).write_parquet(path)
            stats = render_stats(self.samples, self.started, time.time())
            self._place(f"webdataset/{self.shard}_stats.json").write_text(stats)

    def measure(self) -> dict[str, int]:
        """Return the bytes of every file that was written."""
        return {path: self.folder.join(path).size() for path in self.paths}


IMAGE_RELEASE_LANE = (Stage(IMAGE_DATASET, RELEASED_FROM, release_pairs, is_per_dump=False),)
