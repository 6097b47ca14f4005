"""Says which tokenizer a run has without loading it, which takes seconds: by what an earlier run found of its files."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

from mmpipe.storage.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mmpipe.models.tokenizer import AddedToken, LoadedTokenizer

#: Folder of the cache with one record per tokenizer, named by the digest of its files.
_FOLDER = "known_tokenizers"


class KnownTokenizer:
    """A tokenizer whose digest and size are known, and that is loaded where it has to read or write something.

    What is known is kept under the digest of the tokenizer's files: other files, or the same read by other versions of
    the libraries, have no record and are loaded.
    """

    def __init__(self, place: str, added_tokens: Sequence[str], cache_folder: str) -> None:
        """Take the tokenizer of a place, and the tokens it is given.

        Args:
            place: hub name, folder or GGUF file; empty for the embedded teacher's.
            added_tokens: those of the recipe.
            cache_folder: where records lie; empty for none, so that the tokenizer is loaded to be known.
        """
        self._place, self._added_tokens, self._cache_folder = place, tuple(added_tokens), cache_folder

    @property
    def digest(self) -> str:
        """As `LoadedTokenizer.digest`."""
        return self._known[0]

    @property
    def vocabulary_size(self) -> int:
        """As `LoadedTokenizer.vocabulary_size`."""
        return self._known[1]

    @property
    def added(self) -> tuple[AddedToken, ...]:
        """How each added token came to be."""
        return self._loaded[1] if self._added_tokens else ()

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """As `LoadedTokenizer.encode_batch`."""
        return self._loaded[0].encode_batch(texts)

    def save(self, folder: Path) -> None:
        """As `LoadedTokenizer.save`."""
        self._loaded[0].save(folder)

    @cached_property
    def _known(self) -> tuple[str, int]:
        record = self._find_record()
        if record is not None and record.is_file():
            digest, size = json.loads(record.read_text())
            return digest, size
        loaded, _ = self._loaded
        if record is not None:
            record.write_text(json.dumps([loaded.digest, loaded.vocabulary_size]))
        return loaded.digest, loaded.vocabulary_size

    @cached_property
    def _loaded(self) -> tuple[LoadedTokenizer, tuple[AddedToken, ...]]:
        return open_tokenizer_for(self._place, self._added_tokens)

    def _find_record(self) -> Place | None:
        from mmpipe.models.tokenizer_files import digest_tokenizer_files

        # added tokens are told by the tokenizer alone, so it is loaded for them anyway
        if not self._cache_folder or self._added_tokens:
            return None
        digest = digest_tokenizer_files(self._place or None)
        return None if digest is None else Place(self._cache_folder).join(_FOLDER, f"{digest}.json")


def open_tokenizer_for(place: str, added_tokens: Sequence[str]) -> tuple[LoadedTokenizer, tuple[AddedToken, ...]]:
    """Return the tokenizer of a place with the recipe's tokens added, and how each came to be."""
    from mmpipe.models.tokenizer import extend_vocabulary, load_tokenizer

    tokenizer = load_tokenizer(place or None)
    return extend_vocabulary(tokenizer, added_tokens) if added_tokens else (tokenizer, ())
