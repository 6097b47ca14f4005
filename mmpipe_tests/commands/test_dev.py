from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import dagster as dg
import psutil
import pytest

from mmpipe.commands.dev import end_code_server
from mmpipe.commands.processes import PROCESS_TAG
from mmpipe_tests.commands.conftest import TinyProject, write_project

MUTATION = "mutation { reloadWorkspace { __typename } }"


class Server:
    """A running `mmpipe dev` of a project."""

    def __init__(self, project: TinyProject) -> None:
        self.project = project
        self.process = subprocess.Popen(
            project.command("dev", "--port", "0"), cwd=project.folder, env=project.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        deadline = time.monotonic() + 120
        while not (project.folder / "var/state/server.json").exists():
            assert self.process.poll() is None, "".join(self.said)
            assert time.monotonic() < deadline, "".join(self.said)
            time.sleep(0.2)
        self.url = json.loads((project.folder / "var/state/server.json").read_text())["url"]

    def _read(self, lines: queue.Queue[str]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        request = Request(self.url + path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def list_processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def wait_for(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = write_project(tmp_path_factory.mktemp("dev"), "mmpipe_tests.commands.tiny_definitions")
    served = Server(project)
    yield served
    served.end()


def test_the_ui_answers_its_own_pages(server: Server) -> None:
    own = {"Origin": server.url, "Sec_Fetch_Site": "same-origin", "Content_Type": "application/json"}
    status, answer = server.ask("/graphql", json.dumps({"query": "{ version }"}).encode(), **own)
    assert (status, "version" in answer) == (200, True)
    status, answer = server.ask("/graphql", json.dumps({"query": MUTATION}).encode(), **own)
    assert (status, "reloadWorkspace" in answer) == (200, True)
    assert server.ask("/assets/raw_crawl")[0] == 200
    assert server.ask(f"/graphql?query={quote('{ version }')}")[0] == 200
    assert urlsplit(server.url).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (f"/graphql?query={quote(MUTATION)}", None, {}),
        (f"/graphql?query={quote(MUTATION)}", b"", {"Origin": "http://evil.example", "Content_Type": "text/plain"}),
        ("/graphql", b"{}", {"Origin": "http://evil.example", "Content_Type": "application/json"}),
        ("/graphql", b"{}", {"Sec_Fetch_Site": "cross-site", "Content_Type": "application/json"}),
        ("/report_asset_materialization/raw_crawl", b"{}", {"Origin": "null"}),
        ("/server_info", None, {"Host": "evil.example"}),
    ],
)
def test_what_another_site_could_send_is_refused(server: Server, path: str, body: bytes | None, headers: dict) -> None:
    status, answer = server.ask(path, body, **headers)
    assert (status, answer.startswith("Refused: ")) == (403, True)


def test_sockets_of_another_site_are_refused(server: Server) -> None:
    status, _ = server.ask(
        "/graphql", None, Origin="http://evil.example", Upgrade="websocket", Connection="Upgrade",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", Sec_WebSocket_Version="13",
    )  # fmt: skip
    assert status == 403


@pytest.mark.slow
def test_a_dropped_dump_runs_and_is_followed_and_a_backfill_goes_through_the_server(server: Server) -> None:
    project = server.project
    dump = project.folder / "var" / "crawl" / "dropped"
    dump.mkdir(parents=True)
    (dump / "a.warc.gz").write_bytes(b"WARC/1.0")
    (dump / "warc.paths").write_text("a.warc.gz\n")
    wait_for(lambda: project.count_runs("text_signals-dropped") == 1, 180)
    wait_for(lambda: project.count_runs("sft_dataset") >= 1, 120)
    ran = project.run("backfill", "text_signals+", "--all")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert server.url in ran.stdout
    assert "  dropped: text_signals made in " in ran.stdout
    assert "  over all dumps: sft_dataset made in " in ran.stdout
    assert project.count_runs("text_signals-dropped") == 2
    assert project.count_runs("raw_crawl-dropped") == 1
    (project.folder / "var" / "lake" / "break-dropped").touch()
    failed = project.run("backfill", "text_signals", "--partitions", "dropped")
    assert failed.returncode == 1, failed.stdout
    assert "  dropped: text_signals failed: ValueError: a cause of its own\n" in failed.stdout
    ran = project.run("backfill", "text_signals", "--all", "--dry-run", MMPIPE_TEACHER="another")
    assert ran.returncode == 1
    assert "MMPIPE_TEACHER: (not set) there, another here" in ran.stderr


@pytest.mark.slow
def test_assets_over_all_dumps_alone_go_through_the_server(server: Server) -> None:
    before = server.project.count_runs("sft_dataset")
    ran = server.project.run("backfill", "sft_dataset")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert server.url in ran.stdout
    assert server.project.count_runs("sft_dataset") > before
    wait_for(lambda: any("(sft_dataset)" in line and "ended, success" in line for line in server.said), 20)
    assert [line for line in server.said if " - INFO - " in line] == []


def test_ctrl_c_ends_every_process(server: Server) -> None:
    started = server.list_processes()
    assert len(started) >= 3  # web server, daemon, code server
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    assert [process for process in started if process.is_running() and process.status() != "zombie"] == []
    assert not (server.project.folder / "var/state/server.json").exists()
    # Dagster warns on a project's first start that no events were read before
    assert [line for line in server.said if "No cursor" in line] == []


def test_a_killed_dev_leaves_no_process_behind_and_the_next_ends_the_runs_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path, "mmpipe_tests.commands.tiny_definitions")
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    @dg.job
    def killed() -> None: ...

    with dg.DagsterInstance.get() as instance:
        # by a server before this one
        tags = {PROCESS_TAG: f"{socket.gethostname()}:{2**22 + 1}:1.00"}
        gone = instance.create_run_for_job(killed, status=dg.DagsterRunStatus.STARTED, tags=tags)
        server = Server(project)
        found = instance.get_run_by_id(gone.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert any(gone.run_id in line for line in server.said)
    started = [process for process in server.list_processes() if "mmpipe.commands.services" in process.cmdline()]
    assert len(started) == 2
    os.kill(server.process.pid, signal.SIGKILL)
    wait_for(lambda: not any(process.is_running() and process.status() != "zombie" for process in started), 40)


@pytest.mark.parametrize("going", [[], ["0123456789abcdef"]])
def test_a_run_that_goes_on_is_told_of_before_the_code_server_waits_for_it(going: list[str]) -> None:
    order: list[str] = []

    @contextmanager
    def wait_for_run() -> Iterator[None]:
        yield
        order.append("waited")
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                process.wait(timeout=0.05)
            finally:
                process.kill()

    servers = wait_for_run()
    servers.__enter__()
    end_code_server(servers, lambda: going, order.append)
    # once: before the wait where a run is known, else behind it, since one may have begun meanwhile
    assert order.index("waited") == len(going)
    (told,) = (line for line in order if line != "waited")
    known = "A run is still going on (01234567): it is not ended"
    assert told.startswith(known if going else "The code server has not ended by itself")


@pytest.mark.slow
def test_dev_that_is_ended_during_a_run_says_so_without_a_traceback(tmp_path: Path) -> None:
    server = Server(write_project(tmp_path, "mmpipe_tests.commands.tiny_definitions"))
    folder = server.project.folder / "var"
    lake, dump = folder / "lake", folder / "crawl" / "dropped"
    (lake / "hang-dropped").touch()
    dump.mkdir(parents=True)
    (dump / "a.warc.gz").write_bytes(b"WARC/1.0")
    (dump / "warc.paths").write_text("a.warc.gz\n")
    wait_for((lake / "hanging").exists, 180)
    time.sleep(1)
    hanging = psutil.Process(int((lake / "hanging").read_text()))
    try:
        server.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        wait_for(lambda: "A run is still going on" in "".join(server.said), 60)
        told = time.monotonic()
        assert server.process.wait(120) == 0
        # nobody waits in silence for what Dagster waits for
        assert told - asked < time.monotonic() - told
        said = "".join(server.said)
        assert "Traceback" not in said
        assert said.count("A run is still going on") == 1
        assert hanging.is_running()
    finally:
        hanging.kill()
