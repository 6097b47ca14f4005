"""Says which synthesis methods a recipe may name, which files each reads, and what one named with options holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from mmpipe.filtering.list_references import ListReference

#: An option as the recipe writes it: words, lists and mappings. What a word means is for the method's settings to say.
OptionTree: TypeAlias = Union[str, "tuple[OptionTree, ...]", "Mapping[str, OptionTree]", None]

#: Each method a recipe may name, and the files it reads: True for those that must be named. A key that ends in `*`
#: stands for every key that begins so.
SYNTHESIS_METHODS: Mapping[str, Mapping[str, bool]] = {
    "grounded_questions": {},
    "image_instructions": {},
    "self_instruct": {"seeds": True},
    "evol_instruct": {"instructions": False},
    "raft": {},
    "reasoning_rows": {"problems": True},
    "tiny_gsm": {"problems": True},
    "case2code": {"functions": False},
    "api_rows": {"cards": True},
    "tool_plans": {"tools": True},
    "flan": {"rows": True},
    "flan_mixture": {"rows_*": True},
    "code_translation": {"pairs": True, "queries": True},
    "thought_trees": {"problems": True},
    "star": {"problems": True},
    "rest": {"problems": False, "stored": False},
    "llm2llm": {"problems": True, "answers": True},
    "toolformer": {"passages": False},
    "llava_types": {},
    "lrv_balance": {},
    "scene_choices": {"labels": False},
    "merged_annotation": {"annotations": False},
    "picture_descriptions": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisMethod:
    """A method that a recipe names with options or files.

    Attributes:
        method: its name in SYNTHESIS_METHODS.
        options: fields of the method's settings, and what else it takes, as written.
        files: its files by name; where they lie and their digests.
        file: the recipe it stands in, for messages.
        line: where in it, from 1; 0 where a name stands alone, of which the line is not kept.
    """

    method: str
    # a mapping has no hash; methods that differ in one alone are unequal all the same
    options: Mapping[str, OptionTree] = field(default_factory=dict, hash=False)
    files: Mapping[str, ListReference] = field(default_factory=dict, hash=False)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """Where it stands, for messages: file and line, as far as they are known."""
        return f"{self.file}:{self.line}" if self.line else f"recipe {self.file}".strip()


def name_method(entry: str | SynthesisMethod) -> str:
    """Return the name of a method as a recipe's list holds it."""
    return entry if isinstance(entry, str) else entry.method
