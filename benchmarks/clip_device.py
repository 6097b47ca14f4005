"""Pairs per second through decoding, CLIP and all heads: a share of the bare forward pass, and beside a plain script.

The plain script is what open_clip's own page shows: a DataLoader that decodes and prepares, then both towers, batch by
batch; it gives the similarity alone, ours also five head scores. Bare is the same model on batches that already lie on
the device. On an accelerator the model is ViT-L/14 in mixed bfloat16, on a CPU a small vision transformer in float32;
weights are random, which costs the same. The figures of a CPU say nothing about those of an accelerator.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from side_by_side import ROOT, pin_cores, print_result, print_table

sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import ImageScorer

SMALL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 224, "layers": 4, "width": 256, "patch_size": 32, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}


def main() -> None:
    """Measure, print a table and one line of JSON."""
    import torch

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="few pictures and rounds: within 50 seconds")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    options.add_argument("--pictures", type=int, help="pictures of a round")
    options.add_argument("--workers", type=int, help="threads, and processes of the DataLoader, that decode")
    options.add_argument("--rounds", type=int, help="the median of so many is reported")
    asked = options.parse_args()
    cores = pin_cores(64)
    from mmpipe.models.devices import choose_device

    device = choose_device(asked.device)
    is_cpu = device == "cpu"
    count = asked.pictures or ((64 if asked.quick else 512) if is_cpu else (2048 if asked.quick else 8192))
    workers = asked.workers or (2 if is_cpu else max(2, len(cores) - 1))
    rounds = asked.rounds or (2 if asked.quick else 3)
    if is_cpu:
        torch.set_num_threads(max(1, len(cores) - workers))
    precision = "fp32" if is_cpu else "amp_bf16"
    with tempfile.TemporaryDirectory() as folder:
        scorer = make_scorer(Path(folder), device, precision)
        files, captions = make_pictures(count)
        sides: dict[str, Callable[[], float]] = {
            "bare": lambda: time_bare(scorer.clip, count),
            "ours": lambda: time_ours(scorer, files, captions, workers),
            "plain": lambda: time_plain(scorer.clip, files, captions, workers),
        }
        for side in sides.values():
            side()  # the first round loads, compiles and finds the batch
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                seconds[name].append(side())
        rates = {name: count / statistics.median(taken) for name, taken in seconds.items()}
        batch = scorer.clip.batch_size
    share = rates["ours"] / rates["bare"]
    name = f"{torch.cuda.get_device_name(device)}" if not is_cpu else "CPU"
    model = "small ViT/32" if is_cpu else "ViT-L/14"
    print_table(
        ["side", "pairs/s", "share of bare"],
        [[side, rate, rate / rates["bare"]] for side, rate in rates.items()],
    )
    data = f"{count} JPEG pictures of 640x480, {model} {precision}, random weights, {len(scorer.heads)} heads"
    print_result(
        "clip_device", rates["ours"], rates["plain"], "pairs/s", data, cores,
        device=name, bare=round(rates["bare"], 2), share_of_bare=round(share, 4), batch=batch, workers=workers,
    )  # fmt: skip


def make_scorer(folder: Path, device: str, precision: str) -> ImageScorer:
    """Return a scorer with random weights: CLIP, and every head that a recipe can ask for."""
    import open_clip
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    from mmpipe.models.clip import ClipModel
    from mmpipe.models.image_scorer import SCORE_COLUMNS, open_scorer

    torch.manual_seed(1)
    settings: dict[str, Any] = SMALL if device == "cpu" else dict(open_clip.get_model_config("ViT-L-14") or {})
    model = CLIP(**settings)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    prepare = {"size": [224, 224], "mode": "RGB", "mean": [0.481, 0.458, 0.408], "std": [0.269, 0.261, 0.276],
               "interpolation": "bicubic", "resize_mode": "shortest"}  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": prepare}))
    size = settings["embed_dim"]
    weights = {}
    for name, sizes in (
        ("aesthetic", (size, 1024, 128, 64, 16, 1)),
        ("watermark", (size, 64, 1)),
        ("nsfw", (size, 64, 512, 256, 1)),
    ):
        tensors = {}
        for number, (into, out) in enumerate(pairwise(sizes)):
            tensors |= {
                f"layers.{number}.weight": torch.randn(out, into) / into**0.5,
                f"layers.{number}.bias": torch.zeros(out),
            }
        save_file(tensors, folder / f"{name}_head.safetensors")
        layout = {"activations": ["relu"] * (len(sizes) - 2), "output": "sigmoid"}
        (folder / f"{name}_head.json").write_text(json.dumps(layout))
        weights[name] = str(folder / f"{name}_head.safetensors")
    np.save(folder / "q16.npy", np.random.default_rng(1).normal(size=(2, size)).astype(np.float32))
    weights["q16"] = str(folder / "q16.npy")
    clip = ClipModel(str(folder), device=device, precision=precision, batch_size=None)
    return open_scorer(clip, list(SCORE_COLUMNS), weights, [(f"toxic concept {n}", 0.2) for n in range(23)])


def make_pictures(count: int) -> tuple[list[bytes], list[str]]:
    """Return JPEG files, 64 different ones in turn, and a caption for each."""
    from PIL import Image

    rng = np.random.default_rng(2)
    files = []
    for _ in range(min(count, 64)):
        rough = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(rough).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    words = ["a", "small", "red", "house", "beside", "the", "river", "with", "two", "boats", "and", "one", "dog"]
    captions = [" ".join(rng.choice(words, int(rng.integers(4, 14)))) for _ in range(count)]
    return [files[number % len(files)] for number in range(count)], captions


def decode(scorer: Any, data: bytes) -> Any:
    """Return the model's input for a file; `scorer` prepares."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        return scorer.prepare_image(picture.convert("RGB"))


