from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from mmpipe.errors import ConfigurationError, InvariantBroken
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.release_sections import DIALECTS, ReleaseSettings
from mmpipe.lanes.preference_form_files import FormFolder
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.release_splits import require_whole_groups
from mmpipe.lanes.stage import Knobs
from mmpipe.models.tokenizer import load_tokenizer
from mmpipe.release.memory_mapped import parse_index
from mmpipe.storage.lake import Lake
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import (
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs, fill_rows, publish
from mmpipe_tests.lanes.release_lake import PICTURED, TEXTS, ask, make_release_lake
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from mmpipe.storage.commits import Manifest

SFT, PREFERENCES, SEQUENCES = RELEASE_LANE


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_release_lake(tmp_path)


def release(lake: Lake, stage: Any, recipe: Recipe | None = None, **settings: Any) -> Manifest:
    recipe = replace(recipe or load_recipe("refinedweb"), release=ReleaseSettings(**settings))
    knobs = Knobs(cache_folder=str(Path(str(lake.root)).parent / "cache"))
    return run_stages(lake, None, [stage], recipe=recipe, knobs=knobs)[stage.table.name].manifest


def list_release(lake: Lake, table: Any) -> set[str]:
    return set(lake.dataset(table).folder.join("release").list_files())


def load_lines(tmp_path: Path, *files: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=[str(file) for file in files], split="train", cache_dir=str(tmp_path / "d"))


def test_every_dialect_holds_the_conversations_or_counts_them(lake: Lake, tmp_path: Path) -> None:
    plain = release(lake, SFT)
    before = list_release(lake, SFT_DATASET)
    manifest = release(lake, SFT, dialects=DIALECTS)
    folder = Path(lake.dataset(SFT_DATASET).folder.url)

    for dialect in DIALECTS:
        suffix = "json" if dialect == "llava" else "jsonl"
        text, pictured = (folder / "release" / dialect / name / f"a.{suffix}" for name in ("text_only", "with_images"))
        assert len(load_lines(tmp_path, text)) == TEXTS
        assert len(load_lines(tmp_path, pictured)) == (PICTURED - 1 if dialect == "llava" else PICTURED)
    assert plain.counts == {}
    assert manifest.counts == {"llava: has 2 images, where LLaVA reads one": 1}
    assert (
        "50 rows; paths of pictures begin in this folder; left out: 1 (has 2 images"
        in (folder / "README.md").read_text()
    )
    parted = load_lines(tmp_path, folder / "release" / "trl_prompt_completion" / "text_only" / "a.jsonl")[0]
    assert [parted[side][0]["role"] for side in ("prompt", "completion")] == ["user", "assistant"]
    # 48 rows of words are a file that OpenAI takes, 3 with pictures are not
    assert "files with fewer than the 10 rows that are taken: 1," in (folder / "README.md").read_text()
    # a dialect that is not asked for any more goes, and everything else stays
    release(lake, SFT, dialects=("trl",))
    folder = lake.dataset(SFT_DATASET).folder.join("release").local_path
    assert folder is not None
    assert [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())] == []
    assert {path.split("/")[0] for path in list_release(lake, SFT_DATASET)} == {"text_only", "with_images", "trl"}
    release(lake, SFT)
    assert list_release(lake, SFT_DATASET) == before


@pytest.mark.parametrize(("dialect", "formatting"), [("llama_factory", "sharegpt"), ("llama_factory_alpaca", "alpaca")])
def test_llama_factory_finds_each_file_and_each_picture(
    lake: Lake, tmp_path: Path, dialect: str, formatting: str
) -> None:
    release(lake, SFT, dialects=(dialect,), validation_share=0.4)
    folder = Path(lake.dataset(SFT_DATASET).folder.url) / "release" / dialect
    entries = json.loads((folder / "dataset_info.json").read_text())

    rows = [row for entry in entries.values() for row in load_lines(tmp_path, *(folder / entry["file_name"]).iterdir())]
    assert sorted(row["id"] for row in rows) == sorted(lake.dataset(SFT_DATASET).scan().collect()["id"])
    assert {"sft_dataset_text_only_train", "sft_dataset_text_only_validation"} <= set(entries)
    assert {entry["formatting"] for entry in entries.values()} == {formatting}
    assert all(set(entry["columns"].values()) <= set(rows[0]) | {"tools"} for entry in entries.values())
    pictures = [folder / image for row in rows for image in row["images"]]
    assert len(pictures) == 4
    assert all(picture.is_file() for picture in pictures)


