"""Reads the file that names several teachers of one run, and says which of them answers which method."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.filtering.recipe_nodes import compose, fail, read_mapping, read_settings, read_value
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a teacher is used for beside the synthesis methods: `default` is whatever has no line of its own; `responses`
#: are sampled by one, also those that preference methods ask for; the `judge` also votes before a review; `captions`
#: are polished by one, and documents are rephrased by one.
ROLES = ("default", "responses", "judge", "captions", "rephrasing")
#: Who judges within a method, by the method: whether a plan answers its request, whether evolving gained anything. The
#: method's own teacher does where none is named. What sees a picture need not be what mends its description.
CRITICS = {
    "tool_plans": "tool_plans_critic",
    "evol_instruct": "evol_instruct_judge",
    "picture_descriptions": "picture_descriptions_mender",
}
#: Everything that may have a teacher of its own.
USES = (*ROLES, *SYNTHESIS_METHODS, *CRITICS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterTeacher:
    """One teacher of the file: the settings that `models.teachers.open_teacher` takes.

    Attributes:
        model: name the endpoint knows; without an endpoint a hub name, folder or GGUF file; empty for the embedded one.
        base_url: endpoint; empty for a model in this process.
        api_key_variable: environment variable with the key. The key itself stands in no file.
        concurrency: requests under way at once.
        timeout_seconds: limit of one request.
        prompt_price: price of a million prompt tokens.
        completion_price: price of a million completion tokens.
        takes_images: whether the model reads images.
        family: of the model, where its name does not tell; a judge scores no answer of its own family.
        round: number; of a higher one everything is asked anew, and what was said before stays in the cache.
        batching: of a model in this process: `auto`, `static` or `continuous`
            (`models.transformers_teacher.Batching`).
    """

    model: str = ""
    base_url: str = ""
    api_key_variable: str = "MMPIPE_TEACHER_KEY"
    concurrency: int = 16
    timeout_seconds: float = 120.0
    prompt_price: float = 0.0
    completion_price: float = 0.0
    takes_images: bool = True
    family: str = ""
    round: int = 1
    batching: Literal["auto", "static", "continuous"] = "auto"

    def __post_init__(self) -> None:
        if self.base_url and not self.model:
            raise ConfigurationError(f"the teacher at {self.base_url} needs `model:`.")
        if self.concurrency < 1 or self.timeout_seconds <= 0:
            raise ConfigurationError("concurrency must be 1 or more, and timeout_seconds above 0.")
        if self.round < 1:
            raise ConfigurationError("round must be 1 or more.")
        if min(self.prompt_price, self.completion_price) < 0:
            raise ConfigurationError("a price must not be negative.")


@dataclass(frozen=True, slots=True)
class Roster:
    """The teachers of a file.

    Attributes:
        teachers: settings by the name the file gives them.
        uses: such a name by method or role (`USES`).
    """

    teachers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)


def read_roster(path: str) -> Roster:
    """Return the teachers of a YAML or JSON file; none where no file is named.

    Raises:
        ConfigurationError: the file is not there or cannot be what it says, with line and nearest right name.
    """
    if not path:
        return Roster()
    if not Path(path).is_file():
        raise ConfigurationError(f"MMPIPE_TEACHERS: there is no file {path}. Name a YAML file of teachers.")
    file = Path(path).name
    sections = read_mapping(compose(Path(path).read_text(encoding="utf-8"), file), file, ("teachers", "uses"))
    teachers = {}
    for name, node in (read_mapping(sections["teachers"], file) if "teachers" in sections else {}).items():
        for key in read_mapping(node, file):
            if key in ("api_key", "key"):
                fail(node, file, f"{name}: a key stands in no file. Name its environment variable: api_key_variable.")
        teachers[name] = asdict(read_settings(RosterTeacher, node, file, {}))
    if not teachers:
        raise ConfigurationError(f"{file}: name at least one teacher under `teachers:`.")
    uses = {}
    for use, node in (read_mapping(sections["uses"], file, USES) if "uses" in sections else {}).items():
        uses[use] = read_value(node, file, str, use)
        if uses[use] not in teachers:
            fail(node, file, f"unknown teacher {uses[use]!r}.{name_nearest(uses[use], teachers)}")
    if len(teachers) == 1:
        uses.setdefault("default", next(iter(teachers)))
    return Roster(teachers, uses)
