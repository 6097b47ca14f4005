"""Several teachers that answer one instruction, through the lane: two endpoints, a judge of one of their families."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.commands.explain import explain
from mmpipe.errors import ConfigurationError, RecipeError, ShardError
from mmpipe.filtering import preference_sections
from mmpipe.filtering.recipes import load_recipe
from mmpipe.lanes import instructions, preference_pairs, preferences, response_revisions
from mmpipe.lanes.answer_estimates import estimate_answers
from mmpipe.lanes.preference_methods import check_preferences
from mmpipe.lanes.response_authors import open_authors
from mmpipe.lanes.stage import Knobs, StageRun
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.storage.dumps import Dump, record_dump
from mmpipe.storage.shards import Engine
from mmpipe.synthesis.response_routes import ResponseRoutes
from mmpipe.synthesis.responses import ResponseSettings, sample_responses
from mmpipe.synthesis.ultrafeedback_prompts import PRINCIPLES
from mmpipe.tables.instructions import JUDGEMENTS, RESPONSES
from mmpipe.tables.response_revisions import RESPONSE_REVISIONS
from mmpipe_tests.lanes.preference_house import ASKED, DUMP, STAGES, House, mark
from mmpipe_tests.models.chat_server import Answer, ChatServer, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmpipe.tables.chat import ChatRequest

WEIGHTS = "{helpfulness: 1, honesty: 1, verbalized_calibration: 0}"


class Pool:
    """A house whose responses two endpoints give; each says who it is."""

    def __init__(self, house: House, servers: dict[str, ChatServer], monkeypatch: pytest.MonkeyPatch) -> None:
        self.house, self.servers = house, servers
        # as the lane opens them, from the knobs
        for module in (preferences, preference_pairs, response_revisions):
            monkeypatch.setattr(module, "open_run_teacher", instructions.open_run_teacher)
        house.teachers = {
            "small": {"model": "alpha-7b", "base_url": servers["small"].url},
            "large": {"model": "beta-70b", "base_url": servers["large"].url},
        }
        house.instructions = (
            f"criterion: helpfulness, samples_per_prompt: 2, response_teachers: [small, large], principles: {WEIGHTS}"
        )

    def count_asked(self) -> dict[str, int]:
        return {name: len(server.bodies) for name, server in self.servers.items()}


def say(name: str) -> Answer:
    return Answer(f"Answer {1 if name == 'small' else 2}.")


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    with serve(lambda *_: say("small")) as first, serve(lambda *_: say("large")) as second:
        house = House(tmp_path, monkeypatch)
        yield Pool(house, {"small": first, "large": second}, monkeypatch)


def test_each_instruction_is_answered_by_different_models_and_rows_say_which(pool: Pool) -> None:
    pool.house.make("[best_worst]", judge=mark)

    rows = pool.house.read(RESPONSES)
    assert rows.height == 12
    assert rows.group_by("instruction_id").agg(pl.col("teacher").n_unique())["teacher"].to_list() == [2] * 6
    by_family = {"alpha": "Answer 1.", "beta": "Answer 2."}
    for row in rows.iter_rows(named=True):
        assert row["teacher"].startswith(f"openai:{row['family']}-")
        assert row["response"] == by_family[row["family"]]
        assert row["principle"] in ("helpfulness", "honesty")
        assert row["prompt_version"].startswith(f"responses/alone/{row['principle']}@")
    # not always in one order, nor under one principle
    assert rows.filter(sample_index=0)["family"].n_unique() == rows["principle"].n_unique() == 2
    assert pool.count_asked() == {"small": 6, "large": 6}
    order = [(name, place) for name in ASKED for place in range(2)]
    assert rows.select("instruction_id", "sample_index").rows() == order
    # the model is told its principle before all else, and sees no example written under none
    for body in pool.servers["small"].bodies:
        system, user = body["messages"]
        assert any(
            system["content"].startswith(told) for name in ("helpfulness", "honesty") for told in PRINCIPLES[name]
        )
        assert user["role"] == "user"
    assert set(pool.house.pairs["chosen"]) == {"Answer 2."}
    record_dump(pool.house.lake, Dump(DUMP, str(pool.house.folder), ()))
    (fate,) = explain(pool.house.lake, "q0")
    (told,) = (step.rows for step in fate.steps if step.asset == "responses")
    assert {(row["teacher"], row["principle"]) for row in told} == set(
        rows.filter(instruction_id="q0").select("teacher", "principle").rows()
    )


def test_a_judge_scores_only_what_other_families_wrote(pool: Pool) -> None:
    pool.house.judge = ScriptedTeacher(mark, "openai:alpha-judge@0")
    pool.house.make("[best_worst]", judge=mark)
    judged = pool.house.read(JUDGEMENTS).join(pool.house.read(RESPONSES), on="response_id")
    assert set(judged.select("family", "judgement_status").unique().rows()) == {
        ("alpha", "own_family"),
        ("beta", "ok"),
    }
    # the same by a family that its name does not tell
    pool.house.teachers["large"]["family"] = "alpha"
    pool.house.make("[best_worst]", judge=mark)
    assert set(pool.house.read(RESPONSES)["family"]) == {"alpha"}
    assert set(pool.house.read(JUDGEMENTS)["judgement_status"]) == {"own_family"}
    # nobody was asked anew: the family is no part of the question
    assert pool.count_asked() == {"small": 6, "large": 6}


def test_no_family_writes_more_of_the_chosen_answers_than_its_share(pool: Pool) -> None:
    def prefer(request: ChatRequest) -> str:
        """Prefer the small model's answers to the first two questions, else the large one's."""
        text = str(request.messages[-1].content)
        number = int(text.rpartition("Answer ")[2][0])
        is_early = any(f"What is {place} + 1" in text for place in range(2))
        return json.dumps({"rationale": "So.", "score": 10 - number if is_early else number})

    every = pool.house.make("[comparisons]", judge=prefer)
    assert pool.house.pairs["chosen"].value_counts().sort("chosen").rows() == [("Answer 1.", 2), ("Answer 2.", 4)]
    assert [commit.shard for commit in every.commits] == ["comparisons-s0", "comparisons-s1"]
    capped = pool.house.make("[{method: comparisons, most_family_share: 0.5}]", judge=prefer)
    assert pool.house.pairs["chosen"].value_counts().sort("chosen").rows() == [("Answer 1.", 2), ("Answer 2.", 2)]
    assert capped.removed_by_rule == {"over_family_share": 2}
    # of the whole dump, however its instructions lie in shards
    assert [commit.shard for commit in capped.commits] == ["comparisons-all"]


@pytest.mark.parametrize(
    ("pool_of", "method", "said"),
    [
        ("small", "{method: best_worst, most_family_share: 0.5}", "name them in `instructions.response_teachers`"),
        ("small, large", "{method: best_worst, most_family_share: 1.5}", "above 0 and at most 1"),
        ("small, large", "{method: spin, most_family_share: 0.5}", "no option 'most_family_share'"),
        ("small, large", "{method: best_of_n, answers: a.jsonl, dump: d1, most_family_share: 0.5}", "have no families"),
    ],
)
def test_a_share_that_cannot_be_is_refused(pool: Pool, pool_of: str, method: str, said: str) -> None:
    pool.house.write("a.jsonl", [{"prompt": "p", "answer": "a", "score": 1}])
    pool.house.instructions = f"response_teachers: [{pool_of}]"
    with pytest.raises(RecipeError, match=said):
        check_preferences(pool.house.recipe(f"[{method}]"))


def test_a_changed_teacher_is_asked_and_the_others_are_not(pool: Pool) -> None:
    pool.house.make("[best_worst]", judge=mark)
    before = pool.house.read(RESPONSES)
    pool.house.teachers["large"]["model"] = "gamma-1b"
    pool.house.make("[best_worst]", judge=mark)
    after = pool.house.read(RESPONSES)

    assert pool.count_asked() == {"small": 6, "large": 12}
    columns = ["response_id", "teacher", "principle", "response"]
    kept = before.filter(family="alpha").select(columns)
    assert after.filter(family="alpha").select(columns).equals(kept)
    assert set(after["family"]) == {"alpha", "gamma"}


def test_an_estimate_counts_what_each_is_asked(pool: Pool) -> None:
    recipe = pool.house.recipe("[best_worst, {method: self_refinement, rounds: 1}]")
    knobs = Knobs(cache_folder=str(pool.house.folder / "cache"), teachers=pool.house.teachers)
    run = StageRun(STAGES[0], pool.house.lake, recipe, knobs, Engine(1), DUMP)
    told = {one.method: one for one in estimate_answers(run)}
    assert pool.count_asked() == {"small": 0, "large": 0}

    for name, model in (("small", "alpha-7b"), ("large", "beta-70b")):
        one = told[f"responses ({name})"]
        assert one.estimate is not None
        assert (one.estimate.asked, one.teacher.split("@")[0]) == (6, f"openai:{model}")
    refined = [told[f"response_revisions ({name})"].estimate for name in ("small", "large")]
    assert sum(each.asked for each in refined if each is not None) == 6


def test_an_answer_is_revised_by_the_model_that_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def revise(name: str, said: str) -> Answer:
        if "Critique:" in said:
            return Answer(f"Answer {8 if name == 'small' else 9}.")
        if "Answer:\n" in said:
            is_done = any(f"Answer {number}" in said for number in (8, 9))
            return Answer(json.dumps({"critique": "Say more.", "is_done": is_done}))
        return say(name)

    def compare(request: ChatRequest) -> str:
        first, second = (int(part[0]) for part in request.messages[-1].content.split("Answer ")[1:3])
        return f"{first} {second}\nSo it is."

    with serve(lambda said, _: revise("small", said)) as first, serve(lambda said, _: revise("large", said)) as second:
        pool = Pool(House(tmp_path, monkeypatch), {"small": first, "large": second}, monkeypatch)
        manifest = pool.house.make("[{method: self_refinement, rounds: 2}]", judge=compare)

    pairs = pool.house.pairs
    assert set(pairs.select("chosen", "rejected").unique().rows()) == {
        ("Answer 8.", "Answer 1."),
        ("Answer 9.", "Answer 2."),
    }
    told = {"Answer 8.": "openai:alpha-7b", "Answer 9.": "openai:beta-70b"}
    assert all(row["policy"].startswith(told[row["chosen"]]) for row in pairs.iter_rows(named=True))
    assert (pairs.height, manifest.rows_in) == (6, 6)
    assert pool.house.lake.dataset(RESPONSE_REVISIONS, DUMP).require_manifest().counts["stopped_done"] == 6


def test_a_teacher_that_is_down_is_named_and_what_the_other_said_is_kept(pool: Pool) -> None:
    with serve(lambda said, _: Answer(status=401)) as refusing:
        pool.house.teachers["large"]["base_url"] = refusing.url
        with pytest.raises(ShardError, match=refusing.url):
            pool.house.make("[best_worst]", judge=mark)
    assert not pool.house.lake.dataset(RESPONSES, DUMP).find_commits()
    asked = pool.count_asked()["small"]
    pool.house.teachers["large"]["base_url"] = pool.servers["large"].url
    pool.house.make("[best_worst]", judge=mark)
    # the first shard's answers of the one that did answer are in the cache
    assert asked >= 3
    assert pool.count_asked() == {"small": 6, "large": 6}


@pytest.mark.parametrize(
    ("names", "teachers", "said"),
    [
        ("[small, larg]", ("small", "large"), "'larg'; the file of teachers has none of that name .* 'large'"),
        ("[small]", (), "no file of teachers is named"),
        ("[small, same]", ("small", "same"), "'small' and 'same', which are one model, openai:m@0"),
    ],
)
def test_a_pool_that_cannot_work_stops_before_anybody_is_asked(
    tmp_path: Path, names: str, teachers: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: refinedweb\ninstructions: {{response_teachers: {names}}}\n")
    knobs = Knobs(teachers={name: {"model": "m"} for name in teachers})
    with pytest.raises(ConfigurationError, match=said):
        open_authors(load_recipe(str(path)), knobs, lambda _: ScriptedTeacher(lambda _: "", "openai:m@0"))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("response_teachers: [a, a]", r"mine.yaml:\d: response_teachers: 'a' stands 2 times"),
        ("principles: {honnesty: 1}", r"mine.yaml:\d: unknown principle 'honnesty'. Did you mean 'honesty'"),
        ("principles: {honesty: -1}", r"mine.yaml:\d: principles: the weight of 'honesty' must not be negative"),
        ("principles: {honesty: 0}", r"mine.yaml:\d: principles: one weight must be above 0"),
    ],
)
def test_a_wrong_section_stops_when_the_recipe_is_read(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: refinedweb\ninstructions:\n  {section}\n")
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(path))


def test_a_round_of_one_policy_takes_no_pool(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: refinedweb\ninstructions: {response_teachers: [a, b]}\n"
        "preferences: {methods: [{method: online_preferences, round: 0}]}\n"
    )
    with pytest.raises(RecipeError, match="a round is of one policy's answers"):
        check_preferences(load_recipe(str(path)))


def test_the_principles_of_a_recipe_have_sentences() -> None:
    assert set(preference_sections.PRINCIPLES) == set(PRINCIPLES)


# routes ---------------------------------------------------------------------------------------------------------------

_NAMES = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


@given(_NAMES, st.integers(1, 9), st.integers(0, 5), st.text(max_size=5))
def test_samples_are_shared_evenly_whatever_the_order_of_the_pool(
    names: list[str], samples: int, seed: int, instruction_id: str
) -> None:
    drawn = ResponseRoutes(tuple(names), {}, samples, seed).list_authors(instruction_id)
    assert ResponseRoutes(tuple(reversed(names)), {}, samples, seed).list_authors(instruction_id) == drawn
    assert len(drawn) == samples
    assert len(set(drawn)) == min(samples, len(names))
    counts = Counter(drawn)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_another_model_in_the_pool_takes_samples_and_moves_none_between_the_others() -> None:
    few, more = (ResponseRoutes(tuple(names), {}, 2) for names in ("abc", "abcd"))
    ids = [f"i{place}" for place in range(300)]
    for name in ids:
        stayed = [author for author in more.list_authors(name) if author != "d"]
        assert stayed == few.list_authors(name)[: len(stayed)]
    # two of three, and then two of four, at random: 200 and 150 of 300 each; sigma 8.2 and 8.7
    for routes, mean in ((few, 200), (more, 150)):
        shares = Counter(author for name in ids for author in routes.list_authors(name))
        assert all(abs(share - mean) < 35 for share in shares.values())


@given(st.permutations([f"i{place}" for place in range(5)]), st.integers(1, 4))
def test_who_answers_what_depends_on_no_order_and_no_shard(order: list[str], cut_at: int) -> None:
    settings = ResponseSettings(
        samples=3, pool=("x", "y"), principles={"honesty": 1.0, "helpfulness": 2.0}, families={"y-1": "given"}
    )

    def ask(ids: list[str]) -> dict[str, Any]:
        frame = pl.DataFrame(
            {name: ids if name in ("instruction_id", "instruction") else ["d"] * len(ids)
             for name in ("instruction_id", "dump", "instruction", "context", "evidence")}
        )  # fmt: skip
        rows = []
        for author in settings.pool:
            teacher = ScriptedTeacher(lambda _: "So.", f"openai:{author}-1@0")
            rows += sample_responses(frame, teacher, settings, author).frame.rows(named=True)
        return {row["response_id"]: row for row in rows}

    whole = ask(sorted(order))
    assert len(whole) == 15
    assert {row["family"] for row in whole.values()} == {"x", "given"}
    assert ask(order[:cut_at]) | ask(order[cut_at:]) == whole
