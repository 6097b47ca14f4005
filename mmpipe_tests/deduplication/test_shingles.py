"""Shingles: what each normalization ignores, equal to the peers' own where they can be run."""

from __future__ import annotations

import json
import random
import re
import string
import subprocess
import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.deduplication.minhash import compute_signatures
from mmpipe.deduplication.minhash_presets import PRESETS
from mmpipe.deduplication.shingles import Normalization, Shingling, hash_shingles_of, shingle_texts
from mmpipe.deduplication.spacy_chunks import SpacyChunks, open_spacy_chunks
from mmpipe.errors import ConfigurationError
from mmpipe_tests.peers import find_peer

# what simplification trips over: decimal separators, contractions, marks, Hangul, new digits, letters that lower-case
# into two, marks that change places, characters without a decomposition of one letter
PIECES = [
    "the", "Cat", "dont", "can't", "Im", "lets", "U.S.A.", "10km", "5pm", "3.14.15", "1،2", "٣٫٤", "１２", "x2", "a_b",
    "C#", "…", "—", "«", "»", "\u0301", "\u0345", "e\u0301", "Ä", "İ", "Σ", "ΟΔΟΣ", "ß", "’s", "한국어", "각",
    "か\u3099",
    "中文，字", "กำ", "कि", "🙂", "👍🏽", "€5", "\u200b", "\u00ad", "\x85", "\x1c", "\n\n", "\t", "\u2028", "\u3000",
    "𝟘", "\U00010d41", "\U0002f800", "\U000e0101", "\U0001d15e", "ﬁ", "²", "½", "",
]  # fmt: skip

DATATROVE = """
import json, sys
import xxhash
import datatrove.pipeline.dedup.minhash as minhash
from datatrove.utils.hashing import HashConfig
texts, folder = json.load(sys.stdin)
found = {}
for name in ("xxhash", "sha1"):
    config = minhash.MinhashConfig(hash_config=HashConfig(hash_fc=name))
    step = minhash.MinhashDedupSignature(folder, config)
    if name == "xxhash":  # recent xxhash takes bytes alone
        step._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
    shingles = [step.get_shingles(text) for text in texts]
    found[name] = [
        [one.ravel().tolist(), sum(step.get_signature(one), []) if one.size else None] for one in shingles
    ]
print(json.dumps(found))
"""


def write_hard_texts(count: int) -> list[str]:
    chooser = random.Random(4)
    return [
        "".join(chooser.choice(PIECES) + chooser.choice(["", " ", " ", " "]) for _ in range(60)) for _ in range(count)
    ]


def ask_datatrove(texts: list[str], folder: Path) -> dict[str, list[tuple[list[int], list[int] | None]]]:
    peer = find_peer("datatrove.pipeline.dedup.minhash", "spacy", "xxhash")
    done = subprocess.run(
        [str(peer), "-c", DATATROVE], input=json.dumps([texts, str(folder)]), capture_output=True, text=True, check=True
    )
    answer: dict[str, list[tuple[list[int], list[int] | None]]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def assert_equal_to_datatrove(texts: list[str], folder: Path) -> None:
    answer = ask_datatrove(texts, folder)
    for hash_name, preset in (("xxhash", "datatrove"), ("sha1", "datatrove_sha1")):
        shingles, starts = hash_shingles_of(texts, PRESETS[preset].shingling)
        signatures, counts = compute_signatures(texts, PRESETS[preset])
        for text, (expected, signature) in enumerate(answer[hash_name]):
            # ours are distinct, in the order of their first occurrence
            assert shingles[starts[text] : starts[text + 1]].tolist() == list(dict.fromkeys(expected)), texts[text]
            assert (signature is None) == (counts[text] == 0)
            if signature is not None:
                assert signatures[text].tolist() == signature


def test_shingles_and_signatures_are_datatroves(tmp_path: Path) -> None:
    assert_equal_to_datatrove([*write_hard_texts(150), "", "one two three", "just these five words here"], tmp_path)


@pytest.mark.real_data
def test_signatures_of_real_pages_are_datatroves(shared_data: Path, tmp_path: Path) -> None:
    import gzip

    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["gold_text"] or "" for line in lines]
    assert_equal_to_datatrove(texts[:200], tmp_path)


