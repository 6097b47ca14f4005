"""Pairs of ranked answers, best of n, verified answers, SPIN: exact counts, and what never becomes a pair."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.release.preference_pairs import render_preferences
from mmpipe.synthesis.answer_checks import AnswerCheck
from mmpipe.synthesis.answer_verifiers import make_verifier
from mmpipe.synthesis.best_of_n import BestOfNSettings, pick_best
from mmpipe.synthesis.comparison_groups import batch_groups, find_fallen, join_comparisons, key_pairs, split_groups
from mmpipe.synthesis.comparisons import (
    COMPARISONS_SCHEMA,
    Comparisons,
    ComparisonSettings,
    compare_ranked,
)
from mmpipe.synthesis.family_shares import cap_families, find_quota
from mmpipe.synthesis.preferences import PAIRS_SCHEMA
from mmpipe.synthesis.spin import SpinSettings, add_previous, generate_answers, list_spin_rows, pair_with_own
from mmpipe.synthesis.verified_pairs import VerifiedSettings, pair_verified
from mmpipe.tables.chat import ChatFailure, ChatReply
from mmpipe.tables.teacher_families import is_own_family

_SCHEMA = {
    "prompt_id": pl.String,
    "prompt": pl.String,
    "answer_id": pl.String,
    "answer": pl.String,
    "score": pl.Float64,
}


def make_answers(scores: dict[str, list[float | None]], texts: dict[str, list[str]] | None = None) -> pl.DataFrame:
    said = {name: [f"t{place}" for place in range(len(values))] for name, values in scores.items()} | (texts or {})
    rows = [
        (name, f"Prompt {name}", f"{name}{place}", said[name][place], value)
        for name, values in scores.items()
        for place, value in enumerate(values)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def count_all(result: Comparisons) -> int:
    return result.frame.height + sum(result.left_out.values())


# InstructGPT ----------------------------------------------------------------------------------------------------------


def test_four_answers_with_one_tie_give_five_pairs_of_one_group() -> None:
    made = compare_ranked(make_answers({"a": [1, 2, 2, 3]}), ComparisonSettings())
    assert made.frame.height == 5
    assert made.frame.schema == COMPARISONS_SCHEMA
    assert made.left_out == {"tied_scores": 1}
    assert made.planned == 6
    assert made.frame["group_id"].unique().to_list() == ["a"]
    assert set(made.frame.select("chosen_id", "rejected_id").rows()) == {
        ("a1", "a0"), ("a2", "a0"), ("a3", "a0"), ("a3", "a1"), ("a3", "a2"),
    }  # fmt: skip
    assert made.frame["margin"].sort().to_list() == [1, 1, 1, 1, 2]


def test_rank_one_is_best() -> None:
    ranked = make_answers({"a": [1, 3, 2]}).rename({"score": "rank"})
    made = compare_ranked(ranked, ComparisonSettings(by="rank"))
    assert set(made.frame.select("chosen_id", "rejected_id").rows()) == {("a0", "a2"), ("a0", "a1"), ("a2", "a1")}
    assert (made.frame["score_chosen"] > made.frame["score_rejected"]).all()


def test_what_is_missing_empty_or_equal_is_no_pair_and_is_named() -> None:
    answers = make_answers(
        {"a": [1, None, float("nan"), 2], "b": [1, 2], "c": [1, 2], "d": [1.0, 1.4, 3.0], "e": [7]},
        {"b": ["  ", "words"], "c": ["same  words\n", "same words"]},
    )
    made = compare_ranked(answers, ComparisonSettings(least_margin=0.5))
    # of a: 6 comparisons, 5 with a missing score; of d: 3, one too close
    assert made.left_out == {"missing_score": 5, "empty_answer": 1, "identical_answers": 1, "small_margin": 1}
    assert made.frame["group_id"].value_counts().sort("group_id").rows() == [("a", 1), ("d", 2)]
    assert made.planned == 6 + 1 + 1 + 3 == count_all(made)


def test_two_verdicts_on_one_text_teach_neither() -> None:
    # the words of a0 and a3 are equal; one is worse than a1, the other better
    made = compare_ranked(make_answers({"a": [1, 2, 9, 3]}, {"a": ["x", "y", "z", " x "]}), ComparisonSettings())
    assert made.left_out == {"identical_answers": 1}
    assert count_all(made) == made.planned == 6
    # every pair is a row, so that what falls can be told with the pair that it falls for
    fallen = find_fallen(key_pairs(made.frame))
    assert fallen["reason"].value_counts().sort("reason").rows() == [("contradicted_pair", 2), ("repeated_pair", 1)]
    stays = made.frame.join(fallen, on="pair_id", how="anti")
    assert {(row[0].strip(), row[1].strip()) for row in stays.select("chosen", "rejected").rows()} == {
        ("z", "x"),
        ("z", "y"),
    }
    assert stays.height == 2


def test_at_most_nine_answers_are_ranked() -> None:
    made = compare_ranked(make_answers({"a": list(range(12))}), ComparisonSettings())
    assert made.frame.height == 36
    assert made.left_out == {"over_answers_per_prompt": 66 - 36}
    assert (
        compare_ranked(make_answers({"a": list(range(12))}), ComparisonSettings(answers_per_prompt=None)).frame.height
        == 66
    )


def test_repeated_ids_and_two_texts_of_one_prompt_stop() -> None:
    answers = make_answers({"a": [1, 2]})
    with pytest.raises(ConfigurationError, match="answer_id stands twice"):
        compare_ranked(pl.concat([answers, answers]), ComparisonSettings())
    other = answers.with_columns(prompt=pl.Series(["one", "two"]))
    with pytest.raises(ConfigurationError, match="'a' has two texts"):
        compare_ranked(other, ComparisonSettings())


_SCORES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.lists(st.one_of(st.none(), st.integers(1, 4).map(float)), min_size=1, max_size=6),
    min_size=1,
)


@given(_SCORES, st.randoms(use_true_random=False))
def test_pairs_are_all_unequal_comparisons_whatever_the_order(
    scores: dict[str, list[float | None]], random: object
) -> None:
    answers = make_answers(scores)
    made = compare_ranked(answers, ComparisonSettings())
    order = list(range(answers.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert compare_ranked(answers[order], ComparisonSettings()).frame.equals(made.frame)
    unequal = sum(
        first is not None and second is not None and first != second
        for values in scores.values()
        for first, second in combinations(values, 2)
    )
    assert made.frame.height == unequal
    assert count_all(made) == made.planned == sum(len(values) * (len(values) - 1) // 2 for values in scores.values())
    assert (made.frame["score_chosen"] > made.frame["score_rejected"]).all()


@given(st.integers(0, 5), st.integers(1, 9))
def test_no_split_and_no_batch_parts_a_prompt(seed: int, pairs_per_batch: int) -> None:
    made = compare_ranked(make_answers({name: [1, 2, 3, 3] for name in "abcdefghij"}), ComparisonSettings()).frame
    train, validation = split_groups(made, 0.3, seed)
    assert train.height + validation.height == made.height == 50
    assert not set(train["group_id"]) & set(validation["group_id"])
    batches = list(batch_groups(made, pairs_per_batch))
    assert pl.concat(batches).equals(made)
    assert sum(batch["group_id"].n_unique() for batch in batches) == 10
    assert all(batch.height <= max(pairs_per_batch, 5) for batch in batches)


def test_a_split_has_about_its_share_and_follows_the_group_alone() -> None:
    made = compare_ranked(make_answers({f"p{n}": [1, 2] for n in range(2000)}), ComparisonSettings()).frame
    _, validation = split_groups(made, 0.1)
    assert 150 < validation.height < 250
    _, of_half = split_groups(made.head(1000), 0.1)
    assert set(of_half["group_id"]) == set(validation["group_id"]) & set(made.head(1000)["group_id"])


def test_pairs_are_rendered_by_the_release() -> None:
    made = compare_ranked(make_answers({"a": [1, 2, 3]}), ComparisonSettings())
    assert set(PAIRS_SCHEMA) <= set(COMPARISONS_SCHEMA)
    instructions = pl.DataFrame(
        {"instruction_id": ["a"], "dump": ["d"], "instruction": ["Prompt a"], "context": [None], "images": [[]]},
        schema_overrides={"context": pl.String, "images": pl.List(pl.String)},
    )
    rendered = render_preferences(made.frame.with_columns(dump=pl.lit("d")), instructions)
    assert rendered["group_id"].to_list() == ["a"] * 3


def test_accounts_add_up() -> None:
    one = compare_ranked(make_answers({"a": [1, 2, 2]}), ComparisonSettings())
    joined = join_comparisons([one, one, compare_ranked(make_answers({"b": [1]}), ComparisonSettings())])
    assert (joined.frame.height, joined.planned, joined.left_out) == (4, 6, {"tied_scores": 2})


# families -------------------------------------------------------------------------------------------------------------

_FAMILIES = {"o3-mini": "gpt"}


def test_a_judge_knows_its_own_family() -> None:
    judge = ScriptedTeacher(lambda _: "", "endpoint:gpt-4o@1")
    assert is_own_family(judge, "endpoint:gpt-3.5-turbo@2", {})
    assert not is_own_family(judge, "endpoint:llama-2@2", {})
    # what no name tells has to be given
    assert not is_own_family(judge, "endpoint:o3-mini@2", {})
    assert is_own_family(judge, "endpoint:o3-mini@2", _FAMILIES)
    assert not is_own_family(judge, "", {})


@given(st.lists(st.integers(1, 12), max_size=5), st.integers(1, 20))
def test_the_quota_is_the_largest_that_can_be(sizes: list[int], twentieths: int) -> None:
    counts = Counter({f"f{place}": size for place, size in enumerate(sizes)})
    possible = [
        quota
        for quota in range(max(sizes, default=0) + 1)
        if all(20 * min(size, quota) <= twentieths * sum(min(other, quota) for other in sizes) for size in sizes)
    ]
    assert find_quota(counts, twentieths / 20) == max(possible)


def test_no_family_writes_more_than_its_share() -> None:
    made = compare_ranked(make_answers({f"p{n}": [1, 2] for n in range(10)}), ComparisonSettings())
    families = {f"p{n}1": "gpt" if n < 7 else "llama" if n < 9 else "other" for n in range(10)}
    capped = cap_families(made, families, 0.5)
    # 3 of the one, 2 and 1 of the others: 3 of 6 is a half, and 4 of 7 is more
    assert capped.frame.height == 6
    assert capped.left_out == {"over_family_share": 4}
    assert capped.planned == count_all(capped) == 10
    assert cap_families(made, families, 1.0).frame.equals(made.frame)
    assert cap_families(made, families, 0.2).frame.height == 0
    with pytest.raises(ConfigurationError, match="which family wrote"):
        cap_families(made, {}, 0.5)
    with pytest.raises(ConfigurationError, match="above 0"):
        cap_families(made, families, 0)


# best of n ------------------------------------------------------------------------------------------------------------


def test_best_against_worst_and_every_reason_for_none() -> None:
    answers = make_answers({"a": [5, 9, 1], "b": [3, 3], "c": [4, None], "d": [4, 4.5], "e": [None, None]})
    picked = pick_best(answers, BestOfNSettings(least_margin=1))
    assert picked.comparisons.frame.select("chosen_id", "rejected_id").rows() == [("a1", "a2")]
    assert picked.comparisons.left_out == {"too_few_scored_answers": 2, "small_margin": 1, "tied_scores": 1}
    assert picked.comparisons.planned == count_all(picked.comparisons) == 5
    assert picked.best["answer_id"].to_list()[0] == "a1"
    assert picked.best["prompt_id"].to_list() == ["a", "b", "d"]


def test_a_drawn_answer_is_worse_than_the_best_and_not_always_the_worst() -> None:
    answers = make_answers({f"p{n}": [1, 2, 3, 9, 9] for n in range(60)})
    drawn = pick_best(answers, BestOfNSettings(rejected="drawn")).comparisons.frame
    counts = dict(drawn["score_rejected"].value_counts().iter_rows())
    assert set(counts) == {1.0, 2.0, 3.0}
    assert min(counts.values()) >= 10
    assert set(drawn["chosen_id"].str.slice(-1)) == {"3", "4"}
    assert pick_best(answers.reverse(), BestOfNSettings(rejected="drawn")).comparisons.frame.equals(drawn)


# verified -------------------------------------------------------------------------------------------------------------


def test_right_against_wrong_of_one_prompt() -> None:
    texts = {
        "a": ["So it is 4.", "I get 5", "\\boxed{4}", "no idea", " "],
        "b": ["4", "the answer is 4"],
        "c": ["3"],
        "d": ["?"],
    }
    answers = make_answers({name: [None] * len(said) for name, said in texts.items()}, texts).with_columns(
        reference=pl.lit("4")
    )
    made = pair_verified(answers, make_verifier(AnswerCheck()), VerifiedSettings())
    assert set(made.comparisons.frame.select("chosen_id", "rejected_id").rows()) == {("a0", "a1"), ("a2", "a1")}
    assert made.answers == {"right": 4, "wrong": 2, "unverified": 2, "empty": 1}
    assert made.prompts == {"all_right": 1, "all_wrong": 1, "paired": 1, "unverified": 1}
    capped = pair_verified(answers, make_verifier(AnswerCheck()), VerifiedSettings(pairs_per_prompt=1)).comparisons
    assert (capped.frame.height, capped.left_out) == (1, {"over_pairs_per_prompt": 1})


def test_code_is_verified_by_whatever_is_given() -> None:
    texts = {"a": ["return n + 1", "return n", "loop"]}
    answers = make_answers({"a": [None, None, None]}, texts)
    seen: list[str] = []

    def run(row: object) -> bool | None:
        seen.append(row["answer"])  # type: ignore[index]
        return {"return n + 1": True, "return n": False}.get(seen[-1])

    made = pair_verified(answers, run, VerifiedSettings(criterion="tests"))
    assert made.comparisons.frame.select("chosen", "rejected", "criterion").rows() == [
        ("return n + 1", "return n", "tests")
    ]
    assert sorted(seen) == sorted(texts["a"])


# SPIN -----------------------------------------------------------------------------------------------------------------

_ROWS = pl.DataFrame(
    {
        "prompt_id": list("abcdef"),
        "prompt": [f"Say {name}" for name in "abcdef"],
        "answer_id": [f"real-{name}" for name in "abcdef"],
        "answer": [f"{name} it is" for name in "abcdef"],
    }
)


def answer_in_play(request: object) -> str | ChatReply | ChatFailure:
    said = request.messages[-1].content  # type: ignore[attr-defined]
    replies: dict[str, str | ChatReply | ChatFailure] = {
        "Say a": "A!",
        "Say b": "b  it is ",
        "Say c": ChatFailure("timeout", "slow"),
        "Say d": "   ",
        "Say e": ChatReply("e it is not beca", "length", 1, 1),
        "Say f": "F!",
    }
    return replies[said]


def test_real_against_generated_and_every_reason_for_none() -> None:
    policy = ScriptedTeacher(answer_in_play, "scripted:policy@0")
    own = generate_answers(_ROWS, policy, 0, SpinSettings())
    assert own.frame["prompt_id"].to_list() == ["a", "b", "f"]
    assert own.rejected == {"cut_answer": 1, "empty_answer": 1, "teacher_timeout": 1}
    assert own.planned == 6 == own.spent.requests
    made = pair_with_own(_ROWS, own.frame)
    assert made.frame.select("chosen", "rejected").rows() == [("a it is", "A!"), ("f it is", "F!")]
    assert made.left_out == {"no_generation": 3, "identical_answers": 1}
    assert made.frame["policy"].unique().to_list() == ["scripted:policy@0"]
    assert list_spin_rows(made.frame)[0] == {
        "real": [{"role": "user", "content": "Say a"}, {"role": "assistant", "content": "a it is"}],
        "generated": [{"role": "user", "content": "Say a"}, {"role": "assistant", "content": "A!"}],
    }
    kept_cut = generate_answers(_ROWS, policy, 0, SpinSettings(keeps_cut=True))
    assert kept_cut.rejected == {"empty_answer": 1, "teacher_timeout": 1}


def test_an_iteration_trains_on_itself_and_the_one_before() -> None:
    made = {}
    for iteration in range(3):
        policy = ScriptedTeacher(lambda request, n=iteration: f"try {n}", f"scripted:policy{iteration}@0")
        own = generate_answers(_ROWS, policy, iteration, SpinSettings())
        made[iteration] = pair_with_own(_ROWS, own.frame).frame
    assert add_previous(made[0], made[0].clear()).height == 6
    pool = pl.concat([made[0], made[1]])
    mixed = add_previous(made[2], pool)
    assert mixed["iteration"].value_counts().sort("iteration").rows() == [(1, 6), (2, 6)]
    assert mixed["pair_id"].n_unique() == 12
    with pytest.raises(ConfigurationError, match="must be of one"):
        add_previous(pool, made[2])
    with pytest.raises(ConfigurationError, match="several iterations"):
        pair_with_own(_ROWS, pl.DataFrame({"prompt_id": ["a", "b"], "iteration": [0, 1]}))
    with pytest.raises(ConfigurationError, match="twice"):
        pair_with_own(pl.concat([_ROWS, _ROWS]), own.frame)
