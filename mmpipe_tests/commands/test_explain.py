from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from mmpipe.commands.explain import explain
from mmpipe.commands.fates import Fate, Step
from mmpipe.commands.judge import judge_again
from mmpipe.commands.lookup import RowNotFound
from mmpipe.commands.printing import print_fate
from mmpipe.commands.trace import trace
from mmpipe.errors import ConfigurationError, DatasetNotReady, RecipeError
from mmpipe.storage.dump_removal import remove_from_lake
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.image_balance import IMAGE_BALANCE
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.instructions import (
    JUDGEMENTS,
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.removals import IMAGE_REMOVALS, INSTRUCTION_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS, EXTRACTED_TEXT, FILTERED_TEXT, TEXT_DUPLICATES
from mmpipe.tables.text_signals import TEXT_SIGNALS
from mmpipe_tests.commands.conftest import TinyProject
from mmpipe_tests.commands.lakes import publish

KEPT, SHORT, COPY, BROKEN = "doc-kept", "doc-short", "doc-copy", "doc-broken"


def signals(doc_id: str, words: float | None) -> dict:
    status = "ok" if words is not None else "no_main_text"
    return {"doc_id": doc_id, "extraction_status": status, "language": "en" if words else None, "word_count": words}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    record_dump(lake, Dump("d1", "/crawl", ("a.warc.gz",)))
    record_dump(lake, Dump("d0", "/crawl", ("a.warc.gz",)))  # nothing is made of this one yet
    docs = [KEPT, SHORT, COPY, BROKEN]
    publish(lake, RAW_CRAWL, "d1", [
        {"doc_id": doc, "dump": "d1", "url": f"https://x.example/{doc}", "warc_file": "a.warc.gz",
         "warc_offset": 7 * at, "record_status": "ok", "kind": "html"} for at, doc in enumerate([*docs, "image-record"])
    ])  # fmt: skip
    publish(lake, EXTRACTED_TEXT, "d1", [
        {"doc_id": doc, "dump": "d1", "text": None if doc == BROKEN else "word " * 200,
         "extraction_status": "no_main_text" if doc == BROKEN else "ok"} for doc in docs
    ])  # fmt: skip
    publish(lake, TEXT_SIGNALS, "d1", [
        signals(KEPT, 200), signals(SHORT, 12), signals(COPY, 200), signals(BROKEN, None)
    ])  # fmt: skip
    publish(lake, TEXT_REMOVALS, "d1", [
        {"doc_id": SHORT, "rule": "gopher_word_count", "signal": "word_count", "value": 12.0, "low": 50.0, "high": 1e5},
        {"doc_id": SHORT, "rule": "refinedweb_language", "signal": "language", "value_text": "fr", "allowed": ["en"]},
        {"doc_id": BROKEN, "rule": "no_main_text", "signal": "extraction_status", "value_text": "no_main_text"},
    ])  # fmt: skip
    publish(lake, FILTERED_TEXT, "d1", [{"doc_id": doc, "dump": "d1"} for doc in (KEPT, COPY)])
    publish(lake, TEXT_DUPLICATES, "d1", [
        {"doc_id": COPY, "dump": "d1", "kept_doc_id": KEPT, "kept_dump": "d1", "method": "minhash", "similarity": 0.91,
         "cluster_id": KEPT, "cluster_documents": 2},
        {"doc_id": KEPT, "dump": "d1", "kept_doc_id": KEPT, "kept_dump": "d1", "method": "minhash", "similarity": 1.0,
         "cluster_id": KEPT, "cluster_documents": 2},
    ])  # fmt: skip
    publish(lake, DEDUPED_CORPUS, "d1", [{"doc_id": KEPT, "dump": "d1"}])
    pair = {"pair_id": "pair-1", "doc_id": KEPT, "dump": "d1", "image_url": "https://x.example/cat.png",
            "caption": "a cat", "image_doc_id": "image-record", "image_origin": "dump"}  # fmt: skip
    publish(lake, IMAGE_CANDIDATES, "d1", [pair, pair | {"pair_id": "pair-2", "image_origin": "missing"}])
    publish(lake, IMAGE_SIGNALS, "d1", [
        {"pair_id": "pair-1", "decode_status": "ok", "image_min_side": 300.0},
        {"pair_id": "pair-2", "decode_status": "missing_image"},
    ])  # fmt: skip
    publish(lake, IMAGE_REMOVALS, "d1", [
        {"pair_id": "pair-2", "rule": "missing_image", "signal": "decode_status", "value_text": "missing_image"}
    ])  # fmt: skip
    publish(lake, FILTERED_IMAGE_PAIRS, "d1", [{name: pair[name] for name in pair if name != "image_detail"}])
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "d1", [
        {"instruction_id": "ins-1", "dump": "d1", "method": "grounded_qa", "teacher": "embedded", "instruction": "why?",
         "parents": [{"table": "deduped_corpus", "id": KEPT}]},
        {"instruction_id": "ins-2", "dump": "d1", "method": "image_instructions", "teacher": "embedded",
         "parents": [{"table": "filtered_image_pairs", "id": "pair-1"}]},
    ])  # fmt: skip
    publish(lake, INSTRUCTION_REMOVALS, "d1", [])
    publish(lake, RESPONSES, "d1", [{"response_id": "res-1", "instruction_id": "ins-1", "dump": "d1"}])
    publish(lake, JUDGEMENTS, "d1", [{"judgement_id": "jud-1", "response_id": "res-1", "instruction_id": "ins-1",
                                      "dump": "d1", "score": 4.0}])  # fmt: skip
    publish(lake, SFT_DATASET, None, [{"id": "ins-1", "dump": "d1", "parents": [
        {"table": "synthesized_instructions", "id": "ins-1"}]}])  # fmt: skip
    publish(lake, PREFERENCE_DATASET, None, [{"id": "pref-1", "group_id": "ins-1", "dump": "d1", "parents": [
        {"table": "judgements", "id": "jud-1"}]}])  # fmt: skip
    publish(lake, PRETRAINING_DATASET, None, [{"sequence_id": "seq-1", "doc_ids": [KEPT, KEPT]}])
    return lake


