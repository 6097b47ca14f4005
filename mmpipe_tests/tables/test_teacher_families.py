from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.tables.teacher_families import assign_by_quota, exclude_own_family, find_family, name_family


def make_teacher(name: str) -> ScriptedTeacher:
    return ScriptedTeacher(lambda _: "yes", name=name)


@dataclass
class Named:
    name: str
    family: str


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("openai:gpt-4o-mini@ab12", "gpt"),
        ("openai:o3-mini@ab12", "o3"),
        ("openai:meta-llama/Llama-3.1-8B-Instruct@ab12", "llama"),
        ("openai:Qwen/Qwen2.5-7B@ab12", "qwen"),
        ("transformers:SmolLM2-135M-Instruct.Q4_1@cd", "smollm"),
        ("openai:claude-sonnet:beta@ab", "claude"),
        ("scripted:script@0", "script"),
        ("mistral", "mistral"),
    ],
)
def test_a_family_is_the_models_name_before_its_first_separator(name: str, family: str) -> None:
    assert name_family(name) == family


def test_a_given_family_counts_before_the_name() -> None:
    assert find_family("openai:o3-mini@ab", {"o3-mini": "gpt"}) == "gpt"
    assert find_family("openai:o3-mini@ab", {"openai:o3-mini@ab": "gpt"}) == "gpt"
    assert find_family(Named("openai:o3-mini@ab", "gpt")) == "gpt"  # type: ignore[arg-type]
    assert find_family(make_teacher("openai:o3-mini@ab")) == "o3"


def test_a_judge_never_scores_its_own_family_unless_told_to() -> None:
    gpt, qwen, o3 = (make_teacher(f"openai:{model}@1") for model in ("gpt-4o", "Qwen2.5-7B", "o3-mini"))
    author = "openai:gpt-4o-mini@2"
    assert exclude_own_family([gpt, qwen, o3], author) == [qwen, o3]
    assert exclude_own_family([gpt, qwen, o3], author, given={"o3-mini": "gpt"}) == [qwen]
    assert exclude_own_family([gpt], author, is_own_allowed=True) == [gpt]
    with pytest.raises(ConfigurationError, match="'gpt'"):
        exclude_own_family([gpt], author)
    with pytest.raises(ConfigurationError, match="none"):
        exclude_own_family([], author, is_own_allowed=True)


@given(st.permutations([f"row{n}" for n in range(30)]), st.integers(0, 12), st.integers(0, 30), st.integers(0, 3))
def test_quotas_are_exact_whatever_the_order(ids: list[str], gpt: int, qwen: int, seed: int) -> None:
    teachers = [make_teacher(f"openai:{model}@1") for model in ("gpt-4o", "Qwen2.5-7B", "gpt-4o-mini")]
    assigned = assign_by_quota(ids, teachers, {"gpt": gpt, "qwen": qwen}, seed=seed)
    counts = Counter(find_family(teacher) for teacher in assigned.values())
    assert counts["gpt"] == gpt
    assert counts["qwen"] == min(qwen, 30 - gpt)
    by_name = Counter(teacher.name for teacher in assigned.values())
    assert abs(by_name["openai:gpt-4o@1"] - by_name["openai:gpt-4o-mini@1"]) <= 1
    again = assign_by_quota(sorted(ids), teachers, {"gpt": gpt, "qwen": qwen}, seed=seed)
    assert {row: teacher.name for row, teacher in again.items()} == {row: t.name for row, t in assigned.items()}


def test_a_quota_for_nobody_stops() -> None:
    with pytest.raises(ConfigurationError, match=r"'gtp'.*'gpt'"):
        assign_by_quota(["a"], [make_teacher("openai:gpt-4@1")], {"gtp": 1})
    with pytest.raises(ConfigurationError, match="0 or more"):
        assign_by_quota(["a"], [make_teacher("openai:gpt-4@1")], {"gpt": -1})
