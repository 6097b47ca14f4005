"""`mmpipe quality train` lands a classifier, prints what it is worth, and says what a bad set lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmpipe.models.quality import QualityClassifier
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.models.test_quality import NEGATIVE, POSITIVE

SMALL = ("--dimensions", "8", "--buckets", "2000", "--epochs", "15", "--learning-rate", "0.5")


@pytest.fixture
def sets(tmp_path: Path) -> tuple[str, str]:
    positive, negative = tmp_path / "positive.jsonl", tmp_path / "negative.txt"
    positive.write_text("".join(f"{json.dumps({'body': text})}\n" for text in POSITIVE))
    negative.write_text("".join(f"{text.replace(chr(10), ' ')}\n" for text in NEGATIVE))
    return str(positive), str(negative)


def test_training_prints_the_held_out_figures(tiny: TinyProject, sets: tuple[str, str], tmp_path: Path) -> None:
    positive, _ = sets
    (tmp_path / "pool.jsonl").write_text("".join(f"{json.dumps({'body': text})}\n" for text in NEGATIVE))
    arguments = ("--positive", positive, "--negative", str(tmp_path / "pool.jsonl"), "--out", str(tmp_path / "out"))
    done = tiny.run("quality", "train", *arguments, "--field", "body", *SMALL)
    assert done.returncode == 0, done.stderr
    (folder,) = (path for path in (tmp_path / "out" / "quality_classifier").iterdir() if path.is_dir())
    assert folder.name in done.stdout
    assert QualityClassifier(folder).digest == folder.name
    report = json.loads((folder / "report.json").read_text())["held_out"]
    assert f"auc {report['auc']:.4f}" in done.stdout
    assert f"{report['thresholds'][3]['least_score']:.6f}" in done.stdout


def test_a_set_that_cannot_be_used_is_one_line_and_exit_code_1(
    tiny: TinyProject, sets: tuple[str, str], tmp_path: Path
) -> None:
    positive, negative = sets
    done = tiny.run("quality", "train", "--positive", positive, "--negative", negative, "--out", str(tmp_path))
    assert done.returncode == 1
    assert "no field 'text'" in done.stderr
    done = tiny.run("quality", "train", "--positive", negative, "--negative", negative, "--out", str(tmp_path))
    assert done.returncode == 1
    assert "150 texts stand in both sets" in done.stderr
