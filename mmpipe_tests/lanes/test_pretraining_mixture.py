"""Mixtures of training sequences by a recipe: published shares, token budgets, added tokens, books that balance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, InvariantBroken, RecipeError
from mmpipe.filtering.pretraining_sections import MIXTURES, PretrainingSettings
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.pretraining_mixture import MixturePlan, account_published, plan_epochs, plan_sources
from mmpipe.lanes.pretraining_sources import open_source
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.models.tokenizer import load_tokenizer
from mmpipe.sampling.mixture_recipes import list_mixtures
from mmpipe.storage.lake import Lake
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

SEQUENCES = RELEASE_LANE[-1]
LLAMA: dict[str, Any] = {"mixture": "llama", "source_names": {"crawl-1": "commoncrawl", "crawl-2": "commoncrawl"}}
#: Dump to documents, each of so many words; a word is a token or two.
DUMPS = {"crawl-1": 40, "crawl-2": 20, "wikipedia": 12}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    for dump, documents in DUMPS.items():
        texts = [
            {"doc_id": f"{dump}-{place}", "dump": dump, "text": " ".join(f"word{n}" for n in range(10 + 3 * place))}
            for place in range(documents)
        ]
        publish(lake, DEDUPED_CORPUS, dump, fill_rows(DEDUPED_CORPUS, texts))
    return lake


def mix(lake: Lake, **settings: Any) -> pl.DataFrame:
    """Release the sequences and return what was read: source, epoch, doc_id, tokens."""
    recipe = load_recipe("refinedweb")
    recipe = replace(recipe, pretraining=PretrainingSettings(sequence_length=64, **settings))
    run_stages(lake, None, [SEQUENCES], recipe=recipe)
    rows = lake.dataset(PRETRAINING_DATASET).scan().collect()
    pieces = rows.explode("doc_ids", "doc_lengths")
    return pieces.group_by("source", "epoch", doc_id="doc_ids").agg(tokens=pl.col("doc_lengths").cast(pl.Int64).sum())


def count_tokens(lake: Lake) -> dict[str, int]:
    tokenizer = load_tokenizer(None)
    return {
        dump: sum(
            len(ids) + 1
            for ids in tokenizer.encode_batch(lake.dataset(DEDUPED_CORPUS, dump).read_shard("all")["text"].to_list())
        )
        for dump in DUMPS
    }


def read_card(lake: Lake) -> str:
    return lake.dataset(PRETRAINING_DATASET).folder.join("README.md").read_text()


def test_llamas_shares_hold_whatever_the_dumps_sizes(lake: Lake) -> None:
    read = mix(lake, **LLAMA, total_tokens=12_000)
    tokens = dict(read.group_by("source").agg(pl.col("tokens").sum()).iter_rows())
    longest = int(str(read["tokens"].max()))
    wanted = {"crawl": 12_000 * 67 / 71.5, "wikipedia": 12_000 * 4.5 / 71.5}
    # whole documents: each dump is nearest to its part, to half of its longest document
    assert abs(tokens["crawl-1"] + tokens["crawl-2"] - wanted["crawl"]) <= longest
    assert abs(tokens["wikipedia"] - wanted["wikipedia"]) <= longest / 2
    # parts of one source are read equally often
    sizes = count_tokens(lake)
    assert tokens["crawl-1"] / sizes["crawl-1"] == pytest.approx(tokens["crawl-2"] / sizes["crawl-2"], abs=0.1)
    card = read_card(lake)
    row = next(line for line in card.splitlines() if line.startswith("| wikipedia | ") and "%" in line)
    documents = read.filter(pl.col("source") == "wikipedia").height
    share = 100 * tokens["wikipedia"] / sum(tokens.values())
    assert row.startswith(f"| wikipedia | {documents} | {tokens['wikipedia']:,} | {share:.2f} % | ")
    assert "Asked for were 12,000 tokens in all" in card


def test_llamas_epochs_are_those_of_the_table(lake: Lake) -> None:
    read = mix(lake, **LLAMA, mixture_by="epochs")
    sizes = count_tokens(lake)
    for dump, epochs in (("crawl-1", 1.10), ("wikipedia", 2.45)):
        own = read.filter(pl.col("source") == dump)
        assert own.filter(pl.col("epoch") < int(epochs)).height == int(epochs) * DUMPS[dump]
        assert abs(own["tokens"].sum() - epochs * sizes[dump]) <= int(str(own["tokens"].max())) / 2 + 1


def test_a_models_parameters_give_the_total(lake: Lake) -> None:
    read = mix(lake, parameters=1000.0)
    sizes = count_tokens(lake)
    assert read["tokens"].sum() == pytest.approx(20_000, abs=3 * int(str(read["tokens"].max())) / 2)
    for dump, own in sizes.items():
        part = read.filter(pl.col("source") == dump)["tokens"].sum()
        assert part / 20_000 == pytest.approx(own / sum(sizes.values()), abs=0.03)


def test_a_total_far_beyond_what_there_is_is_told_before_anything_is_packed(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    mix(lake, **LLAMA, total_tokens=12_000)
    assert "times" not in caplog.text
    tokenizer = load_tokenizer(None)
    sources = [open_source(lake.dataset(DEDUPED_CORPUS, dump)) for dump in DUMPS]
    plan_sources(PretrainingSettings(parameters=1e6), sources, tokenizer)
    sizes = count_tokens(lake)
    assert f"is read {20e6 / sum(sizes.values()):.4g} times" in caplog.text
    assert "more than 4 times" in caplog.text


def test_without_a_plan_every_document_is_read_once_and_the_card_says_so(lake: Lake) -> None:
    read = mix(lake)
    assert read.height == sum(DUMPS.values())
    sizes = count_tokens(lake)
    share = 100 * sizes["wikipedia"] / sum(sizes.values())
    assert f"| wikipedia | 12 | {sizes['wikipedia']:,} | {share:.2f} % | 1 |  |" in read_card(lake)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 10**9), min_size=1), st.integers(1, 10**10), st.data())
def test_weights_give_exactly_the_total(sizes: dict[str, int], total: int, data: st.DataObject) -> None:
    weights = {dump: data.draw(st.integers(1, 9)) for dump in sizes}
    epochs = plan_epochs(PretrainingSettings(weights=weights), sizes, total)
    assert sum(epochs[dump] * tokens for dump, tokens in sizes.items()) == pytest.approx(total)
    most = plan_epochs(PretrainingSettings(weights=weights), sizes, None)
    assert max(most.values()) == pytest.approx(1.0)


def test_sources_without_a_share_are_named(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"llama has no source 'crawl-1'.*\{crawl-1: …\}` \(comm"):
        mix(lake, mixture="llama")
    with pytest.raises(ConfigurationError, match="nothing gives 'crawl-2' a share; write 0"):
        mix(lake, weights={"crawl-1": 1, "wikipedia": 1})
    assert set(mix(lake, weights={"crawl-1": 1, "crawl-2": 0, "wikipedia": 1})["source"]) == {"crawl-1", "wikipedia"}


def test_sequences_that_lack_a_document_are_found(lake: Lake) -> None:
    mix(lake, weights={"crawl-1": 1, "crawl-2": 1, "wikipedia": 1})
    sources = [open_source(lake.dataset(DEDUPED_CORPUS, dump)) for dump in DUMPS]
    sizes = count_tokens(lake)
    counted = pl.DataFrame(
        [("strange", dump, tokens) for dump, tokens in sizes.items()],
        schema=["doc_id", "source", "tokens"],
        orient="row",
    )
    plan = MixturePlan(dict.fromkeys(DUMPS, 1.0), {}, counted)
    with pytest.raises(InvariantBroken, match="was chosen, but is not as there are"):
        account_published(lake.dataset(PRETRAINING_DATASET), sources, plan)


def test_added_tokens_stand_in_the_sequences_and_in_the_tokenizer_beside_them(lake: Lake) -> None:
    from transformers import AutoTokenizer

    before = load_tokenizer(None)
    mix(lake, added_tokens=("word12", "<pad-to>"))
    folder = Path(lake.dataset(PRETRAINING_DATASET).folder.url) / "release" / "tokenizer"
    plan = json.loads((folder / "embedding_plan.json").read_text())
    assert [each["id"] for each in plan] == [before.vocabulary_size, before.vocabulary_size + 1]
    assert plan[0]["mean_of_ids"] == before.encode_batch(["word12"])[0]
    theirs = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    rows = lake.dataset(PRETRAINING_DATASET).scan().collect()
    ids = set(rows["input_ids"].explode())
    assert before.vocabulary_size in ids
    assert theirs.decode([before.vocabulary_size]) == "word12"
    assert rows["tokenizer"].unique().str.contains(r"\+2@").all()
    mix(lake)
    assert not folder.exists()


def test_the_section_knows_every_mixture_that_is_shipped() -> None:
    assert list(MIXTURES) == list_mixtures()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{mixture: lama}", "Did you mean 'llama'"),
        ("{mixture: llama, epochs: {a: 2}}", "epochs and mixture both say how often"),
        ("{weights: {a: 1}, epochs: {a: 2}}", "epochs and weights both"),
        ("{weights: {a: 0}}", "weights are all 0"),
        ("{weights: {a: -1}}", "weights must not be negative"),
        ("{source_names: {a: books}}", "write one of them too"),
        ("{mixture_by: epochs}", "of a mixture: write one too"),
        ("{total_tokens: 10, parameters: 10}", "total_tokens and parameters both"),
        ("{epochs: {a: 2}, total_tokens: 10}", "total_tokens: epochs fix the total"),
        ("{mixture: llama, mixture_by: epochs, parameters: 10}", "parameters: epochs fix the total"),
        ("{parameters: 0}", "parameters must be above 0"),
        ("{added_tokens: [a, a]}", "'a' stands twice"),
        ("{added_tokens: [' a']}", "begins or ends in space"),
        ("{wieghts: {a: 1}}", "Did you mean 'weights'"),
    ],
)
def test_a_wrong_mixture_stops_with_its_line(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: refinedweb\n\npretraining: {section}\n")
    with pytest.raises(RecipeError, match=said) as error:
        load_recipe(str(path))
    assert "own.yaml:3" in str(error.value)
