"""Retrieval and translation of Fortran: exact neighbours, the leak guard, and toy programs compiled and run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.code_bleu import measure_code_bleu
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.synthesis.code_pairs import PairStore, embed_by_hashing, is_fixed_form, measure_overlap, normalize_fortran
from mmpipe.synthesis.code_runs import COMPILERS, find_compilers, outputs_agree
from mmpipe.synthesis.code_translation import REASONS, CodeTranslationSettings, make_code_translations, read_code
from mmpipe.tables.chat import ChatRequest
from mmpipe.tables.programs import ProgramLimits

SUM = """program total
  implicit none
  integer :: n, i
  real(8) :: s
  read(*,*) n
  s = 0
  do i = 1, n
    s = s + 1.0d0 / i
  end do
  print *, 'sum', s ! the harmonic number
end program total
"""
CPP = """#include <iostream>
#include <iomanip>
int main() {
  int n; std::cin >> n;
  double s = 0;
  for (int i = 1; i <= n; ++i) s += 1.0 / i;
  std::cout << "sum " << std::setprecision(16) << s << std::endl;
}
"""


def make_pairs(*sources: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pair_id": [f"p{n}" for n in range(len(sources))],
            "source": sources,
            "target": [f"// {n}" for n in range(len(sources))],
        }
    )


PAIRS = make_pairs(
    "program a\n print *, matmul(x, y)\nend program",
    "subroutine swap(a, b)\n integer :: a, b, c\n c = a\n a = b\n b = c\nend subroutine",
    "program h\n read(*,*) n\n do i = 1, n\n  s = s + i * i\n end do\n print *, s\nend program",
    "function f(x)\n f = sin(x) + cos(x)\nend function",
)


def test_neighbours_are_the_exact_ones_best_first() -> None:
    store = PairStore(PAIRS)
    found = store.find("q", SUM, 3)
    vectors = embed_by_hashing([normalize_fortran(text) for text in [*PAIRS["source"], SUM]])
    cosine = vectors[:-1] @ vectors[-1]
    best = np.argsort(-cosine, kind="stable")[:3]
    assert [pair.pair_id for pair in found] == [f"p{place}" for place in best]
    assert [pair.similarity for pair in found] == pytest.approx(cosine[best].tolist(), abs=1e-6)
    assert found[0].pair_id == "p2"
    assert [pair.pair_id for pair in PairStore(PAIRS.reverse()).find("q", SUM, 3)] == [pair.pair_id for pair in found]
    assert PairStore(PAIRS.reverse()).digest == store.digest
    assert PairStore(PAIRS.head(3)).digest != store.digest
    assert len(store.find("q", SUM, 9)) == 4
    assert store.find("q", SUM, 0) == []
    assert PairStore(PAIRS.clear()).find("q", SUM, 3) == []


def test_a_query_never_finds_itself() -> None:
    twin = SUM.replace("! the harmonic number", "! nothing").upper().replace("'SUM'", "'sum'")
    near = SUM.replace("print *, 'sum', s", "print *, 'sum', s, n")
    other = (
        SUM.replace("1.0d0 / i", "2 * i").replace("total", "double").replace("real(8)", "integer").replace("s ", "k ")
    )
    store = PairStore(make_pairs(SUM, twin, near, other, PAIRS["source"][3]))
    assert [pair.pair_id for pair in store.find("q", SUM, 5)] == ["p3", "p4"]
    assert [pair.pair_id for pair in store.find("p3", SUM, 5)] == ["p4"]
    loose = PairStore(make_pairs(SUM, twin, near, other), near_duplicate=1.01)
    assert [pair.pair_id for pair in loose.find("q", SUM, 5)] == ["p2", "p3"]


@given(
    st.lists(st.text(alphabet="abxyz =+1\n", min_size=3, max_size=30), min_size=1, max_size=6, unique=True),
    st.integers(0, 5),
)
def test_no_leak_gets_through(sources: list[str], place: int) -> None:
    query = sources[place % len(sources)]
    found = PairStore(make_pairs(*sources)).find("q", query, 10)
    assert all(normalize_fortran(pair.source) != normalize_fortran(query) for pair in found)
    assert all(measure_overlap(pair.source, query) < 0.8 for pair in found)
    likeness = [pair.similarity for pair in found]
    assert all(one >= other - 1e-6 for one, other in pairwise(likeness))


def test_another_embedder_decides_the_order() -> None:
    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count("c"), 1.0] for text in texts], dtype=np.float32) * 7

    found = PairStore(PAIRS, embed).find("q", "x c c c c c c c c c c", 4)
    counts = [normalize_fortran(pair.source).count("c") for pair in found]
    assert counts == sorted(counts, reverse=True)
    assert all(pair.similarity <= 1.000001 for pair in found)


def test_queries_are_embedded_together_and_find_what_each_finds_alone() -> None:
    calls: list[int] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        calls.append(len(texts))
        return embed_by_hashing(texts)

    store = PairStore(PAIRS, embed)
    queries = [(f"q{n}", f"program q\n print *, {n}, sin(x)\nend program", None) for n in range(300)]
    found = store.find_all([*queries, ("p3", PAIRS["source"][3], None)], 2)
    assert calls == [256, 4, 45]
    assert found[:300:60] == [PairStore(PAIRS).find(query_id, source, 2) for query_id, source, _ in queries[::60]]
    assert "p3" not in [pair.pair_id for pair in found[300]]


def test_a_pair_stands_once() -> None:
    with pytest.raises(ConfigurationError, match="'p0' stands twice"):
        PairStore(pl.concat([PAIRS, PAIRS.head(1)]))


@pytest.mark.parametrize(
    ("code", "is_fixed"),
    [
        ("      x = 1\n     & + 2\n", True),
        ("C so it is\n  10  continue\n", True),
        # free form, all of it moved to the right, as in a block of a page
        ("        x = 1 + &\n            2\n", False),
        ("        x = 1 + & ! one\n            2\n", False),
        # what is written for both forms has the sign behind column 72 too
        (f"{'      x = 1 +':72}&\n     & 2\n", True),
        ("x = 1\n", False),
    ],
)
def test_the_form_of_fortran_is_told_by_its_lines(code: str, is_fixed: bool) -> None:
    assert is_fixed_form(code) is is_fixed


def test_no_example_has_the_translation_that_is_wanted() -> None:
    # another program in Fortran, whose C++ is the query's reference
    pairs = make_pairs("program other\n write(*,*) 'it', 1\nend program", *PAIRS["source"])
    pairs = pairs.with_columns(target=pl.when(pl.col("pair_id") == "p0").then(pl.lit(CPP)).otherwise("target"))
    store = PairStore(pairs)
    assert "p0" in [pair.pair_id for pair in store.find("q", SUM, 9)]
    renamed = f"// as it was published\n{CPP}"
    assert "p0" not in [pair.pair_id for pair in store.find("q", SUM, 9, renamed)]
    assert len(store.find("q", SUM, 9, "int main() { return 7; }")) == len(store.find("q", SUM, 9))


@pytest.mark.parametrize(
    ("code", "normal"),
    [
        ("X = 1 ! one\n  Y=2", "x = 1 y=2"),
        ("print *, 'a ! b'", "print *, 'A ! B'"),
        ('s = "its!" ! end', 's = "ITS!"'),
        ("C old comment\n      X = 1\n* star\n", "x = 1"),
        ("call f\ncontinue", "call f continue"),
        ("c = a\na = b", "c = a a = b"),
    ],
)
def test_comments_and_space_do_not_count(code: str, normal: str) -> None:
    assert normalize_fortran(code) == normal


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (" sum   1.5000000 ", "sum 1.5", True),
        ("0.15D+01", "1.5", True),
        ("1.5", "1.50001", True),
        ("1.5", "1.51", False),
        ("1e-12", "0", True),
        ("1 2", "1", False),
        # as gfortran and g++ print the same values
        ("z=             (1.00000000,2.00000000)", "z=(1,2)", True),
        ("z= (1.00000000,2.00000000)", "z=(1,3)", False),
        (" x =   1.50000000", "x = 1.5", True),
        (" NaN  Infinity -Infinity", "-nan inf -inf", True),
        ("Infinity", "-inf", False),
        ("NaN", "0", False),
        ("0.1000+123 1.0000000000000001E-123", "1e+122 1e-123", True),
        ("bins 10-200", "bins 10-300", False),
        ("1-2", "1e-2", False),
        ("1,2,3,", "1, 2, 3,", True),
        ("T", "1", False),
        ("true", "TRUE", True),
        ("nan", "nan", True),
        ("1", "one", False),
        ("", "", True),
    ],
)
def test_outputs_agree_within_the_tolerance(one: str, other: str, agree: bool) -> None:
    assert outputs_agree(one, other) == agree


def make_queries(*sources: str, inputs: Sequence[str] = ("3\n", "10\n")) -> pl.DataFrame:
    rows = [
        {"query_id": f"q{n}", "dump": "x", "source": text, "inputs": list(inputs), "reference": CPP}
        for n, text in enumerate(sources)
    ]
    schema = {"query_id": pl.String, "dump": pl.String, "source": pl.String, "inputs": pl.List(pl.String)}
    return pl.DataFrame(rows, schema={**schema, "reference": pl.String})


UNVERIFIED = CodeTranslationSettings(requires_run=False, shots=2)


def test_examples_stand_before_the_query_the_likest_last() -> None:
    teacher = ScriptedTeacher(lambda _: json.dumps({"translation": f"Sure:\n```cpp\n{CPP}```"}))

    def score(program: str, reference: str) -> float:
        return measure_code_bleu(program, reference).score

    made = make_code_translations(make_queries(SUM), PairStore(PAIRS), teacher, None, UNVERIFIED, score)
    said = str(teacher.asked[0].messages[-1].content)
    found = PairStore(PAIRS).find("q", SUM, 2)
    assert said.index(found[1].source) < said.index(found[0].source) < said.index(SUM)
    row, details = made.synthesis.frame.row(0, named=True), made.details.row(0, named=True)
    assert [parent["id"] for parent in row["parents"]] == ["q0", found[0].pair_id, found[1].pair_id]
    assert row["response"] == f"```cpp\n{CPP.strip()}\n```"
    assert (details["verification"], details["runs"], details["code_bleu"]) == ("unverified", 0, 1.0)
    assert details["index_digest"] == PairStore(PAIRS).digest
    for shots in (0, 1, 3):
        settings = CodeTranslationSettings(requires_run=False, shots=shots)
        make_code_translations(make_queries(SUM), PairStore(PAIRS), teacher, None, settings)
        assert str(teacher.asked[-1].messages[-1].content).count("```cpp") == shots


def test_a_reply_without_code_is_none() -> None:
    teacher = ScriptedTeacher(lambda _: json.dumps({"translation": "```cpp\n\n```"}))
    made = make_code_translations(make_queries(SUM), PairStore(PAIRS), teacher, None, UNVERIFIED)
    assert made.synthesis.rejected == {"no_code": 1}
    assert read_code("```cpp\na\n```\n```cpp\nlonger\n```") == "longer"
    assert read_code("int a;\n") == "int a;"


class _Absent:
    def run_all(self, programs: Sequence[object]) -> list[object]:
        from mmpipe.tables.programs import ProgramRun

        return [ProgramRun(status="not_started", detail="No such file") for _ in programs]


def test_an_absent_compiler_stops_before_the_teacher_is_asked() -> None:
    teacher = ScriptedTeacher(lambda _: "{}")
    for runner in (None, _Absent()):
        with pytest.raises(ConfigurationError, match="gfortran"):
            make_code_translations(
                make_queries(SUM),
                PairStore(PAIRS),
                teacher,
                runner,
                CodeTranslationSettings(),  # type: ignore[arg-type]
            )
    assert teacher.asked == []


def test_toy_programs_are_compiled_run_and_compared() -> None:
    sandbox = ProgramSandbox(ProgramLimits(cpu_seconds=1, wall_seconds=20), walls="namespaces")
    try:
        found = find_compilers(sandbox)
    except ConfigurationError as error:
        pytest.skip(str(error))
    if set(found) != set(COMPILERS):
        pytest.skip(f"no compiler for {', '.join(sorted(set(COMPILERS) - set(found)))}: install gfortran and g++")
    mark = {
        "good": CPP,
        "no_code": "",
        "does_not_compile": "int main() { return x; }",
        "does_not_run": "int main() { for (;;) {} }",
        "outputs_differ": CPP.replace("i <= n", "i < n"),
    }
    sources = {name: f"{SUM}! {name}\n" for name in mark}
    old = SUM.replace("! the harmonic number", "").replace("implicit none", "implicit\n     1none")
    sources["fixed"] = "C     of old\n" + "".join(
        f"      {line.lstrip()}\n" if "1none" not in line else f"{line}\n" for line in old.splitlines()
    )
    sources["source_does_not_compile"] = SUM.replace("end do", "")
    sources["source_does_not_run"] = SUM.replace("s = 0", "stop 3")
    sources["source_prints_nothing"] = SUM.replace("print *, 'sum', s", "s = s + 1")

    def script(request: ChatRequest) -> str:
        said = str(request.messages[-1].content)
        name = next((name for name in mark if f"! {name}\n" in said), "good")
        return json.dumps({"translation": mark[name]})

    settings = CodeTranslationSettings(shots=1)
    teacher = ScriptedTeacher(script)
    made = make_code_translations(make_queries(*sources.values()), PairStore(PAIRS), teacher, sandbox, settings)
    # a query that is no program itself costs no request
    assert len(teacher.asked) == len(mark) + 1
    assert made.synthesis.planned == len(sources) == made.synthesis.frame.height + made.candidates.height
    assert made.synthesis.rejected == dict.fromkeys(sorted(REASONS), 1)
    assert made.details["verification"].to_list() == ["same_output"] * 2
    assert made.details["runs"].to_list() == [2, 2]
    told = dict(zip(made.candidates["reason"], made.candidates["text"], strict=True))
    assert "was not declared" in told["does_not_compile"]
    assert "cpu_time" in told["does_not_run"]
