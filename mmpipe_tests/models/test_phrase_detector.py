from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmpipe.errors import WeightsNotFound
from mmpipe.models.phrase_detector import PhraseBox, PhraseDetector
from mmpipe_tests.models.tiny_vision import save_blip, save_grounding_dino, save_owl

KINDS = ("owlvit", "owlv2", "grounding-dino")
BOXES = {"owlvit": 16, "owlv2": 16, "grounding-dino": 6}


def paint(seed: int, width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhraseDetector]:
    place = tmp_path_factory.mktemp("detectors")
    folders = {kind: save_owl(place / kind, kind) for kind in KINDS[:2]}
    folders["grounding-dino"] = save_grounding_dino(place / "grounding-dino")
    return {kind: PhraseDetector(str(folder), device="cpu") for kind, folder in folders.items()}


def say(monkeypatch: pytest.MonkeyPatch, detector: PhraseDetector, boxes: list[list[float]], logits: Any) -> None:
    """Let the model itself say these boxes (centre, size) and logits, so that what is made of them can be checked."""
    from transformers.utils import ModelOutput

    def forward(pixel_values: torch.Tensor, **_: Any) -> Any:
        rows = len(pixel_values)
        said = {"pred_boxes": torch.tensor(boxes)[None].repeat(rows, 1, 1), "logits": torch.tensor(logits)[None]}
        return ModelOutput(pred_boxes=said["pred_boxes"], logits=said["logits"].repeat(rows, 1, 1))

    monkeypatch.setattr(detector._loaded[0], "forward", forward)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_shares_of_the_picture_and_phrases_those_asked(
    detectors: dict[str, PhraseDetector], kind: str
) -> None:
    asked = [["a red ball", "box"], [], ["the green box"], ["box", "box", " "]]
    found = detectors[kind].find([paint(number) for number in range(4)], asked, least_confidence=0.0)
    assert [{box.phrase for box in boxes} <= set(phrases) for boxes, phrases in zip(found, asked, strict=True)] == [
        True
    ] * 4
    assert found[1] == []
    assert sum(map(len, found)) > 0
    for boxes in found:
        assert [box.confidence for box in boxes] == sorted((box.confidence for box in boxes), reverse=True)
        for box in boxes:
            assert 0 <= box.left < box.right <= 1
            assert 0 <= box.top < box.bottom <= 1
            assert 0 <= box.confidence <= 1
    assert all(len([box for box in found[0] if box.phrase == phrase]) <= BOXES[kind] for phrase in asked[0])


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_do_not_depend_on_company_or_order(detectors: dict[str, PhraseDetector], kind: str) -> None:
    pictures = [paint(number, *size) for number, size in enumerate([(60, 40), (40, 60), (60, 40), (50, 50), (90, 40)])]
    asked = [["red ball"], ["green box", "ball"], ["box"], ["a picture", "ball", "box"], ["ball", "red box"]]
    together = detectors[kind].find(pictures, asked, least_confidence=0.0)
    alone = [detectors[kind].find([pictures[n]], [asked[n]], least_confidence=0.0)[0] for n in range(5)]
    back = detectors[kind].find(pictures[::-1], asked[::-1], least_confidence=0.0)[::-1]
    for others in (alone, back):
        for first, second in zip(together, others, strict=True):
            assert [box.phrase for box in first] == [box.phrase for box in second]
            for one, other in zip(first, second, strict=True):
                numbers = [(box.left, box.top, box.right, box.bottom, box.confidence) for box in (one, other)]
                assert numbers[0] == pytest.approx(numbers[1], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("owlvit", (0.25, 0.25, 0.75, 0.5)),  # squashed: shares of the square are shares of the picture
        ("owlv2", (0.25, 0.5, 0.75, 1.0)),  # padded below to a square: the lower half holds nothing
        ("grounding-dino", (0.25, 0.25, 0.75, 0.5)),
    ],
)
def test_boxes_are_of_the_picture_not_of_what_the_model_was_shown(
    detectors: dict[str, PhraseDetector], kind: str, expected: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # tokens of "[CLS] ball . box . [SEP]": the first phrase is token 1, the second token 3
    logits = [[-9.0, 3.0, -9.0, -1.0, -9.0, 9.0]] if kind == "grounding-dino" else [[3.0, -1.0]]
    say(monkeypatch, detectors[kind], [[0.5, 0.375, 0.5, 0.25]], logits)
    (boxes,) = detectors[kind].find([paint(1, 80, 40)], [["ball", "box"]], least_confidence=0.2)
    assert [box.phrase for box in boxes] == ["ball", "box"]
    assert [box.confidence for box in boxes] == pytest.approx([0.952574, 0.268941], abs=1e-5)
    for box in boxes:
        assert (box.left, box.top, box.right, box.bottom) == pytest.approx(expected, abs=1e-6)
    (surer,) = detectors[kind].find([paint(1, 80, 40)], [["ball", "box"]], least_confidence=0.5)
    assert [box.phrase for box in surer] == ["ball"]


def test_box_beyond_the_edge_is_cut_and_one_without_area_left_out(
    detectors: dict[str, PhraseDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(
        monkeypatch,
        detectors["owlvit"],
        [[0.9, 0.5, 0.4, 0.2], [1.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.0, 0.2]],
        [[3.0]] * 3,
    )
    (boxes,) = detectors["owlvit"].find([paint(1)], [["ball"]])
    assert boxes == [
        PhraseBox("ball", pytest.approx(0.7), pytest.approx(0.4), 1.0, pytest.approx(0.6), boxes[0].confidence)
    ]  # type: ignore[arg-type]


def test_all_phrases_of_a_picture_are_one_pass(
    detectors: dict[str, PhraseDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = detectors["owlvit"]._loaded[0]
    forward, calls = model.forward, []

    def count(**inputs: Any) -> Any:
        calls.append(len(inputs["pixel_values"]))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", count)
    detectors["owlvit"].find([paint(1)], [["ball", "box", "sheet", "a picture"]])
    assert len(calls) == 1


def test_digest_names_the_weights(detectors: dict[str, PhraseDetector]) -> None:
    assert len({detector.digest for detector in detectors.values()}) == 3


def test_what_cannot_work_is_told(detectors: dict[str, PhraseDetector], tmp_path: Path) -> None:
    assert detectors["owlvit"].find([], []) == []
    with pytest.raises(ValueError, match="do not go together"):
        detectors["owlvit"].find([paint(1)], [])
    with pytest.raises(WeightsNotFound, match="then name the folder here"):
        PhraseDetector(str(tmp_path), device="cpu").find([paint(1)], [["ball"]])
    save_blip(tmp_path, "BlipForImageTextRetrieval")
    with pytest.raises(WeightsNotFound, match="no model of the kind AutoModelForZeroShotObjectDetection"):
        PhraseDetector(str(tmp_path), device="cpu").find([paint(1)], [["ball"]])
