from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.preferences import build_pairs


def make(
    scores: dict[str, list[float | None]], texts: dict[str, list[str]] | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        (f"{name}-{place}", name, (texts or {}).get(name, [f"t{n}" for n in range(len(values))])[place], value)
        for name, values in scores.items()
        for place, value in enumerate(values)
    ]
    names = ["response_id", "instruction_id", "response", "score"]
    frame = pl.DataFrame(
        rows, schema=dict(zip(names, (pl.String, pl.String, pl.String, pl.Float64), strict=True)), orient="row"
    )
    status = pl.when(pl.col("score").is_null()).then(pl.lit("unparsed")).otherwise(pl.lit("ok"))
    judgements = frame.select("response_id", "score", criterion=pl.lit("c"), judgement_status=status)
    return frame.drop("score"), judgements


def test_best_against_worst() -> None:
    built = build_pairs(*make({"a": [5, 9, 1, 9], "b": [3, 3], "c": [4], "d": [None, 7, None]}))
    assert built.frame.select("chosen_id", "rejected_id").rows() == [("a-1", "a-2")]
    assert built.instructions == 4
    assert built.left_out == {"single_response": 2, "unparsed_judgement": 2, "tied_scores": 1}


def test_all_comparisons_of_four_answers_with_one_tie_are_five() -> None:
    built = build_pairs(*make({"a": [1, 2, 2, 3]}), which="all")
    assert built.frame.height == 5
    assert built.left_out == {"tied_scores": 1}


def test_equal_words_are_no_preference() -> None:
    built = build_pairs(*make({"a": [1, 2]}, {"a": ["same  words\n", "same words"]}))
    assert built.frame.height == 0
    assert built.left_out == {"identical_responses": 1}


_SCORES = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.one_of(st.none(), st.integers(1, 4).map(float)), min_size=1, max_size=5)
)


@given(_SCORES, st.sampled_from(["best_worst", "all"]))
def test_a_pair_prefers_something_and_stays_within_its_instruction(
    scores: dict[str, list[float | None]], which: str
) -> None:
    built = build_pairs(*make(scores), which=which)  # type: ignore[arg-type]
    for row in built.frame.iter_rows(named=True):
        assert row["score_chosen"] > row["score_rejected"]
        assert row["chosen"].split() != row["rejected"].split()
        assert row["chosen_id"].startswith(row["instruction_id"])
        assert row["rejected_id"].startswith(row["instruction_id"])
    assert built.frame["pair_id"].n_unique() == built.frame.height
    unparsed = sum(value is None for values in scores.values() for value in values)
    assert built.left_out.get("unparsed_judgement", 0) == unparsed
    if which == "best_worst":
        lost = sum(built.left_out.values()) - unparsed
        assert built.frame.height + lost == built.instructions == len(scores)
