"""Renders pairs as WebDataset tars in img2dataset's layout: picture, text and json of a pair, one beside the other."""

from __future__ import annotations

import io
import json
import tarfile
from typing import IO, TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Digits of the shard's number in a file's name and in the keys of its pairs (img2dataset).
SHARD_DIGITS = 5

#: Statuses of img2dataset's rows.
SUCCESS, FAILED = "success", "failed_to_download"

#: Extension of a format where it is another word.
_EXTENSIONS = {"jpeg": "jpg"}

#: Columns of a sample's json and of the Parquet file beside the tar: img2dataset's first, then what mmpipe knows more.
SAMPLE_SCHEMA: dict[str, Any] = {
    "url": pl.String,
    "caption": pl.String,
    "key": pl.String,
    "status": pl.String,
    "error_message": pl.String,
    "width": pl.Int64,
    "height": pl.Int64,
    "original_width": pl.Int64,
    "original_height": pl.Int64,
    "exif": pl.String,
    "sha256": pl.String,
    "pair_id": pl.String,
    "dump": pl.String,
    "doc_id": pl.String,
    "page_url": pl.String,
    "caption_origin": pl.String,
    "crawl_caption": pl.String,
    "other_captions": pl.List(pl.String),
    "similarity": pl.Float64,
    "license": pl.String,
}


def make_key(shard: int, place: int, pairs_per_file: int) -> str:
    """Return the key of a pair as img2dataset writes it: the shard's number, then its place with as many digits as fit.

    Keys have no dots: readers cut a member's name at the first one.
    """
    return f"{shard:0{SHARD_DIGITS}d}{place:0{len(str(max(pairs_per_file - 1, 1)))}d}"


def find_extension(image_format: str) -> str:
    """Return the extension of a picture's file: `jpg` for `jpeg`, else the format's own name."""
    return _EXTENSIONS.get(image_format, image_format)


def describe_sample(
    row: Mapping[str, Any], data: bytes | None, *, error: str | None = None, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the json of a pair.

    Args:
        row: a row of image_dataset (`image_bytes` may be absent).
        data: the picture's bytes; None for a pair that is not in the tar.
        error: why it is not.
        more: further columns, such as SDXL's sizes and crops (Podell et al. 2023, section 2.2); none may replace one.
    """
    is_there = data is not None
    width, height = (row["image_width"], row["image_height"]) if is_there else (None, None)
    sample = {
        "url": row["image_url"],
        "caption": row["caption"],
        "key": row["key"],
        "status": SUCCESS if is_there else FAILED,
        "error_message": error,
        "width": width,
        "height": height,
        # the bytes are released as they were crawled
        "original_width": width,
        "original_height": height,
        "exif": read_exif(data) if data is not None else None,
        "sha256": row["image_sha256"],
        "pair_id": row["pair_id"],
        "dump": row["dump"],
        "doc_id": row["doc_id"],
        "page_url": row["page_url"],
        "caption_origin": row["caption_origin"],
        "crawl_caption": row["crawl_caption"],
        "other_captions": [other["caption"] for other in row["other_captions"]],
        "similarity": row["clip_similarity"],
        "license": row["licence"],
    }
    return sample | {name: value for name, value in (more or {}).items() if name not in sample}


def read_exif(data: bytes) -> str:
    """Return the EXIF tags of a picture as a JSON object of texts; `{}` if it has none that can be read."""
    from PIL import ExifTags, Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            tags = dict(picture.getexif())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # measured and kept already: a reader that stumbles over its tags need not lose the picture
        return "{}"
    named = {ExifTags.TAGS.get(tag, str(tag)): _write_tag(value) for tag, value in tags.items()}
    return json.dumps(dict(sorted(named.items())), ensure_ascii=False)


def _write_tag(value: Any) -> str:
    # tags may hold a thumbnail or a maker's notes; their bytes say nothing as text
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value).strip("\x00 ")


class TarWriter:
    """Writes one tar to a stream, pair by pair; equal pairs give equal bytes, whoever writes them and when."""

    def __init__(self, stream: IO[bytes]) -> None:
        # ustar names no owner beyond what it is told, and has no per-file headers with times
        self._tar = tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close

    def add(self, sample: Mapping[str, Any], image_format: str, data: bytes) -> None:
        """Add the members of a pair, adjacent: picture, json, text."""
        key = sample["key"]
        self._add_member(f"{key}.{find_extension(image_format)}", data)
        self._add_member(f"{key}.json", json.dumps(sample, ensure_ascii=False).encode())
        self._add_member(f"{key}.txt", sample["caption"].encode())

    def _add_member(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.mode = 0o444
        self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the archive; the stream stays open."""
        self._tar.close()


def render_stats(samples: Sequence[Mapping[str, Any]], started: float, ended: float) -> str:
    """Return `{shard}_stats.json` as img2dataset writes it; times are seconds since 1970."""
    reasons: dict[str, int] = {}
    for sample in samples:
        reason = sample["error_message"] or SUCCESS
        reasons[reason] = reasons.get(reason, 0) + 1
    successes = sum(sample["status"] == SUCCESS for sample in samples)
    stats = {
        "count": len(samples),
        "successes": successes,
        "failed_to_download": len(samples) - successes,
        "failed_to_resize": 0,
        "duration": round(ended - started, 3),
        "start_time": started,
        "end_time": ended,
        "status_dict": reasons,
    }
    return json.dumps(stats, indent=4)


def list_samples(samples: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the rows of the Parquet file beside the tar, pairs that are not in the tar included.

    Further columns of the samples follow the agreed ones, typed by what they hold.
    """
    agreed = pl.DataFrame([{name: sample[name] for name in SAMPLE_SCHEMA} for sample in samples], schema=SAMPLE_SCHEMA)
    names = sorted({name for sample in samples for name in sample} - set(SAMPLE_SCHEMA))
    more = [pl.Series(name, [sample.get(name) for sample in samples]) for name in names]
    return agreed.with_columns(more)
