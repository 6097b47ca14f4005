from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmpipe.storage.guarded_http import SocketWatch, is_public
from mmpipe.storage.host_gates import HostGates, HostResting, read_retry_after
from mmpipe.storage.image_fetch import ImageFetcher
from mmpipe.storage.places import Place
from mmpipe.storage.robots import find_opt_out, parse_robots


class Host:
    """A web server on a thread; remembers what it was asked and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.busy = self.most_busy = 0
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.path, self.headers["User-Agent"], time.monotonic()))
                host.busy += 1
                host.most_busy = max(host.most_busy, host.busy)
                time.sleep(0.01)
                status, headers, body = host.answers.get(self.path, (404, {}, b"none"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                host.busy -= 1
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def list_paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]


@pytest.fixture
def host() -> Iterator[Host]:
    served = Host()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def fetcher(tmp_path: Path) -> ImageFetcher:
    return ImageFetcher(
        Place(str(tmp_path)), contact="https://example.org/bot", delay_seconds=0, max_bytes=10_000, timeout_seconds=1,
        deadline_seconds=3, allow_private=True,
    )  # fmt: skip


def fetch_one(fetcher: ImageFetcher, url: str) -> tuple[str, str | None]:
    ((_, outcome),) = fetcher.fetch([url])
    return outcome.origin, outcome.detail


def test_image_is_fetched_once_kept_by_content_and_found_again(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {"/a.png": (200, {}, b"pixels"), "/b.png": (200, {}, b"pixels")}
    urls = [f"{host.url}/a.png", f"{host.url}/b.png", f"{host.url}/a.png"]
    first = dict(fetcher.fetch(urls))
    assert {outcome.origin for outcome in first.values()} == {"fetched"}
    digests = {outcome.sha256 for outcome in first.values()}
    assert len(digests) == 1
    digest = digests.pop()
    assert digest
    assert fetcher.cache.read(digest) == b"pixels"
    assert (Path(fetcher.folder.url) / digest[:2] / digest).read_bytes() == b"pixels"
    assert host.list_paths() == ["/robots.txt", "/a.png", "/b.png"]
    assert host.asked[0][1].startswith("mmpipe/")
    assert host.asked[0][1].endswith("(+https://example.org/bot)")
    assert [outcome.origin for _, outcome in fetcher.fetch(urls)] == ["cache", "cache"]
    assert len(host.asked) == 3


def test_only_failures_are_asked_for_again(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {"/a.png": (200, {}, b"a"), "/b.png": (503, {}, b"busy")}
    urls = [f"{host.url}/a.png", f"{host.url}/b.png"]
    outcomes = dict(fetcher.fetch(urls))
    assert outcomes[urls[1]].detail == "fetch_failed: HTTP 503"
    host.answers["/b.png"] = (200, {}, b"b")
    host.asked.clear()
    assert {url: outcome.origin for url, outcome in fetcher.fetch(urls)} == {urls[0]: "cache", urls[1]: "fetched"}
    assert host.list_paths() == ["/robots.txt", "/b.png"]


def test_robots_are_read_before_anything_is_transferred(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /private/*.png$\n"),
        "/private/a.png": (200, {}, b"a"),
        "/private/a.jpg": (200, {}, b"a"),
    }
    assert fetch_one(fetcher, f"{host.url}/private/a.png") == ("missing", f"fetch_refused: robots.txt of {host.url}")
    assert host.list_paths() == ["/robots.txt"]
    assert fetch_one(fetcher, f"{host.url}/private/a.jpg") == ("fetched", None)


@pytest.mark.parametrize(("status", "origin"), [(404, "fetched"), (403, "fetched"), (500, "missing"), (429, "missing")])
def test_absent_robots_allow_and_unwell_ones_forbid(
    host: Host, fetcher: ImageFetcher, status: int, origin: str
) -> None:
    host.answers = {"/robots.txt": (status, {}, b""), "/a.png": (200, {}, b"a")}
    assert fetch_one(fetcher, f"{host.url}/a.png")[0] == origin


@pytest.mark.parametrize("value", ["noai", "noindex, nofollow", "mmpipe: noimageai"])
def test_opt_out_by_header_is_honoured(host: Host, fetcher: ImageFetcher, value: str) -> None:
    host.answers = {"/a.png": (200, {"X-Robots-Tag": value}, b"a")}
    origin, detail = fetch_one(fetcher, f"{host.url}/a.png")
    assert (origin, (detail or "")[:29]) == ("missing", "fetch_refused: X-Robots-Tag: ")


def test_redirects_are_followed_and_each_target_checked(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {
        "/robots.txt": (200, {}, b"User-agent: mmpipe\nDisallow: /no"),
        "/a.png": (302, {"Location": "/b.png"}, b""),
        "/b.png": (200, {}, b"b"),
        "/c.png": (301, {"Location": "/no/d.png"}, b""),
        "/no/d.png": (200, {}, b"d"),
        "/loop": (302, {"Location": "/loop"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        "/lost": (302, {}, b""),
    }
    assert fetch_one(fetcher, f"{host.url}/a.png") == ("fetched", None)
    assert fetch_one(fetcher, f"{host.url}/c.png")[1] == f"fetch_refused: robots.txt of {host.url}"
    assert fetch_one(fetcher, f"{host.url}/loop")[1] == "fetch_failed: more than 5 redirects"
    assert (fetch_one(fetcher, f"{host.url}/file")[1] or "").startswith("fetch_refused: ")
    assert fetch_one(fetcher, f"{host.url}/lost")[1] == "fetch_failed: HTTP 302 without a location"
    assert "/no/d.png" not in host.list_paths()


def test_large_slow_and_dead_transfers_end(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {
        "/told.png": (200, {"Content-Length": "99999"}, b""),
        "/zip.png": (200, {"Content-Encoding": "gzip"}, gzip.compress(b"0" * 5_000_000)),
        "/short.png": (200, {"Content-Length": "500"}, b"half"),
        "/empty.png": (200, {}, b""),
    }
    details = {url.rpartition("/")[2]: outcome.detail for url, outcome in fetcher.fetch(
        [host.url + path for path in host.answers] + ["http://127.0.0.1:1/a.png"]
    )}  # fmt: skip
    assert details["told.png"] == "fetch_failed: 99999 bytes are more than 10000"
    assert details["zip.png"] == "fetch_failed: more than 10000 bytes"
    assert (details["short.png"] or "").startswith("fetch_failed: ")
    assert details["empty.png"] == "fetch_failed: no bytes"
    assert details["a.png"] == "fetch_refused: robots.txt of http://127.0.0.1:1"


def test_one_host_is_asked_one_thing_at_a_time_with_pauses(host: Host, tmp_path: Path) -> None:
    host.answers = {f"/{n}.png": (200, {}, b"a") for n in range(4)}
    fetcher = ImageFetcher(Place(str(tmp_path)), delay_seconds=0.05, allow_private=True)
    assert len(list(fetcher.fetch(f"{host.url}/{n}.png" for n in range(4)))) == 4
    times = [moment for path, _, moment in host.asked if path != "/robots.txt"]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.05
    assert host.most_busy == 1


def test_private_addresses_are_refused_where_the_connection_is_made(host: Host, tmp_path: Path) -> None:
    fetcher = ImageFetcher(Place(str(tmp_path)), timeout_seconds=1)
    port = host.server.server_port
    for name in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"):
        origin, detail = fetch_one(fetcher, f"http://{name}:{port}/a.png")
        assert origin == "missing"
        assert (detail or "").startswith("fetch_refused: ")
        assert "not a public address" in (detail or "")
    assert host.asked == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("ff02::1", False),
    ],
)  # fmt: skip
def test_public_addresses_are_told_from_others(address: str, expected: bool) -> None:
    assert is_public(address) is expected


ROBOTS = """
# comment
User-agent: otherbot
Disallow: /

