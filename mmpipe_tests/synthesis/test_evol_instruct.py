"""Evol-Instruct: six operators, four eliminations, return to the pool, lineage and account, by a scripted teacher."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, SchemaError, TeacherError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.evol_eliminations import (
    ELIMINATIONS,
    find_evolved_fault,
    find_response_fault,
    list_copied,
    strip_heading,
)
from mmpipe.synthesis.evol_instruct import choose_operator, evolve_instructions, evolve_round
from mmpipe.synthesis.evol_pool import LINEAGE, POOL, EvolInstructSettings, start_pool
from mmpipe.synthesis.evol_prompts import OPERATORS
from mmpipe.synthesis.refusals import name_reason
from mmpipe.synthesis.row_account import RowAccount
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

ONE_ROUND = EvolInstructSettings(rounds=1)
SORRY = "I am sorry, but I cannot help with that."


def kind_of(request: ChatRequest) -> str:
    system = request.messages[0].content
    if request.schema is not None:
        return "judge"
    return "answer" if system.startswith("You follow") else "evolve"


def given_to(request: ChatRequest) -> str:
    """Return the instruction a request is about."""
    text = request.messages[-1].content
    if kind_of(request) == "evolve":
        return text.partition("Given instruction:\n")[2].rpartition("\n\n")[0]
    return text.partition("Second instruction:\n")[2] if kind_of(request) == "judge" else text


def seed_frame(*instructions: str) -> pl.DataFrame:
    return pl.DataFrame({"instruction_id": [f"s{n}" for n in range(len(instructions))], "instruction": instructions})


#: What the teacher makes of each seed, says of it, and answers; and what becomes of it.
CASES = {
    "keep": ("Keep and explain it", "not_equal", "Here is the answer.", None),
    "same": ("SAME!", "", "", "evol_no_information_gain"),
    "judged": ("Judged alike", "equal", "", "evol_no_information_gain"),
    "copy": ("#Rewritten Prompt#: copy more", "", "", "evol_prompt_copied"),
    "copy ours": ("Write a harder instruction: copy more", "", "", "evol_prompt_copied"),
    "heading": ("**Harder instruction:** Keep the heading out", "not_equal", "Here is the answer.", None),
    "quoted": ('"Keep the quotes out"', "not_equal", "Here is the answer.", None),
    "given": ("Use the given instruction twice", "", "", "evol_prompt_copied"),
    "empty": (" ... ", "", "", "evol_empty"),
    "sorry": ("Sorry state of things", "not_equal", SORRY, "evol_response_sorry"),
    "long sorry": ("Long apology", "not_equal", f"{SORRY} {'word ' * 80}", None),
    "stop": ("Stop words only", "not_equal", "It is what it is, of the and!", "evol_response_stop_words"),
    "number": ("How many", "not_equal", "7", None),
    "evolve fails": (ChatFailure("timeout", "late"), "", "", "teacher_timeout"),
    "judge fails": ("Judge broken", "perhaps", "", "teacher_schema"),
    "answer fails": ("Answer broken", "not_equal", ChatFailure("content_filter", "no"), "teacher_content_filter"),
    "cut": (ChatReply("Cut off in the mid", "length", 5, 5), "", "", "teacher_truncated"),
    "cut answer": ("Cut reply", "not_equal", ChatReply("It begins", "length", 5, 5), "teacher_truncated"),
}


def script(request: ChatRequest) -> str | ChatReply | ChatFailure:
    text = given_to(request)
    if kind_of(request) == "evolve":
        return CASES[text][0]
    case = next(case for case in CASES.values() if isinstance(case[0], str) and strip_heading(case[0]) == text)
    return json.dumps({"verdict": case[1]}) if kind_of(request) == "judge" else case[2]


def test_every_elimination_with_exact_counts() -> None:
    teacher = ScriptedTeacher(script)
    made = evolve_instructions(seed_frame(*CASES), teacher, ONE_ROUND)
    expected = Counter(case[3] for case in CASES.values() if case[3])
    assert made.synthesis.rejected == expected
    assert made.synthesis.rejected["evol_no_information_gain"] == 2
    assert made.synthesis.rejected["evol_prompt_copied"] == 3
    assert made.synthesis.frame["instruction"].to_list() == [
        "Keep and explain it", "Keep the heading out", "Keep the quotes out", "Long apology", "How many",
    ]  # fmt: skip
    assert made.synthesis.planned == len(CASES) == made.synthesis.frame.height + sum(expected.values())
    # what is eliminated early is neither judged nor answered
    assert Counter(map(kind_of, teacher.asked)) == {"evolve": 18, "judge": 11, "answer": 9}
    assert made.candidates["reason"].to_list() == [case[3] for case in CASES.values() if case[3]]
    copied = made.candidates.filter(reason="evol_prompt_copied").item(0, "details")
    assert "prompt" in json.loads(copied)["found"]
    sorry = json.loads(made.candidates.filter(reason="evol_response_sorry").item(0, "details"))
    assert (sorry["measure"], sorry["low"]) == ("response_words", 80)
    assert sorry["value"] < 80
    assert {reason for reason in expected if reason.startswith("evol_")} == {
        reason for reason in ELIMINATIONS if reason.startswith("evol_")
    }


@pytest.mark.parametrize(
    ("evolved", "response", "reason"),
    [
        ("Explain the tide to a small child", "潮汐是由月亮和太阳的引力引起的，海水每天涨落两次。", "other_script"),
        ("请向一个十岁的孩子解释潮汐是怎样形成的，并举两个例子。", "", "other_script"),
        ("Tell me of the tide, and of ebb too", "The moon draws the sea.", ""),
    ],
)
def test_drift_into_another_script_goes(evolved: str, response: str, reason: str) -> None:
    def say(request: ChatRequest) -> str:
        kind = kind_of(request)
        return evolved if kind == "evolve" else json.dumps({"verdict": "not_equal"}) if kind == "judge" else response

    made = evolve_instructions(seed_frame("Tell me of the tide, and of"), ScriptedTeacher(say), ONE_ROUND)
    assert made.synthesis.rejected == ({reason: 1} if reason else {})
    lenient = replace(ONE_ROUND, refuses_other_script=False)
    if response:
        assert not evolve_instructions(seed_frame("Tell me of it"), ScriptedTeacher(say), lenient).synthesis.rejected


def test_what_fails_returns_to_the_pool_as_it_was() -> None:
    made = evolve_instructions(seed_frame(*CASES), ScriptedTeacher(script), ONE_ROUND)
    pool = {row["root_id"]: row for row in made.pool.rows(named=True)}
    assert made.pool.schema == POOL
    assert made.pool.height == len(CASES)
    for number, (instruction, (evolved, _, _, reason)) in enumerate(CASES.items()):
        slot = pool[f"s{number}"]
        assert slot["instruction"] == (instruction if reason else strip_heading(evolved))
        assert slot["evolutions"] == (0 if reason else 1)
        assert (slot["instruction_id"] == f"s{number}") == bool(reason)


def flaky(request: ChatRequest) -> str:
    """Evolves by a word more each time; answers "sorry" to every third, told by the request's seed."""
    if kind_of(request) == "evolve":
        return f"{given_to(request)} more"
    if kind_of(request) == "judge":
        return json.dumps({"verdict": "not_equal"})
    return SORRY if request.sampling.seed % 3 == 0 else "Done so."


