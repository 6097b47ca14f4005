"""Opens the teacher that settings name: an OpenAI-compatible endpoint, or a model in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError
from mmpipe.models.reply_cache import ReplyCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.tables.chat import Teacher


def open_teacher(settings: Mapping[str, Any], *, device: str, batch_size: int, cache_folder: str) -> Teacher:
    """Return a teacher whose replies are cached, request by request, in `cache_folder`.

    Args:
        settings: `model`, `base_url`, `api_key_variable`, `concurrency`, `timeout_seconds`, `prompt_price`,
            `completion_price`, `takes_images`, `family`, `round`, `batching`; all optional. An empty `base_url` means a
            model in this process; an empty `model` then the embedded one.
        device: `auto`, `cpu`, or an accelerator by name; for a model in this process.
        batch_size: requests answered together by a model in this process.
        cache_folder: local folder of the cache, shared by all runs.

    Raises:
        ConfigurationError: an endpoint without a model's name.
        WeightsNotFound: no such model.
    """
    cache = ReplyCache(Path(cache_folder or ".") / "replies.sqlite")
    if settings.get("base_url"):
        return _open_endpoint(settings, cache)
    from mmpipe.models.devices import choose_device
    from mmpipe.models.gguf_weights import EMBEDDED
    from mmpipe.models.transformers_teacher import TransformersTeacher

    return TransformersTeacher(
        settings.get("model") or EMBEDDED,
        device=choose_device(device),
        batch_size=batch_size,
        batching=settings.get("batching") or "auto",
        cache=cache,
        round_number=settings.get("round") or 1,
        converted=Path(cache_folder or ".") / "weights",
    )


def open_teachers(
    settings: Sequence[Mapping[str, Any]], *, device: str, batch_size: int, cache_folder: str
) -> list[Teacher]:
    """Return several teachers of one run, in the order of their settings; they share the cache.

    Args:
        settings: of each, as `open_teacher` takes them.
        device: as there.
        batch_size: as there.
        cache_folder: as there.

    Raises:
        ConfigurationError: one that cannot work, or one that is named twice.
        WeightsNotFound: no such model.
    """
    teachers = [
        open_teacher(each, device=device, batch_size=batch_size, cache_folder=cache_folder) for each in settings
    ]
    names = [teacher.name for teacher in teachers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"Teacher {name} is named {names.count(name)} times: name each once.")
    return teachers


def _open_endpoint(settings: Mapping[str, Any], cache: ReplyCache) -> Teacher:
    from mmpipe.models.endpoint_teacher import EndpointTeacher
    from mmpipe.models.prices import Prices

    if not settings.get("model"):
        raise ConfigurationError(
            f"The teacher at {settings['base_url']} has no model name: set MMPIPE_TEACHER to one the endpoint serves."
        )
    return EndpointTeacher(
        settings["base_url"],
        settings["model"],
        # read when the run starts, never stored: only the variable's name is a setting
        api_key=os.environ.get(settings.get("api_key_variable") or "") or None,
        concurrency=settings.get("concurrency") or 16,
        timeout_s=settings.get("timeout_seconds") or 120.0,
        prices=Prices(settings.get("prompt_price") or 0.0, settings.get("completion_price") or 0.0),
        cache=cache,
        takes_images=settings.get("takes_images", True),
        family=settings.get("family") or "",
        key_variable=settings.get("api_key_variable") or "",
        round_number=settings.get("round") or 1,
    )
