"""Says which family a teacher is of, which judges may score its words, and which teacher writes which row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmpipe.tables.chat import Teacher

_SEPARATOR = re.compile(r"[-_.:@\s]")
_LEAST_LETTERS = 2


def name_family(teacher: str) -> str:
    """Return the family in a teacher's name, `engine:owner/model@digest`: the model's name before its first separator.

    Digits at its end are the generation's and left out, unless too little is left: `openai:Qwen2.5-7B@ab` is of family
    `qwen`, `openai:gpt-4o@ab` of `gpt`, `openai:o3-mini@ab` of `o3`. Names do not tell that `gpt` and `o3` have one
    maker: where it matters, the family is given.
    """
    model = teacher.partition(":")[2] or teacher
    model = model.rpartition("@")[0] or model
    first = _SEPARATOR.split(model.rpartition("/")[2].casefold(), maxsplit=1)[0]
    letters = first.rstrip("0123456789")
    return letters if len(letters) >= _LEAST_LETTERS else first


def find_family(teacher: Teacher | str, given: Mapping[str, str] | None = None) -> str:
    """Return the family of a teacher or of the teacher a row names: as given for it, else what its name tells.

    Args:
        teacher: the teacher, whose own `family` counts if it has one, or its name.
        given: families by teacher name, or by model name as it stands between engine and digest.
    """
    name = teacher if isinstance(teacher, str) else teacher.name
    model = (name.partition(":")[2] or name).rpartition("@")[0]
    for known in (name, model):
        if given and known in given:
            return given[known]
    own = "" if isinstance(teacher, str) else getattr(teacher, "family", "")
    return own or name_family(name)


def is_own_family(judge: Teacher, author: str, families: Mapping[str, str]) -> bool:
    """Return whether a judge would score its own family; an author that nobody named is nobody's.

    Args:
        judge: who judges.
        author: name of the model that wrote, as a row keeps it; may be empty.
        families: those that names do not tell, see `find_family`.
    """
    return bool(author) and find_family(judge, families) == find_family(author, families)


def describe_judge(judge: Teacher, author: Teacher, families: Mapping[str, str]) -> dict[str, str | bool]:
    """Return who judged within a method, as its rows tell it in their details, and whether of the writer's family."""
    return {
        "judge": judge.name,
        "judge_is_own_family": find_family(judge, families) == find_family(author, families),
    }


def refuse_own_judge(
    judge: Teacher, author: Teacher, families: Mapping[str, str], *, method: str, is_own_allowed: bool
) -> None:
    """Refuse a judge within a method that is of the writer's family, unless the method allows it.

    Raises:
        ConfigurationError: it is, and the method does not.
    """
    if not is_own_allowed and find_family(judge, families) == find_family(author, families):
        raise ConfigurationError(
            f"{method}: {judge.name} would judge what its own family {find_family(author, families)!r} wrote, and "
            f"`judges_own_family: false` forbids it. Name a teacher of another family for the judge (`uses:` in the "
            f"file of teachers), or say its `family:` there where its name does not tell."
        )


def exclude_own_family(
    judges: Sequence[Teacher],
    author: Teacher | str,
    *,
    given: Mapping[str, str] | None = None,
    is_own_allowed: bool = False,
) -> list[Teacher]:
    """Return the judges that may score what `author` wrote: those of other families, in their order.

    Models prefer their own family's words (Panickssery et al. 2024, "LLM Evaluators Recognize and Favor Their Own
    Generations").

    Args:
        judges: who could judge.
        author: who wrote, or the name that a row keeps of it.
        given: families that names do not tell.
        is_own_allowed: let all of them judge.

    Raises:
        ConfigurationError: no judge is left.
    """
    family = find_family(author, given)
    allowed = [judge for judge in judges if is_own_allowed or find_family(judge, given) != family]
    if not allowed:
        names = ", ".join(judge.name for judge in judges) or "none"
        raise ConfigurationError(
            f"No judge may score what family {family!r} wrote: the judges are {names}. Name one of another family, or "
            f"allow a family to judge itself."
        )
    return allowed


def assign_by_quota(
    ids: Iterable[str], teachers: Sequence[Teacher], quota: Mapping[str, int], *, seed: int = 0
) -> dict[str, Teacher]:
    """Return who writes which row: each family exactly its quota of rows, drawn by a keyed hash of their ids.

    Rows beyond the sum of the quotas have no teacher and are left out. Several teachers of one family share its rows
    in turn. The assignment does not depend on the order of the ids.

    Args:
        ids: of the rows, distinct.
        teachers: who may write.
        quota: most rows by family.
        seed: of the draw.

    Raises:
        ConfigurationError: a quota for a family that no teacher is of, or below 0.
    """
    by_family: dict[str, list[Teacher]] = {}
    for teacher in teachers:
        by_family.setdefault(find_family(teacher), []).append(teacher)
    for family, rows in quota.items():
        if family not in by_family:
            raise ConfigurationError(f"No teacher is of family {family!r}.{name_nearest(family, by_family)}")
        if rows < 0:
            raise ConfigurationError(f"The quota of family {family!r} is {rows}; it must be 0 or more.")
    drawn = iter(sorted(set(ids), key=lambda row_id: make_id("quota", seed, row_id)))
    assigned: dict[str, Teacher] = {}
    for family, rows in quota.items():
        members = by_family[family]
        # the count first: zip would take one id more than it hands out
        for place, row_id in zip(range(rows), drawn, strict=False):
            assigned[row_id] = members[place % len(members)]
    return assigned
