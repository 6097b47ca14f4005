from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmpipe.commands.served_settings import (
    ROW_SETTINGS,
    describe_row_makers,
    read_row_settings,
    require_same_settings,
    write_server_record,
)
from mmpipe.commands.server import find_server
from mmpipe.errors import ConfigurationError
from mmpipe_tests.commands.conftest import REPOSITORY

URL = "http://127.0.0.1:3177"
#: Of docs/settings.md: what moves no row, as each line there says.
BILL_ONLY = {
    "MMPIPE_CRAWL", "MMPIPE_STATE", "MMPIPE_POSTGRES_URL", "MMPIPE_SERVER", "MMPIPE_WORKERS", "MMPIPE_ENGINE",
    "MMPIPE_RANGE_MEBIBYTES", "MMPIPE_DEVICE", "MMPIPE_BATCH_SIZE", "MMPIPE_CLIP_BATCH_SIZE",
    "MMPIPE_MEMORY_MEBIBYTES", "MMPIPE_TEACHER_CONCURRENCY", "MMPIPE_TEACHER_TIMEOUT_SECONDS",
    "MMPIPE_TEACHER_PROMPT_PRICE", "MMPIPE_TEACHER_COMPLETION_PRICE", "MMPIPE_CONTACT", "MMPIPE_LISTS",
}  # fmt: skip


def read(folder: Path, **environ: str) -> dict[str, str]:
    return read_row_settings({"MMPIPE_LAKE": str(folder / "lake")} | environ, folder)


