"""A web host on this machine that does to its readers what hosts do: breaks off, stalls, refuses, changes the file."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """How one request is answered, where not plainly."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: body bytes after which the connection is cut
    cut_after: int | None = None
    #: seconds of silence before the rest of the body
    stall_seconds: float = 0.0
    ignores_range: bool = False
    ignores_if_range: bool = False
    #: added to the first byte that Content-Range states
    wrong_start: int = 0
    has_length: bool = True


@dataclass
class FlakyHost:
    """Files by path; `plan` takes the requests one by one, and what it does not answer is answered plainly."""

    files: dict[str, bytes]
    plan: list[Answer] = field(default_factory=list)
    #: answers each request that the plan does not; None for plainly
    always: Callable[[], Answer] | None = None
    etag: str | None = '"1"'
    modified: str | None = "Wed, 01 May 2024 12:00:00 GMT"
    knows_head: bool = True
    port: int = 0
    #: (method, Range header, body bytes sent) of each request
    requests: list[tuple[str, str, int]] = field(default_factory=list)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def sent_bytes(self) -> int:
        return sum(sent for _, _, sent in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: FlakyHost

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        data = self.host.files.get(self.path.lstrip("/"))
        status = 404 if data is None else 200 if self.host.knows_head else 405
        self.host.requests.append(("HEAD", "", 0))
        self._send_head(status, {"Content-Length": str(len(data or b"") if status == 200 else 0)})

    def do_GET(self) -> None:
        host = self.host
        answer = host.plan.pop(0) if host.plan else host.always() if host.always else Answer()
        data = host.files.get(self.path.lstrip("/"))
        status, start, stop = (404, 0, 0) if data is None else self._find_range(answer, len(data))
        status = answer.status or status
        data = data or b""
        body = data[start:stop] if status in (200, 206) else b""
        ranges = {206: f"bytes {start + answer.wrong_start}-{stop - 1}/{len(data)}", 416: f"bytes */{len(data)}"}
        lengths = {"Content-Length": str(len(body))} if answer.has_length else {}
        self.close_connection = not answer.has_length or answer.cut_after is not None
        part = body if answer.cut_after is None else body[: answer.cut_after]
        # noted before it is sent, for the reader may look at once
        host.requests.append(("GET", self.headers.get("Range", ""), len(part)))
        self._send_head(status, {"Content-Range": ranges.get(status, "")} | lengths | answer.headers)
        try:
            time.sleep(answer.stall_seconds)
            self.wfile.write(part)
        except OSError:
            self.close_connection = True  # the reader had enough

    def _find_range(self, answer: Answer, size: int) -> tuple[int, int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range") in (None, self.host.etag, self.host.modified)
        if not found or answer.ignores_range or not (is_same or answer.ignores_if_range):
            return 200, 0, size
        start = int(found[1])
        return (206, start, min(int(found[2]) + 1, size)) if start < size else (416, 0, 0)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        stamps = {"ETag": self.host.etag, "Last-Modified": self.host.modified}
        self.send_response(status)
        for name, value in (stamps | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Readers hang up as they like."""


@contextmanager
def open_host(host: FlakyHost) -> Iterator[FlakyHost]:
    """Serve in a thread."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
