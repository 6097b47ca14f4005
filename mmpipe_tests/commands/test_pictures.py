from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mmpipe.commands.pictures import hash_pictures, train_score
from mmpipe.deduplication.evaluation_images import sort_evaluation_hashes
from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.filtering.list_files import read_entries
from mmpipe.filtering.recipes import load_recipe
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.images import IMAGE_SIGNALS


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "more").mkdir(parents=True)
    generator = np.random.default_rng(3)
    for name in ("a.png", "more/b.png"):
        Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    (folder / "a-again.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "readme.txt").write_text("no picture")
    return folder


def test_hashes_of_a_folder_are_a_list_that_a_recipe_names(pictures: Path, tmp_path: Path) -> None:
    made = hash_pictures(pictures, tmp_path / "eval.txt", name="eval", licence="CC0")

    assert (made.pictures, made.hashes, made.unreadable) == (3, 2, {"readme.txt": "not_an_image"})
    recipe = tmp_path / "r.yaml"
    recipe.write_text("extends: refinedweb\nimages: {duplicates: {evaluation_hashes: [eval.txt]}}\n")
    duplicates = load_recipe(str(recipe)).images.duplicates
    assert duplicates is not None
    entries = list(read_entries(duplicates.evaluation_hashes[0], str.strip))
    import imagehash

    assert entries == sorted({str(imagehash.phash(Image.open(pictures / name))) for name in ("a.png", "more/b.png")})
    assert len(sort_evaluation_hashes(entries).phashes) == 2


def test_files_are_hashed_whole_where_asked(pictures: Path, tmp_path: Path) -> None:
    import hashlib

    made = hash_pictures(pictures, tmp_path / "eval.txt", kind="sha256")

    lines = [line for line in made.file.read_text().splitlines() if not line.startswith("#")]
    files = {hashlib.sha256((pictures / name).read_bytes()).hexdigest() for name in ("a.png", "more/b.png")}
    assert lines == sorted(files)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no picture that can be read"):
        hash_pictures(tmp_path, tmp_path / "out.txt")
    with pytest.raises(ConfigurationError, match="Unknown kind of hash 'crc'"):
        hash_pictures(tmp_path, tmp_path / "out.txt", kind="crc")


def make_signals(lake: Lake, weights: list[str]) -> list[float]:
    """Store embeddings whose first number decides the label; return the labels."""
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(len(weights), 16)).astype(np.float16)
    rows = [
        {column.name: None for column in IMAGE_SIGNALS.columns}
        | {"pair_id": f"{number:032x}", "decode_status": "ok", "image_embedding": vector.tobytes(), "clip_weights": by}
        for number, (vector, by) in enumerate(zip(vectors, weights, strict=True))
    ]
    frame = pl.DataFrame(rows, schema=IMAGE_SIGNALS.schema)
    produce(
        lake.dataset(IMAGE_SIGNALS, "d"),
        [ShardWork("000", "1", ())],
        lambda: ShardResult(frame, frame.height),
        code_version="1",
        recipe_yaml="name: none\n",
        inputs={},
        engine=Engine(),
    )
    return [float(vector[0] > 0) for vector in vectors]


def test_a_score_is_learnt_from_labelled_pairs(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    wanted = make_signals(lake, ["w"] * 400)
    labels = tmp_path / "labels.csv"
    pl.DataFrame({"pair_id": [f"{n:032x}" for n in range(400)], "good": wanted}).write_csv(labels)

    report = train_score(lake, labels, tmp_path / "head", column="good")

    assert report.measure == "auc"
    assert report.value > 0.95
    assert report.trained + report.held_out == 400
    assert (tmp_path / "head" / "head.safetensors").is_file()


def test_labels_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    labels = tmp_path / "labels.csv"
    pl.DataFrame({"pair_id": [f"{n:032x}" for n in range(40)], "label": [1.0, 0.0] * 20}).write_csv(labels)
    with pytest.raises(DatasetNotReady, match="No image_signals"):
        train_score(lake, labels, tmp_path / "head")
    make_signals(lake, ["w", "v"] * 20)

    with pytest.raises(ConfigurationError, match="2 CLIP models"):
        train_score(lake, labels, tmp_path / "head")
    with pytest.raises(ConfigurationError, match="no column 'score'; there are pair_id, label"):
        train_score(lake, labels, tmp_path / "head", column="score")
