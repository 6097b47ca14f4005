"""Methods that make instructions and texts of texts, with the embedded model: rows, and for all others a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from mmpipe.deduplication.rouge_pool import RougePool
from mmpipe.synthesis.added_facts import list_added_names
from mmpipe.synthesis.drafts import synthesize
from mmpipe.synthesis.evol_instruct import evolve_instructions
from mmpipe.synthesis.evol_pool import EvolInstructSettings
from mmpipe.synthesis.grounded_questions import (
    PROMPTS,
    GroundedQuestionSettings,
    accept_grounded_question,
    plan_grounded_questions,
)
from mmpipe.synthesis.raft import list_quotes, make_raft_rows
from mmpipe.synthesis.raft_settings import RaftSettings
from mmpipe.synthesis.seed_tasks import Task, parse_seed_tasks
from mmpipe.synthesis.self_instruct import Growth, grow_instructions
from mmpipe.synthesis.self_instruct_settings import ALPACA_SETTINGS, BELLE_SETTINGS, SELF_INSTRUCT
from mmpipe.synthesis.wrap import rephrase_documents
from mmpipe.synthesis.wrap_settings import WrapSettings
from mmpipe_tests.synthesis_embedded.onlooker import check_counts, check_synthesis, run_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.synthesis.self_instruct_settings import SelfInstructSettings
    from mmpipe_tests.synthesis_embedded.onlooker import Onlooker

    CountTokens = Callable[[Sequence[str]], list[int]]

pytestmark = pytest.mark.xdist_group("embedded")

TOWNS = {
    "Holt": "The old bridge of Holt was built in 1877 by Clara Benn, an engineer of the coast. It has three arches of "
    "grey stone, and a small museum in the northern tower tells its story. Every spring the people of Holt clean it.",
    "Orrin": "The lighthouse of Orrin stands 42 metres above the harbour. Its keeper, Tom Hale, lit the lamp all night "
    "until 1961. Today a machine does so, and visitors climb the 210 steps to see the islands.",
    "Velm": "Velm is known for its market, where farmers sell cheese and honey on Saturdays. The town hall burnt down "
    "in 1904 and was rebuilt with red bricks from the valley. A clock with four faces crowns its roof.",
}
DOCUMENTS = pl.DataFrame(
    [{"doc_id": name, "dump": "x", "language": "en", "text": text} for name, text in TOWNS.items()]
)


@pytest.mark.parametrize("prompt", [prompt.name for prompt in PROMPTS])
def test_grounded_questions(teacher: Onlooker, prompt: str) -> None:
    settings = GroundedQuestionSettings(prompt=prompt)
    planned = plan_grounded_questions(DOCUMENTS, settings)

    def make() -> Any:
        return synthesize(
            planned, teacher, lambda plan, reply: accept_grounded_question(plan, reply, settings), attempts=2
        )

    made = run_twice(teacher, make)
    check_synthesis(made, parents="deduped_corpus", least_rows=1)
    assert made.planned
    for row in made.frame.iter_rows(named=True):
        assert row["evidence"] in TOWNS[row["parents"][0]["id"]]


@pytest.mark.slow
def test_raft(teacher: Onlooker, count_tokens: CountTokens) -> None:
    settings = RaftSettings(questions_per_chunk=1, distractors=2, least_chunk_tokens=20, attempts=1, max_tokens=96)
    made = run_twice(teacher, lambda: make_raft_rows(DOCUMENTS, teacher, settings, count_tokens))
    check_synthesis(made.synthesis, parents="deduped_corpus")
    assert made.synthesis.planned == 3
    for row in made.synthesis.frame.iter_rows(named=True):
        quotes = list_quotes(row["response"])
        assert quotes
        assert all(quote in row["evidence"] for quote in quotes)


@pytest.mark.slow
def test_wrap_in_four_styles(teacher: Onlooker, count_tokens: CountTokens) -> None:
    settings = WrapSettings(styles_per_document=4, attempts=1, max_tokens=96)
    made = run_twice(teacher, lambda: rephrase_documents(DOCUMENTS[:2], teacher, settings, count_tokens))
    assert made.synthesis.planned == 8
    assert made.synthesis.frame.height + made.candidates.height == 8 == made.tried.height
    assert made.synthesis.frame.height
    check_counts(made.candidates, made.synthesis.rejected)
    for row in made.synthesis.frame.iter_rows(named=True):
        assert 0.3 <= len(row["text"]) / len(TOWNS[row["doc_id"]]) <= 3
        assert list_added_names(row["text"], TOWNS[row["doc_id"]]) == []
        assert row["prompt_version"].startswith(f"wrap/{row['style']}@")


@pytest.mark.slow
def test_evol_instruct(teacher: Onlooker) -> None:
    seeds = pl.DataFrame(
        {
            "instruction_id": ["a", "b", "c"],
            "instruction": ["List three rivers of Peru.", "Write a poem on the sea.", "Explain how a lock works."],
            "context": pl.Series([None] * 3, dtype=pl.String),
            "dump": "x",
        }
    )
    settings = EvolInstructSettings(rounds=1, max_tokens=96)
    made = run_twice(teacher, lambda: evolve_instructions(seeds, teacher, settings))
    check_synthesis(made.synthesis)
    assert made.synthesis.planned == 3 == made.pool.height
    kept = dict(seeds.select("instruction_id", "instruction").iter_rows())
    rows = dict(made.synthesis.frame.select("instruction_id", "instruction").iter_rows())
    # what fails returns to the pool as it was
    assert all(slot["instruction"] == (kept | rows)[slot["instruction_id"]] for slot in made.pool.rows(named=True))


def make_seeds() -> Sequence[Task]:
    written = {
        "Write a birthday wish for a colleague.": "Many happy returns!",
        "Say whether the review is positive or negative.": "positive",
        "Name three uses of a brick.": "A weight, a step, a wall.",
        "Explain how a bicycle stays upright.": "It steers into the fall.",
        "Put the words into alphabetical order.": "ash, elm, oak",
        "Convert the temperature to Fahrenheit.": "68",
        "Give advice on sleeping better.": "Go to bed early.",
        "Translate the greeting into French.": "Bonjour",
    }
    lines = [
        {"id": f"s{place}", "instruction": asked, "instances": [{"input": "", "output": answer}]}
        for place, (asked, answer) in enumerate(written.items())
    ]
    return parse_seed_tasks([json.dumps(line) for line in lines]).tasks


@pytest.mark.parametrize(
    ("settings", "tokens"), [(SELF_INSTRUCT, 160), (ALPACA_SETTINGS, 128), (BELLE_SETTINGS, 96)], ids=lambda item: ""
)
@pytest.mark.slow
def test_self_instruct_and_its_variants(teacher: Onlooker, settings: SelfInstructSettings, tokens: int) -> None:
    small = replace(
        settings, max_tokens=tokens, most_requests=2, requests_per_round=2, instance_tokens=48, label_tokens=32
    )

    def make() -> Growth:
        return grow_instructions(
            make_seeds(), teacher, RougePool(small.pool_threshold, tokenizer=small.pool_tokenizer), small, 3
        )

    made = run_twice(teacher, make)
    # seeds are no table of ours, and tasks grown may stand on grown ones
    check_synthesis(made.synthesis)
    assert made.requests == 2
    assert made.synthesis.planned
    assert made.tasks.height >= made.synthesis.frame["instruction"].n_unique()
