from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mmpipe.models.endpoint_health import Patience
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.synthesis.drafts import Draft, Planned, synthesize
from mmpipe.synthesis.reply_faults import ReplyFaultSettings, find_reply_fault, name_script, refuse_faulty
from mmpipe.tables.chat import ChatMessage, Sampling
from mmpipe_tests.models.fault_server import serve_faults

PASSAGE = (
    "Clara Benn designed the stone bridge in 1877 for the town of Holt. Nobody paid for it until the railway came, "
    "and then the town took a toll of every cart for thirty years."
)
SETTINGS = ReplyFaultSettings()


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (PASSAGE, "repeats_prompt"),
        (f"Sure, here it is: {PASSAGE}", "repeats_prompt"),
        ("Clara Benn designed the stone bridge in 1877 for the town of Holt.", None),  # quotes one sentence of two
        (
            f"{PASSAGE} {' '.join(f'And reason {n} was number {n * 7}.' for n in range(12))}",
            None,
        ),  # says more than that
        ("the cart went on and " * 12, "loops"),
        ("Мост спроектировала Клара Бенн для города Холт.", "other_script"),
        ("那座石桥是克拉拉·本为霍尔特镇设计的,后来镇上向每辆马车收取通行费三十年之久。", "other_script"),
        ("1877", None),
        ("Да.", None),  # too little to tell
        ("", None),
    ],
)
def test_replies_that_are_no_answer_have_a_name(reply: str, fault: str | None) -> None:
    assert find_reply_fault(reply, PASSAGE, SETTINGS) == fault


def test_a_language_is_told_by_the_identifier_given() -> None:
    def identify(text: str) -> tuple[str, float]:
        return ("de", 0.9) if "Brücke" in text else ("en", 0.9) if "bridge" in text else ("fr", 0.3)

    def find(reply: str, language: str = "en") -> str | None:
        return find_reply_fault(reply, PASSAGE, SETTINGS, language=language, identify=identify)

    assert find("Clara Benn hat die Brücke entworfen, wie man sagt.") == "other_language"
    assert find("She drew a bridge that people still cross.") is None
    assert find("Cette femme a dessine quelque chose de grand.") is None  # the identifier is not sure
    assert find("Clara Benn hat die Brücke entworfen, wie man sagt.", language="") is None


def test_scripts_are_named_as_unicode_does() -> None:
    assert name_script("Привет, мир: abc") == "CYRILLIC"
    assert name_script("カタカナとひらがなと漢字") == "CJK"
    assert name_script("12 + 4") == ""
    assert name_script("abc", least_letters=4) == ""


def test_faulty_replies_are_counted_by_reason_and_the_run_goes_on() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    plans = {
        f"Write one question about number {n} that a child of ten years can answer alone.": fault
        for n, fault in enumerate(["", "repeats_prompt", "other_language", "schema_ignored", "huge", "always_cut", ""])
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

    def accept(plan: Planned, reply: Mapping[str, Any]) -> Draft | str:
        return Draft(reply["q"], "yes")

    with serve_faults(plans) as server:
        teacher = EndpointTeacher(server.url, "m", patience=Patience(first_pause_s=0.01), most_reply_bytes=1_000_000)
        # this server's plain reply repeats its prompt behind two words
        lenient = ReplyFaultSettings(repeated_share=0.9)
        made = synthesize(planned, teacher, refuse_faulty(accept, lenient), attempts=2)
    assert list(made.frame.get_column("instruction_id")) == ["i0", "i6"]
    assert made.rejected == {
        "other_script": 1,
        "repeats_prompt": 1,
        "teacher_oversized": 1,
        "teacher_schema": 1,
        "teacher_truncated": 1,
    }
    assert made.rejected_replies == dict.fromkeys(made.rejected, 2)
