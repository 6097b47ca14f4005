"""Loads what a project defines, and finds the assets that people name."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

import dagster as dg
from dagster.components.definitions import LazyDefinitions

from mmpipe.assets.partitions import DUMPS
from mmpipe.assets.quality_classifier import TRAINED_GROUP
from mmpipe.errors import ConfigurationError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mmpipe.assets.project import Project

_EVERYTHING = {"*", "all"}


def load_definitions(project: Project) -> dg.Definitions:
    """Return the definitions of the project, from the module that workspace.yaml names.

    Raises:
        ConfigurationError: the module holds neither Definitions nor a function marked `@dg.definitions`, or several.
    """
    location = project.read_code_location()
    if str(location.working_directory) not in sys.path:
        sys.path.insert(0, str(location.working_directory))
    with warnings.catch_warnings():
        # one dump per run and partitioned checks are what Dagster calls beta and preview; tests cover both
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _load(location.module)


def _load(module_name: str) -> dg.Definitions:
    module = import_module(module_name)
    found = [value for value in vars(module).values() if isinstance(value, dg.Definitions | LazyDefinitions)]
    if len(found) != 1:
        raise ConfigurationError(f"{module_name} must hold Dagster's Definitions once; it does {len(found)} times.")
    return found[0] if isinstance(found[0], dg.Definitions) else found[0]()


def select_assets(defs: dg.Definitions, wanted: Sequence[str]) -> list[dg.AssetKey]:
    """Return the assets that names and selections mean, parents before children.

    Args:
        defs: the definitions.
        wanted: asset names; `*` or `all`; `group:NAME`; `NAME+` for an asset and all that follows from it, `+NAME` for
            an asset and all it is made from. Models that are trained from sets of the user's own are among them only
            if they, or their group, are named.

    Raises:
        ConfigurationError: nothing is selected, or a name is unknown; the message says the nearest.
    """
    graph = defs.resolve_asset_graph()
    known = {key.to_user_string(): key for key in graph.materializable_asset_keys}
    groups = {str(graph.get(key).group_name) for key in known.values()}
    trained = {key for key in known.values() if graph.get(key).group_name == TRAINED_GROUP}
    chosen: set[dg.AssetKey] = set()
    for item in wanted:
        if item in _EVERYTHING:
            chosen |= set(known.values()) - trained
        elif item.startswith("group:"):
            group = _require(item.removeprefix("group:"), groups, "group")
            chosen |= dg.AssetSelection.groups(group).resolve(graph)
        else:
            name = _require(item.removeprefix("+").removesuffix("+"), known, "asset")
            selection: dg.AssetSelection = dg.AssetSelection.assets(known[name])
            if item.endswith("+"):
                chosen |= selection.downstream().resolve(graph) - trained
            if item.startswith("+"):
                chosen |= selection.upstream().resolve(graph) - trained
            chosen.add(known[name])
    order = [key for layer in graph.toposorted_asset_keys_by_level for key in layer]
    return sorted(chosen & set(known.values()), key=order.index)


def _require(name: str, known: Collection[str], noun: str) -> str:
    if name not in known:
        raise ConfigurationError(f"Unknown {noun} {name!r}.{name_nearest(name, known)}")
    return name


def is_per_dump(defs: dg.Definitions, key: dg.AssetKey) -> bool:
    """Whether an asset is partitioned by dump."""
    return defs.resolve_asset_graph().get(key).partitions_def == DUMPS


def is_trained(defs: dg.Definitions, key: dg.AssetKey) -> bool:
    """Whether an asset is a model trained from sets of the user's own, which only a run's config names."""
    return defs.resolve_asset_graph().get(key).group_name == TRAINED_GROUP
