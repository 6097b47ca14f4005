"""Every row that a release leaves out is told with its reason: rows in = rows in the files + rows told, per format."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mmpipe.commands.explain import explain
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.release_sections import DIALECTS, ReleaseSettings
from mmpipe.lanes.preference_form_files import FOLDER
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.lanes.stage import Knobs
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instruction_matches import INSTRUCTION_REVIEWS
from mmpipe.tables.instructions import PREFERENCE_DATASET, SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.left_out import LEFT_OUT, LEFT_OUT_FILE, MIXTURE, RELEASE
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS
from mmpipe_tests.lanes.pair_lake import add_pairs, draw_pairs, fill_rows, publish
from mmpipe_tests.lanes.release_lake import PICTURED, TEXTS, make_release_lake
from mmpipe_tests.lanes.running import run_stages

SFT, PREFERENCES, _ = RELEASE_LANE
#: A release takes too long for an example to be made smaller.
DRAWN = (Phase.explicit, Phase.reuse, Phase.generate)
FORMS = ("kto", "reward", "transcripts", "ranked")
#: Answers that some format or every trainer refuses, and one that all take.
ANSWERS = ("Said.", "Write <image> for it.", " \n", "It ends.\n\nHuman: no", "<|im_end|>", "Nul \x00 and RTL \u202eabc")


class Release:
    """A lake of one dump whose rows are changed before they are released."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.cache = make_release_lake(folder), folder / "cache"
        self.pairs = self.lake.dataset(FILTERED_IMAGE_PAIRS, "a").scan().collect()
        self.rows = self.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "a").scan().collect()

    def answer(self, answers: dict[str, str], methods: dict[str, str] | None = None) -> None:
        """Publish other answers, and other methods, of some instructions."""
        rows = self.rows.with_columns(
            response=pl.col("instruction_id").replace_strict(answers, default=pl.col("response")),
            method=pl.col("instruction_id").replace_strict(methods or {}, default=pl.col("method")),
        )
        publish(self.lake, SYNTHESIZED_INSTRUCTIONS, "a", rows)

    def choose(self, chosen: dict[str, str]) -> None:
        """Publish other chosen answers to some instructions."""
        pairs = self.lake.dataset(PREFERENCE_PAIRS, "a").scan().collect()
        said = pl.col("instruction_id").replace_strict(chosen, default=pl.col("chosen"))
        publish(self.lake, PREFERENCE_PAIRS, "a", pairs.with_columns(chosen=said))

    def remove(self, names: set[str]) -> None:
        rows = [{"instruction_id": name, "rule": "r", "signal": "words"} for name in sorted(names)]
        publish(self.lake, INSTRUCTION_REMOVALS, "a", fill_rows(INSTRUCTION_REMOVALS, rows))

    def lose(self, place: int, *, is_changed: bool) -> None:
        """Delete or overwrite one of the pictures."""
        sha256 = self.pairs["image_sha256"][place]
        (path,) = (path for path in self.cache.rglob("*") if path.is_file() and sha256 in path.name)
        if is_changed:
            path.write_bytes(b"another picture")
        else:
            path.unlink()

    def release(self, stage: Any, **options: Any) -> Any:
        recipe = replace(load_recipe("refinedweb"), release=ReleaseSettings(**options))
        knobs = Knobs(cache_folder=str(self.cache))
        return run_stages(self.lake, None, [stage], recipe=recipe, knobs=knobs)[stage.table.name].manifest

    def folder(self, table: Any) -> Path:
        return Path(self.lake.dataset(table).folder.url) / "release"

    def read_told(self, table: Any) -> pl.DataFrame:
        file = self.folder(table) / LEFT_OUT_FILE
        return pl.read_parquet(file) if file.is_file() else pl.DataFrame(schema=LEFT_OUT)

    def read_rows(self, table: Any, place: str) -> list[dict[str, Any]]:
        """Return the rows in the files of a place."""
        found: list[dict[str, Any]] = []
        for path in (self.folder(table) / place).rglob("*.json*"):
            if path.name != "dataset_info.json":
                text = path.read_text()
                # JSON lines end at line feeds alone: a text may hold other ends of lines
                found += json.loads(text) if path.suffix == ".json" else map(json.loads, text.rstrip("\n").split("\n"))
        return found

    def read_place(self, table: Any, place: str) -> set[str]:
        """Return the ids of the rows in the files of a place."""
        return {row["id"] for row in self.read_rows(table, place)}

    def require_told(self, table: Any, place: str, published: set[str]) -> None:
        """Hold a place to what is told of it: each published row stands there or in the list, and none in both."""
        missing = find_told(self.read_told(table), place)
        if place == "openai":  # its rows have no ids
            rows = {json.dumps(row) for row in self.read_rows(table, place)}
            assert (len(rows), missing <= published) == (len(published - missing), True)
            return
        there = self.read_place(table, place)
        assert (there | missing, there & missing) == (published, set()), place


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def find_told(told: pl.DataFrame, place: str) -> set[str]:
    return set(told.filter(place=place).get_column("id"))


