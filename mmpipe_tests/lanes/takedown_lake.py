"""Makes random lakes for the tests of takedowns: rows of every lane with the rows they were made of, and the truth."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import make_id
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.instructions import (
    INSTRUCTION_CANDIDATES,
    JUDGEMENTS,
    PRETRAINING_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.interleaved import INTERLEAVED_DOCUMENTS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_CORRECTIONS,
    TEXT_DUPLICATES,
    TEXT_SCORES,
)
from mmpipe.tables.text_signals import TEXT_SIGNALS

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table

HOSTS = ("a.example", "www.a.example", "b.example", "notb.example")


@dataclass
class Made:
    """A lake, what its rows are, and what each was made of."""

    lake: Lake
    rows: dict[tuple[str, str | None, str], list[dict[str, Any]]] = field(default_factory=dict)
    parents: dict[str, set[str]] = field(default_factory=dict)
    urls: dict[str, list[str]] = field(default_factory=dict)

    def add(self, table: Table, dump: str | None, shard: str, row: dict[str, Any]) -> None:
        self.rows.setdefault((table.name, dump, shard), []).append(row)

    def name(self, row_id: str, parents: list[str], urls: list[str]) -> str:
        self.parents.setdefault(row_id, set()).update(parents)
        self.urls.setdefault(row_id, []).extend(urls)
        return row_id

    def list_below(self, named: set[str]) -> set[str]:
        """Return the ids and all below them: the slow way, one step after the other."""
        below = set(named)
        while more := {child for child, parents in self.parents.items() if parents & below} - below:
            below |= more
        return below


def make_text(row_id: str) -> str:
    """Return two lines that no other row has."""
    words = [make_id(row_id, place)[:9] for place in range(24)]
    return " ".join(words[:12]) + "\n" + " ".join(words[12:])


def make_lake(folder: Path, seed: int) -> Made:
    """Return a lake of two dumps with random rows."""
    drawn = random.Random(seed)
    made = Made(Lake(str(folder)))
    kept_docs: list[str] = []
    kept_pairs: list[str] = []
    for dump in ("d1", "d2"):
        record_dump(made.lake, Dump(dump, str(folder), ("a.warc.gz",)))
        for shard in ("00000-0000", "00001-0000"):
            docs = _add_pages(made, drawn, dump, shard)
            kept_docs += docs
            kept_pairs += _add_pictures(made, drawn, dump, shard)
        _add_instructions(made, drawn, dump, kept_docs, kept_pairs)
    tables = {table.name: table for table in _TABLES}
    for table in _TABLES:  # a dump without rows of a table has it nevertheless
        at_dumps: tuple[str | None, ...] = ("d1", "d2") if table not in (SFT_DATASET, PRETRAINING_DATASET) else (None,)
        for where in at_dumps:
            shards = {shard: rows for (name, at, shard), rows in made.rows.items() if (name, at) == (table.name, where)}
            # removals have the shards of what they judge, also where they have no row
            judged = {"text_removals": "extracted_text", "instruction_removals": "instruction_candidates"}
            for name, at, shard in list(made.rows):
                if (name, at) == (judged.get(table.name), where):
                    shards.setdefault(shard, [])
            publish_shards(made.lake, tables[table.name], where, shards)
    return made


_TABLES: tuple[Table, ...] = (
    RAW_CRAWL, EXTRACTED_TEXT, TEXT_CORRECTIONS, TEXT_SIGNALS, TEXT_SCORES, TEXT_REMOVALS, FILTERED_TEXT,
    TEXT_DUPLICATES, DEDUPED_CORPUS, REPHRASED_CANDIDATES, IMAGE_CANDIDATES, IMAGE_SIGNALS, FILTERED_IMAGE_PAIRS,
    IMAGE_CAPTIONS, INTERLEAVED_DOCUMENTS, INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS, INSTRUCTION_REMOVALS,
    RESPONSES, JUDGEMENTS, PREFERENCE_PAIRS, SFT_DATASET, PRETRAINING_DATASET,
)  # fmt: skip


def _add_pages(made: Made, drawn: random.Random, dump: str, shard: str) -> list[str]:
    kept: list[str] = []
    for place in range(drawn.randint(1, 5)):
        doc_id = make_id("doc", dump, shard, place)
        url = f"https://{drawn.choice(HOSTS)}/{dump}/{shard}/{place}"
        made.name(doc_id, [], [url])
        own = {"doc_id": doc_id, "dump": dump}
        made.add(RAW_CRAWL, dump, shard, own | {"url": url, "record_status": "ok", "kind": "html"})
        text = {"extraction_status": "ok", "text": make_text(doc_id), "title": "t", "text_chars": 9, "language": "en"}
        made.add(EXTRACTED_TEXT, dump, shard, own | {"url": url} | text)
        made.add(
            TEXT_CORRECTIONS, dump, shard, {"doc_id": doc_id, "extraction_status": "ok", "corrected_text": text["text"]}
        )
        made.add(TEXT_SIGNALS, dump, shard, {"doc_id": doc_id, "extraction_status": "ok", "word_count": 3.0})
        made.add(TEXT_SCORES, dump, shard, {"doc_id": doc_id, "quality_score": drawn.choice([None, 0.5])})
        if drawn.random() < 0.3:
            made.add(
                TEXT_REMOVALS, dump, shard, {"doc_id": doc_id, "rule": "gopher_word_count", "signal": "word_count"}
            )
            continue
        page = own | {"url": url, "text": text["text"], "language": "en", "language_score": 1.0}
        made.add(FILTERED_TEXT, dump, shard, page)
        repeats = {"cluster_id": doc_id, "kept_doc_id": drawn.choice([*kept, doc_id]), "kept_dump": dump}
        if drawn.random() < 0.4:
            made.add(TEXT_DUPLICATES, dump, "all", own | repeats)
            if repeats["kept_doc_id"] != doc_id:
                continue
        made.add(DEDUPED_CORPUS, dump, shard, page)
        kept.append(doc_id)
        if drawn.random() < 0.4:
            again = made.name(make_id("rephrased", doc_id), [doc_id], [])
            row = own | {"rephrased_id": again, "text": make_text(again), "candidate_status": "ok"}
            made.add(REPHRASED_CANDIDATES, dump, shard, row | {"parents": _point("deduped_corpus", [doc_id])})
        packed = {"sequence_id": make_id("sequence", doc_id), "doc_ids": [doc_id], "source": dump}
        made.add(PRETRAINING_DATASET, None, dump, packed)
    return kept


def _add_pictures(made: Made, drawn: random.Random, dump: str, shard: str) -> list[str]:
    pages = [row["doc_id"] for row in made.rows[("raw_crawl", dump, shard)]]
    kept = []
    for place in range(drawn.randint(0, 3)):
        page, picture = drawn.choice(pages), drawn.choice([None, drawn.choice(pages)])
        pair_id = make_id("pair", dump, shard, place)
        # where the dump has the picture, the pair names it by the URL of its record
        url = made.urls[picture][0] if picture else f"https://{drawn.choice(HOSTS)}/p/{shard}/{place}.png"
        made.name(pair_id, [page, *([picture] if picture else [])], [made.urls[page][0], url])
        row = {"pair_id": pair_id, "doc_id": page, "dump": dump, "caption": make_text(pair_id), "image_doc_id": picture}
        row |= {"page_url": made.urls[page][0], "image_url": url, "image_sha256": None, "image_origin": "dump"}
        made.add(IMAGE_CANDIDATES, dump, shard, row)
        made.add(IMAGE_SIGNALS, dump, shard, {"pair_id": pair_id, "decode_status": "ok"})
        if drawn.random() < 0.7:
            signals = {"image_sha256": "x", "image_format": "png", "image_width": 1, "image_height": 1, "phash": "0"}
            made.add(FILTERED_IMAGE_PAIRS, dump, shard, row | signals)
            caption = made.name(make_id("caption", pair_id), [pair_id], [])
            told = {"caption_id": caption, "pair_id": pair_id, "dump": dump, "caption": "c", "is_kept": True}
            made.add(IMAGE_CAPTIONS, dump, shard, told)
            node = {"doc_id": page, "dump": dump, "url": made.urls[page][0], "texts": ["w", None]}
            made.add(INTERLEAVED_DOCUMENTS, dump, shard, node | {"images": [None, pair_id]})
            kept.append(pair_id)
    return kept


def _add_instructions(made: Made, drawn: random.Random, dump: str, docs: list[str], pairs: list[str]) -> None:
    earlier: list[str] = []
    for place in range(6):
        method = drawn.choice(["m-0", "n-0"])
        of = [*drawn.sample(docs, min(1, len(docs))), *drawn.sample(pairs, min(drawn.randint(0, 1), len(pairs)))]
        shown = [row_id for row_id in of if row_id in pairs]
        of += drawn.sample(earlier, min(drawn.randint(0, 1), len(earlier)))
        row_id = made.name(make_id("instruction", dump, place), of, [])
        parents = _point("deduped_corpus", of)
        texts = {"instruction": make_text(row_id), "response": "an answer", "context": "c", "evidence": "e"}
        row: dict[str, Any] = {
            "instruction_id": row_id,
            "dump": dump,
            "method": method,
            "images": shown,
            "parents": parents,
        } | texts
        row |= {"stage": "s", "mode": "m", "teacher": "t", "prompt_version": "1", "sampling": "{}", "seed": 1,
                "attempts": 1, "prompt_tokens": 1, "completion_tokens": 1}  # fmt: skip
        made.add(
            INSTRUCTION_CANDIDATES, dump, method, row | {"candidate_status": "ok", "candidate": row_id, "text": ""}
        )
        earlier.append(row_id)
        made.add(SYNTHESIZED_INSTRUCTIONS, dump, method, row)
        if drawn.random() < 0.3:
            gone = {"instruction_id": row_id, "rule": "repeated_pair", "signal": "words"}
            made.add(INSTRUCTION_REMOVALS, dump, method, gone)
            continue
        answers = []
        for sample in range(2):
            answer = made.name(make_id("response", row_id, sample), [row_id], [])
            told = {"response_id": answer, "instruction_id": row_id, "dump": dump, "response": make_text(answer)}
            made.add(RESPONSES, dump, "0", told)
            judged = made.name(make_id("judgement", answer), [answer], [])
            made.add(JUDGEMENTS, dump, "0", told | {"judgement_id": judged, "judgement": "fair"})
            answers.append(answer)
        pair = made.name(make_id("preference", row_id), answers, [])
        compared = {"pair_id": pair, "dump": dump, "instruction_id": row_id, "chosen_id": answers[0],
                    "rejected_id": answers[1], "parents": _point("responses", answers)}  # fmt: skip
        made.add(PREFERENCE_PAIRS, dump, "0", compared | {"chosen": "c", "rejected": "r", "source_urls": []})
        talk = [{"role": "user", "content": texts["instruction"]}]
        released = {"id": row_id, "messages": talk, "images": [], "dump": dump, "parents": parents}
        made.add(SFT_DATASET, None, dump, released)


def _point(table: str, ids: list[str]) -> list[dict[str, str]]:
    return [{"table": table, "id": row_id} for row_id in ids]


def publish_shards(lake: Lake, table: Table, dump: str | None, shards: dict[str, list[dict[str, Any]]]) -> None:
    """Publish rows shard by shard; columns that a row does not name are null, or empty where null may not be."""
    work = [
        ShardWork(shard, shard, (pl.DataFrame([_fill(table, row) for row in rows], schema=table.schema),))
        for shard, rows in sorted(shards.items())
    ]
    dataset = lake.dataset(table, dump)
    produce(dataset, work, _as_it_is, code_version="1", recipe_yaml="name: x\n", inputs={}, engine=Engine())
    dataset.record_verdict([])


def _as_it_is(frame: pl.DataFrame) -> ShardResult:
    return ShardResult(frame, frame.height)


def _fill(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    plain: dict[Any, Any] = {pl.String: "", pl.Int64: 0, pl.Float64: 0.0, pl.Boolean: False}
    return {
        column.name: row[column.name]
        if column.name in row
        else None
        if column.nullable
        else plain.get(column.dtype, [])
        for column in table.columns
    }


def read_lake(lake: Lake) -> dict[tuple[str, str | None], pl.DataFrame]:
    """Return the rows of every dataset that is published, in their order."""
    found = {}
    for table in _TABLES:
        for dump in ("d1", "d2", None):
            dataset = lake.dataset(table, dump)
            if dataset.find_manifest() is not None:
                found[(table.name, dump)] = dataset.scan().collect()
    return found


def read_content(lake: Lake) -> dict[str, bytes]:
    """Return every file of a lake but what says when and how a takedown went."""
    root = Path(lake.root)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "report" not in path.name and path.name not in ("rows.parquet", ".lock", "plan.json")
    }
