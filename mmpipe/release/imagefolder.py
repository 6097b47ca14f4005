"""Renders pairs as a Hugging Face imagefolder: picture files and metadata.jsonl with file_name and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.release.json_lines import write_json_line
from mmpipe.release.webdataset_tars import SHARD_DIGITS, find_extension

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a line of metadata tells beside the file's name and the text.
_TOLD = ("pair_id", "dump", "page_url", "image_url", "caption_origin", "image_sha256", "image_width", "image_height",
         "clip_similarity", "licence")  # fmt: skip


def name_image(row: Mapping[str, Any]) -> str:
    """Return the name of a pair's picture within the folder of its shard: made of key and format only."""
    return f"{row['key']}.{find_extension(row['image_format'])}"


def place_image(row: Mapping[str, Any]) -> str:
    """Return the path of a pair's picture within the folder of all pictures: a folder per shard, then its name."""
    return f"{row['key'][:SHARD_DIGITS]}/{name_image(row)}"


def render_metadata_line(row: Mapping[str, Any]) -> str:
    """Return the pair's line of `metadata.jsonl`, which stands beside the pictures of the shard.

    No value is null: `datasets` takes the types of a column from each file, and refuses a folder where a column holds
    nothing else beside one where it holds text. A page that is unknown is empty, a similarity that was not measured
    left out.
    """
    told = {name: row[name] for name in _TOLD} | {"page_url": row["page_url"] or ""}
    if told["clip_similarity"] is None:
        del told["clip_similarity"]
    return write_json_line({"file_name": name_image(row), "text": row["caption"], **told})
