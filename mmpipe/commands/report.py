"""`mmpipe report`: writes what became of a dump's text, pictures or instructions as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.storage.dumps import require_dump
from mmpipe.tables.removals import IMAGE_REMOVALS, INSTRUCTION_REMOVALS, TEXT_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from mmpipe.storage.lake import Lake

#: Lanes that have a report, and the last table that it tells of.
LANES = {"text": TEXT_REMOVALS, "images": IMAGE_REMOVALS, "instructions": INSTRUCTION_REMOVALS}


def save_report(
    lake: Lake, dump: str, out: Path, *, lane: str = "text", labels: Path | None = None, cache_folder: str = ""
) -> Path:
    """Write the report of a dump to a file, and return its path.

    Args:
        lake: where the datasets are.
        dump: its name.
        out: file to write.
        lane: text, images or instructions.
        labels: for images: CSV, Parquet or JSON lines of a sample that people labelled.
        cache_folder: where fetched pictures are.

    Raises:
        DatasetNotReady: the dump's lane is not judged yet.
        ConfigurationError: no such lane or dump, or a labelled sample that cannot be read.
    """
    if lane not in LANES:
        raise ConfigurationError(f"Unknown lane {lane!r}.{name_nearest(lane, LANES)}")
    if dump not in lake.list_dumps(LANES[lane]):
        require_dump(lake, dump)
    if lane == "images":
        from mmpipe.lanes.image_report import write_image_report

        sample = None if labels is None else read_labels(labels)
        page = write_image_report(lake, dump, cache_folder=cache_folder, labels=sample)
    elif lane == "instructions":
        from mmpipe.lanes.instruction_report import write_instruction_report

        page = write_instruction_report(lake, dump)
    else:
        from mmpipe.lanes.text_report import write_text_report

        page = write_text_report(lake, dump)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def read_labels(file: Path) -> pl.DataFrame:
    """Return a labelled sample: `pair_id`, and the columns that `lanes.label_agreement.compare_labels` takes.

    Raises:
        ConfigurationError: no such file, or none of the three formats.
    """
    import polars as pl

    if not file.is_file():
        raise ConfigurationError(f"No labelled sample at {file}.")
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": pl.read_csv,
        ".parquet": pl.read_parquet,
        ".jsonl": pl.read_ndjson,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"{file}: a labelled sample is a .csv, .parquet or .jsonl file.")
    try:
        return reader(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigurationError(f"{file}: not readable as {file.suffix}: {error}") from error
