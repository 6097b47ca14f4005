"""Lays prompts out as one batch: padded on the left, and what all of them begin with computed once."""

from __future__ import annotations

from typing import Any

#: Shared tokens below which computing them once saves nothing.
_WORTH_SHARING = 32


def prepare_batch(model: Any, prompts: list[list[int]], pad_id: int, device: str) -> dict[str, Any]:
    """Return the inputs of `model.generate` for these prompts.

    Prompts of one method begin alike (instructions, examples). Those tokens go through the model once, as a batch of
    one; their keys and values are then repeated for every row, so a batch pays for what differs.

    Args:
        model: a causal language model of transformers.
        prompts: token ids per row.
        pad_id: token of padding.
        device: where the model is.
    """
    import torch

    shared = count_shared(prompts)
    if len(prompts) == 1 or shared < _WORTH_SHARING:
        shared = 0
    width = max(len(prompt) for prompt in prompts)
    rows, masks = [], []
    for prompt in prompts:
        padding = width - len(prompt)
        # padding stands between what is shared and what is not; masked, it has no position and no weight
        rows.append(prompt[:shared] + [pad_id] * padding + prompt[shared:])
        masks.append([1] * shared + [0] * padding + [1] * (len(prompt) - shared))
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor(rows, device=device),
        "attention_mask": torch.tensor(masks, device=device),
    }
    if shared:
        first = torch.tensor([prompts[0][:shared]], device=device)
        past = model(input_ids=first, use_cache=True, logits_to_keep=1).past_key_values
        past.batch_repeat_interleave(len(prompts))
        inputs["past_key_values"] = past
    return inputs


def count_shared(prompts: list[list[int]]) -> int:
    """Return how many tokens all prompts begin with, at least one of each left over."""
    low, high = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    for place in range(limit):
        # what the smallest and the largest list share, all between them share
        if low[place] != high[place]:
            return place
    return limit
