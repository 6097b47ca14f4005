"""Dumps in any order and again: the canonical policy ends in one kept set, the stable one leaves what is published."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.duplicate_index import DuplicateIndex, build_index
from mmpipe.deduplication.duplicates import search_duplicates
from mmpipe.deduplication.minhash import MinHashSettings, sign_documents
from mmpipe.deduplication.survivors import DATE, LENGTH, KeepPolicy

SETTINGS = MinHashSettings(shingle_words=1, bands=8, rows=1, verify_jaccard=0.6)
CANONICAL = KeepPolicy((LENGTH, DATE), across="canonical")
STABLE = KeepPolicy((DATE,))

#: A document is a window of words, so that documents overlap more or less and form chains.
DOCUMENT = st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(4, 8), st.sampled_from([None, "2020", "2021"]))


def write_corpus(documents: list[tuple[int, int, int, str | None]]) -> pl.DataFrame:
    rows = []
    for number, (topic, first, words, date) in enumerate(documents):
        text = " ".join(f"{'ab'[topic]}{chr(99 + word)}" for word in range(first, first + words))
        rows.append((f"{number:02d}", text, date))
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "text": pl.String, "date": pl.String}, orient="row")


@dataclass
class Corpus:
    """What a lane keeps: an index per dump, who is removed now, and the pairs known."""

    frame: pl.DataFrame
    folder: Path
    policy: KeepPolicy
    hubs: int
    indexes: dict[str, DuplicateIndex] = field(default_factory=dict)
    removed: dict[str, set[str]] = field(default_factory=dict)
    known: pl.DataFrame | None = None
    runs: int = 0
    is_one_bucket: bool = False

    def arrive(self, dump: str) -> None:
        """Compare a dump with the others (canonical), or with those that came before it."""
        self.runs += 1
        rows = self.frame.filter(pl.col("dump") == dump)
        names = list(self.indexes)
        signatures = sign_documents(rows, SETTINGS).lazy()
        if self.is_one_bucket:
            signatures = signatures.with_columns(band_keys=pl.lit(bytes(8 * SETTINGS.bands)))
        self.indexes[dump] = build_index(self.folder / dump, signatures, SETTINGS, rank_columns=self.policy.columns)
        if self.policy.across == "canonical":
            before = [name for name in names if name != dump]
        else:
            before = names[: names.index(dump)] if dump in names else names
        gone = [doc_id for name in before for doc_id in self.removed[name]]
        found = search_duplicates(
            self.indexes[dump],
            [self.indexes[name] for name in before],
            self.frame,
            SETTINGS,
            self.folder / f"run-{self.runs}",
            policy=self.policy,
            removed=pl.LazyFrame({"doc_id": gone}, schema={"doc_id": pl.String}),
            known=self.known.lazy() if self.known is not None else None,
            hubs=self.hubs,
        )
        assert not found.is_cut
        rows = found.duplicates.filter(pl.col("doc_id") != pl.col("kept_doc_id")).select("doc_id", "dump").collect()
        decided = [*before, dump] if self.policy.across == "canonical" else [dump]
        for name in decided:
            self.removed[name] = set(rows.filter(pl.col("dump") == name).get_column("doc_id"))
        if self.policy.across == "canonical":
            self.known = found.pairs.collect()

    @property
    def kept(self) -> set[str]:
        return set(self.frame.get_column("doc_id")) - set().union(*self.removed.values())


@given(st.lists(DOCUMENT, min_size=2, max_size=14), st.integers(0, 2**32), st.sampled_from([1, 16]))
@settings(max_examples=4, deadline=None)
def test_under_the_canonical_policy_the_kept_set_depends_on_the_documents_alone(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[tuple[int, int, int, str | None]],
    seed: int,
    hubs: int,
) -> None:
    frame = write_corpus(documents)
    dice = random.Random(seed)
    kept = []
    for attempt in range(3):
        # once in a single dump; then dealt over dumps that come in any order, and some of them again
        dumps = [f"dump{dice.randrange(3)}" if attempt else "dump0" for _ in documents]
        corpus = Corpus(frame.with_columns(dump=pl.Series(dumps)), tmp_path_factory.mktemp("corpus"), CANONICAL, hubs)
        order = sorted(set(dumps), key=lambda _: dice.random())
        for dump in [*order, *(dice.choices(order, k=2) if attempt else ())]:
            corpus.arrive(dump)
        kept.append(corpus.kept)
    assert kept[0] == kept[1] == kept[2]


@given(st.lists(DOCUMENT, min_size=2, max_size=14), st.integers(0, 2**32))
@settings(max_examples=4, deadline=None)
def test_under_the_stable_policy_nothing_published_changes(
    tmp_path_factory: pytest.TempPathFactory, documents: list[tuple[int, int, int, str | None]], seed: int
) -> None:
    dice = random.Random(seed)
    dumps = [f"dump{dice.randrange(3)}" for _ in documents]
    corpus = Corpus(
        write_corpus(documents).with_columns(dump=pl.Series(dumps)), tmp_path_factory.mktemp("corpus"), STABLE, 16
    )
    order = sorted(set(dumps), key=lambda _: dice.random())
    for place, dump in enumerate(order):
        published = {name: set(gone) for name, gone in corpus.removed.items()}
        corpus.arrive(dump)
        assert {name: corpus.removed[name] for name in published} == published
        again = dice.choice(order[: place + 1])
        published = {name: set(gone) for name, gone in corpus.removed.items()}
        corpus.arrive(again)
        assert corpus.removed == published
    assert set(corpus.kept)


def test_a_document_comes_back_when_what_it_went_for_goes(tmp_path: Path) -> None:
    # the middle one is like both of the others, which are not alike; the longest comes last
    frame = write_corpus([(0, 0, 5, None), (0, 0, 7, None), (0, 0, 10, None)]).with_columns(
        dump=pl.Series(["first", "first", "second"])
    )
    corpus = Corpus(frame, tmp_path, CANONICAL, 16)
    corpus.arrive("first")
    assert corpus.kept == {"01", "02"}  # the last has not come yet
    corpus.arrive("second")
    assert corpus.kept == {"00", "02"}


def test_two_documents_that_come_back_together_are_compared_with_each_other(tmp_path: Path) -> None:
    # one hub: the first two are compared with the third alone, which goes for the fourth
    frame = write_corpus([(0, 0, 5, None), (0, 0, 6, None), (0, 0, 8, None), (0, 0, 11, None)]).with_columns(
        dump=pl.Series(["first", "first", "first", "second"])
    )
    corpus = Corpus(frame, tmp_path, CANONICAL, 1, is_one_bucket=True)
    corpus.arrive("first")
    assert corpus.kept == {"02", "03"}  # the last has not come yet
    corpus.arrive("second")
    assert corpus.kept == {"01", "03"}


def test_a_dump_that_comes_again_with_another_text_gives_back_what_it_took(tmp_path: Path) -> None:
    # both of the second dump go for the first one's, and are never compared with each other until it is another
    frame = write_corpus([(0, 0, 5, None), (0, 0, 6, None), (0, 0, 8, None)]).with_columns(
        dump=pl.Series(["second", "second", "first"])
    )
    corpus = Corpus(frame, tmp_path, CANONICAL, 1, is_one_bucket=True)
    corpus.arrive("first")
    corpus.arrive("second")
    assert corpus.kept == {"02"}
    is_first = pl.col("dump") == "first"
    corpus.frame = frame.with_columns(text=pl.when(is_first).then(pl.lit("bz by bx bw bv bu bt")).otherwise("text"))
    corpus.arrive("first")
    assert corpus.kept == {"01", "02"}
