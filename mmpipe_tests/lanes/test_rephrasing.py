"""Documents written again by a scripted teacher, and mixed with their originals in pretraining_dataset, one to one."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmpipe.commands.explain import explain
from mmpipe.commands.lookup import find_id
from mmpipe.commands.summary import print_funnels
from mmpipe.commands.trace import list_parents
from mmpipe.errors import RecipeError, ShardError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import rephrasing
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.rephrasing import REPHRASING_LANE, list_faults
from mmpipe.lanes.stage import Knobs
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.models.tokenizer import load_tokenizer
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.synthesis.wrap import rephrase_documents
from mmpipe.synthesis.wrap_settings import WrapSettings
from mmpipe.tables.chat import ChatFailure
from mmpipe.tables.instructions import PRETRAINING_DATASET
from mmpipe.tables.keep import keep
from mmpipe.tables.rephrased import REPHRASED_CANDIDATES, REPHRASED_DOCUMENTS, REPHRASED_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from mmpipe.models.tokenizer import LoadedTokenizer
    from mmpipe.storage.shards import Production
    from mmpipe.tables.chat import ChatRequest
    from mmpipe.tables.columns import Table

    Script = Callable[[ChatRequest], str | ChatFailure]

DUMP = "d1"
TEXTS = {
    f"doc{place}": f"The {name} mill was built by a baker from the hills. It burned down one night for ever."
    for place, name in enumerate(("red", "blue", "old", "tall", "grey", "last"))
}


def turn_around(request: ChatRequest) -> str:
    """Say the words of a text in the other order."""
    return " ".join(reversed(request.messages[-1].content.removeprefix("Text:\n").split()))


@cache
def read_tokenizer(place: str | None) -> LoadedTokenizer:
    return load_tokenizer(place)


class House:
    """A lake with six documents, and what rephrases and mixes them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        self.teacher = ScriptedTeacher(turn_around)
        self.asked_shards = 0
        rows = [{"doc_id": key, "dump": DUMP, "text": text, "language": "en"} for key, text in TEXTS.items()]
        publish(self.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))
        self.lake.dataset(DEDUPED_CORPUS, DUMP).record_verdict([])
        record_dump(self.lake, Dump(DUMP, "/nowhere", ()))
        monkeypatch.setattr(rephrasing, "open_run_teacher", lambda _: self.teacher)
        # the embedded one, read once for all tests
        monkeypatch.setattr("mmpipe.models.tokenizer.load_tokenizer", read_tokenizer)

    def recipe(self, section: str, more: str = "") -> str:
        path = self.folder / "mine.yaml"
        path.write_text(f"extends: refinedweb\nrephrasing: {section}\n{more}")
        return str(path)

    def make(self, section: str, script: Script = turn_around, more: str = "") -> Production:
        self.teacher = ScriptedTeacher(script)
        recipe = load_recipe(self.recipe(section, more))
        knobs = Knobs(cache_folder=str(self.folder / "cache"))
        runs = run_stages(self.lake, DUMP, REPHRASING_LANE, recipe=recipe, knobs=knobs)
        self.asked_shards = runs["rephrased_candidates"].made_shards
        made = runs["rephrased_documents"]
        for stage in REPHRASING_LANE:
            self.lake.dataset(stage.table, DUMP).record_verdict([])
        assert made.manifest.rows_in == made.manifest.rows_out + made.manifest.rows_removed
        return made

    def mix(self, section: str, more: str = "") -> pl.DataFrame:
        stage = next(stage for stage in RELEASE_LANE if stage.table is PRETRAINING_DATASET)
        knobs = Knobs(cache_folder=str(self.folder / "cache"))
        run_stages(self.lake, None, [stage], recipe=load_recipe(self.recipe(section, more)), knobs=knobs)
        return self.lake.dataset(PRETRAINING_DATASET).scan().collect()

    def read(self, table: Table) -> pl.DataFrame:
        return self.lake.dataset(table, DUMP).scan().collect()

    @property
    def rows(self) -> pl.DataFrame:
        return self.read(REPHRASED_DOCUMENTS)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def list_docs(sequences: pl.DataFrame, source: str) -> list[str]:
    return sequences.filter(pl.col("source") == source).get_column("doc_ids").explode().to_list()


