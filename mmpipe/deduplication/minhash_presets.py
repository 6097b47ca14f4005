"""The MinHash settings of published corpora and tools, each with its source."""

from __future__ import annotations

from mmpipe.deduplication.minhash import MinHashSettings

#: Settings by name. What a peer leaves unverified is unverified here too (`verify_jaccard=None`); give
#: `dataclasses.replace(preset, verify_jaccard=0.8)` to hold candidates to their exact Jaccard.
PRESETS: dict[str, MinHashSettings] = {
    # arXiv 2306.01116, App. G.3.1: 9,000 hashes of 5-grams, 450 buckets of 20; verified as Lee et al. do, whose words
    # stand between spaces (arXiv 2107.06499, §4.2)
    "refinedweb": MinHashSettings(bands=450, rows=20, verify_jaccard=0.8),
    "lee": MinHashSettings(bands=450, rows=20, verify_jaccard=0.8, normalization="none"),
    # arXiv 2406.17557, App. E.1: 5-grams, 112 hashes, 14 buckets of 8, not verified; texts of fewer words have no
    # shingle in datatrove 0.10.1 (`utils/text.py::ngrams`)
    "fineweb": MinHashSettings(bands=14, rows=8, verify_jaccard=None, normalization="datatrove", short_texts="skip"),
    # the same pairs and no others than datatrove 0.10.1 finds, with its default hash (`utils/hashing.py::HashConfig`)
    "datatrove": MinHashSettings(
        bands=14,
        rows=8,
        verify_jaccard=None,
        normalization="datatrove",
        short_texts="skip",
        shingle_hash="xxh64",
        permutations="datatrove",
    ),
    # and with the hash that FineWeb was made with (arXiv 2406.17557, App. E.1; datatrove's examples/fineweb.py)
    "datatrove_sha1": MinHashSettings(
        bands=14,
        rows=8,
        verify_jaccard=None,
        normalization="datatrove",
        short_texts="skip",
        shingle_hash="sha1",
        permutations="datatrove",
    ),
    # NeMo Curator, stages/deduplication/fuzzy: 24-character shingles, 20 bands of 13, seed 42; its own default leaves
    # the text as it is (`normalize_text=False`)
    "nemo": MinHashSettings(
        shingle_words=None,
        shingle_characters=24,
        bands=20,
        rows=13,
        seed=42,
        verify_jaccard=None,
        normalization="nemo",
    ),
    "nemo_as_is": MinHashSettings(
        shingle_words=None,
        shingle_characters=24,
        bands=20,
        rows=13,
        seed=42,
        verify_jaccard=None,
        normalization="none",
    ),
    # arXiv 2406.11794, App. on deduplication: 1,395 hashes of 5-grams, 93 buckets of 15
    "dclm": MinHashSettings(bands=93, rows=15, verify_jaccard=None),
    # RedPajama-Data, app/src/dedupe/minhash.py: 13-grams, 128 hashes, bands for the similarities 0.7, 0.8 and 0.9;
    # texts of fewer words have no signature
    "redpajama2_0.7": MinHashSettings(
        shingle_words=13, bands=14, rows=9, verify_jaccard=None, normalization="redpajama2", short_texts="skip"
    ),
    "redpajama2_0.8": MinHashSettings(
        shingle_words=13, bands=9, rows=13, verify_jaccard=None, normalization="redpajama2", short_texts="skip"
    ),
    "redpajama2_0.9": MinHashSettings(
        shingle_words=13, bands=5, rows=25, verify_jaccard=None, normalization="redpajama2", short_texts="skip"
    ),
}
