"""Writes the filter of system calls that an untrusted program runs under, as the kernel's seccomp takes it (x86-64)."""

from __future__ import annotations

import errno
import os
import platform
import struct

_ARCHITECTURE = 0xC000003E
_X32 = 0x40000000
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# offsets of struct seccomp_data
_NUMBER, _ARCH, _SECOND, _THIRD = 0, 4, 24, 32

#: Never: sockets and what could make them behind the filter's back, other processes' memory, the kernel's own doors.
_ALWAYS = {
    "socket": 41,
    "ptrace": 101,
    "pivot_root": 155,
    "chroot": 161,
    "mount": 165,
    "umount2": 166,
    "init_module": 175,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "open_by_handle_at": 304,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "finit_module": 313,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}

_FORKS = {"clone": 56, "fork": 57, "vfork": 58, "clone3": 435}

#: Where other processes and the file system can be seen: signals, leaving the group, changing anything on disk.
_OUTSIDE = {
    "shmget": 29,
    "kill": 62,
    "semget": 64,
    "msgget": 68,
    "truncate": 76,
    "ftruncate": 77,
    "rename": 82,
    "mkdir": 83,
    "rmdir": 84,
    "creat": 85,
    "link": 86,
    "unlink": 87,
    "symlink": 88,
    "chmod": 90,
    "fchmod": 91,
    "chown": 92,
    "fchown": 93,
    "lchown": 94,
    "setpgid": 109,
    "setsid": 112,
    "rt_sigqueueinfo": 129,
    "utime": 132,
    "mknod": 133,
    "setpriority": 141,
    "sched_setparam": 142,
    "sched_setscheduler": 144,
    "setrlimit": 160,
    "setxattr": 188,
    "lsetxattr": 189,
    "fsetxattr": 190,
    "removexattr": 197,
    "lremovexattr": 198,
    "fremovexattr": 199,
    "tkill": 200,
    "sched_setaffinity": 203,
    "tgkill": 234,
    "utimes": 235,
    "mq_open": 240,
    "ioprio_set": 251,
    "mkdirat": 258,
    "mknodat": 259,
    "fchownat": 260,
    "futimesat": 261,
    "unlinkat": 263,
    "renameat": 264,
    "linkat": 265,
    "symlinkat": 266,
    "fchmodat": 268,
    "utimensat": 280,
    "fallocate": 285,
    "rt_tgsigqueueinfo": 297,
    "prlimit64": 302,
    "renameat2": 316,
    "pidfd_send_signal": 424,
    "openat2": 437,
    "fchmodat2": 452,
}

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def make_syscall_filter(*, forks: bool, outside: bool) -> bytes | None:
    """Return the filter's instructions, 8 bytes each; None where the processor is another than x86-64.

    Args:
        forks: whether the program may start processes and threads.
        outside: whether it may change files and send signals: only where walls of another kind stand around both.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return None
    code = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _ARCHITECTURE, 1, 0),
        _refuse(errno.EPERM),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    refused = [*_ALWAYS.values(), *([] if outside else _OUTSIDE.values())]
    for number in refused:
        code += [_step(_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    if not forks:
        for number in _FORKS.values():
            code += [_step(_EQUAL, number, 0, 1), _refuse(errno.EAGAIN)]
    if not outside:
        for number, flags in ((2, _SECOND), (257, _THIRD)):
            code += [
                _step(_EQUAL, number, 0, 4),
                _step(_LOAD, flags),
                _step(_ANY_BIT, _WRITING, 0, 1),
                _refuse(errno.EACCES),
                _step(_RETURN, _ALLOW),
            ]
    code.append(_step(_RETURN, _ALLOW))
    return b"".join(code)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _REFUSE | number)
