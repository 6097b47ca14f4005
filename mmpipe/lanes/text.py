"""The text lane, top to bottom: crawl index → text → corrections → signals → removals → documents → corpus."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.errors import DatasetNotReady, ShardError
from mmpipe.lanes.stage import Stage, StageRun, fingerprint_inputs, follow_shards
from mmpipe.storage.dumps import read_dump
from mmpipe.storage.places import Place
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.keep import count_removed_by_rule, keep
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_CORRECTIONS,
    TEXT_DUPLICATES,
    TEXT_SIGNATURES,
)
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mmpipe.deduplication.minhash import MinHashSettings
    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production
    from mmpipe.storage.warc import WarcRange


# raw_crawl ------------------------------------------------------------------------------------------------------------


def index_crawl(run: StageRun) -> Production:
    """Index every record of the dump; one shard per range of a file."""
    from mmpipe.storage.warc import WarcRange, cut_ranges

    assert run.dump is not None
    dump = read_dump(run.lake, run.dump)
    work = []
    for number, file in enumerate(dump.files):
        place = Place(dump.root).join(file)
        if not place.is_file():
            # its shard fails by name; the files beside it go on
            work.append(ShardWork(f"{number:05d}-0000", "missing", (dump.name, dump.root, WarcRange(file, 0, 0))))
            continue
        identity = place.identify()
        for part, warc_range in enumerate(cut_ranges(place, run.knobs.range_bytes, Place(dump.root))):
            inputs = digest_settings([file, identity, warc_range.start, warc_range.stop])
            work.append(ShardWork(f"{number:05d}-{part:04d}", inputs, (dump.name, dump.root, warc_range)))
    return run.write(work, index_shard, inputs={"dump": dump.digest})


def index_shard(dump: str, root: str, warc_range: WarcRange) -> ShardResult:
    """Index one range of a file."""
    from mmpipe.storage.warc import index_range

    if not Place(root).join(warc_range.file).is_file():
        raise ShardError(
            f"{warc_range.file} is not in {root} any more. Put it back, or add the dump again without it: "
            f"mmpipe crawl add {dump} {root}."
        )
    frame = index_range(dump, Place(root), warc_range)
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
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, root, run.recipe, weights))
        for item in follow_shards(crawl, extra=LanguageModel(weights).digest)
    ]
    return run.write(work, extract_shard, inputs=fingerprint_inputs(crawl))


def extract_shard(crawl: Dataset, shard: str, root: str, recipe: Recipe, weights: Path) -> ShardResult:
    """Extract the pages of one shard."""
    index = crawl.read_shard(shard)
    is_readable = pl.col("record_status") == "ok"
    pages = index.filter(is_readable & (pl.col("kind") == "html"))
    texts = index.filter(is_readable & (pl.col("kind") == "plain_text"))
    columns = ("doc_id", "extraction_status", "extraction_detail", "extractor", "charset", "title", "date", "text")
    extracted = pl.DataFrame(
        [*_extract_pages(Place(root), pages, recipe), *_read_plain_texts(Place(root), texts, recipe)],
        schema={name: EXTRACTED_TEXT.schema[name] for name in columns},
        orient="row",
    )
    why_not = pl.when(is_readable).then(pl.lit("not_html")).otherwise("record_status")
    frame = (
        index.select("doc_id", "dump", "url", why_not=why_not)
        .join(extracted, on="doc_id", how="left", maintain_order="left")
        .join(_identify_languages(extracted, weights), on="doc_id", how="left", maintain_order="left")
        .with_columns(
            language_scores=pl.lit(None),
            other_language_char_ratio=pl.lit(None),
            extraction_status=pl.coalesce("extraction_status", "why_not"),
            text_chars=pl.col("text").str.len_chars().cast(pl.Int64),
        )
        .select(EXTRACTED_TEXT.column_names)
    )
    statuses = frame.get_column("extraction_status").value_counts()
    return ShardResult(frame, index.height, counts=dict(statuses.iter_rows()))


def _extract_pages(root: Place, pages: pl.DataFrame, recipe: Recipe) -> Iterator[tuple[str | None, ...]]:
    from mmpipe.extraction.pages import ExtractionSettings, PageExtractor
    from mmpipe.storage.warc import read_payloads

    section = recipe.extraction
    settings = ExtractionSettings(
        extractor=section.extractor,
        include_comments=section.include_comments,
        timeout_seconds=section.timeout_seconds,
        max_page_bytes=section.max_page_bytes,
    )
    # one byte above the limit tells a page that is too large from one that just fits
    payloads = read_payloads(root, pages, section.max_page_bytes + 1)
    with PageExtractor(settings) as extractor:
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


def _identify_languages(extracted: pl.DataFrame, weights: Path) -> pl.DataFrame:
    from mmpipe.models.language import LanguageModel

    texts = extracted.select("doc_id", "text").drop_nulls()
    found = LanguageModel(weights).identify(texts.get_column("text").to_list())
    return texts.select("doc_id").with_columns(
        language=pl.Series([language for language, _ in found], dtype=pl.String),
        language_score=pl.Series([score for _, score in found], dtype=pl.Float64),
    )


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
    corrected: list[tuple[str, str, str | None, list[dict[str, object]] | None]] = []
    counts: Counter[str] = Counter()
    for doc_id, status, extracted in rows.iter_rows():
        if extracted is None or not steps:
            corrected.append((doc_id, status, None, None))
            continue
        after = correct_text(extracted, steps)
        entries = [{"step": step, **asdict(edit)} for step, edit in after.edits]
        counts.update(edit.correction for _, edit in after.edits)
        is_left = status if after.text.strip() else "nothing_left"
        corrected.append((doc_id, is_left, after.text if after.text != extracted else None, entries or None))
    frame = pl.DataFrame(corrected, schema=TEXT_CORRECTIONS.schema, orient="row")
    return ShardResult(frame, rows.height, counts=dict(counts))


def read_corrected(text: Dataset, corrections: Dataset, shard: str) -> pl.DataFrame:
    """Return the rows of EXTRACTED_TEXT of one shard with the columns and the status of TEXT_CORRECTIONS."""
    rows, corrected = text.read_shard(shard), corrections.read_shard(shard)
    return rows.drop("extraction_status").join(
        corrected, on="doc_id", how="left", maintain_order="left", validate="1:1"
    )


# text_signals, text_removals, filtered_text ---------------------------------------------------------------------------


def measure_signals(run: StageRun) -> Production:
    """Measure every signal that the recipe asks for, of every row."""
    text, corrections = run.read(EXTRACTED_TEXT), run.read(TEXT_CORRECTIONS)
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe, run.knobs.cache_folder))
        for item in follow_shards(text, corrections)
    ]
    return run.write(work, measure_shard, inputs=fingerprint_inputs(text, corrections))


def measure_shard(text: Dataset, corrections: Dataset, shard: str, recipe: Recipe, cache_folder: str) -> ShardResult:
    """Measure the signals of one shard."""
    from mmpipe.filtering.text_signals import measure_text

    rows = read_corrected(text, corrections, shard)
    return ShardResult(measure_text(rows, recipe, cache_folder), rows.height)


def judge_text(run: StageRun) -> Production:
    """Judge the stored signals by the recipe's rules; no text is read."""
    signals = run.read(TEXT_SIGNALS)
    work = [ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe)) for item in follow_shards(signals)]
    return run.write(work, judge_shard, inputs=fingerprint_inputs(signals))


