from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.assets.contract_rules import ERROR, EXPECTATIONS, UNEXPECTED_ROWS, WARNING, ContractRule, QualityReader
from mmpipe.assets.contracts import Contract, bind_queries, find_contract_folder, load_contracts
from mmpipe.assets.marked_yaml import read_marked_yaml
from mmpipe.assets.validation import validate_dataset
from mmpipe.errors import DatasetNotReady, MmpipeError
from mmpipe.storage.commits import FAILED
from mmpipe.storage.lake import Lake
from mmpipe.tables.columns import Table
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.instructions import PREFERENCE_DATASET, PRETRAINING_DATASET, SFT_DATASET
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import DEDUPED_CORPUS, EXTRACTED_TEXT, FILTERED_TEXT, TEXT_DUPLICATES, TEXT_REPEATS
from mmpipe_tests.assets.published import publish

CONTRACTS = load_contracts(find_contract_folder())
ID = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2
DOCUMENT = {
    "doc_id": ID,
    "dump": "d",
    "url": None,
    "title": None,
    "date": None,
    "language": "en",
    "language_score": 0.9,
    "text": "One.\n\nTwo.",
}
TURNS = [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A boat."}]
ANSWER = [{"role": "assistant", "content": "A boat."}]
PARENTS = [{"table": "deduped_corpus", "id": ID}]

GOOD: dict[str, tuple[Table, dict[str, Any]]] = {
    "raw_crawl": (
        RAW_CRAWL,
        {
            "doc_id": ID,
            "dump": "d",
            "warc_file": "a.warc.gz",
            "warc_offset": 0,
            "warc_length": 9,
            "record_type": "response",
            "record_status": "ok",
            "kind": "html",
            "url": "https://example.org/",
            "mime": "text/html",
            "charset": None,
            "http_status": 200,
            "crawled_at": None,
            "payload_bytes": 5,
            "payload_digest": None,
        },
    ),
    "extracted_text": (
        EXTRACTED_TEXT,
        {
            "doc_id": ID,
            "dump": "d",
            "url": None,
            "extraction_status": "ok",
            "extraction_detail": None,
            "extractor": "x",
            "charset": "utf-8",
            "title": None,
            "date": None,
            "text": "Änderung",
            "text_chars": 8,
            "language": "de",
            "language_score": 1.0,
        },
    ),
    "filtered_text": (FILTERED_TEXT, DOCUMENT),
    "text_duplicates": (
        TEXT_DUPLICATES,
        {
            "doc_id": ID,
            "dump": "d",
            "cluster_id": ID,
            "kept_doc_id": ID,
            "kept_dump": "d",
            "method": "exact",
            "similarity": 1.0,
            "cluster_documents": 2,
            "cluster_kept": 1,
            "cluster_diameter": 1,
            "cluster_diameter_at_most": 1,
        },
    ),
    "text_repeats": (
        TEXT_REPEATS,
        {
            "doc_id": ID,
            "dump": "d",
            "method": "substring",
            "start": 4,
            "end": 120,
            "kept_doc_id": OTHER,
            "kept_start": 0,
        },
    ),
    "deduped_corpus": (DEDUPED_CORPUS, DOCUMENT),
    "text_removals": (
        TEXT_REMOVALS,
        {
            "doc_id": ID,
            "rule": "gopher_word_count",
            "signal": "word_count",
            "value": 4.0,
            "value_text": None,
            "low": 50.0,
            "high": 100000.0,
            "allowed": None,
        },
    ),
    "image_signals": (
        IMAGE_SIGNALS,
        {column.name: None for column in IMAGE_SIGNALS.columns}
        | {
            "pair_id": ID,
            "decode_status": "ok",
            "image_width": 30.0,
            "image_height": 20.0,
            "image_min_side": 20.0,
            "phash": "0123456789abcdef",
            "clip_similarity": 0.3,
            "clip_weights": "w",
        },
    ),
    "image_candidates": (
        IMAGE_CANDIDATES,
        {
            "pair_id": ID,
            "doc_id": OTHER,
            "dump": "d",
            "page_url": "p",
            "image_url": "i",
            "image_element": "img",
            "position": 0,
            "caption": "A boat",
            "caption_source": "alt",
            "caption_written_chars": 6,
            "alt": "A boat",
            "figcaption": None,
            "image_origin": "dump",
            "image_detail": None,
            "image_doc_id": OTHER,
            "image_warc_file": "a",
            "image_warc_offset": 7,
            "image_sha256": None,
        },
    ),
    "sft_dataset": (
        SFT_DATASET,
        {
            "id": "a",
            "messages": TURNS,
            "images": [{"bytes": b"\x89PNG", "path": None}],
            "dump": "d",
            "method": "m",
            "parents": PARENTS,
        },
    ),
    "preference_dataset": (
        PREFERENCE_DATASET,
        {
            "id": "a",
            "prompt": TURNS[:1],
            "images": [{"bytes": b"\x89PNG", "path": None}],
            "chosen": ANSWER,
            "rejected": [{"role": "assistant", "content": "No."}],
            "score_chosen": 5.0,
            "score_rejected": 1.0,
            "criterion": "c",
            "method": "best_worst",
            "iteration": 0,
            "policy": "",
            "source_urls": [],
            "group_id": "g",
            "dump": "d",
            "parents": PARENTS,
        },
    ),
    "pretraining_dataset": (
        PRETRAINING_DATASET,
        {
            "sequence_id": "s",
            "input_ids": [1, 2, 3],
            "doc_ids": [ID, OTHER],
            "doc_lengths": [1, 2],
            "epoch": 0,
            "source": "d",
            "tokenizer": "t",
        },
    ),
}

BAD = [
    ("raw_crawl", {"warc_offset": -1}, "warc_offset__range"),
    ("raw_crawl", {"record_status": "fine"}, "record_status__known"),
    ("raw_crawl", {"url": None}, "records_have_urls"),
    ("raw_crawl", {"record_status": "corrupt_record"}, "few_corrupt_records"),
    ("raw_crawl", {"doc_id": "XY"}, "doc_id__pattern"),
    ("extracted_text", {"text": None, "text_chars": None, "language": None, "language_score": None}, "text_where_ok"),
    ("extracted_text", {"text_chars": 9}, "chars_match_text"),
    ("filtered_text", {"text": "One.\n\n\nTwo."}, "no_blank_gaps"),
    ("filtered_text", {"text": "See https://example.org/ there."}, "no_bare_urls"),
    ("filtered_text", {"language_score": 1.1}, "language_score__range"),
    ("filtered_text", {"text": ""}, "text__length"),
    ("text_duplicates", {"kept_doc_id": f"{1:032x}"}, "kept_documents_stay"),
    ("text_duplicates", {"kept_doc_id": OTHER}, "kept_documents_stay"),
    ("text_repeats", {"end": 4}, "spans_hold_text"),
    ("text_removals", {"value": 60.0}, "breaks_its_limit"),
    ("image_signals", {"clip_similarity": -1.5}, "clip_similarity__range"),
    ("image_signals", {"image_min_side": 30.0}, "shorter_side"),
    ("image_signals", {"phash": None}, "measured_where_ok"),
    ("image_candidates", {"image_warc_file": None}, "dump_bytes_have_an_address"),
    ("sft_dataset", {"messages": TURNS[:1]}, "roles_alternate"),
    ("sft_dataset", {"messages": [TURNS[1], TURNS[0]]}, "roles_alternate"),
    ("sft_dataset", {"images": []}, "placeholders_match_images"),
    ("sft_dataset", {"images": [{"bytes": None, "path": None}]}, "images_have_bytes"),
    ("sft_dataset", {"messages": [TURNS[0], {"role": "assistant", "content": " "}]}, "turns_are_not_empty"),
    ("preference_dataset", {"rejected": ANSWER}, "answers_differ"),
    ("preference_dataset", {"score_rejected": 5.0}, "chosen_scores_higher"),
    ("preference_dataset", {"prompt": TURNS}, "prompt_ends_with_the_user"),
    ("preference_dataset", {"images": []}, "placeholders_match_images"),
    ("preference_dataset", {"parents": []}, "has_parents"),
    ("pretraining_dataset", {"doc_lengths": [1, 1]}, "lengths_add_up"),
    ("pretraining_dataset", {"doc_lengths": [3]}, "one_length_per_document"),
    ("pretraining_dataset", {"input_ids": [1, -2, 3]}, "token_ids_are_ids"),
]

#: Rules that a change made for another rule breaks too.
RELATED = {
    "chars_match_text": ("text_where_ok",),
    "placeholders_match_images": ("roles_alternate", "turns_are_not_empty"),
    "lengths_add_up": ("one_length_per_document",),
}


def make_frame(table: Table, *rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=table.schema)


def validate(dataset, contract: Contract, tmp_path: Path) -> dict[str, Any]:
    results = validate_dataset(dataset, contract, memory_limit="256MB", threads=1, scratch=tmp_path / "scratch")
    assert [result.id for result in results] == [rule.id for rule in contract.rules]
    return {result.id: result for result in results}


@pytest.mark.parametrize(
    ("lengths", "is_met"),
    [
        ({"a": [40] * 30 + [7], "b": [40] * 20 + [1], "c": [3], "d": [40, 40, 9]}, True),  # the rests of four sources
        ({"a": [40] * 18 + [1], "b": [40] * 100}, True),  # too few to tell
        ({"a": [40] * 30, "b": [40] * 20 + [30] * 10}, False),
        ({"a": [40] * 18 + [1, 1]}, False),
    ],
)
def test_sequences_are_full_but_for_the_rests(lengths: dict[str, list[int]], is_met: bool, tmp_path: Path) -> None:
    table, row = GOOD["pretraining_dataset"]
    rows = [
        row | {"sequence_id": f"{source}{place}", "source": source, "input_ids": [1] * length,
               "doc_lengths": [length], "doc_ids": [ID]}
        for source, each in lengths.items() for place, length in enumerate(each)
    ]  # fmt: skip
    dataset = publish(str(tmp_path / "lake"), table, make_frame(table, *rows))
    results = validate(dataset, CONTRACTS["pretraining_dataset"], tmp_path)
    assert {name: result.passed for name, result in results.items() if not result.passed} == (
        {} if is_met else {"sequences_are_full": False}
    )


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_hold(name, tmp_path):
    table, row = GOOD[name]
    # the ledger names as many removed rows as stay, so that the gates on the removed share hold too
    dataset = publish(str(tmp_path / "lake"), table, make_frame(table, row), removed=1 if name != "sft_dataset" else 0)
    results = validate(dataset, CONTRACTS[name], tmp_path)
    assert [result for result in results.values() if not result.passed] == []


@pytest.mark.parametrize("name", sorted({name for name, _, _ in BAD}))
def test_bad_rows_break_their_rules_and_are_named(name, tmp_path):
    table, row = GOOD[name]
    key = table.key[0]
    changes = [(change, rule) for other, change, rule in BAD if other == name]
    rows = [{**row, key: f"{number:032x}", **change} for number, (change, _) in enumerate(changes)]
    dataset = publish(str(tmp_path / "lake"), table, make_frame(table, *rows))
    results = validate(dataset, CONTRACTS[name], tmp_path)
    for bad, (_, rule) in zip(rows, changes, strict=True):
        assert not results[rule].passed, rule
        if results[rule].unexpected_count is not None:
            assert any(sample.startswith(bad[key]) for sample in results[rule].sample), rule
            # no more rows than were broken for this rule, or broken along with another
            assert results[rule].unexpected_count <= sum(
                other in (rule, *RELATED.get(rule, ())) for _, other in changes
            )


def test_repeated_keys_are_found_across_shards(tmp_path):
    frame = make_frame(FILTERED_TEXT, DOCUMENT)
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, frame, frame.with_columns(pl.lit("Other.").alias("text")))
    result = validate(dataset, CONTRACTS["filtered_text"], tmp_path)["doc_id__unique"]
    assert (result.passed, result.unexpected_count, result.sample) == (False, 1, (ID,))


