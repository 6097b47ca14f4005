"""The text lane from crawl index to corrected text: what reads pages and rewrites them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import xxhash

from mmpipe.errors import ShardError
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.light_imports import start_numba
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.places import Place
from mmpipe.storage.range_cache import RangeCache
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.corrections import CORRECTION
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text import EXTRACTED_TEXT, TEXT_CORRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.models.language import LanguageModel
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.shards import Production
    from mmpipe.storage.warc import WarcRange


def open_crawl(root: str, cache_folder: str) -> Place:
    """Return the place of a dump's files; what is read of a web host is kept, for the stages that read it next."""
    has_no_disk = not cache_folder or Place(cache_folder).local_path is None
    return Place(root, None if has_no_disk else RangeCache(Path(cache_folder) / "ranges"))


# raw_crawl ------------------------------------------------------------------------------------------------------------


def index_crawl(run: StageRun) -> Production:
    """Index every record of the dump; one shard per range of a file. Its lists of pairs hold no records."""
    from mmpipe.storage.pair_lists import is_pair_list
    from mmpipe.storage.warc import WarcRange, cut_ranges

    assert run.dump is not None
    dump = read_dump(run.lake, run.dump)
    work = []
    cache = run.knobs.cache_folder
    root = open_crawl(dump.root, cache)
    for number, file in enumerate(path for path in dump.files if not is_pair_list(path)):
        # one object: a web host is asked for its size and identity once
        place = root.join(file)
        if not place.is_file():
            # its shard fails by name; the files beside it go on
            missing = (dump.name, dump.root, WarcRange(file, 0, 0), cache)
            work.append(ShardWork(f"{number:05d}-0000", "missing", missing))
            continue
        identity = place.identify()
        for part, warc_range in enumerate(cut_ranges(place, run.knobs.range_bytes, root)):
            inputs = digest_settings([file, identity, warc_range.start, warc_range.stop])
            work.append(ShardWork(f"{number:05d}-{part:04d}", inputs, (dump.name, dump.root, warc_range, cache)))
    return run.write(work, index_shard, inputs={"dump": dump.digest})


def index_shard(dump: str, root: str, warc_range: WarcRange, cache_folder: str) -> ShardResult:
    """Index one range of a file."""
    from mmpipe.storage.warc import index_range

    crawl = open_crawl(root, cache_folder)
    if not crawl.join(warc_range.file).is_file():
        raise ShardError(
            f"{warc_range.file} is not in {root} any more. Put it back, or add the dump again without it: "
            f"mmpipe crawl add {dump} {root}."
        )
    frame = index_range(dump, crawl, warc_range)
    counts = frame.select(pl.format("{}_{}", "kind", "record_status").alias("name")).get_column("name").value_counts()
    return ShardResult(frame, frame.height, counts=dict(counts.iter_rows()))


# extracted_text -------------------------------------------------------------------------------------------------------


def extract_text(run: StageRun) -> Production:
    """Extract text, title, date and language of every page; every other record is carried over with its reason."""
    from mmpipe.models.language import LanguageModel, find_language_weights

    assert run.dump is not None
    crawl = run.read(RAW_CRAWL)
    weights = find_language_weights(run.knobs.language_weights or None)
    root = read_dump(run.lake, run.dump).root
    repeats, digest = _store_repeats(run, crawl)
    work = [
        ShardWork(
            item.shard, item.inputs, (*item.arguments, root, run.recipe, weights, repeats, run.knobs.cache_folder)
        )
        for item in follow_shards(crawl, extra=f"{LanguageModel(weights).digest}{digest}{_digest_chooser(run.recipe)}")
    ]
    return run.write(work, extract_shard, inputs=fingerprint_inputs(crawl))


def _digest_chooser(recipe: Recipe) -> str:
    """Return the digest of the chooser's model where it extracts: another model makes other texts."""
    if recipe.extraction.extractor != "chooser":
        return ""
    from mmpipe.extraction.chooser import read_model_digest

    return read_model_digest()


