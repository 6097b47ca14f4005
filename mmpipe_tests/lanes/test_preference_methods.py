"""Every preference method a recipe may name, through the stages themselves: recipes, a lake, scripted models."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.commands.explain import explain
from mmpipe.commands.trace import trace
from mmpipe.errors import RecipeError, ShardError
from mmpipe.filtering.preference_sections import PREFERENCE_METHODS
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes.preference_methods import PREFERENCE_RUNS, check_preferences, read_preference_method
from mmpipe.lanes.preference_posts import LaidDump
from mmpipe.lanes.stage import follow_shards
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.tables.chat import ChatFailure
from mmpipe.tables.instructions import JUDGEMENTS, PREFERENCE_DATASET, RESPONSES
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe_tests.lanes.preference_house import DUMP, House, answer, ask_of, mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmpipe.tables.chat import ChatReply, ChatRequest

    Script = Callable[[ChatRequest], str | ChatReply | ChatFailure]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


# methods over scores --------------------------------------------------------------------------------------------------


def test_every_method_a_recipe_may_name_can_be_run() -> None:
    assert list(PREFERENCE_RUNS) == list(PREFERENCE_METHODS)


def test_without_a_section_the_best_is_paired_with_the_worst_shard_by_shard(house: House) -> None:
    manifest = house.make("[best_worst]", answer, mark)

    assert load_recipe("refinedweb").preferences.methods == ("best_worst",)
    assert set(house.pairs["chosen"]) == {"Answer 2."}
    assert set(house.pairs["rejected"]) == {"Answer 0."}
    assert [commit.shard for commit in manifest.commits] == ["best_worst-s0", "best_worst-s1"]
    for table in (RESPONSES, JUDGEMENTS):
        assert [item.shard for item in follow_shards(house.lake.dataset(table, DUMP))] == ["s0", "s1"]


def test_a_tie_of_the_best_with_the_worst_is_left_out_by_name_in_its_shard(house: House) -> None:
    def tie(request: ChatRequest) -> str:
        said = str(request.messages)
        return mark(request) if "2 + 1" in said else "no score" if "1 + 1" in said else '{"score": 5, "rationale": "r"}'

    manifest = house.make("[best_worst]", answer, tie)

    assert [(commit.rows_in, commit.rows_out) for commit in manifest.commits] == [(3, 1), (3, 0)]
    assert manifest.removed_by_rule == {"tied_scores": 4, "single_response": 1}
    assert manifest.counts["unparsed_judgement"] == 3


def test_comparisons_are_all_pairs_of_a_prompt_and_best_of_n_is_one(house: House) -> None:
    house.make("[comparisons, {method: best_of_n, rejected: drawn}]", answer, mark)

    counts = dict(house.pairs.group_by("method").len().iter_rows())
    assert counts == {"comparisons": 18, "best_of_n": 6}
    assert (house.pairs["instruction_id"] == house.pairs["group_id"]).all()
    # what one method repeats of the other is released once
    manifest, released = house.release("[comparisons, {method: best_of_n, rejected: drawn}]")
    assert released.height == 18
    assert manifest.removed_by_rule == {"repeated_pair": 6}
    assert (manifest.rows_in, manifest.rows_out, manifest.rows_removed) == (24, 18, 6)
    assert set(released["score_chosen"] - released["score_rejected"]) == {1.0, 2.0}


def test_ranks_of_a_file_become_pairs_of_their_own_groups(house: House) -> None:
    rows = [
        {"prompt": "Say it.", "answer": "First.", "rank": 1},
        {"prompt": "Say it.", "answer": "Second.", "rank": 2},
        {"prompt": "Say it.", "answer": "Also second.", "rank": 2},
        {"prompt": "Say that.", "answer": "Alone.", "rank": 1},
    ]
    file = house.write("ranked.jsonl", rows)
    manifest = house.make(f"[{{method: comparisons, answers: {file}, by: rank, dump: {DUMP}}}]")

    assert set(house.pairs["rejected"]) == {"Second.", "Also second."}
    assert manifest.removed_by_rule == {"tied_scores": 1}
    # nobody was asked for responses that no method reads
    assert not house.teacher.asked
    split = "{validation_share: 0.5}"
    _, released = house.release(f"[{{method: comparisons, answers: {file}, by: rank, dump: {DUMP}}}]", split)
    assert released["prompt"].to_list() == [[{"role": "user", "content": "Say it."}]] * 2
    assert released["group_id"].n_unique() == 1


# ultrafeedback --------------------------------------------------------------------------------------------------------


def rate(request: ChatRequest) -> str:
    """Rate `Answer N.` with 5 - N by every aspect; the critique says 10 of answer 2, which was meant as 1."""
    assert request.schema is not None
    if "critique" in request.schema["properties"]:
        number = int(ask_of(request).split("Answer ")[-1][0])
        return json.dumps({"critique": "It says so.", "overall": (9, 5, 10)[number]})
    shown = [int(number) for number in re.findall(r"Answer \d+:\nAnswer (\d)", ask_of(request))]
    ratings = [
        {"answer": place, "rationale": "As it says.", "rating": str((5, 3, 1)[number])}
        for place, number in enumerate(shown, 1)
    ]
    return json.dumps({"ratings": ratings})


def test_ultrafeedback_rates_by_aspects_and_mends_a_ten_that_was_a_one(house: House) -> None:
    manifest = house.make("[{method: ultrafeedback, scores: overall, rejected: worst}]", answer, rate)

    judgements = house.read(JUDGEMENTS)
    assert judgements.height == 6 * 3 * 5
    assert set(judgements["criterion"]) == {
        f"ultrafeedback/{name}"
        for name in ("instruction_following", "truthfulness", "honesty", "helpfulness", "overall")
    }
    assert judgements["judgement_id"].is_unique().all()
    assert house.lake.dataset(JUDGEMENTS, DUMP).require_manifest().counts["overall_repaired"] == 6
    # 10, said of the worst, counts as 1
    assert set(house.pairs["chosen"]) == {"Answer 0."}
    assert set(house.pairs["rejected"]) == {"Answer 2."}
    assert set(house.pairs["score_rejected"]) == {1.0}
    assert manifest.rows_out == 6


def test_the_criterion_is_judged_only_where_a_method_reads_it(house: House) -> None:
    house.make("[{method: ultrafeedback, criticises: false}, {method: comparisons, scores: mean_rating}]", answer, rate)
    assert house.read(JUDGEMENTS).filter(criterion="helpfulness").is_empty()
    assert house.pairs.filter(method="comparisons").height == 18
    assert set(house.pairs.filter(method="comparisons")["criterion"]) == {"ultrafeedback/mean_rating"}

    house.make("[{method: comparisons, by: score}]", answer, mark)
    assert set(house.read(JUDGEMENTS)["criterion"]) == {"helpfulness"}
    assert house.pairs.height == 18


def test_a_judge_of_the_writers_family_is_not_asked_unless_told_to(house: House) -> None:
    house.judge = ScriptedTeacher(rate, house.teacher.name)
    manifest = house.make("[ultrafeedback, pairwise_judge]", answer, rate)

    assert not house.judge.asked
    judgements = house.read(JUDGEMENTS)
    assert set(judgements["judgement_status"]) == {"own_family"}
    assert (house.pairs.height, manifest.removed_by_rule["own_family"]) == (0, 6)
    assert manifest.counts["unscored_own_family"] == 18

    options = "criticises: false, judges_own_family: true"
    house.make(f"[{{method: ultrafeedback, {options}}}]", answer, rate)
    assert house.pairs.height == 6


@pytest.mark.parametrize(
    ("section", "method", "is_allowed"),
    [
        ("{}", "pairwise_judge", False),
        ("{judges_own_family: true}", "pairwise_judge", True),
        ("{judges_own_family: true}", "ultrafeedback", True),
        ("{judges_own_family: true}", "{method: pairwise_judge, judges_own_family: false}", False),
        ("{judges_own_family: false}", "{method: ultrafeedback, judges_own_family: true}", True),
        ("{judges_own_family: true}", "self_refinement", True),
        ("{judges_own_family: true}", "{method: self_refinement, judging: {least_margin: 1.0}}", True),
        ("{judges_own_family: true}", "{method: self_refinement, judging: {judges_own_family: false}}", False),
    ],
)
def test_what_the_recipe_lets_judges_do_is_the_default_of_its_methods(
    tmp_path: Path, section: str, method: str, is_allowed: bool
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: refinedweb\ninstructions: {section}\npreferences:\n  methods: [{method}]\n")
    recipe = load_recipe(str(path))
    (given,) = recipe.preferences.methods
    (settings, _), _ = read_preference_method(given, recipe)
    assert getattr(settings, "judging", settings).judges_own_family is is_allowed
    # whoever is judged anew is not found among what was judged before
    path.write_text("extends: refinedweb\npreferences:\n  methods: [pairwise_judge]\n")
    sections = [load_recipe(str(path)).digest_section("judgements"), recipe.digest_section("judgements")]
    assert (sections[0] != sections[1]) is recipe.instructions.judges_own_family


def rate_or_compare(request: ChatRequest) -> str:
    return compare(request) if request.schema is None else rate(request)


def test_families_that_the_knobs_give_later_are_judged_anew(house: House) -> None:
    house.make("[ultrafeedback, pairwise_judge]", answer, rate_or_compare)
    assert set(house.read(JUDGEMENTS)["judgement_status"]) == {"ok"}
    assert house.judge.asked

    house.teachers = {name: {"model": f"{name}-1", "family": "same"} for name in ("writer", "judge")}
    manifest = house.make("[ultrafeedback, pairwise_judge]", answer, rate_or_compare)
    assert not house.judge.asked
    assert set(house.read(JUDGEMENTS)["judgement_status"]) == {"own_family"}
    assert manifest.removed_by_rule["own_family"] == 6


# methods that ask -----------------------------------------------------------------------------------------------------


def compare(request: ChatRequest) -> str:
    first, second = (int(part[0]) for part in ask_of(request).split("Answer ")[1:3])
    return f"{first + 1} {second + 1}\nSo it is."


def test_two_answers_are_compared_in_both_orders(house: House) -> None:
    manifest = house.make("[{method: pairwise_judge, pairs_per_prompt: 2}]", answer, compare)

    assert house.pairs.height == 12
    assert len(house.judge.asked) == 24
    assert manifest.counts["read_in_both_orders"] == 12
    # a judge that always likes the first place decides nothing
    manifest = house.make("[{method: pairwise_judge, pairs_per_prompt: 1}]", answer, lambda _: "9 2\nFirst.")
    assert manifest.removed_by_rule == {"position_disagreement": 6}
    assert manifest.counts["first_place_wins"] == 6
    # and one that gives 11 of 10 is refused by that name
    manifest = house.make("[{method: pairwise_judge, pairs_per_prompt: 3}]", answer, lambda _: "11 2\nFirst.")
    assert manifest.removed_by_rule == {"score_out_of_range": 18}


def test_spin_pairs_the_answers_of_the_set_with_the_policys_own(house: House) -> None:
    previous = [
        {"id": f"old{place}", "prompt": "P", "chosen": "A", "rejected": f"B{place}", "score_chosen": 1,
         "score_rejected": 0, "iteration": place, "policy": "older"}
        for place in range(2)
    ]  # fmt: skip
    file = house.write("previous.jsonl", previous)
    manifest = house.make(f"[{{method: spin, iteration: 2, previous: {file}, dump: {DUMP}}}]", lambda _: "I guess.")

    own = house.pairs.filter(iteration=2)
    assert sorted(own["chosen"]) == sorted(f"It is {place + 1}." for place in range(6))
    assert set(own["rejected"]) == {"I guess."}
    assert house.pairs.filter(iteration=1)["pair_id"].to_list() == ["old1"]
    assert manifest.removed_by_rule == {"other_iteration": 1}
    assert len(house.teacher.asked) == 6


def test_right_answers_are_preferred_to_wrong_ones_without_a_judge(house: House) -> None:
    def guess(request: ChatRequest) -> str:
        number = int(ask_of(request).split("What is ")[-1][0])
        return (f"The answer is {number + 1}.", f"The answer is {number}.", "No idea at all.")[request.sample_index]

    manifest = house.make("[{method: verified_pairs, check: {kind: number}}]", guess)

    assert house.pairs.height == 6
    assert all(row["chosen"] > row["rejected"] for row in house.pairs.iter_rows(named=True))
    verdicts = {name: count for name, count in manifest.counts.items() if name.startswith("answers_")}
    assert verdicts == {"answers_right": 6, "answers_wrong": 6, "answers_unverified": 6}
    assert not house.judge.asked


def test_programs_are_preferred_by_the_tests_they_pass(house: House) -> None:
    tests = ["assert double(2) == 4", "assert double(5) == 10"]
    file = house.write("problems.jsonl", [{"id": "p", "question": "Write double(n).", "tests": tests}])
    said = (
        "```python\ndef double(n):\n    return 2 * n\n```",
        "```python\ndef double(n):\n    return n + 2\n```",
        # ends itself well, before a test has run
        "```python\nimport os\nos._exit(0)\n```",
    )
    methods = f"[{{method: verified_pairs, problems: {file}, dump: {DUMP}, sampling: {{samples: 3}}}}]"
    manifest = house.make(methods, lambda request: said[request.sample_index])

    assert set(house.pairs["chosen"]) == {said[0]}
    assert set(house.pairs["rejected"]) == set(said[1:])
    assert manifest.counts["answers_wrong"] == 2
    assert house.pairs["parents"][0].to_list() == [{"table": "problems", "id": "p"}]


def test_problems_with_options_show_them_and_letters_are_read_as_theirs(house: House) -> None:
    rows = [
        {"id": "p", "question": "Which floats?", "options": ["a key", "a cork"], "answer": "B"},
        {"id": "q", "question": "Which sinks?", "options": None, "answer": "A"},
    ]
    file = house.write("problems.jsonl", rows)
    said = ("The answer is a cork.", "The answer is (A).", "I do not know.")
    options = f"problems: {file}, dump: {DUMP}, check: {{kind: choice}}, sampling: {{samples: 3}}"
    house.make(f"[{{method: verified_pairs, {options}}}]", lambda request: said[request.sample_index])

    asked = {ask_of(request) for request in house.teacher.asked}
    assert asked == {"Which floats?\n(A) a key\n(B) a cork", "Which sinks?"}
    assert house.pairs.select("prompt", "chosen", "rejected").rows() == [
        ("Which floats?\n(A) a key\n(B) a cork", said[0], said[1])
    ]


def test_a_problem_with_more_options_than_letters_stops_before_anybody_is_asked(house: House) -> None:
    rows = [{"id": "p", "question": "Which?", "options": [f"no. {number}" for number in range(27)], "answer": "A"}]
    file = house.write("problems.jsonl", rows)
    options = f"problems: {file}, dump: {DUMP}, check: {{kind: choice}}, sampling: {{samples: 3}}"
    with pytest.raises(ShardError, match=r"problems\.jsonl: problem p has 27 options, and there are 26 letters"):
        house.make(f"[{{method: verified_pairs, {options}}}]", lambda _: "A")
    assert house.teacher.asked == []


def test_an_online_round_is_mixed_with_old_pairs_and_refuses_its_own_policy(house: House) -> None:
    old = [
        {"id": f"old{place}", "prompt": f"P{place}", "chosen": "A", "rejected": "B", "score_chosen": 2,
         "score_rejected": 1, "iteration": 0, "policy": "older"}
        for place in range(4)
    ]  # fmt: skip
    file = house.write("old.jsonl", old)
    methods = f"[{{method: online_preferences, round: 1, old: {file}, new_share: 1/3}}]"
    manifest = house.make(methods, answer, mark)

    assert house.pairs.group_by("iteration").agg(pl.col("group_id").n_unique()).sort("iteration").rows() == [
        (0, 4), (1, 2),
    ]  # fmt: skip
    assert set(house.pairs.filter(iteration=1)["policy"]) == {house.teacher.name}
    assert (manifest.counts["new_prompts"], manifest.counts["unused_prompts"]) == (2, 4)
    again = house.write("old.jsonl", [{**row, "policy": house.teacher.name} for row in old])
    with pytest.raises(ShardError, match="made an earlier round"):
        house.make(f"[{{method: online_preferences, round: 1, old: {again}}}]", answer, mark)


def test_an_old_pair_whose_score_is_no_number_stops_by_the_files_name(house: House) -> None:
    row = {"id": "o", "prompt": "P", "chosen": "A", "rejected": "B", "score_chosen": "much", "score_rejected": "1",
           "iteration": 0, "policy": "older"}  # fmt: skip
    file = house.write("old.jsonl", [row])
    with pytest.raises(ShardError, match=r"old\.jsonl: a value does not fit its column"):
        house.make(f"[{{method: online_preferences, round: 1, old: {file}}}]", answer, mark)


def test_the_pairs_of_one_round_are_the_old_ones_of_the_next(house: House) -> None:
    house.make("[{method: online_preferences, round: 0}]", answer, mark)
    first = house.pairs
    first.write_parquet(house.folder / "first.parquet")
    house.teacher = ScriptedTeacher(answer, "openai:writer-2@0")

    house.make("[{method: online_preferences, round: 1, old: first.parquet, new_share: 1}]", answer, mark)
    assert house.pairs["iteration"].to_list() == [1] * 18
    house.make("[{method: online_preferences, round: 1, old: first.parquet, new_share: 0}]", answer, mark)
    # every prompt is of both rounds, and counts for the new one
    assert house.pairs.is_empty()

    house.teacher = ScriptedTeacher(answer, "openai:writer-3@0")
    kept = first.filter(pl.col("group_id") != "q0").with_columns(group_id="other-" + pl.col("group_id"))
    kept.write_parquet(house.folder / "first.parquet")
    house.make("[{method: online_preferences, round: 1, old: first.parquet, new_share: 0}]", answer, mark)
    assert (
        house.pairs.select("pair_id", "chosen", "score_chosen")
        .sort("pair_id")
        .equals(kept.select("pair_id", "chosen", "score_chosen").sort("pair_id"))
    )


POSTS = """<?xml version="1.0" encoding="utf-8"?>
<posts>
  <row Id="1" PostTypeId="1" AcceptedAnswerId="3" Score="5" Title="How?" Body="&lt;p&gt;Tell me.&lt;/p&gt;"
       Tags="&lt;how&gt;" ContentLicense="CC BY-SA 4.0" OwnerUserId="7" />
  <row Id="2" PostTypeId="2" ParentId="1" Score="0" Body="&lt;p&gt;No.&lt;/p&gt;" ContentLicense="CC BY-SA 4.0" />
  <row Id="3" PostTypeId="2" ParentId="1" Score="7" Body="&lt;p&gt;So.&lt;/p&gt;" ContentLicense="CC BY-SA 4.0" />
  <row Id="4" PostTypeId="2" ParentId="9" Score="7" Body="&lt;p&gt;Lost.&lt;/p&gt;" />
  <row Id="5" PostTypeId="2" ParentId="1" Score="x" Body="&lt;p&gt;?&lt;/p&gt;" />
