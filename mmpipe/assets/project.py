"""Where a project lies and which knobs it starts from: the folder of dagster.yaml, and MMPIPE_… with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

#: Files that make a folder a project.
PROJECT_FILES = ("dagster.yaml", "workspace.yaml")


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """Where Dagster finds the definitions, as workspace.yaml says."""

    module: str
    name: str
    working_directory: Path


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with dagster.yaml and workspace.yaml; runs write below its `var/` unless the environment says else."""

    folder: Path

    def list_defaults(self) -> dict[str, str]:
        """Return the environment a command of this project starts from; paths are absolute."""
        var = self.folder / "var"
        defaults = {
            "MMPIPE_LAKE": str(var / "lake"),
            "MMPIPE_CRAWL": str(var / "crawl"),
            "MMPIPE_STATE": str(var / "state"),
            "MMPIPE_RECIPE": "refinedweb",
        }
        clip = var / "weights" / "clip"
        if clip.is_dir():
            defaults["MMPIPE_CLIP"] = str(clip)
        return defaults

    def set_environment(self, environ: MutableMapping[str, str]) -> None:
        """Complete an environment so that every process of this project sees the same lake, crawl and state.

        What is set already stays, except DAGSTER_HOME: it must be this folder, or Dagster would read another
        dagster.yaml, with telemetry on.
        """
        for name, value in self.list_defaults().items():
            given = environ.get(name) or value
            environ[name] = given if _is_name(name, given) else make_absolute(given)
        environ["DAGSTER_HOME"] = str(self.folder)
        environ["GX_ANALYTICS_ENABLED"] = "false"
        environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries between our own lines

    def read_code_location(self) -> CodeLocation:
        """Return the code location of workspace.yaml.

        Raises:
            ConfigurationError: workspace.yaml does not name exactly one python_module.
        """
        import yaml

        stored = yaml.safe_load((self.folder / "workspace.yaml").read_text()) or {}
        modules = [item["python_module"] for item in stored.get("load_from") or [] if "python_module" in item]
        if len(modules) != 1:
            raise ConfigurationError(f"{self.folder / 'workspace.yaml'} must name exactly one python_module.")
        module = {"module_name": modules[0]} if isinstance(modules[0], str) else modules[0]
        name = module["module_name"]
        working = (self.folder / module.get("working_directory", ".")).resolve()
        return CodeLocation(name, module.get("location_name", name), working)


def find_project(start: Path | None = None) -> Project:
    """Return the project of the current folder, or of the checkout that mmpipe runs from.

    Raises:
        ConfigurationError: neither has dagster.yaml and workspace.yaml.
    """
    import mmpipe

    candidates = [start or Path.cwd(), Path(mmpipe.__file__).resolve().parents[1]]
    for folder in candidates:
        if all((folder / name).is_file() for name in PROJECT_FILES):
            return Project(folder.resolve())
    sought = " and ".join(str(folder) for folder in candidates)
    raise ConfigurationError(
        f"No project found: neither {sought} has dagster.yaml and workspace.yaml. Go to the clone."
    )


def find_state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of Dagster's own records: MMPIPE_STATE, or var/state of DAGSTER_HOME or the current folder."""
    if environ.get("MMPIPE_STATE"):
        return Path(environ["MMPIPE_STATE"]).expanduser().absolute()
    return Path(environ.get("DAGSTER_HOME") or Path.cwd()).absolute() / "var" / "state"


def find_crawl_folder(environ: Mapping[str, str]) -> str:
    """Return the watched folder or URL: MMPIPE_CRAWL, or var/crawl of DAGSTER_HOME or the current folder."""
    if environ.get("MMPIPE_CRAWL"):
        return make_absolute(environ["MMPIPE_CRAWL"])
    return str(Path(environ.get("DAGSTER_HOME") or Path.cwd()).absolute() / "var" / "crawl")


def make_absolute(value: str) -> str:
    """Return a place with a relative local path made absolute; URLs are left as they are."""
    return value if "://" in value else str(Path(value).expanduser().absolute())


def _is_name(variable: str, value: str) -> bool:
    """Whether a setting that may be a name or a path is a name: of a packaged recipe, or of weights on a hub."""
    if variable == "MMPIPE_RECIPE":
        return not value.endswith((".yaml", ".yml"))
    return variable == "MMPIPE_CLIP" and not Path(value.removeprefix("local-dir:")).expanduser().exists()
