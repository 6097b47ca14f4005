"""The whole text lane on a dump of hostile pages: each is counted under its own name, and nothing else is lost."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

import polars as pl
import psutil
import pytest

from mmpipe.errors import MmpipeError, WeightsNotFound
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.stage import Knobs
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage.lake import Lake
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.removals import TEXT_REMOVALS
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    EXTRACTED_TEXT,
    FILTERED_TEXT,
    TEXT_CONTAMINATION,
    TEXT_CORRECTIONS,
)
from mmpipe.tables.text_signals import FAMILIES, TEXT_SIGNALS
from mmpipe_tests.lanes.hostile_pages import (
    MAX_PAGE_BYTES,
    HostilePage,
    make_page,
    make_pages,
    write_article,
    write_dump,
)
from mmpipe_tests.lanes.running import add_dump, run_stages

if TYPE_CHECKING:
    from pathlib import Path

    from mmpipe.filtering.recipes import Recipe

# one process for all tests of the lanes
pytestmark = pytest.mark.xdist_group("lanes")

#: The steps of each recipe, with C4's lines and masks of personal data, on which all its families of signals are taken.
STEPS = {
    "refinedweb": "[refinedweb_remove_urls, dclm_collapse_newlines, refinedweb_lines, c4_lines, bloom_words, mask_pii]",
    "fineweb": "[{step: c4_lines, min_line_words: 3, count_cited_words: true, require_terminal_mark: false}, mask_pii]",
    "gopher": "[{step: c4_lines, require_terminal_mark: false, min_line_words: 1}, mask_pii]",
}
#: Records that are damaged, by what stands in their URL.
RECORDS = {
    "huge-page": "oversized_page",
    "revisit": "revisit_record",
    "response": "truncated_record",
    "short": "truncated_record",
}
#: What the lane may take beyond what the test's process holds: pages of 10 MB several times over, in every stage.
MOST_MEMORY_BYTES = 3 << 30


class HostileDump(NamedTuple):
    file: Path
    statuses: dict[str, tuple[str, ...]]
    sound: set[str]


@pytest.fixture(scope="module")
def hostile_dump(tmp_path_factory: pytest.TempPathFactory) -> HostileDump:
    file, pages = tmp_path_factory.mktemp("hostile") / "hostile.warc.gz", make_pages()
    write_dump(file, pages)
    return HostileDump(
        file,
        {name: page.statuses for name, page in pages.items()},
        {name for name, page in pages.items() if page.is_sound},
    )


class PeakMemory:
    """Samples the resident bytes of this process and its children; `bytes` is the most seen beyond the first."""

    def __enter__(self) -> Self:
        self._first = self._measure()
        self.bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            self.bytes = max(self.bytes, self._measure() - self._first)

    def _measure(self) -> int:
        me = psutil.Process()
        total = 0
        for process in [me, *me.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total


def write_recipe(folder: Path, base: str, extra: str = "") -> Recipe:
    path = folder / f"{base}.yaml"
    path.write_text(
        f"extends: {base}\nextraction: {{timeout_seconds: 5, max_page_bytes: {MAX_PAGE_BYTES}}}\n"
        f"corrections: {{steps: {STEPS[base]}}}\ntext: {{signals: [{', '.join(FAMILIES)}]}}\n{extra}"
    )
    return load_recipe(str(path))


@pytest.mark.parametrize("base", STEPS)
def test_every_hostile_page_is_counted_under_its_own_name(base: str, hostile_dump: HostileDump, tmp_path: Path) -> None:
    lake, recipe = Lake(str(tmp_path / "lake")), write_recipe(tmp_path, base)
    add_dump(lake, "d", hostile_dump.file.parent, [hostile_dump.file])
    with PeakMemory() as peak:
        run_stages(lake, "d", TEXT_LANE, recipe=recipe)
    print(f"{base}: {peak.bytes / 2**20:.0f} MiB at most beyond the start, of all processes")
    assert peak.bytes < MOST_MEMORY_BYTES
    check_accounts(lake)

    crawl, text, corrections, signals, removals, kept = (
        lake.dataset(table, "d").scan().collect()
        for table in (RAW_CRAWL, EXTRACTED_TEXT, TEXT_CORRECTIONS, TEXT_SIGNALS, TEXT_REMOVALS, FILTERED_TEXT)
    )
    assert crawl.height == text.height == corrections.height == signals.height
    rules = removals.group_by("doc_id").agg("rule")
    fates = text.select("doc_id", "url", "extraction_status").join(rules, on="doc_id", how="left")
    known = {rule.name for rule in recipe.text.rules} | {"nothing_left"}
    seen = set()
    for _, url, status, failed in fates.iter_rows():
        if url is None:  # a spoilt record has lost its head
            assert (status, failed) == ("corrupt_record", ["corrupt_record"])
            continue
        host, _, name = url.removeprefix("http://").partition("/")
        if host == "healthy.example":
            assert (status, failed) == ("ok", None), url
            continue
        seen.add(name)
        allowed = hostile_dump.statuses.get(name) or (RECORDS[name],)
        assert status in allowed, url
        if status != "ok":
            assert failed == [status], url
        elif name in hostile_dump.sound:
            assert failed is None, url
        else:
            assert failed, url
            assert set(failed) <= known, url
    assert seen == set(hostile_dump.statuses) | set(RECORDS)
    assert "\0" not in "".join(kept.get_column("text"))


@pytest.mark.slow
@pytest.mark.parametrize("base", STEPS)
def test_pages_of_millions_of_short_lines_cost_themselves_alone(base: str, tmp_path: Path) -> None:
    lines = {"a letter": b"a\n", "counters": b"12 likes\nab\n", "marks": b"{\n", "sentences": b"It is so. {\nab\n"}
    size = MAX_PAGE_BYTES // 2
    pages = {
        name.replace(" ", "-"): HostilePage(line * (size // len(line)), ("ok",), "text/plain")
        for name, line in lines.items()
    }
    file, lake = tmp_path / "lines.warc.gz", Lake(str(tmp_path / "lake"))
    write_dump(file, pages, with_huge=False)
    add_dump(lake, "d", tmp_path, [file])

    with PeakMemory() as peak:
        run_stages(lake, "d", TEXT_LANE, recipe=write_recipe(tmp_path, base))

    print(f"{base}: {peak.bytes / 2**20:.0f} MiB at most beyond the start, of all processes")
    assert peak.bytes < 4 * MOST_MEMORY_BYTES
    check_accounts(lake)
    kept = lake.dataset(FILTERED_TEXT, "d").scan().collect()
    assert set(kept.get_column("url").str.extract("//(.*?)/")) == {"healthy.example"}
    assert kept.height == len(pages) + 1


def check_accounts(lake: Lake) -> None:
    """Check for every stage that rows in are rows kept and distinct rows removed, and that stages hand on all rows."""
    counts = {}
    for stage in TEXT_LANE:
        manifest = lake.dataset(stage.table, "d").require_manifest()
        counts[stage.table] = [
            sum(getattr(commit, name) for commit in manifest.commits)
            for name in ("rows_in", "rows_out", "rows_removed")
        ]
    for table in (FILTERED_TEXT, DEDUPED_CORPUS):
        rows_in, rows_out, removed = counts[table]
        assert rows_in == rows_out + removed, table.name
    assert counts[EXTRACTED_TEXT][:2] == [counts[RAW_CRAWL][1]] * 2
    assert counts[FILTERED_TEXT][0] == counts[TEXT_REMOVALS][0] == counts[EXTRACTED_TEXT][1]
    assert counts[FILTERED_TEXT][2] == counts[TEXT_REMOVALS][2]
    assert counts[DEDUPED_CORPUS][0] == counts[FILTERED_TEXT][1]


@pytest.fixture
def small_lake(tmp_path: Path) -> Lake:
    """A lake with a dump of a few healthy pages."""
    file = tmp_path / "small.warc.gz"
    write_dump(file, {"page": HostilePage(make_page(write_article(700)), ("ok",))}, with_huge=False)
    lake = Lake(str(tmp_path / "lake"))
    add_dump(lake, "d", tmp_path, [file])
    return lake


def read_commits(lake: Lake) -> dict[str, set[str]]:
    return {stage.table.name: set(lake.dataset(stage.table, "d").find_commits()) for stage in TEXT_LANE}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "neither a file nor a folder"),
        (b"", "too short"),
        (b"<html>no model</html>" * 99, "does not begin as one"),
    ],
    ids=["missing", "empty", "page"],
)
def test_a_language_model_that_is_none_stops_by_name_and_the_next_run_goes_on(
    small_lake: Lake, tmp_path: Path, content: bytes | None, said: str
) -> None:
    weights = tmp_path / "model.bin"
    if content is not None:
        weights.write_bytes(content)
    bad, good = (Knobs(cache_folder=str(tmp_path), language_weights=path) for path in (str(weights), ""))

    with pytest.raises(WeightsNotFound, match=f"(?s)model.bin.*{said}|{said}.*model.bin"):
        run_stages(small_lake, "d", TEXT_LANE, knobs=bad)
    before = read_commits(small_lake)
    made = run_stages(small_lake, "d", TEXT_LANE, knobs=good)

    assert before["raw_crawl"]
    assert not before["extracted_text"]
    assert (made["raw_crawl"].resumed_shards, made["raw_crawl"].made_shards) == (1, 0)
    assert made["deduped_corpus"].manifest.rows_out == 3


def test_broken_lines_of_a_blocklist_are_counted_and_its_entries_still_block(
    small_lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (b"\xff\xfe\xfd", b"with\0null.example", b"x" * 1_000_000, b"healthy.example", b"\x80" * 50, b"# a remark")
    (tmp_path / "domains.txt").write_bytes(b"\n".join(lines))
    (tmp_path / "mine.yaml").write_text("extends: refinedweb\nurl: {domains: [domains.txt]}\n")

    with caplog.at_level(logging.WARNING):
        run_stages(small_lake, "d", TEXT_LANE, recipe=load_recipe(str(tmp_path / "mine.yaml")))

    (said,) = {record.getMessage() for record in caplog.records if "broken" in record.getMessage()}
    assert "domains.txt: 4 lines are broken and left out, 1 entries are read" in said
    removals = small_lake.dataset(TEXT_REMOVALS, "d").scan().collect()
    assert removals.filter(pl.col("rule") == "refinedweb_url_blocked_domain").height == 2
    assert small_lake.dataset(DEDUPED_CORPUS, "d").require_manifest().rows_out == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '{"question": "", "answer": 4}\n{"question": " "}\n',
            "holds no text in 2 rows; fields found: question, answer",
        ),
        ("", "holds no text in 0 rows"),
        ('{"question": "Who?"}\nnot JSON\n', "line 2: not JSON"),
    ],
    ids=["blank", "empty", "broken"],
)
def test_an_evaluation_set_without_text_stops_by_name_and_the_next_run_goes_on(
    small_lake: Lake, tmp_path: Path, content: str, said: str
) -> None:
    def load(text: str) -> Recipe:
        (tmp_path / "exam.jsonl").write_text(text)
        (tmp_path / "mine.yaml").write_text(
            "extends: refinedweb\ncontamination: {sets: [{name: exam, list: exam.jsonl}]}\n"
        )
        return load_recipe(str(tmp_path / "mine.yaml"))

    with pytest.raises(MmpipeError, match="exam") as refused:
        run_stages(small_lake, "d", TEXT_LANE, recipe=load(content))
    assert said in str(refused.value)
    before = read_commits(small_lake)
    made = run_stages(small_lake, "d", TEXT_LANE, recipe=load(json.dumps({"question": write_article(0)[:400]})))

    assert before["text_duplicates"]
    assert not before["text_contamination"]
    assert {name for name, item in made.items() if item.made_shards} == {"text_contamination", "deduped_corpus"}
    hits = small_lake.dataset(TEXT_CONTAMINATION, "d").scan().collect()
    assert hits.get_column("evaluation_set").unique().to_list() == ["exam"]
    assert made["deduped_corpus"].manifest.rows_out == 2