def test_a_recipe_without_styles_asks_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rephrasing, "open_run_teacher")
    made = house.make("{}")
    assert made.manifest.rows_in == 0
    assert list_docs(house.mix("{}"), DUMP) == list_docs(house.mix("{}"), DUMP)
    assert set(list_docs(house.mix("{}"), DUMP)) == set(TEXTS)


def test_documents_are_rephrased_with_their_parent_and_counted(house: House) -> None:
    def script(request: ChatRequest) -> str | ChatFailure:
        text = request.messages[-1].content
        if "blue" in text:
            return "I am sorry, but I cannot help with that. I really cannot do it, however you ask, I am sorry."
        return text.removeprefix("Text:\n") if "grey" in text else turn_around(request)

    made = house.make("{styles: [easy, hard], styles_per_document: 2, attempts: 1}", script)

    rows = house.rows
    assert sorted(zip(rows["doc_id"], rows["style"], strict=True)) == sorted(
        (doc_id, style) for doc_id in TEXTS if doc_id not in ("doc1", "doc4") for style in ("easy", "hard")
    )
    assert made.manifest.removed_by_rule == {"copied": 2, "refusal": 2}
    assert made.manifest.counts["requests"] == 12
    assert all(row["parents"] == [{"table": "deduped_corpus", "id": row["doc_id"]}] for row in rows.rows(named=True))
    # a moved ratio makes none again
    section = "{styles: [easy, hard], styles_per_document: 2, attempts: 1, ratio: [2, 1]}"
    assert (house.make(section, script).made_shards, house.asked_shards) == (0, 0)


def test_rephrased_documents_hold_nothing_of_an_evaluation_set(house: House) -> None:
    item = " ".join(reversed(TEXTS["doc0"].split()))
    (house.folder / "exam.jsonl").write_text(json.dumps({"question": item}) + "\n")
    more = "contamination: {sets: [{name: exam, list: exam.jsonl, fields: [question]}], ngram_words: 13}\n"
    made = house.make("{styles: [easy]}", more=more)

    assert "doc0" not in set(house.rows["doc_id"])
    assert (
        made.manifest.rows_removed
        == house.lake.dataset(DEDUPED_CORPUS, DUMP).scan().collect().height - made.manifest.rows_out
    )
    assert sum(count for rule, count in made.manifest.removed_by_rule.items() if "contamin" in rule) >= 1


