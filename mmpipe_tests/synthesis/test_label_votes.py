"""CoAnnotating: nine votes, flipped negations, entropies, and a split between model and people that beats chance."""

from __future__ import annotations

import math
import random
from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.label_prompts import UNPARSED, LabelTask, list_variants
from mmpipe.synthesis.label_votes import (
    VOTES_SCHEMA,
    allocate,
    collect_votes,
    find_majority,
    measure_entropy,
    merge_labels,
    trace_frontier,
)
from mmpipe.synthesis.rater_agreement import measure_cohen_kappa, measure_fleiss_kappa
from mmpipe.tables.chat import ChatFailure, ChatRequest

TASK = LabelTask("Is the review positive or negative?", ("positive", "negative"))
TOPICS = LabelTask("What is it about?", ("sport", "politics", "science", "water sport"))


def make_votes(votes: dict[str, str]) -> pl.DataFrame:
    """Make votes of letters: p, n, and - for what is none."""
    names = {"p": "positive", "n": "negative", "-": UNPARSED, "s": "sport"}
    rows = [
        (item, f"v{place}", names[letter], "", "t", "1")
        for item, letters in votes.items()
        for place, letter in enumerate(letters)
    ]
    return pl.DataFrame(rows, schema=VOTES_SCHEMA, orient="row")


def answer_truly(request: ChatRequest) -> str:
    """Answer each variant as one who sees what the text is, so that every vote must be for it."""
    said = request.messages[-1].content
    truth = "positive" if "good" in said.split("\n")[0] else "negative"
    if "one letter" in said:
        return "A)" if f"A) {truth}" in said else "B)"
    if "yes or no" not in said and "true or false" not in said:
        return truth.capitalize() + "."
    claimed = "positive" if "'positive'" in said else "negative"
    is_negated = "is not" in said or "Is it wrong" in said
    holds = (claimed == truth) != is_negated
    return ("True" if holds else "False") if "true or false" in said else ("Yes, it is." if holds else "No.")


def test_nine_different_prompts_and_negated_answers_turned_round() -> None:
    items = pl.DataFrame({"item_id": ["1", "2"], "text": ["a good film", "a bad film"]})
    teacher = ScriptedTeacher(answer_truly)
    made = collect_votes(items, TASK, teacher)
    assert made.frame.group_by("item_id", "vote").len().sort("item_id").rows() == [
        ("1", "positive", 9),
        ("2", "negative", 9),
    ]
    assert len({request.messages for request in teacher.asked}) == 18 == made.spent.requests
    assert made.frame["prompt_version"].n_unique() == 9
    assert made.unparsed == {}
    said = dict(made.frame.filter(pl.col("item_id") == "1").select("variant", "reply").iter_rows())
    assert said["negated_statement"] == "False"
    assert said["negated_yes_no"] == said["other_confirmation"] == "No."
    assert said["swapped_choice"] == "B)"


def test_what_is_no_label_is_a_vote_of_its_own() -> None:
    items = pl.DataFrame({"item_id": ["1"], "text": ["a good film"]})

    def answer(request: ChatRequest) -> str | ChatFailure:
        said = request.messages[-1].content
        if "one letter" in said:
            return "C)"
        return ChatFailure("timeout", "slow") if "I think" in said else answer_truly(request)

    made = collect_votes(items, TASK, ScriptedTeacher(answer))
    assert dict(made.frame["vote"].value_counts().iter_rows()) == {"positive": 5, UNPARSED: 4}
    assert made.unparsed == {"no_label": 2, "teacher_timeout": 2}
    split = allocate(made.frame, 0).row(0, named=True)
    assert split["entropy"] == pytest.approx(0.991, abs=5e-4)
    assert (split["model_label"], split["votes"], split["unparsed"]) == ("positive", 9, 4)


_VARIANTS = {variant.name: variant for variant in list_variants(TASK)}


@pytest.mark.parametrize(
    ("variant", "reply", "vote"),
    [
        ("question", "positive", "positive"),
        ("question", " **Positive** ", "positive"),
        # asked for yes or no, the label itself
        ("negated_statement", "The review is positive.", "positive"),
        ("other_confirmation", "It is not negative.", UNPARSED),
        ("yes_no", "Neither positive nor negative.", UNPARSED),
        ("question", "The review is negative.", "negative"),
        ("question", "It is not positive", UNPARSED),
        ("question", "positive or negative", UNPARSED),
        ("question", "", UNPARSED),
        ("question", "a good review", UNPARSED),
        ("question", "nonnegative", UNPARSED),
        ("choice", "A", "positive"),
        ("choice", "b.", "negative"),
        ("choice", "B) negative", "negative"),
        ("choice", "A) negative", UNPARSED),
        ("choice", "A positive one", "positive"),
        ("swapped_choice", "A", "negative"),
        ("statement", "True", "positive"),
        ("statement", "False, I think", "negative"),
        ("statement", "That is not true", UNPARSED),
        ("statement", "It's false", "negative"),
        ("statement", "true and false", UNPARSED),
        ("statement", "False, it would be wrong to call it true", "negative"),
        ("statement", "maybe", UNPARSED),
        ("statement", "…", UNPARSED),
        ("negated_statement", "True", "negative"),
        ("negated_statement", "False", "positive"),
        ("negated_yes_no", "yes", "negative"),
        ("other_confirmation", "Yes", "negative"),
        ("other_confirmation", "No", "positive"),
    ],
)
def test_replies(variant: str, reply: str, vote: str) -> None:
    assert _VARIANTS[variant].read(reply) == vote


