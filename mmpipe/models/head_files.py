"""Finds and reads the files of heads on CLIP embeddings: linear stacks and vectors, by file, folder or hub name."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound
from mmpipe.models.hub_files import fetch_repository

if TYPE_CHECKING:
    import torch

#: What `train_head` writes, and what a hub name without `:file` means.
HEAD_NAME = "head.safetensors"
_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".npz", ".npy")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:.+)?")


def find_head_file(name: str) -> Path:
    """Return the weights file of a head.

    Args:
        name: a file; a folder with one weights file, or `head.safetensors` among them; or `org/repo` or
            `org/repo:file` of the hub, looked up in the local cache first.

    Raises:
        WeightsNotFound: nothing there, or several files that could be meant; the message says what to do next.
    """
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix not in _ENDINGS:
            raise WeightsNotFound(
                f"{path}: no weights file that is read here ({', '.join(_ENDINGS)}). Load it where it was made, trust "
                f"it there, and save its tensors as safetensors or .npy; a pickle would run whatever it holds."
            )
        return path
    if path.is_dir():
        return _choose_file(path)
    if name.startswith((".", "/", "~")) or (path.suffix in _ENDINGS and ":" not in name):
        raise WeightsNotFound(f"{name}: no such file or folder. Name a head's file, its folder or org/repo:file.")
    hub_name = name.removeprefix("hf-hub:")
    if not _HUB_NAME.fullmatch(hub_name):
        raise WeightsNotFound(f"{name!r} is neither a file, a folder nor a hub name such as org/repo:head.safetensors.")
    repository, _, file = hub_name.partition(":")
    file = file or HEAD_NAME
    folder = fetch_repository(
        repository,
        (file, str(Path(file).with_suffix(".json"))),
        what=f"Weights {name!r}",
        is_whole=lambda folder: (folder / file).is_file(),
        instead=f"FOLDER/{file}",
    )
    if not (folder / file).is_file():
        raise WeightsNotFound(f"{repository} has no file {file}. Name one of its files as {repository}:FILE.")
    return folder / file


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits, as `sha256sum` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name; the one of a `.npy` file is called `vectors`. Nothing in it is run.

    Raises:
        WeightsNotFound: a file that is damaged, or holds more than tensors.
    """
    import pickle
    import zipfile

    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".npy":
            return {"vectors": torch.from_numpy(np.load(path, allow_pickle=False))}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, ValueError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsNotFound(
            f"{path} cannot be read as tensors alone ({reason}). Save its state dict as safetensors where you trust it."
        ) from error
    if isinstance(held, torch.Tensor):
        return {"vectors": held}
    held = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(held, dict) or not held or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise WeightsNotFound(f"{path} holds no state dict: its values must all be tensors.")
    return {str(name): value for name, value in held.items()}


def read_layout(path: Path) -> dict[str, Any]:
    """Return what the JSON beside a weights file says (same name, `.json`); empty where there is none.

    Raises:
        WeightsNotFound: it is not a JSON object.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        layout = json.loads(beside.read_text())
    except ValueError as error:
        raise WeightsNotFound(f"{beside} is not JSON: {error}") from error
    if not isinstance(layout, dict):
        raise WeightsNotFound(f"{beside} must be a JSON object with the keys activations and output.")
    return layout


def _choose_file(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS)
    if (folder / HEAD_NAME) in files:
        return folder / HEAD_NAME
    if len(files) != 1:
        there = f"several weights: {', '.join(path.name for path in files)}" if files else "no weights"
        raise WeightsNotFound(f"Folder {folder} has {there}. Name the file ({', '.join(_ENDINGS)}).")
    return files[0]
