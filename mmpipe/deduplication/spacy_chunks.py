"""Remembers which words spaCy's blank English tokenizer cuts a chunk between spaces into, and imports spaCy thinly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmpipe.deduplication.simplification import CASE_SLOTS, simplify
from mmpipe.light_imports import replace_modules

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SpacyChunks:
    """Which words spaCy's blank English tokenizer cuts each chunk into: asked once for each, then remembered.

    spaCy never joins words across white space. Rows of letters that are no special case of its (`dont`, `gonna`) are
    one word: none of its affixes and infixes is made of letters alone. Past `most_chunks` it forgets and starts anew.

    Attributes:
        cases: (CASE_SLOTS,) whether a row of letters may be a special case, by the last bits of its hash.
        longest_case: bytes of the longest of these.
        slots: hash table of (hash, number + 1).
        cut_starts: (chunks + 1,) where the words of each chunk begin in `cut_lengths`.
        cut_lengths: bytes of each word of each chunk.
        lock: held while chunks are numbered and learned; arrays taken under it stay as they are.
    """

    def __init__(self, most_chunks: int = 1_000_000) -> None:
        import numpy as np

        self.lock = Lock()
        self._most_chunks = most_chunks
        self._tokenizer = _load_tokenizer()
        cases = [text.encode() for text in self._tokenizer.rules if text.isalpha() and text == simplify(text)]
        self.cases = _hash_cases(cases)
        self.longest_case = max(map(len, cases))
        self.slots = np.zeros((0, 2), dtype=np.uint64)
        self.cut_starts = np.zeros(1, dtype=np.int64)
        self.cut_lengths = np.zeros(0, dtype=np.int64)

    @property
    def count(self) -> int:
        """How many chunks are known."""
        return len(self.cut_starts) - 1

    def make_room(self, more: int) -> None:
        """Make sure that `more` chunks can be numbered."""
        import numpy as np

        from mmpipe.deduplication.simplification_kernels import move_slots

        if self.count > self._most_chunks:
            self.slots = np.zeros((0, 2), dtype=np.uint64)
            self.cut_starts, self.cut_lengths = self.cut_starts[:1], self.cut_lengths[:0]
        needed = max(1 << 12, 1 << (2 * (self.count + more)).bit_length())
        if len(self.slots) < needed:
            larger = np.zeros((needed, 2), dtype=np.uint64)
            move_slots(self.slots, larger)
            self.slots = larger

    def learn(self, chunks: Sequence[bytes]) -> None:
        """Ask spaCy for the chunks that were just numbered."""
        import numpy as np

        with self._tokenizer.vocab.memory_zone():  # else spaCy's vocabulary keeps every string it ever saw
            words = [self._split(chunk.decode("utf-8", "surrogatepass")) for chunk in chunks]
        lengths = [len(word.encode("utf-8", "surrogatepass")) for split in words for word in split]
        counts = np.cumsum([len(split) for split in words], dtype=np.int64)
        self.cut_starts = np.concatenate([self.cut_starts, self.cut_starts[-1] + counts])
        self.cut_lengths = np.concatenate([self.cut_lengths, np.array(lengths, dtype=np.int64)])

    def _split(self, chunk: str) -> list[str]:
        try:
            chunk.encode()
        except UnicodeEncodeError:
            return [chunk]  # spaCy takes no surrogate
        return [token.text for token in self._tokenizer(chunk)]


def _hash_cases(cases: Sequence[bytes]) -> NDArray[np.bool_]:
    import numpy as np

    from mmpipe.deduplication.hash_kernels import SLACK, hash_word

    marked = np.zeros(CASE_SLOTS, dtype=np.bool_)
    for case in cases:
        data = np.frombuffer(case + bytes(SLACK), dtype=np.uint8)
        marked[int(hash_word(data, np.uint64(0), np.uint64(len(case)))) % len(marked)] = True
    return marked


@lru_cache(maxsize=1)
def open_spacy_chunks() -> SpacyChunks:
    """Return this process's dictionary."""
    return SpacyChunks()


def _load_tokenizer() -> Any:
    """Return spaCy's blank English tokenizer, imported without PyTorch and command line, which it does not need."""
    absent: dict[str, ModuleType | None] = {"torch": None}
    if "spacy" not in sys.modules:
        command_line = ModuleType("spacy.cli.info")
        command_line.__dict__["info"] = None  # all that spaCy itself takes from there
        absent |= {"spacy.cli": ModuleType("spacy.cli"), "spacy.cli.info": command_line}
    with replace_modules(absent):
        import spacy

    language: Any = spacy.blank("en")
    # what a new word looks like is not asked for, and takes longer to find than the words themselves
    language.vocab.lex_attr_getters = {}
    return language.tokenizer
