from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from mmpipe.errors import WeightsNotFound
from mmpipe.models.clip_weights import digest_weights, find_clip_folder

CONFIG = {"model_cfg": {"embed_dim": 8}, "preprocess_cfg": {"size": 32}}


def make_folder(folder: Path, config: object = CONFIG, weights: bytes | None = b"weights") -> Path:
    if config is not None:
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    if weights is not None:
        (folder / "open_clip_model.safetensors").write_bytes(weights)
    return folder


def test_folder_is_found_with_and_without_the_prefix_and_named_by_its_bytes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert find_clip_folder(str(folder)) == folder == find_clip_folder(f"local-dir:{folder}")
    assert digest_weights(folder) == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        (None, b"w", "has no open_clip_config.json"),
        ({"model_cfg": {"embed_dim": 8}}, b"w", "has no preprocess_cfg"),
        ({"model_cfg": {}, "preprocess_cfg": {}}, b"w", "has no model_cfg and no preprocess_cfg"),
        ([], b"w", "has no model_cfg"),
        (CONFIG, None, "has no weights"),
    ],
)
def test_folder_that_would_make_open_clip_guess_is_refused(
    tmp_path: Path, config: object, weights: bytes | None, message: str
) -> None:
    with pytest.raises(WeightsNotFound, match=message):
        find_clip_folder(str(make_folder(tmp_path, config, weights)))


def test_bare_weights_are_refused_with_the_reason(tmp_path: Path) -> None:
    file = make_folder(tmp_path, None) / "open_clip_model.safetensors"
    with pytest.raises(WeightsNotFound, match="wrong preprocessing gives wrong scores in silence"):
        find_clip_folder(str(file))


def test_absent_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="is not there"):
        find_clip_folder(f"local-dir:{tmp_path / 'none'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-32/laion2b_s34b_b79", "Did you mean 'laion2b_s34b_b79k'"),
        ("ViT-B-23/laion2b_s34b_b79k", "Did you mean 'ViT-B-32/laion2b_s34b_b79k'"),
        ("nonsense", "neither a folder nor a hub name"),
        ("hf-hub:not a repo", "CLIP weights"),
    ],
)
def test_misspelt_hub_name_stops_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(WeightsNotFound, match=message):
        find_clip_folder(name)


@pytest.mark.parametrize("is_offline", [True, False])
@pytest.mark.parametrize("name", ["hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32/laion2b_s34b_b79k"])
def test_hub_name_without_network_stops_soon_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_offline: bool
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(WeightsNotFound, match="hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K --local-dir"):
        find_clip_folder(name)
    assert time.monotonic() - started < 10