@given(data=st.data())
@settings(max_examples=12, phases=DRAWN)
def test_rows_in_are_rows_out_and_told_ones(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Release(Path(folder))
        names = made.rows.get_column("instruction_id").to_list()
        some = st.sets(st.sampled_from(names), max_size=12)
        made.answer(
            data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(ANSWERS), max_size=12)),
            dict.fromkeys(data.draw(some), "other"),
        )
        made.remove(data.draw(some))
        for place in data.draw(st.sets(st.integers(0, 2))):
            made.lose(place, is_changed=data.draw(st.booleans()))
        mixture = data.draw(
            st.sampled_from([{}, {"method_epochs": {"x": 0.5}}, {"method_epochs": {"x": 1.5, "other": 0}}])
        )
        manifest = made.release(
            SFT, dialects=DIALECTS, validation_share=data.draw(st.sampled_from([0.0, 0.3])), **mixture
        )

        told, published = made.read_told(SFT_DATASET), set(made.lake.dataset(SFT_DATASET).scan().collect()["id"])
        removed = set(made.lake.dataset(INSTRUCTION_REMOVALS, "a").scan().collect()["instruction_id"])
        assert manifest.rows_in == len(names)
        assert [published, removed, find_told(told, RELEASE)] == _part(names, published, removed)
        assert set(told["dump"]) <= {"a"}
        unread = find_told(told, MIXTURE)
        assert unread < published or not published
        for name in ("text_only", "with_images"):
            assert not made.read_place(SFT_DATASET, name) & unread
        read = published - unread
        assert made.read_place(SFT_DATASET, "text_only") | made.read_place(SFT_DATASET, "with_images") == read
        for dialect in DIALECTS:
            made.require_told(SFT_DATASET, dialect, read)


def _part(names: list[str], published: set[str], removed: set[str]) -> list[set[str]]:
    """Return rows that are published, removed before, and neither; the three have none in common."""
    assert not published & removed
    return [published, removed, set(names) - published - removed]


@given(data=st.data())
@settings(max_examples=10, phases=DRAWN)
def test_pairs_in_are_pairs_out_and_told_ones(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Release(Path(folder))
        names = made.rows.get_column("instruction_id").to_list()
        made.choose(data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(ANSWERS), max_size=12)))
        for place in data.draw(st.sets(st.integers(0, 2))):
            made.lose(place, is_changed=data.draw(st.booleans()))
        manifest = made.release(PREFERENCES, dialects=DIALECTS, preference_forms=FORMS)

        pairs = set(made.lake.dataset(PREFERENCE_PAIRS, "a").scan().collect()["pair_id"])
        rows = made.lake.dataset(PREFERENCE_DATASET).scan().collect()
        told, published = made.read_told(PREFERENCE_DATASET), set(rows["id"])
        assert manifest.rows_in == len(pairs) == TEXTS + PICTURED
        assert (published | find_told(told, RELEASE), published & find_told(told, RELEASE)) == (pairs, set())
        for place in (*DIALECTS, f"{FOLDER}/transcripts", f"{FOLDER}/reward"):
            made.require_told(PREFERENCE_DATASET, place, published)
        labelled = made.read_place(PREFERENCE_DATASET, f"{FOLDER}/kto")
        dropped = {
            f"{row['id']}-{row['details'].split()[1]}" for row in told.filter(place=f"{FOLDER}/kto").rows(named=True)
        }
        assert (labelled | dropped, labelled & dropped) == (
            {f"{name}-{side}" for name in published for side in ("chosen", "rejected")},
            set(),
        )


