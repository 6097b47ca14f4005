"""How likely single tokens of a text are to a causal language model of transformers: what Toolformer's filter asks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmpipe.models.causal_model import CausalModel
from mmpipe.models.hub_weights import group_by_length, pad_batch

if TYPE_CHECKING:
    from collections.abc import Sequence


class TransformersTokenScorer(CausalModel):
    """A causal model that gives log-probabilities of tokens; each text is read after one start token.

    Of a longer prefix than `max_tokens` the end is read, of a longer text's places the first; the other arguments are
    those of `CausalModel`.
    """

    @property
    def most_tokens(self) -> int:
        """Tokens read at once."""
        return self.max_tokens

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text as pieces; joined they are the text. Tokens inside one character are one piece.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        if not text:
            return []
        encoded = self._loaded[1](text, add_special_tokens=False, return_offsets_mapping=True)
        starts = sorted({0, *(start for start, end in encoded["offset_mapping"] if 0 < start < end)})
        return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]

    def score_before_each(self, prompt: str, pieces: Sequence[str], token: str) -> list[float]:
        """Return, for each piece, the log-probability of the first token of `token` after the prompt and all before.

        One forward pass; places beyond `max_tokens` have minus infinity.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        import torch

        wanted = self._encode(token)[0]
        row, edges = [self._start_id, *self._encode(prompt)], []
        for piece in pieces:
            edges.append(len(row))
            row += self._encode(piece)
        row = row[: self.max_tokens]
        model, _ = self._loaded
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row], device=self.device), use_cache=False).logits[0]
            logs = torch.log_softmax(logits.float(), dim=-1)[:, wanted].double().tolist()
        return [logs[edge - 1] if edge <= len(row) else -math.inf for edge in edges]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Return, for each (prefix, text), the log-probability of each token of the text, in nats.

        Prefix and text are tokenized apart, so that a text's tokens are the same after every prefix.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        import torch

        rows, lengths = [], []
        for prefix, text in pairs:
            ids = self._encode(text)[: self.max_tokens - 1]
            before = self._encode(prefix)
            kept = before[max(0, len(before) - (self.max_tokens - 1 - len(ids))) :]
            rows.append([self._start_id, *kept, *ids])
            lengths.append(len(ids))
        model, tokenizer = self._loaded
        scores: list[list[float]] = [[] for _ in rows]
        with torch.inference_mode():
            for batch in group_by_length([len(row) for row in rows], self.batch_size, self.batch_tokens):
                inputs = pad_batch([rows[place] for place in batch], tokenizer.pad_token_id or 0, self.device)
                logits = model(**inputs, use_cache=False).logits
                for number, place in enumerate(batch):
                    end, length = len(rows[place]), lengths[place]
                    logs = torch.log_softmax(logits[number, end - length - 1 : end - 1].float(), dim=-1)
                    ids = inputs["input_ids"][number, end - length : end]
                    scores[place] = logs.gather(1, ids[:, None])[:, 0].double().tolist()
        return scores

    @property
    def _start_id(self) -> int:
        tokenizer = self._loaded[1]
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return int(start or 0)

    def _encode(self, text: str) -> list[int]:
        return list(self._loaded[1](text, add_special_tokens=False)["input_ids"]) if text else []
