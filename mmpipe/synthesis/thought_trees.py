"""Tree-of-thought rows: thoughts proposed, valued by votes, searched breadth first; the accepted path becomes the row.

Yao et al. 2023 (arXiv 2305.10601), section 3 and Algorithm 1: k thoughts per state, each state valued several times as
sure, likely or impossible, the best b kept, to a depth limit. Every node is recorded, also those that led nowhere. The
prompts are in our own words.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import AnswerCheck
from mmpipe.synthesis.drafts import make_seed
from mmpipe.synthesis.problems import Problem, read_problems
from mmpipe.synthesis.reasoning_rows import write_reasoned
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row, read_text
from mmpipe.synthesis.solution_parts import normalize_solution
from mmpipe.synthesis.thought_prompts import PROPOSE, VALUE, VALUE_SCHEMA, make_proposals_schema
from mmpipe.tables.chat import ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.tables.chat import Teacher

METHOD = "thought_trees"

#: Why a question gives no row, beside the teacher's failures and the reasons of `answer_checks`.
REASONS = ("no_thought", "all_impossible", "depth_reached")

NODES_SCHEMA = pl.Schema(
    {
        "node_id": pl.String(),
        "problem_id": pl.String(),
        "parent_id": pl.String(),
        "depth": pl.Int64(),
        "thought": pl.String(),
        "answer": pl.String(),
        "sure": pl.Int64(),
        "likely": pl.Int64(),
        "impossible": pl.Int64(),
        "unparsed": pl.Int64(),
        "value": pl.Float64(),
        "status": pl.String(),
    }
)
#: What a row tells of its tree: the path that was taken, and every node, also those that led nowhere.
DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String(),
        "problem_id": pl.String(),
        "path": pl.List(pl.String),
        "rationale": pl.String(),
        "answer": pl.String(),
        "nodes": pl.List(pl.Struct({name: NODES_SCHEMA[name] for name in NODES_SCHEMA if name != "problem_id"})),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    """How trees are searched.

    Attributes:
        check: how answers are compared.
        thoughts: proposed per state.
        beam: states kept per depth (b; 5 in the paper's game of 24, section 4.1).
        votes: times each state is valued (3, section 4.1).
        depth: most thoughts of a path (3 for the game of 24).
        values: worth of a vote: sure, likely, impossible (the released code's 20, 1, 0.001); a state has their sum.
        prune: whether a state all of whose votes say impossible is left out of the beam.
        temperature: 0.7, as in the paper.
        top_p: nucleus.
        max_tokens: of a reply.
        seed: of the requests.
    """

    check: AnswerCheck = field(default_factory=AnswerCheck)
    thoughts: int = 5
    beam: int = 5
    votes: int = 3
    depth: int = 3
    values: tuple[float, float, float] = (20.0, 1.0, 0.001)
    prune: bool = True
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.thoughts, self.beam, self.votes, self.depth) < 1:
            raise ConfigurationError("A tree of thoughts needs at least one thought, state, vote and step.")


@dataclass(frozen=True, slots=True)
class Trees:
    """Rows by accepted path, and every node of every tree (`NODES_SCHEMA`).

    A node's status is `path` (of the accepted path), `final` (an answer that was not taken), `expanded`, `cut` (outside
    the beam), `impossible`, `repeated` (empty, or said before from the same state; never valued) or `leaf` (at the
    limit).
    """

    judged: Judged
    nodes: pl.DataFrame


@dataclass(slots=True, eq=False)
class _Node:
    node_id: str
    parent: _Node | None
    depth: int
    thought: str
    answer: str
    votes: Counter[str] = field(default_factory=Counter)
    value: float | None = None
    status: str = "leaf"

    def list_path(self) -> list[_Node]:
        return [*(self.parent.list_path() if self.parent else []), self]


@dataclass(slots=True, eq=False)
class _Tree:
    problem: Problem
    nodes: list[_Node] = field(default_factory=list)
    frontier: list[_Node | None] = field(default_factory=lambda: [None])
    paid: Paid = field(default_factory=Paid)
    failure: str = ""


def grow_trees(problems: pl.DataFrame, teacher: Teacher, settings: TreeSettings) -> Trees:
    """Return the rows and nodes of a breadth-first search; all problems are searched side by side, depth by depth.

    A thought with an answer is final: it is valued like the others and expanded no more. The best valued final
    thought of a tree is its answer (of equals the earliest), and a row if it is right.

    Args:
        problems: columns of `problems.PROBLEMS_SCHEMA`.
        teacher: who proposes and values.
        settings: how.

    Raises:
        TeacherError: the teacher cannot answer any more. With a reply cache a later call repeats no request.
    """
    account = RowAccount()
    trees = [_Tree(problem) for problem in read_problems(problems, settings.check, account)]
    for depth in range(1, settings.depth + 1):
        fresh = _propose(trees, depth, teacher, settings, account)
        _value(fresh, teacher, settings, account)
        by_tree: dict[int, list[_Node]] = {}
        for owner, node in fresh:
            by_tree.setdefault(id(owner), []).append(node)
        for tree in trees:
            _choose_frontier(tree, by_tree.get(id(tree), []), depth, settings)
    for tree in trees:
        _settle(tree, teacher.name, settings, account)
    rows = [_describe(tree.problem, node) for tree in trees for node in tree.nodes]
    return Trees(account.close(DETAILS_SCHEMA), pl.DataFrame(rows, schema=NODES_SCHEMA))


def _number_steps(node: _Node | None) -> str:
    path = node.list_path() if node else []
    return "\n".join(f"{number}. {step.thought}" for number, step in enumerate(path, start=1)) or "(none)"


def _tell_state(node: _Node) -> str:
    """Return the steps up to a node, and its answer where it has one: a final thought is no better than its answer."""
    return f"{_number_steps(node)}\nAnswer: {node.answer}" if node.answer else _number_steps(node)


def _sample(settings: TreeSettings, seed: int) -> Sampling:
    return Sampling(settings.temperature, settings.top_p, settings.max_tokens, seed)


def _propose(
    trees: Sequence[_Tree], depth: int, teacher: Teacher, settings: TreeSettings, account: RowAccount
) -> list[tuple[_Tree, _Node]]:
    """Ask for the next thoughts of every frontier state; return the new nodes, repeated ones left out."""
    states = [(tree, state) for tree in trees for state in tree.frontier]
    requests = []
    for tree, state in states:
        seed = make_seed(settings.seed, METHOD, "propose", tree.problem.problem_id, state.node_id if state else "root")
        messages = PROPOSE.render(
            question=tree.problem.show(), steps=_number_steps(state), count=str(settings.thoughts)
        )
        requests.append(ChatRequest(messages, _sample(settings, seed), make_proposals_schema(settings.thoughts)))
    fresh: list[tuple[_Tree, _Node]] = []
    said: dict[int, set[str]] = {}
    for (tree, state), outcome in zip(states, account.ask(teacher, requests), strict=True):
        tree.paid.add(outcome)
        text, reason = read_text(outcome)
        if reason:
            account.refuse_reply(reason)
            tree.failure = reason
            continue
        for place, proposal in enumerate(json.loads(text)["thoughts"]):
            parent_id = state.node_id if state else tree.problem.problem_id
            thought, answer = proposal["thought"].strip(), proposal["answer"].strip()
            node = _Node(make_id(METHOD, parent_id, place, thought), state, depth, thought, answer)
            tree.nodes.append(node)
            key = normalize_solution(f"{parent_id}\0{thought}\0{answer}")
            if not thought or key in said.setdefault(id(tree), set()):
                node.status = "repeated"
                continue
            said[id(tree)].add(key)
            fresh.append((tree, node))
    return fresh


def _value(fresh: Sequence[tuple[_Tree, _Node]], teacher: Teacher, settings: TreeSettings, account: RowAccount) -> None:
    """Have every new node valued by its votes; a vote that cannot be read is counted and worth nothing."""
    asked = [(tree, node, vote) for tree, node in fresh for vote in range(settings.votes)]
    requests = []
    for tree, node, vote in asked:
        seed = make_seed(settings.seed, METHOD, "vote", node.node_id, vote)
        messages = VALUE.render(question=tree.problem.show(), steps=_tell_state(node))
        requests.append(ChatRequest(messages, _sample(settings, seed), VALUE_SCHEMA, sample_index=vote))
    for (tree, node, _), outcome in zip(asked, account.ask(teacher, requests), strict=True):
        tree.paid.add(outcome)
        text, reason = read_text(outcome)
        if reason:
            account.refuse_reply(reason)
        node.votes[json.loads(text)["value"] if not reason else "unparsed"] += 1
    worth = dict(zip(("sure", "likely", "impossible"), settings.values, strict=True))
    for _, node in fresh:
        read = {name: count for name, count in node.votes.items() if name in worth}
        node.value = sum(worth[name] * count for name, count in read.items()) if read else None


def _choose_frontier(tree: _Tree, fresh: Sequence[_Node], depth: int, settings: TreeSettings) -> None:
    """Keep the best states for the next depth; final thoughts are set aside, impossible ones cut."""
    open_nodes: list[_Node] = []
    for node in fresh:
        read = settings.votes - node.votes["unparsed"]
        if settings.prune and read and node.votes["impossible"] == read:
            node.status = "impossible"
        elif node.answer:
            node.status = "final"
        else:
            open_nodes.append(node)
    # a state nobody could value comes after all that were; of equals the earlier proposed
    open_nodes.sort(key=lambda node: (node.value is None, -(node.value or 0.0)))
    for node in open_nodes[settings.beam :]:
        node.status = "cut"
    kept = open_nodes[: settings.beam]
    if depth < settings.depth:
        for node in kept:
            node.status = "expanded"
    tree.frontier = list(kept)


def _settle(tree: _Tree, teacher: str, settings: TreeSettings, account: RowAccount) -> None:
    """Make the row of the best final thought, or refuse the problem by reason."""
    problem = tree.problem
    row_id = make_id(METHOD, problem.problem_id)
    finals = [node for node in tree.nodes if node.status == "final"]
    if not finals:
        account.refuse(row_id, _outline(tree), _name_reason(tree), was_asked=False)
        return
    best = min(finals, key=lambda node: (node.value is None, -(node.value or 0.0)))
    path = best.list_path()
    rationale = "\n".join(node.thought for node in path)
    verdict = problem.judge(best.answer, settings.check)
    if not verdict.is_right:
        said = f"{write_reasoned(rationale, best.answer)}\n\n{_outline(tree)}"
        account.refuse(row_id, said, verdict.reason, was_asked=False)
        return
    for node in path:
        node.status = "path"
    account.rows.append(
        make_instruction_row(
            instruction_id=row_id,
            dump=problem.dump,
            method=METHOD,
            stage="instruction_tuning",
            mode="general_distillation.reasoning_steps",
            instruction=problem.show(),
            response=write_reasoned(rationale, best.answer),
            parents=(problem.parent,),
            teacher=teacher,
            prompt_version=f"{PROPOSE.version} {VALUE.version}",
            sampling=_sample(settings, settings.seed),
            paid=tree.paid,
        )
    )
    account.details.append(
        {
            "instruction_id": row_id,
            "problem_id": problem.problem_id,
            "path": [node.node_id for node in path],
            "rationale": rationale,
            "answer": best.answer,
            "nodes": [_describe(problem, node) for node in tree.nodes],
        }
    )


def _outline(tree: _Tree) -> str:
    """Return a tree as a person reads it: one line per thought, indented by depth, with status and worth."""
    children: dict[str, list[_Node]] = {}
    for node in tree.nodes:
        children.setdefault(node.parent.node_id if node.parent else "", []).append(node)
    lines, waiting = [], list(reversed(children.get("", [])))
    while waiting:
        node = waiting.pop()
        worth = "" if node.value is None else f" {node.value:g}"
        answer = f" = {node.answer}" if node.answer else ""
        lines.append(f"{'  ' * (node.depth - 1)}- [{node.status}{worth}] {node.thought}{answer}")
        waiting += reversed(children.get(node.node_id, []))
    return "\n".join(lines)


def _name_reason(tree: _Tree) -> str:
    if tree.frontier:
        return "depth_reached"
    if tree.failure:
        return tree.failure
    return "all_impossible" if any(node.status == "impossible" for node in tree.nodes) else "no_thought"


def _describe(problem: Problem, node: _Node) -> dict[str, Any]:
    return {
        "node_id": node.node_id,
        "problem_id": problem.problem_id,
        "parent_id": node.parent.node_id if node.parent else None,
        "depth": node.depth,
        "thought": node.thought,
        "answer": node.answer or None,
        **{name: node.votes[name] for name in ("sure", "likely", "impossible", "unparsed")},
        "value": node.value,
        "status": node.status,
    }
