"""Loads models of transformers that see pictures, with their processors, by hub name or folder."""

from __future__ import annotations

from typing import Any

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.hub_weights import find_local

_DTYPES = ("float32", "bfloat16", "float16")


def load_vision_model(kind: str, name: str, dtype: str, device: str) -> tuple[Any, Any]:
    """Return (model, processor), the model on its device and not in training.

    Args:
        kind: class of transformers that loads it, such as `BlipForImageTextRetrieval`.
        name: a folder or a hub name.
        dtype: `float32`, `bfloat16` or `float16`.
        device: torch's name of it.

    Raises:
        WeightsNotFound: the model cannot be had, or its weights are another kind's.
        ConfigurationError: an unknown dtype.
    """
    import torch
    import transformers

    if dtype not in _DTYPES:
        raise ConfigurationError(f"dtype {dtype!r} is unknown: use {', '.join(_DTYPES)}.")
    # a bar for every load would stand between our own lines
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    path = find_local(name)
    if path is not None and path.is_file():
        raise WeightsNotFound(f"{name}: a file, where a model's folder or hub name is needed.")
    where = str(path) if path is not None else name
    try:
        model, info = getattr(transformers, kind).from_pretrained(
            where, dtype=getattr(torch, dtype), output_loading_info=True
        )
        processor = transformers.AutoProcessor.from_pretrained(where)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise WeightsNotFound(
            f"{name}: no model of the kind {kind} with its processor that can be loaded "
            f"({str(error).strip().splitlines()[0]}). On a machine with network: `hf download {name} --local-dir "
            f"FOLDER`; then name the folder here."
        ) from error
    if info["missing_keys"]:
        # transformers would go on with random numbers
        lacking = sorted(info["missing_keys"])
        raise WeightsNotFound(
            f"{name}: no model of the kind {kind}, its weights lack {len(lacking)} tensors, {lacking[0]} first."
        )
    return model.to(device).eval(), processor
