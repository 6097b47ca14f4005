"""What a row of the crawl is: one record of a dump, found by file and offset, with no payload copied."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: What became of a record when it was read. Everything but `ok` is counted under its own name and never extracted.
RECORD_STATUSES = (
    "ok",
    "truncated_record",
    "revisit_record",
    "empty_record",
    "corrupt_record",
    "http_error",
    "taken_down",
)

#: What a record's payload is, decided from the HTTP Content-Type and, where that is silent or generic, the bytes.
RECORD_KINDS = ("html", "plain_text", "image", "other")

RAW_CRAWL = Table(
    name="raw_crawl",
    description=(
        "Index of the dump: one row per WARC, WET or ARC record that carries a payload (or should have). "
        "Payloads stay in the dump and are read by file and offset."
    ),
    key=("doc_id",),
    columns=(
        Column("doc_id", pl.String, "Stable id of the record: 128-bit hash of dump, file and offset, 32 hex digits."),
        Column("dump", pl.String, "Name of the dump (the partition)."),
        Column("warc_file", pl.String, "Path of the file inside the dump."),
        Column("warc_offset", pl.Int64, "First byte of the record in the file, compressed bytes counted."),
        Column("warc_length", pl.Int64, "Bytes of the record in the file, compressed."),
        Column("record_type", pl.String, "WARC-Type: response, resource, conversion, revisit; `unknown` if corrupt."),
        Column("record_status", pl.String, f"One of {', '.join(RECORD_STATUSES)}."),
        Column("kind", pl.String, f"One of {', '.join(RECORD_KINDS)}."),
        Column("url", pl.String, "WARC-Target-URI as written; null where a corrupt record has none.", nullable=True),
        Column("mime", pl.String, "Media type of the HTTP response, lower case, without parameters.", nullable=True),
        Column("charset", pl.String, "charset parameter of the HTTP Content-Type, lower case.", nullable=True),
        Column("http_status", pl.Int32, "HTTP status code.", nullable=True),
        Column("crawled_at", pl.Datetime("us", "UTC"), "WARC-Date.", nullable=True),
        Column("payload_bytes", pl.Int64, "Bytes of the HTTP body as stored, before content decoding.", nullable=True),
        Column("payload_digest", pl.String, "WARC-Payload-Digest as written in the record.", nullable=True),
    ),
)
