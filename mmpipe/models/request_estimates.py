"""Counts what requests would ask for and cost at most, before any of them goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.models.prices import Prices
from mmpipe.tables.chat import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatRequest

#: Characters of one token where no tokenizer is at hand: what providers tell for English. Scripts without spaces
#: take more tokens, so an estimate of theirs is low.
CHARACTERS_PER_TOKEN = 4
#: Tokens by which chat templates mark the role and the ends of one message.
_TOKENS_PER_MESSAGE = 4


def estimate_requests(
    requests: Sequence[ChatRequest],
    teacher: str,
    *,
    cache: ReplyCache | None = None,
    prices: Prices | None = None,
    count_tokens: Callable[[ChatRequest], int] | None = None,
    counted_by: str = "",
) -> Estimate:
    """Return what asking `requests` would take; nothing is asked.

    Equal requests and those in the cache are told apart, as when they are answered. Failed attempts, limits of tokens
    that are raised and methods that ask again come on top.

    Args:
        requests: to be asked.
        teacher: the teacher's name, part of the cache's keys.
        cache: of replies.
        prices: of the teacher's model.
        count_tokens: tokens of a rendered prompt; None for characters / 4.
        counted_by: who counts them.
    """
    prices = prices or Prices()
    distinct = {request.make_key(teacher): request for request in requests}
    cached = cache.get_many(list(distinct)) if cache is not None else {}
    asked = [request for key, request in distinct.items() if key not in cached]
    prompt_tokens = sum(map(count_tokens or count_by_characters, asked))
    most_completion_tokens = sum(request.sampling.max_tokens for request in asked)
    return Estimate(
        requests=len(requests),
        repeated=len(requests) - len(distinct),
        cached=len(cached),
        prompt_tokens=prompt_tokens,
        most_completion_tokens=most_completion_tokens,
        images=sum(len(request.images) for request in asked),
        prompt_cost=prices.compute_cost(prompt_tokens, 0),
        most_cost=prices.compute_cost(prompt_tokens, most_completion_tokens),
        currency=prices.currency,
        counted_by=counted_by or f"characters / {CHARACTERS_PER_TOKEN}",
    )


def count_by_characters(request: ChatRequest) -> int:
    """Return the tokens of a prompt as its characters, rounded up to whole tokens, and its messages tell them."""
    return sum(-(-len(message.content) // CHARACTERS_PER_TOKEN) + _TOKENS_PER_MESSAGE for message in request.messages)