def judge_shard(signals: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Judge one shard; the frame holds removals, so only the account says how many rows stay."""
    from mmpipe.filtering.judge import judge

    rows = signals.read_shard(shard)
    removals = judge(rows, recipe.text.rules, key="doc_id", status="extraction_status")
    return ShardResult(
        removals,
        rows.height,
        rows_removed=removals.get_column("doc_id").n_unique(),
        removed_by_rule=count_removed_by_rule(removals, key="doc_id"),
        accounts_for_rows=False,
    )


def filter_text(run: StageRun) -> Production:
    """Keep the rows without removals, as corrected."""
    inputs = (run.read(EXTRACTED_TEXT), run.read(TEXT_CORRECTIONS), run.read(TEXT_REMOVALS))
    return run.write(follow_shards(*inputs), filter_shard, inputs=fingerprint_inputs(*inputs))


def filter_shard(text: Dataset, corrections: Dataset, removals: Dataset, shard: str) -> ShardResult:
    """Keep the rows of one shard."""
    rows = read_corrected(text, corrections, shard).with_columns(text=pl.coalesce("corrected_text", "text"))
    kept = keep(rows, removals.read_shard(shard), key="doc_id")
    frame = kept.frame.select(FILTERED_TEXT.column_names)
    return ShardResult(frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)


# text_signatures, text_duplicates, deduped_corpus ---------------------------------------------------------------------


def sign_text(run: StageRun) -> Production:
    """Compute what duplicates are compared by."""
    text = run.read(FILTERED_TEXT)
    work = [ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe)) for item in follow_shards(text)]
    return run.write(work, sign_shard, inputs=fingerprint_inputs(text))


def sign_shard(text: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Sign the documents of one shard."""
    from mmpipe.deduplication.minhash import sign_documents

    rows = text.read_shard(shard)
    return ShardResult(sign_documents(rows, collect_minhash_settings(recipe)), rows.height)


def find_text_duplicates(run: StageRun) -> Production:
    """Find the duplicates of this dump in itself and in the dumps that came first.

    Dumps have an order, the order in which they were first deduplicated; a document that an earlier dump published
    stays. The order is kept beside the datasets, so that a run of an old dump ends in the same rows.
    """
    from mmpipe.storage.sequence import hold_sequence

    assert run.dump is not None
    signatures = run.read(TEXT_SIGNATURES)
    with hold_sequence(run.lake, "dump_sequence") as sequence:
        earlier = sequence.list_before(run.dump)
        before = [
            (run.lake.dataset(TEXT_SIGNATURES, dump), run.lake.dataset(TEXT_DUPLICATES, dump)) for dump in earlier
        ]
        _refuse_other_signatures(signatures, before)
        inputs = fingerprint_inputs(signatures, *(dataset for pair in before for dataset in pair))
        work = [ShardWork("all", digest_settings(inputs), (run.lake, run.dump, earlier, run.recipe))]
        production = run.write(work, duplicates_shard, inputs=inputs, is_in_process=True)
        sequence.append(run.dump)
    return production


def duplicates_shard(lake: Lake, dump: str, earlier: list[str], recipe: Recipe) -> ShardResult:
    """Find the duplicates of one dump. Keys lie in a scratch file and earlier dumps are streamed, not held."""
    import tempfile
    from pathlib import Path

    from mmpipe.deduplication.duplicates import find_duplicates, removals_of

    settings = collect_minhash_settings(recipe)
    current = lake.dataset(TEXT_SIGNATURES, dump)
    published = [
        lake.dataset(TEXT_SIGNATURES, name)
        .scan()
        .join(_list_removed(lake.dataset(TEXT_DUPLICATES, name)), on="doc_id", how="anti")
        .with_columns(dump_sequence=pl.lit(number, dtype=pl.Int64))
        for number, name in enumerate(earlier)
    ]

    def read_texts(doc_ids: list[str]) -> dict[str, str]:
        wanted = pl.LazyFrame({"doc_id": doc_ids}, schema={"doc_id": pl.String})
        texts = pl.concat(
            lake.dataset(FILTERED_TEXT, name).scan().select("doc_id", "text") for name in [*earlier, dump]
        )
        return dict(texts.join(wanted, on="doc_id", how="semi").collect().iter_rows())

    with tempfile.TemporaryDirectory(prefix="mmpipe-bands-") as scratch:
        frame = find_duplicates(
            current.scan(),
            pl.concat(published) if published else None,
            read_texts,
            settings,
            scratch=Path(scratch),
        )
    removals = removals_of(frame, settings)
    return ShardResult(
        frame,
        current.require_manifest().rows_out,
        rows_removed=removals.height,
        removed_by_rule=count_removed_by_rule(removals, key="doc_id"),
        counts={"clusters": frame.get_column("cluster_id").n_unique()},
        accounts_for_rows=False,
    )


def dedupe_text(run: StageRun) -> Production:
    """Keep the documents that no kept document repeats."""
    text, duplicates = run.read(FILTERED_TEXT), run.read(TEXT_DUPLICATES)
    fingerprint = duplicates.require_manifest().fingerprint
    work = [
        ShardWork(item.shard, item.inputs, (text, duplicates, item.shard, run.recipe))
        for item in follow_shards(text, extra=fingerprint)
    ]
    return run.write(work, dedupe_shard, inputs=fingerprint_inputs(text, duplicates))


def dedupe_shard(text: Dataset, duplicates: Dataset, shard: str, recipe: Recipe) -> ShardResult:
    """Keep the documents of one shard that no kept document repeats."""
    from mmpipe.deduplication.duplicates import removals_of

    rows = text.read_shard(shard)
    of_shard = duplicates.scan().join(rows.lazy().select("doc_id"), on="doc_id", how="semi").collect()
    kept = keep(rows, removals_of(of_shard, collect_minhash_settings(recipe)), key="doc_id")
    return ShardResult(kept.frame, kept.rows_in, kept.rows_removed, kept.removed_by_rule)


def collect_minhash_settings(recipe: Recipe) -> MinHashSettings:
    """Return the recipe's deduplication section as deduplication takes it."""
    from mmpipe.deduplication.minhash import MinHashSettings

    section = recipe.deduplication
    return MinHashSettings(
        shingle_words=section.shingle_words,
        bands=section.bands,
        rows=section.rows,
        seed=section.seed,
        verify_jaccard=section.verify_jaccard,
    )


def _list_removed(duplicates: Dataset) -> pl.LazyFrame:
    return duplicates.scan().filter(pl.col("doc_id") != pl.col("kept_doc_id")).select("doc_id")


def _refuse_other_signatures(signatures: Dataset, before: list[tuple[Dataset, Dataset]]) -> None:
    version = signatures.require_manifest().code_version
    for other, _ in before:
        if other.require_manifest().code_version != version:
            raise DatasetNotReady(
                f"{other.label} was signed by other parameters than {signatures.label}, so the two cannot be compared. "
                f"Materialize text_signatures and text_duplicates for {other.dump} again, then this dump."
            )


TEXT_LANE = (
    Stage(RAW_CRAWL, (), index_crawl),
    Stage(EXTRACTED_TEXT, (RAW_CRAWL,), extract_text, ("extraction",)),
    Stage(TEXT_CORRECTIONS, (EXTRACTED_TEXT,), correct_texts, ("corrections",)),
    Stage(TEXT_SIGNALS, (EXTRACTED_TEXT, TEXT_CORRECTIONS), measure_signals, ("signals",)),
    Stage(TEXT_REMOVALS, (TEXT_SIGNALS,), judge_text, ("text",)),
    Stage(FILTERED_TEXT, (EXTRACTED_TEXT, TEXT_CORRECTIONS, TEXT_REMOVALS), filter_text),
    Stage(TEXT_SIGNATURES, (FILTERED_TEXT,), sign_text, ("deduplication",)),
    Stage(TEXT_DUPLICATES, (TEXT_SIGNATURES, FILTERED_TEXT), find_text_duplicates, ("deduplication",)),
    Stage(DEDUPED_CORPUS, (FILTERED_TEXT, TEXT_DUPLICATES), dedupe_text, ("deduplication",)),
)
