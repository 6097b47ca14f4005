"""datatrove's own filters as the oracle: the same decision for the same first reason, and C4's text letter by letter.

The peer runs in an environment of its own (`make bench-setup`, or name its interpreter in MMPIPE_PEER_PYTHON).
docs/parity.md says what is proven here and what differs.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mmpipe.extraction.corrections import correct_text, find_step
from mmpipe.filtering.judge import judge
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.recipe_sections import CorrectionSettings, CorrectionStep
from mmpipe.filtering.recipes import Recipe, load_recipe
from mmpipe.filtering.rules import Rule
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.filtering.text_signals import measure_text
from mmpipe.filtering.url_signals import measure_urls
from mmpipe.tables.correction_steps import CORRECTION_STEPS
from mmpipe.tables.text import EXTRACTED_TEXT, TEXT_CORRECTIONS
from mmpipe_tests.peers import PEER_PYTHON, find_peer

ROOT = Path(__file__).resolve().parents[2]
RELEASE = PEER_PYTHON.parents[1] / "datatrove_0_2"
PEER_SCRIPT = Path(__file__).with_name("datatrove_peer.py")

#: Our rule to datatrove's reason, where one rule has one reason.
REASONS = {
    "gopher_duplicate_paragraph_ratio": "dup_para_frac",
    "gopher_duplicate_paragraph_char_ratio": "dup_para_char_frac",
    "gopher_duplicate_line_ratio": "dup_line_frac",
    "gopher_duplicate_line_char_ratio": "dup_line_char_frac",
    **{f"gopher_top_{n}_gram_char_ratio": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"gopher_duplicate_{n}_gram_char_ratio": f"duplicated_{n}_n_grams" for n in range(5, 11)},
    "gopher_hash_to_word_ratio": "gopher_too_many_hashes",
    "gopher_ellipsis_to_word_ratio": "gopher_too_many_ellipsis",
    "gopher_bullet_line_ratio": "gopher_too_many_bullets",
    "gopher_ellipsis_line_ratio": "gopher_too_many_end_ellipsis",
    "gopher_alphabetic_word_ratio": "gopher_below_alpha_threshold",
    "gopher_stop_word_count": "gopher_enough_stop_words",
    "c4_lorem_ipsum_count": "lorem_ipsum",
    "c4_curly_bracket_count": "curly_bracket",
    "c4_sentence_count": "too_few_sentences",
    "mc4_long_line_count": "< 3 paragraphs",
    "fineweb_nonblank_line_count": "empty",
    "refinedweb_url_blocked_domain": "domain",
    "refinedweb_url_blocked_host": "subdomain",
    "refinedweb_url_blocked_url": "url",
    "refinedweb_url_hard_words": "hard_blacklisted",
    "refinedweb_url_soft_words": "soft_blacklisted",
    "refinedweb_url_strict_subwords": "blacklisted_subword",
    **{
        f"{paper}_{signal}": reason
        for paper in ("fineweb", "fineweb_release")
        for signal, reason in (
            ("terminal_line_ratio", "line_punct_ratio"),
            ("short_line_ratio", "short_line_ratio"),
            ("repeated_line_char_ratio", "char_dup_ratio"),
            ("newline_to_word_ratio", "list_ratio"),
        )
    },
}

#: Rules with a lower and an upper limit have two reasons.
TWO_REASONS = {
    "gopher_word_count": ("gopher_short_doc", "gopher_long_doc"),
    "gopher_mean_word_length": ("gopher_below_avg_threshold", "gopher_above_avg_threshold"),
}

#: Filter of the peer to the rules of recipe `fineweb` that it applies; the chain applies them all.
FILTERS = {
    "repetition": ("gopher_duplicate", "gopher_top"),
    "quality": ("gopher_",),
    "c4_fineweb": ("c4_",),
    "fineweb": ("fineweb_",),
    "chain": ("gopher_", "c4_", "fineweb_"),
}

#: One page for each reason of the filters, and what breaks filters: nothing but space, one long line, many scripts.
PLAIN = "the dog and the cat went to the house that they have known for years"
PARAGRAPH = "It was the best day of the year, and all of them went out with a song to greet the morning sun."
PAGES = (
    " ",
    "\n\n",
    "one two three",
    PLAIN,
    f"{PARAGRAPH}\n" * 12,
    "\n".join(
        f"{PARAGRAPH} {word}."
        for word in ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"]
    ),
    f"{PARAGRAPH}\n\nA second one is here to be read by whoever may.\n\n{PARAGRAPH}\n\n# # # # # ... ... …",
    "\n".join(f"- item {number} of the list that we have" for number in range(30)),
    "\n".join(f"We go on to line {number} and then..." for number in range(30)),
    " ".join(f"{number}" for number in range(100)),
    " ".join(f"verylongwordthatnobodyuses{number}" for number in range(60)),
    "a b c d " * 20,
    f"{PARAGRAPH} Lorem ipsum dolor sit amet.\n{PARAGRAPH}",
    f"{PARAGRAPH}\nfunction() {{ return 1; }} of the code.\n{PARAGRAPH}",
    f"{PARAGRAPH}\nPlease enable JavaScript {{ to go on.\n{PARAGRAPH}",
    f"{PARAGRAPH}\nOur privacy policy has a {{ in it.\n{PARAGRAPH}",
    f"{PARAGRAPH}\nuse of cookies is what we do here\n\n[1] [2] [3]\nWait.  ...  Then.[4] \tGo on!  [5]\n",
    "[edit] [1] [2]\n[3] A line. Another one.  [4]",
    "Mr. Smith said: “Stop.” He didn't (really!) go... And the U.S. won. So e.g. what? Yes.\n" * 3,
    "これは文です。もう一つの文です！ 第三の文？\nそして長い行がここにあります。 the and of to",
    "यह एक वाक्य है। दूसरा वाक्य।\nجملة أخرى؟ نعم۔ the and",
    "x" * 5000 + " the and\n" + PARAGRAPH,
    "line one\rline two\x0bline three\u2028line four\x85" + PARAGRAPH,
    "no end mark here and there\n" * 3 + "\n".join(f"unique line {n} with words and the rest" for n in range(10)),
)


def ask_peer(tmp_path: Path, given: dict[str, Any], **environment: str) -> dict[str, Any]:
    python = find_peer()
    paths = tmp_path / "given.json", tmp_path / "answer.json"
    paths[0].write_text(json.dumps(given), encoding="utf-8")
    command = [str(python), str(PEER_SCRIPT), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr:
        pytest.skip(f"{python} cannot run datatrove's filters: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(paths[1].read_text(encoding="utf-8")))


def make_corrected(texts: list[str], recipe: Recipe) -> pl.DataFrame:
    """Return rows as the lane hands them to the signals: extracted and corrected."""
    rows = [{"doc_id": f"{i:06}", "dump": "d", "extraction_status": "ok", "text": t} for i, t in enumerate(texts)]
    steps = [find_step(item.step, item.options) for item in recipe.corrections.steps]
    corrected = []
    for text in texts:
        after = correct_text(text, steps)
        entries = [{"step": step, **asdict(edit)} for step, edit in after.edits]
        corrected.append((after.text if after.text != text else None, entries or None))
    names = ("corrected_text", "corrections")
    columns = pl.DataFrame(corrected, schema={name: TEXT_CORRECTIONS.schema[name] for name in names}, orient="row")
    return pl.concat([pl.DataFrame(rows, schema=EXTRACTED_TEXT.schema), columns], how="horizontal")


def list_first_reasons(signals: pl.DataFrame, rules: list[Rule]) -> list[str]:
    """Return datatrove's name of the first rule that takes each row; empty if none does."""
    removals = judge(signals, rules, key="doc_id", status="extraction_status")
    first = {row["doc_id"]: row for row in reversed(removals.to_dicts())}
    return [name_reason(first[doc_id]) if doc_id in first else "" for doc_id in signals.get_column("doc_id")]