def fate_of(lake: Lake, wanted: str) -> tuple[Fate, dict[str, Step]]:
    (fate,) = explain(lake, wanted)
    json.dumps(fate.to_json())
    return fate, {step.asset: step for step in fate.steps}


def test_a_removed_document_shows_every_rule_with_value_and_limit(lake: Lake) -> None:
    fate, steps = fate_of(lake, SHORT)
    assert fate.verdict == "text_removals: removed by gopher_word_count, refinedweb_language"
    assert steps["text_removals"].rows == (
        {"rule": "gopher_word_count", "measured": 12.0, "limit": "50 <= word_count <= 100000"},
        {"rule": "refinedweb_language", "measured": "fr", "limit": "one of en"},
    )
    assert steps["text_signals"].values["word_count"] == 12.0
    assert steps["raw_crawl"].values["warc_offset"] == 7
    assert steps["deduped_corpus"].fate == "not in it"


def test_a_duplicate_names_the_document_kept_for_it(lake: Lake) -> None:
    fate, steps = fate_of(lake, COPY)
    assert fate.verdict == "removed as a duplicate: repeats doc-kept of d1 (minhash, similarity 0.910; cluster of 2)"
    assert steps["filtered_text"].fate == "kept"


def test_a_kept_document_shows_what_was_made_from_it(lake: Lake) -> None:
    fate, steps = fate_of(lake, KEPT)
    assert fate.verdict == "kept, up to deduped_corpus"
    assert [(row["instruction_id"], row["fate"]) for row in steps["synthesized_instructions"].rows] == [
        ("ins-1", "kept")
    ]
    assert [row["pair_id"] for row in steps["image_candidates"].rows] == ["pair-1", "pair-2"]
    assert steps["pretraining_dataset"].fate == "in 1 sequence"


