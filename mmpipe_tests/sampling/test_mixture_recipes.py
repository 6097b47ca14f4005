"""Mixtures: the books balance to the token, and published tables are read as they were printed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken, RecipeError
from mmpipe.sampling.mixing import account_mixture, choose_documents, plan_mixture
from mmpipe.sampling.mixture_recipes import (
    list_mixtures,
    list_token_budgets,
    load_mixture,
    parse_mixture,
    plan_recipe,
    plan_token_budget,
)


def make_documents(lengths: dict[str, list[int]]) -> pl.DataFrame:
    rows = [(f"{source}{n}", source, tokens) for source, own in lengths.items() for n, tokens in enumerate(own)]
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "source": pl.String, "tokens": pl.Int64}, orient="row")


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 60), min_size=1, max_size=20), min_size=1),
    st.data(),
)
@settings(max_examples=80)
def test_the_books_balance(lengths: dict[str, list[int]], data: st.DataObject) -> None:
    frame = make_documents(lengths)
    sources = {source: sum(own) for source, own in lengths.items()}
    weights = {source: data.draw(st.floats(0.1, 5)) for source in sources}
    total = data.draw(st.integers(1, 3 * sum(sources.values())))
    plan = plan_mixture(sources, weights=weights, total_tokens=total)
    chosen = choose_documents(frame, {share.source: share.epochs for share in plan}, seed=4)
    accounts = account_mixture(plan, frame, chosen)
    assert sum(account.read_tokens for account in accounts) == int(chosen["tokens"].sum())
    assert sum(account.read_documents for account in accounts) == chosen.height
    assert sum(account.read_weight for account in accounts) == pytest.approx(1.0 if chosen.height else 0.0)
    for account, share in zip(accounts, plan, strict=True):
        assert sum(account.tokens_by_epoch) == account.read_tokens
        assert sum(account.documents_by_epoch) == account.read_documents
        full = int(share.epochs)
        assert account.tokens_by_epoch[:full] == (account.tokens,) * full
        assert abs(account.missed_tokens) <= max(lengths[account.source]) / 2 + 1


def test_an_account_tells_every_epoch() -> None:
    frame = make_documents({"web": [10, 20, 30], "books": [40]})
    plan = plan_mixture({"web": 60, "books": 40}, epochs={"web": 1, "books": 2})
    chosen = choose_documents(frame, {"web": 1.0, "books": 2.0}, seed=1)
    books, web = account_mixture(plan, frame, chosen)
    assert (books.documents_by_epoch, books.tokens_by_epoch, books.read_tokens) == ((1, 1), (40, 40), 80)
    assert (web.documents_by_epoch, web.missed_tokens, web.documents) == ((3,), 0, 3)
    assert books.read_weight == books.planned_weight == 80 / 140


def test_books_that_do_not_balance_are_refused() -> None:
    frame = make_documents({"web": [10] * 10})
    plan = plan_mixture({"web": 100}, epochs={"web": 1})
    chosen = choose_documents(frame, {"web": 1.0}, seed=1)
    for wrong, said in (
        (pl.concat([chosen, chosen.head(1)]), "read twice in one epoch"),
        (chosen.with_columns(tokens=pl.lit(11, dtype=pl.Int64)), "not as there are"),
        (chosen.head(5), "gives 50 tokens, planned were 100"),
    ):
        with pytest.raises(InvariantBroken, match=said):
            account_mixture(plan, frame, wrong)
    with pytest.raises(InvariantBroken, match="plan counts 100 tokens in 'web', its documents 90"):
        account_mixture(plan, frame.head(9), chosen.filter(pl.col("doc_id") != "web9"))


def test_the_llama_table_is_the_printed_one() -> None:
    assert list_mixtures() == ["llama"]
    recipe = load_mixture("llama")
    assert sum(recipe.weights.values()) == pytest.approx(100)
    assert (recipe.weights["github"], recipe.epochs["github"]) == (4.5, 0.64)
    assert (recipe.weights["wikipedia"], recipe.epochs["wikipedia"]) == (4.5, 2.45)
    assert recipe.total_tokens == 1_400_000_000_000
    # sources as large as the table implies give its epochs back
    plan = plan_recipe(recipe, recipe.count_tokens(), total_tokens=recipe.total_tokens)
    assert {share.source: round(share.epochs, 2) for share in plan} == dict(sorted(recipe.epochs.items()))
    assert sum(share.planned_tokens for share in plan) == pytest.approx(recipe.total_tokens, abs=len(plan))


def test_a_recipe_keeps_proportions_among_the_sources_at_hand() -> None:
    recipe = load_mixture("llama")
    plan = plan_recipe(recipe, {"c4": 1000, "books": 1000}, total_tokens=390)
    assert {share.source: share.planned_tokens for share in plan} == {"books": 90, "c4": 300}
    plan = plan_recipe(recipe, {"c4": 1000, "books": 1000}, by="epochs")
    assert {share.source: share.planned_tokens for share in plan} == {"books": 2230, "c4": 1060}


def test_what_a_recipe_does_not_know_is_named() -> None:
    recipe = load_mixture("llama")
    with pytest.raises(ConfigurationError, match="Did you mean 'wikipedia'"):
        plan_recipe(recipe, {"wikipedai": 5})
    with pytest.raises(ConfigurationError, match="not 'weight'"):
        plan_recipe(recipe, {"c4": 5}, by="weight")
    with pytest.raises(RecipeError, match="Did you mean 'llama'"):
        load_mixture("lama")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sourcs": {}}, r"own\.yaml: unknown key 'sourcs'.* 'sources'"),
        ({"sources": {"web": {"weight": 0, "epochs": 1}}}, "weight of 'web' must be a number above 0, not 0"),
        ({"sources": {"web": {"weight": 1, "epochs": "two"}}}, "epochs of 'web' must be a number above 0, not 'two'"),
        ({"sources": {"web": {"weight": True, "epochs": 1}}}, "not True"),
    ],
)
def test_files_that_are_no_mixture_are_named(change: dict[str, Any], said: str) -> None:
    sound = {"name": "own", "source": "s", "total_tokens": 5, "sources": {"web": {"weight": 1, "epochs": 1}}}
    assert parse_mixture(sound, "own.yaml").weights == {"web": 1.0}
    with pytest.raises(RecipeError, match=said):
        parse_mixture(sound | change, "own.yaml")
    with pytest.raises(RecipeError, match="needs"):
        parse_mixture([], "own.yaml")


def test_token_budgets_are_chinchillas() -> None:
    assert plan_token_budget(70e9) == 1_400_000_000_000
    assert plan_token_budget(1e9, tokens_per_parameter=100) == 100_000_000_000
    # the rule of thumb is within an eighth of every row of the table
    for parameters, tokens in list_token_budgets():
        assert plan_token_budget(parameters) == pytest.approx(tokens, rel=0.125)
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(ConfigurationError, match="parameters must be above 0"):
            plan_token_budget(wrong)
