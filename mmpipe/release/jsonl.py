"""Renders a dataset as `datasets` and the trainers read it: JSON lines beside image files, or Arrow for Parquet."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.release.exporters_trl import split_parts
from mmpipe.release.json_lines import write_json_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

#: Folder of the image files, relative to the JSONL file.
IMAGE_FOLDER = "images"


#: Columns that rows with tools alone have.
_TOOL_COLUMNS = ("tools", "tool_calls")

#: Columns of turns in conversations and preferences.
_MESSAGE_COLUMNS = ("messages", "prompt", "chosen", "rejected")

#: A call in a message, as OpenAI writes it: arguments are JSON in a string, since those of two tools have no one type.
_CALL = pl.Struct({"type": pl.String, "function": pl.Struct({"name": pl.String, "arguments": pl.String})})


def split_configurations(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows `text_only`, `with_images` and `with_tools`; a name without rows is left out.

    A trainer takes a file with an `images` column for a vision dataset, and gives every row of one with `tools` to the
    chat template with them; so each kind stands in files of its own.
    """
    has_images = pl.col("images").list.len() > 0
    of_tools = [name for name in _TOOL_COLUMNS if name in frame.columns]
    has_tools = pl.col("tools").is_not_null() if of_tools else pl.lit(False)
    parts = {
        "text_only": frame.filter(~has_images & ~has_tools).drop("images", *of_tools),
        "with_images": frame.filter(has_images).drop(of_tools),
        "with_tools": frame.filter(~has_images & has_tools).drop("images"),
    }
    return {name: part for name, part in parts.items() if part.height}


def show_calls(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows with tools as they are written: calls in the messages, in place of the words that say them."""
    if "tool_calls" not in frame.columns:
        return frame
    message = pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": pl.List(_CALL)})
    shown = []
    for row in frame.select("messages", "tool_calls").iter_rows(named=True):
        *before, last = row["messages"]
        if row["tool_calls"] is not None:
            calls = [
                {
                    "type": "function",
                    "function": {**call, "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
                }
                for call in json.loads(row["tool_calls"])
            ]
            last = {"role": last["role"], "content": "", "tool_calls": calls}
        shown.append([*before, last])
    return frame.drop("tool_calls").with_columns(messages=pl.Series(shown, dtype=pl.List(message)))


def show_parts(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows with pictures as TRL and its processors read them: content is a list of parts, pictures among them.

    In a string they take `<image>` for words of the user and add a placeholder of their own: twice as many as pictures.
    """
    if "images" not in frame.columns:
        return frame
    message = pl.Struct({"role": pl.String, "content": pl.List(pl.Struct({"type": pl.String, "text": pl.String}))})
    shown = [
        pl.Series(
            name,
            [
                [{"role": turn["role"], "content": split_parts(turn["content"])} for turn in turns]
                for turns in frame.get_column(name).to_list()
            ],
            dtype=pl.List(message),
        )
        for name in _MESSAGE_COLUMNS
        if name in frame.columns
    ]
    return frame.with_columns(shown)


def render_jsonl(frame: pl.DataFrame) -> Iterator[str]:
    """Yield one JSON line (with its line feed) per row: messages as lists of objects, images as relative paths."""
    for row in frame.iter_rows(named=True):
        if "images" in row:
            row["images"] = [place_image(image) for image in row["images"]]
        yield write_json_line(row)


def list_image_files(frame: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield (path relative to the JSONL file, bytes) of each image once."""
    seen: set[str] = set()
    for images in frame.get_column("images").to_list() if "images" in frame.columns else ():
        for image in images:
            path = place_image(image)
            if path not in seen:
                seen.add(path)
                yield path, image["bytes"]


def place_image(image: dict[str, Any]) -> str:
    """Return the path of an image struct's file, relative to the JSONL file."""
    # only the name: a path out of a crawl must not lead out of the folder
    return f"{IMAGE_FOLDER}/{PurePosixPath(image['path']).name}"


def convert_to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return `frame` as Arrow whose Parquet file `datasets.load_dataset("parquet")` reads with images decoded.

    `datasets` finds the features of a file under the key `huggingface` of the schema's metadata.
    """
    import pyarrow as pa

    schema = pa.schema([pa.field(name, _to_arrow_type(dtype)) for name, dtype in frame.schema.items()])
    features = {name: _describe_feature(name, dtype) for name, dtype in frame.schema.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return frame.to_arrow().cast(schema).replace_schema_metadata(metadata)


def _to_arrow_type(dtype: Any) -> pa.DataType:
    import pyarrow as pa

    if isinstance(dtype, pl.List):
        return pa.list_(_to_arrow_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pa.struct([pa.field(field.name, _to_arrow_type(field.dtype)) for field in dtype.fields])
    # 32-bit offsets: what every reader of Parquet takes
    return {pl.String: pa.string(), pl.Binary: pa.binary(), pl.Int64: pa.int64(), pl.Float64: pa.float64()}[type(dtype)]


def _describe_feature(name: str, dtype: Any) -> dict[str, Any]:
    if name == "images":
        return {"feature": {"_type": "Image"}, "_type": "List"}
    if isinstance(dtype, pl.List):
        return {"feature": _describe_feature("", dtype.inner), "_type": "List"}
    if isinstance(dtype, pl.Struct):
        return {field.name: _describe_feature("", field.dtype) for field in dtype.fields}
    names = {pl.String: "string", pl.Binary: "binary", pl.Int64: "int64", pl.Float64: "float64"}
    return {"dtype": names[type(dtype)], "_type": "Value"}
