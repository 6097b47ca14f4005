"""A project of its own for `kill_backfill`: two small dumps, a recipe of many methods, and the commands that run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from side_by_side import ROOT

from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.release import RELEASE_LANE
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine, ShardResult, ShardWork, produce
from mmpipe.tables.columns import Table
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.text import DEDUPED_CORPUS

DUMPS = ("d1", "d2")
STAGES = (
    *INSTRUCTION_LANE,
    *(stage for stage in RELEASE_LANE if stage.table.name in ("sft_dataset", "preference_dataset")),
)
ASSETS = [stage.table.name for stage in STAGES]
RECIPE = """\
extends: refinedweb
instructions:
  documents_per_dump: 12
  questions_per_document: 2
  answered_per_dump: 30
  samples_per_prompt: 3
  criterion: helpfulness
  methods:
    - grounded_questions
    - raft
    - {method: evol_instruct, rounds: 1, most: 12}
    - {method: reasoning_rows, problems: problems.jsonl, attempts: 2}
    - {method: star, problems: problems.jsonl}
    - {method: rest, problems: problems.jsonl, samples: 3}
    - {method: thought_trees, problems: problems.jsonl, thoughts: 1, votes: 1, beam: 1, depth: 2}
    - {method: tiny_gsm, problems: problems.jsonl}
preferences:
  methods: [best_worst, comparisons, ultrafeedback, pairwise_judge, {method: self_refinement, rounds: 1}, spin]
