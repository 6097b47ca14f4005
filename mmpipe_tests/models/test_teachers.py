from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.devices import choose_device
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.teachers import open_teacher, open_teachers
from mmpipe.models.transformers_teacher import TransformersTeacher
from mmpipe.tables.teacher_families import find_family


def test_no_settings_open_the_embedded_model(tmp_path: Path) -> None:
    teacher = open_teacher({}, device="cpu", batch_size=4, cache_folder=str(tmp_path))

    assert isinstance(teacher, TransformersTeacher)
    assert teacher.name.startswith("transformers:SmolLM2-135M-Instruct")


def test_a_url_opens_an_endpoint_with_the_key_of_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    settings = {"base_url": "http://localhost:9/v1", "model": "big", "api_key_variable": "MY_KEY", "concurrency": 3}

    teacher = open_teacher(settings, device="auto", batch_size=4, cache_folder=str(tmp_path))

    assert isinstance(teacher, EndpointTeacher)
    assert teacher.name.startswith("openai:big@")
    assert (teacher.concurrency, teacher.timeout_s) == (3, 120.0)
    assert "sk-1" not in teacher.name
    assert teacher.key_variable == "MY_KEY"


@pytest.mark.parametrize("settings", [{}, {"base_url": "http://localhost:9/v1", "model": "big"}])
def test_another_round_is_another_teacher_of_the_same_family(tmp_path: Path, settings: dict[str, object]) -> None:
    first, same, second = (
        open_teacher(settings | more, device="cpu", batch_size=1, cache_folder=str(tmp_path))
        for more in ({}, {"round": 1}, {"round": 2})
    )
    assert first.name == same.name
    assert second.name == f"{first.name}.2"
    assert find_family(first) == find_family(second)


def test_an_endpoint_without_a_model_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MMPIPE_TEACHER"):
        open_teacher({"base_url": "http://localhost:9/v1"}, device="cpu", batch_size=1, cache_folder=str(tmp_path))


def test_devices_are_checked_before_any_model_is_loaded() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda:0")
    with pytest.raises(ConfigurationError, match="unknown"):
        choose_device("gpu!")
    with pytest.raises(ConfigurationError, match="not there"):
        choose_device("cuda:99")


def test_several_teachers_of_one_run_share_the_cache_and_are_named_once(tmp_path: Path) -> None:
    url = "http://localhost:9/v1"
    settings = [
        {"base_url": url, "model": "gpt-4o"},
        {"base_url": url, "model": "o3-mini", "family": "gpt", "takes_images": False},
    ]
    big, small = open_teachers(settings, device="cpu", batch_size=1, cache_folder=str(tmp_path))

    assert isinstance(big, EndpointTeacher)
    assert isinstance(small, EndpointTeacher)
    assert (big.family, small.family) == ("gpt", "gpt")
    assert (big.takes_images, small.takes_images) == (True, False)
    assert big.cache is not None
    assert small.cache is not None
    assert big.cache.path == small.cache.path
    # one URL and key, one budget: a pause that one is told is kept by both
    assert big._cool_down is small._cool_down
    with pytest.raises(ConfigurationError, match="named 2 times"):
        open_teachers([settings[0], settings[0]], device="cpu", batch_size=1, cache_folder=str(tmp_path))
