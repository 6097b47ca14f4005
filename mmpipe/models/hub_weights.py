"""Finds weights of transformers by hub name, folder or GGUF file, names them by digest, and loads them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.gguf_weights import EMBEDDED, convert_gguf, find_embedded_gguf, load_gguf

#: Files of a model's folder that decide what it says.
_WEIGHT_FILES = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt")
#: Characters per token that are read at most: no real text has so few tokens, and a page of 10 MB is not tokenised for
#: its first thousand.
CHARS_PER_TOKEN = 32


def find_local(name: str) -> Path | None:
    """Return the local file or folder of a model, None if the name must be a hub's.

    Raises:
        WeightsNotFound: the name is a path and nothing is there.
    """
    if name == EMBEDDED:
        return find_embedded_gguf()
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.endswith((".gguf", ".arpa", ".binary")) or name.startswith((".", "/", "~")):
        raise WeightsNotFound(f"{name}: no such file or folder. Name a model folder, a .gguf file or a hub name.")
    return None


def digest_model(name: str) -> str:
    """Return 16 digits that name the weights: of the files' bytes, or of the commit that the hub's cache holds.

    Raises:
        WeightsNotFound: the model cannot be had.
    """
    path = find_local(name)
    if path is None:
        return _find_commit(name)[:16]
    files = [path] if path.is_file() else sorted({file for end in _WEIGHT_FILES for file in path.glob(end)})
    if not files:
        raise WeightsNotFound(f"{name}: a folder without weights. Name the folder that holds config.json.")
    hasher = sha256()
    for file in files:
        hasher.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                hasher.update(block)
    return hasher.hexdigest()[:16]


def load_transformer(kind: str, name: str, dtype: str, device: str, converted: Path | None) -> tuple[Any, Any]:
    """Return (model, tokenizer), the model on its device and not in training.

    Args:
        kind: class of transformers that loads it, such as `AutoModelForCausalLM`.
        name: `embedded`, a folder, a `.gguf` file (of a causal model) or a hub name.
        dtype: `float32`, `bfloat16` or `float16`.
        device: torch's name of it.
        converted: folder that keeps GGUF weights converted; None converts them in every process.

    Raises:
        WeightsNotFound: the model cannot be had; the message says what can be named instead.
        ConfigurationError: an unknown dtype.
    """
    import torch
    import transformers

    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigurationError(f"dtype {dtype!r} is unknown: use float32, bfloat16 or float16.")
    # a bar for every load would stand between our own lines
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    precision = getattr(torch, dtype)
    path = find_local(name)
    if path is not None and path.is_file():
        if kind != "AutoModelForCausalLM":
            raise WeightsNotFound(f"{name}: a file, where a model's folder or hub name is needed.")
        if converted is None:
            model, tokenizer = load_gguf(path, precision)
            return model.to(device).eval(), tokenizer
        path = convert_gguf(path, converted, precision)
    where = str(path) if path is not None else name
    try:
        model, info = getattr(transformers, kind).from_pretrained(where, dtype=precision, output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise WeightsNotFound(
            f"{name}: no model of the kind {kind} that can be loaded ({str(error).splitlines()[0]}). Without a "
            f"network, name a local folder."
        ) from error
    if info["missing_keys"]:
        # transformers would go on with random numbers
        lacking = ", ".join(sorted(info["missing_keys"]))
        raise WeightsNotFound(f"{name}: no model of the kind {kind}, its weights lack {lacking}.")
    # what is read is the start of a text, whatever the model was made for
    tokenizer.truncation_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return model.to(device).eval(), tokenizer


def require_context(model: Any, name: str, tokens: int) -> None:
    """Refuse to read more tokens than a model has positions for.

    Raises:
        ConfigurationError: `tokens` is too many.
    """
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and tokens > context:
        raise ConfigurationError(f"{name} reads {context} tokens at most, not {tokens}: lower the recipe's `scores`.")


def tokenize(tokenizer: Any, texts: list[str], tokens: int) -> list[list[int]]:
    """Return the first `tokens` token ids of each text, with the marks that the tokenizer itself adds.

    Only the first 32 characters per token are read; lone surrogates are left out.
    """
    starts = [text[: tokens * CHARS_PER_TOKEN].encode("utf-8", "ignore").decode() for text in texts]
    if not starts:
        return []
    return [list(ids) for ids in tokenizer(starts, truncation=True, max_length=tokens)["input_ids"]]


def group_by_length(lengths: list[int], most_rows: int, most_tokens: int) -> list[list[int]]:
    """Return the places of all rows in batches of like length, longest first, so that little is padded.

    Args:
        lengths: tokens per row.
        most_rows: rows of a batch.
        most_tokens: tokens of a batch, padding counted; one longer row is a batch of its own.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        # the first row of a batch is its longest
        last = batches[-1] if batches else []
        if last and len(last) < most_rows and (len(last) + 1) * lengths[last[0]] <= most_tokens:
            last.append(place)
        else:
            batches.append([place])
    return batches


def pad_batch(rows: list[list[int]], pad_id: int, device: str) -> dict[str, Any]:
    """Return `input_ids` and `attention_mask` of rows padded on the right, which no earlier token sees."""
    import torch

    width = max(map(len, rows))
    ids = [row + [pad_id] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def _find_commit(name: str) -> str:
    from transformers.utils.hub import cached_file

    try:
        found = str(cached_file(name, "config.json"))
    except (OSError, ValueError) as error:
        raise WeightsNotFound(
            f"{name}: neither a local folder nor a model that the hub or its cache has "
            f"({str(error).splitlines()[0]}). Without a network, name a local folder."
        ) from error
    return Path(found).parent.name
