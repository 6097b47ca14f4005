"""The index of evaluation items that documents are held against: word n-grams as sorted hashes, words, and items."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import polars as pl

from mmpipe.deduplication.contamination_grams import Grams
from mmpipe.deduplication.normalization import build_character_table
from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

#: An evaluation item: its id, and its texts (question, passage, answers). No n-gram runs from one into the next.
Item: TypeAlias = tuple[str, tuple[str, ...]]

#: Part of the digest: raise it with what makes old indexes stale, such as another notion of words, another layout of
#: the index, or other fields read of a published set.
_REVISION = 1

#: Shorter texts are not looked for (GPT-3, arXiv 2005.14165, appendix C: N is at least 8 words).
LEAST_WORDS = 8

#: An n-gram that more texts of the sets hold is their boilerplate. GPT-3 (appendix C) ignores n-grams that more than 10
#: training documents hold; the corpus is not known here, the sets are.
MOST_TEXTS = 10

#: All bits of a hash count. Tests leave some out, so that hashes agree by chance.
HASH_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)

#: Bits of the filter per n-gram: one look in 32 that finds nothing goes on to the hashes.
_FILTER_BITS_PER_GRAM = 32


@lru_cache(maxsize=1)
def build_word_table() -> NDArray[np.uint32]:
    """Return what each code point is taken for: as for near-duplicates, but that digits stay what they are.

    Case, accents and punctuation do not count; characters of scripts without spaces are words of their own.
    """
    import unicodedata

    table = build_character_table().copy()
    for code in range(len(table)):
        if unicodedata.category(chr(code)) == "Nd" and table[code]:
            table[code] = (table[code] & 0xFF000000) | (ord("0") + unicodedata.decimal(chr(code)))
    return table


@dataclass(frozen=True, slots=True)
class ContaminationIndex:
    """What `build_index` makes of evaluation sets; `find_contamination` reads it.

    Attributes:
        ngram_words: words of an n-gram.
        least_words: words that a shorter text needs to be looked for, as a whole.
        ignored_ngrams: n-grams left out because more than `MOST_TEXTS` texts hold them.
        items: a row per item, in the order given: `evaluation_set`, `item`, `ngrams` (distinct n-grams that are looked
            for) and `longest_words` (words of its longest text).
        characters: folded characters of all words.
        word_start: where each word begins in them.
        full: the n-grams.
        short: texts of fewer words, found by their first `least_words`.
    """

    ngram_words: int
    least_words: int
    ignored_ngrams: int
    items: pl.DataFrame
    characters: NDArray[np.uint32]
    word_start: NDArray[np.int64]
    full: Grams
    short: Grams

    def count_items(self) -> pl.DataFrame:
        """Return per evaluation set: items, and how many are `too_short` or of common n-grams only (`too_common`)."""
        nothing = pl.col("ngrams") == 0
        is_short = pl.col("longest_words") < self.least_words
        return self.items.group_by("evaluation_set", maintain_order=True).agg(
            pl.len().alias("items"),
            (nothing & is_short).sum().alias("too_short"),
            (nothing & ~is_short).sum().alias("too_common"),
            pl.col("ngrams").sum(),
        )

    def list_skipped(self) -> pl.DataFrame:
        """Return the items that no document can be held against: `evaluation_set`, `item`, `longest_words`."""
        return self.items.filter(pl.col("ngrams") == 0).select("evaluation_set", "item", "longest_words")

    def save(self, folder: Path) -> None:
        """Write the index into a folder, whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        scratch.mkdir()
        try:
            for name, array in self._list_arrays():
                np.save(scratch / f"{name}.npy", array)
            self.items.write_parquet(scratch / "items.parquet")
            numbers = {name: getattr(self, name) for name in ("ngram_words", "least_words", "ignored_ngrams")}
            (scratch / "index.json").write_text(json.dumps({"revision": _REVISION, **numbers}), encoding="utf-8")
            if not folder.exists():  # another process may have been quicker; its index is this one
                scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return a saved index; its arrays are mapped, so that processes share them.

        Raises:
            ConfigurationError: no index of this version is there.
        """
        try:
            numbers = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(f"No contamination index at {folder}: build it again.") from error
        if numbers.pop("revision") != _REVISION:
            raise ConfigurationError(f"The contamination index at {folder} is of another version: remove that folder.")

        def read(name: str) -> Any:
            return np.load(folder / f"{name}.npy", mmap_mode="r")

        def read_grams(kind: str) -> Grams:
            return Grams(**{name: read(f"{kind}_{name}") for name in Grams._fields})

        items = pl.read_parquet(folder / "items.parquet")
        characters, word_start = read("characters"), read("word_start")
        full, short = read_grams("full"), read_grams("short")
        return cls(**numbers, items=items, characters=characters, word_start=word_start, full=full, short=short)

    def _list_arrays(self) -> list[tuple[str, NDArray[Any]]]:
        grams = [
            (f"{kind}_{name}", array)
            for kind, of_kind in (("full", self.full), ("short", self.short))
            for name, array in of_kind._asdict().items()
        ]
        return [("characters", self.characters), ("word_start", self.word_start), *grams]


def digest_sets(sets: Iterable[tuple[str, str, tuple[str, ...]]], ngram_words: int) -> str:
    """Return the name of the index of these sets: (name, digest of the file, fields) each."""
    described = json.dumps([_REVISION, LEAST_WORDS, MOST_TEXTS, ngram_words, sorted(map(list, sets))])
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def open_index(folder: Path, digest: str, build: Callable[[], ContaminationIndex]) -> ContaminationIndex:
    """Return the index of that digest, mapped from the folder; it is built and saved there if it is not yet.

    Args:
        folder: where indexes are kept.
        digest: what `digest_sets` returned.
        build: makes the index; called only if none is saved.
    """
    saved = folder / digest
    if not (saved / "index.json").is_file():
        build().save(saved)
    return ContaminationIndex.load(saved)


def build_index(sets: Iterable[tuple[str, Iterable[Item]]], *, ngram_words: int) -> ContaminationIndex:
    """Return the index of evaluation sets.

    A text of fewer words than an n-gram has is looked for as a whole, if it has `LEAST_WORDS`. N-grams that more than
    `MOST_TEXTS` different texts hold are left out, and count for no item.

    Args:
        sets: name and items of each set.
        ngram_words: words of an n-gram, 1 or more (13: GPT-3, arXiv 2005.14165, appendix C).

    Raises:
        ConfigurationError: two sets share a name.
    """
    from mmpipe.deduplication.contamination_kernels import fold_segments, hash_grams

    names, ids, segments, owners = _list_texts(sets)
    codes, offsets = join_codes(segments)
    characters, word_start, hashes, segment_word = fold_segments(codes, offsets, build_word_table())
    counts = np.diff(segment_word)
    least = min(LEAST_WORDS, ngram_words)
    # a hash that runs across two texts is of no text
    first_words = np.arange(len(hashes))
    segment_of = np.repeat(np.arange(len(counts)), counts)
    room = segment_word[segment_of + 1] - first_words
    full_words = first_words[room >= ngram_words]
    is_short = (counts >= least) & (counts < ngram_words)
    short_words = segment_word[:-1][is_short]
    full_hashes = hash_grams(hashes, ngram_words, HASH_MASK)[full_words]
    short_hashes = hash_grams(hashes, least, HASH_MASK)[short_words]
    store = (characters, word_start)
    owned = (owners, segment_of)
    full, ignored = _collect(full_hashes, full_words, np.full(len(full_words), ngram_words, np.int32), store, owned)
    short, more = _collect(short_hashes, short_words, counts[is_short].astype(np.int32), store, owned)
    ngrams = np.bincount(np.concatenate([full.postings, short.postings]), minlength=len(ids)).astype(np.int64)
    longest = np.zeros(len(ids), np.int64)
    np.maximum.at(longest, owners[1], counts[owners[0]])
    items = pl.DataFrame(
        {"evaluation_set": names, "item": ids}, schema={"evaluation_set": pl.String, "item": pl.String}
    )
    items = items.with_columns(ngrams=pl.Series(ngrams), longest_words=pl.Series(longest))
    return ContaminationIndex(ngram_words, least, ignored + more, items, characters, word_start, full, short)


def join_codes(texts: Iterable[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the code points of texts, end to end, and where each begins; one more than there are texts."""
    # text by text: together, all would first be widened to the widest of them
    encoded = [text.encode("utf-32-le", "surrogatepass") for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) // 4 for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint32), offsets


