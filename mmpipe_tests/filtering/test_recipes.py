"""A recipe resolves at load or says where it is wrong; each section has a digest that only its own changes move."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmpipe.errors import RecipeError
from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.filtering.instruction_rules import INSTRUCTION_RULES
from mmpipe.filtering.recipe_overrides import apply_overrides
from mmpipe.filtering.recipes import DIGESTED, Recipe, list_recipes, load_recipe
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.tables.image_counts import IMAGE_COUNTS
from mmpipe.tables.images import IMAGE_SIGNALS
from mmpipe.tables.text import TEXT_SCORES
from mmpipe.tables.text_signals import TEXT_SIGNALS


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_recipe(text: str, name: str = "own.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_recipe


def find_changed(one: Recipe, other: Recipe) -> list[str]:
    return [section for section in DIGESTED if one.digest_section(section) != other.digest_section(section)]


@pytest.mark.parametrize("name", list_recipes())
def test_every_packaged_recipe_loads_and_its_resolved_form_loads_again_as_the_same(name: str, write) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(name)
    again = load_recipe(write(recipe.dump()))
    assert again.name == recipe.name == name
    assert find_changed(recipe, again) == []
    assert again.resolve() == recipe.resolve()


def test_every_rule_limits_a_signal_that_is_measured() -> None:
    texts = (*TEXT_SIGNALS.column_names, *TEXT_SCORES.column_names)
    images = (*IMAGE_SIGNALS.column_names, *IMAGE_COUNTS.column_names)
    for rules, columns in ((TEXT_RULES, texts), (IMAGE_RULES, images)):
        assert [rule.name for rule in rules.values() if rule.signal not in columns] == []


def test_every_rule_is_named_after_its_signal_and_says_where_its_limit_comes_from() -> None:
    for rule in (*TEXT_RULES.values(), *IMAGE_RULES.values(), *INSTRUCTION_RULES.values()):
        assert rule.name.endswith(f"_{rule.signal}")
        assert rule.source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("txt: {}", r"own.yaml:1: unknown key 'txt'. Did you mean 'text'\?"),
        ("text:\n  rules:\n    - gopher_wordcount", r"own.yaml:3: .*Did you mean 'gopher_word_count'\?"),
        ("text:\n  rules:\n    - {rule: gopher_word_count, lo: 1}", r"own.yaml:3: unknown key 'lo'"),
        (
            "text:\n  rules:\n    - {rule: gopher_word_count, low: few}",
            r"own.yaml:3: `low`: expected a number, found 'few'",
        ),
        ("text:\n  rules:\n    - {low: 1}", r"own.yaml:3: .*the name is missing"),
        ("text:\n  rules:\n    - {rule: gopher_stop_word_count, low: null}", r"own.yaml:3: .*take it out"),
        ("text:\n  rules: [gopher_word_count, gopher_word_count]", r"own.yaml:2: .*stands twice"),
        ("text: {dialect: datatrove_0_9}", r"Did you mean 'datatrove_0_10'\?"),
        ("extraction:\n  timeout_seconds: 0", r"own.yaml:2: timeout_seconds must be above 0"),
        ("extraction:\n  include_comments: maybe", r"own.yaml:2: `include_comments`: expected true or false"),
        ("deduplication:\n  bands: 4.5", r"own.yaml:2: `bands`: expected a whole number"),
        ("deduplication: [1]", r"own.yaml:1: expected `key: value` lines"),
        ("name: a\nname: b", r"own.yaml:2: key 'name' stands twice"),
        ("url:\n  hard_words: [hard-wrds]", r"own.yaml:2: No list 'hard-wrds'.*Did you mean 'hard-words'\?"),
        ("url:\n  domains: ['https://host.example/list']", r"own.yaml:2: .*sha256 must be stated"),
        ("extends: own.yaml", r"extends itself"),
        ("extends: refinedwebb", r"Did you mean 'refinedweb'\?"),
        ("text: [", r"own.yaml:1: not valid YAML"),
        ("", r"own.yaml:1: the file is empty"),
    ],
)
def test_a_wrong_recipe_stops_at_load_with_file_line_and_nearest_name(text: str, message: str, write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(text))


def test_an_unknown_recipe_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'refinedweb'"):
        load_recipe("refindweb")
    with pytest.raises(RecipeError, match="Packaged recipes: "):
        load_recipe("nowhere/own.yaml")


def test_norwegian_is_a_language_and_not_false(write) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe(write("text: {rules: [{rule: refinedweb_language, allowed: [no, en]}]}"))
    assert recipe.text.rules[0].allowed == ("no", "en")


def test_a_changed_limit_moves_the_digest_of_the_judged_section_and_no_other(write) -> None:  # type: ignore[no-untyped-def]
    recipe = load_recipe("refinedweb")
    assert find_changed(recipe, apply_overrides(recipe, ["gopher_word_count.low=80"])) == ["text"]
    assert find_changed(recipe, apply_overrides(recipe, ["laion_clip_similarity.low=0.28"])) == ["images"]
    own = load_recipe(write("extends: refinedweb\nextraction: {extractor: resiliparse}"))
    assert find_changed(recipe, own) == ["extraction"]
    for section, changed in {
        "rows: 8": ["signatures", "duplicates", "deduplication"],
        "verify_jaccard: 0.9": ["duplicates", "deduplication"],
        "keep: [date]": ["duplicates", "repeats", "deduplication"],
        "substring: {least_length: 90}": ["repeats", "deduplication"],
        "least_characters: 9": ["deduplication"],
    }.items():
        own = load_recipe(write(f"extends: refinedweb\ndeduplication: {{{section}}}"))
        assert find_changed(recipe, own) == changed


def test_a_changed_list_moves_the_digest_of_the_signals_by_content_and_not_by_name(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text = "extends: refinedweb\nurl: {{domains: [{}]}}"
    (tmp_path / "a.txt").write_text("one.example\n", encoding="utf-8")
    first = load_recipe(write(text.format("a.txt")))
    (tmp_path / "b.txt").write_text("one.example\n", encoding="utf-8")
    assert find_changed(first, load_recipe(write(text.format("b.txt")))) == []
    (tmp_path / "b.txt").write_text("two.example\n", encoding="utf-8")
    assert find_changed(first, load_recipe(write(text.format("b.txt")))) == ["signals"]


def test_a_source_changes_no_digest(write) -> None:  # type: ignore[no-untyped-def]
    entry = "text: {{rules: [{{rule: gopher_word_count, source: {}}}]}}"
    assert find_changed(load_recipe(write(entry.format("a"))), load_recipe(write(entry.format("b")))) == []


def test_a_recipe_that_extends_another_keeps_what_it_does_not_name(write) -> None:  # type: ignore[no-untyped-def]
    base = load_recipe("refinedweb")
    recipe = load_recipe(write("extends: refinedweb\nname: mine\ndeduplication:\n  bands: 20"))
    assert recipe.name == "mine"
    assert recipe.text == base.text
    assert recipe.deduplication.bands == 20
    assert recipe.deduplication.rows == base.deduplication.rows
    chained = load_recipe(write("extends: own.yaml\ndeduplication: {rows: 5}", name="chained.yaml"))
    assert (chained.deduplication.bands, chained.deduplication.rows) == (20, 5)


def test_an_image_preset_comes_first_and_gives_way_to_rules_named_again(write) -> None:  # type: ignore[no-untyped-def]
    preset = load_recipe("refinedweb").images.rules
    recipe = load_recipe(
        write("images:\n  preset: refinedweb\n  rules:\n    - {rule: laion_clip_similarity, low: 0.2, source: ours}")
    )
    assert [rule.name for rule in recipe.images.rules] == [rule.name for rule in preset]
    moved = {rule.name: rule for rule in recipe.images.rules}["laion_clip_similarity"]
    assert (moved.low, moved.source) == (0.2, "ours")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gopher_wordcount.low=1", "Did you mean 'gopher_word_count'"),
        ("gopher_word_count.lo=1", "no limit 'lo'. Did you mean 'low'"),
        ("gopher_word_count.low=few", "'few' is not a number"),
        ("gopher_word_count", "not of the form"),
        ("gopher_word_count.low=200000", "above high"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply_overrides(load_recipe("refinedweb"), [override])


def test_overrides_move_limits_of_every_lane() -> None:
    recipe = apply_overrides(
        load_recipe("refinedweb"),
        ["gopher_word_count.high=null", "refinedweb_language.allowed=en, de", "laion_clip_similarity.low=0.25"],
    )
    rules = {rule.name: rule for rule in (*recipe.text.rules, *recipe.images.rules)}
    assert (rules["gopher_word_count"].low, rules["gopher_word_count"].high) == (50.0, None)
    assert rules["refinedweb_language"].allowed == ("en", "de")
    assert rules["laion_clip_similarity"].low == 0.25
