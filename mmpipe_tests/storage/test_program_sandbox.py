"""The program sandbox against programs that mean harm, behind each kind of wall that this machine has."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.storage import program_sandbox
from mmpipe.storage.program_sandbox import ProgramSandbox
from mmpipe.tables.programs import Program, ProgramLimits, ProgramRun, make_python_program

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = ProgramLimits(cpu_seconds=1, wall_seconds=4, memory_bytes=256 << 20)


@pytest.fixture(params=["namespaces", "seccomp"], scope="module")
def sandbox(request: pytest.FixtureRequest) -> ProgramSandbox:
    opened = ProgramSandbox(LIMITS, walls=request.param)
    try:
        opened.describe()
    except ConfigurationError as error:
        pytest.skip(str(error))
    return opened


@pytest.fixture(scope="module")
def rooms() -> ProgramSandbox:
    opened = ProgramSandbox(LIMITS, walls="namespaces")
    try:
        opened.describe()
    except ConfigurationError as error:
        pytest.skip(str(error))
    return opened


def run(sandbox: ProgramSandbox, source: str, **limits: float) -> ProgramRun:
    chosen = ProgramLimits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__slots__}, **limits})  # type: ignore[arg-type]
    return sandbox.run(make_python_program(source, limits=chosen))


def test_a_good_program_reads_and_answers(sandbox: ProgramSandbox) -> None:
    ran = sandbox.run(make_python_program("import json\nprint(json.dumps(input()[::-1]))", stdin="olleh"))
    assert (ran.status, ran.exit_code, ran.stdout, ran.stderr) == ("ok", 0, b'"hello"\n', b"")
    assert ran.cpu_seconds > 0
    assert ran.peak_bytes > 1 << 20


def test_hashes_are_the_same_in_every_run(sandbox: ProgramSandbox) -> None:
    said = {run(sandbox, "print(hash('a'), {'x', 'y', 'z', 'w'})").stdout for _ in range(3)}
    assert len(said) == 1


def test_neither_the_environment_nor_installed_packages_are_there(
    sandbox: ProgramSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    ran = run(sandbox, "import os\nprint(sorted(os.environ))\nimport polars")
    assert ran.status == "error"
    assert b"SECRET" not in ran.stdout
    assert b"No module named 'polars'" in ran.stderr


def test_an_endless_loop_ends_at_its_cpu_time(sandbox: ProgramSandbox) -> None:
    ran = run(sandbox, "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass")
    assert ran.status == "cpu_time"
    assert run(sandbox, "while True: pass").status == "cpu_time"


def test_a_sleeper_ends_at_its_wall_time(sandbox: ProgramSandbox) -> None:
    started = time.monotonic()
    assert run(sandbox, "import time\ntime.sleep(60)", wall_seconds=0.7).status == "wall_time"
    assert time.monotonic() - started < 5


def test_a_memory_hog_gets_no_more(sandbox: ProgramSandbox) -> None:
    ran = run(sandbox, "kept = []\nwhile True: kept.append(bytearray(1 << 24))")
    assert ran.status == "error"
    assert b"MemoryError" in ran.stderr


def test_output_is_cut(sandbox: ProgramSandbox) -> None:
    source = "import sys\nfor _ in range(1 << 10): sys.{}.write('x' * (1 << 20))"
    for stream in ("stdout", "stderr"):
        ran = run(sandbox, source.format(stream), output_bytes=5000)
        assert ran.status == "output"
        assert len(ran.stdout) + len(ran.stderr) == 5000
    assert run(sandbox, "print('x' * 4999)", output_bytes=5000).status == "ok"


@pytest.mark.parametrize(
    "source",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0x')",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import ctypes; assert ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(200)) >= 0, 'io_uring'",
    ],
)
def test_no_socket_opens(sandbox: ProgramSandbox, source: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = run(sandbox, source.format(port=server.getsockname()[1]))
    assert ran.status == "error"
    assert b"Operation not permitted" in ran.stderr or b"io_uring" in ran.stderr


def test_the_network_namespace_holds_where_the_filter_does_not(
    rooms: ProgramSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_sandbox, "make_syscall_filter", lambda **_: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = run(rooms, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
    assert ran.status == "error"
    assert b"Network is unreachable" in ran.stderr


def test_nothing_is_written_anywhere(sandbox: ProgramSandbox, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_text("mine")
    target.chmod(0o666)
    tmp_path.chmod(0o777)
    attacks = (
        f"open({str(target)!r}, 'w')",
        f"os.unlink({str(target)!r})",
        f"os.rename({str(target)!r}, {str(tmp_path / 'gone')!r})",
        f"os.chmod({str(target)!r}, 0)",
        "open('here', 'w').write('x')",
        "os.mkdir('here')",
        "open('/tmp/there', 'w').write('x')",
        "os.symlink('/', 'here')",
        "open('program.py', 'a').write('x')",
    )
    ran = run(
        sandbox, "import os\n" + "".join(f"try: {line}; print({line!r})\nexcept OSError: pass\n" for line in attacks)
    )
    assert (ran.status, ran.stdout) == ("ok", b"")
    assert target.read_text() == "mine"


def test_its_parent_and_other_processes_are_out_of_reach(sandbox: ProgramSandbox) -> None:
    source = (
        "import os, signal\n"
        f"for victim in (os.getppid(), {os.getpid()}, -1):\n"
        "    try: os.kill(victim, signal.SIGKILL)\n"
        "    except OSError: pass\n"
        "print('done')"
    )
    ran = run(sandbox, source)
    assert (ran.status, ran.stdout) == ("ok", b"done\n")


def test_it_cannot_fork_unless_told_to(sandbox: ProgramSandbox) -> None:
    for source in ("import os\nwhile True: os.fork()", "import threading\nthreading.Thread(target=print).start()"):
        ran = run(sandbox, source)
        assert ran.status == "error"
        assert b"Resource temporarily unavailable" in ran.stderr or b"can't start new thread" in ran.stderr


def test_a_fork_bomb_stays_small_and_ends_whole(rooms: ProgramSandbox) -> None:
    marker = f"bomb{time.time_ns()}"
    source = (
        "import os, sys, time\n"
        "made = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            while True:\n"
        "                try: os.fork()\n"
        "                except OSError: time.sleep(0.01)\n"
        "        made += 1\n"
        "except OSError: print(made)\n"
    )
    program = Program(argv=("python", "program.py", marker), files={"program.py": source.encode()})
    limits = ProgramLimits(processes=6, wall_seconds=4)
    ran = rooms.run(Program(argv=program.argv, files=program.files, limits=limits))
    assert ran.status == "ok"
    assert 1 <= int(ran.stdout) <= 5
    assert not _find_processes(marker)


def test_a_child_left_over_ends_with_it(rooms: ProgramSandbox) -> None:
    marker = f"left{time.time_ns()}"
    source = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint('gone')"
    started = time.monotonic()
    limits = ProgramLimits(processes=4, wall_seconds=30)
    ran = rooms.run(
        Program(argv=("python", "program.py", marker), files={"program.py": source.encode()}, limits=limits)
    )
    assert (ran.status, ran.stdout) == ("ok", b"gone\n")
    assert time.monotonic() - started < 10
    assert not _find_processes(marker)


def test_nothing_of_the_machine_is_seen(rooms: ProgramSandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    ran = run(
        rooms, f"import os\nprint(os.path.exists({str(tmp_path)!r}), os.path.exists('/proc/1'), os.listdir('/dev'))"
    )
    assert ran.stdout.startswith(b"False False")
    mounted = run(rooms, "import os\nprint(*[os.statvfs(p).f_flag & os.ST_RDONLY for p in ('/', '/usr', '/program')])")
    assert mounted.stdout == b"1 1 1\n"
    assert set(eval(ran.stdout[len("False False ") :])) == {"null", "zero", "urandom"}


def test_disk_is_bounded_and_what_was_asked_for_comes_back(rooms: ProgramSandbox) -> None:
    source = (
        "import os\n"
        "os.symlink('/etc/ld.so.cache', 'link')\n"
        "os.mkdir('folder')\n"
        "os.mkfifo('pipe')\n"
        "open('good', 'wb').write(b'abc')\n"
        "try:\n"
        "    for number in range(100): open(f'f{number}', 'wb').write(bytes(1 << 16))\n"
        "except OSError as error: print(error.errno)\n"
    )
    ran = rooms.run(
        Program(
            argv=("python", "program.py"),
            files={"program.py": source.encode()},
            collect=("good", "link", "folder", "pipe", "absent"),
            limits=ProgramLimits(disk_bytes=1 << 20),
        )
    )
    assert (ran.status, ran.stdout) == ("ok", b"28\n")
    assert ran.collected == {"good": b"abc"}


def test_a_signal_is_told_apart_from_an_error(sandbox: ProgramSandbox) -> None:
    assert run(sandbox, "import ctypes; ctypes.string_at(0)").status == "signal"
    assert run(sandbox, "import sys; sys.exit(3)").exit_code == 3


def test_what_cannot_be_executed_did_not_start(sandbox: ProgramSandbox) -> None:
    ran = sandbox.run(Program(argv=("./program",), files={"program": b"\x7fELF no"}))
    assert ran.status == "not_started"
    assert "Exec format error" in ran.detail


def test_nothing_starts_for_a_parent_that_is_gone(sandbox: ProgramSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.getpid()
    # as if another process, such as the one that takes in orphans, were the launcher's parent by now
    monkeypatch.setattr(program_sandbox.os, "getpid", lambda: real + 1)
    ran = run(sandbox, "print('started')")
    assert (ran.status, ran.stdout) == ("not_started", b"")


def test_runs_come_back_in_order(sandbox: ProgramSandbox) -> None:
    many = ProgramSandbox(LIMITS, workers=3, walls=sandbox.describe().walls)  # type: ignore[arg-type]
    programs = [
        make_python_program(f"import time; time.sleep({0.2 - number / 20}); print({number})") for number in range(5)
    ]
    assert [int(ran.stdout) for ran in many.run_all(programs)] == list(range(5))


def test_writing_and_forking_need_namespaces() -> None:
    behind = ProgramSandbox(walls="seccomp")
    with pytest.raises(ConfigurationError, match="needs namespaces"):
        behind.run(make_python_program("1", limits=ProgramLimits(disk_bytes=1)))


def test_without_walls_nothing_runs_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_sandbox, "_try_walls", lambda walls: f"no {walls} for you")
    with pytest.raises(ConfigurationError, match=r"no namespaces for you.*no seccomp for you"):
        ProgramSandbox().run(make_python_program("print(1)"))
    told = ProgramSandbox(LIMITS, unguarded=True)
    assert told.describe().walls == "none"
    assert told.run(make_python_program("print(1)")).stdout == b"1\n"


def test_a_file_name_may_not_lead_out() -> None:
    with pytest.raises(ConfigurationError, match="no plain file name"):
        ProgramSandbox().run(Program(argv=("python", "a"), files={"../a": b""}))


def _find_processes(marker: str) -> list[int]:
    return [process.pid for process in psutil.process_iter(["cmdline"]) if marker in (process.info["cmdline"] or [])]