def test_every_setting_of_the_docs_is_compared_or_moves_no_row() -> None:
    table = [line for line in (REPOSITORY / "docs" / "settings.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"MMPIPE_[A-Z0-9_]+", line.split("|")[1])}
    assert named
    assert named - BILL_ONLY == set(ROW_SETTINGS) & named
    assert not BILL_ONLY & set(ROW_SETTINGS)


def test_settings_that_differ_are_told_with_both_values_and_what_to_do(tmp_path: Path) -> None:
    served = read(tmp_path)
    here = read(tmp_path, MMPIPE_RECIPE="fineweb", MMPIPE_TEACHER="acme-7b", MMPIPE_TEACHER_URL="http://localhost:1/v1")
    with pytest.raises(ConfigurationError) as raised:
        require_same_settings(URL, served, here)
    told = str(raised.value)
    assert "  MMPIPE_RECIPE: refinedweb there, fineweb here\n" in told
    assert "  MMPIPE_TEACHER: (not set) there, acme-7b here\n" in told
    assert told.count(" there, ") == 3
    assert "--here" in told
    assert "mmpipe dev" in told
    with pytest.raises(ConfigurationError, match=r"acme-7b there, \(not set\) here"):
        require_same_settings(URL, here, served)


@pytest.mark.parametrize("name", sorted(ROW_SETTINGS))
def test_each_setting_that_moves_rows_parts_a_server_from_a_shell(tmp_path: Path, name: str) -> None:
    other = {"yes": "no", "no": "yes"}.get(ROW_SETTINGS[name], "another")
    with pytest.raises(ConfigurationError, match=name):
        require_same_settings(URL, read(tmp_path), read(tmp_path, **{name: other}))


def test_what_is_written_otherwise_and_means_the_same_is_the_same(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: fineweb\n")
    teachers = "teachers:\n  one: {model: a, base_url: 'http://localhost:1/v1'}\n"
    (tmp_path / "teachers.yaml").write_text(teachers)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine.yaml").write_text("# a copy\nextends: fineweb\n")
    (tmp_path / "copy" / "teachers.yaml").write_text(f"# a copy\n{teachers}")
    lake = str(tmp_path / "lake")
    served = read(
        tmp_path, MMPIPE_RECIPE=str(recipe), MMPIPE_TEACHERS="teachers.yaml", MMPIPE_TEACHER_TAKES_IMAGES="TRUE",
        MMPIPE_CACHE=f"{lake}-cache", MMPIPE_WORKERS="3",
    )  # fmt: skip
    here = read(
        tmp_path, MMPIPE_RECIPE=str(tmp_path / "copy" / "mine.yaml"),
        MMPIPE_TEACHERS=str(tmp_path / "copy" / "teachers.yaml"), MMPIPE_CONTRACTS="",
    )  # fmt: skip
    require_same_settings(URL, served, here)
    (tmp_path / "copy" / "teachers.yaml").write_text(teachers.replace("model: a", "model: b"))
    with pytest.raises(ConfigurationError, match="MMPIPE_TEACHERS"):
        require_same_settings(URL, served, here)
    recipe.unlink()
    with pytest.raises(ConfigurationError, match="MMPIPE_RECIPE"):
        require_same_settings(URL, served, here)


def test_a_server_that_told_nothing_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="told nothing"):
        require_same_settings(URL, None, read(tmp_path))


def test_no_secret_is_written_beside_the_server(tmp_path: Path) -> None:
    environ = {
        "MMPIPE_TEACHER_KEY": "sk-one", "MY_KEY": "sk-two", "MMPIPE_TEACHER_KEY_VARIABLE": "MY_KEY",
        "MMPIPE_LAKE": "s3://bucket/lake", "MMPIPE_POSTGRES_URL": "postgresql://me:secret@host/db",
        "MMPIPE_TEACHER_URL": "https://me:secret@host:8/v1?key=secret", "MMPIPE_TEACHER": "acme",
    }  # fmt: skip
    write_server_record(tmp_path / "server.json", URL, environ, tmp_path)
    written = (tmp_path / "server.json").read_text()
    assert "sk-" not in written
    assert "secret" not in written
    record = json.loads(written)
    assert (record["url"], record["pid"]) == (URL, os.getpid())
    assert record["settings"]["MMPIPE_TEACHER_URL"] == "https://host:8/v1"
    assert record["settings"]["MMPIPE_CACHE"] == "s3://bucket/lake-cache"


def test_who_makes_rows_is_told_in_short(tmp_path: Path) -> None:
    assert describe_row_makers(read(tmp_path)) == "recipe refinedweb, teacher the embedded one"
    settings = read(tmp_path, MMPIPE_RECIPE="/a/b.yaml", MMPIPE_TEACHER="acme", MMPIPE_TEACHER_URL="http://h/v1")
    assert describe_row_makers(settings) == "recipe b.yaml, teacher acme at http://h/v1"
    assert describe_row_makers(read(tmp_path, MMPIPE_TEACHERS="t.yaml")) == "recipe refinedweb, teachers of t.yaml"


class Answers(BaseHTTPRequestHandler):
    """Says that it is there, as a web server of Dagster does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"data": {"version": "1"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def there() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_only_the_server_of_this_project_tells_its_settings(tmp_path: Path, there: str) -> None:
    assert find_server(None, tmp_path) is None
    write_server_record(tmp_path / "server.json", there, {"MMPIPE_TEACHER": "acme"}, tmp_path)
    for wanted in (None, there, f"{there}/"):
        found = find_server(wanted, tmp_path)
        assert found is not None
        assert found.is_own
        assert found.settings is not None
        assert found.settings["MMPIPE_TEACHER"] == "acme"
    write_server_record(tmp_path / "server.json", URL, {}, tmp_path)
    other = find_server(there, tmp_path)
    assert other is not None
    assert (other.url, other.is_own, other.settings) == (there, False, None)


def test_a_backfill_of_another_teacher_than_the_servers_is_refused(tiny, instance, there: str) -> None:
    tiny.add(instance, "d1")
    state = tiny.folder / "var" / "state"
    write_server_record(state / "server.json", there, tiny.environ, tiny.folder)
    asked = ("backfill", "raw_crawl", "--partitions", "d1", "--dry-run")
    ran = tiny.run(*asked, MMPIPE_TEACHER="acme-7b", MMPIPE_TEACHER_URL="http://localhost:1/v1")
    assert ran.returncode == 1, ran.stdout
    assert "MMPIPE_TEACHER: (not set) there, acme-7b here" in ran.stderr
    assert ran.stdout == ""
    ran = tiny.run(*asked, "--here", MMPIPE_TEACHER="acme-7b", MMPIPE_TEACHER_URL="http://localhost:1/v1")
    assert ran.returncode == 0, ran.stderr
    assert "(in this process)\nwith recipe refinedweb, teacher acme-7b at http://localhost:1/v1\n" in ran.stdout
    ran = tiny.run(*asked)
    assert ran.returncode == 0, ran.stderr
    assert f"(through {there})" in ran.stdout
