"""Has the instances of Self-Instruct's new instructions written, input first or label first, and makes their rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmpipe.synthesis.drafts import Parent, join_left_out, make_seed
from mmpipe.synthesis.reply_faults import find_other_script
from mmpipe.synthesis.row_account import Paid, cut_evenly, make_instruction_row, write_details
from mmpipe.synthesis.self_instruct_filters import sift_instances
from mmpipe.synthesis.self_instruct_prompts import (
    CLASSIFICATION,
    INPUT_FIRST,
    OUTPUT_FIRST,
    read_input_first,
    read_is_classification,
    read_output_first,
)
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.refusals import Refusal
    from mmpipe.synthesis.row_account import RowAccount
    from mmpipe.synthesis.seed_tasks import Instance, Task
    from mmpipe.synthesis.self_instruct_settings import SelfInstructSettings
    from mmpipe.tables.chat import ChatReply, Teacher
    from mmpipe.tables.similarity import Similarity

METHOD = "self_instruct"
STAGE = "instruction_tuning"
MODE = "general_distillation.from_seeds"

#: Why an accepted instruction is no task: as many as wanted were accepted before it in its round.
BEYOND_WANTED = "beyond_wanted"


@dataclass(frozen=True, slots=True)
class NewTask:
    """An instruction on its way to a task.

    Attributes:
        task: what is known of it so far.
        demonstrations: what the request showed.
        similarity: to the pool as it was before.
        request: the one that wrote what the rows say; at the end that of the instances.
        version: of the prompts, joined by `+`.
        paid: what went into it so far.
    """

    task: Task
    demonstrations: tuple[Task, ...]
    similarity: Similarity
    request: ChatRequest
    version: str
    paid: Paid


def share_reply(outcome: ChatReply, new: Sequence[NewTask]) -> None:
    """Charge a reply to the instructions it gave: attempts to the first, tokens evenly, the remainder to the first."""
    for place, one in enumerate(new):
        one.paid.attempts += outcome.attempts if place == 0 else 0
        one.paid.prompt_tokens += cut_evenly(outcome.prompt_tokens, len(new), place)
        one.paid.completion_tokens += cut_evenly(outcome.completion_tokens, len(new), place)
        one.paid.left_out = join_left_out(one.paid.left_out, outcome)


def write_instances(
    new: Sequence[NewTask], teacher: Teacher, settings: SelfInstructSettings, account: RowAccount, wanted: int
) -> list[Task]:
    """Return the tasks of new instructions, with the instances that stay; their rows go to the account.

    Args:
        new: what `ask_for_tasks` returned.
        teacher: who classifies and solves; asked only where the instances did not come with the instruction.
        settings: how.
        account: takes rows and what is refused.
        wanted: most tasks with instances; further ones are refused whole, and keep no instance.
    """
    if settings.blocks is not None:
        written = [(one, one.task, [(instance, "") for instance in one.task.instances]) for one in new]
    else:
        written = _ask_for_instances(_ask_for_kinds(new, teacher, settings, account), teacher, settings, account)
    done: dict[str, Task] = {}
    for one, task, pairs in written:
        told = [(instance, fault or _find_fault(task, instance, settings)) for instance, fault in pairs]
        kept, sifted = sift_instances([instance for instance, fault in told if not fault], settings.most_instances)
        dropped = [*sifted, *((instance, fault) for instance, fault in told if fault)]
        for place, (instance, reason) in enumerate(dropped):
            account.refuse(make_id(task.task_id, "dropped", place), f"{instance.input}\n{instance.output}", reason)
        if kept and sum(bool(other.instances) for other in done.values()) >= wanted:
            account.refuse(task.task_id, task.instruction, BEYOND_WANTED, was_asked=False)
            kept = []
        done[task.task_id] = replace(task, instances=tuple(kept))
        _add_rows(one, done[task.task_id], teacher, settings, account)
    return [done.get(one.task.task_id, replace(one.task, instances=())) for one in new]


def _find_fault(task: Task, instance: Instance, settings: SelfInstructSettings) -> Refusal | str:
    if not settings.refuses_other_script:
        return ""
    return find_other_script(instance.output, f"{task.instruction}\n{instance.input}") or ""


def _ask_for_kinds(
    new: Sequence[NewTask], teacher: Teacher, settings: SelfInstructSettings, account: RowAccount
) -> list[NewTask]:
    """Return the instructions with what kind of task each is; those whose question failed go to the account."""
    requests = [
        ChatRequest(
            CLASSIFICATION.render(instruction=one.task.instruction),
            # the published program takes three tokens; a chat model may begin with a line break or a word more
            Sampling(max_tokens=8, seed=make_seed(settings.seed, one.task.task_id, "kind"), stop=("\n",)),
        )
        for one in new
    ]
    known = []
    for one, outcome in zip(new, account.ask(teacher, requests), strict=True):
        one.paid.add(outcome)
        if isinstance(outcome, ChatFailure):
            account.refuse(one.task.task_id, one.task.instruction, f"teacher_{outcome.kind}")
            continue
        task = replace(one.task, is_classification=read_is_classification(outcome.text))
        known.append(replace(one, task=task, version=f"{one.version}+{CLASSIFICATION.version}"))
    return known


def _ask_for_instances(
    new: Sequence[NewTask], teacher: Teacher, settings: SelfInstructSettings, account: RowAccount
) -> list[tuple[NewTask, Task, list[tuple[Instance, str]]]]:
    """Return for each instruction its instances with why they are refused, if they are, by how the reply ended."""
    requests, prompts = [], []
    for one in new:
        prompt = OUTPUT_FIRST if one.task.is_classification else INPUT_FIRST
        tokens = settings.label_tokens if one.task.is_classification else settings.instance_tokens
        stop = (f"Example {settings.most_instances + 1}", "Task:")
        seed = make_seed(settings.seed, one.task.task_id, "instances")
        penalty = settings.instance_presence_penalty
        sampling = Sampling(max_tokens=tokens, seed=seed, stop=stop, presence_penalty=penalty)
        requests.append(ChatRequest(prompt.render(instruction=one.task.instruction), sampling))
        prompts.append(prompt)
    written = []
    for one, request, prompt, outcome in zip(new, requests, prompts, account.ask(teacher, requests), strict=True):
        one.paid.add(outcome)
        if isinstance(outcome, ChatFailure):
            account.refuse(one.task.task_id, one.task.instruction, f"teacher_{outcome.kind}")
            continue
        read = read_output_first if one.task.is_classification else read_input_first
        pairs = [(instance, "") for instance in read(outcome.text)]
        if pairs and outcome.finish_reason == "length":
            pairs[-1] = (pairs[-1][0], "self_instruct_instance_truncated")
        if not pairs:
            account.refuse(one.task.task_id, outcome.text, "self_instruct_no_instance")
        version = f"{one.version}+{prompt.version}"
        written.append((replace(one, request=request, version=version), one.task, pairs))
    return written


def _add_rows(one: NewTask, task: Task, teacher: Teacher, settings: SelfInstructSettings, account: RowAccount) -> None:
    """Append a row per instance; the first has the task's id, so that tasks grown from it name a row."""
    parents = [Parent(shown.table, shown.task_id) for shown in one.demonstrations]
    # as the published program stores with each instruction: how alike the pool was to it, and the ten most alike
    details = write_details(
        {
            "is_classification": task.is_classification,
            "best_similarity": round(one.similarity.best, 4),
            "mean_similarity": round(one.similarity.mean, 4),
            "most_similar": [[other.name, round(other.score, 4)] for other in one.similarity.most_similar],
        }
    )
    for place, instance in enumerate(task.instances):
        account.rows.append(
            make_instruction_row(
                instruction_id=task.task_id if place == 0 else make_id(task.task_id, place),
                dump=settings.dump,
                method=METHOD,
                stage=STAGE,
                mode=MODE,
                instruction=task.instruction,
                context=instance.input or None,
                response=instance.output,
                parents=parents,
                teacher=teacher.name,
                prompt_version=one.version,
                sampling=one.request.sampling,
                paid=one.paid.take_share(len(task.instances), place),
            )
            | {"details": details}
        )
