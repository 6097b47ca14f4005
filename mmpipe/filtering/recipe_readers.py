"""Says how each section of a recipe is read from YAML: rules and their limits, lists, word lists, steps, methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.duplicate_sections import DUPLICATE_SECTIONS
from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.filtering.image_sections import ImageBalance, ImageDuplicates
from mmpipe.filtering.instruction_duplicate_sections import InstructionDuplicates
from mmpipe.filtering.instruction_rules import INSTRUCTION_RULES
from mmpipe.filtering.interleaved_rules import INTERLEAVED_RULES
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.preference_sections import PREFERENCE_METHODS
from mmpipe.filtering.recipe_lists import find_folder, find_list
from mmpipe.filtering.recipe_methods import read_methods
from mmpipe.filtering.recipe_nodes import fail, is_null, read_list, read_mapping, read_settings, read_value
from mmpipe.filtering.recipe_sections import CorrectionStep, EvaluationSet
from mmpipe.filtering.rules import LANGUAGE, LIMITS, METHOD, OWN_LIMITS, Rule
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.tables.correction_steps import CORRECTION_STEPS

if TYPE_CHECKING:
    from pathlib import Path

#: The rules that each section may name.
RULES: Mapping[str, Mapping[str, Rule]] = {
    "text": TEXT_RULES,
    "images": IMAGE_RULES,
    "interleaved": INTERLEAVED_RULES,
    "instructions": INSTRUCTION_RULES,
}


def find_own_column(section: str) -> str:
    """Return what rules of a section may have limits of their own for: the language of a row, or its method."""
    return METHOD if section == "instructions" else LANGUAGE


_LISTS = ("domains", "urls", "strict_subwords", "hard_words", "soft_words", "held_out")
_LIMIT_TYPES: dict[str, Any] = {"low": float | None, "high": float | None, "allowed": tuple[str, ...], "source": str}


def _make_method_readers(section: str, folder: Path | None) -> dict[str, Any]:
    """Return how the sections that name methods are read."""
    if section == "instructions":
        duplicates = partial(_read_part, cls=InstructionDuplicates)
        return {"methods": partial(read_methods, folder=folder), "duplicates": duplicates}
    if section == "preferences":
        return {"methods": partial(read_methods, folder=folder, methods=PREFERENCE_METHODS, kind="preference")}
    return {}


def make_readers(section: str, folder: Path | None) -> dict[str, Any]:
    """Return what reads the keys of a section that are no plain values, by key.

    Args:
        section: its name.
        folder: of the recipe, where its relative paths begin; None for a packaged one.
    """
    readers = _make_method_readers(section, folder)
    if section in RULES:
        readers["rules"] = partial(_read_rules, known=RULES[section], column=find_own_column(section))
    if section == "interleaved":
        readers["node_rules"] = partial(_read_rules, known=INTERLEAVED_RULES)
    if section == "images":
        lists = partial(_read_lists, folder=folder)
        readers |= {"toxic_texts": lists, "political_words": lists}
        readers["flagged_words"] = partial(_read_word_lists, folder=folder)
        readers["duplicates"] = partial(_read_part, cls=ImageDuplicates, readers={"evaluation_hashes": lists})
        readers["balance"] = partial(_read_part, cls=ImageBalance, readers={"entries": lists})
    if section == "text":
        readers["sentence_model"] = partial(_read_lists, folder=folder)
    if section == "url":
        readers = {name: partial(_read_lists, folder=folder) for name in _LISTS}
        readers["categories"] = partial(_read_categories, folder=folder)
    if section == "words":
        readers = {name: partial(_read_word_lists, folder=folder) for name in ("flagged", "stop")}
    if section == "corrections":
        readers["steps"] = _read_steps
    if section == "deduplication":
        readers = {name: partial(_read_part, cls=cls) for name, cls in DUPLICATE_SECTIONS.items()}
    if section == "contamination":
        readers["sets"] = partial(_read_sets, folder=folder)
    return readers


def _read_rules(node: yaml.Node, file: str, known: Mapping[str, Rule], column: str = LANGUAGE) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {}
    own = OWN_LIMITS[column]
    for item in read_list(node, file):
        keys = (
            read_mapping(item, file, ("rule", "source", own, *LIMITS))
            if isinstance(item, yaml.MappingNode)
            else {"rule": item}
        )
        if "rule" not in keys:
            fail(item, file, "an entry is a rule's name or `{rule: name, low: …}`; the name is missing.")
        name = read_value(keys["rule"], file, str)
        if name not in known:
            fail(keys["rule"], file, f"unknown rule {name!r}.{name_nearest(name, known)}")
        if name in rules:
            fail(keys["rule"], file, f"rule {name!r} stands twice.")
        values = {key: read_value(keys[key], file, _LIMIT_TYPES[key], key) for key in keys if key in _LIMIT_TYPES}
        try:
            rules[name] = replace(known[name], **values)
            if own in keys:
                words = SYNTHESIS_METHODS if column == METHOD else None
                for word, limits in read_mapping(keys[own], file, words).items():
                    given = read_mapping(limits, file, ("source", *LIMITS[:2]))
                    moved = {key: read_value(given[key], file, _LIMIT_TYPES[key], key) for key in given}
                    if not moved.keys() & set(LIMITS):
                        moved |= {"low": None, "high": None}
                    rules[name] = rules[name].set_own_limits(column, word, **moved)
        except RecipeError as error:
            fail(item, file, str(error))
    return tuple(rules.values())


def _read_lists(node: yaml.Node, file: str, folder: Path | None) -> tuple[ListReference, ...]:
    references = []
    for item in read_list(node, file):
        if isinstance(item, yaml.MappingNode):
            read_mapping(item, file, ("list", "sha256", "licence"))
            reference = read_settings(ListReference, item, file, {})
        else:
            reference = ListReference(list=read_value(item, file, str))
        try:
            references.append(find_list(reference, folder))
        except RecipeError as error:
            fail(item, file, str(error))
    return tuple(references)


def _read_categories(node: yaml.Node, file: str, folder: Path | None) -> dict[str, tuple[ListReference, ...]]:
    return {name: _read_lists(item, file, folder) for name, item in read_mapping(node, file).items()}


def _read_word_lists(node: yaml.Node, file: str, folder: Path | None) -> dict[str, tuple[ListReference, ...]]:
    """Return lists by language: `{en: [list, …]}`, or `{folder: path, licence: …}` with a file per language."""
    keys = read_mapping(node, file)
    if "folder" not in keys:
        return {language: _read_lists(item, file, folder) for language, item in keys.items()}
    keys = read_mapping(node, file, ("folder", "licence"))
    given = {key: read_value(value, file, str, key) for key, value in keys.items()}
    try:
        return find_folder(given["folder"], given.get("licence", ""), folder)
    except RecipeError as error:
        fail(node, file, str(error))


def _read_part(node: yaml.Node, file: str, cls: type, readers: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return the settings of a part that is off where it is null."""
    return None if is_null(node) else read_settings(cls, node, file, readers)


