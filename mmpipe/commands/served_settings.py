"""Tells whether a running server makes the rows that this shell would: each setting that changes rows, by content."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from mmpipe.errors import ConfigurationError, MmpipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Settings that change rows, or where rows lie, with their defaults; what is in no list here changes only the bill.
#: Keys are never among them.
ROW_SETTINGS = {
    "MMPIPE_LAKE": "",
    "MMPIPE_CACHE": "",
    "MMPIPE_RECIPE": "refinedweb",
    "MMPIPE_CONTRACTS": "",
    "MMPIPE_LANGUAGE": "",
    "MMPIPE_QUALITY": "",
    "MMPIPE_PERPLEXITY": "",
    "MMPIPE_EMBEDDER": "",
    "MMPIPE_ENCODER": "",
    "MMPIPE_CLIP": "",
    "MMPIPE_CLIP_PRECISION": "fp32",
    "MMPIPE_AESTHETIC": "",
    "MMPIPE_WATERMARK": "",
    "MMPIPE_NSFW": "",
    "MMPIPE_Q16": "",
    "MMPIPE_CAPTIONER": "",
    "MMPIPE_MATCHER": "",
    "MMPIPE_DETECTOR": "",
    "MMPIPE_NOUN_CHUNKER": "",
    "MMPIPE_TOKENIZER": "",
    "MMPIPE_TEACHER": "",
    "MMPIPE_TEACHER_URL": "",
    "MMPIPE_TEACHER_KEY_VARIABLE": "MMPIPE_TEACHER_KEY",
    "MMPIPE_TEACHER_TAKES_IMAGES": "yes",
    "MMPIPE_TEACHER_FAMILY": "",
    "MMPIPE_TEACHER_ROUND": "1",
    "MMPIPE_TEACHERS": "",
    "MMPIPE_FETCH_IMAGES": "no",
}
_FLAGS = {"true": "yes", "1": "yes", "false": "no", "0": "no"}


def read_row_settings(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the settings of an environment that change rows, without a password.

    Args:
        environ: the environment, completed by `Project.set_environment`.
        folder: what relative paths are relative to.
    """
    settings = {}
    for name, default in ROW_SETTINGS.items():
        value = environ.get(name) or default
        if default in ("yes", "no"):
            value = _FLAGS.get(value.lower(), value.lower())
        elif "://" in value:
            value = _drop_credentials(value)
        elif value and (folder / Path(value).expanduser()).exists():
            value = str((folder / Path(value).expanduser()).resolve())
        settings[name] = value
    settings["MMPIPE_CACHE"] = settings["MMPIPE_CACHE"] or f"{settings['MMPIPE_LAKE'].rstrip('/')}-cache"
    return settings


def write_server_record(place: Path, url: str, environ: Mapping[str, str], folder: Path) -> None:
    """Write down where a server answers, which process it is, and what it makes rows with."""
    place.write_text(
        json.dumps({"url": url, "pid": os.getpid(), "settings": read_row_settings(environ, folder)}, indent=1)
    )


def require_same_settings(url: str, served: Mapping[str, str] | None, here: Mapping[str, str]) -> None:
    """Stop where a server would make other rows than this shell says.

    Recipes and files of teachers are compared by what they hold, so that a copy or another path does no harm.

    Args:
        url: the server.
        served: its settings (`read_row_settings`); None if it told none.
        here: those of this shell.

    Raises:
        ConfigurationError: they differ, with each value there and here, and what to do.
    """
    if served is None:
        raise ConfigurationError(
            f"{url} was started by an mmpipe that told nothing of its settings. Start `mmpipe dev` anew, or give "
            "--here to run in this process."
        )
    differing = [
        name
        for name, value in here.items()
        if value != served.get(name, "") and _digest(name, value) != _digest(name, served.get(name, ""))
    ]
    if differing:
        told = "\n".join(
            f"  {name}: {served.get(name) or '(not set)'} there, {here[name] or '(not set)'} here" for name in differing
        )
        raise ConfigurationError(
            f"`mmpipe dev` at {url} would make other rows than this shell says:\n{told}\n"
            "Start `mmpipe dev` anew in this shell, or set here what it has (unset what it has not), or give --here to "
            "run in this process with what this shell says."
        )


def describe_row_makers(settings: Mapping[str, str]) -> str:
    """Return which recipe and which teacher make rows, in a few words."""
    recipe = settings["MMPIPE_RECIPE"]
    told = f"recipe {Path(recipe).name if recipe.endswith(('.yaml', '.yml')) else recipe}"
    if settings["MMPIPE_TEACHERS"]:
        return f"{told}, teachers of {Path(settings['MMPIPE_TEACHERS']).name}"
    teacher = settings["MMPIPE_TEACHER"] or "the embedded one"
    at = f" at {settings['MMPIPE_TEACHER_URL']}" if settings["MMPIPE_TEACHER_URL"] else ""
    return f"{told}, teacher {teacher}{at}"


def _digest(name: str, value: str) -> str:
    """Return what a setting holds, in short; a file that cannot be read stands for itself."""
    from mmpipe.filtering.recipes import load_recipe
    from mmpipe.lanes.teacher_roster import read_roster
    from mmpipe.tables.identity import digest_settings

    try:
        if name == "MMPIPE_RECIPE":
            return digest_settings(load_recipe(value).resolve())
        if name == "MMPIPE_TEACHERS" and value:
            roster = read_roster(value)
            return digest_settings([roster.teachers, roster.uses])
    except (MmpipeError, OSError):
        return value
    return value


def _drop_credentials(url: str) -> str:
    """Return a URL without user, password and query: a key may stand in each."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
