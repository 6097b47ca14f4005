"""The release of interleaved documents over all dumps: rows, OBELICS and MMC4 files, and the pictures they name."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.present_pictures import read_present
from mmpipe.lanes.ready_dumps import list_ready
from mmpipe.lanes.release_recipes import list_dump_recipes, tell_release_recipe
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.interleaved import INTERLEAVED_DOCUMENTS
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.places import Place
    from mmpipe.storage.shards import Production

_INPUTS = (INTERLEAVED_DOCUMENTS, FILTERED_IMAGE_PAIRS)
_IMAGES = "images"
#: Pictures that are held at once.
_PICTURES_AT_ONCE = 64
_LAYOUTS = {
    "obelics": ("release/obelics/*.parquet", "OBELICS' parallel lists `texts` and `images`, also as JSON lines"),
    "mmc4": ("release/mmc4/*.jsonl", "MMC4's documents: sentences, and pictures with the sentence each goes with"),
}


def release_documents(run: StageRun) -> Production:
    """Write the kept documents of all dumps as files, and the rows that name them."""
    from mmpipe.release.interleaved import list_repeated_urls

    formats = run.recipe.image_release.interleaved_formats
    ready = list_ready(run, *_INPUTS)
    scans = [documents.scan().select("url") for documents, _ in ready]
    repeated = list_repeated_urls(pl.concat(scans)) if scans and "mmc4" in formats else frozenset()
    folder = run.read(run.stage.table).folder.join("release")
    inputs: dict[str, str] = {}
    work: list[ShardWork] = []
    for documents, pairs in ready:
        inputs |= fingerprint_inputs(documents, pairs)
        of_pairs = pairs.require_manifest().fingerprint
        for commit in documents.require_manifest().commits:
            urls = documents.scan_shard(commit.shard).select("url").collect().get_column("url")
            again = sorted(repeated.intersection(urls))
            identity = digest_settings([commit.file_digest, of_pairs, sorted(formats), again])
            arguments = (documents, pairs, commit.shard, len(work), formats, again, run.lake, run.knobs.cache_folder,
                         folder)  # fmt: skip
            work.append(ShardWork(f"{documents.dump}-{commit.shard}", identity, arguments))
    production = run.write(work, documents_shard, inputs=inputs)
    finish_release(run, production, folder)
    return production


def documents_shard(
    documents: Dataset,
    pairs: Dataset,
    shard: str,
    number: int,
    formats: tuple[str, ...],
    repeated: list[str],
    lake: Lake,
    cache_folder: str,
    folder: Place,
) -> ShardResult:
    """Write the files of one shard. A picture that is gone since it was kept stays in its document by its URL."""
    rows = documents.read_shard(shard)
    named = rows.select(pair_id=pl.col("images").explode()).drop_nulls().get_column("pair_id").unique().sort()
    known = pairs.read_rows(named.to_list(), FILTERED_IMAGE_PAIRS.column_names)
    paths = write_pictures(known, lake, cache_folder, folder)
    stem = f"{documents.dump}-{shard}"
    if "obelics" in formats:
        write_obelics(rows, known, paths, folder.join("obelics"), stem)
    if "mmc4" in formats:
        write_mmc4(rows, known, repeated, folder.join("mmc4"), number)
    files = [[paths.get(pair_id) for pair_id in images] for images in rows.get_column("images")]
    frame = rows.with_columns(image_files=pl.Series(files, dtype=pl.List(pl.String)))
    counts = {"pictures": len(paths), "vanished_pictures": named.len() - len(paths)}
    return ShardResult(frame.select(INTERLEAVED_DATASET.column_names), rows.height, counts=counts)


def write_pictures(pairs: pl.DataFrame, lake: Lake, cache_folder: str, folder: Place) -> dict[str, str]:
    """Write the pictures of pairs, equal ones once, and return the path of each below `release/` by pair_id."""
    from mmpipe.release.interleaved import name_picture

    paths: dict[str, str] = {}
    for part in pairs.iter_slices(_PICTURES_AT_ONCE):
        present = read_present(part, lake, cache_folder)
        for pair in part.iter_rows(named=True):
            data = present.get(pair["pair_id"])
            if data is None:
                continue
            paths[pair["pair_id"]] = f"{_IMAGES}/{name_picture(pair)}"
            folder.join(paths[pair["pair_id"]]).write_bytes(data)
    return paths


def write_obelics(rows: pl.DataFrame, pairs: pl.DataFrame, paths: Mapping[str, str], folder: Place, stem: str) -> None:
    """Write documents as OBELICS rows, as Parquet and as JSON lines."""
    import pyarrow.parquet as pq

    from mmpipe.release.interleaved import convert_obelics_to_arrow, render_obelics, render_obelics_jsonl

    rendered = render_obelics(rows, pairs, image_paths=paths)
    with folder.join(f"{stem}.parquet").replace_file() as path:
        pq.write_table(convert_obelics_to_arrow(rendered), path, compression="zstd")
    _write_lines(folder.join(f"{stem}.jsonl"), render_obelics_jsonl(rendered))


def write_mmc4(rows: pl.DataFrame, pairs: pl.DataFrame, repeated: list[str], folder: Place, number: int) -> None:
    """Write documents as MMC4 has them."""
    from mmpipe.release.interleaved import name_mmc4_shard, render_mmc4

    lines = render_mmc4(rows, pairs, repeated_urls=frozenset(repeated))
    _write_lines(folder.join(name_mmc4_shard(number)), lines)


def _write_lines(place: Place, lines: Iterator[str]) -> None:
    with place.replace_file() as path, path.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)


def finish_release(run: StageRun, production: Production, folder: Place) -> None:
    """Remove files that nobody wants any more, and write the card."""
    from mmpipe.release.dataset_card import render_card
    from mmpipe.release.interleaved import name_mmc4_shard

    dataset = run.read(run.stage.table)
    formats = run.recipe.image_release.interleaved_formats
    commits = production.manifest.commits
    names = dataset.scan().select(pl.col("image_files").explode()).drop_nulls().unique().collect()
    wanted = set(names.get_column("image_files"))
    for number, commit in enumerate(commits):
        if "obelics" in formats:
            wanted |= {f"obelics/{commit.shard}.{suffix}" for suffix in ("parquet", "jsonl")}
        if "mmc4" in formats:
            wanted.add(f"mmc4/{name_mmc4_shard(number)}")
    for path in itertools.filterfalse(wanted.__contains__, list(folder.list_files())):
        folder.join(path).remove()
    folder.remove_empty_folders()
    dataset.folder.join("README.md").write_text(render_card(describe_documents(run, production)))


def describe_documents(run: StageRun, production: Production) -> Any:
    """Return what the card of the released documents tells."""
    from mmpipe.release.dataset_card import Card

    manifest = production.manifest
    formats = run.recipe.image_release.interleaved_formats
    dumps = sorted({str(documents.dump) for documents, _ in list_ready(run, *_INPUTS)})
    loaded = "release/obelics/*.parquet" if "obelics" in formats and manifest.rows_out else "part-*.parquet"
    return Card(
        table=run.stage.table,
        rows={"default": manifest.rows_out},
        files={"default": [loaded]},
        recipe=tell_release_recipe(run, manifest.recipe),
        dump_recipes=list_dump_recipes(run, _INPUTS, dumps),
        funnel=[("kept documents", manifest.rows_in), ("released documents", manifest.rows_out)],
        rejected={"vanished_pictures": int(manifest.counts.get("vanished_pictures", 0))},
        dumps=dumps,
        tasks=("image-to-text", "text-generation"),
        tags=("image-text", "interleaved", "mmpipe"),
        layouts=[(name, f"`{place}`: {told}") for name, (place, told) in _LAYOUTS.items() if name in formats],
        licence_note=(
            "Pictures and texts belong to their authors; a crawl grants no licence to them. Pictures may show people. "
            "`mmpipe trace ID` names the page and the records that a document was taken from."
        ),
    )


INTERLEAVED_RELEASE = Stage(INTERLEAVED_DATASET, _INPUTS, release_documents, ("image_release",), is_per_dump=False)
