"""What is found of a teacher before anybody is asked: endpoints that refuse, lack the model, or are not there."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from mmpipe.models.teacher_probe import probe_teacher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTED = json.dumps({"object": "list", "data": [{"id": "qwen-7b"}, {"id": "qwen-14b"}]}).encode()


@contextmanager
def serve_models(status: int = 200, content: bytes = LISTED, key: str = "") -> Iterator[tuple[str, list[str]]]:
    """Serve a list of models; whoever lacks the key is refused. Yields the URL and the methods and paths asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            is_refused = key and self.headers.get("Authorization") != f"Bearer {key}"
            self.send_response(401 if is_refused else status)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_endpoint_that_serves_the_model_is_well_and_asked_for_no_reply() -> None:
    with serve_models(key="sk-1") as (url, asked):
        settings = {"base_url": f"{url}/", "model": "qwen-7b", "api_key_variable": "MY_KEY"}
        found = probe_teacher(settings, {"MY_KEY": "sk-1"})
    assert (found.is_wrong, found.message) == (False, f"qwen-7b at {url}")
    assert asked == ["GET /v1/models"]


@pytest.mark.parametrize(
    ("served", "settings", "environ", "said"),
    [
        ({}, {"model": "qwen-7"}, {}, "does not serve 'qwen-7'. Did you mean 'qwen-7b'?"),
        ({}, {}, {}, "no model is named"),
        ({"key": "sk-1"}, {"model": "qwen-7b"}, {}, "refuses to answer without a key; set MY_KEY (status 401)"),
        ({"key": "sk-1"}, {"model": "qwen-7b"}, {"MY_KEY": "old"}, "refuses the key in MY_KEY (status 401)"),
        ({"status": 503}, {"model": "qwen-7b"}, {}, "answers with status 503"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_said(
    served: dict[str, Any], settings: dict[str, str], environ: dict[str, str], said: str
) -> None:
    with serve_models(**served) as (url, _):
        found = probe_teacher({"base_url": url, "api_key_variable": "MY_KEY", **settings}, environ)
    assert found.is_wrong
    assert said in found.message
    assert "old" not in found.message.replace(url, "")


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"data": [1]}', b'{"data": []}'])
def test_an_endpoint_that_lists_nothing_is_not_blamed(content: bytes) -> None:
    with serve_models(content=content) as (url, _):
        found = probe_teacher({"base_url": url, "model": "m"}, {})
    assert (found.is_wrong, "does not list its models" in found.message) == (False, True)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_without_a_list_of_models_gets_a_hint_alone(status: int) -> None:
    with serve_models(status=status, content=b"") as (url, _):
        found = probe_teacher({"base_url": url, "model": "m"}, {})
    assert not found.is_wrong
    assert f"m at {url}" in found.message
    assert f"status {status}: no list of models, or base_url lacks a part such as /v1" in found.message


def test_nobody_at_the_address_and_a_variable_that_is_not_set_are_wrong() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    settings = {"base_url": url, "model": "m", "api_key_variable": "MY_KEY"}
    gone = probe_teacher(settings, {"MY_KEY": "k"})
    unset = probe_teacher(settings, {}, needs_key=True)
    assert gone.is_wrong
    assert "does not answer" in gone.message
    assert gone.message.endswith("Start it, or mend base_url.")
    single = probe_teacher(settings, {"MY_KEY": "k"}, url_setting="MMPIPE_TEACHER_URL")
    assert single.message.endswith("Start it, or mend MMPIPE_TEACHER_URL.")
    assert unset.is_wrong
    assert "its key's variable MY_KEY is not set" in unset.message


def test_weights_in_this_process_are_looked_for(tmp_path: Path) -> None:
    gone = probe_teacher({"model": str(tmp_path / "model")}, {})
    here = probe_teacher({"model": str(tmp_path)}, {})
    hub = probe_teacher({"model": "nobody/has-this-model"}, {})
    assert (gone.is_wrong, here.is_wrong, hub.is_wrong) == (True, False, False)
    assert "no such file or folder" in gone.message
    assert "fetched when first used" in hub.message
    assert not probe_teacher({}, {}).is_wrong
