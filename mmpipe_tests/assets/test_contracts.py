from __future__ import annotations

import json
import re
import shutil
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.assets.contract_rules import ERROR, REMOVED_SHARE, ROWS_ACCOUNTED_FOR, SCHEMA, UNEXPECTED_ROWS, WARNING
from mmpipe.assets.contracts import (
    CONTRACT_KEYS,
    PROPERTY_KEYS,
    TABLE_KEYS,
    bind_queries,
    find_contract_folder,
    load_contract,
    load_contracts,
)
from mmpipe.errors import ContractError
from mmpipe.tables.crawl import RAW_CRAWL, RECORD_KINDS, RECORD_STATUSES
from mmpipe.tables.images import DECODE_STATUSES, IMAGE_ORIGINS
from mmpipe.tables.instructions import PREFERENCE_DATASET
from mmpipe.tables.published import PUBLISHED_TABLES
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import EXTRACTION_STATUSES, FILTERED_TEXT

FOLDER = find_contract_folder()
TABLES = {table.name: table for table in PUBLISHED_TABLES}


@pytest.fixture(scope="module")
def contracts():
    return load_contracts(FOLDER)


@pytest.fixture(scope="module")
def standard() -> dict:
    return json.loads((files("open_data_contract_standard") / "schema.json").read_text())


def test_every_published_table_has_a_contract(contracts):
    assert list(contracts) == [table.name for table in PUBLISHED_TABLES]
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.odcs.yaml" for name in contracts}


def test_a_contract_carries_what_dagster_shows(contracts):
    contract = contracts["filtered_text"]
    assert contract.owners == ("team:text",)
    assert "kept" in contract.tags
    assert contract.description.startswith("Documents that passed every rule")
    assert "**Limitations:**" in contract.description
    assert contract.column_descriptions["text"] == "Main text."
    rule = next(rule for rule in contract.rules if rule.id == "language_score__range")
    assert (rule.severity, rule.column, rule.kwargs) == (
        ERROR,
        "language_score",
        {"column": "language_score", "min_value": 0, "max_value": 1},
    )
    line = FILTERED_LINES[rule.line - 1]
    assert line.strip() == "logicalTypeOptions:"
    assert contract.locate(rule) == f"data_contracts/filtered_text.odcs.yaml:{rule.line}"


def test_every_rule_can_be_a_check(contracts):
    for contract in contracts.values():
        assert [rule.id for rule in contract.rules[:2]] == [SCHEMA, ROWS_ACCOUNTED_FOR]
        for rule in contract.rules:
            assert re.fullmatch(r"[A-Za-z0-9_]+", rule.id)
            assert rule.description
            assert rule.severity in (ERROR, WARNING)
            assert rule.line > 1
        assert any(rule.id.endswith(("__unique", "__unique_key")) for rule in contract.rules), contract.table_name


def test_only_an_empty_crawl_is_an_error(contracts):
    severities = {
        name: rule.severity for name, contract in contracts.items() for rule in contract.rules if rule.id == "has_rows"
    }
    assert {name for name, severity in severities.items() if severity == ERROR} == {"raw_crawl"}
    # no duplicate, no contamination, no broken rule is good news; balance, captions, boxes, documents and revisions are
    # asked for
    assert set(contracts) - set(severities) == {
        "instruction_removals",
        "image_removals",
        "image_duplicates",
        "image_balance",
        "rephrased_candidates",
        "rephrased_removals",
        "rephrased_documents",
        "image_captions",
        "grounded_pairs",
        "interleaved_candidates",
        "interleaved_removals",
        "interleaved_documents",
        "interleaved_dataset",
        "text_duplicates",
        "text_repeats",
        "text_contamination",
        "instruction_contamination",
        "instruction_reviews",
        "instruction_duplicates",
        "preference_contamination",
        "preference_removals",
        "response_revisions",
    }


def test_gates_on_the_removed_share_only_warn(contracts):
    gates = [rule for contract in contracts.values() for rule in contract.rules if rule.expectation == REMOVED_SHARE]
    assert len(gates) >= 3
    assert {rule.severity for rule in gates} == {WARNING}


@pytest.mark.parametrize("name", TABLES)
def test_contracts_follow_the_standard(name, standard):
    contract = yaml.safe_load((FOLDER / f"{name}.odcs.yaml").read_text())
    errors = list(jsonschema.Draft201909Validator(standard).iter_errors(contract))
    assert not errors, errors[0]