def test_more_labels_than_two_are_always_offered() -> None:
    variants = list_variants(TOPICS)
    assert len({variant.name for variant in variants}) == len({variant.prompt.version for variant in variants}) == 9
    assert all(variant.choices and not variant.by_answer for variant in variants)
    lettered = [variant for variant in variants if variant.name.startswith("choice")]
    assert len({variant.read("A") for variant in lettered}) == 3
    # a name within a longer one that is meant
    assert all(variant.read("Water sport!") == "water sport" for variant in variants)
    assert all(variant.read("sport") == "sport" for variant in variants)


def test_tasks_that_cannot_be_asked_stop() -> None:
    for labels in (("one",), ("a", "A "), ("a", " ")):
        with pytest.raises(ConfigurationError, match="two or more different"):
            list_variants(LabelTask("?", labels))
    with pytest.raises(ConfigurationError, match="No label may be called"):
        list_variants(LabelTask("?", ("ok", "Unparsed")))
    items = pl.DataFrame({"item_id": ["1", "1"], "text": ["a", "b"]})
    with pytest.raises(ConfigurationError, match="stands twice"):
        collect_votes(items, TASK, ScriptedTeacher(answer_truly))
    braces = collect_votes(items.head(1), LabelTask("Is {x} a field?", ("{", "}")), ScriptedTeacher(lambda _: "{"))
    assert braces.frame.height == 9
    assert braces.frame.filter(pl.col("variant") == "question")["vote"].to_list() == ["{"]


def test_entropies() -> None:
    assert measure_entropy({"p": 9}) == 0
    assert measure_entropy({"p": 9, "n": 0}) == 0
    assert measure_entropy({"p": 5, "n": 4}) == pytest.approx(0.99107606)
    assert measure_entropy({"p": 3, "n": 3, UNPARSED: 3}) == pytest.approx(math.log2(3))
    assert math.copysign(1, measure_entropy({"p": 9})) == 1


def test_people_get_what_the_model_disagrees_on_and_what_it_cannot_label() -> None:
    votes = make_votes(
        {
            "sure": "p" * 9,
            "torn": "pppppnnnn",
            "odd": "ppppppppn",
            "mute": "-" * 9,
            "tie": "ppppnnnn-",
            "sure2": "n" * 9,
        }
    )
    split = allocate(votes, 3)
    assert dict(split.select("item_id", "annotator").iter_rows()) == {
        "sure": "model", "sure2": "model", "odd": "model", "torn": "people", "mute": "people", "tie": "people",
    }  # fmt: skip
    # nine unreadable votes are unanimous, and no label
    assert split.filter(pl.col("item_id") == "mute").select("model_label", "entropy").row(0) == (None, 0.0)
    assert split["item_id"].to_list()[-2:] == ["mute", "tie"]
    short = dict(allocate(votes, 1).select("item_id", "annotator").iter_rows())
    assert (short["tie"], short["mute"], short["torn"]) == ("people", "nobody", "model")
    assert allocate(votes, 100)["annotator"].to_list() == ["people"] * 6
    with pytest.raises(ConfigurationError, match="cannot label -1"):
        allocate(votes, -1)


@given(st.lists(st.text("pn-", min_size=9, max_size=9), min_size=1, max_size=20), st.integers(0, 25), st.randoms())
def test_budget_is_kept_and_order_changes_nothing(items: list[str], budget: int, shuffler: random.Random) -> None:
    votes = {f"i{place}": letters for place, letters in enumerate(items)}
    split = allocate(make_votes(votes), budget)
    names = list(votes)
    shuffler.shuffle(names)
    assert allocate(make_votes({name: votes[name] for name in names}), budget).equals(split)
    counts = Counter(split["annotator"].to_list())
    assert counts["people"] == min(budget, len(items))
    assert split.height == len(items)
    mine = split.filter(pl.col("annotator") == "model")
    assert mine["model_label"].null_count() == 0
    others = split.filter((pl.col("annotator") == "people") & pl.col("model_label").is_not_null())
    if mine.height and others.height:
        assert mine["entropy"].max() <= others["entropy"].min() + 1e-12  # type: ignore[operator]


