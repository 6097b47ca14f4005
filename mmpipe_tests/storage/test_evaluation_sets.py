"""Evaluation sets: a row of every published layout, every format and packing, and files that are none."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.storage.evaluation_layouts import LAYOUTS, find_set
from mmpipe.storage.evaluation_sets import read_evaluation_set

if TYPE_CHECKING:
    from pathlib import Path

#: name, one row as published (hand-written), id of the item, texts that are read.
ROWS: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("BoolQ", {"question": "q", "title": "t", "answer": True, "passage": "p"}, "0", ("q", "p")),
    ("boolq_val", {"question": "q", "passage": "p", "idx": 4, "label": 1}, "4", ("q", "p")),
    ("PIQA", {"id": "7c", "goal": "g", "sol1": "one", "sol2": "two"}, "7c", ("g", "one", "two")),
    (
        "SIQA",
        {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "d", "correct": "A"},
        "0",
        ("c", "q", "a", "b", "d"),
    ),
    (
        "social_i_qa",
        {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "d", "label": "1"},
        "0",
        ("c", "q", "a", "b", "d"),
    ),
    (
        "HellaSwag",
        {"ind": 24, "activity_label": "x", "ctx_a": "a", "ctx_b": "b", "ctx": "a b", "endings": ["e", "f"]},
        "24",
        ("a b", "e", "f"),
    ),
    (
        "WinoGrande",
        {"qID": "3F-1", "sentence": "The _ is red.", "option1": "cup", "option2": "pot", "answer": "2"},
        "3F-1",
        ("The cup is red.", "The pot is red."),
    ),
    (
        "ARC-Challenge",
        {"id": "M_1", "question": {"stem": "s", "choices": [{"text": "a", "label": "A"}]}, "answerKey": "A"},
        "M_1",
        ("s", "a"),
    ),
    (
        "ai2_arc",
        {"id": "M_1", "question": "s", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"},
        "M_1",
        ("s", "a", "b"),
    ),
    (
        "OpenBookQA",
        {"id": "8-3", "question": {"stem": "s", "choices": [{"text": "a", "label": "A"}]}, "answerKey": "A"},
        "8-3",
        ("s", "a"),
    ),
    (
        "openbookqa-main",
        {"id": "8-3", "question_stem": "s", "choices": {"text": ["a"], "label": ["A"]}},
        "8-3",
        ("s", "a"),
    ),
    ("Natural Questions", {"example_id": -5, "question_text": "q", "document_text": "a page"}, "-5", ("q",)),
    ("nq_open", {"question": "q", "answer": ["a", "b"]}, "0", ("q", "a", "b")),
    (
        "TriviaQA",
        {"Data": [{"Question": "q", "QuestionId": "tc_1", "Answer": {"Value": "v", "Aliases": ["w"]}}], "Version": 1},
        "tc_1",
        ("q", "v"),
    ),
    (
        "trivia_qa",
        {"question": "q", "question_id": "tc_1", "answer": {"value": "v"}, "search_results": {"a": "page"}},
        "tc_1",
        ("q", "v"),
    ),
    (
        "RACE",
        {
            "id": "high1.txt",
            "article": "a",
            "questions": ["q", "r"],
            "options": [["1x", "2x"], ["3x", "4x"]],
            "answers": ["A", "B"],
        },
        "high1.txt",
        ("a", "q", "r", "1x", "2x", "3x", "4x"),
    ),
    (
        "race_middle",
        {"example_id": "m1", "article": "a", "question": "q", "options": ["x", "y"], "answer": "A"},
        "m1",
        ("a", "q", "x", "y"),
    ),
    ("MATH", {"problem": "p", "level": "Level 1", "type": "Algebra", "solution": "s"}, "0", ("p", "s")),
    (
        "MATH-500",
        {"problem": "p", "solution": "s", "answer": "2", "unique_id": "test/1.json"},
        "test/1.json",
        ("p", "s"),
    ),
    ("GSM8K", {"question": "q", "answer": "a #### 5"}, "0", ("q", "a #### 5")),
    (
        "HumanEval",
        {"task_id": "HumanEval/0", "prompt": "def f():", "canonical_solution": "return 1", "test": "assert f()"},
        "HumanEval/0",
        ("def f():", "return 1", "assert f()"),
    ),
    (
        "MBPP",
        {"task_id": 2, "text": "t", "code": "c", "test_list": ["u", "v"], "challenge_test_list": []},
        "2",
        ("t", "c", "u", "v"),
    ),
    (
        "mbpp_sanitized",
        {"task_id": 2, "prompt": "t", "code": "c", "test_list": ["u"], "source_file": "x"},
        "2",
        ("t", "c", "u"),
    ),
    ("MMLU", {"question": "q", "subject": "s", "choices": ["a", "b"], "answer": 1}, "0", ("q", "a", "b")),
    (
        "C-Eval",
        {"id": 3, "question": "q", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "A", "explanation": ""},
        "3",
        ("q", "a", "b", "c", "d"),
    ),
    ("BBH", {"canary": "guid", "examples": [{"input": "i", "target": "(A)"}]}, "0", ("i", "(A)")),
    (
        "tydiqa_gold",
        {
            "version": "1",
            "data": [
                {
                    "title": "T",
                    "paragraphs": [{"context": "c", "qas": [{"id": "en-1", "question": "q", "answers": []}]}],
                }
            ],
        },
        "en-1",
        ("q", "c"),
    ),
    ("TyDi QA", {"question_text": "q", "document_plaintext": "d", "language": "finnish"}, "0", ("q", "d")),
    ("MGSM", {"question": "q", "answer": "a", "answer_number": 5}, "0", ("q", "a")),
    ("of_mine", {"a": "x", "b": {"c": ["y", 3]}, "d": None}, "0", ("x", "y")),
]


@pytest.mark.parametrize(("name", "row", "item", "texts"), ROWS, ids=[name for name, *_ in ROWS])
def test_every_published_layout_is_read(name: str, row: Any, item: str, texts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert read_evaluation_set(str(path), name=name).items == ((item, texts),)


def test_every_set_of_the_field_has_a_row_here() -> None:
    assert {find_set(name) for name, *_ in ROWS} == {*LAYOUTS, ""}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("gsm8k_test", "gsm8k"),
        ("mathqa", "math"),
        ("ARC-Easy", "arc"),
        ("mmlu_anatomy", "mmlu"),
        ("mine", ""),
        ("", ""),
    ],
)
def test_names_of_sets_are_read_loosely(name: str, known: str) -> None:
    assert find_set(name) == known


QUESTIONS = [{"question": 'What "is" this,\nhere?', "answer": "a"}, {"question": "Frage? 中文", "answer": "b"}]
EXPECTED = (("0", ('What "is" this,\nhere?', "a")), ("1", ("Frage? 中文", "b")))


def _write_csv(rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO()
    table = csv.DictWriter(stream, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue().encode("utf-8-sig")


def _write_parquet(rows: list[dict[str, str]]) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(rows).write_parquet(stream)
    return stream.getvalue()


FORMS = {
    "a.jsonl": "\n".join(json.dumps(row) for row in QUESTIONS).encode(),
    "b.json": json.dumps(QUESTIONS, indent=1).encode(),
    "c.csv": _write_csv(QUESTIONS),
    "d.parquet": _write_parquet(QUESTIONS),
    "e": "\n".join(json.dumps(row) for row in QUESTIONS).encode(),
    "f": _write_parquet(QUESTIONS),
    "g": _write_csv(QUESTIONS),
}
PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", FORMS)
def test_every_format_and_packing_is_read_alike(name: str, packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}{packing}"
    path.write_bytes(PACKERS[packing](FORMS[name]))
    assert read_evaluation_set(str(path), name="gsm8k").items == EXPECTED


def test_tables_without_a_head_have_their_sets_columns(tmp_path: Path) -> None:
    table = tmp_path / "anatomy_test.csv"
    table.write_text('Which bone?,"ulna, say",tibia,femur,skull,A\n', encoding="utf-8")
    assert read_evaluation_set(str(table), name="mmlu").items == (
        ("0", ("Which bone?", "ulna, say", "tibia", "femur", "skull")),
    )
    headed = tmp_path / "headed.csv"
    headed.write_text("question,A,B,C,D,answer\nWhich?,a,b,c,d,A\n", encoding="utf-8")
    assert read_evaluation_set(str(headed), name="mmlu").items == (("0", ("Which?", "a", "b", "c", "d")),)
    tabs = tmp_path / "mgsm_de.tsv"
    tabs.write_text('Wie "viele?\t5\n', encoding="utf-8")
    assert read_evaluation_set(str(tabs), name="mgsm").items == (("0", ('Wie "viele?', "5")),)


def test_given_fields_come_first_and_go_along_dots_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"question": "q", "meta": {"parts": [{"t": "one"}, {"t": "two"}]}}), encoding="utf-8")
    assert read_evaluation_set(str(path), name="gsm8k", fields=("meta.parts.t",)).items == (("0", ("one", "two")),)
    with pytest.raises(ConfigurationError, match=r"no field 'meta\.part'; fields found: question, meta"):
        read_evaluation_set(str(path), name="gsm8k", fields=("question", "meta.part"))


def test_ids_that_stand_twice_and_rows_without_text_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"id": "p1", "text": "a"}, {"id": "p1", "text": "b"}, {"text": " "}, {"text": "c"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read_evaluation_set(str(path), name="mine", fields=("text",))
    assert found.items == (("p1#0", ("a",)), ("p1#1", ("b",)), ("3", ("c",)))
    assert found.without_text == (2,)


def test_a_set_comes_from_any_store_and_is_held_to_its_digest() -> None:
    import fsspec

    data = FORMS["a.jsonl"]
    fsspec.filesystem("memory").pipe_file("/sets/a.jsonl", data)
    digest = hashlib.sha256(data).hexdigest()
    assert read_evaluation_set("memory://sets/a.jsonl", name="gsm8k", sha256=digest).items == EXPECTED
    with pytest.raises(ConfigurationError, match=f"has sha256 {digest}"):
        read_evaluation_set("memory://sets/a.jsonl", name="gsm8k", sha256="0" * 64)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("x.jsonl", b'{"score": 1}\n{"score": 2, "n": null}', "no text in 2 rows; fields found: score, n"),
        ("x.jsonl", b"", "no text in 0 rows; fields found: none"),
        ("x.jsonl", b'{"question": "q"}\n{"question": ', "line 2: not JSON"),
        ("x.jsonl", b"3\n4\n", "no text in 0 rows"),
        ("x.json", b"\xff\xfe\x00", "neither Parquet nor UTF-8"),
        ("x.parquet", b"PAR1 broken", "no readable Parquet"),
        ("x.jsonl.gz", b"\x1f\x8b\x08broken", "cannot be unpacked"),
        ("x.jsonl.xz", b"\xfd7zXZ\x00broken", "cannot be unpacked"),
        ("x.jsonl.zst", b"\x28\xb5\x2f\xfdbroken", "cannot be unpacked"),
        ("x.csv", b"a,b\n,\n", "no text in 0 rows"),
    ],
)
def test_files_without_items_are_named(name: str, data: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=told) as error:
        read_evaluation_set(str(path), name="gsm8k")
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"No evaluation set at .*absent\.jsonl"):
        read_evaluation_set(str(tmp_path / "absent.jsonl"), name="gsm8k")