@given(st.text(st.characters(categories=["L"]), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_spacy_leaves_rows_of_letters_whole(word: str) -> None:
    chunks = open_spacy_chunks()
    assert chunks._split(word) == [word] or word in chunks._tokenizer.rules


def test_the_dictionary_of_chunks_forgets_and_learns_anew() -> None:
    chunks = SpacyChunks(most_chunks=1)
    for round_ in range(3):
        chunks.make_room(2)
        assert chunks.count == 0
        chunks.learn([f"{round_}pm".encode(), b"dont"])
        assert np.diff(chunks.cut_starts).tolist() == [len(chunks._split(f"{round_}pm")), 2]


def list_slices(units: list[str], size: int, joint: str) -> list[str]:
    width = min(size, len(units))
    return [joint.join(units[first : first + width]) for first in range(len(units) - width + 1)] if units else []


def expect(slices: list[str]) -> list[int]:
    return list(dict.fromkeys(xxhash.xxh64_intdigest(part.encode("utf-8", "surrogatepass")) for part in slices))


HARD = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@given(HARD, st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_unnormalized_words_and_characters_are_those_of_python(text: str, size: int) -> None:
    words = Shingling(size=size, normalization="none", hash="xxh64")
    characters = Shingling(unit="characters", size=size, normalization="none", hash="xxh64")
    assert hash_shingles_of([text], words)[0].tolist() == expect(list_slices(text.split(), size, " "))
    assert hash_shingles_of([text], characters)[0].tolist() == expect(list_slices(list(text), size, ""))


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join) | HARD)
@settings(max_examples=100, deadline=None)
def test_nemo_and_redpajama_are_what_their_sources_say(text: str) -> None:
    nemo = Shingling(unit="characters", size=24, normalization="nemo", hash="xxh64")
    assert hash_shingles_of([text], nemo)[0].tolist() == expect(list_slices(list(text.lower().strip()), 24, ""))
    # RedPajama-Data: punctuation, case, white space, NFD, in this order; then words between white space
    plain = text.translate(str.maketrans("", "", string.punctuation)).lower()
    words = unicodedata.normalize("NFD", re.sub(r"\s+", " ", plain.strip())).split()
    slices = list_slices(words, 13, " ") if len(words) >= 13 else []
    redpajama = Shingling(size=13, normalization="redpajama2", short_texts="skip", hash="xxh64")
    assert hash_shingles_of([text], redpajama)[0].tolist() == expect(slices)


@pytest.mark.parametrize("normalization", ["unicode", "datatrove", "nemo", "redpajama2", "none"])
@given(texts=st.lists(HARD, max_size=8))
@settings(max_examples=25, deadline=None)
def test_the_rolled_hash_tells_what_xxh64_tells(normalization: Normalization, texts: list[str]) -> None:
    rolled = Shingling(size=3, normalization=normalization)
    exact = Shingling(size=3, normalization=normalization, hash="xxh64")
    for shingling in (rolled, exact):
        together, starts = hash_shingles_of(texts, shingling)
        apart = [hash_shingles_of([text], shingling)[0] for text in texts]
        assert [together[a:b].tolist() for a, b in pairwise(starts)] == [one.tolist() for one in apart]
    # the same shingles are the same, and others are others
    pairs = set(
        zip(hash_shingles_of(texts, rolled)[0].tolist(), hash_shingles_of(texts, exact)[0].tolist(), strict=True)
    )
    assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)


def test_short_texts_are_whole_or_skipped() -> None:
    texts = ["one two", "", "one two three four five"]
    for preset, counts in (("refinedweb", [1, 0, 1]), ("fineweb", [0, 0, 1]), ("nemo", [1, 0, 1])):
        assert np.diff(hash_shingles_of(texts, PRESETS[preset].shingling)[1]).tolist() == counts
    # another size, another shingle: a short text is not a piece of a longer one
    assert set(shingle_texts(["one two"], 5)[0]) == set(shingle_texts(["one two"], 2)[0])


def test_hostile_texts_are_shingled_in_time() -> None:
    texts = ["\ud800 lone surrogate in the middle of words", "a" * 300_000, "🙂" * 20_000, "\0" * 1000, "]" * 20_000]
    texts += ["[" * 5000 + "\u0301" * 5000, "1.2.3." * 20_000, " " * 100_000]
    for name in ("refinedweb", "fineweb", "nemo", "lee", "redpajama2_0.8"):
        _, starts = hash_shingles_of(texts, replace(PRESETS[name].shingling, size=1))
        assert np.diff(starts)[0] > 0


def test_shinglings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="cuts words"):
        Shingling(unit="characters", normalization="unicode")
    with pytest.raises(ConfigurationError, match="normalization must be one of"):
        Shingling(normalization="fineweb")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least 1"):
        Shingling(size=0)