def test_the_split_beats_chance_on_voters_whose_errors_are_known() -> None:
    draws = random.Random(7)
    truth, votes = {}, {}
    for number in range(600):
        truth[f"i{number}"] = "positive"
        # a third of the items is hard: each vote is a coin thrown a little wrong
        right = 0.45 if number % 3 == 0 else 0.93
        votes[f"i{number}"] = "".join("p" if draws.random() < right else "n" for _ in range(9))
    split = allocate(make_votes(votes), 200)
    frontier = trace_frontier(split, truth, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0])
    inner = frontier.filter(pl.col("people_share").is_between(0.05, 0.95))
    assert (inner["accuracy"] > inner["by_chance"] + 0.02).all()
    assert frontier["accuracy"].is_sorted()
    assert frontier.row(0, named=True)["accuracy"] == frontier.row(0, named=True)["by_chance"]
    assert frontier.row(-1, named=True)["accuracy"] == 1.0
    assert frontier["people_items"].to_list() == [0, 60, 120, 180, 240, 300, 600]
    # and against draws that were made, not only expected
    wrong = [item for item, letters in votes.items() if letters.count("p") < 5]
    found = set(split.filter(pl.col("annotator") == "people")["item_id"]) & set(wrong)
    by_draw = [len(set(draws.sample(list(votes), 200)) & set(wrong)) for _ in range(50)]
    assert len(found) > max(by_draw)


def test_people_are_the_final_arbiter() -> None:
    split = allocate(
        make_votes({"a": "p" * 9, "b": "pppppnnnn", "c": "n" * 9, "d": "nnnnnpppp", "e": "-" * 9, "f": "p" * 9}), 2
    )
    reviews = pl.DataFrame(
        [
            ("b", "ann", "negative"), ("b", "bob", "positive"), ("b", "bob", "negative"), ("d", "ann", "negative"),
            ("d", "bob", "positive"), ("a", "ann", "positive"), ("a", "bob", "positive"), ("c", "ann", None),
            ("x", "ann", "positive"), ("a", "bob", "negative"), ("a", "bob", "positive"), ("f", "ann", "negative"),
            ("f", "bob", "positive"),
        ],
        schema=["item_id", "annotator", "label"],
        orient="row",
    )  # fmt: skip
    merged = merge_labels(split, reviews)
    labels = {row["item_id"]: (row["label"], row["labelled_by"]) for row in merged.frame.iter_rows(named=True)}
    assert labels == {
        "a": ("positive", "people"), "b": ("negative", "people"), "c": ("negative", "model"), "d": (None, "nobody"),
        "e": (None, "nobody"), "f": (None, "nobody"),
    }  # fmt: skip
    assert merged.unknown == 1
    assert merged.disagreements == 2
    # a agrees and b does not
    assert merged.model_kappa == pytest.approx(measure_cohen_kappa(["p", "n"], ["p", "p"]))
    # a, b, d and f have two labels each: agreement 1/2, and by chance 1/2 as well
    assert merged.people_items == 4
    assert merged.people_kappa == pytest.approx(0)
    assert merge_labels(split, reviews.clear()).frame["labelled_by"].to_list().count("people") == 0


def test_majorities() -> None:
    assert find_majority({"p": 5, "n": 4}) == "p"
    assert find_majority({"p": 4, "n": 4, UNPARSED: 1}) is None
    assert find_majority({"p": 4, UNPARSED: 5}) is None
    assert find_majority({}) is None


def test_kappas_of_the_books() -> None:
    # Cohen's: 20 both yes, 5 and 10 one only, 15 both no (Wikipedia's example)
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert measure_cohen_kappa(first, second) == pytest.approx(0.4)
    assert measure_cohen_kappa(["y", "y"], ["y", "y"]) is None
    assert measure_cohen_kappa([], []) is None
    with pytest.raises(ConfigurationError, match="1 and 2 labels"):
        measure_cohen_kappa(["y"], ["y", "n"])
    # Fleiss's: 14 raters, 10 items, 5 categories (the same page)
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1), (7, 7, 0, 0, 0),
        (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    counts = [dict(zip("abcde", row, strict=True)) for row in table]
    assert measure_fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)
    assert measure_fleiss_kappa([{"a": 1}, {"b": 1}]) is None
    assert measure_fleiss_kappa([{"a": 3}, {"a": 3}]) is None
    assert measure_fleiss_kappa([]) is None
    with pytest.raises(ConfigurationError, match=r"\[1, 2\]"):
        measure_fleiss_kappa([{"a": 1}, {"b": 2}])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_kappa_is_even_handed_and_at_most_one(pairs: list[tuple[str, str]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    kappa = measure_cohen_kappa(first, second)
    assert kappa == measure_cohen_kappa(second, first)
    if kappa is not None:
        assert kappa <= 1
        assert (kappa == 1) == (first == second)


def test_equal_votes_have_equal_entropy_whichever_label_came_first() -> None:
    # every way to share nine votes among three labels: equals are told apart by hash, not by rounding
    shares = [(one, other, 9 - one - other) for one in range(10) for other in range(10 - one)]
    by_counts: dict[tuple[int, ...], set[float]] = {}
    for counts in shares:
        by_counts.setdefault(tuple(sorted(counts)), set()).add(measure_entropy(dict(zip("abc", counts, strict=True))))
    assert {len(entropies) for entropies in by_counts.values()} == {1}
