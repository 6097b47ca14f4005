from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mmpipe.errors import TeacherError
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS
from mmpipe.lanes.instruction_lane import INSTRUCTION_LANE
from mmpipe.lanes.instructions import METHODS
from mmpipe.lanes.synthesis_methods import FILE_METHODS
from mmpipe.lanes.teacher_watch import refuse_outage
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, JUDGEMENTS, RESPONSES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS
from mmpipe_tests.lanes.running import make_small_recipe, run_stages

if TYPE_CHECKING:
    from mmpipe.demo.sample_crawl import SampleCrawl
    from mmpipe.lanes.stage import Knobs
    from mmpipe.storage.lake import Lake

# one process for all tests of the lanes: the lanes run once
pytestmark = pytest.mark.xdist_group("lanes")


def test_instructions_rest_on_their_documents(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    dump = sample_crawl.dumps[0].name
    rows = whole_lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump).scan().collect()
    texts = dict(whole_lake.dataset(DEDUPED_CORPUS, dump).scan().select("doc_id", "text").collect().iter_rows())

    grounded = rows.filter(method="grounded_questions")
    assert grounded.height
    for row in grounded.iter_rows(named=True):
        (parent,) = row["parents"]
        assert parent["table"] == "deduped_corpus"
        assert " ".join(row["evidence"].split()) in " ".join(texts[parent["id"]].split())
        assert row["teacher"].startswith("transformers:")
        assert row["prompt_tokens"] > 0


def test_what_was_planned_is_rows_plus_rejections_by_reason(whole_lake: Lake, sample_crawl: SampleCrawl) -> None:
    manifest = whole_lake.dataset(SYNTHESIZED_INSTRUCTIONS, sample_crawl.dumps[0].name).require_manifest()

    assert manifest.rows_in == manifest.rows_out + manifest.rows_removed
    assert manifest.rows_removed == sum(manifest.removed_by_rule.values())
    assert manifest.counts["requests"] >= manifest.rows_in


def test_each_answered_instruction_has_its_samples_and_each_sample_a_judgement(
    whole_lake: Lake, sample_crawl: SampleCrawl
) -> None:
    dump = sample_crawl.dumps[0].name
    responses, judgements = (whole_lake.dataset(table, dump).scan().collect() for table in (RESPONSES, JUDGEMENTS))

    assert set(responses.group_by("instruction_id").len()["len"]) <= {1, 2, 3}
    assert set(judgements["response_id"]) == set(responses["response_id"])
    for score, status in judgements.select("score", "judgement_status").iter_rows():
        assert (score is None) == (status == "unparsed")


def test_the_cache_answers_when_the_datasets_are_gone(
    whole_lake: Lake, whole_knobs: Knobs, sample_crawl: SampleCrawl
) -> None:
    dump = sample_crawl.dumps[0].name
    dataset = whole_lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump)
    before = dataset.require_manifest()
    for gone in (dataset, whole_lake.dataset(INSTRUCTION_CANDIDATES, dump)):
        for path in list(gone.folder.list_files()):
            gone.folder.join(path).remove()

    again = run_stages(whole_lake, dump, INSTRUCTION_LANE[:2], recipe=make_small_recipe(), knobs=whole_knobs)

    manifest = again["synthesized_instructions"].manifest
    assert manifest.fingerprint == before.fingerprint
    assert manifest.counts["requests_cached"] == manifest.counts["requests"] - sum(
        count for name, count in manifest.counts.items() if name.startswith("replies_refused_teacher")
    )
    assert json.loads(dataset.scan().collect()["sampling"][0])["max_tokens"] > 0


def test_an_outage_is_no_result() -> None:
    refuse_outage(100, {"answer_ungrounded": 90, "teacher_server": 5})

    with pytest.raises(TeacherError, match="6 of 100 requests"):
        refuse_outage(100, {"teacher_server": 4, "teacher_rate": 2})


def test_every_method_a_recipe_may_name_can_be_planned() -> None:
    assert [*METHODS, *FILE_METHODS] == [*SYNTHESIS_METHODS]
