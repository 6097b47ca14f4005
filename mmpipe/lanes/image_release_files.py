"""Finishes the release of image-text pairs: lists that name pictures of all shards, the card, files nobody wants."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.ready_dumps import list_ready
from mmpipe.lanes.release_recipes import list_dump_recipes, tell_release_recipe
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mmpipe.lanes.stage import StageRun
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.places import Place
    from mmpipe.storage.shards import Production

#: Formats whose files name pictures in the folder of picture files.
NAMING_PICTURES = ("imagefolder", "llava", "blip")
#: What pairs are released from.
RELEASED_FROM = (FILTERED_IMAGE_PAIRS, IMAGE_CAPTIONS)
#: Folder of picture files in `release/`, and of what says of each shard which files it wrote.
IMAGES, RECORDS = "images", "records"


def is_wanted(path: str, formats: Sequence[str]) -> bool:
    """Whether a file of the release belongs to one of the formats."""
    top, _, rest = path.partition("/")
    if top == IMAGES:
        # the lines beside the pictures make a folder of pictures an imagefolder
        return "imagefolder" in formats if rest.endswith(".jsonl") else any(name in formats for name in NAMING_PICTURES)
    return top in formats or path.removesuffix(".json") in formats


def finish_release(run: StageRun, production: Production, folder: Place) -> None:
    """Write the lists that name pictures of all shards, and the card; remove files that nobody wants any more."""
    from mmpipe.release.blip_pairs import render_blip
    from mmpipe.release.dataset_card import render_card
    from mmpipe.release.llava_pairs import render_llava

    dataset = run.read(run.stage.table)
    formats = run.recipe.image_release.formats
    records = [f"{RECORDS}/{commit.shard}.json" for commit in production.manifest.commits]
    wanted = set(records)
    for path in records:
        wanted.update(name for name in json.loads(folder.join(path).read_text())["files"] if is_wanted(name, formats))
    for name, render in (("llava", render_llava), ("blip", render_blip)):
        if name in formats:
            _write_pieces(folder.join(f"{name}.json"), render(_list_rows(dataset, production)))
            wanted.add(f"{name}.json")
    for path in list(folder.list_files()):
        if path not in wanted:
            folder.join(path).remove()
    folder.remove_empty_folders()
    dataset.folder.join("README.md").write_text(render_card(describe_pairs(run, production)))


def _write_pieces(place: Place, pieces: Iterable[str]) -> None:
    with place.replace_file() as path, path.open("w", encoding="utf-8") as stream:
        stream.writelines(pieces)


def _list_rows(dataset: Dataset, production: Production) -> Iterator[Mapping[str, Any]]:
    from mmpipe.storage.lake import scan_files

    for commit in production.manifest.commits:
        yield from scan_files([dataset.folder.join(commit.file)], dataset.table).collect().iter_rows(named=True)


#: What `load_dataset(folder)` loads: the first of these that was written.
_LOADED_FIRST = ("parquet", "webdataset", "imagefolder")
#: How each layout is read, for the card.
_LAYOUTS = {
    "parquet": ("release/parquet/*.parquet", "pictures as bytes in the column `image`, captions in `text`"),
    "webdataset": (
        "release/webdataset/*.tar",
        "img2dataset's layout: picture, `.txt` and `.json` under one key; give `datasets` tars of one format at a time",
    ),
    "imagefolder": ("release/images/**", "picture files with `metadata.jsonl` (`file_name`, `text`) per folder"),
    "llava": ("release/llava.json", "LLaVA's conversations; the image folder is `release/images`"),
    "blip": ("release/blip.json", "BLIP's list of `image` and `caption`; the image folder is `release/images`"),
}


def describe_pairs(run: StageRun, production: Production) -> Any:
    """Return what the card of the released pairs tells."""
    from mmpipe.release.dataset_card import Card

    manifest = production.manifest
    formats = run.recipe.image_release.formats
    dumps = [str(pairs.dump) for pairs, _ in list_ready(run, *RELEASED_FROM)]
    rows, files = list_configurations(run.read(run.stage.table), formats)
    return Card(
        table=run.stage.table,
        rows=rows,
        files=files,
        recipe=tell_release_recipe(run, manifest.recipe),
        dump_recipes=list_dump_recipes(run, RELEASED_FROM, dumps),
        funnel=[("kept pairs", manifest.rows_in), ("released pairs", manifest.rows_out)],
        rejected=manifest.removed_by_rule,
        dumps=dumps,
        tasks=("image-to-text", "text-to-image"),
        tags=("image-text", "mmpipe"),
        layouts=[(name, f"`{place}`: {told}") for name, (place, told) in _LAYOUTS.items() if name in formats],
        licence_note=(
            "Pictures and texts belong to their authors; a crawl grants no licence to them, and the licence of every "
            "picture is unknown. Pictures may show people. `mmpipe trace ID` names the page and the record that a pair "
            "was taken from."
        ),
    )


def list_configurations(dataset: Dataset, formats: Sequence[str]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return rows and files of what `load_dataset(folder)` loads: one layout, tars by the format of their pictures."""
    from mmpipe.release.webdataset_tars import SHARD_DIGITS, find_extension

    loaded = next((name for name in _LOADED_FIRST if name in formats), None)
    shards = (
        dataset.scan()
        .group_by("image_format", shard=pl.col("key").str.slice(0, SHARD_DIGITS))
        .len()
        .sort("shard")
        .collect(engine="streaming")
    )
    if loaded != "webdataset":
        place = _LAYOUTS[loaded][0] if loaded else "part-*.parquet"
        return {"default": int(shards.get_column("len").sum())}, {"default": [place]}
    rows: dict[str, int] = {}
    files: dict[str, list[str]] = {}
    for image_format, shard, count in shards.select("image_format", "shard", "len").iter_rows():
        name = find_extension(image_format)
        rows[name] = rows.get(name, 0) + count
        files.setdefault(name, []).append(f"release/webdataset/{shard}.tar")
    return rows, files
