"""Finds a CLIP checkpoint, by folder or hub name, and refuses one that does not say how pictures are prepared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mmpipe.errors import WeightsNotFound, name_nearest
from mmpipe.models.hub_files import fetch_repository

CONFIG_NAME = "open_clip_config.json"
# open_clip's own order of preference
_WEIGHTS_NAMES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
_HUB_PATTERNS = ("open_clip_config.json", "open_clip_*", "*.json", "*.txt", "*.model")


def find_clip_folder(name: str) -> Path:
    """Return the folder of a checkpoint in open_clip's layout: `open_clip_config.json` and the weights.

    Args:
        name: `local-dir:FOLDER` or a folder; `hf-hub:ORG/REPO`; or `ARCHITECTURE/TAG` of open_clip's own list. Hub
            names are looked up in the local cache first; the hub is asked only if they are not there, and not at all
            with `HF_HUB_OFFLINE=1`.

    Raises:
        WeightsNotFound: nothing there, or weights without the config; the message says what to do next.
    """
    folder = Path(name.removeprefix("local-dir:")).expanduser()
    if name.startswith("local-dir:") or folder.is_dir():
        return _check_folder(folder)
    if folder.is_file():
        raise WeightsNotFound(
            f"CLIP weights {name!r} are a bare file. open_clip would guess how pictures are prepared, and wrong "
            f"preprocessing gives wrong scores in silence. Put the file into a folder as {_WEIGHTS_NAMES[0]}, beside "
            f"an {CONFIG_NAME} with model_cfg and preprocess_cfg, and name the folder."
        )
    return _check_folder(_find_on_hub(_name_repository(name), name))


def digest_weights(folder: Path) -> str:
    """Return the SHA-256 of the folder's weights file, 64 hex digits."""
    with _find_weights(folder).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_dimension(folder: Path) -> int:
    """Return the numbers of an embedding, as the checkpoint's config says; no weights are read.

    Raises:
        WeightsNotFound: the config does not say.
    """
    dimension = json.loads((folder / CONFIG_NAME).read_text())["model_cfg"].get("embed_dim")
    if not isinstance(dimension, int):
        raise WeightsNotFound(f"{folder / CONFIG_NAME} has no model_cfg.embed_dim. Copy it from the model's page.")
    return dimension


def _check_folder(folder: Path) -> Path:
    config_file = folder / CONFIG_NAME
    if not folder.is_dir():
        raise WeightsNotFound(f"CLIP folder {folder} is not there. `mmpipe demo` trains a tiny one.")
    if not config_file.is_file():
        raise WeightsNotFound(
            f"CLIP folder {folder} has no {CONFIG_NAME}. It must hold model_cfg and preprocess_cfg: without them "
            f"open_clip would guess how pictures are prepared, and wrong preprocessing gives wrong scores in silence."
        )
    try:
        config = json.loads(config_file.read_text())
    except ValueError as error:
        raise WeightsNotFound(f"{config_file} is not JSON: {error}") from error
    absent = [key for key in ("model_cfg", "preprocess_cfg") if not isinstance(config, dict) or not config.get(key)]
    if absent:
        raise WeightsNotFound(f"{config_file} has no {' and no '.join(absent)}. Copy them from the model's page.")
    _find_weights(folder)
    return folder


def _find_weights(folder: Path) -> Path:
    for name in _WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsNotFound(f"CLIP folder {folder} has no weights: none of {', '.join(_WEIGHTS_NAMES)}.")


def _name_repository(name: str) -> str:
    """Return the hub repository (`org/repo`) of a hub name or of one of open_clip's pretrained tags."""
    if name.startswith("hf-hub:"):
        return name.removeprefix("hf-hub:")
    import open_clip

    architecture, _, tag = name.partition("/")
    known = open_clip.list_pretrained()
    if architecture not in {model for model, _ in known}:
        names = ["/".join(pair) for pair in known]
        raise WeightsNotFound(
            f"CLIP weights {name!r} are neither a folder nor a hub name.{name_nearest(name, names) if tag else ''} "
            f"Use local-dir:FOLDER, hf-hub:ORG/REPO, or ARCHITECTURE/TAG such as ViT-B-32/laion2b_s34b_b79k."
        )
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    if not settings:
        raise WeightsNotFound(
            f"open_clip knows no weights {tag!r} of {architecture}."
            + name_nearest(tag, [known_tag for model, known_tag in known if model == architecture])
        )
    if not settings.get("hf_hub"):
        raise WeightsNotFound(f"{name} is on no hub. Download {settings.get('url')} into a folder and name that.")
    return str(settings["hf_hub"]).strip("/").rpartition(".")[0] or str(settings["hf_hub"]).strip("/")


def _find_on_hub(repository: str, name: str) -> Path:
    """Return the repository's folder in the local cache, downloaded if it was not there."""
    return fetch_repository(
        repository,
        _HUB_PATTERNS,
        what=f"CLIP weights {name!r}",
        is_whole=lambda folder: (
            (folder / CONFIG_NAME).is_file() and any((folder / weights).is_file() for weights in _WEIGHTS_NAMES)
        ),
        instead="local-dir:FOLDER",
    )