def test_an_unreadable_page_says_why(lake: Lake) -> None:
    fate, steps = fate_of(lake, BROKEN)
    assert fate.verdict == "text_removals: removed by no_main_text"
    assert steps["extracted_text"].fate == "no_main_text"


def test_pairs_instructions_and_what_hangs_on_them(lake: Lake) -> None:
    assert fate_of(lake, "pair-2")[0].verdict == "image_removals: removed by missing_image"
    fate, steps = fate_of(lake, "pair-1")
    assert fate.verdict == "kept, up to filtered_image_pairs"
    assert [row["instruction_id"] for row in steps["synthesized_instructions"].rows] == ["ins-2"]
    fate, steps = fate_of(lake, "ins-1")
    assert (fate.kind, fate.verdict, steps["sft_dataset"].fate) == ("instruction", "kept, up to sft_dataset", "kept")
    for wanted, kind in (("res-1", "response"), ("jud-1", "judgement"), ("pref-1", "preference pair")):
        fate, steps = fate_of(lake, wanted)
        assert (fate.kind, fate.id) == (kind, wanted)
    assert fate.verdict == "kept, up to preference_dataset"
    assert fate_of(lake, "seq-1")[0].kind == "pretraining_dataset"


def test_what_took_a_pair_from_the_choice_is_told_in_full(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    record_dump(lake, Dump("d1", "/crawl", ("a.warc.gz",)))
    ids = ("twin", "crowd", "stray")
    publish(lake, IMAGE_CANDIDATES, "d1", [{"pair_id": pair_id, "dump": "d1", "doc_id": "x"} for pair_id in ids])
    publish(lake, IMAGE_BALANCE, "d1", [
        {"pair_id": "crowd", "method": "queries", "draw": 0.7, "keep_probability": 0.25, "rarest_entry": "boat"},
        {"pair_id": "stray", "method": "queries", "draw": 0.7},
    ])  # fmt: skip
    of_balance = {"rule": "metaclip_query_balance", "signal": "balance_draw", "value": 0.7}
    publish(lake, IMAGE_REMOVALS, "d1", [
        {"pair_id": "twin", "rule": "mmpipe_near_duplicate_image", "signal": "phash_distance", "value": 3.0,
         "value_text": "other", "low": 9.0},
        {"pair_id": "crowd", **of_balance, "value_text": "boat", "high": 0.25},
        {"pair_id": "stray", **of_balance, "high": 0.0},
    ])  # fmt: skip
    told = {}
    for pair_id in ids:
        steps = fate_of(lake, pair_id)[1]
        (row,) = steps["image_removals"].rows
        told[pair_id] = (steps["image_balance"].fate, row["measured"], row["limit"])
    assert told["twin"][1:] == ("3 (other)", "9 <= phash_distance")
    assert told["crowd"] == ("left out: drew 0.7 of 0.25, rarest 'boat'", "0.7 (boat)", "balance_draw < 0.25")
    assert told["stray"] == ("left out: no subject that counts, chance 0", 0.7, "balance_draw < 0")


def test_urls_of_pages_and_images_are_found(lake: Lake) -> None:
    assert fate_of(lake, f"https://x.example/{SHORT}")[0].id == SHORT
    assert [fate.id for fate in explain(lake, "https://x.example/cat.png")] == ["pair-1", "pair-2"]
    for unknown in ("https://x.example/none", "no-such-id"):
        with pytest.raises(RowNotFound):
            explain(lake, unknown)


def test_stages_that_were_not_made_say_so_and_refused_ones_are_still_read(tmp_path, lake: Lake) -> None:
    young = Lake(str(tmp_path))
    record_dump(young, Dump("d1", "/crawl", ("a.warc.gz",)))
    publish(young, RAW_CRAWL, "d1", [{"doc_id": "x", "record_status": "ok", "kind": "html"}])
    young.dataset(RAW_CRAWL, "d1").record_verdict(["url__not_null"])
    fate, steps = fate_of(young, "x")
    assert fate.verdict == "came as far as raw_crawl"
    assert steps["raw_crawl"].fate == "ok, html (the dataset is refused: its checks failed)"
    assert steps["extracted_text"].fate == "not made yet"


def test_rows_of_a_removed_dump_say_so(lake: Lake, tmp_path: Path) -> None:
    lake = Lake(str(shutil.copytree(lake.root, tmp_path / "lake")))
    publish(lake, INTERLEAVED_DATASET, None, [{"doc_id": KEPT, "dump": "d1", "order": "page", "url": "u"}])
    assert fate_of(lake, KEPT)[1]["interleaved_dataset"].fate == "1 released row"
    remove_from_lake(lake, "d1", PUBLISHED_TABLES, ())

    fate, steps = fate_of(lake, "ins-1")
    assert (fate.kind, fate.dump) == ("instruction", "d1")
    assert "still in sft_dataset, preference_dataset, though its dump was removed on " in fate.verdict
    assert "mmpipe backfill sft_dataset preference_dataset. Add it again: mmpipe crawl add d1 " in fate.verdict
    assert steps["synthesized_instructions"].fate == "removed with its dump"
    assert steps["sft_dataset"].fate == "kept"
    fate, steps = fate_of(lake, KEPT)
    assert (fate.kind, fate.dump) == ("document", "d1")
    assert "still in interleaved_dataset, pretraining_dataset, though" in fate.verdict
    assert steps["text_contamination"].fate == "removed with its dump"
    for gone in (SHORT, "https://x.example/cat.png"):
        with pytest.raises(RowNotFound, match="Rows of removed dumps are not known: d1 on "):
            explain(lake, gone)
    with pytest.raises(RowNotFound, match=r"ins-1 was made from .* not there any more: its dump d1 was removed on "):
        trace(lake, "ins-1")


def test_values_are_printed_as_people_read_them() -> None:
    parents = [{"table": "deduped_corpus", "id": "d1"}, {"table": "deduped_corpus", "id": "d2"}]
    values = {"parents": parents, "images": [], "score": 0.123456789, "said": "[sic]", "place": None, "count": 0}
    rows = ({"turns": [{"role": "user", "content": "Why?", "name": None}]},)
    written = io.StringIO()
    steps = (Step("sft_dataset", "kept", values, rows),)
    print_fate(Console(file=written, width=160), Fate("instruction", "i", "d", "kept", steps))
    lines = [line.strip(" │├└─") for line in written.getvalue().splitlines()]
    assert lines[2:6] == [
        "parents table deduped_corpus, id d1; table deduped_corpus, id d2", "score 0.123457", "said [sic]", "count 0",
    ]  # fmt: skip
    assert lines[-1] == "role user, content Why?"


def test_a_pair_of_a_list_is_traced_to_its_row(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    record_dump(lake, Dump("d1", "/crawl", ("list.parquet",)))
    listed = {"pair_id": "pair-1", "dump": "d1", "doc_id": "row", "list_file": "list.parquet", "position": 12}
    publish(lake, IMAGE_CANDIDATES, "d1", [listed])
    origin = trace(lake, "pair-1")
    assert (origin.made_by["list_file"], origin.made_by["list_row"], origin.parents) == ("list.parquet", 12, ())


def test_a_training_row_is_traced_to_the_records_of_the_crawl(lake: Lake) -> None:
    assert {record.id for record in trace(lake, "pref-1").list_records()} == {KEPT}
    assert {record.id for record in trace(lake, "ins-2").list_records()} == {KEPT, "image-record"}
    (record,) = trace(lake, "seq-1").list_records()
    assert record.made_by["warc_file"] == "a.warc.gz"
    origin = trace(lake, "jud-1")
    assert [origin.asset, origin.parents[0].asset, origin.parents[0].parents[0].asset] == [
        "judgements", "responses", "synthesized_instructions",
    ]  # fmt: skip


def test_a_moved_limit_changes_the_funnel_and_nothing_on_disk(lake: Lake) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in __import__("pathlib").Path(lake.root).rglob("*"))
    answer = judge_again(
        lake, lane="text", dump=None, current="refinedweb", recipe=None, overrides=["gopher_word_count.low=5"]
    )
    assert answer.before.rows_in == answer.after.rows_in == 4
    assert answer.before.removed_by_rule["gopher_word_count"] == 1
    assert "gopher_word_count" not in answer.after.removed_by_rule
    assert [rule for rule in answer.list_rules() if answer.has_moved(rule)] == ["gopher_word_count"]
    after = sorted((path, path.stat().st_mtime_ns) for path in __import__("pathlib").Path(lake.root).rglob("*"))
    assert before == after


def test_limits_on_scores_that_no_picture_has_are_not_judged(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    row = {"decode_status": "ok", "image_aspect_ratio": 1.0, "image_bytes": 9000.0, "clip_similarity": 0.4}
    scored = {"pair_id": "pair-1", **row, "nsfw_score": 0.1, "nsfw_weights": "w"}
    ask = {"lane": "images", "current": "refinedweb", "recipe": "mmc4", "overrides": []}
    publish(lake, IMAGE_SIGNALS, "d1", [{"pair_id": "pair-0", **row}])
    with pytest.raises(ConfigurationError, match=r"limits nsfw_score, which no stored pair has.*MMPIPE_RECIPE=mmc4"):
        judge_again(lake, dump="d1", **ask)
    publish(lake, IMAGE_SIGNALS, "d2", [scored])
    answer = judge_again(lake, dump=None, **ask)
    assert (answer.after.rows_in, answer.after.removed_by_rule["mmc4_nsfw_score"]) == (2, 1)


def test_wrong_questions_get_the_nearest_right_name(lake: Lake, tmp_path) -> None:
    ask = {"lane": "text", "dump": None, "current": "refinedweb", "recipe": None, "overrides": []}
    with pytest.raises(ConfigurationError, match="'text'"):
        judge_again(lake, **ask | {"lane": "txt"})
    with pytest.raises(RecipeError, match="gopher_word_count"):
        judge_again(lake, **ask | {"overrides": ["gopher_word_cout.low=5"]})
    with pytest.raises(DatasetNotReady):
        judge_again(Lake(str(tmp_path)), **ask)


def test_the_commands_print_trees_and_json(lake: Lake, tiny: TinyProject) -> None:
    told = tiny.run("explain", SHORT, MMPIPE_LAKE=lake.root)
    assert told.returncode == 0, told.stderr
    assert "50 <= word_count <= 100000" in told.stdout
    assert json.loads(tiny.run("explain", SHORT, "--json", MMPIPE_LAKE=lake.root).stdout)[0]["id"] == SHORT
    assert "1 crawl record\n" in tiny.run("trace", "pref-1", MMPIPE_LAKE=lake.root).stdout
    judged = tiny.run("judge", "--set", "gopher_word_count.low=5", MMPIPE_LAKE=lake.root)
    assert "nothing was written" in judged.stdout, judged.stderr
    assert tiny.run("explain", "nothing", MMPIPE_LAKE=lake.root).returncode == 1


def test_signals_counted_in_another_way_are_not_judged(lake: Lake, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("extends: refinedweb\ntext: {measured_before: {gopher: extracted}}\n")
    with pytest.raises(ConfigurationError, match="counted or corrected in its own way"):
        judge_again(lake, lane="text", dump=None, current="refinedweb", recipe=str(other), overrides=[])
