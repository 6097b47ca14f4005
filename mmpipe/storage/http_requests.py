"""Asks hosts over HTTP(S), again and again within limits, and tells what they say of a file."""

from __future__ import annotations

import os
import random
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import mmpipe

if TYPE_CHECKING:
    from collections.abc import Mapping

#: So many bytes that arrived pay for one more failure, so that a long file may break off often and a dead one may not.
_BYTES_PER_FAILURE = 1 << 16
#: Tries of a question that a person or a plan waits for; it takes about 15 s to give up.
_ASKED_TIMES = 6
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class RemoteFileError(OSError):
    """A file that a host does not give, though it may be there: refused, unreachable, or broken off too often."""


class RemoteFileChanged(RemoteFileError):
    """A file that is another one than it was when its first bytes were read."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a host is asked again.

    Attributes:
        attempts: failures in one run of bytes that are borne; bytes that arrive in between pay for further ones.
        first_wait_seconds: wait after the first failure, doubled each time (a random half of it is taken off).
        most_wait_seconds: longest such wait.
        most_asked_seconds: longest `Retry-After` that is obeyed; a host that asks for more is given up.
        timeout_seconds: for connecting, and for each wait on the host.
    """

    attempts: int = 8
    first_wait_seconds: float = 0.5
    most_wait_seconds: float = 60.0
    most_asked_seconds: float = 300.0
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a host says of a file: its bytes, and the ETag or else the time that changes with its content."""

    size: int
    etag: str = ""
    modified: str = ""

    @property
    def identity(self) -> str:
        """A string that changes when the content does, as far as the host tells."""
        return f"{self.size}-{self.etag or self.modified}"

    @property
    def has_stamp(self) -> bool:
        """Whether the host gives more than the size."""
        return bool(self.etag or self.modified)


def ask_file(url: str, policy: RetryPolicy | None = None) -> RemoteFile | None:
    """Return what a host says of a file, without fetching it; None if it is not there.

    Raises:
        RemoteFileError: the host refuses, or cannot be reached.
    """
    attempt = Attempts(url, policy or RetryPolicy(attempts=_ASKED_TIMES))
    # some hosts know no HEAD, and signed addresses are for GET alone: then one byte is asked for
    for method, headers in (("HEAD", {}), ("GET", {"Range": "bytes=0-0"})):
        while True:
            response = attempt.send(method, headers)
            if response is None:
                continue
            response.close()
            if response.status in (404, 410):
                return None
            if response.status in (200, 206) and (described := describe_answer(response)) is not None:
                return described
            if response.status == 416 and method == "GET":
                return RemoteFile(0)
            if method == "GET":
                raise make_refusal(url, response)
            break
    raise AssertionError("the second method returns or raises")


@dataclass(slots=True)
class Attempts:
    """What went wrong with one run of bytes so far, and how long to wait before the next try."""

    url: str
    policy: RetryPolicy
    received: int = 0
    failures: int = 0
    in_a_row: int = 0
    received_before: int = 0
    problems: list[str] = field(default_factory=list)

    def send(self, method: str, headers: Mapping[str, str]) -> Any:
        """Return the host's answer, or None if there was none worth reading and the wait is over."""
        import urllib3

        given = {
            # a coding on the way would make the bytes others than those of the range
            "Accept-Encoding": "identity",
            "User-Agent": f"mmpipe/{mmpipe.__version__}",
            **headers,
        }
        # waits are counted here, so that all of them together have limits
        retries = urllib3.Retry(
            connect=0, read=0, status=0, other=0, redirect=8, raise_on_status=False, respect_retry_after_header=False
        )
        timeout = urllib3.Timeout(self.policy.timeout_seconds)
        try:
            asked = urllib3.util.parse_url(self.url)
            pool = _open_pool(os.getpid(), asked.scheme or "", asked.host or "")
            response = pool.request(
                method, self.url, headers=given, preload_content=False, retries=retries, timeout=timeout
            )
        except urllib3.exceptions.LocationValueError as error:
            raise RemoteFileError(f"{self.url} is no address: {error}.") from error
        except list_network_errors() as error:
            self.fail(f"did not answer ({type(error).__name__}: {error})")
            return None
        if response.status in _RETRIED:
            response.close()
            self.fail(f"answered {response.status}", _read_wait(response))
            return None
        return response

    def fail(self, problem: str, asked_seconds: float = 0.0) -> None:
        """Note a failure and wait; raise if there were too many."""
        self.failures += 1
        self.in_a_row = 1 if self.received > self.received_before else self.in_a_row + 1
        self.received_before = self.received
        self.problems.append(problem)
        policy = self.policy
        if asked_seconds > policy.most_asked_seconds:
            raise RemoteFileError(
                f"{self.url}: the host asks to come back in {asked_seconds:.0f} s. Run again then; what is committed "
                f"stays."
            )
        if self.failures >= policy.attempts + self.received // _BYTES_PER_FAILURE:
            raise RemoteFileError(
                f"{self.url}: given up after {self.failures} failures, the last: {'; '.join(self.problems[-3:])}. Run "
                f"again when the host answers; what is committed stays."
            )
        wait = min(policy.most_wait_seconds, policy.first_wait_seconds * 2 ** min(self.in_a_row - 1, 30))
        # a random part of it, or all workers would come back at once
        time.sleep(max(asked_seconds, wait * random.uniform(0.5, 1)))  # noqa: S311 - not a secret


@lru_cache(maxsize=16)
def _open_pool(process: int, scheme: str, host: str) -> Any:  # noqa: ARG001 - a fork must not share its parent's sockets
    """Return the connections of this process; any address may be asked, for the crawl's place is the user's choice."""
    import urllib.request

    import urllib3

    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy, maxsize=4)
    return urllib3.PoolManager(maxsize=4)


@lru_cache(maxsize=1)
def list_network_errors() -> tuple[type[Exception], ...]:
    """Return the errors that asking again may mend."""
    import urllib3

    return (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError, EOFError)


def describe_answer(response: Any) -> RemoteFile | None:
    """Return what the answer's head says of the whole file; None if it does not say its size."""
    headers = response.headers
    total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", headers.get("Content-Range", "").strip())
    length = headers.get("Content-Length", "")
    if total is None and (response.status not in (200,) or not length.isdigit()):
        return None
    size = int(total[1] if total else length)
    return RemoteFile(size, headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip())


def read_start(response: Any) -> int | None:
    """Return the byte of the file that an answer begins with; None if it does not say."""
    if not response.headers.get("Content-Length", "").isdigit():
        return None
    if response.status == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", "").strip())
    return int(found[1]) if found else None


def find_strong_stamp(known: RemoteFile) -> str:
    """Return what If-Range may hold: a strong ETag, or the time (RFC 9110, section 13.1.5)."""
    return known.modified if not known.etag or known.etag.startswith("W/") else known.etag


def _read_wait(response: Any) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 without one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0) if text else 0.0
    except (TypeError, ValueError):
        return 0.0


def make_refusal(url: str, response: Any) -> OSError:
    """Return the error for an answer that asking again does not change."""
    reason = {401: "asks who you are", 403: "refuses", 451: "may not"}.get(response.status, "answers")
    kind = PermissionError if response.status in (401, 403) else RemoteFileError
    return kind(f"{url}: the host {reason} (status {response.status}).")
