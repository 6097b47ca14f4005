"""Looks whether a teacher could answer: its endpoint, key and model, or its weights; no request is asked of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound, name_nearest
from mmpipe.models.gguf_weights import EMBEDDED
from mmpipe.models.http_transport import HttpTransport, NoConnection, NoReplyInTime, OversizedReply
from mmpipe.models.hub_weights import find_local

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds an endpoint may take to list its models.
PROBE_SECONDS = 5.0
#: What a server says that answers chats and has no list of models.
_WITHOUT_LIST = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found of a teacher: whether it cannot answer as it is set, and one sentence of what to do or where."""

    is_wrong: bool
    message: str


def probe_teacher(
    settings: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    needs_key: bool = False,
    within_s: float = PROBE_SECONDS,
    url_setting: str = "base_url",
) -> Probe:
    """Return what is there of a teacher, without asking it anything that costs.

    Args:
        settings: as `models.teachers.open_teacher` takes them.
        environ: where keys stand.
        needs_key: whether a key's variable that is not set is wrong by itself; else a refusal alone is.
        within_s: seconds an endpoint may take.
        url_setting: what the user sets the URL by, for messages.
    """
    if settings.get("base_url"):
        return _probe_endpoint(settings, environ, needs_key, within_s, url_setting)
    name = settings.get("model") or EMBEDDED
    try:
        path = find_local(name)
    except WeightsNotFound as error:
        return Probe(True, str(error))
    if path is not None:
        return Probe(False, f"{name}: {path}")
    return Probe(False, f"{name}: {_tell_cached(name)}")


def _tell_cached(name: str) -> str:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        return f"is no name of the hub ({error})"
    return (
        f"in the hub's cache, {found}" if isinstance(found, str) else "not in the hub's cache; fetched when first used"
    )


def _probe_endpoint(
    settings: Mapping[str, Any], environ: Mapping[str, str], needs_key: bool, within_s: float, url_setting: str
) -> Probe:
    url, model = str(settings["base_url"]).rstrip("/"), settings.get("model") or ""
    variable = settings.get("api_key_variable") or ""
    key = environ.get(variable) or None
    if not model:
        return Probe(True, f"{url}: no model is named, and an endpoint serves several.")
    if needs_key and key is None:
        return Probe(True, f"{url}: its key's variable {variable} is not set.")
    try:
        status, content = asyncio.run(_list_models(url, key, within_s))
    except (NoConnection, NoReplyInTime, OversizedReply, ValueError) as error:
        return Probe(True, f"{url} does not answer ({error}). Start it, or mend {url_setting}.")
    fault = _find_refusal(status, f"the key in {variable}" if key else f"to answer without a key; set {variable}")
    if fault:
        return Probe(True, f"{url} {fault}")
    names = _read_names(content) if status == 200 else []
    if names and model not in names:
        return Probe(True, f"{url} does not serve {model!r}.{name_nearest(model, names)}")
    told = "" if names else ", which answers and does not list its models"
    if status in _WITHOUT_LIST:
        told = (
            f", which answers GET /models with status {status}: no list of models, or {url_setting} lacks a part such "
            f"as /v1"
        )
    return Probe(False, f"{model} at {url}{told}")


def _find_refusal(status: int, what: str) -> str:
    """Return what an answer that is none says; empty where it is one, or the list of models is merely not there."""
    if status in (401, 403):
        return f"refuses {what} (status {status})."
    return f"answers with status {status}." if status >= 500 and status not in _WITHOUT_LIST else ""


async def _list_models(url: str, key: str | None, within_s: float) -> tuple[int, bytes]:
    async with HttpTransport(url, key) as transport:
        answer = await transport.get("/models", within_s=within_s)
        return answer.status, answer.content


def _read_names(content: bytes) -> list[str]:
    """Return the ids of a list of models; none where the answer is anything else."""
    try:
        listed = json.loads(content)["data"]
        return [str(item["id"]) for item in listed]
    except (ValueError, KeyError, TypeError):
        return []
