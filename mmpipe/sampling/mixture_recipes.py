"""Reads mixtures and token budgets that papers published, and turns them into a plan for the sources at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from mmpipe.errors import ConfigurationError, RecipeError, name_nearest
from mmpipe.sampling.mixing import SourceShare, plan_mixture

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUDGETS = "chinchilla_budgets"
_KEYS = {"name", "source", "total_tokens", "sources"}


@dataclass(frozen=True, slots=True)
class MixtureRecipe:
    """A published mixture.

    Attributes:
        name: of the recipe.
        source: paper and table.
        total_tokens: tokens of the run that the epochs belong to.
        weights: share of each source, in any scale.
        epochs: how often each source was read.
    """

    name: str
    source: str
    total_tokens: int
    weights: Mapping[str, float]
    epochs: Mapping[str, float]

    def count_tokens(self) -> dict[str, int]:
        """Return how many tokens each source must have had: weight * total / epochs."""
        whole = sum(self.weights.values())
        return {
            name: round(weight / whole * self.total_tokens / self.epochs[name]) for name, weight in self.weights.items()
        }


def list_mixtures() -> list[str]:
    """Return the names of the mixtures that are shipped."""
    folder = resources.files("mmpipe") / "recipes" / "mixtures"
    names = (entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return sorted(name for name in names if name != _BUDGETS)


def load_mixture(name: str) -> MixtureRecipe:
    """Return a shipped mixture by name.

    Raises:
        RecipeError: there is none of that name.
    """
    known = list_mixtures()
    if name not in known:
        raise RecipeError(f"Mixture: there is no {name!r}.{name_nearest(name, known)}")
    return parse_mixture(_read(name), f"{name}.yaml")


def parse_mixture(content: Any, file: str) -> MixtureRecipe:
    """Return the mixture that the content of a YAML file describes; see recipes/mixtures/llama.yaml.

    Raises:
        RecipeError: an unknown or missing key, or a weight or number of epochs that is none; file and source are named.
    """
    if not isinstance(content, dict) or set(content) != _KEYS:
        given = set(content) if isinstance(content, dict) else set()
        unknown = next(iter(sorted(map(str, given - _KEYS))), None)
        what = (
            f"unknown key {unknown!r}.{name_nearest(unknown, _KEYS)}" if unknown else f"needs {sorted(_KEYS - given)}"
        )
        raise RecipeError(f"{file}: {what}")
    weights: dict[str, float] = {}
    epochs: dict[str, float] = {}
    for source, row in content["sources"].items():
        for key, amounts in (("weight", weights), ("epochs", epochs)):
            amount = row.get(key)
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < math.inf:
                raise RecipeError(f"{file}: {key} of {source!r} must be a number above 0, not {amount!r}.")
            amounts[str(source)] = float(amount)
    return MixtureRecipe(content["name"], content["source"], int(content["total_tokens"]), weights, epochs)


def plan_recipe(
    recipe: MixtureRecipe, sources: Mapping[str, int], *, by: str = "weights", total_tokens: int | None = None
) -> list[SourceShare]:
    """Return the plan of a published mixture for the sources at hand, which must bear its names.

    Args:
        recipe: the mixture.
        sources: tokens of each source at hand; one that the mixture knows and is not at hand is left out, and the
            others keep their proportions.
        by: `weights` (the shares of the paper, whatever the sources' sizes) or `epochs` (as often as the paper read
            them, whatever shares come of it).
        total_tokens: with weights, the mixture's tokens; see `mixing.plan_mixture`.

    Raises:
        ConfigurationError: a source that the mixture does not know, or a word other than the two.
    """
    if by not in {"weights", "epochs"}:
        raise ConfigurationError(f"Mixture: by is 'weights' or 'epochs', not {by!r}.")
    unknown = next((source for source in sources if source not in recipe.weights), None)
    if unknown is not None:
        raise ConfigurationError(
            f"Mixture {recipe.name!r} knows no source {unknown!r}.{name_nearest(unknown, recipe.weights)}"
        )
    amounts = recipe.weights if by == "weights" else recipe.epochs
    chosen = {source: amounts[source] for source in sources}
    if by == "weights":
        return plan_mixture(sources, weights=chosen, total_tokens=total_tokens)
    return plan_mixture(sources, epochs=chosen, total_tokens=total_tokens)


def plan_token_budget(parameters: float, tokens_per_parameter: float | None = None) -> int:
    """Return the tokens on which a model of so many parameters makes the most of its compute.

    Args:
        parameters: of the model.
        tokens_per_parameter: 20 by default (Hoffmann et al. 2022, arXiv 2203.15556).

    Raises:
        ConfigurationError: a number is not above 0.
    """
    rate = _read(_BUDGETS)["tokens_per_parameter"] if tokens_per_parameter is None else tokens_per_parameter
    for name, amount in (("parameters", parameters), ("tokens_per_parameter", rate)):
        if not (math.isfinite(amount) and amount > 0):
            raise ConfigurationError(f"Token budget: {name} must be above 0, not {amount}.")
    return round(parameters * rate)


def list_token_budgets() -> list[tuple[float, float]]:
    """Return (parameters, tokens) as Chinchilla's Table 3 gives them, ascending."""
    return [(row["parameters"], row["tokens"]) for row in _read(_BUDGETS)["budgets"]]


@cache
def _read(name: str) -> Any:
    file = resources.files("mmpipe") / "recipes" / "mixtures" / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))
