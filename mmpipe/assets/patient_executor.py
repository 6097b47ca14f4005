"""Runs each step in a process of its own, as Dagster's executor does, and rests while none can go on.

Dagster's own looks without a pause while all that is left of a run waits for a place in a pool: one core for each such
run, for as long as another run holds the teacher.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import dagster as dg
from dagster._core.definitions.executor_definition import MULTI_PROC_CONFIG, multiple_process_executor_requirements
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.executor import multiprocess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.plan.step import ExecutionStep
    from dagster._core.execution.retries import RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig

#: Seconds of rest before it is looked again whether a step can go on, or the run is to end.
REST_SECONDS = 0.25


class RestingExecution(ActiveExecution):
    """Dagster's account of the steps of one run, with a rest where none is at work and those left wait for a pool."""

    def get_steps_to_execute(self, limit: int | None = None) -> Sequence[ExecutionStep]:
        """Return the steps that can begin; none, after a rest, if nothing of the run can go on."""
        steps = super().get_steps_to_execute(limit)
        claims = self._instance_concurrency_context
        if not steps and not self._in_flight and claims is not None and claims.has_pending_claims():
            time.sleep(REST_SECONDS)
        return steps


class PatientExecutor(dg.Executor):
    """Dagster's executor, waiting so; it takes no class of ours, so its own is replaced meanwhile."""

    def __init__(self, made: dg.Executor) -> None:
        self._made = made

    @property
    def retries(self) -> RetryMode:
        """Whether failed steps are tried again."""
        return self._made.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """What a step waits for."""
        return self._made.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Run the steps, and yield what happens."""
        module = vars(multiprocess)
        before = module["ActiveExecution"]
        module["ActiveExecution"] = RestingExecution
        try:
            yield from self._made.execute(plan_context, execution_plan)
        finally:
            module["ActiveExecution"] = before


_create = cast("Callable[[dg.InitExecutorContext], dg.Executor]", dg.multiprocess_executor.executor_creation_fn)


@dg.executor(
    name="multiprocess", config_schema=MULTI_PROC_CONFIG, requirements=multiple_process_executor_requirements()
)
def patient_executor(init_context: dg.InitExecutorContext) -> PatientExecutor:
    """Run each step in a process of its own; takes the settings of Dagster's `multiprocess_executor`."""
    return PatientExecutor(_create(init_context))
