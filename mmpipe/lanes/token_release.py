"""Writes released rows as tokens: conversations masked and packed, training sequences as memory maps."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from mmpipe.filtering.release_sections import ReleaseSettings
    from mmpipe.lanes.known_tokenizers import KnownTokenizer
    from mmpipe.storage.commits import Commit
    from mmpipe.storage.lake import Dataset
    from mmpipe.storage.places import Place
    from mmpipe.tables.left_out import LeftOut

#: Folder of packed conversations in `release/`.
PACKED = "packed"

_HAS_IMAGES = "has_images"
_MEMORY_MAPS = "memory_mapped"
_TOKENIZER = "tokenizer"


@dataclass(slots=True)
class Packer:
    """Packs the conversations of one dump after the other, and tells what became of them.

    Attributes:
        settings: of the recipe; `pack_tokens` is set.
        tokenizer: of a chat model, with its template (`models.chat_tokenizer.load_chat_tokenizer`).
        rows: conversations packed.
        sequences: sequences written.
        removed: conversations left out, by reason.
        cut: answers that `max_tokens` cut off the ends of conversations which are packed.
        left_out: conversations that are left out or cut, named.
    """

    settings: ReleaseSettings
    tokenizer: Any
    rows: int = 0
    sequences: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    left_out: list[LeftOut] = field(default_factory=list)

    def write_part(self, part: pl.DataFrame, stem: str, folder: Place) -> list[str]:
        """Write conversations as `packed/STEM.parquet` and return its path in `release/`; loss on answers alone.

        Pictures have no tokens before a model's own processor made them: conversations with one are left out.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from mmpipe.release.chat_templates import take_template
        from mmpipe.release.dialect_files import read_conversations
        from mmpipe.release.loss_masks import mask_conversations
        from mmpipe.release.packing import pack_conversations

        if "images" in part.columns:
            self._leave_out([(name, _HAS_IMAGES, None) for name in part.get_column("id")], part)
            return []
        length, day = self.settings.pack_tokens or 0, self.settings.template_date
        masked = mask_conversations(
            read_conversations(part),
            take_template(self.tokenizer, today=date.fromisoformat(day) if day else None),
            self.tokenizer,
            max_tokens=self.settings.max_tokens or length,
        )
        self._leave_out(masked.removed.select("id", "reason", "detail").rows(), part)
        self._tell_cut({row.id: row.cut_answers for row in masked.rows if row.cut_answers}, part)
        if not masked.rows:
            return []
        packed = pack_conversations(masked.rows, length)
        self.rows += len(masked.rows)
        self.sequences += packed.height
        numbers = pa.list_(pa.int32())
        types = {"sequence_id": pa.string(), "row_ids": pa.list_(pa.string())}
        schema = pa.schema([pa.field(name, types.get(name, numbers)) for name in packed.columns])
        buffer = io.BytesIO()
        pq.write_table(packed.to_arrow().cast(schema), buffer, compression="zstd")
        folder.join(PACKED, f"{stem}.parquet").write_bytes(buffer.getvalue())
        return [f"{PACKED}/{stem}.parquet"]

    def describe(self) -> tuple[str, str]:
        """Return the row of the card's table of layouts."""
        told = (
            f"`release/{PACKED}/*.parquet`: {self.rows:,} conversations in {self.sequences:,} sequences of at most "
            f"{self.settings.pack_tokens:,} tokens of {self.tokenizer.name}@{self.tokenizer.digest}"
        )
        if self.cut:
            told += (
                f"; answers cut off at {self.settings.max_tokens or self.settings.pack_tokens:,} tokens: {self.cut:,}"
            )
        if self.removed:
            told += "; left out: " + ", ".join(f"{count:,} ({why})" for why, count in sorted(self.removed.items()))
        return PACKED, told

    def _tell_cut(self, cut: Mapping[str, int], part: pl.DataFrame) -> None:
        dumps = dict(part.select("id", "dump").iter_rows())
        for name, answers in cut.items():
            self.cut += answers
            self.left_out.append((name, dumps[name], PACKED, "answers_cut", f"last answers cut off: {answers}"))

    def _leave_out(self, rows: Sequence[tuple[str, str, str | None]], part: pl.DataFrame) -> None:
        dumps = dict(part.select("id", "dump").iter_rows())
        for name, reason, details in rows:
            self.removed[reason] = self.removed.get(reason, 0) + 1
            self.left_out.append((name, dumps[name], PACKED, reason, details))


def write_memory_maps(dataset: Dataset, commits: list[Commit], tokenizer: KnownTokenizer, *, wanted: bool) -> int:
    """Write each part file's sequences as `release/memory_mapped/PART.bin` and `.idx`, and return how many pairs.

    A part file's name changes with its content, so a pair that is there is not written again; pairs of other parts,
    and all where none is wanted, are removed.

    Args:
        dataset: pretraining_dataset.
        commits: its current part files.
        tokenizer: what its tokens were made with.
        wanted: whether the recipe asks for memory maps.
    """
    from mmpipe.release.memory_mapped import render_index, render_tokens

    folder = dataset.folder.join("release", _MEMORY_MAPS)
    current = [commit for commit in commits if commit.rows_out] if wanted else []
    names = {commit.file.removesuffix(".parquet"): commit for commit in current}
    present = set(folder.list_files())
    for path in present - {f"{name}.{suffix}" for name in names for suffix in ("bin", "idx")}:
        folder.join(path).remove()
    for name, commit in names.items():
        if {f"{name}.bin", f"{name}.idx"} <= present:
            continue
        column = dataset.read_shard(commit.shard).get_column("input_ids")
        with folder.join(f"{name}.bin").replace_file() as place, place.open("wb") as stream:
            stream.writelines(render_tokens((ids.to_numpy() for ids in column), tokenizer.vocabulary_size))
        index = render_index(column.list.len().to_numpy(), tokenizer.vocabulary_size)
        # last: who finds an index finds its tokens
        folder.join(f"{name}.idx").write_bytes(index)
    return len(names)


def write_tokenizer(dataset: Dataset, tokenizer: KnownTokenizer) -> None:
    """Write a tokenizer that got tokens as `release/tokenizer/`, with the plan for their embeddings; else remove it.

    `embedding_plan.json` lists of each token its id and the ids whose rows its embedding begins with the mean of
    (`models.tokenizer.AddedToken`).
    """
    folder = dataset.folder.join("release", _TOKENIZER)
    files: dict[str, bytes] = {}
    if tokenizer.added:
        with tempfile.TemporaryDirectory(prefix="mmpipe-tokenizer-") as place:
            tokenizer.save(Path(place))
            files = {file.name: file.read_bytes() for file in Path(place).iterdir() if file.is_file()}
        told = [{"token": each.token, "id": each.id, "mean_of_ids": list(each.pieces)} for each in tokenizer.added]
        files["embedding_plan.json"] = (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()
    for path in set(folder.list_files()) - set(files):
        folder.join(path).remove()
    for name, data in files.items():
        folder.join(name).write_bytes(data)
