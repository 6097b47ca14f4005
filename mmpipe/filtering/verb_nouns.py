"""Reads instructions as verb and direct object ("write a poem"), and counts them: the tree that shows their variety.

Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 3.1 and figure 2) parses each instruction, takes the verb
nearest to the root of the parse and its first direct object, and draws the 20 most common verbs with the 4 most common
objects of each. `read_parsed` does so with a spaCy pipeline; `read_by_rule` does without any model, for English in the
imperative, and is named `rule` wherever its counts are shown.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.english_nouns import DETERMINER, MAYBE, MODIFIER, NOUN, OTHER, find_kinds
from mmpipe.filtering.imperative_verbs import IMPERATIVE_VERBS, LEADING_PHRASES, make_base_form, make_singular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: How instructions were read: by a parser, or by rule.
Method = Literal["parser", "rule"]

#: Counts of pairs; `noun` is null where a verb has no direct object.
VERB_NOUNS = pl.Schema({"verb": pl.String, "noun": pl.String, "instructions": pl.Int64, "method": pl.String})

#: Of figure 2: the verbs shown, and the objects of each.
SHOWN_VERBS, SHOWN_NOUNS = 20, 4

_OBJECTS = frozenset({"dobj", "obj"})
_NOUN_TAGS = frozenset({"NOUN", "PROPN"})
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
# words of a sentence that a rule reads for a verb and its object
_MOST_WORDS = 40
#: Participles that stand before an object ("the following word") or behind it ("a haiku using ..."), and are none.
_PARTICIPLES = frozenset({"following", "given", "using", "according", "based", "including", "containing", "followed"})


@dataclass(frozen=True, slots=True)
class VerbNoun:
    """The verb of an instruction and its direct object, as they stand in a dictionary; null where there is none."""

    verb: str | None
    noun: str | None


def load_parser(path: str) -> Any:
    """Return the spaCy pipeline of a folder or an installed package, without its name finder.

    Raises:
        ConfigurationError: there is none, or it does not parse.
    """
    import spacy

    try:
        parser = spacy.load(path, exclude=["ner"])
    except OSError as error:
        raise ConfigurationError(
            f"No spaCy pipeline at {path!r}: give the folder of one with parser, tagger and lemmatizer, or "
            f"leave it out, and verbs and objects are found by rule."
        ) from error
    if not parser.has_pipe("parser"):
        raise ConfigurationError(f"The spaCy pipeline {path!r} has no parser, only {', '.join(parser.pipe_names)}.")
    return parser


def read_parsed(instructions: Iterable[str], parser: Any) -> Iterator[VerbNoun]:
    """Yield the verb and object of each instruction as a spaCy pipeline parses it; its first sentence counts."""
    for document in parser.pipe(instructions):
        sentence = next(iter(document.sents), None)
        yield VerbNoun(None, None) if sentence is None else find_root_pair(sentence.root)


def find_root_pair(root: Any) -> VerbNoun:
    """Return the verb nearest to the root of a parse (the first of equally near ones) and its first direct object.

    Args:
        root: a spaCy token with `children`, `pos_`, `dep_` and `lemma_`.
    """
    waiting = deque([root])
    while waiting:
        token = waiting.popleft()
        if token.pos_ == "VERB":
            objects = (child for child in token.children if child.dep_ in _OBJECTS and child.pos_ in _NOUN_TAGS)
            found = next(objects, None)
            return VerbNoun(token.lemma_.lower(), None if found is None else found.lemma_.lower())
        waiting.extend(token.children)
    return VerbNoun(None, None)


def read_by_rule(instruction: str) -> VerbNoun:
    """Return the verb and object of an English instruction in the imperative, by rules that know no grammar.

    The verb is the first word of a clause that stands in a list of imperatives, after words like "please" or "can you";
    of several sentences the first that has one counts. The object is the last noun of the first noun phrase behind it:
    determiners and adjectives are passed over, and a preposition, a comma or a clause ends the search.
    """
    for sentence in _SENTENCE.split(instruction):
        words = [word.lower().replace("’", "'") for word in _WORD.findall(sentence)][:_MOST_WORDS]
        place = _find_verb(words)
        if place is not None:
            return VerbNoun(make_base_form(words[place]), _find_object(words[place + 1 :]))
    return VerbNoun(None, None)


def _find_verb(words: Sequence[str]) -> int | None:
    """Return the place of the imperative: at the beginning of a clause, behind phrases that lead to it."""
    starts = [0, *(place + 1 for place, word in enumerate(words) if word in {",", ":", ";"})]
    for start in starts:
        place = start
        while True:
            phrase = next(
                (phrase for phrase in LEADING_PHRASES if tuple(words[place : place + len(phrase)]) == phrase), None
            )
            if phrase is None:
                break
            place += len(phrase)
        if place < len(words) and make_base_form(words[place]) in IMPERATIVE_VERBS:
            return place
    return None


def _find_object(words: Sequence[str]) -> str | None:
    kinds = find_kinds(words)
    found: str | None = None
    for place, (word, kind) in enumerate(zip(words, kinds, strict=True)):
        if not word[0].isalpha():
            break
        if word in {"me", "us"} and place == 0:
            continue  # give me a list: the list
        is_after_determiner = place > 0 and kinds[place - 1] in {DETERMINER, MODIFIER}
        if found is None and (word in _PARTICIPLES or (is_after_determiner and word.endswith("ly"))):
            continue  # the following word, a weekly menu
        if word in _PARTICIPLES:
            break
        if kind == NOUN or (kind == MAYBE and (found is not None or is_after_determiner)):
            found = word
        elif found is not None or kind == OTHER:
            break
    return None if found is None else make_singular(found)


def count_verb_nouns(pairs: Iterable[VerbNoun], method: Method) -> pl.DataFrame:
    """Return how many instructions have each pair: columns of VERB_NOUNS, the most common first.

    Instructions without a verb are counted under a null verb, so that the counts add up to the instructions.
    """
    rows = [(pair.verb, pair.noun) for pair in pairs]
    return (
        pl.DataFrame(rows, schema={"verb": pl.String, "noun": pl.String}, orient="row")
        .group_by("verb", "noun")
        .agg(instructions=pl.len().cast(pl.Int64))
        .sort("instructions", "verb", "noun", descending=[True, False, False], nulls_last=True)
        .with_columns(method=pl.lit(method, dtype=pl.String))
    )


def choose_shown(counts: pl.DataFrame, verbs: int = SHOWN_VERBS, nouns: int = SHOWN_NOUNS) -> pl.DataFrame:
    """Return the pairs of the most common verbs and, of each, the most common objects, as in figure 2.

    Args:
        counts: columns of VERB_NOUNS.
        verbs: so many of those that have an object; equally common ones by the alphabet.
        nouns: so many of each.
    """
    pairs = counts.filter(pl.col("verb").is_not_null() & pl.col("noun").is_not_null())
    totals = pairs.group_by("verb").agg(total=pl.col("instructions").sum())
    shown = totals.sort("total", "verb", descending=[True, False]).head(verbs)
    return (
        pairs.join(shown, on="verb")
        .sort("total", "verb", "instructions", "noun", descending=[True, False, True, False])
        .group_by("verb", maintain_order=True)
        .head(nouns)
        .select("verb", "noun", "instructions", "method")
    )
