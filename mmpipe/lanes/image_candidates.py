"""Finds the image-text pairs of a dump, in its pages and its lists of pairs, and where each picture's bytes are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.lanes.pages import open_crawl
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.storage.takedowns import read_takedowns
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings, make_id
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.takedowns import TAKEN_DOWN, withhold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.pair_lists import ListedPair, ListRange
    from mmpipe.storage.payloads import Payload
    from mmpipe.storage.shards import Production

# what a pair has before its picture is looked for; `problem` says why there can be none
_FOUND = {
    name: dtype
    for name, dtype in IMAGE_CANDIDATES.schema.items()
    if name
    not in ("dump", "image_origin", "image_detail", "image_doc_id", "image_warc_file", "image_warc_offset",
            "image_sha256")
} | {"problem": pl.String(), "is_file": pl.Boolean()}  # fmt: skip


def find_candidates(run: StageRun) -> Production:
    """Find every captioned image of the dump's pages and lists, and where its bytes are."""
    assert run.dump is not None
    crawl = run.read(RAW_CRAWL)
    dump = read_dump(run.lake, run.dump)
    # an image may stand in any file of the dump, so every shard depends on the whole index
    fingerprint = [commit.key for commit in crawl.require_manifest().commits]
    knobs = run.knobs
    extra = digest_settings([fingerprint, knobs.fetch_images])
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, dump.root, run.recipe, knobs, None))
        for item in follow_shards(crawl, extra=extra)
    ]
    work += _cut_lists(crawl, dump.root, dump.files, run, extra)
    work = _ask_again(run.read(IMAGE_CANDIDATES), work) if knobs.fetch_images else work
    # a polite fetch keeps its per-host delays in one process
    return run.write(work, candidates_shard, inputs=fingerprint_inputs(crawl), is_in_process=knobs.fetch_images)


def _ask_again(before: Dataset, work: list[ShardWork]) -> list[ShardWork]:
    """Let shards whose fetch failed in passing be made once more; what was fetched or refused then is in the cache."""
    manifest = before.find_manifest()
    counts = {commit.shard: commit.counts for commit in manifest.commits} if manifest else {}
    again = []
    for item in work:
        last = counts.get(item.shard, {})
        tries = int(last.get("fetches", 0)) + (last.get("fetch_failed_in_passing", 0) > 0)
        inputs = digest_settings([item.inputs, tries]) if tries else item.inputs
        again.append(ShardWork(item.shard, inputs, (*item.arguments, tries)))
    return again


def _cut_lists(crawl: Dataset, root: str, files: tuple[str, ...], run: StageRun, extra: str) -> list[ShardWork]:
    from mmpipe.storage.pair_lists import cut_list, is_pair_list

    place = open_crawl(root, run.knobs.cache_folder)
    work = []
    for number, file in enumerate(path for path in files if is_pair_list(path)):
        identity = place.join(file).identify()
        for part, rows in enumerate(cut_list(place, file)):
            inputs = digest_settings([file, identity, rows.start, rows.stop, extra])
            shard = f"list-{number:05d}-{part:04d}"
            work.append(ShardWork(shard, inputs, (crawl, shard, root, run.recipe, run.knobs, rows)))
    return work


def candidates_shard(
    crawl: Dataset,
    shard: str,
    root: str,
    recipe: Recipe,
    knobs: Knobs,
    listed: ListRange | None = None,
    tries: int = 0,
) -> ShardResult:
    """Find the candidates of one shard's pages, or of a range of a list; `tries` were made to fetch what it lacks."""
    files = open_crawl(root, knobs.cache_folder)
    counts: Counter[str] = Counter()
    if listed is not None:
        rows_in = listed.stop - listed.start
        rows = list(_list_given(str(crawl.dump), files, listed, counts))
    else:
        from mmpipe.storage.warc import read_payloads

        index = crawl.read_shard(shard)
        pages = index.filter((pl.col("kind") == "html") & (pl.col("record_status") == "ok"))
        rows_in = pages.height
        payloads = read_payloads(files, pages, recipe.extraction.max_page_bytes)
        rows = list(_list_found(payloads, pages, recipe.images.caption_sources))
    # what was taken down is not fetched again either
    found, taken = withhold(IMAGE_CANDIDATES, pl.DataFrame(rows, schema=_FOUND), read_takedowns(crawl.find_lake()))
    counts.update({TAKEN_DOWN: taken} if taken else {})
    frame = locate_images(found, crawl)
    if knobs.fetch_images:
        frame = fetch_missing(frame, knobs, counts)
        counts["fetches"] = tries
    frame = frame.with_columns(dump=pl.lit(crawl.dump)).select(IMAGE_CANDIDATES.column_names)
    counts.update(dict(frame.get_column("image_origin").value_counts().iter_rows()))
    return ShardResult(frame, rows_in, counts=dict(counts), accounts_for_rows=False)