def test_known_keys_are_those_of_the_standard(standard):
    definitions = standard["$defs"]
    element = set(definitions["SchemaElement"]["properties"])
    assert set(standard["properties"]) == CONTRACT_KEYS
    assert element | set(definitions["SchemaObject"]["properties"]) == TABLE_KEYS
    # these three hang on the logical type in the standard
    assert (
        element | set(definitions["SchemaBaseProperty"]["properties"]) | {"items", "map", "properties"} == PROPERTY_KEYS
    )


@pytest.mark.parametrize("name", TABLES)
def test_descriptions_are_the_tables_own(name, contracts):
    assert contracts[name].column_descriptions == {column.name: column.description for column in TABLES[name].columns}


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("raw_crawl", "record_status", RECORD_STATUSES),
        ("raw_crawl", "kind", RECORD_KINDS),
        ("extracted_text", "extraction_status", EXTRACTION_STATUSES),
        ("text_signals", "extraction_status", EXTRACTION_STATUSES),
        ("image_candidates", "image_origin", IMAGE_ORIGINS),
        ("image_signals", "decode_status", DECODE_STATUSES),
    ],
)
def test_closed_sets_are_the_tables_own(table, column, values, contracts):
    rule = next(rule for rule in contracts[table].rules if rule.id == f"{column}__known")
    assert tuple(rule.kwargs["value_set"]) == values


def test_loading_all_contracts_is_quick(contracts):
    started = time.process_time()
    load_contracts(FOLDER)
    assert time.process_time() - started < 0.5  # about 0.1 s on an idle core


FILTERED_LINES = (FOLDER / "filtered_text.odcs.yaml").read_text().splitlines()
FILTERED = (FOLDER / "filtered_text.odcs.yaml").read_text()


def load_changed(tmp_path: Path, text: str, table=FILTERED_TEXT):
    path = tmp_path / f"{table.name}.odcs.yaml"
    path.write_text(text)
    contract = load_contract(path, table)
    bind_queries([contract])
    return contract


BREAKS = {
    "unknown column": (
        "- name: language_score\n",
        "- name: language_scores\n",
        r"no column 'language_scores'.*'language_score'",
    ),
    "unknown key": ("version: 1.0.0", "versoin: 1.0.0", r"unknown key 'versoin'.*'version'"),
    "unknown key of a property": (
        "        required: true\n",
        "        requierd: true\n",
        r"unknown key 'requierd'.*'required'",
    ),
    "unknown key of a rule": (
        "        dimension: completeness",
        "        dimensoin: completeness",
        r"'dimensoin'.*'dimension'",
    ),
    "wrong type": ("physicalType: DOUBLE", "physicalType: FLOAT", r"physicalType 'FLOAT', the table 'DOUBLE'"),
    "wrong logical type": ("logicalType: number", "logicalType: integer", r"logicalType 'integer', the table 'number'"),
    "wrong nullability": ("        required: true\n", "        required: false\n", r"required False, the table True"),
    "unknown metric": ("metric: rowCount", "metric: rowsCount", r"unknown metric 'rowsCount'.*'rowCount'"),
    "unknown severity": ("severity: warning", "severity: warn", r"severity must be error or warning, not 'warn'"),
    "unknown column in SQL": ("contains(text,", "contains(txt,", r"no_blank_gaps.*\"txt\" not found.*\"text\""),
    "unknown function in SQL": ("regexp_matches(", "regex_matches(", r"no_bare_urls.*regex_matches"),
    "broken SQL": ("SELECT count(DISTINCT dump)", "SELECT count(DISTINCT dump", r"one_dump.*Parser Error"),
    "query of nothing": ("SELECT count(DISTINCT dump) FROM ${table}", "SELECT 1", r"must read from \$\{table\}"),
    "two bounds": ("mustBeLessOrEqualTo: 1", "mustBeLessOrEqualTo: 1\n        mustBe: 1", r"exactly one of"),
    "id used twice": ("id: no_blank_gaps", "id: one_dump", r"rule 'one_dump' stands already on line \d+"),
    "id that cannot be a check": ("id: one_dump", "id: one-dump", r"needs an id"),
    "unknown measure": ("measure: removed_share", "measure: removed_shares", r"'removed_shares'.*'removed_share'"),
    "unknown option": ("          maximum: 1\n", "          maximun: 1\n", r"unknown key 'maximun'.*'maximum'"),
    "key twice": ("status: active", "version: 2.0.0", r"'version' stands twice"),
    "not YAML": ("tags: [text", "tags: [text, {", r"not valid YAML"),
    "no owner": ("  name: text\n", "  name: text data\n", r"team needs a name"),
    "another table": (
        "  - name: filtered_text",
        "  - name: filtered_texts",
        r"named 'filtered_texts', the file filtered_text",
    ),
    "unknown custom property": (
        "property: accountsForRows",
        "property: accountForRows",
        r"'accountForRows'.*'accountsForRows'",
    ),
}