def _store_repeats(run: StageRun, crawl: Dataset) -> tuple[Place | None, str]:
    """Find the records that repeat another of the dump, for all shards to read; return where, and a digest."""
    from mmpipe.deduplication.repeated_records import find_repeats

    section = run.recipe.first_pass
    if not (section.repeated_pages or section.repeated_urls):
        return None, ""
    index = crawl.scan()
    if section.url_rules:
        # a page must not go for one that goes itself
        blocked = _find_blocked(index.select("doc_id", "url").collect(), run.recipe, run.knobs.cache_folder)
        index = index.join(blocked.lazy().select("doc_id"), on="doc_id", how="anti")
    repeats = find_repeats(index, pages=section.repeated_pages, urls=section.repeated_urls)
    place = run.read(EXTRACTED_TEXT).folder.join("repeats.parquet")
    with place.replace_file() as path:
        repeats.write_parquet(path)
    spared = repeats.select(pl.concat_str("doc_id", "extraction_status", "extraction_detail", separator="|"))
    return place, xxhash.xxh3_128_hexdigest("\n".join(spared.to_series().to_list()).encode())


def _find_blocked(rows: pl.DataFrame, recipe: Recipe, cache_folder: str) -> pl.DataFrame:
    """Return the rows whose URL the recipe's URL rules remove, with the rules as detail."""
    from mmpipe.filtering.judge import judge
    from mmpipe.filtering.url_signals import measure_urls

    signals = pl.concat(
        [rows.select("doc_id"), measure_urls(rows.get_column("url"), recipe.url, cache_folder)], how="horizontal"
    )
    # a record without URL has none that a list could hold
    removals = judge(
        signals.filter(rows.get_column("url").is_not_null()), recipe.list_url_rules(), key="doc_id", status=None
    )
    return removals.group_by("doc_id", maintain_order=True).agg(
        extraction_status=pl.lit("blocked_url"), extraction_detail=pl.col("rule").str.join(", ")
    )


def extract_shard(
    crawl: Dataset, shard: str, root: str, recipe: Recipe, weights: Path, repeats: Place | None, cache_folder: str
) -> ShardResult:
    """Extract the pages of one shard that the first pass leaves."""
    from mmpipe.models.language import LanguageModel, describe_languages

    start_numba()
    model = LanguageModel(weights)
    files = open_crawl(root, cache_folder)
    index = crawl.read_shard(shard)
    is_readable = pl.col("record_status") == "ok"
    readable = index.filter(is_readable & pl.col("kind").is_in(["html", "plain_text"]))
    spared = _spare_pages(readable, recipe, repeats, cache_folder)
    left = readable.join(spared, on="doc_id", how="anti", maintain_order="left")
    pages, texts = (left.filter(pl.col("kind") == kind) for kind in ("html", "plain_text"))
    columns = ("doc_id", "extraction_status", "extraction_detail", "extractor", "charset", "title", "date", "text")
    extracted = pl.DataFrame(
        [*_extract_pages(files, pages, recipe, model), *_read_plain_texts(files, texts, recipe)],
        schema={name: EXTRACTED_TEXT.schema[name] for name in columns},
        orient="row",
    )
    languages = describe_languages(
        model,
        extracted.get_column("text").to_list(),
        prefix_chars=recipe.language.prefix_chars,
        top_k=recipe.language.top_k,
        identify_lines=recipe.language.identify_lines,
    )
    made = pl.concat([pl.concat([extracted, languages], how="horizontal"), spared], how="diagonal")
    why_not = pl.when(is_readable).then(pl.lit("not_html")).otherwise("record_status")
    frame = (
        index.select("doc_id", "dump", "url", why_not=why_not)
        .join(made, on="doc_id", how="left", maintain_order="left")
        .with_columns(
            extraction_status=pl.coalesce("extraction_status", "why_not"),
            text_chars=pl.col("text").str.len_chars().cast(pl.Int64),
        )
        .select(EXTRACTED_TEXT.column_names)
    )
    statuses = frame.get_column("extraction_status").value_counts()
    return ShardResult(frame, index.height, counts=dict(statuses.iter_rows()))


def _spare_pages(rows: pl.DataFrame, recipe: Recipe, repeats: Place | None, cache_folder: str) -> pl.DataFrame:
    """Return the pages that need not be read: id, status and detail."""
    spared = pl.DataFrame(schema=dict.fromkeys(("doc_id", "extraction_status", "extraction_detail"), pl.String))
    if recipe.first_pass.url_rules:
        spared = pl.concat([spared, _find_blocked(rows, recipe, cache_folder)])
    if repeats is not None:
        with repeats.open() as stream:
            known = pl.read_parquet(stream)
        of_shard = known.join(rows.select("doc_id"), on="doc_id", how="semi")
        spared = pl.concat([spared, of_shard.join(spared, on="doc_id", how="anti")])
    return spared


