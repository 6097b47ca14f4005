"""Turns rendered conversations into token ids with a mask that is true on what the assistant says, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mmpipe.errors import ConfigurationError
from mmpipe.release.chat_templates import ChatTemplate, RenderedConversation, TemplateFault, render_conversation
from mmpipe.release.records import Conversation

#: Label of a token without loss, as PyTorch's cross entropy leaves it out.
IGNORED_LABEL = -100

#: What `mask_conversations` returns of the rows that are not there.
REMOVED = pl.Schema({"id": pl.String, "reason": pl.String, "detail": pl.String})


class ChatEncoder(Protocol):
    """What turns rendered text into token ids; `models.chat_tokenizer.ChatTokenizer` is one."""

    def encode_chat(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return ids, and the (begin, end) of each in characters; marks become special tokens, none is added."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special tokens included."""


@dataclass(frozen=True, slots=True)
class MaskedConversation:
    """A conversation in tokens.

    Attributes:
        id: of the conversation.
        ids: (n,) token ids.
        answers: (begin, end) in tokens of what the assistant says, with the mark that ends its turn.
        cut_answers: answers that truncation left off at the end.
    """

    id: str
    ids: NDArray[np.int32]
    answers: tuple[tuple[int, int], ...]
    cut_answers: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n,) whether a token is learnt."""
        mask = np.zeros(len(self.ids), dtype=np.bool_)
        for begin, end in self.answers:
            mask[begin:end] = True
        return mask

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) the ids that are learnt, `IGNORED_LABEL` elsewhere."""
        return np.where(self.mask, self.ids, np.int32(IGNORED_LABEL)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class MaskedConversations:
    """Conversations in tokens, in order, and a frame `REMOVED` of those that could not be: rows in = both together."""

    rows: tuple[MaskedConversation, ...]
    removed: pl.DataFrame


def mask_conversations(
    conversations: Iterable[Conversation],
    template: ChatTemplate,
    tokenizer: ChatEncoder,
    *,
    max_tokens: int | None = None,
) -> MaskedConversations:
    """Return conversations in tokens, cut to `max_tokens` where that loses no answer halfway.

    Raises:
        ConfigurationError: the limit is not positive, or the template needs a date.
    """
    if max_tokens is not None and max_tokens < 1:
        raise ConfigurationError(f"Conversations: max_tokens must be at least 1, not {max_tokens}.")
    rows, removed = [], []
    for conversation in conversations:
        rendered = render_conversation(template, conversation)
        found = rendered if isinstance(rendered, TemplateFault) else mask_answers(rendered, tokenizer)
        if isinstance(found, MaskedConversation) and max_tokens is not None:
            found = truncate(found, max_tokens)
        if isinstance(found, TemplateFault):
            removed.append((found.id, found.reason, found.detail))
        else:
            rows.append(found)
    return MaskedConversations(tuple(rows), pl.DataFrame(removed, schema=REMOVED, orient="row"))


def mask_answers(rendered: RenderedConversation, tokenizer: ChatEncoder) -> MaskedConversation | TemplateFault:
    """Return a rendered conversation in tokens, or the fault `inexact_tokens`.

    The text is tokenized as a whole, as trainers do. The masked tokens of each answer must decode to its very span of
    the text: where a token joins the end of the prompt with the begin of an answer, no mask is right.
    """
    ids, offsets = tokenizer.encode_chat(rendered.text)
    begins = np.array([begin for begin, _ in offsets], dtype=np.int64)
    ends = np.array([end for _, end in offsets], dtype=np.int64)
    answers = []
    for begin, end in rendered.spans:
        inside = np.flatnonzero((begins >= begin) & (ends <= end) & (ends > begins))
        first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        before = tokenizer.decode(ids[:first])
        if tokenizer.decode(ids[:last]) != before + rendered.text[begin:end]:
            detail = f"the answer at character {begin} does not begin and end between two tokens"
            return TemplateFault(rendered.id, "inexact_tokens", detail)
        answers.append((first, last))
    return MaskedConversation(rendered.id, np.array(ids, dtype=np.int32), tuple(answers))


def truncate(conversation: MaskedConversation, max_tokens: int) -> MaskedConversation | TemplateFault:
    """Return the conversation in at most `max_tokens`, ending with a whole answer, or `answer_longer_than_limit`.

    A cut at the limit would leave half an answer, or a prompt without one, of which the loss is silently nothing.
    """
    if len(conversation.ids) <= max_tokens:
        return conversation
    kept = [(begin, end) for begin, end in conversation.answers if end <= max_tokens]
    if not kept:
        needed = conversation.answers[0][1] if conversation.answers else len(conversation.ids)
        return TemplateFault(
            conversation.id, "answer_longer_than_limit", f"the first answer ends at token {needed}, limit {max_tokens}"
        )
    cut = len(conversation.answers) - len(kept)
    return MaskedConversation(
        conversation.id, conversation.ids[: kept[-1][1]], tuple(kept), conversation.cut_answers + cut
    )


def count_lengths(conversations: Sequence[MaskedConversation], edges: Sequence[int]) -> list[tuple[str, int]]:
    """Return how many conversations have up to so many tokens, by the ascending `edges`: a histogram for the card."""
    lengths = np.array([len(conversation.ids) for conversation in conversations], dtype=np.int64)
    places = np.searchsorted(np.array(edges), lengths, side="left")
    names = [f"up to {edge:,}" for edge in edges] + [f"more than {edges[-1]:,}" if edges else "any"]
    return [(name, int((places == place).sum())) for place, name in enumerate(names)]