def test_rounds_build_on_what_succeeded_and_lineage_names_every_attempt() -> None:
    seeds = seed_frame(*(f"task {place}" for place in range(40)))
    made = evolve_instructions(seeds, ScriptedTeacher(flaky), EvolInstructSettings())
    assert made.lineage.schema == LINEAGE
    assert made.lineage.height == made.synthesis.planned == 40 * 4
    assert made.pool.height == 40
    rows = {row["instruction_id"]: row for row in made.synthesis.frame.rows(named=True)}
    current = {f"s{place}": (f"s{place}", f"task {place}") for place in range(40)}
    evolved: Counter[str] = Counter()
    for attempt in made.lineage.rows(named=True):
        parent, text = current[attempt["root_id"]]
        assert attempt["parent_id"] == parent
        if attempt["reason"] is None:
            row = rows.pop(attempt["instruction_id"])
            assert row["instruction"] == f"{text} more"
            assert row["parents"] == [{"table": "synthesized_instructions", "id": parent}]
            assert row["prompt_version"].startswith(f"evol_instruct/{attempt['operator']}@")
            assert "+evol_instruct/equality@" in row["prompt_version"]
            evolved[attempt["root_id"]] += 1
            assert json.loads(row["details"]) == {
                "root_id": attempt["root_id"],
                "operator": attempt["operator"],
                "evolutions": evolved[attempt["root_id"]],
                "judge": row["teacher"],
                "judge_is_own_family": True,
            }
            current[attempt["root_id"]] = (attempt["instruction_id"], row["instruction"])
        else:
            assert attempt["reason"] == "evol_response_sorry"
    assert rows == {}
    assert dict(made.pool.select("root_id", "instruction_id").iter_rows()) == {
        root: instruction_id for root, (instruction_id, _) in current.items()
    }
    assert set(made.pool["evolutions"]) == {1, 2, 3, 4}
    assert 0.2 < made.synthesis.rejected["evol_response_sorry"] / 160 < 0.5


