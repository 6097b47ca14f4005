"""Makes lakes whose tables are given, not run: what release, report and captions read, with pictures in the cache."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.demo.picture_specs import list_specs
from mmpipe.demo.pictures import describe_picture, draw_picture
from mmpipe.filtering.image_signals import measure_pairs
from mmpipe.filtering.judge import judge
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.image_cache import ImageCache
from mmpipe.storage.places import Place
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.keep import count_removed_by_rule
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.columns import Table


def fill_rows(table: Table, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of the table; columns that a row does not name are null, or a plain value where null is refused."""
    plain = {pl.String: "x", pl.Int64: 1, pl.Float64: 0.5, pl.Boolean: False}
    filled = [
        {
            column.name: row.get(column.name, None if column.nullable else plain.get(column.dtype))
            for column in table.columns
        }
        for row in rows
    ]
    return table.conform(pl.DataFrame(filled, schema=table.schema))


def publish(
    lake: Lake, table: Table, dump: str, frame: pl.DataFrame, *, recipe_yaml: str = "name: x\n", **account: Any
) -> None:
    """Publish rows as a dump's dataset whose checks passed; `account` goes to the shard's account."""
    rows_in = account.pop("rows_in", frame.height)
    result = ShardResult(frame, rows_in, accounts_for_rows=False, **account)
    dataset = lake.dataset(table, dump)
    identity = digest_settings([frame.hash_rows(seed=1).to_list(), rows_in])
    produce(
        dataset, [ShardWork("all", identity, (result,))], _return, code_version="1", recipe_yaml=recipe_yaml,
        inputs={}, engine=Engine(),
    )  # fmt: skip
    dataset.record_verdict([])


def _return(result: ShardResult) -> ShardResult:
    return result


def draw_pairs(
    count: int, *, first: int = 0, formats: Sequence[str] = ("jpeg", "png", "webp")
) -> list[tuple[bytes, str, str]]:
    """Return (bytes, format, true caption) of drawn pictures."""
    drawn = []
    for place, spec in enumerate(list_specs(7)[first : first + count]):
        image_format = formats[place % len(formats)]
        buffer = io.BytesIO()
        draw_picture(spec).save(buffer, image_format)
        drawn.append((buffer.getvalue(), image_format, describe_picture(spec, place)))
    return drawn


def list_pair_rows(dump: str, drawn: Sequence[tuple[bytes, str, str]], cache_folder: str) -> list[dict[str, Any]]:
    """Put pictures into the cache and return what tables say of their pairs."""
    cache = ImageCache(Place(cache_folder).join("images"))
    rows = []
    for place, (data, image_format, caption) in enumerate(drawn):
        url = f"https://pictures.example/{dump}/{place}.{image_format}"
        cache.store(url, data)
        width, height = read_size(data)
        rows.append(
            {
                "pair_id": make_id("pair", dump, place),
                "doc_id": make_id("doc", dump, place // 3),
                "dump": dump,
                "page_url": f"https://pages.example/{place // 3}",
                "image_url": url,
                "position": place,
                "caption": caption,
                "caption_source": "alt",
                "image_origin": "cache",
                "image_sha256": hashlib.sha256(data).hexdigest(),
                "image_format": image_format,
                "image_width": width,
                "image_height": height,
                "phash": "0" * 16,
            }
        )
    return rows


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height, or 1 x 1 of what is no picture."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data)).size
    except OSError:
        return 1, 1


def add_pairs(lake: Lake, dump: str, drawn: Sequence[tuple[bytes, str, str]], cache_folder: str) -> pl.DataFrame:
    """Publish drawn pictures as the kept pairs of a dump whose bytes are in the cache."""
    record_dump(lake, Dump(dump, f"{lake.root}-crawl", ()))
    frame = fill_rows(FILTERED_IMAGE_PAIRS, list_pair_rows(dump, drawn, cache_folder))
    publish(lake, FILTERED_IMAGE_PAIRS, dump, frame)
    return frame


def add_judged_pairs(
    lake: Lake,
    dump: str,
    drawn: Sequence[tuple[bytes, str, str]],
    cache_folder: str,
    recipe: Recipe,
    signals: Mapping[int, Mapping[str, Any]] | None = None,
) -> pl.DataFrame:
    """Publish pictures as candidates, measured and judged by the recipe's image rules; return the removals.

    `signals` are values by place that a model would measure. Formats of pictures are taken from their bytes.
    """
    record_dump(lake, Dump(dump, f"{lake.root}-crawl", ()))
    rows = list_pair_rows(dump, drawn, cache_folder)
    candidates = fill_rows(IMAGE_CANDIDATES, rows)
    images = [(row["pair_id"], data or None) for row, (data, _, _) in zip(rows, drawn, strict=True)]
    measured = measure_pairs(candidates, images, None, max_pixels=recipe.images.max_pixels)
    known = {rows[place]["pair_id"]: values for place, values in (signals or {}).items()}
    measured = measured.with_columns(
        pl.Series(
            name,
            [
                known.get(pair_id, {}).get(name, value)
                for pair_id, value in measured.select("pair_id", name).iter_rows()
            ],
            dtype=measured.schema[name],
        )
        for name in {name for values in known.values() for name in values}
    )
    removals = judge(measured, recipe.images.rules, key="pair_id", status="decode_status")
    taken = removals.get_column("pair_id").unique()
    text = recipe.dump()
    publish(lake, IMAGE_CANDIDATES, dump, candidates, recipe_yaml=text)
    publish(lake, IMAGE_SIGNALS, dump, measured, recipe_yaml=text)
    by_rule = count_removed_by_rule(removals, key="pair_id")
    publish(
        lake, IMAGE_REMOVALS, dump, removals, recipe_yaml=text, rows_in=len(rows), rows_removed=len(taken),
        removed_by_rule=by_rule,
    )  # fmt: skip
    kept = [row for row in rows if row["pair_id"] not in set(taken)]
    publish(lake, FILTERED_IMAGE_PAIRS, dump, fill_rows(FILTERED_IMAGE_PAIRS, kept), rows_in=len(rows))
    return removals
