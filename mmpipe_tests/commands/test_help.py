"""What `--help` says: every command, argument and option of the command line tells what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import click
import pytest
from typer.main import get_command

from mmpipe.cli import commands
from mmpipe.commands import judge, report


def _walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from _walk(below, f"{path} {name}")


COMMANDS = dict(_walk(get_command(commands), "mmpipe"))


@pytest.mark.parametrize("path", COMMANDS)
def test_help_tells_command_arguments_and_options(path: str) -> None:
    command = COMMANDS[path]
    assert command.get_short_help_str(), f"{path} says nothing of itself"
    silent = [parameter.human_readable_name for parameter in command.params if not getattr(parameter, "help", None)]
    assert not silent, f"{path} does not say what these are: {silent}"


@pytest.mark.parametrize("path", COMMANDS)
def test_a_paragraph_of_help_is_one_line_of_source(path: str) -> None:
    # a break within one, behind the first, is shown as it stands, in the middle of a sentence
    _, *further = (COMMANDS[path].help or "").strip().split("\n\n")
    assert not [paragraph for paragraph in further if "\n" in paragraph]


@pytest.mark.parametrize("module", [judge, report])
def test_help_names_the_lanes_that_a_command_knows(module: ModuleType) -> None:
    command = COMMANDS[f"mmpipe {module.__name__.rpartition('.')[2]}"]
    (lane,) = (parameter for parameter in command.params if parameter.name == "lane")
    assert re.findall(r"\w+", str(getattr(lane, "help", "")).replace(" or ", " ")) == list(module.LANES)
