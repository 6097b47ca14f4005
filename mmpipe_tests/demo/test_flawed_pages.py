from __future__ import annotations

import io
from collections import Counter

import polars as pl
import pytest

from mmpipe.demo.sample_crawl import SampleCrawl, SampleDump, SampleRecord
from mmpipe.filtering.judge import judge
from mmpipe.filtering.recipes import load_recipe
from mmpipe.filtering.text_signals import measure_text

#: Pages whose text is good English; what is wrong with them, if anything, is no matter of their words.
_GOOD = ("good", "evergreen", "repeated_dump", "near_copy", "exact_copy", "oversized_page")

#: What each flaw is made to break.
_BREAKS = {
    "short_text": "gopher_word_count",
    "long_text": "gopher_word_count",
    "navigation_only": "gopher_word_count",
    "short_words": "gopher_mean_word_length",
    "long_words": "gopher_mean_word_length",
    "hashes": "gopher_hash_to_word_ratio",
    "ellipses": "gopher_ellipsis_to_word_ratio",
    "ellipsis_lines": "gopher_ellipsis_line_ratio",
    "bullets": "gopher_bullet_line_ratio",
    "few_letters": "gopher_alphabetic_word_ratio",
    "no_stop_words": "gopher_stop_word_count",
    "duplicate_lines": "gopher_duplicate_line_ratio",
    "duplicate_paragraphs": "gopher_duplicate_paragraph_char_ratio",
    "top_2_gram": "gopher_top_2_gram_char_ratio",
    "top_3_gram": "gopher_top_3_gram_char_ratio",
    "top_4_gram": "gopher_top_4_gram_char_ratio",
    "repeated_n_grams": "gopher_duplicate_10_gram_char_ratio",
    "blocked_domain": "refinedweb_url_blocked_domain",
    "blocked_host": "refinedweb_url_blocked_host",
    "blocked_url": "refinedweb_url_blocked_url",
    "url_strict_subwords": "refinedweb_url_strict_subwords",
    "url_hard_words": "refinedweb_url_hard_words",
    "url_soft_words": "refinedweb_url_soft_words",
    "other_language": "refinedweb_language",
}


def _extract(dump: SampleDump, record: SampleRecord) -> str | None:
    import trafilatura
    from fastwarc.warc import ArchiveIterator

    with (dump.folder / record.warc_file).open("rb") as file:
        file.seek(record.warc_offset)
        body = next(iter(ArchiveIterator(io.BytesIO(file.read(record.warc_length)), parse_http=True))).reader.read()
    return body.decode() if record.kind == "plain_text" else trafilatura.extract(body.decode(), include_comments=False)


@pytest.fixture(scope="module")
def removed(sample_crawl: SampleCrawl) -> pl.DataFrame:
    """Return one row per page and failing rule: fate, rule."""
    dump = sample_crawl.dumps[0]
    rows = [
        {
            "doc_id": f"{place}",
            "fate": record.fate,
            "url": record.url,
            "text": _extract(dump, record),
            "language": record.language or "en",
            "language_score": 0.99,
            "extraction_status": "ok",
        }
        for place, record in enumerate(dump.records)
        if record.fate in _BREAKS or record.fate in _GOOD
    ]
    frame = pl.DataFrame(rows)
    recipe = load_recipe("refinedweb")
    found = judge(measure_text(frame, recipe), recipe.text.rules, key="doc_id", status=None)
    return frame.select("doc_id", "fate").join(found.select("doc_id", "rule"), on="doc_id", how="left")


def test_good_articles_pass_every_rule(removed: pl.DataFrame) -> None:
    good = removed.filter(pl.col("fate").is_in(_GOOD))
    assert len(good) > 20
    assert good.filter(pl.col("rule").is_not_null()).is_empty(), good.drop_nulls()


def test_each_flaw_breaks_its_rule(removed: pl.DataFrame) -> None:
    broken = Counter(removed.select("fate", "rule").iter_rows())
    assert [fate for fate, rule in _BREAKS.items() if not broken[fate, rule]] == []


def test_each_rule_has_something_to_remove(removed: pl.DataFrame) -> None:
    rules = {rule.name for rule in load_recipe("refinedweb").text.rules}
    # How sure the language is depends on a model's weights; the mixed_languages pages are there for it. No made-up page
    # stands on a real held-out host, and these texts are measured as they were before their lines are corrected.
    assert rules - set(removed["rule"].drop_nulls()) == {
        "refinedweb_language_score",
        "refinedweb_url_held_out",
        "refinedweb_corrected_word_ratio",
    }
