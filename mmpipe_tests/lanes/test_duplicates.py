"""Dumps of a few hand-made documents through the stages that compare documents, recipe by recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.errors import DatasetNotReady
from mmpipe.filtering.duplicate_sections import (
    DeduplicationSettings,
    RepeatedLines,
    RepeatedText,
    SemanticDuplicates,
    SimHashDuplicates,
    UrlDuplicates,
)
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.lanes.repeated_text import merge_spans
from mmpipe.lanes.text import TEXT_LANE
from mmpipe.storage.lake import Lake
from mmpipe.tables.text import (
    DEDUPED_CORPUS,
    FILTERED_TEXT,
    TEXT_DUPLICATES,
    TEXT_REPEATS,
    TEXT_SCORES,
)
from mmpipe_tests.commands.lakes import publish
from mmpipe_tests.lanes.running import run_stages

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [stage.table.name for stage in TEXT_LANE]
STAGES = TEXT_LANE[NAMES.index("text_signatures") :]


def words(start: int, count: int) -> str:
    """Return words that no other call with a start far enough away has; without digits, which may not count."""
    return " ".join(f"w{number:05d}".translate(_LETTERS) for number in range(start, start + count))


_LETTERS = str.maketrans("0123456789", "abcdefghij")


def make_recipe(**section: Any) -> Recipe:
    settings = {"url": None, "substring": None, "bands": 20, "rows": 4} | section
    return replace(load_recipe("refinedweb"), deduplication=DeduplicationSettings(**settings))


def put(lake: Lake, dump: str, **documents: str | tuple[str, str] | tuple[str, str, float]) -> None:
    """Publish filtered_text: text, or text and URL, or text, URL and quality, by name."""
    rows, scores = [], []
    for name, given in documents.items():
        text, url, quality = (*((given,) if isinstance(given, str) else given), None, None)[:3]
        doc_id = make_id(name)
        row = {"doc_id": doc_id, "dump": dump, "text": text, "language": "en", "language_score": 1.0}
        rows.append(row | {"url": url or f"https://{dump}.example/{name}"})
        scores.append({"doc_id": doc_id, "quality_score": quality})
    publish(lake, FILTERED_TEXT, dump, rows)
    publish(lake, TEXT_SCORES, dump, scores)


def make_id(name: str) -> str:
    return name.encode().hex().rjust(32, "0")


def name_of(doc_id: str) -> str:
    return bytes.fromhex(doc_id).lstrip(b"\0").decode()


def run(lake: Lake, recipe: Recipe, *dumps: str, **knobs: Any) -> None:
    for dump in dumps:
        run_stages(lake, dump, STAGES, recipe=recipe, **knobs)


def list_kept(lake: Lake, dump: str) -> dict[str, str]:
    rows = lake.dataset(DEDUPED_CORPUS, dump).scan().select("doc_id", "text").collect()
    return {name_of(doc_id): text for doc_id, text in rows.iter_rows()}


def list_rules(lake: Lake, dump: str) -> dict[str, int]:
    return dict(lake.dataset(DEDUPED_CORPUS, dump).require_manifest().removed_by_rule)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report tells of stages that these documents never went through; it has tests of its own."""
    monkeypatch.setattr("mmpipe.lanes.repeats.write_text_report", lambda *_: "")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


ALIKE = words(0, 200)
NEARLY = words(0, 190) + " " + words(700, 10)


def test_without_asking_urls_differ_and_with_asking_the_better_stays(lake: Lake) -> None:
    put(
        lake,
        "d",
        short=(words(0, 80), "http://h.example/a?utm_source=x"),
        long=(words(1000, 90), "https://h.example/a/#top"),
        other=(words(2000, 85), "https://h.example/b"),
    )
    run(lake, make_recipe(), "d")
    assert set(list_kept(lake, "d")) == {"short", "long", "other"}

    run(lake, make_recipe(url=UrlDuplicates()), "d")
    assert set(list_kept(lake, "d")) == {"long", "other"}
    assert list_rules(lake, "d") == {"url_duplicate": 1}


