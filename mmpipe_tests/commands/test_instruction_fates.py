"""What `mmpipe explain` says of refused candidates, equal rows, responses, judgements, revisions and pairs."""

from __future__ import annotations

import json

import pytest

from mmpipe.commands.explain import explain
from mmpipe.commands.fates import Fate, Step, count_of
from mmpipe.commands.lookup import RowNotFound
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
    INSTRUCTION_DUPLICATES,
    INSTRUCTION_REVIEWS,
    PREFERENCE_CONTAMINATION,
)
from mmpipe.tables.instructions import (
    INSTRUCTION_CANDIDATES,
    JUDGEMENTS,
    PREFERENCE_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe_tests.commands.lakes import publish

DUMP = "d1"
#: Two say the same, and `first` goes for `second`; of `again` the mixture says that it is a further draw of `kept`.
ASKED = {
    "kept": "Name the largest sea.",
    "first": "Who built the bridge?",
    "second": "who BUILT the bridge",
    "alone": "Who, built the bridge of Brack?",
    "a misprint": "Whobuilt the bridge?",
    "again": "Name the largest sea.",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    record_dump(lake, Dump(DUMP, "/crawl", ("a.warc.gz",)))
    rows = [
        {"instruction_id": name, "dump": DUMP, "method": "flan_rows", "teacher": "small", "instruction": asked,
         "parents": [{"table": "sums", "id": "s0"}] if name in ("first", "second") else [],
         "details": json.dumps({"repeats": "kept", "epoch": 1}) if name == "again" else None}
        for name, asked in ASKED.items()
    ]  # fmt: skip
    publish(lake, SYNTHESIZED_INSTRUCTIONS, DUMP, rows)
    refused = {"dump": DUMP, "method": "api_rows", "candidate_status": "too_short", "candidate": "card-7"}
    accepted = [row | {"candidate_status": "ok", "candidate": row["instruction_id"]} for row in rows]
    publish(lake, INSTRUCTION_CANDIDATES, DUMP, [
        *accepted, {"instruction_id": "no-1", "text": "Short.", **refused}, {"instruction_id": "no-2", **refused},
    ])  # fmt: skip
    for table in (INSTRUCTION_CONTAMINATION, INSTRUCTION_REVIEWS, INSTRUCTION_DUPLICATES, PREFERENCE_CONTAMINATION):
        publish(lake, table, DUMP, [])
    because = {"rule": "too_short", "signal": "candidate_status", "value_text": "too_short"}
    equal = {"rule": "self_instruct_earlier_equal_instructions", "signal": "earlier_equal_instructions", "high": 0.0}
    publish(lake, INSTRUCTION_REMOVALS, DUMP, [
        {"instruction_id": "no-1", **because}, {"instruction_id": "no-2", **because},
        {"instruction_id": "first", "value": 1.0, **equal},
    ])  # fmt: skip
    response = {"dump": DUMP, "instruction_id": "kept", "teacher": "small", "finish_reason": "stop"}
    publish(lake, RESPONSES, DUMP, [
        {"response_id": f"r{place}", "sample_index": place, "response": f"Sea {place}.", **response} for place in (0, 1)
    ])  # fmt: skip
    judged = {"instruction_id": "kept", "dump": DUMP, "criterion": "helpfulness"}
    publish(lake, JUDGEMENTS, DUMP, [
        {"judgement_id": "j0", "response_id": "r0", "score": 4.0, "judgement_status": "ok", **judged},
        {"judgement_id": "j1", "response_id": "r1", "judgement_status": "own_family", **judged},
    ])  # fmt: skip
    tried = {"instruction_id": "kept", "dump": DUMP, "response_id": "r1"}
    publish(lake, RESPONSE_REVISIONS, DUMP, [
        {"revision_id": "v1", "round": 1, "revision_status": "ok", "revision": "Sea 9.", **tried},
        {"revision_id": "v2", "round": 2, "revision_status": "done", **tried},
    ])  # fmt: skip
    pair = {"dump": DUMP, "instruction_id": "kept", "group_id": "kept"}
    publish(lake, PREFERENCE_PAIRS, DUMP, [
        {"pair_id": "p1", "chosen_id": "r0", "rejected_id": "r1", "method": "comparisons", **pair},
        {"pair_id": "p2", "chosen_id": "v1", "rejected_id": "r1", "method": "self_refinement", **pair},
        {"pair_id": "p3", "chosen_id": "r1", "rejected_id": "r0", "method": "best_of_n", **pair},
    ])  # fmt: skip
    publish(lake, PREFERENCE_REMOVALS, DUMP, [
        {"pair_id": "p3", "rule": "contradicted_pair", "signal": "contradicted_pair", "value_text": "p1"}
    ])  # fmt: skip
    publish(lake, SFT_DATASET, None, [{"id": name, "dump": DUMP} for name in ("kept", "again")])
    publish(lake, PREFERENCE_DATASET, None, [{"id": "p2", "group_id": "kept", "dump": DUMP}])
    return lake


def fate_of(lake: Lake, wanted: str) -> tuple[Fate, dict[str, Step]]:
    (fate,) = explain(lake, wanted)
    json.dumps(fate.to_json())
    steps = {step.asset: step for step in fate.steps}
    assert len(steps) == len(fate.steps)
    return fate, steps


def test_nothing_is_claimed_of_stages_that_a_row_never_reached(lake: Lake) -> None:
    fate, steps = fate_of(lake, "no-1")
    assert fate.verdict == "instruction_removals: removed by too_short"
    assert steps["instruction_candidates"].values["text"] == "Short."
    assert {steps[name].fate for name in (
        "instruction_contamination", "instruction_reviews", "instruction_duplicates", "responses", "judgements",
        "response_revisions", "preference_pairs", "preference_dataset",
    )} == {"not reached"}  # fmt: skip
    assert steps["sft_dataset"].fate == "not in it"


def test_a_candidate_is_found_by_the_name_its_method_gave_it(lake: Lake) -> None:
    assert sorted(fate.id for fate in explain(lake, "card-7")) == ["no-1", "no-2"]
    with pytest.raises(RowNotFound, match="card-8"):
        explain(lake, "card-8")


def test_a_row_that_says_the_same_names_the_one_that_stays(lake: Lake) -> None:
    fate, steps = fate_of(lake, "first")
    rule = "self_instruct_earlier_equal_instructions"
    assert fate.verdict == f"instruction_removals: removed by {rule}; second says the same and stays"
    assert steps["instruction_duplicates"].fate == "not compared: another reason takes it"
    assert steps["instruction_contamination"].fate == "0 contaminated spans"
    assert steps["responses"].fate == "not reached"


def test_a_kept_row_shows_its_values_once_and_a_further_draw_its_first(lake: Lake) -> None:
    fate, steps = fate_of(lake, "again")
    assert fate.verdict == "kept, up to sft_dataset"
    assert steps["instruction_candidates"] == Step("instruction_candidates", "accepted by flan_rows")
    assert steps["synthesized_instructions"].fate == "by flan_rows, teacher small; kept drawn again"
    assert steps["synthesized_instructions"].values["instruction"] == ASKED["again"]
    assert steps["responses"].fate == "0 responses"


def test_a_response_tells_what_it_answers_and_where_it_was_compared(lake: Lake) -> None:
    fate, steps = fate_of(lake, "r1")
    assert (fate.kind, fate.id) == ("response", "r1")
    assert fate.verdict == "chosen in 1 and rejected in 2 of the pairs of kept"
    assert steps["synthesized_instructions"].values["instruction"] == ASKED["kept"]
    assert steps["responses"].fate == "sample 1 of kept, by small, ended by stop"
    assert [row["judgement_id"] for row in steps["judgements"].rows] == ["j1"]
    assert [row["revision_id"] for row in steps["response_revisions"].rows] == ["v1", "v2"]
    assert {row["pair_id"] for row in steps["preference_pairs"].rows} == {"p1", "p2", "p3"}
    assert [row["rule"] for row in steps["preference_removals"].rows] == ["contradicted_pair"]
    assert [row["id"] for row in steps["preference_dataset"].rows] == ["p2"]


def test_judgements_and_revisions_show_themselves_first(lake: Lake) -> None:
    fate, steps = fate_of(lake, "j0")
    assert (fate.kind, fate.id) == ("judgement", "j0")
    assert fate.verdict.startswith("helpfulness: 4, of response r0; that is chosen in 1 and rejected in 1 ")
    assert steps["judgements"].values["score"] == 4.0
    assert fate_of(lake, "j1")[1]["judgements"].fate == "helpfulness: own_family"
    fate, steps = fate_of(lake, "v1")
    assert (fate.kind, fate.verdict) == ("revision", "chosen in 1 and rejected in 0 of the pairs of kept")
    assert steps["response_revisions"].fate == "round 1 of r1: ok"
    assert steps["response_revisions"].values["revision"] == "Sea 9."


def test_a_pair_has_a_fate_of_its_own(lake: Lake) -> None:
    fate, steps = fate_of(lake, "p2")
    assert (fate.kind, fate.verdict) == ("preference pair", "kept, up to preference_dataset")
    assert [row["response_id"] for row in steps["responses"].rows] == ["r1"]
    assert [row["revision_id"] for row in steps["response_revisions"].rows] == ["v1"]
    fate, steps = fate_of(lake, "p3")
    assert fate.verdict == "preference_removals: removed by contradicted_pair"
    assert steps["preference_removals"].rows[0]["measured"] == "p1"
    assert steps["preference_dataset"].fate == "not in it"


def test_a_row_of_a_file_tells_what_was_made_of_it(lake: Lake) -> None:
    fate, steps = fate_of(lake, "s0")
    assert (fate.kind, fate.verdict) == ("row of a file", "2 rows made from it, 1 of them kept")
    told = {row["instruction_id"]: row["fate"] for row in steps["synthesized_instructions"].rows}
    assert told == {"first": "removed by self_instruct_earlier_equal_instructions", "second": "kept"}


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "pairs on this page", "1 pair on this page"),
        (2, "pairs on this page", "2 pairs on this page"),
        (1, "repeated spans, cut", "1 repeated span, cut"),
        (0, "tries", "0 tries"),
        (1, "made from it", "1 made from it"),
    ],
)
def test_what_is_counted_is_written_as_people_do(number: int, noun: str, said: str) -> None:
    assert count_of(number, noun) == said
