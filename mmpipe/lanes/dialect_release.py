"""Writes released rows in the formats that trainers ask for, a folder per dialect, and counts what one cannot hold."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mmpipe.tables.instructions import PREFERENCE_DATASET
from mmpipe.tables.left_out import NO_PLACE, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mmpipe.release.dialect_files import DialectFile
    from mmpipe.storage.places import Place
    from mmpipe.tables.columns import Table

#: The forms of conversations and of preferences that each word of a recipe stands for.
_FORMS = {
    "trl": ("trl", "trl"),
    "trl_prompt_completion": ("trl_prompt_completion", "trl"),
    "llama_factory": ("llama_factory_sharegpt", "llama_factory_sharegpt"),
    "llama_factory_alpaca": ("llama_factory_alpaca", "llama_factory_alpaca"),
    "axolotl": ("axolotl", "axolotl"),
    "openai": ("openai", "openai"),
    "llava": ("llava", ""),
}

#: Formatting of the dialects whose folder has a dataset_info.json.
_FORMATTINGS: dict[str, Any] = {"llama_factory": "sharegpt", "llama_factory_alpaca": "alpaca"}

_NO_PREFERENCES = "has two answers, which this format has no place for"


@dataclass(slots=True)
class DialectFolder:
    """What was written for one dialect: files relative to `release/`, rows, rows refused by reason, data by name.

    `short_files` are those with fewer rows than OpenAI takes; `has_pictures` says whether any row has one; `left_out`
    names the refused rows (id, dump, place, reason, details).
    """

    dialect: str
    files: list[str] = field(default_factory=list)
    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    short_files: int = 0
    has_pictures: bool = False
    left_out: list[LeftOut] = field(default_factory=list)

    def describe(self) -> tuple[str, str]:
        """Return the row of the card's table of layouts."""
        from mmpipe.release.exporters_openai import FileLimits

        pictures = "pictures are in the rows" if self.dialect == "openai" else "paths of pictures begin in this folder"
        told = f"`release/{self.dialect}/`: {self.rows:,} rows" + (f"; {pictures}" if self.has_pictures else "")
        if self.refused:
            told += "; left out: " + ", ".join(f"{count:,} ({why})" for why, count in sorted(self.refused.items()))
        if self.short_files:
            least = FileLimits().least_rows
            told += (
                f"; files with fewer than the {least} rows that are taken: {self.short_files:,}, join them with others"
            )
        return self.dialect, told


def count_refused(frame: pl.DataFrame, table: Table, dialects: Sequence[str]) -> dict[str, float]:
    """Return how many rows each dialect has no place for, by `dialect: reason`."""
    from mmpipe.release.jsonl import split_configurations

    counts: dict[str, float] = {}
    for dialect in dialects:
        for configuration, part in split_configurations(frame).items():
            for reason, count in _tally(render_part(part, table, dialect, configuration)).items():
                counts[f"{dialect}: {reason}"] = counts.get(f"{dialect}: {reason}", 0) + count
    return counts


def is_refusal(name: str) -> bool:
    """Whether a tally's name is one of `count_refused`: the row is published, but not in that dialect."""
    return name.partition(": ")[0] in _FORMS


def write_part(
    part: pl.DataFrame, table: Table, configuration: str, path: str, folder: Place, written: DialectFolder
) -> None:
    """Write rows of one configuration as a file of the dialect, and add it to `written`.

    Args:
        part: the rows.
        table: sft_dataset or preference_dataset.
        configuration: text_only, with_images or with_tools.
        path: of the file in the folder of its configuration, without suffix: `DUMP` or `SPLIT/DUMP`.
        folder: `release/`.
        written: what was written of the dialect so far.
    """
    file = render_part(part, table, written.dialect, configuration)
    for reason, count in _tally(file).items():
        written.refused[reason] = written.refused.get(reason, 0) + count
    dumps = dict(part.select("id", "dump").iter_rows())
    for row_id, fault in file.refused.items():
        written.left_out.append((row_id, dumps[row_id], written.dialect, NO_PLACE, _name_reason(row_id, fault)))
    written.rows += file.rows
    if not file.rows:
        return
    within = f"{configuration}/{path}{PurePosixPath(file.name).suffix}"
    folder.join(written.dialect, within).write_text(file.text)
    written.files.append(f"{written.dialect}/{within}")
    written.has_pictures |= "images" in part.columns
    if written.dialect == "openai":
        from mmpipe.release.exporters_openai import FileLimits

        written.short_files += file.rows < FileLimits().least_rows
    if written.dialect in _FORMATTINGS:
        from mmpipe.release.exporters_llama_factory import describe_dataset

        # one entry per folder: LLaMA-Factory reads every file of it
        home = str(PurePosixPath(within).parent)
        task: Any = "preference" if table is PREFERENCE_DATASET else "sft"
        entry = describe_dataset(home, _FORMATTINGS[written.dialect], task, has_images=configuration == "with_images")
        written.datasets[f"{table.name}_{home.replace('/', '_')}"] = entry


def write_dataset_info(folder: Place, written: DialectFolder) -> None:
    """Write dataset_info.json where the dialect reads one, and add it to `written`."""
    if written.datasets:
        path = f"{written.dialect}/dataset_info.json"
        folder.join(path).write_text(json.dumps(written.datasets, indent=2) + "\n")
        written.files.append(path)


def render_part(part: pl.DataFrame, table: Table, dialect: str, configuration: str) -> DialectFile:
    """Return rows of one configuration as a file of the dialect.

    Pictures are the files beside the configuration's JSON lines, by paths relative to the dialect's folder; OpenAI,
    which reads no files, gets them within the row.
    """
    from mmpipe.release import dialect_files

    is_preference = table is PREFERENCE_DATASET
    form = _FORMS[dialect][is_preference]
    if not form:
        refused = {str(row_id): _NO_PREFERENCES for row_id in part.get_column("id")}
        return dialect_files.DialectFile(f"{dialect}.jsonl", "", 0, refused)
    records: list[Any] = (
        dialect_files.read_preferences(part) if is_preference else dialect_files.read_conversations(part)
    )
    if "images" in part.columns:
        pictures = part.get_column("images").to_list()
        records = [
            replace(record, images=tuple(_place(image, path, dialect, configuration) for image, path in pairs))
            for record, images in zip(records, pictures, strict=True)
            for pairs in [list(zip(images, record.images, strict=True))]
        ]
    render: Any = dialect_files.render_preferences_for if is_preference else dialect_files.render_conversations_for
    file: DialectFile = render(records, form)
    return file


def _place(image: dict[str, Any], path: str, dialect: str, configuration: str) -> str:
    if dialect != "openai":
        return f"../{configuration}/{path}"
    kind = PurePosixPath(path).suffix.removeprefix(".").replace("jpg", "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(image['bytes']).decode()}"


def _tally(file: DialectFile) -> dict[str, int]:
    """Return how many rows were refused by reason."""
    tally: dict[str, int] = {}
    for row_id, fault in file.refused.items():
        name = _name_reason(row_id, fault)
        tally[name] = tally.get(name, 0) + 1
    return tally


def _name_reason(row_id: str, fault: str) -> str:
    """Return why a row was refused, without what names the row."""
    _, found, reason = fault.partition(f"row {row_id} ")
    return (reason if found else fault).removesuffix(".")
