"""Renders interleaved documents as trainers read them: OBELICS' parallel lists, and MMC4's sentences with pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.release.json_lines import write_json_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    import pyarrow as pa

#: Columns of OBELICS (Laurençon et al. 2023, arXiv 2306.16527; dataset HuggingFaceM4/OBELICS).
OBELICS_DATASET: dict[str, Any] = {
    "images": pl.List(pl.String),
    "metadata": pl.String,
    "general_metadata": pl.String,
    "texts": pl.List(pl.String),
}

#: What of the pairs a document names the renderers read.
PAIR_COLUMNS = ("pair_id", "image_url", "alt", "image_sha256", "image_format", "image_width", "image_height")


def render_obelics(
    documents: pl.DataFrame, pairs: pl.DataFrame, *, image_paths: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Return OBELICS rows: `images` and `texts` in parallel, exactly one of them non-null at each place.

    A picture stands as its URL, as in the published dataset, or as the path of its file where one is given.
    `metadata` is a JSON list in parallel too, null where a text stands; `general_metadata` a JSON object that says
    where the page is.

    Args:
        documents: INTERLEAVED_DOCUMENTS rows.
        pairs: `PAIR_COLUMNS` of the pairs that they name.
        image_paths: files of pictures by pair_id.

    Raises:
        ConfigurationError: a document names a pair that is not there.
    """
    known = _index_pairs(pairs)
    rows = []
    for document in documents.iter_rows(named=True):
        markup = iter(document["image_markup"])
        metadata = [
            None if pair_id is None else _describe_obelics(document["url"], _find(known, pair_id), next(markup))
            for pair_id in document["images"]
        ]
        images = [
            None if pair_id is None else (image_paths or {}).get(pair_id, known[pair_id]["image_url"])
            for pair_id in document["images"]
        ]
        general = {
            "url": document["url"],
            "warc_filename": document["warc_file"],
            "warc_record_offset": document["warc_offset"],
            "warc_record_length": document["warc_length"],
        }
        rows.append(
            {
                "images": images,
                "metadata": json.dumps(metadata, ensure_ascii=False),
                "general_metadata": json.dumps(general, ensure_ascii=False),
                "texts": document["texts"],
            }
        )
    return pl.DataFrame(rows, schema=OBELICS_DATASET)


def _describe_obelics(document_url: str, pair: Mapping[str, Any], markup: Mapping[str, Any] | None) -> dict[str, Any]:
    described = {
        "document_url": document_url,
        "unformatted_src": (markup or {}).get("src") or pair["image_url"],
        "src": pair["image_url"],
        "formatted_filename": _name_file(pair["image_url"]),
        "alt_text": pair["alt"],
        "rendered_width": (markup or {}).get("width"),
        "rendered_height": (markup or {}).get("height"),
        "format": pair["image_format"],
        "original_width": pair["image_width"],
        "original_height": pair["image_height"],
    }
    # what the page does not say, OBELICS leaves out
    return {name: value for name, value in described.items() if value is not None}


def _name_file(url: str) -> str:
    """Return a picture's name in words, as OBELICS formats it: no folders, no ending, no marks."""
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    return " ".join("".join(letter if letter.isalnum() else " " for letter in stem).split())


def list_repeated_urls(documents: pl.LazyFrame | pl.DataFrame) -> frozenset[str]:
    """Return the URLs that more than one document has: MMC4 marks these."""
    counted = documents.lazy().group_by("url").len().filter(pl.col("len") > 1)
    return frozenset(counted.collect().get_column("url"))


def render_mmc4(
    documents: pl.DataFrame, pairs: pl.DataFrame, *, repeated_urls: AbstractSet[str] = frozenset()
) -> Iterator[str]:
    """Yield one JSON line (with its line feed) per document, in MMC4's fields (Zhu et al. 2023, arXiv 2304.06939).

    `text_list` are sentences; `image_info` names each picture's file, URL, sentence and cosine; `similarity_matrix` has
    a row per picture and a value per sentence. Faces are not looked for: `face_detections` is null, as in MMC4.

    Args:
        documents: INTERLEAVED_DOCUMENTS rows in the order of similarity.
        pairs: `PAIR_COLUMNS` of the pairs that they name.
        repeated_urls: URLs that other documents of the release have too.

    Raises:
        ConfigurationError: a document is in the order of the page and has no sentences, or names a pair that is not
            there.
    """
    known = _index_pairs(pairs)
    for document in documents.iter_rows(named=True):
        if document["matched_text_index"] is None:
            raise ConfigurationError(
                f"interleaved_dataset: document {document['doc_id']} is in the order of the page; the format mmc4 "
                f"needs pictures with their sentences. Set `interleaved.order: similarity`, or take mmc4 out of "
                f"`image_release.interleaved_formats`."
            )
        pictures = [pair_id for pair_id in document["images"] if pair_id is not None]
        matches = zip(pictures, document["matched_text_index"], document["matched_sim"], strict=True)
        row = {
            "url": document["url"],
            "text_list": [text for text in document["texts"] if text is not None],
            "image_info": [
                {
                    "image_name": name_picture(_find(known, pair_id)),
                    "raw_url": known[pair_id]["image_url"],
                    "matched_text_index": index,
                    "matched_sim": similarity,
                    "face_detections": None,
                }
                for pair_id, index, similarity in matches
            ],
            "similarity_matrix": document["similarity_matrix"],
            "could_have_url_duplicate": int(document["url"] in repeated_urls),
        }
        yield write_json_line(row)


def name_picture(pair: Mapping[str, Any]) -> str:
    """Return the name of a picture's file: its content and format, so that equal pictures are one file."""
    return f"{pair['image_sha256']}.{pair['image_format']}"


def name_mmc4_shard(number: int) -> str:
    """Return the name of a file of documents, as MMC4 names them."""
    return f"docs_shard_{number}_v2.jsonl"


def render_obelics_jsonl(rows: pl.DataFrame) -> Iterator[str]:
    """Yield one JSON line (with its line feed) per OBELICS row."""
    for row in rows.iter_rows(named=True):
        yield write_json_line(row)


def convert_obelics_to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Return OBELICS rows as Arrow for Parquet, with the types of the published files."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    kinds = {"images": texts, "metadata": pa.string(), "general_metadata": pa.string(), "texts": texts}
    return rows.select(*kinds).to_arrow().cast(pa.schema(list(kinds.items())))


def _index_pairs(pairs: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["pair_id"]: row for row in pairs.select(PAIR_COLUMNS).iter_rows(named=True)}


def _find(known: Mapping[str, dict[str, Any]], pair_id: str) -> dict[str, Any]:
    if pair_id not in known:
        raise ConfigurationError(
            f"interleaved_dataset: a document names pair {pair_id}, which filtered_image_pairs has not. Make "
            f"interleaved_candidates again: the pairs changed."
        )
    return known[pair_id]
