"""The prompts of Self-Instruct in our own words, and readers of what comes back: tasks, yes or no, instances, blocks.

Wang et al. 2022 (arXiv 2212.10560, appendix B) ask a model that continues text; a chat model is asked for the
continuation. Instances are written input first, or, of classifications, label first, so that labels are not all alike
(section 2.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.seed_tasks import Instance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.seed_tasks import Task

TASKS = Prompt(
    "self_instruct/tasks",
    "You think up tasks that a person could give to someone who reads and writes but sees no pictures. You continue a "
    "numbered list: one task per number, each of another kind than those before it. You do not carry the tasks out, "
    "you do not say those again that are there, and you write nothing but the list.",
    # a chat model that is shown a bare list says it again, or does what stands in it
    "The list so far:\n{tasks}\n\nGo on with new tasks from number {next}.",
)

CLASSIFICATION = Prompt(
    "self_instruct/classification",
    "You say whether a task is a classification: whether its answer is one of a few fixed labels. You reply Yes or No.",
    "Task: {instruction}\nIs it a classification with few possible answers?",
    (
        ({"instruction": "Say whether the tone of this letter is friendly or cold."}, "Yes"),
        ({"instruction": "Write a birthday wish for a colleague."}, "No"),
        ({"instruction": "Which season does the poem describe: spring, summer, autumn or winter?"}, "Yes"),
        ({"instruction": "Explain how a lock on a canal works."}, "No"),
    ),
)

INPUT_FIRST = Prompt(
    "self_instruct/input_first",
    "You write examples of a task: for each its input and the output that is right for it. If the task needs no input, "
    "you write one example with only an output. You write at most five.",
    "Task: {instruction}",
    (
        (
            {"instruction": "Put the words of the list into alphabetical order."},
            (
                "Example 1\nInput: pear, apple, fig\nOutput: apple, fig, pear\n\n"
                "Example 2\nInput: sun, moon\nOutput: moon, sun"
            ),
        ),
        ({"instruction": "Name a river that flows through Vienna."}, "Example 1\nOutput: The Danube."),
    ),
)

OUTPUT_FIRST = Prompt(
    "self_instruct/output_first",
    "You write examples of a task with few possible answers: for each of them first the answer, then an input that it "
    "is right for. If the task needs no input, you write only the answer. You write at most five.",
    "Task: {instruction}",
    (
        (
            {"instruction": "Say whether the review is positive or negative."},
            (
                "Class label: positive\nInput: The soup was hot and the waiter kind.\n\n"
                "Class label: negative\nInput: We waited an hour for cold tea."
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class BlockWords:
    """What the parts of a block are called, and what stands for an input that is not needed."""

    instruction: str
    input: str
    output: str
    no_input: str


ENGLISH_BLOCKS = BlockWords("Instruction", "Input", "Output", "<noinput>")
CHINESE_BLOCKS = BlockWords("指令", "输入", "输出", "<无输入>")

ALPACA = Prompt(
    "self_instruct/alpaca",
    "You think up 20 different tasks for a language model, and solve each. Verbs, forms and kinds of tasks vary: open "
    "questions, classification, editing, invention. An instruction is one or two sentences and can be followed without "
    "pictures or sounds. The input, where one is needed, is a concrete example of at most 100 words, else it is "
    "<noinput>. The output is a fitting answer of less than 100 words. You go on with the list in the form of the "
    "blocks that are there: ###, then the number and Instruction:, the number and Input:, the number and Output:. You "
    "write all three parts of each, and none of the tasks that are there.",
    "{tasks}###\n{next}. Instruction:",
)

BELLE = Prompt(
    "self_instruct/belle",
    "请想出20个各不相同的中文任务，并逐一完成。动词、句式和任务类型都要多样：开放式问答、分类、改写、创作等。"
    "指令用一两句中文写成，不需要看图或听声音就能完成。需要输入时，给出具体的例子，不超过100字；不需要时写<无输入>。"
    "输出要恰当，不超过100字。请按已有任务的格式接着写：先写###，再依次写编号和“指令:”、编号和“输入:”、编号和“输出:”，"
    "三部分都要写全，不要重复已有的任务。",
    "{tasks}###\n{next}. 指令:",
)


def write_task_list(tasks: Sequence[Task]) -> dict[str, str]:
    """Return the fields of TASKS: the demonstrations as items 1, 2, …, and the number that comes next."""
    lines = [f"{number}. {_flatten(task.instruction)}" for number, task in enumerate(tasks, start=1)]
    return {"tasks": "\n".join(lines), "next": str(len(lines) + 1)}


def write_blocks(tasks: Sequence[Task], words: BlockWords) -> dict[str, str]:
    """Return the fields of ALPACA and BELLE: each demonstration as a block of instruction, input and output."""
    blocks = []
    for number, task in enumerate(tasks, start=1):
        instance = task.instances[0]
        blocks.append(
            f"###\n{number}. {words.instruction}: {_flatten(task.instruction)}\n"
            f"{number}. {words.input}:\n{instance.input or words.no_input}\n"
            f"{number}. {words.output}:\n{instance.output}\n"
        )
    return {"tasks": "".join(blocks), "next": str(len(blocks) + 1)}


def _flatten(instruction: str) -> str:
    return " ".join(instruction.split()).rstrip(":：")


#: The number of an item; chat models like to embolden it, or the item with it.
_NUMBER = r"(\*\*)?(\d+)[ \t]*(?:[.)．](\*\*)?(?=\s)|、)"


def read_task_list(text: str, stop_item: int, next_item: int = 0) -> list[str]:
    """Return the items of a numbered list that goes on after a number, before item `stop_item`.

    Numbers need not be the right ones, but the item that ends the list is known by its number. What stands before the
    first number is item `next_item`, which the request may have begun, unless that one or an earlier one follows: then
    it is what chat models say first ("Here are new tasks:").
    """
    items = []
    pieces = re.split(rf"(?:^|\n)[ \t]*{_NUMBER}", text if re.match(rf"\s*{_NUMBER}", text) else f"0. {text}")
    # marks that begin before the number end within the item
    numbered = [
        (int(number), item.replace("**", "", 1) if opened and not closed else item)
        for opened, number, closed, item in zip(*(pieces[place::4] for place in range(1, 5)), strict=True)
    ]
    if len(numbered) > 1 and numbered[0][0] == 0 and numbered[1][0] <= next_item:
        del numbered[0]
    for number, item in numbered:
        if number >= stop_item:
            break
        flat = " ".join(item.split())
        if flat:
            items.append(flat)
    return items


def read_is_classification(text: str) -> bool:
    """Return whether a reply says yes; anything else is no, as in the published program."""
    return re.match(r"\W*yes\b", text, re.IGNORECASE) is not None


def read_input_first(text: str) -> list[Instance]:
    """Return the instances of a reply in the order input, output; without an output marker in any of them none."""
    body = text.strip()
    examples = re.split(r"(?:^|\n)\s*Example\s*\d*\s*[.:]?[ \t]*(?=\n|Input|Output|$)", body)
    if len(examples) == 1 and not re.search(r"(?:^|\n)\s*Output\s*\d*\s*:", body):
        return []
    return [_read_example(example) for example in examples if example.strip()]


def _read_example(example: str) -> Instance:
    parts = re.split(r"(?:^|\n)\s*Output\s*\d*\s*:", example, maxsplit=1)
    if len(parts) == 1:
        # without an output marker all of it is the output, unless it says that it is the input
        given, answer = (example, "") if _INPUT.match(example) else ("", example)
    else:
        given, answer = parts
    # one example, one pair: what a second pair adds is left out
    answer = re.split(r"\n\s*(?:Input|Output)\s*\d*\s*:", answer, maxsplit=1)[0]
    return Instance(_INPUT.sub("", given).strip(), answer.strip())


_INPUT = re.compile(r"\A\s*Input\s*\d*\s*:")


def read_output_first(text: str) -> list[Instance]:
    """Return the instances of a reply in the order label, input; without a label marker none."""
    instances = []
    for example in re.split(r"(?:^|\n)\s*Class label\s*:", text)[1:]:
        # the input begins at its marker, or in the next line
        label, _, given = re.sub(r"\s+Input\s*\d*\s*:", "\n", example.strip(), count=1).partition("\n")
        instances.append(Instance(given.strip(), label.strip()))
    return instances


def read_blocks(text: str, words: BlockWords, stop_item: int) -> list[tuple[str, Instance] | None]:
    """Return instruction and instance of each block of a reply, None for one that lacks a part or has one twice.

    The first block's number and instruction marker stand in the request. A block numbered `stop_item` ends the list.
    A numbered instruction begins a block also where the line of ### before it is left out, as chat models do.
    """
    mark = rf"(?:(\d+)\s*[.．、]\s*)?({words.instruction}|{words.input}|{words.output})\s*[:：]"
    begins = re.match(rf"[\s#]*{mark}", text)
    blocks: list[tuple[str, Instance] | None] = []
    begin = rf"\n(?=[ \t]*\d+\s*[.．、]\s*{words.instruction}\s*[:：])"
    for place, block in enumerate(re.split(rf"#{{3,}}|{begin}", text)):
        whole = f"{words.instruction}:{block}" if place == 0 and not begins else block
        if not whole.strip():
            continue
        parts = re.split(rf"(?:^|\n)\s*{mark}", whole)
        numbers, names, texts = parts[1::3], parts[2::3], [part.strip() for part in parts[3::3]]
        if any(number and int(number) >= stop_item for number in numbers):
            break
        if names != [words.instruction, words.input, words.output] or parts[0].strip():
            blocks.append(None)
            continue
        given = "" if texts[1].casefold().strip("<>") == words.no_input.strip("<>") else texts[1]
        blocks.append((" ".join(texts[0].split()), Instance(given, texts[2])))
    return blocks
