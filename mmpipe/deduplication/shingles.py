"""Turns texts into sets of shingle hashes, as the settings or a peer do."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, get_args

from mmpipe.deduplication.normalization import build_character_table
from mmpipe.errors import ConfigurationError
from mmpipe.light_imports import start_numba

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Normalization = Literal["unicode", "datatrove", "nemo", "redpajama2", "none"]
ShingleHash = Literal["mix64", "xxh64", "sha1"]
ShingleUnit = Literal["words", "characters"]

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Shingling:
    """What a text is taken for when it is compared: the set of its shingles.

    Attributes:
        unit: `words` or `characters` (code points).
        size: units per shingle.
        normalization: what does not count.
            `unicode`: case, accents, punctuation, the digits of a number; a character of a script without spaces is a
            word (`normalization.build_character_table`). Ours.
            `datatrove`: `simplify_text` and spaCy's English words (datatrove 0.10.1, `utils/text.py`,
            `utils/word_tokenizers.py`); FineWeb's.
            `nemo`: lower case, and no white space at the ends (NeMo Curator's `MinHashStage(normalize_text=True)`).
            `redpajama2`: ASCII punctuation deleted, lower case, NFD; words between white space (RedPajama-Data,
            `app/src/utilities/text/normalization.py`, `app/src/core/document.py`).
            `none`: nothing; words are what stands between white space (Lee et al., arXiv 2107.06499, §4.2), characters
            are as they come (NeMo Curator's default).
        short_texts: of fewer units than a shingle: `whole` makes one shingle of all of them (NeMo, ours), `skip` none,
            so that such texts are nobody's near-duplicates (datatrove, RedPajama-V2).
        hash: of a shingle, 64 bits: `mix64` (ours, rolled over hashes of the units), or, of the units joined by a
            space as UTF-8, `xxh64` (datatrove's default) or `sha1` (its first 8 bytes, little-endian; FineWeb's).
    """

    unit: ShingleUnit = "words"
    size: int = 5
    normalization: Normalization = "unicode"
    short_texts: Literal["whole", "skip"] = "whole"
    hash: ShingleHash = "mix64"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigurationError(f"Shingles: size must be at least 1, not {self.size}.")
        for name, value, allowed in (
            ("unit", self.unit, get_args(ShingleUnit)),
            ("normalization", self.normalization, get_args(Normalization)),
            ("short_texts", self.short_texts, ("whole", "skip")),
            ("hash", self.hash, get_args(ShingleHash)),
        ):
            if value not in allowed:
                raise ConfigurationError(f"Shingles: {name} must be one of {', '.join(allowed)}, not {value!r}.")
        if self.unit == "characters" and self.normalization in ("unicode", "datatrove"):
            raise ConfigurationError(
                f"Shingles: the {self.normalization} normalization cuts words. Take nemo, redpajama2 or none with "
                f"character shingles, or word shingles."
            )


def hash_shingles_of(texts: Sequence[str], shingling: Shingling) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct 64-bit shingle hashes of each text, end to end, in order of appearance.

    The second value, (texts + 1,), says where each text's begin. Equal texts have equal hashes on every machine.
    """
    start_numba()
    from mmpipe.deduplication import shingle_kernels

    kind = {"mix64": shingle_kernels.MIX64, "xxh64": shingle_kernels.XXH64, "sha1": shingle_kernels.SHA1}[
        shingling.hash
    ]
    skips_short = shingling.short_texts == "skip"
    if shingling.normalization == "datatrove":
        return _shingle_simplified(texts, shingling.size, kind, skips_short)
    reading = shingle_kernels.SPACED_WORDS
    if shingling.normalization == "unicode":
        reading = shingle_kernels.FOLDED_WORDS
    elif shingling.unit == "characters":
        reading = shingle_kernels.CHARACTERS
    data, offsets = _encode([_normalize(text, shingling.normalization) for text in texts])
    return shingle_kernels.shingle_batch(
        data, offsets, build_character_table(), reading, shingling.size, kind, skips_short
    )


def shingle_texts(texts: Sequence[str], shingling: Shingling | int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the sorted distinct 64-bit shingle hashes of each text, end to end, and (texts + 1,) where they begin.

    Args:
        texts: what to cut.
        shingling: how; a number stands for our own shingles of so many words.
    """
    shingles, starts = hash_shingles_of(texts, Shingling(size=shingling) if isinstance(shingling, int) else shingling)
    from mmpipe.deduplication.shingle_kernels import sort_each

    sort_each(shingles, starts)
    return shingles, starts


def _normalize(text: str, normalization: Normalization) -> str:
    if normalization == "unicode":
        return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
    if normalization == "nemo":
        return text.lower().strip()
    if normalization == "redpajama2":
        return unicodedata.normalize("NFD", " ".join(text.translate(_WITHOUT_PUNCTUATION).lower().split()))
    return text


def _encode(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 of all texts, end to end, and (texts + 1,) the first byte of each."""
    import numpy as np

    from mmpipe.deduplication.hash_kernels import SLACK

    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.fromiter(accumulate(map(len, encoded), initial=0), np.int64, len(encoded) + 1)
    encoded.append(bytes(SLACK))
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def _shingle_simplified(
    texts: Sequence[str], size: int, kind: int, skips_short: bool
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    import numpy as np

    from mmpipe.deduplication import simplification_kernels
    from mmpipe.deduplication.simplification import build_simplification_table, simplify
    from mmpipe.deduplication.spacy_chunks import open_spacy_chunks

    chunks = open_spacy_chunks()
    table = build_simplification_table()
    # the table lower-cases ASCII on the way
    ready = [text if text.isascii() else text.lower() for text in texts]
    is_ready = np.zeros(len(texts), dtype=np.bool_)
    cut = simplification_kernels.simplify_batch(*_encode(ready), table, is_ready, chunks.cases, chunks.longest_case)
    is_unsure = cut[-1]
    if is_unsure.any():
        # rare characters that come apart into several: the batch again, those texts simplified by Python
        for text in np.flatnonzero(is_unsure).tolist():
            ready[text] = simplify(texts[text])
        cut = simplification_kernels.simplify_batch(
            *_encode(ready), table, is_unsure, chunks.cases, chunks.longest_case
        )
    buffer, byte_starts, ends, numbers, chunk_starts, _ = cut
    with chunks.lock:
        chunks.make_room(int((numbers == simplification_kernels.NOT_NUMBERED).sum()))
        begins, lasts = simplification_kernels.number_chunks(
            buffer, byte_starts, ends, numbers, chunk_starts, chunks.slots, chunks.count
        )
        chunks.learn([buffer[begin:end].tobytes() for begin, end in zip(begins.tolist(), lasts.tolist(), strict=True)])
        cuts = chunks.cut_starts, chunks.cut_lengths
    return simplification_kernels.shingle_chunks(
        buffer, byte_starts, ends, numbers, chunk_starts, *cuts, size, kind, skips_short
    )
