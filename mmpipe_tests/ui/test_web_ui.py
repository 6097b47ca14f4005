"""Drives the web UI as a person would: the real definitions, the sample crawl, `mmpipe dev`, headless chromium.

Screenshots for the documentation are written where MMPIPE_SCREENSHOTS names a folder:
`MMPIPE_SCREENSHOTS=docs/screenshots pytest -m ui`. With MMPIPE_UI_PROJECT=FOLDER the lake of that project is shown
(after `make demo`, say) instead of a small one made here.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe_tests.commands.conftest import TinyProject, write_project
from mmpipe_tests.commands.test_dev import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from mmpipe_tests.conftest import SampleCrawl

pytestmark = [pytest.mark.ui, pytest.mark.timeout(1500)]
DEFINITIONS = os.environ.get("MMPIPE_UI_DEFINITIONS", "mmpipe.definitions")
BACKFILL_SECONDS = 900


@pytest.fixture(scope="module")
def chromium() -> str:
    """Return the path of chromium, or skip and say how to get it."""
    pytest.importorskip("playwright", reason="the UI test drives chromium through playwright: pip install '.[dev]'")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no chromium on this machine: apt-get update && apt-get install -y chromium")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sample_crawl: SampleCrawl, chromium: str) -> Iterator[Server]:
    """Return a running `mmpipe dev` of a project in which the text lane of one dump was made."""
    if "MMPIPE_UI_PROJECT" in os.environ:
        project = TinyProject(Path(os.environ["MMPIPE_UI_PROJECT"]).absolute())
    else:
        project = write_project(tmp_path_factory.mktemp("ui"), DEFINITIONS)
        dump = sample_crawl.dumps[0]
        for command in (
            ["crawl", "add", dump.name, str(dump.folder)],
            ["backfill", "+text_removals", "--partitions", dump.name, "--here"],
        ):
            ran = project.run(*command, seconds=BACKFILL_SECONDS)
            assert ran.returncode == 0, ran.stdout + ran.stderr
    served = Server(project)
    yield served
    served.end()


@pytest.fixture(scope="module")
def page(server: Server, chromium: str) -> Iterator[Page]:
    """Return a page of a fresh browser that may reach nothing but the server."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1500, "height": 950}, base_url=server.url)
        context.set_default_timeout(30_000)
        opened = context.new_page()
        opened.strangers = []  # type: ignore[attr-defined]
        opened.on("request", lambda request: _note_stranger(opened, server.url, request.url))
        yield opened
        browser.close()


def _note_stranger(page: Any, own: str, url: str) -> None:
    if not url.startswith((own, own.replace("http", "ws", 1), "data:", "blob:")):
        page.strangers.append(url)