def _extract_pages(
    root: Place, pages: pl.DataFrame, recipe: Recipe, model: LanguageModel
) -> Iterator[tuple[str | None, ...]]:
    from mmpipe.extraction.extractors import ExtractionSettings
    from mmpipe.extraction.first_pass import FirstPass
    from mmpipe.extraction.pages import PageExtractor
    from mmpipe.storage.warc import read_payloads

    section, look = recipe.extraction, recipe.first_pass
    # the recipe's section is the extractor's settings by name; limits of the sandbox are not its matter
    settings = ExtractionSettings(**asdict(section))
    first_pass = FirstPass(model.identify_one, look.languages, look.least_score) if look.languages else None
    # one byte above the limit tells a page that is too large from one that just fits
    payloads = read_payloads(root, pages, section.max_page_bytes + 1)
    with PageExtractor(settings, first_pass=first_pass) as extractor:
        for page in extractor.extract((doc_id, payload.body, payload.charset) for doc_id, payload in payloads):
            yield (
                page.id, page.extraction_status, page.detail, page.extractor, page.charset, page.title, page.date,
                page.text,
            )  # fmt: skip


def _read_plain_texts(root: Place, texts: pl.DataFrame, recipe: Recipe) -> Iterator[tuple[str | None, ...]]:
    """Read what is text already, such as the records of a WET file: decoded and cleaned, not extracted."""
    from mmpipe.extraction.cleaning import clean_text
    from mmpipe.extraction.decoding import decode_page
    from mmpipe.storage.warc import read_payloads

    for doc_id, payload in read_payloads(root, texts, recipe.extraction.max_page_bytes + 1):
        if len(payload.body) > recipe.extraction.max_page_bytes:
            yield doc_id, "oversized_page", f"more than {recipe.extraction.max_page_bytes} bytes", *(None,) * 5
            continue
        decoded = decode_page(payload.body, payload.charset)
        text = clean_text(decoded.text)
        status = "ok" if text else "no_main_text"
        yield doc_id, status, None, None, decoded.charset, None, None, text or None


# text_corrections -----------------------------------------------------------------------------------------------------


def correct_texts(run: StageRun) -> Production:
    """Rewrite texts step by step, as the recipe says, and list what was changed."""
    text = run.read(EXTRACTED_TEXT)
    work = [ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe)) for item in follow_shards(text)]
    return run.write(work, correct_shard, inputs=fingerprint_inputs(text))


def correct_shard(text: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Correct the texts of one shard."""
    from mmpipe.extraction.corrections import correct_text, find_step

    rows = text.read_shard(shard).select("doc_id", "extraction_status", "text")
    steps = [find_step(item.step, item.options) for item in recipe.corrections.steps]
    corrected: list[tuple[str, str, str | None]] = []
    made: list[tuple[str, int, str, int, int, str | None]] = []
    for doc_id, status, extracted in rows.iter_rows():
        if extracted is None or not steps:
            corrected.append((doc_id, status, None))
            continue
        after = correct_text(extracted, steps)
        made += ((doc_id, step, edit.correction, edit.start, edit.end, edit.replacement) for step, edit in after.edits)
        is_left = status if after.text.strip() else "nothing_left"
        corrected.append((doc_id, is_left, after.text if after.text != extracted else None))
    names = [name for name in TEXT_CORRECTIONS.column_names if name != "corrections"]
    frame = pl.DataFrame(corrected, schema={name: TEXT_CORRECTIONS.schema[name] for name in names}, orient="row")
    # column by column: rows with lists of structs take ten times the memory while they become a frame
    entries = pl.DataFrame(made, schema={"doc_id": pl.String, **dict(CORRECTION)}, orient="row")
    lists = entries.group_by("doc_id", maintain_order=True).agg(corrections=pl.struct(*dict(CORRECTION)))
    counts = entries.get_column("correction").value_counts().sort("correction")
    frame = frame.join(lists, on="doc_id", how="left", maintain_order="left")
    return ShardResult(frame, rows.height, counts=dict(counts.iter_rows()))


def read_corrected(text: Dataset, corrections: Dataset, shard: str) -> pl.DataFrame:
    """Return the rows of EXTRACTED_TEXT of one shard with the columns and the status of TEXT_CORRECTIONS.

    A page of which nothing is left has no text.
    """
    rows, corrected = text.read_shard(shard), corrections.read_shard(shard)
    joined = rows.drop("extraction_status").join(
        corrected, on="doc_id", how="left", maintain_order="left", validate="1:1"
    )
    is_left = pl.col("extraction_status") == "ok"
    return joined.with_columns(pl.when(is_left).then(name).alias(name) for name in ("text", "corrected_text"))
