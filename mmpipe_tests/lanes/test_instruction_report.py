"""The instruction report of a dump: counts that add up, a page that holds all it shows, hostile text as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mmpipe.commands.report import save_report
from mmpipe.errors import ConfigurationError, DatasetNotReady
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.instruction_report import collect_instruction_report, write_instruction_report
from mmpipe.lanes.row_prices import price_rows
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.columns import Table
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe_tests.commands.conftest import write_project
from mmpipe_tests.lanes.pair_lake import fill_rows
from mmpipe_tests.lanes.running import run_stages

ASKED = [
    "Write a short poem about rain.",
    "Write a long story of a sailor.",
    "List facts on <script>alert(1)</script> seas.",
    "Go.",
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    plain = {"dump": "a", "response": "The answer it gives.", "images": [], "parents": [], "prompt_tokens": 10,
             "completion_tokens": 5}  # fmt: skip
    rows = fill_rows(
        SYNTHESIZED_INSTRUCTIONS,
        [{**plain, "instruction_id": f"r{place}", "method": "raft" if place else "wrap", "instruction": text}
         for place, text in enumerate(ASKED)],
    )  # fmt: skip
    accepted = rows.with_columns(
        candidate_status=pl.lit("ok"), candidate=pl.col("instruction_id"), text=pl.lit("")
    ).select(INSTRUCTION_CANDIDATES.column_names)
    refused = fill_rows(INSTRUCTION_CANDIDATES, [
        {"instruction_id": f"x{place}", "dump": "a", "method": "raft", "candidate_status": "too_long", "candidate": "c",
         "text": "t"} for place in range(3)])  # fmt: skip
    every = INSTRUCTION_CANDIDATES.conform(pl.concat([accepted, refused]))
    # three of six candidates are refused, and what they took is paid
    counts = {"requests": 7, "prompt_tokens": 90, "completion_tokens": 30, "cost": 0.5, "accepted": 3}
    shards = {"raft-00000": ("raft", counts), "wrap-00000": ("wrap", {})}
    for table, frame in ((SYNTHESIZED_INSTRUCTIONS, rows), (INSTRUCTION_CANDIDATES, every)):
        parts = {
            shard: ShardResult(part := frame.filter(method=name), part.height, counts=told)
            for shard, (name, told) in shards.items()
        }
        produce(
            lake.dataset(table, "a"), [ShardWork(shard, shard, (part,)) for shard, part in parts.items()],
            lambda result: result, code_version="1", recipe_yaml="name: x\n", inputs={}, engine=Engine(),
        )  # fmt: skip
        lake.dataset(table, "a").record_verdict([])
    wanted = ("instruction_contamination", "instruction_reviews", "instruction_duplicates", "instruction_removals")
    stages = [stage for stage in INSTRUCTION_LANE if stage.table.name in wanted]
    own = tmp_path / "own.yaml"
    limits = "{raft: {low: 3, high: 400, source: they are longer}, flan: {source: files say it}}"
    own.write_text(
        "extends: refinedweb\ninstructions:\n  rules:\n"
        f"    - {{rule: self_instruct_instruction_words, by_method: {limits}}}\n"
    )
    run_stages(lake, "a", stages, recipe=load_recipe(str(own)))
    return lake


def test_candidates_are_rows_and_refused_ones_method_by_method(lake: Lake) -> None:
    report = collect_instruction_report(lake, "a")
    methods = {each.name: each for each in report.methods}
    assert [each.name for each in report.methods] == ["raft", "wrap"]
    raft = methods["raft"]
    assert (raft.candidates, raft.rows) == (6, 3)
    assert raft.price is not None
    assert (raft.price.requests, raft.price.prompt_tokens, raft.price.tokens_per_row) == (7, 90, 40.0)
    # the run's summary says the same
    whole = price_rows(lake.dataset(INSTRUCTION_CANDIDATES, "a").require_manifest())
    assert whole is not None
    assert whole.tokens == raft.price.tokens == 120
    assert methods["wrap"].price is None
    assert sum(each.kept for each in report.methods) == report.kept
    assert report.refused == (("raft", "too_long", 3),)
    taken = {rule.name: rule.rows for rule in report.rules}
    # told once, among the refusals
    assert "too_long" not in taken
    assert taken["self_instruct_instruction_words"] == 1
    said = {rule.name: rule.limit for rule in report.rules}
    # of methods that made nothing here, no limit
    own = "at least 3 and at most 150; raft: at least 3 and at most 400 (they are longer)"
    assert said["self_instruct_instruction_words"] == own
    assert sum(report.histograms[0].counts) == report.rows == 4
    assert ("write", "poem", 1) in report.verb_nouns


def test_the_page_holds_all_it_shows_and_runs_nothing(lake: Lake, tmp_path: Path) -> None:
    path = save_report(lake, "a", tmp_path / "out" / "report.html", lane="instructions")
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert "poem" in page
    # three verbs are no picture
    assert "drawn from 5 verbs on" in page
    assert 'class="rings"' not in page
    assert "too_long" in page
    assert "no evaluation set" not in page.lower()


def test_many_verbs_are_drawn_without_a_white_square_on_dark_paper(lake: Lake) -> None:
    report = collect_instruction_report(lake, "a")
    assert report.verb_noun_svg == ""
    verbs = pl.DataFrame(
        {"verb": list("abcde"), "noun": list("vwxyz"), "instructions": [1] * 5, "method": ["rule"] * 5}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmpipe.lanes.instruction_report.count_shown", lambda _: verbs)
        page = write_instruction_report(lake, "a")
    assert 'class="rings"><svg' in page
    assert 'style="fill: #ffffff"' not in page


def publish_empty(lake: Lake, table: Table, **told: Any) -> None:
    result = ShardResult(table.make_empty(), **{"rows_in": 0, "accounts_for_rows": False} | told)
    produce(
        lake.dataset(table, "a"), [ShardWork("raft-00000", "x", (result,))], lambda result: result, code_version="1",
        recipe_yaml="name: x\n", inputs={}, engine=Engine(),
    )  # fmt: skip
    lake.dataset(table, "a").record_verdict([])


def test_every_stage_that_asked_is_counted_and_every_pair_that_falls_has_its_reason(lake: Lake, tmp_path: Path) -> None:
    asked = {"requests": 240, "prompt_tokens": 30_000, "completion_tokens": 8_000, "cost": 0.25}
    publish_empty(lake, RESPONSES, counts=asked)
    publish_empty(lake, JUDGEMENTS, counts=asked | {"requests": 1_000})
    publish_empty(lake, RESPONSE_REVISIONS, counts=dict.fromkeys(asked, 0))
    publish_empty(lake, PREFERENCE_PAIRS, rows_in=7, rows_removed=7, removed_by_rule={"single_response": 7})
    publish_empty(lake, PREFERENCE_REMOVALS, rows_in=2, rows_removed=2, removed_by_rule={"repeated_pair": 2})
    report = collect_instruction_report(lake, "a")
    assert [(stage.method, stage.requests) for stage in report.asked] == [
        ("instruction_candidates", 7), ("responses", 240), ("judgements", 1_000),
    ]  # fmt: skip
    assert report.lost_pairs == (
        ("preference_pairs", "single_response", 7),
        ("preference_removals", "repeated_pair", 2),
    )
    page = save_report(lake, "a", tmp_path / "report.html", lane="instructions").read_text(encoding="utf-8")
    tiles = dict(re.findall(r"<b>([^<]*)</b>\s*<span>([^<]*)</span>", page))
    assert page.count("<code>single_response</code>") == page.count("<code>repeated_pair</code>") == 1
    assert page.count("too_long</code>") == 1
    assert (tiles["1,247"], tiles["1"]) == ("requests", "cost")


def test_the_command_leaves_the_current_folder_clean(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    project = write_project(tmp_path / "project", "mmpipe_tests.commands.tiny_definitions")
    before = set(project.folder.iterdir())
    ran = project.run("report", "a", "--lane", "instructions", MMPIPE_LAKE=lake.root)
    written = project.folder / "var/reports/report-a-instructions.html"
    assert (ran.returncode, str(written) in ran.stdout) == (0, True), ran.stderr
    assert written.is_file()
    assert set(project.folder.iterdir()) == before
    ran = project.run("report", "a", "--lane", "instructions", "--out", "here.html", MMPIPE_LAKE=lake.root)
    assert (project.folder / "here.html").is_file(), ran.stderr


def test_what_cannot_be_shown_is_said(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'instructions'"):
        save_report(lake, "a", tmp_path / "x.html", lane="instruction")
    with pytest.raises(ConfigurationError, match="No dump 'b' was added"):
        save_report(lake, "b", tmp_path / "x.html", lane="instructions")
    young = Lake(str(tmp_path / "young"))
    record_dump(young, Dump("b", "/crawl", ("a.warc.gz",)))
    with pytest.raises(DatasetNotReady):
        save_report(young, "b", tmp_path / "x.html", lane="instructions")
