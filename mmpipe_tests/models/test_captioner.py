from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.captioner import Captioner
from mmpipe_tests.models.tiny_vision import save_blip

COLOURS = {"red": (210, 30, 30), "green": (30, 150, 50), "blue": (30, 60, 200), "yellow": (240, 210, 20)}


def paint(colour: str, seed: int) -> Image.Image:
    pixels = np.array(COLOURS[colour]) + np.random.default_rng(seed).normal(0, 12, (40, 50, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def list_sheets(count: int, seed: int = 0) -> tuple[list[Image.Image], list[str], list[str]]:
    names = [list(COLOURS)[number % len(COLOURS)] for number in range(count)]
    pictures = [paint(name, seed + number) for number, name in enumerate(names)]
    return pictures, [f"picture-{number}" for number in range(count)], names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP that learnt, on 200 sheets of plain colour, to call them by it; of two phrasings it takes either."""
    place = tmp_path_factory.mktemp("captioner")
    model = save_blip(place, "BlipForConditionalGeneration").train()
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(place)
    pictures, _, names = list_sheets(200, seed=500)
    captions = [f"a {name} sheet" if number // 4 % 2 else f"the {name} box" for number, name in enumerate(names)]
    inputs = processor(images=pictures, text=captions, padding=True, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    torch.manual_seed(1)
    for _ in range(120):
        rows = torch.randperm(200)[:32]
        ids = inputs["input_ids"][rows]
        said = model(input_ids=ids, pixel_values=inputs["pixel_values"][rows], labels=ids)
        optimizer.zero_grad()
        said.loss.backward()
        optimizer.step()
    model.eval().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def captioner(folder: Path) -> Captioner:
    return Captioner(str(folder), device="cpu")


def test_trained_captioner_names_the_colour_of_unseen_pictures(captioner: Captioner) -> None:
    pictures, ids, names = list_sheets(40)
    captions = captioner.caption(pictures, ids, max_tokens=6)
    right = [name in text.split() for (text,), name in zip(captions, names, strict=True)]
    assert np.mean(right) >= 0.9
    # and sampling is not always the likeliest phrasing
    assert {text.split()[0] for (text,) in captions} >= {"a", "the"}


def test_caption_does_not_depend_on_its_company_or_order(captioner: Captioner) -> None:
    pictures, ids, _ = list_sheets(20)
    together = captioner.caption(pictures, ids, captions_per_image=2, max_tokens=8)
    assert all(len(texts) == 2 for texts in together)
    order = np.random.default_rng(3).permutation(20)
    shuffled = captioner.caption(
        [pictures[n] for n in order], [ids[n] for n in order], captions_per_image=2, max_tokens=8
    )
    assert shuffled == [together[n] for n in order]
    alone = [captioner.caption([pictures[n]], [ids[n]], captions_per_image=2, max_tokens=8)[0] for n in range(5)]
    assert alone == together[:5]
    # a further sample does not change the first ones
    assert [texts[:1] for texts in together] == captioner.caption(pictures, ids, max_tokens=8)


def test_seed_and_id_change_what_is_drawn_and_nothing_else_does(captioner: Captioner) -> None:
    pictures, ids, _ = list_sheets(30)
    first = captioner.caption(pictures, ids, max_tokens=8)
    assert captioner.caption(pictures, ids, max_tokens=8) == first
    assert captioner.caption(pictures, ids, max_tokens=8, seed=2) != first
    assert captioner.caption(pictures, [f"{name}x" for name in ids], max_tokens=8) != first
    likeliest = captioner.caption(pictures, ids, max_tokens=8, top_p=0)
    assert captioner.caption(pictures, ids, max_tokens=8, top_p=0, seed=2) == likeliest


def test_nucleus_leaves_out_what_is_unlikely(captioner: Captioner) -> None:
    pictures, ids, _ = list_sheets(4)
    narrow = captioner.caption(pictures, ids, captions_per_image=20, max_tokens=6, top_p=0.3)
    wide = captioner.caption(pictures, ids, captions_per_image=20, max_tokens=6, top_p=1.0)
    assert sum(len(set(texts)) for texts in narrow) < sum(len(set(texts)) for texts in wide)


def test_prompt_is_what_the_caption_begins_with_and_names_the_weights(folder: Path, captioner: Captioner) -> None:
    pictures, ids, _ = list_sheets(3)
    prompted = Captioner(str(folder), device="cpu", prompt="the picture of")
    assert all(text.startswith("the picture of") for (text,) in prompted.caption(pictures, ids, max_tokens=4))
    assert prompted.digest.startswith(captioner.digest)
    assert prompted.digest != captioner.digest


def test_out_of_memory_halves_the_batch(folder: Path, captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, ids, _ = list_sheets(6)
    small = Captioner(str(folder), device="cpu", batch_size=4)
    generate = small._loaded[0].generate

    def hold(**inputs: Any) -> Any:
        if len(inputs["pixel_values"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return generate(**inputs)

    monkeypatch.setattr(small._loaded[0], "generate", hold)
    assert small.caption(pictures, ids, max_tokens=6) == captioner.caption(pictures, ids, max_tokens=6)


def test_what_cannot_work_is_told(folder: Path, captioner: Captioner, tmp_path: Path) -> None:
    assert captioner.caption([], []) == []
    with pytest.raises(ValueError, match="do not go together"):
        captioner.caption([paint("red", 1)], [])
    with pytest.raises(ConfigurationError, match="captions_per_image 0"):
        captioner.caption([], [], captions_per_image=0)
    with pytest.raises(WeightsNotFound, match="no such file or folder"):
        Captioner(str(tmp_path / "none"), device="cpu").caption([paint("red", 1)], ["a"])
    with pytest.raises(WeightsNotFound, match="then name the folder here"):
        Captioner(str(tmp_path), device="cpu").caption([paint("red", 1)], ["a"])
    with pytest.raises(ConfigurationError, match="dtype 'float8' is unknown"):
        Captioner(str(folder), device="cpu", dtype="float8").caption([paint("red", 1)], ["a"])
