"""Self-refinement and online rounds by scripted authors and judges: every stop, every verdict, exact mixes."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.comparisons import COMPARISONS_SCHEMA, ComparisonSettings, compare_ranked
from mmpipe.synthesis.drafts import Spent
from mmpipe.synthesis.online_preferences import OnlineSettings, mix_rounds, parse_share, run_online_round
from mmpipe.synthesis.pairwise_judge import PairwiseSettings
from mmpipe.synthesis.responses import ResponseSettings
from mmpipe.synthesis.self_refinement import (
    RefinementSettings,
    refine_round,
    revise_answers,
    run_self_refinement,
    start_revisions,
)
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest


def make_answers(names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt_id": names,
            "prompt": [f"Ask {name}" for name in names],
            "answer_id": [f"{name}-0" for name in names],
            "answer": [f"{name} 0" for name in names],
        }
    )


def read_fields(request: ChatRequest) -> tuple[str, int, bool]:
    """Return the answer's name, its number, and whether a critique is asked for."""
    said = request.messages[-1].content
    found = re.search(r"Answer:\n(\w+) (\d+)", said)
    assert found
    return found[1], int(found[2]), request.schema is not None


def revise(request: ChatRequest) -> str | ChatReply | ChatFailure:
    name, number, is_critique = read_fields(request)
    if is_critique:
        if name == "lost":
            return ChatFailure("server", "down")
        is_done = name == "perfect" or (name == "once" and number == 1)
        return json.dumps({"critique": "" if name == "mute" else f"Mend {number}.", "is_done": is_done})
    assert f"Mend {number}." in request.messages[-1].content
    replies: dict[str, str | ChatReply | ChatFailure] = {
        "same": f" same  {number}",
        "swing": f"swing {1 - number}",
        "void": "  ",
        "cut": ChatReply("cut 1 and th", "length", 1, 1),
        "broken": ChatFailure("timeout", "slow"),
    }
    return replies.get(name, f"{name} {number + 1}")


def prefer_later(request: ChatRequest) -> str:
    found = re.search(r"First answer:\n(\w+) (\d+)\n\nSecond answer:\n\w+ (\d+)", request.messages[-1].content)
    assert found
    name, first, second = found[1], int(found[2]), int(found[3])
    if name == "swing":
        return "5 5"
    if name == "tired":
        return "8 2" if first < second else "2 8"
    if name == "place":
        return "9 1"
    return "3 7" if first < second else "7 3"


NAMES = ["perfect", "once", "long", "same", "swing", "void", "cut", "broken", "lost", "mute", "tired", "place"]


def test_every_stop_and_every_verdict() -> None:
    author = ScriptedTeacher(revise, "scripted:author@0")
    judge = ScriptedTeacher(prefer_later, "scripted:judge@0")
    made = run_self_refinement(make_answers(NAMES), author, judge, RefinementSettings(rounds=3))
    ends = dict(made.frame.filter(pl.col("stop") != "").select("prompt_id", "stop").iter_rows())
    assert ends == {
        "perfect": "done", "once": "done", "long": "round_limit", "same": "unchanged", "swing": "returned",
        "void": "empty_revision", "cut": "cut_revision", "broken": "teacher_timeout", "lost": "teacher_server",
        "mute": "empty_critique", "tired": "round_limit", "place": "round_limit",
    }  # fmt: skip
    assert made.stops["round_limit"] == 3
    assert sum(made.stops.values()) == len(NAMES)
    rounds = dict(made.frame.group_by("prompt_id").agg(pl.col("round").max()).iter_rows())
    assert {name: number for name, number in rounds.items() if number} == {
        "once": 1, "long": 3, "swing": 1, "tired": 3, "place": 3,
    }  # fmt: skip
    # of five revised answers the judge prefers two last ones and one first; one is a tie, one is decided by the place
    assert made.comparisons.frame.select("chosen", "rejected").rows() == [("long 3", "long 0"), ("once 1", "once 0")]
    assert made.comparisons.left_out == {
        "no_revision": 7, "judge_disagrees": 1, "position_disagreement": 1, "tied_scores": 1,
    }  # fmt: skip
    assert made.comparisons.planned == 12
    assert made.bias.rate == pytest.approx(1 / 5)
    assert made.comparisons.frame["method"].unique().to_list() == ["self_refinement"]
    assert made.spent.requests == len(author.asked) + len(judge.asked)
    assert len(judge.asked) == 2 * 5


