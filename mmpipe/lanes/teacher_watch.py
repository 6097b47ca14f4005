"""Watches a run's teacher: an outage of the endpoint is no result, and stops a stage before it is committed."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from mmpipe.errors import TeacherError
from mmpipe.tables.chat import ChatFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mmpipe.tables.chat import ChatReply, ChatRequest, Teacher

_log = logging.getLogger(__name__)

#: Share of requests that may fail for reasons that pass before the shard counts as failed.
OUTAGE_SHARE = 0.05
_PASSING = frozenset({"teacher_rate", "teacher_timeout", "teacher_server", "teacher_connection", "teacher_unreadable"})
#: Failures that pass after which a method is stopped in its midst, where they are that share of its requests.
_OUTAGE_LEAST = 20
#: The same where none of its requests was answered: no rounds are tried on an endpoint that has answered nothing.
_UNANSWERED_LEAST = 4
#: Rows of a step that may all be refused without a word: that many happen to be.
_BARREN_LEAST = 5


def refuse_outage(asked: int, failures: Mapping[str, int], who: str = "") -> None:
    """Raise if a share of the requests failed for reasons that pass: an outage is not a result to be committed.

    Replies that did come are in the cache, so the next run asks only for the others.

    Args:
        asked: requests.
        failures: of them, by reason.
        who: name of the teacher, where there are several.

    Raises:
        TeacherError: more than `OUTAGE_SHARE` of the requests failed for rate, timeout, server or connection.
    """
    passing = {reason: count for reason, count in failures.items() if reason in _PASSING}
    if asked and sum(passing.values()) > OUTAGE_SHARE * asked:
        said = ", ".join(f"{reason} {count}" for reason, count in passing.items())
        name = f"The teacher {who}" if who else "The teacher"
        raise TeacherError(
            f"{name} failed on {sum(passing.values())} of {asked} requests ({said}). Look at the endpoint, then "
            f"run again: what it did answer is in the cache and is not asked for again."
        )


def warn_of_nothing(what: str, accepted: int, refused: Mapping[str, int]) -> None:
    """Warn where a step took nothing of many replies, with the reasons: it is committed, and nobody is asked again.

    Args:
        what: the method or table.
        accepted: rows that came of it.
        refused: what became no row, by reason.
    """
    total = sum(refused.values())
    if not accepted and total >= _BARREN_LEAST:
        said = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items(), key=lambda item: -item[1]))
        _log.warning(
            "%s: 0 of %d accepted: %s. If the teacher was at fault, mend it, then ask it anew: a higher "
            "MMPIPE_TEACHER_ROUND, or `round` in the file of teachers.", what, total, said,
        )  # fmt: skip


class WatchedTeacher:
    """The run's teacher, its failures counted: a method that asks in rounds is stopped where the endpoint is down."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.asked = 0
        self.failures: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The teacher's."""
        return self._teacher.name

    @property
    def family(self) -> str:
        """The teacher's, empty where its name tells it."""
        return str(getattr(self._teacher, "family", ""))

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield the teacher's outcomes.

        Raises:
            TeacherError: by the end of a call, `_OUTAGE_LEAST` failures that pass were more than `OUTAGE_SHARE`, or
                `_UNANSWERED_LEAST` requests and more had no other outcome.
        """
        for outcome in self._teacher.answer(requests):
            self.asked += 1
            if isinstance(outcome, ChatFailure):
                self.failures[f"teacher_{outcome.kind}"] += 1
            yield outcome
        passing = sum(count for reason, count in self.failures.items() if reason in _PASSING)
        if passing >= (_UNANSWERED_LEAST if passing == self.asked else _OUTAGE_LEAST):
            refuse_outage(self.asked, self.failures, self.name)