def _list_texts(
    sets: Iterable[tuple[str, Iterable[Item]]],
) -> tuple[list[str], list[str], list[str], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return set and id of each item, the distinct texts, and which texts (first array) which items (second) hold."""
    names: list[str] = []
    ids: list[str] = []
    numbers: dict[str, int] = {}
    owners: dict[tuple[int, int], None] = {}
    for name, items in sets:
        if name in names:
            raise ConfigurationError(f"Two evaluation sets are named {name!r}; hits name a set and its item.")
        for item, texts in items:
            for text in texts:
                owners[numbers.setdefault(text, len(numbers)), len(ids)] = None
            names.append(name)
            ids.append(item)
    pairs = np.array(sorted(owners), dtype=np.int64).reshape(-1, 2)
    return names, ids, list(numbers), (pairs[:, 0], pairs[:, 1])


def _collect(
    hashes: NDArray[np.uint64],
    words: NDArray[np.int64],
    lengths: NDArray[np.int32],
    store: tuple[NDArray[np.uint32], NDArray[np.int64]],
    owned: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]],
) -> tuple[Grams, int]:
    """Return the distinct n-grams of occurrences with the items that hold them, and how many were too common."""
    from mmpipe.deduplication.contamination_kernels import fill_filter, number_grams

    (owner_texts, owner_items), segment_of = owned
    order = np.argsort(hashes, kind="stable")
    hashes, words, lengths = hashes[order], words[order], lengths[order]
    gram = number_grams(hashes, words, lengths, *store)
    pairs = np.unique(np.stack([gram, segment_of[words]], axis=1), axis=0)
    held_by = np.bincount(pairs[:, 0], minlength=len(hashes))
    kept = np.flatnonzero((held_by > 0) & (held_by <= MOST_TEXTS))
    ignored = int((held_by > MOST_TEXTS).sum())
    place = np.full(len(hashes), -1, np.int64)
    place[kept] = np.arange(len(kept))
    pairs = pairs[place[pairs[:, 0]] >= 0]
    # each text stands for the items that hold it: those of text t are owner_items[begin[t]:end[t]]
    begin = np.searchsorted(owner_texts, pairs[:, 1], side="left")
    end = np.searchsorted(owner_texts, pairs[:, 1], side="right")
    spread = np.repeat(np.arange(len(pairs)), end - begin)
    within = np.arange(len(spread)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
    holders = np.stack([place[pairs[spread, 0]], owner_items[begin[spread] + within]], axis=1)
    holders = np.unique(holders, axis=0)
    hashes = hashes[kept]
    bucket_bits = max(len(kept).bit_length(), 1)
    edges = np.arange(1 << bucket_bits, dtype=np.uint64) << np.uint64(64 - bucket_bits)
    filter_bits = max(int(len(kept) * _FILTER_BITS_PER_GRAM).bit_length(), 6)
    grams = Grams(
        hashes=hashes,
        words=words[kept],
        lengths=lengths[kept],
        posting_start=np.searchsorted(holders[:, 0], np.arange(len(kept) + 1)).astype(np.int64),
        postings=np.ascontiguousarray(holders[:, 1]),
        field=fill_filter(hashes, filter_bits),
        buckets=np.append(np.searchsorted(hashes, edges), len(kept)).astype(np.int64),
    )
    return grams, ignored