def test_a_row_pays_for_the_evolutions_that_failed_before_it() -> None:
    seeds = seed_frame(*(f"task {place}" for place in range(40)))
    made = evolve_instructions(seeds, ScriptedTeacher(flaky), EvolInstructSettings())
    frame, spent = made.synthesis.frame, made.synthesis.spent
    for column in ("attempts", "prompt_tokens", "completion_tokens"):
        assert frame[column].sum() + made.pool[column].sum() == getattr(spent, column)
    assert set(frame["attempts"]) >= {3, 6}


def test_rows_are_rows() -> None:
    seeds = seed_frame("Name a river").with_columns(
        context=pl.lit(" of Peru "), dump=pl.lit("d"), table=pl.lit("seed_tasks")
    )
    made = evolve_instructions(seeds, ScriptedTeacher(flaky, "s:a@1"), EvolInstructSettings(rounds=1, seed=1))
    row = made.synthesis.frame.row(0, named=True)
    assert made.synthesis.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert row["instruction"] == "Name a river\nof Peru more"
    assert row["parents"] == [{"table": "seed_tasks", "id": "s0"}]
    assert (row["dump"], row["method"], row["teacher"]) == ("d", "evol_instruct", "s:a@1")
    assert json.loads(row["sampling"]) == {"max_tokens": 2048, "stop": [], "temperature": 1.0, "top_p": 0.95}


def test_a_judge_of_the_own_family_says_so_in_the_rows_or_may_not_judge() -> None:
    writer = ScriptedTeacher(flaky, "scripted:gpt-4o@1")
    equal = ScriptedTeacher(lambda _: json.dumps({"verdict": "not_equal"}), "scripted:gpt-4.1@1")
    other = ScriptedTeacher(lambda _: json.dumps({"verdict": "not_equal"}), "scripted:qwen2.5@1")
    for judge, families, is_own in ((equal, {}, True), (other, {}, False), (other, {"qwen2.5": "gpt"}, True)):
        settings = replace(ONE_ROUND, families=families)
        made = evolve_instructions(seed_frame(*"abcdefgh"), writer, settings, judge=judge).synthesis.frame
        told = {(row["judge"], row["judge_is_own_family"]) for row in map(json.loads, made["details"])}
        assert told == {(judge.name, is_own)}
        strict = replace(settings, judges_own_family=False)
        if is_own:
            with pytest.raises(ConfigurationError, match="would judge what its own family 'gpt' wrote"):
                evolve_instructions(seed_frame("a"), writer, strict, judge=judge)
        else:
            assert evolve_instructions(seed_frame(*"abcdefgh"), writer, strict, judge=judge).synthesis.frame.equals(
                made
            )
    asked = len(writer.asked)
    with pytest.raises(ConfigurationError, match="evol_instruct: scripted:gpt-4o@1 would judge"):
        evolve_instructions(seed_frame("a"), writer, replace(ONE_ROUND, judges_own_family=False))
    assert len(writer.asked) == asked


def test_another_judge_is_asked_if_there_is_one() -> None:
    judge = ScriptedTeacher(lambda _: json.dumps({"verdict": "equal"}))
    made = evolve_instructions(seed_frame("a b"), ScriptedTeacher(flaky), ONE_ROUND, judge=judge)
    assert made.synthesis.rejected == {"evol_no_information_gain": 1}
    assert len(judge.asked) == 1
    assert judge.asked[0].sampling.temperature == 0.0
    assert json.loads(made.candidates.item(0, "details")) == {"found": f"{judge.name} says: equal"}


def test_operators_are_equally_likely_and_drawn_anew_each_round() -> None:
    drawn = Counter(choose_operator(f"i{place}", 0, 0).name for place in range(6000))
    assert set(drawn) == {f"evol_instruct/{name}" for name in (
        "add_constraints", "deepening", "concretizing", "increase_reasoning_steps", "complicate_input", "breadth",
    )}  # fmt: skip
    # chi-square of five degrees of freedom: 20.5 is exceeded once in a thousand seeds, and this one is fixed
    assert sum((count - 1000) ** 2 / 1000 for count in drawn.values()) < 20.5
    moved = sum(choose_operator(f"i{place}", 0, 0) is not choose_operator(f"i{place}", 1, 0) for place in range(600))
    assert moved > 400
    assert len(OPERATORS) == 6


def test_the_form_of_the_data_is_drawn_for_complicated_input() -> None:
    teacher = ScriptedTeacher(flaky)
    evolve_instructions(seed_frame(*(f"task {place}" for place in range(200))), teacher, ONE_ROUND)
    forms = Counter(
        request.messages[-1].content.splitlines()[0]
        for request in teacher.asked
        if "adding data" in request.messages[0].content
    )
    assert len(forms) == 6
    assert all(form.startswith("Form of the data: ") for form in forms)


