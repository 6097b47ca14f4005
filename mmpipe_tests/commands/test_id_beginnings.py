from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.commands.explain import explain
from mmpipe.commands.lookup import RowNotFound, complete_id
from mmpipe.commands.trace import trace
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.lake import Lake
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.instructions import SFT_DATASET, SYNTHESIZED_INSTRUCTIONS
from mmpipe_tests.commands.lakes import publish

ALIKE = ("abcdef00" + "0" * 24, "abcdef0f" + "f" * 24)
ALONE = "1f0c77ab" + "9" * 24
ROW = "ffffffff" + "e" * 24


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    for dump in ("d1", "d2"):
        record_dump(lake, Dump(dump, "/crawl", ("a.warc.gz",)))
    plain = {"warc_file": "a.warc.gz", "warc_offset": 0, "record_status": "ok", "kind": "html"}
    publish(lake, RAW_CRAWL, "d1", [
        {"doc_id": doc, "dump": "d1", "url": f"https://x.example/{doc}"} | plain for doc in (ALIKE[0], ALONE)
    ])  # fmt: skip
    publish(lake, RAW_CRAWL, "d2", [{"doc_id": ALIKE[1], "dump": "d2", "url": "https://x.example/"} | plain])
    parents = [{"table": "raw_crawl", "id": ALONE}]
    publish(lake, SYNTHESIZED_INSTRUCTIONS, "d1", [
        {"instruction_id": ROW, "dump": "d1", "method": "wrap", "instruction": "Ask.", "response": "Told.",
         "parents": parents}])  # fmt: skip
    publish(lake, SFT_DATASET, None, [{"id": ROW, "dump": "d1", "parents": parents}])
    return lake


def test_a_row_is_found_by_how_its_id_begins(lake: Lake) -> None:
    assert [(fate.kind, fate.id) for fate in explain(lake, "1f0c77")] == [("document", ALONE)]
    assert [fate.id for fate in explain(lake, "1f0c77ab…")] == [ALONE]
    origin = trace(lake, "ffffff")
    assert (origin.id, [record.id for record in origin.list_records()]) == (ROW, [ALONE])
    # the same id in several tables is one row's
    assert complete_id(lake, "ffffff") == ROW


@given(st.integers(6, 31))
def test_a_beginning_names_its_id_or_all_that_begin_so(lake: Lake, digits: int) -> None:
    if digits > 7:
        assert [complete_id(lake, name[:digits]) for name in ALIKE] == list(ALIKE)
        return
    both = rf"begin with {ALIKE[0][:digits]}: {ALIKE[0]} \(raw_crawl\), {ALIKE[1]} \(raw_crawl\)\."
    with pytest.raises(RowNotFound, match=both):
        explain(lake, ALIKE[0][:digits])


@pytest.mark.parametrize("wanted", ["abcde", "abcdef1", "seed_1", ALONE, "https://x.example/"])
def test_what_is_no_beginning_stays_as_it_is(lake: Lake, wanted: str) -> None:
    assert complete_id(lake, wanted) == wanted
