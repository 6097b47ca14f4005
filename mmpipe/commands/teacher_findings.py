"""What `mmpipe doctor` finds of the teachers: the single one, or each of the file that names several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.assets.resources import build_resources
from mmpipe.errors import MmpipeError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.teacher_roster import RosterTeacher, read_roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def find_teachers(environ: Mapping[str, str]) -> Iterator[tuple[bool, str]]:
    """Yield for each teacher of the environment whether something is wrong with it, and what it is.

    The single teacher is looked at where it answers something: no file names teachers, or the file names no default.
    What the recipe's pool names has to be in the file.
    """
    from mmpipe.models.teacher_probe import probe_teacher

    path = environ.get("MMPIPE_TEACHERS", "")
    try:
        roster = read_roster(path)
        settings = build_resources(environ)["teacher"].list_settings()
        pool = load_recipe(environ.get("MMPIPE_RECIPE", "refinedweb")).instructions.response_teachers
    except MmpipeError as error:
        yield True, str(error)
        return
    if "default" not in roster.uses:
        probe = probe_teacher(settings, environ, url_setting="MMPIPE_TEACHER_URL")
        yield probe.is_wrong, f"MMPIPE_TEACHER: {probe.message}"
    for name in pool:
        try:
            Knobs(teachers=roster.teachers).name_teacher(name)
        except MmpipeError as error:
            yield True, str(error)
    for name, each in roster.teachers.items():
        # a variable that the file names itself is there to be set
        is_named = each["api_key_variable"] != RosterTeacher().api_key_variable
        probe = probe_teacher(each, environ, needs_key=is_named)
        uses = [use for use, user in roster.uses.items() if user == name]
        uses += ["response_teachers"] if name in pool else []
        told = f" (for {', '.join(uses)})" if uses else " (used for nothing)"
        yield probe.is_wrong, f"{name}{told}: {probe.message}"