"""
_THINGS = ("granary", "library", "theatre", "station", "brewery", "hospital", "lighthouse", "school")
_DONE = ("rebuilt", "opened", "sold", "painted", "closed", "enlarged", "moved", "founded")
_NAMES = ("Abel", "Brant", "Corin", "Delft", "Edom", "Falk", "Garth", "Holm", "Irun", "Jena", "Kolm", "Lund")
_TRADES = ("weaver", "miller", "sailor", "baker", "judge", "farmer", "tailor")


def write_document(dump: int, place: int) -> str:
    """Return a document of eight sentences that shares few word 5-grams with any other."""
    sentences = []
    for number, thing in enumerate(_THINGS):
        town = f"{_NAMES[(place + number) % 12]}{('holm', 'stad', 'ford')[(dump + number) % 3]}{'e' * (place % 2)}"
        who = f"{_NAMES[(place * 5 + number * 7) % 12]}a {_NAMES[(place + number * 3 + dump) % 12]}son"
        trade = _TRADES[(place + number) % len(_TRADES)]
        year = 1700 + dump * 97 + place * 8 + number
        done = _DONE[(number + place) % 8]
        sentences.append(f"The {thing} of {town} was {done} in {year} by {who}, {trade} and friend of {town}'s mayor.")
    return " ".join(sentences)


class KillProject:
    """A folder with dagster.yaml and workspace.yaml, its lake published as far as the instruction lane reads it."""

    def __init__(self, folder: Path, url: str, concurrency: int, dumps: Sequence[str] = DUMPS) -> None:
        self.dumps = dumps
        self.folder, self.lake = folder, Lake(str(folder / "var" / "lake"))
        self.cache = folder / "cache" / "replies.sqlite"
        self.log = folder / "log"
        folder.mkdir(parents=True)
        (folder / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
        place = {"module_name": "mmpipe.definitions", "location_name": "mmpipe", "working_directory": str(ROOT)}
        (folder / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_module": place}]}))
        # both projects name these files alike: the recipe's place is no part of its digest
        (folder / "mine.yaml").write_text(RECIPE)
        known = {"base_url": url, "concurrency": concurrency}
        teachers = {"writer": {"model": "writer", **known}, "judge": {"model": "marker", "family": "other", **known}}
        named = {"teachers": teachers, "uses": {"default": "writer", "judge": "judge"}}
        (folder / "teachers.yaml").write_text(json.dumps(named))
        problems = [
            {"question": f"A shop has {n + 2} lamps and {3 * n + 1} more. How many has it?", "answer": str(4 * n + 3)}
            for n in range(14)
        ]
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MMPIPE_", "DAGSTER_"))},
            "DAGSTER_HOME": str(folder),
            "MMPIPE_CACHE": str(folder / "cache"),
            "MMPIPE_RECIPE": str(folder / "mine.yaml"),
            "MMPIPE_DEVICE": "cpu",
            "MMPIPE_WORKERS": "2",
            "MMPIPE_TEACHERS": str(folder / "teachers.yaml"),
            "COLUMNS": "200",
            # what is left in it by the killed is seen
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        self._publish()

    def _publish(self) -> None:
        for number, dump in enumerate(self.dumps):
            record_dump(self.lake, Dump(dump, str(self.folder), ()))
            rows = [
                {"doc_id": f"{dump}-{place}", "dump": dump, "language": "en", "text": write_document(number, place)}
                for place in range(12)
            ]
            _publish(self.lake, DEDUPED_CORPUS, dump, rows)
            _publish(self.lake, FILTERED_IMAGE_PAIRS, dump, [])
        self._call(
            "import dagster as dg\n"
            "with dg.DagsterInstance.get() as instance:\n"
            f"    instance.add_dynamic_partitions('dump', {list(self.dumps)})"
        )

    def _call(self, code: str) -> str:
        environ = {**self.environ, "MMPIPE_STATE": str(self.folder / "var" / "state")}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env=environ, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mmpipe.cli", *arguments], cwd=self.folder, env=self.environ,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def start_backfill(self, *, is_served: bool) -> subprocess.Popen[bytes]:
        """Begin the backfill of the whole lane, as the leader of a process group."""
        return self._start(
            "backfill", *ASSETS, "--partitions", ",".join(self.dumps), *([] if is_served else ["--here"])
        )

    def start_server(self) -> subprocess.Popen[bytes]:
        """Begin `mmpipe dev` and wait until it serves."""
        record = self.folder / "var" / "state" / "server.json"
        # a killed server leaves it behind
        record.unlink(missing_ok=True)
        server = self._start("dev", "--port", "0")
        while not record.is_file():
            if server.poll() is not None:
                sys.exit(f"mmpipe dev ended:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        return server

    def is_at_work(self) -> bool:
        """Return whether Dagster's records name a run or a backfill that has not ended."""
        counts = self.count_runs()
        return bool(counts["runs_open"] or counts["backfills_open"])

    def count_runs(self) -> dict[str, Any]:
        """Return how many runs Dagster knows, by status, and how many runs and backfills are open."""
        said = self._call(
            "import dagster as dg, json, collections\n"
            "with dg.DagsterInstance.get() as instance:\n"
            "    found = collections.Counter(run.status.value for run in instance.get_runs())\n"
            "    made = collections.Counter(backfill.status.value for backfill in instance.get_backfills())\n"
            "print(json.dumps([found, made]))"
        )
        found, made = json.loads(said.splitlines()[-1])
        return {
            "runs": found,
            "backfills": made,
            "runs_open": sum(found.values()) - sum(found.get(end, 0) for end in ("SUCCESS", "FAILURE", "CANCELED")),
            "backfills_open": sum(made.get(going, 0) for going in ("REQUESTED", "CANCELING", "FAILING")),
        }

    def examine(self) -> dict[str, Any]:
        """Return what Dagster's records and `mmpipe doctor` say in the end.

        A write that a kill broke off leaves a temporary file, which nothing reads; it is counted, and mended as a user
        would.
        """
        said = self._consult("doctor").stdout
        unfinished = " ".join(said.split()).count("is the unfinished write of a process that is gone")
        if unfinished:
            self._consult("doctor", "--fix")
        doctor = self._consult("doctor")
        if doctor.returncode:
            print(doctor.stdout)
        left = sorted(path.name for path in (self.folder / "tmp").iterdir())
        return {
            **self.count_runs(),
            "unfinished_writes": unfinished,
            "is_doctor_content": doctor.returncode == 0,
            "temporary_left": left,
        }

    def _consult(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mmpipe.cli", *words], cwd=self.folder, env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip


def _publish(lake: Lake, table: Table, dump: str, rows: list[dict[str, Any]]) -> None:
    plain = {pl.String: "x", pl.Int64: 1, pl.Float64: 0.5, pl.Boolean: False}
    filled = [
        {one.name: row.get(one.name, None if one.nullable else plain.get(one.dtype)) for one in table.columns}
        for row in rows
    ]
    frame = table.conform(pl.DataFrame(filled, schema=table.schema))
    dataset = lake.dataset(table, dump)
    work = [ShardWork("all", "given", (ShardResult(frame, frame.height),))]
    produce(dataset, work, _give, code_version="1", recipe_yaml="name: x\n", inputs={}, engine=Engine())
    dataset.record_verdict([])


def _give(result: ShardResult) -> ShardResult:
    return result


def compare_lakes(whole: Lake, killed: Lake, dumps: Sequence[str]) -> list[list[Any]]:
    """Return a row per table and dump: rows, whether files, rows and account are those of the other lake, ids twice."""
    told = []
    for stage in STAGES:
        for dump in dumps if stage.is_per_dump else (None,):
            one, other = (lake.dataset(stage.table, dump) for lake in (whole, killed))
            first, second = one.require_manifest(), other.require_manifest()
            rows, again = one.scan().collect(), other.scan().collect()
            files = [[(item.shard, item.file_digest) for item in found.commits] for found in (first, second)]
            account = [
                (found.rows_in, found.rows_out, found.rows_removed, found.removed_by_rule) for found in (first, second)
            ]
            twice = again.height - again.unique(list(stage.table.key)).height if again.height else 0
            told.append(
                [
                    stage.table.name, dump or "all", again.height, *("yes" if same else "NO" for same in (
                        files[0] == files[1], rows.equals(again), account[0] == account[1],
                    )), twice,
                ]
            )  # fmt: skip
    return told
