"""Renders pairs as Parquet with the pictures' bytes, whose image column `datasets` decodes by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmpipe.release.aspect_buckets import BUCKET_COLUMNS
from mmpipe.release.webdataset_tars import find_extension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

#: Pairs of a row group: a reader decodes whole groups, and a group of pictures is large.
PAIRS_PER_GROUP = 100

_TEXTS = ("pair_id", "key", "dump", "doc_id", "page_url", "image_url", "caption_origin", "crawl_caption",
          "image_format", "image_sha256", "licence")  # fmt: skip
_NUMBERS = {"image_width": "int64", "image_height": "int64", "clip_similarity": "float64"}
_BUCKET_SIDES, _BUCKET_TUPLES = BUCKET_COLUMNS[:2], BUCKET_COLUMNS[2:]


def make_schema() -> pa.Schema:
    """Return the file's columns: `image` {bytes, path}, `text`, what is known of the pair, SDXL's sizes and crop.

    `datasets` finds the features under the key `huggingface` of the schema's metadata.
    """
    import pyarrow as pa

    fields = [
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        pa.field("text", pa.string()),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("other_captions", pa.list_(pa.string())),
        *(pa.field(name, pa.type_for_alias(kind)) for name, kind in _NUMBERS.items()),
        *(pa.field(name, pa.int64()) for name in _BUCKET_SIDES),
        *(pa.field(name, pa.list_(pa.int64())) for name in _BUCKET_TUPLES),
    ]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in ("text", *_TEXTS)}
    features |= {name: {"dtype": kind, "_type": "Value"} for name, kind in _NUMBERS.items()}
    features["image"] = {"_type": "Image"}
    features["other_captions"] = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
    features |= {name: {"dtype": "int64", "_type": "Value"} for name in _BUCKET_SIDES}
    features |= {name: {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"} for name in _BUCKET_TUPLES}
    ordered = {field.name: features[field.name] for field in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": ordered}})})


class PairParquetWriter:
    """Writes one Parquet file, pair by pair, holding one row group at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._schema = make_schema()
        # pictures are compressed already: zstd of level 1 costs little and shrinks the texts
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=1)
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any], data: bytes) -> None:
        """Add a row of image_dataset, with `conditioning` (the columns of `aspect_buckets`), and its picture."""
        path = f"{row['key']}.{find_extension(row['image_format'])}"
        self._rows.append(
            {name: row[name] for name in (*_TEXTS, *_NUMBERS)}
            | row["conditioning"]
            | {
                "image": {"bytes": data, "path": path},
                "text": row["caption"],
                "other_captions": [other["caption"] for other in row["other_captions"]],
            }
        )
        if len(self._rows) >= PAIRS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left and the end of the file."""
        self._flush()
        self._writer.close()