def test_an_address_of_an_earlier_dump_is_known_within_the_scope(lake: Lake) -> None:
    put(lake, "a", first=(words(0, 80), "https://h.example/a"))
    put(lake, "b", second=(words(1000, 90), "https://h.example/a"), third=(words(2000, 90), "https://h.example/c"))
    run(lake, make_recipe(url=UrlDuplicates()), "a", "b")
    assert set(list_kept(lake, "b")) == {"third"}
    row = lake.dataset(TEXT_DUPLICATES, "b").scan().collect().row(0, named=True)
    assert (row["kept_dump"], row["method"], row["cluster_documents"]) == ("a", "url", 2)

    run(lake, make_recipe(url=UrlDuplicates(), scope="within_dump"), "a", "b")
    assert set(list_kept(lake, "b")) == {"second", "third"}


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        ({}, "near_duplicate"),
        ({"verify_jaccard": None}, "near_duplicate"),
        ({"bands": None, "rows": None, "recall": 0.99, "jaccard": 0.8}, "near_duplicate"),
        ({"shingle_words": None, "shingle_characters": 24, "normalization": "nemo"}, "near_duplicate"),
        ({"verify_jaccard": 0.99, "simhash": SimHashDuplicates(most_bits=12, blocks=16)}, "simhash_duplicate"),
        ({"verify_jaccard": 0.99, "semantic": SemanticDuplicates(epsilon=0.1, clusters=1)}, "semantic_duplicate"),
    ],
)
def test_each_way_removes_by_its_own_rule(lake: Lake, section: dict[str, Any], rule: str) -> None:
    put(lake, "d", one=ALIKE + " more", two=NEARLY, far=words(5000, 150))
    run(lake, make_recipe(**section), "d")
    assert set(list_kept(lake, "d")) == {"one", "far"}
    assert list_rules(lake, "d") == {rule: 1}


def test_the_recipes_reasons_decide_who_stays(lake: Lake) -> None:
    put(lake, "d", long=(ALIKE + " more", "https://h.example/a", 0.1), good=(NEARLY, "https://h.example/b", 0.9))
    run(lake, make_recipe(keep=("length",)), "d")
    assert set(list_kept(lake, "d")) == {"long"}
    run(lake, make_recipe(keep=("quality", "length")), "d")
    assert set(list_kept(lake, "d")) == {"good"}


def test_what_was_published_stays_or_not_as_the_policy_says(lake: Lake, tmp_path: Path) -> None:
    def put_both(lake: Lake) -> None:
        put(lake, "a", short=NEARLY, alone=words(3000, 90))
        put(lake, "b", long=ALIKE + " and more words", other=words(4000, 90))

    put_both(lake)
    run(lake, make_recipe(), "a", "b")
    run(lake, make_recipe(), "a")
    assert [set(list_kept(lake, dump)) for dump in "ab"] == [{"short", "alone"}, {"other"}]

    kept = []
    for order in ("ab", "ba"):
        canonical = Lake(str(tmp_path / order))
        put_both(canonical)
        run(canonical, make_recipe(across="canonical"), *order, *order)
        kept.append([set(list_kept(canonical, dump)) for dump in "ab"])
    assert kept == [[{"alone"}, {"long", "other"}]] * 2


