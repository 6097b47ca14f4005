"""Opens HTTP connections that a crawled page can neither aim at this machine or its network nor hold for ever."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from typing import Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

#: Addresses of one host that are tried.
_MAX_ADDRESSES = 4


class PrivateAddress(Exception):
    """A host whose address is loopback, private, link-local or otherwise not public."""


class SocketWatch:
    """Ends what this thread asks over HTTP after a time, wherever it hangs: `with SocketWatch(60) as watch:`.

    A timeout of a socket begins anew with every byte, so a host that sends one byte a second can hold a reader for
    days. This shuts the sockets instead, which ends every read at once. A look-up of a name is not ended.
    """

    def __init__(self, seconds: float) -> None:
        #: Whether the time was over.
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _watched.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _watched.watch = None

    def add(self, opened: socket.socket) -> None:
        """Watch a socket, too."""
        with self._lock:
            self._sockets.append(opened)
            if self.is_over:
                _shut(opened)

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for opened in self._sockets:
                _shut(opened)


_watched = threading.local()


def _watch(opened: socket.socket | None) -> None:
    watch: SocketWatch | None = getattr(_watched, "watch", None)
    if watch is not None and opened is not None:
        watch.add(opened)


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # the plain method: that of a TLS socket drops its session, which the reading thread still uses
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _Watched:
    """Connections that `SocketWatch` can end: new ones, and those kept open for the next request."""

    is_guarded = True

    def _new_conn(self) -> socket.socket:
        opened = _connect(self, is_guarded=self.is_guarded)
        _watch(opened)
        return opened

    def getresponse(self) -> Any:
        _watch(self.sock)  # type: ignore[attr-defined]
        return super().getresponse()  # type: ignore[misc]


class _Connection(_Watched, HTTPConnection):
    pass


# the name still goes into the handshake and the certificate check; only the address is ours to choose
class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _FreeConnection(_Connection):
    is_guarded = False


class _FreeTlsConnection(_TlsConnection):
    is_guarded = False


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _FreePool(HTTPConnectionPool):
    ConnectionCls = _FreeConnection


class _FreeTlsPool(HTTPSConnectionPool):
    ConnectionCls = _FreeTlsConnection


def open_pool(*, allow_private: bool, hosts: int, timeout_seconds: float) -> urllib3.PoolManager:
    """Return a connection pool that goes to public addresses only, without proxies.

    The address is checked where the connection is made, on the very address it is made to: a name that resolves
    differently the second time, and a redirect, gain nothing.

    Args:
        allow_private: go to any address.
        hosts: pools to keep.
        timeout_seconds: for connecting, and for each wait on the host.
    """
    pool = urllib3.PoolManager(num_pools=hosts, timeout=urllib3.Timeout(timeout_seconds))
    guarded, free = {"http": _GuardedPool, "https": _GuardedTlsPool}, {"http": _FreePool, "https": _FreeTlsPool}
    pool.pool_classes_by_scheme = free if allow_private else guarded
    return pool


def is_public(address: str) -> bool:
    """Whether an IP address is a public one; an IPv4 address written as IPv6 counts as what it stands for."""
    ip: Any = ipaddress.ip_address(address.partition("%")[0])
    embedded = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())] if ip.version == 6 else []
    if ip.version == 6 and ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64
        embedded.append(ipaddress.ip_address(int(ip) & 0xFFFFFFFF))
    if any(inner is not None and not _is_public(inner) for inner in embedded):
        return False
    return _is_public(ip) or (ip.version == 6 and ip.ipv4_mapped is not None)


def _is_public(ip: Any) -> bool:
    return bool(ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified)


def _connect(connection: Any, *, is_guarded: bool) -> socket.socket:
    """Return a connected socket to the first of the host's addresses that answers.

    Raises:
        PrivateAddress: any of the host's addresses is not public, and it is guarded.
    """
    host, port = connection._dns_host, connection.port  # noqa: SLF001 - urllib3's documented hook reads it too
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    private = [entry[4][0] for entry in found if not is_public(str(entry[4][0]))]
    if private and is_guarded:
        raise PrivateAddress(f"{host} is at {private[0]}, which is not a public address")
    problem: OSError | None = None
    for family, kind, protocol, _, address in found[:_MAX_ADDRESSES]:
        candidate = socket.socket(family, kind, protocol)
        candidate.settimeout(connection.timeout)
        try:
            candidate.connect(address)
        except OSError as error:
            candidate.close()
            problem = error
        else:
            return candidate
    raise NewConnectionError(connection, f"no connection to {host}: {problem}")
