"""Opens the teacher that settings name: an OpenAI-compatible endpoint, or a model in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.models.reply_cache import ReplyCache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmpipe.tables.chat import Teacher


def open_teacher(settings: Mapping[str, Any], *, device: str, batch_size: int, cache_folder: str) -> Teacher:
    """Return a teacher whose replies are cached, request by request, in `cache_folder`.

    Args:
        settings: `model`, `base_url`, `api_key_variable`, `concurrency`, `timeout_seconds`, `prompt_price`,
            `completion_price`; all optional. An empty `base_url` means a model in this process; an empty `model` then
            the embedded one.
        device: `auto`, `cpu`, or an accelerator by name; for a model in this process.
        batch_size: requests answered together by a model in this process.
        cache_folder: local folder of the cache, shared by all runs.

    Raises:
        ConfigurationError: an endpoint without a model's name.
        WeightsNotFound: no such model.
    """
    folder = Path(cache_folder or ".") / "replies"
    folder.mkdir(parents=True, exist_ok=True)
    cache = ReplyCache(folder / "replies.sqlite")
    if settings.get("base_url"):
        from mmpipe.models.endpoint_teacher import open_endpoint_teacher

        return open_endpoint_teacher(settings, cache)
    from mmpipe.models.transformers_teacher import EMBEDDED, TransformersTeacher

    return TransformersTeacher(
        settings.get("model") or EMBEDDED,
        device=device,
        batch_size=batch_size,
        cache=cache,
        converted=folder.parent / "weights",
    )