def name_reason(removal: dict[str, Any]) -> str:
    if removal["rule"] in TWO_REASONS:
        below, above = TWO_REASONS[removal["rule"]]
        return above if removal["value"] is not None and removal["value"] > removal["high"] else below
    return REASONS[removal["rule"]]


def select_rules(recipe: Recipe, name: str) -> list[Rule]:
    rules = [rule for rule in recipe.text.rules if rule.name.startswith(FILTERS[name]) and rule.name in LIMITED]
    if name == "quality":
        rules = [rule for rule in rules if not rule.name.startswith(FILTERS["repetition"])]
    return rules


LIMITED = REASONS.keys() | TWO_REASONS.keys()


def measure_alone(texts: list[str], recipe: Recipe) -> pl.DataFrame:
    """Return the signals of texts as each filter by itself would see them: not corrected but for C4's own step."""
    alone = replace(recipe, text=replace(recipe.text, measured_before={"gopher": "extracted", "fineweb": "extracted"}))
    return measure_text(make_corrected(texts, alone), alone)


def find_differences(ours: list[Any], theirs: list[Any]) -> list[tuple[int, Any, Any]]:
    pairs = enumerate(zip(ours, theirs, strict=True))
    return [(number, own, other) for number, (own, other) in pairs if own != other]