def shoot(page: Page, name: str, clip: Any = None) -> None:
    """Store a screenshot, of a part of the window or of all, if the environment says where."""
    folder = os.environ.get("MMPIPE_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)  # the graph glides into place
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", clip=clip)


def ask(server: Server, query: str) -> dict[str, Any]:
    request = Request(
        f"{server.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30) as response:
        return dict(json.load(response)["data"])


def list_runs(server: Server) -> list[dict[str, str]]:
    """Return the latest runs, newest first."""
    runs: list[dict[str, str]] = ask(server, "{ runsOrError(limit: 20) { ... on Runs { results { runId status } } } }")[
        "runsOrError"
    ]["results"]
    return runs


def wait_for_run(server: Server, earlier: set[str], seconds: float = 300) -> dict[str, str]:
    """Return the run that is none of the earlier ones, once it has ended."""
    deadline = time.monotonic() + seconds
    runs: list[dict[str, str]] = []
    while not runs or runs[0]["status"] not in {"SUCCESS", "FAILURE"}:
        assert time.monotonic() < deadline, runs
        time.sleep(1)
        runs = [run for run in list_runs(server) if run["runId"] not in earlier]
    return runs[0]


def test_the_graph_shows_the_lanes_and_their_assets(page: Page) -> None:
    page.goto("/asset-groups")
    for group in ("text", "release"):
        page.get_by_text(group, exact=True).first.wait_for()
    shoot(page, "lanes")
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": 2400, "height": 1000})  # where the names of a whole lane can be read
    page.goto("/asset-groups")
    page.get_by_text("release", exact=True).first.wait_for()
    # the groups start folded
    page.get_by_text("text", exact=True).last.dblclick()
    page.get_by_text("text_signals").first.wait_for()
    shoot(page, "text-lane", {"x": 550, "y": 270, "width": 1806, "height": 540})
    page.set_viewport_size(before)


def test_an_asset_shows_its_metadata(page: Page) -> None:
    page.goto("/assets/text_signals")
    page.get_by_text("Latest materialization").first.wait_for()
    shoot(page, "asset")
    heading = page.get_by_text("Metadata", exact=True).first
    heading.scroll_into_view_if_needed()
    heading.evaluate("element => element.scrollIntoView()")
    page.get_by_text("rows_in").first.wait_for()
    shoot(page, "metadata")
    page.goto("/assets/text_signals?view=partitions")
    page.get_by_text("Materialized").first.wait_for()
    shoot(page, "partitions")


def test_the_checks_of_a_contract_are_shown_with_their_verdict(page: Page) -> None:
    page.goto("/assets/raw_crawl?view=checks")
    page.get_by_text("blocking", exact=True).first.wait_for()
    page.get_by_text("Passed", exact=True).first.wait_for()
    shoot(page, "checks")


def test_the_sensor_is_on(page: Page) -> None:
    page.goto("/automation")
    page.get_by_text("new_dumps").first.wait_for()
    shoot(page, "automation")


def test_an_asset_is_materialized_by_clicking(page: Page, server: Server) -> None:
    page.goto("/assets/text_signals")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("All", exact=True).click()
    shoot(page, "materialize")
    earlier = {run["runId"] for run in list_runs(server)}
    dialog.get_by_role("button", name="Launch").last.click()
    run = wait_for_run(server, earlier)
    assert run["status"] == "SUCCESS"
    page.goto(f"/runs/{run['runId']}")
    page.get_by_text("Success", exact=True).first.wait_for()
    shoot(page, "run")


def test_what_the_recipe_leaves_out_says_what_switches_it_on(page: Page) -> None:
    page.goto("/assets/rephrased_documents")
    page.get_by_text("Off in the recipe refinedweb:").first.wait_for()
    page.get_by_text("rephrasing: {styles: [easy]}").first.wait_for()
    page.goto("/assets/text_signals")
    page.get_by_text("Limitations:").first.wait_for()
    assert page.get_by_text("Off in the recipe").count() == 0


def test_a_failed_run_says_what_failed_and_why(page: Page, server: Server) -> None:
    page.goto("/assets/quality_classifier")
    page.get_by_role("button", name="Materialize").first.click()
    editor = page.locator(".CodeMirror, .cm-content").first
    editor.click()
    page.keyboard.press("Control+A")
    config = {"positive": ["/nowhere/wanted.txt"], "negative": ["/nowhere/other.txt"]}
    page.keyboard.insert_text(json.dumps({"ops": {"quality_classifier": {"config": config}}}))
    page.get_by_text("No errors").first.wait_for()
    shoot(page, "launchpad")
    earlier = {run["runId"] for run in list_runs(server)}
    page.get_by_role("dialog").get_by_role("button", name="Materialize").last.click()
    assert wait_for_run(server, earlier)["status"] == "FAILURE"
    page.get_by_text("/nowhere/wanted.txt: no such file or folder").first.wait_for()
    shoot(page, "failed-run")


@pytest.fixture(scope="module")
def report(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the text report of the first dump, as `mmpipe report` writes it."""
    written = tmp_path_factory.mktemp("report") / "report.html"
    dump = server.project.lake.list_dumps(TEXT_REMOVALS)[0]
    ran = server.project.run("report", dump, "--out", str(written))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return written


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_report_fits_its_window_and_asks_for_nothing(page: Page, report: Path, width: int, scheme: Any) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened, asked = context.new_page(), []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    opened.get_by_text("What each rule took").wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 29)")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    shoot(opened, f"report-{scheme}-{width}")
    context.close()


def test_the_ui_reaches_nothing_but_its_own_server(page: Page) -> None:
    assert page.strangers == []  # type: ignore[attr-defined]