def test_preferences_go_to_each_dialect_that_has_two_answers(lake: Lake, tmp_path: Path) -> None:
    manifest = release(lake, PREFERENCES, dialects=DIALECTS)
    folder = Path(lake.dataset(PREFERENCE_DATASET).folder.url) / "release"

    for dialect in DIALECTS[:-1]:
        assert len(load_lines(tmp_path, folder / dialect / "text_only" / "a.jsonl")) == TEXTS
    assert {name.partition(":")[0]: count for name, count in manifest.counts.items() if ": " in name} == {
        "axolotl": PICTURED,
        "llava": TEXTS + PICTURED,
    }
    assert not (folder / "llava").exists()


def test_the_card_counts_labels_and_what_a_transcript_cannot_hold(lake: Lake) -> None:
    release(lake, PREFERENCES, preference_forms=("kto", "transcripts"), dialects=("openai",))
    folder = Path(lake.dataset(PREFERENCE_DATASET).folder.url)
    card = (folder / "README.md").read_text()

    count = TEXTS + PICTURED
    assert {"- Teacher: `answering`", "- Teacher: `judging`"} <= set(card.splitlines())
    # every kind of row on the way has its step
    assert (
        f"| synthesized | {count} |\n| kept | {count} |\n| responses | {2 * count} |\n| judgements | {2 * count} |\n"
        in card
    )
    assert f"| preference_pairs | {count} |\n| published | {count} |" in card
    assert f"reads them: {count} desirable, {count} undesirable |" in card
    assert f"left out: {PICTURED} (has pictures, which a transcript cannot hold)" in card
    assert "<image>" not in "".join(file.read_text() for file in folder.rglob("transcripts/**/*.jsonl"))
    assert f"`release/openai/`: {count} rows; pictures are in the rows" in card


@pytest.mark.parametrize(
    ("labels", "told"),
    [({True: 3, False: 2}, "3 desirable, 2 undesirable"), ({True: 3}, "0 undesirable; not to be trained on as it is")],
)
def test_a_file_of_one_label_alone_says_that_it_teaches_nothing(labels: dict[bool, int], told: str) -> None:
    form = FormFolder("kto", rows=sum(labels.values()), labels=Counter(labels))
    assert form.describe()[1].endswith(told)


