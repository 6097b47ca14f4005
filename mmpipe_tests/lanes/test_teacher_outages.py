"""The instruction lane before an endpoint that fails: every fault counted by its name, and nothing accepted is lost."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mmpipe.assets.resources import LakeResource, TeacherResource
from mmpipe.definitions import build_definitions
from mmpipe.errors import MmpipeError, TeacherError
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.made_shards import leave_out_made
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.lanes.synthesis_estimates import estimate_synthesis
from mmpipe.lanes.teacher_watch import WatchedTeacher
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.lake import Lake
from mmpipe.storage.shards import Engine
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatRequest, Sampling
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.pair_lake import fill_rows, publish
from mmpipe_tests.lanes.running import run_stages
from mmpipe_tests.models.fault_server import FINAL, HARMLESS, PASSING, serve_faults

if TYPE_CHECKING:
    from mmpipe.storage.commits import Manifest
    from mmpipe.tables.chat import FailureKind
    from mmpipe_tests.models.fault_server import FaultServer

DUMP = "d1"
FAULTS = (*PASSING, *FINAL, *HARMLESS)
NAMES = ["Abel", "Brant", "Corin", "Delft", "Edom", "Falk", "Garth", "Holm", "Irun", "Jena", "Kolm", "Lund"]
#: What each fault that stays is counted as, by questions about documents and by problems.
QUESTION_REASONS = {
    "huge": {"teacher_oversized"},
    "schema_ignored": {"teacher_schema"},
    "always_cut": {"teacher_truncated"},
    "refused": {"teacher_refused"},
    "content_filter": {"teacher_content_filter"},
    # a reply of the right form: the method's own checks refuse it, or the schema's limits do
    "repeats_prompt": {"teacher_schema"},
    "other_language": {"question_ungrounded"},
}
PROBLEM_REASONS = QUESTION_REASONS | {"repeats_prompt": {"wrong_answer"}, "other_language": {"answer_unreadable"}}


def make_document(name: str, town: str) -> str:
    return " ".join(
        f"The {name} {place} of {town} was opened in {1801 + number} by the mayor of the old harbour district."
        for number, place in enumerate(("museum", "library", "theatre", "station"))
    )


def say_question(said: str) -> str:
    """Answer as a good model would: a question that the sentence answers, and the sentence."""
    sentence = said.removeprefix("Sentence: ")
    found = re.match(r"The (\w+ \w+ of \w+) was", sentence)
    assert found
    return json.dumps({"question": f"When was the {found[1]} opened by the mayor?", "answer": sentence})


def say_answer(said: str) -> str:
    one, other = map(int, re.findall(r"\d+", said))
    return json.dumps({"rationale": f"{one} and {other} more make {one + other}.", "answer": str(one + other)})


def say_either(said: str) -> str:
    return say_question(said) if said.startswith("Sentence:") else say_answer(said)


class House:
    """A lake with documents, and a recipe that asks about them and has problems solved."""

    def __init__(self, folder: Path, documents: int = 60) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"))
        rows = [
            {"doc_id": f"doc{place}", "dump": DUMP, "text": make_document(NAMES[place % 12], NAMES[place // 12])}
            for place in range(documents)
        ]
        publish(self.lake, DEDUPED_CORPUS, DUMP, fill_rows(DEDUPED_CORPUS, rows))
        publish(self.lake, FILTERED_IMAGE_PAIRS, DUMP, FILTERED_IMAGE_PAIRS.make_empty())
        self.recipe = folder / "mine.yaml"

    def write_recipe(self, method: str, problems: int = 60) -> None:
        lines = [json.dumps({"question": f"What is {n} + {n * n}?", "answer": n + n * n}) for n in range(problems)]
        (self.folder / "problems.jsonl").write_text("\n".join(lines), encoding="utf-8")
        self.recipe.write_text(
            f"extends: refinedweb\ninstructions:\n  documents_per_dump: 200\n  questions_per_document: 1\n"
            f"  methods: [{method}]\n",
            encoding="utf-8",
        )

    def choose_knobs(self, url: str, round_number: int = 1) -> Knobs:
        teacher = settings(url) | {"round": round_number}
        return Knobs(cache_folder=str(self.folder / "cache"), device="cpu", teacher=teacher)

    def make(self, url: str, round_number: int = 1) -> Manifest:
        knobs, recipe = self.choose_knobs(url, round_number), load_recipe(str(self.recipe))
        stages = [stage for stage in INSTRUCTION_LANE if stage.table.name in STAGES]
        return run_stages(self.lake, DUMP, stages, recipe=recipe, knobs=knobs)["synthesized_instructions"].manifest

    def count_estimated(self, url: str, round_number: int = 1) -> int:
        """Return how many requests `mmpipe estimate` says would go out."""
        stage = next(stage for stage in INSTRUCTION_LANE if stage.table is INSTRUCTION_CANDIDATES)
        knobs = self.choose_knobs(url, round_number)
        run = StageRun(stage, self.lake, load_recipe(str(self.recipe)), knobs, Engine(), DUMP)
        told = leave_out_made(run, estimate_synthesis(run))
        return sum(one.estimate.asked for one in told if one.estimate is not None)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.lake.dataset(SYNTHESIZED_INSTRUCTIONS, DUMP).scan().collect().to_dicts()

    def forget_rows(self) -> None:
        for name in STAGES:
            folder = self.folder / "lake" / name
            for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
                path.unlink() if path.is_file() else path.rmdir()


#: From the documents to the instructions; what lies between is the lane's affair.
STAGES = [stage.table.name for stage in INSTRUCTION_LANE]
STAGES = STAGES[: STAGES.index("synthesized_instructions") + 1]
METHODS = {
    "grounded_questions": (say_question, QUESTION_REASONS, "grounded_questions"),
    "reasoning_rows": (say_answer, PROBLEM_REASONS, "{method: reasoning_rows, problems: problems.jsonl, attempts: 2}"),
}


def settings(url: str) -> dict[str, Any]:
    return {"base_url": url, "model": "m", "timeout_seconds": 1.0}


def find_closed_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.mark.parametrize("method", METHODS)
def test_each_fault_is_counted_by_its_reason_and_the_others_make_rows(tmp_path: Path, method: str) -> None:
    reply, reasons, entry = METHODS[method]
    house = House(tmp_path)
    house.write_recipe(entry)
    with serve_faults(share=1.0, faults=FAULTS, reply=reply) as server:
        manifest = house.make(server.url)
        met = Counter(server.met.values())
        asked = Counter(server.asked)
        # the rows are lost, their replies are not: only what failed is asked for again
        house.forget_rows()
        again = house.make(server.url)
        asked_again = {text for text in server.asked if server.asked[text] > asked[text]}
        failed = {text for text, fault in server.met.items() if fault in reasons}
    assert set(reasons) <= set(met)
    expected = Counter({fault: count for fault, count in met.items() if fault in reasons})
    assert manifest.rows_in == 60
    assert manifest.rows_out == 60 - expected.total() == len(house.rows)
    assert set(manifest.removed_by_rule) == {reason for fault in expected for reason in reasons[fault]}
    assert sum(manifest.removed_by_rule.values()) == expected.total()
    assert manifest.removed_by_rule["teacher_oversized"] == met["huge"]
    assert again.fingerprint == manifest.fingerprint
    assert asked_again <= failed


@pytest.mark.parametrize("method", METHODS)
def test_a_wait_without_end_stops_red_and_what_was_answered_is_kept(tmp_path: Path, method: str) -> None:
    reply, _, entry = METHODS[method]
    house = House(tmp_path)
    house.write_recipe(entry)
    with serve_faults(reply=reply, rate_after=20, retry_after_s=86_400) as server:
        with pytest.raises(MmpipeError, match=r"asks to wait 86,400 s.*Run again then"):
            house.make(server.url)
        answered = server.sent.total()
        assert answered >= 20
        server.rate_after = None
        manifest = house.make(server.url)
        assert (manifest.rows_in, manifest.rows_out) == (60, 60)
        assert manifest.counts["requests_cached"] == answered
        # each was answered once, over both runs
        assert set(server.sent.values()) == {1}


@pytest.mark.parametrize("method", METHODS)
def test_a_bad_teacher_is_told_of_and_asked_anew_in_another_round(
    tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply, _, entry = METHODS[method]
    house = House(tmp_path)
    house.write_recipe(entry.replace(", attempts: 2", ""))
    is_bad = True
    with serve_faults(reply=lambda said: '{"sorry": ""}' if is_bad else reply(said)) as server:
        assert house.count_estimated(server.url) == 60
        house.make(server.url)
        bad = server.asked.total()
        assert bad >= 60
        assert house.rows == []
        (told,) = [record.getMessage() for record in caplog.records if "accepted" in record.getMessage()]
        assert re.match(rf"{method}: 0 of 60 accepted: teacher_schema 60\. .*MMPIPE_TEACHER_ROUND", told)
        # mended, it is asked nothing while its rows are made, and the estimate says so
        is_bad = False
        assert house.count_estimated(server.url) == 0
        house.make(server.url)
        assert server.asked.total() == bad
        assert house.count_estimated(server.url, 2) == 60
        house.make(server.url, 2)
        assert server.asked.total() == bad + 60
        assert len(house.rows) == 60
        assert {row["teacher"].rpartition("@")[2][8:] for row in house.rows} == {".2"}
        # the first round lies where it was
        house.make(server.url)
        assert house.rows == []
        assert server.asked.total() == bad + 60


def test_a_dead_endpoint_stops_red_with_what_to_do(tmp_path: Path) -> None:
    house = House(tmp_path, documents=12)
    house.write_recipe("grounded_questions")
    with pytest.raises(MmpipeError, match=r"is dead.*Start the server or correct the URL, then run again"):
        house.make(find_closed_port())


def test_dagster_shows_the_stop_and_goes_on_where_it_was(tmp_path: Path) -> None:
    house = House(tmp_path, documents=24)
    house.write_recipe("grounded_questions, {method: reasoning_rows, problems: problems.jsonl}", problems=24)
    environ = {"MMPIPE_RECIPE": str(house.recipe), "MMPIPE_CACHE": str(tmp_path / "cache"), "MMPIPE_DEVICE": "cpu"}

    def materialize(server: FaultServer) -> dg.ExecuteInProcessResult:
        lake = LakeResource(root=str(tmp_path / "lake"))
        teacher = TeacherResource(**settings(server.url))
        definitions = build_definitions(environ, lake=lake, teacher=teacher)
        wanted = dg.AssetSelection.assets(*STAGES)
        job = dg.define_asset_job("synthesis", wanted)
        resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
        return resolved.resolve_job_def("synthesis").execute_in_process(
            instance=instance, partition_key=DUMP, raise_on_error=False
        )

    with (
        dg.DagsterInstance.ephemeral() as instance,
        serve_faults(reply=say_either, rate_after=30, retry_after_s=86_400) as server,
    ):
        instance.add_dynamic_partitions("dump", [DUMP])
        red = materialize(server)
        assert not red.success
        failures = [event.step_failure_data for event in red.get_step_failure_events()]
        told = json.dumps([failure.error.to_string() for failure in failures if failure.error])
        assert "asks to wait 86,400 s" in told
        assert "Run again then" in told
        server.rate_after = None
        assert materialize(server).success
        assert set(server.sent.values()) == {1}
    assert Counter(row["method"] for row in house.rows) == {"grounded_questions": 24, "reasoning_rows": 24}


def test_a_method_in_rounds_stops_soon_where_nothing_was_ever_answered() -> None:
    def watch(*kinds: FailureKind | None) -> WatchedTeacher:
        outcomes = iter([ChatFailure(kind, "no", 5) if kind else "yes" for kind in kinds])
        return WatchedTeacher(ScriptedTeacher(lambda _: next(outcomes)))

    def ask(teacher: WatchedTeacher, rounds: int) -> None:
        for number in range(rounds):
            list(teacher.answer([ChatRequest((ChatMessage("user", f"{number}"),), Sampling())]))

    silent = watch(*["server"] * 4)
    ask(silent, 3)
    with pytest.raises(TeacherError, match=r"failed on 4 of 4 requests \(teacher_server 4\)"):
        ask(silent, 1)
    # what was said once, and what is no outage, has the longer patience
    ask(watch(None, *["server"] * 19), 20)
    ask(watch(*["schema"] * 30), 30)
    with pytest.raises(TeacherError, match="failed on 20 of 21"):
        ask(watch(None, *["server"] * 20), 21)
