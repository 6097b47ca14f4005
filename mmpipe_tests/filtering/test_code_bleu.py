"""CodeBLEU by hand, by its properties, and beside the published package where the peers have it."""

from __future__ import annotations

import json
import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.filtering.code_bleu import measure_brevity, measure_code_bleu, strip_comments
from mmpipe_tests.peers import SYNTHESIS_PEER_PYTHON, find_peer

SUM = """
#include <iostream>
// adds up
int main() {
    int n = 0, total = 0;
    std::cin >> n;
    for (int i = 1; i <= n; ++i) { total += i * i; }
    std::cout << total << std::endl;
    return 0;
}
"""
RENAMED = (
    SUM.replace("total", "sum").replace("int n", "int count").replace(" n;", " count;").replace("<= n", "<= count")
)
WHILE = """
#include <iostream>
int main() {
    int n; std::cin >> n;
    int total = 0;
    int i = 1;
    while (i <= n) { total = total + i * i; i++; }
    std::cout << total << std::endl;
    return 0;
}
"""
CODES = [
    SUM,
    RENAMED,
    WHILE,
    "int f(int a) { return a; }",
    "double x = 1.0;",
    "int a = b + c; a = d; /* no */",
    "}{ broken (",
]

ORACLE = """
import json, logging, sys
from pathlib import Path
import codebleu
from codebleu import bleu, calc_codebleu
logging.disable(logging.CRITICAL)
words = (Path(codebleu.__file__).parent / "keywords" / "cpp.txt").read_text().split()
pairs = json.load(sys.stdin)
said = [calc_codebleu([reference], [program], "cpp") for program, reference in pairs]
parts = ("ngram_match_score", "weighted_ngram_match_score", "syntax_match_score")
print(json.dumps([words, [[one[part] for part in parts] for one in said]]))
"""


def test_the_parts_are_those_of_the_published_package() -> None:
    peer = find_peer("codebleu", "tree_sitter_cpp", python=SYNTHESIS_PEER_PYTHON)
    pairs = [(one, other) for one in CODES for other in CODES]
    ran = subprocess.run([peer, "-c", ORACLE], input=json.dumps(pairs), capture_output=True, text=True, check=True)
    words, wanted = json.loads(ran.stdout)
    for (program, reference), parts in zip(pairs, wanted, strict=True):
        ours = measure_code_bleu(program, reference, keywords=words)
        assert [ours.ngrams, ours.weighted_ngrams, ours.syntax] == pytest.approx(parts, abs=1e-12)


def test_a_program_is_itself() -> None:
    scored = measure_code_bleu(SUM, SUM)
    assert (scored.score, scored.ngrams, scored.weighted_ngrams, scored.syntax, scored.dataflow) == (1, 1, 1, 1, 1)


def test_other_names_leave_syntax_and_data_flow_alone() -> None:
    scored = measure_code_bleu(RENAMED, SUM)
    assert (scored.syntax, scored.dataflow) == (1.0, 1.0)
    assert scored.ngrams < 0.8
    assert scored.weighted_ngrams > scored.ngrams


def test_the_same_steps_in_another_loop_share_their_data_flow() -> None:
    scored = measure_code_bleu(WHILE, SUM)
    assert scored.dataflow is not None
    assert 0.3 < scored.dataflow < 1
    assert 0.2 < scored.syntax < 1


def test_data_flow_that_matches_nothing_is_zero_and_none_is_none() -> None:
    assert measure_code_bleu("int a = b;", "int c = d + e;").dataflow == 0.0
    nothing = measure_code_bleu("int a = b;", "void f() {}")
    assert nothing.dataflow is None
    assert nothing.score == pytest.approx((nothing.ngrams + nothing.weighted_ngrams + nothing.syntax) / 3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a += b;", "x = x + y;", True),
        ("int a = b + c;", "int a = c * b;", True),
        ("v[i] = w;", "u[k] = t;", True),
        ("a = f(b);", "a = g(b);", True),
        ("a = b;", "a = a;", False),
        ("++a;", "a--;", True),
        ("cin >> a;", "stream >> b;", True),
        ("int f() { return a + b; }", "int f() { return a; }", False),
        ("for (auto x : xs) {}", "for (int k : list) {}", True),
    ],
)
def test_where_values_come_from(one: str, other: str, same: bool) -> None:
    scored = measure_code_bleu(one, other)
    assert (scored.dataflow == 1.0) == same


def test_ngrams_by_hand() -> None:
    scored = measure_code_bleu("int a = 1 ;", "int a = 2 ;")
    # 4 of 5 tokens, 2 of 4 pairs, 1 of 3, 0 of 2 (0.1)
    assert scored.ngrams == pytest.approx((4 / 5 * 2 / 4 * 1 / 3 * 0.1 / 2) ** 0.25)
    # int counts 1, the others 0.2: 1.6 of 1.8
    assert scored.weighted_ngrams == pytest.approx((1.6 / 1.8 * 2 / 4 * 1 / 3 * 0.1 / 2) ** 0.25)
    assert measure_brevity(3, 5) == pytest.approx(math.exp(1 - 5 / 3))
    assert measure_code_bleu("", "int a;").ngrams == 0.0


def test_comments_go_and_strings_stay() -> None:
    assert strip_comments('a; // b\n/* c\nd */\ne = "// f";') == 'a;  \ne = "// f";'
    assert measure_code_bleu("int a = 1; // one", "int a = 1; /* uno */").syntax == 1.0


@given(st.sampled_from(CODES), st.text(alphabet="abi=+;(){}<> \n", max_size=60))
def test_parts_lie_between_nothing_and_all(reference: str, program: str) -> None:
    scored = measure_code_bleu(program, reference)
    for part in (scored.score, scored.ngrams, scored.weighted_ngrams, scored.syntax, scored.dataflow):
        assert part is None or 0 <= part <= 1 + 1e-12