SAYINGS: dict[str, str | ChatFailure] = {
    "": "A baker of the hills had a mill built; one night it burned, and it is gone for ever and ever now.",
    "refusal": "I am sorry, but I cannot help with that. I really cannot do it, however you ask, I am sorry.",
    "too_short": "A mill.",
    "added_names": "A baker of the hills had a mill built by Ronald Quill; one night it burned, and it is gone.",
    "other_script": "Мельница была построена пекарем с холмов. Однажды ночью она сгорела навсегда, и её нет.",
    "teacher_timeout": ChatFailure("timeout", "late"),
}


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from(sorted(SAYINGS)), max_size=3), max_size=8), st.integers(1, 2), st.randoms())
def test_documents_in_are_documents_kept_and_removed(fates: list[list[str]], styles: int, chance: Random) -> None:
    texts = [
        " ".join(f"The mill {place}x{number} was built by a baker from the hills." for number in range(len(pieces)))
        for place, pieces in enumerate(fates)
    ]

    def script(request: ChatRequest) -> str | ChatFailure:
        place, number = request.messages[-1].content.split()[3].split("x")
        return SAYINGS[fates[int(place)][int(number)]]

    documents = pl.DataFrame(
        {"doc_id": [f"d{place}" for place in range(len(fates))], "dump": DUMP, "language": "en", "text": texts},
        schema_overrides={"doc_id": pl.String, "text": pl.String},
    )
    how = WrapSettings(styles=("easy", "hard"), styles_per_document=styles, piece_tokens=11, attempts=2)

    def try_all(rows: pl.DataFrame) -> pl.DataFrame:
        return rephrase_documents(
            rows, ScriptedTeacher(script), how, lambda texts: [len(text.split()) for text in texts]
        ).tried

    tried = try_all(documents)
    removals = list_faults(tried)
    kept = keep(tried, removals, key="rephrased_id")
    assert tried.height == len(fates) * styles == kept.frame.height + kept.rows_removed
    assert set(kept.frame["doc_id"]) == {
        f"d{place}" for place, pieces in enumerate(fates) if pieces and not any(pieces)
    }
    first = {f"d{place}": next(filter(None, pieces), "empty_document") for place, pieces in enumerate(fates)}
    for row in tried.filter(pl.col("candidate_status") != "ok").rows(named=True):
        assert row["candidate_status"] == first[row["doc_id"]]
        assert row["candidate_status"] in removals.filter(rephrased_id=row["rephrased_id"])["rule"].to_list()
    # in whatever order and cut
    order = list(range(len(fates)))
    chance.shuffle(order)
    parts = [list_faults(try_all(documents[place])) for place in order]
    key = ["rephrased_id", "rule"]
    assert pl.concat([removals.clear(), *parts]).sort(key).equals(removals.sort(key))


def test_a_moved_set_of_evaluation_items_asks_nobody_again(house: House) -> None:
    house.make("{styles: [easy]}")
    assert house.asked_shards == 1
    (house.folder / "exam.jsonl").write_text(json.dumps({"question": " ".join(reversed(TEXTS["doc0"].split()))}) + "\n")
    more = "contamination: {sets: [{name: exam, list: exam.jsonl, fields: [question]}], ngram_words: 13}\n"
    made = house.make("{styles: [easy]}", more=more)
    assert (house.asked_shards, len(house.teacher.asked), made.made_shards) == (0, 0, 1)


def test_every_guard_that_a_piece_failed_is_told_with_what_was_found(house: House) -> None:
    invented = (
        "Down it burned at night, so said Sir Ronald Quill in 1931, and for ever was the blue mill of bakers gone."
    )

    def script(request: ChatRequest) -> str | ChatFailure:
        text = request.messages[-1].content
        if "grey" in text:
            return ChatFailure("content_filter", "no")
        return invented if "blue" in text else turn_around(request)

    made = house.make("{styles: [easy], attempts: 1}", script)

    removals = house.read(REPHRASED_REMOVALS)
    (ronald,) = house.read(REPHRASED_CANDIDATES).filter(doc_id="doc1").rows(named=True)
    assert (ronald["candidate_status"], ronald["text"], ronald["failed_pieces"]) == ("added_numbers", invented, 1)
    told = removals.filter(rephrased_id=ronald["rephrased_id"]).rows(named=True)
    assert [(row["rule"], row["signal"], row["value"], row["value_text"], row["high"]) for row in told] == [
        ("added_names", "added_names", 2.0, "Ronald, Quill", 0.0),
        ("added_numbers", "added_numbers", 1.0, "1931", 0.0),
    ]
    assert made.manifest.removed_by_rule == {"added_names": 1, "added_numbers": 1, "teacher_content_filter": 1}
    assert made.manifest.counts["pieces"] == 6
    assert made.manifest.counts["pieces_failed"] == 2
    # tokens of what was refused are paid too
    assert made.manifest.counts["prompt_tokens"] == house.read(REPHRASED_CANDIDATES)["prompt_tokens"].sum() > 0

    (fate,) = explain(house.lake, ronald["rephrased_id"])
    assert fate.verdict == "doc1 in other words: rephrased_removals: removed by added_names, added_numbers"
    assert fate.steps[2].rows[0] == {
        "rule": "added_names", "measured": "2 (Ronald, Quill)", "limit": "added_names <= 0"}  # fmt: skip
    (document,) = explain(house.lake, "doc1")
    (tried,) = (step for step in document.steps if step.asset == "rephrased_candidates")
    assert tried.rows == (
        {"rephrased_id": ronald["rephrased_id"], "style": "easy", "candidate_status": "added_numbers"},
    )


