from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml

from mmpipe.assets.project import Project, find_crawl_folder, find_project, find_state_folder
from mmpipe.errors import ConfigurationError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in ("DAGSTER_HOME", "MMPIPE_STATE", "MMPIPE_CRAWL", "MMPIPE_LAKE", "MMPIPE_POSTGRES_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return find_project()


def test_the_folder_with_the_two_files_is_the_project_else_the_checkout(project: Project, tmp_path: Path) -> None:
    assert project.folder == tmp_path
    assert find_project(tmp_path / "elsewhere").folder == REPOSITORY


def test_the_environment_is_completed_not_overruled(project: Project) -> None:
    environ = {"MMPIPE_LAKE": "s3://bucket/lake", "MMPIPE_STATE": "records/here", "DAGSTER_HOME": "/another"}
    project.set_environment(environ)
    assert environ["MMPIPE_LAKE"] == "s3://bucket/lake"
    assert environ["MMPIPE_STATE"] == str(project.folder / "records/here")
    assert environ["MMPIPE_CRAWL"] == str(project.folder / "var/crawl")
    assert environ["DAGSTER_HOME"] == str(project.folder)
    assert "MMPIPE_CLIP" not in environ
    (project.folder / "var/weights/clip").mkdir(parents=True)
    project.set_environment(environ)
    assert environ["MMPIPE_CLIP"] == str(project.folder / "var/weights/clip")


def test_code_without_our_environment_finds_the_same_folders(project: Project) -> None:
    completed: dict[str, str] = {}
    project.set_environment(completed)
    for environ in (completed, {"DAGSTER_HOME": str(project.folder)}, {}):
        assert str(find_state_folder(environ)) == completed["MMPIPE_STATE"]
        assert find_crawl_folder(environ) == completed["MMPIPE_CRAWL"]


def test_dagsters_records_lie_in_the_state_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(project.folder))
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert instance.run_retries_enabled
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        with dg.DagsterInstance.from_ref(instance.get_ref()) as again:  # as a run worker opens it
            assert again.storage_directory() == instance.storage_directory()
    assert (project.folder / "var/state/history/runs.db").is_file()
    assert {path.name for path in project.folder.iterdir()} == {"dagster.yaml", "workspace.yaml", "var"}


def test_postgres_is_chosen_by_its_url(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(project.folder))
    monkeypatch.setenv("MMPIPE_POSTGRES_URL", "sqlite:///x")
    with pytest.raises(ConfigurationError, match="postgresql://"):
        dg.DagsterInstance.get()


def test_both_ways_to_load_name_one_code_location() -> None:
    import tomllib

    location = Project(REPOSITORY).read_code_location()
    dg_settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert location.name == dg_settings["code_location_name"]
    assert location.module == dg_settings["code_location_target_module"]


def test_a_workspace_of_two_modules_is_refused(project: Project) -> None:
    (project.folder / "workspace.yaml").write_text(
        yaml.dump({"load_from": [{"python_module": "a"}, {"python_module": "b"}]})
    )
    with pytest.raises(ConfigurationError, match="exactly one"):
        project.read_code_location()
