"""Builds lists of entries from open sources: frequent words, words that go together, titles that are read, WordNet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

#: Words (with inner apostrophes and hyphens), or one character that is neither word nor white space.
_TOKENS = r"[\p{L}\p{M}\p{N}]+(?:['’\-][\p{L}\p{M}\p{N}]+)*|[^\s\p{L}\p{M}\p{N}]"
_IS_WORD = r"^[\p{L}\p{M}\p{N}]"
#: Scripts without spaces between words: what stands between two spaces there is no word.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\p{Tibetan}]"
#: Counts are added up for one part of all words at a time.
_PARTS = 16
#: Distinct words or pairs of words that are held before they are written.
_HELD_ROWS = 4_000_000

#: What the sources of an entry are called, and the columns of the table of entries that have their values.
ENTRY_SCHEMA = pl.Schema(
    {
        "entry": pl.String,
        "word_count": pl.Int64,
        "bigram_count": pl.Int64,
        "association": pl.Float64,
        "title_views": pl.Int64,
        "is_synset": pl.Boolean,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLimits:
    """From which values on a candidate is an entry (MetaCLIP, arXiv 2309.16671, Table 1).

    Attributes:
        word_count: occurrences of a word in the corpus (100).
        bigram_association: how much more often two words follow one another than by chance (30), as `measure` has it.
        bigram_count: occurrences of a bigram. The paper gives none; below some 20 both measures praise misspellings.
        measure: `ratio` is P(xy) / (P(x) P(y)), `pmi_bits` its logarithm to base 2. The paper writes "PMI" and 30,
            without a formula. In bits it cannot be meant: a bigram of 20 occurrences has at most log2(words / 20), and
            30 would take a corpus of 21 billion words; a ratio of 30 is 4.9 bits.
        title_views: views of a title (70).
    """

    word_count: int = 100
    bigram_association: float = 30.0
    bigram_count: int = 20
    measure: Literal["ratio", "pmi_bits"] = "ratio"
    title_views: int = 70


def list_entries(
    read_texts: Callable[[], Iterator[pl.Series]] | None,
    titles: pl.DataFrame | None,
    synsets: Iterable[str],
    limits: EntryLimits,
    scratch: Path,
) -> pl.DataFrame:
    """Return the entries of all sources, sorted: `ENTRY_SCHEMA`; a value that a source did not give is null.

    Words are compared as written: `The` and `the` are two. Words of scripts without spaces between words come from
    titles and WordNet alone.

    Args:
        read_texts: begins to read the corpus, in batches; called twice. None for no corpus.
        titles: `title`, `views`; a title that occurs again adds up. None for none.
        synsets: lemmas of WordNet.
        limits: what makes a candidate an entry.
        scratch: empty folder for counts.

    Raises:
        ConfigurationError: the corpus is too small for any bigram to reach the limit in bits.
    """
    parts = [pl.DataFrame({"entry": sorted(set(synsets))}, schema={"entry": pl.String}).with_columns(is_synset=True)]
    if read_texts is not None:
        words, total = count_words(read_texts(), limits.word_count, scratch / "words")
        parts += [
            words.rename({"word": "entry", "count": "word_count"}),
            _weigh_bigrams(
                count_bigrams(read_texts(), words, limits.bigram_count, scratch / "bigrams"), words, total, limits
            ),
        ]
    if titles is not None:
        views = titles.group_by(entry="title").agg(title_views=pl.col("views").sum())
        parts.append(views.filter(pl.col("title_views") >= limits.title_views))
    values = [pl.col(name).max() for name in ENTRY_SCHEMA.names()[1:]]
    joined = pl.concat([pl.DataFrame(schema=ENTRY_SCHEMA), *parts], how="diagonal_relaxed")
    merged = joined.group_by("entry").agg(values).with_columns(pl.col("is_synset").fill_null(value=False))
    return merged.cast(ENTRY_SCHEMA).sort("entry")


def count_words(texts: Iterator[pl.Series], least: int, scratch: Path) -> tuple[pl.DataFrame, int]:
    """Return `word`, `count` of the words with at least `least` occurrences, and how many words there are in all."""
    total = 0

    def count() -> Iterator[pl.DataFrame]:
        nonlocal total
        for batch in texts:
            words = _cut_words(batch).drop_nulls("word")
            total += words.height
            yield words.group_by("word").agg(count=pl.len().cast(pl.Int64))

    return _add_up(count(), ["word"], least, scratch), total


def count_bigrams(texts: Iterator[pl.Series], words: pl.DataFrame, least: int, scratch: Path) -> pl.DataFrame:
    """Return `first`, `second`, `count` of neighbours with at least `least` occurrences; both must be of `words`."""
    known = words.select("word")

    def count() -> Iterator[pl.DataFrame]:
        for batch in texts:
            tokens = _cut_words(batch)
            neighbours = (
                tokens.select(
                    first="word",
                    second=pl.col("word").shift(-1),
                    is_one_text=pl.col("text") == pl.col("text").shift(-1),
                )
                .filter("is_one_text")
                .drop_nulls(["first", "second"])
            )
            counted = neighbours.group_by("first", "second").agg(count=pl.len().cast(pl.Int64))
            yield counted.join(known, left_on="first", right_on="word", how="semi").join(
                known, left_on="second", right_on="word", how="semi"
            )

    return _add_up(count(), ["first", "second"], least, scratch)


def read_synsets(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lemmas of a WordNet file `index.noun` (verb, adj, adv); its licence stands in lines begun by spaces."""
    for line in lines:
        if line[:1].strip():
            yield line.split(" ", 1)[0].replace("_", " ")


