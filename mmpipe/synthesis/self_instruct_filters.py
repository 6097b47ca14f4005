"""Judges what a teacher wrote for Self-Instruct: which instructions a text model can follow, which instances are whole.

Wang et al. 2022 (arXiv 2212.10560, section 2.2 and appendix A) and the program they published; Alpaca and BELLE have
other words. Similarity to the pool is the pool's own matter.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.seed_tasks import Instance

#: Why an instruction is refused, besides the reasons of teachers.
INSTRUCTION_REASONS = (
    "self_instruct_truncated",
    "self_instruct_unreadable",
    "self_instruct_instruction_words",
    "self_instruct_unsuitable_word",
    "self_instruct_program_prefix",
    "self_instruct_first_punctuation",
    "self_instruct_first_script",
    "self_instruct_similar",
)

#: Why an instance is refused, or a task has none.
INSTANCE_REASONS = (
    "self_instruct_no_instance",
    "self_instruct_instance_truncated",
    "self_instruct_instance_without_output",
    "self_instruct_instance_repeats_input",
    "self_instruct_instance_unfinished",
    "self_instruct_instances_contradict",
    "self_instruct_instance_repeated",
    "self_instruct_instance_beyond_most",
)

#: Of the published program: what a text model cannot take or give.
UNSUITABLE_WORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to",
)  # fmt: skip
#: What Alpaca's program adds to them.
ALPACA_WORDS = (*UNSUITABLE_WORDS, "video", "audio", "music", "flowchart", "diagram")
#: The same for Chinese, after the things BELLE's program refuses: pictures, photographs, files, charts, links.
BELLE_WORDS = ("图像", "图片", "照片", "文件", "图表", "曲线图", "折线图", "柱形图", "饼状图", "链接", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionFilters:
    """Which instructions stay.

    Attributes:
        least: they have more units than this (3: the published program).
        most: and at most so many (150: the same).
        unit: `words` are counted between spaces; `characters` for scripts without them.
        unsuitable_words: none of them stands in it, whatever the case, as a whole word.
        are_words_whole: whether they must be whole words; in Chinese there are no bounds to see.
        prefixes: it begins with none of them, whatever the case: models add them to everything.
        refuses_other_scripts: whether its first character must be ASCII.
    """

    least: int = 3
    most: int = 150
    unit: Literal["words", "characters"] = "words"
    unsuitable_words: tuple[str, ...] = UNSUITABLE_WORDS
    are_words_whole: bool = True
    prefixes: tuple[str, ...] = ("write a program",)
    refuses_other_scripts: bool = True


def find_instruction_fault(instruction: str, filters: InstructionFilters) -> str | None:
    """Return why an instruction is refused, one of INSTRUCTION_REASONS; None if it is not."""
    units = len(instruction.split()) if filters.unit == "words" else len("".join(instruction.split()))
    if not filters.least < units <= filters.most:
        return "self_instruct_instruction_words"
    if _compile_words(filters.unsuitable_words, filters.are_words_whole).search(instruction):
        return "self_instruct_unsuitable_word"
    if instruction.casefold().startswith(filters.prefixes):
        return "self_instruct_program_prefix"
    if instruction[0] in string.punctuation:
        return "self_instruct_first_punctuation"
    if filters.refuses_other_scripts and not instruction[0].isascii():
        return "self_instruct_first_script"
    return None


@lru_cache(maxsize=8)
def _compile_words(words: tuple[str, ...], are_whole: bool) -> re.Pattern[str]:
    if not words:
        return re.compile(r"(?!)")
    bound = r"\b" if are_whole else ""
    return re.compile(f"{bound}(?:{'|'.join(map(re.escape, words))}){bound}", re.IGNORECASE)


def sift_instances(instances: Sequence[Instance], most: int) -> tuple[list[Instance], list[tuple[Instance, str]]]:
    """Return the instances of one task that stay, in their order, and those that go with one of INSTANCE_REASONS.

    First go those without an output, with an output that is the input, or that end in a colon, which breaks off. Of the
    others all go where one input, not empty, has two outputs: the task is not understood. Then repeated ones go, and
    what is beyond `most`.
    """
    dropped = [(instance, reason) for instance in instances if (reason := _find_instance_fault(instance))]
    whole = [instance for instance in instances if not _find_instance_fault(instance)]
    outputs: dict[str, set[str]] = {}
    for instance in whole:
        outputs.setdefault(instance.input, set()).add(instance.output)
    if any(text and len(different) > 1 for text, different in outputs.items()):
        return [], [*dropped, *((instance, "self_instruct_instances_contradict") for instance in whole)]
    kept: list[Instance] = []
    for instance in whole:
        if instance in kept:
            dropped.append((instance, "self_instruct_instance_repeated"))
        elif len(kept) == most:
            dropped.append((instance, "self_instruct_instance_beyond_most"))
        else:
            kept.append(instance)
    return kept, dropped


def _find_instance_fault(instance: Instance) -> str | None:
    given, answer = instance.input.strip(), instance.output.strip()
    if not answer:
        return "self_instruct_instance_without_output"
    if given == answer:
        return "self_instruct_instance_repeats_input"
    if given.endswith((":", "：")) or answer.endswith((":", "：")):
        return "self_instruct_instance_unfinished"
    return None
