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

from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.reply_faults import OTHER_SCRIPT

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
    OTHER_SCRIPT,
)

#: Of the published program: what a text model cannot take or give.
UNSUITABLE_WORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to",
)  # fmt: skip
#: What Alpaca's program adds to them.
ALPACA_WORDS = (*UNSUITABLE_WORDS, "video", "audio", "music", "flowchart", "diagram")
#: The same for Chinese, after the things BELLE's program refuses: pictures, photographs, files, layers, charts, links,
#: and talk of the model itself. (It cuts some phrases that ask "a GPT model" to do something; here the task goes.)
BELLE_WORDS = (
    "图像", "图片", "照片", "文件", "图表", "图层", "曲线图", "折线图", "直线图", "柱形图", "饼状图", "链接", "http",
    "gpt", "openai",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionFilters:
    """Which instructions stay.

    Attributes:
        least: they have more units than this (3: the published program).
        most: and at most so many (150: the same); None for any number.
        most_with_input: of one that comes with an input; None where that makes no difference.
        most_with_example: of one that comes with an input and names an example by one of `example_words`.
        example_words: words for an example.
        unit: `words` are counted between spaces; `characters` for scripts without them.
        unsuitable_words: none of them stands in it, whatever the case, as a whole word.
        are_words_whole: whether they must be whole words; in Chinese there are no bounds to see.
        are_instances_searched: whether none may stand in the input and output that come with it either.
        prefixes: it begins with none of them, whatever the case: models add them to everything.
        refuses_other_scripts: whether its first character must be ASCII.
    """

    least: int = 3
    most: int | None = 150
    most_with_input: int | None = None
    most_with_example: int | None = None
    example_words: tuple[str, ...] = ()
    unit: Literal["words", "characters"] = "words"
    unsuitable_words: tuple[str, ...] = UNSUITABLE_WORDS
    are_words_whole: bool = True
    are_instances_searched: bool = False
    prefixes: tuple[str, ...] = ("write a program",)
    refuses_other_scripts: bool = True


def find_instruction_fault(
    instruction: str, filters: InstructionFilters, instances: Sequence[Instance] = ()
) -> Refusal | None:
    """Return why an instruction is refused, one of INSTRUCTION_REASONS with what was measured; None if it is not.

    Args:
        instruction: without white space around it, not empty.
        filters: which stay.
        instances: that came with it, where a task is written in one go.
    """
    units = len(instruction.split()) if filters.unit == "words" else len("".join(instruction.split()))
    most = _find_most(instruction, filters, has_input=any(instance.input for instance in instances))
    if units <= filters.least or (most is not None and units > most):
        return Refusal(
            reason="self_instruct_instruction_words",
            measure=f"instruction_{filters.unit}",
            value=units,
            low=filters.least + 1,
            high=most,
        )
    parts = [part for instance in instances for part in (instance.input, instance.output)]
    searched = [instruction, *parts] if filters.are_instances_searched else [instruction]
    unsuitable = _compile_words(filters.unsuitable_words, filters.are_words_whole)
    if word := next(filter(None, map(unsuitable.search, searched)), None):
        return Refusal(reason="self_instruct_unsuitable_word", found=word[0])
    if prefix := next(filter(instruction.casefold().startswith, filters.prefixes), ""):
        return Refusal(reason="self_instruct_program_prefix", found=instruction[: len(prefix)])
    if instruction[0] in string.punctuation:
        return Refusal(reason="self_instruct_first_punctuation", found=instruction[0])
    if filters.refuses_other_scripts and not instruction[0].isascii():
        return Refusal(reason="self_instruct_first_script", found=instruction[0])
    return None


def _find_most(instruction: str, filters: InstructionFilters, *, has_input: bool) -> int | None:
    if not has_input or filters.most_with_input is None:
        return filters.most
    has_example = any(word in instruction for word in filters.example_words)
    return filters.most_with_example if has_example else filters.most_with_input


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