def _read_steps(node: yaml.Node, file: str) -> tuple[CorrectionStep, ...]:
    """Return the steps with all their options: `- name`, or `- {step: name, option: value}`."""
    steps = []
    for item in read_list(node, file):
        keys = read_mapping(item, file) if isinstance(item, yaml.MappingNode) else {"step": item}
        if "step" not in keys:
            fail(item, file, "an entry is a step's name or `{step: name, option: value}`; the name is missing.")
        name = read_value(keys.pop("step"), file, str)
        if name not in CORRECTION_STEPS:
            fail(item, file, f"unknown step {name!r}.{name_nearest(name, CORRECTION_STEPS)}")
        options = dict(CORRECTION_STEPS[name])
        for key, value in keys.items():
            if key not in options:
                fail(value, file, f"step {name!r} has no option {key!r}.{name_nearest(key, options)}")
            default = options[key]
            wanted: Any = tuple[str, ...] if isinstance(default, tuple) else type(default)
            options[key] = read_value(value, file, wanted, key)
        steps.append(CorrectionStep(step=name, options=options))
    return tuple(steps)


def _read_sets(node: yaml.Node, file: str, folder: Path | None) -> tuple[EvaluationSet, ...]:
    sets = []
    for item in read_list(node, file):
        keys = read_mapping(item, file, ("name", "fields", "list", "sha256", "licence"))
        if "name" not in keys or "list" not in keys:
            fail(item, file, "an evaluation set needs `name:` and `list:`, the path or URL of its file.")
        given = {key: read_value(keys[key], file, str, key) for key in ("list", "sha256", "licence") if key in keys}
        fields = read_value(keys["fields"], file, tuple[str, ...], "fields") if "fields" in keys else ()
        try:
            reference = find_list(ListReference(**given), folder)
        except RecipeError as error:
            fail(item, file, str(error))
        sets.append(EvaluationSet(name=read_value(keys["name"], file, str, "name"), file=reference, fields=fields))
    return tuple(sets)