def test_repeated_compound_keys_are_found(tmp_path):
    row = GOOD["text_removals"][1]
    frame = make_frame(TEXT_REMOVALS, row, row, {**row, "rule": "gopher_mean_word_length"})
    result = validate(publish(str(tmp_path / "lake"), TEXT_REMOVALS, frame), CONTRACTS["text_removals"], tmp_path)
    assert not result["doc_id__unique_key"].passed
    assert result["doc_id__unique_key"].sample == (f"{ID} / gopher_word_count",)


def test_no_rows_break_only_the_rule_about_rows(tmp_path):
    for number, (table, _) in enumerate(GOOD.values()):
        contract = CONTRACTS[table.name]
        # a table of removals or duplicates has no such rule: empty is good news there
        about_rows = [rule.id for rule in contract.rules if rule.id == "has_rows"]
        for name, frames in ((f"lake{number}", [table.make_empty()]), (f"none{number}", [])):
            dataset = publish(str(tmp_path / name), table, *frames)
            failed = [result for result in validate(dataset, contract, tmp_path).values() if not result.passed]
            assert [result.id for result in failed] == about_rows, table.name
            # a dump of lists of pairs has no records to index: that stops nobody
            assert frames or {result.severity for result in failed} <= {WARNING}, table.name


def test_a_crawl_that_held_nothing_is_an_error(tmp_path):
    dataset = publish(str(tmp_path / "lake"), RAW_CRAWL, RAW_CRAWL.make_empty())
    failed = [result for result in validate(dataset, CONTRACTS["raw_crawl"], tmp_path).values() if not result.passed]
    assert [(result.id, result.severity) for result in failed] == [("has_rows", ERROR)]