def test_a_split_parts_no_document_picture_or_question(lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    sides: dict[str, dict[str, str]] = {}
    for stage in (SFT, PREFERENCES):
        release(lake, stage, validation_share=0.4, seed=1)
        loaded = load_dataset(lake.dataset(stage.table).folder.url, "text_only", cache_dir=str(tmp_path / "d"))
        assert sum(len(rows) for rows in loaded.values()) == TEXTS
        key = "id" if stage is SFT else "group_id"
        sides[stage.table.name] = {row[key]: side for side, rows in loaded.items() for row in rows}
    sft = sides["sft_dataset"]
    by_document = [{sft[f"t{2 * place:02}"], sft[f"t{2 * place + 1:02}"]} for place in range(TEXTS // 2)]

    assert all(len(found) == 1 for found in by_document)
    assert set(sft.values()) == {"train", "validation"}
    assert sides["preference_dataset"] == sft
    assert "## Splits" in lake.dataset(SFT_DATASET).folder.join("README.md").read_text()
    pictured = [json.loads(line)["id"] for path in _with_images(lake) for line in path.read_text().splitlines()]
    together = [
        {"p0", "p1"} & {json.loads(line)["id"] for line in path.read_text().splitlines()} for path in _with_images(lake)
    ]
    assert sorted(pictured) == ["p0", "p1", "p2"]
    assert {len(found) for found in together} <= {0, 2}


@pytest.mark.parametrize("method", ["raft", "flan_rows", "code_translation"])
def test_what_is_shown_beside_a_row_ties_no_dump_into_one_group(lake: Lake, method: str) -> None:
    # each row is about a document and shows three others: by way of these, every row leads to every other
    rows = [
        ask(f"t{place:02}", [("deduped_corpus", f"d{(place // 2 + step) % 24}") for step in (0, 1, 5, 11)], [])
        for place in range(TEXTS)
    ]
    require_split_by_document(lake, [row | {"method": method} for row in rows])


def test_demonstrations_of_self_instruct_tie_no_dump_into_one_group(lake: Lake) -> None:
    # two instances of each task, grown from a seed and from two tasks before it
    rows = [
        ask(f"t{place:02}", [("seed_tasks", "s0"), *(
            ("synthesized_instructions", f"t{2 * before:02}") for before in (place // 2 - 1, place // 4) if before >= 0
        )], [])
        | {"method": "self_instruct", "instruction": f"What of task {place // 2}?"}
        for place in range(TEXTS)
    ]  # fmt: skip
    # and one that is evolved from a task, which it stays with
    evolved = ask("t47", [("synthesized_instructions", "t46")], []) | {"method": "evol_instruct"}
    require_split_by_document(lake, [*rows[:-1], evolved])


def test_pairs_of_a_file_and_rows_of_the_same_prompt_fall_on_one_side(lake: Lake) -> None:
    # STaR and `verified_pairs` read one file of problems, and name its rows each in their own way
    asked = [ask(f"s{place:02}", [("problems", f"q{place}")], []) for place in range(24)]
    said = [row | {"instruction_id": f"again-{row['instruction_id']}", "parents": []} for row in asked]
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, [*asked, *said]))
    pairs = [
        {"pair_id": f"v{place:02}", "dump": "a", "instruction_id": None, "group_id": f"g{place}",
         "prompt": f"What of  s{place:02}?\n", "chosen": "42", "rejected": "41", "score_chosen": 1.0,
         "score_rejected": 0.0, "tags": [], "source_urls": [],
         "parents": [{"table": "problems", "id": f"g{place}"}]}
        for place in range(24)
    ]  # fmt: skip
    publish(lake, PREFERENCE_PAIRS, "a", fill_rows(PREFERENCE_PAIRS, pairs))
    publish(lake, PREFERENCE_REMOVALS, "a", PREFERENCE_REMOVALS.make_empty())
    sides: dict[str, set[str]] = {}
    for stage in (SFT, PREFERENCES):
        release(lake, stage, validation_share=0.4, seed=1)
        folder = Path(lake.dataset(stage.table).folder.url) / "release" / "text_only"
        for path in folder.glob("*.parquet"):
            for row in pl.read_parquet(path).iter_rows(named=True):
                prompt = row["messages" if stage is SFT else "prompt"][0]["content"]
                sides.setdefault(" ".join(prompt.split()), set()).add(path.stem)

    assert len(sides) == 24
    assert set(map(frozenset, sides.values())) == {frozenset({"train-a"}), frozenset({"validation-a"})}


def test_a_prompt_of_many_templated_rows_ties_them_not(lake: Lake) -> None:
    rows = [
        ask(f"t{place:02}", [("reviews", f"r{place // 2}")], [])
        | {"method": "flan_rows", "instruction": "Write a negative review."}
        for place in range(TEXTS)
    ]
    require_split_by_document(lake, rows)


def require_split_by_document(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """Publish rows, split them, and see that both sides have some and that t00 stands with t01, t02 with t03, …"""
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "a", fill_rows(SYNTHESIZED_INSTRUCTIONS, rows))
    release(lake, SFT, validation_share=0.4, seed=1)
    folder = Path(lake.dataset(SFT_DATASET).folder.url) / "release" / "text_only"
    sides = {json.loads(line)["id"]: path.name for path in folder.glob("*.jsonl") for line in path.open()}

    assert set(sides.values()) == {"train-a.jsonl", "validation-a.jsonl"}
    assert len(sides) == TEXTS
    for place in range(TEXTS // 2):
        assert sides[f"t{2 * place:02}"] == sides[f"t{2 * place + 1:02}"]


def _publish_second_dump(lake: Lake, prefix: str) -> None:
    """Publish a dump whose instructions are made from the documents of the first, under ids that begin so."""
    names = [f"{prefix}{place:02}" for place in range(TEXTS)]
    rows = [ask(name, [("deduped_corpus", f"d{place // 2}")], []) for place, name in enumerate(names)]
    add_pairs(lake, "b", draw_pairs(1), str(Path(str(lake.root)).parent / "cache"))
    made = fill_rows(SYNTHESIZED_INSTRUCTIONS, [row | {"dump": "b"} for row in rows])
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "b", made)
    publish(lake, INSTRUCTION_REMOVALS, "b", INSTRUCTION_REMOVALS.make_empty())
    publish(lake, INSTRUCTION_REVIEWS, "b", INSTRUCTION_REVIEWS.make_empty())


def test_rows_of_one_group_in_two_dumps_fall_on_one_side(lake: Lake) -> None:
    _publish_second_dump(lake, "u")
    release(lake, SFT, validation_share=0.4, seed=1)
    folder = Path(lake.dataset(SFT_DATASET).folder.url) / "release" / "text_only"

    for side in ("train", "validation"):
        found = [pl.read_parquet(folder / f"{side}-{dump}.parquet")["id"].to_list() for dump in "ab"]
        assert found[0] == [name.replace("u", "t") for name in found[1]] != []


def test_a_row_that_stands_in_two_dumps_is_not_released(lake: Lake) -> None:
    _publish_second_dump(lake, "t")
    with pytest.raises(ConfigurationError, match=rf"{TEXTS} instructions stand in several dumps.* in a, b"):
        release(lake, SFT, validation_share=0.4, seed=1)


def _with_images(lake: Lake) -> list[Path]:
    return sorted((Path(lake.dataset(SFT_DATASET).folder.url) / "release" / "with_images").glob("*.jsonl"))


def test_a_split_that_parts_a_group_is_named() -> None:
    keys = pl.DataFrame({"id": ["a", "b"], "group_keys": [["parent:d"], ["parent:d"]]})

    with pytest.raises(InvariantBroken, match="sft_dataset: rows that share 'parent:d'"):
        require_whole_groups("sft_dataset", pl.DataFrame({"id": ["a", "b"], "split": ["train", "validation"]}), keys)
    with pytest.raises(InvariantBroken, match="row b is in no split"):
        require_whole_groups("sft_dataset", pl.DataFrame({"id": ["a", "b"], "split": ["train", None]}), keys)
    require_whole_groups("sft_dataset", pl.DataFrame({"id": ["a", "b"], "split": ["train", "train"]}), keys)


def test_packed_conversations_learn_the_answers_alone(lake: Lake, tmp_path: Path) -> None:
    from datasets import load_dataset

    release(lake, SFT, pack_tokens=256, validation_share=0.4, seed=1)
    folder = lake.dataset(SFT_DATASET).folder
    files = sorted(str(path) for path in (Path(folder.url) / "release" / "packed").glob("*.parquet"))
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "d"))
    tokenizer = load_tokenizer(None)
    learnt = [tokenizer.decode([token for token in row["labels"] if token != -100]) for row in rows]

    assert [Path(file).name for file in files] == ["train-a.parquet", "validation-a.parquet"]
    assert sorted(name for row in rows for name in row["row_ids"]) == [f"t{place:02}" for place in range(TEXTS)]
    for row, words in zip(rows, learnt, strict=True):
        assert words == "".join(f"This of {name}, at length.<|im_end|>" for name in row["row_ids"])
        assert sum(row["seq_lengths"]) == len(row["input_ids"]) == len(row["labels"]) <= 256
        assert row["position_ids"] == [place for length in row["seq_lengths"] for place in range(length)]
    assert "left out: 3 (has_images)" in folder.join("README.md").read_text()

    release(lake, SFT, pack_tokens=256, max_tokens=8)
    card = folder.join("README.md").read_text()
    assert "0 conversations in 0 sequences" in card
    assert "48 (answer_longer_than_limit), 3 (has_images)" in card
    assert not any(path.startswith("packed/") for path in list_release(lake, SFT_DATASET))


