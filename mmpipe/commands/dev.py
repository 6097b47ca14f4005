"""`mmpipe dev`: the web UI, the daemon and one code server for both, on the loopback, until interrupted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from mmpipe.commands.guard import LOOPBACK
from mmpipe.commands.run_lines import RunTeller
from mmpipe.commands.served_settings import write_server_record
from mmpipe.commands.single_dev import hold_state
from mmpipe.errors import ConfigurationError, MmpipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from dagster import DagsterInstance
    from dagster._cli.proxy_server_manager import ProxyServerManager

    from mmpipe.assets.project import Project

#: Seconds until the UI must answer, and seconds a service has to end.
START_SECONDS, END_SECONDS = 120.0, 30.0


class ServiceEnded(MmpipeError):
    """A service of `mmpipe dev` that could not start, or ended by itself."""


def run_dev(
    project: Project,
    *,
    host: str,
    port: int,
    allow_hosts: Sequence[str],
    is_read_only: bool,
    is_verbose: bool = False,
    report: Callable[[str], None],
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Run the services until SIGINT or SIGTERM, then end all of them.

    Args:
        project: its environment must be set already.
        host: address of the UI; only a loopback address is safe without a proxy that asks who is there.
        port: port of the UI; 0 picks a free one.
        allow_hosts: further names under which the UI may be reached.
        is_read_only: a UI that launches and changes nothing.
        is_verbose: whether daemon and runs say on the terminal what they do, and not only what they warn of.
        report: gets the URL when the UI answers.
        tell: gets a line for each run that begins, and one when it ends.
        warn: gets one line for each run that a crash left as started, and where a run goes on when all else has ended.

    Raises:
        ConfigurationError: the port is taken, another one runs on the same state, or the definitions do not load.
        ServiceEnded: a service ended by itself; its last words are above on the terminal.
    """
    from dagster import DagsterInstance
    from dagster._cli.proxy_server_manager import ProxyServerManager
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    from mmpipe.assets.state import TERMINAL_LEVEL
    from mmpipe.commands.doctor import end_lost_runs
    from mmpipe.commands.loading import load_definitions

    port = port or find_free_port(host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    state = Path(os.environ["MMPIPE_STATE"])
    for folder in (state, Path(os.environ["MMPIPE_LAKE"]), Path(os.environ["MMPIPE_CRAWL"])):
        if "://" not in str(folder):
            folder.mkdir(parents=True, exist_ok=True)
    if not is_verbose:
        os.environ[TERMINAL_LEVEL] = "WARNING"
    os.environ["DAGSTER_IS_DEV_CLI"] = "1"  # the UI says "local deployment" and offers to reload code
    os.chdir(project.folder)
    with ExitStack() as stack:
        stack.enter_context(_interrupt_on_sigterm())
        stack.enter_context(hold_state(state, url))
        _require_free(host, port)
        # the code server would bury what is wrong in a traceback, and the UI show no asset
        load_definitions(project)
        instance = stack.enter_context(DagsterInstance.get())
        # what a crash left as started would hold a place in the queue for ever: the daemon looks at no process
        end_lost_runs(instance, warn)
        servers = ProxyServerManager(
            instance, WorkspaceFileTarget(paths=[str(project.folder / "workspace.yaml")]), "WARNING"
        )
        stack.callback(end_code_server, servers, lambda: find_going_runs(instance, servers), warn)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmpipe-dev-")))
        workspace = scratch / "workspace.yaml"
        # JSON is YAML
        workspace.write_text(json.dumps({"load_from": list(servers.get_code_server_specs())}))
        service = [sys.executable, "-m", "mmpipe.commands.services"]
        serve = [*service, "web", "--workspace", str(workspace), "--host", host, "--port", str(port)]
        serve += [part for name in allow_hosts for part in ("--allow-host", name)]
        serve += ["--read-only"] if is_read_only else []
        level = "info" if is_verbose else "warning"
        services = {
            "web server": serve,
            "daemon": [*service, "daemon", "--workspace", str(workspace), "--log-level", level],
        }
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(end_processes, processes)
        for name, command in services.items():
            # sessions of their own: Ctrl-C reaches only us, and we end them in order
            processes[name] = subprocess.Popen(command, start_new_session=True)
        _wait_until_served(url, processes)
        record = state / "server.json"
        write_server_record(record, url, os.environ, project.folder)
        stack.callback(record.unlink, missing_ok=True)
        report(url)
        runs = RunTeller(instance, tell)
        try:
            while True:
                _require_running(processes)
                runs.look()
                time.sleep(1)
        except KeyboardInterrupt:
            return


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    return host in LOOPBACK or host.startswith("127.")


def find_free_port(host: str) -> int:
    """Return a port nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} of {host} cannot be used ({error.strerror}). Choose --port."
            ) from error


def _wait_until_served(url: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _require_running(processes)
        try:
            with urlopen(f"{url}/server_info", timeout=2):  # noqa: S310  (our own address)
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(0.3)
    raise ServiceEnded(f"The web server did not answer at {url} within {START_SECONDS:.0f} s.")


def _require_running(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise ServiceEnded(
                f"The {name} ended by itself with exit code {process.returncode}; see its messages above."
            )


def end_processes(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Interrupt every process, wait for it, and kill what does not end."""
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + END_SECONDS
    for process in processes.values():
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_code_server(
    servers: AbstractContextManager[Any], find_runs: Callable[[], Sequence[str]], warn: Callable[[str], None]
) -> None:
    """End the code server; it waits for its runs, and what takes longer than Dagster waits is told, not ended.

    Args:
        servers: the code server.
        find_runs: returns the ids of the runs that go on in it.
        warn: gets a line at once where one does: the wait takes half a minute. Or a line behind it, where it is in vain
            though none was known.
    """
    going = find_runs()
    if going:
        warn(
            f"A run is still going on ({', '.join(run_id[:8] for run_id in going)}): it is not ended, goes on without "
            "the web UI until it is done, and is in the list of runs when `mmpipe dev` is started again. The code "
            "server is given half a minute for it …"
        )
    try:
        servers.__exit__(None, None, None)
    except subprocess.TimeoutExpired:
        # the wait for a run that goes on ends so; mostly it is told of already
        if not going:
            warn(
                "The code server has not ended by itself: a run that began just now goes on in it until it is done, "
                "and is in the list of runs when `mmpipe dev` is started again."
            )


def find_going_runs(instance: DagsterInstance, servers: ProxyServerManager) -> list[str]:
    """Return the ids of the runs that a code server has begun and that are not done, by the address in their tags."""
    from dagster import DagsterRunStatus, RunsFilter
    from dagster._core.storage.tags import GRPC_INFO_TAG

    addresses = {_read_address(spec["grpc_server"]) for spec in servers.get_code_server_specs()}
    statuses = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    runs = instance.get_runs(RunsFilter(statuses=statuses))
    return [
        run.run_id
        for run in runs
        if GRPC_INFO_TAG in run.tags and _read_address(json.loads(run.tags[GRPC_INFO_TAG])) in addresses
    ]


def _read_address(told: Mapping[str, Any]) -> tuple[Any, ...]:
    return told.get("socket"), told.get("port")


@contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