def time_bare(clip: ClipModel, count: int) -> float:
    """Return seconds of both towers on batches that lie on the device."""
    import torch

    rows = clip.batch_size or 64
    model, _, tokenize = clip._parts  # noqa: SLF001 - the bare model is what is measured
    images = torch.randn(rows, 3, 224, 224, device=clip.device)
    tokens = tokenize(["a small red house beside the river"] * rows).to(clip.device)
    half = clip.precision == "amp_bf16"
    with torch.inference_mode(), torch.autocast(clip.device.partition(":")[0], torch.bfloat16, enabled=half):
        synchronize(clip.device)
        started = time.perf_counter()
        for start in range(0, count, rows):
            part = min(rows, count - start)
            model.encode_image(images[:part])
            model.encode_text(tokens[:part])
        synchronize(clip.device)
    return time.perf_counter() - started


def time_ours(scorer: ImageScorer, files: list[bytes], captions: list[str], workers: int) -> float:
    """Return seconds of decoding in threads and all scores; the next batch is decoded while the last is scored."""
    started = time.perf_counter()
    rows = scorer.clip.batch_size or 64
    with ThreadPoolExecutor(workers) as pool:
        pairs = iter(zip(files, captions, strict=True))

        def submit() -> list[tuple[Any, str]]:
            return [(pool.submit(decode, scorer, data), caption) for data, caption in islice(pairs, rows)]

        ahead = submit()
        while ahead:
            following = submit()
            scores = scorer.score_prepared([future.result() for future, _ in ahead], [caption for _, caption in ahead])
            assert len(scores["clip_similarity"]) == len(ahead)
            ahead = following
    return time.perf_counter() - started


def time_plain(clip: ClipModel, files: list[bytes], captions: list[str], workers: int) -> float:
    """Return seconds of the plain script: DataLoader, both towers, cosine."""
    import torch

    model, prepare, tokenize = clip._parts  # noqa: SLF001 - the same weights in a plain script

    class Pictures(torch.utils.data.Dataset[tuple[Any, str]]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, place: int) -> tuple[Any, str]:
            from PIL import Image

            return prepare(Image.open(io.BytesIO(files[place])).convert("RGB")), captions[place]

    is_cuda = clip.device != "cpu"
    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=clip.batch_size or 64, num_workers=workers, pin_memory=is_cuda
    )
    started = time.perf_counter()
    scores: list[np.ndarray] = []
    half = clip.precision == "amp_bf16"
    with torch.inference_mode(), torch.autocast(clip.device.partition(":")[0], torch.bfloat16, enabled=half):
        for images, texts in loader:
            pictures = model.encode_image(images.to(clip.device, non_blocking=True), normalize=True)
            words = model.encode_text(tokenize(list(texts)).to(clip.device), normalize=True)
            scores.append((pictures * words).sum(dim=-1).float().cpu().numpy())
    assert sum(map(len, scores)) == len(files)
    return time.perf_counter() - started


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
