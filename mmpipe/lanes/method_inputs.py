"""Says what a synthesis method is called with, and opens what it asks for: its file, counter, scorer, sandbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.synthesis_inputs import identify_rows, read_records
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.filtering.synthesis_sections import SynthesisMethod
    from mmpipe.lanes.picture_sources import PictureSources
    from mmpipe.models.token_scores import TransformersTokenScorer
    from mmpipe.tables.chat import Teacher
    from mmpipe.tables.programs import ProgramRunner

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MethodRun:
    """What a method is called with.

    Attributes:
        entry: as the recipe names it.
        settings: the method's own.
        beside: options that are no settings.
        dump: what its rows say.
        teacher: who is asked.
        rows: documents of the corpus, or instructions of this run; no rows where the method reads a file.
        workers: programs run at once.
        tokenizer: where the tokenizer lies; empty for the embedded one.
        knobs: of the run.
        pictures: what is known of the pictures; None for a method that reads none.
        critic: who judges within the method; None where that is the teacher too.
    """

    entry: SynthesisMethod
    settings: Any
    beside: Mapping[str, Any]
    dump: str
    teacher: Teacher
    rows: pl.DataFrame
    workers: int = 1
    tokenizer: str = ""
    knobs: Knobs = field(default_factory=Knobs)
    pictures: PictureSources | None = None
    critic: Teacher | None = None

    def take_pictures(self) -> PictureSources:
        """Return what is known of the pictures; for methods about pictures alone."""
        assert self.pictures is not None, f"{self.entry.method} reads no pictures"
        return self.pictures

    def read_file(self, name: str, key: str, *columns: str, **renamed: str) -> pl.DataFrame:
        """Return the rows of a file, at most as many as the recipe says, with id and dump; see `identify_rows`."""
        frame = read_records(self.entry.files[name])
        frame = frame.rename({old: new for new, old in renamed.items() if new not in frame.columns}, strict=False)
        label = self.entry.files[name].list
        return self.choose(identify_rows(frame, key, *columns, file=label, dump=self.dump), key)

    def choose(self, frame: pl.DataFrame, key: str) -> pl.DataFrame:
        """Return at most `most` rows, chosen by a keyed hash of their ids, in the order of their ids."""
        ids = frame.get_column(key).to_list()
        chosen = sorted(ids, key=lambda row_id: make_id("chosen", self.settings.seed, row_id))
        return frame.filter(pl.col(key).is_in(chosen[: self.beside.get("most")])).sort(key)

    def open_counter(self) -> Callable[[Sequence[str]], list[int]]:
        """Return what counts the tokens of texts; the tokenizer is loaded once, here."""
        from mmpipe.models.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(self.tokenizer or None)
        return lambda texts: [len(ids) for ids in tokenizer.encode_batch(list(texts))]

    def open_scorer(self) -> TransformersTokenScorer:
        """Return the language model that scores tokens: the one of perplexity's knob, or the embedded one.

        Raises:
            ConfigurationError: the knob names a KenLM file.
        """
        from mmpipe.models.devices import choose_device
        from mmpipe.models.kenlm_perplexity import KENLM_SUFFIXES
        from mmpipe.models.token_scores import TransformersTokenScorer

        if self.knobs.perplexity_weights.endswith(KENLM_SUFFIXES):
            raise ConfigurationError(
                f"{self.entry.method}: KenLM gives words no tokens that can be weighed. Set MMPIPE_PERPLEXITY to a "
                f"causal model, or leave it empty for the embedded one."
            )
        return TransformersTokenScorer(
            self.knobs.perplexity_weights or "embedded",
            device=choose_device(self.knobs.device),
            batch_size=self.knobs.batch_size,
            converted=Path(self.knobs.cache_folder) / "weights" if self.knobs.cache_folder else None,
        )

    def open_runner(self) -> ProgramRunner:
        """Return what runs programs a teacher wrote; which walls stand goes to the log."""
        from mmpipe.storage.program_sandbox import ProgramSandbox

        sandbox = ProgramSandbox(workers=self.workers)
        _log.info("%s: programs run behind walls: %s", self.entry.method, sandbox.describe())
        return sandbox
