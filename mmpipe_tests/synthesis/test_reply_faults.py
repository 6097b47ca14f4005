from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mmpipe.deduplication.rouge_pool import RougePool
from mmpipe.models.endpoint_health import Patience
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.drafts import Draft, Planned, synthesize
from mmpipe.synthesis.refusals import Refusal
from mmpipe.synthesis.reply_faults import find_other_script, name_script
from mmpipe.synthesis.seed_tasks import Instance, Task
from mmpipe.synthesis.self_instruct import grow_instructions
from mmpipe.synthesis.self_instruct_settings import ALPACA_SETTINGS
from mmpipe.tables.chat import ChatMessage, Sampling
from mmpipe_tests.models.fault_server import serve_faults

PASSAGE = (
    "Clara Benn designed the stone bridge in 1877 for the town of Holt. Nobody paid for it until the railway came, "
    "and then the town took a toll of every cart for thirty years."
)


@pytest.mark.parametrize(
    ("asked", "reply", "is_fault"),
    [
        (PASSAGE, "Мост спроектировала Клара Бенн для города Холт.", True),
        (PASSAGE, "那座石桥是克拉拉·本为霍尔特镇设计的,后来镇上向每辆马车收取通行费三十年之久。", True),
        (PASSAGE, "1877", False),
        (PASSAGE, "Да.", False),  # too little to tell
        (PASSAGE, "", False),
        (PASSAGE, PASSAGE, False),
        ("Explain why the sky looks blue.", "因为大气中的分子更容易散射波长较短的蓝光，所以天空看起来是蓝色的。", True),
        ("Translate into Chinese: the sky is blue.", "因为大气中的分子更容易散射波长较短的蓝光。", False),
        ("请解释为什么天空是蓝色的，并且举出两个例子。", "Because air scatters short waves of light more.", True),
        ("请写一段Python代码，计算两个数的和并打印结果。", "def add(left, right):\n    return left + right", False),
        ("Was steht hier? Сколько стоит этот старый дом?", "Здесь написано, что дом стоит дорого.", False),
        ("Explain why the sky looks blue.", "Air (大气) scatters short waves of light more than long ones.", False),
    ],
)
def test_another_script_is_a_fault_unless_it_was_asked_for(asked: str, reply: str, is_fault: bool) -> None:
    found = find_other_script(reply, asked)
    assert (found is not None) is is_fault
    assert found is None or (found.reason == "other_script" and "asked in" in found.found)


@pytest.mark.parametrize("refuses", [True, False])
def test_self_instruct_keeps_no_output_in_another_script(refuses: bool) -> None:
    outputs = {
        "Explain how bees find their way": "那些蜜蜂看太阳的位置，并且记住它们飞过的每一朵花和每一棵树。",
        "Write a note that thanks a friend": "Thank you for the walk along the canal.",
    }
    blocks = [
        f"###\n{number}. Instruction: {task}\n{number}. Input:\n<noinput>\n{number}. Output:\n{output}\n"
        for number, (task, output) in enumerate(outputs.items(), 4)
    ]
    seeds = [Task(f"s{n}", f"Name {n} kinds of birds that swim", (Instance("", "Ducks"),)) for n in range(3)]
    settings = replace(ALPACA_SETTINGS, most_requests=1, refuses_other_script=refuses)
    teacher = ScriptedTeacher(lambda _: "".join(blocks))
    grown = grow_instructions(seeds, teacher, RougePool(0.7), settings, 9)
    assert grown.synthesis.rejected == ({"other_script": 1} if refuses else {})
    assert grown.synthesis.frame.height == (1 if refuses else 2)


def test_scripts_are_named_as_unicode_does() -> None:
    assert name_script("Привет, мир: abc") == "CYRILLIC"
    assert name_script("カタカナとひらがなと漢字") == "CJK"
    assert name_script("12 + 4") == ""
    assert name_script("abc", least_letters=4) == ""


def test_faulty_replies_are_counted_by_reason_and_the_run_goes_on() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    plans = {
        f"Write one question about number {n} that a child of ten years can answer alone.": fault
        for n, fault in enumerate(["", "other_language", "schema_ignored", "huge", "always_cut", ""])
    }
    planned = [
        Planned(
            instruction_id=f"i{place}",
            dump="x",
            method="test",
            stage="instruction_tuning",
            mode="general_distillation.from_seeds",
            prompt_version="test/plain@0",
            messages=(ChatMessage("user", text),),
            schema=schema,
            sampling=Sampling(max_tokens=16),
            retry_temperature=0.7,
            evidence="",
        )
        for place, text in enumerate(plans)
    ]

    def accept(plan: Planned, reply: Mapping[str, Any]) -> Draft | Refusal:
        return find_other_script(reply["q"], plan.messages[-1].content) or Draft(reply["q"], "yes")

    with serve_faults(plans) as server:
        teacher = EndpointTeacher(server.url, "m", patience=Patience(first_pause_s=0.01), most_reply_bytes=1_000_000)
        made = synthesize(planned, teacher, accept, attempts=2)
    assert list(made.frame.get_column("instruction_id")) == ["i0", "i5"]
    assert made.rejected == {
        "other_script": 1,
        "teacher_oversized": 1,
        "teacher_schema": 1,
        "teacher_truncated": 1,
    }
    assert made.rejected_replies == dict.fromkeys(made.rejected, 2)
