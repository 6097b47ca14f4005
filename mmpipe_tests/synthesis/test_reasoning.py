"""Chain-of-thought and tree-of-thought rows with scripted teachers, every branch."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.answer_checks import AnswerCheck, check_answer
from mmpipe.synthesis.reasoning_rows import ChainSettings, make_chain_rows
from mmpipe.synthesis.solution_parts import split_solution
from mmpipe.synthesis.thought_trees import NODES_SCHEMA, TreeSettings, grow_trees
from mmpipe.tables.chat import ChatFailure, ChatRequest
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS


def ask(names: list[str], answer: str = "4") -> pl.DataFrame:
    return pl.DataFrame(
        [{"problem_id": name, "dump": "x", "question": f"Two and two? ({name})", "answer": answer} for name in names]
    )


def chain(rationale: str, answer: str) -> str:
    return json.dumps({"rationale": rationale, "answer": answer})


CHAINS: dict[str, str | ChatFailure] = {
    "right": chain("Two and two are four.", "4"),
    "wrong": chain("Two and two are five.", "5"),
    "sign": chain("Two and two are minus four.", "-4"),
    "bare": chain("4", "4"),
    "loop": chain("so two and two and two and two and two and two and two and two are four", "4"),
    "torn": chain("Two and two. The answer is 5.", "4"),
    "agreed": chain("Two and two. The answer is 4.", "4"),
    "unread": chain("Two and two are four.", "who knows"),
    "schema": "four",
    "down": ChatFailure("timeout", "late"),
}


def test_chains_are_kept_where_the_answer_is_right() -> None:
    def say(request: ChatRequest) -> str | ChatFailure:
        return CHAINS[request.messages[-1].content.split("(")[1].split(")")[0]]

    made = make_chain_rows(pl.concat([ask(list(CHAINS)), ask(["broken"], "x")]), ScriptedTeacher(say), ChainSettings())
    assert made.synthesis.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert made.details["problem_id"].to_list() == ["right", "agreed"]
    assert made.synthesis.rejected == {
        "wrong_answer": 2,
        "answer_unreadable": 1,
        "no_rationale": 1,
        "rationale_contradicts": 1,
        "repetition": 1,
        "right_answer_unreadable": 1,
        "teacher_schema": 1,
        "teacher_timeout": 1,
    }
    assert made.synthesis.planned == 11 == made.synthesis.frame.height + made.candidates.height
    # three attempts for each of the eight that failed
    assert sum(made.synthesis.rejected_replies.values()) == 24
    row = made.synthesis.frame.row(0, named=True)
    assert row["response"] == "Two and two are four.\nThe answer is 4."
    assert split_solution(row["response"]) == ("Two and two are four.", "4")
    assert made.details.row(0, named=True)["rationale"] == "Two and two are four."
    assert (row["stage"], row["mode"]) == ("instruction_tuning", "general_distillation.reasoning_steps")


def test_a_later_attempt_keeps_the_order_of_the_problems() -> None:
    def say(request: ChatRequest) -> str:
        is_late = "(a)" in request.messages[-1].content and request.sample_index == 0
        return chain("Two and two are four.", "5" if is_late else "4")

    made = make_chain_rows(ask(["a", "b"]), ScriptedTeacher(say), ChainSettings())
    assert made.details["problem_id"].to_list() == ["a", "b"]
    assert made.synthesis.frame["attempts"].to_list() == [2, 1]
    assert made.synthesis.rejected_replies == {"wrong_answer": 1}


#: thought -> (thoughts proposed after it, votes)
GAME = {
    "": (["left", "right", "dead", "left", ""], ""),
    "left": (["left left", "left right"], "sure sure likely"),
    "right": (["right left"], "likely likely likely"),
    "dead": (["never"], "impossible impossible impossible"),
    "left left": (["=4"], "likely likely impossible"),
    "left right": (["=5"], "impossible impossible sure"),
    "right left": (["=6"], "impossible likely likely"),
    "never": ([], "impossible likely impossible"),
    "=4": ([], "sure sure sure"),
    "=5": ([], "likely likely likely"),
    "=6": ([], "likely broken likely"),
}
TREE = TreeSettings(thoughts=5, beam=2, votes=3, depth=3)


def play(request: ChatRequest) -> str | ChatFailure:
    asked = request.messages[-1].content
    steps = re.findall(r"^\d+\. (.*)$", asked, re.MULTILINE)
    last = steps[-1] if steps else ""
    if "Number of proposals" in asked:
        thoughts = GAME[last][0]
        return json.dumps({"thoughts": [{"thought": t, "answer": t[1:] if t[:1] == "=" else ""} for t in thoughts]})
    vote = GAME[last][1].split()[request.sample_index]
    return ChatFailure("server", "500") if vote == "broken" else json.dumps({"value": vote})


def test_a_tree_is_searched_breadth_first_and_kept_whole() -> None:
    teacher = ScriptedTeacher(play)
    made = grow_trees(ask(["p"]), teacher, TREE)
    nodes = {row["thought"]: row for row in made.nodes.rows(named=True) if row["status"] != "repeated"}
    assert made.nodes.schema == NODES_SCHEMA
    assert {thought: node["status"] for thought, node in nodes.items()} == {
        "left": "path",
        "right": "expanded",
        "dead": "impossible",
        "left left": "path",
        "left right": "expanded",
        "right left": "cut",
        "=4": "path",
        "=5": "final",
    }
    assert made.nodes["status"].to_list().count("repeated") == 2
    assert (nodes["left"]["sure"], nodes["left"]["likely"], nodes["left"]["value"]) == (2, 1, 41.0)
    assert nodes["left left"]["parent_id"] == nodes["left"]["node_id"]
    assert [nodes[thought]["depth"] for thought in ("left", "left left", "=4")] == [1, 2, 3]
    row = made.judged.synthesis.frame.row(0, named=True)
    assert row["response"] == "left\nleft left\n=4\nThe answer is 4."
    detail = made.judged.details.row(0, named=True)
    assert detail["path"] == [nodes[thought]["node_id"] for thought in ("left", "left left", "=4")]
    assert detail["answer"] == "4"
    assert [node["node_id"] for node in detail["nodes"]] == made.nodes["node_id"].to_list()
    assert [node["status"] for node in json.loads(row["details"])["nodes"]] == made.nodes["status"].to_list()
    # who values a final thought sees its answer too
    asked = [request.messages[-1].content for request in teacher.asked]
    valued = [text.partition("Steps so far:\n")[2] for text in asked if "Number of proposals" not in text]
    assert valued.count("1. left\n2. left left\n3. =4\nAnswer: 4") == valued.count("1. left\n2. left left") == 3
    # proposals: root, 2, 2; votes: 3 for each of the 8 valued
    assert row["attempts"] == 5 + 24 == len(teacher.asked) == made.judged.synthesis.spent.requests


def test_a_wider_beam_sees_more_and_a_broken_vote_is_no_vote() -> None:
    made = grow_trees(ask(["p"]), ScriptedTeacher(play), replace(TREE, beam=3))
    six = made.nodes.filter(pl.col("thought") == "=6").row(0, named=True)
    assert (six["likely"], six["unparsed"], six["value"], six["status"]) == (2, 1, 2.0, "final")
    assert made.judged.synthesis.rejected_replies == {"teacher_server": 1}
    kept = grow_trees(ask(["p"]), ScriptedTeacher(play), replace(TREE, beam=3, prune=False))
    assert kept.nodes.filter(pl.col("thought") == "dead")["status"].to_list() == ["expanded"]


@pytest.mark.parametrize(
    ("answer", "settings", "reason"),
    [
        ("5", TREE, "wrong_answer"),
        ("4", replace(TREE, depth=2), "depth_reached"),
        ("4", replace(TREE, check=AnswerCheck(kind="text")), ""),
    ],
)
def test_trees_without_a_right_answer_are_refused(answer: str, settings: TreeSettings, reason: str) -> None:
    made = grow_trees(ask(["p"], answer), ScriptedTeacher(play), settings)
    assert made.judged.synthesis.rejected == ({reason: 1} if reason else {})
    assert made.judged.synthesis.planned == 1
    assert made.nodes.height == (8 if reason == "depth_reached" else 10)
    assert ("path" in made.nodes["status"].to_list()) is (not reason)
    if reason == "depth_reached":
        # what was thought in vain is there to be read
        (said,) = made.judged.candidates["text"]
        assert said.splitlines() == [
            "- [expanded 41] left",
            "  - [leaf 2.001] left left",
            "  - [leaf 20.002] left right",
            "- [expanded 3] right",
            "  - [cut 2.001] right left",
            "- [impossible 0.003] dead",
            "- [repeated] left",
            "- [repeated] ",
        ]


@pytest.mark.parametrize(
    ("proposal", "vote", "reason"),
    [
        (ChatFailure("rate", "429"), "sure", "teacher_rate"),
        ("no json", "sure", "teacher_schema"),
        (json.dumps({"thoughts": []}), "sure", "no_thought"),
        (json.dumps({"thoughts": [{"thought": "dead end", "answer": ""}]}), "impossible", "all_impossible"),
        (json.dumps({"thoughts": [{"thought": "done", "answer": "none at all"}]}), "sure", "answer_unreadable"),
    ],
)
def test_trees_that_never_get_far(proposal: str | ChatFailure, vote: str, reason: str) -> None:
    def say(request: ChatRequest) -> str | ChatFailure:
        return proposal if "Number of proposals" in request.messages[-1].content else json.dumps({"value": vote})

    made = grow_trees(ask(["p", "q"]), ScriptedTeacher(say), TREE)
    assert made.judged.synthesis.rejected == {reason: 2}
    assert made.judged.candidates.height == 2


def test_problems_do_not_see_each_other() -> None:
    one = grow_trees(ask(["p", "q", "r"]), ScriptedTeacher(play), TREE)
    other = grow_trees(ask(["r", "q"]), ScriptedTeacher(play), TREE)
    shared = one.nodes.filter(pl.col("problem_id") != "p").sort("node_id")
    assert other.nodes.sort("node_id").equals(shared)
    assert one.nodes["node_id"].n_unique() == one.nodes.height
    key = "instruction_id"
    mine = one.judged.synthesis.frame.filter(pl.col(key).is_in(other.judged.synthesis.frame[key].implode())).sort(key)
    assert other.judged.synthesis.frame.sort(key).equals(mine)


def test_an_expression_may_be_a_tree_s_answer() -> None:
    assert check_answer("2 * 3 + 4", "2 * 3 + 4", AnswerCheck(kind="text")).is_right
    with pytest.raises(ConfigurationError, match="tree of thoughts"):
        TreeSettings(beam=0)