def test_a_refused_document_without_a_removal_is_never_kept(house: House) -> None:
    house.make("{styles: [easy], attempts: 1}", lambda request: request.messages[-1].content.removeprefix("Text:\n"))
    assert house.rows.is_empty()
    publish(house.lake, REPHRASED_CANDIDATES, DUMP, house.read(REPHRASED_CANDIDATES))
    publish(house.lake, REPHRASED_REMOVALS, DUMP, REPHRASED_REMOVALS.make_empty())
    with pytest.raises(ShardError, match="6 refused documents have no removal"):
        run_stages(house.lake, DUMP, REPHRASING_LANE[2:], recipe=load_recipe(house.recipe("{styles: [easy]}")))


@pytest.mark.parametrize(
    ("ratio", "real", "again"), [("[1, 1]", 4, 4), ("[3, 2]", 6, 4), ("[1, 2]", 2, 4), ("null", 6, 0)]
)
def test_real_and_rephrased_documents_are_mixed_in_the_ratio(house: House, ratio: str, real: int, again: int) -> None:
    section = f"{{styles: [easy], documents_per_dump: 4, ratio: {ratio}}}"
    house.make(section)
    sequences = house.mix(section)

    rephrased = list_docs(sequences, f"{DUMP}/rephrased")
    assert (len(list_docs(sequences, DUMP)), len(rephrased)) == (real, again)
    parents = dict(house.rows.select("rephrased_id", "doc_id").iter_rows())
    if real >= again and again:
        assert {parents[row_id] for row_id in rephrased} <= set(list_docs(sequences, DUMP))


def test_the_tokens_of_a_mixture_are_those_of_its_texts_and_lead_back(house: House) -> None:
    section = "{styles: [easy]}"
    house.make(section)
    sequences = house.mix(section, "pretraining: {sequence_length: 4096}\n")

    row = sequences.filter(pl.col("source") == f"{DUMP}/rephrased").row(0, named=True)
    texts = dict(house.rows.select("rephrased_id", "text").iter_rows())
    tokenizer = read_tokenizer(None)
    wanted = [
        token
        for row_id in row["doc_ids"]
        for token in [*tokenizer.encode_batch([texts[row_id]])[0], tokenizer.end_of_text]
    ]
    assert row["input_ids"] == wanted
    found = find_id(house.lake, row["sequence_id"])
    assert list_parents(found) == [("rephrased_documents", row_id) for row_id in row["doc_ids"]]
    rephrased = find_id(house.lake, row["doc_ids"][0])
    assert list_parents(rephrased)[0][0] == "deduped_corpus"