def test_a_revision_is_asked_for_with_all_that_was_mended_before() -> None:
    author = ScriptedTeacher(revise, "scripted:author@0")
    revise_answers(make_answers(["long"]), author, RefinementSettings(rounds=3))
    asked = [request.messages[-1].content for request in author.asked if request.schema is None]
    first, second = (f"Earlier answer:\nlong {n}\n\nIts critique:\nMend {n}.\n\n" for n in (0, 1))
    earlier = ["", first, first + second]
    assert asked == [
        f"Question: Ask long\n\n{told}Answer:\nlong {n}\n\nCritique:\nMend {n}." for n, told in enumerate(earlier)
    ]


def test_each_revision_has_its_parent() -> None:
    made = run_self_refinement(
        make_answers(["long"]),
        ScriptedTeacher(revise, "scripted:author@0"),
        ScriptedTeacher(prefer_later, "scripted:judge@0"),
        RefinementSettings(),
    )
    rows = made.frame.rows(named=True)
    assert [row["round"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["parent_id"] is None
    assert rows[0]["revision_id"] == "long-0"
    assert [row["parent_id"] for row in rows[1:]] == [row["revision_id"] for row in rows[:-1]]
    assert [row["critique"] for row in rows[1:]] == [f"Mend {number}." for number in range(4)]
    assert len({row["seed"] for row in rows}) == 5
    assert made.comparisons.frame["chosen_id"].to_list() == [rows[-1]["revision_id"]]
    assert rows[1]["teacher"] == "scripted:author@0"


def test_a_judge_of_the_authors_family_makes_no_pair_unless_told_to() -> None:
    author, judge = ScriptedTeacher(revise, "endpoint:fam-7b@1"), ScriptedTeacher(prefer_later, "endpoint:fam-70b@1")
    own = PairwiseSettings(families={"fam": "fam"})
    made = run_self_refinement(make_answers(["long"]), author, judge, RefinementSettings(judging=own))
    assert made.comparisons.left_out == {"own_family": 1}
    assert not judge.asked
    told = PairwiseSettings(families={"fam": "fam"}, judges_own_family=True)
    made = run_self_refinement(make_answers(["long"]), author, judge, RefinementSettings(judging=told))
    assert made.comparisons.frame.height == 1


def test_a_killed_run_asks_nothing_twice(tmp_path: Path) -> None:
    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.models.teacher import RequestBook

    class Cached(ScriptedTeacher):
        """A scripted teacher behind the reply cache, as every real one stands."""

        def answer(self, requests):  # type: ignore[no-untyped-def]
            book = RequestBook(self.name, requests, ReplyCache(tmp_path / "replies.sqlite"))
            asked = [request for _, request in book.open]
            for (key, _), reply in zip(book.open, super().answer(asked), strict=True):
                book.commit(key, reply)
                book._outcomes[key] = reply
            yield from book.yield_in_order(())

    settings = RefinementSettings(rounds=3)
    answers = make_answers(["once", "long", "tired"])
    killed = Cached(revise, "scripted:author@0")
    refine_round(start_revisions(answers), killed, 1, settings, Spent())
    author = Cached(revise, "scripted:author@0")
    made = run_self_refinement(answers, author, ScriptedTeacher(prefer_later), settings)
    fresh = ScriptedTeacher(revise, "scripted:author@0")
    whole = run_self_refinement(answers, fresh, ScriptedTeacher(prefer_later), settings)
    assert made.frame.equals(whole.frame)
    assert len(killed.asked) == 6
    assert len(author.asked) == len(fresh.asked) - 6


# online rounds --------------------------------------------------------------------------------------------------------


def make_round(prompts: list[str], number: int) -> pl.DataFrame:
    rows = [
        {
            "prompt_id": name,
            "prompt": name,
            "answer_id": f"{number}{name}{place}",
            "answer": f"t{place}",
            "score": place,
        }
        for name in prompts
        for place in range(3)
    ]
    if not rows:
        return pl.DataFrame(schema=COMPARISONS_SCHEMA)
    made = compare_ranked(pl.DataFrame(rows), ComparisonSettings()).frame
    return made.with_columns(iteration=pl.lit(number, pl.Int64), policy=pl.lit(f"policy{number}"))


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["1/2", "1/3", "0.3", "0.25", "1", "0", "2/5"]))
def test_the_ratio_is_exact_and_as_large_as_can_be(new: int, old: int, share: str) -> None:
    mixed = mix_rounds(
        make_round([f"n{n}" for n in range(new)], 1),
        make_round([f"o{n}" for n in range(old)], 0),
        OnlineSettings(new_share=share),
    )
    whole = mixed.new_prompts + mixed.old_prompts
    assert mixed.new_prompts == Fraction(share) * whole
    assert mixed.unused_prompts == new + old - whole
    # one more step of the ratio does not fit
    step = Fraction(share).denominator
    more = whole + step
    assert more * Fraction(share) > new or more * (1 - Fraction(share)) > old
    counts = mixed.frame["group_id"].value_counts()["count"].to_list()
    assert counts == [3] * whole
    by_round = dict(mixed.frame["iteration"].value_counts().iter_rows())
    assert by_round.get(1, 0) == 3 * mixed.new_prompts
    assert by_round.get(0, 0) == 3 * mixed.old_prompts