def test_a_missing_dataset_is_not_judged(tmp_path):
    with pytest.raises(DatasetNotReady, match="not materialized"):
        validate(Lake(str(tmp_path)).dataset(FILTERED_TEXT, "d"), CONTRACTS["filtered_text"], tmp_path)


def test_an_earlier_verdict_does_not_stand_in_the_way(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT), removed=1)
    dataset.record_verdict(["no_bare_urls"])
    assert dataset.find_manifest().checks == FAILED
    assert all(result.passed for result in validate(dataset, CONTRACTS["filtered_text"], tmp_path).values())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda frame: frame.drop("title"), "title: missing in part-"),
        (lambda frame: frame.with_columns(pl.lit(1).alias("extra")), "extra: unknown column in part-"),
        (lambda frame: frame.with_columns(pl.col("language_score").cast(pl.String)), "String instead of Float64"),
    ],
)
def test_wrong_columns_fail_the_schema_and_nothing_else_is_judged(change, told, tmp_path):
    frame = make_frame(FILTERED_TEXT, DOCUMENT)
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, frame)
    file = dataset.list_files()[0].local_path
    change(frame).write_parquet(file)
    results = validate(dataset, CONTRACTS["filtered_text"], tmp_path)
    assert not results["schema"].passed
    assert told in results["schema"].observed
    assert not results["doc_id__unique"].passed
    assert "not judged" in results["doc_id__unique"].observed