def test_a_teacher_of_its_own_rephrases(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_teacher(knobs: Knobs) -> ScriptedTeacher:
        opened.append(knobs.teacher["model"])
        return house.teacher

    monkeypatch.setattr(rephrasing, "open_run_teacher", open_teacher)
    teachers = {"small": {"model": "s"}, "strong": {"model": "l"}}
    knobs = Knobs(
        cache_folder=str(house.folder / "cache"),
        teachers=teachers,
        teacher_uses={"default": "small", "rephrasing": "strong"},
    )
    run_stages(house.lake, DUMP, REPHRASING_LANE, recipe=load_recipe(house.recipe("{styles: [easy]}")), knobs=knobs)
    assert (opened, house.rows.height) == (["l"], len(TEXTS))


def test_another_language_is_refused_by_the_text_lanes_identifier(house: House) -> None:
    german = "Die Mühle wurde von einem Bäcker aus den Bergen gebaut. Eines Nachts brannte sie für immer nieder."
    house.make("{styles: [easy], attempts: 1}", lambda _: german)
    removals = house.read(REPHRASED_REMOVALS).filter(rule="other_language")
    assert removals.height == len(TEXTS)
    assert set(removals["signal"]) == {"language"}
    assert set(removals["value_text"]) == {"de"}
    assert removals["allowed"].to_list() == [["en"]] * len(TEXTS)
    house.make("{styles: [easy], attempts: 1, language_score: null}", lambda _: german)
    assert "other_language" not in house.read(REPHRASED_REMOVALS)["rule"].to_list()


def test_an_outage_commits_nothing(house: House) -> None:
    with pytest.raises(ShardError, match="The teacher scripted:script@0 failed"):
        house.make("{styles: [easy]}", lambda _: ChatFailure("server", "503"))
    assert house.make("{styles: [easy]}").made_shards == 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{styles: [esay]}", "Did you mean 'easy'"),
        ("{styles: [easy], styles_per_document: 2}", "must be 1 to 1"),
        ("{styles: [easy], ratio: [1, 0]}", "two whole numbers from 1 up"),
        ("{styles: [easy], ratio: [1]}", "two whole numbers from 1 up"),
        ("{style: [easy]}", "unknown key 'style'"),
        ("{styles: [easy], attempts: 0}", "attempts must be 1 or more"),
        ("{styles: [easy], added_names: -1}", "added_names must be 0 or more, or null"),
        ("{styles: [easy], added_quote: 1}", "Did you mean 'added_quotes'"),
        ("{styles: [easy], language_score: 2}", "language_score lies within 0 and 1"),
    ],
)
def test_a_section_that_cannot_work_stops(house: House, section: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(house.recipe(section))
    assert said in str(caught.value)


def test_what_is_rephrased_is_explained_summed_up_and_told_in_the_card(house: House) -> None:
    section = "{styles: [easy], documents_per_dump: 4, ratio: [2, 1]}"
    house.make(section)
    house.mix(section)
    row = house.rows.row(0, named=True)

    (fate,) = explain(house.lake, row["rephrased_id"])
    assert fate.kind == "rephrased document"
    assert fate.verdict.startswith(f"{row['doc_id']} in other words, in ")
    assert [step.asset for step in fate.steps] == [
        "deduped_corpus", *(stage.table.name for stage in REPHRASING_LANE), "pretraining_dataset"]  # fmt: skip
    assert [step.fate for step in fate.steps[1:4]] == [
        f"easy, in 1 piece, {row['teacher']}", "passed every rule", "kept"]  # fmt: skip
    (document,) = explain(house.lake, row["doc_id"])
    (again,) = (step for step in document.steps if step.asset == "rephrased_documents")
    assert (again.fate, again.rows[0]["rephrased_id"]) == ("1 time in other words", row["rephrased_id"])

    card = house.lake.dataset(PRETRAINING_DATASET).folder.join("README.md").read_text()
    # six documents, three of four rephrased ones
    assert "stand 2 : 1, whole" in card
    assert f"The ratio left documents out: 1 of {DUMP}/rephrased." in card
    assert f"| {DUMP}/rephrased |" in card
    assert f"Teacher: `{row['teacher']}`" in card
    told = io.StringIO()
    print_funnels(Console(file=told, width=160), house.lake, [DUMP])
    assert "rephrased_documents" in told.getvalue()


def test_where_nothing_is_rephrased_nothing_is_told_of_it(house: House) -> None:
    house.make("{}")
    house.mix("{}")
    card = house.lake.dataset(PRETRAINING_DATASET).folder.join("README.md").read_text()
    assert "documents and rephrased ones" not in card
    assert "Teacher" not in card
    told = io.StringIO()
    print_funnels(Console(file=told, width=160), house.lake, [DUMP])
    assert "rephrased_documents" not in told.getvalue()