NOTICE = words(9000, 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_repeated_text_is_cut_where_it_does_not_stand_first(lake: Lake, workers: int) -> None:
    put(
        lake,
        "a",
        one=f"{words(0, 90)} {NOTICE}",
        two=f"{words(1000, 80)} {NOTICE} {words(1500, 70)}",
        rest="hm " + NOTICE,
    )
    put(lake, "b", three=f"{words(2000, 85)} {NOTICE}", four=words(3000, 80))
    recipe = make_recipe(substring=RepeatedText(unit="tokens", least_length=50))
    run(lake, recipe, "a", "b", workers=workers)

    kept = list_kept(lake, "a")
    filtered = {
        name_of(i): t for i, t in lake.dataset(FILTERED_TEXT, "a").scan().select("doc_id", "text").collect().rows()
    }
    assert set(kept) == {"one", "two"}
    assert kept["two"] == filtered["two"]  # the longest comes first
    assert kept["one"].strip() == words(0, 90)
    assert list_rules(lake, "a") == {"short_after_repeats": 1}
    (span,) = (
        lake.dataset(TEXT_REPEATS, "a").scan().filter(pl.col("doc_id") == make_id("one")).collect().rows(named=True)
    )
    length = span["end"] - span["start"]
    assert name_of(span["kept_doc_id"]) == "two"
    assert (
        filtered["one"][span["start"] : span["end"]].split() == filtered["two"][span["kept_start"] :][:length].split()
    )
    # what the earlier dump published is not cut, and is known to the later one
    later = list_kept(lake, "b")
    assert {name: text.strip() for name, text in later.items()} == {"three": words(2000, 85), "four": words(3000, 80)}


def test_a_second_run_makes_nothing_and_another_limit_only_what_follows(lake: Lake) -> None:
    put(lake, "a", one=f"{words(0, 90)} {NOTICE}", two=f"{words(1000, 80)} {NOTICE}")
    recipe = make_recipe(substring=RepeatedText(least_length=50))
    run(lake, recipe, "a")
    assert not any(made.made_shards for made in run_stages(lake, "a", STAGES, recipe=recipe).values())
    moved = make_recipe(substring=RepeatedText(least_length=61))
    made = run_stages(lake, "a", STAGES, recipe=moved)
    assert {name for name, production in made.items() if production.made_shards} == {"text_repeats", "deduped_corpus"}
    assert lake.dataset(TEXT_REPEATS, "a").scan().collect().is_empty()


def test_lines_are_cut_everywhere_or_but_once_also_against_earlier_dumps(lake: Lake) -> None:
    menu = "Home | About | Contact | Imprint"
    put(lake, "a", one=f"{menu}\n{words(0, 60)}", two=f"{words(1000, 70)}\n{menu}")
    put(lake, "b", three=f"{menu}\n{words(2000, 60)}", four=words(3000, 60))
    run(lake, make_recipe(lines=RepeatedLines(keep="none")), "a", "b")
    assert not any(menu in text for text in list_kept(lake, "a").values())
    run(lake, make_recipe(lines=RepeatedLines(keep="first")), "a", "b")
    assert [name for name, text in list_kept(lake, "a").items() if menu in text] == ["two"]
    assert not any(menu in text for text in list_kept(lake, "b").values())


def test_lines_and_substrings_together_are_cut_once(lake: Lake) -> None:
    put(lake, "a", one=f"{words(0, 90)}\n{NOTICE}\nend of one", two=f"{words(1000, 95)}\n{NOTICE}\nthe other end")
    run(lake, make_recipe(lines=RepeatedLines(), substring=RepeatedText(least_length=50)), "a")
    assert set(lake.dataset(TEXT_REPEATS, "a").scan().collect()["method"]) == {"lines", "substring"}
    assert list_kept(lake, "a")["one"].split() == f"{words(0, 90)} end of one".split()


def test_an_earlier_dump_without_its_repeats_is_named_with_the_command(lake: Lake) -> None:
    put(lake, "a", one=ALIKE)
    put(lake, "b", two=words(1000, 90))
    recipe = make_recipe(substring=RepeatedText())
    to_duplicates = STAGES[:2]
    run_stages(lake, "a", to_duplicates, recipe=recipe)
    with pytest.raises(DatasetNotReady, match=r"text_repeats\[a\] has to be there.*mmpipe backfill"):
        run(lake, recipe, "b")


def test_a_broken_index_is_made_again(lake: Lake, tmp_path: Path) -> None:
    put(lake, "a", one=f"{ALIKE} {NOTICE}")
    put(lake, "b", two=f"{NEARLY} {NOTICE}", three=f"{words(3000, 90)} {NOTICE}")
    recipe = make_recipe(substring=RepeatedText())
    run(lake, recipe, "a", "b")
    before = list_kept(lake, "b")
    files = [file for file in (tmp_path / "lake-cache").rglob("*") if file.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    for dump in "ab":
        for table in (TEXT_DUPLICATES, TEXT_REPEATS):
            manifest = lake.dataset(table, dump).folder.join("manifest.json").local_path
            assert manifest is not None
            manifest.unlink()
    run(lake, recipe, "a", "b")
    assert list_kept(lake, "b") == before


def test_text_that_was_cut_from_an_earlier_dump_is_not_published_there(lake: Lake) -> None:
    put(lake, "a", one=f"{words(0, 90)} {NOTICE}", two=f"{words(1000, 80)} {NOTICE}")
    put(lake, "b", three=f"{words(2000, 85)} {NOTICE}")
    run(lake, make_recipe(substring=RepeatedText(keep="none")), "a", "b")
    assert not any(NOTICE in text for text in list_kept(lake, "a").values())
    assert NOTICE in list_kept(lake, "b")["three"]


def test_a_document_does_not_go_for_one_that_an_earlier_dump_removed(lake: Lake) -> None:
    # shingles shared: best and middle .89, middle and last .85, best and last .76
    put(lake, "a", best=words(0, 206), middle=words(10, 200))
    put(lake, "b", last=words(26, 200))
    run(lake, make_recipe(bands=60), "a")
    assert set(list_kept(lake, "a")) == {"best"}
    run(lake, make_recipe(bands=60), "b")
    assert set(list_kept(lake, "b")) == {"last"}


def test_spans_that_overlap_or_touch_become_one() -> None:
    spans = [("a", 20, 30), ("a", 10, 50), ("a", 50, 60), ("a", 70, 80), ("b", 0, 5), ("b", 3, 9), ("c", 55, 56)]
    merged = merge_spans(pl.DataFrame(spans, schema=["doc_id", "start", "end"], orient="row"))
    assert merged.rows() == [("a", 10, 60), ("a", 70, 80), ("b", 0, 9), ("c", 55, 56)]
