from __future__ import annotations

import pytest

from mmpipe.assets.resources import build_resources
from mmpipe.errors import ConfigurationError


def test_an_empty_environment_gives_the_defaults() -> None:
    resources = build_resources({})

    assert resources["lake"].root == "var/lake"
    assert resources["crawl"].cache_folder == "var/lake-cache"
    assert resources["engine"].open().workers >= 1
    assert resources["crawl"].fetch_images is False
    assert resources["models"].clip_weights == ""


def test_knobs_come_from_the_environment() -> None:
    resources = build_resources(
        {"MMPIPE_WORKERS": "3", "MMPIPE_ENGINE": "ray", "MMPIPE_TEACHER_URL": "http://localhost:1/v1"}
    )

    assert (resources["engine"].open().workers, resources["engine"].open().backend) == (3, "ray")
    assert resources["teacher"].list_settings()["base_url"] == "http://localhost:1/v1"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MMPIPE_WORKERS": "many"}, "MMPIPE_WORKERS must be a whole number, not 'many'"),
        ({"MMPIPE_WORKERS": "-3"}, "MMPIPE_WORKERS must be 0 or more"),
        ({"MMPIPE_RANGE_MEBIBYTES": "0"}, "must be 1 or more"),
        ({"MMPIPE_ENGINE": "spark"}, "must be local or ray, not 'spark'"),
        ({"MMPIPE_TEACHER_TIMEOUT_SECONDS": "soon"}, "must be a number, not 'soon'"),
        ({"MMPIPE_FETCH_IMAGES": "perhaps"}, "must be yes or no"),
        ({"MMPIPE_FETCH_IMAGES": "yes"}, "needs MMPIPE_CONTACT"),
    ],
)
def test_a_knob_that_cannot_work_stops_at_load(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build_resources(environ)


def test_no_api_key_is_held_by_a_resource() -> None:
    teacher = build_resources({"MMPIPE_TEACHER_KEY": "sk-secret"})["teacher"]

    assert "sk-secret" not in str(teacher.list_settings())
    assert teacher.api_key_variable == "MMPIPE_TEACHER_KEY"