def test_a_prompt_of_both_rounds_is_new_and_the_limit_holds() -> None:
    new, old = make_round(["a", "b", "c"], 1), make_round(["c", "d", "e", "f"], 0)
    mixed = mix_rounds(new, old, OnlineSettings())
    assert (mixed.new_prompts, mixed.old_prompts, mixed.unused_prompts) == (3, 3, 0)
    assert mixed.frame.filter(pl.col("group_id") == "c")["iteration"].unique().to_list() == [1]
    limited = mix_rounds(new, old, OnlineSettings(most_prompts=5))
    assert (limited.new_prompts, limited.old_prompts, limited.unused_prompts) == (2, 2, 2)
    for wrong in ("2", "-1/2", "half", "1/0"):
        with pytest.raises(ConfigurationError, match="new_share"):
            parse_share(wrong)


def test_rounds_follow_each_other() -> None:
    instructions = pl.DataFrame(
        {
            "instruction_id": ["a", "b", "c", "d"],
            "dump": ["d"] * 4,
            "instruction": [f"Ask {name}" for name in "abcd"],
            "context": ["A text.", None, None, None],
            "evidence": ["e"] * 4,
        }
    )

    def answer(request: ChatRequest) -> str | ChatFailure:
        if request.messages[-1].content.endswith("Ask d") and request.sample_index:
            return ChatFailure("timeout", "slow")
        return f"{'word ' * (1 + request.sample_index)}end"

    def score(answers: pl.DataFrame) -> pl.Series:
        # the length, but of one answer nothing can be said, and two are equally good
        words = answers["answer"].str.split(" ").list.len().cast(pl.Float64)
        frame = answers.with_columns(words=words)
        return frame.select(
            pl.when((pl.col("prompt_id") == "b") & (pl.col("words") == 2))
            .then(None)
            .when((pl.col("prompt_id") == "c") & (pl.col("words") == 3))
            .then(2.0)
            .otherwise(pl.col("words"))
            .alias("score")
        )["score"]

    settings = OnlineSettings(sampling=ResponseSettings(samples=3))
    empty = pl.DataFrame(schema=COMPARISONS_SCHEMA)
    one = run_online_round(instructions, ScriptedTeacher(answer, "scripted:p0@0"), score, empty, 0, settings)
    # a: 3; b: 1 and two unscored; c: 2 and a tie; d has one answer
    assert one.comparisons.frame.height == 6
    assert set(one.comparisons.frame["prompt"]) == {"A text.\n\nAsk a", "Ask b", "Ask c"}
    assert one.comparisons.left_out == {"missing_score": 2, "tied_scores": 1}
    assert one.comparisons.planned == 9
    assert one.responses.rejected == {"teacher_timeout": 2}
    # half new of nothing old is nothing
    assert one.mix.frame.height == 0
    old = one.comparisons.frame
    later = instructions.with_columns(pl.col("instruction_id") + "2")
    two = run_online_round(later, ScriptedTeacher(answer, "scripted:p1@0"), score, old, 1, settings)
    assert set(two.comparisons.frame.select("iteration", "policy").rows()) == {(1, "scripted:p1@0")}
    assert (two.mix.new_prompts, two.mix.old_prompts) == (3, 3)
    assert two.mix.frame["pair_id"].n_unique() == two.mix.frame.height
    again = run_online_round(instructions, ScriptedTeacher(answer, "scripted:p1@0"), score, old, 1, settings)
    assert not set(again.comparisons.frame["pair_id"]) & set(old["pair_id"])
    with pytest.raises(ConfigurationError, match="go up to round 0"):
        run_online_round(later, ScriptedTeacher(answer, "scripted:p1@0"), score, old, 0, settings)
    with pytest.raises(ConfigurationError, match="made an earlier round"):
        run_online_round(later, ScriptedTeacher(answer, "scripted:p0@0"), score, old, 1, settings)
