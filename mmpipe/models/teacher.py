"""Says what every teacher owes its caller: replies in request order, each paid for once, JSON held to its schema."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmpipe.tables.chat import ChatFailure, ChatReply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.protocols import Validator

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatRequest


#: How often a long call says how far it is.
_TELL_SECONDS = 10.0
#: Commits the replies among outcomes at once, or, while another process writes, none; says whether it has.
TryCommit = Callable[[Iterable[tuple[str, ChatReply | ChatFailure]]], bool]
_FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(?P<inside>(?:(?!```).)*)```", re.DOTALL)
_log = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def _make_validator(canonical_schema: str) -> Validator:
    from jsonschema.validators import validator_for

    schema = json.loads(canonical_schema)
    return validator_for(schema)(schema)


def find_schema_fault(text: str, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with `text` as JSON for `schema`, or None if nothing is.

    Servers accept `response_format` and then ignore it, so every reply is held to its schema here.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON: {error}"
    fault = next(iter(_make_validator(json.dumps(schema, sort_keys=True)).iter_errors(value)), None)
    return None if fault is None else f"{fault.json_path}: {fault.message[:200]}"


def unwrap_json(text: str) -> str:
    """Return what a reply holds that is one fenced block of Markdown, as models write JSON unasked; else the text."""
    fenced = _FENCE.fullmatch(text.strip())
    return fenced["inside"].strip() if fenced else text


def name_round(number: int) -> str:
    """Return what a teacher's name ends with that is asked anew: `.2` of the second round, nothing of the first.

    The name is part of the key of every reply and of every shard made of replies: what another round said is left where
    it is, and neither answers for this one.
    """
    return f".{number}" if number > 1 else ""


def refuse_images(teacher: str, request: ChatRequest) -> ChatFailure:
    """Return the failure of a request with images to a teacher that reads none; nobody is asked."""
    detail = f"{teacher} reads text only, and the request holds {len(request.images)} image(s): name a vision teacher."
    return ChatFailure("text_only", detail, attempts=0)


class RequestBook:
    """The bookkeeping of one `answer` call: which requests still have to be asked, and replies in request order.

    Equal requests are asked once. Replies found in the cache are not asked at all; replies that arrive are
    committed to it before they are handed on, in whatever order they arrive.
    """

    def __init__(self, teacher: str, requests: Sequence[ChatRequest], cache: ReplyCache | None) -> None:
        self._cache = cache
        self.is_cached = cache is not None
        self._keys = [request.make_key(teacher) for request in requests]
        self._outcomes: dict[str, ChatReply | ChatFailure] = {}
        if cache is not None:
            self._outcomes.update(cache.get_many(self._keys))
        first_asked: dict[str, ChatRequest] = {}
        for key, request in zip(self._keys, requests, strict=True):
            if key not in self._outcomes:
                first_asked.setdefault(key, request)
        self.open: list[tuple[str, ChatRequest]] = list(first_asked.items())

    def commit(self, key: str, outcome: ChatReply | ChatFailure) -> None:
        """Commit the reply to one open request to the cache, from whatever thread; a failure is never stored."""
        if self._cache is not None and isinstance(outcome, ChatReply):
            self._cache.put(key, outcome)

    def commit_many(self, outcomes: Iterable[tuple[str, ChatReply | ChatFailure]]) -> None:
        """Commit the replies among outcomes in one transaction, from whatever thread; waits for who else writes."""
        if self._cache is not None:
            self._cache.put_many(_list_replies(outcomes))

    @contextmanager
    def keep_committing(self) -> Iterator[TryCommit]:
        """Yield what `commit_many` does as a function that never waits, for the thread that enters here."""
        if self._cache is None:
            yield lambda _: True
            return
        with self._cache.keep_open() as try_put_many:
            yield lambda outcomes: try_put_many(_list_replies(outcomes))

    def yield_in_order(
        self, arrivals: Iterable[tuple[str, ChatReply | ChatFailure]]
    ) -> Iterator[ChatReply | ChatFailure]:
        """Yield the outcomes in request order, drawing on `arrivals` (committed already) as needed."""
        drawing = iter(arrivals)
        told = time.monotonic()
        answered = 0
        for key in self._keys:
            while key not in self._outcomes:
                arrived, outcome = next(drawing)
                self._outcomes[arrived] = outcome
                answered += 1
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    _log.info("teacher: %d of %d open requests are answered.", answered, len(self.open))
            yield self._outcomes[key]


def _list_replies(outcomes: Iterable[tuple[str, ChatReply | ChatFailure]]) -> list[tuple[str, ChatReply]]:
    return [(key, outcome) for key, outcome in outcomes if isinstance(outcome, ChatReply)]
