"""Says what can go wrong, graded by how far the damage goes; every other room raises these.

    MmpipeError
    ├── ConfigurationError      stops at load: a recipe, a contract, a setting; names file, line, nearest spelling
    │   ├── RecipeError
    │   ├── ContractError
    │   └── WeightsNotFound     a model's hub name or local path that cannot be had
    ├── ShardError              one shard fails; its neighbours go on; the run ends red and resumable
    │   ├── InvariantBroken     rows in are not rows kept + distinct rows removed
    │   └── SchemaError         a frame that is not what its table says
    ├── DatasetNotReady         a reader asked for a dataset that is missing or whose checks failed
    └── TeacherError            an endpoint or engine that cannot answer any more

A bad *row* is none of these: it is data, a removal.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


#: A message lists the known names up to this many; more would bury what went wrong.
_FEW_NAMES = 24


class MmpipeError(Exception):
    """Anything mmpipe raises on purpose. The message names what, where, and what to do next."""


class ConfigurationError(MmpipeError):
    """A setting that cannot work; raised at load, before any row is read."""


class RecipeError(ConfigurationError):
    """A recipe that names an unknown rule, signal or limit, or is not valid YAML."""


class ContractError(ConfigurationError):
    """A data contract that is invalid or names an unknown column or expectation."""


class WeightsNotFound(ConfigurationError):
    """Model weights that are neither a local path nor reachable by hub name."""


class ShardError(MmpipeError):
    """One shard that could not be made; the others are committed, and a re-run starts here."""


class InvariantBroken(ShardError):
    """Rows in are not rows kept + distinct rows removed."""


class SchemaError(ShardError):
    """A frame whose columns, types or nulls are not what its table says."""


class DatasetNotReady(MmpipeError):
    """A dataset that is missing, incomplete, or refused because its blocking checks failed."""


class TeacherError(MmpipeError):
    """A teacher that cannot answer any more (dead endpoint, refused key, broken engine)."""


def name_nearest(wrong: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name nearest to a wrong one, or the known names if they are few."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known names: {', '.join(names)}." if 0 < len(names) <= _FEW_NAMES else ""
