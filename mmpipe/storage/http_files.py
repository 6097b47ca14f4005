"""Reads files over HTTP(S) by range: what breaks off goes on at the byte where it stopped, and what changes is told."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from mmpipe.storage.http_requests import (
    Attempts,
    RemoteFile,
    RemoteFileChanged,
    RetryPolicy,
    ask_file,
    describe_answer,
    find_strong_stamp,
    list_network_errors,
    make_refusal,
    read_start,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

    from mmpipe.storage.range_cache import RangeCache

#: A file is asked for in runs of granules: one after a jump, then twice as many each time, up to `_MOST_GRANULES`.
GRANULE_BYTES = 1 << 20
_MOST_GRANULES = 4
_CHUNK_BYTES = 1 << 16


class HttpFile(io.RawIOBase):
    """One file of a host, read by range; wrap it in `io.BufferedReader` for anything but large reads.

    Args:
        url: where it lies.
        policy: how long the host is asked again.
        cache: where what was read is kept for the next reader; only for files with an ETag or a time.

    Raises (while reading):
        FileNotFoundError: nothing is there.
        RemoteFileChanged: the file is not the one it was at the first read.
        RemoteFileError: the host refuses, or broke off too often.
    """

    def __init__(self, url: str, policy: RetryPolicy | None = None, cache: RangeCache | None = None) -> None:
        self._url = url
        self._policy = policy or RetryPolicy()
        self._cache = cache
        self._known: RemoteFile | None = None
        self._position = 0
        self._granules: dict[int, bytes] = {}
        self._run = 1
        self._next_granule = -1
        self._stream = _Stream()
        if cache is not None:
            # what is kept is only good for the file that is there now
            self._known = ask_file(url, self._policy)
            if self._known is None:
                raise FileNotFoundError(f"{url} is not there.")

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Return the byte of the file that is read next."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; nothing is asked of the host but, from the end, its size."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = (self._find_size() if start is None else start) + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of the granule that the position lies in."""
        index, inside = divmod(self._position, GRANULE_BYTES)
        if self._known is not None and self._position >= self._known.size:
            return 0
        granule = self._find_granule(index)
        piece = granule[inside : inside + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.drop()
        self._granules.clear()
        super().close()

    def _find_size(self) -> int:
        if self._known is None:
            self._known = ask_file(self._url, self._policy)
            if self._known is None:
                raise FileNotFoundError(f"{self._url} is not there.")
        return self._known.size

    def _find_granule(self, index: int) -> bytes:
        if index not in self._granules:
            self._run = min(self._run * 2, _MOST_GRANULES) if index == self._next_granule else 1
            kept = self._read_cache(index)
            self._granules = {index: kept} if kept is not None else self._fetch(index, index + self._run)
            self._next_granule = index + len(self._granules)
        return self._granules.get(index, b"")

    def _read_cache(self, index: int) -> bytes | None:
        if self._cache is None or self._known is None or not self._known.has_stamp:
            return None
        kept = self._cache.read(self._url, self._known.identity, index)
        wanted = min(GRANULE_BYTES, self._known.size - index * GRANULE_BYTES)
        return kept if kept is not None and len(kept) == wanted else None

    def _fetch(self, first: int, stop: int) -> dict[int, bytes]:
        if self._known is not None:
            stop = min(stop, -(-self._known.size // GRANULE_BYTES))
        stop = next(
            (index for index in range(first + 1, stop) if self._read_cache(index) is not None), max(stop, first)
        )
        data = self._read_range(first * GRANULE_BYTES, stop * GRANULE_BYTES)
        granules = {
            index: data[(index - first) * GRANULE_BYTES : (index - first + 1) * GRANULE_BYTES]
            for index in range(first, stop)
        }
        granules = {index: granule for index, granule in granules.items() if granule}
        if self._cache is not None and self._known is not None and self._known.has_stamp:
            for index, granule in granules.items():
                self._cache.write(self._url, self._known.identity, index, granule)
        return granules

    def _read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes of [start, stop) that the file has, over as many connections as it takes."""
        received = bytearray()
        attempt = Attempts(self._url, self._policy)
        while start + len(received) < stop:
            if self._known is not None:
                stop = min(stop, self._known.size)
                if start + len(received) >= stop:
                    break
            position = start + len(received)
            if not self._stream.stands_at(position) and not self._open_stream(position, stop, attempt):
                break
            try:
                for chunk in self._stream.read_until(stop):
                    received += chunk
                    attempt.received += len(chunk)
            except list_network_errors() as error:
                self._stream.drop()
                attempt.fail(f"broke off at byte {start + len(received)} ({type(error).__name__})")
        return bytes(received)

    def _open_stream(self, start: int, stop: int, attempt: Attempts) -> bool:
        """Open a stream that stands at `start`; False where the file ends before it."""
        self._stream.drop()
        is_open = None
        while is_open is None:
            headers = {"Range": f"bytes={start}-{stop - 1}"}
            if self._known is not None and (stamp := find_strong_stamp(self._known)):
                headers["If-Range"] = stamp
            response = attempt.send("GET", headers)
            if response is not None:
                is_open = self._accept(response, start, attempt)
        return is_open

    def _accept(self, response: Any, start: int, attempt: Attempts) -> bool | None:
        """Take an answer as the stream; None if it was none and may be asked for again."""
        described = describe_answer(response)
        begins_at = read_start(response)
        if response.status in (200, 206) and described is not None and begins_at is not None and begins_at <= start:
            self._stream.open(response, begins_at)
            self._learn(described)
            try:
                # a host that does not know ranges begins at byte 0: the way here is read and forgotten
                for chunk in self._stream.read_until(start):
                    attempt.received += len(chunk)
            except list_network_errors() as error:
                self._stream.drop()
                attempt.fail(f"broke off before byte {start} ({type(error).__name__})")
                return None
            if self._stream.stands_at(start):
                return True
            self._stream.drop()
            if start >= described.size:
                return False
            attempt.fail(f"announced byte {start} and sent none")
            return None
        response.close()
        if response.status in (404, 410):
            raise FileNotFoundError(f"{self._url} is not there.")
        if response.status == 416:
            self._learn(described or RemoteFile(start))
            return False
        if response.status not in (200, 206):
            raise make_refusal(self._url, response)
        attempt.fail(f"answered another range than asked from byte {start}, or no length")
        return None

    def _learn(self, described: RemoteFile) -> None:
        if self._known is None:
            self._known = described
        elif described.identity != self._known.identity:
            self._stream.drop()
            raise RemoteFileChanged(
                f"{self._url} changed while it was read: {self._known.identity} became {described.identity} (size, "
                f"ETag or time). What was made from it must be made again: run again."
            )


class _Stream:
    """The answer that is being read, and the byte of the file where it stands."""

    def __init__(self) -> None:
        self._response: Any = None
        self._position = 0
        self._stop = 0

    def open(self, response: urllib3.BaseHTTPResponse, position: int) -> None:
        self._response = response
        self._position = position
        self._stop = position + int(response.headers["Content-Length"])

    def stands_at(self, position: int) -> bool:
        return self._response is not None and self._position == position and position < self._stop

    def read_until(self, stop: int) -> Iterator[bytes]:
        """Yield bytes up to `stop`, or to the end of the answer, whose connection is then free for others."""
        stop = min(stop, self._stop)
        while self._position < stop:
            chunk = self._response.read(min(_CHUNK_BYTES, stop - self._position), decode_content=False)
            if not chunk:
                raise EOFError("fewer bytes than announced")
            self._position += len(chunk)
            yield chunk
        if self._position >= self._stop and self._response is not None:
            self._response.release_conn()
            self._response = None

    def drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
