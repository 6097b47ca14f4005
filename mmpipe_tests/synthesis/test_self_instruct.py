"""Self-Instruct: every filter and every branch by a scripted teacher, exact counts, demonstrations, resumption."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import _score_lcs
from rouge_score.tokenize import tokenize

from mmpipe.deduplication.rouge_pool import RougePool
from mmpipe.errors import ConfigurationError, TeacherError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis import self_instruct
from mmpipe.synthesis.seed_tasks import Instance, Task, parse_seed_tasks, require_seeds
from mmpipe.synthesis.self_instruct import Growth, choose_demonstrations, grow_instructions
from mmpipe.synthesis.self_instruct_filters import (
    INSTANCE_REASONS,
    INSTRUCTION_REASONS,
    InstructionFilters,
    find_instruction_fault,
    sift_instances,
)
from mmpipe.synthesis.self_instruct_prompts import (
    CHINESE_BLOCKS,
    ENGLISH_BLOCKS,
    read_blocks,
    read_input_first,
    read_is_classification,
    read_output_first,
    read_task_list,
    write_blocks,
    write_task_list,
)
from mmpipe.synthesis.self_instruct_settings import (
    ALPACA_SETTINGS,
    BELLE_SETTINGS,
    SELF_INSTRUCT,
    SelfInstructSettings,
)
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOUNS = [
    "river",
    "bridge",
    "violin",
    "castle",
    "engine",
    "garden",
    "island",
    "market",
    "needle",
    "orchard",
    "planet",
    "rocket",
]
SEEDS = tuple(
    Task(f"seed_{place}", f"Tell three surprising things about a {noun} {place}", (Instance("", f"A {noun}."),))
    for place, noun in enumerate(NOUNS)
)


def grow(script, wanted: int, settings: SelfInstructSettings = SELF_INSTRUCT, seeds=SEEDS) -> Growth:  # type: ignore[no-untyped-def]
    pool = RougePool(settings.pool_threshold, tokenizer=settings.pool_tokenizer)
    return grow_instructions(seeds, ScriptedTeacher(script), pool, settings, wanted)


def kind_of(request: ChatRequest) -> str:
    system = request.messages[0].content
    if "think up tasks" in system:
        return "tasks"
    if "Yes or No" in system:
        return "kind"
    return "labels" if "first the answer" in system else "instances"


ITEMS = [
    "Compose a lullaby for a sleepy dragon in winter.",  # kept, input first
    "Decide whether the remark is polite or rude.",  # kept, a classification
    "Sing it now",  # three words
    " ".join(["word"] * 151),  # too long
    "Describe the picture that hangs above the sofa.",  # unsuitable word
    "Go to the shop and buy some fresh milk.",  # two unsuitable words
    "Write a program that adds up two given numbers.",  # prefix
    "- Name the largest city of each continent.",  # punctuation
    "Übersetze den folgenden Satz in das Englische bitte.",  # another script
    "Tell three surprising things about a river 0 today",  # like a seed
    "Compose a lullaby for a sleepy dragon in spring.",  # like the first
    "Give a long answer that breaks off in the mid",  # truncated
]
REPLY = "\n".join(f"{number}. {item}" for number, item in enumerate(ITEMS, start=9))[3:]
INSTANCES = (
    "Example 1\nInput: dragon\nOutput: Sleep.\n\nExample 2\nInput: knight\nOutput:\n\n"
    "Example 3\nInput: same\nOutput: same\n\nExample 4\nInput: colon\nOutput: As follows:\n\n"
    "Example 5\nInput: dragon\nOutput: Sleep."
)
LABELS = (
    "Class label: polite\nInput: Thank you.\n\nClass label: rude\nInput: Go away.\n\n"
    "Class label: polite\nInput: You are wel"
)


def full_script(request: ChatRequest) -> str | ChatReply:
    if kind_of(request) == "tasks":
        # the list may end beyond item 16: only the number ends it, and the scripted teacher ignores it
        return ChatReply(REPLY, "length", 100, 41)
    if kind_of(request) == "kind":
        return "Yes." if "polite or rude" in request.messages[-1].content else "No"
    if kind_of(request) == "labels":
        return ChatReply(LABELS, "length", 30, 20)
    return ChatReply(INSTANCES, "stop", 50, 25)


ONE = replace(SELF_INSTRUCT, requests_per_round=1, stop_item=99)


def test_every_filter_once_with_exact_counts() -> None:
    grown = grow(full_script, 2, ONE)
    made = grown.synthesis
    assert made.rejected == {
        "self_instruct_instruction_words": 2,
        "self_instruct_similar": 2,
        "self_instruct_unsuitable_word": 2,
        "self_instruct_first_punctuation": 1,
        "self_instruct_first_script": 1,
        "self_instruct_program_prefix": 1,
        "self_instruct_truncated": 1,
        "self_instruct_instance_repeated": 1,
        "self_instruct_instance_repeats_input": 1,
        "self_instruct_instance_truncated": 1,
        "self_instruct_instance_unfinished": 1,
        "self_instruct_instance_without_output": 1,
    }
    assert made.frame.height == 3
    assert made.planned == made.frame.height + sum(made.rejected.values()) == 3 + 15
    assert Counter(grown.candidates["reason"].to_list()) == Counter(made.rejected)
    assert (
        dict(zip(grown.candidates["text"], grown.candidates["reason"], strict=True))[ITEMS[9]]
        == "self_instruct_similar"
    )
    assert (grown.rounds, grown.requests, grown.is_complete) == (1, 1, True)


def test_rows_tell_their_past() -> None:
    grown = grow(full_script, 2, ONE)
    frame = grown.synthesis.frame
    assert frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    rows = {(row["context"], row["response"]): row for row in frame.rows(named=True)}
    assert set(rows) == {("dragon", "Sleep."), ("Thank you.", "polite"), ("Go away.", "rude")}
    first, second = rows["dragon", "Sleep."], rows["Go away.", "rude"]
    assert first["instruction"] == ITEMS[0]
    assert {parent["table"] for parent in first["parents"]} == {"seed_tasks"}
    assert len({parent["id"] for parent in first["parents"]}) == 8
    assert first["prompt_version"].startswith("self_instruct/tasks@")
    assert "+self_instruct/classification@" in first["prompt_version"]
    assert "+self_instruct/input_first@" in first["prompt_version"]
    assert "+self_instruct/output_first@" in second["prompt_version"]
    assert json.loads(first["sampling"])["max_tokens"] == 350
    assert json.loads(second["sampling"])["max_tokens"] == 300
    assert (first["stage"], first["mode"]) == ("instruction_tuning", "general_distillation.from_seeds")
    # a reply of 41 tokens gave two instructions: 21 and 20; then "No" and "Yes." are one token each
    assert first["completion_tokens"] == 21 + 1 + 25
    assert sum(frame["completion_tokens"]) == grown.synthesis.spent.completion_tokens
    assert sum(frame["prompt_tokens"]) == grown.synthesis.spent.prompt_tokens
    assert sum(frame["attempts"]) == grown.synthesis.spent.attempts == 5
    # what the pool had like it, as the published program stores it
    tasks = {task["task_id"]: task for task in grown.tasks.rows(named=True)}
    told = json.loads(first["details"])
    task = tasks[first["instruction_id"]]
    assert told == {
        "is_classification": False,
        "best_similarity": round(task["best_similarity"], 4),
        "mean_similarity": round(task["mean_similarity"], 4),
        "most_similar": [[other["name"], round(other["score"], 4)] for other in task["most_similar"]],
    }
    assert len(told["most_similar"]) == 10
    assert json.loads(second["details"])["is_classification"] is True


def test_the_pool_keeps_what_new_tasks_are_like() -> None:
    task = grow(full_script, 2, ONE).tasks.row(0, named=True)
    reference = RougePool()
    for seed in SEEDS:
        reference.add(seed.instruction, seed.task_id)
    expected = reference.measure(ITEMS[0])
    assert (task["best_similarity"], task["mean_similarity"]) == (expected.best, expected.mean)
    assert [other["name"] for other in task["most_similar"]] == [other.name for other in expected.most_similar]
    assert len(task["most_similar"]) == 10
    assert task["is_classification"] is False


def test_six_seeds_and_two_grown_tasks_are_shown_once_there_are_any() -> None:
    count = iter(range(1000))

    def script(request: ChatRequest) -> str:
        if kind_of(request) == "tasks":
            number = next(count)
            return f" alpha{number} beta{number} gamma{number} delta{number}."
        return "No" if kind_of(request) == "kind" else "Output: done"

    grown = grow(script, 4, replace(SELF_INSTRUCT, requests_per_round=1))
    tables = [Counter(shown["table"] for shown in row["demonstrations"]) for row in grown.tasks.rows(named=True)]
    assert tables == [
        {"seed_tasks": 8},
        {"seed_tasks": 7, "synthesized_instructions": 1},
        {"seed_tasks": 6, "synthesized_instructions": 2},
        {"seed_tasks": 6, "synthesized_instructions": 2},
    ]
    ids = set(grown.synthesis.frame["instruction_id"])
    assert {
        shown["id"] for shown in grown.tasks["demonstrations"].explode() if shown["table"] == "synthesized_instructions"
    } <= ids


def test_an_instruction_without_instances_is_not_shown() -> None:
    count = iter(range(1000))

    def script(request: ChatRequest) -> str:
        if kind_of(request) == "tasks":
            number = next(count)
            return f" alpha{number} beta{number} gamma{number} delta{number}."
        return "No" if kind_of(request) == "kind" else "I cannot."

    grown = grow(script, 1, replace(SELF_INSTRUCT, requests_per_round=1, most_requests=3))
    assert grown.tasks.height == 3
    assert {shown["table"] for shown in grown.tasks["demonstrations"].explode()} == {"seed_tasks"}


@given(st.permutations(SEEDS), st.integers(0, 50), st.integers(0, 4))
def test_demonstrations_depend_on_ids_alone(seeds: list[Task], round_number: int, request: int) -> None:
    shown = choose_demonstrations(seeds, (), SELF_INSTRUCT, round_number, request)
    assert shown == choose_demonstrations(SEEDS, (), SELF_INSTRUCT, round_number, request)
    assert len(set(shown)) == 8
    assert shown != choose_demonstrations(SEEDS, (), replace(SELF_INSTRUCT, seed=1), round_number, request)


def test_a_request_costs_no_more_among_many_grown_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    monkeypatch.setattr(self_instruct, "make_id", lambda *parts: hashed.append(parts) or make_id(*parts))
    grown = [Task(f"g{place}", f"Grown task {place}") for place in range(5000)]
    for count in (20, 5000):
        for request in range(5):
            hashed.clear()
            shown = choose_demonstrations(SEEDS, grown[:count], SELF_INSTRUCT, 0, request)
            assert (len(shown), len(set(shown)), len(set(shown) & set(grown))) == (8, 8, 2)
            # the seeds, the two grown ones drawn (again where a place comes twice), and the eight places
            assert len(hashed) <= len(SEEDS) + 8 + 8


def test_grown_tasks_are_shown_equally_often() -> None:
    grown = [Task(f"g{place}", f"Grown task {place}") for place in range(10)]
    counts = Counter(
        task.task_id
        for request in range(1000)
        for task in choose_demonstrations(SEEDS, grown, SELF_INSTRUCT, 3, request)
        if task in grown
    )
    # 2,000 draws of 10: each 200 times, with a standard deviation of 13
    assert len(counts) == 10
    assert all(abs(count - 200) < 65 for count in counts.values())


def test_requests_are_those_of_the_paper() -> None:
    teacher = ScriptedTeacher(
        lambda request: "No" if kind_of(request) == "kind" else " Name seven rivers of the far north."
    )
    grow_instructions(SEEDS, teacher, RougePool(), replace(SELF_INSTRUCT, most_requests=1), 5)
    tasks, kind, instances = teacher.asked
    assert (tasks.sampling.temperature, tasks.sampling.top_p, tasks.sampling.max_tokens) == (0.7, 0.5, 1024)
    assert tasks.sampling.stop == ("\n16.",)
    listed = tasks.messages[-1].content
    numbered = [line.split(".")[0] for line in listed.splitlines() if line[:1].isdigit()]
    assert numbered == [str(number) for number in range(1, 9)]
    assert listed.endswith("from number 9.")
    assert kind.sampling.temperature == instances.sampling.temperature == 0.0
    assert instances.sampling.stop == ("Example 6", "Task:")


def test_failures_and_unreadable_replies_are_counted_and_the_pool_keeps_the_instruction() -> None:
    def script(request: ChatRequest) -> str | ChatFailure:
        said = request.messages[-1].content
        if kind_of(request) == "tasks":
            replies = [
                ChatFailure("timeout", "late"),
                "",
                " Alpha beta gamma delta.\n10. Epsilon zeta eta theta.\n11. Iota kappa lambda mu.",
            ]
            return replies[len(asked_tasks) - 1] if asked_tasks.append(1) is None else ""
        if kind_of(request) == "kind":
            return ChatFailure("server", "broken") if "Alpha" in said else "maybe"
        return ChatFailure("content_filter", "no") if "Epsilon" in said else "I do not know."

    asked_tasks: list[int] = []
    grown = grow(script, 5, replace(SELF_INSTRUCT, requests_per_round=3, most_requests=3))
    assert grown.synthesis.rejected == {
        "self_instruct_no_instance": 1,
        "self_instruct_unreadable": 1,
        "teacher_content_filter": 1,
        "teacher_server": 1,
        "teacher_timeout": 1,
    }
    assert grown.synthesis.planned == 5
    assert grown.tasks.height == 3
    assert grown.tasks["instances"].list.len().to_list() == [0, 0, 0]
    assert not grown.is_complete
    assert grown.synthesis.spent.requests == 3 + 3 + 2


def test_a_refused_task_says_what_was_measured_and_what_it_is_like() -> None:
    grown = grow(full_script, 2, ONE)
    told = {text: json.loads(details or "null") for text, details in grown.candidates.select("text", "details").rows()}
    like_a_seed, like_the_first = told[ITEMS[9]], told[ITEMS[10]]
    assert (like_a_seed["near"], like_a_seed["high"], like_a_seed["measure"]) == ("seed_0", 0.7, "rouge_l")
    assert like_a_seed["value"] == pytest.approx(16 / 17)  # 8 words of 8 and of 9 in common
    assert like_the_first["near"] == grown.tasks.item(0, "task_id")
    assert told[ITEMS[2]] == {"measure": "instruction_words", "value": 3, "low": 4, "high": 150}
    assert told[ITEMS[4]] == {"found": "picture"}
    assert told[ITEMS[6]] == {"found": "Write a program"}
    assert told[ITEMS[8]] == {"found": "Ü"}


def test_exactly_the_wanted_tasks_are_made() -> None:
    grown = grow(full_script, 1, ONE)
    assert grown.synthesis.frame["instruction"].unique().to_list() == [ITEMS[0]]
    assert grown.synthesis.rejected["beyond_wanted"] == 1
    assert grow(full_script, 0, ONE).rounds == 0
    # the second round says the same again: all of it is like the pool now
    again = grow(full_script, 3, replace(ONE, most_requests=2))
    assert (again.rounds, again.is_complete) == (2, False)
    assert again.synthesis.rejected["self_instruct_similar"] == 2 + 4


def test_growth_ends_where_round_after_round_bears_nothing() -> None:
    # one task in the first round, then only what the pool has
    grown = grow(full_script, 99, replace(ONE, fruitless_rounds=4))
    assert (grown.rounds, grown.requests, grown.is_complete) == (1 + 4, 5, False)
    barren = grow(lambda _: "I would rather not.", 99, replace(ONE, fruitless_rounds=3, most_requests=50))
    assert (barren.rounds, barren.synthesis.frame.height) == (3, 0)
    assert grow(lambda _: "no", 99, replace(ONE, fruitless_rounds=None, most_requests=50)).requests == 50


def test_growth_resumes_from_cached_replies_with_no_repeated_call() -> None:
    """A teacher that dies in the middle: replies so far are kept by key, as the reply cache does."""
    kept: dict[str, str | ChatReply] = {}
    paid: list[str] = []
    dies_after = [4]

    def words(request: ChatRequest) -> str | ChatReply:
        if kind_of(request) != "tasks":
            return full_script(request)
        seed = request.sampling.seed
        return "\n".join(f"{n}. verb{seed}x{n} noun{seed}y{n} colour{seed}z{n} shape{n}w{seed}" for n in (9, 10))[2:]

    def script(request: ChatRequest) -> str | ChatReply:
        key = request.make_key("scripted")
        if key not in kept:
            if len(paid) == dies_after[0]:
                raise TeacherError("the endpoint is gone")
            paid.append(key)
            kept[key] = words(request)
        return kept[key]

    settings = replace(SELF_INSTRUCT, requests_per_round=2)
    with pytest.raises(TeacherError):
        grow(script, 7, settings)
    dies_after[0] = 10_000
    resumed = grow(script, 7, settings)
    assert len(paid) == len(set(paid)) == resumed.synthesis.spent.requests
    assert resumed.synthesis.frame.equals(grow(words, 7, settings).synthesis.frame)
    assert resumed.tasks.equals(grow(words, 7, settings).tasks)
    assert resumed.rounds == 2


@settings(max_examples=15)
@example([["river", "bridge", "violin", "castle"], ["river", "bridge", "violin", "engine"]], 6)
@given(st.lists(st.lists(st.sampled_from(NOUNS), min_size=4, max_size=9), min_size=1, max_size=12), st.integers(1, 6))
def test_no_two_instructions_of_the_pool_are_too_similar(items: list[list[str]], cut: int) -> None:
    """Whatever the teacher says, and however it is spread over requests: the sum of ends is the number of items."""
    said = [" ".join(words).capitalize() for words in items]
    replies = [said[begin : begin + cut] for begin in range(0, len(said), cut)]
    waiting = iter(replies)

    def script(request: ChatRequest) -> str:
        if kind_of(request) == "tasks":
            return "\n".join(f"{number}. {text}" for number, text in enumerate(next(waiting), start=9))
        return "No" if kind_of(request) == "kind" else "Output: done"

    grown = grow(script, 100, replace(SELF_INSTRUCT, requests_per_round=2, most_requests=len(replies), stop_item=99))
    assert grown.synthesis.planned == len(said)
    texts = [*(seed.instruction for seed in SEEDS), *grown.tasks["instruction"]]
    for place in range(len(SEEDS), len(texts)):
        tokens = tokenize(texts[place], None)
        assert all(_score_lcs(tokens, tokenize(other, None)).fmeasure <= 0.7 for other in texts[:place])
    refused = grown.candidates.filter(pl.col("reason") == "self_instruct_similar")
    for text in refused["text"]:
        tokens = tokenize(text, None)
        assert any(_score_lcs(tokens, tokenize(other, None)).fmeasure > 0.7 for other in texts)


# filters and readers alone --------------------------------------------------------------------------------------------


def name_fault(
    instruction: str, filters: InstructionFilters | None = None, instances: Sequence[Instance] = ()
) -> str | None:
    fault = find_instruction_fault(instruction, filters or InstructionFilters(), instances)
    return fault and fault.reason


@pytest.mark.parametrize(
    ("instruction", "fault"),
    [
        ("Name four rivers", "self_instruct_instruction_words"),
        ("Name four long rivers", None),
        (" ".join(["a"] * 150), None),
        ("Photographs of mapmakers are imaged here", None),  # parts of words are no words
        ("Plot the story of a play", "self_instruct_unsuitable_word"),
        ("WRITE A PROGRAM for the fair", "self_instruct_program_prefix"),
        ('"Quote" a famous person here', "self_instruct_first_punctuation"),
        ("Éclairs are made in what way", "self_instruct_first_script"),
    ],
)
def test_instruction_faults(instruction: str, fault: str | None) -> None:
    assert name_fault(instruction) == fault
    assert fault is None or fault in INSTRUCTION_REASONS


def test_alpacas_words_are_more() -> None:
    assert find_instruction_fault("Suggest music for a long journey", ALPACA_SETTINGS.filters) is not None
    assert find_instruction_fault("Suggest music for a long journey", InstructionFilters()) is None
    assert len(ALPACA_SETTINGS.filters.unsuitable_words) == len(InstructionFilters().unsuitable_words) + 5


INSTANCE = st.builds(Instance, st.sampled_from(["", "a", "b", "c:"]), st.sampled_from(["", "a", "x", "y", "z:"]))


@given(st.lists(INSTANCE, max_size=10), st.integers(1, 5))
def test_instances_that_stay_are_whole_and_agree(instances: list[Instance], most: int) -> None:
    kept, dropped = sift_instances(instances, most)
    assert len(kept) + len(dropped) == len(instances)
    assert Counter(kept) + Counter(instance for instance, _ in dropped) == Counter(instances)
    assert {reason for _, reason in dropped} <= set(INSTANCE_REASONS)
    assert len(kept) <= most
    assert len(set(kept)) == len(kept)
    inputs = [instance.input for instance in kept if instance.input]
    assert len(set(inputs)) == len(inputs)
    assert all(
        instance.output
        and instance.input != instance.output
        and not f"{instance.input} {instance.output}".endswith(":")
        for instance in kept
    )


def test_one_input_with_two_outputs_drops_the_task_but_no_input_may_have_many() -> None:
    kept, dropped = sift_instances([Instance("a", "1"), Instance("b", "2"), Instance("a", "3"), Instance("c", "")], 5)
    assert kept == []
    assert Counter(reason for _, reason in dropped) == {
        "self_instruct_instances_contradict": 3,
        "self_instruct_instance_without_output": 1,
    }
    free = [Instance("", "1"), Instance("", "2")]
    assert sift_instances(free, 5) == (free, [])
    six = [Instance(str(place), "x") for place in range(6)]
    assert sift_instances(six, 5) == (six[:5], [(six[5], "self_instruct_instance_beyond_most")])


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (
            " First.\n10. Second.\n11.Third is no item\n12) Fourth.",
            ["First.", "Second. 11.Third is no item", "Fourth."],
        ),
        ("9. First.\n10. Second\n   goes on.\n", ["First.", "Second goes on."]),
        (" Add 3.5 and\n4.5 to it.\n15. Last.\n16. Beyond.\n17. Too.", ["Add 3.5 and 4.5 to it.", "Last."]),
        ("", []),
        ("9.", ["9."]),
    ],
)
def test_numbered_lists(text: str, items: list[str]) -> None:
    assert read_task_list(text, 16) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Here are some new tasks:\n9. First.\n10. Second.", ["First.", "Second."]),
        ("The list so far:\n1. First.\n2. Second.", ["First.", "Second."]),
        (" First.\n10. Second.", ["First.", "Second."]),  # the request ended in the number
        ("**9.** First.\n**10.** Second.", ["First.", "Second."]),
        ("**9. First.**\n**10. Add:** 2**3.\n11. Take 2**3.", ["First.", "Add: 2**3.", "Take 2**3."]),
        ("Only this", ["Only this"]),
    ],
)
def test_what_a_chat_model_says_before_its_list_is_no_task(text: str, items: list[str]) -> None:
    assert read_task_list(text, 16, 9) == items

    def script(request: ChatRequest) -> str:
        if kind_of(request) == "tasks":
            return "Here are some more tasks for you:\n9. Compose a lullaby for a sleepy dragon in winter."
        return "No" if kind_of(request) == "kind" else "Output: Sleep."

    grown = grow(script, 9, replace(SELF_INSTRUCT, requests_per_round=1, most_requests=1))
    assert grown.synthesis.frame["instruction"].to_list() == ["Compose a lullaby for a sleepy dragon in winter."]


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1), min_size=1, max_size=6))
def test_a_list_written_is_the_list_read(instructions: list[str]) -> None:
    tasks = [Task(str(place), text) for place, text in enumerate(instructions)]
    assert read_task_list(write_task_list(tasks)["tasks"], 16) == [" ".join(text.split()) for text in instructions]


@pytest.mark.parametrize(
    ("reply", "is_classification"), [("Yes", True), (" yes.", True), ("No", False), ("yesterday", False), ("", False)]
)
def test_only_yes_is_yes(reply: str, is_classification: bool) -> None:
    assert read_is_classification(reply) is is_classification


def test_instances_are_read_in_both_orders() -> None:
    assert read_input_first("Input: a\nb\nOutput: c\nInput: d\nOutput: e") == [Instance("a\nb", "c")]
    assert read_input_first("Example 1\nOutput: Only.") == [Instance("", "Only.")]
    assert read_input_first("Example 1\nNo marker") == [Instance("", "No marker")]
    assert read_input_first("No marker at all") == []
    assert read_input_first("Example 1\nInput: a list of words") == [Instance("a list of words", "")]
    assert read_output_first("Class label: A\nInput: x\ny\nClass label: B") == [
        Instance("x\ny", "A"),
        Instance("", "B"),
    ]
    assert read_output_first("A: x") == []
    assert read_output_first("Class label: A Input: x\nClass label: B\nx") == [Instance("x", "A"), Instance("x", "B")]


# variants -------------------------------------------------------------------------------------------------------------

ALPACA_REPLY = """ Name the planets in their order.
4. Input:
<noinput>
4. Output:
Mercury, Venus and so on.
###
5. Instruction: Make the sentence shorter than it is.
5. Input:
It is the case that it rains.
5. Output:
It rains.
###
6. Instruction: A block without an input
6. Output:
None.
###
7. Instruction: Explain how the audio of a film is made.
7. Input:
<noinput>
7. Output:
With microphones.
###
8. Instruction: Answer a question about the deep sea here.
8. Input:
Why
8. Output:
Becau"""


def test_alpaca_makes_task_and_instance_in_one_request() -> None:
    teacher = ScriptedTeacher(lambda _: ChatReply(ALPACA_REPLY, "length", 60, 90))
    settings = replace(ALPACA_SETTINGS, most_requests=1)
    grown = grow_instructions(SEEDS, teacher, RougePool(), settings, 20)
    assert len(teacher.asked) == 1
    assert teacher.asked[0].messages[-1].content.count("###") == 4
    assert teacher.asked[0].messages[-1].content.endswith("4. Instruction:")
    assert (teacher.asked[0].sampling.temperature, teacher.asked[0].sampling.max_tokens) == (1.0, 3072)
    rows = grown.synthesis.frame.select("instruction", "context", "response", "completion_tokens").rows()
    assert rows == [
        ("Name the planets in their order.", None, "Mercury, Venus and so on.", 45),
        ("Make the sentence shorter than it is.", "It is the case that it rains.", "It rains.", 45),
    ]
    assert grown.synthesis.rejected == {
        "self_instruct_truncated": 1,
        "self_instruct_unreadable": 1,
        "self_instruct_unsuitable_word": 1,
    }
    assert grown.synthesis.frame["dump"].unique().to_list() == ["alpaca"]
    assert all(len(parents) == 3 for parents in grown.synthesis.frame["parents"])


def test_belle_is_chinese_and_its_pool_knows_characters() -> None:
    seeds = [
        Task(f"z{place}", f"介绍一种常见的{word}", (Instance("", "好的。"),))
        for place, word in enumerate(["水果", "乐器", "树木"])
    ]
    reply = (
        "请写一首关于大海的短诗\n4. 输入：\n<无输入>\n4. 输出：\n海浪拍岸。\n###\n"
        "5. 指令：请写一首关于大海的小短诗\n5. 输入：\n<无输入>\n5. 输出：\n浪。\n###\n"
        "6. 指令：描述这张图片的内容\n6. 输入：\n<无输入>\n6. 输出：\n一只猫。\n###\n"
        "7. 指令：翻译吧\n7. 输入：\n<无输入>\n7. 输出：\n好。\n###\n"
        "8. 指令：把句子改成被动语态\n8. 输入：\n猫吃了鱼。\n8. 输出：\n鱼被猫吃了。"
    )
    grown = grow(lambda _: reply, 9, replace(BELLE_SETTINGS, most_requests=1), seeds)
    assert grown.synthesis.frame.select("instruction", "context").rows() == [
        ("请写一首关于大海的短诗", None),
        ("把句子改成被动语态", "猫吃了鱼。"),
    ]
    assert grown.synthesis.rejected == {
        "self_instruct_instruction_words": 1,
        "self_instruct_similar": 1,
        "self_instruct_unsuitable_word": 1,
    }


@pytest.mark.parametrize(
    ("length", "given", "example", "is_kept"),
    [
        (3, "", "", False),
        (4, "", "", True),
        (400, "", "", True),
        (99, "猫", "", True),
        (100, "猫", "", False),
        (149, "猫", "例子", True),
        (150, "猫", "示例", False),
    ],
)
def test_belles_lengths_depend_on_input_and_example(length: int, given: str, example: str, is_kept: bool) -> None:
    instruction = example + "写" * (length - len(example))
    fault = name_fault(instruction, BELLE_SETTINGS.filters, (Instance(given, "好。"),))
    assert fault == (None if is_kept else "self_instruct_instruction_words")


@pytest.mark.parametrize(
    ("instance", "is_kept"),
    [
        (Instance("见图片", "好。"), False),
        (Instance("", "看图层。"), False),
        (Instance("", "我是ChatGPT。"), False),
        (Instance("猫", "好。"), True),
    ],
)
def test_belles_words_stand_nowhere_in_a_task(instance: Instance, is_kept: bool) -> None:
    fault = name_fault("写一首关于海的诗", BELLE_SETTINGS.filters, (instance,))
    assert fault == (None if is_kept else "self_instruct_unsuitable_word")
    # of Self-Instruct and Alpaca the instruction alone is looked at
    told = (Instance("A picture", "A map"),)
    assert find_instruction_fault("Say what is told here", ALPACA_SETTINGS.filters, told) is None


@pytest.mark.parametrize("words", [ENGLISH_BLOCKS, CHINESE_BLOCKS])
def test_blocks_written_are_the_blocks_read(words) -> None:  # type: ignore[no-untyped-def]
    tasks = [
        Task("1", "Do this", (Instance("", "yes"),)),
        Task("2", "And that:", (Instance("a\nb", "c\n\nd"),)),
    ]
    written = write_blocks(tasks, words)
    assert read_blocks(written["tasks"], words, 20) == [
        ("Do this", Instance("", "yes")),
        ("And that", Instance("a\nb", "c\n\nd")),
    ]
    assert read_blocks(written["tasks"], words, 2) == [("Do this", Instance("", "yes"))]


@pytest.mark.parametrize("words", [ENGLISH_BLOCKS, CHINESE_BLOCKS])
def test_blocks_without_lines_between_them_are_read_too(words) -> None:  # type: ignore[no-untyped-def]
    said = (
        f"1. {words.instruction}: Do this\n1. {words.input}: {words.no_input}\n1. {words.output}: yes\n\n"
        f"2. {words.instruction}: And that\n2. {words.input}:\na\n2. {words.output}:\n1. b\n2. c\n"
        f"3. {words.instruction}: Halt\n3. {words.output}: d"
    )
    blocks = [("Do this", Instance("", "yes")), ("And that", Instance("a", "1. b\n2. c"))]
    assert read_blocks(said, words, 20) == [*blocks, None]
    assert read_blocks(said, words, 3) == blocks


# seeds ----------------------------------------------------------------------------------------------------------------


def test_broken_lines_are_named_and_the_others_taken() -> None:
    lines = [
        json.dumps(
            {
                "id": "a",
                "instruction": " Do it ",
                "instances": [{"input": "i", "output": "o"}],
                "is_classification": True,
            }
        ),
        "{broken",
        "",
        "[1]",
        json.dumps({"instruction": "  "}),
        json.dumps({"instruction": "x", "instances": [{"input": "no output"}]}),
        json.dumps({"instruction": "x", "instances": "none"}),
        json.dumps({"instruction": "x", "is_classification": "yes"}),
        json.dumps({"id": "a", "instruction": "again"}),
        json.dumps({"instruction": "No id"}),
    ]
    read = parse_seed_tasks(lines)
    assert read.tasks[0] == Task("a", "Do it", (Instance("i", "o"),), True)
    assert [task.instruction for task in read.tasks] == ["Do it", "No id"]
    assert [(fault.line, fault.reason) for fault in read.broken] == [
        (2, "seed_not_json"),
        (4, "seed_not_an_object"),
        (5, "seed_without_instruction"),
        (6, "seed_instances_unreadable"),
        (7, "seed_instances_unreadable"),
        (8, "seed_classification_unclear"),
        (9, "seed_id_repeated"),
    ]
    with pytest.raises(
        ConfigurationError, match=r"my\.jsonl: 2 seed tasks, a prompt needs 8\. 7 lines .*line 2: seed_not_json"
    ):
        require_seeds(read, 8, "my.jsonl")
    assert require_seeds(read, 2, "my.jsonl") == read.tasks


def test_too_few_seeds_and_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="8 tasks a request, 3 seeds"):
        grow(full_script, 1, seeds=SEEDS[:3])
    bare = [replace(seed, instances=()) for seed in SEEDS]
    with pytest.raises(ConfigurationError, match="0 seeds are there, 12 more have no instance to show"):
        grow(full_script, 1, ALPACA_SETTINGS, bare)
    with pytest.raises(ConfigurationError, match="8 grown of 8"):
        SelfInstructSettings(machine_demonstrations=8)
    with pytest.raises(ConfigurationError, match="1 or more"):
        SelfInstructSettings(requests_per_round=0)


@pytest.mark.real_data
def test_the_published_seeds(shared_data: Path) -> None:
    """175 tasks, 26 of them classifications; what the filters and the pool say of them, by exact counts."""
    with (shared_data / "lists" / "self-instruct-seed_tasks.jsonl").open(encoding="utf-8") as lines:
        read = parse_seed_tasks(lines)
    assert (len(read.tasks), read.broken) == (175, ())
    assert sum(task.is_classification for task in read.tasks) == 26
    faults = Counter(name_fault(" ".join(task.instruction.split())) for task in read.tasks)
    # the published program says the same of them
    assert faults == {None: 172, "self_instruct_instruction_words": 2, "self_instruct_program_prefix": 1}
    pool = RougePool()
    near = pool.add_all([task.instruction for task in read.tasks], [task.task_id for task in read.tasks])
    assert sum(decision is not None for decision in near) == 2
    grown = grow_instructions(read.tasks, ScriptedTeacher(full_script), RougePool(), ONE, 2)
    assert grown.is_complete
