"""Digests the files that a tokenizer is read from, so that who wants to know whether it changed need not load it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import xxhash

from mmpipe.models import gguf_weights, tokenizer

#: Weights in a folder; no tokenizer is read from them.
_WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf"))
_BLOCK = 1 << 22
#: The tokenizer of a GGUF file is a few megabytes at its beginning; it is loaded sooner than a larger file is read.
_MOST_BYTES = 2 * 2**30


def digest_tokenizer_files(name_or_path: str | None) -> str | None:
    """Return a digest of all that `tokenizer.load_tokenizer` makes a tokenizer of.

    None where no file says it, and for a GGUF file of more than 2 GiB, whose tokenizer is loaded sooner.

    Bytes are digested, not times: 20 ms of 100 MB. The libraries that read them and the code that calls these are
    digested along, so that an equal digest means an equal tokenizer.

    Args:
        name_or_path: as `load_tokenizer` takes it. A hub name has no files of its own here.

    Raises:
        WeightsNotFound: the embedded tokenizer is not installed.
    """
    path = tokenizer.find_embedded() if name_or_path is None else Path(name_or_path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix not in _WEIGHTS)
    elif path.is_file() and path.stat().st_size <= _MOST_BYTES:
        files = [path]
    else:
        return None
    hashed = xxhash.xxh3_128(f"{path.name}\0{version('transformers')}\0{version('tokenizers')}".encode())
    for file in (*files, Path(tokenizer.__file__), Path(gguf_weights.__file__)):
        hashed.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stored:
            while block := stored.read(_BLOCK):
                hashed.update(block)
    return hashed.hexdigest()
