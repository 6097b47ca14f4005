"""Says what a recipe's `deduplication` section holds: what counts as a repeat, and which of several stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmpipe.errors import RecipeError

#: By what a document may be preferred to one like it.
PREFERENCES = ("quality", "length", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlDuplicates:
    """Which differences between two URLs do not count.

    Attributes:
        keeps_scheme: whether http and https differ.
        keeps_www: whether `www.` at the front of a host counts.
        keeps_trailing_slash: whether slashes at the end of a path count.
        sorts_query: whether the order of parameters does not count.
    """

    keeps_scheme: bool = False
    keeps_www: bool = True
    keeps_trailing_slash: bool = False
    sorts_query: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SimHashDuplicates:
    """When two documents are near by SimHash (ROOTS; Laurençon et al. 2022).

    Attributes:
        unit: what a window is of.
        window: units of a window.
        blocks: into how many a signature is cut for the search.
        most_bits: bits in which the signatures of near-duplicates differ at most.
        most_characters: longer texts are left alone; null for none.
    """

    unit: Literal["word", "character"] = "word"
    window: int = 6
    blocks: int = 6
    most_bits: int = 4
    most_characters: int | None = 6000

    def __post_init__(self) -> None:
        _require(self.window >= 1, "simhash.window must be 1 or more")
        _require(0 <= self.most_bits < self.blocks <= 64, "simhash.blocks must be more than most_bits, and at most 64")


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticDuplicates:
    """When two documents of a dump mean the same (SemDeDup; Abbas et al. 2023, arXiv 2303.09540).

    Attributes:
        epsilon: near is a cosine similarity of at least 1 - epsilon.
        clusters: of k-means; only documents of one cluster are compared. Null: one per 1,000 documents.
        keep: `best` by the recipe's preferences, or the `outlier`, farthest from its centroid.
        seed: of k-means.
    """

    epsilon: float = 0.05
    clusters: int | None = None
    keep: Literal["best", "outlier"] = "best"
    seed: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.epsilon < 1, "semantic.epsilon must be in [0, 1)")
        _require(self.clusters is None or self.clusters >= 1, "semantic.clusters must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedLines:
    """Which lines, paragraphs or runs of sentences are cut for standing elsewhere too.

    Attributes:
        unit: what is compared.
        units_per_span: consecutive units that are compared together; C4 takes three sentences.
        dialect: what does not count: `ccnet_paper`, `ccnet`, `lowercase`, … (`deduplication.line_normalization`).
        keep: `first` leaves the one in the best document; `none` leaves none.
        least_characters: shorter ones are left alone.
        least_occurrences: rarer ones are left alone.
    """

    unit: Literal["line", "paragraph", "sentence"] = "line"
    units_per_span: int = 1
    dialect: str = "ccnet_paper"
    keep: Literal["first", "none"] = "first"
    least_characters: int = 1
    least_occurrences: int = 2

    def __post_init__(self) -> None:
        _require(min(self.units_per_span, self.least_characters) >= 1, "lines: units and characters must be 1 or more")
        _require(self.least_occurrences >= 2, "lines.least_occurrences must be 2 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedText:
    """Which text is cut for standing elsewhere word by word (Lee et al. 2022, arXiv 2107.06499, §4.1).

    Attributes:
        unit: `tokens` (words), or `bytes` of UTF-8.
        least_length: units of the shortest repeat; null for 50 tokens or 100 bytes.
        keep: `first` leaves the one in the best document; `none` leaves none.
        overlaps: where the first occurrence of one repeat runs into a later one of another, `keep` leaves it whole,
            and `cut` takes what is of the other.
    """

    unit: Literal["bytes", "tokens"] = "tokens"
    least_length: int | None = None
    keep: Literal["first", "none"] = "first"
    overlaps: Literal["keep", "cut"] = "keep"

    def __post_init__(self) -> None:
        _require(self.least_length is None or self.least_length >= 2, "substring.least_length must be 2 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeduplicationSettings:
    """What counts as a repeat (RefinedWeb G.3 by default), and which of several stays.

    Documents of equal text and near-duplicates by MinHash are always looked for; the sections below them are off
    where they are null.

    Attributes:
        shingle_words: words per shingle; null where shingles are of characters.
        shingle_characters: characters per shingle; null where shingles are of words.
        normalization: what does not count: `unicode`, `datatrove`, `nemo`, `redpajama2` or `none`.
        short_texts: texts shorter than a shingle are one shingle (`whole`), or nobody's near-duplicate (`skip`).
        shingle_hash: hash of a shingle.
        permutations: family of the hashes; with `datatrove` and `xxh64` or `sha1` its own pairs come out.
        bands: bands of the MinHash signature; two documents that agree on one are compared. Null: see `recall`.
        rows: hashes per band. Null: see `recall`.
        recall: share of the pairs of exactly `jaccard` that must be compared; bands and rows follow from it.
        jaccard: see `recall`.
        most_permutations: hashes that may be spent on `recall`.
        seed: seed of the permutations.
        verify_jaccard: lowest measured Jaccard similarity of two near-duplicates; null trusts the bands.
        scope: whether a dump is compared with the others.
        across: `stable`: what an earlier dump published stays. `canonical`: what stays depends on the documents alone,
            so that dumps materialized before have to be materialized again after each new one.
        keep: which of several stays, strongest reason first: `quality` (the classifier's score), `length`, `date`
            (earlier is better); then the smaller id.
        clusters: `components`: what pairs connect; `stars`: a kept document and those that go for it.
        url: documents of one address.
        simhash: near-duplicates by SimHash.
        semantic: near-duplicates by embeddings, within a dump.
        lines: lines, paragraphs or sentences that stand elsewhere too.
        substring: any text of some length that stands elsewhere too.
        least_characters: a document that lost repeats goes if it has fewer left (RefinedWeb G.3).
    """

    shingle_words: int | None = 5
    shingle_characters: int | None = None
    normalization: Literal["unicode", "datatrove", "nemo", "redpajama2", "none"] = "unicode"
    short_texts: Literal["whole", "skip"] = "whole"
    shingle_hash: Literal["mix64", "xxh64", "sha1"] = "mix64"
    permutations: Literal["affine32", "affine64", "datatrove"] = "affine32"
    bands: int | None = 450
    rows: int | None = 20
    recall: float | None = None
    jaccard: float | None = None
    most_permutations: int = 2000
    seed: int = 1
    verify_jaccard: float | None = 0.8
    scope: Literal["across_dumps", "within_dump"] = "across_dumps"
    across: Literal["stable", "canonical"] = "stable"
    keep: tuple[str, ...] = ("length", "date")
    clusters: Literal["components", "stars"] = "components"
    url: UrlDuplicates | None = None
    simhash: SimHashDuplicates | None = None
    semantic: SemanticDuplicates | None = None
    lines: RepeatedLines | None = None
    substring: RepeatedText | None = None
    least_characters: int = 20

    def __post_init__(self) -> None:
        shingles = (self.shingle_words, self.shingle_characters)
        _require(
            sum(size is not None for size in shingles) == 1, "name shingle_words or shingle_characters, one of them"
        )
        bands = (self.bands, self.rows)
        targets = (self.recall, self.jaccard)
        _require(
            (None not in bands and targets == (None, None)) or (None not in targets and bands == (None, None)),
            "give bands and rows, or recall and jaccard (and `bands: null, rows: null`)",
        )
        numbers = [value for value in (*shingles, *bands, self.most_permutations) if value is not None]
        _require(min(numbers) >= 1, "sizes of shingles, bands, rows and most_permutations must be 1 or more")
        _require(all(0 < value < 1 for value in targets if value is not None), "recall and jaccard must be in (0, 1)")
        _require(self.verify_jaccard is None or 0 < self.verify_jaccard <= 1, "verify_jaccard must be in (0, 1]")
        unknown = [name for name in self.keep if name not in PREFERENCES]
        _require(not unknown, f"keep: {unknown} is none of {', '.join(PREFERENCES)}")
        _require(len(set(self.keep)) == len(self.keep), "keep names a reason twice")
        _require(self.least_characters >= 0, "least_characters must not be negative")


_SIGNED = (
    *("shingle_words", "shingle_characters", "normalization", "short_texts", "shingle_hash", "permutations"),
    *("bands", "rows", "recall", "jaccard", "most_permutations", "seed", "url", "simhash"),
)
_CHOSEN = ("scope", "across", "keep")

#: What of the section each step of the lane depends on: a moved limit signs no document again.
DUPLICATE_STEPS = {
    "signatures": _SIGNED,
    "duplicates": (*_SIGNED, *_CHOSEN, "verify_jaccard", "clusters", "semantic"),
    "repeats": (*_CHOSEN, "lines", "substring"),
}

#: Sections within the section, by key.
DUPLICATE_SECTIONS: dict[str, type] = {
    "url": UrlDuplicates,
    "simhash": SimHashDuplicates,
    "semantic": SemanticDuplicates,
    "lines": RepeatedLines,
    "substring": RepeatedText,
}


def _require(is_so: bool, message: str) -> None:
    if not is_so:
        raise RecipeError(f"deduplication: {message}.")