@pytest.mark.parametrize(("table", "column"), [(FILTERED_TEXT, "text"), (SFT_DATASET, "messages")])
def test_nulls_in_a_required_column_fail_the_schema(table, column, tmp_path):
    frame = make_frame(table, GOOD[table.name][1])
    dataset = publish(str(tmp_path / "lake"), table, frame)
    nulled = frame.with_columns(pl.lit(None, table.schema[column]).alias(column))
    nulled.write_parquet(dataset.list_files()[0].local_path)
    result = validate(dataset, CONTRACTS[table.name], tmp_path)["schema"]
    assert (result.passed, result.unexpected_count) == (False, 1)
    assert f"{column}: 1 nulls" in result.observed


def test_rows_that_are_not_accounted_for_are_an_error(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT), rows_in=5, removed=1)
    result = validate(dataset, CONTRACTS["filtered_text"], tmp_path)["rows_accounted_for"]
    assert (result.passed, result.unexpected_count) == (False, 3)
    assert "5 in, 1 out, 1 removed" in result.observed
    FILTERED_TEXT.make_empty().write_parquet(dataset.list_files()[0].local_path)
    result = validate(dataset, CONTRACTS["filtered_text"], tmp_path)["rows_accounted_for"]
    assert "0 rows in the files, 1 in the ledger" in result.observed


def test_a_share_outside_its_gate_warns(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT), removed=99)
    result = validate(dataset, CONTRACTS["filtered_text"], tmp_path)["removed_share"]
    assert (result.passed, result.severity, result.observed) == (False, "warning", 0.99)


def test_a_broken_file_is_no_bad_data(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT))
    file = dataset.list_files()[0].local_path
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(pa.ArrowInvalid):
        validate(dataset, CONTRACTS["filtered_text"], tmp_path)


def test_a_rule_that_cannot_run_raises_its_own_cause(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT))
    rule = ContractRule(
        "breaks", "b", ERROR, UNEXPECTED_ROWS, {"unexpected_rows_query": "SELECT error('disk') FROM ${table}"}
    )
    contract = CONTRACTS["filtered_text"]
    with pytest.raises(MmpipeError, match=r"could not be evaluated.*disk"):
        validate(dataset, replace(contract, rules=(*contract.rules, rule)), tmp_path)


def test_scratch_is_left_as_it_was(tmp_path):
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT))
    validate(dataset, CONTRACTS["filtered_text"], tmp_path)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_object_store_is_read_through_fsspec(tmp_path):
    good, bad = DOCUMENT, {**DOCUMENT, "doc_id": OTHER, "language_score": 3.0}
    dataset = publish("memory://contract-lake", FILTERED_TEXT, make_frame(FILTERED_TEXT, good, bad), removed=1)
    results = validate(dataset, CONTRACTS["filtered_text"], tmp_path)
    assert [result.id for result in results.values() if not result.passed] == ["language_score__range"]
    assert results["language_score__range"].sample == (OTHER,)