@given(st.permutations(range(12)))
def test_the_order_of_seeds_changes_nothing(order: list[int]) -> None:
    seeds = seed_frame(*(f"task {place}" for place in range(12)))
    settings = EvolInstructSettings(rounds=2)
    plain = evolve_instructions(seeds, ScriptedTeacher(flaky), settings).synthesis.frame.sort("instruction_id")
    other = evolve_instructions(seeds[order], ScriptedTeacher(flaky), settings).synthesis.frame.sort("instruction_id")
    assert plain.equals(other)


def test_evolution_resumes_from_cached_replies_with_no_repeated_call() -> None:
    kept: dict[str, str] = {}
    dies_after = [50]

    def cached(request: ChatRequest) -> str:
        key = request.make_key("scripted")
        if key not in kept:
            if len(kept) == dies_after[0]:
                raise TeacherError("the endpoint is gone")
            kept[key] = flaky(request)
        return kept[key]

    seeds = seed_frame(*(f"task {place}" for place in range(12)))
    with pytest.raises(TeacherError):
        evolve_instructions(seeds, ScriptedTeacher(cached), EvolInstructSettings())
    dies_after[0] = 10_000
    resumed = evolve_instructions(seeds, ScriptedTeacher(cached), EvolInstructSettings())
    assert len(kept) == resumed.synthesis.spent.requests
    assert resumed.synthesis.frame.equals(
        evolve_instructions(seeds, ScriptedTeacher(flaky), EvolInstructSettings()).synthesis.frame
    )


def test_a_round_goes_on_from_a_stored_pool() -> None:
    seeds = seed_frame("task 1", "task 2")
    whole = evolve_instructions(seeds, ScriptedTeacher(flaky), EvolInstructSettings(rounds=2))
    first = evolve_instructions(seeds, ScriptedTeacher(flaky), ONE_ROUND)
    account, teacher = RowAccount(), ScriptedTeacher(flaky)
    pool, _ = evolve_round(first.pool, 1, teacher, teacher, EvolInstructSettings(rounds=2), account)
    assert pool.equals(whole.pool)


@pytest.mark.parametrize(
    ("evolved", "ancestor", "copied"),
    [
        ("Rewrite the #Given Prompt# twice", "Rewrite it", ["given prompt"]),
        ("You are a prompt rewriter", "x", ["prompt rewriter"]),
        ("Explain the given instruction", "What does the Given Instruction say?", []),
        ("Write an instruction manual for a new promptbook", "x", []),
        ("Created_prompt: tell", "x", ["created prompt"]),
        ("更难的指令：写一首诗", "写诗", ["更难的指令"]),
        (
            "The easy instruction, in the language of the given one",
            "x",
            ["easy instruction", "language of the given one"],
        ),
        ("The hard instruction asks more. Do not carry it out.", "x", ["hard instruction", "do not carry it out"]),
        ("Write easy instructions for a cake, and rank some hard prompts for it", "Tell how to bake a cake", []),
    ],
)
def test_copied_words(evolved: str, ancestor: str, copied: list[str]) -> None:
    assert list_copied(evolved, ancestor) == copied


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        ("Sorry! " + "word " * 78, "evol_response_sorry"),
        ("Sorry! " + "word " * 79, None),
        ("A sorryful tale", None),
        ("...", "evol_response_stop_words"),
        ("I am. You are!", "evol_response_stop_words"),
        ("对不起", None),
        ("英语里的sorry用来表示歉意，也可以表示遗憾。" * 6, "evol_response_sorry"),
        ("英语里的sorry用来表示歉意，也可以表示遗憾。" * 12, None),  # long enough, though no space parts its words
        ("I'm not. You don't!", "evol_response_stop_words"),
        ("Yes", None),
        ("2", None),
    ],
)
def test_answers_that_are_none(response: str, fault: str | None) -> None:
    found = find_response_fault(response, EvolInstructSettings().sorry_words)
    assert (found and found.reason) == fault


def test_the_very_words_are_no_gain() -> None:
    found = find_evolved_fault("Name  a RIVER!", "name a river")
    assert found is not None
    assert name_reason(found) == "evol_no_information_gain"
    assert find_evolved_fault("Name a river now", "name a river") is None


def test_bad_seeds_and_settings_are_named() -> None:
    with pytest.raises(SchemaError, match="s0 stands there twice"):
        start_pool(pl.concat([seed_frame("a"), seed_frame("b")]), ONE_ROUND)
    with pytest.raises(SchemaError, match="1 have no instruction, first s1"):
        start_pool(seed_frame("a", " "), ONE_ROUND)
    with pytest.raises(ConfigurationError, match="rounds must be at least 1"):
        replace(ONE_ROUND, rounds=0)
    empty = evolve_instructions(seed_frame("a").clear(), ScriptedTeacher(flaky), ONE_ROUND)
    assert (empty.synthesis.planned, empty.pool.height, empty.lineage.height) == (0, 0, 0)
