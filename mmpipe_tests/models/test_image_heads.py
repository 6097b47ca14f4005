from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.image_heads import load_head, load_vectors

AESTHETIC_V2 = (1024, 128, 64, 16, 1)


def make_embeddings(count: int, dimension: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


class LaionAestheticV2(torch.nn.Module):
    """The published layout, as its paper's page describes it: linear layers and dropout, nothing between."""

    def __init__(self) -> None:
        super().__init__()
        linear, drop = torch.nn.Linear, torch.nn.Dropout
        self.layers = torch.nn.Sequential(
            linear(768, 1024), drop(0.2), linear(1024, 128), drop(0.2), linear(128, 64), drop(0.1), linear(64, 16),
            linear(16, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


class NsfwDetector(torch.nn.Module):
    """768-64-512-256-1 on a standardised input, ReLU between, a sigmoid at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.Module()
        self.norm.register_buffer("mean", torch.randn(768) * 0.01)
        self.norm.register_buffer("variance", torch.rand(768) * 0.002 + 0.001)
        for number, (into, out) in enumerate([(768, 64), (64, 512), (512, 256), (256, 1)], 1):
            setattr(self, f"linear_{number}", torch.nn.Linear(into, out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.norm.mean) / self.norm.variance.sqrt()
        for number in (1, 2, 3):
            x = getattr(self, f"linear_{number}")(x).relu()
        out: torch.Tensor = self.linear_4(x).sigmoid()
        return out


class NsfwDetectorH14(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = [1024, 1024, 2048, 1024, 256, 128]
        steps: list[torch.nn.Module] = []
        for into, out in pairwise(sizes):
            steps += [torch.nn.Linear(into, out), torch.nn.ReLU(), torch.nn.Dropout(0.2)]
        self.layers = torch.nn.Sequential(*steps, torch.nn.Linear(128, 16), torch.nn.Linear(16, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


def save(module: torch.nn.Module, path: Path) -> Path:
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    else:
        torch.save({"state_dict": state} if path.suffix == ".pt" else state, path)
    return path


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt", "npz"])
@pytest.mark.parametrize(
    ("module", "dimension"),
    [
        (lambda: torch.nn.Linear(512, 1), 512),
        (lambda: torch.nn.Linear(768, 1), 768),
        (LaionAestheticV2, 768),
        (NsfwDetector, 768),
        (NsfwDetectorH14, 1024),
    ],
    ids=["laion_v1_b32", "laion_v1_l14", "laion_v2", "nsfw_l14", "nsfw_h14"],
)
def test_published_layout_scores_as_its_own_module(tmp_path: Path, module, dimension: int, ending: str) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    made = module().eval()
    with torch.no_grad():  # as random weights are, deep stacks would say nearly the same of everything
        for weight in made.parameters():
            weight.mul_(2)
    path = save(made, tmp_path / f"any_name.{ending}")
    head = load_head(str(path), "score")
    rows = make_embeddings(7, dimension)
    with torch.inference_mode():
        said = made(rows)[:, 0]
    assert head.dimension == dimension
    assert torch.allclose(head.score(rows).float(), said, rtol=1e-4, atol=1e-5)
    assert said.std() > 1e-3, "a head that says one thing could not be told from another"
    assert head.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_layout_beside_the_weights_says_what_stands_between(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.GELU(), torch.nn.Linear(5, 3)).eval()
    save(module, tmp_path / "head.safetensors")
    (tmp_path / "head.json").write_text(json.dumps({"activations": ["gelu"], "output": "softmax", "class": 2}))
    head = load_head(str(tmp_path), "watermark_score")
    rows = make_embeddings(9, 8)
    assert torch.allclose(head.score(rows).float(), module(rows).softmax(-1)[:, 2], atol=1e-6)
    before = head.digest
    (tmp_path / "head.json").write_text(json.dumps({"activations": ["relu"], "output": "softmax", "class": 2}))
    assert load_head(str(tmp_path), "watermark_score").digest != before, "another layout is another score"


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (None, "nothing tells what stands between its layers 5 -> 3"),
        ({"activations": ["reul"], "output": "softmax"}, "Did you mean 'relu'"),
        ({"activations": [], "output": "softmax"}, "0 activations for 2 layers"),
        ({"activations": ["relu"], "output": "sigmoid"}, "'sigmoid' with 3 outputs"),
        ({"activations": ["relu"], "output": "softmax", "class": 3}, "a softmax takes a class"),
    ],
)
def test_layout_that_does_not_fit_is_refused(tmp_path: Path, layout: object, message: str) -> None:
    save(torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)), tmp_path / "a.pth")
    if layout is not None:
        (tmp_path / "a.json").write_text(json.dumps(layout))
    with pytest.raises(ConfigurationError, match=message):
        load_head(str(tmp_path / "a.pth"), "score")


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("ran"),))  # type: ignore[return-value]


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Payload()}, tmp_path / "head.pth")
    with pytest.raises(WeightsNotFound, match="cannot be read as tensors alone"):
        load_head(str(tmp_path / "head.pth"), "score")
    assert not (tmp_path / "ran").exists()
    np.save(tmp_path / "v.npy", np.array([Payload(), 2], dtype=object), allow_pickle=True)
    with pytest.raises(WeightsNotFound, match="cannot be read as tensors alone"):
        load_vectors(str(tmp_path / "v.npy"))
    assert not (tmp_path / "ran").exists()


def test_files_that_hold_no_head_are_told(tmp_path: Path) -> None:
    (tmp_path / "prompts.p").write_bytes(b"x")
    (tmp_path / "cut.safetensors").write_bytes(b"x")
    torch.save([1, 2], tmp_path / "list.pth")
    save(
        torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 1)), tmp_path / "bn.pth"
    )
    save_file({"0.weight": torch.zeros(5, 8), "2.weight": torch.zeros(1, 6)}, tmp_path / "gap.safetensors")
    for name, message in (
        ("prompts.p", "no weights file that is read here"), ("cut.safetensors", "cannot be read as tensors alone"),
        ("list.pth", "holds no state dict"), ("bn.pth", "no stack of linear layers"),
        ("gap.safetensors", "layer 0 gives 5 numbers and the next takes 6"), ("none.pth", "no such file or folder"),
        ("", "has several weights"),
    ):  # fmt: skip
        with pytest.raises(WeightsNotFound, match=message):
            load_head(str(tmp_path / name), "score")


@pytest.mark.parametrize("is_offline", [True, False])
@pytest.mark.parametrize(
    "name", ["some-org/aesthetic:sac+logos.pth", "some-org/aesthetic", "hf-hub:some-org/aesthetic"]
)
def test_hub_name_without_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_offline: bool
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFound, match="hf download some-org/aesthetic --local-dir"):
        load_head(name, "aesthetic_score")


def test_hub_name_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some-org--aesthetic"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    folder = repository / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    save(torch.nn.Linear(512, 1), folder / "linear.pth")
    assert load_head("some-org/aesthetic:linear.pth", "aesthetic_score").dimension == 512
    with pytest.raises(WeightsNotFound, match="not in the local cache"):
        load_head("some-org/aesthetic", "aesthetic_score")


@given(seed=st.integers(0, 999), scale=st.sampled_from([1.0, 100.0]))
def test_two_vector_test_says_inappropriate_where_that_product_is_greater(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float
) -> None:
    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(seed)) * 3
    vectors[0] *= 5  # the published vectors are compared by direction
    path = tmp_path_factory.mktemp("q16") / "prompts.npy"
    np.save(path, vectors.numpy())
    test = load_vectors(str(path), scale=scale)
    rows = make_embeddings(20, 16, seed + 1)
    scores = test.score(rows)
    products = rows @ torch.nn.functional.normalize(vectors, dim=-1).T
    assert ((scores > 0.5) == (products.argmax(dim=-1) == 1)).all()
    expected = torch.sigmoid(scale * (products[:, 1] - products[:, 0]))
    assert torch.allclose(scores.float(), expected, atol=1e-4)


def test_anything_but_two_vectors_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "three.npy", np.zeros((3, 8)))
    with pytest.raises(WeightsNotFound, match=r"one finite tensor \[2, d\], not \[3, 8\]"):
        load_vectors(str(tmp_path / "three.npy"))