</posts>
"""


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2"])
def test_votes_of_a_stack_exchange_dump_become_pairs_with_their_licence(house: House, suffix: str) -> None:
    import bz2
    import gzip
    import lzma

    pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[suffix]
    (house.folder / f"Posts.xml{suffix}").write_bytes(pack(POSTS.encode()))
    methods = f"[{{method: stack_exchange, posts: Posts.xml{suffix}, site: a.example, dump: {DUMP}}}]"
    manifest = house.make(methods)

    (pair,) = house.pairs.rows(named=True)
    assert (pair["chosen"], pair["rejected"], pair["score_chosen"]) == ("So.", "No.", 4.0)
    assert pair["license"] == "CC BY-SA 4.0"
    assert manifest.counts == {"dump_rows": 5, "dump_questions": 1, "dump_answers": 3, "dump_missing_score": 1}
    _, released = house.release(methods)
    assert released["source_urls"][0].to_list()[0] == "https://a.example/q/1"
    assert released["license"].to_list() == ["CC BY-SA 4.0"]


def test_a_pair_of_a_file_is_explained_and_traced_to_its_posts(house: House) -> None:
    (house.folder / "Posts.xml").write_text(POSTS)
    methods = f"[{{method: stack_exchange, posts: Posts.xml, site: a.example, dump: {DUMP}}}]"
    house.make(methods)
    _, released = house.release(methods)
    house.lake.dataset(PREFERENCE_DATASET).record_verdict([])
    record_dump(house.lake, Dump(DUMP, str(house.folder), ()))
    (pair_id,) = released["id"]

    (fate,) = explain(house.lake, pair_id)
    told = {step.asset: step.fate for step in fate.steps}
    assert (told["preference_pairs"], told["preference_dataset"]) == ("by stack_exchange", "kept")
    assert "responses" not in told
    origin = trace(house.lake, pair_id)
    assert [(parent.asset, parent.id) for parent in origin.parents] == [
        ("stack_exchange:a.example", "3"),
        ("stack_exchange:a.example", "2"),
    ]


def test_a_large_dump_is_several_shards_with_the_same_pairs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(
        f'<row Id="{1000 + place}" PostTypeId="1" Score="1" Title="Q{place}" Body="b" />'
        f'<row Id="{place * 2}" PostTypeId="2" ParentId="{1000 + place}" Score="3" Body="good {place}" />'
        f'<row Id="{place * 2 + 1}" PostTypeId="2" ParentId="{1000 + place}" Score="0" Body="bad {place}" />'
        for place in range(40)
    )
    (house.folder / "Posts.xml").write_text(f"<posts>{rows}</posts>")
    methods = f"[{{method: stack_exchange, posts: Posts.xml, dump: {DUMP}}}]"
    whole = (house.make(methods), house.pairs.sort("pair_id"))
    monkeypatch.setattr("mmpipe.lanes.preference_posts.SHARD_BYTES", 3000)
    parts = (house.make(methods), house.pairs.sort("pair_id"))

    assert (len(whole[0].commits), len(parts[0].commits)) == (1, 3)
    assert min(commit.rows_out for commit in parts[0].commits) > 0
    assert parts[1].equals(whole[1])
    assert whole[1].height == 40


def test_a_dump_is_laid_on_the_disk_of_the_cache_and_goes_with_the_run(house: House) -> None:
    (house.folder / "Posts.xml").write_text('<posts><row Id="1" PostTypeId="1" Score="1" Title="Q" Body="b" /></posts>')
    recipe = house.recipe(f"[{{method: stack_exchange, posts: Posts.xml, dump: {DUMP}}}]")
    (settings, _), entry = read_preference_method(recipe.preferences.methods[0], recipe)
    laid = LaidDump(entry.files["posts"], settings, str(house.folder / "cache"))
    laid.pair(0, 1)
    scratch = house.folder / "cache" / "scratch"
    assert [folder.name.startswith("mmpipe-posts-") for folder in scratch.iterdir()] == [True]
    del laid
    gc.collect()
    assert not list(scratch.iterdir())


# resuming, recipes that cannot work -----------------------------------------------------------------------------------


def test_a_killed_run_goes_on_at_its_shard_and_repeats_no_call(house: House) -> None:
    calls: list[str] = []

    def dying(request: ChatRequest) -> str:
        calls.append(ask_of(request))
        if len(calls) > 14 and not is_well:
            raise KeyboardInterrupt
        return answer(request)

    is_well = False
    with pytest.raises(KeyboardInterrupt):
        house.make("[best_worst]", dying, mark)
    committed = house.lake.dataset(RESPONSES, DUMP).find_commits()
    assert [commit.shard for commit in committed.values()] == ["s0"]
    is_well, before = True, len(calls)
    house.make("[best_worst]", dying, mark)
    # the second shard alone; its replies before the end are the cache's business, which a script has not
    assert len(calls) - before == 9
    assert house.pairs.height == 6
    house.make("[best_worst]", dying, mark)
    assert not house.teacher.asked
    assert not house.judge.asked


def test_an_outage_commits_nothing(house: House) -> None:
    # too few requests for a method to be stopped in its midst
    with pytest.raises(ShardError, match="The teacher openai:judge-1@0 failed on 6 of 6 requests"):
        house.make("[pairwise_judge]", answer, lambda _: ChatFailure("server", "503"))
    assert not house.lake.dataset(PREFERENCE_PAIRS, DUMP).find_commits()


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[best_wrst]", "mine.yaml:4: unknown preference method 'best_wrst'. Did you mean 'best_worst'"),
        ("[comparisons, comparisons]", "stands twice"),
        ("[{method: best_worst, margin: 1}]", "has no option 'margin'"),
        ("[{method: comparisons, least_margn: 1}]", "Did you mean 'least_margin'"),
        ("[{method: comparisons, by: rank}]", "ranks are those of a file"),
        ("[{method: comparisons, scores: overall}]", "name the method ultrafeedback too"),
        ("[{method: comparisons, answers: gone.jsonl}]", "gone.jsonl"),
        ("[{method: comparisons, answers: rows.jsonl}]", "dump: NAME"),
        ("[{method: ultrafeedback, aspects: [honestly]}]", "Did you mean 'honesty'"),
        ("[{method: ultrafeedback, scores: overall, criticises: false}]", "leave out `criticises: false`"),
        ("[stack_exchange]", "write `{method: stack_exchange, posts: FILE}`"),
        ("[{method: stack_exchange, posts: rows.jsonl}]", "dump: NAME"),
        ("[{method: spin, previous: rows.jsonl}]", "leave `previous` out"),
        ("[online_preferences]", "needs `round:`"),
        ("[{method: online_preferences, round: 0, new_share: 3/2}]", "must be a fraction from 0 to 1"),
        ("[{method: pairwise_judge, pairs_per_prompt: 0}]", "must be 1 or more"),
        ("[{method: verified_pairs, sampling: {samples: 1}}]", "samples must be 2 or more"),
        ("[{method: verified_pairs, sampling: {samples: 3}}]", "how `problems: FILE` are answered"),
        ("[{method: best_of_n, answers: rows.jsonl, dump: d1, scores: criterion}]", "leave out `scores`"),
        ("[{method: verified_pairs, check: {kind: numbr}}]", "Did you mean 'number'"),
    ],
)
def test_a_recipe_that_cannot_work_stops_before_anything_runs(house: House, methods: str, said: str) -> None:
    house.write("rows.jsonl", [{"prompt": "a"}])
    with pytest.raises(RecipeError) as caught:
        check_preferences(house.recipe(methods))
    assert said in str(caught.value)


def test_a_dump_that_is_none_stops_by_name(house: House) -> None:
    (house.folder / "Posts.xml").write_text("<users></users>")
    with pytest.raises(ShardError, match=r"Posts.xml: This is no Posts.xml"):
        house.make(f"[{{method: stack_exchange, posts: Posts.xml, dump: {DUMP}}}]")
    other = f"{{list: Posts.xml, sha256: {'0' * 64}}}"
    (house.folder / "Posts.xml").write_text(POSTS)
    with pytest.raises(ShardError, match="has another SHA-256"):
        house.make(f"[{{method: stack_exchange, posts: {other}, dump: {DUMP}}}]")


# forms ----------------------------------------------------------------------------------------------------------------


def test_forms_are_files_that_datasets_reads_and_the_card_names(house: House, tmp_path: Path) -> None:
    from datasets import load_dataset

    house.make("[comparisons]", answer, mark)
    _, released = house.release(
        "[comparisons]",
        "{preference_forms: [kto, reward, transcripts, ranked], end_of_context: <eoc>, validation_share: 0.3}",
    )
    folder = Path(house.lake.dataset(PREFERENCE_DATASET).folder.url)

    def load(form: str) -> list[dict[str, Any]]:
        files = sorted(map(str, (folder / "release" / "preference_forms" / form).rglob("*.jsonl")))
        assert len(files) == 2
        return list(load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "d")))

    # the middle answer is chosen here and rejected there: it has no one label
    labelled = load("kto")
    assert sorted(row["label"] for row in labelled) == [False] * 6 + [True] * 6
    assert {row["completion"][0]["content"] for row in labelled} == {"Answer 0.", "Answer 2."}
    reward = load("reward")
    assert {row["margin"] for row in reward} == {1.0, 2.0}
    assert [len(row["chosen"]) for row in reward] == [2] * 18
    texts = load("transcripts")
    assert all(row["chosen"].endswith("<eoc>") and row["rejected"].endswith("<eoc>") for row in texts)
    ranked = load("ranked")
    assert [row["answers"] for row in ranked] == [["Answer 2.", "Answer 1.", "Answer 0."]] * 6
    assert ranked[0]["scores"] == [3.0, 2.0, 1.0]
    card = (folder / "README.md").read_text()
    assert "`release/preference_forms/kto/`: 12 rows" in card
    assert "contradicted_label" in card
    assert "each ends in `<eoc>`" in card
    # a form that is not asked for any more goes
    house.release("[comparisons]", "{preference_forms: [kto]}")
    forms = folder / "release" / "preference_forms"
    assert {path.parent.parent.name for path in forms.rglob("*.jsonl")} == {"kto"}
    assert released.height == 18


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("{preference_forms: [ktoo]}", "Did you mean 'kto'"),
        ("{preference_forms: [kto, kto]}", "stands twice"),
        ("{end_of_context: <eoc>}", "preference_forms: [transcripts]"),
    ],
)
def test_a_form_that_is_none_stops_at_load(house: House, release: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        house.recipe("[best_worst]", f"release: {release}\n")
    assert said in str(caught.value)