def _list_found(
    payloads: Iterator[tuple[str, Payload]], pages: pl.DataFrame, caption_sources: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield the described images of pages."""
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.extraction.images import find_image_candidates

    urls = dict(pages.select("doc_id", "url").iter_rows())
    for doc_id, payload in payloads:
        html = decode_page(payload.body, payload.charset).text
        for image in find_image_candidates(html, urls[doc_id], caption_sources=caption_sources):
            yield {
                "pair_id": make_id("pair", doc_id, image.image_url, image.position),
                "doc_id": doc_id,
                "page_url": urls[doc_id],
                "image_url": image.image_url,
                "image_element": image.element,
                "position": image.position,
                "caption": image.caption,
                "caption_source": image.caption_source,
                "caption_written_chars": image.caption_written_chars,
                "alt": image.alt,
                "figcaption": image.figcaption,
                "title": image.title,
                "surrounding": image.surrounding,
                "og_title": image.og_title,
                "rendered_width": image.rendered_width,
                "rendered_height": image.rendered_height,
                "image_inline": image.inline,
                "problem": image.problem,
                "is_file": False,
            }


def _list_given(dump: str, root: Place, listed: ListRange, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the captioned rows of a range of a list; `counts` says how many others there are, and why.

    The caption of a list is taken whatever the recipe's caption sources are: they choose among the texts of a page.
    """
    from mmpipe.extraction.caption_texts import cut_caption, normalise_caption
    from mmpipe.storage.pair_lists import ImageFiles, read_list

    pictures = ImageFiles(root)
    for pair in read_list(root, listed):
        if pair.is_metadata_cut:
            counts["rows_with_metadata_left_out"] += 1
        caption = normalise_caption(pair.caption)
        if caption is None:
            counts["rows_without_caption"] += 1
            continue
        if pair.url is None and pair.file is None:
            counts["rows_without_address"] += 1
            continue
        image_url, problem, is_file = _find_given_address(pair, listed.file, root, pictures)
        doc_id = make_id("list row", dump, listed.file, pair.position)
        yield {
            "pair_id": make_id("pair", doc_id, image_url, pair.position),
            "doc_id": doc_id,
            "page_url": pair.page_url,
            "image_url": image_url,
            "image_element": "list_row",
            "position": pair.position,
            "caption": cut_caption(caption),
            "caption_source": "given",
            "caption_written_chars": len(pair.caption or ""),
            "source_likes": pair.likes,
            "source_shares": pair.shares,
            "list_file": listed.file,
            "source_metadata": pair.metadata,
            "problem": problem,
            "is_file": is_file,
        }


def _find_given_address(pair: ListedPair, list_file: str, root: Place, pictures: Any) -> tuple[str, str | None, bool]:
    """Return where a list says that a picture is, why it cannot be had, and whether it is a file of the dump."""
    from mmpipe.extraction.image_addresses import resolve_address

    # some lists write paths into the column of addresses, and addresses into that of files
    for written in (pair.file, pair.url):
        if written is None:
            continue
        if written.strip().lower().startswith(("http://", "https://")):
            continue
        if root.is_http:
            url = resolve_address(f"{root.url.rstrip('/')}/{list_file}", written)
            if url is not None and url.startswith(root.url):
                return url, None, False
        elif path := pictures.find(list_file, written):
            return path, None, True
    for written in (pair.url, pair.file):
        # the base is never used: only absolute addresses are asked for
        if written is not None and written.strip().lower().startswith(("http://", "https://")):
            url = resolve_address("http://localhost/", written)
            return (url, None, False) if url else (written[:2000], "not an address that can be read", False)
    written = (pair.file or pair.url or "").strip()[:2000] or "(empty)"
    return written, "neither an http(s) address nor a file of the dump", False


def locate_images(found: pl.DataFrame, crawl: Dataset) -> pl.DataFrame:
    """Return the candidates with where each image is: in the page itself, a file or a record of the dump, if anywhere.

    Args:
        found: candidates with `image_url`, `image_inline`, `is_file`, and `problem` where there can be no bytes.
        crawl: index of the dump.
    """
    records = (
        crawl.scan()
        .filter((pl.col("kind") == "image") & (pl.col("record_status") == "ok"))
        .select(image_url="url", image_doc_id="doc_id", image_warc_file="warc_file", image_warc_offset="warc_offset")
        # a dump may hold an image twice; the smallest id is taken, whatever the order of files
        .sort("image_doc_id")
        .unique("image_url", keep="first", maintain_order=True)
        .join(found.lazy().select("image_url").unique(), on="image_url", how="semi")
        .collect()
    )
    origin = (
        pl.when(pl.col("image_inline").is_not_null())
        .then(pl.lit("inline"))
        .when("is_file")
        .then(pl.lit("file"))
        .when(pl.col("image_doc_id").is_not_null())
        .then(pl.lit("dump"))
        .otherwise(pl.lit("missing"))
    )
    others = _describe_other_records(found.filter(pl.col("problem").is_null()), crawl)
    why_not = pl.coalesce("problem", "record_detail", pl.lit("no record of the dump has this URL"))
    return (
        found.join(records, on="image_url", how="left", maintain_order="left")
        .join(others, on="image_url", how="left", maintain_order="left")
        .with_columns(image_origin=origin, image_sha256=pl.lit(None, dtype=pl.String))
        .with_columns(image_detail=pl.when(pl.col("image_origin") == "missing").then(why_not))
        .drop("record_detail")
    )


def _describe_other_records(found: pl.DataFrame, crawl: Dataset) -> pl.DataFrame:
    """Return `image_url` and `record_detail`: what records of these URLs are that hold no picture to be read."""
    is_read = pl.col("record_status") == "ok"
    detail = (
        pl.when(pl.col("record_status") == "empty_record")
        .then(pl.lit("empty_image: the record of this URL holds no bytes"))
        .when(is_read)
        .then(pl.format("not_an_image: the record of this URL is {}", "kind"))
        .otherwise(pl.format("the record of this URL cannot be read: {}", "record_status"))
    )
    return (
        crawl.scan()
        .filter((pl.col("kind") != "image") | ~is_read)
        .select(pl.col("url").alias("image_url"), "doc_id", record_detail=detail)
        .join(found.lazy().select("image_url").unique(), on="image_url", how="semi")
        .sort("doc_id")
        .unique("image_url", keep="first", maintain_order=True)
        .drop("doc_id")
        .collect()
    )


def fetch_missing(frame: pl.DataFrame, knobs: Knobs, counts: Counter[str]) -> pl.DataFrame:
    """Return the candidates with the images that the dump lacks fetched into the cache, or why they were not.

    `counts` gets the URLs that were not had, by kind, and as `fetch_failed_in_passing` those worth asking for again.
    """
    from mmpipe.storage.image_fetch import ImageFetcher

    can_be_asked = (pl.col("image_origin") == "missing") & pl.col("problem").is_null()
    wanted = frame.filter(can_be_asked).get_column("image_url").unique(maintain_order=True)
    fetcher = ImageFetcher(Place(knobs.cache_folder).join("images"), contact=knobs.contact)
    rows = []
    for url, result in fetcher.fetch(wanted.to_list()):
        rows.append({"image_url": url, "origin": result.origin, "detail": result.detail, "sha256": result.sha256})
        if result.kind is not None:
            counts[f"fetch_{result.kind}"] += 1
            counts["fetch_failed_in_passing"] += not result.is_permanent
    outcomes = pl.DataFrame(
        rows,
        schema={"image_url": pl.String, "origin": pl.String, "detail": pl.String, "sha256": pl.String},
    )
    is_asked = pl.col("origin").is_not_null() & can_be_asked
    return (
        frame.join(outcomes, on="image_url", how="left", maintain_order="left")
        .with_columns(
            image_origin=pl.when(is_asked).then("origin").otherwise("image_origin"),
            image_detail=pl.when(is_asked).then("detail").otherwise("image_detail"),
            image_sha256=pl.when(is_asked).then("sha256").otherwise("image_sha256"),
        )
        .drop("origin", "detail", "sha256")
    )
