"""Where Dagster keeps its own records: SQLite under var/state, or Postgres where MMPIPE_POSTGRES_URL is set.

dagster.yaml cannot choose between two storages, nor give a variable a default. It names these classes instead, so the
same file serves `mmpipe`, plain `dagster dev` without any variable, and a cluster.
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage

from mmpipe.assets.event_log import SqliteState
from mmpipe.assets.project import find_state_folder
from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance, LoggerDefinition
    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData

#: Environment of `mmpipe dev` for the processes it starts: level from which runs speak on its terminal.
TERMINAL_LEVEL = "MMPIPE_TERMINAL_LEVEL"
_POSTGRES_SCHEMES = ("postgresql://", "postgresql+psycopg2://")


class StateStorage(DagsterStorage[Any]):
    """Runs, events and schedules; gives Dagster's own SQLite or Postgres storage, as the environment says."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No settings: the environment decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _: Any) -> DagsterStorage[Any]:
        """Open the storage.

        Raises:
            ConfigurationError: MMPIPE_POSTGRES_URL is not a Postgres URL, or the postgres extra is not installed.
        """
        level = os.environ.get(TERMINAL_LEVEL)
        if level:
            limit_terminal(level)  # here, where every process of a run passes before it logs anything
        url = os.environ.get("MMPIPE_POSTGRES_URL")
        if not url:
            return SqliteState.from_local(str(find_state_folder(os.environ)), inst_data)
        if not url.startswith(_POSTGRES_SCHEMES):
            raise ConfigurationError("MMPIPE_POSTGRES_URL must begin with postgresql://user@host/database.")
        try:
            dagster_postgres = import_module("dagster_postgres")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "MMPIPE_POSTGRES_URL is set: install the driver: pip install 'mmpipe[postgres]'."
            ) from error
        storage: DagsterStorage[Any] = dagster_postgres.DagsterPostgresStorage(
            url, should_autocreate_tables=True, inst_data=inst_data
        )
        return storage


class StateArtifacts(LocalArtifactStorage):
    """Files of runs, in the state folder."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No settings: the environment decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _: Any) -> StateArtifacts:
        """Open the folder."""
        return cls(str(find_state_folder(os.environ)), inst_data)


class StateLogs(LocalComputeLogManager):
    """What steps print, in the state folder."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No settings: the environment decides."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, _: Any) -> StateLogs:
        """Open the folder."""
        return cls(str(find_state_folder(os.environ) / "logs"), inst_data=inst_data)


def limit_terminal(level: str) -> None:
    """Let the runs of this process print only what is of a level or above; the run's own log has all as before.

    Dagster has one setting for the terminal and for what it records, and run config, which is the user's.
    """
    from dagster._core.execution import context_creation_job, host_mode
    from dagster._loggers import default_system_loggers

    def limited(instance: DagsterInstance | None) -> Sequence[tuple[LoggerDefinition, Mapping[str, object]]]:
        return [(logger, {**config, "log_level": level}) for logger, config in default_system_loggers(instance)]

    # libraries give the root logger a handler; what mmpipe says would be printed by it, whatever the level
    logging.getLogger("mmpipe").propagate = False
    for module in (context_creation_job, host_mode):
        module.default_system_loggers = limited  # type: ignore[attr-defined]