@pytest.mark.parametrize("break_", BREAKS)
def test_a_wrong_contract_fails_at_load_with_file_and_line(break_, tmp_path):
    before, after, message = BREAKS[break_]
    assert before in FILTERED
    text = FILTERED.replace(before, after, 1)
    changed_line = FILTERED[: FILTERED.index(before)].count("\n") + 1
    with pytest.raises(ContractError, match=message) as told:
        load_changed(tmp_path, text)
    line = int(re.search(r"filtered_text\.odcs\.yaml:(\d+): ", str(told.value))[1])
    assert abs(line - changed_line) <= 8  # a rule is named by its first line


def test_a_missing_column_fails_at_load(tmp_path):
    start = FILTERED.index("      - name: date\n")
    stop = FILTERED.index("      - name: language\n")
    with pytest.raises(ContractError, match=r"yaml:\d+: .* does not describe: date"):
        load_changed(tmp_path, FILTERED[:start] + FILTERED[stop:])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            "expect_column_pair_values_a_to_be_greater",
            r"Did you mean",
        ),
        ("column_A: score_chosen", "column_A: score_chosn", r"unknown column 'score_chosn'.*'score_chosen'"),
        ("column_A: score_chosen", "columnA: score_chosen", r"unknown key 'columnA'.*'column_A'"),
        ("            column_B: score_rejected\n", "", r"needs column_B"),
        ("engine: greatExpectations", "engine: soda", r"engine must be greatExpectations"),
    ],
)
def test_a_wrong_expectation_fails_at_load(before, after, message, tmp_path):
    text = (FOLDER / "preference_dataset.odcs.yaml").read_text()
    assert before in text
    with pytest.raises(ContractError, match=rf"preference_dataset\.odcs\.yaml:\d+: .*{message}"):
        load_changed(tmp_path, text.replace(before, after, 1), PREFERENCE_DATASET)


def test_a_compound_key_is_one_rule(contracts):
    rule = next(rule for rule in contracts["text_removals"].rules if rule.id == "doc_id__unique_key")
    listed = ", ".join(f'"{name}"' for name in TEXT_REMOVALS.key)
    assert rule.kwargs["unexpected_rows_query"].startswith(f"SELECT {listed} FROM ${{table}}")


def test_a_counted_condition_becomes_the_rows_that_meet_it(contracts):
    rule = next(rule for rule in contracts["filtered_text"].rules if rule.id == "no_blank_gaps")
    assert rule.expectation == UNEXPECTED_ROWS
    assert rule.kwargs["unexpected_rows_query"].startswith('SELECT "doc_id" FROM ${table} WHERE contains(text')


def test_missing_and_stray_contracts_are_named(tmp_path):
    folder = tmp_path / "contracts"
    shutil.copytree(FOLDER, folder)
    (folder / "raw_crawl.odcs.yaml").rename(folder / "raw_craw.odcs.yaml")
    with pytest.raises(ContractError, match=r"raw_craw'.*Did you mean 'raw_crawl'"):
        load_contracts(folder)
    (folder / "raw_craw.odcs.yaml").unlink()
    with pytest.raises(ContractError, match="contract of raw_crawl is missing"):
        load_contracts(folder)
    with pytest.raises(ContractError, match="MMPIPE_CONTRACTS"):
        find_contract_folder(tmp_path / "nowhere")


TEXTS = {RAW_CRAWL: (FOLDER / "raw_crawl.odcs.yaml").read_text(), FILTERED_TEXT: FILTERED}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TEXTS, key=lambda table: table.name)),
    st.integers(0, 10_000),
    st.sampled_from(["drop", "empty", "list", "number", "mapping", "indent"]),
)
def test_any_one_wrong_line_is_a_contract_error_or_harmless(tmp_path_factory, table, number, change):
    lines = TEXTS[table].splitlines()
    index = number % len(lines)
    key, _, _ = lines[index].partition(":")
    lines[index] = {
        "drop": "",
        "empty": f"{key}:",
        "list": f"{key}: [1, two]",
        "number": f"{key}: 7",
        "mapping": f"{key}: {{a: 1}}",
        "indent": f"  {lines[index]}",
    }[change]
    try:
        load_changed(tmp_path_factory.mktemp("contract"), "\n".join(lines), table)
    except ContractError as error:
        assert f"{table.name}.odcs.yaml:" in str(error)  # noqa: PT017  (either outcome is right)
