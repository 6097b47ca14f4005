"""Cards of released rows tell sources, licences, lengths, evaluation sets, limits; a wrong word of a recipe stops."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import RecipeError
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.release_card import LENGTHS, count_classes
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.lake import Lake
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import PREFERENCE_DATASET, PRETRAINING_DATASET, SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS
from mmpipe.tables.text import DEDUPED_CORPUS, TEXT_CONTAMINATION
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.release_lake import make_release_lake
from mmpipe_tests.lanes.running import run_stages

STAGES = {stage.table.name: stage for stage in RELEASE_LANE}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps({"id": "7", "question": "How many clips?"}) + "\n")
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "b"}\n')
    (tmp_path / "own.yaml").write_text(
        "extends: refinedweb\ncontamination: {sets: [{name: gsm8k, list: gsm8k.jsonl, fields: [question]}]}\n"
        "instructions:\n  methods: [{method: reasoning_rows, problems: {list: rows.jsonl, licence: MIT}}]\n"
    )
    return load_recipe(str(tmp_path / "own.yaml"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    plain = {"dump": "a", "images": [], "parents": [], "context": None, "response": "one two three"}
    rows = [
        {
            **plain,
            "instruction_id": f"r{place}",
            "method": "reasoning_rows" if place else "raft",
            "instruction": "Say it.",
        }
        for place in range(4)
    ]
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    gone = {"instruction_id": "r3", "rule": "contamination_gsm8k", "signal": "item_ratio"}
    removals = fill_rows(INSTRUCTION_REMOVALS, [gone])
    publish(lake, INSTRUCTION_REMOVALS, "a", removals)
    for table in (INSTRUCTION_REVIEWS, INSTRUCTION_CONTAMINATION, FILTERED_IMAGE_PAIRS, TEXT_CONTAMINATION):
        publish(lake, table, "a", table.make_empty())
    publish(lake, REPHRASED_DOCUMENTS, "a", REPHRASED_DOCUMENTS.make_empty())
    texts = [{"doc_id": f"d{place}", "dump": "a", "text": "word " * 40} for place in range(3)]
    publish(lake, DEDUPED_CORPUS, "a", fill_rows(DEDUPED_CORPUS, texts))
    return lake


def read_card(lake: Lake, recipe: Recipe, name: str, table: object, cache: Path | None = None) -> str:
    knobs = Knobs(cache_folder=str(cache or f"{lake.root}-cache"))
    run_stages(lake, None, [STAGES[name]], recipe=recipe, knobs=knobs)
    return lake.dataset(table).folder.join("README.md").read_text()  # type: ignore[arg-type]


def test_the_card_names_the_recipe_that_each_dump_was_made_by(lake: Lake, recipe: Recipe) -> None:
    row = {"dump": "b", "images": [], "parents": [], "context": None, "response": "one", "instruction_id": "b"}
    made = fill_rows(SYNTHESIZED_INSTRUCTIONS, [row])
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "b", made, recipe_yaml="name: theirs\n")
    publish(lake, INSTRUCTION_REMOVALS, "b", INSTRUCTION_REMOVALS.make_empty(), rows_in=1, recipe_yaml=recipe.dump())
    for table in (INSTRUCTION_REVIEWS, FILTERED_IMAGE_PAIRS):
        publish(lake, table, "b", table.make_empty())
    card = read_card(lake, recipe, "sft_dataset", SFT_DATASET)
    own, theirs = (digest_settings(text) for text in (recipe.dump(), "name: theirs\n"))
    assert f"- Recipe of the files: `own ({own})`\n" in card
    assert f"- Dump: `a`, rows made by the recipe x ({digest_settings('name: x' + chr(10))})\n" in card
    told = f"theirs ({theirs}) for synthesized_instructions; own ({own}) for instruction_removals"
    assert f"- Dump: `b`, rows made by the recipe {told}\n" in card


def test_the_card_of_conversations_tells_where_they_come_from(lake: Lake, recipe: Recipe) -> None:
    card = read_card(lake, recipe, "sft_dataset", SFT_DATASET)
    assert "| reasoning_rows | 2 | rows.jsonl: MIT |" in card
    assert "| raft | 1 | of the pages and pictures; see below |" in card
    # two words asked and three answered
    assert "## Words per row\n\n| Words | Rows |\n|---|---|\n| 0 to 16 | 3 |\n" in card
    assert "| gsm8k | shared 13-grams of words | " in card
    assert "nobody reviewed them" in card
    assert "Nearly equal instructions of different methods were not looked for." in card


def test_the_card_says_why_instructions_have_no_pair(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_release_lake(tmp_path / "r")
    rows = [
        {"instruction_id": "t00", "rule": "mmpipe_words", "signal": "words"},
        {"instruction_id": "t00", "rule": "other_words", "signal": "words"},
        {"instruction_id": "t01", "rule": "mmpipe_words", "signal": "words"},
        {"instruction_id": "refused", "rule": "too_long", "signal": "candidate_status"},
    ]
    publish(lake, INSTRUCTION_REMOVALS, "a", fill_rows(INSTRUCTION_REMOVALS, rows))
    pairs = lake.dataset(PREFERENCE_PAIRS, "a").scan().collect()
    publish(lake, PREFERENCE_PAIRS, "a", pairs.filter(~pl.col("instruction_id").is_in(["t00", "t01"])))
    card = read_card(lake, recipe, "preference_dataset", PREFERENCE_DATASET, tmp_path / "r" / "cache")
    assert "| synthesized | 51 |\n| kept | 49 |\n| responses | 102 |" in card
    # most first; what a method refused is counted with the candidates
    assert (
        "## Why planned rows are missing\n\n| Reason | Rows |\n|---|---|\n| mmpipe_words | 2 |\n| other_words | 1 |\n"
        in card
    )
    assert "too_long" not in card


def test_the_card_tells_what_teachers_cost(lake: Lake, recipe: Recipe) -> None:
    assert "Cost:" not in read_card(lake, recipe, "sft_dataset", SFT_DATASET)
    rows = lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a").scan().collect().with_columns(response=pl.lit("Other words."))
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", rows, counts={"cost": 1.5, "prompt_tokens": 1200})
    card = read_card(lake, recipe, "sft_dataset", SFT_DATASET)
    assert "- Tokens: 1,200 in prompts, 0 in completions" in card
    told = "1.5000 in the currency of the teachers' prices, failed attempts included; 0.500000 per published row"
    assert f"- Cost: {told}\n" in card


def test_the_card_tells_the_pages_that_rows_were_made_from(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_release_lake(tmp_path / "r")
    hosts = ["https://a.example/x", "https://a.example/y", "http://user@b.example:80/"]
    texts = [
        {"doc_id": f"d{place}", "dump": "a", "text": "word " * 40, "url": url, "date": f"2020-0{place + 1}-03T00:00:00"}
        for place, url in enumerate([*hosts, "https://a.example/x"])
    ]
    texts.append({"doc_id": "of-no-row", "dump": "a", "text": "word", "url": "https://z.example/", "date": None})
    publish(lake, DEDUPED_CORPUS, "a", fill_rows(DEDUPED_CORPUS, texts))
    card = read_card(lake, recipe, "sft_dataset", SFT_DATASET, tmp_path / "r" / "cache")
    pages = lake.dataset(FILTERED_IMAGE_PAIRS, "a").scan().select("page_url").collect().to_series().drop_nulls()
    rest = len(set(pages))
    assert (
        f"- Pages: {3 + rest} of {2 + len({url.split('/')[2] for url in pages})} hosts, dated 2020-01-03 to 2020-04-03"
        in card
    )
    assert "a.example (2)" in card
    assert "z.example" not in card
    assert "- Personal data is not masked.\n" in card
    sequences = read_card(lake, recipe, "pretraining_dataset", PRETRAINING_DATASET)
    told = "- Pages: 4 of 3 hosts, dated 2020-01-03 to 2020-04-03 where they state a day; the hosts: a.example (2), "
    assert f"{told}b.example (1), z.example (1)\n" in sequences


def test_the_card_of_sequences_names_tokenizer_length_and_packing(lake: Lake, recipe: Recipe) -> None:
    card = read_card(lake, recipe, "pretraining_dataset", PRETRAINING_DATASET)
    rows = lake.dataset(PRETRAINING_DATASET).scan().collect()
    tokens = rows["input_ids"].list.len().sum()
    assert f"- Tokenizer: `{rows['tokenizer'][0]}`\n" in card
    assert (
        f"- Sequences: {tokens:,} tokens in 1 of at most 2,048, documents end to end; {tokens / 20.48:.1f} % full\n"
        in card
    )


def test_pairs_stand_under_the_licence_of_the_questions_they_answer(tmp_path: Path, recipe: Recipe) -> None:
    lake = make_release_lake(tmp_path / "r")
    made = lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a").scan().collect()
    halves = ["raft", "reasoning_rows"] * (made.height // 2 + 1)
    methods = pl.Series("method", halves[: made.height])
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", made.with_columns(methods), recipe_yaml=recipe.dump())
    # written by a recipe that knows nothing of these files
    card = read_card(
        lake, load_recipe("refinedweb"), "preference_dataset", PREFERENCE_DATASET, tmp_path / "r" / "cache"
    )
    assert "| best_worst, answers to reasoning_rows | 25 | rows.jsonl: MIT |" in card
    assert "| best_worst, answers to raft | 26 | of the pages and pictures; see below |" in card


def test_the_card_of_sequences_counts_documents(lake: Lake, recipe: Recipe) -> None:
    card = read_card(lake, recipe, "pretraining_dataset", PRETRAINING_DATASET)
    assert "## Tokens per document\n\n| Tokens | Documents |" in card
    assert "| gsm8k | shared 13-grams of words |" in card
    assert "| a | 1 | of the pages and pictures" in card
    assert "Personal data is not masked." in card


def test_without_sets_the_card_says_so(lake: Lake) -> None:
    card = read_card(lake, load_recipe("refinedweb"), "sft_dataset", SFT_DATASET)
    assert "held against no benchmark" in card
    assert "No evaluation set was named" in card


@given(st.dictionaries(st.integers(0, 20_000), st.integers(1, 9), max_size=20))
def test_every_row_is_in_one_class(counts: dict[int, int]) -> None:
    classes = count_classes(counts)
    assert sum(rows for _, rows in classes) == sum(counts.values())
    for name, rows in classes:
        ends = [int(word) for word in name.replace(",", "").split() if word.isdigit()]
        low, high = (ends[0], ends[1]) if len(ends) == 2 else (LENGTHS[-1] + 1, 10**9)
        assert rows == sum(count for length, count in counts.items() if low <= length <= high)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{dialect: [trl]}", "Did you mean 'dialects'"),
        ("{dialects: [lama_factory]}", "Did you mean 'llama_factory'"),
        ("{dialects: [trl, trl]}", "'trl' stands twice"),
        ("{dialects: trl}", "dialects|list|trl"),
        ("{validation_share: 1}", "validation_share must be 0 or more and below 1"),
        ("{validation_share: half}", "half"),
        ("{max_tokens: 100}", "write pack_tokens too"),
        ("{pack_tokens: 100, max_tokens: 200}", "max_tokens must be 1 to pack_tokens"),
        ("{pack_tokens: 0}", "pack_tokens must be 1 or more"),
        ("{memory_maped: true}", "Did you mean 'memory_mapped'"),
        ("{preference_forms: [ktoo]}", "Did you mean 'kto'"),
    ],
)
def test_a_wrong_word_of_the_release_stops_with_line_and_nearest_name(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: refinedweb\n\nrelease: {section}\n")
    with pytest.raises(RecipeError, match=said) as error:
        load_recipe(str(path))
    assert "own.yaml:3" in str(error.value)