def test_known_expectations_are_those_of_the_installed_release():
    import great_expectations as gx

    for name, arguments in EXPECTATIONS.items():
        expectation = getattr(gx.expectations, "".join(word.capitalize() for word in name.split("_")))
        assert arguments <= set(expectation.__fields__), name


def test_every_known_expectation_runs_on_duckdb(tmp_path):
    arguments = {"column": "language_score", "column_A": "language_score", "column_B": "language_score",
                 "column_list": ["doc_id", "language"], "value_set": [0.9], "value": 1, "min_value": 0, "max_value": 2,
                 "or_equal": True}  # fmt: skip
    rules = []
    for number, (name, known) in enumerate(EXPECTATIONS.items()):
        kwargs = {key: value for key, value in arguments.items() if key in known}
        if "length" in name:
            kwargs["column"] = "language"
        rules.append(ContractRule(f"rule_{number}", name, ERROR, name, kwargs))
    contract = replace(CONTRACTS["filtered_text"], rules=tuple(rules))
    dataset = publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, DOCUMENT))
    results = validate(dataset, contract, tmp_path)
    failed = {rules[int(result.id[5:])].expectation for result in results.values() if not result.passed}
    # one row: its standard deviation is null, "en" is no single character, and the score is not null
    assert failed <= {
        "expect_column_stdev_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_null",
        "expect_column_values_to_not_be_in_set",
    }


QUALITY = """
quality:
  - {id: few_nulls, metric: nullValues, unit: percent, mustBeLessOrEqualTo: 50, severity: error}
  - {id: no_nulls, metric: nullValues, mustBe: 0, severity: error}
  - {id: no_nas, metric: missingValues, arguments: {missingValues: [null, "n/a"]}, mustBe: 0, severity: error}
  - id: valid
    metric: invalidValues
    arguments: {validValues: ["A {boat}", "b: c", "it's"]}
    mustBe: 0
    severity: error
  - {id: looks, metric: invalidValues, arguments: {pattern: "^[a-z]{2,3}$"}, mustBeBetween: [2, 3], severity: error}
  - {id: repeats, metric: duplicateValues, mustBeLessThan: 1, severity: error}
  - id: braces
    type: sql
    query: SELECT count(*) FROM ${table} t WHERE t.${column} = 'A {boat}' OR ${column} = ':b'
    mustBeGreaterThan: 0
    severity: error
  - {id: people, type: text, description: Somebody looked at it.}
"""


def test_metrics_of_the_standard_are_counted(tmp_path):
    path = tmp_path / "quality.yaml"
    path.write_text(QUALITY)
    reader = QualityReader(read_marked_yaml(path), FILTERED_TEXT.key, FILTERED_TEXT.column_names)
    rules = tuple(reader.read_rules(column="title"))
    contract = replace(CONTRACTS["filtered_text"], rules=rules)
    bind_queries([contract])
    titles = ["A {boat}", "n/a", None, "A {boat}"]
    rows = [{**DOCUMENT, "doc_id": f"{number:032x}", "title": title} for number, title in enumerate(titles)]
    results = validate(
        publish(str(tmp_path / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, *rows)), contract, tmp_path
    )
    assert {result.id.removeprefix("title__"): result.passed for result in results.values()} == {
        "few_nulls": True,
        "no_nulls": False,
        "no_nas": False,
        "valid": False,
        "looks": True,
        "repeats": False,
        "braces": True,
    }
    assert results["title__no_nulls"].sample == (f"{2:032x}",)
    assert results["title__no_nas"].unexpected_count == 2
    assert results["title__valid"].sample == (f"{1:032x}",)
    assert results["title__repeats"].observed == 1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(-2, 2, allow_nan=False), min_size=1, max_size=30))
def test_the_engine_counts_what_polars_counts(tmp_path_factory, scores):
    folder = tmp_path_factory.mktemp("counts")
    rows = [{**DOCUMENT, "doc_id": f"{number:032x}", "language_score": score} for number, score in enumerate(scores)]
    dataset = publish(str(folder / "lake"), FILTERED_TEXT, make_frame(FILTERED_TEXT, *rows))
    result = validate(dataset, CONTRACTS["filtered_text"], folder)["language_score__range"]
    expected = [row["doc_id"] for row in rows if not 0 <= row["language_score"] <= 1]
    assert (result.passed, result.unexpected_count) == (not expected, len(expected))
    assert set(result.sample) <= set(expected)
    assert len(result.sample) == min(10, len(expected))


def test_queries_in_contracts_are_plain_text():
    for contract in CONTRACTS.values():
        for rule in contract.rules:
            query = str(rule.kwargs.get("unexpected_rows_query", ""))
            assert not re.search(r"\$\{column\}", query), rule.id