def check_against(texts: list[str], peer: dict[str, Any], recipe: Recipe) -> None:
    """Hold every decision, reason, text and count of sentences to the peer's."""
    frame = make_corrected(texts, recipe)
    left = [new if new is not None else old for new, old in frame.select("corrected_text", "text").iter_rows()]
    assert find_differences(left, [values["text"] for values in peer["c4_fineweb_values"]]) == []
    alone = measure_alone(texts, recipe)
    sentences = [values["sentence_count"] for values in peer["c4_fineweb_values"]]
    assert find_differences(alone.get_column("sentence_count").to_list(), sentences) == []
    for name in ("repetition", "quality", "c4_fineweb", "fineweb"):
        assert find_differences(list_first_reasons(alone, select_rules(recipe, name)), peer[name]) == [], name
    check_c4_alone(texts, peer, recipe)
    chain = list_first_reasons(measure_text(frame, recipe), select_rules(recipe, "chain"))
    assert find_differences(chain, peer["chain"]) == []
    kept = [number for number, reason in enumerate(chain) if not reason]
    assert [left[number] for number in kept] == [peer["chain_texts"][number] for number in kept]


def check_c4_alone(texts: list[str], peer: dict[str, Any], recipe: Recipe) -> None:
    """Hold C4's filter with datatrove's own defaults, and mC4's, to the peer's."""
    options = {
        **CORRECTION_STEPS["c4_lines"],
        "min_line_words": 3,
        "count_cited_words": True,
        "terminal_marks": (".", "?", "!", '"', "'"),
    }
    rules = select_rules(recipe, "c4_fineweb")
    step = CorrectionStep(step="c4_lines", options=options)
    text = replace(recipe.text, rules=tuple(rules), measured_before={})
    recipe = replace(recipe, corrections=CorrectionSettings(steps=(step,)), text=text)
    frame = make_corrected(texts, recipe)
    left = [new if new is not None else old for new, old in frame.select("corrected_text", "text").iter_rows()]
    assert find_differences(left, [values["text"] for values in peer["c4_values"]]) == []
    assert find_differences(list_first_reasons(measure_text(frame, recipe), rules), peer["c4"]) == []
    # mC4's rule reads the text as it is
    bare = replace(recipe, corrections=CorrectionSettings(), text=replace(text, signals=("c4",), rules=()))
    signals = measure_text(make_corrected(texts, bare), bare)
    assert (
        find_differences(list_first_reasons(signals, [TEXT_RULES["mc4_long_line_count"]]), peer["c4_paragraph"]) == []
    )


def test_hand_made_pages_have_the_fate_that_datatrove_gives_them(tmp_path: Path) -> None:
    peer = ask_peer(tmp_path, {"texts": list(PAGES)})
    check_against(list(PAGES), peer, load_recipe("fineweb"))


#: A small Punkt model in the files of NLTK's punkt_tab: datatrove 0.2 asks NLTK for sentences.
MODEL = {
    "abbrev_types.txt": "mr\ndr\nu.s\ne.g\nst",
    "collocations.tab": "no\t##number##\nu.s\tarmy",
    "sent_starters.txt": "the\nhowever\nit",
    "ortho_context.tab": "the\t46\nhe\t46\nsmith\t34",
}
NO_MODEL = dict.fromkeys(MODEL, "")


def ask_release(tmp_path: Path, texts: list[str], model: dict[str, str]) -> dict[str, Any]:
    folder = tmp_path / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    for name, content in model.items():
        (folder / name).write_text(content, encoding="utf-8")
    if not RELEASE.is_dir():
        pytest.skip(f"no datatrove 0.2 at {RELEASE}: pip install --no-deps --target {RELEASE} datatrove==0.2.0")
    return ask_peer(tmp_path, {"texts": texts}, PYTHONPATH=str(RELEASE), NLTK_DATA=str(tmp_path))


def load_release(tmp_path: Path, model: dict[str, str]) -> Recipe:
    recipe = load_recipe("fineweb_release")
    if model is NO_MODEL:
        return recipe
    folder = tmp_path / "tokenizers" / "punkt_tab" / "english"
    files = tuple(ListReference(list=name, path=str(folder / name)) for name in model)
    return replace(recipe, text=replace(recipe.text, sentence_model=files))