@pytest.mark.parametrize("packing", ["end_to_end", "best_fit"])
def test_training_sequences_are_mapped_as_they_are_packed(lake: Lake, tmp_path: Path, packing: Any) -> None:
    recipe = load_recipe("refinedweb")
    recipe = replace(recipe, pretraining=replace(recipe.pretraining, sequence_length=64, packing=packing))
    release(lake, SEQUENCES, recipe, memory_mapped=True)
    rows = lake.dataset(PRETRAINING_DATASET).scan().collect()
    folder = Path(lake.dataset(PRETRAINING_DATASET).folder.url) / "release" / "memory_mapped"
    [index_file] = folder.glob("*.idx")
    index = parse_index(index_file.read_bytes())
    tokens = np.fromfile(index_file.with_suffix(".bin"), dtype=index.dtype)

    assert [index.take(tokens, place).tolist() for place in range(len(index.lengths))] == rows["input_ids"].to_list()
    pieces = rows.explode("doc_ids").group_by("doc_ids").len("pieces")
    sizes = rows.explode("doc_ids", "doc_lengths").group_by("doc_ids").agg(pl.col("doc_lengths").sum())
    fewest = (sizes["doc_lengths"] + 63) // 64
    assert (pieces["pieces"].sum() == fewest.sum()) == (packing == "best_fit")
    release(lake, SEQUENCES, recipe)
    assert not folder.exists()
