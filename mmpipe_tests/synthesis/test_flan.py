"""FLAN templates: the embedded set, slots, cloze, inverse, options, few-shot, reasoned rows, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis import flan_tasks
from mmpipe.synthesis.flan_rows import DETAILS_SCHEMA, FlanSettings, render_task
from mmpipe.synthesis.flan_tasks import REASONS, ExemplarPool, Task, TaskRow
from mmpipe.synthesis.flan_templates import BLANK, EMBEDDED, drop_options, fill, list_slots, load_templates
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS

FAMILIES = {"nli", "qa", "sentiment", "summarization", "translation", "closed_book_qa", "commonsense", "paraphrase"}
TEMPLATES = load_templates()
FIXED = {"few_shot_share": 0.0, "options_share": 0.0, "rationale_share": 0.0, "inverse_share": 0.0}


def make_reviews(count: int = 400) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"r{n}" for n in range(count)],
            "review": [f"Film number {n} was {'fine' if n % 2 else 'dull'}." for n in range(count)],
            "label": [n % 2 for n in range(count)],
            "split": [("train", "test")[n % 5 == 0] for n in range(count)],
            "film": [f"f{n // 4}" for n in range(count)],
            "why": [None if n % 3 else f"The word of film {n} says it" for n in range(count)],
        }
    )


REVIEWS = Task(
    name="films",
    family="sentiment",
    fields={"text": "review"},
    answer="label",
    labels={"0": "bad", "1": "good"},
    rationale="why",
    split="split",
    splits=("train", "test"),
    group="film",
)


def test_every_family_has_ten_templates_of_both_shapes_and_inverse_ones() -> None:
    assert set(TEMPLATES.families) == FAMILIES
    for family in TEMPLATES.families.values():
        shapes = Counter(template.shape for template in family.templates)
        assert sum(shapes.values()) >= 10
        assert shapes["cloze"] >= 1
        assert shapes["prefix"] >= 8
        assert len(family.inverse) >= 2
    versions = [t.version for f in TEMPLATES.families.values() for t in (*f.templates, *f.inverse)]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_no_template_leaves_a_slot_or_leaks_the_answer(family: str) -> None:
    found = TEMPLATES.families[family]
    values = {slot: f"<{slot} of the row>" for slot in (*found.fields, "answer", "options")}
    for template in found.templates:
        said = fill(template.input, values)
        assert "{" not in said
        assert values["answer"] not in said
        assert all(values[slot] in said for slot in found.fields)
        assert said.count(BLANK) == int(template.shape == "cloze")
        assert fill(template.target, values) == values["answer"]
        without = fill(drop_options(template.input), values)
        assert values["options"] not in without
        assert (without == said) is not found.has_options
    for template in found.inverse:
        asked = fill(template.target, values)
        assert asked in values.values()
        assert asked not in fill(template.input, values)
        assert values["answer"] in fill(template.input, values)


def test_zero_shot_rows_by_the_letter() -> None:
    made = render_task(make_reviews(40), REVIEWS, FlanSettings(**FIXED))
    assert made.synthesis.frame.schema == SYNTHESIZED_INSTRUCTIONS.schema
    assert made.details.schema == DETAILS_SCHEMA
    assert made.synthesis.planned == made.synthesis.frame.height == 40
    for row, detail in zip(made.synthesis.frame.rows(named=True), made.details.rows(named=True), strict=True):
        place = int(detail["row_id"][1:])
        template = TEMPLATES.families["sentiment"].templates[int(detail["template"].split("/")[1])]
        assert row["instruction"] == drop_options(template.input).replace("{text}", make_reviews(40)["review"][place])
        assert row["response"] == ("bad", "good")[place % 2]
        assert row["parents"] == [{"table": "films", "id": detail["row_id"]}]
        assert row["prompt_version"] == template.version


def test_four_quarters_are_equal_and_hang_on_the_row_alone() -> None:
    frame = make_reviews(4000)
    made = render_task(frame, REVIEWS, FlanSettings(inverse_share=0.0)).details
    quarters = made.group_by("is_few_shot", "has_options").len()["len"].to_list()
    assert len(quarters) == 4
    assert all(0.23 < count / 4000 < 0.27 for count in quarters)
    assert 0.45 < made.filter(pl.col("rationale").is_not_null())["has_rationale"].mean() < 0.55
    assert made.filter(pl.col("rationale").is_null())["has_rationale"].sum() == 0
    shapes = render_task(frame, REVIEWS, FlanSettings()).details["shape"].value_counts()
    assert 0.08 < dict(shapes.iter_rows())["inverse"] / 4000 < 0.12
    some = render_task(frame[::7], REVIEWS, FlanSettings(inverse_share=0.0)).details
    drawn = ["row_id", "template", "is_few_shot", "has_options", "has_rationale", "options", "right_letter"]
    assert some.select(drawn).equals(made.filter(pl.col("row_id").is_in(some["row_id"].implode())).select(drawn))


def test_a_letter_is_the_option_that_it_stands_for() -> None:
    rows = [
        {"id": "letter", "q": "Which floats?", "choices": ["a key", "a cork"], "key": "B"},
        {"id": "text", "q": "Which sinks?", "choices": ["a key", "a cork"], "key": "a key"},
        # an option's own text comes first, a letter behind the options is none, and nobody says what a number counts
        {"id": "own", "q": "Which grade is better?", "choices": ["B", "A"], "key": "A"},
        {"id": "beyond", "q": "Which?", "choices": ["one", "two"], "key": "C"},
        {"id": "number", "q": "Which?", "choices": ["one", "two"], "key": "1"},
    ]
    task = Task(name="arc", family="commonsense", fields={"question": "q"}, answer="key", options="choices")
    made = render_task(pl.DataFrame(rows), task, FlanSettings(**FIXED))
    said = dict(made.details.select("row_id", "answer").iter_rows())
    assert said == {"letter": "a cork", "text": "a key", "own": "A"}
    assert made.synthesis.rejected == {"answer_not_among_options": 2}


def test_options_are_shuffled_and_the_right_one_is_tracked() -> None:
    made = render_task(make_reviews(1000), REVIEWS, FlanSettings(**{**FIXED, "options_share": 1.0}))
    letters = made.details.group_by("answer", "right_letter").len()["len"].to_list()
    assert len(letters) == 4
    assert all(200 < count < 300 for count in letters)
    forms = set()
    for row, detail in zip(made.synthesis.frame.rows(named=True), made.details.rows(named=True), strict=True):
        place = "AB".index(detail["right_letter"])
        assert detail["options"][place] == detail["answer"]
        assert sorted(detail["options"]) == ["bad", "good"]
        shown = row["instruction"].split("\n")[-2:]
        assert [detail["options"][n] in line for n, line in enumerate(shown)] == [True, True]
        forms.add(row["response"].replace(detail["answer"], "text").replace(detail["right_letter"], "X"))
        if "text" not in forms and detail["right_letter"] in row["response"]:
            assert detail["right_letter"] in shown[place]
    assert forms == {"text", "(X)", "X", "X) text"}


def test_exemplars_are_other_rows_of_the_same_split() -> None:
    frame = make_reviews(300)
    settings = FlanSettings(**{**FIXED, "few_shot_share": 1.0, "rationale_share": 1.0})
    made = render_task(frame, REVIEWS, settings)
    cells = {row["id"]: row for row in frame.rows(named=True)}
    counts = Counter(len(ids) for ids in made.details["exemplar_ids"])
    assert set(counts) == {2, 3, 4, 5}
    for row, detail in zip(made.synthesis.frame.rows(named=True), made.details.rows(named=True), strict=True):
        mine = cells[detail["row_id"]]
        shown = [cells[row_id] for row_id in detail["exemplar_ids"]]
        groups = [mine["film"], *(other["film"] for other in shown)]
        assert len(set(groups)) == len(groups)
        # nothing that models are measured on is shown, not even beside its like
        assert {other["split"] for other in shown} == {"train"}
        assert all(other["review"] in row["instruction"] for other in shown)
        assert row["instruction"].count(mine["review"]) == 1
        assert [parent["id"] for parent in row["parents"]] == [detail["row_id"], *detail["exemplar_ids"]]
        if detail["has_rationale"]:
            assert all(other["why"] in row["instruction"] for other in shown)
            assert mine["why"] not in row["instruction"]
            assert row["response"].startswith(mine["why"])


@pytest.mark.parametrize(
    ("split", "is_kept_out"),
    [
        ("test", True),
        ("Test", True),
        ("validation_matched", True),
        ("dev-clean", True),
        ("test2", True),
        ("_test", True),
        ("1_test", True),
        ("en_test", True),
        ("xnli.test", True),
        ("unlabeled_test", True),
        ("mnli/validation-matched", True),
        ("train", False),
        ("train_val", False),
        ("training.test_of_two", False),
        ("en_tested", False),
        ("tested", False),
        ("_", False),
        ("", False),
    ],
)
def test_rows_that_models_are_measured_on_become_none_unless_named(split: str, is_kept_out: bool) -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "question": ["Who?", "When?"], "answer": ["A", "B"], "part": [split, "x"]})
    task = Task(name="quiz", family="closed_book_qa", fields={"question": "question"}, split="part")
    made = render_task(frame, task, FlanSettings(**FIXED)).synthesis
    assert made.rejected == ({"evaluation_split": 1} if is_kept_out else {})
    if split:
        named = render_task(frame, replace(task, splits=(split,)), FlanSettings(**FIXED)).synthesis
        assert (named.frame.height, named.rejected) == (1, {"other_split": 1})


def test_exemplars_go_until_the_instruction_fits() -> None:
    settings = FlanSettings(**{**FIXED, "few_shot_share": 1.0}, exemplars=(5, 5), few_shot_tokens=60)
    made = render_task(make_reviews(60), REVIEWS, settings)
    assert max(len(text.split()) for text in made.synthesis.frame["instruction"]) <= 60
    assert 0 < made.details["exemplar_ids"].list.len().mean() < 5
    none = render_task(make_reviews(60), REVIEWS, FlanSettings(**{**FIXED, "few_shot_share": 1.0}, few_shot_tokens=1))
    zero = render_task(make_reviews(60), REVIEWS, FlanSettings(**FIXED))
    assert none.synthesis.frame["instruction"].equals(zero.synthesis.frame["instruction"])
    assert none.details["is_few_shot"].sum() == 0


def test_a_row_alone_in_its_split_is_zero_shot_and_equal_inputs_are_not_shown() -> None:
    frame = pl.DataFrame(
        {
            "id": ["1", "2", "3"],
            "question": ["Who?", "Who?", "When?"],
            "answer": ["A", "B", "C"],
            "split": ["a", "a", "b"],
        }
    )
    task = Task(name="quiz", family="closed_book_qa", fields={"question": "question"}, split="split")
    made = render_task(frame, task, FlanSettings(**{**FIXED, "few_shot_share": 1.0}))
    assert made.details["exemplar_ids"].to_list() == [[], [], []]


def test_a_draw_does_not_walk_past_all_rows_of_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Counter[str]()
    may_show = flan_tasks._may_show

    def count(other: TaskRow, beside: Sequence[TaskRow]) -> bool:
        asked["looks"] += 1
        return may_show(other, beside)

    monkeypatch.setattr(flan_tasks, "_may_show", count)
    rows = [TaskRow(str(n), "train", "one document", {"question": f"{n}?"}, "A", (), "") for n in range(3000)]
    pool = ExemplarPool([*rows, TaskRow("x", "train", "x", {"question": "x?"}, "A", (), "Because.")], 0)
    assert pool.choose(rows[0], 0, 5, has_rationale=False) in ([], [pool_row(pool, "x")])
    assert asked["looks"] <= 5 * 1000
    # of rows with a reasoning there is one, and it is found at once
    asked.clear()
    assert [row.row_id for row in pool.choose(rows[0], 0, 1, has_rationale=True)] == ["x"]
    assert asked["looks"] == 1


def pool_row(pool: ExemplarPool, row_id: str) -> TaskRow:
    return next(row for _, row in pool._rings["train", False] if row.row_id == row_id)


def test_inverse_rows_give_the_answer_and_ask_for_an_input() -> None:
    made = render_task(make_reviews(60), REVIEWS, FlanSettings(**{**FIXED, "inverse_share": 1.0}))
    for row, detail in zip(made.synthesis.frame.rows(named=True), made.details.rows(named=True), strict=True):
        assert detail["answer"] in row["instruction"]
        assert row["response"] == make_reviews(60)["review"][int(detail["row_id"][1:])]
        assert (detail["has_options"], detail["is_few_shot"], detail["shape"]) == (False, False, "inverse")


def test_rows_that_fit_no_template_are_refused_by_reason() -> None:
    frame = pl.DataFrame(
        {
            "id": ["fine", "no question", "no answer", "one", "many", "doubled", "other", "null", "kept out", "left"],
            "question": ["Why?", " ", "Why?", "Why?", "Why?", "Why?", "Why?", "Why?", "Why?", "Why?"],
            "part": [*["train"] * 7, "none", "test", "rest"],
            "choices": [
                ["x", "y"],
                ["x", "y"],
                ["x", "y"],
                ["x"],
                [f"x{n}" for n in range(27)],
                ["x", "X"],
                ["x", "y"],
                None,
                ["x", "y"],
                ["x", "y"],
            ],
            "right": ["x", "x", None, "x", "x0", "x", "z", "x", "x", "x"],
        }
    )
    task = Task(
        name="why",
        family="commonsense",
        fields={"question": "question"},
        answer="right",
        options="choices",
        split="part",
        splits=("train", "none"),
    )
    made = render_task(frame, task, FlanSettings(renderings=2))
    assert made.synthesis.rejected == dict.fromkeys(sorted(REASONS), 2) | {"too_few_options": 4}
    assert next(iter(made.synthesis.rejected)) == "too_few_options"
    assert made.details["row_id"].to_list() == ["fine", "fine"]
    assert made.candidates["id"].n_unique() == 18
    assert made.synthesis.planned == 20 == made.synthesis.frame.height + made.candidates.height
    assert made.synthesis.frame["instruction_id"].n_unique() == 2


@given(st.text(min_size=1, max_size=30).filter(str.strip), st.text(min_size=1, max_size=30).filter(str.strip))
def test_braces_of_a_row_are_its_own(question: str, answer: str) -> None:
    for text in (question, "{answer}", "{options} {question}", "{0} {}", "____"):
        frame = pl.DataFrame({"id": ["1"], "question": [text], "answer": [answer]})
        task = Task(name="quiz", family="closed_book_qa", fields={"question": "question"})
        made = render_task(frame, task, FlanSettings(**FIXED)).synthesis.frame
        template = TEMPLATES.families["closed_book_qa"].templates[
            int(made["prompt_version"][0].split("/")[2].split("@")[0])
        ]
        before, after = template.input.split("{question}")
        assert made["instruction"][0] == before + text.strip() + after
        assert made["response"][0] == answer.strip()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "sentimant"}, "Did you mean 'sentiment'"),
        ({"fields": {"txt": "review"}}, "no slot 'txt'. Did you mean 'text'"),
        ({"fields": {}}, "no column for text of sentiment"),
        ({"fields": {"text": "reviews"}}, "no column 'reviews'. Did you mean 'review'"),
        ({"split": "splits"}, "no column 'splits'"),
        ({"splits": ("tran",)}, "no row is of split 'tran'. Did you mean 'train'"),
        ({"splits": ("train",), "split": None}, "no row is of split 'train'"),
        ({"labels": None}, "needs labels, or a column of options"),
        ({"id": "label"}, "'label' is not unique"),
    ],
)
def test_a_task_that_cannot_be_rendered_stops(changes: dict[str, object], said: str) -> None:
    names = ("name", "family", "fields", "answer", "labels", "split", "id")
    task = Task(**{name: getattr(REVIEWS, name) for name in names} | changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=said):
        render_task(make_reviews(10), task, FlanSettings())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("input", "{question} {extra}", "slots are"),
        ("input", "What?", "slots are"),
        ("input", "{question", "Template"),
        ("input", "{question!r}", "plain name"),
        ("input", "{question} ____", "a prefix none"),
        ("target", "It is {answer}", "no words of the template"),
        ("shape", "suffix", "prefix or cloze"),
    ],
)
def test_a_template_that_breaks_a_rule_stops(tmp_path: Path, key: str, value: str, said: str) -> None:
    read = yaml.safe_load(EMBEDDED.read_text())
    read["families"]["closed_book_qa"]["templates"][3][key] = value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(read))
    with pytest.raises(ConfigurationError, match=said):
        load_templates(path)


def test_options_lines_inverse_targets_and_styles_are_checked(tmp_path: Path) -> None:
    for number, (change, said) in enumerate(
        [
            (lambda r: r["families"]["nli"]["templates"][0].update(input="{premise}{hypothesis}{options}"), "line of"),
            (lambda r: r["families"]["nli"]["inverse"][0].update(target="{answer}"), "must give the answer"),
            (lambda r: r["families"]["nli"]["inverse"][0].update(target="So {hypothesis}"), "no words of the template"),
            (lambda r: r["families"]["nli"]["templates"].append(r["families"]["nli"]["templates"][0]), "same input"),
            (lambda r: r["option_styles"][0].pop("line"), "needs exactly header, line, answer"),
            (lambda r: r["rationale_styles"][0].update(target="{answer}"), "lacks"),
            (lambda r: r.pop("few_shot_styles"), "needs exactly"),
        ]
    ):  # fmt: skip
        read = yaml.safe_load(EMBEDDED.read_text())
        change(read)
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(read))
        with pytest.raises(ConfigurationError, match=said):
            load_templates(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_templates(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="nothing to fill"):
        fill("{a}", {"a": " "})
    assert list_slots("{a} {{b}} {c}") == ["a", "c"]


@pytest.mark.parametrize(
    "wrong", [{"few_shot_share": 1.5}, {"exemplars": (0, 2)}, {"exemplars": (3, 2)}, {"renderings": 0}]
)
def test_settings_that_cannot_work_stop(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="FLAN"):
        FlanSettings(**wrong)  # type: ignore[arg-type]
