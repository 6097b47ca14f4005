from __future__ import annotations

import polars as pl
import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.images import IMAGE_CANDIDATES
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.takedowns import Entry, Takedowns, make_entry, normalize_urls, withhold
from mmpipe.tables.text import FILTERED_TEXT
from mmpipe_tests.lanes.pair_lake import fill_rows


def name(kind: str, written: str) -> Entry:
    return make_entry(kind, written, "2026-11-23", "")


@pytest.mark.parametrize(
    "same",
    [
        "https://example.org/a",
        "http://example.org/a",
        "https://Example.ORG/a/",
        "https://example.org:443/a",
        "http://example.org:80/a#part",
        "https://user:word@example.org/a",
        "https://example.org./a",
        "  https://example.org/%61  ",
    ],
)
def test_one_address_has_one_form(same: str) -> None:
    assert normalize_urls(pl.Series([same])).to_list() == ["example.org/a"]
    assert Takedowns((name("url", same),)).match_urls(pl.Series(["https://example.org/a"])).to_list() == [True]


@pytest.mark.parametrize(
    "other",
    ["https://example.org/A", "https://example.org/a?x=1", "https://example.org/a/b", "https://www.example.org/a",
     "https://example.org:8080/a", "https://example.org/", "example.org/a", None, "data:image/png;base64,AA"],
)  # fmt: skip
def test_another_address_has_another(other: str | None) -> None:
    assert Takedowns((name("url", "https://example.org/a"),)).match_urls(pl.Series([other])).to_list() == [False]


def test_a_domain_means_what_lies_below_it_and_nothing_that_ends_alike() -> None:
    urls = ["https://example.org/", "https://a.b.Example.org:8443/x?y", "https://notexample.org/", "https://example.org.uk/",
            "https://elsewhere.net/?u=example.org", "https://example.org@elsewhere.net/", None]  # fmt: skip
    found = Takedowns((name("domain", "Example.org."),)).match_urls(pl.Series(urls))
    assert found.to_list() == [True, True, False, False, False, False, False]


def test_hosts_and_paths_in_any_script_are_found_in_either_way_of_writing() -> None:
    urls = pl.Series(["https://bücher.example/caf%C3%A9", "https://xn--bcher-kva.example/café"])
    for written in ("https://bücher.example/café", "https://xn--bcher-kva.example/caf%c3%a9"):
        assert Takedowns((name("url", written),)).match_urls(urls).to_list() == [True, True]
    assert Takedowns((name("domain", "bücher.example"),)).match_urls(urls).to_list() == [True, True]


@pytest.mark.parametrize(
    ("kind", "written", "told"),
    [
        ("url", "", "is no URL"),
        ("url", "page", "is no URL"),
        ("domain", "https://example.org/page", "for a page, --url"),
        ("domain", "org", "is no domain"),
        ("id", "12345", "32 hexadecimal digits"),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(kind: str, written: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        name(kind, written)


def test_a_record_keeps_its_place_in_the_index_and_is_read_no_more() -> None:
    rows = [{"doc_id": key * 32, "url": f"https://{key}.example/", "record_status": "ok"} for key in "abc"]
    frame = fill_rows(RAW_CRAWL, rows)
    after, taken = withhold(RAW_CRAWL, frame, Takedowns((name("domain", "a.example"), name("id", "c" * 32))))
    assert taken == 2
    assert after.get_column("record_status").to_list() == ["taken_down", "ok", "taken_down"]
    assert after.drop("record_status").equals(frame.drop("record_status"))


def test_pairs_go_by_page_by_picture_and_by_id() -> None:
    rows = [
        {
            "pair_id": "1" * 32,
            "doc_id": "a" * 32,
            "page_url": "https://a.example/p",
            "image_url": "https://z.example/1",
        },
        {
            "pair_id": "2" * 32,
            "doc_id": "b" * 32,
            "page_url": "https://b.example/p",
            "image_url": "https://a.example/2",
        },
        {"pair_id": "3" * 32, "doc_id": "c" * 32, "page_url": None, "image_url": "https://c.example/3"},
        {"pair_id": "4" * 32, "doc_id": "d" * 32, "page_url": None, "image_url": "folder/4.png"},
    ]
    frame = fill_rows(IMAGE_CANDIDATES, rows)
    after, taken = withhold(IMAGE_CANDIDATES, frame, Takedowns((name("domain", "a.example"), name("id", "3" * 32))))
    assert (after.get_column("pair_id").to_list(), taken) == (["4" * 32], 3)


def test_a_candidate_that_goes_leaves_its_name_alone() -> None:
    texts = {"instruction": "a question", "response": "an answer", "text": "", "candidate_status": "ok"}
    rows = [{"instruction_id": key * 32, "candidate": "said by its method", **texts} for key in "12"]
    frame = fill_rows(INSTRUCTION_CANDIDATES, rows)
    after, taken = withhold(INSTRUCTION_CANDIDATES, frame, Takedowns((name("id", "1" * 32),)))
    gone, kept = after.to_dicts()
    assert taken == 1
    assert kept == frame.to_dicts()[1]
    told = {"instruction_id": "1" * 32, "candidate_status": "taken_down", "candidate": "1" * 32, "text": ""}
    assert {key: value for key, value in gone.items() if value is not None} == told | {"dump": "x", "method": "x"}


def test_preferences_go_by_where_their_texts_stand() -> None:
    frame = fill_rows(PREFERENCE_PAIRS, [
        {"pair_id": "1" * 32, "source_urls": ["https://q.example/1", "https://a.example/u"], "parents": [], "tags": []},
        {"pair_id": "2" * 32, "source_urls": [], "parents": [], "tags": []},
    ])  # fmt: skip
    after, _ = withhold(PREFERENCE_PAIRS, frame, Takedowns((name("domain", "a.example"),)))
    assert after.get_column("pair_id").to_list() == ["2" * 32]


def test_tables_made_of_others_are_left_to_those() -> None:
    frame = fill_rows(FILTERED_TEXT, [{"doc_id": "a" * 32, "url": "https://a.example/"}])
    assert withhold(FILTERED_TEXT, frame, Takedowns((name("domain", "a.example"),))) == (frame, 0)