def _cut_words(texts: pl.Series) -> pl.DataFrame:
    """Return `text` and `word`: words in order, null for what ends a row of words."""
    tokens = texts.fill_null("").str.extract_all(_TOKENS)
    is_word = pl.col("token").str.contains(_IS_WORD) & ~pl.col("token").str.contains(_UNSPACED)
    return (
        pl.DataFrame({"token": tokens})
        .with_row_index("text")
        .explode("token")
        .select("text", word=pl.when(is_word).then("token"))
    )


def _weigh_bigrams(bigrams: pl.DataFrame, words: pl.DataFrame, total: int, limits: EntryLimits) -> pl.DataFrame:
    if limits.measure == "pmi_bits" and total:
        most = math.log2(total / limits.bigram_count)
        if most < limits.bigram_association:
            raise ConfigurationError(
                f"Entries: no bigram of {limits.bigram_count} occurrences among {total} words has more than {most:.1f} "
                f"bits, so none reaches {limits.bigram_association}. Lower the limit, or measure by ratio."
            )
    ratio = pl.col("count") * float(total) / (pl.col("first_count").cast(pl.Float64) * pl.col("second_count"))
    return (
        bigrams.join(words.rename({"word": "first", "count": "first_count"}), on="first")
        .join(words.rename({"word": "second", "count": "second_count"}), on="second")
        .with_columns(association=ratio.log(2) if limits.measure == "pmi_bits" else ratio)
        .filter(pl.col("association") >= limits.bigram_association)
        .select(entry=pl.format("{} {}", "first", "second"), bigram_count="count", association="association")
    )


def _add_up(counts: Iterator[pl.DataFrame], keys: Sequence[str], least: int, scratch: Path) -> pl.DataFrame:
    """Return the sums of partial counts that are at least `least`, holding one part of the keys at a time."""
    scratch.mkdir()
    held: list[pl.DataFrame] = []
    rows = files = 0
    schema: pl.Schema | None = None
    for partial in counts:
        held.append(partial)
        schema = partial.schema
        rows += partial.height
        if rows >= _HELD_ROWS:
            _write_sums(held, keys, scratch / f"{files}.parquet")
            held, rows, files = [], 0, files + 1
    if schema is None:
        schema = pl.Schema({**dict.fromkeys(keys, pl.String()), "count": pl.Int64()})
    if not files:
        return _sum_counts(held or [pl.DataFrame(schema=schema)], keys).filter(pl.col("count") >= least)
    _write_sums(held or [pl.DataFrame(schema=schema)], keys, scratch / f"{files}.parquet")
    written = pl.scan_parquet(scratch / "*.parquet")
    return pl.concat(
        _sum_counts([written.filter(pl.col("part") == part).drop("part").collect()], keys).filter(
            pl.col("count") >= least
        )
        for part in range(_PARTS)
    )


def _sum_counts(counts: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    return pl.concat(counts).group_by(keys).agg(pl.col("count").sum())


def _write_sums(counts: Sequence[pl.DataFrame], keys: Sequence[str], file: Path) -> None:
    part = (pl.col(keys[0]).hash(0) % _PARTS).cast(pl.Int64)
    _sum_counts(counts, keys).with_columns(part=part).sort("part").write_parquet(file, row_group_size=1 << 18)
