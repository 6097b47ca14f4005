"""Generates replies by transformers' continuous batching: a reply that ends makes room for the next request at once.

A static batch takes as long as its longest reply, and rows that ended before are computed for nothing. Which token a
row takes is decided by its own seed and grammar, as in a static batch: replies are the same, but for rounded sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmpipe.models.token_draws import Draws, choose_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Tokens of a page of the cache of keys and values: prompts of one method share whole pages of what they begin with.
_PAGE_TOKENS = 64
#: Prompt tokens that go through the model in one step, at most.
_STEP_TOKENS = 2048


class NotGenerated(Exception):
    """Transformers cannot batch this model continuously, or ended before all replies did."""


@dataclass(slots=True)
class GeneratedRow:
    """One reply on its way.

    Attributes:
        key: of its request.
        prompt: its token ids.
        draws: how its tokens are drawn.
        max_tokens: most tokens of the reply.
        stop: strings that end it.
        grammar: compiled grammar that it must follow (xgrammar), None for free text.
    """

    key: str
    prompt: list[int]
    draws: Draws
    max_tokens: int
    stop: tuple[str, ...] = ()
    grammar: Any = None
    _matcher: Any = field(default=None, repr=False)
    _accepted: int = field(default=0, repr=False)
    _is_stopped: bool = field(default=False, repr=False)

    def follow_grammar(self, written: Sequence[int]) -> Any:
        """Return the matcher of the grammar behind what is written; None for free text, and where the text is whole."""
        if self.grammar is None:
            return None
        if self._matcher is None:
            import xgrammar

            self._matcher = xgrammar.GrammarMatcher(self.grammar)
        for token in written[self._accepted :]:
            self._matcher.accept_token(token)
        self._accepted = len(written)
        return None if self._matcher.is_terminated() else self._matcher

    def has_stopped(self, written: Sequence[int], tokenizer: Any) -> bool:
        """Return whether one of the stop strings is written."""
        if self.stop and not self._is_stopped:
            # a token is a byte at least; some more, since the first of those decoded may be half a letter
            most = 4 + max(len(stop.encode()) for stop in self.stop)
            end = tokenizer.decode(written[-most:], skip_special_tokens=True)
            self._is_stopped = any(stop in end for stop in self.stop)
        return self._is_stopped

    def drop_added_end(self, written: list[int]) -> list[int]:
        """Return what is written without the end that was put behind a stop string."""
        return written[:-1] if self._is_stopped else written


def generate_continuously(
    model: Any, tokenizer: Any, rows: Sequence[GeneratedRow], *, ends: Sequence[int], most_rows: int
) -> Iterator[tuple[str, list[int]]]:
    """Yield key and token ids of each reply as it ends, the token that ended it included.

    Args:
        model: a causal language model of transformers; its attention is put back as it was.
        tokenizer: of the model.
        rows: what shall be generated; keys are distinct.
        ends: tokens that end a reply.
        most_rows: replies under way at once.

    Raises:
        NotGenerated: some replies are not there; those that were yielded are whole.
    """
    from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
    from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList

    by_key = {row.key: row for row in rows}
    longest = max(len(row.prompt) + row.max_tokens for row in rows)
    most_rows = min(most_rows, len(rows))
    try:
        manager = model.init_continuous_batching(
            # the processor has drawn already: what is left is one token a row
            GenerationConfig(  # type: ignore[no-untyped-call]
                do_sample=False, eos_token_id=list(ends), pad_token_id=tokenizer.pad_token_id
            ),
            ContinuousBatchingConfig(
                page_size=_PAGE_TOKENS,
                num_blocks=most_rows * (-(-longest // _PAGE_TOKENS) + 1),
                max_batch_tokens=max(_STEP_TOKENS, most_rows),
                max_requests_per_batch=most_rows,
                # a row's draw needs the token before it, which a graph or a batch prepared ahead does not know
                use_async_batching=False,
                use_cuda_graph=False,
                # kernels are never fetched unasked
                auto_switch_to_flash=False,
            ),
        )
    except (AttributeError, ValueError) as error:
        raise NotGenerated(str(error)) from error
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([make_processor(by_key, tokenizer, ends)]))
    processors.tensors_required = 1
    manager.logit_processor = processors
    manager.start()
    try:
        for row in rows:
            manager.add_request(row.prompt, row.key, max_new_tokens=row.max_tokens, eos_token_id=list(ends))
        open_rows = len(rows)
        while open_rows:
            output = manager.get_result(timeout=1)
            if output is None:
                if not manager.is_running():
                    raise NotGenerated("it ended before all replies did")
                continue
            if not output.is_finished():
                continue
            if output.error is not None:
                raise NotGenerated(output.error)
            open_rows -= 1
            yield output.request_id, by_key[output.request_id].drop_added_end(list(output.generated_tokens))
    finally:
        manager.stop(block=True, hard_stop=True)


def make_processor(rows: Mapping[str, GeneratedRow], tokenizer: Any, ends: Sequence[int]) -> Any:
    """Return what lets each row take its own next token alone: by its grammar, stop strings, penalties and draws."""
    import torch
    from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor

    class ChooseTokens(ContinuousBatchingLogitsProcessor):
        def __init__(self) -> None:
            # no request brings arguments of its own: all there is to know of a row stands in `rows`
            self.supported_kwargs = {}
            self.ignored_kwargs = ()
            self._states: list[Any] = []

        def fill_defaults(self, int32_tensor: Any) -> None:
            int32_tensor.zero_()

        def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Any:
            # rows of the scores are in this order
            self._states = [request.state for request in requests_with_new_token]
            return torch.zeros(len(self._states), dtype=torch.int32)

        def __call__(self, scores: Any, tensor_arg: Any) -> Any:
            del tensor_arg
            some = [rows[state.request_id] for state in self._states]
            # a request that made room for others begins again with its reply behind its prompt
            written = [
                (state.initial_tokens + state.generated_tokens)[len(row.prompt) :]
                for row, state in zip(some, self._states, strict=True)
            ]
            chosen = scores[: len(some)].clone()
            _hold_to_grammars(some, written, chosen)
            tensors = [torch.tensor(tokens, dtype=torch.int64, device=scores.device) for tokens in written]
            chosen = choose_tokens([row.draws for row in some], [len(tokens) for tokens in written], tensors, chosen)
            for place, (row, tokens) in enumerate(zip(some, written, strict=True)):
                if row.has_stopped(tokens, tokenizer):
                    chosen[place] = float("-inf")
                    chosen[place, ends[0]] = 0.0
            scores[: len(some)] = chosen
            return scores

    return ChooseTokens()


def _hold_to_grammars(rows: Sequence[GeneratedRow], written: Sequence[Sequence[int]], scores: Any) -> None:
    import xgrammar

    matchers = [row.follow_grammar(tokens) for row, tokens in zip(rows, written, strict=True)]
    held = [place for place, matcher in enumerate(matchers) if matcher is not None]
    if not held:
        return
    masks = xgrammar.allocate_token_bitmask(len(rows), scores.shape[1])
    for place in held:
        matchers[place].fill_next_token_bitmask(masks, place)
    xgrammar.apply_token_bitmask_inplace(scores, masks.to(scores.device), indices=held)
