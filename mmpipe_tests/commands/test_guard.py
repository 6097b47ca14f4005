from __future__ import annotations

import pytest

from mmpipe.commands.guard import LOOPBACK, Request, find_refusal

HOST = "127.0.0.1:3000"
QUERY, MUTATION = "{ version }", "mutation { reloadWorkspace { __typename } }"


def refuse(
    method: str = "GET", path: str = "/graphql", query: str = "", kind: str = "http", **headers: str
) -> str | None:
    named = {name.replace("_", "-"): (value,) for name, value in ({"host": HOST} | headers).items()}
    return find_refusal(
        Request(kind, method, path, (query,) if query else (), named), frozenset({*LOOPBACK, "mm.local"})
    )


@pytest.mark.parametrize("host", [HOST, "localhost:8080", "[::1]:3000", "LOCALHOST", "mm.local", "localhost.:3000"])
def test_names_of_the_server_pass(host: str) -> None:
    assert refuse(host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "", "x@127.0.0.1.evil"]
)
def test_foreign_names_that_resolve_here_are_refused(host: str) -> None:
    assert "Host" in str(refuse(host=host))


def test_a_host_sent_twice_is_refused() -> None:
    request = Request("http", "GET", "/", (), {"host": (HOST, "evil.example")})
    assert find_refusal(request, LOOPBACK) is not None


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:3000.evil"]
)
def test_pages_of_other_origins_are_refused(kind: str, origin: str) -> None:
    assert "another site" in str(refuse("POST", kind=kind, origin=origin))


def test_the_ui_itself_and_programs_pass() -> None:
    assert refuse("POST", origin=f"http://{HOST}", sec_fetch_site="same-origin") is None
    assert refuse(kind="websocket", origin=f"http://{HOST}") is None
    assert refuse("POST") is None
    assert refuse("GET", query=QUERY) is None


@pytest.mark.parametrize(
    "query", [MUTATION, "query A { version } mutation B { reloadWorkspace { __typename } }", "subscription { x }"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_mutations_in_links_are_refused(query: str, method: str) -> None:
    assert "POST" in str(refuse(method, query=query, sec_fetch_site="none"))


def test_links_from_elsewhere_open_pages_but_reach_no_data() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert refuse(path="/assets/raw_crawl", **link) is None
    assert refuse(path="/graphql", query=QUERY, **link) is not None
    assert refuse("POST", path="/assets", **link) is not None
    assert refuse(path="/assets", **(link | {"sec_fetch_dest": "iframe"})) is not None
    assert refuse(path="/logs/x", sec_fetch_site="same-site", sec_fetch_mode="no-cors") is not None
