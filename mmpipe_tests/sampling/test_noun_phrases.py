"""Noun phrases: the rules on captions of many kinds, a spaCy pipeline that learnt to parse, and what stops by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.sampling.noun_phrases import RuleChunker, open_chunker


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("A dog running in the park", ["dog", "park"]),
        ("a running dog and two brown cats", ["running dog", "two brown cats"]),
        ("The man wearing a red hat rides a horse", ["horse", "man", "red hat"]),
        ("the dog's tail is red", ["dog's tail"]),
        ("chair painted blue", ["chair"]),
        ("a painted chair", ["painted chair"]),
        ("A family sits quickly on beautiful old wooden benches", ["beautiful old wooden benches", "family"]),
        ("NYC skyline — sunset, 2019", ["nyc skyline", "sunset"]),
        ("a well-known building in U.S. cities", ["u.s. cities", "well-known building"]),
        ("A cat. A cat! THE CAT", ["cat"]),
        ("it is very blue", []),
        ("", []),
        ("赤い車 near a building", ["building"]),
        ("黒い猫", []),
        ("แมวดำ", []),
        ("12345 !!! ___", []),
    ],
)
def test_rules_find_the_phrases_of_english_captions(caption: str, phrases: list[str]) -> None:
    assert RuleChunker().chunk([caption]) == [phrases]


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_has_phrases_without_determiners_and_each_caption_its_own(captions: list[str]) -> None:
    found = RuleChunker().chunk(captions)

    assert found == [RuleChunker().chunk([caption])[0] for caption in captions]
    for caption, phrases in zip(captions, found, strict=True):
        assert phrases == sorted(set(phrases))
        for phrase in phrases:
            assert phrase.split(" ")[0] not in ("a", "an", "the", "this", "my")
            assert all(word in caption.lower().replace("’", "'") for word in phrase.split(" "))


def test_real_captions_name_what_they_show(shared_data: Path) -> None:
    lines = (shared_data / "images" / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    captions = [json.loads(line)["caption"] for line in lines]

    found = RuleChunker().chunk(captions)

    counts = Counter(phrase for phrases in found for phrase in phrases)
    assert counts["screenshot"] > 20
    assert sum(bool(phrases) for phrases in found) > 0.9 * len(captions)
    # a phrase is a name of something, not a clause
    assert sum(len(phrase.split()) > 4 for phrase in counts) < 0.03 * len(counts)
    assert not {"of", "the", "is", "showing", "with", "and", "it", "that"} & {
        word for phrase in counts for word in phrase.split()
    }


def train_pipeline(folder: Path) -> None:
    """Let a spaCy pipeline learn a few sentences by heart, and save it: a real tagger and parser, of no general use."""
    import spacy
    from spacy.training import Example

    nlp = spacy.blank("en")
    nlp.add_pipe("morphologizer")
    nlp.add_pipe("parser", config={"min_action_freq": 1})
    sentences = []
    for animal, colour, place in (("dog", "red", "park"), ("cat", "black", "house"), ("owl", "old", "barn")) * 4:
        words = ["The", colour, animal, "sees", "a", place, "."]
        sentences.append(
            Example.from_dict(
                nlp.make_doc(" ".join(words)),
                {
                    "words": words,
                    "pos": ["DET", "ADJ", "NOUN", "VERB", "DET", "NOUN", "PUNCT"],
                    "heads": [2, 2, 3, 3, 5, 3, 3],
                    "deps": ["det", "amod", "nsubj", "ROOT", "det", "dobj", "punct"],
                },
            )
        )
    optimizer = nlp.initialize(lambda: sentences)
    for _ in range(30):
        nlp.update(sentences, sgd=optimizer)
    nlp.meta["name"] = "three_sentences"
    nlp.to_disk(folder)


def test_a_spacy_pipeline_names_phrases_and_itself(tmp_path: Path) -> None:
    train_pipeline(tmp_path / "pipeline")

    chunker = open_chunker(str(tmp_path / "pipeline"))

    assert chunker.name == "spacy_en_three_sentences_0.0.0"
    found = chunker.chunk(["The red dog sees a park .", "The old owl sees a barn ."])
    assert found == [["park", "red dog"], ["barn", "old owl"]]
    assert open_chunker().name == "mmpipe_rules_en_1"


def test_a_pipeline_that_is_not_there_or_cannot_parse_stops_by_name(tmp_path: Path) -> None:
    import spacy

    spacy.blank("en").to_disk(tmp_path / "blank")

    with pytest.raises(WeightsNotFound, match="No spaCy pipeline"):
        open_chunker(str(tmp_path))
    with pytest.raises(ConfigurationError, match="cannot name noun phrases"):
        open_chunker(str(tmp_path / "blank"))