@pytest.mark.parametrize("model", [MODEL, NO_MODEL], ids=["with a model", "without"])
def test_hand_made_pages_have_the_fate_that_the_released_datatrove_gives_them(
    tmp_path: Path, model: dict[str, str]
) -> None:
    pytest.importorskip("nltk")
    peer = ask_release(tmp_path, list(PAGES), model)
    check_against(list(PAGES), peer, load_release(tmp_path, model))


def read_gold_texts(shared_data: Path) -> list[str]:
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [text for line in lines if (text := json.loads(line).get("gold_text"))]


def extract_pages(shared_data: Path) -> list[str]:
    """Return the texts that trafilatura finds in the real pages, with FineWeb's settings."""
    import trafilatura
    from fastwarc import ArchiveIterator, WarcRecordType

    texts = []
    with (shared_data / "web" / "real_pages.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            page = record.reader.read().decode("utf-8", "replace")
            texts.append(trafilatura.extract(page, favor_precision=True, include_comments=False, deduplicate=True))
    return [text for text in texts if text]


@pytest.mark.real_data
def test_real_texts_have_the_fate_that_datatrove_gives_them(shared_data: Path, tmp_path: Path) -> None:
    texts = read_gold_texts(shared_data)[::40]
    check_against(texts, ask_peer(tmp_path, {"texts": texts}), load_recipe("fineweb"))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("read", [read_gold_texts, extract_pages])
def test_every_real_text_has_the_fate_that_datatrove_gives_it(
    read: Callable[[Path], list[str]], shared_data: Path, tmp_path: Path
) -> None:
    texts = read(shared_data)
    check_against(texts, ask_peer(tmp_path, {"texts": texts}), load_recipe("fineweb"))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("model", [MODEL, NO_MODEL], ids=["with a model", "without"])
def test_every_real_text_has_the_fate_that_the_released_datatrove_gives_it(
    model: dict[str, str], shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nltk")
    texts = read_gold_texts(shared_data)
    check_against(texts, ask_release(tmp_path, texts, model), load_release(tmp_path, model))


def list_urls(shared_data: Path, entries: list[str]) -> list[str]:
    """Return the URLs of the real pages, and made ones that some list of datatrove's blocks."""
    with gzip.open(shared_data / "web" / "gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        real = [json.loads(line)["url"] for line in lines]
    made = [f"http://{host}{path}" for host in entries for path in ("/", "/free-Porn", "/casino/xxx", "/a_b#c")]
    return [*real, *made, *(f"http://www.{host}/page?adult=1" for host in entries), *map(str.upper, real[:100])]


@pytest.mark.slow
@pytest.mark.real_data
def test_every_url_has_the_fate_that_datatrove_gives_it_by_its_own_lists(shared_data: Path, tmp_path: Path) -> None:
    found = sorted(PEER_PYTHON.parents[1].glob("lib/*/site-packages/datatrove/assets"))
    if not found:
        pytest.skip(f"datatrove's lists are not beside {PEER_PYTHON}")
    archive = found[0] / "url_filterblacklistsv0_3_0.tar.gz"
    lists = {
        "domains": f"{archive}#domains",
        "urls": f"{archive}#urls",
        "strict_subwords": found[0] / "banned_subwords.txt",
        "hard_words": found[0] / "banned_words.txt",
        "soft_words": found[0] / "soft_banned_words.txt",
    }
    own = "extends: fineweb\nurl:\n" + "".join(f"  {name}: ['{path}']\n" for name, path in lists.items())
    (tmp_path / "own.yaml").write_text(own, encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "own.yaml"))
    with tarfile.open(archive) as members:
        domains = members.extractfile("domains").read().decode().splitlines()  # type: ignore[union-attr]
    urls = list_urls(shared_data, domains[:: len(domains) // 500])
    peer = ask_peer(tmp_path, {"urls": urls})
    signals = measure_urls(pl.Series(urls), recipe.url, tmp_path).with_columns(
        doc_id=pl.Series(f"{number:06}" for number in range(len(urls))), extraction_status=pl.lit("ok")
    )
    rules = list(recipe.list_url_rules())
    assert find_differences(list_first_reasons(signals, rules), peer["urls"]) == []
    assert set(peer["urls"]) >= {
        "",
        "domain",
        "subdomain",
        "hard_blacklisted",
        "soft_blacklisted",
        "blacklisted_subword",
    }
