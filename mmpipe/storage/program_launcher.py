"""The sandbox's other side: builds the walls around itself, then starts the program. A script of the standard library.

Run as `python -s -P -S program_launcher.py '{...}'`; it imports nothing of the project, for it stands outside it.
"""
# each run pays for what this imports: no pathlib
# ruff: noqa: PTH101, PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from typing import Any, NoReturn

_NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, network
_NEW_USER = 0x10000000
_NO_SUID, _NO_DEVICE, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_RECURSIVE, _READ_ONLY_NO_SUID, _READ_ONLY, _HERE = 442, 0x8000, 3, 1, -100
_PARENT_DEATH, _DUMPABLE, _SECCOMP, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_NOBODY = 65534
#: Beyond any real user: each run has a user of its own, so that its processes are counted apart.
_FIRST_OWN_USER = 2_000_000_000

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Read what to do, do it, and report on the descriptor named: one JSON line of walls, one of the end."""
    config = json.loads(sys.argv[1])
    os.set_inheritable(config["report"], False)
    try:
        if config["walls"] == "namespaces":
            _run_in_namespaces(config)
        else:
            _run_in_the_open(config)
    except OSError as error:
        _report(config, {"error": str(error)})
        sys.exit(1)


def _run_in_namespaces(config: dict[str, Any]) -> None:
    user = os.geteuid()
    if user == 0:
        _call("unshare", _NEW_NAMESPACES)
    else:
        _call("unshare", _NEW_USER | _NEW_NAMESPACES)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{_NOBODY} {os.getegid()} 1")
        _write("/proc/self/uid_map", f"{_NOBODY} {user} 1")
    collected = os.open(config["collected"], os.O_PATH | os.O_DIRECTORY) if config["collect"] else None
    _build_root(config)
    if user == 0:
        _become_somebody(config["number"])
    _end_with_parent(config)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    # the first process of its own process table: when it ends, the kernel ends all others in it
    _call("prctl", _PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    _call("prctl", _DUMPABLE, 0, 0, 0, 0)
    ended = _start_and_wait(config, "/program")
    _report(config, {**ended, "collected": _collect(config, collected)})
    os._exit(0)


def _run_in_the_open(config: dict[str, Any]) -> None:
    """Without namespaces: the filter of system calls alone keeps the program from network, files and processes."""
    _end_with_parent(config)
    _call("prctl", _SUBREAPER, 1, 0, 0, 0)
    _call("prctl", _DUMPABLE, 0, 0, 0, 0)
    ended = _start_and_wait(config, config["work"])
    _report(config, {**ended, "collected": []})
    os.killpg(0, signal.SIGKILL)


def _end_with_parent(config: dict[str, Any]) -> None:
    _call("prctl", _PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    # killed before that: whoever takes in orphans here, process 1 or another, would never end this one
    if os.getppid() != config["parent"]:
        os._exit(1)


def _start_and_wait(config: dict[str, Any], folder: str) -> dict[str, Any]:
    program = os.fork()
    if program == 0:
        try:
            _become_the_program(config, folder)
        except (OSError, ValueError) as error:
            _report(config, {"error": str(error), "not_started": True})
        os._exit(127)
    _, status, used = os.wait4(program, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def _become_the_program(config: dict[str, Any], folder: str) -> NoReturn:
    os.chdir(folder)
    limits = config["limits"]
    cpu = max(1, -(-int(limits["cpu_seconds"] * 1000) // 1000))
    _limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    _limit(resource.RLIMIT_AS, limits["memory_bytes"])
    _limit(resource.RLIMIT_FSIZE, limits["disk_bytes"])
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    if config["walls"] == "namespaces":
        # the two that wait for it are its user's, too
        _limit(resource.RLIMIT_NPROC, limits["processes"] + 2)
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if config["filter"]:
        _install_filter(bytes.fromhex(config["filter"]))
    os.execve(config["argv"][0], config["argv"], config["environment"])  # noqa: S606 - that is the point


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    highest = resource.getrlimit(which)[1]
    wanted = soft if hard is None else hard
    if highest != resource.RLIM_INFINITY:
        soft, wanted = min(soft, highest), min(wanted, highest)
    resource.setrlimit(which, (soft, wanted))


def _install_filter(code: bytes) -> None:
    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    held = Filter(len(code) // 8, code)
    _call("prctl", _SECCOMP, 2, ctypes.byref(held), 0, 0)


def _build_root(config: dict[str, Any]) -> None:
    """Make a root of system programs, libraries and the interpreter, read-only; nothing else of the machine is there.

    Folders of users, of the project and of its data are not, nor /proc, nor any device but null, zero and urandom.
    """
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    root = config["root"]
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICE, "size=1m,mode=755")
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            _bind(f"/{name}", root)
    for path in ("/usr", "/etc/alternatives", "/etc/ld.so.cache", *config["visible"]):
        if os.path.exists(path):
            _bind(path, root)
    for name in ("null", "zero", "urandom"):
        _bind(f"/dev/{name}", root)
    os.makedirs(f"{root}/program")
    os.makedirs(f"{root}/tmp")  # noqa: S108 - inside the new root
    disk = config["limits"]["disk_bytes"]
    if disk:
        _mount("tmpfs", f"{root}/program", "tmpfs", _NO_SUID | _NO_DEVICE, f"size={disk},mode=777,nr_inodes=4096")
        for name in os.listdir(config["work"]):
            _copy(f"{config['work']}/{name}", f"{root}/program/{name}")
        os.makedirs(f"{root}/program/.tmp")
        os.chmod(f"{root}/program/.tmp", 0o777)  # noqa: S103 - the program's own
    else:
        _mount(config["work"], f"{root}/program", None, _BIND)
    _make_read_only(root, but=f"{root}/program" if disk else None)
    os.chdir(root)
    machine = os.uname().machine
    if machine not in _PIVOT_ROOT:
        raise OSError(f"pivot_root has no known number on {machine}")
    _call("syscall", _PIVOT_ROOT[machine], b".", b".")
    _call("umount2", b".", 2)
    os.chdir("/")


def _bind(path: str, root: str) -> None:
    place = root + path
    if os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, place, None, _BIND | _RECURSIVE)


def _make_read_only(root: str, but: str | None) -> None:
    # devices stay devices: they are single files, mounted alone
    for path, wanted, unwanted in ((root, _READ_ONLY_NO_SUID, 0), (but, 0, _READ_ONLY)):
        if path is not None:
            attributes = (ctypes.c_uint64 * 4)(wanted, unwanted, 0, 0)
            _call("syscall", _MOUNT_SETATTR, _HERE, path.encode(), _AT_RECURSIVE, attributes, 32)


def _copy(path: str, place: str) -> None:
    with open(path, "rb") as source, open(place, "wb") as target:
        target.write(source.read())
    os.chmod(place, 0o755)  # noqa: S103 - it may be a program


def _collect(config: dict[str, Any], folder: int | None) -> list[str]:
    """Copy the files asked for out of the root; a link or anything else than a plain file is not followed."""
    found = []
    for name in config["collect"] if folder is not None else ():
        try:
            source = os.open(f"/program/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        if not stat.S_ISREG(os.fstat(source).st_mode):
            os.close(source)
            continue
        with os.fdopen(source, "rb") as file:
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
            with os.fdopen(target, "wb") as copy:
                copy.write(file.read(config["limits"]["disk_bytes"]))
        found.append(name)
    return found


def _become_somebody(number: int) -> None:
    for user in (_FIRST_OWN_USER + number, _NOBODY):
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:
            continue
        return
    raise OSError("cannot give up being root")


def _mount(source: str | None, place: str, kind: str | None, flags: int, options: str | None = None) -> None:
    def as_bytes(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    _call("mount", as_bytes(source), place.encode(), as_bytes(kind), ctypes.c_ulong(flags), as_bytes(options))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _report(config: dict[str, Any], what: dict[str, Any]) -> None:
    os.write(config["report"], (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    main()
