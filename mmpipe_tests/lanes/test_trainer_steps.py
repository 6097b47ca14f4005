"""TRL's trainers start on released files as a user would: packed answers alone, pictures as many as placeholders."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.release_sections import ReleaseSettings
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.models.tokenizer import open_tokenizer
from mmpipe.tables.instructions import PREFERENCE_DATASET, SFT_DATASET
from mmpipe_tests.lanes.release_lake import make_release_lake
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.trainers import find_trainers


@pytest.mark.slow  # five trainers, each with a model of its own
def test_trl_trains_on_what_is_released(tmp_path: Path) -> None:
    python, path = find_trainers("trl")
    pytest.importorskip("accelerate")
    lake = make_release_lake(tmp_path)
    settings = ReleaseSettings(dialects=("trl",), pack_tokens=256, preference_forms=("kto", "reward"))
    recipe = replace(load_recipe("refinedweb"), release=settings)
    run_stages(lake, None, RELEASE_LANE[:2], recipe=recipe, knobs=Knobs(cache_folder=str(tmp_path / "cache")))
    open_tokenizer(None, allow_download=False)[1].save_pretrained(tmp_path / "tokenizer")
    folders = [lake.dataset(table).folder.url for table in (SFT_DATASET, PREFERENCE_DATASET)]

    done = subprocess.run(
        [
            str(python), "-W", "ignore", str(Path(__file__).with_name("trainer_steps.py")), *folders,
            str(tmp_path / "tokenizer"), str(tmp_path / "out"),
        ],
        env=os.environ
        | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "d"),
           "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])

    packed = found["packed"]
    assert packed["conversations"] > 2
    # no conversation sees its neighbour, and the answers alone are learnt
    assert packed["difference"] < 1e-5
    assert re.fullmatch(r"(This of t\d\d, at length\.<\|im_end\|>)+", packed["learnt"])
    assert packed["learnt"].count("<|im_end|>") == packed["conversations"]
    assert found["pictures"]["pictures"] == found["pictures"]["placeholders"] >= 2
    assert all(math.isfinite(part["loss"]) for part in (packed, found["pictures"]))
    assert all(loss > 0 for loss in found["preferences"].values())
