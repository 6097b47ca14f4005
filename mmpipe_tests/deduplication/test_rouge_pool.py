"""ROUGE-L pools: scores to the last bit those of rouge_score, decisions those of comparing every pair."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from mmpipe.deduplication.rouge_pool import _UNSPACED, RougePool, tokenize
from mmpipe.errors import ConfigurationError
from mmpipe.tables.similarity import Similar

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
WORDS = ["write", "a", "poem", "about", "the", "sea", "List", "three", "facts", "of", "2"]
#: Texts of few distinct words, so that many share a subsequence; some longer than one and two machine words.
TEXTS = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join) | st.lists(
    st.sampled_from(WORDS), min_size=60, max_size=140
).map(" ".join)


def score(one: str, other: str) -> float:
    return float(SCORER.score(one, other)["rougeL"].fmeasure)


def thin_by_every_pair(texts: list[str], threshold: float) -> list[tuple[int, float] | None]:
    """The published loop: rouge_score with all that stay."""
    kept: list[int] = []
    decisions: list[tuple[int, float] | None] = []
    for place, text in enumerate(texts):
        scores = [score(text, texts[other]) for other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            decisions.append((kept[scores.index(best)], best))
        else:
            decisions.append(None)
            kept.append(place)
    return decisions


def make_pool(texts: list[str], **settings: object) -> RougePool:
    pool = RougePool(**settings)  # type: ignore[arg-type]
    for place, text in enumerate(texts):
        pool.add(text, str(place))
    return pool


@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_scores_are_those_of_rouge_score_to_the_last_bit(texts: list[str], new: str) -> None:
    found = make_pool(texts).measure(new)
    scores = [score(new, text) for text in texts]
    assert found.best == max(scores)
    assert found.mean == float(np.mean(scores))
    assert {similar.name: similar.score for similar in found.most_similar} == {
        str(place): value for place, value in enumerate(scores)
    }


@given(st.sets(st.integers(0, 259), min_size=1, max_size=6), st.integers(1, 8))
def test_a_growth_is_carried_over_machine_words_without_the_token(places: set[int], times: int) -> None:
    long = " ".join("a" if place in places else "z" for place in range(260))
    assert make_pool([" ".join("a" * times)]).measure(long).best == score(long, " ".join("a" * times))


@given(st.text(), st.text())
def test_any_text_is_tokenized_as_rouge_score_does(one: str, other: str) -> None:
    from rouge_score.tokenize import tokenize as tokenize_peer

    assert tokenize(one, "rouge_score") == tokenize_peer(one, None)
    assert make_pool([one]).measure(other).best == score(other, one)


@given(st.lists(TEXTS, max_size=14), st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.9, 1.0]), st.integers(0, 14))
def test_bounds_change_no_decision(texts: list[str], threshold: float, cut: int) -> None:
    pool = RougePool(threshold)
    names = [str(place) for place in range(len(texts))]
    found = pool.add_all(texts[:cut], names[:cut]) + pool.add_all(texts[cut:], names[cut:])
    expected = [
        None if decision is None else Similar(str(decision[0]), decision[1])
        for decision in thin_by_every_pair(texts, threshold)
    ]
    assert found == expected
    assert pool.names == tuple(name for name, decision in zip(names, expected, strict=True) if decision is None)


def test_a_score_of_the_very_threshold_stays() -> None:
    # seven of ten words in common, in order: 0.7 by the lengths, a hair less as rouge_score rounds it
    one, other = "a b c d e f g x y z", "a b c d e f g u v w"
    at_threshold = score(one, other)
    assert RougePool(at_threshold).add_all([one, other], ["1", "2"]) == [None, None]
    below = float(np.nextafter(at_threshold, 0))
    assert RougePool(below).add_all([one, other], ["1", "2"]) == [None, Similar("1", at_threshold)]


def test_seeds_stay_though_they_are_alike_and_new_texts_are_held_to_all_of_them() -> None:
    pool = RougePool()
    pool.add("Write a poem about the sea", "seed 1")
    pool.add("Write a poem about the sea", "seed 2")
    assert pool.add_all(["Write a poem about the deep sea", "Name the capital of Peru"], ["m1", "m2"]) == [
        Similar("seed 1", score("Write a poem about the deep sea", "Write a poem about the sea")),
        None,
    ]
    assert pool.names == ("seed 1", "seed 2", "m2")


def test_the_most_similar_are_named_best_first_and_equal_ones_as_added() -> None:
    pool = make_pool(["red fish", "blue fish", "red fish", "no match"], most_similar=3)
    found = pool.measure("red fish")
    assert [similar.name for similar in found.most_similar] == ["0", "2", "1"]
    assert [similar.score for similar in found.most_similar] == [1.0, 1.0, 0.5]
    assert make_pool([str(place) for place in range(30)]).measure("3").most_similar[0].name == "3"
    assert len(make_pool([str(place) for place in range(30)]).measure("3").most_similar) == 10


def test_an_empty_pool_and_a_text_without_tokens() -> None:
    assert RougePool().measure("anything").best == 0.0
    assert RougePool().add_all([], []) == []
    assert make_pool(["", "a b"]).measure("!!").best == 0.0
    assert RougePool().add_all(["", "", "..."], ["1", "2", "3"]) == [None, None, None]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("写一首关于大海的诗。", list("写一首关于大海的诗")),
        ("用GPT写3首诗", ["用", "gpt", "写", "3", "首", "诗"]),
        ("東京タワーは高い", list("東京タワーは高い")),
        ("か\u3099", ["か\u3099"]),  # a letter with its mark
        ("ที่นี่", ["ที่", "นี่"]),
        ("Größe der Straße", ["größe", "der", "straße"]),
        ("объясни ещё раз", ["объясни", "ещё", "раз"]),
        ("snake_case, don't", ["snake", "case", "don", "t"]),
        ("12 34", ["12", "34"]),
    ],
)
def test_letters_of_scripts_without_spaces_are_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text, "unspaced") == tokens


@given(st.text(st.characters(max_codepoint=127)))
def test_of_ascii_both_tokenizers_make_the_same(text: str) -> None:
    assert tokenize(text, "unspaced") == tokenize(text, "rouge_score")


def test_every_letter_of_a_script_without_spaces_stands_alone_with_its_marks() -> None:
    for first, last in _UNSPACED:
        for code in range(first, last + 1):
            kind, letter = unicodedata.category(chr(code)), chr(code)
            if kind[0] == "L" or kind == "Nl":
                wanted = ["a", letter, "b"]
            else:
                is_part = kind[0] == "M" or letter.isalnum()
                wanted = [f"a{letter}b"] if is_part else ["a", "b"]
            assert tokenize(f"a{letter}b", "unspaced") == wanted, hex(code)


def test_tokens_of_any_script_take_microseconds() -> None:
    texts = [f"Write {number} lines about the sea, and name its winds. 写一首关于海的诗。" for number in range(2000)]
    tokenize(texts[0], "unspaced")
    started = time.process_time()
    for text in texts:
        tokenize(text, "unspaced")
    assert time.process_time() - started < 1  # letter by letter 12 s


def test_chinese_duplicates_are_caught_where_rouge_score_sees_nothing() -> None:
    texts = ["请写一首关于大海的短诗", "请写一首关于大海的诗", "列出三种可再生能源"]
    assert score(texts[0], texts[1]) == 0.0
    assert RougePool().add_all(texts, ["1", "2", "3"]) == [None, None, None]
    caught = RougePool(tokenizer="unspaced").add_all(texts, ["1", "2", "3"])
    # ten of eleven and ten letters
    assert caught == [None, Similar("1", pytest.approx(20 / 21)), None]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="within 0 and 1"):
        RougePool(1.5)
    with pytest.raises(ConfigurationError, match="unspaced"):
        RougePool(tokenizer="cjk")  # type: ignore[arg-type]


@pytest.mark.real_data
def test_real_instructions_are_thinned_as_by_rouge_score(shared_data: Path) -> None:
    """175 seed tasks and 252 user instructions: every decision and score of 427 texts, by the published loop."""
    texts = []
    for name in ("self-instruct-seed_tasks.jsonl", "self-instruct-user_oriented_instructions.jsonl"):
        with (shared_data / "lists" / name).open(encoding="utf-8") as lines:
            texts += [json.loads(line)["instruction"] for line in lines]
    names = [str(place) for place in range(len(texts))]
    pool = RougePool(0.4)
    found = pool.add_all(texts, names)
    # by numbers of tokens already, or the peer takes minutes
    tokens = [tokenize(text, "rouge_score") for text in texts]
    kept: list[int] = []
    for place in range(len(texts)):
        scores = [rouge_scorer._score_lcs(tokens[place], tokens[other]).fmeasure for other in kept]
        best = max(scores, default=0.0)
        expected = Similar(str(kept[scores.index(best)]), best) if best > 0.4 else None
        assert found[place] == expected
        if expected is None:
            kept.append(place)
    assert len(texts) == 427
    assert 0 < sum(decision is not None for decision in found) < 150
    assert pool.compared < 0.2 * len(kept) * len(texts) / 2