User-agent: mmpipe/2.0
User-agent: friend
Allow: /open/a
Disallow: /open
Disallow: /*.gif$
Disallow:
Crawl-delay: 2.5

User-agent: *
Disallow: /all
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", True), ("/open", False), ("/open/a.png", True), ("/x/y.gif", False), ("/x/y.gif?z", True), ("/all", True)],
)
def test_longest_rule_of_our_own_group_decides(path: str, expected: bool) -> None:
    rules = parse_robots(ROBOTS, "mmpipe")
    assert rules.allows(f"https://example.org{path}") is expected
    assert rules.crawl_delay_seconds == 2.5


def test_group_for_all_holds_where_none_names_us_and_hostile_patterns_end_soon() -> None:
    assert not parse_robots(ROBOTS, "newbot").allows("https://example.org/all/a.png")
    hostile = parse_robots("User-agent: *\nDisallow: /" + "*a" * 5000 + "$", "mmpipe")
    started = time.process_time()
    hostile.allows("https://example.org/" + "a" * 4000)
    assert time.process_time() - started < 1


def test_opt_outs_meant_for_others_do_not_count() -> None:
    assert find_opt_out(["otherbot: noai", "nofollow"], "mmpipe") is None
    assert find_opt_out(["unavailable_after: 25 Jun 2026"], "mmpipe") is None
    assert find_opt_out(["nofollow, NoImageAI"], "mmpipe") == "noimageai"


def serve_bytes(answer: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """Serve raw bytes; `answer` gets a connection and how many came before."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers = itertools.count()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if b"/robots.txt" in connection.recv(4096):
                connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            answer(connection, next(numbers))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def trickle(connection: socket.socket, head: bytes, drop: bytes) -> None:
    connection.sendall(head)
    for _ in range(400):
        connection.sendall(drop)
        time.sleep(0.05)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
                                  b"HTTP/1.1 200 OK\r\nX-Slow: "])  # fmt: skip
def test_a_host_that_trickles_is_left_at_the_deadline(tmp_path: Path, head: bytes) -> None:
    fetcher = ImageFetcher(
        Place(str(tmp_path)), delay_seconds=0, timeout_seconds=1, deadline_seconds=0.5, allow_private=True
    )
    for url in serve_bytes(lambda connection, _: trickle(connection, head, b"x")):
        started = time.monotonic()
        assert fetch_one(fetcher, f"{url}/a.png") == ("missing", "fetch_failed: not here after 0.5 s")
        assert time.monotonic() - started < 3


def test_a_socket_that_opens_after_the_deadline_is_shut() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, SocketWatch(0) as watch:
        while not watch.is_over:
            time.sleep(0.01)
        watch.add(ours)
        theirs.settimeout(1)
        assert theirs.recv(1) == b""


def test_dropped_connections_are_named_and_a_dead_host_is_asked_no_more(fetcher: ImageFetcher) -> None:
    asked: list[int] = []

    def drop(connection: socket.socket, number: int) -> None:
        asked.append(number)
        if number == 0:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf")

    for url in serve_bytes(drop):
        outcomes = [outcome for _, outcome in fetcher.fetch(f"{url}/{n}.png" for n in range(8))]
    assert [outcome.kind for outcome in outcomes] == ["cut_short", *["connection"] * 3, *["host_resting"] * 4]
    assert len(asked) == 4
    assert not any(outcome.is_permanent for outcome in outcomes)


def test_a_host_that_is_silent_rests_and_an_answer_counts() -> None:
    gates = HostGates()
    gate = gates.find("http://e.org/a.png")
    for _ in range(3):
        gate.note_answer(is_silent=True)
    with pytest.raises(HostResting, match="3 times in a row"), gates.find("https://e.org:8443/b.png").enter(0, 1):
        pass
    other = gates.find("http://other.org/")
    for is_silent in (True, True, False, True, True):
        other.note_answer(is_silent=is_silent)
    with other.enter(0, 1):
        pass


def test_reserved_rights_keep_an_image_out(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {
        "/a.png": (200, {"TDM-Reservation": "1", "TDM-Policy": "https://e.org/p"}, b"a"),
        "/b.png": (200, {"TDM-Reservation": "0"}, b"b"),
        "/c.png": (302, {"Location": "/d.png", "X-Robots-Tag": "noml"}, b""),
        "/d.png": (200, {}, b"d"),
    }
    assert fetch_one(fetcher, f"{host.url}/a.png") == ("missing", "fetch_refused: TDM-Reservation: 1")
    assert fetch_one(fetcher, f"{host.url}/b.png")[0] == "fetched"
    assert fetch_one(fetcher, f"{host.url}/c.png") == ("missing", "fetch_refused: X-Robots-Tag: noml")
    assert "/d.png" not in host.list_paths()


def test_body_of_an_opted_out_image_is_not_transferred(fetcher: ImageFetcher) -> None:
    sent = threading.Event()

    def answer(connection: socket.socket, _: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Robots-Tag: noai\r\nContent-Length: 9000\r\n\r\n")
        if connection.recv(1) == b"":  # the other side hangs up before a byte of the body is sent
            sent.set()

    for url in serve_bytes(answer):
        assert fetch_one(fetcher, f"{url}/a.png") == ("missing", "fetch_refused: X-Robots-Tag: noai")
    assert sent.wait(3)


def test_a_host_that_asks_for_time_gets_it_once(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {"/a.png": (429, {"Retry-After": "1"}, b""), "/b.png": (200, {}, b"b")}
    started = time.monotonic()
    outcomes = dict(fetcher.fetch([f"{host.url}/a.png", f"{host.url}/b.png"]))
    assert time.monotonic() - started >= 1
    assert host.list_paths() == ["/robots.txt", "/a.png", "/a.png"]
    assert [outcome.kind for outcome in outcomes.values()] == ["rate_limited", "host_resting"]
    host.answers["/a.png"] = (503, {"Retry-After": "86400"}, b"")
    host.asked.clear()
    outcomes = dict(fetcher.fetch([f"{host.url}/a.png", f"{host.url}/b.png"]))
    assert host.list_paths() == ["/robots.txt", "/a.png"]
    assert outcomes[f"{host.url}/a.png"].detail == "fetch_failed: HTTP 503: this host asks to come back in 86400 s"
    host.answers["/a.png"] = (200, {}, b"a")
    assert {outcome.origin for _, outcome in fetcher.fetch(outcomes)} == {"fetched"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7.0), (" 0 ", 0.0), ("-5", None), ("soon", None), ("", None), (None, None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 400, 999999999.0)],
)  # fmt: skip
def test_retry_after_is_read(value: str | None, expected: float | None) -> None:
    assert read_retry_after(value) == expected


def test_what_is_in_vain_is_not_asked_again_unless_conditions_change(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /no"),
        "/no/a.png": (200, {}, b"a"),
        "/opt.png": (200, {"X-Robots-Tag": "noai"}, b"a"),
        "/large.png": (200, {}, b"a" * 20_000),
        "/busy.png": (500, {}, b""),
        "/late.png": (408, {}, b""),
    }
    urls = [host.url + path for path in (*host.answers, "/gone.png") if path != "/robots.txt"]
    first = {url.removeprefix(host.url): outcome for url, outcome in fetcher.fetch(urls)}
    assert {path: (outcome.kind, outcome.is_permanent) for path, outcome in first.items()} == {
        "/no/a.png": ("robots", True), "/opt.png": ("opt_out", True), "/large.png": ("too_large", True),
        "/busy.png": ("http_status", False), "/late.png": ("http_status", False), "/gone.png": ("http_status", True),
    }  # fmt: skip
    host.asked.clear()
    again = {url.removeprefix(host.url): outcome for url, outcome in fetcher.fetch(urls)}
    assert again == first
    assert sorted(host.list_paths()) == ["/busy.png", "/late.png", "/robots.txt"]
    host.asked.clear()
    larger = replace(fetcher, max_bytes=30_000)
    assert fetch_one(larger, f"{host.url}/large.png")[0] == "fetched"


def test_a_redirect_to_a_private_address_is_refused_at_that_hop(host: Host, tmp_path: Path) -> None:
    fetcher = ImageFetcher(Place(str(tmp_path)), delay_seconds=0, timeout_seconds=1)
    inside = Host()
    inside.answers = {"/secret.png": (200, {}, b"secret")}
    host.answers = {"/a.png": (302, {"Location": f"http://127.0.0.2:{inside.server.server_port}/secret.png"}, b"")}
    # the first host counts as public, as a crawled one would be
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmpipe.storage.guarded_http.is_public", lambda address: address == "127.0.0.1")
        origin, detail = fetch_one(fetcher, f"{host.url}/a.png")
    assert origin == "missing"
    assert (detail or "").startswith("fetch_refused: ")
    assert "/a.png" in host.list_paths()
    assert inside.asked == []


@pytest.mark.parametrize("location", ["http://[half", "http://\xe9.x/\xff", "//", "http://a b/", "http://x:99999/"])
def test_no_location_stops_a_fetch(host: Host, fetcher: ImageFetcher, location: str) -> None:
    host.answers = {"/a.png": (302, {"Location": location}, b""), "/b.png": (200, {}, b"b")}
    outcomes = dict(fetcher.fetch([f"{host.url}/a.png", f"{host.url}/b.png"]))
    assert [outcome.origin for outcome in outcomes.values()] == ["missing", "fetched"]


def test_hosts_that_redirect_to_one_share_its_pauses(host: Host, tmp_path: Path) -> None:
    host.answers = {"/to.png": (200, {}, b"a")}
    others = [Host() for _ in range(3)]
    for other in others:
        other.answers = {"/a.png": (302, {"Location": f"{host.url}/to.png"}, b"")}
    fetcher = ImageFetcher(Place(str(tmp_path)), delay_seconds=0.05, allow_private=True)
    assert {outcome.origin for _, outcome in fetcher.fetch(f"{other.url}/a.png" for other in others)} == {"fetched"}
    times = [moment for path, _, moment in host.asked if path == "/to.png"]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.05
    assert host.most_busy == 1


def test_a_cut_entry_of_the_cache_is_asked_for_again(host: Host, fetcher: ImageFetcher) -> None:
    host.answers = {"/a.png": (200, {}, b"a")}
    fetch_one(fetcher, f"{host.url}/a.png")
    (entry,) = (Path(fetcher.folder.url) / "urls").rglob("*.json")
    entry.write_text('{"url": "htt')
    assert fetch_one(fetcher, f"{host.url}/a.png") == ("fetched", None)
