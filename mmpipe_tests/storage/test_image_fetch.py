from __future__ import annotations

import contextlib
import gzip
import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmpipe.storage.guarded_http import is_public
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
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
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
