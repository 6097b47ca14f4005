"""Signatures: equal to datasketch's, with the recall the bands promise, blind to what does not count."""

from __future__ import annotations

import random
import unicodedata

import datasketch
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.minhash import (
    MinHashSettings,
    compute_band_keys,
    make_permutations,
    shingle_texts,
    sign_documents,
)
from mmpipe.deduplication.minhash_kernels import compute_minimums, measure_jaccard
from mmpipe.errors import ConfigurationError
from mmpipe.tables.text import TEXT_SIGNATURES


def frame_of(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"doc_id": [f"{i:05d}" for i in range(len(texts))], "text": texts}).select(
        "doc_id", pl.lit("dump").alias("dump"), "text", pl.lit(None, dtype=pl.String).alias("date")
    )


def shingles_of(text: str, words: int = 5) -> set[int]:
    return set(shingle_texts([text], words)[0].tolist())


@pytest.mark.parametrize("permutations", [1, 112, 9000])
def test_a_signature_equals_datasketch_on_the_same_hashes(permutations: int) -> None:
    words = [f"word{random.Random(5).randrange(50)}{i % 90}" for i in range(400)]
    shingles, _ = shingle_texts([" ".join(words)], 5)
    oracle = datasketch.MinHash(num_perm=permutations, seed=1, hashfunc=int)
    oracle.update_batch((shingles >> np.uint64(32)).tolist())
    assert np.array_equal(oracle.permutations, np.array(make_permutations(permutations, 1)))
    assert np.array_equal(oracle.hashvalues, compute_minimums(shingles, *make_permutations(permutations, 1)))


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_row_depends_on_its_own_text_alone(texts: list[str], shingle_words: int) -> None:
    minhash = MinHashSettings(shingle_words=shingle_words, bands=3, rows=2)
    together = sign_documents(frame_of(texts), minhash)
    apart = [sign_documents(frame_of(texts)[i : i + 1], minhash) for i in range(len(texts))]
    assert together.equals(pl.concat([together.clear(), *apart]))
    assert set(together.schema.items()) <= set(TEXT_SIGNATURES.schema.items())
    assert ((together["shingle_count"] == 0) == (together["band_keys"].bin.size() == 0)).all()


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_what_is_exactly_equal_has_equal_shingles(text: str) -> None:
    variants = [text, unicodedata.normalize("NFD", text), " ".join(text.split()), text.lower()]
    signed = sign_documents(frame_of(variants), MinHashSettings(bands=2, rows=2))
    for row in signed.filter(pl.col("exact_hash") == signed["exact_hash"][0]).iter_rows(named=True):
        assert row["band_keys"] == signed["band_keys"][0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World — it's 2024!", "hello world its 1999"),
        ("Café naïve Ångström", "cafe\u0301 naive angstrom"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("ΟΔΟΣ", "οδος"),
        ("ISTANBUL", "istanbul"),
        ("العَرَبِيَّة", "العربية"),
        ("price 1000000", "price 7"),
    ],
)
def test_differences_that_do_not_count(one: str, other: str) -> None:
    assert shingles_of(one) == shingles_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("one two", "onetwo"), ("कि", "की"), ("한국", "한구"), ("a0", "a"), ("x y z", "x z y"), ("二〇〇〇", "二〇〇")],
)
def test_differences_that_count(one: str, other: str) -> None:
    assert shingles_of(one) != shingles_of(other)


def test_scripts_without_spaces_have_a_word_per_character() -> None:
    assert len(shingles_of("吾輩は猫である名前はまだ無い")) == 14 - 4
    assert len(shingles_of("𠀀𠀁𠀂𠀃𠀄𠀅")) == 2
    assert len(shingles_of("สวัสดีครับ")) == 10 - 4
    assert len(shingles_of("가나다 라마바 사 아 자")) == 1


def test_short_texts_are_one_shingle_and_texts_without_words_none() -> None:
    signed = sign_documents(frame_of(["one two", "", "?!", "one two three four five six"]), MinHashSettings())
    assert signed["shingle_count"].to_list() == [1, 0, 0, 2]
    assert signed["band_keys"].bin.size().to_list() == [3600, 0, 0, 3600]


@given(st.lists(st.sampled_from("abcdefg"), max_size=40), st.lists(st.sampled_from("abcdefg"), max_size=40))
@settings(max_examples=150, deadline=None)
def test_jaccard_is_that_of_the_sets(left: list[str], right: list[str]) -> None:
    shingles, starts = shingle_texts([" ".join(left), " ".join(right)], 2)

    def reference(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + 2]) for i in range(max(1, len(words) - 1))} if words else set()

    one, other = reference(left), reference(right)
    expected = len(one & other) / len(one | other) if one | other else 1.0
    assert measure_jaccard(shingles, starts, np.array([0]), np.array([1]))[0] == expected


@pytest.mark.parametrize(
    ("bands", "rows", "low", "high"), [(14, 8, 0.99, 1.0), (450, 20, 1.0, 1.0), (9, 13, 0.90, 0.96)]
)
def test_recall_at_jaccard_0_9_is_what_the_bands_promise(bands: int, rows: int, low: float, high: float) -> None:
    # 1 - (1 - 0.9^rows)^bands: 0.9996, 1.0000 and 0.9293
    pairs = 1500 if bands < 100 else 200
    minhash = MinHashSettings(shingle_words=1, bands=bands, rows=rows)
    texts = []
    for pair in range(pairs):  # 90 shared of 100 distinct words
        shared = [chr(0x61 + i // 26) + chr(0x61 + i % 26) + spell(pair) for i in range(90)]
        texts += [
            " ".join([*shared, *(f"l{chr(0x61 + i)}q{spell(pair)}" for i in range(5))]),
            " ".join([*shared, *(f"r{chr(0x61 + i)}q{spell(pair)}" for i in range(5))]),
        ]
    keys, _ = compute_band_keys(texts, minhash)
    shingles, starts = shingle_texts(texts, 1)
    evens = np.arange(0, 2 * pairs, 2)
    assert (measure_jaccard(shingles, starts, evens, evens + 1) == 0.9).all()
    recall = (keys[evens] == keys[evens + 1]).any(axis=1).mean()
    assert low <= recall <= high


def spell(number: int) -> str:
    """Return the number in letters: digits of a number do not count."""
    return "".join(chr(0x61 + int(digit)) for digit in f"{number:05d}")


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="bands"):
        MinHashSettings(bands=0)
    with pytest.raises(ConfigurationError, match="verify_jaccard"):
        MinHashSettings(verify_jaccard=1.5)
    assert MinHashSettings().signature_digest == MinHashSettings(verify_jaccard=None).signature_digest
    assert MinHashSettings().signature_digest != MinHashSettings(seed=2).signature_digest


def test_the_draw_of_permutations_never_changes() -> None:
    # written down once: signatures of published dumps were made with these
    multipliers, increments = make_permutations(3, 1)

    assert multipliers.tolist() == [3582191691, 4270784983, 1892572953]
    assert increments.tolist() == [4005303368, 491263, 550290313]
