"""Verbs and objects of instructions: by rule, from hand-made parses, from a parser by path; their counts."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.imperative_verbs import make_base_form, make_singular
from mmpipe.filtering.verb_nouns import (
    VERB_NOUNS,
    VerbNoun,
    choose_shown,
    count_verb_nouns,
    find_root_pair,
    load_parser,
    read_by_rule,
    read_parsed,
)


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("Write a short poem about the sea.", "write", "poem"),
        ("Make a grocery list for a healthy meal.", "make", "list"),
        ("Can you give me some suggestions?", "give", "suggestion"),
        ("Please kindly summarize the following document with several bullet points.", "summarize", "document"),
        ("Given a set of numbers, find all possible subsets that sum to a given number.", "find", "subset"),
        ("I broke up. Could you please write two letters to my friends?", "write", "letter"),
        ("Generate a haiku using the following word:", "generate", "haiku"),
        ("Plan a weekly menu for a school.", "plan", "menu"),
        ("Solving the math problem with equations.", "solve", "problem"),
        ("Tell me if the sentence is grammatical.", "tell", None),
        ("Come up with a metaphor.", "come", None),
        ("Is there anything I can eat for a breakfast?", None, None),
        ("写一首诗", None, None),
        ("", None, None),
    ],
)
def test_pairs_by_rule(instruction: str, verb: str | None, noun: str | None) -> None:
    assert read_by_rule(instruction) == VerbNoun(verb, noun)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read = read_by_rule(text)
    assert read.verb is not None or read.noun is None


@pytest.mark.parametrize(
    ("noun", "singular"),
    [
        ("stories", "story"), ("boxes", "box"), ("classes", "class"), ("children", "child"), ("analysis", "analysis"),
        ("news", "news"), ("status", "status"), ("word-lists", "word-list"), ("teacher's", "teacher"), ("gas", "gas"),
        ("movies", "movie"), ("poem", "poem"),
    ],
)  # fmt: skip
def test_singulars(noun: str, singular: str) -> None:
    assert make_singular(noun) == singular


def test_base_forms() -> None:
    assert [make_base_form(word) for word in ("writing", "planning", "solving", "bring", "morning", "list")] == [
        "write", "plan", "solve", "bring", "morning", "list",
    ]  # fmt: skip


def parse(*tokens: tuple[str, str, str, int], lemmas: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    """Return a document of (word, part of speech, dependency, head)."""
    import spacy
    from spacy.tokens import Doc

    words = [token[0] for token in tokens]
    return Doc(
        spacy.blank("en").vocab,
        words=words,
        pos=[token[1] for token in tokens],
        deps=[token[2] for token in tokens],
        heads=[token[3] for token in tokens],
        lemmas=[(lemmas or {}).get(word, word.lower()) for word in words],
    )


def find(document) -> VerbNoun:  # type: ignore[no-untyped-def]
    return find_root_pair(next(iter(document.sents)).root)


def test_the_root_verb_and_its_first_direct_object() -> None:
    words = (
        ("Write", "VERB", "ROOT", 0),
        ("poems", "NOUN", "dobj", 0),
        ("and", "CCONJ", "cc", 1),
        ("odes", "NOUN", "conj", 1),
    )
    assert find(parse(*words, lemmas={"poems": "poem"})) == VerbNoun("write", "poem")
    # newer labels: obj
    assert find(parse(("List", "VERB", "ROOT", 0), ("facts", "NOUN", "obj", 0))) == VerbNoun("list", "facts")


def test_a_pronoun_is_no_object() -> None:
    words = (("Tell", "VERB", "ROOT", 0), ("me", "PRON", "dobj", 0), ("now", "ADV", "advmod", 0))
    assert find(parse(*words)) == VerbNoun("tell", None)


def test_the_verb_nearest_to_the_root_counts_also_beside_a_first_child_without_one() -> None:
    # "the best is to write letters": the root is no verb, and its first child leads to none
    words = (
        ("the", "DET", "det", 1), ("best", "ADJ", "nsubj", 2), ("is", "AUX", "ROOT", 2), ("to", "PART", "aux", 4),
        ("write", "VERB", "xcomp", 2), ("letters", "NOUN", "dobj", 4),
    )  # fmt: skip
    assert find(parse(*words)) == VerbNoun("write", "letters")


def test_without_a_verb_there_is_no_pair() -> None:
    assert find(parse(("Hello", "INTJ", "ROOT", 0))) == VerbNoun(None, None)


def test_a_pipeline_by_path(tmp_path: Path) -> None:
    """A parser and tagger learned from two sentences in a second, saved, and loaded by their folder."""
    import spacy
    from spacy.training import Example

    pipeline = spacy.blank("en")
    pipeline.add_pipe("morphologizer")
    pipeline.add_pipe("parser", config={"min_action_freq": 1})
    pipeline.add_pipe("lemmatizer", config={"mode": "lookup"}).lookups.add_table("lemma_lookup", {"poems": "poem"})
    examples = [
        Example.from_dict(
            pipeline.make_doc(text),
            {"heads": heads, "deps": deps, "pos": pos, "sent_starts": [1, *[0] * (len(pos) - 1)]},
        )
        for text, heads, deps, pos in (
            ("Write two poems", [0, 2, 0], ["ROOT", "nummod", "dobj"], ["VERB", "NUM", "NOUN"]),
            ("List three facts", [0, 2, 0], ["ROOT", "nummod", "dobj"], ["VERB", "NUM", "NOUN"]),
        )
    ]
    with pipeline.select_pipes(disable=["lemmatizer"]):
        optimizer = pipeline.initialize(lambda: examples)
        for _ in range(30):
            pipeline.update(examples, sgd=optimizer)
    pipeline.to_disk(tmp_path / "parser")
    read = list(read_parsed(["Write two poems", ""], load_parser(str(tmp_path / "parser"))))
    assert read == [VerbNoun("write", "poem"), VerbNoun(None, None)]


def test_a_missing_parser_is_named(tmp_path: Path) -> None:
    import spacy

    with pytest.raises(ConfigurationError, match="No spaCy pipeline at 'en_none'"):
        load_parser("en_none")
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    blank.to_disk(tmp_path / "blank")
    with pytest.raises(ConfigurationError, match="has no parser, only sentencizer"):
        load_parser(str(tmp_path / "blank"))


def test_counts_add_up_and_are_ordered() -> None:
    pairs = [VerbNoun("write", "poem")] * 3 + [VerbNoun("write", None), VerbNoun(None, None), VerbNoun("give", "tip")]
    counts = count_verb_nouns(pairs, "rule")
    assert counts.schema == VERB_NOUNS
    assert counts.rows() == [
        ("write", "poem", 3, "rule"),
        ("give", "tip", 1, "rule"),
        ("write", None, 1, "rule"),
        (None, None, 1, "rule"),
    ]


def test_the_most_common_are_shown() -> None:
    pairs = [VerbNoun("write", noun) for noun in "aabbcd"] + [VerbNoun("give", "tip")] * 4 + [VerbNoun("add", "x")] * 3
    pairs += [VerbNoun("come", None)] * 9
    shown = choose_shown(count_verb_nouns(pairs, "rule"), verbs=2, nouns=3)
    assert shown.select("verb", "noun", "instructions").rows() == [
        ("write", "a", 2),
        ("write", "b", 2),
        ("write", "c", 1),
        ("give", "tip", 4),
    ]
    assert choose_shown(pl.DataFrame(schema=VERB_NOUNS)).height == 0
