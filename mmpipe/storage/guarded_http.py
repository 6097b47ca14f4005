"""Opens HTTP connections that a crawled page cannot aim at this machine or its network."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError


class PrivateAddress(Exception):
    """A host whose address is loopback, private, link-local or otherwise not public."""


class _GuardedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_to_public(self)


class _GuardedTlsConnection(HTTPSConnection):
    # the name still goes into the handshake and the certificate check; only the address is ours to choose
    def _new_conn(self) -> socket.socket:
        return _connect_to_public(self)


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


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
    if not allow_private:
        pool.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTlsPool}
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


def _connect_to_public(connection: Any) -> socket.socket:
    """Return a connected socket to the host's first public address that answers.

    Raises:
        PrivateAddress: any of the host's addresses is not public.
    """
    host, port = connection._dns_host, connection.port  # noqa: SLF001 - urllib3's documented hook reads it too
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    private = [entry[4][0] for entry in found if not is_public(str(entry[4][0]))]
    if private:
        raise PrivateAddress(f"{host} is at {private[0]}, which is not a public address")
    problem: OSError | None = None
    for family, kind, protocol, _, address in found:
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
