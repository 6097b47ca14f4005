"""Reads instruction templates and holds them to their rules: every slot known and used, targets of slots alone.

The kinds are FLAN's (Wei et al. 2021, arXiv 2109.01652, section 2.1; Longpre et al. 2023, arXiv 2301.13688, section 2);
the words of `recipes/templates/flan.yaml` are our own. A file of one's own in the same form may stand in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.tables.identity import digest_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = Literal["prefix", "cloze", "inverse"]

#: The blank of a cloze template.
BLANK = "____"
EMBEDDED = Path(__file__).resolve().parent.parent / "recipes" / "templates" / "flan.yaml"
_OPTIONS_LINE = re.compile(r"\n?^\{options\}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Template:
    """One template of a family; `name` is `{family}/{number}`, its version changes with its words."""

    name: str
    shape: Shape
    input: str
    target: str

    @property
    def version(self) -> str:
        """Name and digest, as a prompt has it."""
        return f"flan/{self.name}@{digest_settings([self.shape, self.input, self.target])[:8]}"


@dataclass(frozen=True, slots=True)
class Family:
    """Templates of one kind of task.

    Attributes:
        name: of the family.
        fields: slots a row fills, beside `answer`.
        has_options: whether the answer is one of a list.
        templates: from input to answer, prefix and cloze.
        inverse: from the answer to an input.
    """

    name: str
    fields: tuple[str, ...]
    has_options: bool
    templates: tuple[Template, ...]
    inverse: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """All templates of a file. The styles are tuples of texts by name, as the file has them."""

    families: Mapping[str, Family]
    option_styles: tuple[Mapping[str, str], ...]
    few_shot_styles: tuple[Mapping[str, str], ...]
    rationale_styles: tuple[Mapping[str, str], ...]

    def find(self, name: str) -> Family:
        """Return the family of that name.

        Raises:
            ConfigurationError: there is none; the message names the nearest.
        """
        if name not in self.families:
            raise ConfigurationError(f"Unknown task family {name!r}.{name_nearest(name, self.families)}")
        return self.families[name]


@lru_cache(maxsize=8)
def load_templates(path: Path = EMBEDDED) -> TemplateSet:
    """Return the templates of a YAML file, each checked.

    Raises:
        ConfigurationError: the file or a template breaks a rule; the message names which, and where.
    """
    import yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"Templates {path.name}: cannot be read: {error}") from error
    known = {"families", "option_styles", "few_shot_styles", "rationale_styles"}
    if not isinstance(read, dict) or set(read) != known:
        raise ConfigurationError(f"Templates {path.name}: it needs exactly {', '.join(sorted(known))}.")
    families = {name: _read_family(name, entry) for name, entry in read["families"].items()}
    return TemplateSet(
        families,
        _read_styles("option_styles", read["option_styles"], {"header": (), "line": ("text",), "answer": ()}),
        _read_styles(
            "few_shot_styles",
            read["few_shot_styles"],
            {"exemplar": ("input", "target"), "last": ("input",), "join": ()},
        ),
        _read_styles("rationale_styles", read["rationale_styles"], {"trigger": (), "target": ("rationale", "answer")}),
    )


def list_slots(template: str) -> list[str]:
    """Return the slots of a template, in order.

    Raises:
        ConfigurationError: a brace stands alone, or a slot has a conversion or format.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"Template {template!r}: {error}.") from error
    for _, slot, form, conversion in parts:
        if slot is not None and (form or conversion or not slot.isidentifier()):
            raise ConfigurationError(f"Template {template!r}: {{{slot}}} must be a plain name in braces.")
    return [slot for _, slot, _, _ in parts if slot is not None]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its slots filled, once: braces in a value stay what they are.

    Raises:
        ConfigurationError: a slot has no value or an empty one.
    """
    parts: list[str] = []
    for literal, slot, _, _ in Formatter().parse(template):
        parts.append(literal)
        if slot is not None:
            if not values.get(slot, "").strip():
                raise ConfigurationError(f"Template {template!r}: nothing to fill {{{slot}}} with.")
            parts.append(values[slot])
    return "".join(parts)


def drop_options(template: str) -> str:
    """Return an input template without its line of options."""
    return _OPTIONS_LINE.sub("", template)


def _read_family(name: str, entry: Any) -> Family:
    if not isinstance(entry, dict) or set(entry) != {"fields", "has_options", "templates", "inverse"}:
        raise ConfigurationError(f"Template family {name}: it needs fields, has_options, templates and inverse.")
    fields, has_options = tuple(entry["fields"]), bool(entry["has_options"])
    templates = tuple(
        Template(f"{name}/{number}", one.get("shape", "prefix"), one["input"], one.get("target", "{answer}"))
        for number, one in enumerate(entry["templates"])
    )
    inverse = tuple(
        Template(f"{name}/inverse/{number}", "inverse", one["input"], one["target"])
        for number, one in enumerate(entry["inverse"])
    )
    for template in templates:
        _check_template(template, {*fields, "options"} if has_options else set(fields))
    for template in inverse:
        _check_inverse(template, {*fields, "answer"})
    if len({template.input for template in (*templates, *inverse)}) != len(templates) + len(inverse):
        raise ConfigurationError(f"Template family {name}: two templates have the same input.")
    return Family(name, fields, has_options, templates, inverse)


def _check_template(template: Template, wanted: set[str]) -> None:
    slots = list_slots(template.input)
    if template.shape not in ("prefix", "cloze"):
        raise ConfigurationError(f"Template {template.name}: shape is prefix or cloze, not {template.shape!r}.")
    if set(slots) != wanted:
        raise ConfigurationError(f"Template {template.name}: its slots are {sorted(slots)}, not {sorted(wanted)}.")
    if "options" in wanted and len(_OPTIONS_LINE.findall(template.input)) != 1:
        raise ConfigurationError(f"Template {template.name}: {{options}} must stand once, on a line of its own.")
    if template.input.count(BLANK) != int(template.shape == "cloze"):
        raise ConfigurationError(f"Template {template.name}: a cloze has one {BLANK}, a prefix none.")
    if template.target != "{answer}":
        raise ConfigurationError(f"Template {template.name}: the target is {{answer}} and no words of the template.")


def _check_inverse(template: Template, wanted: set[str]) -> None:
    given, asked = list_slots(template.input), list_slots(template.target)
    if template.target != "".join(f"{{{slot}}}" for slot in asked) or len(asked) != 1:
        raise ConfigurationError(f"Template {template.name}: the target is one slot and no words of the template.")
    if "answer" not in given or not set(given) | set(asked) <= wanted or set(given) & set(asked):
        raise ConfigurationError(
            f"Template {template.name}: it gives {sorted(given)} and asks for {asked}; it must give the answer, "
            f"ask for what it does not give, and know no slots but {sorted(wanted)}."
        )


def _read_styles(name: str, entries: Any, keys: Mapping[str, tuple[str, ...]]) -> tuple[Mapping[str, str], ...]:
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"Templates: {name} must be a list with at least one style.")
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != set(keys):
            raise ConfigurationError(f"Templates: a style of {name} needs exactly {', '.join(keys)}; it is {entry}.")
        for key, slots in keys.items():
            missing = set(slots) - set(list_slots(entry[key]))
            if missing:
                raise ConfigurationError(f"Templates: {name}, {key} {entry[key]!r} lacks {sorted(missing)}.")
    return tuple(entries)
