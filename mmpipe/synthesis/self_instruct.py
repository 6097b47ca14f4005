"""Self-Instruct: a teacher grows a few tasks written by people into many, round by round, and solves them.

Wang et al. 2022 (arXiv 2212.10560, section 2.2). A round asks with demonstrations from the pool, sifts what comes back,
holds it to the whole pool by ROUGE-L, asks of each new instruction whether it is a classification, and has instances
written in the order that fits. What a round does depends on the seeds, the settings and the tasks grown before alone:
a killed run that begins again asks the same, and a cache of replies answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.drafts import make_seed
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.row_account import Paid, RowAccount
from mmpipe.synthesis.seed_tasks import Instance, Task
from mmpipe.synthesis.self_instruct_filters import find_instruction_fault
from mmpipe.synthesis.self_instruct_instances import METHOD, NewTask, share_reply, write_instances
from mmpipe.synthesis.self_instruct_prompts import read_blocks, read_task_list, write_blocks, write_task_list
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.synthesis.drafts import Synthesis
    from mmpipe.synthesis.self_instruct_settings import SelfInstructSettings
    from mmpipe.tables.chat import ChatReply, Teacher
    from mmpipe.tables.similarity import Similarity, TextPool

#: The table that parents of grown tasks stand in, where they were grown.
GROWN_TABLE = "synthesized_instructions"

#: Every instruction the pool took in, with how it came there: the state between two rounds. `instances` may be empty:
#: such an instruction keeps others like it out, and is no demonstration and no row.
_GROWN: dict[str, Any] = {
    "task_id": pl.String,
    "round": pl.Int64,
    "instruction": pl.String,
    "is_classification": pl.Boolean,
    "instances": pl.List(pl.Struct({"input": pl.String, "output": pl.String})),
    "demonstrations": pl.List(pl.Struct({"table": pl.String, "id": pl.String})),
    "best_similarity": pl.Float64,
    "mean_similarity": pl.Float64,
    "most_similar": pl.List(pl.Struct({"name": pl.String, "score": pl.Float64})),
}
GROWN_TASKS = pl.Schema(_GROWN)


@dataclass(frozen=True, slots=True)
class Growth:
    """What growth made.

    Attributes:
        synthesis: one row of SYNTHESIZED_INSTRUCTIONS per instance; planned = rows + refused tasks and instances.
        tasks: the pool's grown instructions, in the order they were taken in; columns of GROWN_TASKS.
        candidates: refused tasks and instances: id, text, reason, details.
        rounds: rounds run.
        requests: for new tasks.
        is_complete: whether as many tasks were accepted as wanted; if not, a limit of the settings ended it.
    """

    synthesis: Synthesis
    tasks: pl.DataFrame
    candidates: pl.DataFrame
    rounds: int
    requests: int
    is_complete: bool


def grow_instructions(
    seeds: Sequence[Task], teacher: Teacher, pool: TextPool, settings: SelfInstructSettings, wanted: int
) -> Growth:
    """Return `wanted` grown tasks and the rows of their instances.

    Args:
        seeds: tasks people wrote; their order matters to none but equally similar ones in `most_similar`.
        teacher: who thinks up tasks, classifies and solves.
        pool: empty; `RougePool(settings.pool_threshold, tokenizer=settings.pool_tokenizer)`.
        settings: how.
        wanted: tasks with at least one instance. The last round's further ones are refused as `beyond_wanted`.

    Raises:
        ConfigurationError: there are fewer seeds than a request shows, or a seed lacks the instance that is shown.
        TeacherError: the teacher cannot answer any more. With a reply cache, a later call repeats no paid request.
    """
    usable = _refuse_few(seeds, settings)
    for seed in seeds:
        pool.add(seed.instruction, seed.task_id)
    account = RowAccount()
    grown: list[dict[str, Any]] = []
    accepted: list[Task] = []
    number = requests = fruitless = 0
    while len(accepted) < wanted and requests < settings.most_requests and fruitless != settings.fruitless_rounds:
        count = min(settings.requests_per_round, settings.most_requests - requests)
        new = ask_for_tasks(usable, accepted, teacher, pool, settings, number, count, account)
        tasks = write_instances(new, teacher, settings, account, wanted - len(accepted))
        grown += [_describe(one, task, number) for one, task in zip(new, tasks, strict=True)]
        accepted += (fruit := [task for task in tasks if task.instances])
        fruitless = 0 if fruit else fruitless + 1
        number, requests = number + 1, requests + count
    judged = account.close(pl.Schema())
    return Growth(
        judged.synthesis,
        pl.DataFrame(grown, schema=GROWN_TASKS),
        judged.candidates,
        number,
        requests,
        len(accepted) >= wanted,
    )


def _refuse_few(seeds: Sequence[Task], settings: SelfInstructSettings) -> list[Task]:
    usable = [seed for seed in seeds if settings.blocks is None or seed.instances]
    if len(usable) < settings.demonstrations:
        lacking = f", {len(seeds) - len(usable)} more have no instance to show" if len(usable) < len(seeds) else ""
        raise ConfigurationError(
            f"Self-Instruct shows {settings.demonstrations} tasks a request, {len(usable)} seeds are there{lacking}. "
            f"Write more of them, or show fewer."
        )
    return usable


def choose_demonstrations(
    seeds: Sequence[Task], accepted: Sequence[Task], settings: SelfInstructSettings, round_number: int, request: int
) -> tuple[Task, ...]:
    """Return the tasks that a request shows, in the order shown: grown ones as far as there are, the rest seeds.

    Which, and in what order, is drawn by a hash of the seed, the request and the task's id, or, of grown ones, the
    place where the growth took it in.
    """

    def draw(tasks: Sequence[Task], purpose: str) -> list[Task]:
        return sorted(
            tasks, key=lambda task: make_id(METHOD, settings.seed, round_number, request, purpose, task.task_id)
        )

    machine = _draw_few(accepted, settings.machine_demonstrations, METHOD, settings.seed, round_number, request)
    human = draw(seeds, "human")[: settings.demonstrations - len(machine)]
    return tuple(draw([*human, *machine], "place"))


def _draw_few(tasks: Sequence[Task], count: int, *parts: str | int) -> list[Task]:
    """Return `count` distinct tasks, all equally likely, by hashes of the parts.

    Not by a hash of each task: grown ones are ten thousands, every request draws from all of them, and their order is
    that of the growth itself.
    """
    if len(tasks) <= count:
        return list(tasks)
    drawn: dict[int, Task] = {}
    number = 0
    while len(drawn) < count:
        place = int(make_id(*parts, "machine", number)[:15], 16) % len(tasks)
        drawn.setdefault(place, tasks[place])
        number += 1
    return list(drawn.values())


def ask_for_tasks(
    seeds: Sequence[Task],
    accepted: Sequence[Task],
    teacher: Teacher,
    pool: TextPool,
    settings: SelfInstructSettings,
    round_number: int,
    count: int,
    account: RowAccount,
) -> list[NewTask]:
    """Return the new instructions of one round, each taken into the pool; refused ones go to the account.

    Args:
        seeds: tasks people wrote.
        accepted: grown tasks of earlier rounds, which may be shown.
        teacher: who thinks them up.
        pool: what they are compared with, those before them in the round too.
        settings: how.
        round_number: from 0; part of every request's seed.
        count: requests.
        account: takes what is refused.
    """
    shown = [choose_demonstrations(seeds, accepted, settings, round_number, place) for place in range(count)]
    requests = [_request_tasks(tasks, settings, round_number, place) for place, tasks in enumerate(shown)]
    new: list[NewTask] = []
    for place, outcome in enumerate(account.ask(teacher, requests)):
        request_id = make_id(METHOD, settings.dump, settings.seed, teacher.name, round_number, place)
        if isinstance(outcome, ChatFailure):
            account.refuse(request_id, outcome.detail, f"teacher_{outcome.kind}")
            continue
        items, begun = _read_items(outcome, settings), len(new)
        if not items:
            account.refuse(request_id, outcome.text, "self_instruct_unreadable")
        for index, item in enumerate(items):
            task_id = make_id(request_id, index)
            text, instances = item if not isinstance(item, str) else ("", ())
            fault = item if isinstance(item, str) else _find_fault(text, instances, pool, settings)
            if isinstance(fault, (str, Refusal)):
                account.refuse(task_id, text, fault)
                continue
            pool.add(text, task_id)
            task = Task(task_id, text, instances, table=GROWN_TABLE)
            new.append(NewTask(task, shown[place], fault, requests[place], settings.prompt.version, Paid()))
        share_reply(outcome, new[begun:])
    return new


def _request_tasks(tasks: Sequence[Task], settings: SelfInstructSettings, round_number: int, place: int) -> ChatRequest:
    fields = write_task_list(tasks) if settings.blocks is None else write_blocks(tasks, settings.blocks)
    # the published program also stops at "16." within a line, which cuts a task that names a number
    stop = (f"\n{settings.stop_item}.",)
    seed = make_seed(settings.seed, METHOD, round_number, place)
    sampling = Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=seed,
        stop=stop,
        presence_penalty=settings.presence_penalty,
    )
    return ChatRequest(settings.prompt.render(**fields), sampling)


def _read_items(outcome: ChatReply, settings: SelfInstructSettings) -> list[tuple[str, tuple[Instance, ...]] | str]:
    """Return instruction and instances of each item of a reply, or why it is none."""
    items: list[tuple[str, tuple[Instance, ...]] | str]
    if settings.blocks is None:
        items = [(text, ()) for text in read_task_list(outcome.text, settings.stop_item, settings.demonstrations + 1)]
    else:
        blocks = read_blocks(outcome.text, settings.blocks, settings.stop_item)
        items = ["self_instruct_unreadable" if block is None else (block[0], (block[1],)) for block in blocks]
    if items and outcome.finish_reason == "length":
        items[-1] = "self_instruct_truncated"
    return items


def _find_fault(
    text: str, instances: Sequence[Instance], pool: TextPool, settings: SelfInstructSettings
) -> Similarity | Refusal | str:
    fault = find_instruction_fault(text, settings.filters, instances) if text else "self_instruct_instruction_words"
    if fault is not None:
        return fault
    similarity = pool.measure(text)
    if similarity.best <= pool.threshold:
        return similarity
    near = similarity.most_similar[0].name if similarity.most_similar else ""
    return Refusal(
        reason="self_instruct_similar", measure="rouge_l", value=similarity.best, high=pool.threshold, near=near
    )


def _describe(one: NewTask, task: Task, round_number: int) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "round": round_number,
        "instruction": task.instruction,
        "is_classification": task.is_classification,
        "instances": [{"input": instance.input, "output": instance.output} for instance in task.instances],
        "demonstrations": [{"table": shown.table, "id": shown.task_id} for shown in one.demonstrations],
        "best_similarity": one.similarity.best,
        "mean_similarity": one.similarity.mean,
        "most_similar": [{"name": other.name, "score": other.score} for other in one.similarity.most_similar],
    }
