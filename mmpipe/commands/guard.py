"""Refuses requests that another site's page makes: Dagster's server has no login and checks neither Host nor Origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

#: Names of this machine for itself.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Request:
    """What the guard looks at.

    Attributes:
        kind: http or websocket.
        method: GET, POST, …
        path: path of the URL.
        queries: GraphQL texts in the URL.
        headers: lower-case names; a header sent twice has all its values.
    """

    kind: str
    method: str
    path: str
    queries: tuple[str, ...]
    headers: dict[str, tuple[str, ...]]


def find_refusal(request: Request, allowed_hosts: frozenset[str]) -> str | None:
    """Return why a request is refused, or None if it may pass.

    Three holes are closed: a foreign name that resolves to this machine (Host), a foreign page that posts, opens a
    socket or embeds (Origin, Sec-Fetch-Site), and a mutation in a link (GET), which no header gives away. A link to a
    page of the UI may be followed from anywhere. Programs send neither Origin nor Sec-Fetch-Site and pass.

    Args:
        request: the request.
        allowed_hosts: host names, without port, under which the server is reached.
    """
    hosts = request.headers.get("host", ())
    if len(hosts) != 1 or _name_host(hosts[0]) not in allowed_hosts:
        return (
            f"Host {', '.join(hosts) or '(none)'} is not a name of this server. Allow it: mmpipe dev --allow-host NAME."
        )
    for origin in request.headers.get("origin", ()):
        # a page of this server has this server's origin, port included
        if urlsplit(origin).netloc.lower() != hosts[0].lower():
            return f"Origin {origin} is another site."
    site = request.headers.get("sec-fetch-site", ())
    if any(value not in {"same-origin", "none"} for value in site):
        is_link = (
            request.kind == "http"
            and request.method in {"GET", "HEAD"}
            and request.headers.get("sec-fetch-mode") == ("navigate",)
            and request.headers.get("sec-fetch-dest") == ("document",)
            and not request.path.rstrip("/").endswith("graphql")
        )
        if not is_link:
            return f"The request comes from another site (Sec-Fetch-Site: {', '.join(site)})."
    if request.method != "POST" and any(_may_change(query) for query in request.queries):
        return "A GraphQL operation that is not a query must be sent by POST."
    return None


def _name_host(host: str) -> str:
    name = urlsplit(f"//{host}").hostname
    return (name or "").lower().rstrip(".")


def _may_change(query: str) -> bool:
    from graphql import GraphQLError, parse
    from graphql.language import OperationDefinitionNode, OperationType

    try:
        document = parse(query)
    except GraphQLError:
        return False  # the server refuses it by itself
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation != OperationType.QUERY
        for node in document.definitions
    )


class Guard:
    """ASGI middleware that lets a request through only if `find_refusal` has nothing against it."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to a refused request, or close its socket; hand every other one on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = find_refusal(read_request(scope), self._allowed_hosts)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[:120]})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"Refused: {refusal}\n".encode()})


def read_request(scope: Scope) -> Request:
    """Return what the guard looks at in an ASGI scope."""
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        headers[key] = (*headers.get(key, ()), value.decode("latin-1"))
    queries = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get("query", [])
    return Request(scope["type"], scope.get("method", "GET"), scope["path"], tuple(queries), headers)
