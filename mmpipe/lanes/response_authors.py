"""Asks who answers instructions: the run's teacher, or each teacher of the recipe's pool for its own samples."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.teacher_watch import refuse_outage, warn_of_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.lanes.stage import Knobs
    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.responses import ResponseSettings
    from mmpipe.tables.chat import Teacher


@dataclass(frozen=True, slots=True)
class Authors:
    """Who answers the instructions of a run.

    Attributes:
        teachers: by their names in the file of teachers; of one that answers all, by an empty name.
        remote: names of those that answer elsewhere, and so at the same time.
    """

    teachers: Mapping[str, Teacher]
    remote: frozenset[str] = frozenset()

    @property
    def identities(self) -> list[str]:
        """What decides which rows are made: each name with the teacher behind it."""
        return [f"{name}={teacher.name}" if name else teacher.name for name, teacher in self.teachers.items()]


def choose_authors(recipe: Recipe, knobs: Knobs) -> dict[str, Knobs]:
    """Return the knobs of every teacher that samples responses, by name; one of an empty name without a pool.

    Raises:
        ConfigurationError: the file of teachers has no such name.
    """
    pool = recipe.instructions.response_teachers
    if not pool:
        return {"": knobs.choose_teacher("responses")}
    return {name: knobs.name_teacher(name) for name in pool}


def open_authors(recipe: Recipe, knobs: Knobs, open_one: Callable[[Knobs], Teacher]) -> Authors:
    """Return who samples responses, opened.

    Raises:
        ConfigurationError: as `choose_authors`, a teacher cannot be opened, or two of them are one model.
    """
    chosen = choose_authors(recipe, knobs)
    remote = frozenset(name for name, own in chosen.items() if own.teacher.get("base_url"))
    teachers = {name: open_one(own) for name, own in chosen.items()}
    by_model: dict[str, str] = {}
    for name, teacher in teachers.items():
        other = by_model.setdefault(teacher.name, name)
        if other != name:
            raise ConfigurationError(
                f"`instructions.response_teachers` names {other!r} and {name!r}, which are one model, {teacher.name}: "
                f"its samples would count as those of two."
            )
    return Authors(teachers, remote)


def ask_authors(instructions: pl.DataFrame, authors: Authors, settings: ResponseSettings) -> Synthesis:
    """Return the responses of all authors, in the order of the instructions and their samples.

    Endpoints are asked at the same time, models in this process one after the other, as they share its device.

    Args:
        instructions: as `responses.sample_responses` takes them.
        authors: who answers.
        settings: how; its pool are the authors' names.

    Raises:
        TeacherError: one cannot answer any more, or its endpoint was down. What others said is in the cache.
    """
    from mmpipe.synthesis.response_routes import join_responses
    from mmpipe.synthesis.responses import sample_responses

    def ask(name: str) -> Synthesis:
        made = sample_responses(instructions, authors.teachers[name], settings, name)
        refuse_outage(made.planned, made.rejected, authors.teachers[name].name)
        warn_of_nothing(f"responses of {authors.teachers[name].name}", made.frame.height, made.rejected)
        return made

    here = [name for name in authors.teachers if name not in authors.remote]
    with ThreadPoolExecutor(max(len(authors.remote), 1)) as threads:
        away = {name: threads.submit(ask, name) for name in sorted(authors.remote)}
        made = {name: ask(name) for name in here}
        made |= {name: future.result() for name, future in away.items()}
    ids = instructions.get_column("instruction_id").to_list()
    return join_responses([made[name] for name in authors.teachers], ids)