def test_a_lost_picture_and_a_faulty_answer_say_why_there_is_no_row(release: Release) -> None:
    release.answer({"t03": "Write <image> for it.", "t04": "  "})
    kept = dict(release.pairs.with_row_index("place").select("pair_id", "place").iter_rows())
    asked = dict(release.rows.select("instruction_id", "images").iter_rows())
    release.lose(kept[asked["p0"][0]], is_changed=False)
    release.lose(kept[asked["p2"][1]], is_changed=True)
    manifest = release.release(SFT)

    assert manifest.removed_by_rule == {"faulty_conversation": 2, "vanished_image": 2, "changed_image": 1}
    (fate,) = explain(release.lake, "t03")
    assert fate.verdict == "sft_dataset: removed by faulty_conversation"
    (step,) = (step for step in fate.steps if step.asset == "sft_dataset")
    assert step.rows == (
        {
            "rule": "faulty_conversation",
            "measured": "has <image> in an answer, which trainers take for a picture",
            "limit": "what trainers accept",
        },
    )
    assert explain(release.lake, "t04")[0].steps[-2].rows[0]["measured"] == "has an empty turn"
    told = {"p0": ("vanished_image", asked["p0"][0]), "p1": ("vanished_image", asked["p1"][0]),
            "p2": ("changed_image", asked["p2"][1])}  # fmt: skip
    for name, (reason, pair) in told.items():
        (fate,) = explain(release.lake, name)
        assert fate.verdict == f"sft_dataset: removed by {reason}"
        (step,) = (step for step in fate.steps if step.asset == "sft_dataset")
        assert step.rows[0]["measured"] == f"pair {pair}"


def test_a_pair_without_its_picture_says_so_and_one_that_is_released_names_the_formats_without_it(
    release: Release,
) -> None:
    pairs = dict(
        release.lake.dataset(PREFERENCE_PAIRS, "a").scan().select("instruction_id", "pair_id").collect().iter_rows()
    )
    release.choose({"t01": "It ends.\n\nHuman: no"})
    for place in range(3):
        release.lose(place, is_changed=False)
    release.release(PREFERENCES, dialects=("llava",), preference_forms=("transcripts",))

    (fate,) = explain(release.lake, pairs["p2"])
    assert fate.verdict == "preference_dataset: removed by vanished_image"
    (fate,) = explain(release.lake, pairs["t01"])
    assert fate.verdict == "kept, up to preference_dataset"
    assert {row["left out of"]: row["details"] for row in fate.steps[-1].rows} == {
        "llava": "has two answers, which this format has no place for",
        "preference_forms/transcripts": "holds the mark '\\n\\nHuman: ' in its words",
    }


def test_a_pair_that_prefers_nothing_costs_itself_alone(release: Release) -> None:
    pairs = release.lake.dataset(PREFERENCE_PAIRS, "a").scan().collect()
    ids, worse = (dict(pairs.select("instruction_id", name).iter_rows()) for name in ("pair_id", "rejected"))
    release.choose({"t01": f" {worse['t01']}\n", "t02": "An <image>"})
    manifest = release.release(PREFERENCES)

    assert manifest.removed_by_rule == {"faulty_pair": 2}
    measured = {name: explain(release.lake, ids[name])[0].steps[-1].rows[0]["measured"] for name in ("t01", "t02")}
    assert measured["t01"] == "prefers nothing: both answers are the same but for white space"
    assert measured["t02"].startswith("with its chosen answer has <image> in an answer")


def test_a_row_that_the_mixture_does_not_read_says_so(release: Release) -> None:
    release.answer({}, {"t05": "rare"})
    release.release(SFT, method_epochs={"rare": 0})
    (fate,) = explain(release.lake, "t05")
    (step,) = (step for step in fate.steps if step.asset == "sft_dataset")
    assert (step.fate, step.rows) == (
        "kept",
        ({"left out of": "mixture", "reason": "not_drawn", "details": "rare is read in 0 epochs"},),
    )


def test_what_is_told_goes_with_its_shard(release: Release) -> None:
    dataset = release.lake.dataset(SFT_DATASET)
    release.answer({"t03": " "})
    release.release(SFT)
    assert dataset.read_left_out()["id"].to_list() == ["t03"]
    told = next(Path(dataset.folder.url).glob("left_out-*.parquet"))
    told.unlink()
    release.release(SFT)  # as a lost part is, it is made again
    assert told.is_file()
    release.answer({})
    release.release(SFT)
    assert dataset.read_left_out().is_empty()
    release.answer({"t07": "Other."})
    release.release(SFT)
    # one round later nothing names the old shard, and the file goes
    assert list(Path(dataset.folder.url).glob("left_out-*.parquet")) == []
    assert not (release.folder(SFT_DATASET) / LEFT_OUT_FILE).exists()


