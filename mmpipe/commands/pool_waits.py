"""Waits for a place in a concurrency pool that another run holds: says for whom, rests between looks, ends on Ctrl-C.

Dagster's own wait of a run in this process looks without a pause, since its interval to the next look is never above
zero, and hears no signal.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._utils.interrupts import pop_captured_interrupt

from mmpipe.commands.doctor import end_lost_runs
from mmpipe.commands.processes import PROCESS_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dagster as dg

#: Seconds of rest before a signal is looked for again.
REST_SECONDS = 0.25
#: Seconds after which it is looked anew who holds the place.
LOOK_SECONDS = 2.0
#: Seconds after which a holder that was killed is found dead, and its place freed.
SEARCH_SECONDS = 15.0


class PatientClaims(InstanceConcurrencyContext):
    """Dagster's claims of one run on places in pools, with rests."""

    def __init__(self, instance: dg.DagsterInstance, dagster_run: dg.DagsterRun, tell: Callable[[str], None]) -> None:
        """Begin without a claim.

        Args:
            instance: Dagster's records.
            dagster_run: the run that claims.
            tell: gets one line per step and run that it waits for.
        """
        super().__init__(instance, dagster_run)
        self._records = instance
        self._tell = tell
        self._pool_of: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self._next_look = 0.0
        self._next_search = time.monotonic() + SEARCH_SECONDS

    def claim(self, concurrency_key: str, step_key: str, step_priority: int = 0) -> bool:
        """Take a place for a step, if one is free."""
        self._pool_of[step_key] = concurrency_key
        return super().claim(concurrency_key, step_key, step_priority)

    def interval_to_next_pending_claim_check(self) -> float:
        """Return the seconds to rest; asked whenever no step can go on.

        Raises:
            DagsterExecutionInterruptedError: Ctrl-C or SIGTERM came.
        """
        if pop_captured_interrupt():
            raise DagsterExecutionInterruptedError
        waiting = self.pending_claim_steps()
        if not waiting:
            return 0.0
        now = time.monotonic()
        if now >= self._next_search:
            self._next_search = now + SEARCH_SECONDS
            end_lost_runs(self._records, self._tell)
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            for step in waiting:
                self._tell_holders(step, self._pool_of[step])
        return REST_SECONDS

    def _tell_holders(self, step: str, pool: str) -> None:
        for holder in sorted(self._records.event_log_storage.get_concurrency_info(pool).active_run_ids):
            if (step, holder) in self._told:
                continue
            self._told.add((step, holder))
            run = self._records.get_run_by_id(holder)
            process = run.tags.get(PROCESS_TAG) if run is not None else None
            pid = f" (process {process.split(':')[1]})" if process else ""
            self._tell(f"{step} waits for run {holder[:8]}{pid}, which holds the pool {pool}")


@contextmanager
def waiting_patiently(tell: Callable[[str], None]) -> Iterator[None]:
    """Let runs in this process wait so; Dagster takes no class of ours for it, so its executor's is set for the time.

    Args:
        tell: gets one line per step and run that it waits for.
    """
    from dagster._core.executor import in_process

    executor = vars(in_process)
    before = executor["InstanceConcurrencyContext"]
    executor["InstanceConcurrencyContext"] = partial(PatientClaims, tell=tell)
    try:
        yield
    finally:
        executor["InstanceConcurrencyContext"] = before