def test_the_card_names_the_list_and_packing_tells_its_rows(release: Release) -> None:
    release.answer({"t03": "<|im_end|>"})
    release.release(SFT, pack_tokens=256)
    told = release.read_told(SFT_DATASET)

    assert dict(told.filter(place="packed").select("id", "reason").iter_rows()) == {
        "t03": "special_token_in_text",
        **dict.fromkeys(("p0", "p1", "p2"), "has_images"),
    }
    card = (release.folder(SFT_DATASET).parent / "README.md").read_text()
    assert "| left out | `release/left_out.parquet`: 4 rows that stand in no file, or not in every format;" in card


def test_answers_that_are_cut_off_before_packing_are_told(release: Release) -> None:
    talk = [
        {"role": role, "content": f"{role} {place} says " + "word " * 40}
        for place in range(3)
        for role in ("user", "assistant")
    ]
    turns = pl.Series("turns", [talk if name == "t03" else None for name in release.rows["instruction_id"]])
    release.rows = release.rows.with_columns(turns.cast(release.rows.schema["turns"]))
    release.answer({"t03": talk[-1]["content"]})
    release.release(SFT, pack_tokens=256, max_tokens=160)
    told = release.read_told(SFT_DATASET).filter(place="packed", id="t03")

    assert told.select("reason", "details").rows() == [("answers_cut", "last answers cut off: 2")]
    packed = pl.read_parquet(release.folder(SFT_DATASET) / "packed" / "a.parquet")
    assert "t03" in packed["row_ids"].explode().to_list()
    card = (release.folder(SFT_DATASET).parent / "README.md").read_text()
    assert "; answers cut off at 160 tokens: 2; left out: 3 (has_images)" in card


def test_a_dump_that_is_not_ready_is_named(release: Release, caplog: pytest.LogCaptureFixture) -> None:
    rows = release.rows.filter(pl.col("instruction_id") == "t00")
    publish(
        release.lake,
        SYNTHESIZED_INSTRUCTIONS,
        "b",
        rows.with_columns(instruction_id=pl.lit("u00"), dump=pl.lit("b")),
    )
    record_dump(release.lake, Dump("b", "/crawl", ()))

    def tell() -> str:
        (step,) = (step for step in explain(release.lake, "u00")[0].steps if step.asset == "sft_dataset")
        return step.fate

    release.release(SFT)
    assert "sft_dataset: dump b is left out: instruction_removals is not made yet." in caplog.messages
    assert tell() == "not in it, nor is any of its dump: instruction_removals is not made yet"
    publish(release.lake, INSTRUCTION_REMOVALS, "b", INSTRUCTION_REMOVALS.make_empty())
    add_pairs(release.lake, "b", draw_pairs(1), str(release.cache))
    publish(release.lake, INSTRUCTION_REVIEWS, "b", INSTRUCTION_REVIEWS.make_empty())
    release.lake.dataset(INSTRUCTION_REVIEWS, "b").record_verdict(["key_is_unique"])
    assert tell() == "not in it, nor is any of its dump: checks of instruction_reviews failed: key_is_unique"
    release.lake.dataset(INSTRUCTION_REVIEWS, "b").record_verdict([])
    assert tell().endswith("sft_dataset was made before the dump was ready; make it again")
    release.release(SFT)
    assert tell() == "kept"


def test_two_dumps_tell_their_rows_apart(release: Release) -> None:
    lake: Lake = release.lake
    rows = release.rows.filter(pl.col("instruction_id") == "t00")
    other = rows.with_columns(instruction_id=pl.lit("u00"), dump=pl.lit("b"), response=pl.lit(" "))
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "b", other)
    publish(lake, INSTRUCTION_REMOVALS, "b", INSTRUCTION_REMOVALS.make_empty())
    publish(lake, INSTRUCTION_REVIEWS, "b", INSTRUCTION_REVIEWS.make_empty())
    add_pairs(lake, "b", draw_pairs(1), str(release.cache))
    release.answer({"t03": " "})
    release.release(SFT)
    assert release.read_told(SFT_DATASET).select("id", "dump").rows() == [("t03", "a"), ("u00", "b")]
